//! Raw sockets: servers that say what a script says and keep what they hear, clients that say anything.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A server of one connection. Each step waits for text that ends with its first part, then says the second. At the
/// end it listens until the client closes.
pub(crate) async fn script(steps: &'static [(&'static str, &'static str)]) -> (SocketAddr, JoinHandle<String>) {
    run(steps, true).await
}

/// The same, but at the end it closes.
pub(crate) async fn script_and_close(steps: &'static [(&'static str, &'static str)]) -> (SocketAddr, JoinHandle<String>) {
    run(steps, false).await
}

async fn run(steps: &'static [(&'static str, &'static str)], listens: bool) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut heard = String::new();
        for (awaited, said) in steps {
            if !hear(&mut tcp, &mut heard, awaited).await {
                return heard;
            }
            tcp.write_all(said.as_bytes()).await.unwrap();
        }
        if listens {
            hear(&mut tcp, &mut heard, "\0never").await;
        }
        heard
    });
    (address, heard)
}

/// Whether `awaited` came before the end of the connection.
async fn hear(tcp: &mut TcpStream, heard: &mut String, awaited: &str) -> bool {
    let mut octets = [0; 4096];
    while !heard.ends_with(awaited) {
        match tcp.read(&mut octets).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => heard.push_str(&String::from_utf8_lossy(&octets[..count])),
        }
    }
    true
}

/// A client that speaks for itself.
pub(crate) struct RawClient {
    pub(crate) tcp: TcpStream,
    unread: String,
}

impl RawClient {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { tcp: TcpStream::connect(address).await.unwrap(), unread: String::new() }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.tcp.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next reply, all of its lines; empty at the end of the connection.
    pub(crate) async fn reply(&mut self) -> String {
        let mut octets = [0; 4096];
        loop {
            if let Some(end) = end_of_reply(&self.unread) {
                return self.unread.drain(..end).collect();
            }
            match timeout(Duration::from_secs(5), self.tcp.read(&mut octets)).await.expect("a reply in time") {
                Ok(0) | Err(_) => return String::new(),
                Ok(count) => self.unread.push_str(&String::from_utf8_lossy(&octets[..count])),
            }
        }
    }

    pub(crate) async fn ask(&mut self, text: &str) -> String {
        self.say(text).await;
        self.reply().await
    }

    /// Greeting and EHLO.
    pub(crate) async fn hello(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        assert!(client.reply().await.starts_with("220 "));
        assert!(client.ask("EHLO client.example\r\n").await.starts_with("250-"));
        client
    }
}

fn end_of_reply(text: &str) -> Option<usize> {
    let mut end = 0;
    for line in text.split_inclusive("\r\n") {
        end += line.len();
        if line.ends_with("\r\n") && line.as_bytes().get(3) == Some(&b' ') {
            return Some(end);
        }
    }
    None
}
