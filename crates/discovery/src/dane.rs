//! What a host's TLSA records mean for a connection to it, and under which name they stand.

use sealpost_types::{DnssecStatus, Domain, TlsaRecord};

use crate::{Addresses, ResolveError, Resolver};

/// The TLSA records of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsaSet {
    /// The records as they stand in DNS, sorted, each once; none if there are none.
    pub records: Vec<TlsaRecord>,
    /// What DNSSEC says of them, or that there are none.
    pub dnssec: DnssecStatus,
}

/// What DNS says of a host's certificate (RFC 7672).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dane {
    /// Nobody asked, or nobody validated the answers: whether there are records is not known.
    Unknown,
    /// There are none that could be secure.
    Absent,
    /// There are secure records, usable or not.
    Secure {
        /// Under which name they stand: the TLSA base domain.
        base: Domain,
        /// The records; at least one.
        records: Vec<TlsaRecord>,
    },
    /// It could not be found out: the host is not used now (RFC 7672 section 2.1.2).
    Failed {
        /// Why.
        error: ResolveError,
    },
}

impl TlsaSet {
    /// A set of its parts.
    #[must_use]
    pub fn new(mut records: Vec<TlsaRecord>, dnssec: DnssecStatus) -> Self {
        // In whatever order they come, equal sets have to be equal: connections are shared by them.
        records.sort();
        records.dedup();
        Self { records, dnssec }
    }
}

/// What DNS says of the certificate of a host that was found at these addresses.
///
/// Nothing is asked where the addresses are not secure. Where the host's name is an alias, the name at its end comes first if
/// every CNAME on the way is secure, then the host's own name if its own CNAME is.
///
/// # Wire
/// RFC 7672 section 2.2.1 (addresses come first), 2.2.2 (aliases), 2.1.2 (failures are not "no DANE").
pub async fn dane<R: Resolver>(resolver: &R, host: &Domain, addresses: &Addresses, port: u16) -> Dane {
    if addresses.dnssec == DnssecStatus::Indeterminate {
        return Dane::Unknown;
    }
    let end = addresses.alias_of.as_ref().filter(|_| addresses.dnssec.is_secure());
    let own = Some(host).filter(|_| addresses.first.is_secure());
    for base in end.into_iter().chain(own) {
        match resolver.tlsa(base, port).await {
            Ok(set) if set.dnssec.is_secure() && !set.records.is_empty() => {
                return Dane::Secure { base: base.clone(), records: set.records };
            }
            Ok(_) => {}
            Err(error) => return Dane::Failed { error },
        }
    }
    Dane::Absent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StaticResolver;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn record(octet: u8) -> TlsaRecord {
        TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![octet; 32] }
    }

    async fn found(dns: &StaticResolver) -> Dane {
        let host = domain("mx.example");
        let addresses = dns.addresses(&host).await.unwrap();
        dane(dns, &host, &addresses, 25).await
    }

    /// A host with secure records; its name servers choke on TLSA where it is told to fail.
    fn host(dnssec: DnssecStatus) -> StaticResolver {
        let (dns, name) = (StaticResolver::new(), domain("mx.example"));
        dns.set_addresses(&name, vec![[192, 0, 2, 1].into()]);
        dns.set_dnssec(&name, dnssec);
        dns.set_tlsa(&name, vec![record(1)]);
        dns
    }

    /// Stalwart and KumoMTA (#543) looked at the TLSA records alone. Name servers of unsigned zones often fail such questions: RFC 7672
    /// section 2.2.1 has them asked of signed hosts only.
    #[tokio::test]
    async fn b13_records_count_only_for_hosts_whose_addresses_are_secure_and_others_are_not_asked_for() {
        assert!(matches!(found(&host(DnssecStatus::Secure)).await, Dane::Secure { .. }));
        for (status, expected) in [(DnssecStatus::Insecure, Dane::Absent), (DnssecStatus::Indeterminate, Dane::Unknown)] {
            let dns = host(status);
            dns.set_tlsa_failure(&domain("mx.example"), Some(ResolveError::Server { name: domain("mx.example"), code: 2 }));
            assert_eq!(found(&dns).await, expected, "{status}");
        }
        let dns = host(DnssecStatus::Secure);
        let error = ResolveError::Server { name: domain("mx.example"), code: 2 };
        dns.set_tlsa_failure(&domain("mx.example"), Some(error.clone()));
        assert_eq!(found(&dns).await, Dane::Failed { error }, "the control: it would be asked");
    }

    #[tokio::test]
    async fn rfc7672_2_2_2_the_end_of_a_secure_alias_comes_first() {
        use DnssecStatus::{Insecure, Secure};
        let (name, end) = (domain("mx.example"), domain("host.example"));
        for (own, target, at_end, at_own, base) in [
            (Secure, Secure, true, true, Some("host.example")),
            (Secure, Secure, false, true, Some("mx.example")),
            (Secure, Insecure, true, true, Some("mx.example")),
            (Secure, Insecure, true, false, None),
            (Insecure, Secure, true, true, None),
        ] {
            let dns = StaticResolver::new();
            dns.set_alias(&name, &end);
            dns.set_dnssec(&name, own);
            dns.set_dnssec(&end, target);
            dns.set_addresses(&end, vec![[192, 0, 2, 1].into()]);
            if at_end {
                dns.set_tlsa(&end, vec![record(1)]);
            }
            if at_own {
                dns.set_tlsa(&name, vec![record(2)]);
            }
            let found = match found(&dns).await {
                Dane::Secure { base, .. } => Some(base),
                other => {
                    assert_eq!(other, Dane::Absent);
                    None
                }
            };
            assert_eq!(found, base.map(domain), "{own} {target} {at_end} {at_own}");
        }
    }

    #[test]
    fn equal_sets_are_equal_in_whatever_order_they_come() {
        let set = |octets: &[u8]| TlsaSet::new(octets.iter().map(|octet| record(*octet)).collect(), DnssecStatus::Secure);
        assert_eq!(set(&[2, 1, 2]), set(&[1, 2]));
    }
}
