//! Who answers: the owner of the listener, one handler per connection.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use sealpost_smtp::{Credentials, Greeting, HelloName, MailCommand, RcptCommand, Reply, SessionRefusals};
use sealpost_types::TlsFacts;

use crate::tls::HandshakeError;

/// Gives each connection its [`SessionHandler`].
///
/// Futures are `Send` and there is no `dyn`: a connection runs as one task on whatever thread is free.
pub trait ConnectionHandler: Send + Sync + 'static {
    /// What answers for one connection.
    type Session: SessionHandler;

    /// A client has connected; behind a [proxy](Self::is_proxy), `client` is the address that the proxy names.
    ///
    /// # Errors
    /// The reply to send in place of the greeting; the connection then ends.
    fn opened(&self, client: SocketAddr) -> impl Future<Output = Result<Self::Session, Reply>> + Send;

    /// Whether this client is held to no limit per address: a trusted network. The total limit holds for everybody.
    fn is_exempt(&self, client: IpAddr) -> bool {
        let _ = client;
        false
    }

    /// Whether connections from this address must begin with a PROXY header, which then says who the client is: a proxy
    /// that is trusted not to lie. What is no header ends the connection. For all others a header is a bad command.
    fn is_proxy(&self, peer: IpAddr) -> bool {
        let _ = peer;
        false
    }
}

/// Answers what the client of one connection asks.
///
/// Calls come in the order of the session, one at a time. A transaction begins with an accepted [`mail`](Self::mail) and
/// ends with the first of these: [`body_end`](Self::body_end), [`aborted`](Self::aborted), or a refusal by
/// [`body_start`](Self::body_start) or [`body_chunk`](Self::body_chunk).
pub trait SessionHandler: Send + 'static {
    /// Where a body goes. Dropped without [`body_end`](Self::body_end), it is forgotten.
    type Sink: Send + 'static;

    /// TLS is up: facts, and the client's certificates in DER if it showed any. The chain proves nothing yet but that
    /// the client holds the key of the first certificate; judge it with `sealpost_cert::verify_client`.
    ///
    /// What was said in clear before is forgotten (RFC 3207 section 4.2).
    fn tls_established(&mut self, facts: &TlsFacts, client_chain: &[Vec<u8>]) {
        let _ = (facts, client_chain);
    }

    /// The handshake failed; the connection ends.
    fn tls_failed(&mut self, error: &HandshakeError) {
        let _ = error;
    }

    /// EHLO or HELO, with the client's name for itself.
    fn hello(&mut self, name: &HelloName, greeting: Greeting) {
        let _ = (name, greeting);
    }

    /// MAIL. Nothing is answered until the future is done.
    ///
    /// # Errors
    /// The reply that refuses the sender.
    fn mail(&mut self, command: &MailCommand) -> impl Future<Output = Result<(), Reply>> + Send;

    /// RCPT.
    ///
    /// # Errors
    /// The reply that refuses this recipient; the others are not touched.
    fn rcpt(&mut self, command: &RcptCommand) -> impl Future<Output = Result<(), Reply>> + Send;

    /// The body is about to come, for at least one accepted recipient.
    ///
    /// # Errors
    /// The reply that refuses the message. The transaction is over; a body that is on its way already is swallowed.
    fn body_start(&mut self) -> impl Future<Output = Result<Self::Sink, Reply>> + Send;

    /// A piece of the body, lent from the read buffer. Until the future is done the client is not read from.
    ///
    /// # Errors
    /// The reply that refuses the message at its end. The sink is dropped, and what still comes is swallowed.
    fn body_chunk(&mut self, sink: &mut Self::Sink, octets: &[u8]) -> impl Future<Output = Result<(), Reply>> + Send;

    /// The body is complete. A 2yz reply means that the message is durable: it is sent only when the future is done.
    fn body_end(&mut self, sink: Self::Sink) -> impl Future<Output = Reply> + Send;

    /// The transaction ends without a message for a reason of the client's: RSET, EHLO, a body that may not be, a
    /// connection lost. The sink has been dropped.
    fn aborted(&mut self) {}

    /// AUTH. Offered under TLS only.
    ///
    /// # Errors
    /// The reply that refuses the credentials, 535 5.7.8 as a rule.
    fn auth(&mut self, credentials: Credentials) -> impl Future<Output = Result<(), Reply>> + Send;

    /// What the session refused without asking, told once at its end if there was anything.
    fn refused(&mut self, refusals: &SessionRefusals) {
        let _ = refusals;
    }

    /// The connection has ended, for whatever reason.
    fn closed(&mut self) {}
}
