//! An open connection, and the carrying out of what its session wants.

use std::any::Any;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sealpost_cert::Verdict;
use sealpost_smtp::{ClientConfig, ClientError, ClientEvent, ClientSession, Extensions, Output, Stage};
use sealpost_types::{Domain, Ticks, TlsFacts, UnixMillis, WireKey};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::Ends;
use super::stage::StageTimes;
use super::watch::Watch;
use crate::clock::Ticker;
use crate::stream::{Wire, onlooker};
use crate::tls::{AlertName, HandshakeError, TlsBackend};

/// An open connection that satisfies the demand of its [`WireKey`].
///
/// Dropped, it is closed without QUIT; [`quit`](Self::quit) and [`hang_up`](Self::hang_up) are more polite.
pub struct Connection<B: TlsBackend> {
    pub(super) talk: Talk<B>,
    key: WireKey,
    generation: u64,
    extensions: Arc<Extensions>,
    secured: Option<Secured>,
    times: StageTimes,
    choked: Option<Arc<str>>,
    opened: Instant,
    pub(super) uses: u32,
    ends: Ends,
    /// The domains that it was used for.
    domains: Vec<Domain>,
    /// What its user keeps with it.
    kept: Option<Arc<dyn Any + Send + Sync>>,
}

/// What TLS brought.
#[derive(Clone, Debug)]
pub(super) struct Secured {
    pub(super) facts: TlsFacts,
    pub(super) chain: Arc<[Vec<u8>]>,
    pub(super) verdict: Arc<Verdict>,
    pub(super) valid_until: UnixMillis,
    pub(super) certificate_shown: bool,
}

/// A session with its connection.
pub(super) struct Talk<B: TlsBackend> {
    /// None during the hand-over to TLS, and for good if that fails.
    pub(super) wire: Option<Wire<B::ClientStream>>,
    pub(super) session: ClientSession,
    pub(super) config: Arc<ClientConfig>,
    /// What is to be written, so that commands and a small body make one write.
    pub(super) out: Vec<u8>,
    ticker: Ticker,
    deadline: Option<Ticks>,
    watch: Option<Arc<dyn Watch>>,
    /// Whether what is said now is not to be seen.
    pub(super) secret: bool,
}

/// What the session wants beyond octets.
#[derive(Debug)]
pub(super) enum Happening {
    Event(ClientEvent),
    StartTls,
    Closed,
}

/// Why a session cannot go on, for a reason outside of it.
#[derive(Clone, Debug)]
pub(super) enum Broken {
    TimedOut {
        after: Duration,
    },
    Lost {
        kind: io::ErrorKind,
    },
    /// By an alert behind the handshake: so a server of TLS 1.3 refuses a client's certificate.
    Alert {
        alert: AlertName,
    },
}

impl Broken {
    /// What a failed read or write means.
    fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<HandshakeError>()) {
            Some(HandshakeError::Alert { alert }) => Self::Alert { alert: alert.clone() },
            _ => Self::Lost { kind: error.kind() },
        }
    }
}

impl<B: TlsBackend> Connection<B> {
    pub(super) fn new(talk: Talk<B>, key: WireKey, generation: u64, extensions: Arc<Extensions>, secured: Option<Secured>) -> Self {
        let times = StageTimes::default();
        let (opened, ends, domains) = (Instant::now(), Ends::default(), Vec::new());
        Self { talk, key, generation, extensions, secured, times, choked: None, opened, uses: 0, ends, domains, kept: None }
    }

    /// The same, after the host choked on a full hello.
    pub(super) fn after_choking(mut self, why: Arc<str>) -> Self {
        self.choked = Some(why).filter(|_| self.secured.is_some());
        self
    }

    pub(super) fn set_opening(&mut self, times: StageTimes, ends: Ends) {
        (self.times, self.ends) = (times, ends);
    }

    /// What it was opened for, and the only thing that it may be used for.
    #[must_use]
    pub fn key(&self) -> &WireKey {
        &self.key
    }

    /// The policy generation it was opened under.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the server offers: under TLS if there is TLS.
    #[must_use]
    pub fn extensions(&self) -> &Arc<Extensions> {
        &self.extensions
    }

