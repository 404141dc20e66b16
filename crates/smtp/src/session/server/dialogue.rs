//! Commands, and the owner's answers to them.

use std::sync::Arc;

use sealpost_types::{Severity, Ticks};

use super::content::{Chunk, Content};
use super::refusal::Refusal;
use super::{Aborted, Answer, AnswerError, Greeting, ServerEvent, ServerSession, State, Transaction, Wait};
use crate::command::{Command, CommandError, HelloName, MailCommand, RcptCommand, Verb};
use crate::data::DataScanner;
use crate::params::Accepted;
use crate::reply::Reply;

impl ServerSession {
    /// Takes octets up to the end of a line, and carries it out.
    pub(super) fn take_line(&mut self, input: &[u8], now: Ticks) -> usize {
        let accepted = self.accepted();
        let smtputf8 = self.transaction.as_ref().is_some_and(|transaction| transaction.smtputf8);
        let cut = self.cutter.cut(input);
        let (used, skipped, start) = (cut.used, cut.skipped, cut.start);
        let Some(line) = cut.line else {
            if skipped > ENDLESS_LINE {
                self.turn_down(&Refusal::EndlessLine);
                self.close(Aborted::Violation);
            }
            return used;
        };
        self.since = now;
        if let State::Auth(_) = self.state {
            let line = line.map(<[u8]>::to_vec);
            self.take_response(line);
            return used;
        }
        let command = line.map_err(CommandError::from).and_then(|line| {
            let command = Command::parse_accepting(line, accepted)?;
            match command {
                Command::Rcpt(_) if !smtputf8 && !line.is_ascii() => Err(CommandError::ForwardPathNeedsSmtpUtf8),
                command => Ok(command),
            }
        });
        let verb = if command.is_err() { Command::verb(start) } else { None };
        match command {
            Ok(command) => self.carry_out(command, used < input.len()),
            Err(_) if verb.is_some_and(|verb| self.needs_tls_for(verb)) => self.refuse(&Refusal::TlsFirst),
            Err(error) => self.complain(&error.reply()),
        }
        // A malformed one: how many octets to pass over is not known, and nothing that follows can be trusted to be a command.
        if verb == Some(Verb::Bdat) {
            self.close(Aborted::Violation);
        }
        used
    }

