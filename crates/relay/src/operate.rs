//! What an operator does to the queue: that of a running relay, or one that no relay runs.

use sealpost_policy::{Policy, Trace};
use sealpost_queue::{Change, Changed, Filter, Listed, QueueId, Selector, Spool, SpoolError};
use sealpost_report::{Event, EventKind};
use sealpost_types::{Destination, ForwardPath, Hop, NextHop, UnixMillis};

use crate::config::Config;
use crate::deliver::held;
use crate::{facts, route};

/// What is done to queued mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueAction {
    /// It is tried at once.
    Retry,
    /// It is not tried before it is let go.
    Hold,
    /// It is let go, and tried at once.
    Release,
    /// It is removed. Nobody is notified; the history says so.
    Delete,
}

/// To which mail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueSelection {
    /// All that there is.
    All,
    /// These entries, and all entries of these messages.
    Ids(Vec<QueueId>),
    /// All that matches.
    Matching(Filter),
}

/// What came of it. Each entry counts, which is a message as far as one destination is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOutcome {
    /// So many are as they should be now.
    pub done: u64,
    /// So many are being tried, and were left alone.
    pub under_way: u64,
    /// So many were selected and do not stand so: held ones are not held once more, damaged ones not tried.
    pub unfit: u64,
    /// Ids of which there is nothing in the queue.
    pub missing: Vec<QueueId>,
}

/// What would hold for one recipient of a queued message if it were tried now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outlook {
    /// The recipient.
    pub recipient: ForwardPath,
    /// Where its mail goes.
    pub next_hop: NextHop,
    /// What the policy in force asks, and why.
    pub trace: Trace,
    /// What an earlier policy asks beyond it, because the mail was deferred for TLS then.
    pub held: Option<String>,
}

/// Does this to entries of the queue; those that somebody tries are left alone. In steps of some hundred: if one fails, those
/// before it are done.
///
/// # Errors
/// [`SpoolError`]: the queue cannot be read or written.
pub async fn change_queue<S: Spool>(
    spool: &S,
    selection: &QueueSelection,
    action: QueueAction,
    now: UnixMillis,
) -> Result<QueueOutcome, SpoolError> {
    let mut outcome = QueueOutcome::default();
    if let (QueueAction::Retry, Some(destination)) = (action, one_destination(selection)) {
        outcome.done = spool.retry_now(Selector::Destinations(vec![destination.clone()]), now).await?;
        return Ok(outcome);
    }
    match selection {
        // Where all are woken, their rows need not be read.
        QueueSelection::All if action == QueueAction::Retry => outcome.done = spool.retry_now(Selector::All, now).await?,
        QueueSelection::All => drop(change_matching(spool, &Filter::all(), action, now, &mut outcome).await?),
        QueueSelection::Matching(filter) => drop(change_matching(spool, filter, action, now, &mut outcome).await?),
        QueueSelection::Ids(ids) => {
            for id in ids {
                if change_matching(spool, &Filter::all().message(*id), action, now, &mut outcome).await? == 0 {
                    outcome.missing.push(*id);
                }
            }
        }
    }
    Ok(outcome)
}

/// The destination, if all mail for it is selected and no other.
pub(crate) fn one_destination(selection: &QueueSelection) -> Option<&Destination> {
    let QueueSelection::Matching(filter) = selection else { return None };
    let destination = filter.destination.as_ref()?;
    (*filter == Filter::all().destination(destination.clone())).then_some(destination)
}

/// Page by page; how many matched.
async fn change_matching<S: Spool>(
    spool: &S,
    filter: &Filter,
    action: QueueAction,
    now: UnixMillis,
    outcome: &mut QueueOutcome,
) -> Result<u64, SpoolError> {
    let (mut page, mut matched) = (filter.clone(), 0);
    loop {
        let listed = spool.list(page.clone(), PAGE).await?;
        let Some(last) = listed.last() else { return Ok(matched) };
        page = page.after(last.id);
        matched += listed.len() as u64;
        let changes = listed.iter().map(|listed| (listed.id, change(listed, action, now))).collect();
        for changed in spool.change(changes).await? {
            match changed {
                Changed::Done => outcome.done += 1,
                Changed::Leased => outcome.under_way += 1,
                // It came to an end since the page was read.
                Changed::Missing => {}
                _ => outcome.unfit += 1,
            }
        }
    }
}

fn change(listed: &Listed, action: QueueAction, now: UnixMillis) -> Change {
    match action {
        QueueAction::Retry => Change::Retry { now },
        QueueAction::Hold => Change::Hold { outbox: events(listed, EventKind::Held, now) },
        QueueAction::Release => Change::Release { now, outbox: events(listed, EventKind::Released, now) },
        QueueAction::Delete => Change::Delete { outbox: events(listed, EventKind::Removed, now) },
    }
}

/// What the history is told, for each recipient.
fn events(listed: &Listed, kind: EventKind, now: UnixMillis) -> Vec<Vec<u8>> {
    let event = Event::new(now, kind, Hop::Deliver).because(BY_OPERATOR);
    let Some(entry) = &listed.entry else {
        let mut event = event;
        event.queue_id = Some(listed.id.to_string());
        return vec![event.to_bytes()];
    };
    let about = |path: &ForwardPath| {
        let mut event =
            event.clone().of_message(entry.message.to_string(), entry.envelope.reverse_path.clone()).for_recipient(path.clone());
        event.size = Some(entry.size);
        event.next_hop = Some(entry.destination.to_string());
        event.attempts = Some(entry.attempts);
        event.received_secure = Some(entry.reception.is_secure());
        event.to_bytes()
    };
    entry.envelope.recipients.iter().map(|recipient| about(&recipient.path)).collect()
}

/// What would hold for each recipient of a queued message if it were tried now; `releases` as [`Spool::releases`] says, none where it
/// is not known. Rules that look at the header section are not asked: the trace says so.
#[must_use]
pub fn outlook(policy: &Policy, config: &Config, listed: &Listed, releases: Option<u64>, now: UnixMillis) -> Vec<Outlook> {
    let Some(entry) = &listed.entry else { return Vec::new() };
    let one = |(index, recipient): (usize, &sealpost_types::Recipient)| {
        let envelope = &entry.envelope;
        let facts = facts::of_delivery(&envelope.reverse_path, &recipient.path, &entry.reception, envelope.require_tls, None, now);
        let (mut decision, trace) = policy.explain_deliver(&facts);
        let before = entry.deferrals.get(index).and_then(Option::as_ref);
        let releases = releases.or_else(|| Some(before?.hold.as_ref()?.releases)).unwrap_or(0);
        let held = held::raise(&mut decision, before, releases).map(|held| held.to_string());
        Outlook { recipient: recipient.path.clone(), next_hop: route::next_hop(policy, config, &recipient.path), trace, held }
    };
    entry.envelope.recipients.iter().enumerate().map(one).collect()
}

/// Entries that are changed in one step.
const PAGE: usize = 500;

/// The reason in the history.
const BY_OPERATOR: &str = "an operator said so";
