//! The web API, put together from the configuration.

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::backstage::Backstage;
use crate::api::calls::{Calls, Settings as CallSettings};
use crate::api::limiter::Limiter;
use crate::api::server::{Limits, Settings, TlsFiles};
use crate::api::web::Web;
use crate::config::{ApiSection, Config};
use crate::speech::Speech;
use crate::time::monotonic;

/// Starts serving, until `stop`.
///
/// # Errors
/// Says which file or port is in the way.
pub async fn start(
    section: &ApiSection,
    config: &Config,
    backstage: &Backstage,
    speech: &Speech,
    stop: CancellationToken,
) -> anyhow::Result<Web> {
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
    let tls = TlsFiles {
        certificate: section.certificate.clone(),
        key: section.key.clone(),
        client_ca: section.client_ca.clone(),
    };
    let settings = Settings {
        trusted_proxies: section.trusted_proxies.clone(),
        proxy_protocol: section.proxy_protocol,
        limits: Limits {
            connections: section.connections,
            connections_per_address: section.connections_per_address,
            ..Limits::default()
        },
        ..Settings::new(section.listen, tls)
    };
    let web = Web::start(settings, &backstage.services, calls, section.url.clone(), stop).await;
    web.context("the web API cannot be served (the section [api])")
}
