//! The web API, put together from the configuration.

use std::path::Path;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::backstage::Backstage;
use crate::api::calls::{Calls, Settings as CallSettings};
use crate::api::ivr::Settings as IvrSettings;
use crate::api::limiter::Limiter;
use crate::api::server::{Limits, Settings};
use crate::api::web::Web;
use crate::call::outside::Desk;
use crate::config::{ApiSection, Config};
use crate::secret::Secret;
use crate::speech::Speech;
use crate::time::monotonic;

/// Starts serving, until `stop`. `desk` has the calls that outside IVRs carry.
///
/// # Errors
/// Says which file or port is in the way.
pub async fn start(
    section: &ApiSection,
    config: &Config,
    backstage: &Backstage,
    speech: &Speech,
    desk: Desk,
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
    let settings = Settings {
        trusted_proxies: section.trusted_proxies.clone(),
        proxy_protocol: section.proxy_protocol,
        limits: Limits {
            connections: section.connections,
            connections_per_address: section.connections_per_address,
            ..Limits::default()
        },
        ..Settings::new(section.listen, section.tls_files())
    };
    let twilio_token = section.twilio_token.as_deref().map(twilio_token).transpose()?;
    let ivr = IvrSettings {
        url: section.url.clone(),
        twilio_token,
    };
    let web = Web::start(settings, &backstage.services, (calls, desk), ivr, section.agi, stop).await;
    web.context("the web API cannot be served (the section [api])")
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
