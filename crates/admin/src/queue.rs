//! The queue as it is asked for and answered: entries, their state, and what is done to them.

use sealpost_queue::{Deferral, Filter, Listed, QueueId, State};
use sealpost_relay::{Outlook, QueueAction, QueueOutcome, QueueSelection};
use sealpost_types::{Destination, UnixMillis};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where an entry of the queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum QueueState {
    /// The first attempt is under way.
    Fresh,
    /// It waits until it is due.
    Deferred,
    /// It is not tried before somebody lets it go.
    Held,
    /// What is stored is not what was accepted. It is kept and never tried.
    Damaged,
}

/// Which entries of the queue are meant. What is left out selects nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct QueueFilter {
    /// Those that stand so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<QueueState>,
    /// Those that go there: `mx:bank.example`, or `mail.acme.example:25` for a route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Those from this address; empty for notifications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Those with these words in the reason that they wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Those that came in before: milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
}

/// A page of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct QueuePage {
    /// The entries, oldest first.
    pub entries: Vec<QueueEntry>,
    /// What to give as `after` for the next page; null where there is none.
    pub next: Option<String>,
}

/// A queued message as far as one destination is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct QueueEntry {
    /// Its id.
    pub id: String,
    /// The id of the message: the one in the log, in the history and in the answer to the client.
    pub message: String,
    /// Where it stands.
    pub state: QueueState,
    /// Whether it is being tried.
    pub under_way: bool,
    /// Where it goes.
    pub destination: String,
    /// When it is tried next: milliseconds since 1970.
    pub due: Option<i64>,
    /// Why it waits, or how it is damaged.
    pub reason: Option<String>,
    /// From whom; empty for a notification, null if it cannot be read.
    pub sender: Option<String>,
    /// For whom, those that are still to be served.
    pub recipients: Vec<QueueRecipient>,
    /// When it came in: milliseconds since 1970.
    pub received: Option<i64>,
    /// When it expires by the policy of then: milliseconds since 1970. Each attempt decides anew.
    pub expires: Option<i64>,
    /// Attempts so far.
    pub attempts: u32,
    /// Octets of the body.
    pub octets: u64,
}

/// A recipient that is still to be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct QueueRecipient {
    /// The address.
    pub address: String,
    /// When it is tried next: milliseconds since 1970. Null before the first attempt, and for one that is held.
    pub due: Option<i64>,
    /// Why it waits.
    pub reason: Option<String>,
    /// How often a host was asked for it.
    pub attempts: u32,
    /// Whether it is not tried before somebody lets it go.
    pub held: bool,
    /// Whether TLS failed at the last attempt.
    pub tls_failed: bool,
}

/// An entry of the queue, and what would hold if it were tried now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct QueueShown {
    /// The entry.
    pub entry: QueueEntry,
    /// What would hold for each recipient.
    pub outlook: Vec<QueueOutlook>,
}

/// What would hold for one recipient if it were tried now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct QueueOutlook {
    /// The recipient.
    pub recipient: String,
    /// Where its mail goes.
    pub next_hop: String,
    /// What the policy asks and why, as `sealpost explain` prints it.
    pub text: String,
    /// The same for programs.
    #[schema(value_type = Object)]
    pub trace: serde_json::Value,
    /// What an earlier policy asks beyond it, because the mail was deferred for TLS then.
    pub held: Option<String>,
}

/// What is done to entries of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum QueueVerb {
    /// They are tried at once.
    Retry,
    /// They are not tried before they are let go.
    Hold,
    /// They are let go, and tried at once.
    Release,
    /// They are removed. Nobody is notified; the history says so.
    Delete,
}

/// What is done to which entries: one of `all`, `ids` and `matching`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct QueueRequest {
    /// What is done.
    pub action: QueueVerb,
    /// All that there are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// These entries, and all entries of these messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// All that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching: Option<QueueFilter>,
}

/// What came of it; each entry counts, which is a message as far as one destination is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct QueueResult {
    /// So many are as they should be now.
    pub done: u64,
    /// So many are being tried, and were left alone.
    pub under_way: u64,
    /// So many were selected and do not stand so.
    pub unfit: u64,
    /// Ids of which there is nothing in the queue.
    pub missing: Vec<String>,
}

/// A text that is no queue id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no queue id; one such as {EXAMPLE} is meant")]
#[non_exhaustive]
pub struct BadQueueId {
    /// The text.
    pub found: String,
}

