//! The accepting side.

mod accept;
mod connection;
mod gate;
mod handler;
mod listen;
mod proxy;
mod refusal;

pub use accept::{ListenerTls, Server, ServerSettings};
pub use gate::{ConnectionLimits, Gate, TurnedAway};
pub use handler::{ConnectionHandler, SessionHandler};
pub use listen::{ListenError, ListenOptions, listen};
pub use proxy::{ProxyHeader, ProxyHeaderError};
pub use refusal::Refusal;
