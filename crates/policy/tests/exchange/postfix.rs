//! Postfix tables: what holds for any of them.

use proptest::prelude::*;
use sealpost_policy::{
    Consequence, Entry, Fingerprints, HopForm, Imported, Loss, PartnerForm, PolicyText, export_postfix, export_postfix_policy,
    import_postfix,
};

const TABLE: &str = "\
# our partners
example.edu             none
Example.mil             may
example.gov             encrypt protocols=>=TLSv1.3
.example.gov            encrypt
    # the rest of it
    ciphers=high,

    protocols=TLSv1.3
example.com             verify match=hostname:dot-nexthop ciphers=high
example.net             secure
.example.net            secure match=.example.net:example.net
[mail.example.org]:587  secure match=nexthop
thumb.example.org       fingerprint
    match=3D:95:34:51:24:66:33:B9:D2:40:99:C0:C1:17:0B:D1
example.edu             secure
";

fn forms(imported: &Imported) -> Vec<PartnerForm> {
    imported.partners.iter().map(|entry| entry.form.clone()).collect()
}

fn import(text: &str) -> Imported {
    import_postfix("tls_policy", text, Fingerprints::Sha256OfKeys)
}

// req: E10
#[test]
fn the_table_of_the_manual() {
    let imported = import_postfix("tls_policy", TABLE, Fingerprints::Unknown);
    let lines: Vec<_> = imported.partners.iter().map(|entry| (entry.line, entry.form.domains.as_slice().join(" "))).collect();
    let expected = [
        (2, "example.edu"),
        (3, "example.mil"),
        (4, "example.gov"),
        (5, "*.example.gov"),
        (10, "example.com"),
        (11, "example.net"),
        (12, "*.example.net"),
    ];
    assert_eq!(lines, expected.map(|(line, domain)| (line, domain.to_owned())));
    let said: Vec<_> = imported.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "tls_policy:3:25: may: DANE and MTA-STS of the recipient's domain hold here at every level but none",
            "tls_policy:7:5: ciphers=high: not kept: all suites here are of grade high",
            "tls_policy:10:59: ciphers=high: not kept: all suites here are of grade high",
            "tls_policy:10:32: match=hostname:dot-nexthop: the names of the recipient's domain are right ones here too, beside those that are written",
            "tls_policy:12:32: match=.example.net:example.net: the names of the recipient's domain are right ones here too, beside those that are written",
            "tls_policy:16:1: example.edu: not taken, as Postfix takes the first, at line 2",
        ]
    );
    let refused: Vec<_> = imported.refused.iter().map(|refused| (refused.line, refused.column, refused.loss.clone())).collect();
    assert_eq!(refused, [(13, Some(1), Loss::NextHopKey), (15, Some(5), Loss::Fingerprints)]);
    // Nothing is said of the receive hop, and what could inherit the names of `.example.net` says that it has none.
    assert!(imported.partners.iter().all(|entry| entry.form.receive.is_none()));
    let Some(HopForm::Table(secure)) = &imported.partners[5].form.deliver else { panic!("a table") };
    assert_eq!(secure.names.as_ref().map(|names| names.is_empty()), Some(true));
}

/// The trust anchors of a wide key are its own there. Here they would hold for what stands below it too, unless that has a word of its own.
#[test]
fn anchors_of_a_wide_key_stay_its_own() {
    for (wide, expected) in [(".example.org", Some("system")), ("example.org", None)] {
        let imported = import(&format!("{wide} secure tafile=/etc/ca.pem\nmx.example.org secure\n"));
        let anchors = |at: usize| {
            let Some(HopForm::Table(table)) = &imported.partners[at].form.deliver else { panic!("a table") };
            table.anchors.as_ref().map(|anchors| anchors.as_slice().join(" "))
        };
        assert_eq!((anchors(0).as_deref(), anchors(1).as_deref()), (Some("/etc/ca.pem"), expected), "{wide}");
        let exported = export_postfix("policy.toml", &imported.partners);
        assert!(exported.text.contains("mx.example.org\tsecure match=nexthop:dot-nexthop protocols="), "{}", exported.text);
    }
}

