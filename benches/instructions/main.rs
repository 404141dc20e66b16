//! Does one thing so many times: for `benches/instructions/run`, which counts the instructions of each.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sealpost_cert::{TrustAnchors, certificates_from_pem, verify_server};
use sealpost_policy::{DeliverFacts, Policy};
use sealpost_smtp::{Command, DataEncoder, DataScanner, Limits, ReplyReader};
use sealpost_types::{ForwardPath, HostClause, HostDemand, Mailbox, ReversePath, TlsRequirement, TlsVersion, UnixMillis};

type Failure = Box<dyn std::error::Error>;

/// A name, and what it makes: the thing that is done again and again.
type Workload = (&'static str, fn() -> Result<Box<dyn FnMut()>, Failure>);

const WORKLOADS: [Workload; 8] = [
    ("six-commands-read", commands),
    ("a-reply-read", replies),
    ("64-kib-of-data-read", data_read),
    ("64-kib-of-data-written", data_written),
    ("policy-of-1000-compiled", policy_compiled),
    ("recipient-decided", recipient_decided),
    ("chain-judged", chain_judged),
    ("chain-judged-by-webpki-alone", chain_judged_by_webpki),
];

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = arguments.as_slice() else {
        WORKLOADS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    };
    let Some((_, make)) = WORKLOADS.iter().find(|(workload, _)| workload == name) else {
        eprintln!("instructions: no workload {name:?}; without arguments it lists them");
        return Ok(ExitCode::FAILURE);
    };
    let (mut work, count) = (make()?, count.parse::<u32>()?);
    (0..count).for_each(|_| work());
    Ok(ExitCode::SUCCESS)
}

fn commands() -> Result<Box<dyn FnMut()>, Failure> {
    const LINES: [&str; 6] = [
        "EHLO mx1.sender.example",
        "MAIL FROM:<newsletter-7243@sender.example> SIZE=48213 BODY=8BITMIME",
        "RCPT TO:<jane.doe@recipient.example>",
        "RCPT TO:<john.doe@department.recipient.example>",
        "DATA",
        "QUIT",
    ];
    for line in LINES {
        Command::parse(line.as_bytes())?;
    }
    Ok(Box::new(|| LINES.iter().for_each(|line| drop(black_box(Command::parse(black_box(line.as_bytes())))))))
}

fn replies() -> Result<Box<dyn FnMut()>, Failure> {
    let mut reader = ReplyReader::new(&Limits::default());
    Ok(Box::new(move || {
        reader.push(black_box(b"250 2.0.0 Ok: queued as 4XkW2v3QhLz9sVR\r\n"));
        drop(black_box(reader.next_reply()));
    }))
}

fn content() -> Vec<u8> {
    let line = "QmFzZTY0IGxpbmVzIG9mIGFuIGF0dGFjaG1lbnQsIHNldmVudHktc2l4IG9jdGV0cyBlYWNoLi4u\r\n";
    line.repeat((64 << 10) / line.len()).into_bytes()
}

fn data_read() -> Result<Box<dyn FnMut()>, Failure> {
    let wire = [content().as_slice(), b"..a dot\r\n.\r\n"].concat();
    Ok(Box::new(move || {
        let (mut scanner, mut rest) = (DataScanner::new(), black_box(wire.as_slice()));
        loop {
            let scan = scanner.scan(rest);
            black_box(&scan.content);
            rest = rest.get(scan.used..).unwrap_or_default();
            if scan.ended || rest.is_empty() {
                break;
            }
        }
    }))
}

fn data_written() -> Result<Box<dyn FnMut()>, Failure> {
    let (content, mut out) = (content(), Vec::with_capacity(80 << 10));
    Ok(Box::new(move || {
        out.clear();
        let mut encoder = DataEncoder::new();
        encoder.encode(black_box(&content), &mut out);
        encoder.finish(&mut out);
        black_box(&out);
    }))
}

fn policy_text() -> String {
    (0..1000).map(|number| format!("[[partner]]\ndomains = \"*.partner-{number}.example\"\ndeliver = \"require\"\n")).collect()
}

fn policy() -> Result<Policy, Failure> {
    Policy::parse("policy.toml", &policy_text()).map_err(|errors| errors.to_string().into())
}

fn policy_compiled() -> Result<Box<dyn FnMut()>, Failure> {
    policy()?;
    let text = policy_text();
    Ok(Box::new(move || drop(black_box(Policy::parse("policy.toml", black_box(&text))))))
}

fn recipient_decided() -> Result<Box<dyn FnMut()>, Failure> {
    let (policy, to) = (policy()?, ForwardPath::Mailbox(Mailbox::parse("ann@mx.partner-271.example")?));
    Ok(Box::new(move || {
        let facts = DeliverFacts::new(&ReversePath::Null, black_box(&to), true).at(UnixMillis(0));
        drop(black_box(policy.decide_deliver(&facts)));
    }))
}

const ROOT: &[u8] = include_bytes!("../../crates/cert/tests/fixtures/root.pem");
const LEAF: &[u8] = include_bytes!("../../crates/cert/tests/fixtures/rsa2048.pem");
const HOST: &str = "mx1.bank.example";
const NOW: u64 = 1_781_481_600_000;

fn chain_judged() -> Result<Box<dyn FnMut()>, Failure> {
    let (anchors, chain) = (TrustAnchors::from_pem(ROOT)?, certificates_from_pem(LEAF)?);
    let leaf = chain.into_iter().next().ok_or("no certificate")?;
    let clauses = vec![HostClause::Chain, HostClause::Identity(vec![HOST.parse()?])];
    let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2);
    let now = UnixMillis(i64::try_from(NOW)?);
    if !verify_server(&[&leaf], &demand, &anchors, now).satisfied {
        return Err("the chain is not good".into());
    }
    Ok(Box::new(move || drop(black_box(verify_server(black_box(&[&leaf]), &demand, &anchors, now)))))
}

fn chain_judged_by_webpki() -> Result<Box<dyn FnMut()>, Failure> {
    let of = |pem| -> Result<CertificateDer<'static>, Failure> {
        Ok(certificates_from_pem(pem)?.into_iter().next().ok_or("no certificate")?.to_vec().into())
    };
    let (root, leaf) = (of(ROOT)?, of(LEAF)?);
    let anchors = [webpki::anchor_from_trusted_cert(&root)?.to_owned()];
    let (name, now) = (ServerName::try_from(HOST)?, UnixTime::since_unix_epoch(Duration::from_millis(NOW)));
    let judge = move || -> Result<(), webpki::Error> {
        let certificate = webpki::EndEntityCert::try_from(black_box(&leaf))?;
        let usage = webpki::KeyUsage::server_auth();
        certificate.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], now, usage, None, None)?;
        certificate.verify_is_valid_for_subject_name(&name)
    };
    judge()?;
    Ok(Box::new(move || drop(black_box(judge()))))
}
