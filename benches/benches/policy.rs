//! What a policy costs by its size: to compile, to ask, to change. Growth shows when 10, 1,000 and 1,000,000 entries stand
//! side by side.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sealpost_policy::{DeliverFacts, Include, IncludeError, Pattern, Policy};
use sealpost_types::{ForwardPath, Mailbox, ReversePath};

const SIZES: [u32; 3] = [10, 1_000, 1_000_000];

/// Recipients that come again and again: after the first round the processor's caches hold much of what is asked for.
const RECURRING: u32 = 4_096;

/// As many as there are entries, of half of the domains: nothing of what is asked for is in a cache.
const DIFFERENT: u32 = 1_000_000;

struct List(Arc<str>);

impl Include for List {
    fn read(&self, _: &str) -> Result<Arc<str>, IncludeError> {
        Ok(Arc::clone(&self.0))
    }
}

/// A list with exact names and `*.` mixed.
fn list(entries: u32) -> List {
    let mut text = String::from("domain,receive,deliver\n");
    for number in 0..entries {
        let wild = if number % 2 == 0 { "*." } else { "" };
        let level = if number % 10 == 0 { "verify" } else { "require" };
        let _ = writeln!(text, "{wild}{},require,{level}", name(number));
    }
    List(text.into())
}

fn name(number: u32) -> String {
    format!("partner-{number}.example")
}

fn policy(list: &List) -> Policy {
    Policy::parse_with("policy.toml", "[[include]]\nfile = 'partners.csv'\n", list).unwrap_or_else(|errors| panic!("{errors}"))
}

/// So many recipients, all over the list. They lie one after the other, and are asked for in this order, so that the
/// processor has fetched the next one before it is needed: what is measured is the decision, not the caller's memory.
fn recipients(entries: u32, host: &str, count: u32) -> Vec<ForwardPath> {
    let numbers = (0..count).map(|at| (at.wrapping_mul(7919) % entries) | 1);
    numbers.map(|number| Mailbox::parse(&format!("ann@{host}{}", name(number % entries.max(2)))).unwrap().into()).collect()
}

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policy/compile");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    for entries in SIZES {
        let list = list(entries);
        group.throughput(Throughput::Elements(entries.into()));
        group.bench_with_input(BenchmarkId::from_parameter(entries), &list, |bencher, list| bencher.iter_with_large_drop(|| policy(list)));
    }
    group.finish();
}

fn decide(criterion: &mut Criterion) {
    let sender = ReversePath::from(Mailbox::parse("bob@acme.example").unwrap());
    let policies = SIZES.map(|entries| (entries, policy(&list(entries))));
    let mut ask = |what: &str, host: &str, trace: bool, count: u32| {
        let mut group = criterion.benchmark_group(format!("policy/decide_deliver/{what}"));
        group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2)).sample_size(50);
        for (entries, policy) in policies.iter().filter(|(entries, _)| count <= RECURRING || *entries >= count) {
            let recipients = recipients(*entries, host, count);
            let mut next = 0;
            group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
                bencher.iter(|| {
                    next = (next + 1) % recipients.len();
                    let facts = DeliverFacts::new(&sender, &recipients[next], true);
                    match trace {
                        true => drop(black_box(policy.explain_deliver(&facts))),
                        false => drop(black_box(policy.decide_deliver(&facts))),
                    }
                });
            });
        }
        group.finish();
    };
    for (count, of) in [(RECURRING, ""), (DIFFERENT, ", all different")] {
        ask(&format!("exact{of}"), "", false, count);
        ask(&format!("below{of}"), "a.b.mx.", false, count);
        ask(&format!("exact, trace on{of}"), "", true, count);
        ask(&format!("below, trace on{of}"), "a.b.mx.", true, count);
    }
    // What of these figures is the reading of the recipient.
    let recipients = recipients(DIFFERENT, "", DIFFERENT);
    let mut next = 0;
    criterion.bench_function("policy/decide_deliver/recipient alone, all different", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % recipients.len();
            recipients[next].domain().map(|domain| domain.as_str().bytes().fold(0_u8, |all, octet| all ^ octet))
        });
    });
}

fn change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policy/change");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(20);
    for entries in SIZES {
        let policy = policy(&list(entries));
        let header = Some("domain,receive,deliver");
        group.bench_function(BenchmarkId::new("add", entries), |bencher| {
            bencher.iter_with_large_drop(|| policy.with_row("partners.csv", entries + 2, header, "new.example,require,verify").unwrap());
        });
        let pattern: Pattern = name(1).parse().unwrap();
        group.bench_function(BenchmarkId::new("remove", entries), |bencher| {
            bencher.iter_with_large_drop(|| policy.without_row("partners.csv", 3, &pattern).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, compile, decide, change);
criterion_main!(benches);
