//! EHLO: what a server can do beyond RFC 5321.

use std::fmt;

use sealpost_types::Octets;

use crate::auth::AuthMechanism;
use crate::line::TextLine;
use crate::reply::Reply;

/// One line of the reply to EHLO.
///
/// # Wire
/// RFC 5321 section 4.1.1.1 (`ehlo-line`); the registry "SMTP Service Extensions".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// Commands may be sent without waiting for replies, RFC 2920.
    Pipelining,
    /// MAIL takes `SIZE=`; the most that is accepted, if the server says so, RFC 1870.
    Size(Option<Octets>),
    /// Bodies may hold octets beyond ASCII, RFC 6152.
    EightBitMime,
    /// Addresses and header fields may hold UTF-8, RFC 6531.
    SmtpUtf8,
    /// The session can go over to TLS, RFC 3207.
    StartTls,
    /// Content may come in chunks, RFC 3030.
    Chunking,
    /// Bodies may be binary, RFC 3030.
    BinaryMime,
    /// Notifications can be asked for, RFC 3461.
    Dsn,
    /// Replies carry enhanced status codes, RFC 2034.
    EnhancedStatusCodes,
    /// TLS can be demanded for every further hop, RFC 8689.
    RequireTls,
    /// Clients can prove who they are, RFC 4954.
    Auth(Vec<AuthMechanism>),
    /// There is a HELP command.
    Help,
    /// An extension that this crate does not know.
    Other(UnknownExtension),
}

/// A line of the reply to EHLO that is none of those known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownExtension(TextLine);

/// What a server offers.
///
/// # Example
/// ```
/// # use sealpost_smtp::{Extensions, Reply};
/// let reply = Reply::parse(b"250-mx.example at your service\r\n250-SIZE 9000\r\n250-X-Fast\r\n250 pipelining\r\n")?;
/// let extensions = Extensions::from_reply(&reply);
/// assert!(extensions.pipelining() && !extensions.starttls());
/// assert_eq!(extensions.size_limit().map(|octets| octets.0), Some(9000));
/// # Ok::<(), sealpost_smtp::ReplyError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Vec<Extension>);

/// Which extensions a server session offers. SIZE and ENHANCEDSTATUSCODES it always offers.
///
/// Offer one only when everything behind the session honours it: what is not offered is refused when a client uses
/// it all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// STARTTLS, for as long as the session is in clear. Default no.
    pub starttls: bool,
    /// PIPELINING. Default yes.
    pub pipelining: bool,
    /// 8BITMIME. Default yes.
    pub eight_bit_mime: bool,
    /// CHUNKING. Default yes.
    pub chunking: bool,
    /// SMTPUTF8. Default no: it needs a next hop that takes it.
    pub smtputf8: bool,
    /// DSN. Default no: it needs somebody who writes notifications.
    pub dsn: bool,
    /// REQUIRETLS, under TLS. Default no: it needs a delivery that honours it.
    pub require_tls: bool,
    /// AUTH with these mechanisms, under TLS; PLAIN and LOGIN work. Default none.
    pub auth: Vec<AuthMechanism>,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            starttls: false,
            pipelining: true,
            eight_bit_mime: true,
            chunking: true,
            smtputf8: false,
            dsn: false,
            require_tls: false,
            auth: Vec::new(),
        }
    }
}

impl Offer {
    /// The extensions to list, in clear or under TLS.
    #[must_use]
    pub fn extensions(&self, under_tls: bool, limit: Octets) -> Extensions {
        let lines = [
            (self.pipelining, Extension::Pipelining),
            (true, Extension::Size(Some(limit))),
            (self.eight_bit_mime, Extension::EightBitMime),
            (self.smtputf8, Extension::SmtpUtf8),
            (self.starttls && !under_tls, Extension::StartTls),
            (self.chunking, Extension::Chunking),
            (self.dsn, Extension::Dsn),
            (true, Extension::EnhancedStatusCodes),
            (self.require_tls && under_tls, Extension::RequireTls),
            (!self.auth.is_empty() && under_tls, Extension::Auth(self.auth.clone())),
        ];
        lines.into_iter().filter(|(offered, _)| *offered).map(|(_, extension)| extension).collect()
    }
}

impl Extension {
    /// The extension that a line of the reply to EHLO names, or nothing if the line is empty.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start();
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        let plain = PLAIN.iter().find(|(name, _)| is(name)).map(|(_, extension)| extension.clone());
        let known = match plain {
            Some(extension) => Some(extension),
            None if is("SIZE") && rest.is_empty() => Some(Self::Size(None)),
            None if is("SIZE") => {
                rest.parse().ok().filter(|_| rest.bytes().all(|b| b.is_ascii_digit())).map(|n| Self::Size(Some(Octets(n))))
            }
            None if is("AUTH") => Some(Self::Auth(rest.split(' ').filter_map(AuthMechanism::parse).collect())),
            None => None,
        };
        known.or_else(|| TextLine::new(line).map(|line| Self::Other(UnknownExtension(line))))
    }
}

