//! What waits is tried at once when something changes that concerns it, and nothing else is.

use std::collections::HashSet;
use std::sync::Arc;

use sealpost_policy::Policy;
use sealpost_queue::{Entry, Filter, Selector, Spool as _, SpoolError, State};
use sealpost_types::{Destination, UnixMillis};

use crate::config::Config;
use crate::engine::{Components, Engine};
use crate::{facts, route};

/// Wakes the destinations of mail of which the policy in force decides otherwise than the one that was asked before.
///
/// Reading a million entries takes its time: of many changes that follow each other, all that come while one is followed are followed together.
pub(crate) async fn after_policy<C: Components>(engine: &Engine<C>) {
    let mut judged = engine.judged.lock().await;
    let after = engine.policy.load_full();
    let before = std::mem::replace(&mut *judged, Arc::clone(&after));
    if Arc::ptr_eq(&before, &after) {
        return;
    }
    let outcome = if before.reads_every_header() || after.reads_every_header() {
        wake_all(engine).await
    } else {
        let (config, now) = (engine.config(), engine.now());
        wake_where(engine, |entry| decides_otherwise(&before, &after, &config, entry, now)).await
    };
    tell(outcome, "the new policy");
}

/// The same for the relay's own file: for what it routes otherwise, or for all where the waits are others.
pub(crate) async fn after_config<C: Components>(engine: &Engine<C>, before: &Config, after: &Config) {
    let outcome = if (&before.queue.retry, &before.queue.retry_tls) == (&after.queue.retry, &after.queue.retry_tls) {
        let policy = engine.policy.load_full();
        wake_where(engine, |entry| {
            let mut recipients = entry.envelope.recipients.iter();
            recipients.any(|to| route::next_hop(&policy, before, &to.path) != route::next_hop(&policy, after, &to.path))
        })
        .await
    } else {
        wake_all(engine).await
    };
    tell(outcome, "the new settings");
}

/// The same for mail that was held under what an earlier policy asked, and no longer is.
pub(crate) async fn after_release<C: Components>(engine: &Engine<C>) {
    let outcome = wake_where(engine, |entry| entry.deferrals.iter().flatten().any(|deferral| deferral.hold.is_some())).await;
    tell(outcome, "the release");
}

/// Whether another policy may decide otherwise of a recipient of this entry, or sends it elsewhere. What a rule makes of a header section is not
/// known without reading it: where one would look, it may.
pub(crate) fn decides_otherwise(before: &Policy, after: &Policy, config: &Config, entry: &Entry, now: UnixMillis) -> bool {
    let envelope = &entry.envelope;
    envelope.recipients.iter().any(|recipient| {
        let facts = facts::of_delivery(&envelope.reverse_path, &recipient.path, &entry.reception, envelope.require_tls, None, now);
        before.decide_deliver(&facts) != after.decide_deliver(&facts)
            || before.hangs_on_header(&facts)
            || after.hangs_on_header(&facts)
            || route::next_hop(before, config, &recipient.path) != route::next_hop(after, config, &recipient.path)
    })
}

async fn wake_all<C: Components>(engine: &Engine<C>) -> Result<u64, SpoolError> {
    engine.lanes.forget_silences();
    engine.spool.retry_now(Selector::All, engine.now()).await
}

/// Every entry that waits is read until one of its destination is concerned; none is written.
async fn wake_where<C: Components>(engine: &Engine<C>, is_concerned: impl Fn(&Entry) -> bool) -> Result<u64, SpoolError> {
    let (mut page, mut known, mut woken) = (Filter::all().state(State::Deferred), HashSet::new(), 0);
    loop {
        let listed = engine.spool.list(page.clone(), PAGE).await?;
        let Some(last) = listed.last() else { return Ok(woken) };
        page = page.after(last.id);
        let mut concerned: Vec<Destination> = Vec::new();
        for listed in &listed {
            if !known.contains(&listed.destination) && listed.entry.as_deref().is_some_and(&is_concerned) {
                known.insert(listed.destination.clone());
                concerned.push(listed.destination.clone());
            }
        }
        if !concerned.is_empty() {
            concerned.iter().for_each(|destination| engine.lanes.forget_silence(destination));
            woken += engine.spool.retry_now(Selector::Destinations(concerned), engine.now()).await?;
            engine.reinforce.notify_one();
        }
    }
}

fn tell(outcome: Result<u64, SpoolError>, by: &str) {
    match outcome {
        Ok(woken) => tracing::debug!(woken, "what waits and is concerned by {by} is tried"),
        Err(error) => tracing::error!(%error, "what waits is not woken by {by}"),
    }
}

/// Entries that are read at a time.
const PAGE: usize = 500;
