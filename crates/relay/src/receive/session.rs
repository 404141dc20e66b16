//! One client's connection: each of its questions, answered.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sealpost_cert::Verdict;
use sealpost_policy::{ClientFacts, ReceiveFacts};
use sealpost_queue::{AcceptError, BodyWriteError, BodyWriter, QueueId, Spool, SpoolError};
use sealpost_report::{Event, EventKind};
use sealpost_smtp::{Credentials, Greeting, HelloName, MailCommand, RcptCommand, Reply, SessionRefusals};
use sealpost_transport::{ConnectionHandler, HandshakeError, Refusal, SessionHandler};
use sealpost_types::{BodyKind, Envelope, ForwardPath, Hop, Reception, Recipient, ReversePath, Severity, TlsFacts};

use super::certificate::{self, Shown};
use super::content::HeaderFilter;
use super::received::Received;
use super::rights;
use super::trace_header::{self, Protocol};
use crate::config::{Listener, ListenerTls};
use crate::engine::{Components, Engine};
use crate::words::{Login, RefusedFor, VerdictWord};
use crate::{account, deliver, submit};

/// Gives each client of one listener its [`ClientSession`].
pub(crate) struct Receiver<C: Components> {
    engine: Arc<Engine<C>>,
    listener: Listener,
}

/// One client's connection.
pub(crate) struct ClientSession<C: Components> {
    engine: Arc<Engine<C>>,
    /// Where the client is; behind a proxy, as the proxy says.
    client: SocketAddr,
    /// Whether it could have had TLS.
    tls_is_offered: bool,
    helo: String,
    greeting: Greeting,
    tls: Option<TlsFacts>,
    /// The name that the client proved with AUTH.
    login: Option<Arc<str>>,
    /// What the client showed with its certificate.
    certificate: Option<Shown>,
    transaction: Option<Transaction>,
}

/// From an accepted MAIL to the end of the body.
struct Transaction {
    command: MailCommand,
    recipients: Vec<Recipient>,
}

/// A body on its way into the queue.
pub(crate) struct Sink<W> {
    id: QueueId,
    reception: Reception,
    writer: W,
    content: HeaderFilter,
    /// What the first field that asks for a level said; the field itself is not stored.
    first_level: Option<String>,
}

impl<C: Components> Receiver<C> {
    pub(crate) fn new(engine: Arc<Engine<C>>, listener: Listener) -> Self {
        Self { engine, listener }
    }
}

impl<C: Components> ConnectionHandler for Receiver<C> {
    type Session = ClientSession<C>;

    async fn opened(&self, client: SocketAddr) -> Result<Self::Session, Reply> {
        self.engine.counters.connections.add_one(Hop::Receive);
        Ok(ClientSession {
            engine: Arc::clone(&self.engine),
            client,
            tls_is_offered: self.listener.tls != ListenerTls::None,
            helo: String::new(),
            greeting: Greeting::Helo,
            tls: None,
            login: None,
            certificate: None,
            transaction: None,
        })
    }

    fn is_exempt(&self, client: IpAddr) -> bool {
        self.engine.config().rights.is_trusted(client)
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.listener.is_proxy(peer)
    }
}

impl<C: Components> SessionHandler for ClientSession<C> {
    type Sink = Sink<<C::Spool as Spool>::Writer>;

    fn tls_established(&mut self, facts: &TlsFacts, client_chain: &[Vec<u8>]) {
        self.tls = Some(*facts);
        self.login = None;
        self.certificate = certificate::shown(client_chain, &self.engine.client_anchors.load(), self.engine.now());
        self.helo.clear();
        let counters = &self.engine.counters;
        counters.shaken(Hop::Receive, *facts);
        if let Some(shown) = &self.certificate {
            counters.verdicts.add_one((Hop::Receive, VerdictWord::of(&shown.verdict)));
        }
    }

    fn tls_failed(&mut self, error: &HandshakeError) {
        self.engine.counters.not_shaken(Hop::Receive, error);
    }

    fn hello(&mut self, name: &HelloName, greeting: Greeting) {
        name.as_str().clone_into(&mut self.helo);
        self.greeting = greeting;
    }

