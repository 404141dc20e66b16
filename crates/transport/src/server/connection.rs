//! One connection: the session's outputs carried out, one after the other.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use sealpost_smtp::{Answer, Output, Reply, ServerEvent, ServerSession, SessionRefusals};
use sealpost_types::Ticks;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tracing::debug;

use super::accept::{ListenerTls, Phase, Shared};
use super::{ConnectionHandler, Refusal, SessionHandler};
use crate::clock::Ticker;
use crate::stream::Wire;
use crate::tls::{HandshakeError, ServerHandshake, TlsBackend};

/// Serves one connection to its end.
pub(super) async fn serve<B: TlsBackend, H: ConnectionHandler>(
    tcp: TcpStream,
    client: SocketAddr,
    shared: &Shared<B, H>,
    phase: watch::Receiver<Phase>,
) {
    // Without it a reply may wait for the acknowledgement of the last one.
    let _ = tcp.set_nodelay(true);
    let mut opened = shared.handler.opened(client).await;
    let (wire, tls) = match shared.settings.tls {
        ListenerTls::Implicit => match handshake(shared, tcp).await {
            Ok(shaken) => (Wire::Tls(shaken.stream), Some((shaken.facts, shaken.chain))),
            Err(error) => {
                opened.iter_mut().for_each(|handler| handler.tls_failed(&error));
                return debug!(%error, "no TLS");
            }
        },
        _ => (Wire::plain(tcp), None),
    };
    let ticker = Ticker::start();
    let facts = tls.as_ref().map(|(facts, _)| *facts);
    let mut session = ServerSession::new(Arc::clone(&shared.settings.session), facts, ticker.now());
    let mut talk = match opened {
        Ok(mut handler) => {
            if let Some((facts, chain)) = &tls {
                handler.tls_established(facts, chain);
            }
            Talk {
                session,
                handler,
                sink: None,
                in_transaction: false,
                out: Vec::new(),
                ticker,
                deadline: None,
                turn: Turn::of(shared.settings.turn, &shared.long_turns),
            }
        }
        Err(reply) => {
            session.refuse_session(reply);
            let mut wire = wire;
            while let Some(Output::Send(octets)) = session.poll() {
                let _ = timeout(shared.settings.write_timeout, write(&mut wire, octets)).await;
            }
            return close(wire).await;
        }
    };
    let ended = converse(shared, wire, &mut talk, phase).await;
    talk.sink = None;
    if talk.in_transaction {
        talk.handler.aborted();
    }
    if *talk.session.refusals() != SessionRefusals::default() {
        talk.handler.refused(talk.session.refusals());
    }
    talk.handler.closed();
    match ended {
        Ok(wire) => close(wire).await,
        Err(error) => debug!(%error, "connection lost"),
    }
}

/// A session with its handler, and what lies between the two: everything but the connection itself.
struct Talk<H: SessionHandler> {
    session: ServerSession,
    handler: H,
    sink: Option<H::Sink>,
    in_transaction: bool,
    /// Replies of the batch at hand.
    out: Vec<u8>,
    ticker: Ticker,
    deadline: Option<Ticks>,
    turn: Turn,
}

/// How much of one connection is done before others get their turn.
#[derive(Debug)]
struct Turn {
    length: usize,
    done: usize,
    /// Counted while more was sent at once than one turn takes.
    long: Option<LongTurn>,
    long_turns: Arc<AtomicUsize>,
}

/// Counts a connection that sent more at once than one turn takes, for as long as it lives.
#[derive(Debug)]
struct LongTurn(Arc<AtomicUsize>);

type Shaken<B> = ServerHandshake<<B as TlsBackend>::ServerStream>;

/// What the session wants beyond octets and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Read,
    StartTls,
    Close,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    Input,
    Deadline,
    Stopped,
    Ended,
}

