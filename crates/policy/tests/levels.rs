//! The tables of docs/policy/levels.md, run as they are printed.

use std::net::{IpAddr, Ipv4Addr};

use sealpost_policy::{Axis, DeliverFacts, Policy, ReceiveDecision, ReceiveFacts, Trace};
use sealpost_types::{CipherSuite, Domain, ForwardPath, Level, Mailbox, ReversePath, TlsFacts, TlsRequirement, TlsVersion};

/// The rows of the first table whose header starts with these cells, below this heading; each cell without its backticks.
fn rows(heading: &str, header: &[&str]) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy/levels.md");
    let page = std::fs::read_to_string(path).expect("the page is part of the source");
    let (_, section) = page.split_once(&format!("\n{heading}\n")).expect("the heading is there");
    let lines = section.lines().skip_while(|line| {
        cells(line).is_none_or(|cells| !cells.starts_with(&header.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()))
    });
    lines.skip(2).map_while(cells).collect()
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(inner.split(" | ").map(|cell| cell.trim().replace('`', "")).collect())
}

/// A document in which each source writes its cell for one hop; a dash writes nothing.
fn document(hop: &str, sources: &[(&str, &str)]) -> Policy {
    let text: String = sources
        .iter()
        .map(|(header, cell)| {
            let value = if *cell == "-" { String::new() } else { format!("{hop} = {cell}\n") };
            format!("{header}\n{value}")
        })
        .collect();
    Policy::parse("policy.toml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn partner(domains: &str) -> String {
    format!("[[partner]]\ndomains = '{domains}'")
}

/// The example of the page is a document, and does what its comments say.
#[test]
fn the_document_of_the_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy/levels.md");
    let page = std::fs::read_to_string(path).expect("the page is part of the source");
    let (_, block) = page.split_once("```toml\n").expect("the example is there");
    let (text, _) = block.split_once("```").expect("it ends");
    let policy = Policy::parse("policy.toml", text).expect("a policy");
    assert!(policy.is_hosted(&Domain::parse("acme.example").expect("a name")));
    let level = |name: &str| {
        let to = ForwardPath::from(mailbox(&format!("ann@{name}")));
        policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true)).level
    };
    for (name, expected) in [
        ("acme.example", Level::Verify),
        ("a.bank.example", Level::Verify),
        ("lists.bank.example", Level::Opportunistic),
        ("x.bank-group.example", Level::Verify),
        ("bank-group.example", Level::Opportunistic),
    ] {
        assert_eq!(level(name), expected, "{name}");
    }
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("a mailbox")
}

fn decided_by(trace: &Trace, axis: Axis) -> String {
    let deciding: Vec<_> = trace.steps.iter().filter(|step| step.decided.contains(axis)).collect();
    assert_eq!(deciding.len(), 1, "{trace}");
    let source = &deciding[0].source;
    source.name().map_or_else(|| source.kind().as_str().to_owned(), |name| format!("{} \"{name}\"", source.kind().as_str()))
}

fn tls_word(tls: TlsRequirement) -> &'static str {
    match tls {
        TlsRequirement::Never => "never",
        TlsRequirement::Opportunistic => "opportunistic",
        TlsRequirement::Mandatory => "mandatory",
    }
}

fn check_deliver(policy: &Policy, to: &str, row: &[String], outcome: &[String]) {
    let to = ForwardPath::from(mailbox(to));
    let from = ReversePath::from(mailbox("cat@hosted.example.net"));
    let (decision, trace) = policy.explain_deliver(&DeliverFacts::new(&from, &to, row[0] == "TLS"));
    let floor = if decision.demand.min_version == TlsVersion::Tls1_3 { "1.3" } else { "1.2" };
    let found = [decision.level.as_str(), tls_word(decision.demand.tls), floor, &decided_by(&trace, Axis::Tls)].map(str::to_owned);
    assert_eq!(found, outcome, "{row:?}\n{trace}");
    assert_eq!(decision.demand.clauses.is_empty(), decision.level != Level::Verify, "{row:?}");
    assert_eq!(policy.decide_deliver(&DeliverFacts::new(&from, &to, row[0] == "TLS")), decision);
}

// req: A1 B1 B2 B3 B4 B8 F1
#[test]
fn deliver_to_an_external_domain() {
    let rows = rows("### Deliver to an external domain", &["came in"]);
    assert!(rows.len() >= 18, "{}", rows.len());
    for row in &rows {
        let sources = [&partner("bank.example"), &partner("*.example"), &partner("*"), "[defaults.external]"];
        let cells = [&row[4], &row[3], &row[2], &row[1]].map(String::as_str);
        let policy = document("deliver", &sources.into_iter().zip(cells).collect::<Vec<_>>());
        check_deliver(&policy, "ann@mail.bank.example", row, &row[5..]);
    }
}

