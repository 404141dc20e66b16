//! The deliver hop: leases in, attempts out, one lane for each destination.

mod attempt;
mod body;
mod failures;
pub(crate) mod held;
mod notice;
mod outbox;
mod outcome;
mod pump;
mod settle;
mod shadow;
mod sign;
mod slow_start;
mod subject;
mod transfer;

use std::sync::Arc;

use sealpost_queue::{Health, Lease, Spool as _};
use sealpost_report::{Event, EventKind, EventResult};
use sealpost_types::{Destination, Hop};

use self::attempt::Attempt;
use self::settle::Settling;
use crate::engine::{Components, Engine};

pub(crate) use outbox::{drain as drain_outbox, run as keep_outbox_empty};
pub(crate) use outcome::{Party, Trouble, verdict_word};
pub(crate) use pump::run as pump;
pub(crate) use shadow::{Lack, lacking};

/// Puts leases into their lanes, and starts workers where there is more to do than workers at it. How many the lanes took.
pub(crate) fn submit<C: Components>(engine: &Arc<Engine<C>>, leases: Vec<Lease>) -> usize {
    let mut taken = 0_usize;
    for lease in leases {
        let destination = lease.entry().destination.clone();
        // What waits here costs memory; in the queue it does not, and the pump brings it back.
        if engine.lanes.waiting() >= WAITING || engine.lanes.is_full(&destination, engine.now()) {
            lease.release();
            continue;
        }
        taken = taken.saturating_add(1);
        if engine.lanes.push(&destination, lease) {
            start_worker(engine, destination);
        }
    }
    taken
}

/// Starts workers for what has waited behind busy ones for a while.
pub(crate) fn reinforce<C: Components>(engine: &Arc<Engine<C>>) {
    for destination in engine.lanes.reinforce() {
        start_worker(engine, destination);
    }
}

fn start_worker<C: Components>(engine: &Arc<Engine<C>>, destination: Destination) {
    let running = engine.workers.start();
    let engine = Arc::clone(engine);
    // Boxed, because the runtime moves what it is given: as it is made, and over it what came of it.
    tokio::spawn(Box::pin(async move {
        work(&engine, destination).await;
        drop(running);
    }));
}

/// One worker: takes what waits in its lane until nothing does, or until it is told to break off.
async fn work<C: Components>(engine: &Engine<C>, destination: Destination) {
    let mut worker = engine.lanes.worker(destination);
    while let Some(lease) = worker.next() {
        // What becomes of a delivery could not be recorded: it would be made again after the next start.
        if matches!(engine.spool.health(), Health::Poisoned { .. } | Health::Closed) {
            lease.release();
            continue;
        }
        let entry = Arc::clone(lease.entry());
        let attempt = Attempt::new(engine, &lease).await;
        let mut settling = Settling::new(engine, attempt.subject().of(&entry));
        for party in attempt.parties() {
            tokio::select! {
                biased;
                outcomes = attempt.deliver(&party) => settling.add(&party, outcomes),
                // What others of this entry came to is recorded all the same.
                () = engine.workers.told_to_break_off() => break,
            }
        }
        if settling.is_untouched() {
            lease.release();
            continue;
        }
        match attempt.damage().map(str::to_owned) {
            None => settling.finish(lease).await,
            Some(damage) => set_aside(engine, lease, &damage).await,
        }
    }
}

/// Keeps an entry whose stored body is damaged, for an operator to look at; it is not tried again.
async fn set_aside<C: Components>(engine: &Engine<C>, lease: Lease, damage: &str) {
    let id = lease.id();
    let entry = lease.entry();
    let event = Event::new(engine.now(), EventKind::Attempt, Hop::Deliver)
        .of_message(entry.message.to_string(), entry.envelope.reverse_path.clone())
        .with_result(EventResult::Permanent)
        .because(format!("set aside, and not tried again: the stored body is damaged: {damage}"));
    engine.record(event);
    if let Err(error) = engine.spool.set_aside(lease, damage).await {
        tracing::error!(%id, %error, "the damaged entry could not be set aside");
    }
}

/// Leases that may wait in the lanes, over all destinations.
const WAITING: usize = 4000;
