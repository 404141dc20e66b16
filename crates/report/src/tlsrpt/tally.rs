//! What was seen of sessions, added up in memory until it is written.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sealpost_types::{Domain, TlsFailureType, UnixMillis};
use serde::{Deserialize, Serialize};

use super::report::{FailureDetails, ReportedPolicy, ResultType};
use crate::time::{civil_day, of_civil_day};

/// A day in UTC: how many lie between it and 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(i64);

/// What became of one session, or of what comes before one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observation {
    /// When.
    pub at: UnixMillis,
    /// Whose mail it was for: who is told of it, if it wants to hear.
    pub domain: Domain,
    /// Whom else it concerns: the name that the host's TLSA records stand under (RFC 8460 section 1.1).
    pub base: Option<Domain>,
    /// The policy that held.
    pub policy: ReportedPolicy,
    /// What was wrong; nothing where TLS came about as the policy asks.
    pub failure: Option<Failure>,
}

/// What was wrong with a session, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The kind.
    #[serde(rename = "t")]
    pub result: ResultType,
    /// A word that says more.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The address of this side.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub sending_ip: Option<IpAddr>,
    /// The name of the host.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What the host calls itself.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// The address of the host.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<IpAddr>,
}

/// What was seen since it was last written, each different thing once with how often.
///
/// # Limits
/// [`TALLY_ROWS`] different things; more are counted in [`dropped`](Self::dropped).
#[derive(Debug, Default)]
pub struct Tally {
    rows: HashMap<Row, u64>,
    dropped: u64,
}

/// Who is told what: a day, a domain, a policy, and a failure or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) day: Day,
    pub(super) domain: Domain,
    pub(super) policy: ReportedPolicy,
    pub(super) failure: Option<Failure>,
}

impl Day {
    /// The day of a moment.
    #[must_use]
    pub fn of(at: UnixMillis) -> Self {
        Self(at.0.div_euclid(MILLIS))
    }

    /// Its first moment.
    #[must_use]
    pub fn start(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(MILLIS))
    }

    /// Its last second: what a report calls its end.
    #[must_use]
    pub fn last_second(self) -> UnixMillis {
        UnixMillis(self.next().start().0 - 1000)
    }

    /// The day after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The day so many before it.
    #[must_use]
    pub fn before(self, days: u16) -> Self {
        Self(self.0.saturating_sub(i64::from(days)))
    }

    pub(super) fn number(self) -> i64 {
        self.0
    }

    pub(super) fn numbered(number: i64) -> Self {
        Self(number)
    }
}

/// As `2026-11-26`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&civil_day(self.start()))
    }
}

impl FromStr for Day {
    type Err = crate::TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        of_civil_day(text).map(Self::of).ok_or_else(|| crate::TimeError { found: text.to_owned() })
    }
}

impl Observation {
    /// What is known of every session.
    #[must_use]
    pub fn new(at: UnixMillis, domain: Domain, policy: ReportedPolicy, failure: Option<Failure>) -> Self {
        Self { at, domain, base: None, policy, failure }
    }

    /// The same, which concerns the owner of TLSA records too.
    #[must_use]
    pub fn concerning(mut self, base: Domain) -> Self {
        self.base = Some(base);
        self
    }
}

impl Failure {
    /// A failure of which nothing but its kind is known.
    #[must_use]
    pub fn new(result: TlsFailureType) -> Self {
        Self { result: ResultType::Known(result), code: None, sending_ip: None, host: None, helo: None, receiving_ip: None }
    }

    /// The same with a word that says more.
    #[must_use]
    pub fn because(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The kind alone.
    pub(super) fn coarse(&self) -> Self {
        Self { result: self.result.clone(), code: None, sending_ip: None, host: None, helo: None, receiving_ip: None }
    }

    /// So many of it, as a report says it.
    #[must_use]
    pub fn counted(self, count: u64) -> FailureDetails {
        let mut details = FailureDetails::new(self.result, count);
        details.sending_mta_ip = self.sending_ip.map(|address| address.to_string());
        details.receiving_mx_hostname = self.host;
        details.receiving_mx_helo = self.helo;
        details.receiving_ip = self.receiving_ip.map(|address| address.to_string());
        details.failure_reason_code = self.code;
        details
    }
}

impl Tally {
    /// Takes in what was seen, once for each whom it concerns.
    pub fn add(&mut self, seen: Observation) {
        let Observation { at, domain, base, policy, failure } = seen;
        let day = Day::of(at);
        if let Some(base) = base.filter(|base| *base != domain) {
            self.count(Row { day, domain: base, policy: policy.clone(), failure: failure.clone() });
        }
        self.count(Row { day, domain, policy, failure });
    }

    fn count(&mut self, row: Row) {
        if let Some(count) = self.rows.get_mut(&row) {
            *count = count.saturating_add(1);
        } else if self.rows.len() < TALLY_ROWS {
            self.rows.insert(row, 1);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The domains that are told of something.
    #[must_use]
    pub fn domains(&self) -> Vec<Domain> {
        let mut domains: Vec<_> = self.rows.keys().map(|row| row.domain.clone()).collect();
        domains.sort();
        domains.dedup();
        domains
    }

    /// Takes out what is for these domains.
    pub fn forget(&mut self, gone: impl Fn(&Domain) -> bool) {
        self.rows.retain(|row, _| !gone(&row.domain));
    }

    /// Takes out what is there; the first half is for those for whom `wanted` is true, the rest stays.
    #[must_use]
    pub fn take(&mut self, wanted: impl Fn(&Domain) -> bool) -> Self {
        let (taken, left) = std::mem::take(&mut self.rows).into_iter().partition(|(row, _)| wanted(&row.domain));
        self.rows = left;
        Self { rows: taken, dropped: 0 }
    }

    /// Puts back what could not be written.
    pub fn merge(&mut self, other: Self) {
        for (row, count) in other.rows {
            let known = self.rows.entry(row).or_default();
            *known = known.saturating_add(count);
        }
    }

    /// How many different things there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many were dropped since this was last asked.
    pub fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&Row, u64)> {
        self.rows.iter().map(|(row, count)| (row, *count))
    }
}

/// Milliseconds in a day.
const MILLIS: i64 = 24 * 3600 * 1000;

/// Different things that a tally holds.
pub const TALLY_ROWS: usize = 20_000;
