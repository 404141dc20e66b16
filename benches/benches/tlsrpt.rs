//! What counting for reports about TLS costs the delivery: one observation into the tally in memory, which is all that a connection waits for.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sealpost_report::tlsrpt::{Failure, Observation, PolicyType, ReportedPolicy, Tally};
use sealpost_types::{Domain, TlsFailureType, UnixMillis};

/// Domains that mail goes to in turn.
const DOMAINS: usize = 1000;

const NOW: UnixMillis = UnixMillis(1_795_600_000_000);

type Seen = fn(&Domain) -> Observation;

fn domains() -> Vec<Domain> {
    (0..DOMAINS).map(|number| Domain::parse(&format!("d{number}.example")).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// A success without any policy: most mail of the Internet.
fn plain(domain: &Domain) -> Observation {
    Observation::new(NOW, domain.clone(), ReportedPolicy::new(PolicyType::NoPolicyFound, domain.as_str()), None)
}

/// A success under DANE, which is told to the owner of the records too.
fn under_dane(domain: &Domain) -> Observation {
    let records = vec![format!("3 1 1 {}", "ab".repeat(32)), format!("2 1 1 {}", "cd".repeat(32))];
    let policy = ReportedPolicy::new(PolicyType::Tlsa, "mx.hosting.example").saying(records);
    Observation::new(NOW, domain.clone(), policy, None).concerning(domain.clone())
}

/// A failure with all that is told of one.
fn failed(domain: &Domain) -> Observation {
    let mut failure = Failure::new(TlsFailureType::CertificateExpired).because("expired");
    failure.host = Some("mx.hosting.example".to_owned());
    failure.helo = Some("mx1.hosting.example".to_owned());
    failure.sending_ip = Some(IpAddr::from(Ipv4Addr::LOCALHOST));
    failure.receiving_ip = Some(IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)));
    let policy = ReportedPolicy::new(PolicyType::NoPolicyFound, domain.as_str());
    Observation::new(NOW, domain.clone(), policy, Some(failure))
}

fn count(criterion: &mut Criterion) {
    let domains = domains();
    let mut group = criterion.benchmark_group("tlsrpt/count");
    group.throughput(Throughput::Elements(1));
    for (name, observation) in [("success", plain as Seen), ("success-dane", under_dane), ("failure", failed)] {
        let mut tally = Tally::default();
        let mut next = domains.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| next.next().into_iter().for_each(|domain| tally.add(black_box(observation(domain)))));
        });
        assert!(!tally.is_empty());
    }
    group.finish();
}

criterion_group!(benches, count);
criterion_main!(benches);
