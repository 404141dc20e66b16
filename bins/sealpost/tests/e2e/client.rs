//! A raw SMTP client: sends what a test says, byte for byte, and reads replies.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::wire::{Agreed, Wire};

pub(crate) struct Client {
    pub(crate) wire: Wire,
}

/// A reply with all its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl Client {
    /// Connects and reads the greeting.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(20))?;
        let mut client = Self { wire: Wire::new(stream)? };
        let greeting = client.reply()?;
        if greeting.code == 220 { Ok(client) } else { Err(io::Error::other(greeting.text)) }
    }

    /// The code with which MAIL of this sender is answered; the session is then as it was.
    pub(crate) fn answer_to_mail(&mut self, sender: &str) -> u16 {
        let code = self.command(&format!("MAIL FROM:<{sender}>")).unwrap().code;
        self.expect("RSET", 250).unwrap();
        code
    }

    /// Connects to a listener where the connection starts with the handshake.
    pub(crate) fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut client = Self { wire: Wire::new(TcpStream::connect(address)?)? };
        client.wire.connect_tls(Arc::clone(config), "relay.test")?;
        client.reply().map(|_| client)
    }

    /// Connects, upgrades to TLS with STARTTLS, and says EHLO again.
    pub(crate) fn secure(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut client = Self::connect(address)?;
        client.expect("EHLO client.example", 250)?;
        client.start_tls(config)?;
        client.expect("EHLO client.example", 250)?;
        Ok(client)
    }

    pub(crate) fn start_tls(&mut self, config: &Arc<ClientConfig>) -> io::Result<Agreed> {
        self.expect("STARTTLS", 220)?;
        assert!(self.wire.pending().is_empty(), "the server sent something behind its 220");
        self.wire.connect_tls(Arc::clone(config), "relay.test")
    }

    /// Sends a line (CRLF is added) and reads the reply.
    pub(crate) fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.wire.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// The same, and an error unless the reply has this code.
    pub(crate) fn expect(&mut self, line: &str, code: u16) -> io::Result<Reply> {
        let reply = self.command(line)?;
        if reply.code == code { Ok(reply) } else { Err(io::Error::other(format!("{line}: {code} expected, got {}", reply.text))) }
    }

    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let line = self.wire.line(true)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let line = String::from_utf8_lossy(&line).into_owned();
            text.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                let code = line.get(..3).and_then(|code| code.parse().ok());
                let code = code.ok_or_else(|| io::Error::other(format!("not a reply: {line:?}")))?;
                return Ok(Reply { code, text });
            }
        }
    }

    /// One transaction; the reply to the end of the data. An earlier refusal is an error.
    pub(crate) fn send(&mut self, from: &str, to: &[&str], content: &[u8]) -> io::Result<Reply> {
        self.envelope(from, to)?;
        self.wire.send(&stuffed(content))?;
        self.reply()
    }

    /// MAIL, RCPT and DATA, each answered as it should be.
    pub(crate) fn envelope(&mut self, from: &str, to: &[&str]) -> io::Result<()> {
        self.expect(&format!("MAIL FROM:<{from}>"), 250)?;
        for to in to {
            self.expect(&format!("RCPT TO:<{to}>"), 250)?;
        }
        self.expect("DATA", 354).map(|_| ())
    }

    pub(crate) fn quit(mut self) {
        // The server may be gone already.
        drop(self.command("QUIT"));
    }
}

/// Content as it goes over the wire: a dot in front of each line that begins with one, and the end mark.
pub(crate) fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 64);
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
