//! A client and a server talk to each other over a wire that cuts, delays and, where the input says so, forges.

use std::sync::Arc;

use sealpost_smtp::{
    Answer, BodyTransfer, ClientConfig, ClientEvent, ClientSession, HelloName, Output, ServerConfig, ServerEvent, ServerSession,
    Transaction,
};
use sealpost_types::{Domain, Mailbox, Octets, Recipient, ReversePath, Ticks};

use crate::choice::Choices;
use crate::smtp::facts;

/// The content that each transaction carries, as it goes over the wire: the fuzzed wire may not make another one of it.
const CONTENT: &[u8] = b"Subject: hello\r\n\r\n.a dot\r\nthe end\r\n";
const STUFFED: &[u8] = b"Subject: hello\r\n\r\n..a dot\r\nthe end\r\n.\r\n";

/// What went on, on both sides.
#[derive(Default)]
struct Seen {
    /// Contents that the server took for whole, and answered with 250.
    taken: Vec<Vec<u8>>,
    /// Transactions that the client believes to be delivered.
    finished: usize,
    /// Transactions that the client began.
    begun: usize,
    client_tls: bool,
    server_tls: bool,
}

struct Pair {
    client: ClientSession,
    server: ServerSession,
    /// What is under way.
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    content: Vec<u8>,
    seen: Seen,
    now: Ticks,
    client_closed: bool,
    server_closed: bool,
    /// Whether the wire has added octets of its own.
    forged: bool,
    use_tls: bool,
}

/// Two honest ends: however the wire cuts what they say, the same comes of it; and whatever it forges in clear, nothing that was
/// said before TLS is obeyed behind it, and the client believes in nothing that the server did not take.
pub fn session_pair(input: &[u8]) {
    let mut choices = Choices::new(input);
    let settings = choices.octet();
    let mut pair = Pair::new(settings);
    for _ in 0..4_000 {
        if choices.is_empty() {
            break;
        }
        match choices.octet() {
            // Pieces of any size, one way or the other.
            way @ 0..=199 => pair.carry(way % 2 == 0, usize::from(way / 2).max(1)),
            200..=219 => pair.pass(u64::from(choices.octet()) * 1_000_000),
            220..=237 => {
                let length = usize::from(choices.octet()) % 48;
                pair.forge(true, choices.take(length));
            }
            _ => {
                let length = usize::from(choices.octet()) % 48;
                pair.forge(false, choices.take(length));
            }
        }
    }
    // An honest wire brings the rest.
    for _ in 0..200 {
        pair.carry(true, usize::MAX);
        pair.carry(false, usize::MAX);
    }
    pair.check(settings);
}

impl Pair {
    fn new(settings: u8) -> Self {
        let bit = |n: u8| settings & (1 << n) != 0;
        let mut config = ServerConfig::new(Domain::parse("mx.example").expect("a domain"));
        config.offer.starttls = bit(0);
        config.offer.chunking = bit(1);
        config.require_tls_before_mail = bit(2) && bit(0);
        let hello = HelloName::new("a.example").expect("a name");
        let mut pair = Self {
            client: ClientSession::new(Arc::new(ClientConfig::new(hello)), None, Ticks(0)),
            server: ServerSession::new(Arc::new(config), None, Ticks(0)),
            to_server: Vec::new(),
            to_client: Vec::new(),
            content: Vec::new(),
            seen: Seen::default(),
            now: Ticks(0),
            client_closed: false,
            server_closed: false,
            forged: false,
            use_tls: bit(0),
        };
        pair.poll_server(&[]);
        pair.poll_client();
        pair
    }

    fn carry(&mut self, to_server: bool, most: usize) {
        if to_server {
            let piece: Vec<u8> = self.to_server.drain(..most.min(self.to_server.len())).collect();
            self.serve(&piece);
        } else {
            let piece: Vec<u8> = self.to_client.drain(..most.min(self.to_client.len())).collect();
            if !self.client_closed && !piece.is_empty() {
                let used = self.client.receive(&piece, self.now);
                assert!(used == piece.len() || self.client.is_closed());
                self.poll_client();
            }
        }
    }

    fn serve(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() && !self.server_closed {
            let used = self.server.receive(rest, self.now);
            let (now, later) = rest.split_at(used);
            self.poll_server(now);
            assert!(used > 0 || self.server_closed, "no progress with {rest:?}");
            rest = later;
        }
    }

    fn pass(&mut self, span: u64) {
        self.now = Ticks(self.now.0.saturating_add(span));
        if !self.server_closed {
            self.server.handle_timeout(self.now);
            self.poll_server(&[]);
        }
        if !self.client_closed {
            self.client.handle_timeout(self.now);
            self.poll_client();
        }
    }

