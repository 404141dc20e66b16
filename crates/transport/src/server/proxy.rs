//! The PROXY header that a proxy puts in front of a connection, so that the client's own address is known.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{ParseConfig, Protocol};
use sealpost_types::{Blame, Retry};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The PROXY header at the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyHeader {
    /// Octets that it takes; what the client says begins behind them.
    pub octets: usize,
    /// The client's address, or none where the proxy speaks for itself (`LOCAL`) or does not say whom it speaks for (`UNKNOWN`, a
    /// Unix socket).
    pub client: Option<SocketAddr>,
}

/// Why octets are no [`ProxyHeader`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// Something else came.
    #[error("the connection begins with \"{begins}\"; a PROXY header is meant, version 1 or 2")]
    Missing {
        /// The first octets, escaped.
        begins: String,
    },
    /// The header is longer than any that says something.
    #[error("the PROXY header has {octets} octets or more; {limit} are the most")]
    TooLong {
        /// How long it is.
        octets: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The header says nothing that can be understood.
    #[error("the PROXY header is broken: \"{begins}\"")]
    Broken {
        /// Its first octets, escaped.
        begins: String,
    },
}

impl ProxyHeader {
    /// Reads the header that these octets begin with, whatever stands behind it; none until all of it is there.
    ///
    /// # Wire
    /// "The PROXY protocol", versions 1 and 2, haproxy.org. What version 2 adds behind the addresses is passed over.
    ///
    /// # Limits
    /// 107 octets in version 1, as it says; 4096 in version 2.
    ///
    /// # Errors
    /// One [`ProxyHeaderError`] per kind of mistake, as soon as the octets show it.
    ///
    /// # Example
    /// ```
    /// use sealpost_transport::ProxyHeader;
    ///
    /// let octets = b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 25\r\nEHLO client.example\r\n";
    /// assert_eq!(ProxyHeader::parse(&octets[..20])?, None);
    /// let header = ProxyHeader::parse(octets)?.expect("all of it is there");
    /// assert_eq!(header.client, Some("192.0.2.1:4000".parse()?));
    /// assert_eq!(&octets[header.octets..], b"EHLO client.example\r\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(octets: &[u8]) -> Result<Option<Self>, ProxyHeaderError> {
        let Some(header) = length(octets)?.and_then(|length| octets.get(..length)) else { return Ok(None) };
        Ok(Some(Self { octets: header.len(), client: address(header)? }))
    }
}