    /// What was negotiated; none in clear.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.secured.as_ref().map(|secured| &secured.facts)
    }

    /// What the demand says of the server's certificate, and everything that was found; none in clear.
    #[must_use]
    pub fn verdict(&self) -> Option<&Arc<Verdict>> {
        self.secured.as_ref().map(|secured| &secured.verdict)
    }

    /// The server's certificates in DER, its own first; empty in clear.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        self.secured.as_ref().map_or(&[], |secured| &secured.chain)
    }

    /// What became of a hello with a post-quantum key exchange, if the host did not answer one and was sent another without.
    #[must_use]
    pub fn small_hello(&self) -> Option<&str> {
        self.choked.as_deref()
    }

    /// Whether the server asked for a certificate of this side and was shown one.
    #[must_use]
    pub fn certificate_shown(&self) -> bool {
        self.secured.as_ref().is_some_and(|secured| secured.certificate_shown)
    }

    /// Until when the verdict holds; none in clear.
    #[must_use]
    pub fn valid_until(&self) -> Option<UnixMillis> {
        self.secured.as_ref().map(|secured| secured.valid_until)
    }

    /// How long each stage of opening it took.
    #[must_use]
    pub fn times(&self) -> &StageTimes {
        &self.times
    }

    /// How long it has been open.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The address of this side, and what the server calls itself.
    #[must_use]
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Whether this is the first time that it is used for mail to this domain, for whoever counts sessions by domain.
    ///
    /// # Limits
    /// Of the first [`DOMAINS_KNOWN`] domains; later ones are never the first time.
    pub fn is_first_for(&mut self, domain: &Domain) -> bool {
        let is_first = self.domains.len() < DOMAINS_KNOWN && !self.domains.contains(domain);
        if is_first {
            self.domains.push(domain.clone());
        }
        is_first
    }

    /// How many transactions were begun over it.
    #[must_use]
    pub fn uses(&self) -> u32 {
        self.uses
    }

    /// Keeps a value with it, from one transaction to the next: such as what its user makes of its certificate. The one before goes.
    pub fn keep<T: Send + Sync + 'static>(&mut self, value: Arc<T>) {
        self.kept = Some(value);
    }

    /// What was kept with it last, if it is of this type.
    #[must_use]
    pub fn kept<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(self.kept.as_ref()?).downcast().ok()
    }

    /// Whether a transaction can begin: the session is ready, and the server has neither closed the connection nor
    /// said anything unasked (421, as a rule).
    pub fn is_reusable(&mut self) -> bool {
        self.talk.session.is_ready() && self.talk.out.is_empty() && self.talk.is_silent()
    }

    /// Says QUIT and waits up to a second for the answer.
    pub async fn quit(mut self) {
        self.talk.session.quit(self.talk.ticker.now());
        let good_bye = async { while let Ok(Happening::Event(_) | Happening::StartTls) = self.talk.next().await {} };
        // The answer is of no use: one that does not come is not worth more than this.
        let _ = timeout(QUIT_TIME, good_bye).await;
        if let Some(wire) = &mut self.talk.wire {
            let _ = timeout(QUIT_TIME, wire.shutdown()).await;
        }
    }

    /// Says QUIT as far as the kernel takes it at once, and closes.
    pub fn hang_up(self) {
        self.talk.hang_up();
    }
}

impl<B: TlsBackend> Talk<B> {
    pub(super) fn new(
        config: Arc<ClientConfig>,
        wire: Wire<B::ClientStream>,
        tls: Option<TlsFacts>,
        watch: Option<Arc<dyn Watch>>,
    ) -> Self {
        let ticker = Ticker::start();
        let session = ClientSession::new(Arc::clone(&config), tls, ticker.now());
        if let (Some(watch), Some(tls)) = (&watch, &tls) {
            watch.secured(tls);
        }
        Self { wire: Some(wire), session, config, out: Vec::new(), ticker, deadline: None, watch, secret: false }
    }

    pub(super) fn now(&self) -> Ticks {
        self.ticker.now()
    }

    /// Whether STARTTLS could be said.
    pub(super) fn start_tls(&mut self) -> bool {
        self.session.start_tls(self.ticker.now()).is_ok()
    }

    /// The bare connection, unless octets of the server are waiting: at STARTTLS those are an attack.
    pub(super) fn take_tcp(&mut self) -> Option<TcpStream> {
        match self.wire.take()? {
            Wire::Plain(plain) => plain.into_tcp(),
            Wire::Tls(_) => None,
        }
    }

    pub(super) fn secure(&mut self, stream: B::ClientStream, facts: TlsFacts) {
        self.wire = Some(Wire::Tls(stream));
        if let Some(watch) = &self.watch {
            watch.secured(&facts);
        }
        self.session.tls_ready(facts, self.ticker.now());
    }

