//! What came of it, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealpost_types::TlsFacts;
use serde_json::{Value, json};

use crate::ping::Outcome;
use crate::shown::{self, line};

/// What is counted while it runs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Numbers that were given out.
    pub(super) begun: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// Whether it makes sense to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Later,
    Never,
}

/// What one worker has seen. Times are in microseconds.
#[derive(Debug, Default)]
pub(super) struct Sample {
    opening: Vec<u32>,
    latency: Vec<u32>,
    octets: u64,
    resumed: u64,
    tls: Option<TlsFacts>,
    later: u64,
    never: u64,
    reasons: Vec<String>,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// All of them together.
#[derive(Debug, Default)]
pub(super) struct Figures {
    sum: Sample,
    accepted: u64,
}

impl Sample {
    pub(super) fn opened(&mut self, time: Duration, tls: Option<&TlsFacts>) {
        self.first.get_or_insert_with(|| Instant::now().checked_sub(time).unwrap_or_else(Instant::now));
        self.opening.push(micros(time));
        self.resumed += u64::from(tls.is_some_and(|tls| tls.resumed));
        self.tls = tls.copied().or(self.tls);
    }

    pub(super) fn accepted(&mut self, time: Duration, octets: u64) {
        self.latency.push(micros(time));
        self.octets = self.octets.saturating_add(octets);
        self.last = Some(Instant::now());
    }

    pub(super) fn failed(&mut self, kind: Refusal, reason: String) {
        match kind {
            Refusal::Later => self.later += 1,
            Refusal::Never => self.never += 1,
        }
        if self.reasons.len() < REASONS && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

impl Figures {
    pub(super) fn add(&mut self, sample: Sample) {
        let sum = &mut self.sum;
        sum.opening.extend(sample.opening);
        sum.latency.extend(sample.latency);
        sum.octets = sum.octets.saturating_add(sample.octets);
        sum.resumed += sample.resumed;
        sum.tls = sample.tls.or(sum.tls);
        sum.later += sample.later;
        sum.never += sample.never;
        for reason in sample.reasons {
            if sum.reasons.len() < REASONS && !sum.reasons.contains(&reason) {
                sum.reasons.push(reason);
            }
        }
        sum.first = [sum.first, sample.first].into_iter().flatten().min();
        sum.last = sum.last.max(sample.last);
    }

    pub(super) fn finish(&mut self, tally: &Tally) {
        self.accepted = tally.accepted.load(Ordering::Relaxed);
        self.sum.opening.sort_unstable();
        self.sum.latency.sort_unstable();
    }

    /// All taken passes; with a limit in time, all that were begun.
    pub(super) fn outcome(&self, messages: u64, limited: bool) -> Outcome {
        if self.sum.never > 0 {
            Outcome::Fails
        } else if self.sum.later > 0 || (self.accepted < messages && !limited) {
            Outcome::Untested
        } else {
            Outcome::Passes
        }
    }

    fn seconds(&self) -> f64 {
        match (self.sum.first, self.sum.last) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        }
    }

    fn a_second(&self, number: u64) -> f64 {
        let seconds = self.seconds();
        if seconds > 0.0 { as_f64(number) / seconds } else { 0.0 }
    }

    pub(super) fn to_json(&self) -> Value {
        let sum = &self.sum;
        json!({
            "accepted": self.accepted, "refused_later": sum.later, "refused_for_good": sum.never, "reasons": sum.reasons,
            "seconds": rounded(self.seconds()), "messages_per_second": rounded(self.a_second(self.accepted)),
            "octets_per_second": rounded(self.a_second(sum.octets)), "octets": sum.octets, "sessions": sum.opening.len(),
            "resumed": sum.resumed, "tls": sum.tls.as_ref().map(shown::session_json),
            "latency_ms": quantiles(&sum.latency), "opening_ms": quantiles(&sum.opening),
        })
    }

    pub(super) fn print(&self) {
        let sum = &self.sum;
        line!(
            "{} messages taken in {:.2} s: {:.0} a second, {:.1} MiB/s",
            self.accepted,
            self.seconds(),
            self.a_second(self.accepted),
            self.a_second(sum.octets) / f64::from(1 << 20)
        );
        if self.accepted == 0 {
            return self.print_reasons();
        }
        line!(
            "  {} sessions, {} resumed; {}",
            sum.opening.len(),
            sum.resumed,
            sum.tls.as_ref().map_or_else(|| "no TLS".to_owned(), shown::session)
        );
        for (name, times) in [("a message", &sum.latency), ("a session", &sum.opening)] {
            let at = |percent| milliseconds(quantile(times, percent));
            let (half, most, nearly, max) = (at(50), at(95), at(99), at(100));
            line!("  {name}: half within {half} ms, 95 % within {most} ms, 99 % within {nearly} ms, all within {max} ms");
        }
        self.print_reasons();
    }

    fn print_reasons(&self) {
        let sum = &self.sum;
        if sum.later + sum.never > 0 {
            line!("  {} not taken now, {} for good:", sum.later, sum.never);
            sum.reasons.iter().for_each(|reason| line!("    {reason}"));
        }
    }
}

fn quantiles(sorted: &[u32]) -> Value {
    let at = |percent| milliseconds(quantile(sorted, percent));
    json!({ "p50": at(50), "p90": at(90), "p95": at(95), "p99": at(99), "max": at(100) })
}

/// The time within which so many of a hundred lie.
fn quantile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn milliseconds(micros: u32) -> f64 {
    f64::from(micros) / 1000.0
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Exact up to 2^53, which no count here reaches.
fn as_f64(number: u64) -> f64 {
    let (high, low) = (u32::try_from(number >> 32).unwrap_or(u32::MAX), u32::try_from(number & 0xffff_ffff).unwrap_or(u32::MAX));
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// Different reasons that are told.
const REASONS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let times: Vec<u32> = (1..=200).collect();
        assert_eq!([50, 95, 99, 100].map(|percent| quantile(&times, percent)), [100, 190, 198, 200]);
        assert_eq!((quantile(&[7], 50), quantile(&[], 99)), (7, 0));
        assert!((as_f64(1 << 40) - 1_099_511_627_776.0).abs() < 0.5);
    }
}
