//! Entries of the policy are managed from the command line, with a running relay and without one.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::client::Client;
use crate::relay::{House, free_address};
use crate::sink::{Behaviour, Sink};

const POLICY: &str = "\
# written by hand
[defaults.external]
deliver = \"opportunistic\"   # for now

[[partner]]
name = \"Shop\"
domains = \"shop.example\"
receive = \"require\"
";

fn policy(house: &House) -> String {
    fs::read_to_string(house.file("policy.toml")).unwrap()
}

fn house() -> (House, [Sink; 2]) {
    House::between_bank_and_clear(POLICY)
}

/// An open session obeys each change at its next command; what else stands in the file stays as it is.
// req: A1 A3 A4 A5 A7 E8
#[test]
fn a_running_relay_obeys_each_change() {
    let (house, _sinks) = house();
    let relay = house.start_again();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    assert_eq!(client.answer_to_mail("a@bank.example"), 250);

    let said = house.says(&["domains", "add", "bank.example", "--name", "Bank", "--dry-run"], 0);
    assert!(said.contains("bank.example (") && said.contains("passes") && said.contains("TLSv1.3"), "{said}");
    assert!(said.contains("+domains = [\"bank.example\"]") && said.contains("nothing is changed"), "{said}");
    assert_eq!((policy(&house).as_str(), client.answer_to_mail("a@bank.example")), (POLICY, 250));

    let said = house.says(&["domains", "add", "bank.example", "--name", "Bank"], 0);
    assert!(said.contains("changed; the relay obeys it"), "{said}");
    assert!(
        policy(&house).starts_with(POLICY) && policy(&house).contains("receive = \"require\"\ndeliver = \"require\"\n"),
        "{}",
        policy(&house)
    );
    assert_eq!(client.answer_to_mail("a@mail.bank.example"), 530);

    house.says(&["domains", "set", "Bank", "receive=opportunistic", "deliver=verify"], 0);
    assert_eq!(client.answer_to_mail("a@bank.example"), 250);
    let shown = house.says(&["domains", "show", "Bank"], 0);
    assert!(shown.contains("policy.toml:10") && shown.contains("deliver  verify"), "{shown}");

    house.says(&["domains", "remove", "Bank"], 0);
    assert_eq!(policy(&house), POLICY);
    drop(client);
}

/// The same commands change the file where no relay runs, and say so.
// req: A1 A2 A3 A4
#[test]
fn without_a_relay_the_file_is_changed() {
    let (house, _sinks) = house();
    let said = house.says(&["domains", "add", "bank.example", "bank.test", "--name", "Bank", "--even-if-unreachable"], 0);
    assert!(said.contains("no relay runs"), "{said}");
    house.says(&["domains", "set", "Bank", "subdomains=false", "deliver.level=verify", "deliver.names=mx.host.example"], 0);
    let found = house.says(&["domains", "search", "BANK.t", "--json"], 0);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found[0]["deliver"]["names"][0], "mx.host.example");
    assert!(house.says(&["domains", "search", "b*.test"], 0).contains("Bank"));
    assert!(house.says(&["domains", "search", "www.shop.example"], 0).contains("Shop"), "what covers a name is found by it");
    house.says(&["domains", "search", "nobody"], 1);
    let listed = house.says(&["domains", "list"], 0);
    assert!(listed.contains("Shop  shop.example") && listed.contains("bank.example bank.test"), "{listed}");
    house.says(&["domains", "remove", "bank.test", "--from", "Bank"], 0);
    assert!(!policy(&house).contains("bank.test"));
    house.says(&["domains", "remove", "Bank"], 0);
    assert_eq!(policy(&house), POLICY);
}

