//! What is asked and answered, as JSON.

use std::collections::BTreeMap;

use sealpost_policy::{Edit, NewRow};
use sealpost_relay::policy_file::{ChangeOptions, PolicyChange, RowChange};
use sealpost_relay::{CertificateOutcome, CertificateReload, RelayStats, RelayStatus, Reload};
use sealpost_types::WithCauses;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A relay at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The relay's name.
    pub hostname: String,
    /// Seconds since its start.
    pub uptime: u64,
    /// The policy's file; null for the built-in policy.
    pub policy_file: Option<String>,
    /// How often the policy was replaced since the start.
    pub policy_generation: u64,
    /// Entries in the policy, those of included lists among them.
    pub policy_entries: usize,
    /// What it did since its start.
    pub counts: Counts,
    /// What is queued.
    pub queue: Queued,
}

/// What a relay did since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Counts {
    /// Messages accepted.
    pub accepted: u64,
    /// Senders and recipients refused by policy or by right.
    pub refused: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Recipients deferred, each time counted.
    pub deferred: u64,
    /// Recipients given up with a notification or without a sender to notify.
    pub bounced: u64,
    /// Recipients deleted because of the TLS policy.
    pub deleted: u64,
    /// Recipients held because of it, each time counted.
    pub held: u64,
    /// Hosts where TLS could not be had as demanded.
    pub tls_failures: u64,
}

/// What is queued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Queued {
    /// Messages whose first attempt is under way, each counted once for each destination.
    pub fresh: u64,
    /// Messages that wait for a further attempt.
    pub deferred: u64,
    /// Those of them that are due.
    #[serde(default)]
    pub due: u64,
    /// Messages that are held until somebody lets them go.
    pub held: u64,
    /// Messages that were set aside as damaged.
    pub damaged: u64,
    /// Octets of them all.
    pub octets: u64,
    /// When the oldest came in: milliseconds since 1970.
    pub oldest: Option<i64>,
}

/// How a policy is read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ReloadRequest {
    /// Say what would change, and change nothing.
    pub dry_run: bool,
    /// Also if more than 5 % of the entries, a whole included list, or all entries of a list would go.
    pub force: bool,
    /// Mail that was deferred for TLS is let go, where the policy asks for less now.
    pub apply_to_queue: bool,
}

/// How the policy is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EditRequest {
    /// Edits, made one after the other, all of them or none:
    /// `{"kind": "add_partner", "entry": {"name": "Bank", "domains": ["bank.example"], "receive": "require"}}`,
    /// `{"kind": "set_partner", "at": "Bank", "patch": {"deliver": {"level": "verify"}, "until": null}}`,
    /// `{"kind": "remove_partner", "at": "Bank"}`, and the same with `domain`, `owner`, `list` and `rule`;
    /// `add_domains` and `remove_domains` of a `partner`, `add_entries` and `remove_entries` of a `list`; `move_rule`
    /// `to` `"last"`, `{"position": 1}`, `{"before": "..."}` or `{"after": "..."}`; `set_defaults`.
    #[schema(value_type = Vec<Object>)]
    pub edits: Vec<Edit>,
    /// Say what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Also if more than 5 % of the entries, a whole included list, or all entries of a list would go.
    #[serde(default)]
    pub force: bool,
    /// Mail that was deferred for TLS is let go, where the policy asks for less now.
    #[serde(default)]
    pub apply_to_queue: bool,
}

/// How rows of an included list are changed: `add`, `set` or `remove`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RowRequest {
    /// What the policy calls the list: `file` of its `[[include]]`.
    pub list: String,
    /// A row that comes, behind all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<Row>,
    /// Rows that say something else from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<RowCells>,
    /// A domain pattern, or a name, whose rows go: they become comments, so that all others keep their lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<String>,
    /// Say what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Also if more than 5 % of the entries, or all rows of the list, would go.
    #[serde(default)]
    pub force: bool,
    /// Mail that was deferred for TLS is let go, where the policy asks for less now.
    #[serde(default)]
    pub apply_to_queue: bool,
}

/// A row of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Row {
    /// As it is to be written: `bank.example,verify`.
    Text(String),
    /// By the columns of the list: `{"domain": "bank.example", "deliver": "verify"}`.
    Cells(BTreeMap<String, String>),
}

/// What rows say from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RowCells {
    /// The domain pattern, or the name, of the rows.
    pub at: String,
    /// What changes, by the columns of the list: `{"deliver": "verify", "until": ""}`; an empty cell leaves it to the list.
    pub cells: BTreeMap<String, String>,
}

/// What a change of the policy came to, or would come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Change {
    /// Whether the policy differs from the one that was in force.
    pub changed: bool,
    /// Entries before.
    pub entries_before: usize,
    /// Entries after.
    pub entries_after: usize,
    /// Which entries came, went and differ: `1 added: partner bank.example; 1 changed: rule "First"`. The first ten of each are named.
    #[serde(default)]
    pub summary: String,
    /// How many entries went.
    #[serde(default)]
    pub removed: usize,
    /// How many say something else than before.
    #[serde(default)]
    pub differing: usize,
    /// The difference of the texts, line by line; of a dry run only.
    pub diff: String,
    /// Keys of `sealpost.toml` that were changed; of a reload only.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
    /// The relay's own certificates that are shown from now on; of a reload only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// Those that cannot be used, and why: those of before are still shown; of a reload only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Where rows of the same domain stand already as the one that comes, as `partners.csv:7`: all of them hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

/// Keys of `sealpost.toml` that were changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Settings {
    /// In force from now on.
    pub now: Vec<String>,
    /// In force from the next start on.
    pub restart: Vec<String>,
}

impl Settings {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.now.is_empty() && self.restart.is_empty()
    }
}

