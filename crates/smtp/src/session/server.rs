//! The server's end of a connection.

mod content;
mod dialogue;
mod event;
mod login;
mod refusal;
mod refused;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{Domain, Ticks, TlsFacts};

use self::content::{Chunk, Content};
pub use self::event::{Aborted, Answer, AnswerError, Greeting, ServerEvent};
use self::login::Login;
pub use self::refused::SessionRefusals;
use super::{Outbox, Output};
use crate::data::DataScanner;
use crate::ehlo::Offer;
use crate::limits::Limits;
use crate::line::LineCutter;
use crate::reply::Reply;

/// What a server session is to be like; one value serves all sessions of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The name in the greeting and in the reply to EHLO.
    pub hostname: Domain,
    /// The extensions to offer.
    pub offer: Offer,
    /// Whether nothing but STARTTLS and small talk is answered in clear: everything else gets 530 5.7.0, RFC 3207
    /// section 4. Default no.
    pub require_tls_before_mail: bool,
    /// What to accept from the client.
    pub limits: Limits,
    /// How long to wait for the client.
    pub timeouts: ServerTimeouts,
}

/// How long a server session waits for its client.
///
/// # Wire
/// RFC 5321 section 4.5.3.2.7: at least 5 minutes for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerTimeouts {
    /// From a reply to the end of the next command line, however slowly it trickles in. Default 5 minutes.
    pub command: Duration,
    /// From one piece of content to the next. Default 3 minutes.
    pub block: Duration,
    /// From the first octet of content to the last. Default 1 hour: a message of 64 MiB at 150 kbit/s.
    pub message: Duration,
    /// From the greeting to the end of the session; the time that the owner takes for an answer is not cut short.
    /// Default 6 hours.
    pub session: Duration,
}

impl Default for ServerTimeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(5 * 60),
            block: Duration::from_secs(3 * 60),
            message: Duration::from_secs(60 * 60),
            session: Duration::from_secs(6 * 60 * 60),
        }
    }
}

impl ServerConfig {
    /// A server of this name with everything else at its default.
    #[must_use]
    pub fn new(hostname: Domain) -> Self {
        Self {
            hostname,
            offer: Offer::default(),
            require_tls_before_mail: false,
            limits: Limits::default(),
            timeouts: ServerTimeouts::default(),
        }
    }
}

/// The server's end of one connection.
///
/// ```text
///   octets -> receive -> poll -> Send, Event, StartTls, WaitUntil, Close
///                 ^        |
///                 +-answer-+   Mail, Rcpt, BodyStart, BodyEnd and Auth wait for one
/// ```
///
/// Give it octets with [`receive`](Self::receive), then call [`poll`](Self::poll) until it gives nothing, then give it the
/// rest of the octets. The crate page shows the whole loop.
///
/// # Limits
/// [`Limits`]; beside them it keeps replies of at most some 2 KiB and no content at all.
#[derive(Debug)]
pub struct ServerSession {
    config: Arc<ServerConfig>,
    tls: Option<TlsFacts>,
    state: State,
    greeted: Option<Greeting>,
    authenticated: bool,
    transaction: Option<Transaction>,
    cutter: LineCutter,
    out: Outbox,
    events: VecDeque<ServerEvent>,
    /// Whether the last `receive` left octets for the next one.
    more_input: bool,
    /// Whether only the greeting has been said, and nobody has seen it.
    greeting: bool,
    /// What `refuse_session` said while an answer was awaited.
    farewell: Option<Reply>,
    announced: Announced,
    errors: u32,
    refused: u32,
    refusals: SessionRefusals,
    idle_commands: u32,
    started: Ticks,
    /// When the client's turn began.
    since: Ticks,
    content_since: Ticks,
}

/// What the next octets are, or whom the session waits for.
#[derive(Debug)]
enum State {
    /// A command line.
    Command,
    /// A line that answers a challenge of AUTH.
    Auth(Login),
    /// Content up to CRLF.CRLF.
    Data(DataScanner),
    /// Content of a known size.
    Chunk(Chunk),
    /// Nothing: the owner has to answer.
    Waiting(Wait),
    /// Nothing: TLS has to come first.
    StartTls,
    /// Nothing any more.
    Closed,
}

