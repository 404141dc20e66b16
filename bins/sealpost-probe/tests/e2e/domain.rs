//! `sealpost-probe test`: what mail to a domain would meet. (A7, B7)

use std::process::Output;

use serde_json::Value;

use crate::dns::{NameServer, Record};
use crate::equipment::{Sink, ends, object, probe};

/// The domain with one server, `mx.bank.example`, at a port of its own.
fn test(sink: &Sink, options: &[&str]) -> Output {
    let dns = NameServer::start(vec![("mx.bank.example", Record::A([127, 0, 0, 1].into()))]);
    let (server, anchors, dns_address) = (format!("mx.bank.example:{}", sink.address.port()), sink.anchors(), dns.address.to_string());
    let mut arguments = vec!["test", "bank.example", "--server", &server, "--anchors", &anchors, "--dns", &dns_address];
    if !options.contains(&"--dnssec") {
        arguments.extend_from_slice(&["--dnssec", "off"]);
    }
    arguments.extend_from_slice(options);
    probe(&arguments)
}

fn named(options: &[&str]) -> Sink {
    Sink::start(&[&["--name", "mx.bank.example"], options].concat())
}

/// The line of a level.
fn at<'a>(said: &'a str, level: &str) -> &'a str {
    let line = said.lines().find(|line| line.starts_with(&format!("  {level} ")) && line.contains("  "));
    line.unwrap_or_else(|| panic!("{level}: {said}"))
}

// req: A7 B7
#[test]
fn each_level_has_its_verdict() {
    let good = ends(&test(&named(&[]), &[]), 0);
    for level in ["opportunistic", "require", "chain", "verify"] {
        assert!(at(&good, level).ends_with(" would deliver"), "{level}: {good}");
    }
    // without DNSSEC nobody can say
    assert!(at(&good, "dane").contains("could not be tested (mx.bank.example: nothing proves"), "{good}");
    assert!(at(&good, "dane-only").ends_with("could not be tested (the same)"), "{good}");
    assert!(good.contains("89 days left") && good.contains("REQUIRETLS: offered") && good.contains("mail in clear: taken"), "{good}");
    assert!(good.contains("chain: 1 certificate, trusted here, by CN=Sealpost sink throw-away authority"), "{good}");
    for (kind, chain, verify) in [
        // what the line above says of it is not said again
        ("expired", "would NOT (mx.bank.example: certificate expired 3 days ago", "would NOT (the same)"),
        ("wrong-name", "would deliver", "would NOT (mx.bank.example: no certificate for"),
        ("weak", "would NOT", "would NOT"),
    ] {
        let said = ends(&test(&named(&["--kind", kind]), &[]), 0);
        assert!(at(&said, "chain").contains(chain) && at(&said, "verify").contains(verify), "{kind}: {said}");
        // the chain by itself: a wrong name is no matter of it
        assert_eq!(said.contains("not trusted here: "), kind != "wrong-name", "{kind}: {said}");
        let output = test(&named(&["--kind", kind]), &["--level", "verify", "--json"]);
        ends(&output, 1);
        let shown = &object(&output)["hosts"][0]["chain"];
        assert_eq!(shown["trusted"] == true && shown["path"].as_array().unwrap().len() == 2, kind == "wrong-name", "{kind}: {shown}");
    }
}

#[test]
fn without_tls_only_opportunistic_mail_goes_and_in_clear() {
    for options in [&["--no-starttls"][..], &["--reply", "STARTTLS=454 4.7.0 no"], &["--close", "HANDSHAKE"]] {
        let said = ends(&test(&named(options), &[]), 1);
        let clear = at(&said, "opportunistic");
        assert!(clear.contains("would deliver in clear (mx.bank.example: ") && !clear.contains("is required"), "{said}");
        assert!(at(&said, "require").contains("would NOT ("), "{said}");
        ends(&test(&named(options), &["--level", "opportunistic"]), 0);
    }
    // a server that takes nothing in clear gets nothing in clear
    let said = ends(&test(&named(&["--no-starttls", "--reply", "MAIL=530 5.7.0 TLS first"]), &["--level", "opportunistic"]), 1);
    assert!(said.contains("mail in clear: refused (530 5.7.0 TLS first)"), "{said}");
}

#[test]
fn what_could_not_be_tested_is_said_so_at_each_level() {
    for options in [&["--reply", "BANNER=421 4.7.0 too many"][..], &["--stall", "EHLO"]] {
        let output = test(&named(options), &["--timeout", "1s", "--json"]);
        ends(&output, 2);
        let answer = object(&output);
        let levels = answer["levels"].as_array().unwrap();
        assert!(levels.iter().all(|level| level["result"] == "could not be tested"), "{answer}");
        assert!(answer["hosts"][0]["mail_in_clear"].is_null(), "a server that does not answer is not asked again: {answer}");
    }
}

// req: B7
#[test]
fn a_policy_says_which_level_holds_and_whether_it_would_hold_today() {
    let sink = named(&["--kind", "expired"]);
    let policy = sink.folder.path().join("policy.toml");
    let partner = |level: &str| {
        let text = format!("[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\ndeliver = \"{level}\"\n");
        std::fs::write(&policy, text).unwrap();
        policy.display().to_string()
    };
    let file = partner("verify");
    let said = ends(&test(&sink, &["--policy", &file]), 1);
    assert!(said.contains(&format!("By {file}: verify")) && said.contains("policy.toml:1"), "the level and where it stands: {said}");
    assert!(said.contains("today: would NOT (mx.bank.example: certificate expired"), "{said}");
    // the negative control: the same server under a level that asks nothing of certificates
    let said = ends(&test(&sink, &["--policy", &partner("require")]), 0);
    assert!(said.contains("today: would deliver"), "{said}");
}

