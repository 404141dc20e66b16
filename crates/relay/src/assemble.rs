//! The usual parts of a relay, opened as its configuration says.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use sealpost_cert::{RevocationLists, TrustAnchors};
use sealpost_discovery::{Dnssec, DnssecAnchors, HickoryResolver, StsCache, Validation};
use sealpost_policy::Policy;
use sealpost_queue::{EmbeddedSpool, Settings};
use sealpost_report::History;
use sealpost_transport::{RustlsBackend, RustlsSettings, ServerIdentity, WallClock, system_anchors};

use crate::builder::RelayBuilder;
use crate::certificates::{Certificates, Held, read_all};
use crate::config::{Config, DnssecMode};
use crate::error::StartError;
use crate::places::explained;
use crate::policy_file::{NamedFiles, PolicyFile, PolicyFileError};
use crate::revocation;
use crate::secret_files::open_secrets;
use crate::tlsrpt::Reports;
use crate::trust::Trust;
use crate::users::Users;

/// Reads the relay's own file.
///
/// # Errors
/// [`StartError::Unreadable`] and [`StartError::Config`].
pub fn read_config(path: &Path) -> Result<Config, StartError> {
    let text = read("the configuration", path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    Ok(Config::parse(&path.display().to_string(), &text, folder)?)
}

/// Reads the policy that a configuration names, with the lists that it includes, or takes the built-in one.
///
/// # Errors
/// [`StartError::Policy`].
pub fn read_policy(config: &Config) -> Result<Policy, StartError> {
    Ok(open_policy(config)?.1)
}

pub(crate) fn open_policy(config: &Config) -> Result<(Option<PolicyFile>, Policy), PolicyFileError> {
    let Some(path) = &config.policy else { return Ok((None, Policy::builtin())) };
    let (file, policy) = PolicyFile::open(path)?;
    if let (DnssecMode::Off, Some(place)) = (config.dns.dnssec, policy.needs_dnssec()) {
        PolicyFileError::unless_proven(place, &Validation::Off)?;
    }
    Ok((Some(file), policy))
}

/// Reads the trust anchors that a configuration names, or the system's.
///
/// A system without any is no error: no chain is trusted then, and only mail that needs one has to wait. The log says so.
///
/// # Errors
/// For a file of one's own [`StartError::Unreadable`], [`StartError::TrustAnchors`] and [`StartError::NoTrustAnchor`].
pub fn read_trust_anchors(config: &Config) -> Result<Arc<TrustAnchors>, StartError> {
    with_lists(read_own_anchors(config)?.unwrap_or_else(of_the_system), config)
}

fn read_own_anchors(config: &Config) -> Result<Option<TrustAnchors>, StartError> {
    config.tls.trust_anchors.as_deref().map(|path| read_anchors("[tls] trust_anchors", path)).transpose()
}

/// Reads the trust anchors for clients' certificates that a configuration names, or else those for servers'.
///
/// # Errors
/// As for [`read_trust_anchors`].
pub fn read_client_anchors(config: &Config) -> Result<Arc<TrustAnchors>, StartError> {
    match read_own_client_anchors(config)? {
        Some(anchors) => with_lists(anchors, config),
        None => read_trust_anchors(config),
    }
}

fn read_own_client_anchors(config: &Config) -> Result<Option<TrustAnchors>, StartError> {
    config.tls.client_anchors.as_deref().map(|path| read_anchors("[tls] client_anchors", path)).transpose()
}

/// Reads who may log in, if a configuration names a file of them.
///
/// # Errors
/// As for [`Users::open`].
pub fn read_users(config: &Config) -> Result<Option<Users>, StartError> {
    config.auth.users.as_deref().map(Users::open).transpose()
}

/// The TLS backend with the certificate and the trust anchors that a configuration names.
///
/// # Errors
/// [`StartError::Identity`], [`StartError::ClientIdentity`], [`StartError::Tls`], and those of [`read_trust_anchors`].
pub fn open_tls(config: &Config) -> Result<RustlsBackend, StartError> {
    read_shown(config)?;
    tls_with(config, read_trust_anchors(config)?, &read_all(&config.tls)?)
}

/// Reads the certificate that is shown to servers where the policy names none, if a configuration names one.
///
/// # Errors
/// [`StartError::ClientIdentity`].
pub fn read_client_identity(config: &Config) -> Result<Option<ServerIdentity>, StartError> {
    Ok(read_shown(config)?.map(|held| held.identity))
}

fn read_shown(config: &Config) -> Result<Option<Held>, StartError> {
    config.delivery.client_identity.as_ref().map(|files| Held::read(files).map_err(StartError::ClientIdentity)).transpose()
}

fn tls_with(config: &Config, anchors: Arc<TrustAnchors>, certificates: &[Held]) -> Result<RustlsBackend, StartError> {
    let mut settings = RustlsSettings::new(anchors);
    settings.min_version = config.tls.min_version;
    settings.min_group = config.tls.min_group;
    settings.ciphers.clone_from(&config.tls.ciphers);
    settings.identities = certificates.iter().map(|certificate| certificate.identity.clone()).collect();
    Ok(RustlsBackend::new(settings)?)
}

/// A relay of the usual parts: the embedded queue and the history below `data_dir`, rustls, and the name servers of the
/// configuration or of the system.
///
/// # Errors
/// What of these cannot be opened.
pub(crate) fn assemble(
    config: Config,
    policy_file: Option<PolicyFile>,
    policy: Policy,
) -> Result<RelayBuilder<EmbeddedSpool, HickoryResolver, RustlsBackend>, StartError> {
    let log = tracing::dispatcher::get_default(Clone::clone);
    let opened = thread::scope(|scope| {
        // What takes the longest goes on at the same time: the processor has the one to do, and the disk the others.
        scope.spawn(RustlsBackend::gather_randomness);
        let system = || tracing::dispatcher::with_default(&log, of_the_system);
        let system = config.tls.trust_anchors.is_none().then(|| scope.spawn(system));
        let files = Files::read(&config, policy_file.as_ref(), &policy)?;
        let stores = Stores::open(&config)?;
        let system = system.map(|reader| reader.join().unwrap_or_else(|panic| resume_unwind(panic)));
        Ok::<_, StartError>((files, stores, system))
    });
    let (files, stores, system) = opened?;
    let obeying = |anchors: TrustAnchors| Arc::new(anchors.with_revocation_lists(files.revocation_lists.clone()));
    let anchors = obeying(files.anchors.or(system).unwrap_or_default());
    let client_anchors = files.client_anchors.map_or_else(|| Arc::clone(&anchors), obeying);
    let tls = tls_with(&config, Arc::clone(&anchors), &files.certificates)?;
    let switches = (tls.anchor_switch(), tls.client_identity_switch());
    let trust = Trust::new((TrustAnchors::clone(&anchors), files.shown), files.named, switches, config.tls.expiry_warning);
    let certificates = Certificates::new(files.certificates, tls.identity_switch(), config.tls.expiry_warning);
    let builder = RelayBuilder::new(config, stores.spool, files.resolver, tls)
        .history(stores.history)
        .client_anchors(client_anchors)
        .certificates(certificates, trust)
        .reports(stores.reports);
    let builder = match stores.sts_cache {
        Some(cache) => builder.sts_cache(cache),
        None => builder,
    };
    let builder = match policy_file {
        Some(file) => builder.policy_file(file, policy),
        None => builder.policy(policy),
    };
    Ok(match files.users {
        Some(users) => builder.users(users),
        None => builder,
    })
}

/// What a relay reads before it opens anything: where one of its files is wrong, nothing has been made on the disk.
struct Files {
    /// Those of a file of one's own, not yet with the revocation lists.
    anchors: Option<TrustAnchors>,
    revocation_lists: RevocationLists,
    shown: Option<Held>,
    named: NamedFiles,
    certificates: Vec<Held>,
    /// Where clients are not judged by the anchors for servers; not yet with the revocation lists.
    client_anchors: Option<TrustAnchors>,
    users: Option<Users>,
    resolver: HickoryResolver,
}

impl Files {
    fn read(config: &Config, policy_file: Option<&PolicyFile>, policy: &Policy) -> Result<Self, StartError> {
        let files = Self {
            anchors: read_own_anchors(config)?,
            revocation_lists: revocation::read(config.tls.revocation_lists.as_deref())?,
            shown: read_shown(config)?,
            named: match policy_file {
                Some(file) => NamedFiles::read(policy, file.path())?,
                None => NamedFiles::default(),
            },
            certificates: read_all(&config.tls)?,
            client_anchors: read_own_client_anchors(config)?,
            users: read_users(config)?,
            resolver: open_resolver(config)?,
        };
        for open in open_secrets(config, Some(policy)) {
            tracing::warn!("{open}");
        }
        Ok(files)
    }
}

/// What a relay writes to, below its `data_dir`.
struct Stores {
    spool: EmbeddedSpool,
    reports: Option<Reports>,
    history: History,
    sts_cache: Option<StsCache>,
}

impl Stores {
    fn open(config: &Config) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.data_dir).map_err(|source| StartError::DataDir { path: config.data_dir.clone(), source })?;
        let mut settings = Settings::default();
        settings.reserve = config.queue.reserve;
        Ok(Self {
            spool: EmbeddedSpool::open(&queue_directory(config), settings)?,
            reports: Reports::open(config)?,
            history: History::open_with(&history_directory(config), config.history.clone())?,
            sts_cache: config.mta_sts.enabled.then(|| StsCache::open(&sts_cache_file(config), WallClock::system().now())).transpose()?,
        })
    }
}

