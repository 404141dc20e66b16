//! The tables of docs/policy/patterns.md, run as they are printed; and many patterns at once against a plain scan.

use std::cmp::Reverse;

use proptest::prelude::*;
use sealpost_policy::{
    AddressPattern, AddressPatternError, AddressSet, Face, Faces, LocalPattern, Pattern, TAG_DELIMITERS, WRAPPERS, faces,
};
use sealpost_types::{Domain, MailHost, Mailbox, ReversePath};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy/patterns.md");

/// The rows of each table below this heading whose header starts with these cells.
fn rows(heading: &str, header: &[&str]) -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(PAGE).expect("the page is part of the source");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let section = section.split("\n## ").next().expect("it has text");
    let is_header = |line: &&str| cells(line).is_some_and(|cells| cells.iter().map(String::as_str).eq(header.iter().copied()));
    let lines: Vec<_> = section.lines().skip_while(|line| !is_header(line)).skip(2).map_while(cells).collect();
    assert!(!lines.is_empty(), "no table {header:?} below {heading:?}");
    lines
}

/// A line's cells without their backticks, and with the characters that are written as `\u{...}`.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(inner.split(" | ").map(|cell| spelled(&cell.trim().replace('`', ""))).collect())
}

fn spelled(cell: &str) -> String {
    let Some((before, rest)) = cell.split_once("\\u{") else { return cell.to_owned() };
    let (code, after) = rest.split_once('}').expect("a closing brace");
    let c = u32::from_str_radix(code, 16).ok().and_then(char::from_u32).expect("a character");
    format!("{before}{c}{}", spelled(after))
}