    /// Says QUIT, if this is a moment for it, as far as the kernel takes it at once; and closes.
    pub(super) fn hang_up(mut self) {
        self.session.quit(self.ticker.now());
        while let Some(output) = self.session.poll() {
            if let Output::Send(octets) = output {
                self.out.extend_from_slice(octets);
            }
        }
        let Some(wire) = &mut self.wire else { return };
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(_)) = Pin::new(&mut *wire).poll_write(&mut cx, &self.out) {
            let _ = Pin::new(&mut *wire).poll_flush(&mut cx);
        }
        let _ = Pin::new(wire).poll_shutdown(&mut cx);
    }

    /// The next thing that the session does not do by itself. Before it waits, everything is written in one piece.
    pub(super) async fn next(&mut self) -> Result<Happening, Broken> {
        loop {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Send(octets) => {
                        if let Some(watch) = &self.watch {
                            watch.sent((!self.secret).then_some(octets));
                        }
                        self.out.extend_from_slice(octets);
                    }
                    Output::WaitUntil(at) => self.deadline = Some(at),
                    Output::Event(ClientEvent::Failed(ClientError::TimedOut { stage })) => {
                        return Err(Broken::TimedOut { after: allowed(&self.config, stage) });
                    }
                    Output::Event(event) => return Ok(Happening::Event(event)),
                    Output::StartTls => {
                        self.flush().await?;
                        return Ok(Happening::StartTls);
                    }
                    Output::Close => {
                        self.flush().await?;
                        return Ok(Happening::Closed);
                    }
                }
            }
            self.flush().await?;
            self.read().await?;
        }
    }

    /// Gives the session what has come, or tells it that its time is over.
    async fn read(&mut self) -> Result<(), Broken> {
        let Some(wire) = &mut self.wire else { return Err(Broken::Lost { kind: io::ErrorKind::NotConnected }) };
        let filled = match self.deadline {
            Some(deadline) => timeout_at(self.ticker.instant(deadline), wire.fill_buf()).await,
            None => Ok(wire.fill_buf().await),
        };
        match filled {
            Err(_) => self.session.handle_timeout(self.ticker.now()),
            Ok(Err(error)) => return Err(Broken::of(&error)),
            Ok(Ok([])) => return Err(Broken::Lost { kind: io::ErrorKind::UnexpectedEof }),
            Ok(Ok(input)) => {
                let used = self.session.receive(input, self.ticker.now());
                if let Some(watch) = &self.watch {
                    watch.received(input.get(..used).unwrap_or_default());
                }
                wire.consume(used);
            }
        }
        Ok(())
    }

    /// Gives the session what has come already, without waiting.
    pub(super) fn read_ready(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let mut cx = Context::from_waker(onlooker());
        if let Poll::Ready(Ok(input)) = Pin::new(&mut *wire).poll_fill_buf(&mut cx)
            && !input.is_empty()
        {
            let used = self.session.receive(input, self.ticker.now());
            if let Some(watch) = &self.watch {
                watch.received(input.get(..used).unwrap_or_default());
            }
            wire.consume(used);
        }
    }

    /// So much content went out.
    pub(super) fn told_of_content(&self, octets: u64) {
        if let Some(watch) = &self.watch {
            watch.sent_content(octets);
        }
    }

    /// Writes what has gathered. The time for it is that of one block.
    pub(super) async fn flush(&mut self) -> Result<(), Broken> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = Self::write(self.wire.as_mut(), &self.out, self.config.timeouts.block).await;
        self.out.clear();
        written
    }

    pub(super) async fn write(wire: Option<&mut Wire<B::ClientStream>>, octets: &[u8], after: Duration) -> Result<(), Broken> {
        let Some(wire) = wire else { return Err(Broken::Lost { kind: io::ErrorKind::NotConnected }) };
        let written = timeout(after, async {
            wire.write_all(octets).await?;
            wire.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Broken::of(&error)),
            Err(_) => Err(Broken::TimedOut { after }),
        }
    }

    /// Whether nothing has come and the connection is open, as far as the kernel knows.
    fn is_silent(&mut self) -> bool {
        let Some(wire) = &mut self.wire else { return false };
        let mut cx = Context::from_waker(onlooker());
        Pin::new(wire).poll_fill_buf(&mut cx).is_pending()
    }
}

/// How long the session waits at `stage`.
fn allowed(config: &ClientConfig, stage: Stage) -> Duration {
    let timeouts = &config.timeouts;
    match stage {
        Stage::Greeting => timeouts.greeting,
        Stage::Mail => timeouts.mail,
        Stage::Recipient => timeouts.rcpt,
        Stage::Data => timeouts.data,
        Stage::Body => timeouts.finish,
        _ => timeouts.command,
    }
}

impl<B: TlsBackend> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("key", &self.key).field("tls", &self.tls()).field("uses", &self.uses).finish_non_exhaustive()
    }
}

/// Domains that a connection remembers it was used for.
pub const DOMAINS_KNOWN: usize = 64;

/// How long [`Connection::quit`] waits.
const QUIT_TIME: Duration = Duration::from_secs(1);
