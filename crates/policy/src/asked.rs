//! What one source says of one hop.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{
    AnchorFiles, CipherSet, ClearFallback, ClientIdentity, KexFloor, Level, NameMatch, OnExpiry, Pin, ReferenceName, RetrySchedule,
    TlsVersion,
};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// What one source says of one hop. What it leaves out, the next source says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Asked {
    /// `level`.
    pub level: Option<Level>,
    /// `names`, sorted.
    pub names: Option<Vec<ReferenceName>>,
    /// `match`.
    pub matching: Option<NameMatch>,
    /// `pins`, sorted.
    pub pins: Option<Vec<Pin>>,
    /// `anchors`.
    pub anchors: Option<AnchorFiles>,
    /// `else` beside the level `dane`: what holds for a host without secure TLSA records.
    pub otherwise: Option<Level>,
    /// `dane_satisfies`.
    pub dane_satisfies: Option<bool>,
    /// `min_version`.
    pub min_version: Option<TlsVersion>,
    /// `min_group`.
    pub min_group: Option<KexFloor>,
    /// `ciphers`.
    pub ciphers: Option<CipherSet>,
    /// `client_certificate` and `client_key`.
    pub client_identity: Option<ClientIdentity>,
    /// `refuse`.
    pub refuse: Option<RefuseWith>,
    /// `lifetime`.
    pub lifetime: Option<Duration>,
    /// `retry`.
    pub retry: Option<RetrySchedule>,
    /// `on_expiry`.
    pub on_expiry: Option<OnExpiry>,
    /// `on_failure`: whether a TLS failure that is certain to last bounces at once.
    pub on_failure: Option<FailureEnd>,
    /// `bounce_after`.
    pub bounce_after: Option<u32>,
    /// `clear_fallback`.
    pub clear_fallback: Option<ClearFallback>,
    /// `ignore_published`.
    pub ignore_published: Option<bool>,
}

/// With which kind of reply a session is refused that lacks what is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RefuseWith {
    /// `4xx`: the client tries again later, which softens an introduction.
    Transient,
    /// `5xx`.
    #[default]
    Permanent,
}

/// What a TLS failure that is certain to last leads to (F5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureEnd {
    /// `retry`: nothing, until the mail expires.
    #[default]
    Retry,
    /// `bounce`: after so many identical verdicts in a row.
    Bounce,
}

/// One of the keys of an [`Asked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Level,
    Names,
    Match,
    Pins,
    Else,
    DaneSatisfies,
    MinVersion,
    MinGroup,
    Ciphers,
    Refuse,
    Lifetime,
    OnExpiry,
    OnFailure,
    BounceAfter,
    ClearFallback,
    IgnorePublished,
    Retry,
    Anchors,
    ClientCertificate,
    ClientKey,
}

/// A set of [`Field`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(u32);

