//! The relay in numbers, for a monitoring system.

mod page;
mod process;
mod series;

use std::time::{Duration, Instant};

use sealpost_queue::{Disk, Health, SpoolError, Stats};
use sealpost_transport::TurnedAway;
use sealpost_types::UnixMillis;

use self::page::Page;
pub use self::series::{SERIES, Series, SeriesKind};
use crate::control::RelayControl;
use crate::ready::Readiness;

/// How metrics are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsFormat {
    /// The text format of Prometheus, version 0.0.4.
    #[default]
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

/// What an engine is like at this moment, beside what it has counted.
#[derive(Debug)]
pub(crate) struct Gauges {
    /// Connections of clients.
    pub(crate) clients: usize,
    pub(crate) turned_away: TurnedAway,
    /// Connections to hosts that serve, and that lie idle.
    pub(crate) hosts: usize,
    pub(crate) idle: usize,
    pub(crate) health: Health,
    /// None for a queue that is on no disk.
    pub(crate) disk: Option<Disk>,
    pub(crate) history_dropped: u64,
    /// Destinations, addresses of hosts, and demands of TLS that failed and are left alone.
    pub(crate) left_alone: [(&'static str, usize); 3],
}

/// The queue in numbers, kept for a moment: of a large one they are not had for nothing.
#[derive(Debug, Default)]
pub(crate) struct QueueNumbers(tokio::sync::Mutex<Option<Counted>>);

#[derive(Clone, Debug)]
struct Counted {
    stats: Stats,
    due: u64,
    at: Instant,
    took: Duration,
}

impl Counted {
    /// Whether it is not counted anew yet, so long after it was.
    fn serves(&self, age: Duration) -> bool {
        age < self.took * REST
    }
}

impl MetricsFormat {
    /// The `Content-Type` of what is written.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl RelayControl {
    /// All numbers that there are, as [`SERIES`] describes them, written down for a monitoring system. Where the queue cannot be read, its
    /// numbers are left out.
    pub async fn metrics(&self, format: MetricsFormat) -> String {
        let mut page = Page::default();
        let (readiness, gauges) = (self.readiness().await, self.engine().gauges());
        self.counted(&mut page, &gauges);
        if let Err(error) = self.queued(&mut page).await {
            tracing::warn!(%error, "the queue has no numbers");
        }
        self.stored(&mut page, &gauges, &readiness);
        self.published(&mut page);
        self.reported(&mut page).await;
        self.administered(&mut page);
        for check in &readiness.checks {
            page.flag("sealpost_ready", &[check.name], check.is_met);
        }
        let write = move || {
            process::write(&mut page);
            page.write(format)
        };
        tokio::task::spawn_blocking(write).await.unwrap_or_default()
    }

    /// What was counted since the start.
    fn counted(&self, page: &mut Page, gauges: &Gauges) {
        let counters = self.engine().counters();
        page.all("sealpost_received_messages_total", &counters.received);
        page.whole("sealpost_received_bytes_total", &[], counters.received_octets.value());
        page.all("sealpost_refusals_total", &counters.refusals);
        page.whole("sealpost_refusals_total", &["too-many-connections"], gauges.turned_away.total);
        page.whole("sealpost_refusals_total", &["too-many-from-address"], gauges.turned_away.per_address);
        page.all("sealpost_logins_total", &counters.logins);
        page.whole("sealpost_connections", &["receive", "active"], gauges.clients as u64);
        page.whole("sealpost_connections", &["deliver", "active"], gauges.hosts as u64);
        page.whole("sealpost_connections", &["deliver", "idle"], gauges.idle as u64);
        page.all("sealpost_connections_opened_total", &counters.connections);
        page.whole("sealpost_connections_reused_total", &[], counters.reused.value());
        page.seen("sealpost_tls_handshakes_total", &counters.handshakes);
        page.seen("sealpost_tls_handshake_failures_total", &counters.handshake_failures);
        page.seen("sealpost_tls_verdicts_total", &counters.verdicts);
        page.all("sealpost_tls_downgrades_total", &counters.downgrades);
        page.all("sealpost_delivery_attempts_total", &counters.attempts);
        page.seen("sealpost_delivery_outcomes_total", &counters.outcomes);
        page.seen("sealpost_host_failures_total", &counters.host_failures);
        page.whole("sealpost_history_dropped_total", &[], gauges.history_dropped);
        for (what, number) in gauges.left_alone {
            page.whole("sealpost_left_alone", &[what], number as u64);
        }
    }

    /// What recipient domains say by MTA-STS.
    fn published(&self, page: &mut Page) {
        let Some(numbers) = self.engine().sts_numbers() else { return };
        for (mode, policies) in numbers.policies {
            page.whole("sealpost_mta_sts_policies", &[mode.as_str()], policies);
        }
        page.whole("sealpost_mta_sts_policies_failing", &[], numbers.failing);
        page.whole("sealpost_mta_sts_cache_bytes", &[], numbers.octets);
        for (result, count) in numbers.fetches {
            page.whole("sealpost_mta_sts_fetches_total", &[result], count);
        }
    }

    /// The reports about TLS. Where those that wait cannot be counted, their number is left out.
    async fn reported(&self, page: &mut Page) {
        let Some(reports) = self.engine().reports() else { return };
        page.all("sealpost_tlsrpt_reports_total", reports.sent());
        match reports.waiting().await {
            Ok(waiting) => page.whole("sealpost_tlsrpt_reports_waiting", &[], waiting),
            Err(error) => tracing::warn!(%error, "the TLS reports that wait have no number"),
        }
    }

    async fn queued(&self, page: &mut Page) -> Result<(), SpoolError> {
        let now = self.now();
        let Counted { stats, due, .. } = self.queue_numbers(now).await?;
        let states = [
            ("fresh", stats.fresh),
            ("due", due),
            ("later", stats.deferred.saturating_sub(due)),
            ("held", stats.held),
            ("damaged", stats.damaged),
        ];
        for (state, entries) in states {
            page.whole("sealpost_queue_entries", &[state], entries);
        }
        page.whole("sealpost_queue_leased_entries", &[], stats.leased);
        page.whole("sealpost_queue_size_bytes", &[], stats.size.0);
        let age = stats.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        page.real("sealpost_queue_oldest_age_seconds", &[], age.as_secs_f64());
        Ok(())
    }

    /// The numbers of this moment, or of one so short a while ago that counting takes a small part of the time at most.
    async fn queue_numbers(&self, now: UnixMillis) -> Result<Counted, SpoolError> {
        let mut kept = self.kept_numbers().0.lock().await;
        if let Some(counted) = kept.as_ref().filter(|counted| counted.serves(counted.at.elapsed())) {
            return Ok(counted.clone());
        }
        let begin = Instant::now();
        let (stats, due) = (self.engine().queue().await?, self.engine().due(now).await?);
        let counted = Counted { stats, due, at: Instant::now(), took: begin.elapsed() };
        *kept = Some(counted.clone());
        Ok(counted)
    }

    fn stored(&self, page: &mut Page, gauges: &Gauges, readiness: &Readiness) {
        page.flag("sealpost_store_poisoned", &[], matches!(gauges.health, Health::Poisoned { .. }));
        if let Some(disk) = &gauges.disk {
            page.distribution("sealpost_store_commit_duration_seconds", disk.commits.duration.clone());
            page.distribution("sealpost_store_commit_jobs", disk.commits.jobs.clone());
            page.whole("sealpost_disk_reserve_bytes", &[], disk.reserve.0);
        }
        if let Some(free) = readiness.free {
            page.whole("sealpost_disk_free_bytes", &[], free.0);
        }
        let resolver = self.engine().resolver_found();
        page.flag("sealpost_dnssec_available", &[], resolver.as_ref().is_some_and(|found| found.validates()));
        page.flag("sealpost_resolver_up", &[], resolver.as_ref().is_some_and(|found| found.answer.is_ok()));
    }

    /// The policy, the certificates, and the program.
    fn administered(&self, page: &mut Page) {
        let reloads = self.reloads();
        page.whole("sealpost_policy_entries", &[], self.engine().policy().entries() as u64);
        page.whole("sealpost_policy_generation", &[], self.engine().generation());
        page.whole("sealpost_policy_reloads_total", &["success"], reloads.succeeded);
        page.whole("sealpost_policy_reloads_total", &["failure"], reloads.failed);
        page.flag("sealpost_policy_last_reload_successful", &[], reloads.last_succeeded);
        page.real("sealpost_policy_last_reload_timestamp_seconds", &[], seconds(reloads.in_force_since));
        for (file, end) in self.certificate_ends() {
            page.real("sealpost_certificate_expiry_timestamp_seconds", &[&file.display().to_string()], seconds(end));
        }
        for (file, end) in self.shown_certificate_ends() {
            page.real("sealpost_client_certificate_expiry_timestamp_seconds", &[&file.display().to_string()], seconds(end));
        }
        page.whole("sealpost_build_info", &[env!("CARGO_PKG_VERSION")], 1);
        page.real("sealpost_start_time_seconds", &[], seconds(self.started()));
    }
}

fn seconds(at: UnixMillis) -> f64 {
    at.0 as f64 / 1000.0
}

/// Counting takes one part of so many of the time at most, however often somebody asks.
const REST: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_counting_takes_the_longer_it_serves() {
        let counted = |took| Counted { stats: Stats::default(), due: 0, at: Instant::now(), took };
        let large = counted(Duration::from_millis(300));
        assert!(large.serves(Duration::from_secs(5)) && !large.serves(Duration::from_secs(6)));
        assert!(!counted(Duration::from_micros(50)).serves(Duration::from_millis(1)), "a small queue is counted each time");
    }
}
