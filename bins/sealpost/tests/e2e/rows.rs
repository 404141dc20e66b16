//! Rows of an included list are managed from the command line, with a running relay and without one.

use std::fs;
use std::time::Duration;

use crate::client::Client;
use crate::content::message;
use crate::relay::House;
use crate::sink::Sink;

const POLICY: &str = "\
# written by hand
[[domain]]
name = \"acme.example\"

[[include]]
file = \"partners.csv\"
receive = \"require\"
";

const PARTNERS: &str = "# ours since 2019\ndomain,deliver,name\nshop.example,require,Shop\n\n# far away\n*.gov.example,verify,\n";

fn house() -> (House, [Sink; 2]) {
    let (house, sinks) = House::between_bank_and_clear(POLICY);
    fs::write(house.file("partners.csv"), PARTNERS).unwrap();
    (house, sinks)
}

fn partners(house: &House) -> String {
    fs::read_to_string(house.file("partners.csv")).unwrap()
}

/// The next command of a session that is open is decided with the row, and without it again; all other lines stay.
// req: A1 A3 A4 A5 A7 B10 E8
#[test]
fn a_running_relay_obeys_each_row() {
    let (house, _sinks) = house();
    let relay = house.start_again();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    assert_eq!(client.answer_to_mail("a@bank.example"), 250);

    let add = ["domains", "add", "bank.example", "deliver=verify", "--name", "Bank, the", "--list", "partners.csv"];
    let row = "bank.example,verify,\"Bank, the\"\n";
    let said = house.says(&[&add[..], &["--dry-run"]].concat(), 0);
    assert!(said.contains("bank.example (") && said.contains("passes"), "{said}");
    assert!(said.contains(&format!("+{row}")) && said.contains("nothing is changed"), "{said}");
    assert_eq!((partners(&house).as_str(), client.answer_to_mail("a@bank.example")), (PARTNERS, 250));

    let said = house.says(&add, 0);
    assert!(said.contains("partners.csv: changed; the relay obeys it"), "{said}");
    assert_eq!(partners(&house), format!("{PARTNERS}{row}"));
    assert_eq!(client.answer_to_mail("a@mail.bank.example"), 530);
    assert!(house.says(&["domains", "search", "mail.bank.example"], 0).contains("Bank, the"));
    let said = house.says(&["domains", "add", "bank.example", "--list", "partners.csv", "--dry-run"], 0);
    assert!(said.contains("warning: partners.csv:7 has that domain already; both hold"), "{said}");

    house.says(&["domains", "remove", "bank.example", "--list", "partners.csv"], 0);
    assert_eq!(client.answer_to_mail("a@bank.example"), 250);
    assert_eq!(client.answer_to_mail("a@shop.example"), 530, "the others are obeyed as before");
    assert_eq!(partners(&house), format!("{PARTNERS}#{row}"));
    assert_eq!(fs::read_to_string(house.file("policy.toml")).unwrap(), POLICY);
    assert!(house.says(&["reload"], 0).contains("no difference: 3 entries"), "what is in force is what stands there");
    client.expect("NOOP", 250).unwrap();
}

/// Mail to a domain that was added waits for TLS; when its row goes, what waits stays where it is until somebody says so.
// req: A1 A4 A8 E8
#[test]
fn a_row_holds_mail_and_lets_none_go_by_itself() {
    let (house, [_secure, clear]) = house();
    let relay = house.start_again();
    let list = ["--list", "partners.csv"];
    let add = ["domains", "add", "clear.example", "deliver=require"];
    let said = house.says(&[&add, &list[..]].concat(), 1);
    assert!(said.contains("clear.example fails") && said.contains("nothing is changed: a ping failed"), "{said}");
    assert_eq!(partners(&house), PARTNERS);
    house.says(&[&add, &list[..], &["--even-if-unreachable"]].concat(), 0);
    let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
    client.send("a@a.example", &["b@clear.example"], message("waits").as_bytes()).unwrap();
    let limit = Duration::from_secs(30);
    house.wait_for_history(&["\"deferred\"", "b@clear.example", "partners.csv:7"], limit);
    house.says(&[&["domains", "remove", "clear.example"], &list[..]].concat(), 0);
    house.wait_for_history(&["\"deferred\"", "held by an earlier policy: require"], limit);
    assert_eq!(clear.message_count(), 0);
    house.says(&["reload", "--apply-to-queue"], 0);
    assert!(clear.wait_for(1, limit)[0].tls.is_none());
}

