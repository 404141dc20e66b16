//! Lists that are written as one text: items between spaces, commas and line ends.

use std::ops::Range;

use super::place::{Cuts, between, indent, line_end, line_start};
use crate::form::{is_separator, split};

/// The text with these items at its end; none if it has escapes, or the items would need some.
pub(super) fn with_items(raw: &str, added: &[String], newline: &str) -> Option<String> {
    let content = content(raw)?;
    if added.iter().any(|item| item.contains(['"', '\'', '\\']) || item.chars().any(char::is_control)) {
        return None;
    }
    let mut cuts = Cuts::default();
    let many_lines = between(raw, content.clone()).contains('\n');
    match items(raw, &content).last() {
        None if many_lines => {
            let lines: String = added.iter().map(|item| format!("{item}{newline}")).collect();
            cuts.insert(line_end(raw, content.start), lines);
        }
        None => cuts.replace(content, added.join(", ")),
        Some(last) if many_lines => {
            // The item's line may be that of the opening quotes.
            let indent = if line_start(raw, last.start) < content.start { "" } else { indent(raw, last.start) };
            let comma = if between(raw, last.end..content.end).starts_with(',') { "," } else { "" };
            let lines: String = added.iter().map(|item| format!("{newline}{indent}{item}{comma}")).collect();
            cuts.insert(last.end + comma.len(), lines);
        }
        Some(last) => {
            let separator = if between(raw, content).contains(',') { ", " } else { " " };
            cuts.insert(last.end, added.iter().map(|item| format!("{separator}{item}")).collect::<String>());
        }
    }
    Some(cuts.apply(raw))
}

/// The text without these items; none if it has escapes.
pub(super) fn without_items(raw: &str, goes: &dyn Fn(&str) -> bool) -> Option<String> {
    let content = content(raw)?;
    let items = items(raw, &content);
    let mut cuts = Cuts::default();
    let mut kept_on_line = false;
    for (index, item) in items.iter().enumerate() {
        let same_line = |from: usize, to: usize| !between(raw, from..to).contains('\n');
        let before = index.checked_sub(1).and_then(|index| items.get(index)).filter(|before| same_line(before.end, item.start));
        let after = items.get(index + 1).filter(|after| same_line(item.end, after.start));
        kept_on_line &= before.is_some();
        if !goes(between(raw, item.clone())) {
            kept_on_line = true;
            continue;
        }
        let line = line_start(raw, item.start)..line_end(raw, item.end);
        if let Some(before) = before.filter(|_| kept_on_line) {
            cuts.remove(before.end..item.end);
        } else if let Some(after) = after {
            cuts.remove(item.start..after.start);
        } else if before.is_none() && line.start >= content.start && line.end <= content.end {
            cuts.remove(line);
        } else {
            let rest = between(raw, item.end..content.end);
            let separators = rest.len() - rest.trim_start_matches([' ', '\t', ',']).len();
            cuts.remove(item.start..item.end + separators);
        }
    }
    Some(cuts.apply(raw))
}

/// What stands between the quotes of a text without escapes.
fn content(raw: &str) -> Option<Range<usize>> {
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| raw.starts_with(quotes))?;
    let content = quotes.len()..raw.len().checked_sub(quotes.len())?;
    let inner = raw.get(content.clone())?;
    (quotes.starts_with('\'') || !inner.contains('\\')).then_some(content)
}

fn items(raw: &str, content: &Range<usize>) -> Vec<Range<usize>> {
    let text = between(raw, content.clone());
    let mut from = content.start;
    let place = |item: &str| {
        let skipped: usize = between(raw, from..content.end).chars().take_while(|c| is_separator(*c)).map(char::len_utf8).sum();
        let start = from + skipped;
        from = start + item.len();
        start..from
    };
    split(text).map(place).collect()
}
