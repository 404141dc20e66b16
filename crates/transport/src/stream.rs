//! A connection in clear or under TLS, which has a read buffer only while that holds something.
//!
//! TLS runs on top of the same buffered connection, so that a record costs one read and not five.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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
}

/// A connection, before or after STARTTLS.
#[derive(Debug)]
pub(crate) enum Wire<T> {
    Plain(PlainStream),
    Tls(T),
}

impl PlainStream {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, buffer: Vec::new(), start: 0, listening: None }
    }

    /// The same, and what comes first is told.
    pub(crate) fn telling(tcp: TcpStream, progress: &Arc<Progress>) -> Self {
        Self { listening: Some(Arc::clone(progress)), ..Self::new(tcp) }
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
            }
            ready!(read)?;
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
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
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

thread_local! {
    /// A buffer that no connection holds.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What one read takes from the kernel at most: nearly two full TLS records, where rustls alone would take a quarter of one.
const READ_OCTETS: usize = 32 * 1024;
