//! A transaction on its way: commands sent ahead, replies taken in step.

use std::sync::Arc;

use super::{ClientError, ClientEvent, ClientSession, Stage, State, Transaction, TransactionError, missing_for};
use crate::command::Command;
use crate::data::BodyTransfer;
use crate::ehlo::Extensions;
use crate::reply::Reply;

/// The commands of a transaction in order, how many are sent, and how many answered.
///
/// ```text
///   [RSET] MAIL RCPT ... RCPT [DATA or BDAT]       positions 0, 1, 2 ...
///            ^answered        ^sent                at most WINDOW apart
/// ```
#[derive(Debug)]
pub(super) struct Flight {
    transaction: Transaction,
    /// Whether RSET stands before MAIL.
    reset: bool,
    /// How many commands may be on their way.
    window: usize,
    ahead: Ahead,
    sent: usize,
    answered: usize,
    accepted: usize,
    /// Why the message goes to nobody, as far as is known.
    refusal: Option<Reply>,
    mail_refused: bool,
    content: ContentState,
}

/// How the content is announced, and whether before the recipients are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ahead {
    /// DATA among the first commands.
    Data,
    /// BDAT and the body among the first commands.
    Bdat,
    /// DATA once there is a recipient.
    DataLater,
    /// BDAT once there is a recipient.
    BdatLater,
}

/// How far the content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContentState {
    /// Not asked for.
    Pending,
    /// The owner is writing it.
    Sending,
    /// All written.
    Sent,
    /// An empty one, because the server wants it for nobody.
    Empty,
}

/// What a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Reset,
    Mail,
    Recipient(usize),
    Content,
}

impl Flight {
    pub(super) fn new(transaction: Transaction, extensions: &Extensions, reset: bool) -> Result<Self, TransactionError> {
        if transaction.recipients.is_empty() {
            return Err(TransactionError::NoRecipients);
        }
        if let Some(missing) = missing_for(&transaction, extensions).into_iter().find(|missing| missing.forbids_sending()) {
            return Err(TransactionError::Missing(missing));
        }
        let ahead = match (extensions.chunking(), extensions.pipelining()) {
            (true, true) if transaction.inline_body => Ahead::Bdat,
            (true, _) => Ahead::BdatLater,
            (false, true) => Ahead::Data,
            (false, false) => Ahead::DataLater,
        };
        Ok(Self {
            transaction,
            reset,
            window: if extensions.pipelining() { WINDOW } else { 1 },
            ahead,
            sent: 0,
            answered: 0,
            accepted: 0,
            refusal: None,
            mail_refused: false,
            content: ContentState::Pending,
        })
    }

    pub(super) fn is_sending(&self) -> bool {
        self.content == ContentState::Sending
    }

    /// Whether that is news.
    pub(super) fn body_sent(&mut self) -> bool {
        let sending = self.is_sending();
        if sending {
            self.content = ContentState::Sent;
        }
        sending
    }

    pub(super) fn stage(&self) -> Stage {
        match self.position(self.answered) {
            Position::Reset => Stage::Reset,
            Position::Mail => Stage::Mail,
            Position::Recipient(_) => Stage::Recipient,
            Position::Content if self.content == ContentState::Pending => Stage::Data,
            Position::Content => Stage::Body,
        }
    }

    fn position(&self, at: usize) -> Position {
        match at.checked_sub(usize::from(self.reset)) {
            None => Position::Reset,
            Some(0) => Position::Mail,
            Some(after) if after <= self.transaction.recipients.len() => Position::Recipient(after.saturating_sub(1)),
            Some(_) => Position::Content,
        }
    }

    /// How many commands may go out by themselves.
    fn length(&self) -> usize {
        let envelope = usize::from(self.reset).saturating_add(1).saturating_add(self.transaction.recipients.len());
        match (self.mail_refused, self.ahead) {
            (true, _) => self.sent,
            (false, Ahead::Data | Ahead::Bdat) => envelope.saturating_add(1),
            (false, Ahead::DataLater | Ahead::BdatLater) => envelope,
        }
    }

    /// Writes the commands that may go out now; whether the body has to follow them.
    fn write(&mut self, extensions: &Extensions, out: &mut Vec<u8>) -> bool {
        // Refill in larger steps, so that a long list of recipients is not sent one by one.
        let on_their_way = self.sent.saturating_sub(self.answered);
        if on_their_way > self.window / 2 {
            return false;
        }
        while self.sent < self.length() && self.sent.saturating_sub(self.answered) < self.window {
            let position = self.position(self.sent);
            self.sent = self.sent.saturating_add(1);
            let command = match position {
                Position::Reset => Command::Rset,
                Position::Mail => self.transaction.mail(extensions),
                Position::Recipient(index) => match self.transaction.recipients.get(index) {
                    Some(recipient) => Transaction::rcpt(recipient, extensions),
                    None => continue,
                },
                Position::Content if self.ahead == Ahead::Data => Command::Data,
                Position::Content => {
                    self.bdat().encode(out);
                    self.content = ContentState::Sending;
                    return true;
                }
            };
            command.encode(out);
        }
        false
    }

