//! A connection read line by line, in clear or under TLS.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection, with what was read of it and not used yet.
pub(crate) struct Wire {
    stream: Stream,
    input: Vec<u8>,
    /// All that was ever read in clear.
    pub(crate) clear: Vec<u8>,
}

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

enum Stream {
    Clear(TcpStream),
    Secure(Box<dyn Duplex>),
    Gone,
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        Self { stream: Stream::Clear(tcp), input: Vec::new(), clear: Vec::new() }
    }

    pub(crate) fn is_secure(&self) -> bool {
        matches!(self.stream, Stream::Secure(_))
    }

    /// The bare connection, to go over to TLS; nothing if that has been done, or if more was read than belongs to it.
    pub(crate) fn take_tcp(&mut self) -> Option<TcpStream> {
        if !self.input.is_empty() {
            return None;
        }
        match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Clear(tcp) => Some(tcp),
            other => {
                self.stream = other;
                None
            }
        }
    }

    pub(crate) fn secure(&mut self, stream: impl Duplex + 'static) {
        self.stream = Stream::Secure(Box::new(stream));
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Clear(stream) => stream.write_all(octets).await,
            Stream::Secure(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads some more; 0 is the end.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 32 << 10];
        let read = match &mut self.stream {
            Stream::Clear(stream) => {
                let read = stream.read(&mut buffer).await?;
                self.clear.extend_from_slice(&buffer[..read]);
                read
            }
            Stream::Secure(stream) => stream.read(&mut buffer).await?,
            Stream::Gone => 0,
        };
        self.input.extend_from_slice(&buffer[..read]);
        Ok(read)
    }

    /// The next line without its CRLF; nothing at the end.
    pub(crate) async fn line(&mut self) -> io::Result<Option<String>> {
        let Some(line) = self.until(b"\r\n").await? else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()))
    }

    /// Everything up to and with `mark`; nothing if the end comes before.
    pub(crate) async fn until(&mut self, mark: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut looked_at = 0;
        loop {
            if let Some(at) = self.input[looked_at..].windows(mark.len()).position(|window| window == mark) {
                return Ok(Some(self.input.drain(..looked_at + at + mark.len()).collect()));
            }
            looked_at = self.input.len().saturating_sub(mark.len());
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// So many octets; nothing if the end comes before.
    pub(crate) async fn exactly(&mut self, count: usize) -> io::Result<Option<Vec<u8>>> {
        while self.input.len() < count {
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(self.input.drain(..count).collect()))
    }

    /// What is read next, before everything else.
    pub(crate) fn put_back(&mut self, octets: &[u8]) {
        self.input.splice(0..0, octets.iter().copied());
    }
}
