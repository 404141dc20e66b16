//! `sealpost-probe sink`: a receiving server for tests, with faults on demand.
//!
//! The relay's own server (`sealpost_transport::Server`) cannot lie; this one reads commands, content and TLS with the same
//! libraries, and answers what it is told.

mod fault;
mod identity;
mod login;
mod refusal;
mod session;
mod tally;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use sealpost_cert::TrustAnchors;
use sealpost_smtp::Offer;
use sealpost_transport::{RustlsBackend, RustlsSettings, ServerIdentity};
use sealpost_types::{Domain, TlsVersion, WithCauses};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use self::fault::{Fault, Faults};
use self::identity::Kind;
use self::login::Login;
use self::session::Server;
use self::tally::Tally;
use crate::network::{runtime, span};

#[derive(Debug, Args)]
pub(crate) struct Sink {
    /// Where to listen; port 0 is a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2525")]
    listen: SocketAddr,
    /// Its name in greeting and certificate.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    name: String,
    /// TLS from the first octet.
    #[arg(long, conflicts_with_all = ["no_starttls", "old_tls"])]
    implicit: bool,
    /// Do not offer STARTTLS.
    #[arg(long)]
    no_starttls: bool,
    /// A certificate chain of your own (PEM), with --key; else one is made.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    #[arg(long, value_name = "FILE", requires = "certificate", help = "Its key (PEM)")]
    key: Option<PathBuf>,
    /// good, expired, self-signed, wrong-name, weak.
    #[arg(long, value_name = "KIND", default_value = "good", conflicts_with = "certificate")]
    kind: Kind,
    /// Write here what clients have to trust for it.
    #[arg(long, value_name = "FILE", conflicts_with = "certificate")]
    write_anchor: Option<PathBuf>,
    /// Ask clients for a certificate; it is told, not checked.
    #[arg(long)]
    ask_certificate: bool,
    /// Refuse TLS below this version, 1.2 or 1.3.
    #[arg(long, value_name = "VERSION", default_value = "1.2")]
    min_version: String,
    /// Offer AUTH under TLS, and let this user in; may be repeated.
    #[arg(long, value_name = "NAME:PASSWORD")]
    user: Vec<Login>,
    /// Extensions not to offer, such as CHUNKING or PIPELINING.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    without: Vec<String>,
    /// Keep messages, as they came, in this maildir.
    #[arg(long, value_name = "FOLDER")]
    maildir: Option<PathBuf>,
    /// Stop after so many messages.
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Stop after this time.
    #[arg(long = "for", value_name = "SPAN")]
    lasting: Option<String>,
    /// Answer so: STAGE[*TIMES]=TEXT, such as 'RCPT*2=450 4.2.0 later'.
    #[arg(long, value_name = "ANSWER")]
    reply: Vec<String>,
    /// Fall silent at STAGE[*TIMES].
    #[arg(long, value_name = "STAGE")]
    stall: Vec<String>,
    /// Reset the connection at STAGE[*TIMES].
    #[arg(long, value_name = "STAGE")]
    close: Vec<String>,
    /// Answer late: STAGE[*TIMES]=SPAN.
    #[arg(long, value_name = "DELAY")]
    delay: Vec<String>,
    /// Put this in clear behind the 220 to STARTTLS, as an attacker would.
    #[arg(long, value_name = "TEXT")]
    inject: Option<String>,
    /// Refuse every handshake as a server that knows TLS 1.0 and 1.1 only.
    #[arg(long)]
    old_tls: bool,
    /// Take so many octets of content a second.
    #[arg(long, value_name = "OCTETS", value_parser = clap::value_parser!(u32).range(1..))]
    read_rate: Option<u32>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Print where it listens and the sum only.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn sink(options: &Sink) -> Result<ExitCode, String> {
    let name = Domain::parse(&options.name).map_err(|error| format!("--name {:?}: {error}", options.name))?;
    let lasting = options.lasting.as_deref().map(|text| span("--for", text)).transpose()?;
    let faults = faults(options)?;
    let (tls, anchor) = tls(options, &name)?;
    let tls = tls.filter(|_| options.implicit || !options.no_starttls);
    if let (Some(path), Some(anchor)) = (&options.write_anchor, anchor) {
        std::fs::write(path, anchor).map_err(|error| format!("--write-anchor: cannot write {}: {error}", path.display()))?;
    }
    let mut offer = Offer::default();
    (offer.starttls, offer.smtputf8, offer.dsn, offer.require_tls) = (tls.is_some() && !options.implicit, true, true, true);
    offer.auth = login::mechanisms(&options.user);
    let tally = Tally::new(options.json, options.quiet, options.maildir.as_deref(), &name, options.count)?;
    let server = Arc::new(Server {
        name,
        offer,
        without: options.without.iter().map(|name| name.to_ascii_uppercase()).collect(),
        tls,
        implicit: options.implicit,
        asks_for_certificate: options.ask_certificate,
        users: options.user.clone(),
        faults,
        tally,
    });
    let start = Instant::now();
    runtime()?.block_on(listen(options, Arc::clone(&server), lasting))?;
    server.tally.sum(start.elapsed());
    Ok(ExitCode::SUCCESS)
}

fn tls(options: &Sink, name: &Domain) -> Result<(Option<Arc<RustlsBackend>>, Option<String>), String> {
    let (identity, anchor) = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => {
            (ServerIdentity::from_pem_files(certificate, key).map_err(|error| WithCauses(&error).to_string())?, None)
        }
        _ => {
            let (identity, anchor) = identity::make(options.kind, name)?;
            (identity, Some(anchor))
        }
    };
    let mut settings = RustlsSettings::new(Arc::new(TrustAnchors::default()));
    settings.identities = vec![identity];
    settings.min_version = match options.min_version.as_str() {
        "1.2" => TlsVersion::Tls1_2,
        "1.3" => TlsVersion::Tls1_3,
        other => return Err(format!("--min-version {other:?}: 1.2 or 1.3 is meant")),
    };
    let backend = RustlsBackend::new(settings).map_err(|error| error.to_string())?;
    Ok((Some(Arc::new(backend)), anchor))
}

