//! The trust anchors of the operating system.

use sealpost_cert::TrustAnchors;
use sealpost_types::{Blame, Retry};

/// What the system's certificate store gave.
#[derive(Debug)]
#[non_exhaustive]
pub struct SystemAnchors {
    /// The anchors that could be read.
    pub anchors: TrustAnchors,
    /// Files and certificates of the store that could not be read, in words; the rest was taken all the same.
    pub problems: Vec<String>,
}

/// Why the system's store gave no trust anchor at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorsError {
    /// There is no store, or it is empty.
    #[error("the system has no trust anchors: install the package ca-certificates, or name a file")]
    None,
    /// There is a store, and nothing in it could be read.
    #[error("none of the system's trust anchors can be read: {}", problems.join("; "))]
    Unreadable {
        /// What went wrong, place by place.
        problems: Vec<String>,
    },
}

impl AnchorsError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Us
    }

    /// Whether it may work again by itself.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// The trust anchors that the operating system keeps (on Debian `/etc/ssl/certs`; `SSL_CERT_FILE` and `SSL_CERT_DIR` lead elsewhere).
///
/// Reads files: call it at start and at reload, not per connection.
///
/// # Errors
/// [`AnchorsError::None`] without a store, [`AnchorsError::Unreadable`] if nothing of it is usable. A store that is
/// broken in part gives what it has and says the rest in [`SystemAnchors::problems`].
pub fn system_anchors() -> Result<SystemAnchors, AnchorsError> {
    let found = rustls_native_certs::load_native_certs();
    let problems = found.errors.iter().map(ToString::to_string).collect();
    collect(found.certs.iter().map(AsRef::as_ref), problems)
}

fn collect<'a>(certificates: impl Iterator<Item = &'a [u8]>, mut problems: Vec<String>) -> Result<SystemAnchors, AnchorsError> {
    let anchors = TrustAnchors::from_der(certificates);
    problems.extend(anchors.problems().iter().map(ToString::to_string));
    match (anchors.is_empty(), problems.is_empty()) {
        (true, true) => Err(AnchorsError::None),
        (true, false) => Err(AnchorsError::Unreadable { problems }),
        _ => Ok(SystemAnchors { anchors, problems }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_broken_in_part_gives_the_rest() {
        let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        let found = collect([ca.cert.der().as_ref(), b"broken"].into_iter(), vec![]).unwrap();
        assert_eq!((found.anchors.len(), found.problems.len()), (1, 1));
    }

    #[test]
    fn an_empty_store_and_a_broken_one_are_told_apart() {
        assert_eq!(collect([].into_iter(), vec![]).unwrap_err(), AnchorsError::None);
        let unreadable = collect([b"broken".as_slice()].into_iter(), vec!["/etc/ssl: no".to_owned()]).unwrap_err();
        assert!(matches!(&unreadable, AnchorsError::Unreadable { problems } if problems.len() == 2), "{unreadable:?}");
        assert!(unreadable.to_string().contains("/etc/ssl"));
    }
}
