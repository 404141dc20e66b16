//! SMTP sessions over tokio and TLS: accept, connect, verify, pool.

mod clock;
mod server;
mod tls;

pub use clock::WallClock;
pub use server::{ListenError, ListenOptions, listen};
pub use tls::{
    AlertName, AnchorsError, BackendError, ClientHandshake, HandshakeError, IdentityError, RustlsBackend, RustlsSettings, RustlsStream,
    SESSION_KEYS, SESSION_LIFETIME, ServerHandshake, ServerIdentity, SystemAnchors, TlsBackend, system_anchors,
};
