//! The tables of docs/policy/levels.md, run as they are printed.

use std::net::{IpAddr, Ipv4Addr};

use sealpost_policy::{Axis, ClientFacts, DeliverFacts, HeaderLevel, HostFacts, Policy, ReceiveDecision, ReceiveFacts, Sts, Tlsa, Trace};
use sealpost_types::{
    CipherSuite, Domain, ForwardPath, HostClause, HostDemand, Level, Mailbox, NextHop, Pin, ReversePath, TlsFacts, TlsRequirement,
    TlsVersion, TlsaRecord, UnixMillis,
};

/// The rows of the first table whose header starts with these cells, below this heading; each cell without its backticks.
fn rows(heading: &str, header: &[&str]) -> Vec<Vec<String>> {
    rows_of("levels.md", heading, header)
}

fn rows_of(page: &str, heading: &str, header: &[&str]) -> Vec<Vec<String>> {
    let path = format!("{}/../../docs/policy/{page}", env!("CARGO_MANIFEST_DIR"));
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
        ("clinic.example", Level::Require),
        ("tax.gov.example", Level::Require),
    ] {
        assert_eq!(level(name), expected, "{name}");
    }
    for (client, sender, recipient, code) in [
        ("192.0.2.1", "x@y.example", "a@b.example", Some(550)),
        ("203.0.113.9", "x@y.example", "payroll@acme.example", None),
        ("203.0.113.9", "ceo@law.example", "payroll@acme.example", Some(550)),
        ("203.0.113.9", "bob@bank.example", "ann@acme.example", Some(550)),
        ("203.0.113.9", "bob@bank.example", "ann@zeta.example", None),
    ] {
        let (sender, recipient) = (sender_of(sender), ForwardPath::from(mailbox(recipient)));
        let facts = ReceiveFacts::new(client.parse().expect("an address"), &sender).with_recipient(&recipient).at(NOW);
        assert_eq!(policy.decide_receive(&facts).refusal().map(|refusal| refusal.code.value()), code, "{client} {sender} {recipient}");
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

// req: B1 B2 B3 B4 B6 B8 D5 F1
#[test]
fn deliver_to_a_hosted_domain() {
    let rows = rows("### Deliver to a hosted domain", &["came in"]);
    assert!(rows.len() >= 17, "{}", rows.len());
    for row in &rows {
        let sources = [
            &partner("*"),
            &partner("*.example"),
            "[[domain]]\nname = 'acme.example'\nowner = 'acme'",
            "[[owner]]\nname = 'acme'\nparent = 'group'",
            "[[owner]]\nname = 'group'",
            "[defaults.hosted]",
        ];
        let cells = [&row[5], &row[6], &row[4], &row[3], &row[2], &row[1]].map(String::as_str);
        let policy = document("deliver", &sources.into_iter().zip(cells).collect::<Vec<_>>());
        check_deliver(&policy, "ann@acme.example", row, &row[7..]);
    }
}

fn in_words(demand: &HostDemand) -> String {
    let clauses = demand.clauses.iter().map(|clause| match clause {
        HostClause::Chain => "chain",
        HostClause::Identity(_) => "name",
        HostClause::Pinned(_) => "pin",
        HostClause::Dane { records, .. } if records.is_empty() => "fails",
        HostClause::Dane { .. } => "DANE",
        other => panic!("{other:?}"),
    });
    std::iter::once(tls_word(demand.tls)).chain(clauses).collect::<Vec<_>>().join(", ")
}

// req: B8 E6
#[test]
fn what_a_level_asks_of_a_host() {
    let rows = rows("### What a level asks of a host", &["deliver"]);
    assert!(rows.len() >= 12, "{}", rows.len());
    let records = [TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }];
    let facts = [
        (Tlsa::Absent, Sts::Absent),
        (Tlsa::Secure { usable: &records }, Sts::Absent),
        (Tlsa::Secure { usable: &[] }, Sts::Absent),
        (Tlsa::Unknown, Sts::Absent),
        (Tlsa::Absent, Sts::Enforce { host_matches: true }),
    ];
    let (next_hop, name) =
        (NextHop::Mx(Domain::parse("bank.example").expect("a name")), Domain::parse("mx.hosting.example").expect("a name"));
    let recipient = ForwardPath::from(mailbox("ann@bank.example"));
    for row in &rows {
        let policy = document("deliver", &[(&partner("bank.example"), &row[0].replace("PIN", &Pin([1; 32]).to_string()))]);
        let decision = policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &recipient, true));
        let address = (Ipv4Addr::LOCALHOST, 25).into();
        let asked = facts.map(|(tlsa, sts)| {
            let facts = HostFacts::new(&next_hop, Some(&name), false, address).with_tlsa(tlsa).with_sts(sts);
            in_words(policy.decide_host(&decision, &facts).demand())
        });
        assert_eq!(asked, row[1..], "{row:?}");
    }
}