/// Here what an entry leaves open falls through to a wider one, and there nothing does: such an entry would ask less there.
#[test]
fn what_a_wider_entry_asks_is_not_lost() {
    let exported = |wide: &str, narrow: &str| {
        let entry = |domain: &str, hop: &str| format!("[[partner]]\ndomains = '{domain}'\ndeliver = {hop}\n");
        let text = entry("example.org", wide) + &entry("*.mx.example.org", narrow) + &entry("example.com", narrow);
        let exported = export_postfix_policy("policy.toml", &PolicyText::parse("policy.toml", &text).unwrap());
        assert!(exported.text.contains("\n.example.com\t"), "nothing is above it: {}", exported.text);
        let refused: Vec<_> = exported.refused.iter().map(|refused| refused.loss.clone()).collect();
        assert_eq!(exported.text.contains(".mx.example.org"), refused.is_empty(), "{}", exported.text);
        refused
    };
    let left_open = |key| vec![Loss::LeftOpen { key, line: 1 }];
    let newest = "{ level = 'require', min_version = '1.3' }";
    let own = "{ level = 'verify', anchors = '/etc/ca.pem' }";
    for (wide, narrow, expected) in [
        (newest, "'require'", left_open("min_version")),
        (newest, "'verify'", left_open("min_version")),
        (newest, "'none'", vec![]),
        (newest, newest, vec![]),
        (own, "'verify'", left_open("anchors")),
        (own, "{ level = 'verify', anchors = 'system' }", vec![]),
        (own, "'require'", vec![]),
        ("{ level = 'require', ciphers = 'modern' }", "'require'", left_open("ciphers")),
        ("'verify'", "'require'", vec![]),
    ] {
        assert_eq!(exported(wide, narrow), expected, "{wide} {narrow}");
    }
}

/// Words to be left out stand behind commas, too, where the value is in braces.
#[test]
fn excluded_suites_are_cut_at_commas_and_blanks() {
    let ciphers = |text: &str| {
        let imported = import(&format!("example.com encrypt {text}\n"));
        let Some(HopForm::Table(table)) = &imported.partners[0].form.deliver else { panic!("a table") };
        table.ciphers.as_ref().map(|suites| suites.as_slice().to_vec())
    };
    let both = ciphers("exclude=AES128:CHACHA20").unwrap();
    assert!(!both.iter().any(|suite| suite.starts_with("TLS_ECDHE") && suite.contains("CHACHA20")), "{both:?}");
    for text in ["{ exclude = AES128,CHACHA20 }", "{ exclude = AES128, CHACHA20 }", "{ exclude = AES128 CHACHA20 }"] {
        assert_eq!(ciphers(text).as_ref(), Some(&both), "{text}");
    }
}

#[test]
fn broken_lines_are_refused() {
    for (text, line, loss) in [
        (" example.com may\n", 1, Loss::NothingContinued),
        ("example.com\nexample.net may", 1, Loss::NoValue),
        ("# x\nexample.com may =x", 2, Loss::Malformed),
        ("example.com may { servername = a", 1, Loss::Malformed),
        ("example.com secure match=", 1, Loss::Value),
        ("example.com secure match=a..b", 1, Loss::Value),
        ("example.com secure tafile=", 1, Loss::Value),
        ("example.com may tafile=x", 1, Loss::AttributeAtLevel),
        ("example.com encrypt protocols=!TLSv1.2:TLSv1.2", 1, Loss::Value),
        ("example.com fingerprint", 1, Loss::Fingerprints),
        ("example.com fingerprint match=zz", 1, Loss::Fingerprints),
    ] {
        let imported = import(text);
        let refused: Vec<_> = imported.refused.iter().map(|refused| (refused.line, refused.loss.clone())).collect();
        assert_eq!(refused, [(line, loss)], "{text:?}");
        assert!(imported.refused.iter().all(|refused| refused.loss.consequence() == Consequence::NotTaken));
    }
    assert!(matches!(import("a..b may").refused[0].loss, Loss::Key { .. }));
}