    async fn mail(&mut self, command: &MailCommand) -> Result<(), Reply> {
        self.check(&command.reverse_path, None)?;
        self.transaction = Some(Transaction { command: command.clone(), recipients: Vec::new() });
        Ok(())
    }

    async fn rcpt(&mut self, command: &RcptCommand) -> Result<(), Reply> {
        let Some(mut transaction) = self.transaction.take() else { return Err(Refusal::Internal.reply()) };
        let admitted = self.admit(&transaction.command.reverse_path, command);
        let reply = admitted.map(|recipient| transaction.recipients.push(recipient));
        self.transaction = Some(transaction);
        reply
    }

    async fn body_start(&mut self) -> Result<Self::Sink, Reply> {
        let Some(transaction) = &self.transaction else { return Err(Refusal::Internal.reply()) };
        let engine = &self.engine;
        let writer = engine.spool.body_writer(transaction.command.size).map_err(|error| self.not_stored(of_spool(&error)))?;
        let id = engine.spool.next_id();
        let reception = Reception::from_client(engine.now(), self.client.ip(), self.helo.clone(), self.tls)
            .with_login(self.login.as_deref().map(str::to_owned))
            .with_right_to_relay(self.may_relay(&transaction.command.reverse_path));
        let paths: Vec<ForwardPath> = transaction.recipients.iter().map(|recipient| recipient.path.clone()).collect();
        let protocol = Protocol {
            greeting: self.greeting,
            smtputf8: transaction.command.smtputf8,
            tls: self.tls.is_some(),
            login: self.login.is_some(),
        };
        let field = trace_header::received_field(&engine.config().hostname, &id.to_string(), &reception, protocol, &paths);
        let content = HeaderFilter::new(engine.policy.load().header_name().clone());
        let mut sink = Sink { id, reception, writer, content, first_level: None };
        sink.take(field.as_bytes()).await.map_err(|refusal| self.not_stored(refusal))?;
        Ok(sink)
    }

    async fn body_chunk(&mut self, sink: &mut Self::Sink, octets: &[u8]) -> Result<(), Reply> {
        sink.take(octets).await.map_err(|refusal| self.not_stored(refusal))
    }

    async fn body_end(&mut self, mut sink: Self::Sink) -> Reply {
        let Some(transaction) = self.transaction.take() else { return Refusal::Internal.reply() };
        if let Err(refusal) = sink.end().await {
            return self.not_stored(refusal);
        }
        // The relay's own field is among them.
        if sink.content.received_fields() > self.engine.config().limits.hops {
            return self.turned_away(RefusedFor::Loop, &transaction.command.reverse_path, Refusal::LoopDetected.reply());
        }
        self.accept(transaction, sink).await.unwrap_or_else(|refusal| refusal)
    }

    fn aborted(&mut self) {
        self.transaction = None;
    }

    fn refused(&mut self, refusals: &SessionRefusals) {
        let SessionRefusals { tls_first, too_large, too_many_recipients, content, commands, floods, .. } = *refusals;
        for (why, times) in [
            (RefusedFor::TlsFirst, tls_first),
            (RefusedFor::TooLarge, too_large),
            (RefusedFor::TooManyRecipients, too_many_recipients),
            (RefusedFor::Content, content),
            (RefusedFor::Command, commands),
            (RefusedFor::Flood, floods),
        ] {
            self.engine.counters.refusals.add(why, times.into());
        }
    }

    async fn auth(&mut self, credentials: Credentials) -> Result<(), Reply> {
        // Without users no mechanism is offered, so the session asks nobody.
        let Some(logins) = &self.engine.logins else { return Err(Refusal::AuthUnavailable.reply()) };
        let checked = logins.check(credentials, self.client).await;
        self.engine.counters.logins.add_one(match &checked {
            Ok(_) => Login::Accepted,
            Err(reply) if reply.severity() == Severity::Permanent => Login::Refused,
            Err(_) => Login::Unavailable,
        });
        self.login = Some(checked?);
        Ok(())
    }
}

impl<W: BodyWriter> Sink<W> {
    /// Stores the next piece, without the field that asks for a level.
    async fn take(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        for part in self.content.push(piece) {
            if !part.is_empty() {
                self.writer.write(part).await.map_err(|error| of_write(&error))?;
            }
        }
        Ok(())
    }

