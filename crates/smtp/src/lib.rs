//! SMTP without IO: codec, server session and client session.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]

mod auth;
mod command;
mod data;
mod ehlo;
mod limits;
mod line;
mod params;
mod path;
mod reply;
mod session;

pub use auth::{AuthMechanism, Credentials, Secret};
pub use command::{Command, CommandError, HelloName, MailCommand, Parameter, RcptCommand, Verb};
pub use data::{BodyCheck, BodyFault, BodyTransfer, DataEncoder, DataScanner, Scan};
pub use ehlo::{Extension, Extensions, Offer, UnknownExtension};
pub use limits::{
    COMMAND_LINE_OCTETS, COMMAND_LINE_WITH_PARAMETERS_OCTETS, Limits, MESSAGE_OCTETS_AT_LEAST, RECIPIENTS_AT_LEAST, REPLY_LINE_OCTETS,
    TEXT_LINE_OCTETS,
};
pub use line::TextLine;
pub use reply::{Reply, ReplyError, ReplyReader};
pub use session::{
    Aborted, Answer, AnswerError, ClientConfig, ClientError, ClientEvent, ClientSession, ClientTimeouts, Missing, NotReady, Output,
    ServerConfig, ServerEvent, ServerSession, ServerTimeouts, Stage, Transaction, TransactionError, missing_for,
};
