//! What many results come to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::row::{FAILS, Host, PASSES, Row};
use super::standing::Standing;
use crate::test::{LEVELS, STS_IN_TESTING};

/// Counts of all kinds, made once.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) domains: usize,
    standings: HashMap<Standing, usize>,
    /// For each level how many domains hold, fail, and could not be tested.
    pub(crate) levels: Vec<(&'static str, [usize; 3])>,
    /// Hosts by what they settled on, the most first.
    pub(crate) versions: Vec<(String, usize)>,
    pub(crate) groups: Vec<(String, usize)>,
    /// How many hosts have a key exchange that is safe from quantum computers, of so many with TLS.
    pub(crate) post_quantum: (usize, usize),
    /// Who runs the hosts of how many domains, the most first.
    pub(crate) providers: Vec<(String, usize)>,
    /// Each certificate once, the one that ends first in front.
    pub(crate) certificates: Vec<Ending>,
    /// Domains with secure TLSA records, with an MTA-STS policy, with one that is enforced.
    pub(crate) dane: usize,
    pub(crate) mta_sts: usize,
    pub(crate) mta_sts_enforced: usize,
    /// Domains that would stop mail by their own policy, were it not in testing.
    pub(crate) mta_sts_would_stop: usize,
    /// What the policy says: holds, fails, could not be tested.
    pub(crate) policy: Option<[usize; 3]>,
}

/// A certificate and whose mail hangs on it.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) days_left: i64,
    pub(crate) day: String,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) hosts: BTreeSet<String>,
    pub(crate) domains: BTreeSet<String>,
}

impl Summary {
    pub(crate) fn of(rows: &[Row]) -> Self {
        let mut summary = Self { domains: rows.len(), ..Self::default() };
        let mut hosts: HashMap<(&str, &str), &Host> = HashMap::new();
        let (mut certificates, mut providers): (BTreeMap<String, Ending>, HashMap<String, usize>) = Default::default();
        for row in rows {
            *summary.standings.entry(row.standing()).or_default() += 1;
            summary.dane += usize::from(row.has_dane());
            summary.mta_sts += usize::from(row.mta_sts().is_some());
            summary.mta_sts_enforced += usize::from(row.mta_sts() == Some("enforce"));
            summary.mta_sts_would_stop += usize::from(row.level(STS_IN_TESTING).is_some_and(|level| level.result == FAILS));
            for host in &row.hosts {
                hosts.insert((&host.host, &host.address), host);
                note_certificate(&mut certificates, row, host);
            }
            for provider in row.providers() {
                *providers.entry(provider).or_default() += 1;
            }
            if let Some(policy) = &row.policy {
                let counts = summary.policy.get_or_insert_default();
                add(counts, &policy.outlook.result);
            }
        }
        let with_error = rows.iter().filter(|row| row.error.is_some());
        let none = with_error.fold([0; 3], |mut counts, row| {
            add(&mut counts, &row.result);
            counts
        });
        summary.levels = LEVELS.map(|(word, _)| (word, of_level(rows, word, none))).to_vec();
        let sessions: Vec<_> = hosts.values().filter_map(|host| host.tls.as_ref()).collect();
        summary.post_quantum = (sessions.iter().filter(|tls| tls.post_quantum).count(), sessions.len());
        summary.versions = ranked(sessions.iter().map(|tls| tls.version.clone()));
        summary.groups = ranked(sessions.iter().map(|tls| tls.group.clone().unwrap_or_else(|| "none".to_owned())));
        summary.providers = sorted(providers);
        summary.certificates = certificates.into_values().collect();
        summary.certificates.sort_by(|a, b| (a.days_left, &a.subject).cmp(&(b.days_left, &b.subject)));
        summary
    }

    pub(crate) fn count(&self, standing: Standing) -> usize {
        self.standings.get(&standing).copied().unwrap_or_default()
    }

    /// How many stand how, the best first, without those that nobody is.
    pub(crate) fn standings(&self) -> impl Iterator<Item = (Standing, usize)> {
        Standing::ALL.into_iter().map(|standing| (standing, self.count(standing))).filter(|(_, count)| *count > 0)
    }
}

fn add(counts: &mut [usize; 3], result: &str) {
    let place = match result {
        PASSES => 0,
        FAILS => 1,
        _ => 2,
    };
    if let Some(count) = counts.get_mut(place) {
        *count += 1;
    }
}

fn of_level(rows: &[Row], word: &str, mut counts: [usize; 3]) -> [usize; 3] {
    for level in rows.iter().filter_map(|row| row.level(word)) {
        add(&mut counts, &level.result);
    }
    counts
}

