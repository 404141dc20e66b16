//! The seam between the relay and whatever answers its questions.

use std::sync::Arc;

use sealpost_types::Domain;

use crate::{Addresses, MxSet, ProbeError, ResolveError, TlsaSet, Validation};

/// Answers what a domain publishes about its mail servers.
///
/// An implementation gives [`MxSet::from_records`] what it found, and keeps "there is nothing" apart from "nobody
/// answered": the first is final for the sender's mail, the second never is.
pub trait Resolver: Send + Sync + 'static {
    /// The mail exchangers of a domain; the domain itself where it has addresses but no MX.
    ///
    /// # Wire
    /// RFC 5321 section 5.1, RFC 7505 (null MX).
    ///
    /// # Errors
    /// [`ResolveError`]; see there for what each one is caused by.
    fn mx(&self, domain: &Domain) -> impl Future<Output = Result<MxSet, ResolveError>> + Send;

    /// The IPv6 and IPv4 addresses of a host; at least one.
    ///
    /// # Errors
    /// [`ResolveError::NoAddress`] or [`ResolveError::NoSuchDomain`] if there is none, and the errors of an answer
    /// that did not come. Where one family answers and the other does not, the addresses of the first are given.
    fn addresses(&self, host: &Domain) -> impl Future<Output = Result<Addresses, ResolveError>> + Send;

    /// The TLSA records for SMTP at `port` of a name; an empty set if there are none.
    ///
    /// # Wire
    /// RFC 6698 section 3: `_25._tcp.mx.example`.
    ///
    /// # Errors
    /// Those of an answer that did not come, or is bogus: that is never "no records".
    fn tlsa(&self, base: &Domain, port: u16) -> impl Future<Output = Result<TlsaSet, ResolveError>> + Send;

    /// The TXT records of a name, in no order, the strings of each one behind the other; none if there are none.
    ///
    /// # Errors
    /// Those of an answer that did not come, or is bogus: that is never "no records".
    fn txt(&self, name: &Domain) -> impl Future<Output = Result<Vec<Vec<u8>>, ResolveError>> + Send;

    /// Whether what it says of DNSSEC can be believed: checked when it is first asked, and remembered.
    fn validation(&self) -> impl Future<Output = Validation> + Send;

    /// Asks one question whose answer is not remembered, to learn whether anybody answers now.
    ///
    /// # Errors
    /// [`ProbeError`]: nobody does, or nothing but that it cannot.
    fn probe(&self) -> impl Future<Output = Result<(), ProbeError>> + Send;
}

impl<R: Resolver> Resolver for Arc<R> {
    fn mx(&self, domain: &Domain) -> impl Future<Output = Result<MxSet, ResolveError>> + Send {
        R::mx(self, domain)
    }

    fn addresses(&self, host: &Domain) -> impl Future<Output = Result<Addresses, ResolveError>> + Send {
        R::addresses(self, host)
    }

    fn tlsa(&self, base: &Domain, port: u16) -> impl Future<Output = Result<TlsaSet, ResolveError>> + Send {
        R::tlsa(self, base, port)
    }

    fn txt(&self, name: &Domain) -> impl Future<Output = Result<Vec<Vec<u8>>, ResolveError>> + Send {
        R::txt(self, name)
    }

    fn validation(&self) -> impl Future<Output = Validation> + Send {
        R::validation(self)
    }

    fn probe(&self) -> impl Future<Output = Result<(), ProbeError>> + Send {
        R::probe(self)
    }
}
