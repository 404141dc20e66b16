//! Whether mail would go at a level, by which host, and why not by the others.

use sealpost_cert::TrustAnchors;
use sealpost_types::TlsRequirement;

use super::host::Examined;
use crate::levels::AtLevel;
use crate::ping::Outcome;
use crate::shown;

/// What would become of mail at one level.
pub(super) struct Outlook {
    pub(super) result: Outcome,
    /// Whether it would travel under TLS; means something only where it would be delivered.
    pub(super) over_tls: bool,
    /// What each address comes to, in the order in which they are tried.
    pub(super) hosts: Vec<AtHost>,
}

/// What mail would meet at one address.
pub(super) struct AtHost {
    pub(super) host: String,
    pub(super) result: Outcome,
    pub(super) over_tls: bool,
    /// Why not, or why in clear.
    pub(super) why: Option<String>,
}

impl Outlook {
    pub(super) fn of(at: &AtLevel, hosts: &[Examined], anchors: &TrustAnchors) -> Self {
        let hosts: Vec<_> = hosts.iter().map(|examined| AtHost::of(at, examined, label(examined, hosts), anchors)).collect();
        let first = |wanted: Outcome| hosts.iter().find(|host| host.result == wanted);
        // The first that will do is taken, and one that could not be tested may be one.
        let taken = first(Outcome::Passes);
        let result = match (taken, first(Outcome::Untested)) {
            (Some(_), _) => Outcome::Passes,
            (None, Some(_)) => Outcome::Untested,
            (None, None) => Outcome::Fails,
        };
        Self { result, over_tls: taken.is_some_and(|host| host.over_tls), hosts }
    }

    /// `would deliver`, `would NOT`, `nobody knows`, and the reason that helps most.
    pub(super) fn words(&self) -> String {
        let word = match (self.result, self.over_tls) {
            (Outcome::Passes, true) => "would deliver",
            (Outcome::Passes, false) => "would deliver in clear",
            (Outcome::Fails, _) => "would NOT",
            (Outcome::Untested, _) => "could not be tested",
        };
        let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
        for host in &self.hosts {
            let Some(why) = &host.why else { continue };
            match reasons.iter_mut().find(|(reason, _)| reason == why) {
                Some((_, hosts)) if hosts.contains(&host.host.as_str()) => {}
                Some((_, hosts)) => hosts.push(&host.host),
                None => reasons.push((why.clone(), vec![&host.host])),
            }
        }
        if reasons.is_empty() {
            return word.to_owned();
        }
        let labels: std::collections::BTreeSet<_> = self.hosts.iter().map(|host| host.host.as_str()).collect();
        let whose = |hosts: &[&str]| {
            if hosts.len() > 1 && hosts.len() == labels.len() { "every host".to_owned() } else { hosts.join(", ") }
        };
        let reasons: Vec<_> = reasons.iter().map(|(why, hosts)| format!("{}: {why}", whose(hosts))).collect();
        let but =
            if self.result == Outcome::Passes && self.hosts.iter().any(|host| host.result != Outcome::Passes) { "not by " } else { "" };
        format!("{word} ({but}{})", reasons.join("; "))
    }
}

/// The name of a host; with its address where it has several that were examined.
fn label(examined: &Examined, all: &[Examined]) -> String {
    let name = examined.host.shown();
    if all.iter().filter(|other| other.host.shown() == name).count() > 1 {
        format!("{name} {}", examined.host.address().ip())
    } else {
        name
    }
}

impl AtHost {
    fn of(at: &AtLevel, examined: &Examined, host: String, anchors: &TrustAnchors) -> Self {
        let new = |result, over_tls, why| Self { host: host.clone(), result, over_tls, why };
        if let Some(why) = at.barred(&examined.host) {
            return new(Outcome::Fails, false, Some(why.to_owned()));
        }
        if let Some(why) = at.unknown(&examined.host) {
            return new(Outcome::Untested, false, Some(why));
        }
        let demand = at.demand(&examined.host);
        match &examined.seen.session {
            Ok(session) => {
                let judged = crate::levels::judge(&demand, &session.chain, session.tls.as_ref(), anchors);
                let why = || judged.missed.clone().or_else(|| judged.verdict.most_telling().map(ToString::to_string));
                if judged.would_deliver { new(Outcome::Passes, true, None) } else { new(Outcome::Fails, true, why()) }
            }
            Err(error) => {
                let text = shown::reason(error);
                let may_be_clear =
                    demand.tls == TlsRequirement::Opportunistic && error.is_tls_failure() && !examined.host.sts().is_unknown();
                let refused = examined.seen.in_clear.as_ref().is_some_and(|answer| answer.as_ref().is_ok_and(|reply| !reply.is_success()));
                if may_be_clear && !refused {
                    return new(Outcome::Passes, false, Some(text));
                }
                new(Outcome::of(error), false, Some(text))
            }
        }
    }
}
