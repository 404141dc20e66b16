//! The connecting side.

mod body;
mod connection;
mod connector;
mod deliver;
mod dial;
mod error;
mod outcome;
mod stage;

pub use body::{BodySource, MemoryBody};
pub use connection::Connection;
pub use connector::{ConnectOptions, Connector, ConnectorSettings};
pub(crate) use dial::{DialError, dial};
pub use error::{ConnectError, ConnectFault};
pub use outcome::{RecipientOutcome, TransactionEnd, TransactionOutcome, TransferError, TransferFault, TransferPhase};
pub use stage::{ConnectStage, StageTimes};