    /// Answers the client for the owner.
    pub(super) fn take_answer(&mut self, answer: Answer, now: Ticks) -> Result<(), AnswerError> {
        // State::Command between two chunks, too.
        if let (State::Data(_) | State::Chunk(_) | State::Command, Answer::Refuse(reply)) = (&self.state, &answer) {
            let content = self.transaction.as_mut().and_then(|transaction| transaction.content.as_mut());
            return content.map(|content| content.refuse(reply.clone())).ok_or(AnswerError::NotAwaited);
        }
        let end = matches!(self.state, State::Waiting(Wait::End));
        if !self.is_waiting() || (matches!(answer, Answer::Queued { .. }) && !end) {
            return Err(AnswerError::NotAwaited);
        }
        let State::Waiting(wait) = std::mem::replace(&mut self.state, State::Command) else { return Ok(()) };
        self.since = now;
        match (wait, answer) {
            (Wait::Chunk(chunk), Answer::Refuse(reply)) => {
                self.transaction = None;
                self.begin_chunk(chunk.refused(reply), now);
            }
            (Wait::Mail { .. } | Wait::Rcpt, Answer::Refuse(reply)) => {
                self.say_refusal(&reply);
                self.count_refused();
            }
            (Wait::Auth, Answer::Refuse(reply)) => {
                self.say_refusal(&reply);
                // Whoever guesses passwords is sent away; a fault on this side is no guess.
                if reply.severity() == Severity::Permanent {
                    self.count_error();
                }
            }
            (Wait::Data | Wait::End, Answer::Refuse(reply)) => {
                self.transaction = None;
                self.say_refusal(&reply);
            }
            (Wait::Mail { smtputf8 }, _) => {
                self.transaction = Some(Transaction { smtputf8, recipients: 0, content: None });
                self.say(&Reply::fixed::<250, 1, 0>("sender ok"));
            }
            (Wait::Rcpt, _) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.recipients = transaction.recipients.saturating_add(1);
                }
                self.say(&Reply::fixed::<250, 1, 5>("recipient ok"));
            }
            (Wait::Data, _) => {
                self.begin_content();
                self.content_since = now;
                self.say(&Reply::plain::<354>("end with CRLF.CRLF"));
                self.state = State::Data(DataScanner::new());
            }
            (Wait::Chunk(chunk), _) => {
                self.begin_content();
                self.content_since = now;
                self.begin_chunk(chunk, now);
            }
            (Wait::End, answer) => {
                self.transaction = None;
                self.idle_commands = 0;
                self.refused = 0;
                match answer {
                    Answer::Queued { reply } => self.say(&reply),
                    _ => self.say(&Reply::fixed::<250, 0, 0>("message accepted")),
                }
            }
            (Wait::Auth, _) => {
                self.authenticated = true;
                self.say(&Reply::fixed::<235, 7, 0>("authenticated"));
            }
        }
        Ok(())
    }

    /// Says no for the owner; 421 ends the session.
    pub(super) fn say_refusal(&mut self, reply: &Reply) {
        self.say(reply);
        if reply.code().value() == CLOSING {
            self.close(Aborted::Refused);
        }
    }

    fn begin_content(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.content = Some(Content::new(self.config.limits.message));
        }
    }

    fn accepted(&self) -> Accepted {
        if self.greeted != Some(Greeting::Ehlo) {
            return Accepted::NONE;
        }
        let offer = &self.config.offer;
        Accepted {
            size: true,
            body: offer.eight_bit_mime,
            binary: false,
            smtputf8: offer.smtputf8,
            dsn: offer.dsn,
            require_tls: offer.require_tls && self.tls.is_some(),
            auth: !offer.auth.is_empty() && self.tls.is_some(),
        }
    }

    fn needs_tls_for(&self, verb: Verb) -> bool {
        let small_talk = matches!(verb, Verb::Noop | Verb::Ehlo | Verb::Helo | Verb::StartTls | Verb::Quit | Verb::Rset | Verb::Help);
        self.config.require_tls_before_mail && self.tls.is_none() && !small_talk
    }

    fn carry_out(&mut self, command: Command, more: bool) {
        let needs_tls = self.needs_tls_for(command.as_verb());
        match command {
            Command::Bdat { size, last } => self.bdat(Chunk::new(size, last), needs_tls),
            _ if needs_tls => self.refuse(&Refusal::TlsFirst),
            Command::Helo(name) => self.greet(name, Greeting::Helo),
            Command::Ehlo(name) => self.greet(name, Greeting::Ehlo),
            Command::StartTls => self.start_tls(more),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.data(),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial),
            Command::Rset => {
                self.abort(Aborted::Reset);
                self.small_talk(&Reply::fixed::<250, 0, 0>("ok"));
            }
            Command::Noop => self.small_talk(&Reply::fixed::<250, 0, 0>("ok")),
            Command::Vrfy(_) => self.small_talk(&Reply::fixed::<252, 5, 0>("send a message to find out")),
            Command::Expn(_) => self.refuse(&Refusal::NotOffered(Verb::Expn)),
            Command::Help(_) => self.small_talk(&Reply::fixed::<214, 0, 0>("see RFC 5321")),
            Command::Quit => {
                self.say(&Reply::fixed::<221, 0, 0>([self.config.hostname.as_str(), " bye"].concat()));
                self.close(Aborted::Quit);
            }
        }
    }

    fn greet(&mut self, name: HelloName, greeting: Greeting) {
        self.abort(Aborted::Hello);
        self.greeted = Some(greeting);
        let config = Arc::clone(&self.config);
        let reply = match greeting {
            Greeting::Ehlo => config.offer.extensions(self.tls.is_some(), config.limits.message).to_reply_of(&config.hostname),
            Greeting::Helo => Reply::plain::<250>(config.hostname.to_string()),
        };
        self.small_talk(&reply);
        if !self.is_closed() {
            self.events.push_back(ServerEvent::Hello { name, greeting });
        }
    }

    fn start_tls(&mut self, more: bool) {
        if self.tls.is_some() {
            self.refuse(&Refusal::AlreadyTls);
        } else if !self.config.offer.starttls {
            self.refuse(&Refusal::NotOffered(Verb::StartTls));
        } else if more {
            // What stands behind STARTTLS in clear may be an attacker's, to be taken for the client's under TLS.
            self.turn_down(&Refusal::BehindStartTls);
            self.close(Aborted::Violation);
        } else {
            self.abort(Aborted::StartTls);
            self.say(&Reply::fixed::<220, 0, 0>("ready for TLS"));
            self.state = State::StartTls;
            self.announced.hand_over = false;
        }
    }

    fn mail(&mut self, mail: MailCommand) {
        if self.greeted.is_none() {
            return self.refuse(&Refusal::HelloFirst);
        }
        if self.transaction.is_some() {
            return self.refuse(&Refusal::NestedMail);
        }
        if self.is_idling() {
            return;
        }
        let limit = self.config.limits.message;
        if mail.size.is_some_and(|size| size > limit) {
            return self.turn_down(&Refusal::TooLarge { limit });
        }
        self.state = State::Waiting(Wait::Mail { smtputf8: mail.smtputf8 });
        self.events.push_back(ServerEvent::Mail(mail));
    }

    fn rcpt(&mut self, rcpt: RcptCommand) {
        let limit = self.config.limits.recipients;
        match &self.transaction {
            None => self.refuse(&Refusal::MailFirst),
            Some(Transaction { content: Some(_), .. }) => self.refuse(&Refusal::ContentBegun),
            // No error of the client's: it sends the rest in a transaction of their own.
            Some(transaction) if transaction.recipients >= limit => self.turn_down(&Refusal::TooManyRecipients { limit }),
            Some(_) => {
                self.state = State::Waiting(Wait::Rcpt);
                self.events.push_back(ServerEvent::Rcpt(rcpt));
            }
        }
    }

    fn data(&mut self) {
        match &self.transaction {
            None => self.refuse(&Refusal::MailFirst),
            Some(Transaction { content: Some(_), .. }) => self.refuse(&Refusal::ContentBegun),
            Some(Transaction { recipients: 0, .. }) => self.refuse(&Refusal::NoRecipients),
            Some(_) => {
                self.state = State::Waiting(Wait::Data);
                self.events.push_back(ServerEvent::BodyStart);
            }
        }
    }

    /// Says what moves no message; a client that does nothing else is sent away.
    fn small_talk(&mut self, reply: &Reply) {
        if !self.is_idling() {
            self.say(reply);
        }
    }

    /// Counts a command that moves no message, and sends the client away if there were too many.
    pub(super) fn is_idling(&mut self) -> bool {
        self.idle_commands = self.idle_commands.saturating_add(1);
        let idling = self.idle_commands > self.config.limits.idle_commands;
        if idling {
            self.turn_down(&Refusal::TooManyIdleCommands);
            self.close(Aborted::Violation);
        }
        idling
    }

    /// Says what is wrong with a command that was understood.
    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        self.turn_down(refusal);
        self.count_error();
    }

    /// Says no, which is no error of the client's, or the last one.
    fn turn_down(&mut self, refusal: &Refusal) {
        self.refusals.count(refusal);
        self.say(&refusal.reply());
    }

    /// Says what is wrong, and ends the session when too much was.
    pub(super) fn complain(&mut self, reply: &Reply) {
        self.refusals.count_command();
        self.say(reply);
        self.count_error();
    }

    /// Whoever is refused again and again guesses.
    fn count_refused(&mut self) {
        self.refused = self.refused.saturating_add(1);
        if self.refused >= self.config.limits.refused && !matches!(self.state, State::Closed) {
            self.turn_down(&Refusal::TooManyRefused);
            self.close(Aborted::Violation);
        }
    }

    fn count_error(&mut self) {
        self.errors = self.errors.saturating_add(1);
        self.check_errors();
    }

    pub(super) fn check_errors(&mut self) {
        if self.errors >= self.config.limits.errors {
            self.turn_down(&Refusal::TooManyErrors);
            self.close(Aborted::Violation);
        }
    }
}

/// The code that ends a session, RFC 5321 section 4.2.3.
const CLOSING: u16 = 421;

/// Octets of a command line after which nobody waits for its end.
const ENDLESS_LINE: u64 = 1 << 20;
