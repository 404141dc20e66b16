//! A server session whose client, owner and clock do anything in any order.

use std::sync::Arc;

use sealpost_smtp::{Aborted, Answer, AuthMechanism, Output, Reply, ServerConfig, ServerEvent, ServerSession};
use sealpost_types::{Domain, Octets, Ticks};

use crate::choice::Choices;
use crate::smtp::{check_reply_lines, facts};

/// Octets come in any pieces, answers late, twice, unasked or wrong, TLS is ready unasked, time jumps, the owner ends the session: events
/// still come in the order of a transaction, none without TLS where it is required, none behind the end.
pub fn server_steps(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut place = Place::new(choices.octet());
    place.poll(0);
    while !choices.is_empty() {
        match choices.octet() {
            word @ 0..=127 => place.pending.extend_from_slice(WORDS[usize::from(word) % WORDS.len()]),
            128..=147 => {
                let length = usize::from(choices.octet()) % 64;
                place.pending.extend_from_slice(choices.take(length));
            }
            148..=199 => place.receive(usize::from(choices.octet())),
            200..=229 => place.answer(choices.octet()),
            230..=239 => place.pass(u64::from(choices.octet()) * 1_000_000),
            240..=247 => place.tls_ready(),
            248..=250 => place.refuse_session(),
            _ => place.receive(usize::MAX),
        }
    }
}

/// How far the transaction is, as the owner knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    None,
    Open {
        recipients: usize,
    },
    Body {
        octets: u64,
    },
    /// Nothing of it counts, but content may still come.
    Refused,
}

/// What the owner has to answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Mail,
    Rcpt,
    BodyStart,
    BodyEnd,
    Auth,
}

struct Place {
    session: ServerSession,
    /// What the client has sent and the session has not taken.
    pending: Vec<u8>,
    now: Ticks,
    needs_tls: bool,
    phase: Phase,
    asked: Option<Asked>,
    greeted: bool,
    handed_over: bool,
    /// A 421 was said.
    ended: bool,
    closed: bool,
}

impl Place {
    fn new(settings: u8) -> Self {
        let bit = |n: u8| settings & (1 << n) != 0;
        let mut config = ServerConfig::new(Domain::parse("mx.example").expect("a domain"));
        config.offer.starttls = bit(0);
        config.offer.chunking = bit(1);
        config.offer.auth = if bit(2) { vec![AuthMechanism::Plain, AuthMechanism::Login] } else { Vec::new() };
        config.require_tls_before_mail = bit(3);
        config.limits.message = Octets(if bit(4) { 20 } else { 2000 });
        config.limits.recipients = 3;
        let tls = bit(5).then(facts);
        Self {
            session: ServerSession::new(Arc::new(config), tls, Ticks(0)),
            pending: Vec::new(),
            now: Ticks(0),
            needs_tls: bit(3),
            phase: Phase::None,
            asked: None,
            greeted: false,
            handed_over: false,
            ended: false,
            closed: false,
        }
    }

    fn receive(&mut self, most: usize) {
        let piece = self.pending.get(..most).unwrap_or(&self.pending).to_vec();
        let used = self.session.receive(&piece, self.now);
        assert!(used <= piece.len());
        assert!(used == 0 || !(self.asked.is_some() || self.handed_over || self.closed), "octets were taken before their time");
        let behind_starttls = self.handed_over && !piece.is_empty();
        self.pending.drain(..used);
        self.poll(used);
        assert!(self.closed || !behind_starttls, "octets behind STARTTLS");
        assert!(used > 0 || piece.is_empty() || self.asked.is_some() || self.closed, "no progress with {piece:?}");
    }

    fn answer(&mut self, kind: u8) {
        let (answer, fits) = match kind % 6 {
            0 | 1 => (Answer::Accept, true),
            2 => (Answer::Queued { reply: Reply::fixed::<250, 2, 0>("taken") }, self.asked == Some(Asked::BodyEnd)),
            3 => (Answer::Refuse(Reply::fixed::<550, 7, 1>("no")), true),
            4 => (Answer::Refuse(Reply::fixed::<421, 4, 3>("not now")), true),
            _ => (Answer::Refuse(Reply::fixed::<250, 0, 0>("a refusal that is none")), false),
        };
        let refuses = matches!(answer, Answer::Refuse(_));
        let in_body = matches!(self.phase, Phase::Body { .. });
        let taken = self.session.answer(answer, self.now).is_ok();
        let is_right = match self.asked {
            Some(_) => taken == fits,
            None if fits && refuses && !self.closed && in_body => taken,
            None if fits && refuses && self.phase == Phase::Refused => true,
            None => !taken,
        };
        assert!(is_right, "{taken}: {:?} {:?}", self.asked, self.phase);
        if taken {
            self.phase = match (self.asked.take(), self.phase) {
                (Some(Asked::Auth), phase) => phase,
                (Some(Asked::Mail), _) if refuses => Phase::None,
                (Some(Asked::Rcpt), phase) if refuses => phase,
                _ if refuses => Phase::Refused,
                (Some(Asked::Mail), _) => Phase::Open { recipients: 0 },
                (Some(Asked::Rcpt), Phase::Open { recipients }) => Phase::Open { recipients: recipients + 1 },
                (Some(Asked::BodyStart), _) => Phase::Body { octets: 0 },
                (Some(Asked::BodyEnd), _) => Phase::None,
                (asked, phase) => panic!("{asked:?} in {phase:?}"),
            };
        }
        self.poll(0);
    }

