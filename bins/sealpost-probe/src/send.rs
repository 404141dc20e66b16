//! `sealpost-probe send`: one message, as the relay would send it.

mod dialogue;
mod message;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sealpost_relay::{Reach, ReachError, ReachHost};
use sealpost_smtp::{AuthMechanism, Credentials, Secret, Transaction};
use sealpost_transport::{Connection, LoginError, MemoryBody, RecipientOutcome, RustlsBackend, Watch};
use sealpost_types::{BodyKind, Level, Mailbox, NextHop, Octets, Recipient, ReversePath, Severity, WithCauses};
use serde_json::{Value, json};

use self::dialogue::Dialogue;
use self::message::Message;
use crate::levels::AtLevel;
use crate::network::{Network, Opened, runtime};
use crate::ping::{Outcome, hint};
use crate::shown::{self, line};

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// To whom; may be repeated.
    #[arg(long, value_name = "ADDRESS", required = true)]
    to: Vec<String>,
    /// From whom; '<>' for a notification, else postmaster here.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// The server; by default the mail exchangers of the recipient's domain.
    #[arg(long, value_name = "HOST[:PORT]")]
    server: Option<String>,
    /// none, opportunistic, require, chain, verify or dane.
    #[arg(long, value_name = "LEVEL", default_value = "require")]
    level: String,
    /// TLS from the first octet, without STARTTLS (the default on port 465).
    #[arg(long)]
    implicit: bool,
    /// Ask that each further hop uses TLS (RFC 8689).
    #[arg(long)]
    requiretls: bool,
    /// Log in; the password is in $SEALPOST_PASSWORD or --password-file.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[arg(long, value_name = "FILE", requires = "user", help = "The first line of this file is the password")]
    password_file: Option<PathBuf>,
    /// The subject.
    #[arg(long, default_value = "A test of Sealpost")]
    subject: String,
    /// A further field, such as 'X-TLSLevel: Require'; may be repeated.
    #[arg(long, value_name = "FIELD")]
    header: Vec<String>,
    /// The text.
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    body: Option<String>,
    /// The text is in this file; - is standard input.
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// A file to attach; may be repeated.
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,
    /// The whole message with its header is in this file; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["header", "body", "body_file", "attach"])]
    data: Option<PathBuf>,
    /// Show the dialogue, without passwords and content.
    #[arg(long, short)]
    show: bool,
    #[command(flatten)]
    network: Network,
    /// One JSON object instead of text; the dialogue goes to standard error.
    #[arg(long)]
    json: bool,
}

pub(crate) fn send(options: &Send) -> Result<ExitCode, String> {
    let level: Level = options.level.parse().map_err(|error| format!("--level: {error}"))?;
    if matches!(level, Level::Pinned | Level::Mirror) {
        return Err(format!("--level {level}: one of none, opportunistic, require, chain, verify, dane, dane-only is meant"));
    }
    let to: Vec<Mailbox> = options.to.iter().map(|text| mailbox("--to", text)).collect::<Result<_, _>>()?;
    let watch = options.show.then(|| Arc::new(Dialogue::new(options.json)) as Arc<dyn Watch>);
    let Opened { reach, time, config, .. } = options.network.open(watch)?;
    let hello = config.hostname;
    let from = match options.from.as_deref() {
        None => ReversePath::from(mailbox("--hello", &format!("postmaster@{hello}"))?),
        Some("<>" | "") => ReversePath::Null,
        Some(text) => ReversePath::from(mailbox("--from", text)?),
    };
    let next_hop = next_hop(options.server.as_deref(), &to)?;
    let domain = match &next_hop {
        NextHop::Mx(domain) | NextHop::Host { name: domain, .. } => Some(domain),
        NextHop::Address { .. } => None,
    };
    let sending = Sending {
        asked: AtLevel::new(level, domain)?,
        implicit: options.implicit || matches!(&next_hop, NextHop::Host { port: 465, .. } | NextHop::Address { port: 465, .. }),
        credentials: credentials(options)?,
        message: content(options, &from, &to, hello.as_str())?,
        requiretls: options.requiretls,
        reach,
        next_hop,
        from,
        to,
        time,
    };
    let report = runtime()?.block_on(sending.send());
    report.print(options.json);
    Ok(ExitCode::from(report.result.code()))
}

/// A message on its way.
struct Sending {
    reach: Reach,
    next_hop: NextHop,
    asked: AtLevel,
    implicit: bool,
    credentials: Option<Credentials>,
    from: ReversePath,
    to: Vec<Mailbox>,
    message: Vec<u8>,
    requiretls: bool,
    time: Duration,
}

