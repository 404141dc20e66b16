//! `sealpost explain`: which level holds for a mail, and why.

use std::process::ExitCode;

use sealpost_cert::certificates_from_pem;
use sealpost_policy::{
    ClientCertificate, ClientFacts, DeliverDecision, DeliverFacts, HeaderBlock, HeaderLevel, Policy, ReceiveDecision, ReceiveFacts,
    RequireTls, Trace,
};
use sealpost_relay::config::Config;
use sealpost_relay::{client_certificate, next_hop, read_client_anchors, read_config, read_policy};
use sealpost_types::{CipherSuite, Domain, ForwardPath, KexGroup, Mailbox, ReversePath, TlsFacts, TlsVersion, UnixMillis};

use super::hosts::Hosts;
use super::{Failure, in_words, now, print};
use crate::cli;

pub(crate) fn explain(options: &cli::Explain) -> Result<ExitCode, Failure> {
    let config = read_config(&options.config.config).map_err(in_words)?;
    let policy = read_policy(&config).map_err(in_words)?;
    let from = sender(&options.from)?;
    let to = recipient(&options.to)?;
    let tls = (!options.clear).then(|| TlsFacts::new(TlsVersion::Tls1_3, ASSUMED_SUITE, Some(ASSUMED_GROUP), false));
    let at = options.at.as_deref().map_or_else(|| Ok(now()), time)?;
    let certificate = certificate(options, &config, at)?;
    let mut client = ClientFacts::new(options.client);
    client.login = options.login.as_deref();
    client.certificate = certificate.as_ref();
    let header = header(&options.header)?;
    let facts = ReceiveFacts::new(options.client, &from).with_client(client).with_tls(tls.as_ref()).with_recipient(&to).at(at);
    let (receive, receive_trace) = policy.explain_receive(&facts);
    let level = header_level(&policy, &client, &header);
    let facts = DeliverFacts::new(&from, &to, tls.is_some()).with_header_level(level.counted()).with_header(Some(&header)).at(at);
    let facts = facts.with_sender_choice(options.requiretls, header.says_tls_is_optional());
    let (deliver, deliver_trace) = policy.explain_deliver(&facts);
    let next_hop = next_hop(&policy, &config, &to);
    let hosts = options.dns.then(|| Hosts::look(&config, &policy, &deliver, &next_hop)).transpose()?;
    let shown = if options.json {
        let answer = serde_json::json!({
            "receive": {
                "refused": receive.refusal().map(ToString::to_string),
                "refused_with_testing": refused_with_testing(&receive),
                "trace": receive_trace,
            },
            "deliver": { "next_hop": next_hop.to_string(), "ignored_header": level.ignored(),
                "requiretls": deliver.require_tls.map(RequireTls::as_str), "trace": deliver_trace,
                "dns": hosts.as_ref().map(Hosts::as_json) },
        });
        format!("{answer}\n")
    } else {
        let ignored = level.ignored().map(|value| {
            format!("  {}: {value:?} does not count: the client is not in header_trust, and the field is taken out\n", policy.header_name())
        });
        let ignored = ignored.unwrap_or_default();
        let (receive, deliver) = (on_receive(&receive, &receive_trace), on_deliver(&deliver, &deliver_trace));
        let hosts = hosts.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{receive}\n{deliver}{ignored}  -> next hop {next_hop}\n{hosts}")
    };
    print(&shown);
    Ok(ExitCode::SUCCESS)
}

fn on_receive(decision: &ReceiveDecision, trace: &Trace) -> String {
    let outcome = match decision.refusal() {
        Some(refusal) => format!("refused: {refusal}"),
        None => "accepted".to_owned(),
    };
    let with_testing = match refused_with_testing(decision) {
        Some(refusal) => format!("  -> if what is in testing counted, refused: {refusal}\n"),
        None if decision.shadow.is_some() => "  -> if what is in testing counted, accepted\n".to_owned(),
        None => String::new(),
    };
    format!("{trace}\n  -> {outcome}\n{with_testing}")
}