/// Nothing is enforced that cannot be had: a ping that fails, or tells nothing, is an answer of its own.
// req: A7 B7
#[test]
fn a_domain_is_pinged_before_it_is_enforced() {
    let (house, _sinks) = house();
    let said = house.says(&["domains", "add", "clear.example"], 1);
    assert!(said.contains("clear.example fails") && said.contains("STARTTLS"), "{said}");
    assert!(said.contains("nothing is changed: a ping failed; --even-if-unreachable"), "{said}");
    assert_eq!(policy(&house), POLICY);
    let said = house.says(&["domains", "add", "clear.example", "--even-if-unreachable"], 0);
    assert!(said.contains("warning: mail for what failed above waits"), "{said}");
    assert!(policy(&house).contains("clear.example"));
    house.says(&["domains", "test", "clear.example"], 1);

    // A server that is busy is not one without TLS.
    let busy = std::net::TcpListener::bind(free_address()).unwrap();
    let busy_address = busy.local_addr().unwrap();
    thread::spawn(move || {
        for stream in busy.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"421 4.3.2 busy\r\n");
        }
    });
    fs::write(house.config(), house.config_text() + &format!("\"busy.example\" = \"{busy_address}\"\n")).unwrap();
    let said = house.says(&["domains", "add", "busy.example"], 2);
    assert!(said.contains("busy.example could not be tested") && said.contains("421"), "{said}");
    assert!(said.contains("not every domain could be tested now"), "{said}");
}

/// The level that is asked for is the one that is tested: a certificate of another name is no use under `verify`.
// req: A7 B7 B8
#[test]
fn the_ping_looks_at_what_the_entry_asks() {
    let house = House::new();
    let other = Sink::start(Behaviour::offering(&house.authority.issue(&["somebody.example"])));
    let house = house.route("bank.example", other.address).policy(POLICY);
    house.write();
    house.says(&["domains", "test", "bank.example"], 0);
    let said = house.says(&["domains", "add", "bank.example", "deliver=verify"], 1);
    assert!(said.contains("not enough for `verify`"), "{said}");
    let named = "deliver.names=somebody.example";
    house.says(&["domains", "add", "bank.example", "deliver.level=verify", named, "--dry-run"], 0);
    house.says(&["domains", "add", "bank.example"], 0);
    let tested = house.says(&["domains", "test", "bank.example", "--json"], 0);
    let tested: serde_json::Value = serde_json::from_str(&tested).unwrap();
    assert_eq!((tested[0]["domain"].as_str(), tested[0]["result"].as_str()), (Some("bank.example"), Some("passes")));
}

/// Told with its place and what would be right, with exit code 1; neither file nor relay changes.
// req: E8
#[test]
fn a_broken_edit_is_refused() {
    let (house, _sinks) = house();
    for relay in [None, Some(house.start_again())] {
        for (arguments, words) in [
            (&["domains", "set", "Shop", "receive=requrie"][..], "did you mean \"require\"?"),
            (&["domains", "set", "Shop", "recieve=require"], "recieve"),
            (&["domains", "set", "Bank", "receive=require"], "there is no partner \"Bank\""),
            (&["domains", "remove", "Bank"], "there is no partner \"Bank\""),
            (&["domains", "add", "shop..example"], "shop..example"),
            (&["hosted", "add", "shop.example"], "shop.example"),
            (&["domains", "set", "Shop", "receive"], "KEY=VALUE is meant"),
        ] {
            let said = house.says(arguments, 1);
            assert!(said.contains(words), "{arguments:?}: {said}");
        }
        assert_eq!(policy(&house), POLICY);
        assert!(relay.is_none_or(|relay| !relay.log().contains("generation=1")));
    }
}

/// What an administrator wrote into the file by hand, and did not have read, is neither lost nor brought into force unseen.
// req: E8
#[test]
fn an_edit_does_not_bring_other_changes_into_force() {
    let (house, _sinks) = house();
    let _relay = house.start_again();
    let by_hand = POLICY.replace("for now", "for ever");
    fs::write(house.file("policy.toml"), &by_hand).unwrap();
    let said = house.says(&["domains", "set", "Shop", "receive=opportunistic"], 1);
    assert!(said.contains("`sealpost reload` first"), "{said}");
    assert_eq!(policy(&house), by_hand);
    house.says(&["reload"], 0);
    house.says(&["domains", "set", "Shop", "receive=opportunistic"], 0);
    assert!(policy(&house).contains("for ever") && policy(&house).contains("receive = \"opportunistic\""));
}

