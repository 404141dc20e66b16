//! The pages in docs/coming-from: the policy that each of them prints is read, and each row of its proof is run on it.
//!
//! A row is facts and what comes of them. Its first column names what it proves; what the policy does not decide stands in a
//! table of its own, which says where it is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sealpost_policy::{
    Axis, ClientCertificate, ClientFacts, DeliverFacts, HeaderBlock, HeaderLevel, HostFacts, Policy, ReceiveFacts, Tlsa, Trace,
};
use sealpost_types::{
    CipherSuite, Clause, Domain, Fate, ForwardPath, HostClause, Mailbox, NameMatch, NextHop, OnExpiry, OnFailure, ReferenceName,
    ReversePath, TlsFacts, TlsRequirement, TlsVersion, TlsaRecord,
};

/// Cells by the header of their column.
type Row = BTreeMap<String, String>;

// req: A1 A5 A6
#[test]
fn sophos() {
    let page = Page::read("sophos.md");
    page.check(&letter('A', 10), &["A1", "A5", "A6"]);
    page.check_control(&["A1", "A5", "A6"]);
}

// req: B1 B2 B3 B4 B5 B6 B8 B9 B10
#[test]
fn symantec() {
    let page = Page::read("symantec.md");
    page.check(&letter('B', 10), &["B1", "B2", "B3", "B4", "B5", "B6", "B8", "B9", "B10"]);
    // B1 is what holds with nothing configured.
    page.check_control(&["B2", "B3", "B4", "B5", "B6", "B8", "B9", "B10"]);
}

// req: C1 C2 C3 C4 C5 C6
#[test]
fn x_tlslevel() {
    let page = Page::read("x-tlslevel.md");
    page.check(&letter('C', 6), &["C1", "C2", "C3", "C4", "C5", "C6"]);
    page.check_control(&["C1", "C2", "C3", "C4", "C5", "C6"]);
}

// req: D1 D2 D3 D4 D5
#[test]
fn mail_assure() {
    let page = Page::read("mail-assure.md");
    page.check(&letter('D', 5), &["D1", "D2", "D3", "D4", "D5"]);
    page.check_control(&["D1", "D2", "D3", "D4", "D5"]);
}

/// What Postfix writes means what the page says; that its tables can be read is shown where they are read.
#[test]
fn postfix() {
    let page = Page::read("postfix.md");
    let levels = ["none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"];
    let written = ["match", "protocols", "example.org", ".example.org", "smtp_tls_security_level", "maximal_queue_lifetime"];
    let access = ["check_sender_access", "check_recipient_access", "check_client_access"];
    let proven = [&levels[..], &written, &access].concat();
    let elsewhere = ["E10", "smtpd_tls_security_level"];
    page.check(&[&proven[..], &elsewhere].concat().into_iter().map(str::to_owned).collect::<Vec<_>>(), &proven);
    // `may` is what holds with nothing configured.
    page.check_control(&proven.into_iter().filter(|name| *name != "may").collect::<Vec<_>>());
}

/// A page of the book.
struct Page {
    text: String,
}

impl Page {
    fn read(file: &str) -> Self {
        let path = format!("{}/../../docs/coming-from/{file}", env!("CARGO_MANIFEST_DIR"));
        Self { text: std::fs::read_to_string(path).expect("the page is part of the source") }
    }

    /// The one policy that is printed on the page.
    fn document(&self) -> &str {
        let blocks: Vec<_> = self.text.split("```toml\n").skip(1).map(|rest| rest.split_once("```").expect("it ends").0).collect();
        assert_eq!(blocks.len(), 1, "one whole policy");
        blocks[0]
    }