fn note_certificate(certificates: &mut BTreeMap<String, Ending>, row: &Row, host: &Host) {
    let Some(certificate) = &host.certificate else { return };
    let (Some(days_left), Some(end)) = (certificate.days_left, &certificate.not_after) else { return };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    // One key may have several certificates, and one certificate serves many hosts.
    let key = format!("{end} {} {}", text(&certificate.pin), text(&certificate.subject));
    let ending = certificates.entry(key).or_insert_with(|| Ending {
        days_left,
        day: end.split('T').next().unwrap_or_default().to_owned(),
        subject: text(&certificate.subject),
        issuer: text(&certificate.issuer),
        hosts: BTreeSet::new(),
        domains: BTreeSet::new(),
    });
    ending.hosts.insert(host.host.clone());
    ending.domains.insert(row.domain.clone());
}

impl Row {
    /// Who runs its hosts, as far as their names tell.
    pub(crate) fn providers(&self) -> BTreeSet<String> {
        self.hosts.iter().map(|host| provider(&host.host)).collect()
    }
}

/// The part of a host's name that is registered, by a rule of thumb: two labels, or three where the second looks like `co.uk`. An
/// address stands for itself.
fn provider(host: &str) -> String {
    if host.starts_with('[') {
        return host.to_owned();
    }
    let labels: Vec<_> = host.split('.').collect();
    let is_public = matches!(labels.as_slice(), [.., second, last] if last.len() == 2 && (second.len() <= 3 && COMMON.contains(second)));
    let kept = if is_public { 3 } else { 2 };
    labels.get(labels.len().saturating_sub(kept)..).unwrap_or_default().join(".")
}

fn ranked(words: impl Iterator<Item = String>) -> Vec<(String, usize)> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    sorted(counts)
}

fn sorted(counts: HashMap<String, usize>) -> Vec<(String, usize)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(a, many), (b, more)| more.cmp(many).then_with(|| a.cmp(b)));
    counts
}

/// Second labels under which names are registered in many countries.
const COMMON: [&str; 10] = ["co", "com", "net", "org", "gov", "edu", "ac", "or", "ne", "go"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_named_by_what_is_registered() {
        for (host, name) in [
            ("mx1.mail.bank.example", "bank.example"),
            ("aspmx.l.google.com", "google.com"),
            ("mx.firm.co.uk", "firm.co.uk"),
            ("mx.abc.de", "abc.de"),
            ("localhost", "localhost"),
            ("[192.0.2.1]", "[192.0.2.1]"),
        ] {
            assert_eq!(provider(host), name, "{host}");
        }
    }

    #[test]
    fn a_host_of_many_domains_is_counted_once() {
        let row = |domain: &str| {
            let text = format!(
                r#"{{"domain":"{domain}","result":"passes","hosts":[{{"host":"mx.big.example","address":"192.0.2.1:25","result":"passes",
                "tls":{{"version":"TLSv1.3","cipher":"x","group":"X25519MLKEM768","post_quantum":true}},
                "certificate":{{"subject":"CN=a","not_after":"2027-01-01T00:00:00Z","days_left":36,"pin":"p"}}}}],
                "levels":[{{"level":"require","result":"passes"}}]}}"#
            );
            Row::parse(text.as_bytes()).unwrap()
        };
        let none = Row::parse(br#"{"domain":"c.example","result":"fails","error":"no such domain"}"#).unwrap();
        let mut rows = [row("a.example"), row("b.example"), none];
        let summary = Summary::of(&rows);
        assert_eq!((summary.post_quantum, summary.versions.clone()), ((1, 1), vec![("TLSv1.3".to_owned(), 1)]));
        assert_eq!((summary.certificates.len(), summary.certificates[0].domains.len()), (1, 2));
        assert_eq!(summary.providers, [("big.example".to_owned(), 2)]);
        assert_eq!(summary.levels[1], ("require", [2, 1, 0]));
        assert_eq!((summary.count(Standing::Require), summary.count(Standing::NoMail)), (2, 1));
        // a policy in testing stops nothing, and is told beforehand
        for (result, stops) in [(FAILS, 1), (PASSES, 0)] {
            let text = format!(r#"{{"level":"{STS_IN_TESTING}","result":"{result}"}}"#);
            rows[0].levels.truncate(1);
            rows[0].levels.push(serde_json::from_str(&text).unwrap());
            let summary = Summary::of(&rows);
            assert_eq!((summary.mta_sts_would_stop, summary.count(Standing::Require)), (stops, 2));
        }
    }
}