/// Told with its place in the list, with exit code 1; neither list nor relay changes.
// req: A1 A4 E8
#[test]
fn a_broken_row_is_refused_with_its_place() {
    let (house, _sinks) = house();
    for relay in [None, Some(house.start_again())] {
        for (arguments, words) in [
            (&["add", "bank.example", "deliver=requrie"][..], "partners.csv:7:14: deliver is \"requrie\""),
            (&["add", "bank..example"], "partners.csv:7:1: "),
            (&["add", "acme.example"], "partners.csv:7:1: "),
            (&["add", "bank.example", "colour=red"], "there is no column \"colour\""),
            (&["add", "bank.example", "pins=x"], "there is no column \"pins\"; the columns are domain,deliver,name"),
            (&["add", "bank.example", "deliver=none", "deliver=verify"], "\"deliver\" is given twice"),
            (&["add", "bank.example", "bank.test"], "one domain at a time"),
            (&["remove", "bank.example"], "partners.csv has no row with the domain \"bank.example\", or that name"),
            (&["remove", "shop.example", "*.gov.example"], "rows are removed one domain or name at a time"),
            (&["set", "bank.example", "deliver=verify"], "partners.csv has no row with the domain \"bank.example\", or that name"),
            (&["set", "shop.example", "deliver=requrie"], "partners.csv:3:14: deliver is \"requrie\""),
            (&["set", "shop.example", "pins=x"], "there is no column \"pins\"; the columns are domain,deliver,name"),
            (&["set", "shop.example", "domain=bank.example"], "the domain of a row does not change"),
            (&["set", "shop.example", "deliver=verify", "deliver.level=none"], "\"deliver\" is given twice"),
            (&["show", "bank.example"], "partners.csv has no row with the domain \"bank.example\", or that name"),
        ] {
            let said = house.says(&[&["domains"], arguments, &["--list", "partners.csv"]].concat(), 1);
            assert!(said.contains(words), "{arguments:?}: {said}");
        }
        let said = house.says(&["domains", "add", "bank.example", "--list", "other.csv"], 1);
        assert!(said.contains("includes no list \"other.csv\""), "{said}");
        assert_eq!(partners(&house), PARTNERS);
        assert!(relay.is_none_or(|relay| !relay.log().contains("generation=1")));
    }
}

/// Who names an entry need not know where it stands; settings of a row change in its place, also those of several rows of one name.
// req: A2 A3 A4 E8
#[test]
fn rows_are_shown_set_and_removed_like_entries() {
    let (house, _sinks) = house();
    let list = "domain,deliver,name,until\nshop.example,require,Shop,\n\"bank.example\",verify,\"Bank, the\",\nbank.test,,\"Bank, the\",\n\
        *.gov.example,verify,,2030-01-01\nlast.example,,,\n";
    fs::write(house.file("partners.csv"), list).unwrap();
    for relay in [None, Some(house.start_again())] {
        fs::write(house.file("partners.csv"), list).unwrap();
        if relay.is_some() {
            house.says(&["reload"], 0);
        }
        let shown = house.says(&["domains", "show", "bank.example"], 0);
        assert!(shown.contains("partners.csv:3\n") && shown.contains("deliver  verify") && shown.contains("receive  require"), "{shown}");
        assert_eq!(house.says(&["domains", "show", "Bank, the"], 0).matches("partner in ").count(), 2);
        let json: serde_json::Value = serde_json::from_str(&house.says(&["domains", "show", "shop.example", "--json"], 0)).unwrap();
        assert_eq!((json["file"].as_str(), json["line"].as_u64()), (Some("partners.csv"), Some(2)));

        let set = ["domains", "set", "*.gov.example", "deliver.level=require", "until="];
        let said = house.says(&[&set[..], &["--dry-run"]].concat(), 0);
        assert!(said.contains("@@ -5 +5 @@\n-*.gov.example,verify,,2030-01-01\n+*.gov.example,require,,\n"), "{said}");
        assert_eq!(partners(&house), list);
        house.says(&set, 0);
        assert_eq!(partners(&house), list.replace("*.gov.example,verify,,2030-01-01", "*.gov.example,require,,"));
        assert!(house.says(&["domains", "set", "*.gov.example", "deliver=require"], 0).contains("no difference"));
        assert!(house.says(&["domains", "search", "tax.gov.example"], 0).contains("require"));
        house.says(&["domains", "set", "Bank, the", "deliver=require", "name=Bank"], 0);
        assert!(partners(&house).contains("\nbank.example,require,Bank,\nbank.test,require,Bank,\n"), "{}", partners(&house));
        if let Some(relay) = &relay {
            let mut client = Client::connect(relay.address).unwrap();
            client.expect("EHLO client.example", 250).unwrap();
            assert_eq!(client.answer_to_mail("a@bank.test"), 530);
            house.says(&["domains", "set", "Bank", "deliver="], 0);
            house.says(&["domains", "remove", "Bank", "--force"], 0);
            assert_eq!(client.answer_to_mail("a@bank.test"), 250);
            assert!(partners(&house).contains("\n#bank.example,,Bank,\n#bank.test,,Bank,\n"), "{}", partners(&house));
            assert!(relay.log().contains("generation=5"), "a change that makes no difference is none");
        }
        let listed = house.says(&["domains", "list", "--list", "partners.csv"], 0);
        assert!(listed.contains("shop.example") && listed.contains("last.example"), "{listed}");
        assert!(!house.says(&["domains", "list"], 0).contains("shop.example"));
    }
}

