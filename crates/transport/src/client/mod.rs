//! The connecting side.

mod body;
mod choking;
mod connection;
mod connector;
mod deliver;
mod dial;
mod error;
mod failure_type;
mod outcome;
mod questions;
mod stage;
mod watch;

pub use body::{BodySource, MemoryBody};
pub use connection::{Connection, DOMAINS_KNOWN};
pub use connector::{ConnectOptions, Connector, ConnectorSettings};
pub(crate) use dial::{DialError, dial};
pub use error::{ConnectError, ConnectFault, Ends};
pub use outcome::{RecipientOutcome, TransactionEnd, TransactionOutcome, TransferError, TransferFault, TransferPhase};
pub use questions::LoginError;
pub use stage::{ConnectStage, StageTimes};
pub use watch::Watch;