impl Asked {
    /// Whether it says nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.said().is_empty()
    }

    /// The keys that are written.
    pub(crate) fn said(&self) -> Fields {
        let written = |field: Field, yes: bool| if yes { field.bit() } else { 0 };
        Fields(
            written(Field::Level, self.level.is_some())
                | written(Field::Names, self.names.is_some())
                | written(Field::Match, self.matching.is_some())
                | written(Field::Pins, self.pins.is_some())
                | written(Field::Else, self.otherwise.is_some())
                | written(Field::DaneSatisfies, self.dane_satisfies.is_some())
                | written(Field::MinVersion, self.min_version.is_some())
                | written(Field::MinGroup, self.min_group.is_some())
                | written(Field::Ciphers, self.ciphers.is_some())
                | written(Field::Refuse, self.refuse.is_some())
                | written(Field::Lifetime, self.lifetime.is_some())
                | written(Field::OnExpiry, self.on_expiry.is_some())
                | written(Field::OnFailure, self.on_failure.is_some())
                | written(Field::BounceAfter, self.bounce_after.is_some())
                | written(Field::ClearFallback, self.clear_fallback.is_some())
                | written(Field::IgnorePublished, self.ignore_published.is_some())
                | written(Field::Retry, self.retry.is_some())
                | written(Field::Anchors, self.anchors.is_some())
                | written(Field::ClientCertificate, self.client_identity.is_some())
                | written(Field::ClientKey, self.client_key().is_some()),
        )
    }

    /// The file of the client certificate's key, where that is one of its own.
    fn client_key(&self) -> Option<&str> {
        match self.client_identity.as_ref()? {
            ClientIdentity::Files { certificate, key } if key != certificate => Some(key),
            _ => None,
        }
    }

    /// What it says under one key, in the words of the file; nothing where it says nothing.
    pub(crate) fn word(&self, field: Field) -> Option<Word> {
        let list = |items: &mut dyn Iterator<Item = String>| Word::List(items.collect());
        Some(match field {
            Field::Level => Word::Text(self.level?.to_string()),
            Field::Names => list(&mut self.names.as_ref()?.iter().map(ToString::to_string)),
            Field::Match => Word::Text(match_word(self.matching?).to_owned()),
            Field::Pins => list(&mut self.pins.as_ref()?.iter().map(ToString::to_string)),
            Field::Else => Word::Text(self.otherwise?.to_string()),
            Field::DaneSatisfies => Word::Yes(self.dane_satisfies?),
            Field::MinVersion => Word::Text(version_word(self.min_version?).to_owned()),
            Field::MinGroup => Word::Text(self.min_group?.to_string()),
            Field::Ciphers => list(&mut self.ciphers.as_ref()?.as_slice().iter().map(ToString::to_string)),
            Field::Refuse => Word::Text(refuse_word(self.refuse?).to_owned()),
            Field::Lifetime => Word::Text(Span(self.lifetime?).to_string()),
            Field::OnExpiry => Word::Text(expiry_word(self.on_expiry?).to_owned()),
            Field::OnFailure => Word::Text(failure_word(self.on_failure?).to_owned()),
            Field::BounceAfter => Word::Number(self.bounce_after?),
            Field::ClearFallback => Word::Text(fallback_word(self.clear_fallback?).to_owned()),
            Field::IgnorePublished => Word::Yes(self.ignore_published?),
            Field::Retry => list(&mut self.retry.as_ref()?.waits().iter().map(|wait| Span(*wait).to_string())),
            Field::Anchors => list(&mut self.anchors.as_ref()?.as_slice().iter().cloned()),
            Field::ClientCertificate => Word::Text(match self.client_identity.as_ref()? {
                ClientIdentity::Files { certificate, .. } => certificate.to_string(),
                _ => ClientIdentity::NONE.to_owned(),
            }),
            Field::ClientKey => Word::Text(self.client_key()?.to_owned()),
        })
    }
}

/// A value of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Text(String),
    List(Vec<String>),
    Number(u32),
    Yes(bool),
}

impl Field {
    /// All of them, in the order in which they are shown.
    pub(crate) const ALL: [Self; 20] = [
        Self::Level,
        Self::Names,
        Self::Match,
        Self::Pins,
        Self::Else,
        Self::DaneSatisfies,
        Self::MinVersion,
        Self::MinGroup,
        Self::Ciphers,
        Self::Refuse,
        Self::Lifetime,
        Self::OnExpiry,
        Self::OnFailure,
        Self::BounceAfter,
        Self::ClearFallback,
        Self::IgnorePublished,
        Self::Retry,
        Self::Anchors,
        Self::ClientCertificate,
        Self::ClientKey,
    ];

    /// Its key in the file.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Names => "names",
            Self::Match => "match",
            Self::Pins => "pins",
            Self::Else => "else",
            Self::DaneSatisfies => "dane_satisfies",
            Self::MinVersion => "min_version",
            Self::MinGroup => "min_group",
            Self::Ciphers => "ciphers",
            Self::Refuse => "refuse",
            Self::Lifetime => "lifetime",
            Self::OnExpiry => "on_expiry",
            Self::OnFailure => "on_failure",
            Self::BounceAfter => "bounce_after",
            Self::ClearFallback => "clear_fallback",
            Self::IgnorePublished => "ignore_published",
            Self::Retry => "retry",
            Self::Anchors => "anchors",
            Self::ClientCertificate => "client_certificate",
            Self::ClientKey => "client_key",
        }
    }

    /// Its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Level => 0,
            Self::Names => 1,
            Self::Match => 2,
            Self::Pins => 3,
            Self::Else => 4,
            Self::DaneSatisfies => 5,
            Self::MinVersion => 6,
            Self::MinGroup => 7,
            Self::Ciphers => 8,
            Self::Refuse => 9,
            Self::Lifetime => 10,
            Self::OnExpiry => 11,
            Self::OnFailure => 12,
            Self::BounceAfter => 13,
            Self::ClearFallback => 14,
            Self::IgnorePublished => 15,
            Self::Retry => 16,
            Self::Anchors => 17,
            Self::ClientCertificate => 18,
            Self::ClientKey => 19,
        }
    }

    const fn bit(self) -> u32 {
        1 << self.index()
    }
}

