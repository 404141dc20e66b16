//! `sealpost explain` and `sealpost check` over a policy with every kind of source.

use std::fs;

use rcgen::ExtendedKeyUsagePurpose;

use crate::authority::{Authority, Identity};
use crate::relay::House;

const POLICY: &str = r#"
[defaults]
header_trust = "127.0.0.1"
[[owner]]
name = "acme"
deliver = "require"
[[domain]]
name = "acme.example"
owner = "acme"
servers = "192.0.2.0/28 auth:acme-out cert:out.acme.example"
submit = "require"
receive = { level = "require", senders = "*@bank.example", recipients = "payroll" }
[[partner]]
name = "Bank"
domains = "bank.example"
exclude = "lists.bank.example"
for = "owner:acme"
deliver = "verify"
[[partner]]
name = "Trial"
domains = "trial.example"
receive = "require"
deliver = "require"
mode = "testing"
[[partner]]
name = "Old"
domains = "old.example"
deliver = "none"
until = 2026-01-31
[[rule]]
name = "Secret"
when = { direction = "outbound", header = { name = "Subject", matches = "*secret*" } }
then = { add_header = { X-TLSLevel = "Require" } }
"#;

/// What a sender says of TLS by RFC 8689 is a source like any other.
// req: E4 F1
#[test]
fn requiretls_is_explained() {
    let house = House::new().policy("[[partner]]\ndomains = \"bank.example\"\ndeliver = \"require\"\n");
    house.write();
    let mail = ["--from", "a@shop.example", "--to", "b@bank.example"];
    let strict = explain(&house, &[&mail[..], &["--requiretls", "--header", "TLS-Required: No"]].concat());
    assert!(strict.contains("\n  REQUIRETLS: asks verify -> asked for chain and name\n"), "{strict}");
    assert!(strict.contains("REQUIRETLS (strict): the host is known for sure") && !strict.contains("TLS-Required"), "{strict}");
    let field = explain(&house, &[&mail[..], &["--header", "TLS-Required: No"]].concat());
    assert!(field.contains("TLS-Required field") && field.contains("(DANE, MTA-STS) is ignored"), "{field}");
    let twice = ["--header", "TLS-Required: No"].repeat(2);
    let void = explain(&house, &[&mail[..], &twice].concat());
    assert!(!void.contains("is ignored") && !void.contains("TLS-Required field"), "{void}");
    let json = explain(&house, &[&mail[..], &["--requiretls", "--json"]].concat());
    assert!(json.contains("\"requiretls\":\"strict\""), "{json}");
}

/// A client's certificate counts, or the trace says why not, as the relay would say to the client.
// req: F1 E6
#[test]
fn what_a_clients_certificate_proves_is_explained() {
    let house = House::new().policy(POLICY);
    house.write();
    let (authority, name) = (&house.authority, "out.acme.example");
    let explained = |identity: &Identity, more: &[&str]| {
        fs::write(house.file("client.pem"), &identity.certificate).unwrap();
        let file = house.file("client.pem").display().to_string();
        let mail = ["--from", "a@x.example", "--to", "b@y.example", "--chain", &file];
        explain(&house, &[&mail[..], more].concat())
    };
    let right = authority.issue(&[name]);
    let counts = explained(&right, &[]);
    assert!(counts.contains("\n  the client's certificate is trusted, and names out.acme.example\n"), "{counts}");
    assert!(counts.contains("domain \"acme.example\" (policy.toml:7), client"), "{counts}");
    for (words, identity) in [
        ("certificate expired ", authority.issue_expired(&[name])),
        ("which is no trust anchor and was not sent along", Authority::named("Other Authority").issue(&[name])),
        ("self-signed certificate: issuer and subject are", Identity::self_signed(&[name])),
        ("is not for TLS clients, only for", authority.issue_for(&[name], ExtendedKeyUsagePurpose::ServerAuth)),
    ] {
        let text = explained(&identity, &[]);
        let line = text.lines().find(|line| line.starts_with("  the client's certificate proves no name: "));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains(words) && line.contains("; its key is sha256//"), "{line}");
        assert!(!text.contains("), client"), "who proves nothing is a stranger: {text}");
        let json: serde_json::Value = serde_json::from_str(&explained(&identity, &["--json"])).unwrap();
        let told = json.pointer("/receive/trace/question/certificate").unwrap();
        assert!(told["problem"].as_str().unwrap().contains(words) && told["trusted"] == false, "{told}");
    }
    // It is judged at the time that is asked about, and by the anchors for clients.
    let earlier = explained(&authority.issue_expired(&[name]), &["--at", "2020-06-01"]);
    assert!(earlier.contains("is trusted, and names out.acme.example"), "{earlier}");
    fs::write(house.file("clients.pem"), &Authority::named("Other Authority").pem).unwrap();
    fs::write(house.config(), house.config_text().replace("[tls]\n", "[tls]\nclient_anchors = \"clients.pem\"\n")).unwrap();
    assert!(explained(&right, &[]).contains("which is no trust anchor"));
}

