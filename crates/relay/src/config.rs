//! The relay's own file, `sealpost.toml`, read and checked.
//!
//! Reading never touches anything but the text: relative paths stay relative to the folder that the caller names.

mod document;
mod problem;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use sealpost_cipher::CipherChoice;
use sealpost_report::HistorySettings;
use sealpost_types::{CipherSet, Domain, KexFloor, Mailbox, NextHop, Octets, Reception, RetrySchedule, TlsVersion};

pub(crate) use problem::Problems;
pub use problem::{ConfigError, ConfigProblem};

/// Everything that `sealpost.toml` says, with the defaults filled in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The relay's own name: in the greeting, in EHLO, in Received fields and in notifications.
    pub hostname: Domain,
    /// Where everything lies that must survive a restart.
    pub data_dir: PathBuf,
    /// The policy file; none means the built-in policy, opportunistic on both hops (B1).
    pub policy: Option<PathBuf>,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// The relay's own certificate, and which others it trusts.
    pub tls: Tls,
    /// Who may send through the relay.
    pub rights: Rights,
    /// Who may log in.
    pub auth: Auth,
    /// Next hops that are configured instead of looked up.
    pub routes: Routes,
    /// The retry queue.
    pub queue: Queue,
    /// Who answers questions to the DNS, and who says what is proven.
    pub dns: Dns,
    /// Whether the MTA-STS policies of recipient domains count.
    pub mta_sts: MtaSts,
    /// What one client, and all of them together, may take up.
    pub limits: Limits,
    /// What the deliver hop may take up.
    pub delivery: Delivery,
    /// Where the relay is managed.
    pub admin: Admin,
    /// Where a monitoring system asks.
    pub metrics: Metrics,
    /// How long the history is kept, and where else it goes.
    pub history: HistorySettings,
    /// What the domains that mail goes to are told of TLS (RFC 8460); none means nothing, and nothing is counted.
    pub tls_reports: Option<TlsReports>,
    /// What the program that runs the relay gives up.
    pub process: Process,
}

/// What the program that runs the relay gives up. A relay that is embedded in another one leaves that to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Whether the process keeps to the folders that its files name.
    pub landlock: Landlock,
}

/// Whether a process keeps to the folders that its files name, by Landlock of Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Landlock {
    /// It does not start where that cannot be had.
    On,
    /// As far as the kernel can.
    #[default]
    BestEffort,
    /// It does not.
    Off,
}

/// One address where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// What it does about TLS.
    pub tls: ListenerTls,
    /// Proxies: connections from here must begin with a PROXY header, which says who the client is.
    pub proxies: Vec<IpNet>,
    /// Whether clients are asked for a certificate. None has to have one.
    pub client_certificates: bool,
}

/// What a listener does about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenerTls {
    /// STARTTLS is not offered.
    None,
    /// STARTTLS is offered.
    StartTls,
    /// The connection starts with a handshake (RFC 8314).
    Implicit,
    /// STARTTLS is offered, and MAIL is refused with 530 before it.
    Require,
}

/// The relay's own certificate, and which others it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// PEM files with the certificate chain and its private key, for clients that ask for no other name; none means that one is made at
    /// first start.
    pub identity: Option<Identity>,
    /// Further certificates, shown to clients that ask for a name in them.
    pub further_identities: Vec<Identity>,
    /// How long before its end a certificate is warned of.
    pub expiry_warning: Duration,
    /// The lowest version on the receive hop.
    pub min_version: TlsVersion,
    /// The weakest key exchange on the receive hop.
    pub min_group: KexFloor,
    /// The cipher suites on the receive hop; none means all.
    pub ciphers: Option<CipherSet>,
    /// What `ciphers` leaves, and what it names in vain; none where it is not written.
    pub cipher_choice: Option<CipherChoice>,
    /// A PEM bundle of trust anchors; none means those of the system.
    pub trust_anchors: Option<PathBuf>,
    /// A file of revocation lists, for servers' and clients' certificates; none means that nothing is revoked.
    pub revocation_lists: Option<PathBuf>,
    /// A PEM bundle of trust anchors for clients' certificates; none means those that servers' are held against.
    pub client_anchors: Option<PathBuf>,
}

/// The two PEM files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The chain, the relay's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub private_key: PathBuf,
}

/// Who may send through the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rights {
    /// Clients that may send anywhere; everybody else only to hosted domains.
    pub trusted_networks: Vec<IpNet>,
    /// Who gets the mail for `<Postmaster>` without a domain (RFC 5321 section 4.5.1).
    pub postmaster: Option<Mailbox>,
    /// Whose senders are told of success, where they ask and the next server does not report.
    pub success_notices: SuccessNotices,
}

/// Whose senders are told that a server without DSN took their mail (`NOTIFY=SUCCESS`, RFC 3461 section 5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SuccessNotices {
    /// Those of clients that may send anywhere. A stranger's sender may be anybody, who would be told of mail that it never sent.
    #[default]
    Known,
    /// Everybody who asks.
    All,
    /// Nobody.
    None,
}