    /// Stores what was held back.
    async fn end(&mut self) -> Result<(), Refusal> {
        let part = self.content.finish();
        if !part.is_empty() {
            self.writer.write(part).await.map_err(|error| of_write(&error))?;
        }
        self.first_level = self.content.first_level();
        Ok(())
    }
}

impl<C: Components> ClientSession<C> {
    /// Whether the policy lets this sender, and this recipient, use the session as it is.
    fn check(&self, reverse_path: &ReversePath, forward_path: Option<&ForwardPath>) -> Result<(), Reply> {
        let policy = self.engine.policy.load_full();
        let mut facts = self.facts(reverse_path);
        if let Some(forward_path) = forward_path {
            facts = facts.with_recipient(forward_path);
        }
        let decision = policy.decide_receive(&facts);
        let Some(refusal) = decision.refusal() else { return Ok(()) };
        let mut event = Event::new(self.engine.now(), EventKind::Refused, Hop::Receive).because(refusal.text.clone());
        event.sender = Some(reverse_path.clone());
        event.recipient = forward_path.cloned();
        event.reply = Some(refusal.to_string());
        event.decided = Some(self.engine.words.of_reception(&policy, &facts));
        event.proof = Some(Arc::new(account::reception_proof(self.tls, &facts.client, self.verdict(), &decision)));
        self.tell_refused(RefusedFor::of_policy(&refusal.reason), event);
        Err(Reply::new(refusal.code, Some(refusal.status), refusal.text.clone()))
    }

    /// Whether the client may send anywhere.
    fn may_relay(&self, reverse_path: &ReversePath) -> bool {
        rights::may_relay(&self.engine.config().rights, &self.engine.policy.load(), &self.facts(reverse_path))
    }

    /// What is known of the session at MAIL.
    fn facts<'a>(&'a self, reverse_path: &'a ReversePath) -> ReceiveFacts<'a> {
        ReceiveFacts::new(self.client.ip(), reverse_path).with_client(self.client_facts()).with_tls(self.tls.as_ref()).at(self.engine.now())
    }

