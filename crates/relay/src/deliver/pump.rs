//! Brings what is due back into the lanes.

use std::sync::Arc;
use std::time::Duration;

use sealpost_queue::Spool as _;
use tokio::sync::watch;

use crate::deliver;
use crate::engine::{Components, Engine};

/// Leases what is due, again and again, until `stop` says so.
pub(crate) async fn run<C: Components>(engine: Arc<Engine<C>>, mut stop: watch::Receiver<bool>) {
    let mut wake = engine.spool.wake();
    loop {
        engine.lanes.prune(engine.now());
        deliver::reinforce(&engine);
        let pause = match round(&engine).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "the queue cannot be read");
                LONGEST_PAUSE
            }
        };
        // While something waits in the lanes, a worker may hang in front of it.
        let pause = if engine.lanes.waiting() > 0 { pause.min(LOOK_AGAIN) } else { pause };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wake.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Leases what is due now, as much as the lanes take; says how long nothing more is due.
async fn round<C: Components>(engine: &Arc<Engine<C>>) -> Result<Duration, sealpost_queue::SpoolError> {
    loop {
        let _bringing = engine.bringing.lock().await;
        let room = LEASES.saturating_sub(engine.lanes.waiting());
        if room == 0 {
            return Ok(CROWDED);
        }
        // A destination with more than it can take must not keep what is due for others waiting.
        let full = engine.lanes.full();
        let leases = engine.spool.lease_due(engine.now(), room.min(BATCH), &full).await?;
        if leases.is_empty() {
            if !full.is_empty() {
                return Ok(CROWDED);
            }
            let due = engine.spool.next_due().await?;
            let pause = due.map_or(LONGEST_PAUSE, |due| due.since(engine.now()));
            return Ok(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        }
        deliver::submit(engine, leases);
    }
}

/// Leases that may wait in the lanes before no more are brought: half of what fresh mail may fill.
const LEASES: usize = 2000;

/// Leases taken at a time.
const BATCH: usize = 200;

/// While the lanes are full.
const CROWDED: Duration = Duration::from_millis(50);

/// How often workers that hang are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Against a due time that stays in the past because its entry cannot be leased yet.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// Against a clock that jumps: nothing due is missed for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