/// Where several have it, somebody has to say which is meant; an entry of the policy goes first, and the rows are told of.
// req: A2 A3 A4
#[test]
fn what_stands_in_several_places_is_told() {
    let (house, _sinks) = house();
    fs::write(house.file("far.csv"), "domain,deliver\nshop.example,verify\nfar.example,verify\n").unwrap();
    let entry = "\n[[partner]]\ndomains = \"far.example\"\ndeliver = \"require\"\n";
    fs::write(house.file("policy.toml"), format!("{POLICY}\n[[include]]\nfile = \"far.csv\"\n{entry}")).unwrap();
    for command in [&["show", "shop.example"][..], &["set", "shop.example", "deliver=none"], &["remove", "shop.example"]] {
        let said = house.says(&[&["domains"], command].concat(), 1);
        assert!(said.contains("\"shop.example\" stands at partners.csv:3, far.csv:2; --list FILE says which is meant"), "{said}");
    }
    assert!(house.says(&["domains", "show", "shop.example", "--list", "far.csv"], 0).contains("far.csv:2"));
    let warning = "warning: far.csv:3 has that domain or name as well";
    let shown = house.says(&["domains", "show", "far.example"], 0);
    assert!(shown.contains("policy.toml:12") && shown.contains(warning), "{shown}");
    assert!(house.says(&["domains", "set", "far.example", "deliver=verify"], 0).contains(warning));
    assert!(house.says(&["domains", "remove", "far.example"], 0).contains(warning));
    house.says(&["domains", "remove", "far.example"], 0);
    assert!(house.says(&["domains", "remove", "far.example"], 1).contains("there is no partner \"far.example\""));
    assert_eq!(fs::read_to_string(house.file("far.csv")).unwrap(), "domain,deliver\nshop.example,verify\n#far.example,verify\n");
}

/// The same commands change the list where no relay runs; and an entry of the policy itself is added beside lists.
// req: A1 A4
#[test]
fn without_a_relay_the_list_is_changed() {
    let (house, _sinks) = house();
    let said = house.says(&["domains", "add", "bank.example", "deliver=verify", "--list", "partners.csv"], 0);
    assert!(said.contains("passes") && said.contains("no relay runs"), "{said}");
    assert_eq!(partners(&house), format!("{PARTNERS}bank.example,verify,\n"));
    assert!(house.says(&["domains", "remove", "bank.example", "--list", "partners.csv"], 0).contains("no relay runs"));
    assert_eq!(partners(&house), format!("{PARTNERS}#bank.example,verify,\n"));
    let said = house.says(&["domains", "add", "bank.example", "deliver=verify"], 0);
    assert!(said.contains("bank.example (") && said.contains("policy.toml: changed"), "{said}");
    assert!(house.says(&["check"], 0).contains("(4 entries)"));
}
