//! The operators' port: health, readiness, metrics and the live list of calls, on loopback and without a password.
//!
//! | path | gives |
//! |---|---|
//! | `/health/live` | 200 while the program runs |
//! | `/health/ready` | 200 when calls are taken and can be served, 503 with the reason when not: draining, or the database takes no writes |
//! | `/health/api` | the same of the web API: 503 also when it is not served, 404 when the configuration has none |
//! | `/metrics` | Prometheus text |
//! | `/calls` | JSON list of [`LiveCall`](crate::call::registry::LiveCall) |

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, body::Body};
use prometheus_client::registry::Registry as MetricsRegistry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::standing::{self, Standing};
use crate::call::registry::Registry;
use crate::service::Services;

/// What the port shows.
#[derive(Clone)]
pub struct Admin {
    calls: Arc<Registry>,
    metrics: Arc<MetricsRegistry>,
    services: Services,
    api: Option<Standing>,
}

impl Admin {
    /// Shows these calls and metrics, whether these services work, and whether the web API is served, if there is one.
    #[must_use]
    pub fn new(calls: Arc<Registry>, metrics: Arc<MetricsRegistry>, services: Services, api: Option<Standing>) -> Self {
        Self {
            calls,
            metrics,
            services,
            api,
        }
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/health/live", get(async || "alive\n"))
            .route("/health/ready", get(ready))
            .route("/health/api", get(api))
            .route("/metrics", get(metrics))
            .route("/calls", get(calls))
            .with_state(self)
    }

    /// Serves until `stop`; gives the bound address at once.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn serve(self, listen: SocketAddr, stop: CancellationToken) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(listen).await?;
        let bound = listener.local_addr()?;
        tokio::spawn(async move {
            let server = axum::serve(listener, self.router()).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = server.await {
                tracing::error!(%error, "the operators' port has stopped");
            }
        });
        Ok(bound)
    }
}

/// The telephone does not hang on the web API: that has a page of its own, and a word here.
async fn ready(State(admin): State<Admin>) -> Response {
    let is_api_down = admin.api.as_ref().is_some_and(|api| !api.is_served());
    match admin.trouble() {
        Some(trouble) => not_ready(trouble),
        None if is_api_down => "ready; the web API is not served, see /health/api\n".into_response(),
        None => "ready\n".into_response(),
    }
}

async fn api(State(admin): State<Admin>) -> Response {
    let Some(api) = &admin.api else {
        let text = "there is no web API: no section [api] in the configuration\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    match (admin.trouble(), api.get()) {
        (_, standing::State::Down { reason }) => not_ready(&format!("the web API is not served: {reason}\n")),
        (Some(trouble), _) => not_ready(trouble),
        (None, standing::State::Served { .. }) => "ready\n".into_response(),
    }
}

impl Admin {
    /// Why nobody should be sent here, if it is so.
    fn trouble(&self) -> Option<&'static str> {
        if self.calls.is_draining() {
            Some("draining: no new calls are taken\n")
        } else if !self.services.database_takes_writes() {
            Some("the database takes no writes: see the log\n")
        } else {
            None
        }
    }
}

fn not_ready(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why.to_owned()).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.metrics) {
        Ok(()) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn calls(State(admin): State<Admin>) -> Response {
    match serde_json::to_vec(&admin.calls.snapshot()) {
        Ok(list) => ([(header::CONTENT_TYPE, "application/json")], Body::from(list)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
