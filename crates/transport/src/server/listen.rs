//! Opening a listening socket, with errors that name the address.

use std::io;
use std::net::SocketAddr;

use sealpost_types::{Blame, Retry};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// How a listening socket is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Connections that the kernel keeps waiting; more are dropped by it. 1024.
    pub backlog: u16,
    /// Whether the port may be taken again at once after a restart. True.
    pub reuse_address: bool,
    /// Whether an IPv6 socket leaves IPv4 alone. True, so that `[::]` and `0.0.0.0` can both be listened on.
    pub v6_only: bool,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another program (or another listener of this one) has the port.
    #[error("{address} is in use: another program listens there")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The port is below 1024 and this process may not have it.
    #[error("no permission to listen on {address}: ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    Permission {
        /// The address.
        address: SocketAddr,
    },
    /// No interface of this host has the address.
    #[error("{address} is no address of this host")]
    NotLocal {
        /// The address.
        address: SocketAddr,
    },
    /// A link-local address (RFC 4291 section 2.5.6) says nothing without the interface it is of.
    #[error("{address} needs the number of its interface, as in [fe80::1%2]:25; `ip link` shows it")]
    NoInterface {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else that the kernel says.
    #[error("cannot listen on {address}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, reuse_address: true, v6_only: true }
    }
}

impl ListenError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotLocal { .. } | Self::NoInterface { .. } | Self::Permission { .. } => Blame::Caller,
            Self::InUse { .. } | Self::Io { .. } => Blame::Us,
        }
    }

    /// Whether it may work again by itself.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::InUse { .. } | Self::Io { .. } => Retry::Later,
            Self::Permission { .. } | Self::NotLocal { .. } | Self::NoInterface { .. } => Retry::Never,
        }
    }
}

/// A socket that listens on `address`; port 0 lets the kernel choose one.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// [`ListenError::InUse`], [`ListenError::Permission`], [`ListenError::NotLocal`], [`ListenError::NoInterface`], or
/// [`ListenError::Io`] for the rest.
pub fn listen(address: SocketAddr, options: &ListenOptions) -> Result<TcpListener, ListenError> {
    open(address, options).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        io::ErrorKind::PermissionDenied => ListenError::Permission { address },
        io::ErrorKind::AddrNotAvailable => ListenError::NotLocal { address },
        _ if lacks_interface(address) => ListenError::NoInterface { address },
        _ => ListenError::Io { address, source },
    })
}

fn lacks_interface(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.ip().is_unicast_link_local() && address.scope_id() == 0)
}

fn open(address: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(options.v6_only)?;
    }
    socket.set_reuse_address(options.reuse_address)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::from(options.backlog))?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = listen(loopback(0), &ListenOptions::default()).unwrap();
        let taken = first.local_addr().unwrap();
        let error = listen(taken, &ListenOptions::default()).unwrap_err();
        assert!(matches!(error, ListenError::InUse { address } if address == taken));
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
    }

    #[tokio::test]
    async fn an_address_of_another_host_is_named() {
        let error = listen(SocketAddr::from(([192, 0, 2, 1], 0)), &ListenOptions::default()).unwrap_err();
        assert!(matches!(error, ListenError::NotLocal { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_link_local_address_needs_its_interface() {
        let error = listen("[fe80::1]:0".parse().unwrap(), &ListenOptions::default()).unwrap_err();
        assert!(matches!(error, ListenError::NoInterface { .. }), "{error:?}");
        assert!(!lacks_interface("[fe80::1%2]:0".parse().unwrap()) && !lacks_interface("[::1]:0".parse().unwrap()));
    }

    #[tokio::test]
    async fn both_families_share_a_port_unless_told_otherwise() {
        let v4 = listen(SocketAddr::from(([0, 0, 0, 0], 0)), &ListenOptions::default()).unwrap();
        let v6 = SocketAddr::from(([0u16; 8], v4.local_addr().unwrap().port()));
        assert!(listen(v6, &ListenOptions::default()).is_ok());
        let both = ListenOptions { v6_only: false, ..ListenOptions::default() };
        assert!(matches!(listen(v6, &both), Err(ListenError::InUse { .. })), "the option is read");
    }

    #[tokio::test]
    async fn a_port_is_free_again_at_once() {
        let listener = listen(loopback(0), &ListenOptions::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        // Closing the accepted side first leaves it in FIN_WAIT/TIME_WAIT on the listener's port.
        drop((accepted, listener));
        let without = ListenOptions { reuse_address: false, ..ListenOptions::default() };
        assert!(matches!(listen(address, &without), Err(ListenError::InUse { .. })), "the option is read");
        assert!(listen(address, &ListenOptions::default()).is_ok());
        drop(client);
    }
}