#[test]
fn quiet_is_for_cron() {
    let sink = named(&["--kind", "expired"]);
    assert_eq!(ends(&test(&sink, &["--quiet"]), 0), "");
    let said = ends(&test(&sink, &["--quiet", "--level", "verify"]), 1);
    assert!(
        said.starts_with("bank.example: verify: would NOT (mx.bank.example: certificate expired") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn versions_and_suites_are_tried_one_by_one() {
    let host = |options: &[&str]| object(&test(&named(options), &["--deep", "--json"]))["hosts"][0].clone();
    let suites = |options: &[&str]| -> Vec<Value> { host(options)["suites"].as_array().unwrap().clone() };
    let taken = |suites: &[Value], word: &str| suites.iter().any(|suite| suite["suite"] == word && suite["taken"] == true);
    let all = suites(&[]);
    assert!(taken(&all, "TLS_AES_256_GCM_SHA384") && taken(&all, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"), "{all:?}");
    assert!(!taken(&all, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), "the key is no RSA key: {all:?}");
    let new = suites(&["--min-version", "1.3"]);
    assert!(taken(&new, "TLS_AES_256_GCM_SHA384") && !taken(&new, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"), "{new:?}");
    for (floor, old, words) in [("1.2", true, "  TLSv1.2: taken\n    with      TLS_ECDHE_ECDSA_"), ("1.3", false, "  TLSv1.2: not taken\n")]
    {
        let both = serde_json::json!([{ "version": "TLSv1.3", "taken": true }, { "version": "TLSv1.2", "taken": old }]);
        assert_eq!(host(&["--min-version", floor])["versions"], both);
        let said = ends(&test(&named(&["--min-version", floor]), &["--deep"]), 0);
        assert!(said.contains("  TLSv1.3: taken\n") && said.contains(words), "{floor}: {said}");
    }
    assert!(object(&test(&named(&[]), &["--json"]))["hosts"][0]["versions"].is_null(), "not without --deep");
}

#[test]
fn no_colour_where_nobody_sees_it() {
    assert!(!ends(&test(&named(&[]), &[]), 0).contains('\x1b'));
}

#[test]
fn a_domain_without_servers_fails_and_a_silent_name_server_tells_nothing() {
    let dns = NameServer::start(vec![("www.bank.example", Record::A([127, 0, 0, 1].into()))]);
    let address = dns.address.to_string();
    let said = ends(&probe(&["test", "nowhere.example", "--dns", &address, "--dnssec", "off"]), 1);
    assert!(said.contains("nowhere.example"), "{said}");
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    ends(&probe(&["test", "bank.example", "--dns", &silent, "--dnssec", "off", "--timeout", "2s"]), 2);
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [
        &["b..example"][..],
        &["bank.example", "--level", "pinned"],
        &["bank.example", "--policy", "/nowhere"],
        &["bank.example", "--config", "/nowhere"],
        &["bank.example", "--dns", "here"],
        &["bank.example", "--policy", "p", "--level", "verify"],
        &[],
    ] {
        ends(&probe(&[&["test"], arguments].concat()), 64);
    }
}

mod with_port_25 {
    use super::*;

    /// Two mail exchangers: one as it should be, one whose certificate has ended.
    #[test]
    #[ignore = "needs root and port 25"]
    fn mail_exchangers_are_tested_one_by_one() {
        let start = |address: &str, name: &str, kind: &str| Sink::start_at(address, &["--name", name, "--kind", kind]);
        let good = start("127.0.61.1:25", "mx1.bank.example", "good");
        let bad = start("127.0.61.2:25", "mx2.bank.example", "expired");
        let dns = NameServer::start(vec![
            ("bank.example", Record::Mx(10, "mx1.bank.example")),
            ("bank.example", Record::Mx(20, "mx2.bank.example")),
            ("bank.example", Record::Mx(30, "gone.bank.example")),
            ("mx1.bank.example", Record::A([127, 0, 61, 1].into())),
            ("mx2.bank.example", Record::A([127, 0, 61, 2].into())),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let anchors = folder.path().join("both.pem");
        let both = [good.anchors(), bad.anchors()].map(|file| std::fs::read_to_string(file).unwrap()).concat();
        std::fs::write(&anchors, both).unwrap();
        let (dns_address, anchors) = (dns.address.to_string(), anchors.display().to_string());
        let run = |options: &[&str]| {
            probe(&[&["test", "bank.example", "--dns", &dns_address, "--dnssec", "off", "--anchors", &anchors], options].concat())
        };
        let said = ends(&run(&["--level", "verify"]), 0);
        assert!(said.contains("MX 10 mx1.bank.example, 20 mx2.bank.example, 30 gone.bank.example"), "{said}");
        assert!(said.contains("gone.bank.example was not tested"), "{said}");
        assert!(at(&said, "chain").contains("would deliver (not by mx2.bank.example: certificate expired 3 days ago"), "{said}");
        assert!(at(&said, "verify").ends_with("would deliver (the same)"), "{said}");
        drop(good);
        let said = ends(&run(&["--level", "verify"]), 1);
        assert!(at(&said, "verify").contains("would NOT ("), "{said}");
    }
}
