//! A stream as lines and replies: what is to be said waits until the client's last command has come.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A stream, what is to be written to it, and the line at hand.
pub(super) struct Wire<S> {
    pub(super) stream: S,
    pub(super) out: Vec<u8>,
    pub(super) line: Vec<u8>,
}

/// What was said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    /// The first digit.
    pub(super) class: u8,
    /// Whether the session ends with it.
    pub(super) closes: bool,
}

impl Answered {
    pub(super) fn of(octets: &[u8]) -> Self {
        Self { class: octets.first().copied().unwrap_or_default(), closes: octets.starts_with(b"421") }
    }
}

impl<S: AsyncBufRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, out: Vec::new(), line: Vec::new() }
    }

    /// Answers when it is time to: behind the last command that has come.
    pub(super) fn usual(&mut self, reply: &str) -> Answered {
        self.out.extend_from_slice(reply.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        Answered::of(reply.as_bytes())
    }

    /// Takes the next line, without its end; false at the end of the stream. What is to be said is said before it waits.
    pub(super) async fn line(&mut self) -> io::Result<bool> {
        self.line.clear();
        loop {
            let is_there = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.stream).poll_fill_buf(cx).is_ready())).await;
            if !is_there {
                self.flush().await?;
            }
            let input = self.stream.fill_buf().await?;
            if input.is_empty() {
                return Ok(false);
            }
            let end = input.iter().position(|octet| *octet == b'\n');
            let used = end.map_or(input.len(), |end| end + 1);
            self.line.extend(input.iter().take(used));
            self.stream.consume(used);
            if end.is_some() {
                let length = self.line.strip_suffix(b"\r\n").or_else(|| self.line.strip_suffix(b"\n")).map_or(0, <[u8]>::len);
                self.line.truncate(length);
                return Ok(true);
            }
            if self.line.len() > LINE_OCTETS {
                return Err(io::Error::other("a line without end"));
            }
        }
    }

    /// Says this and takes the line that answers it.
    pub(super) async fn ask(&mut self, what: &str) -> io::Result<Vec<u8>> {
        self.usual(what);
        if self.line().await? { Ok(self.line.clone()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await?;
            self.out.clear();
        }
        Ok(())
    }

    pub(super) async fn close(mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }
}

/// No command is longer.
const LINE_OCTETS: usize = 64 * 1024;
