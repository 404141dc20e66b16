//! Decisions and verdicts in the words of the history.

use sealpost_cert::{PresentedName, Verdict};
use sealpost_discovery::Dane;
use sealpost_policy::{Axis, ClientFacts, ReceiveDecision, Step, Trace};
use sealpost_report::{DaneProof, Decided, NoTls, PROOF_NAMES, Proof, Shadow, ShadowOutcome, StsProof};
use sealpost_transport::{ConnectError, ConnectFault, Connection, HandshakeError, TlsBackend};
use sealpost_types::{
    ClientIdentity, HostClause, HostDemand, KexFloor, ReferenceName, StsMode, TlsFacts, TlsRequirement, TlsVersion, UnixMillis, WireKey,
};

use crate::deliver::{Lack, lacking};
use crate::hosts::Host;

/// The level, the source that decided on TLS, and the trace in its short form.
pub(crate) fn decided(trace: &Trace) -> Decided {
    Decided::new(trace.level.as_str(), deciding(trace, Axis::Tls).map(|step| step.source.to_string()).unwrap_or_default(), trace.short())
}

/// The source that decided on this; else the one that decided on TLS, or the first that was asked.
pub(crate) fn deciding(trace: &Trace, axis: Axis) -> Option<&Step> {
    let on = |axis| trace.steps.iter().find(|step| step.decided.contains(axis));
    on(axis).or_else(|| on(Axis::Tls)).or_else(|| trace.steps.first())
}

/// What the session with a client was like, and what was asked of it.
pub(crate) fn reception_proof(
    tls: Option<TlsFacts>,
    client: &ClientFacts<'_>,
    verdict: Option<&Verdict>,
    decision: &ReceiveDecision,
) -> Proof {
    let demand = &decision.demand;
    let asked = if demand.is_mandatory() { format!("{} or later", demand.min_version) } else { "TLS is offered".to_owned() };
    let mut proof = Proof::new(tls, asked, decision.refusal().is_none());
    proof.login = client.login.map(str::to_owned);
    proof.client_names = client.certificate.map(|certificate| certificate.names.clone()).unwrap_or_default();
    take_in(&mut proof, verdict);
    proof
}

/// What would have become of an accepted reception if entries in testing counted, where that is something else.
pub(crate) fn reception_shadow(decision: &ReceiveDecision) -> Option<Shadow> {
    let shadow = decision.shadow.as_ref()?;
    let refusal = shadow.verdict.refusal();
    let outcome = if refusal.is_some() { ShadowOutcome::NotMet } else { ShadowOutcome::Met };
    Some(Shadow::new(shadow.level.as_str(), outcome, refusal.map(ToString::to_string)))
}

/// What a connection is like that has what was asked of it; `after_failure` tells whether TLS had failed before it.
pub(crate) fn connection_proof<T: TlsBackend>(
    host: &Host,
    key: &WireKey,
    connection: &Connection<T>,
    after_failure: bool,
    now: UnixMillis,
) -> Proof {
    let mut proof = proof(connection.tls().copied(), &key.demand, connection.verdict().map(|verdict| &**verdict), true);
    proof.shown = connection.certificate_shown().then(|| identity_in_words(&key.identity));
    proof.small_hello = connection.small_hello().map(str::to_owned);
    proof.host_secure = Some(host.secure);
    proof.dane = dane_proof(host, connection.verdict().map(|verdict| &**verdict));
    proof.sts = sts_proof(host, || sts_lack(host, key, connection, now));
    proof.no_tls = match connection.tls() {
        Some(_) => None,
        None if key.demand.tls == TlsRequirement::Opportunistic => Some(NoTls::NotOffered),
        None if after_failure => Some(NoTls::Failed),
        None => Some(NoTls::NotTried),
    };
    proof
}

/// What a connection was like that did not come about because of TLS; nothing where it did not get that far.
pub(crate) fn failed_proof(host: &Host, key: &WireKey, error: &ConnectError) -> Option<Proof> {
    if !error.is_tls_failure() {
        return None;
    }
    let verdict = match &error.fault {
        ConnectFault::Handshake { cause: HandshakeError::Unverified { verdict } } => Some(&**verdict),
        _ => None,
    };
    let mut proof = proof(None, &key.demand, verdict, false);
    proof.host_secure = Some(host.secure);
    proof.dane = dane_proof(host, verdict);
    proof.sts = sts_proof(host, || Some(error.fault.to_string()));
    proof.no_tls = Some(match &error.fault {
        ConnectFault::StartTlsNotOffered => NoTls::NotOffered,
        ConnectFault::Handshake { cause: HandshakeError::BelowFloor { .. } } => NoTls::BelowFloor,
        _ => NoTls::Failed,
    });
    Some(proof)
}

/// What DNS said of the host's certificate, where its records are secure, and which of them the chain was right by.
fn dane_proof(host: &Host, verdict: Option<&Verdict>) -> Option<DaneProof> {
    let Dane::Secure { base, records } = &host.published.dane else { return None };
    let mut dane = DaneProof::new(base.clone(), records.len(), host.published.usable.len());
    let matched = verdict.and_then(|verdict| verdict.matched_tlsa.as_ref());
    dane.matched = matched.map(|matched| format!("{} ({})", matched.record, matched.certificate));
    Some(dane)
}

