//! Somebody who looks on while a connection is used.

use std::fmt;

use sealpost_types::TlsFacts;

/// Sees what goes over a connection, in clear and under TLS: for tools that show a dialogue.
///
/// Content is told by its length only, and what proves a client's name is not told at all.
pub trait Watch: fmt::Debug + Send + Sync {
    /// These lines were given to the server; `None` stands for a line that is secret.
    fn sent(&self, octets: Option<&[u8]>);

    /// So many octets of content were given to the server.
    fn sent_content(&self, octets: u64);

    /// These octets came from the server.
    fn received(&self, octets: &[u8]);

    /// What follows is under TLS.
    fn secured(&self, facts: &TlsFacts);
}