impl ProxyHeaderError {
    /// Whose fault it is: the proxy's.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Peer
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// Why no PROXY header was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// The proxy closed before it said anything: it looked whether somebody listens.
    #[error("the connection was closed before its PROXY header")]
    Closed,
    /// The proxy closed within the header.
    #[error("the connection was closed within its PROXY header, behind {octets} octets")]
    Cut {
        /// How many had come.
        octets: usize,
    },
    /// The header did not come in time.
    #[error("no PROXY header within {} s", limit.as_secs_f32())]
    Slow {
        /// The time that it has.
        limit: Duration,
    },
    /// What came is none.
    #[error(transparent)]
    Wrong(#[from] ProxyHeaderError),
    /// The connection was lost.
    #[error("the connection was lost within its PROXY header")]
    Lost(#[from] io::Error),
}

/// Reads the header that this connection begins with, and not one octet of what comes behind it; the client's address, if it says one.
///
/// # Limits
/// Those of [`ProxyHeader::parse`]; `limit` for all of it.
///
/// # Errors
/// One [`HeaderError`] per kind of mistake.
pub(super) async fn read_header(tcp: &mut TcpStream, limit: Duration) -> Result<Option<SocketAddr>, HeaderError> {
    timeout(limit, read(tcp)).await.unwrap_or(Err(HeaderError::Slow { limit }))
}

async fn read(tcp: &mut TcpStream) -> Result<Option<SocketAddr>, HeaderError> {
    let mut ahead = vec![0; V2_OCTETS];
    let mut octets = Vec::new();
    loop {
        let there = match tcp.peek(&mut ahead).await {
            // How some close a connection that they opened for nothing else.
            Err(error) if octets.is_empty() && error.kind() == io::ErrorKind::ConnectionReset => 0,
            peeked => peeked?,
        };
        let ahead = ahead.get(..there).unwrap_or_default();
        if ahead.is_empty() {
            return Err(if octets.is_empty() { HeaderError::Closed } else { HeaderError::Cut { octets: octets.len() } });
        }
        let had = octets.len();
        octets.extend_from_slice(ahead);
        let header = ProxyHeader::parse(&octets)?;
        // What stands behind it is the client's.
        octets.truncate(header.map_or(octets.len(), |header| header.octets));
        // They are there: this waits for nothing.
        tcp.read_exact(octets.get_mut(had..).unwrap_or_default()).await?;
        if let Some(header) = header {
            return Ok(header.client);
        }
    }
}

/// Octets of the header that these begin with, once that is known.
fn length(octets: &[u8]) -> Result<Option<usize>, ProxyHeaderError> {
    let begins_as = |signature: &[u8]| octets.iter().zip(signature).all(|(found, meant)| found == meant);
    if begins_as(V1) {
        let end = octets.iter().position(|&octet| octet == b'\n');
        let length = end.map_or(octets.len(), |end| end + 1);
        // The longest may still want its line feed.
        if length > V1_OCTETS || (end.is_none() && length == V1_OCTETS) {
            return Err(ProxyHeaderError::TooLong { octets: length, limit: V1_OCTETS });
        }
        Ok(end.map(|_| length))
    } else if begins_as(V2) {
        let Some(&[high, low]) = octets.get(V2_FIXED - 2..V2_FIXED) else { return Ok(None) };
        let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
        if length > V2_OCTETS {
            return Err(ProxyHeaderError::TooLong { octets: length, limit: V2_OCTETS });
        }
        Ok(Some(length))
    } else {
        Err(ProxyHeaderError::Missing { begins: shown(octets) })
    }
}

/// What a whole header says.
fn address(header: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let broken = || ProxyHeaderError::Broken { begins: shown(header) };
    let (parsed, length) = proxy_header::ProxyHeader::parse(header, config).map_err(|_| broken())?;
    match parsed.proxied_address() {
        _ if length != header.len() => Err(broken()),
        Some(proxied) if proxied.protocol != Protocol::Stream => Err(broken()),
        proxied => Ok(proxied.map(|proxied| proxied.source)),
    }
}

/// So much of it that an operator sees what it is.
fn shown(octets: &[u8]) -> String {
    octets.get(..SHOWN).unwrap_or(octets).escape_ascii().to_string()
}

/// How version 1 begins.
const V1: &[u8] = b"PROXY ";

/// Octets of a header of version 1 at most.
const V1_OCTETS: usize = 107;

/// How version 2 begins.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Octets of version 2 before what has a length of its own.
const V2_FIXED: usize = 16;

/// Octets of a header of version 2 that are read: addresses take 232 at most, the rest is for what is passed over.
const V2_OCTETS: usize = 4096;

/// Octets of a wrong header that are shown.
const SHOWN: usize = 32;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, rest].concat()
    }

    fn v2_ipv4() -> Vec<u8> {
        v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0x0f, 0xa0, 0, 25])
    }

    fn v2_ipv6() -> Vec<u8> {
        let [client, own] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<std::net::Ipv6Addr>().unwrap().octets());
        v2(0x21, 0x21, &[&client[..], &own, &[0x0f, 0xa0, 0, 25]].concat())
    }

    /// Every kind of header with what it says.
    fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let more = [&v2_ipv4()[V2_FIXED..], &[0x04, 0, 2, 1, 1]].concat();
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_OCTETS - 16)).into_bytes();
        assert_eq!(longest.len(), V1_OCTETS);
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 25\r\n".to_vec(), Some("192.0.2.1:4000")),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 4000 25\r\n".to_vec(), Some("[2001:db8::1]:4000")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN 2001:db8::1 2001:db8::2 4000 25\r\n".to_vec(), None),
            (longest, None),
            (v2_ipv4(), Some("192.0.2.1:4000")),
            (v2_ipv6(), Some("[2001:db8::1]:4000")),
            (v2(0x21, 0x11, &more), Some("192.0.2.1:4000")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &v2_ipv4()[V2_FIXED..]), None),
            (v2(0x21, 0x00, &[1, 2, 3]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x20, 0x00, &vec![0; V2_OCTETS - V2_FIXED]), None),
        ]
    }

    /// What is read of these pieces, sent one after the other, and what is left behind the header.
    async fn receive(pieces: &[&[u8]]) -> (Result<Option<String>, String>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                // So that each is looked at before the next is there; the result is the same if it is not.
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (read, ()) = tokio::join!(read_header(&mut tcp, Duration::from_secs(10)), send);
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).await.unwrap();
        (read.map(|address| address.map(|address| address.to_string())).map_err(|error| error.to_string()), rest)
    }

    // req: E5
    #[tokio::test]
    async fn every_header_is_read_however_it_is_cut_and_nothing_behind_it() {
        for (header, says) in headers() {
            let all = [&header[..], b"EHLO client.example\r\n"].concat();
            // In three pieces: before, at and behind the end of the header, too.
            for at in (1..all.len()).filter(|at| *at < 300 || *at > V2_OCTETS - 3) {
                let (read, rest) = receive(&[&all[..at], &all[at..]]).await;
                assert_eq!(read, Ok(says.map(str::to_owned)), "{} at {at}", shown(&header));
                assert_eq!(rest, b"EHLO client.example\r\n", "{} at {at}", shown(&header));
            }
        }
    }

    #[tokio::test]
    async fn a_header_that_ends_too_soon_is_none() {
        for (header, _) in headers() {
            for at in 1..header.len().min(300) {
                let (read, _) = receive(&[&header[..at]]).await;
                assert_eq!(read, Err(format!("the connection was closed within its PROXY header, behind {at} octets")));
            }
        }
        assert_eq!(receive(&[]).await.0, Err("the connection was closed before its PROXY header".to_owned()));
    }

    #[tokio::test]
    async fn a_look_whether_somebody_listens_is_no_fault() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        // Closed so, a reset is sent.
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert!(matches!(read_header(&mut tcp, Duration::from_secs(10)).await, Err(HeaderError::Closed)));
    }

    #[tokio::test]
    async fn what_is_no_header_is_named() {
        let line = |text: &str| text.as_bytes().to_vec();
        let ipv4 = &v2_ipv4()[V2_FIXED..];
        for (octets, words) in [
            (line("EHLO client.example\r\n"), "begins with \"EHLO client.example\\r\\n\"; a PROXY header is meant"),
            (line("\r\nEHLO\r\n"), "begins with"),
            (vec![0x16, 3, 1, 2, 0], "begins with \"\\x16\\x03"),
            (line("POST / HTTP/1.1\r\n"), "begins with \"POST"),
            (line("proxy TCP4 192.0.2.1 198.51.100.1 4000 25\r\n"), "begins with \"proxy"),
            (line("PROXY\tTCP4 192.0.2.1 198.51.100.1 4000 25\r\n"), "begins with"),
            (line("PROXY TCP4 192.0.2.1 198.51.100.1 4000 25\n"), "is broken"),
            (line("PROXY TCP4 192.0.2.1 198.51.100.1 4000\r\n"), "is broken"),
            (line("PROXY TCP4 192.0.2.1 198.51.100.1 4000 65536\r\n"), "is broken"),
            (line("PROXY TCP4 192.0.2.256 198.51.100.1 4000 25\r\n"), "is broken"),
            (line("PROXY TCP4 2001:db8::1 2001:db8::2 4000 25\r\n"), "is broken"),
            (line("PROXY TCP6 192.0.2.1 198.51.100.1 4000 25\r\n"), "is broken"),
            (line("PROXY UDP4 192.0.2.1 198.51.100.1 4000 25\r\n"), "is broken"),
            (line("PROXY \n"), "is broken"),
            (line(&format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_OCTETS - 15))), "has 108 octets or more; 107 are the most"),
            (line(&format!("PROXY UNKNOWN {}", "f".repeat(5000))), "107 are the most"),
            (v2(0x31, 0x11, ipv4), "is broken"),
            (v2(0x22, 0x11, ipv4), "is broken"),
            (v2(0x21, 0x12, ipv4), "is broken"),
            (v2(0x21, 0x41, ipv4), "is broken"),
            (v2(0x21, 0x11, &ipv4[..11]), "is broken"),
            (v2(0x21, 0x21, ipv4), "is broken"),
            (v2(0x20, 0x00, &vec![0; V2_OCTETS - V2_FIXED + 1]), "has 4097 octets or more; 4096 are the most"),
            ([V2, &[0x21, 0x11, 0xff, 0xff]].concat(), "4096 are the most"),
        ] {
            let (read, _) = receive(&[&octets]).await;
            assert!(read.as_ref().is_err_and(|error| error.contains(words)), "{}: {read:?}", shown(&octets));
        }
    }

    #[tokio::test]
    async fn garbage_is_never_taken_and_never_kills() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for (header, _) in headers() {
            for _ in 0..50 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let [at, flip, ..] = state.to_le_bytes();
                let mut broken = header.clone();
                let at = usize::from(at) % broken.len();
                broken[at] ^= flip;
                let (read, rest) = receive(&[&broken, b"EHLO client.example\r\n"]).await;
                let all = [&broken[..], b"EHLO client.example\r\n"].concat();
                assert!(all.ends_with(&rest) && (read.is_err() || rest.len() < all.len() - 14), "{}: {read:?}", shown(&broken));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sender_has_its_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        let drip = async {
            for octet in v2_ipv4().chunks(1) {
                client.write_all(octet).await.unwrap();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            read = read_header(&mut tcp, Duration::from_secs(10)) => {
                assert_eq!(read.unwrap_err().to_string(), "no PROXY header within 10 s");
            }
            () = drip => {}
        }
    }
}