#[test]
fn a_whole_policy_is_exported_with_what_has_no_counterpart() {
    let text = "[defaults]\nlifetime = '7d'\n[[owner]]\nname = 'o'\n[[domain]]\nname = 'd.example'\n[[domain]]\nname = 'e.example'\n\
        [[partner]]\nname = 'The\\n Bank'\ndomains = 'a.example *.b.example * x*.example'\nsubdomains = false\ndeliver = 'dane'\nreason = 'ticket 1'\n\
        [[partner]]\ndomains = 'a.example'\nsubdomains = false\ndeliver = 'verify'\n\
        [[list]]\nname = 'l'\n[[rule]]\nname = 'r'\n[[include]]\nfile = 'f.csv'\n";
    let policy = PolicyText::parse("policy.toml", text).expect("a document");
    let exported = export_postfix_policy("policy.toml", &policy);
    assert_eq!(exported.text, "# The\\n Bank\n# ticket 1\na.example\tdane protocols=>=TLSv1.2\n.b.example\tdane protocols=>=TLSv1.2\n");
    let losses: Vec<_> = exported.refused.iter().map(|refused| (refused.line, refused.found.as_str(), refused.loss.to_string())).collect();
    let kinds = |line, found, text: &str| (line, found, text.to_owned());
    assert_eq!(losses.len(), 8, "{losses:?}");
    assert!(losses.contains(&kinds(5, "[[domain]]", "not written: there is no domain there")));
    assert!(losses.contains(&kinds(9, "*", "not written: a level for all domains is smtp_tls_security_level in main.cf")));
    assert!(losses.contains(&kinds(9, "x*.example", "not written: there are no wildcards there but a leading dot")));
    assert!(losses.contains(&kinds(1, "[defaults]", "not written: defaults are set in main.cf")));
    // Here both entries hold for a.example; there the first alone does.
    let joined = exported.warnings.iter().find(|warning| warning.loss == Loss::Joined { first_line: 9 }).expect("it is said");
    assert_eq!((joined.line, joined.loss.consequence()), (15, Consequence::Weaker));
}

/// One line of a table, of what Postfix takes.
fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof!["[a-d]{1,2}\\.example", "\\.[a-d]{1,2}\\.example"];
    let matches = prop::collection::vec(prop::sample::select(vec!["nexthop", "dot-nexthop", "hostname", "mx.a.test", ".b.test"]), 1..4);
    let value = prop_oneof![
        Just("none".to_owned()),
        prop::sample::select(vec!["may", "encrypt", "dane", "dane-only", "verify", "secure"]).prop_map(str::to_owned),
        (prop::sample::select(vec!["verify", "secure"]), matches)
            .prop_map(|(level, matches)| format!("{level} match={}", matches.join(":"))),
        "[0-9a-f]{2}".prop_map(|octet| format!("fingerprint match={}", [octet.as_str(); 32].join(":"))),
    ];
    let attributes = prop::sample::subsequence(
        vec![
            "protocols=>=TLSv1.3",
            "ciphers=high",
            "exclude=RC4:AES128:aRSA",
            "servername=x.example",
            "connection_reuse=no",
            "policy_ttl=3",
        ],
        0..4,
    );
    (key, value, attributes).prop_map(|(key, value, attributes)| format!("{key}\t{value} {}\n", attributes.join(" ")))
}

proptest! {
    /// Import, export, import: the same.
    // req: E10
    #[test]
    fn a_round_trip(lines in prop::collection::vec(line(), 0..20)) {
        let first = import(&lines.concat());
        prop_assert!(first.refused.is_empty(), "{:?}", first.refused);
        let exported = export_postfix("policy.toml", &first.partners);
        prop_assert!(exported.refused.is_empty(), "{:?}", exported.refused);
        let second = import(&exported.text);
        prop_assert_eq!(forms(&second), forms(&first), "{}", exported.text);
        prop_assert!(second.refused.is_empty());
        prop_assert_eq!(export_postfix("policy.toml", &second.partners).text, exported.text);
    }

    /// Whatever the text is, each of its keys is an entry, or it is said why not.
    #[test]
    fn any_text(text in "([a-z.\\[\\]:*/\"]{0,6}[ \t,]{0,2}(secure|may|match=[a-z:.]{0,5}|[{}=a-z!]{0,6})?[\r\n#]{0,2}){0,12}") {
        let imported = import(&text);
        let known: Vec<_> = imported.partners.iter().map(|entry: &Entry<PartnerForm>| entry.line).collect();
        prop_assert!(known.is_sorted());
        let begins = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#') && !line.starts_with(|c: char| c.is_ascii_whitespace());
        let keys = text.split_inclusive('\n').filter(begins).count();
        let loose = imported.refused.iter().filter(|refused| refused.loss == Loss::NothingContinued).count();
        let untaken = imported.warnings.iter().filter(|warning| matches!(warning.loss, Loss::NeverFound | Loss::KeyTwice { .. })).count();
        prop_assert_eq!(imported.partners.len() + imported.refused.len() + untaken, keys + loose, "{:?}", imported);
    }
}
