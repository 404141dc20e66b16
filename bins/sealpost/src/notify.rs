//! What a service manager is told: when the relay is ready, reads its files again, stops, and that it is alive.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The service manager that started this process, as systemd's `sd_notify` protocol has it; nobody where none did.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that `NOTIFY_SOCKET` names, which wants to hear of life as often as `WATCHDOG_USEC` says.
    pub(crate) fn of_the_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()).and_then(|name| match open(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!("NOTIFY_SOCKET {}: {error}; the service manager is told nothing", name.display());
                None
            }
        });
        let micros = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok()).filter(|micros| *micros > 0);
        let for_us = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        Self { watchdog: micros.filter(|_| for_us && socket.is_some()).map(Duration::from_micros), socket }
    }

    /// Clients are served.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The files are read again; [`ready`](Self::ready) comes when they are.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// No more clients are taken.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says again and again that the relay is alive, twice as often as is wanted; never ends.
    pub(crate) async fn keep_alive(&self) -> std::convert::Infallible {
        let Some(span) = self.watchdog else { return std::future::pending().await };
        let mut beat = tokio::time::interval((span / 2).max(Duration::from_millis(1)));
        loop {
            beat.tick().await;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::warn!("the service manager is not told {state:?}: {error}");
        }
    }
}

/// A name that begins with `@` is abstract: no file.
fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not listen must not hold up mail.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