fn sender_of(cell: &str) -> ReversePath {
    if cell == "<>" { ReversePath::Null } else { mailbox(cell).into() }
}

/// The replies to a client in clear at MAIL and at RCPT.
fn replies(policy: &Policy, client: &str, sender: &str, recipient: &str) -> [String; 2] {
    let (sender, recipient) = (sender_of(sender), ForwardPath::from(mailbox(recipient)));
    let client = ClientFacts::new(client.parse().expect("an address"));
    let at_mail = ReceiveFacts::new(client.address, &sender).with_client(client).at(NOW);
    [at_mail, at_mail.with_recipient(&recipient)].map(|facts| {
        let decision = policy.decide_receive(&facts);
        assert_eq!(policy.explain_receive(&facts).0, decision);
        reply(&decision)
    })
}

// req: B5
#[test]
fn servers() {
    let rows = rows("### Servers", &["servers"]);
    assert!(rows.len() >= 7, "{}", rows.len());
    for row in &rows {
        let text = format!("[[domain]]\nname = 'acme.example'\nservers = '{}'\nsubmit = 'require'", row[0]);
        let policy = Policy::parse("policy.toml", &text).expect("a policy");
        assert_eq!(replies(&policy, &row[1], &row[2], "cat@shop.example")[0], row[3], "{row:?}");
    }
}

// req: D1 D3 D4
#[test]
fn some_mail_only() {
    let rows = rows("### Some mail only", &["[defaults.hosted]"]);
    assert!(rows.len() >= 13, "{}", rows.len());
    for row in &rows {
        let policy = document("receive", &[("[[domain]]\nname = 'acme.example'", &row[1]), ("[defaults.hosted]", &row[0])]);
        assert_eq!(replies(&policy, STRANGER, &row[2], &format!("{}@acme.example", row[3])), row[4..], "{row:?}");
    }
}

// req: B10
#[test]
fn partners_for_some_domains() {
    let rows = rows("### Some mail only", &["for"]);
    assert!(rows.len() >= 7, "{}", rows.len());
    for row in &rows {
        let ends = if row[0] == "-" { String::new() } else { format!("for = '{}'", row[0]) };
        let text = format!(
            "[[owner]]\nname = 'group'\n[[owner]]\nname = 'acme'\nparent = 'group'\n[[domain]]\nname = 'acme.example'\nowner = 'acme'\n\
             [[domain]]\nname = 'zeta.example'\n[[partner]]\ndomains = 'bank.example'\n{ends}\nreceive = 'require'\ndeliver = 'require'"
        );
        let policy = Policy::parse("policy.toml", &text).expect("a policy");
        let [at_mail, at_rcpt] = replies(&policy, STRANGER, "bob@bank.example", &row[1]);
        let to = ForwardPath::from(mailbox("bob@bank.example"));
        let level = policy.decide_deliver(&DeliverFacts::new(&sender_of(&row[1]), &to, true)).level;
        assert_eq!([at_mail.as_str(), at_rcpt.as_str(), level.as_str()], [&row[2], &row[3], &row[4]].map(String::as_str), "{row:?}");
    }
}

