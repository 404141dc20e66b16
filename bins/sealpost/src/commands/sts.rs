//! `sealpost sts`: the MTA-STS policies that are kept, through the running relay or straight in their file.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use sealpost_admin::{Client, ClientError, StsEntry, StsPage, StsQuery};
use sealpost_relay::config::Config;
use sealpost_relay::{forget_kept_sts_policy, kept_sts_policies, read_config};
use sealpost_report::Clock;
use sealpost_types::{Domain, UnixMillis};
use tokio::runtime::Runtime;

use super::{Failure, in_words, now, print, runtime};
use crate::cli::{self, Sts, StsMode};

pub(crate) fn sts(command: &Sts) -> Result<ExitCode, Failure> {
    match command {
        Sts::List(options) => list(options),
        Sts::Show(options) => show(options),
        Sts::Drop(options) => drop_policy(options),
    }
}

/// The relay that answers, or the configuration of one that does not run.
struct Desk {
    runtime: Runtime,
    config: Config,
    relay: Option<Client>,
}

impl Desk {
    fn open(options: &cli::Config) -> Result<Self, Failure> {
        let (config, runtime) = (read_config(&options.config).map_err(in_words)?, runtime()?);
        let relay = match config.admin.socket.clone().map(Client::new) {
            None => None,
            Some(client) => match runtime.block_on(client.status()) {
                Ok(_) => Some(client),
                Err(ClientError::NotRunning { .. }) => None,
                Err(error) => return Err(in_words(error)),
            },
        };
        Ok(Self { runtime, config, relay })
    }

    fn list(&self, query: &StsQuery) -> Result<StsPage, Failure> {
        match &self.relay {
            Some(client) => self.runtime.block_on(client.sts_policies(query)).map_err(in_words),
            None => StsPage::of(&kept_sts_policies(&self.config, now()).map_err(in_words)?, query),
        }
    }

    fn show(&self, domain: &Domain) -> Result<StsEntry, Failure> {
        let found = match &self.relay {
            Some(client) => found(self.runtime.block_on(client.sts_policy(domain.as_str())))?,
            None => {
                let kept = kept_sts_policies(&self.config, now()).map_err(in_words)?;
                kept.iter().find(|kept| kept.domain == *domain).map(StsEntry::of)
            }
        };
        found.ok_or_else(|| not_kept(domain))
    }

    fn forget(&self, domain: &Domain) -> Result<StsEntry, Failure> {
        let forgotten = match &self.relay {
            Some(client) => found(self.runtime.block_on(client.forget_sts_policy(domain.as_str())))?,
            None => {
                let forgotten = self.runtime.block_on(forget_kept_sts_policy(&self.config, domain, now())).map_err(in_words)?;
                forgotten.as_ref().map(StsEntry::of)
            }
        };
        forgotten.ok_or_else(|| not_kept(domain))
    }
}

/// Nothing where the relay says that nothing is kept.
fn found(answer: Result<StsEntry, ClientError>) -> Result<Option<StsEntry>, Failure> {
    match answer {
        Err(ClientError::Refused { status: 404, .. }) => Ok(None),
        answer => answer.map(Some).map_err(in_words),
    }
}

fn not_kept(domain: &Domain) -> Failure {
    format!("no MTA-STS policy of {domain} is kept; `sealpost explain --dns` looks up what it publishes now")
}

fn list(options: &cli::StsList) -> Result<ExitCode, Failure> {
    let mut query = StsQuery::default();
    query.mode = options.mode.map(|mode| {
        let word = match mode {
            StsMode::Enforce => "enforce",
            StsMode::Testing => "testing",
            StsMode::None => "none",
        };
        word.to_owned()
    });
    query.after = options.after.as_deref().map(domain).transpose()?.map(|domain| domain.to_string());
    query.limit = Some(options.limit.into());
    let page = Desk::open(&options.config)?.list(&query)?;
    let mut text = String::new();
    for policy in &page.policies {
        text += &if options.json { json(policy) } else { line(policy, now()) };
    }
    print(&text);
    if page.policies.is_empty() && !options.json {
        eprintln!("no MTA-STS policy is kept that matches");
    }
    if let Some(next) = &page.next {
        eprintln!("there are more: --after {next} shows the next page");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(options: &cli::StsShow) -> Result<ExitCode, Failure> {
    let policy = Desk::open(&options.config)?.show(&domain(&options.domain)?)?;
    print(&if options.json { json(&policy) } else { block(&policy) });
    Ok(ExitCode::SUCCESS)
}

fn drop_policy(options: &cli::StsDrop) -> Result<ExitCode, Failure> {
    let cli::StsDrop { show: options, yes } = options;
    let (desk, domain) = (Desk::open(&options.config)?, domain(&options.domain)?);
    let kept = desk.show(&domain)?;
    if kept.mode == ENFORCE && !yes {
        confirm(&kept)?;
    }
    let dropped = desk.forget(&domain)?;
    if options.json {
        print(&json(&dropped));
    } else {
        let whose = if desk.relay.is_some() { "" } else { " (no relay runs: it holds from its next start)" };
        say!("dropped: the policy {} of {domain}, mode {}{whose}", dropped.id, dropped.mode);
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks whether mail may go with less, where there is somebody to ask.
fn confirm(kept: &StsEntry) -> Result<(), Failure> {
    let weakens = "without it mail goes as if the domain published none";
    if !std::io::stdin().is_terminal() {
        return Err(format!(
            "the policy of {} is one of mode enforce, and {weakens}: --yes is needed where nobody can be asked",
            kept.domain
        ));
    }
    eprint!("The policy of {} is one of mode enforce, and {weakens}. Drop it? [y/N] ", kept.domain);
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(in_words)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err("nothing is dropped".to_owned()) }
}

fn domain(text: &str) -> Result<Domain, Failure> {
    Domain::parse(text).map_err(|error| format!("{text:?} is no domain: {error}"))
}

/// A policy in one line, and why it is in trouble in a second.
fn line(policy: &StsEntry, now: UnixMillis) -> String {
    let StsEntry { domain, id, mode, mx, expires, failure, .. } = policy;
    let days = UnixMillis(*expires).since(now).as_secs() / DAY;
    let mut text = format!("{domain:<32} {mode:<8} {days:>4}d left  id {id}  {}\n", mx.join(" "));
    if let Some(failure) = failure {
        let _ = writeln!(text, "    {}: {}", Clock::Local.short(UnixMillis(failure.at)), failure.reason);
    }
    text
}

fn block(policy: &StsEntry) -> String {
    let StsEntry { domain, id, mode, mx, max_age, fetched, expires, refresh, used, failure, .. } = policy;
    let at = |at: &i64| Clock::Local.iso(UnixMillis(*at));
    let mut text = format!("{domain}\n");
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<14}{value}");
    };
    field("mode", mode);
    field("id", id);
    field("hosts", &mx.join(" "));
    field("max_age", &format!("{max_age} s"));
    field("fetched", &at(fetched));
    field("expires", &at(expires));
    field("looked for", &format!("{}, if mail goes on asking for it", at(refresh)));
    field("last asked for", &format!("{}, to the day", at(used)));
    if let Some(failure) = failure {
        field("failed", &format!("{}: {}", at(&failure.at), failure.reason));
    }
    text
}

fn json(policy: &StsEntry) -> String {
    format!("{}\n", serde_json::to_string(policy).unwrap_or_default())
}

/// The mode whose loss weakens.
const ENFORCE: &str = "enforce";

/// Seconds.
const DAY: u64 = 24 * 3600;
