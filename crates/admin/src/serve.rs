//! The server: on a unix socket, on TCP, or on both.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use sealpost_relay::RelayControl;
use sealpost_relay::config::Admin;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::{self, Access};
use crate::api;
use crate::connection::{self, Door, Limits};
use crate::error::AdminError;
use crate::socket::{self, SocketName};

/// Answers whoever manages a relay. Dropped without [`shutdown`](Self::shutdown) it stops at once.
#[derive(Debug)]
pub struct AdminServer {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    address: Option<SocketAddr>,
    name: Option<SocketName>,
}

impl AdminServer {
    /// Reads what a start would read, and opens nothing. Blocks.
    ///
    /// # Errors
    /// [`AdminError::Token`], [`AdminError::WeakToken`].
    pub fn check(config: &Admin) -> Result<(), AdminError> {
        if config.address.is_some() { Access::by_token(config.token.as_deref()).map(drop) } else { Ok(()) }
    }

    /// Opens what is configured, and answers there, on the current tokio runtime.
    ///
    /// # Errors
    /// [`AdminError`]: what of it cannot be opened.
    pub async fn start(config: &Admin, control: RelayControl) -> Result<Self, AdminError> {
        let mut server = Self { stop: watch::Sender::new(false), tasks: Vec::new(), address: None, name: None };
        let limits = Limits { connections: config.connections, idle: config.idle };
        let router = api::router(control, server.stop.subscribe()).layer(from_fn_with_state(limits, connection::whole_body));
        if let Some(path) = &config.socket {
            let failed = |source| AdminError::Socket { path: path.clone(), source };
            let (listener, name) = socket::bind(path)?;
            server.name = Some(name);
            server.serve(UnixListener::from_std(listener).map_err(failed)?, router.clone(), limits);
            tracing::info!(socket = %path.display(), "management");
        }
        if let Some(address) = config.address {
            let access = Access::by_token(config.token.as_deref())?;
            let failed = |source| AdminError::Address { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let listening = listener.local_addr().map_err(failed)?;
            server.address = Some(listening);
            // Who may not ask is told so before anything of the request is read.
            server.serve(listener, router.layer(from_fn_with_state(access, access::guard)), limits);
            tracing::info!(address = %listening, token = config.token.is_some(), "management");
        }
        Ok(server)
    }

    /// Where it listens on TCP, with the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Takes no more requests, and waits a short while for those under way.
    pub async fn shutdown(mut self) {
        // Whoever comes now finds nobody, instead of one who does not answer.
        self.name = None;
        self.stop.send_replace(true);
        for mut task in std::mem::take(&mut self.tasks) {
            if tokio::time::timeout(GRACE, &mut task).await.is_err() {
                task.abort();
            }
        }
    }

    fn serve(&mut self, door: impl Door, router: Router, limits: Limits) {
        self.tasks.push(tokio::spawn(connection::serve(door, router, limits, self.stop.subscribe())));
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// For requests under way at the stop.
const GRACE: Duration = Duration::from_secs(5);