// req: B1 B2 B3 B4 B6 B8 F1
#[test]
fn deliver_to_a_hosted_domain() {
    let rows = rows("### Deliver to a hosted domain", &["came in"]);
    assert!(rows.len() >= 11, "{}", rows.len());
    for row in &rows {
        let sources = [&partner("*"), &partner("*.example"), "[[domain]]\nname = 'acme.example'", "[defaults.hosted]"];
        let cells = [&row[3], &row[4], &row[2], &row[1]].map(String::as_str);
        let policy = document("deliver", &sources.into_iter().zip(cells).collect::<Vec<_>>());
        check_deliver(&policy, "ann@acme.example", row, &row[5..]);
    }
}

fn reply(decision: &ReceiveDecision) -> String {
    decision.refusal().map_or_else(|| "accept".to_owned(), |refusal| format!("{} {}", refusal.code, refusal.status))
}

// req: A1 A5 B1 B4 F1
#[test]
fn receive() {
    let rows = rows("### Receive", &["session"]);
    assert!(rows.len() >= 19, "{}", rows.len());
    for row in &rows {
        let sources =
            [&partner("bank.example"), &partner("*"), "[[domain]]\nname = 'acme.example'", "[defaults.external]", "[defaults.hosted]"];
        let cells = [&row[4], &row[3], &row[6], &row[2], &row[5]].map(String::as_str);
        let policy = document("receive", &sources.into_iter().zip(cells).collect::<Vec<_>>());
        let tls = match row[0].as_str() {
            "clear" => None,
            "1.2" => Some(TlsFacts::new(TlsVersion::Tls1_2, CipherSuite(0xc02f), None, false)),
            "1.3" => Some(TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1301), None, false)),
            other => panic!("{other}"),
        };
        let from = ReversePath::from(mailbox("bob@mail.bank.example"));
        let to = ForwardPath::from(mailbox(if row[1] == "hosted" { "ann@acme.example" } else { "cat@shop.example" }));
        let at_mail = ReceiveFacts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), &from).with_tls(tls.as_ref());
        let at_rcpt = at_mail.with_recipient(&to);
        let (decision, trace) = policy.explain_receive(&at_rcpt);
        let found = [decision.level.as_str(), &reply(&policy.decide_receive(&at_mail)), &reply(&decision), &decided_by(&trace, Axis::Tls)]
            .map(str::to_owned);
        assert_eq!(found, row[7..], "{row:?}\n{trace}");
        assert_eq!(policy.decide_receive(&at_rcpt), decision);
        if let Some(refusal) = decision.refusal() {
            assert_eq!(refusal.text.contains("STARTTLS"), tls.is_none(), "{refusal}");
            assert_eq!(refusal.text.contains("TLSv1.3"), tls.is_some(), "{refusal}");
        }
    }
}

fn is_covered(policy: &Policy, name: &str) -> bool {
    let to = ForwardPath::from(mailbox(&format!("ann@{name}")));
    policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true)).level == Level::Require
}

// req: A1
#[test]
fn patterns() {
    let rows = rows("## Patterns", &["pattern"]);
    assert!(rows.len() >= 37, "{}", rows.len());
    for row in &rows {
        let (pattern, name) = (&row[0], &row[1]);
        for (subdomains, expected) in [("true", &row[2]), ("false", &row[3])] {
            let text =
                |key: &str, value: &str| format!("[[partner]]\ndomains = '{pattern}'\nsubdomains = {subdomains}\n{key} = '{value}'\n");
            let policy = Policy::parse("policy.toml", &text("deliver", "require")).expect("a pattern");
            assert_eq!(is_covered(&policy, name), expected == "covered", "{row:?}, subdomains = {subdomains}");
        }
        // The same pattern takes names out of another entry; there it means itself and no more.
        let excluded = Policy::parse("policy.toml", &format!("[[partner]]\ndomains = '*'\nexclude = '{pattern}'\ndeliver = 'require'"));
        assert_eq!(is_covered(&excluded.expect("a pattern"), name), row[3] != "covered", "{row:?}, excluded");
        let alone: sealpost_policy::Pattern = pattern.parse().expect("a pattern");
        assert_eq!(alone.matches(&Domain::parse(name).expect("a name")), row[3] == "covered", "{row:?}, alone");
        assert_eq!(alone.to_string().parse(), Ok(alone), "{row:?}, written and read");
    }
}

// req: A1
#[test]
fn the_most_specific_pattern_holds() {
    let rows = rows("## Patterns", &["entries, in written order"]);
    assert!(rows.len() >= 10, "{}", rows.len());
    for row in &rows {
        let entries: Vec<_> = row[0].split(", ").map(|pattern| (partner(pattern), "'require'")).collect();
        let policy = document("deliver", &entries.iter().map(|(header, cell)| (header.as_str(), *cell)).collect::<Vec<_>>());
        let to = ForwardPath::from(mailbox(&format!("ann@{}", row[1])));
        let (_, trace) = policy.explain_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true));
        assert_eq!(decided_by(&trace, Axis::Tls), format!("partner \"{}\"", row[2]), "{row:?}\n{trace}");
    }
}
