//! The report: one page with pictures and a table, which loads nothing from anywhere.

mod calendar;
mod domains;
mod markup;
mod pictures;

use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::markup::{Markup, put};
use super::row::Row;
use super::standing::Standing;
use super::summary::Summary;

/// Begins the page, so that what stands in its way is known before hours go by.
pub(super) fn begin(path: &Path) -> Result<(), String> {
    std::fs::File::create(beside(path)).map(drop).map_err(|error| format!("--report: cannot write {}: {error}", path.display()))
}

/// Writes the page, whole or not at all.
pub(super) fn write(path: &Path, list: &str, rows: &[Row], summary: &Summary) -> Result<(), String> {
    let written = std::fs::write(beside(path), html(list, rows, summary)).and_then(|()| std::fs::rename(beside(path), path));
    written.map_err(|error| format!("--report: cannot write {}: {error}", path.display()))
}

/// Where the page is made.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn html(list: &str, rows: &[Row], summary: &Summary) -> String {
    let mut page = Markup::default();
    let name = Path::new(list).file_name().map(|name| name.to_string_lossy().into_owned());
    let list = &if list == "-" { "standard input".to_owned() } else { name.unwrap_or_default() };
    put!(page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    // Nothing is loaded from anywhere, and no script runs but this one.
    put!(page, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; ");
    put!(page, "base-uri 'none'; form-action 'none'; script-src 'sha256-", script_digest(), "'\">");
    put!(
        page,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">"
    );
    put!(page, "<title>TLS survey of ", list, "</title><style>");
    page.raw(STYLE);
    put!(page, "</style></head><body>");
    head(&mut page, list, rows, summary);
    put!(page, "<main>");
    pictures::standings(&mut page, summary);
    put!(page, "<div class=\"columns\">");
    pictures::needs_a_look(&mut page, summary);
    pictures::levels(&mut page, summary);
    calendar::calendar(&mut page, summary, crate::shown::today());
    pictures::providers(&mut page, summary);
    put!(page, "<div>");
    pictures::sessions(&mut page, summary);
    pictures::published(&mut page, summary);
    put!(page, "</div></div>");
    domains::table(&mut page, rows);
    put!(page, "</main><footer>Made by <code>sealpost-probe survey</code>. Each host was asked once, and no mail was sent. ");
    put!(page, "What holds today may not hold tomorrow.</footer>");
    domains::details(&mut page, rows);
    put!(page, "<script>");
    page.raw(SCRIPT);
    put!(page, "</script></body></html>\n");
    page.into_string()
}

fn head(page: &mut Markup, list: &str, rows: &[Row], summary: &Summary) {
    let checked = [Standing::DaneOnly, Standing::Verify, Standing::VerifyMx].map(|standing| summary.count(standing)).iter().sum::<usize>();
    let weak = summary.count(Standing::Chain) + summary.count(Standing::Require);
    let (clear, none) = (summary.count(Standing::Clear), summary.count(Standing::Nothing));
    put!(page, "<header><p class=\"over\">TLS survey of ", list);
    let mut times: Vec<_> = rows.iter().filter_map(|row| row.at.as_deref()).collect();
    times.sort_unstable();
    if let (Some(first), Some(last)) = (times.first(), times.last()) {
        let short = |time: &str| time.replace('T', " ").chars().take("2026-11-26 20:00".len()).collect::<String>();
        put!(page, ", ", short(first), " UTC");
        if short(first) != short(last) {
            put!(page, " to ", short(last), " UTC");
        }
    }
    put!(page, "</p><h1><b>", grouped(checked), "</b> of ", counted(summary.domains, "domain"));
    put!(page, " can be required to use TLS with a checked certificate.</h1><p class=\"lead\">Of the others ");
    let rest = [
        (weak, "have TLS, but with a certificate that proves too little"),
        (clear, "have no TLS"),
        (none, "take no mail at any level"),
        (summary.count(Standing::Untested), "could not be tested"),
        (summary.count(Standing::NoMail), "are no mail domains"),
    ];
    let mut rest = rest.into_iter().filter(|(count, _)| *count > 0).peekable();
    if rest.peek().is_none() {
        put!(page, "there are none");
    }
    while let Some((count, words)) = rest.next() {
        put!(page, "<b>", grouped(count), "</b> ", words);
        if rest.peek().is_some() {
            put!(page, ", ");
        }
    }
    put!(page, ".</p></header>");
}

/// `1 domain`, `1,234 domains`
fn counted(number: usize, what: &str) -> String {
    format!("{} {}", grouped(number), noun(number, what))
}

/// `domain`, `domains`
fn noun(number: usize, what: &str) -> String {
    if number == 1 { what.to_owned() } else { format!("{what}s") }
}

/// `1,234,567`
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// By this the page says which script is its own.
fn script_digest() -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, SCRIPT.as_bytes()))
}

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_threes() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
    }

    /// What comes from outside: certificate names, replies, and whatever else a server says.
    #[test]
    fn nothing_from_outside_is_markup_and_nothing_is_loaded() {
        let evil = r#"</script><script src=//evil.example></script><img src=x onerror=alert(1)>\" onload='x'"#;
        let line = serde_json::json!({
            "domain": "bank.example", "result": "fails", "asked": evil, "validation": evil, "at": evil,
            "hosts": [{ "host": evil, "address": evil, "result": "passes", "reason": evil, "dane": { "records": [evil] },
                "tls": { "version": evil, "cipher": evil, "group": evil },
                "certificate": { "subject": evil, "issuer": evil, "not_after": evil, "days_left": 3, "pin": evil } }],
            "mta_sts": { "mode": evil },
            "levels": [{ "level": "require", "result": "fails", "words": format!("would NOT ({evil})"), "hosts": [] }],
        });
        let rows = [Row::parse(line.to_string().as_bytes()).unwrap()];
        let page = html(evil, &rows, &Summary::of(&rows));
        assert_eq!(page.matches("<script").count(), 2, "the data and the script");
        assert!(page.contains("&lt;/script&gt;&lt;script src=//evil.example&gt;"), "it is there as text");
        for bad in ["<img", "onerror=alert(1)>\\\"", "<link", "url(h", "url(/", "url('", "@import", "src=\"", "href=\"http"] {
            assert!(!page.contains(bad), "{bad}");
        }
    }
}