/// The name servers of a configuration, or those of the system.
///
/// # Errors
/// [`StartError::Resolver`]; for a trust anchor of one's own [`StartError::Unreadable`] and [`StartError::DnssecAnchor`].
pub(crate) fn open_resolver(config: &Config) -> Result<HickoryResolver, StartError> {
    let dnssec = match (config.dns.dnssec, &config.dns.trust_anchor) {
        (DnssecMode::Off, _) => Dnssec::Off,
        (DnssecMode::TrustAd, _) => Dnssec::TrustAd,
        (DnssecMode::Validate, None) => Dnssec::Validate(DnssecAnchors::default()),
        (DnssecMode::Validate, Some(path)) => {
            let text = read("[dns] trust_anchor", path)?;
            let anchors = DnssecAnchors::parse(&text).map_err(|source| StartError::DnssecAnchor { path: path.clone(), source })?;
            Dnssec::Validate(anchors)
        }
    };
    Ok(match config.dns.servers.as_slice() {
        [] => HickoryResolver::of_the_system(dnssec)?,
        servers => HickoryResolver::of_servers(servers, dnssec)?,
    })
}

/// Where the history of a relay lies.
#[must_use]
pub fn history_directory(config: &Config) -> std::path::PathBuf {
    config.data_dir.join(HISTORY)
}

