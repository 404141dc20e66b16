//! What a monitoring system asks: the numbers of the relay, and whether it lives and can take mail.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sealpost_relay::config::Metrics;
use sealpost_relay::{MetricsFormat, Readiness, RelayControl};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::{self, Limits};
use crate::error::AdminError;

/// Answers a monitoring system. Dropped without [`shutdown`](Self::shutdown) it stops at once.
///
/// It is meant to be shut down after the relay, so that it can say that the relay is stopping.
#[derive(Debug)]
pub struct MetricsServer {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    address: SocketAddr,
}

impl MetricsServer {
    /// Opens the address, if one is configured, and answers there, on the current tokio runtime.
    ///
    /// # Errors
    /// [`AdminError::Metrics`]: it cannot be listened on.
    pub async fn start(config: &Metrics, control: RelayControl) -> Result<Option<Self>, AdminError> {
        let Some(address) = config.address else { return Ok(None) };
        let failed = |source| AdminError::Metrics { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = watch::Sender::new(false);
        let limits = Limits { connections: CONNECTIONS, idle: IDLE };
        let task = tokio::spawn(connection::serve(listener, router(control), limits, stop.subscribe()));
        tracing::info!(%address, "metrics");
        Ok(Some(Self { stop, task, address }))
    }

    /// Where it listens, with the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and waits a short while for those under way.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // What is left of it ends with the drop.
        let _ = tokio::time::timeout(GRACE, &mut self.task).await;
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(control: RelayControl) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is nothing at this path; /metrics, /healthz or /readyz is meant\n") })
        .with_state(control)
}

/// Who is asked for may say in which form it is wanted.
#[derive(Deserialize)]
struct Wanted {
    format: Option<String>,
}

impl Wanted {
    fn json(&self, headers: &HeaderMap) -> bool {
        self.format.as_ref().map_or_else(|| accepts(headers, "application/json"), |format| format == "json")
    }
}

async fn metrics(State(control): State<RelayControl>, headers: HeaderMap) -> Response {
    let format = if accepts(&headers, "application/openmetrics-text") { MetricsFormat::OpenMetrics } else { MetricsFormat::Text };
    ([(header::CONTENT_TYPE, format.content_type())], control.metrics(format).await).into_response()
}

/// It lives: whoever reads this has an answer.
async fn healthz(Query(wanted): Query<Wanted>, headers: HeaderMap) -> Response {
    if wanted.json(&headers) { axum::Json(serde_json::json!({ "alive": true })).into_response() } else { "alive\n".into_response() }
}

async fn readyz(State(control): State<RelayControl>, Query(wanted): Query<Wanted>, headers: HeaderMap) -> Response {
    let readiness = control.readiness().await;
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if wanted.json(&headers) {
        (status, axum::Json(Ready::of(&readiness))).into_response()
    } else {
        (status, in_lines(&readiness)).into_response()
    }
}

/// The checks as JSON.
#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    checks: Vec<ReadyCheck<'a>>,
}

#[derive(Serialize)]
struct ReadyCheck<'a> {
    check: &'a str,
    ok: bool,
    found: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

impl<'a> Ready<'a> {
    fn of(readiness: &'a Readiness) -> Self {
        let checks = readiness.checks.iter().map(|check| ReadyCheck {
            check: check.name,
            ok: check.is_met,
            found: &check.found,
            remedy: check.remedy.as_deref(),
        });
        Self { ready: readiness.is_ready(), checks: checks.collect() }
    }
}

/// A line for the whole, and one for each check.
fn in_lines(readiness: &Readiness) -> String {
    let mut text = String::from(if readiness.is_ready() { "ready\n" } else { "not ready\n" });
    for check in &readiness.checks {
        let word = if check.is_met { "ok" } else { "FAILED" };
        let _ = write!(text, "{:<13} {word:<7} {}", check.name, check.found);
        if let Some(remedy) = &check.remedy {
            let _ = write!(text, "; {remedy} is meant");
        }
        text.push('\n');
    }
    text
}

/// Whether one of the Accept fields names this type, and not with a weight of 0.
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    ranges.into_iter().any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(kind));
        is_it && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// At a time; a monitoring system needs one or two.
const CONNECTIONS: usize = 32;

/// Without a piece of a request, or without taking a piece of the answer.
const IDLE: Duration = Duration::from_secs(30);

/// For requests under way at the stop.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_given_where_it_is_asked_for() {
        let accept = |value: &str| HeaderMap::from_iter([(header::ACCEPT, value.parse().unwrap())]);
        let openmetrics = |value: &str| accepts(&accept(value), "application/openmetrics-text");
        assert!(openmetrics("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
        assert!(!openmetrics("text/plain") && !openmetrics("*/*") && !openmetrics("application/openmetrics-text; q=0, text/plain"));
        let json = |format: Option<&str>, value: &str| Wanted { format: format.map(str::to_owned) }.json(&accept(value));
        assert!(json(Some("json"), "*/*") && json(None, "application/json") && !json(None, "*/*"));
        assert!(!json(Some("text"), "application/json"), "what is written in the address counts");
    }
}
