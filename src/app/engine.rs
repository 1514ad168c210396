//! The running program: everything built, supervised, drained and stopped.
//!
//! ```text
//!  start: data ─▶ recover open changes ─▶ prompts ─▶ flows ─▶ media ─▶ web API ─▶ operators' port ─▶ SIP
//!  stop:  503 for new calls ─▶ calls finish, at most `drain` ─▶ the rest are told goodbye ─▶ records and changes written
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::Api;
use super::backstage::{self, Backstage};
use super::file_handles::{self, Room};
use super::{core_dumps, flows, metrics, sources, trunks, voices};
use crate::api::admin::Admin;
use crate::api::standing::State;
use crate::call::metrics::Metrics;
use crate::call::outside::{self, Desk};
use crate::call::record::CallRecords;
use crate::call::registry::Registry;
use crate::call::switchboard::{self, House};
use crate::config::{ApiSection, Config, Transport};
use crate::rate::Rate;
use crate::service::{LogSink, OutboxLimits, Sink};
use crate::speech::Speech;
use crate::telephony::media::{EngineConfig, MediaEngine};
use crate::telephony::sip::admission::StrangerLimits;
use crate::telephony::sip::{
    self, ConnectionLimits, EndpointConfig, Listen, LocalAddress, SipConfig, SipHandle, SipStack,
};

/// How long the last messages on the wire may take.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long calls that were told goodbye may take to say it, and to hang up.
const DISMISSAL: Duration = Duration::from_secs(15);

/// How long changes on target systems and call records may take to be written.
const SETTLE: Duration = Duration::from_secs(30);

/// A running engine. Stop it with [`Engine::stop`].
pub struct Engine {
    sip: SipHandle,
    admin: SocketAddr,
    api: Option<Api>,
    registry: Arc<Registry>,
    backstage: Backstage,
    speech: Speech,
    switchboard: JoinHandle<()>,
    records: JoinHandle<()>,
    upkeep: TaskTracker,
    stop: CancellationToken,
}

impl Engine {
    /// Builds and starts everything that a configuration asks for.
    ///
    /// # Errors
    /// Says which file, port or setting is in the way; nothing is left running then.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        core_dumps::forbid();
        let room = file_handles::raise(Room {
            calls: config.calls.max,
            connections: config.sip_limits.max_connections,
            api: config.api.as_ref().map_or(0, |api| api.connections),
        });
        let watch = flows::Watch::begin(&config.dialplans, &config.speech.prompts);
        let backstage = backstage::open_settled(config).await?;
        backstage.services.join().await?;
        let recovered = backstage
            .services
            .recover()
            .await
            .context("open changes of an earlier run cannot be resolved")?;
        tracing::info!(?recovered, "changes of an earlier run are resolved");
        let schedule = sources::Schedule::new(&backstage, config)?;
        let speech = voices::load(config).await?;
        let library = flows::load(&config.dialplans, &flows::prompt_index(&speech.catalog()))?;
        let trunks = trunks::load(&config.trunks, &library).map_err(|mistakes| {
            let list: Vec<String> = mistakes.iter().map(|mistake| format!("  {mistake}")).collect();
            anyhow::anyhow!("trunk files have mistakes:\n{}", list.join("\n"))
        })?;
        let ports = config.media.first_port..=config.media.last_port;
        let media = Arc::new(MediaEngine::start(EngineConfig {
            ports,
            ..EngineConfig::default()
        })?);
        if let Some(folder) = &config.calls.recordings {
            backstage::create_private(folder)?;
        }
        let registry = Registry::new(room.calls, Arc::clone(&backstage.clock));
        let calls_metrics = Metrics::default();

