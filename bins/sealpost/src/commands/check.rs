//! `sealpost check`: reads all that a start would read, and says what is wrong.

use std::path::Path;
use std::process::ExitCode;

use sealpost_admin::AdminServer;
use sealpost_cert::{CertificateDetails, certificates_from_pem};
use sealpost_discovery::Validation;
use sealpost_policy::Policy;
use sealpost_relay::config::{Config, ListenerTls};
use sealpost_relay::policy_file::{NamedFiles, PolicyFileError};
use sealpost_relay::{
    Places, Survey, expiry_warning, open_secrets, open_tls, read_client_anchors, read_config, read_policy, read_signer, read_trust_anchors,
    read_users,
};
use sealpost_report::tlsrpt::DkimSigner;
use sealpost_types::ClientIdentity;

use super::aside::kept_aside;
use super::{Failure, in_words, now, runtime};
use crate::cli;
use crate::confine::confine;

pub(crate) fn check(options: &cli::Config) -> Result<ExitCode, Failure> {
    let config = read_config(&options.config).map_err(in_words)?;
    // Policy, certificates and users are all read, so that one run shows what is wrong with any of them.
    let (policy, no_policy) = read_policy(&config).map_or_else(|error| (None, Some(error)), |policy| (Some(policy), None));
    let no_named = config.policy.as_ref().zip(policy.as_ref()).and_then(|(file, policy)| NamedFiles::read(policy, file).err());
    let tls = open_tls(&config).err();
    // Without a file of its own it is the other anchors, and what is wrong with those is told already.
    let no_client_anchors = config.tls.client_anchors.as_ref().and_then(|_| read_client_anchors(&config).err());
    let (users, no_users) = read_users(&config).map_or_else(|error| (None, Some(error)), |users| (users, None));
    let (signer, no_signer) = match config.tls_reports.as_ref().map_or(Ok(None), read_signer) {
        Ok(signer) => (signer, None),
        Err(error) => (None, Some(error)),
    };
    let mut problems: Vec<_> = [no_policy, tls, no_client_anchors, no_users, no_signer].into_iter().flatten().map(in_words).collect();
    problems.extend(no_named.map(in_words));
    problems.extend(data_dir_problem(&config));
    problems.extend(AdminServer::check(&config.admin).err().map(in_words));
    let survey = Survey::of_relay(&config).map_err(|error| problems.push(in_words(error))).ok();
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let validation = match survey {
        Some(survey) => runtime()?.block_on(survey.validation()),
        None => Validation::Off,
    };
    if let Some(place) = policy.as_ref().and_then(Policy::needs_dnssec) {
        PolicyFileError::unless_proven(place, &validation).map_err(|error| error.to_string())?;
    }
    say!("{}: in order", options.config.display());
    say!("  relay        {}", config.hostname);
    for listener in &config.listeners {
        say!("  listens on   {} ({})", listener.address, tls_in_words(listener.tls));
        if listener.client_certificates {
            say!("  asks         for client certificates");
        }
        if !listener.proxies.is_empty() {
            say!("  behind       {}, which must begin with a PROXY header", in_a_row(&listener.proxies));
            if listener.proxies.iter().any(|network| network.prefix_len() == 0) {
                say!("  warning      everybody is a proxy there, and says whatever address it likes");
            }
        }
        if listener.tls == ListenerTls::Require && listener.address.port() == 25 {
            say!("  warning      tls = \"require\" on port 25 turns away senders without TLS (RFC 3207 section 4)");
        }
    }
    match &config.policy {
        Some(path) => say!("  policy       {} ({} entries)", path.display(), policy.as_ref().map_or(0, Policy::entries)),
        None => say!("  policy       built in: TLS when offered, on both hops"),
    }
    policy.iter().for_each(|policy| policy_warnings(policy, &config));
    dnssec(&validation, policy.as_ref());
    say!("  MTA-STS      {}", if config.mta_sts.enabled { "is used where it is published" } else { "is not used ([mta_sts] enabled)" });
    if let Some(socket) = &config.admin.socket {
        say!("  managed at   {}", socket.display());
    }
    if let Some(address) = config.admin.address {
        let who = if config.admin.token.is_some() { "with the token" } else { "without a token: nothing can be changed there" };
        say!("  managed at   {address} ({who})");
    }
    if let Some(address) = config.metrics.address {
        say!("  metrics at   http://{address}/metrics, /healthz, /readyz");
    }
    certificates(&config)?;
    ciphers(&config);
    let anchors = read_trust_anchors(&config).map_err(in_words)?.len();
    match &config.tls.trust_anchors {
        Some(path) => say!("  trusts       {}: {anchors} certificate authorities", path.display()),
        None if anchors == 0 => {
            say!("  trusts       nobody: the system has no certificate authorities");
            say!("  warning      install the package ca-certificates, or name a file in [tls] trust_anchors");
        }
        None => say!("  trusts       the system's {anchors} certificate authorities"),
    }
    for (files, place) in policy.iter().flat_map(Policy::anchor_files) {
        say!("  trusts       {files}, for {place}");
    }
    for (identity, place) in policy.iter().flat_map(Policy::client_identities) {
        if let ClientIdentity::Files { certificate, .. } = identity {
            say!("  shows        {certificate} to servers that ask, for {place}");
        }
    }
    if let Some(identity) = &config.delivery.client_identity {
        say!("  shows        {} to servers that ask", identity.certificate.display());
    }
    if let Some(path) = &config.tls.revocation_lists {
        let anchors = read_trust_anchors(&config).map_err(in_words)?;
        say!("  revoked      {}: {} lists", path.display(), anchors.revocation_lists().len());
        for (issuer, next) in anchors.revocation_lists().outdated_at(now()) {
            say!("  warning      {}: the list of {issuer} should have been replaced by {}", path.display(), super::cert::date(next));
        }
    }
    if let Some(path) = &config.tls.client_anchors {
        say!("  of clients   {}: {} certificate authorities", path.display(), read_client_anchors(&config).map_err(in_words)?.len());
        if !config.listeners.iter().any(|listener| listener.client_certificates) {
            say!("  warning      client_anchors without a listener that has client_certificates = true: nobody is asked");
        }
    }
    if let (Some(path), Some(users)) = (&config.auth.users, &users) {
        say!("  logins       {}: {} users", path.display(), users.len());
        if users.is_empty() {
            say!("  warning      the users file is empty: nobody can log in; `sealpost users hash` makes a line");
        }
        if config.listeners.iter().all(|listener| listener.tls == ListenerTls::None) {
            say!("  warning      no listener has TLS, so nobody can log in; AUTH is offered under TLS only");
        }
    }
    if config.tls_reports.is_some() {
        reports(signer.as_ref());
    }
    say!("  the process  {}", confinement(&options.config, &config, policy.as_ref())?);
    open_secrets(&config, policy.as_ref()).iter().for_each(|open| say!("  warning      {open}"));
    say!("  data         {}", config.data_dir.display());
    kept_aside(&config.data_dir).iter().for_each(|line| say!("  warning      {line}"));
    Ok(ExitCode::SUCCESS)
}