/// What the recipient's domain says of the host by MTA-STS, and what the connection lacks of it. It is looked at under DANE too, which goes
/// before it.
pub(crate) fn sts_proof(host: &Host, lack: impl FnOnce() -> Option<String>) -> Option<StsProof> {
    let (found, mode) = (&host.sts, host.sts.mode());
    if mode == StsMode::None && found.trouble.is_none() {
        return None;
    }
    let mut proof = StsProof::new(mode.as_str());
    proof.trouble = found.trouble.as_ref().map(ToString::to_string);
    if mode != StsMode::None {
        proof.id = found.policy.as_ref().map(|kept| kept.id.to_string());
        proof.lack = if host.is_named_by_sts() { lack() } else { Some(NOT_NAMED.to_owned()) };
    }
    Some(proof)
}

/// What a connection lacks of what an MTA-STS policy asks of every host: a chain and the host's name (RFC 8461 section 4.2).
fn sts_lack<T: TlsBackend>(host: &Host, key: &WireKey, connection: &Connection<T>, now: UnixMillis) -> Option<String> {
    if connection.tls().is_none() {
        return Some("it went in clear".to_owned());
    }
    sts_certificate_lack(host, key, connection, now).map(|lack| lack.to_string())
}

/// The same of the certificate alone.
pub(crate) fn sts_certificate_lack<T: TlsBackend>(host: &Host, key: &WireKey, connection: &Connection<T>, now: UnixMillis) -> Option<Lack> {
    let names = host.name.iter().cloned().map(ReferenceName::Exact).collect();
    let (clauses, name) = (&key.demand.clauses, HostClause::Identity(names));
    // Whom the relay trusts for this host, an entry may say.
    if clauses.iter().any(HostClause::is_chain) && clauses.contains(&name) {
        return None;
    }
    let asked = HostDemand::new(TlsRequirement::Mandatory, vec![HostClause::Chain, name], TlsVersion::Tls1_2);
    // The verdict of the handshake knows whether the chain is trusted.
    lacking(&asked, connection, None, now)
}

fn proof(tls: Option<TlsFacts>, demand: &HostDemand, verdict: Option<&Verdict>, satisfied: bool) -> Proof {
    let mut proof = Proof::new(tls, demand_in_words(demand), satisfied);
    let anchors: Vec<_> = demand.clauses.iter().filter_map(anchors_in_words).collect();
    proof.anchors = (!anchors.is_empty()).then(|| anchors.join(" and "));
    take_in(&mut proof, verdict);
    proof
}

/// What was found of the certificate that the other end showed.
fn take_in(proof: &mut Proof, verdict: Option<&Verdict>) {
    if let Some(verdict) = verdict {
        if let Some(leaf) = &verdict.leaf {
            proof.subject = Some(leaf.subject.clone());
            proof.spki_pin = Some(leaf.pin.to_string());
            let of_host = |name: &&PresentedName| matches!(name, PresentedName::Dns(_) | PresentedName::Address(_));
            proof.names = Some(leaf.names.iter().filter(of_host).take(PROOF_NAMES).map(ToString::to_string).collect());
        }
        proof.validation_path.clone_from(&verdict.path);
        proof.findings = verdict.findings.iter().map(ToString::to_string).collect();
    }
}

/// What is wrong with a host that an MTA-STS policy leaves out.
const NOT_NAMED: &str = "the policy does not name the host";
/// The files of trust anchors that a clause names.
pub(crate) fn anchors_in_words(clause: &HostClause) -> Option<String> {
    match clause {
        HostClause::ChainTo(anchors) => Some(anchors.to_string()),
        _ => None,
    }
}

/// Which certificate is shown, as the policy calls it.
pub(crate) fn identity_in_words(identity: &ClientIdentity) -> String {
    match identity {
        ClientIdentity::Files { certificate, .. } => certificate.to_string(),
        ClientIdentity::Usual => "client_certificate of [delivery]".to_owned(),
        _ => ClientIdentity::NONE.to_owned(),
    }
}

/// What was asked of a host, for people: `TLS, a trusted chain, a name of mx.example or *.example`.
pub(crate) fn demand_in_words(demand: &HostDemand) -> String {
    let mut words = vec![match demand.tls {
        TlsRequirement::Never => "no TLS".to_owned(),
        TlsRequirement::Opportunistic => "TLS if offered".to_owned(),
        TlsRequirement::Mandatory => format!("{} or later", demand.min_version),
    }];
    if demand.min_group > KexFloor::Any {
        words.push(format!("key exchange {} or stronger", demand.min_group));
    }
    words.extend(demand.ciphers.iter().map(|ciphers| format!("one of the cipher suites {ciphers}")));
    words.extend(demand.clauses.iter().map(|clause| match clause {
        HostClause::Chain => "a trusted chain".to_owned(),
        HostClause::ChainTo(anchors) => format!("a chain to a trust anchor of {anchors}"),
        HostClause::Identity(names) => {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            format!("the name {}", names.join(" or "))
        }
        HostClause::Pinned(pins) => format!("the key {}", pins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")),
        HostClause::Dane { records, .. } if records.is_empty() => "secure TLSA records".to_owned(),
        HostClause::Dane { records, .. } => format!("one of {} secure TLSA records", records.len()),
        _ => "a clause of a later version".to_owned(),
    }));
    words.join(", ")
}
