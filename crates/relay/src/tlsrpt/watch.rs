//! What an attempt shows of TLS, in the words of a report.

use sealpost_discovery::{Dane, ResolveError};
use sealpost_queue::Entry;
use sealpost_report::tlsrpt::{Failure, Observation, PolicyType, ReportedPolicy};
use sealpost_transport::{ConnectError, Connection, Ends, TlsBackend};
use sealpost_types::{Domain, NextHop, StsMode, StsPolicy, TlsFailureType, TlsRequirement, UnixMillis, WireKey};

use super::Reports;
use crate::account::sts_certificate_lack;
use crate::deliver::Party;
use crate::engine::{Components, Engine};
use crate::hosts::Host;

/// Looks on while mail for one domain is delivered, where that is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch<'a> {
    reports: &'a Reports,
    domain: &'a Domain,
    now: UnixMillis,
}

impl<'a> Watch<'a> {
    /// Of the delivery of `entry` to a party; nothing where that is not counted: no reports are made, the domain wants none, a route
    /// chose the next hop, what the domain publishes is left out of account, or it is a report itself that is delivered.
    pub(crate) fn of<C: Components>(engine: &'a Engine<C>, entry: &Entry, party: &'a Party) -> Option<Self> {
        let reports = engine.reports.as_ref()?;
        let NextHop::Mx(domain) = &party.next_hop else { return None };
        if entry.reception.is_tls_report || party.decision.ignores_published {
            return None;
        }
        let now = engine.now();
        reports.wants(domain, now).then_some(Self { reports, domain, now })
    }

    /// A connection is there. It counts once for each domain, however many messages go over it.
    pub(crate) fn connected<T: TlsBackend>(self, host: &Host, connection: &mut Connection<T>) {
        let asked = connection.key().demand.tls;
        if asked == TlsRequirement::Never || !connection.is_first_for(self.domain) {
            return;
        }
        let found = if connection.tls().is_none() {
            Some((TlsFailureType::StartTlsNotSupported, "not-offered"))
        } else if matches!(host.published.dane, Dane::Secure { .. }) && host.published.usable.is_empty() {
            // RFC 7672 section 2.2: TLS all the same, whatever the certificate.
            Some((TlsFailureType::TlsaInvalid, "no-usable-record"))
        } else if sts(host).is_none() {
            None
        } else if host.is_named_by_sts() {
            // In testing it goes out all the same, and is reported.
            sts_certificate_lack(host, connection.key(), connection, self.now).map(|lack| lack.failure_type())
        } else {
            Some(NOT_NAMED)
        };
        let failure = found.map(|(kind, code)| {
            let failure = self.failure(kind, code, host);
            with_ends(failure, connection.ends())
        });
        self.saw(host, failure);
    }

    /// No connection came about that has what is asked.
    pub(crate) fn failed(self, host: &Host, key: &WireKey, error: &ConnectError) {
        if key.demand.tls == TlsRequirement::Never {
            return;
        }
        let Some((kind, code)) = error.failure_type() else { return };
        let failure = self.failure(kind, &code, host);
        self.saw(host, Some(with_ends(failure, &error.ends)));
    }

    /// A host is not used, because what is published of it could not be found out.
    pub(crate) fn unknown(self, host: &Host, error: &ResolveError) {
        let failure = self.failure(TlsFailureType::DnssecInvalid, dns_code(error), host);
        self.reports.saw(Observation::new(
            self.now,
            self.domain.clone(),
            ReportedPolicy::new(PolicyType::Tlsa, &self.name(host)),
            Some(failure),
        ));
    }

    /// A host is not used, whatever it presents. That the domain's MTA-STS policy does not name it is a matter of TLS.
    pub(crate) fn barred(self, host: &Host) {
        if sts(host).is_some_and(|policy| policy.mode == StsMode::Enforce) && !host.is_named_by_sts() {
            let (kind, code) = NOT_NAMED;
            self.saw(host, Some(self.failure(kind, code, host)));
        }
    }