        let stop = CancellationToken::new();
        // If a later part cannot start, the tasks of the earlier ones end.
        let guard = stop.clone().drop_guard();
        let sip_figures = metrics::SipFigures::default();
        let mut metrics_registry = metrics::registry(
            &calls_metrics,
            Arc::clone(&registry),
            Arc::clone(&media),
            backstage.services.clone(),
            Arc::clone(&sip_figures),
        );
        let (records, records_writer) = CallRecords::start(backstage.services.clone());
        let api = match &config.api {
            Some(section) => {
                let section = &ApiSection {
                    connections: room.api,
                    ..section.clone()
                };
                let desk = Desk::new(outside::Settings {
                    services: backstage.services.clone(),
                    flows: Arc::clone(&library),
                    speech: speech.clone(),
                    labels: backstage.labels.clone(),
                    language: config.language.clone(),
                    readback: config.readback,
                    registry: Arc::clone(&registry),
                    records: records.clone(),
                    metrics: calls_metrics.clone(),
                    clock: Arc::clone(&backstage.clock),
                    stop: stop.clone(),
                });
                Some(Api::start(section, config, &backstage, &speech, desk, stop.clone()).await)
            }
            None => None,
        };
        if let Some(api) = &api {
            api.register(&mut metrics_registry);
        }
        let admin = Admin::new(
            Arc::clone(&registry),
            Arc::new(metrics_registry),
            backstage.services.clone(),
            api.as_ref().map(Api::standing),
        )
        .serve(config.admin, stop.clone())
        .await
        .with_context(|| format!("cannot listen on {} (admin.listen)", config.admin))?;
        let (sip, incoming) = SipStack::start(SipConfig {
            listen: config.listen.iter().map(listen).collect(),
            trunks,
            endpoint: EndpointConfig {
                // The same limit as that of the list of calls, so that OPTIONS is told what an INVITE would be.
                max_calls: room.calls,
                strangers: config.sip_limits.strangers,
                stranger_limits: stranger_limits(config.sip_limits.stranger_rate),
                ..EndpointConfig::default()
            },
            connections: ConnectionLimits {
                total: room.connections,
                strangers: config.sip_limits.max_stranger_connections,
                ..ConnectionLimits::default()
            },
        })?;
        let house = House {
            services: backstage.services.clone(),
            flows: Arc::clone(&library),
            speech: speech.clone(),
            labels: backstage.labels.clone(),
            language: config.language.clone(),
            readback: config.readback,
            media,
            media_timeout: config.media.timeout,
            recordings: config.calls.recordings.clone(),
            signalling: sip.local_addrs().iter().map(|local| local.address).collect(),
            registry: Arc::clone(&registry),
            records,
            metrics: calls_metrics,
            clock: Arc::clone(&backstage.clock),
        };
        let upkeep = TaskTracker::new();
        if let Some(watch) = watch {
            upkeep.spawn(watch.follow(library, speech.clone(), stop.clone()));
        }
        let services = backstage.services.clone();
        let background_stop = stop.clone();
        upkeep.spawn(async move {
            let sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(LogSink)];
            services
                .run_background(sinks, OutboxLimits::default(), background_stop)
                .await;
        });
        upkeep.spawn(schedule.follow(stop.clone()));
        let (services, vault) = (backstage.services.clone(), backstage.vault.clone());
        let credentials_stop = stop.clone();
        upkeep.spawn(async move {
            credentials_stop
                .run_until_cancelled(services.follow_credentials(&vault))
                .await
        });
        let follow = metrics::follow_sip(sip.clone(), sip_figures);
        let follow_stop = stop.clone();
        upkeep.spawn(async move { follow_stop.run_until_cancelled(follow).await });
        let switchboard = tokio::spawn(switchboard::run(Arc::new(house), incoming));
        guard.disarm();
        Ok(Self {
            sip,
            admin,
            api,
            registry,
            backstage,
            speech,
            switchboard,
            records: records_writer,
            upkeep,
            stop,
        })
    }

    /// The SIP addresses that are listened on, with their real ports.
    #[must_use]
    pub fn sip_addresses(&self) -> &[LocalAddress] {
        self.sip.local_addrs()
    }

    /// The address of the operators' port.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// How it stands with the web API, if the configuration has one.
    #[must_use]
    pub fn api(&self) -> Option<State> {
        self.api.as_ref().map(|api| api.standing().get())
    }

    /// Database, targets and services.
    #[must_use]
    pub fn backstage(&self) -> &Backstage {
        &self.backstage
    }

    /// Prompts and engines.
    #[must_use]
    pub fn speech(&self) -> &Speech {
        &self.speech
    }

    /// Waits until no call is in progress.
    pub async fn idle(&self) {
        self.registry.emptied().await;
    }

    /// Takes no new calls; those in progress may finish within `limit`, or until `hurry`; the rest are told goodbye.
    pub async fn stop(self, limit: Duration, hurry: impl Future<Output = ()>) {
        self.registry.drain();
        if let Some(api) = &self.api {
            api.drain();
        }
        self.sip.drain().await;
        let in_progress = self.registry.len();
        if in_progress > 0 {
            tracing::info!(
                calls = in_progress,
                limit_s = limit.as_secs(),
                "no new calls; calls in progress may finish"
            );
        }
        tokio::select! {
            () = self.registry.emptied() => {}
            () = tokio::time::sleep(limit) => {}
            () = hurry => {}
        }
        if !self.registry.is_empty() {
            tracing::warn!(calls = self.registry.len(), "calls are told goodbye");
            self.registry.dismiss();
            let _ = tokio::time::timeout(DISMISSAL, self.registry.emptied()).await;
        }
        self.sip.shutdown(GOODBYE).await;
        self.stop.cancel();
        self.upkeep.close();
        let settled = async {
            // The switchboard ends when the stack has ended; with it and the API the last sender of call records is gone.
            let _ = self.switchboard.await;
            if let Some(api) = self.api {
                api.ended().await;
            }
            let _ = self.records.await;
            self.upkeep.wait().await;
            self.backstage.services.drain().await;
        };
        if tokio::time::timeout(SETTLE, settled).await.is_err() {
            tracing::error!("stopped before everything was written; open changes are resolved at the next start");
        }
        self.backstage.store.close().await;
        tracing::info!("stopped");
    }
}

fn stranger_limits(rate: u32) -> StrangerLimits {
    StrangerLimits {
        per_prefix: Rate {
            per_second: rate,
            burst: rate.saturating_mul(4),
        },
        ..StrangerLimits::default()
    }
}

fn listen(listen: &crate::config::Listen) -> Listen {
    let transport = match listen.transport {
        Transport::Udp => sip::Transport::Udp,
        Transport::Tcp => sip::Transport::Tcp,
    };
    Listen {
        transport,
        address: listen.address,
    }
}