impl Fields {
    pub(crate) const NONE: Self = Self(0);

    /// The same with one more.
    pub(crate) const fn and(self, field: Field) -> Self {
        Self(self.0 | field.bit())
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn contains_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in it; costs as much as there are.
    pub(crate) fn iter(self) -> impl Iterator<Item = Field> {
        self.places().filter_map(|place| Field::ALL.get(place).copied())
    }

    /// The places in [`Field::ALL`] of those in it.
    pub(crate) fn places(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest.wrapping_sub(1);
            usize::try_from(lowest).ok()
        })
    }
}

/// In the words of the file: `verify, names mx.example, match "mx", min_version "1.3"`.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.said().iter().enumerate() {
            let Some(word) = self.word(field) else { continue };
            f.write_str(if index > 0 { ", " } else { "" })?;
            match word {
                Word::Text(level) if field == Field::Level => f.write_str(&level)?,
                Word::Text(text) => write!(f, "{} \"{text}\"", field.key())?,
                Word::List(items) if items.is_empty() => write!(f, "{} (none)", field.key())?,
                Word::List(items) => write!(f, "{} {}", field.key(), items.join(" "))?,
                Word::Number(number) => write!(f, "{} {number}", field.key())?,
                Word::Yes(yes) => write!(f, "{} {yes}", field.key())?,
            }
        }
        if self.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

/// The keys and words of the file, without those left out.
impl Serialize for Asked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in self.said().iter() {
            match self.word(field) {
                Some(Word::Text(text)) => map.serialize_entry(field.key(), &text)?,
                Some(Word::List(items)) => map.serialize_entry(field.key(), &items)?,
                Some(Word::Number(number)) => map.serialize_entry(field.key(), &number)?,
                Some(Word::Yes(yes)) => map.serialize_entry(field.key(), &yes)?,
                None => {}
            }
        }
        map.end()
    }
}

/// A span of time as the file writes it: `7d`, `36h`.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        for (unit, letter) in [(86400, 'd'), (3600, 'h'), (60, 'm')] {
            if seconds >= unit && seconds.is_multiple_of(unit) {
                return write!(f, "{}{letter}", seconds / unit);
            }
        }
        write!(f, "{seconds}s")
    }
}

pub(crate) fn match_word(matching: NameMatch) -> &'static str {
    match matching {
        NameMatch::Mx => "mx",
        _ => "domain",
    }
}

pub(crate) fn version_word(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::Tls1_3 => "1.3",
        _ => "1.2",
    }
}

pub(crate) fn expiry_word(end: OnExpiry) -> &'static str {
    match end {
        OnExpiry::Delete => "delete",
        OnExpiry::Hold => "hold",
        _ => "bounce",
    }
}

fn refuse_word(with: RefuseWith) -> &'static str {
    match with {
        RefuseWith::Transient => "4xx",
        RefuseWith::Permanent => "5xx",
    }
}

fn failure_word(end: FailureEnd) -> &'static str {
    match end {
        FailureEnd::Retry => "retry",
        FailureEnd::Bounce => "bounce",
    }
}

pub(crate) fn fallback_word(fallback: ClearFallback) -> &'static str {
    match fallback {
        ClearFallback::Immediate => "immediate",
        ClearFallback::Never => "never",
        _ => "second-attempt",
    }
}

/// An [`Asked`] that may be shared by many.
pub(crate) type SharedAsked = Arc<Asked>;
