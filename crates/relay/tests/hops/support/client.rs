//! A client that says what a test tells it.

use std::net::{IpAddr, SocketAddr};

use rustls::pki_types::ServerName;
use sealpost_transport::TlsBackend as _;
use sealpost_types::{HostDemand, TlsRequirement, TlsVersion, WireKey};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::wire::Wire;
use super::{PATIENCE, trusting};

/// A client's connection, greeted.
pub(crate) struct Client {
    wire: Wire,
    address: SocketAddr,
}

impl Client {
    /// In clear.
    pub(crate) async fn clear(address: SocketAddr) -> Self {
        Self::begin(address, TcpStream::connect(address).await.unwrap()).await
    }

    /// In clear, from this address.
    pub(crate) async fn clear_from(own: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(own, 0)).unwrap();
        Self::begin(address, socket.connect(address).await.unwrap()).await
    }

    /// Under TLS, whatever the certificate.
    pub(crate) async fn secure(address: SocketAddr) -> Self {
        let mut client = Self::clear(address).await;
        client.start_tls().await;
        client
    }

    /// Under TLS, with this certificate where the server asks for one.
    pub(crate) async fn showing(address: SocketAddr, certificate: &TlsConnector) -> Self {
        let mut client = Self::clear(address).await;
        assert!(client.say("STARTTLS").await.starts_with("220 "));
        let name = ServerName::try_from("relay.example").unwrap();
        let stream = certificate.connect(name, client.wire.take_tcp().unwrap()).await.unwrap();
        client.wire.secure(stream);
        assert!(client.say("EHLO client.example").await.starts_with("250"));
        client
    }

    /// Under TLS from the first octet.
    pub(crate) async fn implicit(address: SocketAddr) -> Self {
        let mut wire = Wire::new(TcpStream::connect(address).await.unwrap());
        let shaken = trusting().connect(wire.take_tcp().unwrap(), &any_certificate(address)).await.unwrap();
        wire.secure(shaken.stream);
        Self::greeted(Self { wire, address }).await
    }

    /// Over this connection, in clear.
    pub(crate) async fn begin(address: SocketAddr, tcp: TcpStream) -> Self {
        Self::greeted(Self { wire: Wire::new(tcp), address }).await
    }

    async fn greeted(mut client: Self) -> Self {
        assert!(client.reply().await.starts_with("220 "));
        assert!(client.say("EHLO client.example").await.starts_with("250"));
        client
    }

    pub(crate) async fn start_tls(&mut self) {
        assert!(self.say("STARTTLS").await.starts_with("220 "));
        let shaken = trusting().connect(self.wire.take_tcp().unwrap(), &any_certificate(self.address)).await.unwrap();
        self.wire.secure(shaken.stream);
        assert!(self.say("EHLO client.example").await.starts_with("250"));
    }

    /// Says this line, and gives the reply to it: all of its lines.
    pub(crate) async fn say(&mut self, line: &str) -> String {
        self.send_octets(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    pub(crate) async fn send_octets(&mut self, octets: &[u8]) {
        self.wire.send(octets).await.unwrap();
    }

    /// The next reply.
    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = timeout(PATIENCE, self.wire.line()).await.expect("no reply").unwrap().expect("the server closed");
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if last {
                return reply;
            }
            reply.push('\n');
        }
    }

    /// One transaction that the server is to take, in one go; the reply to the body.
    pub(crate) async fn send(&mut self, from: &str, to: &[&str], body: &[u8]) -> String {
        self.send_with(from, "", to, body).await
    }

    /// The same with parameters of MAIL.
    pub(crate) async fn send_with(&mut self, from: &str, parameters: &str, to: &[&str], body: &[u8]) -> String {
        let to: Vec<_> = to.iter().map(|recipient| (*recipient, "")).collect();
        self.send_asking(from, parameters, &to, body).await
    }

    /// The same with parameters of each RCPT.
    pub(crate) async fn send_asking(&mut self, from: &str, parameters: &str, to: &[(&str, &str)], body: &[u8]) -> String {
        let mut octets = Vec::new();
        let mut line = |text: String| octets.extend_from_slice(format!("{}\r\n", text.trim_end()).as_bytes());
        line(format!("MAIL FROM:<{from}> {parameters}"));
        to.iter().for_each(|(recipient, parameters)| line(format!("RCPT TO:<{recipient}> {parameters}")));
        octets.extend_from_slice(format!("BDAT {} LAST\r\n", body.len()).as_bytes());
        octets.extend_from_slice(body);
        self.send_octets(&octets).await;
        for asked in 0..=to.len() {
            let reply = self.reply().await;
            assert!(reply.starts_with("250 "), "command {asked} of {from} to {to:?}: {reply}");
        }
        self.reply().await
    }
}

fn any_certificate(address: SocketAddr) -> WireKey {
    WireKey::new(address, None, HostDemand::new(TlsRequirement::Mandatory, Vec::new(), TlsVersion::default()))
}