/// A rule of its cell, `condition: action`.
fn rule(number: usize, cell: &str) -> String {
    let (condition, action) = cell.split_once(": ").expect("condition: action");
    let when = match condition {
        "always" => "",
        "inbound" => "direction = 'inbound'",
        "outbound" => "direction = 'outbound'",
        "listed" => "recipient = { matches = 'list' }",
        "not listed" => "recipient = { not_matches = 'list' }",
        other => panic!("{other}"),
    };
    let then = if action == "stop" { "stop = true".to_owned() } else { format!("add_header = {{ X-TLSLevel = '{action}' }}") };
    format!("[[rule]]\nname = '{number}'\nwhen = {{ {when} }}\nthen = {{ {then} }}\n")
}

// req: C1 C2 C3 C4 C5 C6
#[test]
fn rules_and_the_field() {
    let rows = rows("### Rules and the field", &["rules, in order"]);
    assert!(rows.len() >= 17, "{}", rows.len());
    for row in &rows {
        let rules: String = row[0].split(", ").filter(|cell| *cell != "-").zip(1..).map(|(cell, number)| rule(number, cell)).collect();
        let own = if row[2] == "-" { String::new() } else { format!("[[partner]]\ndomains = 'bank.example'\ndeliver = {}\n", row[2]) };
        let text = format!("{rules}{own}[[list]]\nname = 'list'\nentries = 'bank.example'");
        let policy = Policy::parse("policy.toml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let recipient = ForwardPath::from(mailbox("ann@bank.example"));
        let header = (row[1] != "-").then(|| HeaderLevel::of_client(&row[1]));
        let facts = DeliverFacts::new(&ReversePath::Null, &recipient, true).with_header_level(header);
        let (decision, trace) = policy.explain_deliver(&facts);
        assert_eq!([decision.level.as_str(), &decided_by(&trace, Axis::Tls)], [row[3].as_str(), &row[4]], "{row:?}\n{trace}");
    }
}

// req: F2
#[test]
fn testing_and_dates() {
    let rows = rows("### Testing and dates", &["[defaults.external]"]);
    assert!(rows.len() >= 7, "{}", rows.len());
    for row in &rows {
        let beside = if row[2] == "-" { "" } else { &row[2] };
        let header = format!("[[partner]]\ndomains = 'bank.example'\n{beside}");
        let policy = document("deliver", &[(&header, &row[1]), ("[defaults.external]", &row[0])]);
        let recipient = ForwardPath::from(mailbox("ann@bank.example"));
        let (decision, trace) = policy.explain_deliver(&DeliverFacts::new(&ReversePath::Null, &recipient, true).at(NOW));
        let shadow = decision.shadow.as_ref().map_or("-", |shadow| shadow.level.as_str());
        assert_eq!([decision.level.as_str(), shadow], [row[3].as_str(), &row[4]], "{row:?}\n{trace}");
    }
}

/// A day of 2026.
const NOW: UnixMillis = UnixMillis(1_780_000_000_000);

const STRANGER: &str = "203.0.113.9";

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
    assert!(rows.len() >= 11, "{}", rows.len());
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

/// The rows of the page of patterns, by way of an entry.
// req: A1
#[test]
fn patterns_of_their_own_page() {
    let rows = rows_of("patterns.md", "## Domains", &["pattern", "name"]);
    assert!(rows.len() >= 34, "{}", rows.len());
    for row in rows.iter().filter(|row| !row.iter().any(|cell| cell.contains("\\u{"))) {
        let text = format!("[[partner]]\ndomains = '{}'\nsubdomains = false\ndeliver = 'require'", row[0]);
        let policy = Policy::parse("policy.toml", &text).expect("a pattern");
        assert_eq!(is_covered(&policy, &row[1]), row[2] == "yes", "{row:?}");
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
