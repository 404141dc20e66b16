//! `sealpost explain`: which level holds for a mail, and why.

use std::process::ExitCode;

use sealpost_policy::{DeliverFacts, ReceiveFacts};
use sealpost_relay::{next_hop, read_config, read_policy};
use sealpost_types::{CipherSuite, ForwardPath, Mailbox, ReversePath, TlsFacts, TlsVersion};

use super::{Failure, in_words};
use crate::cli;

pub(crate) fn explain(options: &cli::Explain) -> Result<ExitCode, Failure> {
    let config = read_config(&options.config.config).map_err(in_words)?;
    let policy = read_policy(&config).map_err(in_words)?;
    let from = sender(&options.from)?;
    let to = recipient(&options.to)?;
    let tls = (!options.clear).then(|| TlsFacts::new(TlsVersion::Tls1_3, ASSUMED_SUITE, None, false));
    let facts = ReceiveFacts::new(options.client, &from).with_tls(tls.as_ref()).with_recipient(&to);
    let (receive, receive_trace) = policy.explain_receive(&facts);
    let (_, deliver_trace) = policy.explain_deliver(&DeliverFacts::new(&from, &to, tls.is_some()));
    let next_hop = next_hop(&policy, &config, &to);
    if options.json {
        let answer = serde_json::json!({
            "receive": { "refused": receive.refusal().map(ToString::to_string), "trace": receive_trace },
            "deliver": { "next_hop": next_hop.to_string(), "trace": deliver_trace },
        });
        println!("{answer}");
    } else {
        println!("{receive_trace}");
        match receive.refusal() {
            Some(refusal) => println!("  -> refused: {refusal}"),
            None => println!("  -> accepted"),
        }
        println!("\n{deliver_trace}\n  -> next hop {next_hop}");
    }
    Ok(ExitCode::SUCCESS)
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

/// What a session under TLS has here: any suite will do, for no level asks for one.
const ASSUMED_SUITE: CipherSuite = CipherSuite(0x1301);
