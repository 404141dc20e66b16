//! What a client session tells its owner.

use std::fmt;
use std::sync::Arc;

use super::ClientError;
use crate::data::BodyTransfer;
use crate::ehlo::Extensions;
use crate::reply::Reply;

/// What happened in a client session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server greeted.
    Greeting(Reply),
    /// The server answered EHLO, or HELO where EHLO was refused: the owner says what comes next. Again after STARTTLS.
    ///
    /// Here and at [`ClientEvent::Finished`]: if the server said more than it may right behind that reply, the session
    /// is not ready any more, and [`ClientEvent::Failed`] is the next event.
    Ready {
        /// What the server offers; nothing after HELO.
        extensions: Arc<Extensions>,
        /// The reply itself.
        reply: Reply,
    },
    /// The server will not: at the greeting or at EHLO the session ends, at STARTTLS and AUTH it is ready again.
    Refused {
        /// At what.
        stage: Stage,
        /// Why.
        reply: Reply,
    },
    /// The reply to MAIL. If it is a refusal, [`ClientEvent::Finished`] comes next.
    Mail(Reply),
    /// The reply to one RCPT; one for each recipient, in order, unless MAIL was refused.
    Recipient {
        /// Which recipient of the transaction.
        index: usize,
        /// What the server said.
        reply: Reply,
    },
    /// Write the body now, behind what was to be sent before, then call `body_sent`.
    SendBody(BodyTransfer),
    /// The transaction is over, and the session ready.
    ///
    /// A success says that the server has the message for each recipient whose own reply was a success. A refusal
    /// is the one that decided: of the body, of DATA, of MAIL, or of the last recipient when all were refused.
    Finished(Reply),
    /// The server believes who the client is; the session is ready.
    Authenticated(Reply),
    /// The server answered RSET.
    Reset,
    /// The session ends in the middle: whatever has not been answered is undecided.
    Failed(ClientError),
}

/// What a reply is, or would have been, about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The connection.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// Nothing: no command was under way.
    Idle,
    /// MAIL.
    Mail,
    /// RCPT.
    Recipient,
    /// DATA.
    Data,
    /// The content.
    Body,
    /// RSET.
    Reset,
    /// QUIT.
    Quit,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Idle => "no command",
            Self::Mail => "MAIL",
            Self::Recipient => "RCPT",
            Self::Data => "DATA",
            Self::Body => "the content",
            Self::Reset => "RSET",
            Self::Quit => "QUIT",
        })
    }
}