    fn rows(&self, first_column: &str) -> Vec<Row> {
        let lines: Vec<_> = self.text.lines().collect();
        let mut rows = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let Some(header) = cells(line).filter(|cells| cells[0] == first_column) else { continue };
            for cells in lines[at + 2..].iter().map_while(|line| cells(line)) {
                assert_eq!(cells.len(), header.len(), "{cells:?}");
                rows.push(header.iter().cloned().zip(cells).collect());
            }
        }
        rows
    }

    /// All rows hold; they prove what `proven` names; all else of `names` is said to be seen elsewhere.
    fn check(&self, names: &[String], proven: &[&str]) {
        let rows = self.rows("proves");
        let wrong: Vec<_> = rows.iter().filter_map(|row| mismatch(&self.policy_for(row), row, true)).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let claimed: BTreeSet<_> = rows.iter().flat_map(proves).collect();
        assert_eq!(claimed, proven.iter().map(|name| (*name).to_owned()).collect(), "what the rows claim to prove");
        let elsewhere = self.rows("not decided by the policy");
        let elsewhere: BTreeSet<_> = elsewhere.iter().map(|row| row["not decided by the policy"].clone()).collect();
        let named: BTreeSet<_> = claimed.union(&elsewhere).cloned().collect();
        assert_eq!(named, names.iter().cloned().collect(), "what the page speaks of");
    }

    /// The negative control: with an empty file, not all rows hold of each of these.
    fn check_control(&self, proven: &[&str]) {
        let rows = self.rows("proves");
        for name in proven {
            let mut of_name = rows.iter().filter(|row| proves(row).any(|proven| proven == *name));
            assert!(of_name.any(|row| mismatch(&Policy::builtin(), row, false).is_some()), "{name} holds without the policy too");
        }
    }

    /// The policy of the page, with the change that the row makes to it.
    fn policy_for(&self, row: &Row) -> Policy {
        let document = self.document();
        let text = match (row.get("file"), row.get("instead of"), row.get("rule moved to the top")) {
            (Some(file), None, None) => {
                assert_eq!(file, "empty");
                String::new()
            }
            (None, Some(written), None) => {
                assert_eq!(document.matches(written.as_str()).count(), 1, "{written} stands there once");
                document.replacen(written, &row["is written"], 1)
            }
            (None, None, Some(rule)) => moved_up(document, rule),
            (None, None, None) => document.to_owned(),
            _ => panic!("one change a row: {row:?}"),
        };
        Policy::parse("policy.toml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
    }
}

fn letter(letter: char, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{letter}{number}")).collect()
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(inner.split(" | ").map(|cell| cell.trim().replace('`', "")).collect())
}

fn proves(row: &Row) -> impl Iterator<Item = String> {
    row["proves"].split(", ").map(str::to_owned)
}

/// The document with this rule before all others; the rules are its last tables.
fn moved_up(document: &str, rule: &str) -> String {
    let (head, rules) = document.split_once("[[rule]]").expect("there are rules");
    let mut rules: Vec<_> = rules.split("[[rule]]").collect();
    let name = format!("name = \"{rule}\"");
    let at = rules.iter().position(|text| text.contains(&name)).unwrap_or_else(|| panic!("no rule {rule}"));
    assert!(at > 0, "{rule} is at the top already");
    let moved = rules.remove(at);
    rules.insert(0, moved);
    rules.iter().fold(head.to_owned(), |text, rule| format!("{text}[[rule]]{rule}\n"))
}

/// What is not as the row says, if anything.
fn mismatch(policy: &Policy, row: &Row, with_sources: bool) -> Option<String> {
    let (found, trace) = if row.contains_key("at RCPT") { receive(policy, row) } else { deliver(policy, row) };
    for column in row.keys() {
        assert!(FACTS.contains(&column.as_str()) || found.contains_key(column.as_str()), "nothing reads {column:?}");
    }
    let wrong = found.iter().filter(|(column, _)| with_sources || **column != "decided by");
    let wrong: Vec<_> = wrong
        .filter(|(column, found)| row.get(**column).is_some_and(|expected| expected != *found))
        .map(|(column, found)| format!("{column}: {found}, not {}", row[*column]))
        .collect();
    (!wrong.is_empty()).then(|| format!("{row:?}\n{}\n{trace}\n", wrong.join("\n")))
}

const FACTS: &[&str] = &[
    "proves",
    "file",
    "instead of",
    "is written",
    "rule moved to the top",
    "client",
    "session",
    "came in",
    "header",
    "host",
    "TLSA",
    "sender",
    "recipient",
];

