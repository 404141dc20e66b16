//! The PROXY header that a connection may begin with.

use std::net::SocketAddr;

use sealpost_transport::ProxyHeader;

use crate::lines::check_error;

/// Octets to a header, in pieces of any size, and back.
pub fn proxy_header(input: &[u8]) {
    let whole = ProxyHeader::parse(input);
    for length in (0..input.len()).filter(|length| *length < 300 || length % 64 == 0) {
        match ProxyHeader::parse(&input[..length]) {
            Ok(None) => assert!(!matches!(&whole, Ok(Some(header)) if header.octets <= length), "{length} octets are enough"),
            Ok(header) => assert_eq!(whole.as_ref(), Ok(&header)),
            Err(_) => assert!(whole.is_err(), "what begins wrong ends well"),
        }
    }
    match whole {
        Ok(Some(header)) => {
            assert!((LEAST..=MOST).contains(&header.octets) && header.octets <= input.len());
            if let Some(client) = header.client {
                let said = written(client);
                let again = ProxyHeader::parse(said.as_bytes()).expect("a header").expect("a whole one");
                assert_eq!((again.octets, again.client), (said.len(), Some(client)), "{said}");
            }
        }
        Ok(None) => assert!(input.len() < MOST, "a header without end"),
        Err(error) => check_error(&error),
    }
}

/// A header of version 1 that says this.
fn written(client: SocketAddr) -> String {
    let (family, own) = if client.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "2001:db8::1") };
    format!("PROXY {family} {} {own} {} 25\r\n", client.ip(), client.port())
}

/// Octets of the shortest header, `PROXY UNKNOWN` and its line end.
const LEAST: usize = 15;

/// Octets of the longest.
const MOST: usize = 4096;