/// Runs the session to its end, and gives back the connection to be closed.
async fn converse<B: TlsBackend, H: ConnectionHandler>(
    shared: &Shared<B, H>,
    mut wire: Wire<B::ServerStream>,
    talk: &mut Talk<H::Session>,
    mut phase: watch::Receiver<Phase>,
) -> io::Result<Wire<B::ServerStream>> {
    let mut timer = pin!(sleep_until(Instant::now() + FAR));
    let mut next = talk.take(&[]).await.1;
    loop {
        if !talk.out.is_empty() {
            timeout(shared.settings.write_timeout, write(&mut wire, &talk.out)).await??;
            // An idle connection keeps no buffer.
            talk.out = Vec::new();
        }
        next = match next {
            Next::Close => return Ok(wire),
            Next::StartTls => {
                let shaken = start_tls(shared, wire).await.inspect_err(|error| talk.handler.tls_failed(error)).map_err(io::Error::other)?;
                debug!(facts = ?shaken.facts, "TLS established");
                wire = Wire::Tls(shaken.stream);
                talk.handler.tls_established(&shaken.facts, &shaken.chain);
                talk.session.tls_ready(shaken.facts, talk.ticker.now());
                talk.take(&[]).await.1
            }
            Next::Read => match talk.wait(&mut wire, timer.as_mut(), &mut phase).await {
                Woken::Input => {
                    // The octets stay where they are while handlers look at them.
                    let (used, next) = talk.take(wire.fill_buf().await?).await;
                    wire.consume(used);
                    if used == 0 && talk.session.is_waiting() {
                        // An event without an answer: the octets would come again and again.
                        return Err(io::Error::other("the session waits for an answer that nobody gives"));
                    }
                    next
                }
                Woken::Ended => return Err(io::ErrorKind::UnexpectedEof.into()),
                Woken::Deadline => {
                    talk.session.handle_timeout(talk.ticker.now());
                    talk.take(&[]).await.1
                }
                Woken::Stopped => {
                    talk.session.refuse_session(Refusal::ShuttingDown.reply());
                    talk.take(&[]).await.1
                }
            },
        };
    }
}

impl<H: SessionHandler> Talk<H> {
    /// Waits for octets, the session's deadline, or the listener's end if this session may be ended now.
    async fn wait<W: AsyncBufRead + Unpin>(
        &mut self,
        wire: &mut W,
        mut timer: Pin<&mut Sleep>,
        phase: &mut watch::Receiver<Phase>,
    ) -> Woken {
        let deadline = self.deadline.map(|at| self.ticker.instant(at));
        // The timer is moved only when it would fire too late: most deadlines never come.
        if let Some(deadline) = deadline.filter(|deadline| *deadline < timer.deadline()) {
            timer.as_mut().reset(deadline);
        }
        let stops_at = if self.in_transaction { Phase::Ending } else { Phase::Stopping };
        // An error means that the server was dropped: as good as stopped.
        let mut stopped = pin!(phase.wait_for(|phase| *phase >= stops_at));
        poll_fn(|cx| {
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Woken::Stopped);
            }
            match Pin::new(&mut *wire).poll_fill_buf(cx) {
                Poll::Ready(Ok([]) | Err(_)) => return Poll::Ready(Woken::Ended),
                Poll::Ready(Ok(_)) => return Poll::Ready(Woken::Input),
                Poll::Pending => {}
            }
            while timer.as_mut().poll(cx).is_ready() {
                match deadline {
                    Some(deadline) if Instant::now() >= deadline => return Poll::Ready(Woken::Deadline),
                    later => timer.as_mut().reset(later.unwrap_or_else(|| Instant::now() + FAR)),
                }
            }
            self.turn.done = 0;
            Poll::Pending
        })
        .await
    }

    /// Goes through `input` to its end, or to where the session takes no more.
    async fn take(&mut self, input: &[u8]) -> (usize, Next) {
        let mut used = 0;
        let mut next = Next::Read;
        loop {
            // One read may hold hundreds of commands.
            self.turn.end_if_over().await;
            let rest = input.get(used..).unwrap_or_default();
            let taken = self.session.receive(rest, self.ticker.now());
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Send(octets) => {
                        self.turn.done += octets.len() / REPLY_OCTETS;
                        self.out.extend_from_slice(octets);
                    }
                    Output::WaitUntil(at) => self.deadline = Some(at),
                    Output::StartTls => next = Next::StartTls,
                    Output::Close => next = Next::Close,
                    Output::Event(event) => {
                        self.turn.done += 1;
                        if let Some(answer) = self.answer(event, rest).await {
                            self.give(answer);
                        }
                    }
                }
            }
            used += taken;
            if taken == 0 || used >= input.len() || next != Next::Read {
                self.turn.long = None;
                return (used, next);
            }
        }
    }

    /// Asks the handler. `input` is what [`ServerEvent::Body`] names ranges of.
    async fn answer(&mut self, event: ServerEvent, input: &[u8]) -> Option<Answer> {
        match event {
            ServerEvent::Hello { name, greeting } => {
                self.handler.hello(&name, greeting);
                None
            }
            ServerEvent::Mail(command) => {
                let answer = self.handler.mail(&command).await;
                self.in_transaction = answer.is_ok();
                Some(accept_or_refuse(answer))
            }
            ServerEvent::Rcpt(command) => Some(accept_or_refuse(self.handler.rcpt(&command).await)),
            ServerEvent::BodyStart => {
                let started = self.handler.body_start().await;
                self.in_transaction = started.is_ok();
                Some(accept_or_refuse(started.map(|sink| self.sink = Some(sink))))
            }
            ServerEvent::Body(range) => {
                let (Some(sink), Some(octets)) = (&mut self.sink, input.get(range)) else { return None };
                let refusal = self.handler.body_chunk(sink, octets).await.err()?;
                self.sink = None;
                self.in_transaction = false;
                Some(Answer::Refuse(refusal))
            }
            ServerEvent::BodyEnd { .. } => {
                self.in_transaction = false;
                let reply = match self.sink.take() {
                    Some(sink) => self.handler.body_end(sink).await,
                    None => Refusal::Internal.reply(),
                };
                Some(if reply.is_success() { Answer::Queued { reply } } else { Answer::Refuse(reply) })
            }
            ServerEvent::Aborted(why) => {
                debug!(?why, "transaction aborted");
                self.sink = None;
                if std::mem::take(&mut self.in_transaction) {
                    self.handler.aborted();
                }
                None
            }
            ServerEvent::Auth(credentials) => Some(accept_or_refuse(self.handler.auth(credentials).await)),
            // An event of a newer session: not to be accepted unseen.
            _ => Some(Answer::Refuse(Refusal::Internal.reply())),
        }
    }

    fn give(&mut self, answer: Answer) {
        let now = self.ticker.now();
        if let Err(error) = self.session.answer(answer, now) {
            // A handler that refuses with 250 or confirms with 550: the client must not believe either.
            debug!(%error, "the handler's reply cannot be given");
            let _ = self.session.answer(Answer::Refuse(Refusal::Internal.reply()), now);
        }
    }
}

