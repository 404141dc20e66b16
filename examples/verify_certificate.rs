//! A verdict on a certificate chain: the right one passes, and of a wrong one everything that is wrong is said.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use sealpost_cert::{CertificateDetails, verify_server};
use sealpost_examples::{Authority, Outcome};
use sealpost_types::{HostClause, HostDemand, TlsRequirement, TlsVersion, UnixMillis};

fn main() -> Outcome {
    let now = UnixMillis(1_781_481_600_000); // in June 2026: time is an argument
    let (bank, forger) = (Authority::new()?, Authority::new()?);
    let chain = HostClause::Chain;
    let name = HostClause::Identity(vec!["mx.bank.example".parse()?]);
    let demand = HostDemand::new(TlsRequirement::Mandatory, vec![chain, name], TlsVersion::Tls1_2);

    let right = bank.issue_der("mx.bank.example")?;
    let verdict = verify_server(&[&right[0]], &demand, &bank.anchors(), now);
    assert!(verdict.satisfied);
    println!("satisfied, by {}", verdict.path.join(" <- "));

    let wrong = forger.issue_der("mx.forger.example")?;
    let verdict = verify_server(&[&wrong[0]], &demand, &bank.anchors(), now);
    assert!(!verdict.satisfied && verdict.findings.len() == 2);
    for finding in &verdict.findings {
        println!("not satisfied: {finding}");
    }

    print!("{}", CertificateDetails::from_der(&right[0])?);
    Ok(())
}
