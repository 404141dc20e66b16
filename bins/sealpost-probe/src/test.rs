//! `sealpost-probe test`: what mail to a domain would meet, host by host, and at which level it would go.

mod asked;
mod host;
mod manners;
mod outlook;
mod shown;
mod tester;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use sealpost_types::{Domain, NextHop};

pub(crate) use self::asked::{Asked, of_relay};
pub(crate) use self::host::{Examiner, InClear, Known};
pub(crate) use self::manners::Manners;
pub(crate) use self::shown::Paint;
pub(crate) use self::tester::{InForce, LEVELS, STS_IN_TESTING, Tester, VERIFY_MX, the_policy};
use crate::network::{Network, Opened, runtime};
use crate::shown::line;

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The domain that mail would go to.
    #[arg(value_name = "DOMAIN")]
    domain: String,
    #[command(flatten)]
    asked: Asked,
    /// Test this server, and not the mail exchangers.
    #[arg(long, value_name = "HOST[:PORT]")]
    server: Option<String>,
    /// Also try each version and cipher suite, with one connection each.
    #[arg(long)]
    deep: bool,
    /// Do not ask whether mail is taken in clear: a connection less a host.
    #[arg(long)]
    no_clear: bool,
    #[command(flatten)]
    network: Network,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Say nothing when it passes, and one line when it does not.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn test(options: &Test) -> Result<ExitCode, String> {
    let domain = Domain::parse(&options.domain).map_err(|error| format!("{:?}: {error}", options.domain))?;
    let (level, from) = (options.asked.level()?, options.asked.from()?);
    let server: Option<NextHop> = match &options.server {
        Some(server) => Some(server.parse().map_err(|error| format!("--server {server:?}: {error}"))?),
        None => None,
    };
    let Opened { reach, anchors, time, config } = options.network.open(None)?;
    let examiner = Examiner {
        reach,
        time,
        in_clear: if options.no_clear { InClear::Never } else { InClear::Always },
        deep: options.deep,
        manners: Manners::new(1, PAUSE),
        known: Known::default(),
    };
    let report = runtime()?.block_on(async {
        let policy = options.asked.policy(&options.network, &config).await?;
        let tester = Tester::new(examiner, anchors, config, level, policy, from)?;
        Ok::<_, String>(tester.test(&domain, server).await)
    })?;
    if options.json {
        line!("{}", report.to_json());
    } else if options.quiet {
        report.print_reason();
    } else {
        report.print(Paint::new(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()));
    }
    Ok(ExitCode::from(report.result.code()))
}

/// Between the beginnings of two connections to the same address.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) const EXAMPLES: &str = "\
Examples:
  sealpost-probe test bank.example
  sealpost-probe test bank.example --level verify --quiet      for cron: silent when it passes
  sealpost-probe test bank.example --policy /etc/sealpost/policy.toml
  sealpost-probe test bank.example --relay --config /etc/sealpost/sealpost.toml
  sealpost-probe test bank.example --deep --json

Exit code 0: mail would go, over TLS but at `opportunistic`. 1: it would not. 2: nobody knows
(time-out, 421, other 4xx, DNS). 64: usage. Nothing is sent; MAIL is the last command said.";
