//! Commands: from a line to a value and back.

mod error;
mod grammar;
mod plain;

use std::fmt;

use sealpost_types::{
    AddressLiteral, BodyKind, Domain, EnvelopeId, ForwardPath, MailHost, Notify, Octets, OriginalRecipient, Ret, ReversePath,
};

pub use self::error::{CommandError, Parameter, Verb};
use crate::auth::{AuthMechanism, Secret};
use crate::line::TextLine;
use crate::params::{self, Accepted};

/// One command of a client.
///
/// # Wire
/// RFC 5321 section 4.1.1; RFC 3207 (STARTTLS), RFC 3030 (BDAT), RFC 4954 (AUTH).
///
/// # Example
/// ```
/// # use sealpost_smtp::Command;
/// let command = Command::parse(b"mail from:<@relay.example:ann@B\xc3\xbccher.example> SMTPUTF8")?;
/// let mut wire = Vec::new();
/// command.encode(&mut wire);
/// assert_eq!(wire, b"MAIL FROM:<ann@xn--bcher-kva.example> SMTPUTF8\r\n");
/// # Ok::<(), sealpost_smtp::CommandError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// A greeting without extensions.
    Helo(HelloName),
    /// A greeting that asks for extensions.
    Ehlo(HelloName),
    /// Go over to TLS.
    StartTls,
    /// Begin a transaction.
    Mail(MailCommand),
    /// Name a recipient.
    Rcpt(RcptCommand),
    /// The content follows, dots stuffed.
    Data,
    /// A piece of the content follows, as it is.
    Bdat {
        /// Octets that follow the line.
        size: Octets,
        /// Whether the content ends with them.
        last: bool,
    },
    /// Forget the transaction.
    Rset,
    /// Nothing.
    Noop,
    /// End the session.
    Quit,
    /// Is there such a mailbox?
    Vrfy(TextLine),
    /// Who is on this list?
    Expn(TextLine),
    /// Explain something.
    Help(Option<TextLine>),
    /// Prove who the client is.
    Auth {
        /// How.
        mechanism: AuthMechanism,
        /// The first response, if it comes along.
        initial: Option<Secret>,
    },
}

/// MAIL with its parameters.
///
/// # Wire
/// RFC 5321 section 4.1.1.2; SIZE RFC 1870, BODY RFC 6152 and 3030, SMTPUTF8 RFC 6531, REQUIRETLS RFC 8689, RET and
/// ENVID RFC 3461, AUTH RFC 4954 section 5.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailCommand {
    /// Where the message comes from.
    pub reverse_path: ReversePath,
    /// How large the client expects it to be.
    pub size: Option<Octets>,
    /// What the client says of the body.
    pub body: BodyKind,
    /// Whether addresses and header may hold UTF-8.
    pub smtputf8: bool,
    /// Whether every further hop must use TLS.
    pub require_tls: bool,
    /// How much a notification gives back.
    pub ret: Option<Ret>,
    /// The sender's own name for the message.
    pub envelope_id: Option<EnvelopeId>,
    /// Who submitted the message in the first place; the null path says that nobody knows.
    pub auth: Option<ReversePath>,
}

/// RCPT with its parameters.
///
/// # Wire
/// RFC 5321 section 4.1.1.3; NOTIFY and ORCPT RFC 3461.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RcptCommand {
    /// Where the message goes.
    pub forward_path: ForwardPath,
    /// When the sender wants to hear of it.
    pub notify: Option<Notify>,
    /// The address that the sender first wrote.
    pub original: Option<OriginalRecipient>,
}

/// What a client calls itself in EHLO or HELO: kept as it is, because many names are no domains.
///
/// # Limits
/// Not empty, at most [`HelloName::OCTETS`] octets, no control characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HelloName(TextLine);