impl Turn {
    fn of(length: usize, long_turns: &Arc<AtomicUsize>) -> Self {
        Self { length, done: 0, long: None, long_turns: Arc::clone(long_turns) }
    }

    /// Lets all others go first once enough is done: those that can go on, and those for whom something has come.
    async fn end_if_over(&mut self) {
        if self.done < self.length {
            return;
        }
        self.long.get_or_insert_with(|| LongTurn::begin(&self.long_turns));
        // Where one connection alone has so much to say, other threads are idle: to wake them again and again for nothing would cost it a quarter
        // of its time.
        let is_alone = self.long_turns.load(Ordering::Relaxed) <= 1;
        if !is_alone || self.done >= self.length.saturating_mul(ALONE) {
            self.done = 0;
            yield_now().await;
        }
    }
}

impl LongTurn {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for LongTurn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn start_tls<B: TlsBackend, H>(shared: &Shared<B, H>, wire: Wire<B::ServerStream>) -> Result<Shaken<B>, HandshakeError> {
    // The session has refused what came in one piece with STARTTLS; this is what came a moment later.
    let behind = || HandshakeError::Protocol { detail: "octets in clear behind STARTTLS".into() };
    let Wire::Plain(plain) = wire else { return Err(behind()) };
    handshake(shared, plain.into_tcp().ok_or_else(behind)?).await
}

/// Ends a connection so that the last reply arrives: closed with octets unread, TCP would throw it away.
async fn close<W: AsyncBufRead + AsyncWrite + Unpin>(mut wire: W) {
    let linger = async {
        wire.shutdown().await?;
        loop {
            match wire.fill_buf().await?.len() {
                0 => return io::Result::Ok(()),
                unread => wire.consume(unread),
            }
        }
    };
    let _ = timeout(CLOSE_TIME, linger).await;
}

async fn write<W: AsyncWrite + Unpin>(wire: &mut W, octets: &[u8]) -> io::Result<()> {
    wire.write_all(octets).await?;
    wire.flush().await
}

async fn handshake<B: TlsBackend, H>(shared: &Shared<B, H>, tcp: TcpStream) -> Result<ServerHandshake<B::ServerStream>, HandshakeError> {
    let settings = &shared.settings;
    // Apart: a connection does not keep room for its handshake as long as it lives.
    let handshake = Box::pin(shared.backend.accept(tcp, settings.client_certificate));
    timeout(settings.handshake_timeout, handshake).await.unwrap_or(Err(HandshakeError::Closed { kind: io::ErrorKind::TimedOut }))
}

fn accept_or_refuse(answer: Result<(), Reply>) -> Answer {
    match answer {
        Ok(()) => Answer::Accept,
        Err(reply) => Answer::Refuse(reply),
    }
}

/// What counts as much as a command whose handler was asked: some replies that the session gave by itself.
const REPLY_OCTETS: usize = 256;

/// So many times as long is the turn of a connection that is alone in sending more than one turn takes.
const ALONE: usize = 8;

/// Time for the last octets of a connection that is closed.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Beyond any deadline.
const FAR: Duration = Duration::from_secs(30 * 24 * 3600);
