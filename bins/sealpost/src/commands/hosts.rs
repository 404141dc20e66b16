//! The hosts of a next hop, what they publish, and what is asked of each.

use std::fmt;

use sealpost_discovery::{Dane, ResolveError, Validation};
use sealpost_policy::{DeliverDecision, Policy};
use sealpost_relay::config::Config;
use sealpost_relay::{Survey, SurveyedHost};
use sealpost_types::NextHop;

use super::{Failure, in_words, runtime};

/// What the DNS says now.
pub(super) struct Hosts {
    validation: Validation,
    hosts: Result<Vec<SurveyedHost>, ResolveError>,
}

impl Hosts {
    /// Asks the name servers of the relay.
    pub(super) fn look(config: &Config, policy: &Policy, decision: &DeliverDecision, next_hop: &NextHop) -> Result<Self, Failure> {
        runtime()?.block_on(async {
            let survey = Survey::of_relay(config).map_err(in_words)?;
            let validation = survey.validation().await;
            Ok(Self { validation, hosts: survey.hosts(policy, decision, next_hop).await })
        })
    }

    pub(super) fn as_json(&self) -> serde_json::Value {
        let host = |host: &SurveyedHost| {
            serde_json::json!({
                "host": host.host, "address": host.address.to_string(), "securely_known": host.securely_known,
                "dane": dane(host), "asked": host.demand, "records": records(&host.dane),
            })
        };
        let hosts = self.hosts.as_ref();
        serde_json::json!({
            "validation": self.validation.to_string(),
            "hosts": hosts.map(|hosts| hosts.iter().map(host).collect::<Vec<_>>()).unwrap_or_default(),
            "error": hosts.err().map(ToString::to_string),
        })
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.validation)?;
        match &self.hosts {
            Err(error) => writeln!(f, "  -> {error}"),
            Ok(hosts) => hosts.iter().try_for_each(|host| {
                let known = if host.securely_known { "securely known" } else { "learnt without DNSSEC" };
                writeln!(f, "  {} {} ({known})", host.host, host.address)?;
                writeln!(f, "    DANE: {}", dane(host))?;
                records(&host.dane).iter().try_for_each(|record| writeln!(f, "      {record}"))?;
                match &host.dane {
                    Dane::Failed { .. } => writeln!(f, "    -> not used now"),
                    _ => writeln!(f, "    -> {}", host.demand),
                }
            }),
        }
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