impl Sending {
    async fn send(&self) -> Report {
        let mut report = Report::new(&self.next_hop);
        let hosts = match self.reach.hosts(&self.next_hop, true).await {
            Ok(hosts) => hosts,
            Err(error) => return report.failed(&error),
        };
        for host in &hosts {
            if let Some(why) = self.asked.barred(host) {
                report = report.left_out(host, why);
                continue;
            }
            if let Some(why) = self.asked.unknown(host) {
                report.result = Outcome::Untested;
                report = report.left_out(host, &why);
                continue;
            }
            report.host = Some((host.shown(), host.address().to_string()));
            match self.reach.connect(host, self.asked.demand(host), self.implicit, self.time).await {
                Ok(connection) => return self.hand_over(report, connection).await,
                Err(error) => report = report.failed(&error).passed_over(host, &error),
            }
        }
        report
    }

    async fn hand_over(&self, mut report: Report, mut connection: Connection<RustlsBackend>) -> Report {
        (report.result, report.reason) = (Outcome::Passes, None);
        report.session = connection.tls().map(shown::session);
        report.tls = connection.tls().map(shown::session_json);
        report.certificate = connection.verdict().map(|verdict| shown::certificate_json(verdict));
        if let Some(mut credentials) = self.credentials.clone() {
            let offered = connection.extensions().auth().to_vec();
            // Some servers know the older one only.
            if !offered.contains(&AuthMechanism::Plain) && offered.contains(&AuthMechanism::Login) {
                credentials.mechanism = AuthMechanism::Login;
            }
            match connection.authenticate(&credentials).await {
                Ok(reply) => report.login = Some(reply.to_string()),
                Err(error) => {
                    let later = matches!(&error, LoginError::Refused { reply } if reply.severity() == Severity::Transient)
                        || matches!(error, LoginError::Broken { .. });
                    report.result = if later { Outcome::Untested } else { Outcome::Fails };
                    let offered: Vec<_> = offered.iter().map(ToString::to_string).collect();
                    let instead = if matches!(error, LoginError::NotPossible) && !offered.is_empty() {
                        format!("; it offers {}, and PLAIN and LOGIN are known here", offered.join(" "))
                    } else {
                        String::new()
                    };
                    report.reason = Some(format!("{error}{instead}"));
                    connection.quit().await;
                    return report;
                }
            }
        }
        let length = Octets(u64::try_from(self.message.len()).unwrap_or(u64::MAX));
        let recipients = self.to.iter().map(|mailbox| Recipient::new(mailbox.clone().into())).collect();
        let mut transaction = Transaction::new(self.from.clone(), recipients, length);
        transaction.require_tls = self.requiretls;
        if !self.message.is_ascii() {
            transaction.body = BodyKind::EightBitMime;
        }
        let outcome = match connection.deliver(transaction, &mut MemoryBody::new(&self.message)).await {
            Ok(outcome) => outcome,
            Err(error) => {
                (report.result, report.reason) = (Outcome::Fails, Some(error.to_string()));
                connection.quit().await;
                return report;
            }
        };
        for (mailbox, outcome) in self.to.iter().zip(outcome.outcomes()) {
            let (result, said) = match outcome {
                RecipientOutcome::Delivered(reply) => (Outcome::Passes, reply.to_string()),
                RecipientOutcome::Refused(reply) if reply.severity() == Severity::Permanent => (Outcome::Fails, reply.to_string()),
                RecipientOutcome::Refused(reply) => (Outcome::Untested, reply.to_string()),
                RecipientOutcome::Broken(error) => (Outcome::Untested, error.to_string()),
                _ => (Outcome::Untested, "nothing was said of it".to_owned()),
            };
            report.recipients.push((mailbox.to_string(), result, said));
        }
        let any = |wanted: Outcome| report.recipients.iter().any(|(_, result, _)| *result == wanted);
        report.result = [Outcome::Fails, Outcome::Untested].into_iter().find(|result| any(*result)).unwrap_or(Outcome::Passes);
        connection.quit().await;
        report
    }
}

/// What became of it.
struct Report {
    target: String,
    result: Outcome,
    reason: Option<String>,
    host: Option<(String, String)>,
    /// Hosts that were tried before, and why they did not do.
    passed_over: Vec<String>,
    session: Option<String>,
    tls: Option<Value>,
    certificate: Option<Value>,
    login: Option<String>,
    recipients: Vec<(String, Outcome, String)>,
}

impl Report {
    fn new(next_hop: &NextHop) -> Self {
        Self {
            target: next_hop.to_string(),
            result: Outcome::Fails,
            reason: None,
            host: None,
            passed_over: Vec::new(),
            session: None,
            tls: None,
            certificate: None,
            login: None,
            recipients: Vec::new(),
        }
    }

    fn failed(mut self, error: &ReachError) -> Self {
        self.result = Outcome::of(error);
        self.reason = Some(format!("{}{}", shown::reason(error), hint(error)));
        self
    }

    fn left_out(mut self, host: &ReachHost, why: &str) -> Self {
        let why = format!("{}: {why}", host.shown());
        self.reason = Some(why.clone());
        self.passed_over.push(why);
        self
    }

