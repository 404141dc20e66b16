//! Answers from a table in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use sealpost_types::{DnssecStatus, Domain, TlsaRecord};

use crate::{Addresses, MxSet, ProbeError, ResolveError, Resolver, TlsaSet, Validation};

/// A [`Resolver`] that answers from a table: for tests, and for networks without DNS.
///
/// Clones share the table, so what one changes the others answer. A name without an entry does not exist.
#[derive(Clone, Debug, Default)]
pub struct StaticResolver {
    table: Arc<RwLock<HashMap<Domain, Entry>>>,
    silence: Arc<RwLock<Option<ProbeError>>>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    mx: Vec<(u16, String)>,
    addresses: Vec<IpAddr>,
    tlsa: Vec<TlsaRecord>,
    txt: Vec<Vec<u8>>,
    dnssec: DnssecStatus,
    alias_of: Option<Domain>,
    failure: Option<ResolveError>,
    tlsa_failure: Option<ResolveError>,
}

impl StaticResolver {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a domain's MX records, preference and exchange; `(0, ".")` alone is a null MX.
    pub fn set_mx(&self, domain: &Domain, records: Vec<(u16, String)>) {
        self.change(domain, |entry| entry.mx = records);
    }

    /// Sets a host's addresses.
    pub fn set_addresses(&self, host: &Domain, addresses: Vec<IpAddr>) {
        self.change(host, |entry| entry.addresses = addresses);
    }

    /// Sets what DNSSEC says of a name's records, and of its being an alias. Before, nobody validated them.
    pub fn set_dnssec(&self, name: &Domain, dnssec: DnssecStatus) {
        self.change(name, |entry| entry.dnssec = dnssec);
    }

    /// Sets the TLSA records for SMTP of a name, at any port.
    pub fn set_tlsa(&self, base: &Domain, records: Vec<TlsaRecord>) {
        self.change(base, |entry| entry.tlsa = records);
    }

    /// Lets the question for a name's TLSA records alone fail, or with `None` be answered again.
    pub fn set_tlsa_failure(&self, base: &Domain, failure: Option<ResolveError>) {
        self.change(base, |entry| entry.tlsa_failure = failure);
    }

    /// Sets a name's TXT records.
    pub fn set_txt(&self, name: &Domain, records: Vec<Vec<u8>>) {
        self.change(name, |entry| entry.txt = records);
    }

    /// Makes a name an alias of another, which has the records.
    pub fn set_alias(&self, name: &Domain, target: &Domain) {
        self.change(name, |entry| entry.alias_of = Some(target.clone()));
    }

    /// Lets every question for a name fail, or with `None` be answered again.
    pub fn set_failure(&self, name: &Domain, failure: Option<ResolveError>) {
        self.change(name, |entry| entry.failure = failure);
    }

    /// Lets every [`probe`](Resolver::probe) fail, or with `None` find somebody again.
    pub fn set_silence(&self, silence: Option<ProbeError>) {
        *self.silence.write().unwrap_or_else(PoisonError::into_inner) = silence;
    }

    /// Takes a name out: it does not exist any more.
    pub fn remove(&self, name: &Domain) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn change(&self, name: &Domain, change: impl FnOnce(&mut Entry)) {
        change(self.table.write().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default());
    }

    /// The entry of a name, or of what it is an alias of; and its own, if it is one.
    fn entry(&self, name: &Domain) -> Result<(Entry, Option<Entry>), ResolveError> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let find = |name: &Domain| match table.get(name) {
            Some(Entry { failure: Some(failure), .. }) => Err(failure.clone()),
            Some(entry) => Ok(entry.clone()),
            None => Err(ResolveError::NoSuchDomain { domain: name.clone() }),
        };
        let own = find(name)?;
        match own.alias_of.clone() {
            Some(target) => Ok((find(&target)?, Some(own))),
            None => Ok((own, None)),
        }
    }
}