#[test]
fn hosted_domains_are_managed() {
    let (house, [secure, _clear]) = house();
    let route = format!("route={}", secure.address);
    house.says(&["hosted", "add", "acme.example", &route, "deliver=require"], 0);
    let tested = house.says(&["hosted", "test", "acme.example"], 0);
    assert!(tested.contains(&secure.address.to_string()), "{tested}");
    assert!(house.says(&["hosted", "list"], 0).contains("acme.example"));
    assert!(house.says(&["hosted", "search", "ACME"], 0).contains("acme.example"));
    house.says(&["hosted", "search", "nobody"], 1);
    house.says(&["hosted", "set", "acme.example", "deliver="], 0);
    assert!(!house.says(&["hosted", "show", "acme.example"], 0).contains("deliver"));
    house.says(&["hosted", "remove", "acme.example"], 0);
    assert_eq!(policy(&house), POLICY);
}

/// The place of a rule decides: what stands above goes first.
// req: C1 C3 C6
#[test]
fn rules_and_lists_are_managed() {
    let (house, _sinks) = house();
    house.says(&["lists", "add", "tls", "entries=bank.example *.gov.example"], 0);
    house.says(&["lists", "add-entry", "tls", "clear.example", "law.example"], 0);
    house.says(&["lists", "remove-entry", "tls", "*.gov.example"], 0);
    assert!(house.says(&["lists", "show", "tls"], 0).contains("bank.example clear.example law.example"));
    assert!(house.says(&["lists", "search", "mail.bank.example"], 1).is_empty(), "an entry does not cover what is below it");
    assert!(house.says(&["lists", "search", "bank.example"], 0).contains("tls"));
    let level = |level: &str| format!("then.add_header.X-TLSLevel={level}");
    house.says(&["rules", "add", "Enforced", "when.recipient.matches=tls", &level("Require")], 0);
    house.says(&["rules", "add", "All", "when.direction=outbound", &level("Try"), "then.stop=true"], 0);
    let places = |house: &House| {
        let listed: serde_json::Value = serde_json::from_str(&house.says(&["rules", "list", "--json"], 0)).unwrap();
        listed.as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(places(&house), ["Enforced", "All"]);
    let found = house.says(&["rules", "search", "enf"], 0);
    assert!(found.contains("Enforced") && !found.contains("All"), "{found}");
    let listed = house.says(&["rules", "list"], 0);
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = listed.lines().map(squeezed).collect();
    assert_eq!(lines[1], "1 Enforced recipient.matches tls add_header.X-TLSLevel Require", "{listed}");
    assert!(lines.last().unwrap().starts_with("last (system) direction outbound add_header.X-TLSLevel Try"), "{listed}");

    let relay = house.start_again();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    let mut send = |to: &str| client.send("a@a.example", &[to], b"Subject: x\r\n\r\nx\r\n").unwrap();
    send("one@clear.example");
    let limit = Duration::from_secs(30);
    house.wait_for_history(&["\"deferred\"", "one@clear.example", "Enforced"], limit);
    for (arguments, expected) in [
        (&["--down"][..], ["All", "Enforced"]),
        (&["--up"], ["Enforced", "All"]),
        (&["--up"], ["Enforced", "All"]),
        (&["--last"], ["All", "Enforced"]),
        (&["--first"], ["Enforced", "All"]),
        (&["--after", "All"], ["All", "Enforced"]),
        (&["--to", "1"], ["Enforced", "All"]),
        (&["--before", "All"], ["Enforced", "All"]),
        (&["--to", "2"], ["All", "Enforced"]),
    ] {
        house.says(&[&["rules", "move", "Enforced"], arguments].concat(), 0);
        assert_eq!(places(&house), expected, "{arguments:?}");
    }
    send("two@clear.example");
    house.wait_for_history(&["\"delivered\"", "two@clear.example"], limit);
    assert!(house.says(&["rules", "move", "Nobody", "--up"], 1).contains("there is no rule \"Nobody\""));
    assert!(house.says(&["lists", "remove", "tls"], 1).contains("tls"), "a rule looks into it");
    house.says(&["rules", "remove", "All", "Enforced", "--force"], 0);
    house.says(&["lists", "remove", "tls"], 0);
    assert_eq!(policy(&house), POLICY);
}

/// In and out again: what comes in is in force, and goes out as it came.
// req: E10 A1
#[test]
fn entries_come_from_tables_and_go_back() {
    let (house, _sinks) = house();
    let _relay = house.start_again();
    let table = "bank.example encrypt protocols=>=TLSv1.2\n.gov.example secure match=nexthop:dot-nexthop protocols=>=TLSv1.2\n";
    fs::write(house.file("table"), table).unwrap();
    let path = house.file("table").display().to_string();
    let said = house.says(&["domains", "import", &path, "--format", "postfix"], 0);
    assert!(said.contains("2 new, 0 replaced, 0 that are there already"), "{said}");
    assert!(house.says(&["domains", "search", "tax.gov.example"], 0).contains("verify"));
    let said = house.says(&["domains", "import", &path, "--format", "postfix"], 0);
    assert!(said.contains("0 new, 0 replaced, 2 that are there already"), "{said}");
    let exported = house.says(&["domains", "export", "--format", "postfix"], 1);
    assert!(table.lines().all(|line| exported.replace('\t', " ").contains(line)), "{exported}");
    assert!(exported.contains("not written: ") && exported.contains("Shop"), "{exported}");

    fs::write(house.file("table"), "bank.example none\nother.example half-dane\n").unwrap();
    let said = house.says(&["domains", "import", &path, "--format", "postfix"], 1);
    assert!(said.contains("table:2:") && said.contains("nothing is imported: 1 cannot be taken"), "{said}");
    let said = house.says(&["domains", "import", &path, "--format", "postfix", "--partly"], 1);
    assert!(said.contains("\"bank.example\" is there already and says something else"), "{said}");
    let before = policy(&house);
    let said = house.says(&["domains", "import", &path, "--format", "postfix", "--partly", "--replace", "--dry-run"], 0);
    assert!(said.contains("nothing is changed") && policy(&house) == before, "{said}");
    house.says(&["domains", "import", &path, "--format", "postfix", "--partly", "--replace"], 0);
    assert!(house.says(&["domains", "show", "bank.example"], 0).contains("none"));
}

// req: E10
#[test]
fn a_csv_comes_in_and_goes_out() {
    let (house, _sinks) = house();
    let csv = house.file("in.csv").display().to_string();
    let rows: String = (0..2000).map(|n| format!("p{n}.example,verify\n")).collect();
    fs::write(&csv, format!("domain,deliver\n{rows}")).unwrap();
    let said = house.says(&["domains", "import", &csv, "--format", "csv", "--receive", "require"], 0);
    assert!(said.contains("new, 0 replaced"), "{said}");
    let exported = String::from_utf8(house.run(&["domains", "export", "--format", "csv"]).stdout).unwrap();
    assert!(exported.lines().count() == 2002 && exported.contains("p1999.example") && exported.contains("shop.example"), "{exported}");
    // The same policy by way of the CSV.
    let before = policy(&house);
    fs::write(&csv, exported).unwrap();
    house.says(&["domains", "import", &csv, "--format", "csv"], 0);
    assert_eq!(policy(&house), before);
    fs::write(&csv, "domain,colour\na.example,red\n").unwrap();
    assert!(house.says(&["domains", "import", &csv, "--format", "csv"], 1).contains("in.csv:1:8"));
    assert!(house.says(&["domains", "import", &csv, "--format", "toml"], 1).contains("in.csv:1:"));
}

/// Kind by kind, a policy is carried into another one, and says there what it said here.
// req: E10 E8
#[test]
fn every_kind_is_carried_to_another_policy() {
    const OTHER: &str = r#"
[[owner]]
name = "acme"
receive = "require"

[[owner]]
name = "acme-berlin"
parent = "acme"

[[domain]]
name = "berlin.example"
owner = "acme-berlin"

[[list]]
name = "tls"
entries = "bank.example, *.gov.example"

[[rule]]
name = "First"
when.recipient.matches = "tls"
then.add_header.X-TLSLevel = "Require"

[[rule]]
name = "Second"
when.direction = "outbound"
then.stop = true
"#;
    let (house, _sinks) = house();
    let file = |name: &str| house.file(name).display().to_string();
    fs::write(house.file("other.toml"), OTHER).unwrap();
    for kind in ["owners", "hosted", "lists", "rules"] {
        let said = house.says(&[kind, "import", &file("other.toml")], 0);
        assert!(said.contains("new, 0 replaced, 0 that are there already"), "{kind}: {said}");
    }
    let carried = policy(&house);
    for (kind, count) in [("owners", 2), ("hosted", 1), ("lists", 1), ("rules", 2)] {
        let exported = house.says(&[kind, "export"], 0);
        assert_eq!(exported.matches("[[").count(), count, "{kind}: {exported}");
        fs::write(house.file("back.toml"), exported).unwrap();
        assert!(house.says(&[kind, "import", &file("back.toml")], 0).contains(&format!("0 new, 0 replaced, {count} that")), "{kind}");
        assert_eq!(policy(&house), carried, "{kind}: nothing is written twice");
    }

    fs::write(house.file("other.toml"), OTHER.replace("Require", "Try")).unwrap();
    let said = house.says(&["rules", "import", &file("other.toml")], 1);
    assert!(said.contains("line 18: \"First\" is there already and says something else, at line"), "{said}");
    assert_eq!(policy(&house), carried);
    house.says(&["rules", "import", &file("other.toml"), "--replace"], 0);
    let rules = house.says(&["rules", "export"], 0);
    assert!(rules.contains("Try") && rules.find("First") < rules.find("Second"), "a rule keeps its place: {rules}");

    fs::write(house.file("other.toml"), "[[rule]]\nnome = 'First'\n").unwrap();
    assert!(house.says(&["rules", "import", &file("other.toml")], 1).contains("other.toml:2:1"));
}

/// Hosted domains and lists as CSV, there and back; what no columns hold is refused, and kinds that are no rows say so.
// req: E10
#[test]
fn hosted_domains_and_lists_are_carried_as_csv() {
    const OTHER: &str = "\
domain,owner,route,servers,receive,submit,deliver,names,until
acme.example,acme,mail.acme.example:25,192.0.2.0/28 cert:out.acme.example,require,require,verify,mx.acme.example mx2.acme.example,
berlin.example,,,,,,,,2030-01-01
";
    const LISTS: &str = "list,entry\ntls,bank.example\ntls,*.gov.example\nnobody,\n";
    let (house, _sinks) = house();
    let file = |name: &str| house.file(name).display().to_string();
    let out = |kind: &str| String::from_utf8(house.run(&[kind, "export", "--format", "csv"]).stdout).unwrap();
    fs::write(house.file("domains.csv"), OTHER).unwrap();
    fs::write(house.file("lists.csv"), LISTS).unwrap();
    let _relay = house.start_again();
    house.says(&["owners", "add", "acme"], 0);
    let said = house.says(&["hosted", "import", &file("domains.csv"), "--format", "csv"], 0);
    assert!(said.contains("2 new, 0 replaced, 0 that are there already"), "{said}");
    house.says(&["lists", "import", &file("lists.csv"), "--format", "csv"], 0);
    assert_eq!((out("hosted").as_str(), out("lists").as_str()), (OTHER, LISTS));
    let carried = policy(&house);
    assert!(carried.contains("servers = [\"192.0.2.0/28\", \"cert:out.acme.example\"]"), "{carried}");
    assert!(house.says(&["hosted", "import", &file("domains.csv"), "--format", "csv"], 0).contains("2 that are there already"));
    assert!(house.says(&["lists", "import", &file("lists.csv"), "--format", "csv"], 0).contains("2 that are there already"));
    assert_eq!(policy(&house), carried);

    house.says(&["hosted", "set", "berlin.example", "receive.level=require", "receive.min_version=1.3"], 0);
    let said = house.says(&["hosted", "export", "--format", "csv"], 1);
    assert!(said.contains("berlin.example") && said.contains("not written: there is no column for receive with options"), "{said}");
    fs::write(house.file("domains.csv"), "domain,colour\na.example,red\n").unwrap();
    let said = house.says(&["hosted", "import", &file("domains.csv"), "--format", "csv"], 1);
    assert!(said.contains("domains.csv:1:8: unknown column \"colour\"; one of domain, owner, route"), "{said}");
    fs::write(house.file("lists.csv"), "bank.example\n").unwrap();
    let said = house.says(&["lists", "import", &file("lists.csv"), "--format", "csv"], 1);
    assert!(said.contains("lists.csv:1:1: the first line names no columns; write a header line of list, entry"), "{said}");
    for kind in ["owners", "rules"] {
        let said = house.says(&[kind, "export", "--format", "csv"], 1);
        assert!(said.contains("owners and rules are no rows") && said.contains("--format toml is meant"), "{said}");
        assert!(house.says(&[kind, "import", &file("lists.csv"), "--format", "csv"], 1).contains("--format toml is meant"));
    }
}

/// What an import replaces stays where it is, with the comments above it and in it; what it does not speak of stays octet for octet.
// req: E10
#[test]
fn an_import_that_replaces_keeps_comments_and_order() {
    let (house, _sinks) = house();
    let text = "\
# written by hand

# our bank since 2019
[[partner]] # first
name = \"Bank\"
domains = \"bank.example  bank.test\"   # both
deliver = { level = \"verify\", names = [\"mx.bank.example\"] }
until = 2030-01-01

# the shop
[[partner]]
name = \"Shop\"
domains = \"shop.example\"
receive = \"require\" # agreed

# owned by acme
[[domain]]
name = \"acme.example\"
# to the old host
route = \"mail.acme.example:25\"

[[domain]]
name = \"berlin.example\"
";
    fs::write(house.file("policy.toml"), text).unwrap();
    let file = |name: &str| house.file(name).display().to_string();
    let partners = "[[partner]]\nname = \"Bank\"\ndomains = \"bank.example bank.test\"\ndeliver = { level = \"verify\", names = [\"mx.host.example\"] }\n\
        [[partner]]\nname = \"Shop\"\ndomains = \"shop.example shop.test\"\nreceive = \"require\"\ndeliver = \"require\"\n\
        [[partner]]\nname = \"New\"\ndomains = \"new.example\"\n";
    fs::write(house.file("in.toml"), partners).unwrap();
    let said = house.says(&["domains", "import", &file("in.toml"), "--format", "toml", "--replace"], 0);
    assert!(said.contains("1 new, 2 replaced, 0 that are there already"), "{said}");
    fs::write(house.file("in.csv"), "domain,route\nacme.example,new.acme.example:25\n").unwrap();
    house.says(&["hosted", "import", &file("in.csv"), "--format", "csv", "--replace"], 0);
    let expected = text
        .replace("names = [\"mx.bank.example\"]", "names = [\"mx.host.example\"]")
        .replace("until = 2030-01-01\n", "")
        .replace("domains = \"shop.example\"", "domains = \"shop.example shop.test\"")
        .replace("# agreed\n", "# agreed\ndeliver = \"require\"\n\n[[partner]]\nname = \"New\"\ndomains = [\"new.example\"]\n")
        .replace("mail.acme", "new.acme");
    assert_eq!(policy(&house), expected);
}

/// A row of an included list is found like any entry, and a whole list does not go unnoticed.
// req: A2 E8
#[test]
fn included_lists_are_searched_and_guarded() {
    let (house, _sinks) = house();
    let include = "[[include]]\nfile = \"many.csv\"\nreceive = \"require\"\n\n";
    fs::write(house.file("many.csv"), "domain,deliver\nfar.example,require\n").unwrap();
    fs::write(house.file("policy.toml"), format!("{include}{POLICY}")).unwrap();
    let relay = house.start_again();
    let found = house.says(&["domains", "search", "www.far.example"], 0);
    assert!(found.contains("far.example"), "{found}");
    fs::write(house.file("many.csv"), "domain,deliver\nfar.example,require\nnear.example,require\n").unwrap();
    assert!(house.says(&["reload"], 0).contains("3 entries, 2 before"), "only the list has changed");
    fs::write(house.file("policy.toml"), POLICY).unwrap();
    let said = house.says(&["reload"], 1);
    assert!(said.contains("the included list \"many.csv\" would go"), "{said}");
    house.says(&["reload", "--force"], 0);
    drop(relay);
}

// req: D5
#[test]
fn owners_are_managed() {
    let (house, _sinks) = house();
    house.says(&["owners", "add", "acme", "receive=require"], 0);
    house.says(&["owners", "add", "acme-berlin", "parent=acme"], 0);
    house.says(&["hosted", "add", "berlin.example", "owner=acme-berlin"], 0);
    let relay = house.start_again();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    client.expect("MAIL FROM:<a@a.example>", 250).unwrap();
    assert_eq!(client.command("RCPT TO:<b@berlin.example>").unwrap().code, 550, "the owner's owner asks for TLS");
    house.says(&["owners", "set", "acme-berlin", "receive=opportunistic"], 0);
    assert_eq!(client.command("RCPT TO:<b@berlin.example>").unwrap().code, 250);
    let found = house.says(&["owners", "search", "berlin"], 0);
    assert!(found.contains("acme-berlin"), "{found}");
    let listed = house.says(&["owners", "list"], 0);
    assert!(listed.contains("acme-berlin  acme    opportunistic"), "{listed}");
    house.says(&["hosted", "remove", "berlin.example"], 0);
    house.says(&["owners", "remove", "acme-berlin"], 0);
    house.says(&["owners", "remove", "acme"], 0);
    assert_eq!(policy(&house), POLICY);
}

/// What would be sent in clear because an entry was weakened waits until somebody says so.
// req: E8 A8
#[test]
fn a_weakened_entry_lets_nothing_go_by_itself() {
    let (house, [_secure, clear]) = house();
    house.says(&["domains", "add", "clear.example", "--name", "Clear", "--even-if-unreachable"], 0);
    let relay = house.start_again();
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    client.send("a@a.example", &["b@clear.example"], b"Subject: x\r\n\r\nx\r\n").unwrap();
    let limit = Duration::from_secs(30);
    house.wait_for_history(&["\"deferred\"", "b@clear.example"], limit);
    house.says(&["domains", "remove", "Clear"], 0);
    house.wait_for_history(&["\"deferred\"", "held by an earlier policy: require"], limit);
    assert_eq!(clear.message_count(), 0);
    let shown = house.history();
    house.says(&["domains", "set", "Shop", "receive=opportunistic", "--apply-to-queue"], 0);
    assert!(clear.wait_for(1, limit)[0].tls.is_none(), "{shown}");
}
