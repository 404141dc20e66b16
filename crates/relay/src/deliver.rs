//! The deliver hop: leases in, attempts out, one lane for each destination.

mod attempt;
mod body;
mod notice;
mod outbox;
mod outcome;
mod pump;
mod settle;
mod tell;

use std::sync::Arc;

use sealpost_queue::{Lease, Spool as _};
use sealpost_types::Destination;

use self::attempt::Attempt;
use self::settle::Settling;
use crate::engine::{Components, Engine};

pub(crate) use outbox::{drain as drain_outbox, run as keep_outbox_empty};
pub(crate) use pump::run as pump;

/// Puts leases into their lanes, and starts workers where there is more to do than workers at it.
pub(crate) fn submit<C: Components>(engine: &Arc<Engine<C>>, leases: Vec<Lease>) {
    for lease in leases {
        // What waits here costs memory; in the queue it does not, and the pump brings it back.
        if engine.lanes.waiting() >= WAITING {
            lease.release();
            continue;
        }
        let destination = lease.entry().destination.clone();
        if engine.lanes.push(&destination, lease) {
            let running = engine.workers.start();
            let engine = Arc::clone(engine);
            tokio::spawn(async move {
                work(&engine, destination).await;
                drop(running);
            });
        }
    }
}

/// Keeps an entry whose stored body is damaged, for an operator to look at; it is not tried again.
async fn set_aside<C: Components>(engine: &Engine<C>, lease: Lease, damage: &str) {
    let id = lease.id();
    tracing::error!(%id, damage, "an entry is set aside: its stored body is damaged");
    if let Err(error) = engine.spool.set_aside(lease, damage).await {
        tracing::error!(%id, %error, "the damaged entry could not be set aside");
    }
}

/// One worker: takes what waits in its lane until nothing does, or until it is told to break off.
async fn work<C: Components>(engine: &Engine<C>, destination: Destination) {
    let mut worker = engine.lanes.worker(destination);
    while let Some(lease) = worker.next() {
        let entry = Arc::clone(lease.entry());
        let mut settling = Settling::new(engine, &entry);
        let attempt = Attempt::new(engine, &lease);
        for party in attempt.parties() {
            tokio::select! {
                biased;
                outcomes = attempt.deliver(&party) => settling.add(&party, outcomes),
                // What others of this entry came to is recorded all the same.
                () = engine.workers.told_to_break_off() => break,
            }
        }
        if settling.is_untouched() {
            return lease.release();
        }
        match attempt.damage().map(str::to_owned) {
            None => settling.finish(lease).await,
            Some(damage) => set_aside(engine, lease, &damage).await,
        }
    }
}

/// Leases that may wait in the lanes, over all destinations.
const WAITING: usize = 4000;
