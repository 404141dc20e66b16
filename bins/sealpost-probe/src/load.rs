//! `sealpost-probe load`: many messages over many sessions, and how long they took.

mod figures;
mod worker;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use sealpost_relay::ReachHost;
use sealpost_types::{KexFloor, Level, Mailbox, NextHop, WithCauses};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use self::figures::{Figures, Tally};
use self::worker::{Plan, Worker};
use crate::levels::AtLevel;
use crate::network::{Network, Opened, runtime, span};
use crate::ping::Outcome;
use crate::shown::line;

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The server, port 25 unless another is given.
    #[arg(value_name = "HOST[:PORT]")]
    server: String,
    /// Messages in all.
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 1000)]
    messages: u64,
    /// Sessions at a time.
    #[arg(long, short = 's', value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sessions: u32,
    /// Messages over one session, before the next is opened.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    per_session: u64,
    /// Octets of a message.
    #[arg(long, value_name = "OCTETS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(256..=64 << 20))]
    size: u32,
    /// Messages a second, over all sessions; as fast as it goes by default.
    #[arg(long, value_name = "NUMBER")]
    rate: Option<f64>,
    /// Begin no message after this time.
    #[arg(long = "for", value_name = "SPAN")]
    lasting: Option<String>,
    /// none, opportunistic, require, chain or verify.
    #[arg(long, value_name = "LEVEL", default_value = "require")]
    level: String,
    /// TLS from the first octet, without STARTTLS (the default on port 465).
    #[arg(long)]
    implicit: bool,
    /// A full handshake for each session.
    #[arg(long)]
    no_resumption: bool,
    /// Wait for the answers to MAIL and RCPT before the content is sent.
    #[arg(long)]
    no_pipelining: bool,
    /// From whom.
    #[arg(long, value_name = "ADDRESS", default_value = "load@sender.example")]
    from: String,
    /// To whom; # is its number.
    #[arg(long, value_name = "ADDRESS", default_value = "load@recipient.example")]
    to: String,
    #[command(flatten)]
    network: Network,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn load(options: &Load) -> Result<ExitCode, String> {
    let target: NextHop = options.server.parse().map_err(|error| format!("{:?}: {error}", options.server))?;
    let level: Level = options.level.parse().map_err(|error| format!("--level: {error}"))?;
    if matches!(target, NextHop::Mx(_)) || matches!(level, Level::Pinned | Level::Mirror | Level::Dane | Level::DaneOnly) {
        return Err("a host is meant, and one of the levels none, opportunistic, require, chain, verify".to_owned());
    }
    if options.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        return Err("--rate: more than 0 is meant".to_owned());
    }
    let lasting = options.lasting.as_deref().map(|text| span("--for", text)).transpose()?;
    let from = mailbox("--from", &options.from)?;
    // Wrong addresses are found before anything is sent.
    mailbox("--to", &options.to.replace('#', "0"))?;
    let Opened { reach, time, .. } = options.network.open(None)?;
    let name = if let NextHop::Host { name, .. } = &target { Some(name) } else { None };
    let asked = AtLevel::new(level, name)?;
    runtime()?.block_on(async {
        let hosts = reach.hosts(&target, false).await.map_err(|error| WithCauses(&error).to_string())?;
        let host = answering(hosts).await.ok_or("the server has no address")?;
        let mut demand = asked.demand(&host);
        if options.no_resumption {
            // A floor for the key exchange asks for one, which a resumed session need not have.
            let (floor, ciphers) = (demand.min_group.max(KexFloor::Bits128), demand.ciphers.clone());
            demand = demand.with_floors(floor, ciphers);
        }
        let implicit = options.implicit || host.address().port() == IMPLICIT;
        let start = Instant::now();
        let plan = Arc::new(Plan {
            reach,
            host,
            demand,
            implicit,
            time,
            from: from.into(),
            to: options.to.clone(),
            size: usize::try_from(options.size).unwrap_or(usize::MAX),
            messages: options.messages,
            per_session: options.per_session,
            pause: options.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            inline: !options.no_pipelining,
            start,
            end: lasting.map(|time| start + time),
            stopped: AtomicBool::new(false),
            tally: Tally::default(),
        });
        let mut workers = JoinSet::new();
        for _ in 0..options.sessions {
            workers.spawn(Worker::new(Arc::clone(&plan)).run());
        }
        let progress = std::io::stderr().is_terminal().then(|| tokio::spawn(progress(Arc::clone(&plan))));
        let mut figures = Figures::default();
        let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
        loop {
            tokio::select! {
                done = workers.join_next() => match done {
                    Some(done) => figures.add(done.map_err(|error| format!("a session broke off: {error}"))?),
                    None => break,
                },
                // What has come of it so far is told all the same. Whoever asks twice does not wait for answers.
                _ = interrupted.recv() => if plan.stopped.swap(true, Ordering::Relaxed) { break },
            }
        }
        if let Some(progress) = progress {
            progress.abort();
            let _ = progress.await;
            eprint!("\r\x1b[K");
        }
        figures.finish(&plan.tally);
        if options.json {
            line!("{}", figures.to_json());
        } else {
            figures.print();
        }
        let outcome = figures.outcome(options.messages, lasting.is_some() || plan.stopped.load(Ordering::Relaxed));
        Ok(ExitCode::from(match outcome {
            Outcome::Passes => 0,
            Outcome::Fails => 1,
            Outcome::Untested => 2,
        }))
    })
}

fn mailbox(option: &str, text: &str) -> Result<Mailbox, String> {
    Mailbox::parse(text).map_err(|error| format!("{option} {text:?}: {error}; an address such as ann@example.org is meant"))
}

/// The first address that takes a connection; the last one, if none does.
async fn answering(hosts: Vec<ReachHost>) -> Option<ReachHost> {
    let mut last = None;
    for host in hosts {
        let connected = tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(host.address())).await;
        if matches!(connected, Ok(Ok(_))) {
            return Some(host);
        }
        last = Some(host);
    }
    last
}

/// Says how far it is, twice a second.
async fn progress(plan: Arc<Plan>) {
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let mut before = (Instant::now(), 0_u64);
    loop {
        tick.tick().await;
        let now = (Instant::now(), plan.tally.accepted.load(Ordering::Relaxed));
        let seconds = now.0.duration_since(before.0).as_secs_f64().max(0.001);
        let a_second = f64::from(u32::try_from(now.1.saturating_sub(before.1)).unwrap_or(u32::MAX)) / seconds;
        let failed = plan.tally.failed.load(Ordering::Relaxed);
        let left = match a_second {
            rate if rate >= 1.0 => {
                let left = u32::try_from(plan.messages.saturating_sub(now.1)).unwrap_or(u32::MAX);
                format!(", {:.0} s left", f64::from(left) / rate)
            }
            _ => String::new(),
        };
        let mut out = std::io::stderr().lock();
        let _ = write!(out, "\r\x1b[K{} of {} messages, {a_second:.0} a second, {failed} not taken{left}", now.1, plan.messages);
        let _ = out.flush();
        before = now;
    }
}

/// How long an address may take to be chosen.
const PATIENCE: Duration = Duration::from_secs(5);

/// The port of submission under TLS from the first octet.
const IMPLICIT: u16 = 465;

pub(crate) const EXAMPLES: &str = "\
Examples:
  sealpost-probe load 127.0.0.1:2525 -n 10000 -s 20
  sealpost-probe load relay.example --per-session 1 --no-resumption --rate 50 --for 60s --json

Exit code 0: all were taken. 1: some refused for good, or no TLS. 2: some not now. 64: usage.
Only for servers of your own.";
