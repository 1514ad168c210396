//! The operators' port: health, readiness, metrics and the live list of calls, on loopback and without a password.
//!
//! | path | gives |
//! |---|---|
//! | `/health/live` | 200 while the program runs |
//! | `/health/ready` | 200 when calls are taken and can be served, 503 with the reason when not: draining, or the database takes no writes |
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

use crate::call::registry::Registry;
use crate::service::Services;

/// What the port shows.
#[derive(Clone)]
pub struct Admin {
    calls: Arc<Registry>,
    metrics: Arc<MetricsRegistry>,
    services: Services,
}

impl Admin {
    /// Shows these calls and metrics, and whether these services work.
    #[must_use]
    pub fn new(calls: Arc<Registry>, metrics: Arc<MetricsRegistry>, services: Services) -> Self {
        Self {
            calls,
            metrics,
            services,
        }
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/health/live", get(async || "alive\n"))
            .route("/health/ready", get(ready))
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

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.calls.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining: no new calls are taken\n").into_response();
    }
    if !admin.services.database_takes_writes() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database takes no writes: see the log\n",
        )
            .into_response();
    }
    "ready\n".into_response()
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
