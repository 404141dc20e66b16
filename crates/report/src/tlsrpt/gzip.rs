//! Reports travel compressed; what is unpacked is bounded.

use std::io::{self, Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Why something compressed cannot be unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GzipError {
    /// It is no gzip, or broken.
    #[error("the gzip data cannot be unpacked ({detail})")]
    Broken {
        /// What is wrong with it.
        detail: String,
    },
    /// It unpacks to more than is taken.
    #[error("the gzip data unpacks to more than {limit} octets")]
    TooLarge {
        /// What is taken.
        limit: usize,
    },
}

/// The octets as gzip.
///
/// # Wire
/// RFC 1952.
#[must_use]
pub fn pack(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Memory takes all that is written.
    let _ = encoder.write_all(octets);
    encoder.finish().unwrap_or_default()
}

/// What gzip holds, up to `limit` octets of it.
///
/// # Errors
/// [`GzipError`]; memory stays bounded by the limit whatever is given.
pub fn unpack(octets: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    let mut found = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(octets).take(most).read_to_end(&mut found);
    read.map_err(|error: io::Error| GzipError::Broken { detail: error.to_string() })?;
    if found.len() > limit { Err(GzipError::TooLarge { limit }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_a_bomb_does_not_go_off() {
        let text = b"the same again and again ".repeat(1000);
        assert_eq!(unpack(&pack(&text), text.len()).unwrap(), text);
        assert_eq!(unpack(&pack(&text), text.len() - 1), Err(GzipError::TooLarge { limit: text.len() - 1 }));
        let bomb = pack(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpack(&bomb, 1 << 20), Err(GzipError::TooLarge { limit: 1 << 20 }));
        // Several members count as one.
        let members = pack(&vec![0; 1 << 20]).repeat(64);
        assert_eq!(unpack(&members, 2 << 20), Err(GzipError::TooLarge { limit: 2 << 20 }));
    }

    #[test]
    fn what_is_broken_says_so() {
        let packed = pack(b"hello");
        for octets in [&b""[..], b"{}", &packed[..packed.len() - 3], &packed[..5]] {
            assert!(matches!(unpack(octets, 100), Err(GzipError::Broken { .. })), "{octets:?}");
        }
    }
}
