//! A tally as text: a sentence for each case, then the changes in columns.

use std::fmt::Write as _;
use std::path::Path;

use sealpost_relay::replay::{Case, Tally, Would};

/// What a replay of `policy` found since that time.
pub(super) fn text(tally: &Tally, policy: &Path, since: String) -> String {
    let mut text = format!("Mail since {since}, and what waits now, judged by {}:\n", policy.display());
    let judged: Vec<_> = Case::ALL.into_iter().filter(|case| tally.count(*case).judged > 0).collect();
    if judged.is_empty() {
        text.push_str("  there is none\n");
    }
    for case in judged {
        let _ = writeln!(text, "  {}", sentence(tally, case));
    }
    let groups = tally.groups();
    if groups.is_empty() {
        return text;
    }
    let rows = groups.into_iter().map(|(group, counted)| {
        let what = format!("{}: {}", group.would.in_words(group.case), group.why);
        let domain = if group.domain.is_empty() { "<>" } else { &group.domain };
        let source = if group.source.is_empty() { "-" } else { &group.source };
        [grouped(counted.count), domain.to_owned(), what, source.to_owned(), counted.example.clone().unwrap_or_else(|| "-".to_owned())]
    });
    let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; 4];
    for row in &rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    text.push('\n');
    for [count, domain, what, source, example] in &rows {
        let [w0, w1, w2, w3] = widths;
        let _ = writeln!(text, "{count:>w0$}  {domain:<w1$}  {what:<w2$}  {source:<w3$}  {example}");
    }
    if tally.ungrouped() > 0 {
        let _ = writeln!(text, "and {} more; --json has all of them", grouped(tally.ungrouped()));
    }
    text
}

/// `14 of 3,120 deliveries would not have gone out, 3 could not be told`.
fn sentence(tally: &Tally, case: Case) -> String {
    let count = tally.count(case);
    let (judged, noun) = (grouped(count.judged), noun(case));
    let mut text = match count.changed.keys().next() {
        None => return format!("{judged} {noun}: no difference"),
        Some(Would::Untold) => format!("{judged} {noun}: no certain difference"),
        Some(_) => String::new(),
    };
    // What is certain stands before what is not.
    for (would, number) in &count.changed {
        let (number, would) = (grouped(*number), would.in_words(case));
        let _ = if text.is_empty() { write!(text, "{number} of {judged} {noun} {would}") } else { write!(text, ", {number} {would}") };
    }
    text
}

fn noun(case: Case) -> &'static str {
    match case {
        Case::Delivery => "deliveries",
        Case::Failure => "mails that ended for want of TLS",
        Case::Reception => "receptions",
        Case::Refusal => "refusals for want of TLS",
        Case::Waiting => "waiting mails",
        _ => "others",
    }
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const HEAD: [&str; 5] = ["COUNT", "DOMAIN", "WHAT WOULD HAVE HAPPENED", "WHO SAYS SO", "EXAMPLE"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_commas() {
        let shown = [0, 7, 999, 1000, 12_345, 1_000_000].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "1,000,000"]);
    }
}