fn receive(policy: &Policy, row: &Row) -> (BTreeMap<&'static str, String>, Trace) {
    let (client, sender, recipient) = (Client::of(row), sender(row), recipient(row));
    let tls = session(&row["session"]);
    let at_mail = ReceiveFacts::new(client.address, &sender).with_client(client.facts()).with_tls(tls.as_ref());
    let at_rcpt = at_mail.with_recipient(&recipient);
    let reply = |facts: &ReceiveFacts<'_>| {
        let decision = policy.decide_receive(facts);
        decision.refusal().map_or_else(|| "accept".to_owned(), |refusal| format!("{} {}", refusal.code, refusal.status))
    };
    let (decision, trace) = policy.explain_receive(&at_rcpt);
    assert_eq!(policy.decide_receive(&at_rcpt), decision);
    let found = [
        ("level", decision.level.to_string()),
        ("at MAIL", reply(&at_mail)),
        ("at RCPT", reply(&at_rcpt)),
        ("decided by", decided_by(&trace)),
    ];
    (found.into_iter().collect(), trace)
}

fn deliver(policy: &Policy, row: &Row) -> (BTreeMap<&'static str, String>, Trace) {
    let (client, sender, recipient) = (Client::of(row), sender(row), recipient(row));
    let header = row.get("header").filter(|cell| *cell != "-").map_or_else(String::new, |cell| cell.replace("; ", "\r\n"));
    let header = HeaderBlock::parse(format!("{header}\r\n\r\n").as_bytes());
    let asked = header.values(policy.header_name().as_str()).next().filter(|_| policy.trusts_header_of(&client.facts()));
    let secure = row.get("came in").is_none_or(|cell| cell == "TLS");
    let facts =
        DeliverFacts::new(&sender, &recipient, secure).with_header(Some(&header)).with_header_level(asked.map(HeaderLevel::of_client));
    let (decision, trace) = policy.explain_deliver(&facts);
    assert_eq!(policy.decide_deliver(&facts), decision);
    let (mut tls, mut certificate) = (decision.demand.tls, proofs(&decision.demand.clauses));
    if let Some(host) = row.get("host") {
        let of_host = host_demand(policy, &decision, &recipient, host, &row["TLSA"]);
        (tls, certificate) = (of_host.tls, host_proofs(&of_host.clauses));
    }
    let floor = if decision.demand.min_version == TlsVersion::Tls1_3 { "1.3" } else { "1.2" };
    let ciphers = decision.demand.ciphers.as_ref().map_or_else(|| "all".to_owned(), |ciphers| ciphers.to_string().replace(':', ", "));
    let found = [
        ("level", decision.level.to_string()),
        ("TLS", tls_word(tls).to_owned()),
        ("certificate", certificate),
        ("floor", floor.to_owned()),
        ("ciphers", ciphers),
        ("tried for, then", fate(decision.fate)),
        ("decided by", decided_by(&trace)),
    ];
    (found.into_iter().collect(), trace)
}

/// What is asked of one host: its name, `signed` behind it where DNSSEC or a route vouches for it, and its TLSA records.
fn host_demand(
    policy: &Policy,
    decision: &sealpost_policy::DeliverDecision,
    recipient: &ForwardPath,
    host: &str,
    tlsa: &str,
) -> sealpost_types::HostDemand {
    let domain = recipient.domain().expect("a recipient with a domain");
    let mx = NextHop::Mx(domain.clone());
    let next_hop = policy.route(domain).unwrap_or(&mx);
    let name = Domain::parse(host.trim_end_matches(" signed")).expect("a host");
    let records = [TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }];
    let tlsa = match tlsa {
        "none" => Tlsa::Absent,
        "unknown" => Tlsa::Unknown,
        "secure" => Tlsa::Secure { usable: &records },
        "unusable" => Tlsa::Secure { usable: &[] },
        other => panic!("{other}"),
    };
    let address = "192.0.2.99:25".parse().expect("an address");
    let facts = HostFacts::new(next_hop, Some(&name), host.ends_with(" signed"), address).with_tlsa(tlsa);
    policy.decide_host(decision, &facts).demand().clone()
}

/// A client as a cell names it: an address, `auth:LOGIN`, `cert:NAME`, in any mix.
struct Client {
    address: IpAddr,
    login: Option<String>,
    certificate: Option<ClientCertificate>,
}