/// How reports about TLS go, and what has to be published for them.
fn reports(signer: Option<&DkimSigner>) {
    match signer {
        Some(signer) => {
            say!("  TLS reports  by HTTPS and by mail, signed; published for that must be");
            say!("               {} TXT \"{}\"", signer.record_name(), signer.record());
        }
        None => {
            say!("  TLS reports  by HTTPS only");
            say!("  warning      most domains want them by mail, which needs [tlsrpt] dkim_key: unsigned ones are ignored");
        }
    }
}

/// Whether DANE can be used.
fn dnssec(validation: &Validation, policy: Option<&Policy>) {
    match validation {
        Validation::Works => say!("  DANE         is used where it is published: {validation}"),
        Validation::Off => say!("  DANE         is not used: {validation} ([dns] dnssec)"),
        _ => {
            say!("  DANE         is not used");
            say!("  warning      {validation}");
        }
    }
    if let (true, Some(place)) = (*validation != Validation::Works, policy.and_then(Policy::needs_dnssec)) {
        say!("  warning      {place}: this needs DNSSEC, and mail under it waits");
    }
}

/// What the policy says that is probably not meant.
fn policy_warnings(policy: &Policy, config: &Config) {
    for lint in policy.lint(now()) {
        say!("  warning      {lint}");
    }
    if config.listeners.iter().any(|listener| listener.client_certificates) {
        return;
    }
    let mut places = policy.needs_client_certificates();
    for place in places.by_ref().take(TOLD) {
        say!("  warning      {place}: no listener asks for client certificates, so this mail is turned away");
    }
    match places.count() {
        0 => {}
        more => say!("  warning      {more} more entries need client certificates"),
    }
}

