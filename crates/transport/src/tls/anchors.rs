//! The trust anchors of the operating system.

use sealpost_cert::TrustAnchors;

/// What the system's certificate store gave.
#[derive(Debug)]
#[non_exhaustive]
pub struct SystemAnchors {
    /// The anchors that could be read.
    pub anchors: TrustAnchors,
    /// Files and certificates of the store that could not be read, in words; the rest was taken all the same.
    pub problems: Vec<String>,
}

/// The trust anchors that the operating system keeps (on Debian `/etc/ssl/certs`; `SSL_CERT_FILE` and `SSL_CERT_DIR` lead elsewhere).
///
/// Reads files: call it at start and at reload, not per connection.
/// A store that is broken in part gives what it has; none at all gives no anchor, so that no chain is trusted. What was
/// wrong is in [`SystemAnchors::problems`].
#[must_use]
pub fn system_anchors() -> SystemAnchors {
    let found = rustls_native_certs::load_native_certs();
    let problems = found.errors.iter().map(ToString::to_string).collect();
    collect(found.certs.iter().map(AsRef::as_ref), problems)
}

fn collect<'a>(certificates: impl Iterator<Item = &'a [u8]>, mut problems: Vec<String>) -> SystemAnchors {
    let anchors = TrustAnchors::from_der(certificates);
    problems.extend(anchors.problems().iter().map(ToString::to_string));
    SystemAnchors { anchors, problems }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_broken_in_part_gives_the_rest() {
        let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        let found = collect([ca.cert.der().as_ref(), b"broken"].into_iter(), vec![]);
        assert_eq!((found.anchors.len(), found.problems.len()), (1, 1));
    }

    #[test]
    fn an_empty_store_gives_nothing_and_a_broken_one_says_why() {
        let empty = collect([].into_iter(), vec![]);
        assert!(empty.anchors.is_empty() && empty.problems.is_empty());
        let unreadable = collect([b"broken".as_slice()].into_iter(), vec!["/etc/ssl: no".to_owned()]);
        assert!(unreadable.anchors.is_empty());
        assert!(unreadable.problems.len() == 2 && unreadable.problems[0].contains("/etc/ssl"), "{unreadable:?}");
    }
}
