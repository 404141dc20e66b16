//! What would have been different, and why.

use std::fmt;

use sealpost_policy::{Axis, RefusalReason, Source};
use sealpost_types::FloorMissed;

/// What kind of thing is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Case {
    /// Mail that a host took.
    Delivery,
    /// Mail that was returned or deleted because TLS could not be had.
    Failure,
    /// A message that was accepted, for one recipient.
    Reception,
    /// A client that was turned away because of TLS.
    Refusal,
    /// Mail that waits in the queue, for one recipient.
    Waiting,
}

/// What would have been different.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What would have happened.
    pub would: Would,
    /// Why.
    pub why: Why,
    /// Who says so in the policy that is judged by; none where no source of it does.
    pub source: Option<Source>,
}

/// What would have happened instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Would {
    /// It would not have gone out to this host.
    NotGoOut,
    /// It would have gone out in clear instead of over TLS.
    GoInClear,
    /// It would have gone out, as far as TLS is concerned.
    GoOut,
    /// It would have been returned to its sender instead of deleted.
    Return,
    /// Its time would be over at the next attempt.
    Expire,
    /// It would have been refused.
    Refuse,
    /// It would have been accepted.
    Accept,
    /// What was kept does not tell.
    Untold,
}

/// Why something would have been different.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It went in clear, and the host has no TLS.
    InClear,
    /// The session lies below a floor.
    BelowFloor(FloorMissed),
    /// The certificate has no chain to a trust anchor.
    NoChain,
    /// The certificate has none of the names.
    WrongName,
    /// The certificate's key is none of those written down.
    WrongKey,
    /// TLS would not be tried.
    TlsNotTried,
    /// It may go in clear.
    MayGoInClear,
    /// The host's certificate will do.
    CertificateWillDo,
    /// Mail that expires for want of TLS is returned.
    ReturnedOnExpiry,
    /// Its lifetime is shorter.
    Lifetime,
    /// The client has no right to send mail there.
    NoRight,
    /// The session lacks what is asked of it.
    Lacks(RefusalReason),
    /// The session has what is asked of it.
    Has,
    /// Something was not kept.
    Unknown(Gap),
}

/// What would have to be known, and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Gap {
    /// The entry lacks the host, the recipient or what the connection was like.
    Entry,
    /// Whether the message had come in over TLS.
    ReceivedSecure,
    /// Whether the host's name was known for sure.
    HostSecure,
    /// Whether the host has TLS at all: it was not tried.
    TlsNotTried,
    /// Why the handshake failed.
    Handshake,
    /// What the session would have had beside the certificate.
    Session,
    /// The host's certificate, or all of its names.
    Certificate,
    /// Whether the chain leads to the trust anchors of these files.
    Anchors,
    /// The host's TLSA records.
    Tlsa,
    /// The message's header section, which a rule asks for.
    Header,
    /// The host that it would have gone to instead.
    NextHop,
    /// The client's certificate.
    ClientCertificate,
    /// The recipients: the client was refused before it named them.
    Recipients,
    /// Any host: none was reached yet.
    NotReached,
}

impl Case {
    /// Every case.
    pub const ALL: [Self; 5] = [Self::Delivery, Self::Failure, Self::Reception, Self::Refusal, Self::Waiting];

    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Failure => "failure",
            Self::Reception => "reception",
            Self::Refusal => "refusal",
            Self::Waiting => "waiting",
        }
    }
}

impl Change {
    pub(super) fn untold(gap: Gap) -> Self {
        Self { would: Would::Untold, why: Why::Unknown(gap), source: None }
    }
}

impl Would {
    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotGoOut => "not-go-out",
            Self::GoInClear => "go-in-clear",
            Self::GoOut => "go-out",
            Self::Return => "return",
            Self::Expire => "expire",
            Self::Refuse => "refuse",
            Self::Accept => "accept",
            Self::Untold => "untold",
        }
    }

    /// In words, as the end of a sentence about this case: `would not have gone out`.
    #[must_use]
    pub fn in_words(self, case: Case) -> &'static str {
        match (self, case) {
            (Self::NotGoOut, Case::Waiting) => "would no longer go out",
            (Self::NotGoOut, _) => "would not have gone out",
            (Self::GoInClear, Case::Waiting) => "would go out in clear",
            (Self::GoInClear, _) => "would have gone out in clear",
            (Self::GoOut, Case::Waiting) => "would go out now",
            (Self::GoOut, _) => "would have gone out",
            (Self::Return, _) => "would have been returned",
            (Self::Expire, _) => "would expire at the next attempt",
            (Self::Refuse, _) => "would have been refused",
            (Self::Accept, _) => "would have been accepted",
            (Self::Untold, _) => "could not be told",
        }
    }
}

impl Why {
    /// What a source has to have decided for this.
    pub(super) fn axis(&self) -> Axis {
        match self {
            Self::BelowFloor(FloorMissed::Version { .. }) => Axis::MinVersion,
            Self::BelowFloor(FloorMissed::Group { .. }) => Axis::MinGroup,
            Self::BelowFloor(_) => Axis::Ciphers,
            Self::NoChain
            | Self::WrongName
            | Self::WrongKey
            | Self::Unknown(Gap::Certificate | Gap::Anchors | Gap::Tlsa | Gap::HostSecure) => Axis::Certificate,
            Self::ReturnedOnExpiry => Axis::OnExpiry,
            Self::Lifetime => Axis::Lifetime,
            _ => Axis::Tls,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InClear => "it went in clear",
            Self::BelowFloor(missed) => return missed.fmt(f),
            Self::NoChain => "the certificate has no chain to a trust anchor",
            Self::WrongName => "the certificate has none of the names that are asked for",
            Self::WrongKey => "the certificate has none of the keys that are asked for",
            Self::TlsNotTried => "TLS would not be tried",
            Self::MayGoInClear => "it may go in clear",
            Self::CertificateWillDo => "the host's certificate will do",
            Self::ReturnedOnExpiry => "it is returned when it expires",
            Self::Lifetime => "its lifetime is shorter",
            Self::NoRight => "the client may not send mail there",
            Self::Lacks(RefusalReason::NoTls) => "the session was in clear",
            Self::Lacks(RefusalReason::BelowFloor(missed)) => return missed.fmt(f),
            Self::Lacks(RefusalReason::NoCertificate) => "the client showed no certificate",
            Self::Lacks(_) => "the client's certificate is not one that is asked for",
            Self::Has => "the session has what is asked",
            Self::Unknown(gap) => return gap.fmt(f),
        })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entry => "the entry lacks what a decision needs",
            Self::ReceivedSecure => "whether it had come in over TLS was not kept",
            Self::HostSecure => "whether the host's name was known for sure was not kept",
            Self::TlsNotTried => "it went in clear, and TLS was not tried",
            Self::Handshake => "TLS failed before a certificate was seen",
            Self::Session => "what the session would have had was not kept",
            Self::Certificate => "the host's certificate was not kept, or not all of its names",
            Self::Anchors => "whether its chain leads to these trust anchors was not kept",
            Self::Tlsa => "the host's TLSA records are not kept",
            Self::Header => "a rule asks for a header field, and the header is not kept",
            Self::NextHop => "it would go to another host",
            Self::ClientCertificate => "the client's certificate is not kept",
            Self::Recipients => "the client was refused before it named the recipients",
            Self::NotReached => "no host was reached yet",
        })
    }
}
