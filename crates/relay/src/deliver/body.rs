//! A queued body as the transport reads it.

use std::io;

use sealpost_queue::{Body, BodyReadError, BodyReader};
use sealpost_transport::BodySource;

/// Reads the body of a lease for one transaction.
pub(crate) struct LeasedBody {
    length: u64,
    reader: BodyReader,
    /// What is wrong with it, once something is.
    damage: Option<String>,
}

impl LeasedBody {
    pub(crate) fn new(body: &Body) -> Self {
        Self { length: body.size().0, reader: body.reader(), damage: None }
    }

    /// What is wrong with the stored body, if reading showed that something is.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }
}

/// The first octets of a body.
///
/// # Errors
/// What keeps it from being read: what is not known of it must not be taken for nothing.
pub(crate) async fn start_of(body: &Body, octets: usize) -> Result<Vec<u8>, BodyReadError> {
    let mut reader = body.reader();
    let mut start = Vec::new();
    while start.len() < octets
        && let Some(piece) = reader.next_piece().await?
    {
        start.extend_from_slice(piece.get(..octets.saturating_sub(start.len())).unwrap_or(piece));
    }
    Ok(start)
}

impl BodySource for LeasedBody {
    fn length(&self) -> u64 {
        self.length
    }

    async fn next_piece(&mut self) -> io::Result<&[u8]> {
        match self.reader.next_piece().await {
            Ok(piece) => Ok(piece.unwrap_or_default()),
            Err(error) => {
                if matches!(error, BodyReadError::Damaged { .. }) {
                    self.damage = Some(error.to_string());
                }
                Err(io::Error::other(error))
            }
        }
    }
}