    /// Who the client is, as far as it has shown it.
    fn client_facts(&self) -> ClientFacts<'_> {
        let mut client = ClientFacts::new(self.client.ip());
        client.login = self.login.as_deref();
        client.certificate = self.certificate.as_ref().map(|shown| &shown.certificate);
        client
    }

    /// What was found of the client's certificate.
    fn verdict(&self) -> Option<&Verdict> {
        self.certificate.as_ref().map(|shown| &shown.verdict)
    }

    /// The recipient, if this client may send to it with the session as it is.
    fn admit(&self, reverse_path: &ReversePath, command: &RcptCommand) -> Result<Recipient, Reply> {
        let policy = self.engine.policy.load();
        let mailbox = rights::admit(&self.engine.config().rights, &policy, &self.facts(reverse_path), &command.forward_path).inspect_err(
            |reply| {
                let mut event = Event::new(self.engine.now(), EventKind::Refused, Hop::Receive).because(reply.text());
                event.sender = Some(reverse_path.clone());
                event.recipient = Some(command.forward_path.clone());
                event.reply = Some(reply.to_string());
                let is_address = reply.status().is_some_and(|status| status.subject() == ADDRESS);
                self.tell_refused(if is_address { RefusedFor::Recipient } else { RefusedFor::Relaying }, event);
            },
        )?;
        // The mailbox that is meant: <Postmaster> is somebody's.
        let mut recipient = Recipient::new(mailbox.into());
        self.check(reverse_path, Some(&recipient.path))?;
        recipient.notify = command.notify;
        recipient.original.clone_from(&command.original);
        Ok(recipient)
    }

    /// A whole message is refused for what is in it.
    fn turned_away(&self, why: RefusedFor, reverse_path: &ReversePath, reply: Reply) -> Reply {
        let mut event = Event::new(self.engine.now(), EventKind::Refused, Hop::Receive).because(reply.text());
        event.sender = Some(reverse_path.clone());
        event.reply = Some(reply.to_string());
        self.tell_refused(why, event);
        reply
    }

    fn tell_refused(&self, why: RefusedFor, mut event: Event) {
        event.host = Some(self.helo.clone()).filter(|helo| !helo.is_empty());
        event.address = Some(self.client);
        self.engine.counters.refusals.add_one(why);
        self.engine.record(event);
    }

    /// Makes the message durable, hands it to the deliver hop, and only then says yes.
    async fn accept(&self, transaction: Transaction, sink: Sink<<C::Spool as Spool>::Writer>) -> Result<Reply, Reply> {
        let engine = &self.engine;
        let Sink { id, mut reception, writer, content, first_level } = sink;
        // A stranger's field is taken out too, and asks for nothing (C5).
        reception.level_header = first_level.filter(|_| engine.policy.load().trusts_header_of(&self.client_facts()));
        let MailCommand { reverse_path, body, smtputf8, ret, envelope_id, require_tls, .. } = transaction.command;
        // REQUIRETLS makes the field void (RFC 8689 section 4.1).
        reception.tls_optional = content.says_tls_is_optional() && !require_tls;
        let mut envelope = Envelope::new(reverse_path, transaction.recipients);
        let ascii_paths = envelope.reverse_path.is_ascii() && envelope.recipients.iter().all(|recipient| recipient.path.is_ascii());
        // What the message needs, not what the client announced: so a next host without the extension may still take it.
        envelope.smtputf8 = smtputf8 && !(content.is_ascii() && ascii_paths);
        envelope.body = match (content.is_ascii(), body) {
            (true, BodyKind::SevenBit | BodyKind::EightBitMime) => BodyKind::SevenBit,
            (false, BodyKind::SevenBit) => BodyKind::EightBitMime,
            _ => body,
        };
        envelope.require_tls = require_tls;
        envelope.ret = ret;
        envelope.envelope_id = envelope_id;
        if let Some(hook) = &engine.accept_hook
            && let Err(refusal) = hook.ask(&envelope, &reception)
        {
            return Err(self.turned_away(RefusedFor::Hook, &envelope.reverse_path, refusal));
        }
        let in_clear = if self.tls_is_offered { envelope.recipients.len() } else { 0 };
        let size = writer.size();
        let received = Received::new(id, &reception, &envelope, self.client, size);
        let message = submit::message(engine, id, reception, envelope);
        match engine.spool.accept(message, writer).await {
            Ok(leases) => {
                engine.counters.accepted(self.tls.as_ref(), size, in_clear);
                received.record(engine, self.tls.as_ref(), self.client_facts(), self.verdict());
                deliver::submit(engine, leases);
                Ok(Reply::fixed::<250, 0, 0>(format!("Ok: queued as {id}")))
            }
            Err(error) => {
                tracing::error!(%id, %error, "message not accepted");
                Err(self.not_stored(of_accept(&error)))
            }
        }
    }

    /// This host cannot take the message.
    fn not_stored(&self, refusal: Refusal) -> Reply {
        self.engine.counters.refusals.add_one(match refusal {
            Refusal::StoreFull => RefusedFor::StoreFull,
            Refusal::ShuttingDown => RefusedFor::ShuttingDown,
            _ => RefusedFor::StoreBroken,
        });
        refusal.reply()
    }
}

fn of_spool(error: &SpoolError) -> Refusal {
    tracing::error!(%error, "no message is accepted");
    match error {
        SpoolError::Full => Refusal::StoreFull,
        SpoolError::Closed => Refusal::ShuttingDown,
        _ => Refusal::StoreBroken,
    }
}

fn of_write(error: &BodyWriteError) -> Refusal {
    tracing::error!(%error, "body not stored");
    match error {
        BodyWriteError::Full => Refusal::StoreFull,
        _ => Refusal::StoreBroken,
    }
}

fn of_accept(error: &AcceptError) -> Refusal {
    match error {
        AcceptError::Full | AcceptError::Body(BodyWriteError::Full) => Refusal::StoreFull,
        AcceptError::Closed => Refusal::ShuttingDown,
        _ => Refusal::StoreBroken,
    }
}

/// RFC 3463 section 3.2: the address is the trouble.
const ADDRESS: u16 = 1;
