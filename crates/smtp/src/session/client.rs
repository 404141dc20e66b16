//! The client's end of a connection.

mod error;
mod event;
mod flight;
mod transaction;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{ReversePath, Ticks, TlsFacts};

pub use self::error::{ClientError, NotReady, TransactionError};
pub use self::event::{ClientEvent, Stage};
use self::flight::Flight;
pub use self::transaction::{Missing, Transaction, missing_for};
use super::{Outbox, Output};
use crate::auth::{AuthMechanism, Credentials, Secret};
use crate::command::{Command, HelloName, MailCommand};
use crate::ehlo::Extensions;
use crate::limits::Limits;
use crate::reply::{Reply, ReplyReader};

/// What a client session is to be like; one value serves all sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// What to say in EHLO.
    pub hello: HelloName,
    /// What to accept from the server.
    pub limits: Limits,
    /// How long to wait for the server.
    pub timeouts: ClientTimeouts,
}

/// How long a client session waits for its server.
///
/// # Wire
/// RFC 5321 section 4.5.3.2; each default is the least that it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientTimeouts {
    /// For the greeting. Default [`GREETING_TIMEOUT`](Self::GREETING_TIMEOUT).
    pub greeting: Duration,
    /// For the reply to EHLO, STARTTLS, RSET and QUIT. Default [`COMMAND_TIMEOUT`](Self::COMMAND_TIMEOUT).
    pub command: Duration,
    /// For the reply to MAIL. Default [`MAIL_TIMEOUT`](Self::MAIL_TIMEOUT).
    pub mail: Duration,
    /// For the reply to each RCPT. Default [`RCPT_TIMEOUT`](Self::RCPT_TIMEOUT).
    pub rcpt: Duration,
    /// For the reply to DATA. Default [`DATA_TIMEOUT`](Self::DATA_TIMEOUT).
    pub data: Duration,
    /// For a block of content to be taken. Default [`BLOCK_TIMEOUT`](Self::BLOCK_TIMEOUT).
    pub block: Duration,
    /// For the reply to the content. Default [`FINAL_TIMEOUT`](Self::FINAL_TIMEOUT).
    pub finish: Duration,
}

impl ClientTimeouts {
    /// RFC 5321 section 4.5.3.2.1: 5 minutes.
    pub const GREETING_TIMEOUT: Duration = Duration::from_secs(5 * 60);
    /// RFC 5321 section 4.5.3.2 names none for EHLO and the rest; as for MAIL.
    pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5 * 60);
    /// RFC 5321 section 4.5.3.2.2: 5 minutes.
    pub const MAIL_TIMEOUT: Duration = Duration::from_secs(5 * 60);
    /// RFC 5321 section 4.5.3.2.3: 5 minutes.
    pub const RCPT_TIMEOUT: Duration = Duration::from_secs(5 * 60);
    /// RFC 5321 section 4.5.3.2.4: 2 minutes.
    pub const DATA_TIMEOUT: Duration = Duration::from_secs(2 * 60);
    /// RFC 5321 section 4.5.3.2.5: 3 minutes.
    pub const BLOCK_TIMEOUT: Duration = Duration::from_secs(3 * 60);
    /// RFC 5321 section 4.5.3.2.6: 10 minutes. Shorter ones duplicate mail.
    pub const FINAL_TIMEOUT: Duration = Duration::from_secs(10 * 60);
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            greeting: Self::GREETING_TIMEOUT,
            command: Self::COMMAND_TIMEOUT,
            mail: Self::MAIL_TIMEOUT,
            rcpt: Self::RCPT_TIMEOUT,
            data: Self::DATA_TIMEOUT,
            block: Self::BLOCK_TIMEOUT,
            finish: Self::FINAL_TIMEOUT,
        }
    }
}

impl ClientConfig {
    /// A client of this name with everything else at its default.
    #[must_use]
    pub fn new(hello: HelloName) -> Self {
        Self { hello, limits: Limits::default(), timeouts: ClientTimeouts::default() }
    }
}

/// The client's end of one connection.
///
/// It greets by itself; from [`ClientEvent::Ready`] on it does what it is told, one thing at a time:
/// [`start_tls`](Self::start_tls), [`authenticate`](Self::authenticate), [`transaction`](Self::transaction), [`reset`](Self::reset), [`quit`](Self::quit).
///
/// # Limits
/// [`Limits::reply_line`] and [`Limits::reply_lines`]; beside them it keeps the envelope of the transaction under way.
#[derive(Debug)]
pub struct ClientSession {
    config: Arc<ClientConfig>,
    tls: Option<TlsFacts>,
    state: State,
    extensions: Arc<Extensions>,
    reader: ReplyReader,
    out: Outbox,
    events: VecDeque<ClientEvent>,
    /// Whether the server may still hold a transaction that failed.
    dirty: bool,
    /// Whether the hand-over that `state` stands for has been told.
    handed_over: bool,
    announced: Option<Ticks>,
    /// When the server's turn began.
    since: Ticks,
}