/// Who may log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Auth {
    /// The file of names and hashes that [`Users`](crate::Users) reads; none means that AUTH is not offered.
    pub users: Option<PathBuf>,
}

/// Next hops that are configured instead of looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    exact: std::collections::HashMap<Domain, NextHop>,
    below: std::collections::HashMap<Domain, NextHop>,
    any: Option<NextHop>,
}

/// The retry queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queue {
    /// The waits between attempts, where the policy says nothing.
    pub retry: RetrySchedule,
    /// The same after a failure of TLS.
    pub retry_tls: RetrySchedule,
    /// After how long a sender is told that mail is late; none means never.
    pub delay_warning: Option<Duration>,
    /// Free space that is never filled with new mail.
    pub reserve: Octets,
}

/// Who answers questions to the DNS, and who says what is proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dns {
    /// Name servers; empty means those of the system.
    pub servers: Vec<SocketAddr>,
    /// Who says what is proven by DNSSEC.
    pub dnssec: DnssecMode,
    /// A file of DNSKEY records that [`DnssecMode::Validate`] starts from; none means the root of the Internet.
    pub trust_anchor: Option<PathBuf>,
}

/// Whether the MTA-STS policies of recipient domains count.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MtaSts {
    /// They do.
    pub enabled: bool,
    /// Fetching one.
    pub timeout: Duration,
}

/// Who says what of an answer is proven by DNSSEC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnssecMode {
    /// The relay, which validates what the name servers hand on.
    #[default]
    Validate,
    /// The name servers, by the AD bit of their answers.
    TrustAd,
    /// Nobody: DANE is not used.
    Off,
}

/// What one client, and all of them together, may take up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets in a message.
    pub message_size: Octets,
    /// Recipients in a transaction.
    pub recipients: usize,
    /// Connections in all, whichever listener they came by.
    pub connections: usize,
    /// Connections from one address outside `trusted_networks`.
    pub connections_per_address: usize,
    /// Without a command or a piece of a body.
    pub idle: Duration,
    /// For one session in all.
    pub session: Duration,
    /// Received fields in a message before it counts as a loop (RFC 5321 section 6.3).
    pub hops: usize,
}

/// What the deliver hop may take up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Connections to one destination.
    pub connections_per_destination: usize,
    /// Connections in all.
    pub connections: usize,
    /// Connecting to one address.
    pub connect_timeout: Duration,
    /// The certificate that is shown to servers that ask for one, where the policy names none; none means that none is shown.
    pub client_identity: Option<Identity>,
}

/// Where the relay is managed: the command line, and programs that speak HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admin {
    /// A unix socket, for those who may open it; none switches it off.
    pub socket: Option<PathBuf>,
    /// An address for HTTP. Without a `token` it is on loopback, and only tells.
    pub address: Option<SocketAddr>,
    /// A file with the token that HTTP clients have to show.
    pub token: Option<PathBuf>,
    /// Connections at a time, of the socket and of the address each.
    pub connections: usize,
    /// Without a piece of a request, or without taking a piece of the answer.
    pub idle: Duration,
}

/// Where a monitoring system asks for the numbers of the relay, and whether it can take mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// An address for HTTP; none switches it off. Whoever reaches it may ask: nothing there names a sender, a recipient or a domain.
    pub address: Option<SocketAddr>,
}

/// What the domains that mail goes to are told of TLS (RFC 8460).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsReports {
    /// Who reports.
    pub organization: String,
    /// Whom to ask.
    pub contact: String,
    /// Who sends reports by mail.
    pub from: Mailbox,
    /// A PEM file with the private key that signs them; none means that none go by mail.
    pub dkim_key: Option<PathBuf>,
    /// The domain that signs.
    pub dkim_domain: Domain,
    /// Which of its keys.
    pub dkim_selector: Domain,
    /// Over how long after the end of a day its reports are spread.
    pub delay: Duration,
}

impl TlsReports {
    /// Reports in the name of this host, by HTTPS alone.
    ///
    /// # Errors
    /// [`MailboxError`](sealpost_types::MailboxError): the name is too long for a mailbox there.
    pub fn of_host(hostname: &Domain) -> Result<Self, sealpost_types::MailboxError> {
        Ok(Self {
            organization: hostname.to_string(),
            contact: format!("postmaster@{hostname}"),
            from: Mailbox::parse(&format!("tlsrpt@{hostname}"))?,
            dkim_key: None,
            dkim_domain: hostname.clone(),
            dkim_selector: Domain::parse(SELECTOR)?,
            delay: Duration::from_secs(4 * 3600),
        })
    }
}

