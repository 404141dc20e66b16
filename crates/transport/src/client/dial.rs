//! Opening the TCP connection.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

/// A TCP connection to `address`, from `source` if one is named, small writes not held back.
pub(crate) async fn dial(address: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream, DialError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(DialError::Local)?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).map_err(DialError::Local)?;
    }
    let tcp = socket.connect(address).await.map_err(DialError::Remote)?;
    tcp.set_nodelay(true).map_err(DialError::Local)?;
    Ok(tcp)
}

/// Which side a failure is on.
pub(crate) enum DialError {
    Local(io::Error),
    Remote(io::Error),
}