fn explain(house: &House, arguments: &[&str]) -> String {
    let output = house.run(&[&["explain"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    without_folder(house, &output.stdout)
}

/// What was printed, with the policy's file named as it is in its folder.
fn without_folder(house: &House, printed: &[u8]) -> String {
    let folder = house.file("policy.toml").parent().unwrap().display().to_string();
    String::from_utf8_lossy(printed).replace(&format!("{folder}/"), "")
}

/// Each source stands in a line with its place; one that nearly spoke says why it did not.
// req: F1 F2 B5 B10 C2 C4 D1 D5
#[test]
fn every_source_says_what_it_asks_or_why_it_does_not() {
    let house = House::new().policy(POLICY);
    house.write();
    for (arguments, words) in [
        ("--from a@acme.example --to b@bank.example", &["partner \"Bank\" (policy.toml:13)", "asked for chain and name"][..]),
        ("--from a@shop.example --to b@bank.example", &["the mail's other end is not in its \"for\"", "deliver from <a@shop.example>"]),
        ("--from a@acme.example --to b@lists.bank.example", &["policy.toml:13", "it is excluded"]),
        ("--from a@x.example --to b@acme.example", &["owner \"acme\" (policy.toml:4), recipient: asks require -> raised tls to mandatory"]),
        ("--from a@bank.example --to payroll@acme.example --clear", &["refused: 550 5.7.10", "domain \"acme.example\""]),
        ("--from a@bank.example --to info@acme.example --clear", &["this mail is not what it is for", "-> accepted"]),
        ("--from a@x.example --to b@trial.example", &["in testing: counts in the shadow only", "with what is in testing: require"]),
        ("--from a@trial.example --to b@x.example --clear", &["-> accepted", "if what is in testing counted, refused: 550"]),
        ("--from a@x.example --to b@old.example", &["past its \"until\""]),
        ("--from a@x.example --to b@old.example --at 2026-01-31", &["partner \"Old\"", "asks none -> set tls to never"]),
        (
            "--from a@x.example --to b@y.example --header Subject:a-secret",
            &["rule \"Secret\" (policy.toml:30): asks require -> raised tls"],
        ),
        ("--from a@x.example --to b@y.example --header X-TLSLevel:require", &["X-TLSLevel field: asks require -> raised tls to mandatory"]),
        (
            "--from a@x.example --to b@y.example --client 198.51.100.1 --header x-tlslevel:require",
            &["\"require\" does not count", ": opportunistic"],
        ),
        (
            "--from a@x.example --to b@y.example --client 192.0.2.3 --clear",
            &["domain \"acme.example\" (policy.toml:7), client", "refused: 550"],
        ),
        (
            "--from a@x.example --to b@y.example --login acme-out --clear",
            &["domain \"acme.example\" (policy.toml:7), client", "refused: 550"],
        ),
        (
            "--from a@x.example --to b@y.example --certificate out.acme.example",
            &["domain \"acme.example\" (policy.toml:7), client", "-> accepted"],
        ),
    ] {
        let text = explain(&house, &arguments.split(' ').collect::<Vec<_>>());
        for word in words {
            assert!(text.contains(word), "no {word:?} for {arguments}\n{text}");
        }
    }
    let json: serde_json::Value =
        serde_json::from_str(&explain(&house, &["--from", "a@x.example", "--to", "b@trial.example", "--json"])).unwrap();
    assert_eq!(json.pointer("/deliver/trace/shadow_level"), Some(&"require".into()), "{json}");
    assert_eq!(json.pointer("/deliver/trace/sources/0/note"), Some(&"testing".into()), "{json}");
}

#[test]
fn a_wrong_argument_says_what_is_meant() {
    let house = House::new().policy(POLICY);
    house.write();
    for (option, value, words) in [
        ("--header", "X-TLSLevel", "a name, a colon and a value are meant"),
        ("--at", "soon", "a day such as 2026-12-31"),
        ("--certificate", "a b", "--certificate"),
        ("--chain", "nowhere.pem", "--chain nowhere.pem: No such file"),
        ("--chain", "/dev/null", "--chain /dev/null: "),
    ] {
        let output = house.run(&["explain", "--from", "a@x.example", "--to", "b@y.example", option, value]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(words), "{text}");
    }
}

/// What is legal and odd is said with its line, and keeps nobody from starting.
#[test]
fn check_warns() {
    let oddities =
        "[[partner]]\nname = 'Twice'\ndomains = 'bank.example'\ndeliver = 'none'\nreceive = 'chain'\n[[owner]]\nname = 'nobody'\n";
    let house = House::new().policy(&format!("{POLICY}{oddities}"));
    house.write();
    let output = house.run(&["check"]);
    let text = without_folder(&house, &output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for words in [
        "policy.toml:34: partner \"Twice\": for bank.example it and policy.toml:13 contradict each other",
        "policy.toml:25: partner \"Old\": ended on 2026-01-31",
        "policy.toml:39: owner \"nobody\": nothing refers to it",
        "policy.toml:34: no listener asks for client certificates, so this mail is turned away",
        "(8 entries)",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
}

/// Where nothing proves what the DNS says, mail under DANE would wait for ever: by choice, or because the name server does not validate.
#[test]
fn a_level_that_rests_on_dnssec_is_refused_where_nothing_is_proven() {
    let server = crate::dns::NameServer::start(Vec::new());
    for (table, words) in [
        ("[dns]\ndnssec = 'off'\n".to_owned(), "DNSSEC is switched off"),
        (server.table(), "the name servers strip DNSSEC, or the trust anchor is not theirs"),
        (format!("{}dnssec = 'trust-ad'\n", server.table()), "the name servers say that there is none"),
    ] {
        let demanding = House::new().policy("[[partner]]\ndomains = 'a.example'\ndeliver = 'dane-only'\n").also(&table);
        demanding.write();
        for command in ["check", "run"] {
            let output = demanding.run(&[command]);
            let text = without_folder(&demanding, &[output.stderr, output.stdout].concat());
            let place = "policy.toml:1: a level that rests on DNSSEC";
            assert!(!output.status.success() && text.contains(place) && text.contains(words), "{command} {table}: {text}");
        }
        // the control: without that level it starts, and says that DANE is not used
        let other = House::new().policy("[[partner]]\ndomains = 'a.example'\ndeliver = 'require'\n").also(&table);
        other.write();
        let text = other.says(&["check"], 0);
        assert!(text.contains("DANE         is not used") && text.contains(words), "{text}");
    }
}
