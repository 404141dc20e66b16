//! Whether a session has what is asked, and the reply where it has not.

use std::fmt;

use sealpost_types::{Clause, Demand, Domain, EnhancedStatus, FloorMissed, ForwardPath, NameRule, Pin, ReferenceName, ReplyCode};

use super::{Joined, ReceiveVerdict};
use crate::asked::RefuseWith;
use crate::facts::{ClientCertificate, ReceiveFacts};
use crate::policy::Policy;
use crate::scope::Origin;
use crate::trace::{Source, SourceKind};

/// Why a session may not hand this mail over, and the reply that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// What is missing.
    pub reason: RefusalReason,
    /// Who asks for it; where several do, the first of them.
    pub asked_by: Source,
    /// 530 at MAIL, 550 at RCPT and for what TLS lacks; 451 where `refuse = "4xx"` is written.
    pub code: ReplyCode,
    /// X.7.0 at MAIL and for what TLS lacks, X.7.10 at RCPT.
    pub status: EnhancedStatus,
    /// One line of printable ASCII, at most [`REFUSAL_TEXT_OCTETS`] long, that names the source.
    pub text: String,
}

/// What a session lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// It is in clear.
    NoTls,
    /// Its TLS is below a floor.
    BelowFloor(FloorMissed),
    /// The client showed no certificate.
    NoCertificate,
    /// The client's certificate is not one that is asked for.
    Certificate(CertificateLack),
}

/// What a client's certificate lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateLack {
    /// A chain to a trust anchor.
    Chain,
    /// One of the names that are written down.
    Name,
    /// One of the keys that are written down.
    Pin,
}

impl Policy {
    pub(super) fn verdict(&self, facts: &ReceiveFacts<'_>, joined: &Joined) -> ReceiveVerdict {
        match joined.resolved().and_then(|resolved| lacking(facts, &resolved.demand)) {
            None => ReceiveVerdict::Accept,
            Some(reason) => ReceiveVerdict::Refuse(Box::new(self.refusal(facts, reason, joined))),
        }
    }

    fn refusal(&self, facts: &ReceiveFacts<'_>, reason: RefusalReason, joined: &Joined) -> Refusal {
        let resolved = joined.resolved();
        let origins = resolved.and_then(|resolved| match &reason {
            RefusalReason::BelowFloor(FloorMissed::Version { .. }) => twice(resolved.floor_from),
            RefusalReason::BelowFloor(FloorMissed::Group { .. }) => twice(resolved.group_from),
            RefusalReason::BelowFloor(_) => resolved.ciphers_from,
            RefusalReason::NoCertificate | RefusalReason::Certificate(_) => resolved.certificate_from,
            RefusalReason::NoTls => twice(resolved.tls_from),
        });
        let builtin = Origin { kind: SourceKind::Builtin, included: false, entry: 0 };
        let [asked_by, beside] = origins.unwrap_or([builtin, builtin]).map(|origin| Source::of(self, origin));
        let soft = resolved.is_some_and(|resolved| resolved.refuse == RefuseWith::Transient);
        let (code, status) = match (&reason, facts.forward_path, soft) {
            (RefusalReason::NoTls, None, false) => (AUTHENTICATION_REQUIRED, SECURITY_OTHER),
            (RefusalReason::NoTls, Some(_), false) => (MAILBOX_UNAVAILABLE, ENCRYPTION_NEEDED),
            (RefusalReason::NoTls, Some(_), true) => (LOCAL_ERROR, ENCRYPTION_NEEDED_LATER),
            (_, _, true) => (LOCAL_ERROR, SECURITY_OTHER_LATER),
            (_, _, false) => (MAILBOX_UNAVAILABLE, SECURITY_OTHER),
        };
        let problem = facts.client.certificate.and_then(|certificate| certificate.problem.as_deref());
        let text = refusal_text(&reason, problem, [&asked_by, &beside], self.whose(facts, &asked_by));
        Refusal { reason, asked_by, code, status, text }
    }
}

impl Policy {
    /// Whose mail it is that a source speaks of.
    fn whose<'f>(&self, facts: &ReceiveFacts<'f>, asked_by: &Source) -> Whose<'f> {
        match facts.forward_path.and_then(ForwardPath::domain) {
            Some(to) if asked_by.kind().is_of_hosted() && self.is_hosted(to) => Whose::To(to),
            _ => facts.reverse_path.domain().map_or(Whose::Any, Whose::From),
        }
    }
}

