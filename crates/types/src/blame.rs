//! Who caused an error, and what to do about it.

/// Whose fault an error is: every error of Sealpost answers this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The other end of the connection, or what it published.
    Peer,
    /// What lies between: a time-out, a reset, DNS that did not answer.
    Network,
    /// This host: disk, memory, file descriptors, its own certificate.
    Us,
    /// Whoever called: a configuration, a command line, an argument.
    Caller,
}

/// Whether the same thing may work again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The same host, at a later time.
    Later,
    /// Another host of the same destination, now.
    OtherHost,
    /// Never, unless somebody changes something.
    Never,
}
