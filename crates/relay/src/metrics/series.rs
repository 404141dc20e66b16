//! Every series that there is.

/// One series of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Series {
    /// Its name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: SeriesKind,
    /// Its labels. What they say is bounded: nothing of it comes from outside.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// What kind of number a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeriesKind {
    /// It only grows, from the start on.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How often a number was how large.
    Histogram,
    /// 1, and what its labels say.
    Info,
}

impl SeriesKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

impl Series {
    /// Its name without what its kind adds: the encoder adds it.
    pub(super) fn base(&self) -> &'static str {
        let suffix = match self.kind {
            SeriesKind::Counter => "_total",
            SeriesKind::Info => "_info",
            SeriesKind::Gauge | SeriesKind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Series {
    Series { name, kind: SeriesKind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Series {
    Series { name, kind: SeriesKind::Gauge, labels, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Series {
    Series { name, kind: SeriesKind::Histogram, labels: &[], help }
}

/// Every series that there is, in the order in which they are given.
pub const SERIES: &[Series] = &[
    counter("sealpost_received_messages_total", &["tls"], "Messages accepted, by the TLS that they came over."),
    counter("sealpost_received_bytes_total", &[], "Octets of the messages accepted."),
    counter("sealpost_refusals_total", &["reason"], "Times that a client was told no: a connection, a sender, a recipient or a message."),
    counter("sealpost_logins_total", &["result"], "Logins by AUTH."),
    gauge("sealpost_connections", &["hop", "state"], "Open connections; idle ones wait in the pool for the next message."),
    counter("sealpost_connections_opened_total", &["hop"], "Connections that clients opened, and connections that were opened to hosts."),
    counter("sealpost_connections_reused_total", &[], "Times that a connection of the pool served a further message."),
    counter("sealpost_tls_handshakes_total", &["hop", "version", "group", "session"], "TLS handshakes that came about."),
    counter("sealpost_tls_handshake_failures_total", &["hop", "reason"], "TLS handshakes that did not."),
    counter(
        "sealpost_tls_verdicts_total",
        &["hop", "verdict"],
        "Certificates that were shown, by what is most wrong with them, demanded or not.",
    ),
    counter(
        "sealpost_tls_downgrades_total",
        &["hop", "reason"],
        "Recipients whose mail travelled in clear though TLS would have been used, by why there was none.",
    ),
    counter("sealpost_delivery_attempts_total", &["level"], "Attempts to deliver; recipients that travel together are one."),
    counter(
        "sealpost_delivery_outcomes_total",
        &["level", "outcome", "reason"],
        "What became of recipients, one for each recipient and attempt.",
    ),
    counter("sealpost_host_failures_total", &["reason"], "Hosts that could not be used, one for each time that they were tried."),
    gauge("sealpost_left_alone", &["what"], "What failed a short while ago, and is not tried before its time."),
    gauge("sealpost_mta_sts_policies", &["mode"], "MTA-STS policies of recipient domains that are kept."),
    gauge("sealpost_mta_sts_policies_failing", &[], "Those of them of which no newer one could be had when it was last tried."),
    gauge("sealpost_mta_sts_cache_bytes", &[], "Memory that they take, about."),
    counter("sealpost_mta_sts_fetches_total", &["result"], "Looks for an MTA-STS policy that was not kept already, by what came of them."),
    counter(
        "sealpost_tlsrpt_reports_total",
        &["result"],
        "Reports about TLS, one for each place that they go to and each time that it was tried.",
    ),
    gauge("sealpost_tlsrpt_reports_waiting", &[], "Reports about TLS that wait for their time, or to be tried again."),
    gauge("sealpost_queue_entries", &["state"], "Messages in the queue, one for each destination of a message."),
    gauge("sealpost_queue_leased_entries", &[], "Messages of the queue that are being tried or wait for a free connection."),
    gauge("sealpost_queue_size_bytes", &[], "Octets of the messages in the queue."),
    gauge("sealpost_queue_oldest_age_seconds", &[], "Age of the oldest message in the queue; 0 if it is empty."),
    gauge("sealpost_store_poisoned", &[], "1 after a failed write or sync: nothing is taken before a restart."),
    histogram("sealpost_store_commit_duration_seconds", "From the begin of a transaction of the queue until it was durable."),
    histogram("sealpost_store_commit_jobs", "Changes that one transaction of the queue wrote."),
    gauge("sealpost_disk_free_bytes", &[], "Free space on the disk of the queue."),
    gauge("sealpost_disk_reserve_bytes", &[], "Free space that new mail does not fill."),
    counter("sealpost_history_dropped_total", &[], "Events that could not be written to the history."),
    gauge("sealpost_policy_entries", &[], "Entries in the policy, those of included lists among them."),
    gauge("sealpost_policy_generation", &[], "How often the policy was replaced since the start."),
    counter("sealpost_policy_reloads_total", &["result"], "Times that the policy's file was read again, or edited."),
    gauge("sealpost_policy_last_reload_successful", &[], "1 if the last of these succeeded, or none was made."),
    gauge("sealpost_policy_last_reload_timestamp_seconds", &[], "When the policy in force was read."),
    gauge("sealpost_certificate_expiry_timestamp_seconds", &["file"], "End of a certificate of the relay's own, as it is shown now."),
    gauge(
        "sealpost_client_certificate_expiry_timestamp_seconds",
        &["file"],
        "End of a certificate that is shown to servers, by sealpost.toml or by the policy.",
    ),
    gauge("sealpost_dnssec_available", &[], "1 if answers are validated, so that DANE is used where it is published."),
    gauge("sealpost_resolver_up", &[], "1 if the name servers answer."),
    gauge("sealpost_ready", &["check"], "1 if a check of /readyz is met."),
    Series { name: "sealpost_build_info", kind: SeriesKind::Info, labels: &["version"], help: "The version of the program." },
    gauge("sealpost_start_time_seconds", &[], "When the relay started."),
    counter("process_cpu_seconds_total", &[], "Processor time of the process."),
    gauge("process_resident_memory_bytes", &[], "Memory of the process."),
    gauge("process_threads", &[], "Threads of the process."),
    gauge("process_open_fds", &[], "Open files and sockets of the process."),
    gauge("process_max_fds", &[], "How many files and sockets it may open."),
    gauge("process_start_time_seconds", &[], "When the process started."),
];