    /// Somebody on the way adds octets; nobody can once both are under TLS.
    fn forge(&mut self, to_server: bool, octets: &[u8]) {
        if !octets.is_empty() && !self.seen.client_tls && !self.seen.server_tls {
            self.forged = true;
            if to_server { &mut self.to_server } else { &mut self.to_client }.extend_from_slice(octets);
        }
    }

    fn poll_server(&mut self, received: &[u8]) {
        let mut hand_over = false;
        while let Some(output) = self.server.poll() {
            match output {
                Output::Send(reply) => self.to_client.extend_from_slice(reply),
                Output::StartTls => hand_over = true,
                Output::WaitUntil(_) => {}
                Output::Close => {
                    self.server_closed = true;
                    return;
                }
                Output::Event(event) => {
                    let awaits = match event {
                        ServerEvent::Body(range) => {
                            self.content.extend_from_slice(&received[range]);
                            false
                        }
                        ServerEvent::BodyStart => {
                            self.content.clear();
                            true
                        }
                        ServerEvent::BodyEnd { size } => {
                            assert_eq!(size.0, self.content.len() as u64);
                            self.seen.taken.push(self.content.clone());
                            true
                        }
                        ServerEvent::Mail(_) | ServerEvent::Rcpt(_) | ServerEvent::Auth(_) => true,
                        _ => false,
                    };
                    if awaits {
                        self.server.answer(Answer::Accept, self.now).expect("this event awaits an answer");
                    }
                }
            }
        }
        if hand_over {
            // What was sent in clear is not carried over into TLS by anybody.
            self.seen.server_tls = true;
            self.to_server.clear();
            self.server.tls_ready(facts(), self.now);
            self.poll_server(&[]);
        }
    }

    fn poll_client(&mut self) {
        let mut hand_over = false;
        while let Some(output) = self.client.poll() {
            match output {
                Output::Send(commands) => self.to_server.extend_from_slice(commands),
                Output::StartTls => hand_over = true,
                Output::WaitUntil(_) => {}
                Output::Close => {
                    self.client_closed = true;
                    return;
                }
                Output::Event(event) => self.obey(event),
            }
        }
        if hand_over {
            self.seen.client_tls = true;
            self.to_client.clear();
            self.client.tls_ready(facts(), self.now);
            self.poll_client();
        }
    }

    fn obey(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Ready { .. } | ClientEvent::Finished(_) if !self.client.is_ready() => {}
            ClientEvent::Ready { extensions, .. } if self.use_tls && extensions.starttls() && self.client.tls().is_none() => {
                self.client.start_tls(self.now).expect("it is ready");
            }
            ClientEvent::Ready { .. } => self.send(),
            ClientEvent::Finished(end) => {
                self.seen.finished += usize::from(end.is_success());
                if self.seen.begun < 3 { self.send() } else { self.client.quit(self.now) }
            }
            ClientEvent::SendBody(transfer) => {
                match transfer {
                    BodyTransfer::Data => self.to_server.extend_from_slice(STUFFED),
                    _ => self.to_server.extend_from_slice(CONTENT),
                }
                self.client.body_sent(self.now);
            }
            _ => {}
        }
    }

    fn send(&mut self) {
        self.seen.begun += 1;
        let to = Recipient::new(Mailbox::parse("bob@b.example").expect("a mailbox").into());
        let transaction = Transaction::new(ReversePath::Null, vec![to], Octets(CONTENT.len() as u64));
        self.client.transaction(transaction, self.now).expect("it is ready, and nothing is missing");
    }

    fn check(&self, settings: u8) {
        let is_whole = |content: &Vec<u8>| content == CONTENT;
        if !self.forged {
            assert!(self.seen.taken.iter().all(is_whole), "another content: {:?}", self.seen.taken);
            assert!(self.seen.taken.len() >= self.seen.finished, "the client believes more than there is");
            let timed_out = self.now.0 > 0;
            if !timed_out {
                assert_eq!((self.seen.begun, self.seen.taken.len()), (3, 3), "settings {settings:08b}");
                assert_eq!(self.seen.client_tls, self.use_tls);
                assert_eq!(self.seen.server_tls, self.use_tls);
            }
        }
        if self.seen.client_tls && self.seen.server_tls {
            // Both are: whatever was forged before is behind them.
            assert!(self.seen.taken.iter().filter(|content| is_whole(content)).count() >= self.seen.finished);
        }
        assert!(self.client.tls().is_some() == self.seen.client_tls || self.client_closed);
    }
}