impl Config {
    /// What `text`, the content of the file `name`, says; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem that was found, each with its line, its column, and what would be right.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Self, ConfigError> {
        document::read(name, text, folder)
    }

    /// The defaults, for a relay of this name that keeps its data there.
    #[must_use]
    pub fn new(hostname: Domain, data_dir: PathBuf) -> Self {
        let admin = Admin { socket: Some(data_dir.join(ADMIN_SOCKET)), ..Admin::default() };
        Self {
            hostname,
            data_dir,
            policy: None,
            listeners: Vec::new(),
            tls: Tls::default(),
            rights: Rights::default(),
            auth: Auth::default(),
            routes: Routes::default(),
            queue: Queue::default(),
            dns: Dns::default(),
            mta_sts: MtaSts::default(),
            limits: Limits::default(),
            delivery: Delivery::default(),
            admin,
            metrics: Metrics::default(),
            history: history(),
            tls_reports: None,
            process: Process::default(),
        }
    }
}

/// Ninety days, and not more than 10 GiB.
fn history() -> HistorySettings {
    let mut history = HistorySettings::default();
    history.keep = Duration::from_secs(90 * 24 * 3600);
    history.max_size = Octets(10 << 30);
    history
}

impl Listener {
    /// A listener with an address and TLS, and everything else at its default.
    #[must_use]
    pub fn new(address: SocketAddr, tls: ListenerTls) -> Self {
        Self { address, tls, proxies: Vec::new(), client_certificates: false }
    }

    /// Whether connections from this address must begin with a PROXY header.
    #[must_use]
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        contain(&self.proxies, peer)
    }
}

impl Tls {
    /// The certificates that are configured, the one for all other names first.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.identity.iter().chain(&self.further_identities)
    }
}

impl Identity {
    /// The identity that lies in these files.
    #[must_use]
    pub fn new(certificate: PathBuf, private_key: PathBuf) -> Self {
        Self { certificate, private_key }
    }
}

impl Rights {
    /// Whether this client may send anywhere.
    #[must_use]
    pub fn is_trusted(&self, client: IpAddr) -> bool {
        contain(&self.trusted_networks, client)
    }
}

impl SuccessNotices {
    /// Whether the sender of a message that came in so is told.
    #[must_use]
    pub fn covers(self, reception: &Reception) -> bool {
        match self {
            Self::Known => reception.may_relay,
            Self::All => true,
            Self::None => false,
        }
    }
}

fn contain(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

impl Routes {
    /// Sends mail for what `pattern` names (`example.org`, `*.example.org`, `*`) to `next_hop`.
    ///
    /// # Errors
    /// [`sealpost_types::DomainError`] when the pattern is none of the three.
    pub fn insert(&mut self, pattern: &str, next_hop: NextHop) -> Result<(), sealpost_types::DomainError> {
        if pattern == "*" {
            self.any = Some(next_hop);
        } else if let Some(parent) = pattern.strip_prefix("*.") {
            self.below.insert(Domain::parse(parent)?, next_hop);
        } else {
            self.exact.insert(Domain::parse(pattern)?, next_hop);
        }
        Ok(())
    }

    /// Every configured next hop.
    pub(crate) fn next_hops(&self) -> impl Iterator<Item = &NextHop> {
        self.exact.values().chain(self.below.values()).chain(&self.any)
    }

    /// Whether there is one for domains without one of their own.
    pub(crate) fn has_one_for_all(&self) -> bool {
        self.any.is_some()
    }

    /// The configured next hop for a domain: its own, else the one of the longest suffix, else that of `*`.
    #[must_use]
    pub fn find(&self, domain: &Domain) -> Option<&NextHop> {
        self.exact.get(domain).or_else(|| domain.suffixes().skip(1).find_map(|parent| self.below.get(parent))).or(self.any.as_ref())
    }
}

/// A certificate made at first start, TLS 1.2 and later with all that there is, the system's trust anchors.
impl Default for Tls {
    fn default() -> Self {
        Self {
            identity: None,
            further_identities: Vec::new(),
            expiry_warning: Duration::from_secs(14 * 24 * 3600),
            min_version: TlsVersion::Tls1_2,
            min_group: KexFloor::Any,
            ciphers: None,
            cipher_choice: None,
            trust_anchors: None,
            client_anchors: None,
            revocation_lists: None,
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            retry: RetrySchedule::default(),
            retry_tls: RetrySchedule::default(),
            delay_warning: Some(Duration::from_secs(4 * 3600)),
            reserve: Octets(64 << 20),
        }
    }
}

/// The time is that of RFC 8461 section 3.3.
impl Default for MtaSts {
    fn default() -> Self {
        Self { enabled: true, timeout: Duration::from_secs(60) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: Octets(64 << 20),
            recipients: 1000,
            connections: 2000,
            connections_per_address: 50,
            idle: Duration::from_secs(300),
            session: Duration::from_secs(3600),
            hops: 50,
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self { connections_per_destination: 20, connections: 500, connect_timeout: Duration::from_secs(30), client_identity: None }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { socket: None, address: None, token: None, connections: 64, idle: Duration::from_secs(30) }
    }
}

/// The selector of the key that signs reports about TLS.
const SELECTOR: &str = "tlsrpt";

/// The socket's name in `data_dir`.
const ADMIN_SOCKET: &str = "admin.sock";
