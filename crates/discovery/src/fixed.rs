//! Answers from a table in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use sealpost_types::Domain;

use crate::{Addresses, MxSet, ResolveError, Resolver};

/// A [`Resolver`] that answers from a table: for tests, and for networks without DNS.
///
/// Clones share the table, so what one changes the others answer. A name without an entry does not exist.
#[derive(Clone, Debug, Default)]
pub struct StaticResolver {
    table: Arc<RwLock<HashMap<Domain, Entry>>>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    mx: Vec<(u16, String)>,
    addresses: Vec<IpAddr>,
    secure: bool,
    failure: Option<ResolveError>,
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

    /// Sets whether a domain's MX records count as proven by DNSSEC.
    pub fn set_secure(&self, domain: &Domain, secure: bool) {
        self.change(domain, |entry| entry.secure = secure);
    }

    /// Lets every question for a name fail, or with `None` be answered again.
    pub fn set_failure(&self, name: &Domain, failure: Option<ResolveError>) {
        self.change(name, |entry| entry.failure = failure);
    }

    /// Takes a name out: it does not exist any more.
    pub fn remove(&self, name: &Domain) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn change(&self, name: &Domain, change: impl FnOnce(&mut Entry)) {
        change(self.table.write().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default());
    }

    fn entry(&self, name: &Domain) -> Result<Entry, ResolveError> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        match table.get(name) {
            Some(Entry { failure: Some(failure), .. }) => Err(failure.clone()),
            Some(entry) => Ok(entry.clone()),
            None => Err(ResolveError::NoSuchDomain { domain: name.clone() }),
        }
    }
}

impl Resolver for StaticResolver {
    async fn mx(&self, domain: &Domain) -> Result<MxSet, ResolveError> {
        let entry = self.entry(domain)?;
        let set = if entry.mx.is_empty() && !Addresses::new(entry.addresses).list.is_empty() {
            MxSet::implicit(domain)
        } else {
            MxSet::from_records(domain, entry.mx)?
        };
        Ok(set.with_secure(entry.secure))
    }

    async fn addresses(&self, host: &Domain) -> Result<Addresses, ResolveError> {
        let addresses = Addresses::new(self.entry(host)?.addresses);
        if addresses.list.is_empty() { Err(ResolveError::NoAddress { host: host.clone() }) } else { Ok(addresses) }
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
        dns.set_secure(&name, true);
        let set = dns.mx(&name).await.unwrap();
        assert!(set.secure && !set.implicit);
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
        dns.remove(&name);
        assert_eq!(shared.mx(&name).await, Err(ResolveError::NoSuchDomain { domain: name }));
    }
}