impl Client {
    fn of(row: &Row) -> Self {
        let mut client = Self { address: "203.0.113.9".parse().expect("an address"), login: None, certificate: None };
        for word in row.get("client").map_or("anybody", String::as_str).split(' ') {
            match word.split_once(':') {
                Some(("auth", login)) => client.login = Some(login.to_owned()),
                Some(("cert", name)) => {
                    let name = Domain::parse(name).expect("a name");
                    client.certificate = Some(ClientCertificate::new(true, vec![name], None));
                }
                _ if word == "anybody" => {}
                _ => client.address = word.parse().unwrap_or_else(|error| panic!("{word}: {error}")),
            }
        }
        client
    }

    fn facts(&self) -> ClientFacts<'_> {
        let mut facts = ClientFacts::new(self.address);
        facts.login = self.login.as_deref();
        facts.certificate = self.certificate.as_ref();
        facts
    }
}

/// `clear`, `1.2` or `1.3`, and the cipher suite where it matters.
fn session(cell: &str) -> Option<TlsFacts> {
    let (version, suite) = cell.split_once(' ').map_or((cell, None), |(version, suite)| (version, Some(suite)));
    let (version, usual) = match version {
        "clear" => return None,
        "1.2" => (TlsVersion::Tls1_2, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        "1.3" => (TlsVersion::Tls1_3, "TLS_AES_128_GCM_SHA256"),
        other => panic!("{other}"),
    };
    let suite: CipherSuite = suite.unwrap_or(usual).parse().expect("a cipher suite");
    Some(TlsFacts::new(version, suite, None, false))
}

fn sender(row: &Row) -> ReversePath {
    match row["sender"].as_str() {
        "<>" => ReversePath::Null,
        text => Mailbox::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).into(),
    }
}

fn recipient(row: &Row) -> ForwardPath {
    let text = &row["recipient"];
    Mailbox::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).into()
}

fn decided_by(trace: &Trace) -> String {
    let deciding: Vec<_> = trace.steps.iter().filter(|step| step.decided.contains(Axis::Tls)).collect();
    assert_eq!(deciding.len(), 1, "{trace}");
    let source = &deciding[0].source;
    source.name().map_or_else(|| source.kind().as_str().to_owned(), |name| format!("{} {name}", source.kind().as_str()))
}

fn tls_word(tls: TlsRequirement) -> &'static str {
    match tls {
        TlsRequirement::Never => "never",
        TlsRequirement::Opportunistic => "opportunistic",
        TlsRequirement::Mandatory => "mandatory",
    }
}

/// What a certificate must prove, before a host is known.
fn proofs(clauses: &[Clause]) -> String {
    let of_names = |names: &[ReferenceName]| names.iter().map(|name| format!(", {name}")).collect::<String>();
    let words = clauses.iter().map(|clause| match clause {
        Clause::Chain => "chain".to_owned(),
        Clause::Identity(rule) => {
            let matching = if rule.matching == NameMatch::Mx { "mx" } else { "domain" };
            format!("name ({matching}{})", of_names(&rule.names))
        }
        Clause::Pinned(_) => "pin".to_owned(),
        Clause::Dane => "TLSA".to_owned(),
        Clause::DaneElse(otherwise) => format!("TLSA, else {}", proofs(otherwise)),
        other => panic!("{other:?}"),
    });
    joined(words.collect())
}

/// The same of one host.
fn host_proofs(clauses: &[HostClause]) -> String {
    let words = clauses.iter().map(|clause| match clause {
        HostClause::Chain => "chain".to_owned(),
        HostClause::Identity(names) => {
            format!("name ({})", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        HostClause::Pinned(_) => "pin".to_owned(),
        HostClause::Dane { records, .. } if records.is_empty() => "TLSA, which is missing".to_owned(),
        HostClause::Dane { .. } => "TLSA".to_owned(),
        other => panic!("{other:?}"),
    });
    joined(words.collect())
}

fn joined(words: Vec<String>) -> String {
    if words.is_empty() { "any".to_owned() } else { words.join(" + ") }
}

fn fate(fate: Fate) -> String {
    let hours = fate.lifetime.as_secs() / 3600;
    let span = if hours.is_multiple_of(24) { format!("{}d", hours / 24) } else { format!("{hours}h") };
    let end = if fate.on_expiry == OnExpiry::Delete { "delete" } else { "bounce" };
    match fate.on_failure {
        OnFailure::Bounce { after } => format!("{span}, {end}; bounce after {after}"),
        _ => format!("{span}, {end}"),
    }
}
