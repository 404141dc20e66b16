//! One result, as it stands on a line of JSON.

use sealpost_types::Domain;
use serde::Deserialize;
use serde_json::Value;

use super::standing::Standing;
use crate::test::{Tester, the_policy};

/// A domain that was tested: what lines, tables, pages and suggestions are made of.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) domain: String,
    #[serde(default)]
    pub(crate) at: Option<String>,
    #[serde(default)]
    pub(crate) next_hop: String,
    #[serde(default)]
    pub(crate) validation: String,
    #[serde(default)]
    pub(crate) mx: Option<Exchangers>,
    #[serde(default)]
    pub(crate) mta_sts: Option<MtaSts>,
    #[serde(default)]
    pub(crate) hosts: Vec<Host>,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) levels: Vec<Level>,
    #[serde(default)]
    pub(crate) policy: Option<ByPolicy>,
    #[serde(default)]
    pub(crate) asked: String,
    pub(crate) result: String,
}

/// The mail exchangers.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Exchangers {
    #[serde(default)]
    pub(crate) dnssec: String,
}

/// What the domain says by MTA-STS.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MtaSts {
    pub(crate) mode: String,
}

/// One address of a host.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Host {
    pub(crate) host: String,
    pub(crate) address: String,
    #[serde(default)]
    pub(crate) dane: Dane,
    pub(crate) result: String,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) tls: Option<Tls>,
    #[serde(default)]
    pub(crate) certificate: Option<Certificate>,
}

/// The secure TLSA records of a host.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Dane {
    #[serde(default)]
    pub(crate) records: Vec<String>,
}

/// What was negotiated.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Tls {
    pub(crate) version: String,
    pub(crate) cipher: String,
    #[serde(default)]
    pub(crate) group: Option<String>,
    #[serde(default)]
    pub(crate) post_quantum: bool,
}

/// The server's own certificate.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Certificate {
    #[serde(default)]
    pub(crate) subject: Option<String>,
    #[serde(default)]
    pub(crate) issuer: Option<String>,
    #[serde(default)]
    pub(crate) not_after: Option<String>,
    #[serde(default)]
    pub(crate) days_left: Option<i64>,
    #[serde(default)]
    pub(crate) pin: Option<String>,
}

/// What would become of mail at a level.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Level {
    pub(crate) level: String,
    pub(crate) result: String,
    #[serde(default)]
    pub(crate) words: String,
    #[serde(default)]
    pub(crate) hosts: Vec<AtHost>,
}

/// The same at one host.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AtHost {
    pub(crate) result: String,
}

/// What a policy says of the domain.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ByPolicy {
    pub(crate) level: String,
    #[serde(default)]
    pub(crate) trace: Value,
    pub(crate) outlook: Level,
}

impl Row {
    /// The row on a line of a results file.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let mut row: Self = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        for certificate in row.hosts.iter_mut().filter_map(|host| host.certificate.as_mut()) {
            // The line may be of another day.
            let end = certificate.not_after.as_deref().and_then(crate::shown::read_moment);
            certificate.days_left = end.map(crate::shown::days_to).or(certificate.days_left);
        }
        Ok(row)
    }

    /// The row with its answer to what is asked now, whatever was asked before; nothing where it has none. A policy is another one where
    /// its trace is another, and a row says nothing of other hosts.
    pub(super) fn answering(mut self, tester: &Tester, domain: &Domain) -> Option<Self> {
        if self.next_hop != tester.next_hop(domain).to_string() {
            return None;
        }
        let (asked, result) = match tester.asked_level() {
            // Where there are no hosts, that is so at every level.
            Some(level) if self.error.is_some() => (level.to_string(), &self.result),
            Some(level) => (level.to_string(), &self.level(level.as_str())?.result),
            None => {
                let policy = self.policy.as_ref().filter(|policy| tester.trace(domain).as_ref() == Some(&policy.trace))?;
                (the_policy(&policy.level), &policy.outlook.result)
            }
        };
        (self.asked, self.result) = (asked, result.clone());
        Some(self)
    }

    /// What is said of a level; nothing where there are no hosts.
    pub(crate) fn level(&self, word: &str) -> Option<&Level> {
        self.levels.iter().find(|level| level.level == word)
    }

    /// The strictest that mail to it would meet.
    pub(crate) fn standing(&self) -> Standing {
        Standing::of(self)
    }

    /// Why it stands no better, in a few words; nothing where nothing is wrong.
    pub(crate) fn why(&self) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(error.clone());
        }
        let words = &self.level(self.standing().asks_next())?.words;
        let (_, reasons) = words.split_once(" (")?;
        Some(reasons.strip_suffix(')').unwrap_or(reasons).to_owned())
    }

    /// The certificate that ends first.
    pub(crate) fn first_to_end(&self) -> Option<&Certificate> {
        let certificates = self.hosts.iter().filter_map(|host| host.certificate.as_ref());
        certificates.filter(|certificate| certificate.days_left.is_some()).min_by_key(|certificate| certificate.days_left)
    }

    /// Of each session something, each once, in order.
    pub(crate) fn each_once(&self, of: impl Fn(&Tls) -> Option<&str>) -> Vec<&str> {
        let mut found: Vec<_> = self.hosts.iter().filter_map(|host| host.tls.as_ref()).filter_map(of).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a host has secure TLSA records.
    pub(crate) fn has_dane(&self) -> bool {
        self.hosts.iter().any(|host| !host.dane.records.is_empty())
    }

    /// The mode of its MTA-STS policy, if it has one.
    pub(crate) fn mta_sts(&self) -> Option<&str> {
        self.mta_sts.as_ref().map(|sts| sts.mode.as_str()).filter(|mode| *mode != "none")
    }
}

impl Level {
    pub(crate) fn passes(&self) -> bool {
        self.result == PASSES
    }

    pub(crate) fn is_untested(&self) -> bool {
        self.result == UNTESTED
    }
}

/// The words of a result, as `Outcome` says them.
pub(crate) const PASSES: &str = "passes";
pub(crate) const FAILS: &str = "fails";
pub(crate) const UNTESTED: &str = "could not be tested";