/// The policy in force, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct PolicyText {
    /// Its file.
    pub file: String,
    /// What the file said when it came into force.
    pub text: String,
}

impl Status {
    pub(crate) fn of(status: &RelayStatus) -> Self {
        let queue = &status.queue;
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: status.hostname.to_string(),
            uptime: status.now.since(status.started).as_secs(),
            policy_file: status.policy_file.as_ref().map(|path| path.display().to_string()),
            policy_generation: status.policy_generation,
            policy_entries: status.policy_entries,
            counts: Counts::of(&status.stats),
            queue: Queued::of(queue, status.due),
        }
    }
}

impl Queued {
    /// Of a queue in numbers, of whose deferred entries so many are due.
    #[must_use]
    pub fn of(queue: &sealpost_queue::Stats, due: u64) -> Self {
        Self {
            fresh: queue.fresh,
            deferred: queue.deferred,
            due,
            held: queue.held,
            damaged: queue.damaged,
            octets: queue.size.0,
            oldest: queue.oldest.map(|at| at.0),
        }
    }
}

impl Counts {
    fn of(stats: &RelayStats) -> Self {
        Self {
            accepted: stats.accepted,
            refused: stats.refused,
            delivered: stats.delivered,
            deferred: stats.deferred,
            bounced: stats.bounced,
            deleted: stats.deleted,
            held: stats.held,
            tls_failures: stats.tls_failures,
        }
    }
}

impl EditRequest {
    /// These edits, made so carefully.
    #[must_use]
    pub fn new(edits: Vec<Edit>, options: ChangeOptions) -> Self {
        let ChangeOptions { dry_run, force, apply_to_queue, .. } = options;
        Self { edits, dry_run, force, apply_to_queue }
    }

    pub(crate) fn options(&self) -> ChangeOptions {
        ReloadRequest { dry_run: self.dry_run, force: self.force, apply_to_queue: self.apply_to_queue }.into()
    }
}

impl RowRequest {
    /// This change of a list, made so carefully.
    #[must_use]
    pub fn new(list: String, change: RowChange, options: ChangeOptions) -> Self {
        let ChangeOptions { dry_run, force, apply_to_queue, .. } = options;
        let mut request = Self { list, dry_run, force, apply_to_queue, ..Self::default() };
        match change {
            RowChange::Add(NewRow::Text(text)) => request.add = Some(Row::Text(text)),
            RowChange::Add(NewRow::Cells(cells)) => request.add = Some(Row::Cells(cells)),
            RowChange::Remove(at) => request.remove = Some(at),
            RowChange::Set { at, cells } => request.set = Some(RowCells { at, cells }),
            _ => {}
        }
        request
    }

    pub(crate) fn options(&self) -> ChangeOptions {
        ReloadRequest { dry_run: self.dry_run, force: self.force, apply_to_queue: self.apply_to_queue }.into()
    }

    /// The list and its change; nothing unless one change is named.
    pub(crate) fn into_change(self) -> Option<(String, RowChange)> {
        let change = match (self.add, self.set, self.remove) {
            (Some(Row::Text(text)), None, None) => RowChange::Add(NewRow::Text(text)),
            (Some(Row::Cells(cells)), None, None) => RowChange::Add(NewRow::Cells(cells)),
            (None, Some(RowCells { at, cells }), None) => RowChange::Set { at, cells },
            (None, None, Some(at)) => RowChange::Remove(at),
            _ => return None,
        };
        Some((self.list, change))
    }
}

impl From<ReloadRequest> for ChangeOptions {
    fn from(request: ReloadRequest) -> Self {
        let mut options = Self::default();
        options.dry_run = request.dry_run;
        options.force = request.force;
        options.apply_to_queue = request.apply_to_queue;
        options
    }
}

impl From<ChangeOptions> for ReloadRequest {
    fn from(options: ChangeOptions) -> Self {
        Self { dry_run: options.dry_run, force: options.force, apply_to_queue: options.apply_to_queue }
    }
}

impl From<PolicyChange> for Change {
    fn from(change: PolicyChange) -> Self {
        let PolicyChange { changed, entries_before, entries_after, differences, diff, also, .. } = change;
        let summary = differences.to_string();
        let (removed, differing) = (differences.removed.count, differences.changed.count);
        let also = also.iter().map(ToString::to_string).collect();
        let (settings, certificates, refused) = (Settings::default(), Vec::new(), Vec::new());
        Self { changed, entries_before, entries_after, summary, removed, differing, diff, settings, certificates, refused, also }
    }
}

impl Change {
    /// Of a relay whose policy, with so many entries, is in no file the rest is told.
    pub(crate) fn of_reload(reload: Reload, entries: usize) -> Self {
        let Reload { policy, config, certificates, .. } = reload;
        let unchanged = || Self {
            changed: false,
            entries_before: entries,
            entries_after: entries,
            summary: "the policy is the built-in one".to_owned(),
            removed: 0,
            differing: 0,
            diff: String::new(),
            settings: Settings::default(),
            certificates: Vec::new(),
            refused: Vec::new(),
            also: Vec::new(),
        };
        let settings = Settings { now: config.now, restart: config.restart };
        let (mut renewed, mut refused) = (Vec::new(), Vec::new());
        for CertificateReload { certificate, outcome, .. } in certificates {
            let file = certificate.display();
            match outcome {
                CertificateOutcome::Renewed { .. } => renewed.push(format!("{file}: a new certificate is shown")),
                CertificateOutcome::Refused(error) => {
                    refused.push(format!("{file}: the certificate of before is still shown: {}", WithCauses(&error)));
                }
                _ => {}
            }
        }
        Self { settings, certificates: renewed, refused, ..policy.map_or_else(unchanged, Self::from) }
    }
}