/// The first thing that a session lacks.
fn lacking(facts: &ReceiveFacts<'_>, demand: &Demand) -> Option<RefusalReason> {
    let Some(tls) = facts.tls else { return demand.is_mandatory().then_some(RefusalReason::NoTls) };
    if let Some(missed) = demand.floor_missed(tls) {
        return Some(RefusalReason::BelowFloor(missed));
    }
    let lack = |clause: &Clause| match (clause, facts.client.certificate) {
        (_, None) => Some(RefusalReason::NoCertificate),
        (clause, Some(certificate)) => certificate.lack(clause).map(RefusalReason::Certificate),
    };
    demand.clauses.iter().find_map(lack)
}

impl ClientCertificate {
    fn lack(&self, clause: &Clause) -> Option<CertificateLack> {
        let (holds, lack) = match clause {
            Clause::Chain => (self.is_trusted, CertificateLack::Chain),
            Clause::Identity(rule) => (self.has_name(rule), CertificateLack::Name),
            Clause::Pinned(pins) => (self.pin.is_some_and(|pin: Pin| pins.contains(&pin)), CertificateLack::Pin),
            // DANE is for servers; a clause that comes to be known later does not hold either.
            _ => (false, CertificateLack::Chain),
        };
        (!holds).then_some(lack)
    }

    fn has_name(&self, rule: &NameRule) -> bool {
        rule.names.iter().any(|name| match name {
            ReferenceName::CommonName(wanted) => self.is_trusted && self.common_name.as_ref() == Some(wanted),
            name => self.names.iter().any(|presented| name.covers(presented)),
        })
    }
}

fn twice(origin: Option<Origin>) -> Option<[Origin; 2]> {
    origin.map(|origin| [origin, origin])
}

fn refusal_text(reason: &RefusalReason, problem: Option<&str>, [asked_by, beside]: [&Source; 2], whose: Whose<'_>) -> String {
    let by =
        if beside == asked_by { asked_by.in_words().to_string() } else { format!("{} and {}", asked_by.in_words(), beside.in_words()) };
    let text = match reason {
        RefusalReason::NoTls => format!("{whose} is accepted over TLS only, use STARTTLS ({by})"),
        RefusalReason::BelowFloor(FloorMissed::Version { found, floor }) => {
            format!("{whose} is accepted over {floor} or later only, this session has {found} ({by})")
        }
        RefusalReason::BelowFloor(missed) => format!("{whose}: {missed} ({by})"),
        RefusalReason::NoCertificate => format!("{whose} is accepted with a client certificate only ({by})"),
        RefusalReason::Certificate(lack) => {
            let what = match lack {
                CertificateLack::Chain => "has no chain to a trust anchor of this relay",
                CertificateLack::Name => "has none of the names that are asked for",
                CertificateLack::Pin => "has none of the keys that are asked for",
            };
            // What is wrong with its names or its key is another matter than why it is not trusted.
            let why = problem.filter(|_| *lack == CertificateLack::Chain).map(|problem| format!(": {problem}")).unwrap_or_default();
            format!("{whose}: the client certificate {what}{why} ({by})")
        }
    };
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).take(REFUSAL_TEXT_OCTETS).collect()
}

enum Whose<'a> {
    From(&'a Domain),
    To(&'a Domain),
    Any,
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(domain) => write!(f, "Mail from {domain}"),
            Self::To(domain) => write!(f, "Mail to {domain}"),
            Self::Any => f.write_str("This mail"),
        }
    }
}

/// `530 5.7.0 text`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.status, self.text)
    }
}

/// Octets in the text of a [`Refusal`]: with code and status it fits a reply line of RFC 5321 section 4.5.3.1.5.
pub const REFUSAL_TEXT_OCTETS: usize = 480;

const AUTHENTICATION_REQUIRED: ReplyCode = ReplyCode::constant::<530>();
const MAILBOX_UNAVAILABLE: ReplyCode = ReplyCode::constant::<550>();
const LOCAL_ERROR: ReplyCode = ReplyCode::constant::<451>();
/// RFC 3463 section 3.8: "other or undefined security status", the one that RFC 3207 section 4 gives beside 530.
const SECURITY_OTHER: EnhancedStatus = EnhancedStatus::constant::<5, 7, 0>();
const SECURITY_OTHER_LATER: EnhancedStatus = EnhancedStatus::constant::<4, 7, 0>();
/// RFC 5248 section 2.4 and the IANA registry: "encryption needed".
const ENCRYPTION_NEEDED: EnhancedStatus = EnhancedStatus::constant::<5, 7, 10>();
const ENCRYPTION_NEEDED_LATER: EnhancedStatus = EnhancedStatus::constant::<4, 7, 10>();
