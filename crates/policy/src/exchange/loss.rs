//! What an import or an export cannot keep, and what follows from it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::edit::EntryKind;
use crate::pattern::PatternError;

/// Something that is not on the other side what it was on this one.
///
/// `Display` gives `tls_policy:3:20: servername=mx.example: the name that the host is asked for ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The name of the text that was read.
    pub file: Arc<str>,
    /// The line there, from 1.
    pub line: u32,
    /// The column there in characters, from 1; none for a whole entry.
    pub column: Option<u32>,
    /// What was found.
    pub found: String,
    /// What is lost, and what follows.
    pub loss: Loss,
}

/// What follows from a loss for the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consequence {
    /// Nothing that bears on whether mail travels safely.
    None,
    /// Mail may wait or come back that would have gone out.
    Stricter,
    /// Mail may go out that would have waited.
    Weaker,
    /// The entry is not there: other entries and the defaults hold for its mail.
    NotTaken,
}

/// What cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Postfix looks at DANE only at its own levels, and at MTA-STS never.
    PublishedToo,
    /// At level `verify`, names of the recipient's domain are right ones beside the host's.
    VerifyNames,
    /// With `match`, names of the recipient's domain are right ones beside those that are written.
    DomainNames,
    /// With `match`, the host's name may be learnt without DNSSEC.
    HostName,
    /// Versions below TLS 1.2 are not used.
    OldProtocols {
        /// Whether mail goes out without TLS.
        mandatory: bool,
    },
    /// TLS 1.3 is used as well.
    NewProtocols,
    /// The grade of cipher suites.
    CipherGrade,
    /// Cipher suites that are not there to be left out.
    AbsentCiphers,
    /// Words for cipher suites that are not known.
    UnknownCiphers,
    /// The name that the host is asked for.
    ServerName,
    /// Whether connections are used again.
    ConnectionReuse,
    /// Raw public keys.
    RawKeys,
    /// What a plugin says for TLS reports.
    Reporting,
    /// Attributes beside `none`, which Postfix passes over too.
    AttributesAtNone,
    /// A key that Postfix never looks for.
    NeverFound,
    /// A key that is there already: Postfix takes the first.
    KeyTwice {
        /// Where the first is.
        first_line: u32,
    },
    /// A key that is a next hop of a transport table.
    NextHopKey,
    /// A regular expression.
    RegularExpression,
    /// A key that is no domain.
    Key {
        /// What is wrong with it.
        cause: PatternError,
    },
    /// A line that begins with a space and continues nothing.
    NothingContinued,
    /// A key with nothing behind it.
    NoValue,
    /// A level that there is not.
    UnknownLevel,
    /// A level that Postfix writes to its log and does not take in a table.
    HalfDane,
    /// Fingerprints, which may be of certificates.
    Fingerprints,
    /// A file of trust anchors that is not named by its whole path.
    AnchorPath,
    /// Trust anchors that are not named by the whole path of their file, or those of the system beside them.
    Anchors,
    /// A certificate to show to the host.
    ClientCertificate,
    /// An attribute that there is not.
    UnknownAttribute,
    /// What is no `name=value`.
    Malformed,
    /// An attribute that is given twice.
    AttributeTwice,
    /// An attribute that has no meaning at this level.
    AttributeAtLevel,
    /// A value that means nothing.
    Value,
    /// What an entry says of mail that comes in.
    Receive,
    /// How long mail is tried, and how it ends.
    Fate,
    /// The date from which an entry does not count.
    Until,
    /// DANE and MTA-STS are not looked at.
    PublishedIgnored,
    /// DANE does not stand in for a verified name.
    DaneSatisfies,
    /// Names that are taken out of the entry.
    Exclude,
    /// For which mail to the domain the entry holds.
    Conditions,
    /// A certificate name that is an address.
    AddressName,
    /// An entry in testing mode.
    Testing,
    /// An entry that says nothing of this hop, or leaves the level to others.
    NoLevel,
    /// A level that Postfix has not, nor one that is as strict.
    Level,
    /// `mirror`.
    Mirror,
    /// Another level than `opportunistic` for `dane` without TLSA.
    Otherwise,
    /// A key of the hop that Postfix has not.
    HopKey {
        /// The key.
        key: &'static str,
    },
    /// A key that a wider entry sets, and that holds here for this one too.
    LeftOpen {
        /// The key.
        key: &'static str,
        /// Where the wider entry is.
        line: u32,
    },
    /// Pins that are no SHA-256 digests.
    Pin,
    /// The pattern of all domains.
    AllDomains,
    /// A wildcard that is not at the beginning.
    Wildcard,
    /// A domain that another entry names with another meaning.
    Joined {
        /// Where the other is.
        first_line: u32,
    },
    /// A kind of entry.
    Kind(EntryKind),
    /// The defaults.
    Defaults,
    /// Included files.
    Includes,
    /// A key for which the CSV has no column.
    NoColumn {
        /// The key.
        key: &'static str,
    },
}

