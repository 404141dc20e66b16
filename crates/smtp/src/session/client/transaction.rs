//! One message to be sent, and what it needs of the server.

use std::fmt;

use sealpost_types::{BodyKind, EnvelopeId, Octets, Recipient, Ret, ReversePath};

use crate::command::{Command, MailCommand, RcptCommand};
use crate::ehlo::Extensions;

/// One message to be sent: its envelope, and how large its body is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transaction {
    /// Where the message comes from.
    pub reverse_path: ReversePath,
    /// Where it goes.
    pub recipients: Vec<Recipient>,
    /// What the body is.
    pub body: BodyKind,
    /// Whether header or addresses hold UTF-8.
    pub smtputf8: bool,
    /// Whether every further hop must use TLS.
    pub require_tls: bool,
    /// How much a notification gives back.
    pub ret: Option<Ret>,
    /// The sender's own name for the message.
    pub envelope_id: Option<EnvelopeId>,
    /// Exactly how many octets the body has, before stuffing: for `SIZE=` and BDAT.
    pub body_length: Octets,
    /// Whether the body may be asked for before the server has answered MAIL and RCPT, where PIPELINING and CHUNKING
    /// are both offered: one round trip for the whole message, at the price of sending a body for which every
    /// recipient may be refused. For small bodies.
    pub inline_body: bool,
}

/// Something that a message needs and a server lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missing {
    /// The body has octets beyond ASCII, and the server has no 8BITMIME. It is sent as it is all the same.
    EightBitMime,
    /// The body is binary, and the server has no BINARYMIME with CHUNKING. It is not sent.
    BinaryMime,
    /// Header or addresses hold UTF-8, and the server has no SMTPUTF8. It is not sent.
    SmtpUtf8,
    /// The message is larger than the server says it takes. It is offered all the same.
    Size {
        /// The most that the server takes.
        limit: Octets,
    },
    /// REQUIRETLS was asked for, and the server has none. It is not sent.
    RequireTls,
    /// A notification was asked for, and the server has no DSN. It is sent without: RFC 3461 section 5.2.2 says who
    /// then has to notify.
    Dsn,
}

impl Transaction {
    /// A message with nothing asked for beyond its ends.
    #[must_use]
    pub fn new(reverse_path: ReversePath, recipients: Vec<Recipient>, body_length: Octets) -> Self {
        Self {
            reverse_path,
            recipients,
            body: BodyKind::default(),
            smtputf8: false,
            require_tls: false,
            ret: None,
            envelope_id: None,
            body_length,
            inline_body: false,
        }
    }

    /// Whether one of its addresses can only be sent with SMTPUTF8.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        self.smtputf8 || !self.reverse_path.is_ascii() || self.recipients.iter().any(|recipient| !recipient.path.is_ascii())
    }

    fn asks_for_dsn(&self) -> bool {
        let recipient = |recipient: &Recipient| recipient.notify.is_some() || recipient.original.is_some();
        self.ret.is_some() || self.envelope_id.is_some() || self.recipients.iter().any(recipient)
    }

    pub(super) fn mail(&self, extensions: &Extensions) -> Command {
        let dsn = extensions.dsn();
        let mut mail = MailCommand::new(self.reverse_path.clone());
        mail.size = extensions.size().then_some(self.body_length);
        mail.body = match self.body {
            BodyKind::EightBitMime if !extensions.eight_bit_mime() => BodyKind::SevenBit,
            body => body,
        };
        mail.smtputf8 = self.needs_smtputf8();
        mail.require_tls = self.require_tls;
        mail.ret = self.ret.filter(|_| dsn);
        mail.envelope_id = self.envelope_id.clone().filter(|_| dsn);
        Command::Mail(mail)
    }

    pub(super) fn rcpt(recipient: &Recipient, extensions: &Extensions) -> Command {
        let dsn = extensions.dsn();
        let mut rcpt = RcptCommand::new(recipient.path.clone());
        rcpt.notify = recipient.notify.filter(|_| dsn);
        rcpt.original = recipient.original.clone().filter(|_| dsn);
        Command::Rcpt(rcpt)
    }
}

/// What `transaction` needs and `extensions` lack.
#[must_use]
pub fn missing_for(transaction: &Transaction, extensions: &Extensions) -> Vec<Missing> {
    let binary = extensions.binary_mime() && extensions.chunking();
    let limit = extensions.size_limit().filter(|limit| transaction.body_length > *limit);
    let needs = [
        (transaction.body == BodyKind::EightBitMime && !extensions.eight_bit_mime(), Missing::EightBitMime),
        (transaction.body == BodyKind::BinaryMime && !binary, Missing::BinaryMime),
        (transaction.needs_smtputf8() && !extensions.smtputf8(), Missing::SmtpUtf8),
        (transaction.require_tls && !extensions.require_tls(), Missing::RequireTls),
        (transaction.asks_for_dsn() && !extensions.dsn(), Missing::Dsn),
    ];
    let missing = needs.into_iter().filter(|(lacking, _)| *lacking).map(|(_, missing)| missing);
    missing.chain(limit.map(|limit| Missing::Size { limit })).collect()
}

impl Missing {
    /// Whether the message cannot be sent without it.
    #[must_use]
    pub fn forbids_sending(self) -> bool {
        matches!(self, Self::BinaryMime | Self::SmtpUtf8 | Self::RequireTls)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EightBitMime => f.write_str("8BITMIME"),
            Self::BinaryMime => f.write_str("BINARYMIME"),
            Self::SmtpUtf8 => f.write_str("SMTPUTF8"),
            Self::Size { limit } => write!(f, "room for more than {limit} octets"),
            Self::RequireTls => f.write_str("REQUIRETLS"),
            Self::Dsn => f.write_str("DSN"),
        }
    }
}