impl Resolver for StaticResolver {
    async fn mx(&self, domain: &Domain) -> Result<MxSet, ResolveError> {
        let (entry, alias) = self.entry(domain)?;
        let set = if entry.mx.is_empty() && !Addresses::new(entry.addresses).list.is_empty() {
            MxSet::implicit(domain)
        } else {
            MxSet::from_records(domain, entry.mx)?
        };
        let dnssec = alias.as_ref().map_or(entry.dnssec, |alias| entry.dnssec.and(alias.dnssec));
        let set = set.with_dnssec(dnssec);
        Ok(match alias.and_then(|alias| alias.alias_of) {
            Some(target) => set.behind_alias(target),
            None => set,
        })
    }

    async fn addresses(&self, host: &Domain) -> Result<Addresses, ResolveError> {
        let (entry, alias) = self.entry(host)?;
        let addresses = Addresses::new(entry.addresses);
        if addresses.list.is_empty() {
            return Err(ResolveError::NoAddress { host: host.clone() });
        }
        Ok(match alias {
            None => addresses.with_dnssec(entry.dnssec),
            Some(Entry { alias_of: Some(target), dnssec, .. }) => {
                addresses.with_dnssec(entry.dnssec.and(dnssec)).behind_alias(target, dnssec)
            }
            Some(_) => addresses,
        })
    }

    async fn tlsa(&self, base: &Domain, _port: u16) -> Result<TlsaSet, ResolveError> {
        match self.entry(base) {
            Ok((Entry { tlsa_failure: Some(failure), .. }, _)) => Err(failure),
            // An alias has no records of its own here but these.
            Ok((entry, alias)) => {
                let entry = alias.unwrap_or(entry);
                Ok(TlsaSet::new(entry.tlsa, entry.dnssec))
            }
            Err(ResolveError::NoSuchDomain { .. }) => Ok(TlsaSet::default()),
            Err(error) => Err(error),
        }
    }

    async fn txt(&self, name: &Domain) -> Result<Vec<Vec<u8>>, ResolveError> {
        match self.entry(name) {
            Ok((entry, _)) => Ok(entry.txt),
            Err(ResolveError::NoSuchDomain { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What the table says counts.
    async fn validation(&self) -> Validation {
        Validation::Works
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        self.silence.read().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[tokio::test]
    async fn it_answers_as_dns_would() {
        let dns = StaticResolver::new();
        let name = domain("example.org");
        assert_eq!(dns.mx(&name).await, Err(ResolveError::NoSuchDomain { domain: name.clone() }));

        dns.set_addresses(&name, vec![]);
        assert_eq!(dns.mx(&name).await, Err(ResolveError::NoMailHost { domain: name.clone() }));
        assert_eq!(dns.addresses(&name).await, Err(ResolveError::NoAddress { host: name.clone() }));

        dns.set_addresses(&name, vec![[192, 0, 2, 1].into()]);
        assert_eq!(dns.mx(&name).await, Ok(MxSet::implicit(&name)));

        dns.set_mx(&name, vec![(0, ".".into())]);
        assert_eq!(dns.mx(&name).await, Err(ResolveError::NullMx { domain: name.clone() }));

        dns.set_mx(&name, vec![(10, "mx.example.org".into())]);
        dns.set_dnssec(&name, DnssecStatus::Secure);
        let set = dns.mx(&name).await.unwrap();
        assert!(set.dnssec.is_secure() && !set.implicit);
    }

    #[tokio::test]
    async fn a_clone_sees_what_changes() {
        let dns = StaticResolver::new();
        let shared = Arc::new(dns.clone());
        let name = domain("example.org");
        dns.set_mx(&name, vec![(10, "mx.example.org".into())]);
        assert!(shared.mx(&name).await.is_ok());
        let failure = ResolveError::Server { name: name.clone(), code: 2 };
        dns.set_failure(&name, Some(failure.clone()));
        assert_eq!(shared.mx(&name).await, Err(failure));
        dns.set_failure(&name, None);
        assert!(shared.mx(&name).await.is_ok());
        dns.set_txt(&name, vec![b"v=spf1 -all".to_vec()]);
        assert_eq!(shared.txt(&name).await, Ok(vec![b"v=spf1 -all".to_vec()]));
        dns.remove(&name);
        assert_eq!(shared.txt(&name).await, Ok(vec![]));
        assert_eq!(shared.mx(&name).await, Err(ResolveError::NoSuchDomain { domain: name }));
    }
}
