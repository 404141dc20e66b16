//! Which presented names are right for which reference names: RFC 9525 section 6 and RFC 6125 section 6.4.

use sealpost_cert::PresentedName;

/// Presented name, reference name, whether they match.
const TABLE: &[(&str, &str, bool)] = &[
    // RFC 9525 section 6.3: case is no difference, the whole name counts.
    ("mx.bank.example", "mx.bank.example", true),
    ("MX.Bank.EXAMPLE", "mx.bank.example", true),
    ("mx.bank.example", "bank.example", false),
    ("bank.example", "mx.bank.example", false),
    ("xmx.bank.example", "mx.bank.example", false),
    ("mx.bank.example.evil.example", "mx.bank.example", false),
    // An absolute name is not a presented name.
    ("mx.bank.example.", "mx.bank.example", false),
    // RFC 9525 section 6.3: one whole left-most label, and no more than one.
    ("*.bank.example", "mx.bank.example", true),
    ("*.BANK.example", "mx.bank.example", true),
    ("*.bank.example", "bank.example", false),
    ("*.bank.example", "a.mx.bank.example", false),
    ("*.*.example", "mx.bank.example", false),
    ("mx.*.example", "mx.bank.example", false),
    ("m*.bank.example", "mx.bank.example", false),
    ("*x.bank.example", "mx.bank.example", false),
    ("mx*.bank.example", "mx1.bank.example", false),
    ("*", "mx", false),
    ("*", "mx.bank.example", false),
    ("*.", "mx.bank.example", false),
    ("*.example", "bank.example", false),
    ("*..example", "bank.example", false),
    // RFC 9525 section 6.3, last item: names are compared as A-labels.
    ("xn--bcher-kva.example", "bücher.example", true),
    ("XN--BCHER-KVA.example", "bücher.example", true),
    ("bücher.example", "bücher.example", false),
    ("*.example.org", "bücher.example.org", true),
    ("*.xn--bcher-kva.example", "mx.bücher.example", true),
    ("xn--*.example.org", "bücher.example.org", false),
    // What the grammar of names forbids matches nothing.
    ("mx.bank.example\0.evil.example", "mx.bank.example", false),
    ("mx.bank.example\0", "mx.bank.example", false),
    (" mx.bank.example", "mx.bank.example", false),
    ("mx..bank.example", "mx.bank.example", false),
    ("-mx.bank.example", "*.bank.example", false),
    ("mx-.bank.example", "*.bank.example", false),
    ("mx.bank.25", "mx.bank.25", false),
    ("*.bank.25", "mx.bank.25", false),
    ("", "mx.bank.example", false),
    ("https://mx.bank.example", "mx.bank.example", false),
    // RFC 9525 section 6.4 (IP addresses): never against a DNS name.
    ("192.0.2.25", "192.0.2.25", false),
    ("*.0.2.25", "192.0.2.25", false),
    // Names below a domain, at any depth; not the domain itself.
    ("mx.bank.example", "*.bank.example", true),
    ("a.mx.bank.example", "*.bank.example", true),
    ("MX.BANK.example", "*.bank.example", true),
    ("bank.example", "*.bank.example", false),
    ("badbank.example", "*.bank.example", false),
    ("x.badbank.example", "*.bank.example", false),
    (".bank.example", "*.bank.example", false),
    ("*.bank.example", "*.bank.example", true),
    ("*.mx.bank.example", "*.bank.example", true),
    ("*.badbank.example", "*.bank.example", false),
    // Some of the names that it stands for are not below.
    ("*.example.org", "*.bank.example.org", false),
    // Characters that are longer than one octet must not be cut.
    ("äö.bank.example", "*.bank.example", false),
];

// req: B8
#[test]
fn dns_names_match_as_the_table_says() {
    for (presented, reference, matches) in TABLE {
        let name = PresentedName::Dns((*presented).to_owned());
        assert_eq!(name.matches(&reference.parse().unwrap()), *matches, "{presented:?} for {reference}");
    }
}

// req: B8
#[test]
fn addresses_match_addresses_alone() {
    let v4 = PresentedName::Address("192.0.2.25".parse().unwrap());
    let v6 = PresentedName::Address("2001:db8::25".parse().unwrap());
    for (presented, reference, matches) in [
        (&v4, "192.0.2.25", true),
        (&v4, "192.0.2.26", false),
        (&v6, "2001:db8:0:0::25", true),
        (&v6, "2001:db8::26", false),
        (&v4, "::ffff:192.0.2.25", false),
        (&v4, "mx.bank.example", false),
    ] {
        assert_eq!(presented.matches(&reference.parse().unwrap()), matches, "{presented} for {reference}");
    }
}

#[test]
fn names_of_other_kinds_match_nothing() {
    let text = "mx.bank.example".to_owned();
    for name in [
        PresentedName::Email(text.clone()),
        PresentedName::Uri(text.clone()),
        PresentedName::Directory(format!("CN={text}")),
        PresentedName::Other(text),
        PresentedName::Unreadable,
    ] {
        assert!(!name.matches(&"mx.bank.example".parse().unwrap()), "{name}");
        assert!(!name.matches(&"*.bank.example".parse().unwrap()), "{name}");
    }
}

#[test]
fn a_name_cannot_end_a_line_of_a_log() {
    let name = PresentedName::Dns("mx.example\r\n250 fine\u{202e}".to_owned());
    assert_eq!(name.to_string(), "DNS:mx.example\\u{d}\\u{a}250 fine\\u{202e}");
}