/// Where the MTA-STS policies of recipient domains are kept.
pub(crate) fn sts_cache_file(config: &Config) -> std::path::PathBuf {
    config.data_dir.join(MTA_STS).join(STS_CACHE)
}

/// The anchors with what `[tls] revocation_lists` takes back.
fn with_lists(anchors: TrustAnchors, config: &Config) -> Result<Arc<TrustAnchors>, StartError> {
    let lists = revocation::read(config.tls.revocation_lists.as_deref())?;
    Ok(Arc::new(anchors.with_revocation_lists(lists)))
}

pub(crate) fn read_anchors(what: &'static str, path: &Path) -> Result<TrustAnchors, StartError> {
    let unreadable = |source| StartError::Unreadable { what, path: path.to_owned(), source: explained(source) };
    let file = std::fs::read(path).map_err(unreadable)?;
    let anchors = TrustAnchors::from_pem(&file).map_err(|source| StartError::TrustAnchors { what, path: path.to_owned(), source })?;
    if let (true, Some(problem)) = (anchors.is_empty(), anchors.problems().first()) {
        return Err(StartError::NoTrustAnchor { what, path: path.to_owned(), source: problem.clone() });
    }
    for problem in anchors.problems() {
        tracing::warn!(file = %path.display(), "a trust anchor is left out: {problem}");
    }
    Ok(anchors)
}

/// Where the queue of a relay lies.
#[must_use]
pub fn queue_directory(config: &Config) -> std::path::PathBuf {
    config.data_dir.join(QUEUE)
}

fn of_the_system() -> TrustAnchors {
    let found = system_anchors();
    if !found.problems.is_empty() {
        let first = found.problems.get(..TOLD).unwrap_or(&found.problems).join("; ");
        tracing::warn!(problems = found.problems.len(), "not all of the system's trust anchors can be read: {first}");
    }
    if found.anchors.is_empty() {
        tracing::warn!(
            "the system has no trust anchors, so no certificate can be verified: install the package ca-certificates, \
             or name a file in [tls] trust_anchors"
        );
    }
    found.anchors
}

pub(crate) fn read(what: &'static str, path: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|source| StartError::Unreadable { what, path: path.to_owned(), source: explained(source) })
}

/// How many problems of the system's trust anchors the log names.
const TOLD: usize = 3;

const QUEUE: &str = "queue";
const MTA_STS: &str = "mta-sts";
const STS_CACHE: &str = "policies.db";
const HISTORY: &str = "history";
