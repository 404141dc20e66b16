//! A client session and a server session facing each other on a virtual clock: no sockets, no sleeps.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sealpost_smtp::{
    Answer, BodyTransfer, ClientEvent, ClientSession, DataEncoder, Output, Reply, ServerConfig, ServerEvent, ServerSession, Transaction,
};
use sealpost_types::{ForwardPath, Ticks};

use crate::script::{client_config, tls_facts};

/// One message as the server got it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) recipients: Vec<ForwardPath>,
    pub(crate) body: Vec<u8>,
    pub(crate) under_tls: bool,
}

pub(crate) struct Pair {
    pub(crate) client: ClientSession,
    pub(crate) server: ServerSession,
    /// How many octets cross at once.
    pub(crate) cut: usize,
    pub(crate) now: Ticks,
    pub(crate) messages: VecDeque<(Transaction, Vec<u8>)>,
    pub(crate) received: Vec<Received>,
    pub(crate) outcomes: Vec<Reply>,
    pub(crate) failures: Vec<String>,
    /// How often the wire turned round.
    pub(crate) turns: usize,
    pub(crate) use_tls: bool,
    pub(crate) refuse: fn(&ServerEvent) -> Option<Reply>,
    draft: Received,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    body: Vec<u8>,
    server_handshake: bool,
    client_handshake: bool,
}

impl Pair {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        let now = Ticks(1_000_000);
        Self {
            client: ClientSession::new(client_config(), None, now),
            server: ServerSession::new(config, None, now),
            cut: usize::MAX,
            now,
            messages: VecDeque::new(),
            received: Vec::new(),
            outcomes: Vec::new(),
            failures: Vec::new(),
            turns: 0,
            use_tls: false,
            refuse: |_| None,
            draft: Received::default(),
            to_server: Vec::new(),
            to_client: Vec::new(),
            body: Vec::new(),
            server_handshake: false,
            client_handshake: false,
        }
    }

    /// Lets both talk until neither has anything to say, a tenth of a second a turn.
    pub(crate) fn run(&mut self) {
        self.server_turn(&[]);
        self.client_turn(&[]);
        while !self.to_client.is_empty() || !self.to_server.is_empty() {
            self.turns += 1;
            self.now = self.now.after(Duration::from_millis(100));
            let octets = std::mem::take(&mut self.to_client);
            octets.chunks(self.cut.min(octets.len().max(1))).for_each(|piece| self.client_turn(piece));
            let octets = std::mem::take(&mut self.to_server);
            octets.chunks(self.cut.min(octets.len().max(1))).for_each(|piece| self.server_turn(piece));
            if self.server_handshake && self.client_handshake {
                (self.server_handshake, self.client_handshake) = (false, false);
                self.server.tls_ready(tls_facts(), self.now);
                self.client.tls_ready(tls_facts(), self.now);
                self.client_turn(&[]);
            }
        }
    }

    fn server_turn(&mut self, mut input: &[u8]) {
        loop {
            let used = self.server.receive(input, self.now);
            while let Some(output) = self.server.poll() {
                match output {
                    Output::Send(octets) => self.to_client.extend_from_slice(octets),
                    Output::StartTls => self.server_handshake = true,
                    Output::WaitUntil(due) => assert!(due > self.now),
                    Output::Close => return,
                    Output::Event(event) => {
                        let refusal = (self.refuse)(&event);
                        if let Some(awaited) = self.note(event, input) {
                            let answer = refusal.map_or(Answer::Accept, Answer::Refuse);
                            if matches!(answer, Answer::Accept) {
                                self.draft.recipients.extend(awaited);
                            }
                            self.server.answer(answer, self.now).unwrap();
                        }
                    }
                }
            }
            input = &input[used..];
            if input.is_empty() {
                return;
            }
        }
    }

    /// Takes an event down; something if it awaits an answer.
    fn note(&mut self, event: ServerEvent, input: &[u8]) -> Option<Option<ForwardPath>> {
        match event {
            ServerEvent::Mail(_) => {
                self.draft = Received { under_tls: self.server.tls().is_some(), ..Received::default() };
                Some(None)
            }
            ServerEvent::Rcpt(rcpt) => Some(Some(rcpt.forward_path)),
            ServerEvent::BodyStart => Some(None),
            ServerEvent::Body(range) => {
                self.draft.body.extend_from_slice(&input[range]);
                None
            }
            ServerEvent::BodyEnd { size } => {
                assert_eq!(usize::try_from(size.0).unwrap(), self.draft.body.len());
                self.received.push(std::mem::take(&mut self.draft));
                Some(None)
            }
            _ => None,
        }
    }

    fn client_turn(&mut self, input: &[u8]) {
        assert!(self.client.receive(input, self.now) == input.len() || self.client.is_closed());
        while let Some(output) = self.client.poll() {
            match output {
                Output::Send(octets) => self.to_server.extend_from_slice(octets),
                Output::StartTls => self.client_handshake = true,
                Output::WaitUntil(due) => assert!(due > self.now),
                Output::Close => {}
                Output::Event(ClientEvent::Ready { extensions, .. }) if self.use_tls && extensions.starttls() => {
                    self.client.start_tls(self.now).unwrap();
                }
                Output::Event(ClientEvent::Ready { .. }) => self.next(),
                Output::Event(ClientEvent::Finished(reply)) => {
                    self.outcomes.push(reply);
                    self.next();
                }
                Output::Event(ClientEvent::SendBody(transfer)) => {
                    match transfer {
                        BodyTransfer::Bdat(_) => self.to_server.extend_from_slice(&self.body),
                        BodyTransfer::Data => {
                            let mut encoder = DataEncoder::new();
                            encoder.encode(&self.body, &mut self.to_server);
                            encoder.finish(&mut self.to_server);
                        }
                    }
                    self.client.body_sent(self.now);
                }
                Output::Event(ClientEvent::Failed(error)) => self.failures.push(error.to_string()),
                Output::Event(_) => {}
            }
        }
    }

    fn next(&mut self) {
        match self.messages.pop_front() {
            Some((transaction, body)) => {
                self.body = body;
                self.client.transaction(transaction, self.now).unwrap();
            }
            None => self.client.quit(self.now),
        }
    }
}