/// What the next reply answers.
#[derive(Debug)]
enum State {
    /// The connection.
    Greeting,
    /// EHLO.
    Ehlo,
    /// HELO, after EHLO was refused.
    Helo,
    /// Nothing: the owner says what comes next.
    Ready,
    /// STARTTLS.
    StartTls,
    /// Nothing: TLS has to come first.
    HandOver,
    /// AUTH; what is still to be said of it, the last first.
    Auth(Vec<Secret>),
    /// MAIL, to see whether it would be taken.
    TryMail,
    /// RSET.
    Reset,
    /// The commands of a transaction.
    Transaction(Box<Flight>),
    /// QUIT.
    Quit,
    /// Nothing any more.
    Closed,
}

impl ClientSession {
    /// A session that waits for the greeting; `tls` if the connection began with TLS.
    #[must_use]
    pub fn new(config: Arc<ClientConfig>, tls: Option<TlsFacts>, now: Ticks) -> Self {
        Self {
            tls,
            state: State::Greeting,
            extensions: Arc::default(),
            reader: ReplyReader::new(&config.limits),
            out: Outbox::default(),
            events: VecDeque::new(),
            dirty: false,
            handed_over: false,
            announced: None,
            since: now,
            config,
        }
    }

    /// Takes octets from the server, and says how many: all, unless the session is over.
    pub fn receive(&mut self, input: &[u8], now: Ticks) -> usize {
        let mut used = 0_usize;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Closed => break,
                State::HandOver => {
                    self.fail(ClientError::BytesBehindStartTls);
                    break;
                }
                _ => {}
            }
            match self.reader.take(rest) {
                Ok((octets, reply)) => {
                    used = used.saturating_add(octets);
                    if let Some(reply) = reply {
                        self.since = now;
                        self.take_reply(reply);
                    }
                }
                Err(_) if matches!(self.state, State::Quit) => self.close(),
                Err(error) => self.fail(ClientError::Reply(error)),
            }
        }
        used
    }

    /// The next thing to do, until there is nothing.
    pub fn poll(&mut self) -> Option<Output<'_, ClientEvent>> {
        if !self.out.is_empty() {
            return Some(Output::Send(self.out.lend()));
        }
        self.out.recycle();
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(event));
        }
        if !self.handed_over {
            match self.state {
                State::HandOver => {
                    self.handed_over = true;
                    return Some(Output::StartTls);
                }
                State::Closed => {
                    self.handed_over = true;
                    return Some(Output::Close);
                }
                _ => {}
            }
        }
        let deadline = self.deadline();
        if deadline == self.announced {
            return None;
        }
        self.announced = deadline;
        deadline.map(Output::WaitUntil)
    }

    /// Says that it is `now`: a server that should have answered until then and did not is given up.
    pub fn handle_timeout(&mut self, now: Ticks) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            match self.stage() {
                Stage::Quit => self.close(),
                stage => self.fail(ClientError::TimedOut { stage }),
            }
        }
    }

    /// Says that the handshake asked for by [`Output::StartTls`] is done; the session greets again.
    ///
    /// Without that output it does nothing.
    pub fn tls_ready(&mut self, facts: TlsFacts, now: Ticks) {
        if matches!(self.state, State::HandOver) && self.handed_over {
            self.tls = Some(facts);
            self.extensions = Arc::default();
            self.reader = ReplyReader::new(&self.config.limits);
            self.handed_over = false;
            self.dirty = false;
            self.say(&Command::Ehlo(self.config.hello.clone()), State::Ehlo, now);
        }
    }

    /// Goes over to TLS: [`Output::StartTls`] follows, or [`ClientEvent::Refused`], after which the session is ready again.
    ///
    /// # Errors
    /// [`NotReady`] unless the session is ready and in clear.
    pub fn start_tls(&mut self, now: Ticks) -> Result<(), NotReady> {
        if !self.is_ready() || self.tls.is_some() {
            return Err(NotReady);
        }
        self.say(&Command::StartTls, State::StartTls, now);
        Ok(())
    }

    /// Says who the client is: [`ClientEvent::Authenticated`] follows, or [`ClientEvent::Refused`], after which the session is
    /// ready again. Under TLS only: a password is never said in clear.
    ///
    /// # Wire
    /// RFC 4954 section 4; RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN).
    ///
    /// # Errors
    /// [`NotReady`] unless the session is ready and under TLS, and the mechanism of `credentials` is offered and can be done.
    pub fn authenticate(&mut self, credentials: &Credentials, now: Ticks) -> Result<(), NotReady> {
        let mechanism = &credentials.mechanism;
        if !self.is_ready() || self.tls.is_none() || !self.extensions.auth().contains(mechanism) {
            return Err(NotReady);
        }
        let (initial, later) = match mechanism {
            AuthMechanism::Plain => (Some(credentials.to_plain()), Vec::new()),
            AuthMechanism::Login => (None, vec![credentials.password.clone(), Secret::new(credentials.user.as_bytes())]),
            AuthMechanism::Other(_) => return Err(NotReady),
        };
        self.say(&Command::Auth { mechanism: mechanism.clone(), initial }, State::Auth(later), now);
        Ok(())
    }

    /// Sends a message: the commands go out as far ahead as the server allows.
    ///
    /// Parameters of extensions that the server lacks are left out; [`missing_for`] says beforehand which ones.
    ///
    /// # Errors
    /// [`TransactionError`]; nothing has been sent then.
    pub fn transaction(&mut self, transaction: Transaction, now: Ticks) -> Result<(), TransactionError> {
        if !self.is_ready() {
            return Err(TransactionError::NotReady);
        }
        let flight = Flight::new(transaction, &self.extensions, self.dirty)?;
        self.dirty = false;
        self.since = now;
        self.depart(flight);
        Ok(())
    }

    /// Says that a piece of the body has been written: the server has taken it, and the time for the next one begins.
    pub fn body_progress(&mut self, now: Ticks) {
        if let State::Transaction(flight) = &self.state
            && flight.is_sending()
        {
            self.since = now;
        }
    }

    /// Says that all of the body asked for by [`ClientEvent::SendBody`] has been written.
    pub fn body_sent(&mut self, now: Ticks) {
        if let State::Transaction(flight) = &mut self.state
            && flight.body_sent()
        {
            self.since = now;
        }
    }

    /// Asks whether the server would take mail from here as the session is now: MAIL from nobody, then [`ClientEvent::Mail`]. What
    /// this may have begun is reset before the next transaction.
    ///
    /// # Errors
    /// [`NotReady`] unless the session is ready.
    pub fn try_mail(&mut self, now: Ticks) -> Result<(), NotReady> {
        if !self.is_ready() {
            return Err(NotReady);
        }
        self.say(&Command::Mail(MailCommand::new(ReversePath::Null)), State::TryMail, now);
        Ok(())
    }

    /// Asks whether the server is still there: RSET, then [`ClientEvent::Reset`].
    ///
    /// No transaction needs it: the session resets by itself what has failed.
    ///
    /// # Errors
    /// [`NotReady`] unless the session is ready.
    pub fn reset(&mut self, now: Ticks) -> Result<(), NotReady> {
        if !self.is_ready() {
            return Err(NotReady);
        }
        self.say(&Command::Rset, State::Reset, now);
        Ok(())
    }

    /// Ends the session: [`Output::Close`] follows once the server has said good-bye.
    ///
    /// In the middle of a transaction or of a hand-over the connection is closed without a word.
    pub fn quit(&mut self, now: Ticks) {
        match self.state {
            State::Closed | State::Quit => {}
            State::Ready => self.say(&Command::Quit, State::Quit, now),
            _ => self.close(),
        }
    }

    /// Whether the session waits for its owner.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// What the server offers, as of its last reply to EHLO.
    #[must_use]
    pub fn extensions(&self) -> &Arc<Extensions> {
        &self.extensions
    }

    /// The TLS of the connection.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    fn take_reply(&mut self, reply: Reply) {
        if matches!(self.state, State::Quit) {
            return self.close();
        }
        if reply.code().value() == CLOSING {
            return self.fail(ClientError::Closing { stage: self.stage(), reply });
        }
        match &self.state {
            State::Greeting if reply.is_success() => {
                self.events.push_back(ClientEvent::Greeting(reply));
                self.say(&Command::Ehlo(self.config.hello.clone()), State::Ehlo, self.since);
            }
            State::Ehlo if reply.is_success() => self.ready(Extensions::from_reply(&reply), reply),
            State::Ehlo if reply.severity() == sealpost_types::Severity::Permanent => {
                self.say(&Command::Helo(self.config.hello.clone()), State::Helo, self.since);
            }
            State::Helo if reply.is_success() => self.ready(Extensions::default(), reply),
            State::Greeting | State::Ehlo | State::Helo if reply.is_refusal() => {
                self.events.push_back(ClientEvent::Refused { stage: self.stage(), reply });
                self.say(&Command::Quit, State::Quit, self.since);
            }
            // Octets behind this reply meet `HandOver` and are an error.
            State::StartTls if reply.is_success() => {
                self.state = State::HandOver;
                self.handed_over = false;
            }
            State::StartTls if reply.is_refusal() => {
                self.events.push_back(ClientEvent::Refused { stage: Stage::StartTls, reply });
                self.state = State::Ready;
            }
            State::Auth(_) if reply.is_success() => {
                self.events.push_back(ClientEvent::Authenticated(reply));
                self.state = State::Ready;
            }
            State::Auth(_) if reply.is_refusal() => {
                self.events.push_back(ClientEvent::Refused { stage: Stage::Auth, reply });
                self.state = State::Ready;
            }
            State::Auth(_) if reply.code().value() == CHALLENGE => self.answer_challenge(reply),
            State::TryMail if reply.is_success() || reply.is_refusal() => {
                self.dirty |= reply.is_success();
                self.events.push_back(ClientEvent::Mail(reply));
                self.state = State::Ready;
            }
            State::Reset if reply.is_success() => {
                self.dirty = false;
                self.events.push_back(ClientEvent::Reset);
                self.state = State::Ready;
            }
            State::Reset => self.fail(ClientError::ResetRefused { reply }),
            State::Transaction(_) => self.take_flight_reply(reply),
            _ => self.fail(ClientError::UnexpectedReply { stage: self.stage(), reply }),
        }
    }

    /// What LOGIN asks for is not looked at: it asks for the name, and then for the password.
    fn answer_challenge(&mut self, reply: Reply) {
        let next = if let State::Auth(later) = &mut self.state { later.pop() } else { None };
        match next {
            Some(secret) => {
                self.out.open().extend_from_slice(format!("{}\r\n", secret.to_base64()).as_bytes());
            }
            None => self.fail(ClientError::UnexpectedReply { stage: Stage::Auth, reply }),
        }
    }

    fn ready(&mut self, extensions: Extensions, reply: Reply) {
        self.extensions = Arc::new(extensions);
        self.events.push_back(ClientEvent::Ready { extensions: Arc::clone(&self.extensions), reply });
        self.state = State::Ready;
    }

    fn say(&mut self, command: &Command, next: State, now: Ticks) {
        command.encode(self.out.open());
        self.state = next;
        self.since = now;
    }

    fn fail(&mut self, error: ClientError) {
        self.events.push_back(ClientEvent::Failed(error));
        self.close();
    }

    /// Commands that nobody has seen yet are not worth sending any more.
    fn close(&mut self) {
        self.out.clear();
        self.state = State::Closed;
        self.handed_over = false;
    }

    fn stage(&self) -> Stage {
        match &self.state {
            State::Greeting => Stage::Greeting,
            State::Ehlo | State::Helo => Stage::Hello,
            State::StartTls | State::HandOver => Stage::StartTls,
            State::Ready | State::Closed => Stage::Idle,
            State::Auth(_) => Stage::Auth,
            State::TryMail => Stage::Mail,
            State::Reset => Stage::Reset,
            State::Quit => Stage::Quit,
            State::Transaction(flight) => flight.stage(),
        }
    }

    fn deadline(&self) -> Option<Ticks> {
        let timeouts = &self.config.timeouts;
        let span = match (self.stage(), &self.state) {
            (_, State::Ready | State::Closed | State::HandOver) => return None,
            (_, State::Transaction(flight)) if flight.is_sending() => timeouts.block,
            (Stage::Greeting, _) => timeouts.greeting,
            (Stage::Mail, _) => timeouts.mail,
            (Stage::Recipient, _) => timeouts.rcpt,
            (Stage::Data, _) => timeouts.data,
            (Stage::Body, _) => timeouts.finish,
            _ => timeouts.command,
        };
        Some(self.since.after(span))
    }
}

/// The code by which a server ends the session, RFC 5321 section 4.2.3.
const CLOSING: u16 = 421;

/// The code that asks for the next step of AUTH, RFC 4954 section 6.
const CHALLENGE: u16 = 334;
