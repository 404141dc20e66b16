//! Whether anybody answers questions at all.

use std::io;
use std::time::Duration;

/// Why nobody can be asked what a domain publishes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// No name server answered in time.
    #[error("no name server answered within {} s", waited.as_secs())]
    Silent {
        /// How long was waited.
        waited: Duration,
    },
    /// No name server could be reached.
    #[error("no name server could be reached ({kind})")]
    Unreachable {
        /// What the kernel says.
        kind: io::ErrorKind,
    },
    /// The name servers answer that they cannot, or will not.
    #[error("the name servers answer {code}")]
    Refused {
        /// What they answer, in words.
        code: String,
    },
}