impl UnknownExtension {
    /// The line as the server wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Extensions {
    /// What a reply to EHLO lists: each line behind the first.
    #[must_use]
    pub fn from_reply(reply: &Reply) -> Self {
        reply.lines().skip(1).filter_map(Extension::parse).collect()
    }

    /// The reply to EHLO that lists them.
    #[must_use]
    pub fn to_reply(&self, hostname: &impl fmt::Display) -> Reply {
        let lines = self.0.iter().fold(hostname.to_string(), |lines, extension| format!("{lines}\n{extension}"));
        Reply::plain::<250>(lines)
    }

    /// Each of them, in the order of the server.
    pub fn iter(&self) -> impl Iterator<Item = &Extension> {
        self.0.iter()
    }

    /// Whether there is none: a server of RFC 821.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// PIPELINING.
    #[must_use]
    pub fn pipelining(&self) -> bool {
        self.0.contains(&Extension::Pipelining)
    }

    /// SIZE, with a limit or without.
    #[must_use]
    pub fn size(&self) -> bool {
        self.0.iter().any(|extension| matches!(extension, Extension::Size(_)))
    }

    /// The greatest message that the server says it takes. It may say 0 for "any", which is no limit.
    #[must_use]
    pub fn size_limit(&self) -> Option<Octets> {
        self.0
            .iter()
            .find_map(|extension| match extension {
                Extension::Size(limit) => *limit,
                _ => None,
            })
            .filter(|limit| limit.0 > 0)
    }

    /// 8BITMIME.
    #[must_use]
    pub fn eight_bit_mime(&self) -> bool {
        self.0.contains(&Extension::EightBitMime)
    }

    /// SMTPUTF8.
    #[must_use]
    pub fn smtputf8(&self) -> bool {
        self.0.contains(&Extension::SmtpUtf8)
    }

    /// STARTTLS.
    #[must_use]
    pub fn starttls(&self) -> bool {
        self.0.contains(&Extension::StartTls)
    }

    /// CHUNKING.
    #[must_use]
    pub fn chunking(&self) -> bool {
        self.0.contains(&Extension::Chunking)
    }

    /// BINARYMIME.
    #[must_use]
    pub fn binary_mime(&self) -> bool {
        self.0.contains(&Extension::BinaryMime)
    }

    /// DSN.
    #[must_use]
    pub fn dsn(&self) -> bool {
        self.0.contains(&Extension::Dsn)
    }

    /// ENHANCEDSTATUSCODES.
    #[must_use]
    pub fn enhanced_status_codes(&self) -> bool {
        self.0.contains(&Extension::EnhancedStatusCodes)
    }

    /// REQUIRETLS.
    #[must_use]
    pub fn require_tls(&self) -> bool {
        self.0.contains(&Extension::RequireTls)
    }

    /// The mechanisms of AUTH.
    #[must_use]
    pub fn auth(&self) -> &[AuthMechanism] {
        self.0
            .iter()
            .find_map(|extension| match extension {
                Extension::Auth(mechanisms) => Some(mechanisms.as_slice()),
                _ => None,
            })
            .unwrap_or_default()
    }
}

impl FromIterator<Extension> for Extensions {
    fn from_iter<I: IntoIterator<Item = Extension>>(extensions: I) -> Self {
        Self(extensions.into_iter().collect())
    }
}

/// The line as it goes over the wire, without code and CRLF.
impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(None) => f.write_str("SIZE"),
            Self::Size(Some(limit)) => write!(f, "SIZE {limit}"),
            Self::Auth(mechanisms) => {
                f.write_str("AUTH")?;
                mechanisms.iter().try_for_each(|mechanism| write!(f, " {mechanism}"))
            }
            Self::Other(line) => f.write_str(line.as_str()),
            plain => f.write_str(PLAIN.iter().find(|(_, extension)| extension == plain).map_or("", |(name, _)| name)),
        }
    }
}

/// The extensions that are a keyword and nothing else.
const PLAIN: &[(&str, Extension)] = &[
    ("PIPELINING", Extension::Pipelining),
    ("8BITMIME", Extension::EightBitMime),
    ("SMTPUTF8", Extension::SmtpUtf8),
    ("STARTTLS", Extension::StartTls),
    ("CHUNKING", Extension::Chunking),
    ("BINARYMIME", Extension::BinaryMime),
    ("DSN", Extension::Dsn),
    ("ENHANCEDSTATUSCODES", Extension::EnhancedStatusCodes),
    ("REQUIRETLS", Extension::RequireTls),
    ("HELP", Extension::Help),
];
