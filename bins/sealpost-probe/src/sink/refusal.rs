//! Handshakes that do not come about, below TLS: what is seen of a server that breaks off, or is too old.

use std::io;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Waits for the client to begin, and answers with the alert of a server that knows no TLS above 1.1.
///
/// RFC 8446 section 6.2: fatal `protocol_version`.
pub(super) async fn too_old(mut tcp: TcpStream) -> io::Result<()> {
    hello(&mut tcp).await?;
    tcp.write_all(&[21, 3, 2, 0, 2, 2, 70]).await?;
    tcp.shutdown().await?;
    // What has been read is acknowledged, and the client closes: a reset would take the alert with it.
    let _ = tcp.read(&mut [0; 512]).await;
    Ok(())
}

/// Says nothing until the client is gone.
pub(super) async fn silent(mut tcp: TcpStream) -> io::Result<()> {
    let mut unheard = [0; 512];
    while tcp.read(&mut unheard).await? > 0 {}
    Err(io::ErrorKind::TimedOut.into())
}

/// Waits for the client to begin, and resets the connection.
pub(super) async fn broken_off(mut tcp: TcpStream) -> io::Result<()> {
    hello(&mut tcp).await?;
    reset(&tcp)
}

/// The connection is reset when it is dropped, not closed in order.
pub(super) fn reset(tcp: &TcpStream) -> io::Result<()> {
    SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO))
}

/// The record that the client begins with: its length stands in octets 3 and 4.
async fn hello(tcp: &mut TcpStream) -> io::Result<()> {
    let (mut kind_and_version, mut length) = ([0; 3], [0; 2]);
    tcp.read_exact(&mut kind_and_version).await?;
    tcp.read_exact(&mut length).await?;
    let mut record = vec![0; usize::from(u16::from_be_bytes(length))];
    tcp.read_exact(&mut record).await?;
    Ok(())
}
