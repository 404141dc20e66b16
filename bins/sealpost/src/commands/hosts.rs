//! The hosts of a next hop, what they publish, and what is asked of each.

use std::fmt;

use sealpost_discovery::{Dane, ResolveError, StsFound, Validation};
use sealpost_policy::{Barred, DeliverDecision, Policy};
use sealpost_relay::config::Config;
use sealpost_relay::{Survey, Surveyed, SurveyedHost};
use sealpost_types::NextHop;

use super::cert::date;
use super::{Failure, in_words, runtime};

/// What the DNS says now.
pub(super) struct Hosts {
    validation: Validation,
    found: Result<Surveyed, ResolveError>,
}

impl Hosts {
    /// Asks the name servers of the relay.
    pub(super) fn look(config: &Config, policy: &Policy, decision: &DeliverDecision, next_hop: &NextHop) -> Result<Self, Failure> {
        runtime()?.block_on(async {
            let survey = Survey::of_relay(config).and_then(|survey| survey.with_mta_sts(config)).map_err(in_words)?;
            let validation = survey.validation().await;
            Ok(Self { validation, found: survey.hosts(policy, decision, next_hop).await })
        })
    }

    pub(super) fn as_json(&self) -> serde_json::Value {
        let host = |host: &SurveyedHost| {
            serde_json::json!({
                "host": host.host, "address": host.address.to_string(), "securely_known": host.securely_known,
                "dane": dane(host), "asked": host.demand, "records": records(&host.dane), "barred": host.barred.map(barred),
            })
        };
        let found = self.found.as_ref();
        serde_json::json!({
            "validation": self.validation.to_string(),
            "mta_sts": found.ok().and_then(|found| found.sts.as_deref()).map(sts_json),
            "hosts": found.map(|found| found.hosts.iter().map(host).collect::<Vec<_>>()).unwrap_or_default(),
            "error": found.err().map(ToString::to_string),
        })
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.validation)?;
        match &self.found {
            Err(error) => writeln!(f, "  -> {error}"),
            Ok(Surveyed { hosts, sts, .. }) => {
                sts.iter().flat_map(|sts| sts_lines(sts)).try_for_each(|line| writeln!(f, "  {line}"))?;
                hosts.iter().try_for_each(|host| {
                    let known = if host.securely_known { "securely known" } else { "learnt without DNSSEC" };
                    writeln!(f, "  {} {} ({known})", host.host, host.address)?;
                    writeln!(f, "    DANE: {}", dane(host))?;
                    records(&host.dane).iter().try_for_each(|record| writeln!(f, "      {record}"))?;
                    match (&host.dane, host.barred) {
                        (Dane::Failed { .. }, _) => writeln!(f, "    -> not used now"),
                        (_, Some(reason)) => writeln!(f, "    -> not used: {}", barred(reason)),
                        _ => writeln!(f, "    -> {}", host.demand),
                    }
                })
            }
        }
    }
}

/// What the recipient's domain says by MTA-STS.
pub(super) fn sts_lines(found: &StsFound) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(kept) = &found.policy {
        let (policy, hosts) = (&kept.policy, kept.policy.mx.iter().map(ToString::to_string).collect::<Vec<_>>());
        let hosts = if hosts.is_empty() { String::new() } else { format!(", hosts {}", hosts.join(" ")) };
        lines.push(format!("MTA-STS: {}, policy {}{hosts}", policy.mode, kept.id));
        lines.push(format!("  fetched {}, holds until {}", date(kept.fetched_at), date(kept.expires_at)));
    }
    match &found.trouble {
        Some(trouble) => lines.push(format!("MTA-STS: {trouble}")),
        None if found.policy.is_none() => lines.push("MTA-STS: no policy".to_owned()),
        None => {}
    }
    lines
}

fn sts_json(found: &StsFound) -> serde_json::Value {
    let kept = found.policy.as_ref();
    serde_json::json!({
        "mode": found.mode().as_str(),
        "id": kept.map(|kept| &*kept.id),
        "mx": kept.map(|kept| kept.policy.mx.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "fetched_at": kept.map(|kept| date(kept.fetched_at)),
        "expires_at": kept.map(|kept| date(kept.expires_at)),
        "trouble": found.trouble.as_ref().map(ToString::to_string),
        "failure": found.trouble.as_ref().and_then(|trouble| trouble.failure()).map(|failure| failure.as_str()),
    })
}

fn barred(reason: Barred) -> &'static str {
    match reason {
        Barred::NotInStsPolicy => "the MTA-STS policy does not name it",
        Barred::NotKnownForSure => "its name was learnt without DNSSEC and MTA-STS, and REQUIRETLS is asked for",
        _ => "it may not be used",
    }
}

fn dane(host: &SurveyedHost) -> String {
    match &host.dane {
        Dane::Secure { base, records } => {
            let plural = if records.len() == 1 { "" } else { "s" };
            format!("{} secure TLSA record{plural} at {base}, of which {} can be used", records.len(), host.usable)
        }
        Dane::Absent => "no secure TLSA records".to_owned(),
        Dane::Failed { error } => format!("could not be found out: {error}"),
        _ => "not known: nothing proves the answers".to_owned(),
    }
}

fn records(dane: &Dane) -> Vec<String> {
    match dane {
        Dane::Secure { records, .. } => records.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}