    fn pass(&mut self, span: u64) {
        self.now = Ticks(self.now.0.saturating_add(span));
        self.session.handle_timeout(self.now);
        self.poll(0);
    }

    fn tls_ready(&mut self) {
        let before = self.session.tls().is_some();
        self.session.tls_ready(facts(), self.now);
        assert_eq!(self.session.tls().is_some(), before || self.handed_over, "TLS that nobody asked for");
        if std::mem::take(&mut self.handed_over) {
            self.greeted = false;
            // What was sent in clear is not carried over into TLS by anybody.
            self.pending.clear();
        }
        self.poll(0);
    }

    fn refuse_session(&mut self) {
        self.session.refuse_session(Reply::fixed::<421, 3, 2>("going down"));
        self.poll(0);
        assert!(self.closed || self.asked.is_some(), "the session goes on");
    }

    /// Whatever the session wants done, `used` octets into what it was given.
    fn poll(&mut self, used: usize) {
        while let Some(output) = self.session.poll() {
            assert!(!self.closed, "{output:?} behind the end");
            match output {
                Output::Send(replies) => {
                    check_reply_lines(replies);
                    self.ended |= replies.split(|octet| *octet == b'\n').any(|line| line.starts_with(b"421 "));
                }
                Output::StartTls => self.handed_over = true,
                Output::WaitUntil(_) => {}
                Output::Close => {
                    self.closed = true;
                    self.handed_over = false;
                }
                Output::Event(event) => self.hear(event, used),
            }
        }
        assert_eq!(self.session.is_waiting(), self.asked.is_some());
        assert_eq!(self.session.is_closed(), self.closed);
        assert!(self.closed || !self.ended, "421 ends a session");
    }

    fn hear(&mut self, event: ServerEvent, used: usize) {
        assert!(!self.ended || matches!(event, ServerEvent::Aborted(_)), "{event:?} behind 421");
        assert!(self.asked.is_none(), "{event:?} before the answer to {:?}", self.asked);
        let is_mail = !matches!(event, ServerEvent::Hello { .. } | ServerEvent::Aborted(_));
        assert!(!(is_mail && self.needs_tls) || self.session.tls().is_some(), "{event:?} in clear");
        assert!(!is_mail || self.greeted, "{event:?} before EHLO");
        let (asked, phase) = match (event, self.phase) {
            (ServerEvent::Hello { .. }, Phase::None | Phase::Refused) => {
                self.greeted = true;
                (None, Phase::None)
            }
            (ServerEvent::Mail(_), Phase::None | Phase::Refused) => (Some(Asked::Mail), Phase::None),
            (ServerEvent::Rcpt(_), phase @ Phase::Open { recipients: 0..3 }) => (Some(Asked::Rcpt), phase),
            (ServerEvent::BodyStart, phase @ Phase::Open { recipients: 1.. }) => (Some(Asked::BodyStart), phase),
            (ServerEvent::Body(range), Phase::Body { octets }) => {
                assert!(!range.is_empty() && range.end <= used, "{range:?} of {used}");
                (None, Phase::Body { octets: octets + range.len() as u64 })
            }
            (ServerEvent::BodyEnd { size }, Phase::Body { octets }) => {
                assert_eq!(size.0, octets, "the size of the content");
                (Some(Asked::BodyEnd), Phase::None)
            }
            (ServerEvent::Aborted(Aborted::Fault(_) | Aborted::TooLarge), Phase::Open { .. } | Phase::Body { .. }) => {
                (None, Phase::Refused)
            }
            (ServerEvent::Aborted(_), Phase::Open { .. } | Phase::Body { .. }) => (None, Phase::None),
            (ServerEvent::Auth(_), phase @ (Phase::None | Phase::Refused)) => {
                assert!(self.session.tls().is_some(), "a password in clear");
                (Some(Asked::Auth), phase)
            }
            (event, phase) => panic!("{event:?} in {phase:?}"),
        };
        self.asked = asked;
        self.phase = phase;
    }
}

const WORDS: &[&[u8]] = &[
    b"EHLO a\r\n",
    b"HELO a\r\n",
    b"MAIL FROM:<a@a.example>\r\n",
    b"RCPT TO:<b@b.example>\r\n",
    b"DATA\r\n",
    b"text\r\n",
    b".\r\n",
    b"BDAT 6\r\n",
    b"BDAT 12 LAST\r\n",
    b"BDAT 0 LAST\r\n",
    b"RSET\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN AHRpbQB4\r\n",
    b"AUTH LOGIN dGlt\r\n",
    b"AHRpbQB4\r\n",
    b"*\r\n",
    b"QUIT\r\n",
    b"\r",
    b"\n",
];