/// What the owner has to answer.
#[derive(Debug)]
enum Wait {
    Mail { smtputf8: bool },
    Rcpt,
    Data,
    Chunk(Chunk),
    End,
    Auth,
}

/// A transaction that the owner has accepted.
#[derive(Debug)]
struct Transaction {
    smtputf8: bool,
    recipients: usize,
    content: Option<Content>,
}

/// What poll has said already.
#[derive(Debug, Default)]
struct Announced {
    hand_over: bool,
    deadline: Option<Ticks>,
}

impl ServerSession {
    /// A session whose first `poll` gives the greeting; `tls` if the connection began with TLS.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>, tls: Option<TlsFacts>, now: Ticks) -> Self {
        let mut session = Self {
            tls,
            state: State::Command,
            greeted: None,
            authenticated: false,
            transaction: None,
            cutter: LineCutter::new(config.limits.command_line),
            out: Outbox::default(),
            events: VecDeque::new(),
            more_input: false,
            greeting: true,
            farewell: None,
            announced: Announced::default(),
            errors: 0,
            refused: 0,
            refusals: SessionRefusals::default(),
            idle_commands: 0,
            started: now,
            since: now,
            content_since: now,
            config,
        };
        let greeting = Reply::plain::<220>([session.config.hostname.as_str(), " ESMTP"].concat());
        session.say(&greeting);
        session
    }

    /// Takes octets from the client, and says how many.
    ///
    /// It stops behind each event, and takes nothing while an answer is awaited, during the hand-over to TLS and after
    /// the end. [`ServerEvent::Body`] names a range of this very `input`. Give the rest again once `poll` gives nothing:
    /// replies are held back until all of it is taken, so that a batch of commands gets one [`Output::Send`].
    pub fn receive(&mut self, input: &[u8], now: Ticks) -> usize {
        if matches!(self.state, State::StartTls) && !input.is_empty() {
            // Sent before the handshake, by whoever: never to be taken for what the client says under TLS.
            self.close(Aborted::Violation);
        }
        let mut used = 0_usize;
        self.settle();
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty() && self.takes_input()) {
            used = used.saturating_add(self.step(rest, used, now));
            self.settle();
        }
        self.cutter.release();
        self.more_input = used < input.len();
        used
    }

    /// The next thing to do, until there is nothing.
    pub fn poll(&mut self) -> Option<Output<'_, ServerEvent>> {
        self.settle();
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(event));
        }
        let held = self.more_input && self.takes_input();
        if !self.out.is_empty() && !held {
            self.greeting = false;
            return Some(Output::Send(self.out.lend()));
        }
        self.out.recycle();
        if !self.announced.hand_over && !held {
            match self.state {
                State::StartTls => {
                    self.announced.hand_over = true;
                    return Some(Output::StartTls);
                }
                State::Closed => {
                    self.announced.hand_over = true;
                    return Some(Output::Close);
                }
                _ => {}
            }
        }
        let deadline = self.deadline();
        if deadline == self.announced.deadline {
            return None;
        }
        self.announced.deadline = deadline;
        deadline.map(Output::WaitUntil)
    }

    /// Says that it is `now`: what was to happen until then and did not ends the session with 421.
    pub fn handle_timeout(&mut self, now: Ticks) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.say(&Reply::fixed::<421, 4, 2>(format!("{} timed out waiting for you", self.config.hostname)));
            self.close(Aborted::TimedOut);
        }
    }

    /// Says that the handshake asked for by [`Output::StartTls`] is done.
    ///
    /// All that the client said before is forgotten, RFC 3207 section 4.2. Without that output it does nothing.
    pub fn tls_ready(&mut self, facts: TlsFacts, now: Ticks) {
        if matches!(self.state, State::StartTls) && self.announced.hand_over {
            self.tls = Some(facts);
            self.greeted = None;
            self.authenticated = false;
            self.cutter = LineCutter::new(self.config.limits.command_line);
            self.announced.hand_over = false;
            self.state = State::Command;
            self.since = now;
        }
    }

    /// Answers the event that awaits it.
    ///
    /// A body can also be refused between its start and its end: the rest of it is then passed over, and the reply
    /// given behind it. A refusal with 421 ends the session.
    ///
    /// # Errors
    /// [`AnswerError::NotAwaited`] when no event waits for such an answer; [`AnswerError::Severity`] when a refusal is
    /// no 4yz or 5yz, or a confirmation no 2yz. Nothing happens then.
    pub fn answer(&mut self, answer: Answer, now: Ticks) -> Result<(), AnswerError> {
        answer.check()?;
        self.take_answer(answer, now)?;
        if let Some(farewell) = self.farewell.take() {
            self.refuse_session(farewell);
        }
        Ok(())
    }

    /// Ends the session with this reply: 421 on shutdown, 554 instead of a greeting.
    ///
    /// While an answer is awaited, that answer is still given to the client first.
    pub fn refuse_session(&mut self, reply: Reply) {
        match self.state {
            State::Closed => {}
            State::Waiting(_) => self.farewell = Some(reply),
            // The 220 is out and TLS comes next: a reply in clear would be taken for a part of the handshake.
            State::StartTls => self.close(Aborted::Refused),
            _ => {
                if self.greeting {
                    self.out.clear();
                }
                self.say(&reply);
                self.close(Aborted::Refused);
            }
        }
    }

    /// Whether an event awaits its [`Answer`].
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// What it refused so far without asking its owner.
    #[must_use]
    pub fn refusals(&self) -> &SessionRefusals {
        &self.refusals
    }

    /// The TLS of the connection.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// Ends what needs no more octets, once the owner knows all that came before: a body may still be refused until then.
    fn settle(&mut self) {
        if self.events.is_empty() {
            self.end_chunk_if_done();
        }
    }

    fn takes_input(&self) -> bool {
        let full = self.out.len() >= FLUSH_OCTETS;
        self.events.is_empty() && !full && !matches!(self.state, State::Waiting(_) | State::StartTls | State::Closed)
    }

    /// Takes at least one octet of `input`, which begins `at` octets into what was received.
    fn step(&mut self, input: &[u8], at: usize, now: Ticks) -> usize {
        match &mut self.state {
            State::Command | State::Auth(_) => self.take_line(input, now),
            State::Data(_) => self.take_data(input, at, now),
            State::Chunk(_) => self.take_chunk(input, at, now),
            State::Waiting(_) | State::StartTls | State::Closed => input.len(),
        }
    }

    fn deadline(&self) -> Option<Ticks> {
        let timeouts = &self.config.timeouts;
        let session = self.started.after(timeouts.session);
        match self.state {
            State::Command | State::Auth(_) => Some(session.min(self.since.after(timeouts.command))),
            State::Data(_) | State::Chunk(_) => {
                let message = self.content_since.after(timeouts.message);
                Some(session.min(message).min(self.since.after(timeouts.block)))
            }
            State::Waiting(_) | State::StartTls | State::Closed => None,
        }
    }

    fn say(&mut self, reply: &Reply) {
        reply.encode(self.out.open());
    }

    /// Ends the session. What was said is still sent.
    fn close(&mut self, why: Aborted) {
        self.abort(why);
        self.state = State::Closed;
        self.announced.hand_over = false;
    }

    /// Forgets the transaction and tells the owner, if there is one that the owner does not know to be over.
    fn abort(&mut self, why: Aborted) {
        let transaction = self.transaction.take();
        if transaction.is_some_and(|transaction| transaction.content.is_none_or(|content| !content.is_refused())) {
            self.events.push_back(ServerEvent::Aborted(why));
        }
    }
}

/// Octets of replies that may wait for more input before they are sent: some fifty commands that need no answer of the owner are carried out in one
/// call.
const FLUSH_OCTETS: usize = 2 * 1024;