impl Loss {
    /// What follows for the mail.
    #[must_use]
    pub fn consequence(&self) -> Consequence {
        match self {
            Self::CipherGrade
            | Self::AbsentCiphers
            | Self::ServerName
            | Self::ConnectionReuse
            | Self::RawKeys
            | Self::Reporting
            | Self::AttributesAtNone
            | Self::NewProtocols
            | Self::NeverFound
            | Self::KeyTwice { .. }
            | Self::Receive
            | Self::ClientCertificate
            | Self::Fate => Consequence::None,
            Self::PublishedToo
            | Self::OldProtocols { mandatory: true }
            | Self::Until
            | Self::DaneSatisfies
            | Self::Conditions
            | Self::Exclude
            | Self::Mirror
            | Self::AddressName => Consequence::Stricter,
            Self::VerifyNames
            | Self::DomainNames
            | Self::HostName
            | Self::OldProtocols { mandatory: false }
            | Self::PublishedIgnored
            | Self::Joined { .. } => Consequence::Weaker,
            Self::NextHopKey
            | Self::RegularExpression
            | Self::Key { .. }
            | Self::NothingContinued
            | Self::NoValue
            | Self::UnknownLevel
            | Self::HalfDane
            | Self::Fingerprints
            | Self::AnchorPath
            | Self::Anchors
            | Self::UnknownAttribute
            | Self::Malformed
            | Self::AttributeTwice
            | Self::AttributeAtLevel
            | Self::Value
            | Self::UnknownCiphers
            | Self::Testing
            | Self::NoLevel
            | Self::Level
            | Self::Otherwise
            | Self::HopKey { .. }
            | Self::LeftOpen { .. }
            | Self::Pin
            | Self::AllDomains
            | Self::Wildcard
            | Self::Kind(_)
            | Self::Defaults
            | Self::Includes
            | Self::NoColumn { .. } => Consequence::NotTaken,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::PublishedToo => "DANE and MTA-STS of the recipient's domain hold here at every level but none",
            Self::VerifyNames => "the names of the recipient's domain are right ones here too, beside the host's",
            Self::DomainNames => "the names of the recipient's domain are right ones here too, beside those that are written",
            Self::HostName => "the host's name counts, and is learnt without DNSSEC too",
            Self::OldProtocols { mandatory: true } => "only TLS 1.2 and later is used here; mail for hosts without it waits",
            Self::OldProtocols { mandatory: false } => "only TLS 1.2 and later is used here; hosts without it get mail in clear",
            Self::NewProtocols => "TLS 1.3 is used here too",
            Self::CipherGrade => "not kept: all suites here are of grade high",
            Self::AbsentCiphers => "not kept: there are no such suites here",
            Self::UnknownCiphers => "not taken: it cannot be told which suites are meant",
            Self::ServerName => "not kept: a host is asked for by its own name",
            Self::ConnectionReuse => "not kept: connections are used again where nothing speaks against it",
            Self::RawKeys => "not kept: hosts are asked for certificates",
            Self::Reporting => "not kept: what a domain publishes is looked up and reported here without a plugin",
            Self::AttributesAtNone => "not kept, as Postfix passes over it beside none",
            Self::NeverFound => "not taken, as Postfix never looks for such a key; sub-domains are written .example.org",
            Self::KeyTwice { first_line } => return write!(f, "not taken, as Postfix takes the first, at line {first_line}"),
            Self::NextHopKey => {
                "not taken: it is a next hop, and policy here goes by the recipient's domain; write an entry for the domains that are routed there"
            }
            Self::RegularExpression => "not taken: it is a regular expression; write an entry for the domains that it stands for",
            Self::Key { cause } => return write!(f, "not taken: it is no domain: {cause}"),
            Self::NothingContinued => "not taken: the line begins with a space and continues nothing",
            Self::NoValue => "not taken: there is no level behind the key",
            Self::UnknownLevel => {
                "not taken: there is no such level; one of none, may, encrypt, dane, dane-only, fingerprint, verify, secure is meant"
            }
            Self::HalfDane => "not taken: Postfix takes this level from no table, it only logs it; dane is meant",
            Self::Fingerprints => {
                "not taken: it may be the fingerprint of a certificate, and pins are of keys; write level pinned and pins sha256//..."
            }
            Self::AnchorPath => "not taken: Postfix and this relay look in different directories; write the whole path of the file",
            Self::Anchors => {
                "not written: files of trust anchors are named by their whole path there, and those of the system cannot stand beside them"
            }
            Self::ClientCertificate => "not written: a client certificate is set in main.cf or master.cf there",
            Self::UnknownAttribute => "not taken: there is no such attribute, and Postfix holds the mail",
            Self::Malformed => "not taken: it is not name=value, and Postfix holds the mail",
            Self::AttributeTwice => "not taken: the attribute is there twice, and Postfix holds the mail",
            Self::AttributeAtLevel => "not taken: the attribute means nothing at this level, and Postfix holds the mail",
            Self::Value => "not taken: the value means nothing, and Postfix holds the mail",
            Self::Receive => "not written: the table is about mail that is sent on, not about mail that comes in",
            Self::Fate => "not written: how long mail is tried and how it ends is not set by destination there",
            Self::Until => "not written: the entry holds there for good",
            Self::PublishedIgnored => "DANE and MTA-STS of the recipient's domain are not looked at there, but for DANE at the dane levels",
            Self::DaneSatisfies => "not written: DANE does not stand in for a right name there",
            Self::Exclude => "not written: the entry holds there for these names too",
            Self::Conditions => "not written: the entry holds there for all mail to the domain",
            Self::AddressName => "not written: an address or a common name is no name there",
            Self::Testing => "not written: there is no testing mode there",
            Self::NoLevel => "not written: the entry has no level of its own",
            Self::Level => "not written: there is no level there that is as strict",
            Self::Mirror => "there, TLS is tried for mail that came in clear too",
            Self::Otherwise => "not written: without TLSA records dane is opportunistic there",
            Self::HopKey { key } => return write!(f, "not written: {key} is not set by destination there"),
            Self::LeftOpen { key, line } => {
                return write!(f, "not written: {key} comes from line {line}, and nothing falls through there; write it in this entry");
            }
            Self::Pin => "not written: a pin is sha256// and 44 characters of base64",
            Self::AllDomains => "not written: a level for all domains is smtp_tls_security_level in main.cf",
            Self::Wildcard => "not written: there are no wildcards there but a leading dot",
            Self::Joined { first_line } => {
                return write!(f, "not written: the domain is there by line {first_line}, and there the first holds, not both");
            }
            Self::Kind(kind) => return write!(f, "not written: there is no {kind} there"),
            Self::Defaults => "not written: defaults are set in main.cf",
            Self::Includes => "not written: rows of included files are exported by themselves",
            Self::NoColumn { key } => return write!(f, "not written: there is no column for {key}"),
        };
        f.write_str(text)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.file, self.line)?;
        if let Some(column) = self.column {
            write!(f, "{column}:")?;
        }
        f.write_str(" ")?;
        // What stands in a table must not steer the terminal that this is shown on.
        self.found.chars().try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_debug()) } else { f.write_char(c) })?;
        write!(f, ": {}", self.loss)
    }
}

/// What was noted on the way.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) file: Arc<str>,
    pub(super) warnings: Vec<Warning>,
    pub(super) refused: Vec<Warning>,
}

impl Notes {
    pub(super) fn new(file: &str) -> Self {
        Self { file: Arc::from(file), warnings: Vec::new(), refused: Vec::new() }
    }

    pub(super) fn warn(&mut self, (line, column): (u32, Option<u32>), found: &str, loss: Loss) {
        let warning = Warning { file: Arc::clone(&self.file), line, column, found: found.to_owned(), loss };
        self.warnings.push(warning);
    }

    /// The same, unless this loss was noted before: then it is known.
    pub(super) fn warn_once(&mut self, place: (u32, Option<u32>), found: &str, loss: Loss) {
        if !self.warnings.iter().any(|warning| warning.loss == loss) {
            self.warn(place, found, loss);
        }
    }

    pub(super) fn refuse(&mut self, (line, column): (u32, Option<u32>), found: &str, loss: Loss) {
        let warning = Warning { file: Arc::clone(&self.file), line, column, found: found.to_owned(), loss };
        self.refused.push(warning);
    }
}
