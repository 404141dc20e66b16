//! What is published of one host of a next hop, put together for the policy.

use sealpost_cert::usable_tlsa;
use sealpost_types::{Domain, TlsaRecord};

use crate::{Dane, ResolveError};

/// What is published of one host: which certificate it has. A policy judges each host by its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// What DNS says of its certificate.
    pub dane: Dane,
    /// Of its TLSA records, those that a certificate can be held against.
    pub usable: Vec<TlsaRecord>,
    /// The names that count under a trust anchor of a record, the one that the records stand under first; none without records.
    pub names: Vec<Domain>,
}

impl Published {
    /// What follows from `dane` for a host. `others` are the names that count beside the one that the records stand under: the host's own
    /// where it is known securely, and the domain that it was found for.
    ///
    /// # Wire
    /// RFC 7672 section 3.2.2.
    #[must_use]
    pub fn new(dane: Dane, others: impl IntoIterator<Item = Domain>) -> Self {
        let Dane::Secure { base, records } = &dane else { return Self { dane, ..Self::nothing_known() } };
        let usable = usable_tlsa(records);
        let mut names = vec![base.clone()];
        for name in others {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Self { dane, usable, names }
    }

    /// That nobody asked.
    #[must_use]
    pub fn nothing_known() -> Self {
        Self { dane: Dane::Unknown, usable: Vec::new(), names: Vec::new() }
    }

    /// Why the host is not used now, if what is published of it could not be found out.
    #[must_use]
    pub fn failure(&self) -> Option<&ResolveError> {
        match &self.dane {
            Dane::Failed { error } => Some(error),
            _ => None,
        }
    }
}
