//! What happens, sent on as it happens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::channel::Sender;
use sealpost_report::Event;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::history::HistoryEntry;

/// Becomes true when the server stops.
#[derive(Clone)]
pub(crate) struct Stopping(pub(crate) watch::Receiver<bool>);

/// A line for each event that `entry` makes one of, until the relay or the follower goes, or `stop` says so.
pub(crate) async fn lines(
    mut events: broadcast::Receiver<Arc<Event>>,
    mut stop: watch::Receiver<bool>,
    mut to: Sender<Bytes, Infallible>,
    entry: impl Fn(&Event) -> Option<HistoryEntry>,
) {
    loop {
        let line = tokio::select! {
            event = events.recv() => match event {
                Ok(event) => entry(&event).map(|entry| line(&entry)),
                Err(RecvError::Lagged(missed)) => Some(line(&Missed { missed })),
                Err(RecvError::Closed) => return,
            },
            // A follower that has gone is noticed by nothing else.
            () = tokio::time::sleep(QUIET) => Some(Bytes::from_static(b"\n")),
            _ = stop.wait_for(|stop| *stop) => return,
        };
        if let Some(line) = line
            && to.send_data(line).await.is_err()
        {
            return;
        }
    }
}

#[derive(Serialize)]
struct Missed {
    missed: u64,
}

fn line(value: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// After so long without an event an empty line is sent.
const QUIET: Duration = Duration::from_secs(15);
