//! Which domains: one a line, or the first column of a CSV.

use std::collections::HashSet;
use std::io::{self, Read as _};

use sealpost_types::Domain;

/// The domains of a list, each once, in its order.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) domains: Vec<Domain>,
    pub(crate) bad: Vec<BadLine>,
    /// How many lines name a domain that stands before.
    pub(crate) repeated: usize,
}

/// A line that names no domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    pub(crate) line: usize,
    pub(crate) found: String,
    pub(crate) reason: String,
}

impl List {
    /// The list in a file; `-` is standard input.
    pub(crate) fn read(source: &str) -> Result<Self, String> {
        let mut octets = Vec::new();
        let read = if source == "-" { io::stdin().read_to_end(&mut octets).map(|_| octets) } else { std::fs::read(source) };
        read.map(|octets| Self::of(&octets)).map_err(|error| format!("cannot read {source}: {error}"))
    }

    fn of(octets: &[u8]) -> Self {
        let (mut list, mut seen) = (Self::default(), HashSet::new());
        let mut is_first = true;
        let octets = octets.strip_prefix(BYTE_ORDER_MARK).unwrap_or(octets);
        for (number, line) in octets.split(|octet| *octet == b'\n').enumerate() {
            let line = String::from_utf8_lossy(line);
            let Some(word) = first_column(&line) else { continue };
            let is_heading = std::mem::take(&mut is_first) && HEADINGS.iter().any(|heading| heading.eq_ignore_ascii_case(word));
            if is_heading {
                continue;
            }
            match domain(word) {
                Ok(domain) if seen.insert(domain.clone()) => list.domains.push(domain),
                Ok(_) => list.repeated += 1,
                Err(reason) => list.bad.push(BadLine { line: number + 1, found: word.chars().take(SHOWN).collect(), reason }),
            }
        }
        list
    }
}

/// What stands in the first column, without quotes and comments; nothing on a line without it.
fn first_column(line: &str) -> Option<&str> {
    let line = line.trim();
    let word = match line.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => line.split([',', ';', '\t', '#']).next().unwrap_or_default(),
    };
    let word = word.trim();
    // What a comma begins has a first column, and it is empty: that is told.
    let is_nothing = word.is_empty() && (line.is_empty() || line.starts_with('#'));
    (!is_nothing).then_some(word)
}

fn domain(word: &str) -> Result<Domain, String> {
    if word.contains('@') {
        return Err("an address; its domain alone is meant".to_owned());
    }
    if word.contains(['*', '?']) {
        return Err("a pattern; a domain that mail goes to is meant".to_owned());
    }
    if word.parse::<std::net::IpAddr>().is_ok() {
        return Err("an address; a domain is meant".to_owned());
    }
    Domain::parse(word).map_err(|error| error.to_string())
}

/// What the first line may be where it names the columns.
const HEADINGS: [&str; 6] = ["domain", "domains", "name", "host", "hostname", "domain name"];

/// What some programs write at the beginning of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Of a bad line, so much is shown.
const SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &List) -> Vec<&str> {
        list.domains.iter().map(Domain::as_str).collect()
    }

    #[test]
    fn lines_comments_and_columns_are_read() {
        let list = List::of("\u{feff}Domain,Customer\r\n# ours\n\nBank.example.,Bank AG\n\"clinic.example\",\"a, b\"\n  münchen.example  # with a comment\nbank.example\nshop.example;7\n".as_bytes());
        assert_eq!(names(&list), ["bank.example", "clinic.example", "xn--mnchen-3ya.example", "shop.example"]);
        assert_eq!((list.repeated, list.bad.len()), (1, 0), "{list:?}");
        assert_eq!(names(&List::of(b"name.example")), ["name.example"]);
    }

    #[test]
    fn what_is_no_domain_is_told_with_its_line() {
        let list = List::of(b"good.example\nbad..example\nann@bank.example\n*.bank.example\n\xff\xfe.example\n192.0.2.1\n,x\ndomain\n");
        let told: Vec<_> = list.bad.iter().map(|bad| (bad.line, bad.found.as_str())).collect();
        assert_eq!(names(&list)[0], "good.example");
        let expected = [
            (2, "bad..example"),
            (3, "ann@bank.example"),
            (4, "*.bank.example"),
            (5, "\u{fffd}\u{fffd}.example"),
            (6, "192.0.2.1"),
            (7, ""),
        ];
        assert_eq!(told, expected, "{list:#?}");
        assert!(list.bad.iter().all(|bad| !bad.reason.is_empty()));
        assert_eq!(names(&list), ["good.example", "domain"], "a heading stands on the first line only");
    }
}
