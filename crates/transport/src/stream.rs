//! A connection in clear or under TLS, which has a read buffer only while that holds something.
//!
//! TLS runs on top of the same buffered connection, so that a record costs one read and not five.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::tls::Progress;

/// A TCP connection that takes a read buffer when bytes are there, and gives it back when they are consumed.
#[derive(Debug)]
pub(crate) struct PlainStream {
    tcp: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    /// Who wants to know what comes first; nobody from then on.
    listening: Option<Arc<Progress>>,
    acknowledging: Acknowledging,
}

/// When what came is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acknowledging {
    /// With what is sent next, or when the system thinks it time.
    Late,
    /// As soon as more is waited for: a peer whose small writes are held back until then (Nagle's algorithm) sends one reply of several at a time,
    /// and the system would think for 40 ms. `is_due`: something came since.
    Promptly { is_due: bool },
}

/// A connection, before or after STARTTLS.
#[derive(Debug)]
pub(crate) enum Wire<T> {
    Plain(PlainStream),
    Tls(T),
}

impl PlainStream {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, buffer: Vec::new(), start: 0, listening: None, acknowledging: Acknowledging::Late }
    }

    /// A connection to one who may hold replies back until earlier ones are acknowledged.
    pub(crate) fn to_server(tcp: TcpStream) -> Self {
        Self { acknowledging: Acknowledging::Promptly { is_due: false }, ..Self::new(tcp) }
    }

    /// The same, and what comes first is told.
    pub(crate) fn telling(self, progress: &Arc<Progress>) -> Self {
        Self { listening: Some(Arc::clone(progress)), ..self }
    }

    /// What is sent acknowledges what came.
    fn note_sent(&mut self) {
        if let Acknowledging::Promptly { is_due } = &mut self.acknowledging {
            *is_due = false;
        }
    }

    /// Nothing more is there.
    fn acknowledge(&mut self) {
        if let Acknowledging::Promptly { is_due } = &mut self.acknowledging
            && std::mem::take(is_due)
        {
            // It lasts until the next exchange only. Where the system does not know it, mail is only slower.
            #[cfg(target_os = "linux")]
            let _ = self.tcp.set_quickack(true);
        }
    }

    /// The next connection that this thread reads from takes it: it lies in the processor's cache, and need not be made.
    fn give_buffer_back(&mut self) {
        self.start = 0;
        if self.buffer.capacity() > 0 {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            SPARE.set(buffer);
        }
    }

    /// The bare socket, unless bytes of the peer are waiting in the buffer: at STARTTLS those are an attack.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        if self.start == self.buffer.len() { Some(self.tcp) } else { None }
    }
}

impl AsyncBufRead for PlainStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.start == this.buffer.len() {
            this.start = 0;
            this.buffer.clear();
            // An idle connection has no buffer: readiness comes first, the buffer second.
            let read = match this.tcp.poll_read_ready(cx) {
                Poll::Ready(Ok(())) => {
                    if this.buffer.capacity() == 0 {
                        this.buffer = SPARE.take();
                    }
                    this.buffer.reserve_exact(READ_OCTETS);
                    // `read_buf` keeps nothing between polls, so that it may be made anew for each.
                    pin!(this.tcp.read_buf(&mut this.buffer)).poll(cx)
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
            if read.is_pending() {
                this.give_buffer_back();
                // Who only looks whether something came does not wait for it.
                if !cx.waker().will_wake(onlooker()) {
                    this.acknowledge();
                }
            }
            ready!(read)?;
            if let Acknowledging::Promptly { is_due } = &mut this.acknowledging {
                *is_due = true;
            }
            if let Some(first) = this.buffer.first()
                && let Some(progress) = this.listening.take()
            {
                progress.note(*first);
            }
        }
        Poll::Ready(Ok(this.buffer.get(this.start..).unwrap_or_default()))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.start = this.start.saturating_add(amount).min(this.buffer.len());
        if this.start == this.buffer.len() {
            this.give_buffer_back();
        }
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let available = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = available.len().min(into.remaining());
        into.put_slice(available.get(..amount).unwrap_or_default());
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.note_sent();
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.note_sent();
        Pin::new(&mut self.tcp).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl<T> Wire<T> {
    pub(crate) fn plain(tcp: TcpStream) -> Self {
        Self::Plain(PlainStream::new(tcp))
    }

    pub(crate) fn plain_to_server(tcp: TcpStream) -> Self {
        Self::Plain(PlainStream::to_server(tcp))
    }
}

impl<T: AsyncBufRead + Unpin> AsyncBufRead for Wire<T> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_fill_buf(cx),
            Self::Tls(tls) => Pin::new(tls).poll_fill_buf(cx),
        }
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).consume(amount),
            Self::Tls(tls) => Pin::new(tls).consume(amount),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_read(cx, into),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, into),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// The waker of one who looks whether something came and does not wait for it.
///
/// It is told from others by its address, and so it is one object: what [`Waker::noop`] gives is as many as the compiler likes to make of it.
pub(crate) fn onlooker() -> &'static Waker {
    struct Onlooker;

    impl Wake for Onlooker {
        fn wake(self: Arc<Self>) {}
    }

    static ONLOOKER: LazyLock<Waker> = LazyLock::new(|| Arc::new(Onlooker).into());
    &ONLOOKER
}

thread_local! {
    /// A buffer that no connection holds.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What one read takes from the kernel at most: nearly two full TLS records, where rustls alone would take a quarter of one.
const READ_OCTETS: usize = 32 * 1024;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Whether the system acknowledges at once after some commands and replies, and somebody waits for more, or looks for it.
    async fn is_prompt(stream: impl FnOnce(TcpStream) -> PlainStream, waits: bool) -> bool {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut command = [0; 6];
            while peer.read_exact(&mut command).is_ok() {
                peer.write_all(b"250 2.0.0 Ok\r\n").unwrap();
            }
        });
        let mut stream = stream(TcpStream::connect(address).await.unwrap());
        for _ in 0..20 {
            stream.write_all(b"NOOP\r\n").await.unwrap();
            stream.read_exact(&mut [0; 14]).await.unwrap();
        }
        let mut look = |cx: &mut Context<'_>| Pin::new(&mut stream).poll_fill_buf(cx).is_pending();
        let nothing_more =
            if waits { std::future::poll_fn(|cx| Poll::Ready(look(cx))).await } else { look(&mut Context::from_waker(onlooker())) };
        assert!(nothing_more, "the server said more than it was asked");
        let is_prompt = stream.tcp.quickack().unwrap();
        drop(stream);
        server.join().unwrap();
        is_prompt
    }

    #[tokio::test]
    async fn what_a_server_says_is_acknowledged_before_more_is_waited_for() {
        assert!(is_prompt(PlainStream::to_server, true).await);
        // The negative control: by itself the system waits for what is sent next.
        assert!(!is_prompt(PlainStream::new, true).await);
        // A connection that goes back to the pool: what is sent next, or the system in a while, acknowledges.
        assert!(!is_prompt(PlainStream::to_server, false).await);
    }
}
