//! The shape of the file, and its conversion into a [`Config`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use sealpost_policy::as_ipv4;
use sealpost_report::StreamTarget;
use sealpost_types::{Domain, Mailbox, NextHop, Octets, RetrySchedule, parse_span};
use serde::Deserialize;
use toml::Spanned;

use super::problem::Problems;
use super::tls::TlsTable;
use super::{Config, ConfigError, DnssecMode, Identity, Landlock, Listener, ListenerTls, SuccessNotices, TlsReports};

pub(super) type Text = Spanned<String>;
type Number = Spanned<u64>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    hostname: Text,
    data_dir: Option<PathBuf>,
    policy: Option<PathBuf>,
    #[serde(default)]
    listener: Vec<ListenerTable>,
    #[serde(default)]
    tls: TlsTable,
    #[serde(default)]
    relay: RelayTable,
    #[serde(default)]
    auth: AuthTable,
    #[serde(default)]
    routes: BTreeMap<Text, Text>,
    #[serde(default)]
    queue: QueueTable,
    #[serde(default)]
    dns: DnsTable,
    #[serde(default)]
    mta_sts: MtaStsTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    delivery: DeliveryTable,
    #[serde(default)]
    admin: AdminTable,
    #[serde(default)]
    metrics: MetricsTable,
    #[serde(default)]
    history: HistoryTable,
    #[serde(default)]
    tlsrpt: TlsrptTable,
    #[serde(default)]
    process: ProcessTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerTable {
    address: Text,
    tls: Option<Text>,
    #[serde(default)]
    proxy: Vec<Text>,
    client_certificates: Option<Spanned<bool>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayTable {
    #[serde(default)]
    trusted_networks: Vec<Text>,
    postmaster: Option<Text>,
    success_notices: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthTable {
    users: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueTable {
    store: Option<Text>,
    retry: Option<Spanned<Vec<Text>>>,
    retry_tls: Option<Spanned<Vec<Text>>>,
    delay_warning: Option<Text>,
    reserve: Option<Number>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DnsTable {
    #[serde(default)]
    servers: Vec<Text>,
    dnssec: Option<Text>,
    trust_anchor: Option<Spanned<PathBuf>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MtaStsTable {
    enabled: Option<bool>,
    timeout: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    message_size: Option<Number>,
    recipients: Option<Number>,
    connections: Option<Number>,
    connections_per_address: Option<Number>,
    idle: Option<Text>,
    session: Option<Text>,
    hops: Option<Number>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeliveryTable {
    connections: Option<Number>,
    connections_per_destination: Option<Number>,
    connect_timeout: Option<Text>,
    client_certificate: Option<Text>,
    client_key: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminTable {
    socket: Option<Text>,
    address: Option<Text>,
    token: Option<PathBuf>,
    connections: Option<Number>,
    idle: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsTable {
    address: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryTable {
    keep: Option<Text>,
    max_size: Option<Number>,
    stream: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsrptTable {
    #[serde(default)]
    enabled: bool,
    organization: Option<Text>,
    contact: Option<Text>,
    from: Option<Text>,
    dkim_key: Option<PathBuf>,
    dkim_domain: Option<Text>,
    dkim_selector: Option<Text>,
    delay: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProcessTable {
    landlock: Option<Text>,
}

pub(super) fn read(name: &str, text: &str, folder: &Path) -> Result<Config, ConfigError> {
    let mut problems = Problems::new(name, text);
    let document: Document = match toml::from_str(text) {
        Ok(document) => document,
        Err(error) => {
            problems.add(error.span().unwrap_or(0..0), error.message().trim_end().replace('\n', "; "));
            return Err(problems.into_error().unwrap_or(ConfigError { problems: Vec::new() }));
        }
    };
    let config = Reader { problems: &mut problems, folder }.config(document);
    match (config, problems.into_error()) {
        (Some(config), None) => Ok(config),
        (_, error) => Err(error.unwrap_or(ConfigError { problems: Vec::new() })),
    }
}

pub(super) struct Reader<'a, 'b> {
    pub(super) problems: &'a mut Problems<'b>,
    pub(super) folder: &'a Path,
}

impl Reader<'_, '_> {
    fn config(&mut self, document: Document) -> Option<Config> {
        let hostname: Option<Domain> = self.parse(&document.hostname, "the relay's own full name is meant");
        // The rest is read even without a hostname, so that all problems show at once.
        let placeholder = || Domain::parse("localhost").ok();
        let found = hostname.is_some();
        let data_dir = document.data_dir.unwrap_or_else(|| PathBuf::from(DATA_DIR));
        let mut config = Config::new(hostname.or_else(placeholder)?, self.folder.join(data_dir));
        config.policy = document.policy.map(|path| self.folder.join(path));
        self.listeners(document.listener, &mut config);
        self.tls(document.tls, &mut config);
        self.rights(document.relay, &mut config);
        config.auth.users = document.auth.users.map(|path| self.folder.join(path));
        self.routes(document.routes, &mut config);
        self.queue(document.queue, &mut config);
        self.dns(document.dns, &mut config);
        self.mta_sts(document.mta_sts, &mut config);
        self.limits(document.limits, &mut config);
        self.delivery(document.delivery, &mut config);
        self.admin(document.admin, &mut config);
        self.metrics(&document.metrics, &mut config);
        self.history(document.history, &mut config);
        self.tlsrpt(document.tlsrpt, &mut config);
        self.process(&document.process, &mut config);
        found.then_some(config)
    }

    fn listeners(&mut self, tables: Vec<ListenerTable>, config: &mut Config) {
        if tables.is_empty() {
            config.listeners = DEFAULT_LISTENERS.map(|address| Listener::new(SocketAddr::new(address, 25), ListenerTls::StartTls)).to_vec();
        }
        for table in tables {
            let address: Option<SocketAddr> =
                self.parse(&table.address, "an address with its port is meant: \"0.0.0.0:25\" or \"[::]:25\"");
            let tls = match &table.tls {
                None => Some(ListenerTls::StartTls),
                Some(word) => self.word(
                    word,
                    &[
                        ("none", ListenerTls::None),
                        ("starttls", ListenerTls::StartTls),
                        ("implicit", ListenerTls::Implicit),
                        ("require", ListenerTls::Require),
                    ],
                ),
            };
            let (Some(address), Some(tls)) = (address, tls) else { continue };
            if config.listeners.iter().any(|other| other.address == address && address.port() != 0) {
                self.problems.add(table.address.span(), format!("a second listener on {address}; one of them must go"));
            }
            let mut listener = Listener::new(address, tls);
            listener.proxies = self.networks(&table.proxy);
            listener.client_certificates = table.client_certificates.as_ref().is_some_and(|asked| *asked.get_ref());
            if let (Some(asked), true, ListenerTls::None) = (&table.client_certificates, listener.client_certificates, tls) {
                self.problems.add(asked.span(), "client certificates come with TLS, and this listener has none; false is meant".to_owned());
            }
            config.listeners.push(listener);
        }
    }

    fn rights(&mut self, table: RelayTable, config: &mut Config) {
        config.rights.trusted_networks = self.networks(&table.trusted_networks);
        let words = [("known", SuccessNotices::Known), ("all", SuccessNotices::All), ("none", SuccessNotices::None)];
        config.rights.success_notices = table.success_notices.and_then(|word| self.word(&word, &words)).unwrap_or_default();
        config.rights.postmaster = table.postmaster.and_then(|text| self.parse::<Mailbox>(&text, "a mailbox is meant"));
    }

    fn routes(&mut self, table: BTreeMap<Text, Text>, config: &mut Config) {
        for (pattern, target) in &table {
            let Some(next_hop) = self.parse::<NextHop>(target, "a host with its port is meant: \"mail.example:25\"") else { continue };
            let inserted = config.routes.insert(pattern.get_ref(), next_hop);
            self.problems.check(pattern.span(), inserted, "\"example.org\", \"*.example.org\" or \"*\" is meant");
        }
    }

    fn queue(&mut self, table: QueueTable, config: &mut Config) {
        if let Some(store) = &table.store {
            self.word(store, &[("embedded", ())]);
        }
        if let Some(schedule) = self.schedule("retry", table.retry) {
            config.queue.retry = schedule;
        }
        config.queue.retry_tls = self.schedule("retry_tls", table.retry_tls).unwrap_or_else(|| config.queue.retry.clone());
        if let Some(text) = table.delay_warning {
            let is_off = text.get_ref() == NEVER;
            config.queue.delay_warning = if is_off { None } else { Some(self.span_or(Some(text), Duration::ZERO)) };
        }
        config.queue.reserve = self.octets(table.reserve, config.queue.reserve, 0);
    }

    fn schedule(&mut self, key: &str, waits: Option<Spanned<Vec<Text>>>) -> Option<RetrySchedule> {
        let texts = waits?;
        let waits: Vec<Duration> = texts.get_ref().iter().filter_map(|text| self.span(text)).collect();
        let complete = waits.len() == texts.get_ref().len();
        let schedule = RetrySchedule::new(waits);
        if schedule.is_none() && complete {
            let message = format!("{key} needs at least one wait, and none of 0; [\"1m\", \"5m\", \"1h\"] is meant");
            self.problems.add(texts.span(), message);
        }
        schedule
    }

    fn dns(&mut self, table: DnsTable, config: &mut Config) {
        config.dns.servers = table.servers.iter().filter_map(|text| self.name_server(text)).collect();
        let words = [("validate", DnssecMode::Validate), ("trust-ad", DnssecMode::TrustAd), ("off", DnssecMode::Off)];
        config.dns.dnssec = table.dnssec.and_then(|word| self.word(&word, &words)).unwrap_or_default();
        if let (Some(path), DnssecMode::TrustAd | DnssecMode::Off) = (&table.trust_anchor, config.dns.dnssec) {
            self.problems.add(path.span(), "trust_anchor is read with dnssec = \"validate\" only".to_owned());
        }
        config.dns.trust_anchor = table.trust_anchor.map(|path| self.folder.join(path.into_inner()));
    }

    fn mta_sts(&mut self, table: MtaStsTable, config: &mut Config) {
        let mta_sts = &mut config.mta_sts;
        mta_sts.enabled = table.enabled.unwrap_or(mta_sts.enabled);
        mta_sts.timeout = self.span_or(table.timeout, mta_sts.timeout);
    }

    fn limits(&mut self, table: LimitsTable, config: &mut Config) {
        let limits = &mut config.limits;
        limits.message_size = self.octets(table.message_size, limits.message_size, 64 << 10);
        limits.recipients = self.count(table.recipients, limits.recipients, 100);
        limits.connections = self.count(table.connections, limits.connections, 1);
        limits.connections_per_address = self.count(table.connections_per_address, limits.connections_per_address, 1);
        limits.idle = self.span_or(table.idle, limits.idle);
        limits.session = self.span_or(table.session, limits.session);
        limits.hops = self.count(table.hops, limits.hops, 1);
    }

    fn delivery(&mut self, table: DeliveryTable, config: &mut Config) {
        let delivery = &mut config.delivery;
        delivery.connections = self.count(table.connections, delivery.connections, 1);
        delivery.connections_per_destination = self.count(table.connections_per_destination, delivery.connections_per_destination, 1);
        delivery.connect_timeout = self.span_or(table.connect_timeout, delivery.connect_timeout);
        delivery.client_identity = self.client_identity(table.client_certificate.as_ref(), table.client_key.as_ref());
    }

    /// A certificate to show, and its key; the key may stand in the same file.
    fn client_identity(&mut self, certificate: Option<&Text>, key: Option<&Text>) -> Option<Identity> {
        for text in certificate.iter().chain(&key).filter(|text| text.get_ref().is_empty()) {
            self.problems.add(text.span(), "the file is empty; a PEM file such as \"client.pem\" is meant".to_owned());
        }
        let Some(certificate) = certificate else {
            if let Some(key) = key {
                self.problems.add(key.span(), "client_key without client_certificate; both or none are meant".to_owned());
            }
            return None;
        };
        let path = |text: &Text| self.folder.join(text.get_ref());
        Some(Identity::new(path(certificate), path(key.unwrap_or(certificate))))
    }

    fn admin(&mut self, table: AdminTable, config: &mut Config) {
        if let Some(socket) = &table.socket {
            if socket.get_ref().is_empty() {
                self.problems.add(socket.span(), "socket is empty; a path is meant, or \"none\" for no socket".to_owned());
            }
            config.admin.socket = (socket.get_ref() != NO_SOCKET).then(|| self.folder.join(socket.get_ref()));
        }
        config.admin.token = table.token.map(|path| self.folder.join(path));
        config.admin.connections = self.count(table.connections, config.admin.connections, 1);
        config.admin.idle = self.span_or(table.idle, config.admin.idle);
        let Some(text) = &table.address else { return };
        config.admin.address = self.parse(text, "an address with its port is meant: \"127.0.0.1:8025\"");
        let is_local = config.admin.address.is_none_or(|address| address.ip().is_loopback());
        if !is_local && config.admin.token.is_none() {
            let message = "everybody could manage the relay there; [admin] token = \"FILE\" is needed, or an address on loopback";
            self.problems.add(text.span(), format!("{:?}: {message}", text.get_ref()));
        }
    }

    fn process(&mut self, table: &ProcessTable, config: &mut Config) {
        let words = [("on", Landlock::On), ("best-effort", Landlock::BestEffort), ("off", Landlock::Off)];
        let found = table.landlock.as_ref().and_then(|word| self.word(word, &words));
        config.process.landlock = found.unwrap_or(config.process.landlock);
    }

    fn metrics(&mut self, table: &MetricsTable, config: &mut Config) {
        let Some(text) = &table.address else { return };
        config.metrics.address = self.parse(text, "an address with its port is meant: \"127.0.0.1:9025\"");
        let taken = config.metrics.address.filter(|address| address.port() != 0 && config.admin.address == Some(*address));
        if let Some(address) = taken {
            self.problems.add(text.span(), format!("[admin] has {address} already; another port is meant"));
        }
    }

    fn history(&mut self, table: HistoryTable, config: &mut Config) {
        let history = &mut config.history;
        if let Some(keep) = &table.keep {
            history.keep = self.span(keep).unwrap_or(history.keep);
            if history.keep < SHORTEST_HISTORY {
                let message = "mail that is tried for days would be without a past; at least \"1d\" is meant";
                self.problems.add(keep.span(), format!("{:?}: {message}", keep.get_ref()));
            }
        }
        history.max_size = self.octets(table.max_size, history.max_size, SMALLEST_HISTORY);
        let Some(stream) = &table.stream else { return };
        history.stream = match stream.get_ref().as_str() {
            "" => {
                self.problems.add(stream.span(), "stream is empty; a file, \"stdout\" or \"none\" is meant".to_owned());
                None
            }
            NO_STREAM => None,
            STANDARD_OUTPUT => Some(StreamTarget::Stdout),
            path => Some(StreamTarget::File(self.folder.join(path))),
        };
    }

    fn tlsrpt(&mut self, table: TlsrptTable, config: &mut Config) {
        let Ok(mut reports) = TlsReports::of_host(&config.hostname) else { return };
        for (text, kept) in [(table.organization, &mut reports.organization), (table.contact, &mut reports.contact)] {
            let Some(text) = text else { continue };
            if text.get_ref().trim().is_empty() {
                self.problems.add(text.span(), "it is empty; who reports, and whom to ask, is meant".to_owned());
            }
            *kept = text.into_inner();
        }
        if let Some(text) = &table.from
            && let Some(from) = self.parse::<Mailbox>(text, "the mailbox that sends reports is meant")
        {
            match from.domain() {
                Some(domain) => reports.dkim_domain = domain.clone(),
                None => self.problems.add(text.span(), "a mailbox of a domain is meant: an address cannot sign".to_owned()),
            }
            reports.from = from;
        }
        let domain = |this: &mut Self, text: Option<Text>| text.and_then(|text| this.parse::<Domain>(&text, "a domain name is meant"));
        reports.dkim_domain = domain(self, table.dkim_domain).unwrap_or(reports.dkim_domain);
        reports.dkim_selector = domain(self, table.dkim_selector).unwrap_or(reports.dkim_selector);
        reports.dkim_key = table.dkim_key.map(|path| self.folder.join(path));
        if let Some(delay) = &table.delay {
            reports.delay = self.span(delay).unwrap_or(reports.delay);
            if reports.delay > LONGEST_DELAY {
                self.problems.add(
                    delay.span(),
                    format!("{:?}: reports of a day are worth little a day later; at most \"12h\" is meant", delay.get_ref()),
                );
            }
        }
        config.tls_reports = table.enabled.then_some(reports);
    }

    pub(super) fn parse<T>(&mut self, text: &Text, right: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let parsed = text.get_ref().parse().map_err(|error| format!("{:?}: {error}", text.get_ref()));
        self.problems.check(text.span(), parsed, right)
    }

    fn networks(&mut self, texts: &[Text]) -> Vec<IpNet> {
        let right = "a network such as \"192.0.2.0/24\" or an address with /32 or /128 is meant";
        texts.iter().filter_map(|text| self.parse(text, right)).map(|network| as_ipv4(network).unwrap_or(network)).collect()
    }

    pub(super) fn word<T: Copy>(&mut self, text: &Text, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| word == text.get_ref()).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.problems.add(text.span(), format!("{:?} is not known here; {} is meant", text.get_ref(), known.join(" or ")));
        }
        found
    }

    pub(super) fn span(&mut self, text: &Text) -> Option<Duration> {
        self.problems.check(text.span(), parse_span(text.get_ref()), "")
    }

    /// A time-out of nothing would stop all mail, so it is refused.
    fn span_or(&mut self, text: Option<Text>, default: Duration) -> Duration {
        let Some(text) = text else { return default };
        let span = self.span(&text).unwrap_or(default);
        if span.is_zero() {
            self.problems.add(text.span(), "a time-out of 0 leaves no time for anything; at least \"1s\" is meant".to_owned());
        }
        span
    }

    fn count(&mut self, number: Option<Number>, default: usize, least: usize) -> usize {
        let Some(number) = number else { return default };
        let value = usize::try_from(*number.get_ref()).unwrap_or(usize::MAX);
        self.at_least(number.span(), value, least)
    }

    fn octets(&mut self, number: Option<Number>, default: Octets, least: u64) -> Octets {
        let Some(number) = number else { return default };
        Octets(self.at_least(number.span(), *number.get_ref(), least))
    }

    fn at_least<T: PartialOrd + fmt::Display>(&mut self, span: Range<usize>, value: T, least: T) -> T {
        if value < least {
            self.problems.add(span, format!("{value} is too small; at least {least} is meant"));
        }
        value
    }

    fn name_server(&mut self, text: &Text) -> Option<SocketAddr> {
        let address = text.get_ref().parse().map(|address| SocketAddr::new(address, DNS_PORT));
        let parsed = address.or_else(|_| text.get_ref().parse());
        self.problems.check(text.span(), parsed, "an address is meant, with or without a port: \"192.0.2.53\" or \"127.0.0.1:5353\"")
    }
}

/// Where data lies unless the file says otherwise.
const DATA_DIR: &str = "/var/lib/sealpost";

/// Every address of the host, IPv4 and IPv6.
const DEFAULT_LISTENERS: [std::net::IpAddr; 2] =
    [std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)];

/// The word for a warning that is never given.
const NEVER: &str = "never";

/// The word for a socket that is not there.
const NO_SOCKET: &str = "none";

/// The words for a stream that is no file.
const NO_STREAM: &str = "none";
const STANDARD_OUTPUT: &str = "stdout";

/// A history is kept at least so long, and has at least so many octets.
const SHORTEST_HISTORY: Duration = Duration::from_secs(24 * 3600);
const SMALLEST_HISTORY: u64 = 16 << 20;

/// Reports of a day are spread over no more than this.
const LONGEST_DELAY: Duration = Duration::from_secs(12 * 3600);

const DNS_PORT: u16 = 53;
