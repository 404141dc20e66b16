//! A blocking connection with a buffer, in clear or under TLS: what the raw client and the raw server are built on.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

/// One side of a connection.
pub(crate) struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
}

enum Stream {
    Clear(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
    /// A handshake failed.
    Gone,
}

/// Which protocol and cipher suite a connection came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) version: String,
    pub(crate) cipher: String,
    pub(crate) group: String,
    /// The certificate that the other side showed.
    pub(crate) shown: Option<Vec<u8>>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Stream::Clear(stream), buffer: Vec::new() })
    }

    /// How long a read or a write may hang before it fails.
    pub(crate) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        let socket = match &self.stream {
            Stream::Clear(socket) => socket,
            Stream::Client(stream) => &stream.sock,
            Stream::Server(stream) => &stream.sock,
            Stream::Gone => return Err(gone()),
        };
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))
    }

    pub(crate) fn is_secure(&self) -> bool {
        !matches!(self.stream, Stream::Clear(_))
    }

    /// The next line with its ending: up to LF, or up to CRLF where `strict`; `None` at the end of the stream.
    pub(crate) fn line(&mut self, strict: bool) -> io::Result<Option<Vec<u8>>> {
        loop {
            let end = if strict { find(&self.buffer, b"\r\n").map(|at| at + 2) } else { find(&self.buffer, b"\n").map(|at| at + 1) };
            if let Some(end) = end {
                return Ok(Some(self.buffer.drain(..end).collect()));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Everything up to and including `mark`.
    pub(crate) fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        let mut from = 0;
        loop {
            if let Some(at) = find(&self.buffer[from..], mark) {
                return Ok(self.buffer.drain(..from + at + mark.len()).collect());
            }
            from = self.buffer.len().saturating_sub(mark.len());
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(crate) fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// What has been read and not yet taken.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buffer
    }

    pub(crate) fn forget_pending(&mut self) {
        self.buffer.clear();
    }

    /// Puts bytes in front of what is read next.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        self.buffer.splice(0..0, bytes.iter().copied());
    }

    /// Reads once; 0 at the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16384];
        let length = match &mut self.stream {
            Stream::Clear(stream) => stream.read(&mut piece)?,
            Stream::Client(stream) => stream.read(&mut piece)?,
            Stream::Server(stream) => stream.read(&mut piece)?,
            Stream::Gone => 0,
        };
        self.buffer.extend_from_slice(&piece[..length]);
        Ok(length)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream: &mut dyn Write = match &mut self.stream {
            Stream::Clear(stream) => stream,
            Stream::Client(stream) => stream,
            Stream::Server(stream) => stream,
            Stream::Gone => return Err(gone()),
        };
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// The client's side of a handshake.
    pub(crate) fn connect_tls(&mut self, config: Arc<ClientConfig>, name: &str) -> io::Result<Agreed> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = self.take_clear()?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let agreed = Agreed::of(&connection);
        self.stream = Stream::Client(Box::new(StreamOwned::new(connection, stream)));
        Ok(agreed)
    }

    /// The server's side of a handshake.
    pub(crate) fn accept_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<Agreed> {
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = self.take_clear()?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let agreed = Agreed::of(&connection);
        self.stream = Stream::Server(Box::new(StreamOwned::new(connection, stream)));
        Ok(agreed)
    }

    fn take_clear(&mut self) -> io::Result<TcpStream> {
        match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Clear(stream) => Ok(stream),
            _ => Err(gone()),
        }
    }
}

impl Agreed {
    fn of<Data>(connection: &rustls::ConnectionCommon<Data>) -> Self {
        Self {
            version: connection.protocol_version().map_or_else(String::new, |version| format!("{version:?}")),
            cipher: connection.negotiated_cipher_suite().map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
            group: connection.negotiated_key_exchange_group().map_or_else(String::new, |group| format!("{:?}", group.name())),
            shown: connection.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec())),
        }
    }
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection is gone")
}

/// Nothing here waits longer than this for the other side.
const PATIENCE: Duration = Duration::from_secs(60);