impl QueueFilter {
    /// As the queue takes it.
    #[must_use]
    pub fn to_filter(&self) -> Filter {
        let mut filter = Filter::all();
        filter.state = self.state.map(QueueState::state);
        filter.destination = self.destination.as_deref().map(Destination::new);
        filter.sender.clone_from(&self.sender);
        filter.reason.clone_from(&self.reason);
        filter.before = self.before.map(UnixMillis);
        filter
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl QueueState {
    fn of(state: State) -> Self {
        match state {
            State::Fresh => Self::Fresh,
            State::Deferred => Self::Deferred,
            State::Held => Self::Held,
            _ => Self::Damaged,
        }
    }

    fn state(self) -> State {
        match self {
            Self::Fresh => State::Fresh,
            Self::Deferred => State::Deferred,
            Self::Held => State::Held,
            Self::Damaged => State::Damaged,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Deferred => "deferred",
            Self::Held => "held",
            Self::Damaged => "damaged",
        }
    }
}

impl QueuePage {
    /// Of a list that was asked for with `limit`.
    #[must_use]
    pub fn of(listed: &[Listed], limit: usize) -> Self {
        let next = listed.last().filter(|_| listed.len() >= limit).map(|last| last.id.to_string());
        Self { entries: listed.iter().map(QueueEntry::of).collect(), next }
    }
}

impl QueueEntry {
    /// Of an entry as the queue lists it.
    #[must_use]
    pub fn of(listed: &Listed) -> Self {
        let entry = listed.entry.as_deref();
        let recipients = entry.map_or_else(Vec::new, |entry| {
            let both = entry.envelope.recipients.iter().zip(&entry.deferrals);
            both.map(|(recipient, deferral)| QueueRecipient::of(recipient.path.to_string(), deferral.as_ref())).collect()
        });
        Self {
            id: listed.id.to_string(),
            message: entry.map_or(listed.id, |entry| entry.message).to_string(),
            state: QueueState::of(listed.state),
            under_way: listed.leased,
            destination: listed.destination.to_string(),
            due: listed.due.map(|at| at.0),
            reason: listed.reason.clone(),
            sender: entry.map(|entry| entry.envelope.reverse_path.to_string()),
            recipients,
            received: entry.map(|entry| entry.reception.at.0),
            expires: entry.map(|entry| entry.expires.0),
            attempts: entry.map_or(0, |entry| entry.attempts),
            octets: entry.map_or(0, |entry| entry.size.0),
        }
    }
}

impl QueueRecipient {
    fn of(address: String, deferral: Option<&Deferral>) -> Self {
        Self {
            address,
            due: deferral.filter(|deferral| !deferral.until_released).map(|deferral| deferral.due.0),
            reason: deferral.map(|deferral| deferral.reason.clone()),
            attempts: deferral.map_or(0, |deferral| deferral.attempts),
            held: deferral.is_some_and(|deferral| deferral.until_released),
            tls_failed: deferral.is_some_and(|deferral| deferral.tls_failure),
        }
    }
}

impl QueueShown {
    /// Of an entry as the queue lists it.
    #[must_use]
    pub fn of(listed: &Listed, outlook: &[Outlook]) -> Self {
        Self { entry: QueueEntry::of(listed), outlook: outlook.iter().map(QueueOutlook::of).collect() }
    }
}

impl QueueOutlook {
    fn of(outlook: &Outlook) -> Self {
        Self {
            recipient: outlook.recipient.to_string(),
            next_hop: outlook.next_hop.to_string(),
            text: outlook.trace.to_string(),
            trace: serde_json::to_value(&outlook.trace).unwrap_or_default(),
            held: outlook.held.clone(),
        }
    }
}

impl QueueRequest {
    /// This, done to all entries.
    #[must_use]
    pub fn all(action: QueueVerb) -> Self {
        Self { action, all: true, ids: None, matching: None }
    }

    /// This, done to these entries and messages.
    #[must_use]
    pub fn ids(action: QueueVerb, ids: Vec<String>) -> Self {
        Self { action, all: false, ids: Some(ids), matching: None }
    }

    /// This, done to all entries that match.
    #[must_use]
    pub fn matching(action: QueueVerb, filter: QueueFilter) -> Self {
        Self { action, all: false, ids: None, matching: Some(filter) }
    }

    /// Which entries; nothing unless one way to name them is taken.
    ///
    /// # Errors
    /// [`BadQueueId`].
    pub fn selection(&self) -> Result<Option<QueueSelection>, BadQueueId> {
        Ok(match (self.all, &self.ids, &self.matching) {
            (true, None, None) => Some(QueueSelection::All),
            (false, Some(ids), None) => Some(QueueSelection::Ids(ids.iter().map(|id| queue_id(id)).collect::<Result<_, _>>()?)),
            // A filter that selects everything may be a slip.
            (false, None, Some(filter)) if !filter.is_empty() => Some(QueueSelection::Matching(filter.to_filter())),
            _ => None,
        })
    }
}

impl From<QueueVerb> for QueueAction {
    fn from(verb: QueueVerb) -> Self {
        match verb {
            QueueVerb::Retry => Self::Retry,
            QueueVerb::Hold => Self::Hold,
            QueueVerb::Release => Self::Release,
            QueueVerb::Delete => Self::Delete,
        }
    }
}

impl From<QueueOutcome> for QueueResult {
    fn from(outcome: QueueOutcome) -> Self {
        let QueueOutcome { done, under_way, unfit, missing, .. } = outcome;
        Self { done, under_way, unfit, missing: missing.iter().map(ToString::to_string).collect() }
    }
}

/// The id that a text is.
///
/// # Errors
/// [`BadQueueId`].
pub fn queue_id(text: &str) -> Result<QueueId, BadQueueId> {
    text.parse().map_err(|_| BadQueueId { found: text.to_owned() })
}

/// How an id looks.
const EXAMPLE: &str = "1M80YCQS80000";
