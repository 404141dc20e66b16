//! What a domain's MX records mean, and in which order their hosts are tried.

use std::net::IpAddr;

use sealpost_types::{DnssecStatus, Domain};

use crate::ResolveError;

/// One mail exchanger.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MxHost {
    /// Its preference: a lower one is tried first.
    pub preference: u16,
    /// Its name.
    pub name: Domain,
}

/// The mail exchangers of one domain: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MxSet {
    /// Whose they are.
    pub domain: Domain,
    /// The hosts by preference, equal ones by name; [`in_order`](Self::in_order) gives the order of one attempt.
    pub hosts: Vec<MxHost>,
    /// Whether the domain has no MX, and the only host is the domain itself.
    pub implicit: bool,
    /// What DNSSEC says of these being the hosts, and of every CNAME on the way.
    pub dnssec: DnssecStatus,
    /// The name at the end of the CNAMEs, where the domain is an alias.
    pub alias_of: Option<Domain>,
}

impl MxHost {
    /// A mail exchanger of its parts.
    #[must_use]
    pub fn new(preference: u16, name: Domain) -> Self {
        Self { preference, name }
    }
}

impl MxSet {
    /// What these MX records say: preference and exchange as they stand in the answer, with or without a final dot.
    ///
    /// Exchanges that name no host on the network (an address, `localhost`, what is no host name, a `.` beside real
    /// ones) are left out; a host named twice counts with its better preference.
    ///
    /// # Errors
    /// [`ResolveError::NullMx`] if there is nothing but `.`, [`ResolveError::UnusableMx`] if nothing usable is left.
    /// No records at all are [`ResolveError::NoMailHost`]: asking for the domain's own addresses comes before.
    pub fn from_records(domain: &Domain, records: impl IntoIterator<Item = (u16, String)>) -> Result<Self, ResolveError> {
        let mut hosts: Vec<MxHost> = Vec::new();
        let mut unusable = Vec::new();
        let mut null = false;
        for (preference, exchange) in records {
            match host_name(domain, &exchange) {
                Some(name) => hosts.push(MxHost::new(preference, name)),
                None if matches!(exchange.as_str(), "" | ".") => null = true,
                None => unusable.push(exchange),
            }
        }
        hosts.sort_by(|a, b| (a.preference, &a.name).cmp(&(b.preference, &b.name)));
        let mut seen = std::collections::HashSet::new();
        hosts.retain(|host| seen.insert(host.name.clone()));
        let domain = domain.clone();
        match (hosts.is_empty(), unusable.is_empty(), null) {
            (false, ..) => Ok(Self { domain, hosts, implicit: false, dnssec: DnssecStatus::Indeterminate, alias_of: None }),
            (true, false, _) => {
                unusable.truncate(UNUSABLE_SHOWN);
                Err(ResolveError::UnusableMx { domain, found: unusable })
            }
            (true, true, true) => Err(ResolveError::NullMx { domain }),
            (true, true, false) => Err(ResolveError::NoMailHost { domain }),
        }
    }

    /// The set of a domain without MX records, but with addresses: the domain itself.
    ///
    /// # Wire
    /// RFC 5321 section 5.1 ("implicit MX").
    #[must_use]
    pub fn implicit(domain: &Domain) -> Self {
        let hosts = vec![MxHost::new(0, domain.clone())];
        Self { domain: domain.clone(), hosts, implicit: true, dnssec: DnssecStatus::Indeterminate, alias_of: None }
    }

    /// The same set, of which DNSSEC says this.
    #[must_use]
    pub fn with_dnssec(mut self, dnssec: DnssecStatus) -> Self {
        self.dnssec = dnssec;
        self
    }

    /// The same set of a domain that is an alias of `name`.
    #[must_use]
    pub fn behind_alias(mut self, name: Domain) -> Self {
        self.alias_of = Some(name);
        self
    }

    /// The hosts in the order of one attempt: by preference, hosts of equal preference shuffled by the caller's
    /// random number, so that they share the load.
    ///
    /// # Limits
    /// The first [`MX_HOSTS_TRIED`] of that order.
    #[must_use]
    pub fn in_order(&self, random: u64) -> Vec<MxHost> {
        let mut order = self.hosts.clone();
        let mut state = random;
        for equals in order.chunk_by_mut(|a, b| a.preference == b.preference) {
            for last in (1..equals.len()).rev() {
                let span = u64::try_from(last).map_or(u64::MAX, |last| last + 1);
                let pick = usize::try_from(splitmix(&mut state) % span).unwrap_or(0);
                equals.swap(last, pick);
            }
        }
        order.truncate(MX_HOSTS_TRIED);
        order
    }

    /// The set without this relay itself and every host that is not better: mail must come nearer with each hop.
    ///
    /// `own` are the names under which other hosts know this relay. A set without any of them stays as it is.
    ///
    /// # Wire
    /// RFC 5321 section 5.1.
    ///
    /// # Errors
    /// [`ResolveError::LoopsBack`] if no better host than this relay is left.
    pub fn without_loops(mut self, own: &[Domain]) -> Result<Self, ResolveError> {
        let Some(us) = self.hosts.iter().find(|host| own.contains(&host.name)).cloned() else { return Ok(self) };
        self.hosts.retain(|host| host.preference < us.preference);
        if self.hosts.is_empty() { Err(ResolveError::LoopsBack { domain: self.domain, host: us.name }) } else { Ok(self) }
    }
}

