//! Brings what is due back into the lanes.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sealpost_queue::{Selector, Spool as _, Wake};
use tokio::sync::watch;
use tokio::time::Instant;

use super::slow_start::SlowStart;
use crate::deliver;
use crate::engine::{Components, Engine};
use crate::steady::Steady;

/// Leases what is due, again and again, until `stop` says so.
pub(crate) async fn run<C: Components>(engine: Arc<Engine<C>>, mut stop: watch::Receiver<bool>) {
    let mut wake = engine.spool.wake();
    let mut slow = Some(SlowStart::new(engine.now()));
    let mut steady = Steady::start(engine.now());
    loop {
        if let Some(back) = steady.set_back(engine.now()) {
            tracing::warn!("the time of day was set back by {} s: all that waits is tried now", back.as_secs());
            retry_all(&engine).await;
        }
        engine.lanes.prune(engine.now());
        deliver::reinforce(&engine);
        let Round { pause, rest } = match round(&engine, &mut slow).await {
            Ok(round) => round,
            Err(error) => {
                tracing::error!(%error, "the queue cannot be read");
                Round { pause: LONGEST_PAUSE, rest: Duration::ZERO }
            }
        };
        // While something waits in the lanes, a worker may hang in front of it.
        let pause = if engine.lanes.waiting() > 0 { pause.min(LOOK_AGAIN) } else { pause };
        let rested = Instant::now() + rest;
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                () = rested_and_woken(rested, &mut wake) => break,
                () = engine.reinforce.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            deliver::reinforce(&engine);
            if wake_what_waits(&engine).await {
                break;
            }
        }
    }
}

/// Makes due all that waits: when it would be due otherwise was said by a clock that was wrong.
async fn retry_all<C: Components>(engine: &Arc<Engine<C>>) {
    engine.forget_failures();
    if let Err(error) = engine.spool.retry_now(Selector::All, engine.now()).await {
        tracing::error!(%error, "what waits is not woken");
    }
}

/// Makes due what waits for destinations that answer again; whether there were any.
async fn wake_what_waits<C: Components>(engine: &Arc<Engine<C>>) -> bool {
    let woken = std::mem::take(&mut *engine.woken.lock().unwrap_or_else(PoisonError::into_inner));
    if woken.is_empty() {
        return false;
    }
    if let Err(error) = engine.spool.retry_now(Selector::Destinations(woken), engine.now()).await {
        tracing::error!(%error, "what waits for destinations that answer again is not woken");
    }
    true
}

/// What a round over the queue came to.
struct Round {
    /// How long nothing more is due.
    pause: Duration,
    /// How long not to look again, whatever changes meanwhile.
    rest: Duration,
}

impl Round {
    /// After a look that brought nothing into the lanes and took so long.
    fn after_look(pause: Duration, took: Duration) -> Self {
        Self { pause, rest: took.saturating_mul(REST_SHARE).min(LOOK_AGAIN) }
    }
}

async fn rested_and_woken(rested: Instant, wake: &mut Wake) {
    tokio::time::sleep_until(rested).await;
    wake.changed().await;
}

/// Leases what is due now, as much as the lanes take.
async fn round<C: Components>(engine: &Arc<Engine<C>>, slow: &mut Option<SlowStart>) -> Result<Round, sealpost_queue::SpoolError> {
    *slow = slow.take().and_then(|mut slow| slow.look(engine.now()).then_some(slow));
    loop {
        let _bringing = engine.bringing.lock().await;
        let room = LEASES.saturating_sub(engine.lanes.waiting());
        if room == 0 {
            return Ok(Round { pause: CROWDED, rest: Duration::ZERO });
        }
        // A destination with more than it can take, or one that does not answer, must not keep what is due for others waiting.
        let now = engine.now();
        let mut left_alone = engine.lanes.left_alone(now);
        left_alone.extend(slow.iter().flat_map(SlowStart::kept_back).cloned());
        let begun = Instant::now();
        let leases = engine.spool.lease_due(now, room.min(BATCH), &left_alone).await?;
        if leases.is_empty() {
            // What is due and was not had waits for a lane, or for the next probe.
            let due = if left_alone.is_empty() { engine.spool.next_due().await? } else { engine.spool.due_after(now).await? };
            let due = due.into_iter().chain(engine.lanes.next_probe(now)).min();
            let pause = due.map_or(LONGEST_PAUSE, |due| due.since(now));
            let longest = match () {
                () if engine.lanes.is_crowded(now) => CROWDED,
                // Where very many are left alone, not all others may have been found yet.
                () if !left_alone.is_empty() => LOOK_AGAIN,
                () => LONGEST_PAUSE,
            };
            return Ok(Round::after_look(pause.clamp(SHORTEST_PAUSE, longest), begun.elapsed()));
        }
        let kept_back = slow.as_ref().map_or(0, SlowStart::count_kept_back);
        let admitted = match slow {
            Some(slow) => slow.admit(leases, now),
            None => leases,
        };
        let taken = deliver::submit(engine, admitted);
        // All of it must be looked at, and nobody can: the next look would find the same.
        if taken == 0 && slow.as_ref().map_or(0, SlowStart::count_kept_back) == kept_back {
            return Ok(Round::after_look(CROWDED, begun.elapsed()));
        }
        if slow.as_ref().is_some_and(SlowStart::is_enough) {
            return Ok(Round { pause: LOOK_AGAIN, rest: Duration::ZERO });
        }
    }
}

/// Leases that may wait in the lanes before no more are brought: a quarter of what fresh mail may fill.
const LEASES: usize = 1000;

/// Leases taken at a time.
const BATCH: usize = 200;

/// While the lanes are full.
const CROWDED: Duration = Duration::from_millis(50);

/// After a look that found nothing, whatever changes makes us look again only when so many times as long has passed, or [`LOOK_AGAIN`]. Every outcome
/// that is recorded may have made something due, and where thousands are recorded in a second while very many wait for a destination that is
/// left alone, looking after each of them would keep a processor busy, and the readers' view of the store so old that its log could not
/// start anew.
const REST_SHARE: u32 = 9;

/// How often workers that hang are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Against a due time that stays in the past because its entry cannot be leased yet.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// Against a clock that jumps: nothing due is missed for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