    fn bdat(&self) -> Command {
        Command::Bdat { size: self.transaction.body_length, last: true }
    }
}

impl ClientSession {
    /// Sends the first commands.
    pub(super) fn depart(&mut self, mut flight: Flight) {
        let extensions = Arc::clone(&self.extensions);
        self.write_flight(&mut flight, &extensions);
        self.state = State::Transaction(Box::new(flight));
    }

    /// Takes the reply to the oldest command that has none.
    pub(super) fn take_flight_reply(&mut self, reply: Reply) {
        let State::Transaction(mut flight) = std::mem::replace(&mut self.state, State::Ready) else { return };
        let stage = flight.stage();
        let position = flight.position(flight.answered);
        let intermediate = !reply.is_success() && !reply.is_refusal();
        let wants_content = stage == Stage::Data;
        if flight.answered >= flight.sent || intermediate != (wants_content && !reply.is_refusal()) {
            return self.fail(ClientError::UnexpectedReply { stage, reply });
        }
        match position {
            Position::Reset if reply.is_refusal() => return self.fail(ClientError::ResetRefused { reply }),
            Position::Reset => {}
            Position::Mail => {
                if reply.is_refusal() {
                    flight.mail_refused = true;
                    flight.refusal = Some(reply.clone());
                }
                self.events.push_back(ClientEvent::Mail(reply));
            }
            // Without a sender these are answered too, but they say nothing of the recipient.
            Position::Recipient(_) if flight.mail_refused => {}
            Position::Recipient(index) => {
                if reply.is_success() {
                    flight.accepted = flight.accepted.saturating_add(1);
                } else {
                    flight.refusal = Some(reply.clone());
                }
                self.events.push_back(ClientEvent::Recipient { index, reply });
            }
            Position::Content if wants_content => return self.take_content_reply(flight, reply),
            Position::Content => return self.take_final_reply(&flight, reply),
        }
        flight.answered = flight.answered.saturating_add(1);
        let extensions = Arc::clone(&self.extensions);
        self.write_flight(&mut flight, &extensions);
        if flight.answered < flight.sent {
            self.state = State::Transaction(flight);
        } else {
            self.announce_content(flight);
        }
    }

    fn write_flight(&mut self, flight: &mut Flight, extensions: &Extensions) {
        if flight.write(extensions, self.out.open()) {
            self.events.push_back(ClientEvent::SendBody(BodyTransfer::Bdat(flight.transaction.body_length)));
        }
    }

    /// Everything before the content is answered, and the content was not announced ahead.
    fn announce_content(&mut self, mut flight: Box<Flight>) {
        match flight.refusal.take() {
            Some(refusal) if flight.accepted == 0 => self.finish(refusal),
            _ => {
                flight.sent = flight.sent.saturating_add(1);
                if flight.ahead == Ahead::BdatLater {
                    flight.bdat().encode(self.out.open());
                    flight.content = ContentState::Sending;
                    self.events.push_back(ClientEvent::SendBody(BodyTransfer::Bdat(flight.transaction.body_length)));
                } else {
                    Command::Data.encode(self.out.open());
                }
                self.state = State::Transaction(flight);
            }
        }
    }

    /// The reply to DATA.
    fn take_content_reply(&mut self, mut flight: Box<Flight>, reply: Reply) {
        if reply.is_refusal() {
            let refusal = flight.refusal.take().filter(|_| flight.accepted == 0);
            return self.finish(refusal.unwrap_or(reply));
        }
        if flight.accepted == 0 {
            // The server wants content although it refused everybody: RFC 2920 section 3.1 says to send an empty one.
            self.out.open().extend_from_slice(b".\r\n");
            flight.content = ContentState::Empty;
        } else {
            flight.content = ContentState::Sending;
            self.events.push_back(ClientEvent::SendBody(BodyTransfer::Data));
        }
        self.state = State::Transaction(flight);
    }

    /// The reply to the content.
    fn take_final_reply(&mut self, flight: &Flight, reply: Reply) {
        if flight.accepted == 0
            && let Some(refusal) = &flight.refusal
        {
            return self.finish_unless_half_sent(flight, refusal.clone());
        }
        if flight.is_sending() && reply.is_success() {
            return self.fail(ClientError::UnexpectedReply { stage: Stage::Body, reply });
        }
        self.finish_unless_half_sent(flight, reply);
    }

    /// A body that is not written to its end cannot be taken back: the connection is of no more use.
    fn finish_unless_half_sent(&mut self, flight: &Flight, reply: Reply) {
        self.finish(reply);
        if flight.is_sending() {
            self.close();
        }
    }

    fn finish(&mut self, reply: Reply) {
        self.dirty = reply.is_refusal();
        self.events.push_back(ClientEvent::Finished(reply));
        self.state = State::Ready;
    }
}

/// Commands that may be on their way at once. Their replies fit the buffers between the two ends, so that neither
/// waits for the other to read, RFC 2920 section 3.1.
const WINDOW: usize = 100;