fn on_deliver(decision: &DeliverDecision, trace: &Trace) -> String {
    let published = "  what the recipient's domain publishes (DANE, MTA-STS) is ignored\n";
    let require_tls = decision.require_tls.map_or_else(String::new, |grade| {
        let asked = match grade {
            RequireTls::Strict => "the host is known for sure, verified by its name or by DANE, and announces REQUIRETLS",
            RequireTls::Verify => "the host is verified by its name or by DANE; REQUIRETLS is handed on where it is announced",
            _ => "any certificate will do; REQUIRETLS is handed on where it is announced",
        };
        format!("  REQUIRETLS ({grade}): {asked}\n")
    });
    format!("{trace}\n{require_tls}{}", if decision.ignores_published { published } else { "" })
}

fn refused_with_testing(decision: &ReceiveDecision) -> Option<String> {
    decision.shadow.as_ref().and_then(|shadow| shadow.verdict.refusal()).map(ToString::to_string)
}

/// What the first field that asks for a level says, and whether it counts.
enum Asked {
    Nothing,
    Counts(HeaderLevel),
    Ignored(String),
}

impl Asked {
    fn counted(&self) -> Option<HeaderLevel> {
        if let Self::Counts(level) = self { Some(*level) } else { None }
    }

    fn ignored(&self) -> Option<&str> {
        if let Self::Ignored(value) = self { Some(value) } else { None }
    }
}

fn header_level(policy: &Policy, client: &ClientFacts<'_>, header: &HeaderBlock) -> Asked {
    match header.values(policy.header_name().as_str()).next() {
        None => Asked::Nothing,
        Some(value) if policy.trusts_header_of(client) => Asked::Counts(HeaderLevel::of_client(value)),
        Some(value) => Asked::Ignored(value.to_owned()),
    }
}

fn header(fields: &[String]) -> Result<HeaderBlock, Failure> {
    let mut text = String::new();
    for field in fields {
        if !field.contains(':') || field.contains(['\r', '\n']) {
            return Err(format!("--header {field:?}: a name, a colon and a value are meant, such as 'X-TLSLevel: Require'"));
        }
        text.push_str(field);
        text.push_str("\r\n");
    }
    Ok(HeaderBlock::parse(format!("{text}\r\n").as_bytes()))
}

fn certificate(options: &cli::Explain, config: &Config, at: UnixMillis) -> Result<Option<ClientCertificate>, Failure> {
    if let Some(path) = &options.chain {
        let wrong = |error: String| format!("--chain {}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let chain = certificates_from_pem(&pem).map_err(|error| wrong(in_words(error)))?;
        let anchors = read_client_anchors(config).map_err(in_words)?;
        return Ok(client_certificate(&chain, &anchors, at));
    }
    let Some(name) = &options.certificate else { return Ok(None) };
    let name = Domain::parse(name).map_err(|error| format!("--certificate {name:?}: {error}"))?;
    Ok(Some(ClientCertificate::new(true, vec![name], None)))
}

/// `--at`: a day, at its noon in UTC, or a time.
fn time(text: &str) -> Result<UnixMillis, Failure> {
    let noon = || format!("{text}T12:00:00Z").parse::<jiff::Timestamp>();
    let time = text.parse::<jiff::Timestamp>().or_else(|_| noon());
    let time = time.map_err(|_| format!("--at {text:?}: neither a day such as 2026-12-31 nor a time such as 2026-12-31T18:00:00Z"))?;
    Ok(UnixMillis(time.as_millisecond()))
}

fn sender(text: &str) -> Result<ReversePath, Failure> {
    match text.trim_start_matches('<').trim_end_matches('>') {
        "" => Ok(ReversePath::Null),
        mailbox => Ok(parse(mailbox, "--from")?.into()),
    }
}

fn recipient(text: &str) -> Result<ForwardPath, Failure> {
    Ok(parse(text.trim_start_matches('<').trim_end_matches('>'), "--to")?.into())
}

fn parse(text: &str, option: &str) -> Result<Mailbox, Failure> {
    Mailbox::parse(text).map_err(|error| format!("{option} {text:?}: {error}; an address such as ann@example.org is meant"))
}

/// What a session under TLS has here: what this relay itself would settle on.
const ASSUMED_SUITE: CipherSuite = CipherSuite(0x1302);
const ASSUMED_GROUP: KexGroup = KexGroup(0x11ec);
