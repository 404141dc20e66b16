//! The receive hop: a client's session, from its first command to the durable message.

mod certificate;
mod content;
mod login;
mod received;
mod rights;
mod session;
mod trace_header;

pub use certificate::client_certificate;
pub(crate) use login::Logins;
pub(crate) use rights::admit;
pub(crate) use session::Receiver;