/// The host that an exchange names, if it is one.
fn host_name(domain: &Domain, exchange: &str) -> Option<Domain> {
    let name = Domain::parse(exchange).ok()?;
    let is_address = name.as_str().parse::<IpAddr>().is_ok();
    // A domain that is itself below localhost may have its mail servers there.
    let is_ours_alone = is_local(&name) && !is_local(domain);
    (!is_address && !is_ours_alone).then_some(name)
}

fn is_local(name: &Domain) -> bool {
    let name = name.as_str();
    LOCAL_NAMES.iter().any(|local| name == *local || name.strip_suffix(local).is_some_and(|rest| rest.ends_with('.')))
}

/// A small generator that turns one random number into several: splitmix64.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Hosts of one domain that are tried in one attempt.
pub const MX_HOSTS_TRIED: usize = 12;

/// Unusable exchanges that an error names.
const UNUSABLE_SHOWN: usize = 5;

/// Names that mean this host, whoever says them (RFC 6761 section 6.3, and what `/etc/hosts` files call it).
const LOCAL_NAMES: [&str; 2] = ["localhost", "localhost.localdomain"];

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn set(records: &[(u16, &str)]) -> Result<MxSet, ResolveError> {
        MxSet::from_records(&domain("example.org"), records.iter().map(|(preference, host)| (*preference, (*host).to_owned())))
    }

    fn names(hosts: &[MxHost]) -> Vec<&str> {
        hosts.iter().map(|host| host.name.as_str()).collect()
    }

    #[test]
    fn rfc5321_5_1_lower_preference_comes_first() {
        let set = set(&[(20, "c.example."), (10, "B.example"), (30, "d.example"), (0, "a.example")]).unwrap();
        assert_eq!(names(&set.in_order(7)), ["a.example", "b.example", "c.example", "d.example"]);
        assert!(!set.implicit && !set.dnssec.is_secure());
    }

    #[test]
    fn equal_preferences_share_the_load_and_nothing_else_moves() {
        let set = set(&[(5, "first.example"), (10, "a.example"), (10, "b.example"), (10, "c.example"), (20, "last.example")]).unwrap();
        let mut counts = std::collections::HashMap::new();
        for random in 0..6000 {
            let order = set.in_order(random);
            assert_eq!((order[0].name.as_str(), order[4].name.as_str()), ("first.example", "last.example"));
            *counts.entry(names(&order[1..4]).join(" ")).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6, "every order occurs");
        assert!(counts.values().all(|count| (850..1150).contains(count)), "about equally often: {counts:?}");
        assert_eq!(set.in_order(42), set.in_order(42), "the same number gives the same order");
    }

    #[test]
    fn rfc7505_a_single_dot_means_no_mail() {
        assert_eq!(set(&[(0, ".")]), Err(ResolveError::NullMx { domain: domain("example.org") }));
        assert_eq!(set(&[(0, "")]), Err(ResolveError::NullMx { domain: domain("example.org") }));
        assert_eq!(names(&set(&[(0, "."), (10, "a.example")]).unwrap().hosts), ["a.example"], "a null MX beside a real one is void");
    }

    #[test]
    fn what_is_no_host_is_left_out() {
        let set = set(&[(1, "192.0.2.1."), (2, "localhost."), (3, "x.localhost"), (4, "bad host"), (5, "mx.example")]).unwrap();
        assert_eq!(names(&set.hosts), ["mx.example"]);
    }

    #[test]
    fn nothing_but_junk_is_an_error_that_names_it() {
        let Err(error) = set(&[(1, "192.0.2.1"), (2, "localhost")]) else { panic!("no host there") };
        assert_eq!(error.to_string(), "no MX of example.org names a host: 192.0.2.1, localhost");
    }

    #[test]
    fn a_local_domain_may_have_a_local_server() {
        let set = MxSet::from_records(&domain("test.localhost"), [(1, "localhost".to_owned())]).unwrap();
        assert_eq!(names(&set.hosts), ["localhost"]);
    }

    #[test]
    fn a_host_named_twice_counts_once_with_its_better_preference() {
        let set = set(&[(20, "a.example"), (10, "b.example"), (5, "a.example")]).unwrap();
        assert_eq!(set.hosts, [MxHost::new(5, domain("a.example")), MxHost::new(10, domain("b.example"))]);
    }

    #[test]
    fn no_more_than_the_limit_is_tried() {
        let many: Vec<(u16, String)> = (0..200).map(|i| (i, format!("mx{i}.example"))).collect();
        let set = MxSet::from_records(&domain("example.org"), many).unwrap();
        assert_eq!(set.in_order(1).len(), MX_HOSTS_TRIED);
    }

    #[test]
    fn rfc5321_5_1_a_relay_that_is_mx_itself_only_passes_mail_on_to_better_ones() {
        let records = [(10, "a.example"), (20, "us.example"), (20, "b.example"), (30, "c.example")];
        let own = [domain("other.example"), domain("us.example")];
        assert_eq!(names(&set(&records).unwrap().without_loops(&own).unwrap().hosts), ["a.example"]);
        assert_eq!(set(&records).unwrap().without_loops(&[]).unwrap().hosts.len(), 4, "somebody else's set stays whole");
        assert_eq!(
            set(&records[1..]).unwrap().without_loops(&own),
            Err(ResolveError::LoopsBack { domain: domain("example.org"), host: domain("us.example") })
        );
    }
}