fn path(text: &str) -> ReversePath {
    if text == "<>" { ReversePath::Null } else { mailbox(text).into() }
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn pattern(text: &str) -> AddressPattern {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn is_covered(cell: &str) -> bool {
    match cell {
        "yes" => true,
        "-" => false,
        other => panic!("{other:?} is neither yes nor a dash"),
    }
}

/// Whether the pattern covers the address by one of its faces, alone and as a set of one.
fn covers(pattern: &AddressPattern, delimiters: &str, address: &ReversePath) -> bool {
    let alone = faces(address).any(|face| pattern.matches(&face, delimiters));
    let set = AddressSet::new([pattern.clone()], delimiters);
    assert_eq!(faces(address).any(|face| set.matches(&face).is_some()), alone, "{pattern} and {address} in a set");
    assert_eq!(pattern.to_string().parse().as_ref(), Ok(pattern), "{pattern}, written and read");
    alone
}

// req: A1
#[test]
fn domains() {
    let rows = rows("Domains", &["pattern", "name", "covered"]);
    assert!(rows.len() >= 34, "{}", rows.len());
    for row in &rows {
        let found = covers(&pattern(&row[0]), TAG_DELIMITERS, &path(&format!("ann@{}", row[1])));
        assert_eq!(found, is_covered(&row[2]), "{row:?}");
        assert_eq!(covers(&pattern(&format!("*@{}", row[0])), TAG_DELIMITERS, &path(&format!("ann@{}", row[1]))), found, "{row:?}");
        let alone: Pattern = row[0].parse().expect("a pattern");
        if let Ok(name) = Domain::parse(&row[1]) {
            assert_eq!(alone.matches(&name), found, "{row:?}");
        }
        assert_eq!(alone.to_string().parse(), Ok(alone), "{row:?}, written and read");
    }
}

// req: D3
#[test]
fn addresses() {
    let rows = rows("Addresses", &["pattern", "address", "covered"]);
    assert!(rows.len() >= 70, "{}", rows.len());
    for row in &rows {
        assert_eq!(covers(&pattern(&row[0]), TAG_DELIMITERS, &path(&row[1])), is_covered(&row[2]), "{row:?}");
    }
}

// req: D3
#[test]
fn delimiters_are_a_setting() {
    let rows = rows("Addresses", &["pattern", "delimiters", "address", "covered"]);
    assert!(rows.len() >= 9, "{}", rows.len());
    for row in &rows {
        let delimiters = if row[1] == "none" { "" } else { &row[1] };
        assert_eq!(covers(&pattern(&row[0]), delimiters, &path(&row[2])), is_covered(&row[3]), "{row:?}");
    }
}

#[test]
fn wrapped_senders_have_several_faces() {
    let rows = rows("Wrapped senders", &["sender", "is known as"]);
    assert!(rows.len() >= 35, "{}", rows.len());
    for row in &rows {
        let sender = path(&row[0]);
        let found: Vec<_> = faces(&sender).collect();
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown.join(", "), row[1], "{row:?}");
        assert!(found.len() <= 1 + WRAPPERS, "{row:?}");
        assert_eq!(found[0].is_null(), sender.is_null());
        if let Some(mailbox) = sender.mailbox() {
            assert_eq!(found[0], Face::of(mailbox));
            assert_eq!(Faces::of(mailbox).collect::<Vec<_>>(), found);
        }
    }
}

// req: A1
#[test]
fn wrappers_are_no_way_around_a_pattern() {
    let rows = rows("Wrapped senders", &["pattern", "sender", "covered"]);
    assert!(rows.len() >= 11, "{}", rows.len());
    for row in &rows {
        assert_eq!(covers(&pattern(&row[0]), TAG_DELIMITERS, &path(&row[1])), is_covered(&row[2]), "{row:?}");
    }
}

// req: D3
#[test]
fn recipients_are_written_as_local_parts() {
    let acme: Pattern = "acme.example".parse().expect("a pattern");
    let rows = rows("Recipients of a domain", &["item", "recipient", "covered"]);
    assert!(rows.len() >= 13, "{}", rows.len());
    for row in &rows {
        let item: LocalPattern = row[0].parse().unwrap_or_else(|error| panic!("{row:?}: {error}"));
        assert_eq!(covers(&item.at(&acme), TAG_DELIMITERS, &path(&row[1])), is_covered(&row[2]), "{row:?}");
        assert_eq!(item.to_string().parse(), Ok(item), "{row:?}, written and read");
    }
}

#[test]
fn the_most_specific_pattern_is_found() {
    let rows = rows("The most specific", &["patterns, in written order", "address", "found"]);
    assert!(rows.len() >= 15, "{}", rows.len());
    for row in &rows {
        let set = AddressSet::new(row[0].split(", ").map(pattern), TAG_DELIMITERS);
        let address = path(&row[1]);
        let found = faces(&address).find_map(|face| set.matches(&face).cloned());
        assert_eq!(found, Some(pattern(&row[2])), "{row:?}");
    }
}

#[test]
fn what_never_reaches_a_pattern() {
    let source = |file: &str| std::fs::read_to_string(format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"))).expect("the file is there");
    for row in rows("What never reaches a pattern", &["written", "what the relay does", "test"]) {
        let (test, file) = row[2].split_once(" in ").expect("a test and its file");
        assert!(source(file).contains(&format!("fn {test}()")), "{row:?}");
    }
    for row in rows("What never reaches a pattern", &["pattern", "sender", "covered"]) {
        assert_eq!(covers(&pattern(&row[0]), TAG_DELIMITERS, &path(&row[1])), is_covered(&row[2]), "{row:?}");
    }
}

#[test]
fn mistakes_are_named() {
    let written = |cell: &str| if cell == "(nothing)" { String::new() } else { cell.to_owned() };
    let shown = |error: AddressPatternError| (error.to_string(), error.remedy().to_owned());
    let (whole, items) =
        (rows("Mistakes", &["pattern", "message", "what would be right"]), rows("Mistakes", &["item", "message", "what would be right"]));
    assert!(whole.len() >= 19 && items.len() >= 6);
    for row in &whole {
        let error = written(&row[0]).parse::<AddressPattern>().expect_err(&row[0]);
        assert_eq!(shown(error), (row[1].clone(), row[2].clone()), "{row:?}");
    }
    for row in &items {
        let error = written(&row[0]).parse::<LocalPattern>().expect_err(&row[0]);
        assert_eq!(shown(error), (row[1].clone(), row[2].clone()), "{row:?}");
    }
    let long = format!("{}@example.org", "a".repeat(65));
    let error = long.parse::<AddressPattern>().expect_err("too long");
    assert_eq!(error.to_string(), "the local part has 65 octets, 64 are allowed");
}

/// How specific a pattern is for this mailbox, by the words of the page and nothing of the set: the least is found.
fn rank(pattern: &str, mailbox: &Mailbox) -> (u8, Reverse<usize>, u8, Reverse<usize>) {
    let (local, domain) = pattern.rsplit_once('@').unwrap_or(("*", pattern));
    let is_wild = |text: &str| text.contains(['*', '?']);
    let (domain_class, suffix) = match domain.strip_prefix("*.") {
        _ if !is_wild(domain) => (0, 0),
        Some(parent) if !is_wild(parent) => (1, parent.len()),
        _ if domain != "*" => (2, 0),
        _ if pattern != "*" => (3, 0),
        _ => (4, 0),
    };
    let length = mailbox.local_part().unquoted().len();
    let (local_class, stem) = match local {
        "*" => (3, 0),
        local if is_wild(local) => (2, 0),
        local if local.len() == length => (0, 0),
        local => (1, local.len()),
    };
    (domain_class, Reverse(suffix), local_class, Reverse(stem))
}

fn some_pattern() -> impl Strategy<Value = String> {
    let local = "[ab*?+]{1,4}|\\*|prvs=0123abcdef=[ab]";
    let domain = "[ab](\\.[ab]){0,2}|\\*(\\.[ab]){0,2}|[ab*?]{1,2}\\.[ab*?]";
    prop_oneof![6 => (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}")), 2 => domain, 1 => Just("*".to_owned()), 1 => Just("<>".to_owned())]
}

fn some_sender() -> impl Strategy<Value = ReversePath> {
    let local = "[abAB+]{1,5}|prvs=0123abcdef=[abAB+]{1,2}|SRS0=h=t=[ab]\\.[ab]=[abAB+]{1,3}";
    let domain = "[abAB](\\.[ab]){0,3}|\\[192\\.0\\.2\\.1\\]";
    prop_oneof![9 => (local, domain).prop_map(|(local, domain)| path(&format!("{local}@{domain}"))), 1 => Just(ReversePath::Null)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    /// The set finds what a scan finds that tries each pattern and keeps the most specific.
    #[test]
    fn a_set_is_a_fast_scan(texts in prop::collection::vec(some_pattern(), 0..24), sender in some_sender()) {
        let patterns: Vec<_> = texts.iter().map(|text| pattern(text)).collect();
        let set = AddressSet::new(patterns.clone(), TAG_DELIMITERS);
        prop_assert_eq!(set.is_empty(), patterns.is_empty());
        for face in faces(&sender) {
            let shown = face.to_string();
            let covering = patterns.iter().filter(|pattern| pattern.matches(&face, TAG_DELIMITERS));
            let expected = if face.is_null() {
                covering.min_by_key(|pattern| pattern.to_string() != "<>")
            } else {
                let mailbox = mailbox(&shown);
                // Equal ranks: the first of them, as `min_by_key` has it.
                covering.min_by_key(|pattern| rank(&pattern.to_string(), &mailbox))
            };
            prop_assert_eq!(set.matches(&face), expected, "{}", shown);
        }
    }

    /// Whatever text is a pattern, its written form is the same pattern.
    #[test]
    fn what_is_written_reads_the_same(text in "\\PC{0,12}|[\"a-zA-ZäÖßİ@*?\\\\.\u{308}\u{345}]{1,10}@a|\"[ -~]{0,8}\"@b") {
        if let Ok(found) = text.parse::<AddressPattern>() {
            prop_assert_eq!(found.to_string().parse(), Ok(found));
        }
        if let Ok(found) = text.parse::<LocalPattern>() {
            prop_assert_eq!(found.to_string().parse(), Ok(found));
        }
    }

    /// A pattern made of a mailbox covers it, in upper case and with a tag as well.
    #[test]
    fn a_mailbox_covers_itself(local in "[a-zäöß.+=]{1,8}|\"[ -!#-@]{1,8}\"|\\PC{1,6}") {
        let text = format!("{local}@example.org");
        let Ok(mailbox) = Mailbox::parse(&text) else { return Ok(()) };
        prop_assume!(mailbox.local_part().is_quoted() || !local.contains(['*', '?']));
        let Ok(pattern) = text.parse::<AddressPattern>() else { return Ok(()) };
        // The capital letter of the Turkish dotless i is that of another letter too.
        let upper = if local.contains('ı') { text.clone() } else { text.to_uppercase() };
        for same in [text.clone(), upper, text.replace('@', "+tag@")] {
            if let Ok(same) = Mailbox::parse(&same) && same.host() == mailbox.host() {
                prop_assert!(pattern.matches(&Face::of(&same), TAG_DELIMITERS), "{} {}", pattern, same);
            }
        }
    }
}

/// Text made of what patterns, addresses and wrappers are made of, in any order; or of anything.
fn anything() -> impl Strategy<Value = String> {
    const TOKENS: &[&str] = &[
        "prvs=",
        "SRS0",
        "srs1",
        "=",
        "+",
        "-",
        "@",
        "0123abcdef",
        ".",
        "\"",
        "\\",
        "ä",
        "a\u{308}",
        "*",
        "?",
        "<",
        ">",
        "[",
        "]",
        "a",
        "b.example",
        " ",
        "\u{37e}",
        "\u{345}",
        "İ",
        "xn--",
        "\0",
        "192.0.2.1",
        "SRS0=h=t=b.example=",
        "prvs=0123abcdef=",
    ];
    prop_oneof![prop::collection::vec(prop::sample::select(TOKENS), 0..12).prop_map(|tokens| tokens.concat()), ".{0,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// No text makes a pattern, a set or a face panic; a set never says other than its patterns.
    #[test]
    fn no_text_is_fatal(texts in prop::collection::vec(anything(), 1..6), local in anything(), delimiters in "[+=ä]{0,2}") {
        let everywhere: Pattern = "*".parse().expect("a pattern");
        let items = texts.iter().filter_map(|text| text.parse::<LocalPattern>().ok()).map(|item| item.at(&everywhere));
        let patterns: Vec<_> = texts.iter().filter_map(|text| text.parse().ok()).chain(items).collect();
        let set = AddressSet::new(patterns.clone(), &delimiters);
        let addresses = texts.iter().cloned().chain([format!("{local}@b.example"), format!("\"{local}\"@[192.0.2.1]")]);
        for mailbox in addresses.filter_map(|text| Mailbox::parse(&text).ok()) {
            let found: Vec<_> = Faces::of(&mailbox).collect();
            prop_assert!((1..=1 + WRAPPERS).contains(&found.len()));
            prop_assert_eq!(&found[0], &Face::of(&mailbox));
            for face in &found {
                let covering = patterns.iter().any(|pattern| pattern.matches(face, &delimiters));
                prop_assert_eq!(set.matches(face).is_some(), covering, "{}", face);
                if let Some(found) = set.matches(face) {
                    prop_assert!(found.matches(face, &delimiters), "{} {}", found, face);
                }
            }
        }
        prop_assert_eq!(faces(&ReversePath::Null).any(|face| set.matches(&face).is_some()), patterns.iter().any(|pattern| ["*", "<>"].contains(&&*pattern.to_string())));
    }
}

/// 100,000 lines: each is found, and none is found for its neighbour.
#[test]
fn a_long_list_finds_each_of_its_lines() {
    let line = |number: u32| match number % 3 {
        0 => format!("user{number}@example.org"),
        1 => format!("*@d{number}.example"),
        _ => format!("*.d{number}.example"),
    };
    let set = AddressSet::new((0..100_000).map(|number| pattern(&line(number))), TAG_DELIMITERS);
    for number in (0..100_000).step_by(97) {
        let (covered, neighbour) = match number % 3 {
            0 => (format!("user{number}+x@example.org"), format!("user{number}x@example.org")),
            1 => (format!("ann@d{number}.example"), format!("ann@a.d{number}.example")),
            _ => (format!("ann@a.b.d{number}.example"), format!("ann@d{number}.example")),
        };
        let find = |text: &str| set.matches(&Face::of(&mailbox(text))).map(ToString::to_string);
        assert_eq!(find(&covered), Some(line(number)));
        assert_eq!(find(&neighbour), None);
    }
}

#[test]
fn a_face_shows_a_literal() {
    let mailbox = mailbox("Ann@[192.0.2.1]");
    assert!(matches!(mailbox.host(), MailHost::Literal(_)));
    assert_eq!(Face::of(&mailbox).to_string(), "ann@[192.0.2.1]");
}
