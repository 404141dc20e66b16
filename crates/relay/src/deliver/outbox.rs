//! Final entries of the history, from the queue's own transactions into the history.

use std::sync::Arc;

use sealpost_queue::Spool as _;
use sealpost_report::Event;
use tokio::sync::watch;

use crate::engine::{Components, Engine};

/// Drains the outbox at the start and whenever a settlement filled it, until `stop` says so.
pub(crate) async fn run<C: Components>(engine: Arc<Engine<C>>, mut stop: watch::Receiver<bool>) {
    loop {
        drain(&engine).await;
        tokio::select! {
            () = engine.outbox.notified() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Moves what settlements recorded into the history; what is there is removed from the queue only then.
pub(crate) async fn drain<C: Components>(engine: &Engine<C>) {
    loop {
        let rows = match engine.spool.outbox(BATCH).await {
            Ok(rows) => rows,
            Err(error) => return tracing::error!(%error, "final entries of the history cannot be read from the queue"),
        };
        let Some(last) = rows.last().map(|row| row.place) else { return };
        let events = rows.iter().filter_map(|row| {
            Event::from_bytes(&row.row).inspect_err(|error| tracing::error!(place = row.place, %error, "a final entry cannot be read")).ok()
        });
        let events: Vec<_> = events.inspect(|event| engine.final_event(event)).collect();
        if let Some(history) = &engine.history
            && let Err(error) = history.record_durably(events).await
        {
            return tracing::error!(%error, "final entries stay in the queue until the history takes them");
        }
        if let Err(error) = engine.spool.outbox_done(last).await {
            return tracing::error!(%error, "final entries stay in the queue and will be told again");
        }
    }
}

const BATCH: usize = 256;