    fn passed_over(mut self, host: &ReachHost, error: &ReachError) -> Self {
        self.passed_over.push(format!("{}: {}", host.shown(), WithCauses(error)));
        self
    }

    fn print(&self, json: bool) {
        if json {
            line!("{}", self.to_json());
            return;
        }
        // The last one is the reason itself.
        let before = if self.reason.is_some() { self.passed_over.len().saturating_sub(1) } else { self.passed_over.len() };
        self.passed_over.iter().take(before).for_each(|line| line!("passed over: {line}"));
        let host = self.host.as_ref().map_or_else(|| self.target.clone(), |(name, address)| format!("{name} ({address})"));
        match (&self.session, &self.reason) {
            (Some(session), _) => line!("{host}: {session}"),
            (None, None) => line!("{host}: no TLS"),
            (None, Some(_)) => line!("{host}:"),
        }
        if let Some(login) = &self.login {
            line!("  login: {login}");
        }
        for (mailbox, result, said) in &self.recipients {
            let word = match result {
                Outcome::Passes => "delivered",
                Outcome::Fails => "refused",
                Outcome::Untested => "not now",
            };
            line!("  {mailbox} {word}: {said}");
        }
        if let Some(reason) = &self.reason {
            line!("  not sent: {reason}");
        }
    }

    fn to_json(&self) -> Value {
        let recipients: Vec<_> = self
            .recipients
            .iter()
            .map(|(mailbox, result, said)| json!({ "to": mailbox, "delivered": *result == Outcome::Passes, "reply": said }))
            .collect();
        let host = self.host.as_ref();
        json!({ "target": self.target, "result": self.result.words(), "reason": self.reason, "host": host.map(|(name, _)| name),
            "address": host.map(|(_, address)| address), "passed_over": self.passed_over, "tls": self.tls,
            "certificate": self.certificate, "login": self.login, "recipients": recipients })
    }
}

fn mailbox(option: &str, text: &str) -> Result<Mailbox, String> {
    let text = text.trim_start_matches('<').trim_end_matches('>');
    Mailbox::parse(text).map_err(|error| format!("{option} {text:?}: {error}; an address such as ann@example.org is meant"))
}

fn next_hop(server: Option<&str>, to: &[Mailbox]) -> Result<NextHop, String> {
    if let Some(server) = server {
        let hop: NextHop = server.parse().map_err(|error| format!("--server {server:?}: {error}"))?;
        return Ok(hop);
    }
    let hops: Vec<_> = to
        .iter()
        .map(|mailbox| match mailbox.host() {
            sealpost_types::MailHost::Domain(domain) => NextHop::Mx(domain.clone()),
            sealpost_types::MailHost::Literal(literal) => NextHop::literal(*literal),
        })
        .collect();
    match hops.split_first() {
        Some((first, rest)) if rest.iter().all(|hop| hop == first) => Ok(first.clone()),
        _ => Err("--to: the recipients are of several domains; --server says where to send them".to_owned()),
    }
}

fn credentials(options: &Send) -> Result<Option<Credentials>, String> {
    let Some(user) = &options.user else { return Ok(None) };
    let password = match &options.password_file {
        Some(path) => read(path).and_then(|octets| String::from_utf8(octets).map_err(|_| "--password-file: no UTF-8".to_owned()))?,
        None => std::env::var("SEALPOST_PASSWORD").map_err(|_| "--user: --password-file or $SEALPOST_PASSWORD is needed".to_owned())?,
    };
    let password = password.lines().next().unwrap_or_default();
    Ok(Some(Credentials::new(AuthMechanism::Plain, None, user.clone(), Secret::new(password))))
}

fn content(options: &Send, from: &ReversePath, to: &[Mailbox], host: &str) -> Result<Vec<u8>, String> {
    if let Some(path) = &options.data {
        return Ok(message::with_line_ends(&read(path)?));
    }
    let text = match (&options.body, &options.body_file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(path)) => read(path)?,
        (None, None) => b"This is a test message of sealpost-probe.\n".to_vec(),
    };
    let mut message = Message::new(from, to, &options.subject, host, &options.header)?;
    message.text = text;
    for path in &options.attach {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        message.attachments.push((name, read(path)?));
    }
    Ok(message.encode())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    if path == Path::new("-") {
        let mut octets = Vec::new();
        std::io::stdin().read_to_end(&mut octets).map_err(|error| format!("standard input: {error}"))?;
        return Ok(octets);
    }
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  sealpost-probe send --to bob@bank.example --level verify --show
  sealpost-probe send --to bob@bank.example --server 127.0.0.1:2525 --body hi --attach a.pdf
  sealpost-probe send --to bob@bank.example --server mx:465 --user ann --data - < mail.eml

Exit code 0: all were taken. 1: refused, or no TLS. 2: not now (4xx, time-out, DNS). 64: usage.";
