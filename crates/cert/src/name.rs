//! Names in certificates: what is presented, and whether it is what was asked for.

use std::fmt;
use std::net::IpAddr;

use sealpost_types::{DOMAIN_OCTETS, LABEL_OCTETS, ReferenceName};
use x509_parser::extensions::GeneralName;

use crate::algorithm::dotted;
use crate::distinguished;

/// A subject alternative name, or a common name that was asked for: what a certificate says, not what we demand.
///
/// `Display` writes it as OpenSSL does (`DNS:mx.example`), with control characters escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum PresentedName {
    /// A host name, perhaps with a wildcard, exactly as it stands in the certificate.
    Dns(String),
    /// An IP address.
    Address(IpAddr),
    /// A mail address.
    Email(String),
    /// A URI.
    Uri(String),
    /// A distinguished name.
    Directory(String),
    /// A registered object identifier.
    Registered(String),
    /// A name of a kind of its own: its object identifier.
    Other(String),
    /// The common name of the subject. It is none of the alternative names, and is only there where somebody asked for it.
    CommonName(String),
    /// A name whose octets are not what its kind asks for.
    Unreadable,
}

/// Which demanded name was found, and the name in the certificate that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MatchedName {
    /// What was demanded.
    pub reference: ReferenceName,
    /// What the certificate says.
    pub presented: PresentedName,
}

impl PresentedName {
    /// Whether a certificate with this name is one for `reference`.
    ///
    /// A wildcard is one whole left-most label with at least two labels behind it, and stands for exactly one label.
    /// For [`ReferenceName::Below`] a wildcard counts when every name it stands for lies below. Addresses are
    /// compared with addresses only, and never with a host name that looks like one.
    ///
    /// # Wire
    /// RFC 9525 section 6 (which replaces RFC 6125); no common name is ever consulted, but for a [`ReferenceName::CommonName`], which
    /// asks for exactly that.
    ///
    /// # Example
    /// ```
    /// # use sealpost_cert::PresentedName;
    /// let wildcard = PresentedName::Dns("*.bank.example".to_owned());
    /// assert!(wildcard.matches(&"mx.bank.example".parse()?));
    /// assert!(wildcard.matches(&"*.bank.example".parse()?));
    /// assert!(!wildcard.matches(&"a.mx.bank.example".parse()?));
    /// assert!(!wildcard.matches(&"bank.example".parse()?));
    /// # Ok::<(), sealpost_types::ReferenceNameError>(())
    /// ```
    #[must_use]
    pub fn matches(&self, reference: &ReferenceName) -> bool {
        match (self, reference) {
            (Self::Address(presented), ReferenceName::Address(wanted)) => presented == wanted,
            (Self::CommonName(presented), ReferenceName::CommonName(wanted)) => presented.eq_ignore_ascii_case(wanted.as_str()),
            (Self::Dns(presented), ReferenceName::Exact(wanted)) => match HostPattern::parse(presented) {
                Some(HostPattern::Name(name)) => name.eq_ignore_ascii_case(wanted.as_str()),
                Some(HostPattern::Wildcard(parent)) => {
                    wanted.as_str().split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
                }
                None => false,
            },
            (Self::Dns(presented), ReferenceName::Below(parent)) => match HostPattern::parse(presented) {
                Some(HostPattern::Name(name)) => is_below(name, parent.as_str()),
                Some(HostPattern::Wildcard(rest)) => rest.eq_ignore_ascii_case(parent.as_str()) || is_below(rest, parent.as_str()),
                None => false,
            },
            _ => false,
        }
    }

    pub(crate) fn from_general(name: &GeneralName<'_>) -> Self {
        match name {
            GeneralName::DNSName(text) => Self::Dns((*text).to_owned()),
            GeneralName::IPAddress(octets) => address(octets).map_or(Self::Unreadable, Self::Address),
            GeneralName::RFC822Name(text) => Self::Email((*text).to_owned()),
            GeneralName::URI(text) => Self::Uri((*text).to_owned()),
            GeneralName::DirectoryName(name) => Self::Directory(distinguished::text(name)),
            GeneralName::RegisteredID(oid) => Self::Registered(dotted(oid.as_bytes())),
            GeneralName::OtherName(oid, _) => Self::Other(dotted(oid.as_bytes())),
            GeneralName::X400Address(_) | GeneralName::EDIPartyName(_) | GeneralName::Invalid(..) => Self::Unreadable,
        }
    }

    /// The name without its kind, as a finding cites it.
    #[must_use]
    pub fn bare(&self) -> String {
        match self {
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) => distinguished::printable(text),
            Self::Address(address) => address.to_string(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for PresentedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) => write!(f, "DNS:{}", distinguished::printable(text)),
            Self::Address(address) => write!(f, "IP Address:{address}"),
            Self::Email(text) => write!(f, "email:{}", distinguished::printable(text)),
            Self::Uri(text) => write!(f, "URI:{}", distinguished::printable(text)),
            Self::Directory(text) => write!(f, "DirName:{text}"),
            Self::Registered(oid) => write!(f, "Registered ID:{oid}"),
            Self::Other(oid) => write!(f, "othername:{oid}"),
            Self::CommonName(text) => write!(f, "CN:{}", distinguished::printable(text)),
            Self::Unreadable => f.write_str("(unreadable name)"),
        }
    }
}

/// A `dNSName` that obeys the grammar; others match nothing.
enum HostPattern<'a> {
    Name(&'a str),
    /// What stands behind `*.`.
    Wildcard(&'a str),
}

impl<'a> HostPattern<'a> {
    fn parse(presented: &'a str) -> Option<Self> {
        let (pattern, name, labels) = match presented.strip_prefix("*.") {
            Some(parent) => (Self::Wildcard(parent), parent, 2),
            None => (Self::Name(presented), presented, 1),
        };
        let is_label = |label: &str| {
            (1..=LABEL_OCTETS).contains(&label.len())
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last_is_number = name.rsplit('.').next().is_some_and(|label| label.bytes().all(|octet| octet.is_ascii_digit()));
        let right =
            presented.len() <= DOMAIN_OCTETS && name.split('.').all(is_label) && name.split('.').count() >= labels && !last_is_number;
        right.then_some(pattern)
    }
}

/// Whether `name`, which has no empty label, lies below `parent`.
fn is_below(name: &str, parent: &str) -> bool {
    let Some(split) = name.len().checked_sub(parent.len()) else { return false };
    let (Some(start), Some(end)) = (name.get(..split), name.get(split..)) else { return false };
    start.ends_with('.') && end.eq_ignore_ascii_case(parent)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}