    /// The hosts of the domain could not be found out. Only a wrong signature is a matter of TLS: DANE rests on it.
    pub(crate) fn unresolved(self, error: &ResolveError) {
        if matches!(error, ResolveError::Bogus { .. }) {
            let failure = Failure::new(TlsFailureType::DnssecInvalid).because(dns_code(error));
            let policy = ReportedPolicy::new(PolicyType::Tlsa, self.domain.as_str());
            self.reports.saw(Observation::new(self.now, self.domain.clone(), policy, Some(failure)));
        }
    }

    fn saw(self, host: &Host, failure: Option<Failure>) {
        self.saw_trouble_with_policy(host);
        let seen = match (&host.published.dane, sts(host)) {
            (Dane::Secure { base, records }, _) => {
                let policy = ReportedPolicy::new(PolicyType::Tlsa, base.as_str());
                let policy = policy.saying(records.iter().map(ToString::to_string).collect());
                Observation::new(self.now, self.domain.clone(), policy, failure).concerning(base.clone())
            }
            (_, Some(policy)) => Observation::new(self.now, self.domain.clone(), reported(policy, self.domain), failure),
            (_, None) => {
                let policy = ReportedPolicy::new(PolicyType::NoPolicyFound, self.domain.as_str());
                Observation::new(self.now, self.domain.clone(), policy, failure)
            }
        };
        self.reports.saw(seen);
    }

    /// The domain's MTA-STS policy could not be had, or no newer one: that is told beside what came of the session.
    fn saw_trouble_with_policy(self, host: &Host) {
        let Some(trouble) = &host.sts.trouble else { return };
        if let Some(kind) = trouble.failure() {
            let failure = Failure::new(kind).because(trouble.to_string());
            let policy = ReportedPolicy::new(PolicyType::Sts, self.domain.as_str());
            self.reports.saw(Observation::new(self.now, self.domain.clone(), policy, Some(failure)));
        }
    }

    fn failure(self, kind: TlsFailureType, code: &str, host: &Host) -> Failure {
        let mut failure = Failure::new(kind).because(code);
        failure.host = host.name.as_ref().map(ToString::to_string);
        failure.receiving_ip = Some(host.address.ip());
        failure
    }

    fn name(self, host: &Host) -> String {
        host.name.as_ref().unwrap_or(self.domain).to_string()
    }
}

/// The MTA-STS policy that a host is under; none under DANE, which goes before it.
fn sts(host: &Host) -> Option<&StsPolicy> {
    let policy = host.sts.policy.as_ref().map(|kept| &kept.policy);
    policy.filter(|policy| policy.mode != StsMode::None && !matches!(host.published.dane, Dane::Secure { .. }))
}

/// A policy as a report shows it.
fn reported(policy: &StsPolicy, domain: &Domain) -> ReportedPolicy {
    let hosts: Vec<_> = policy.mx.iter().map(ToString::to_string).collect();
    let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {}", policy.mode)];
    lines.extend(hosts.iter().map(|host| format!("mx: {host}")));
    lines.push(format!("max_age: {}", policy.max_age.as_secs()));
    ReportedPolicy::new(PolicyType::Sts, domain.as_str()).saying(lines).naming(hosts)
}

fn with_ends(mut failure: Failure, ends: &Ends) -> Failure {
    failure.sending_ip = ends.local;
    failure.helo = ends.greeted_as.as_deref().map(str::to_owned);
    failure
}

/// A host that an MTA-STS policy leaves out.
const NOT_NAMED: (TlsFailureType, &str) = (TlsFailureType::ValidationFailure, "mx-not-in-policy");

/// A word for why there is no answer.
fn dns_code(error: &ResolveError) -> &'static str {
    match error {
        ResolveError::Bogus { .. } => "bogus",
        ResolveError::Server { .. } => "server-failure",
        ResolveError::Timeout { .. } => "no-answer",
        _ => "no-usable-answer",
    }
}
