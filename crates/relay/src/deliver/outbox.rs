//! Final entries of the history, from the queue's own transactions into the history.

use std::sync::Arc;
use std::time::Duration;

use sealpost_queue::{OutboxRow, Spool as _};
use sealpost_report::Event;
use tokio::sync::watch;

use crate::engine::{Components, Engine};

/// Drains the outbox at the start and whenever a settlement filled it, until `stop` says so.
pub(crate) async fn run<C: Components>(engine: Arc<Engine<C>>, mut stop: watch::Receiver<bool>) {
    loop {
        let pause = if drain(&engine).await { UNTIL_TOLD } else { AGAIN };
        tokio::select! {
            () = engine.outbox.notified() => {}
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Moves what settlements recorded into the history; what is there is removed from the queue only then. Whether all is.
pub(crate) async fn drain<C: Components>(engine: &Engine<C>) -> bool {
    loop {
        match drain_some(engine).await {
            Ok(0) => return true,
            Ok(_) => {}
            Err(problem) => {
                tracing::error!(problem, "final entries of the history stay in the queue and are tried again");
                return false;
            }
        }
    }
}

async fn drain_some<C: Components>(engine: &Engine<C>) -> Result<usize, String> {
    let rows = engine.spool.outbox(BATCH).await.map_err(|error| error.to_string())?;
    let Some(last) = rows.last().map(|row| row.place) else { return Ok(0) };
    let read = |row: &OutboxRow| {
        let lost = |error: &_| tracing::error!(place = row.place, %error, row = %row.row.escape_ascii(), "a final entry cannot be read");
        Event::from_bytes(&row.row).inspect_err(lost).ok()
    };
    let events: Vec<Event> = rows.iter().filter_map(read).collect();
    if let Some(history) = &engine.history {
        // What led to the end stands before it.
        history.flush().await.map_err(|error| error.to_string())?;
        history.record_durably(events.clone()).await.map_err(|error| error.to_string())?;
    }
    events.iter().for_each(|event| engine.final_event(event));
    engine.spool.outbox_done(last).await.map_err(|error| error.to_string())?;
    Ok(rows.len())
}

const BATCH: usize = 256;

/// After a failure.
const AGAIN: Duration = Duration::from_secs(5);

/// Nothing is there before somebody says so.
const UNTIL_TOLD: Duration = Duration::from_secs(3600);
