//! What was found, for people and for programs.

use sealpost_cert::{CertificateDetails, TrustAnchors, Verdict, verify_server};
use sealpost_discovery::{Dane, StsFound};
use sealpost_smtp::Reply;
use sealpost_transport::WallClock;
use sealpost_types::{CipherSuite, TlsVersion};
use serde_json::{Map, Value, json};

use super::host::{Examined, Session, Taken};
use super::outlook::Outlook;
use super::tester::Report;
use crate::ping::Outcome;
use crate::shown::{self, line};

/// Colours, on a terminal only.
#[derive(Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn new(on: bool) -> Self {
        Self(on)
    }

    pub(crate) fn of(self, result: Outcome, text: &str) -> String {
        let colour = match result {
            Outcome::Passes => 32,
            Outcome::Fails => 31,
            Outcome::Untested => 33,
        };
        if self.0 { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// What would happen in colour, why in plain; why not again where `before` says it.
    fn first_words(self, outlook: &Outlook, before: &mut String) -> String {
        let words = outlook.words();
        let (first, why) = shown::told_once(&words, before);
        let is_clear = outlook.result == Outcome::Passes && !outlook.over_tls;
        let colour = if is_clear { Outcome::Untested } else { outlook.result };
        format!("{}{why}", self.of(colour, first))
    }

    pub(crate) fn strong(self, text: &str) -> String {
        if self.0 { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Report {
    /// One line, unless it passes.
    pub(super) fn print_reason(&self) {
        if self.result == Outcome::Passes {
            return;
        }
        let at_level = self.levels.iter().find(|(word, _)| *word == self.asked).map(|(_, outlook)| outlook);
        let outlook = at_level.or_else(|| self.policy.as_ref().map(|policy| &policy.outlook));
        let why = match (&self.error, outlook) {
            (Some((_, error)), _) => error.clone(),
            (None, Some(outlook)) => outlook.words(),
            (None, None) => self.result.words().to_owned(),
        };
        line!("{}: {}: {why}", self.domain, self.asked);
    }

    pub(super) fn print(&self, paint: Paint) {
        line!("{} -> {}; {}", paint.strong(&self.domain), self.next_hop, self.validation);
        if let Some(set) = &self.exchangers {
            let list: Vec<_> = set.hosts.iter().map(|host| format!("{} {}", host.preference, host.name)).collect();
            line!("  MX {} (DNSSEC: {})", list.join(", "), set.dnssec);
            for missing in set.hosts.iter().filter(|mx| !self.hosts.iter().any(|found| found.host.name() == Some(&mx.name))) {
                line!(
                    "  {} {}",
                    missing.name,
                    paint.of(Outcome::Untested, "was not tested: it has no address, or there are too many hosts")
                );
            }
        }
        // What is looked up for a domain is not looked up for a server.
        let sts = self.hosts.first().filter(|_| self.exchangers.is_some());
        for line in sts.map(|examined| sts_lines(examined.host.sts())).unwrap_or_default() {
            line!("  {line}");
        }
        if let Some((result, error)) = &self.error {
            line!("  {}", paint.of(*result, error));
        } else {
            self.hosts.iter().for_each(|examined| print_host(examined, &self.anchors, paint));
            line!("\n{}", paint.strong("At each level"));
        }
        let mut before = String::new();
        for (word, outlook) in &self.levels {
            line!("  {word:<21} {}", paint.first_words(outlook, &mut before));
        }
        if let Some(policy) = &self.policy {
            let running = if policy.running { ", as the running relay obeys it" } else { "" };
            line!("\n{}", paint.strong(&format!("By {}{running}: {}", policy.file, policy.level)));
            for line in policy.trace.to_string().lines() {
                line!("  {line}");
            }
            line!("  today: {}", paint.first_words(&policy.outlook, &mut String::new()));
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let exchangers = self.exchangers.as_ref().map(|set| {
            let hosts: Vec<_> = set.hosts.iter().map(|host| json!({ "preference": host.preference, "host": host.name.as_str() })).collect();
            json!({ "dnssec": set.dnssec.to_string(), "hosts": hosts })
        });
        let levels: Vec<_> = self.levels.iter().map(|(word, outlook)| outlook_json(word, outlook)).collect();
        let policy = self.policy.as_ref().map(|policy| {
            json!({ "file": policy.file, "running": policy.running, "level": policy.level.as_str(), "trace": policy.trace,
                "outlook": outlook_json(policy.level.as_str(), &policy.outlook) })
        });
        json!({
            "domain": self.domain, "at": shown::moment(self.at), "next_hop": self.next_hop.to_string(), "validation": self.validation.to_string(), "mx": exchangers,
            "mta_sts": self.hosts.first().map(|examined| sts_json(examined.host.sts())),
            "hosts": self.hosts.iter().map(|examined| host_json(examined, &self.anchors)).collect::<Vec<_>>(), "error": self.error.as_ref().map(|(_, text)| text),
            "levels": levels, "policy": policy, "asked": self.asked, "result": self.result.words(),
        })
    }
}

/// What the domain says by MTA-STS.
fn sts_lines(found: &StsFound) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(kept) = &found.policy {
        let hosts: Vec<_> = kept.policy.mx.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "MTA-STS: {}, hosts {} (policy {}, {})",
            kept.policy.mode,
            hosts.join(" "),
            kept.id,
            shown::countdown(kept.expires_at)
        ));
    }
    lines.extend(found.trouble.as_ref().map(|trouble| format!("MTA-STS: {trouble}")));
    if lines.is_empty() {
        lines.push("MTA-STS: no policy".to_owned());
    }
    lines
}

fn sts_json(found: &StsFound) -> Value {
    let kept = found.policy.as_ref();
    json!({
        "mode": found.mode().as_str(), "id": kept.map(|kept| &*kept.id),
        "mx": kept.map(|kept| kept.policy.mx.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "expires_at": kept.and_then(|kept| shown::moment(kept.expires_at)),
        "trouble": found.trouble.as_ref().map(ToString::to_string),
    })
}

fn print_host(examined: &Examined, anchors: &TrustAnchors, paint: Paint) {
    let host = &examined.host;
    let known = if host.is_securely_known() { "securely known" } else { "learnt without DNSSEC" };
    line!("\n{} {} ({known})", paint.strong(&host.shown()), host.address());
    line!("  DANE: {}", dane(host.dane()));
    match &examined.seen.session {
        Err(error) => line!("  {}", paint.of(Outcome::of(error), &shown::reason(error))),
        Ok(session) => print_session(session, anchors, paint),
    }
    if let Some(answer) = &examined.seen.in_clear {
        line!("  mail in clear: {}", in_clear(answer));
    }
    for (version, suites) in examined.seen.versions().into_iter().flatten() {
        print_version(version, &suites, paint);
    }
}

/// What was found of a version, and of its suites where one of them is taken.
fn print_version(version: TlsVersion, suites: &[(CipherSuite, Taken)], paint: Paint) {
    let result = match Taken::any(suites) {
        Taken::Yes => paint.of(Outcome::Passes, "taken"),
        Taken::No => return line!("  {version}: not taken"),
        Taken::Unknown => return line!("  {version}: {}", paint.of(Outcome::Untested, "could not be tested")),
    };
    line!("  {version}: {result}");
    for (word, wanted) in [("with", Taken::Yes), ("not with", Taken::No), ("not known", Taken::Unknown)] {
        let list: Vec<_> = suites.iter().filter(|(_, taken)| *taken == wanted).map(|(suite, _)| suite.to_string()).collect();
        if !list.is_empty() {
            line!("    {word:<9} {}", list.join("\n              "));
        }
    }
}

fn print_session(session: &Session, anchors: &TrustAnchors, paint: Paint) {
    if let Some(tls) = &session.tls {
        line!("  {} in {:.1} ms", paint.of(Outcome::Passes, &shown::session(tls)), shown::milliseconds(session.times.total()));
    }
    if let Some(leaf) = leaf(session) {
        let days = shown::days_left(leaf.not_after());
        let urgency = match days {
            ..0 => Outcome::Fails,
            0..14 => Outcome::Untested,
            _ => Outcome::Passes,
        };
        let names: Vec<_> = leaf.alternative_names().iter().take(NAMES_SHOWN).map(|name| name.bare()).collect();
        let more = leaf.alternative_names().len().saturating_sub(NAMES_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        line!("  {}, issued by {}, {}", leaf.subject(), leaf.issuer(), paint.of(urgency, &shown::countdown(leaf.not_after())));
        line!("  names: {}{more}", names.join(" "));
        line!("  chain: {}, {}", shown::counted(session.chain.len(), "certificate"), trust(&judged(session, anchors), paint));
    }
    let require_tls = if session.extensions.require_tls() { "offered" } else { "not offered" };
    line!("  REQUIRETLS: {require_tls}");
}

/// What the chain is worth here, whatever a level asks of it.
fn judged(session: &Session, anchors: &TrustAnchors) -> Verdict {
    let chain: Vec<&[u8]> = session.chain.iter().map(Vec::as_slice).collect();
    verify_server(&chain, &sealpost_relay::any_certificate(), anchors, WallClock::system().now())
}

fn trust(verdict: &Verdict, paint: Paint) -> String {
    if verdict.trusted {
        let anchor = verdict.path.last().map(|anchor| format!(", by {anchor}")).unwrap_or_default();
        return format!("{}{anchor}", paint.of(Outcome::Passes, "trusted here"));
    }
    let why = verdict.most_telling().map(|finding| format!(": {finding}")).unwrap_or_default();
    format!("{}{why}", paint.of(Outcome::Untested, "not trusted here"))
}

fn leaf(session: &Session) -> Option<CertificateDetails> {
    session.chain.first().and_then(|der| CertificateDetails::from_der(der).ok())
}

fn dane(dane: &Dane) -> String {
    match dane {
        Dane::Secure { base, records } => {
            let usable = sealpost_cert::usable_tlsa(records).len();
            format!("{} at {base}, {usable} usable", shown::counted(records.len(), "secure TLSA record"))
        }
        Dane::Absent => "no secure TLSA records".to_owned(),
        Dane::Failed { error } => format!("could not be looked up: {error}"),
        _ => "not known, for nothing proves the answers".to_owned(),
    }
}

fn in_clear(answer: &Result<Reply, String>) -> String {
    match answer {
        Ok(reply) if reply.is_success() => "taken".to_owned(),
        Ok(reply) if reply.code().value() == STARTTLS_FIRST => format!("refused ({reply})"),
        Ok(reply) => format!("refused, for another reason perhaps ({reply})"),
        Err(error) => format!("could not be tested: {error}"),
    }
}

fn host_json(examined: &Examined, anchors: &TrustAnchors) -> Value {
    let host = &examined.host;
    let records = match host.dane() {
        Dane::Secure { records, .. } => records.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    let mut object = json!({
        "host": host.shown(), "address": host.address().to_string(), "securely_known": host.is_securely_known(),
        "dane": { "state": dane(host.dane()), "records": records },
        "mail_in_clear": examined.seen.in_clear.as_ref().map(|answer| match answer {
            Ok(reply) => json!({ "taken": reply.is_success(), "reply": reply.to_string() }),
            Err(error) => json!({ "taken": null, "reply": error }),
        }),
        "versions": examined.seen.versions().map(|versions| versions.map(|(version, suites)| {
            json!({ "version": version.to_string(), "taken": Taken::any(&suites).as_bool() })
        })),
        "suites": examined.seen.suites.as_ref().map(|suites| suites.iter().map(|(suite, taken)| {
            json!({ "suite": suite.to_string(), "taken": taken.as_bool() })
        }).collect::<Vec<_>>()),
    });
    let (result, more) = match &examined.seen.session {
        Err(error) => (Outcome::of(error), json!({ "reason": shown::reason(error) })),
        Ok(session) => (Outcome::Passes, session_json(session, anchors)),
    };
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.insert("result".to_owned(), result.words().into());
        object.extend(more);
    }
    object
}

fn session_json(session: &Session, anchors: &TrustAnchors) -> Value {
    let verdict = judged(session, anchors);
    let stages: Map<_, _> =
        session.times.iter().map(|(stage, time)| (stage.as_str().replace(' ', "_"), shown::milliseconds(time).into())).collect();
    let mut certificate = shown::certificate_json(&verdict);
    // Whether it will do depends on the level, and stands there; this is what the chain is worth by itself.
    let mut chain = json!({ "path": verdict.path });
    if let (Some(certificate), Some(chain)) = (certificate.as_object_mut(), chain.as_object_mut()) {
        chain.extend(["trusted", "findings"].into_iter().filter_map(|key| Some((key.to_owned(), certificate.remove(key)?))));
    }
    let extensions: Vec<_> = session.extensions.iter().map(ToString::to_string).collect();
    json!({ "reason": null, "tls": session.tls.as_ref().map(shown::session_json), "stages_ms": stages, "certificate": certificate,
        "chain": chain, "certificates": session.chain.len(), "extensions": extensions, "requiretls": session.extensions.require_tls() })
}

fn outlook_json(word: &str, outlook: &Outlook) -> Value {
    let hosts: Vec<_> = outlook
        .hosts
        .iter()
        .map(|host| json!({ "host": host.host, "result": host.result.words(), "over_tls": host.over_tls, "why": host.why }))
        .collect();
    json!({ "level": word, "result": outlook.result.words(), "over_tls": outlook.over_tls, "words": outlook.words(), "hosts": hosts })
}

/// RFC 3207 section 4: STARTTLS has to come first.
const STARTTLS_FIRST: u16 = 530;

/// Names of a certificate on a screen; the object has all.
const NAMES_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::outlook::AtHost;

    fn outlook(result: Outcome, over_tls: bool, why: &[(&str, &str)]) -> Outlook {
        let hosts = why.iter().map(|(host, why)| AtHost {
            host: (*host).to_owned(),
            result,
            over_tls,
            why: (!why.is_empty()).then(|| (*why).to_owned()),
        });
        Outlook { result, over_tls, hosts: hosts.collect() }
    }

    #[test]
    fn a_reason_is_told_once_and_mail_in_clear_is_not_green() {
        let (paint, mut before) = (Paint::new(true), String::new());
        let mut line = |outlook: &Outlook| paint.first_words(outlook, &mut before);
        let clear = outlook(Outcome::Passes, false, &[("mx", "no STARTTLS")]);
        assert_eq!(line(&clear), "\x1b[33mwould deliver in clear\x1b[0m (mx: no STARTTLS)");
        let never = outlook(Outcome::Fails, false, &[("mx", "no STARTTLS")]);
        assert_eq!(line(&never), "\x1b[31mwould NOT\x1b[0m (the same)");
        assert_eq!(line(&outlook(Outcome::Passes, true, &[("mx", "")])), "\x1b[32mwould deliver\x1b[0m");
        assert_eq!(line(&never), "\x1b[31mwould NOT\x1b[0m (mx: no STARTTLS)", "the line above says nothing of it");
    }

    #[test]
    fn a_reason_of_all_hosts_names_none() {
        let both = |a: &str, b: &str| outlook(Outcome::Fails, true, &[("mx1", a), ("mx2", b)]).words();
        assert_eq!(both("expired", "expired"), "would NOT (every host: expired)");
        assert_eq!(both("expired", "revoked"), "would NOT (mx1: expired; mx2: revoked)");
        assert_eq!(both("expired", ""), "would NOT (mx1: expired)");
    }
}
