//! The web API, put together from the configuration and kept up.
//!
//! The telephone does not wait for it: a certificate that cannot be read or a port that is taken is told, and tried again
//! until it works; so is an API that has ended by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::backstage::Backstage;
use crate::api::calls::{Calls, Settings as CallSettings};
use crate::api::ivr::Settings as IvrSettings;
use crate::api::limiter::Limiter;
use crate::api::log::Log;
use crate::api::server::{Limits, ServerError, ServerMetrics, Settings};
use crate::api::standing::{Standing, State};
use crate::api::web::{self, Web, WebError};
use crate::call::outside::Desk;
use crate::config::{ApiSection, Config};
use crate::secret::Secret;
use crate::service::Services;
use crate::speech::Speech;
use crate::time::monotonic;

/// How long to wait before it is tried again, at first and at most. Whoever mends a file waits no longer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The web API of a running engine.
pub struct Api {
    plan: Arc<Plan>,
    keeping: JoinHandle<()>,
}

/// What is served, however often it is begun.
struct Plan {
    section: ApiSection,
    services: Services,
    calls: Calls,
    desk: Desk,
    log: Log,
    metrics: Arc<ServerMetrics>,
    standing: Standing,
}

impl Api {
    /// Tries to serve, and goes on trying until `stop`. `desk` has the calls that outside IVRs carry.
    pub async fn start(
        section: &ApiSection,
        config: &Config,
        backstage: &Backstage,
        speech: &Speech,
        desk: Desk,
        stop: CancellationToken,
    ) -> Self {
        let calls = Calls::new(
            backstage.services.clone(),
            speech.clone(),
            backstage.labels.clone(),
            Limiter::new(section.address_rate, section.user_rate, monotonic()),
            CallSettings {
                names: section.names,
                ..CallSettings::new(config.language.clone())
            },
        );
        let plan = Arc::new(Plan {
            section: section.clone(),
            services: backstage.services.clone(),
            calls,
            desk,
            log: Log::default(),
            metrics: Arc::default(),
            standing: Standing::default(),
        });
        // The first try is waited for, so that whoever starts the program is told how it went.
        let first = plan.serve(&stop).await;
        let keeping = tokio::spawn(Arc::clone(&plan).keep(first, stop));
        Self { plan, keeping }
    }

    /// How it stands with it.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.plan.standing.clone()
    }

    /// Makes what it counts visible in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let Plan {
            log, metrics, standing, ..
        } = &*self.plan;
        web::register(registry, log, metrics, standing);
    }

    /// From now on nobody signs in; sessions go on.
    pub fn drain(&self) {
        self.plan.calls.close();
    }

    /// Waits until it has ended, after its stop: every request answered or cut, every call done.
    pub async fn ended(self) {
        // Whether it says so or has failed: it has ended.
        let _ = self.keeping.await;
        self.plan.calls.drain().await;
    }
}

impl Plan {
    /// Begins to serve; how that went is in the standing.
    async fn serve(&self, stop: &CancellationToken) -> Option<Web> {
        let begun = self.begin(stop).await;
        let state = match &begun {
            Ok(web) => State::Served {
                api: web.address(),
                agi: web.agi_address(),
            },
            Err(error) => State::Down {
                reason: format!("{error:#}"),
            },
        };
        // The same reason is told once, however often it is met.
        if self.standing.set(state.clone()) {
            match &state {
                State::Served { api, .. } => tracing::info!(%api, "the web API is served"),
                State::Down { reason } => {
                    tracing::error!(
                        reason,
                        "the web API cannot be served; it is tried again, telephone calls are taken"
                    );
                }
            }
        }
        begun.ok()
    }

    async fn begin(&self, stop: &CancellationToken) -> anyhow::Result<Web> {
        let section = &self.section;
        let settings = Settings {
            trusted_proxies: section.trusted_proxies.clone(),
            proxy_protocol: section.proxy_protocol,
            limits: Limits {
                connections: section.connections,
                connections_per_address: section.connections_per_address,
                ..Limits::default()
            },
            metrics: Arc::clone(&self.metrics),
            ..Settings::new(section.listen, section.tls_files())
        };
        let ivr = IvrSettings {
            url: section.url.clone(),
            twilio_token: section.twilio_token.as_deref().map(twilio_token).transpose()?,
        };
        let inside = (self.calls.clone(), self.desk.clone(), self.log.clone());
        let web = Web::start(settings, &self.services, inside, ivr, section.agi, stop).await;
        web.map_err(|error| {
            let keys = keys(&error);
            anyhow::Error::new(error).context(keys)
        })
    }

    /// Serves until `stop`.
    async fn keep(self: Arc<Self>, mut serving: Option<Web>, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(web) = serving {
                web.ended().await;
                if stop.is_cancelled() {
                    return;
                }
                pause = FIRST_PAUSE;
                let reason = "it has ended by itself; the log says why".to_owned();
                tracing::error!("the web API has ended by itself; it is begun anew");
                self.standing.set(State::Down { reason });
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            serving = self.serve(&stop).await;
        }
    }
}

/// The keys of the configuration that have to do with a trouble.
fn keys(error: &WebError) -> &'static str {
    match error {
        WebError::Server(ServerError::Listen { .. }) => "api.listen",
        WebError::Server(ServerError::Tls(_)) => "api.certificate, api.key, api.client_ca",
        WebError::Agi(_) => "api.agi",
        WebError::Networks(_) | WebError::Thread(_) | WebError::Ended => "the section [api]",
    }
}

/// The auth token of a Twilio account: the first line of a file.
///
/// # Errors
/// When it cannot be read, or has none.
pub fn twilio_token(file: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.with_context(|| format!("{}: cannot be read (api.twilio_token)", file.display()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    anyhow::ensure!(
        !token.is_empty(),
        "{}: the first line must be the auth token of the Twilio account (api.twilio_token)",
        file.display()
    );
    Ok(Secret::new(token.to_owned()))
}
