//! rustls's errors in Sealpost's words.

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error, OtherError};

use super::verifier::Unsatisfied;
use crate::tls::{AlertName, HandshakeError};

/// What a failed handshake means; tokio-rustls wraps rustls's error in an [`io::Error`].
pub(super) fn handshake_error(error: &io::Error) -> HandshakeError {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return HandshakeError::Closed { kind: error.kind() };
    };
    match cause {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => match inner.downcast_ref::<Unsatisfied>() {
            Some(Unsatisfied(verdict)) => HandshakeError::Unverified { verdict: Arc::clone(verdict) },
            None => HandshakeError::Certificate { detail: inner.to_string().into() },
        },
        Error::InvalidCertificate(cause) => HandshakeError::Certificate { detail: cause.to_string().into() },
        Error::NoCertificatesPresented => HandshakeError::Certificate { detail: cause.to_string().into() },
        Error::AlertReceived(alert) => HandshakeError::Alert { alert: alert_name(*alert) },
        other => HandshakeError::Protocol { detail: other.to_string().into() },
    }
}

/// The error of a read under TLS; one that says that the other side sent an alert carries a [`HandshakeError::Alert`].
pub(super) fn alert_received(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => io::Error::new(error.kind(), HandshakeError::Alert { alert: alert_name(*alert) }),
        _ => error,
    }
}

/// `HandshakeFailure` to `handshake_failure`, as the registry writes it.
fn alert_name(alert: AlertDescription) -> AlertName {
    let camel = format!("{alert:?}");
    let mut name = String::with_capacity(camel.len() + 4);
    let mut after_lower = false;
    for c in camel.chars() {
        if c.is_ascii_uppercase() && after_lower {
            name.push('_');
        }
        after_lower = c.is_ascii_lowercase();
        name.push(c.to_ascii_lowercase());
    }
    AlertName::new(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_their_registry_names() {
        for (alert, name) in [
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::ProtocolVersion, "protocol_version"),
        ] {
            assert_eq!(alert_name(alert).as_str(), name);
        }
    }
}
