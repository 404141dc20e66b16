//! Whether a connection has what entries in testing ask of it.

use std::fmt;

use sealpost_cert::{Finding, TrustAnchors, Verdict, verify_server};
use sealpost_policy::HostDecision;
use sealpost_report::{Shadow, ShadowOutcome};
use sealpost_transport::{Connection, TlsBackend};
use sealpost_types::{HostClause, HostDemand, Level, TlsFailureType, TlsRequirement, UnixMillis};

use crate::trust::Trust;

/// What would have come of a connection that the mail travels over, if entries in testing counted (F2).
/// `tls_failed` tells whether it goes in clear because TLS was tried and failed.
pub(crate) fn judge<T: TlsBackend>(
    level: Level,
    host: &HostDecision,
    connection: &Connection<T>,
    tls_failed: bool,
    trust: Option<&Trust>,
    now: UnixMillis,
) -> Shadow {
    let demand = host.demand();
    let word = level.as_str();
    let Some(facts) = connection.tls() else {
        return match (demand.tls, connection.key().demand.tls) {
            // Nobody asked the host for TLS: whether it has any is not known.
            (TlsRequirement::Mandatory, TlsRequirement::Never) if !tls_failed => Shadow::new(word, ShadowOutcome::NotJudged, None),
            (TlsRequirement::Mandatory, _) => Shadow::new(word, ShadowOutcome::NotMet, Some("it went in clear".to_owned())),
            _ => Shadow::new(word, ShadowOutcome::Met, None),
        };
    };
    if demand.clauses.iter().any(|clause| matches!(clause, HostClause::Dane { records, .. } if records.is_empty())) {
        // What DNS says of the certificate was not looked up.
        return Shadow::new(word, ShadowOutcome::NotJudged, None);
    }
    let lack = demand
        .floor_missed(facts)
        .map(|missed| missed.to_string())
        .or_else(|| lacking(demand, connection, trust, now).map(|lack| lack.to_string()));
    let outcome = if lack.is_some() { ShadowOutcome::NotMet } else { ShadowOutcome::Met };
    Shadow::new(word, outcome, lack)
}

/// What a certificate lacks of a demand.
#[derive(Clone, Debug)]
pub(crate) struct Lack {
    finding: Option<Finding>,
    /// In words, where no finding says it.
    otherwise: &'static str,
}

impl Lack {
    fn of_chain(verdict: Option<&Verdict>) -> Self {
        Self { finding: verdict.and_then(Verdict::most_telling).cloned(), otherwise: "the chain ends in no trust anchor" }
    }

    /// What a report says of it, with a word for the case.
    pub(crate) fn failure_type(&self) -> (TlsFailureType, &'static str) {
        let said = self.finding.as_ref().map(|finding| (finding.failure_type(), finding.code()));
        said.unwrap_or((TlsFailureType::ValidationFailure, "unverified"))
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.finding {
            Some(finding) => finding.fmt(f),
            None => f.write_str(self.otherwise),
        }
    }
}

/// What the certificate lacks.
pub(crate) fn lacking<T: TlsBackend>(
    demand: &HostDemand,
    connection: &Connection<T>,
    trust: Option<&Trust>,
    now: UnixMillis,
) -> Option<Lack> {
    if demand.clauses.is_empty() {
        return None;
    }
    let presented: Vec<&[u8]> = connection.chain().iter().map(Vec::as_slice).collect();
    let judged = match trust {
        Some(trust) => verify_server(&presented, demand, &trust.anchors(), now),
        // The verdict of the handshake knows whether the chain is trusted; the rest needs no anchors.
        None => {
            let (chain, rest): (Vec<_>, Vec<_>) = demand.clauses.iter().cloned().partition(HostClause::is_chain);
            let verdict = connection.verdict();
            if !chain.is_empty() && !verdict.is_some_and(|verdict| verdict.trusted) {
                return Some(Lack::of_chain(verdict.map(|verdict| &**verdict)));
            }
            verify_server(&presented, &HostDemand::new(demand.tls, rest, demand.min_version), &TrustAnchors::default(), now)
        }
    };
    if judged.satisfied {
        return None;
    }
    if trust.is_some() && demand.clauses.iter().any(HostClause::is_chain) && !judged.trusted {
        return Some(Lack::of_chain(Some(&judged)));
    }
    let finding = judged
        .findings
        .into_iter()
        .find(|finding| matches!(finding.code(), "name-mismatch" | "pin-mismatch" | "tlsa-mismatch" | "unsupported-demand"));
    Some(Lack { finding, otherwise: "the certificate does not have what is asked" })
}