impl Command {
    /// The command that `line` (without its CRLF) spells.
    ///
    /// White space at the end is dropped; keywords are read in any case.
    ///
    /// # Errors
    /// One [`CommandError`] variant per kind of mistake; see there.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        grammar::command(line, Accepted::ALL)
    }

    /// The command of a line; parameters that are not `accepted` are unknown ones.
    pub(crate) fn parse_accepting(line: &[u8], accepted: Accepted) -> Result<Self, CommandError> {
        grammar::command(line, accepted)
    }

    /// The verb that a line begins with, whatever follows it.
    pub(crate) fn verb(line: &[u8]) -> Option<Verb> {
        grammar::verb_of(line)
    }

    /// The first word of the command.
    #[must_use]
    pub fn as_verb(&self) -> Verb {
        match self {
            Self::Helo(_) => Verb::Helo,
            Self::Ehlo(_) => Verb::Ehlo,
            Self::StartTls => Verb::StartTls,
            Self::Mail(_) => Verb::Mail,
            Self::Rcpt(_) => Verb::Rcpt,
            Self::Data => Verb::Data,
            Self::Bdat { .. } => Verb::Bdat,
            Self::Rset => Verb::Rset,
            Self::Noop => Verb::Noop,
            Self::Quit => Verb::Quit,
            Self::Vrfy(_) => Verb::Vrfy,
            Self::Expn(_) => Verb::Expn,
            Self::Help(_) => Verb::Help,
            Self::Auth { .. } => Verb::Auth,
        }
    }

    /// Appends the line that goes over the wire, with its CRLF.
    pub fn encode(&self, out: &mut Vec<u8>) {
        use std::io::Write as _;
        let mut words = |words: &[&str]| words.iter().for_each(|word| out.extend_from_slice(word.as_bytes()));
        match self {
            Self::Helo(name) => words(&["HELO ", name.as_str()]),
            Self::Ehlo(name) => words(&["EHLO ", name.as_str()]),
            Self::StartTls => words(&["STARTTLS"]),
            Self::Mail(mail) => {
                // Writing into a Vec cannot fail.
                let _ = write!(out, "MAIL FROM:<{}>", mail.reverse_path);
                params::encode_mail(mail, out);
            }
            Self::Rcpt(rcpt) => {
                let _ = write!(out, "RCPT TO:<{}>", rcpt.forward_path);
                params::encode_rcpt(rcpt, out);
            }
            Self::Data => words(&["DATA"]),
            Self::Bdat { size, last } => words(&["BDAT ", &size.to_string(), if *last { " LAST" } else { "" }]),
            Self::Rset => words(&["RSET"]),
            Self::Noop => words(&["NOOP"]),
            Self::Quit => words(&["QUIT"]),
            Self::Vrfy(argument) => words(&["VRFY ", argument.as_str()]),
            Self::Expn(argument) => words(&["EXPN ", argument.as_str()]),
            Self::Help(None) => words(&["HELP"]),
            Self::Help(Some(argument)) => words(&["HELP ", argument.as_str()]),
            Self::Auth { mechanism, initial: None } => words(&["AUTH ", mechanism.as_str()]),
            Self::Auth { mechanism, initial: Some(initial) } => words(&["AUTH ", mechanism.as_str(), " ", &initial.to_base64()]),
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl MailCommand {
    /// MAIL without parameters.
    #[must_use]
    pub fn new(reverse_path: ReversePath) -> Self {
        Self {
            reverse_path,
            size: None,
            body: BodyKind::default(),
            smtputf8: false,
            require_tls: false,
            ret: None,
            envelope_id: None,
            auth: None,
        }
    }
}

impl RcptCommand {
    /// RCPT without parameters.
    #[must_use]
    pub fn new(forward_path: ForwardPath) -> Self {
        Self { forward_path, notify: None, original: None }
    }
}

impl HelloName {
    /// Octets in a name, RFC 5321 section 4.5.3.1.2.
    pub const OCTETS: usize = 255;

    /// The name that `text` is, or nothing if it is empty, too long or holds a control character.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.len() > Self::OCTETS { None } else { TextLine::new(text).map(Self) }
    }

    /// The name as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The domain or address literal that the name is, if it is one: what RFC 5321 section 4.1.1.1 asks for.
    #[must_use]
    pub fn as_host(&self) -> Option<MailHost> {
        let literal = AddressLiteral::parse(self.as_str()).ok().map(MailHost::Literal);
        literal.or_else(|| Domain::parse(self.as_str()).ok().map(MailHost::Domain))
    }
}

impl From<&Domain> for HelloName {
    fn from(domain: &Domain) -> Self {
        Self(TextLine::of_host(domain))
    }
}

impl From<AddressLiteral> for HelloName {
    fn from(literal: AddressLiteral) -> Self {
        Self(TextLine::of_host(&literal))
    }
}

impl fmt::Display for HelloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for HelloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