/// What keeps a start from using the data directory, as far as a look can tell: one that is not there yet is made.
fn data_dir_problem(config: &Config) -> Option<Failure> {
    let nearest = config.data_dir.ancestors().find_map(|path| Some((path, std::fs::metadata(path).ok()?)));
    let (path, _) = nearest.filter(|(_, metadata)| !metadata.is_dir())?;
    Some(format!(
        "data_dir {}: {} is no directory; a directory that the relay may write is meant",
        config.data_dir.display(),
        path.display()
    ))
}

fn certificates(config: &Config) -> Result<(), Failure> {
    if config.tls.identity.is_none() {
        say!("  certificate  none configured: one is made at first start, which nobody can verify");
    }
    for identity in config.tls.identities() {
        let path = identity.certificate.display();
        let file = std::fs::read(&identity.certificate).map_err(|error| format!("cannot read {path}: {error}"))?;
        let chain = certificates_from_pem(&file).map_err(|error| format!("{path}: {error}"))?;
        let Some(details) = chain.first().and_then(|der| CertificateDetails::from_der(der).ok()) else { continue };
        let names = in_a_row(details.alternative_names());
        say!("  certificate  {path}, until {}, for {names}", super::cert::date(details.not_after()));
        if let Some(warning) = expiry_warning(details.not_after(), now(), config.tls.expiry_warning) {
            say!("  warning      {path}: the certificate {warning}");
        }
    }
    Ok(())
}

/// Whether a relay that is started now would be confined: tried on a thread that does nothing else.
fn confinement(file: &Path, config: &Config, policy: Option<&Policy>) -> Result<&'static str, Failure> {
    let places = policy.map_or_else(|| Places::of(file, config, &Policy::builtin()), |policy| Places::of(file, config, policy));
    let landlock = config.process.landlock;
    let tried = std::thread::spawn(move || confine(landlock, &places)).join();
    Ok(tried.unwrap_or_else(|_| Err("a thread broke off".to_owned()))?.in_words())
}

/// What is left of `[tls] ciphers`, and what it names in vain.
fn ciphers(config: &Config) {
    if let Some(set) = &config.tls.ciphers {
        let suites: Vec<_> = set.as_slice().iter().map(ToString::to_string).collect();
        say!("  ciphers      {}", suites.join(", "));
    }
    for (reason, names) in config.tls.cipher_choice.iter().flat_map(|choice| super::ciphers::by_reason(choice.lacking())) {
        say!("  not used     {} ({reason})", names.join(", "));
    }
}

fn in_a_row(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn tls_in_words(tls: ListenerTls) -> &'static str {
    match tls {
        ListenerTls::None => "in clear",
        ListenerTls::StartTls => "STARTTLS",
        ListenerTls::Implicit => "TLS from the first octet",
        ListenerTls::Require => "STARTTLS, required",
        _ => "unknown",
    }
}

/// Entries with one and the same trouble of which each is named.
const TOLD: usize = 20;