fn faults(options: &Sink) -> Result<Faults, String> {
    let mut faults = Vec::new();
    faults.extend(options.delay.iter().map(|text| Fault::delay(text)).collect::<Result<Vec<_>, _>>()?);
    faults.extend(options.stall.iter().map(|text| Fault::stall(text)).collect::<Result<Vec<_>, _>>()?);
    faults.extend(options.close.iter().map(|text| Fault::close(text)).collect::<Result<Vec<_>, _>>()?);
    faults.extend(options.reply.iter().map(|text| Fault::reply(text)).collect::<Result<Vec<_>, _>>()?);
    let inject = options.inject.as_deref().map(fault::octets).transpose()?;
    Ok(Faults::new(faults, inject, options.old_tls, options.read_rate))
}

/// Serves until it has what it waits for, its time is over, or a signal comes.
async fn listen(options: &Sink, server: Arc<Server>, lasting: Option<Duration>) -> Result<(), String> {
    let address = options.listen;
    let listener = TcpListener::bind(address).await.map_err(|error| format!("--listen: cannot listen on {address}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let name = server.name.to_string();
    // Whoever reads that it listens may end it at once.
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    server
        .tally
        .always(&format!("listening on {address}"), || json!({ "event": "listening", "address": address.to_string(), "name": name }));
    let over = async {
        match lasting {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, client)) => {
                    let number = server.tally.sessions.fetch_add(1, Ordering::Relaxed) + 1;
                    sessions.spawn(session::serve(Arc::clone(&server), tcp, client, number));
                }
                // Too many open files, as a rule: those that are there have to end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = sessions.join_next() => {}
            () = server.tally.full() => break,
            () = &mut over => return Ok(()),
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
        }
    }
    // Whoever sent the last message hears that it was taken, and says good-bye.
    drop(listener);
    let ended = async { while sessions.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(PATIENCE, ended).await;
    Ok(())
}

/// How long sessions may take to end when everything has come.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) const EXAMPLES: &str = "\
Examples:
  sealpost-probe sink --maildir /tmp/mail --json
  sealpost-probe sink --count 1 --for 30s --kind expired --write-anchor ca.pem
  sealpost-probe sink --reply 'STARTTLS=454 4.7.0 no' --reply 'RCPT*2=450 4.2.0 later'
  sealpost-probe sink --inject '250 evil' --close HANDSHAKE*1 --delay BODY=5s

Stages: BANNER EHLO STARTTLS HANDSHAKE MAIL RCPT DATA BODY AUTH RSET NOOP QUIT.";
