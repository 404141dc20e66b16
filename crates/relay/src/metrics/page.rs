//! The numbers of one moment, and how they are written down.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use sealpost_queue::Distribution;

use super::MetricsFormat;
use super::series::{SERIES, Series, SeriesKind};
use crate::words::{Tally, Words};

/// The numbers of one moment.
#[derive(Debug, Default)]
pub(super) struct Page {
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: &'static str,
    labels: Vec<String>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Whole(u64),
    Real(f64),
    Distribution(Distribution),
}

impl Page {
    pub(super) fn whole(&mut self, name: &'static str, labels: &[&str], value: u64) {
        self.push(name, labels, Value::Whole(value));
    }

    pub(super) fn real(&mut self, name: &'static str, labels: &[&str], value: f64) {
        self.push(name, labels, Value::Real(value));
    }

    pub(super) fn flag(&mut self, name: &'static str, labels: &[&str], value: bool) {
        self.whole(name, labels, u64::from(value));
    }

    pub(super) fn distribution(&mut self, name: &'static str, distribution: Distribution) {
        self.push(name, &[], Value::Distribution(distribution));
    }

    /// Every counter of few, so that the first time shows as a change from 0.
    pub(super) fn all<W: Words>(&mut self, name: &'static str, tally: &Tally<W>) {
        tally.entries().for_each(|(words, count)| self.whole(name, &words, count));
    }

    /// Of many, those that have counted anything.
    pub(super) fn seen<W: Words>(&mut self, name: &'static str, tally: &Tally<W>) {
        tally.entries().filter(|(_, count)| *count > 0).for_each(|(words, count)| self.whole(name, &words, count));
    }

    fn push(&mut self, name: &'static str, labels: &[&str], value: Value) {
        self.samples.push(Sample { name, labels: labels.iter().map(|label| (*label).to_owned()).collect(), value });
    }

    pub(super) fn write(self, format: MetricsFormat) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        let written = match format {
            MetricsFormat::Text => prometheus_client::encoding::prometheus_text::encode(&mut text, &registry),
            MetricsFormat::OpenMetrics => prometheus_client::encoding::text::encode(&mut text, &registry),
        };
        if written.is_err() {
            // A text in memory takes whatever is written.
            tracing::error!("the metrics cannot be written down");
        }
        text
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for series in SERIES {
            let kind = match series.kind {
                SeriesKind::Counter => MetricType::Counter,
                SeriesKind::Gauge => MetricType::Gauge,
                SeriesKind::Histogram => MetricType::Histogram,
                SeriesKind::Info => MetricType::Info,
            };
            let mut family = encoder.encode_descriptor(series.base(), series.help, None, kind)?;
            for sample in self.samples.iter().filter(|sample| sample.name == series.name) {
                sample.write(series, &mut family)?;
            }
        }
        Ok(())
    }
}

impl Sample {
    fn write(&self, series: &Series, family: &mut MetricEncoder<'_>) -> fmt::Result {
        let labels: Vec<(&str, &str)> = series.labels.iter().copied().zip(self.labels.iter().map(String::as_str)).collect();
        if series.kind == SeriesKind::Info {
            return family.encode_info(&labels);
        }
        if labels.is_empty() {
            return self.write_value(series, family);
        }
        self.write_value(series, &mut family.encode_family(&labels)?)
    }

    fn write_value(&self, series: &Series, metric: &mut MetricEncoder<'_>) -> fmt::Result {
        match (&self.value, series.kind) {
            (Value::Whole(value), SeriesKind::Counter) => metric.encode_counter::<NoLabelSet, u64, u64>(value, None),
            (Value::Real(value), SeriesKind::Counter) => metric.encode_counter::<NoLabelSet, f64, f64>(value, None),
            (Value::Whole(value), _) => metric.encode_gauge(value),
            (Value::Real(value), _) => metric.encode_gauge(value),
            (Value::Distribution(found), _) => metric.encode_histogram::<NoLabelSet>(found.sum, found.count(), &found.buckets, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::default();
        page.whole("sealpost_received_messages_total", &["TLSv1.3"], 7);
        page.whole("sealpost_policy_entries", &[], 3);
        page.real("sealpost_certificate_expiry_timestamp_seconds", &["a \"quoted\\ file\"\n"], 1.5);
        let mut commits = Distribution::default();
        (commits.buckets, commits.sum) = (vec![(0.5, 2), (1.0, 1), (f64::INFINITY, 1)], 9.0);
        page.distribution("sealpost_store_commit_duration_seconds", commits);
        page.whole("sealpost_build_info", &["1.2.3"], 1);
        page
    }

    #[test]
    fn prometheus_reads_the_text() {
        let text = page().write(MetricsFormat::Text);
        for line in [
            "# TYPE sealpost_received_messages_total counter",
            "sealpost_received_messages_total{tls=\"TLSv1.3\"} 7",
            "# TYPE sealpost_policy_entries gauge",
            "sealpost_policy_entries 3",
            "sealpost_certificate_expiry_timestamp_seconds{file=\"a \\\"quoted\\\\ file\\\"\\n\"} 1.5",
            "sealpost_store_commit_duration_seconds_bucket{le=\"1\"} 3",
            "sealpost_store_commit_duration_seconds_bucket{le=\"+Inf\"} 4",
            "sealpost_store_commit_duration_seconds_sum 9.0",
            "sealpost_store_commit_duration_seconds_count 4",
            "sealpost_build_info{version=\"1.2.3\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn openmetrics_has_its_own_form() {
        let text = page().write(MetricsFormat::OpenMetrics);
        for line in [
            "# TYPE sealpost_received_messages counter",
            "sealpost_received_messages_total{tls=\"TLSv1.3\"} 7",
            "sealpost_certificate_expiry_timestamp_seconds{file=\"a \\\"quoted\\\\ file\\\"\\n\"} 1.5",
            "sealpost_build_info{version=\"1.2.3\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
