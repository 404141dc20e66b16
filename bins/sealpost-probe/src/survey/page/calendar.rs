//! When certificates end: half a year of days, as a calendar.

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::super::summary::{Ending, Summary};
use super::markup::{Markup, put};
use super::pictures::SOON;
use super::{counted, grouped};

/// The days on which certificates end, and those that end first.
pub(super) fn calendar(page: &mut Markup, summary: &Summary, today: Date) {
    put!(page, "<section class=\"wide\"><h2>When certificates end</h2><div class=\"ends\"><div>");
    let end = |one: &Ending| one.day.parse::<Date>().ok();
    let mut days = std::collections::BTreeMap::<Date, usize>::new();
    summary.certificates.iter().filter_map(end).for_each(|day| *days.entry(day).or_default() += 1);
    let most = days.range(today..).map(|(_, count)| *count).max().unwrap_or_default();
    let monday = today.checked_sub(i64::from(today.weekday().to_monday_zero_offset()).days()).unwrap_or(today);
    put!(page, "<svg class=\"calendar\" viewBox=\"0 0 486 138\" role=\"img\" aria-label=\"Certificates by the day on which they end\">");
    for (row, name) in [(0, "Mon"), (2, "Wed"), (4, "Fri")] {
        put!(page, "<text x=\"0\" y=\"", TOP + row * CELL + 12, "\">", name, "</text>");
    }
    let (mut later, mut month) = (0, 0);
    for week in 0..WEEKS {
        for weekday in 0..7 {
            let Ok(day) = monday.checked_add((week * 7 + weekday).days()) else { continue };
            if day < today {
                continue;
            }
            if day.month() != month && (weekday == 0 || week == 0) && week < WEEKS - 1 {
                month = day.month();
                put!(page, "<text x=\"", LEFT + week * CELL, "\" y=\"12\">", day.strftime("%b"), "</text>");
            }
            let count = days.get(&day).copied().unwrap_or_default();
            let soon = if (day - today).get_days() < i32::try_from(SOON).unwrap_or(i32::MAX) { " soon" } else { "" };
            put!(page, "<rect class=\"day", heat(count, most), soon, "\" x=\"", LEFT + week * CELL, "\" y=\"", TOP + weekday * CELL);
            put!(page, "\" width=\"13\" height=\"13\" rx=\"2\"><title>", day, ": ");
            if count == 0 {
                put!(page, "none ends</title></rect>");
            } else {
                put!(page, grouped(count), " end</title></rect>");
            }
        }
    }
    if let Ok(last) = monday.checked_add((WEEKS * 7).days()) {
        later = days.range(last..).map(|(_, count)| count).sum();
    }
    put!(
        page,
        "</svg><p class=\"key\">Each square is a day; the stronger its colour, the more certificates end. The frame marks the next ",
        SOON
    );
    let end = if later == 1 { "ends" } else { "end" };
    put!(page, " days. ", counted(later, "certificate"), " ", end, " later.</p></div>");
    first(page, summary);
    put!(page, "</div></section>");
}

/// Those that end first.
fn first(page: &mut Markup, summary: &Summary) {
    put!(page, "<table class=\"first\"><thead><tr><th>Last ended, and next to end</th><th>ends</th><th>domains</th></tr></thead><tbody>");
    for one in listed(&summary.certificates) {
        let class = match one.days_left {
            ..0 => "bad",
            0..SOON => "warn",
            _ => "",
        };
        let hosts: Vec<_> = one.hosts.iter().take(2).map(String::as_str).collect();
        let more = if one.hosts.len() > 2 { format!(" and {} more", one.hosts.len() - 2) } else { String::new() };
        put!(
            page,
            "<tr class=\"",
            class,
            "\" title=\"",
            one.subject,
            ", issued by ",
            one.issuer,
            "\"><td>",
            hosts.join(", "),
            more,
            "</td><td>"
        );
        match one.days_left {
            days @ ..0 => put!(page, days.unsigned_abs(), " days ago"),
            0 => put!(page, "today"),
            1 => put!(page, "in 1 day"),
            days => put!(page, "in ", days, " days"),
        }
        put!(page, "</td><td>", grouped(one.domains.len()), "</td></tr>");
    }
    put!(page, "</tbody></table>");
}

/// Those that ended last, and those that end next.
fn listed(all: &[Ending]) -> impl Iterator<Item = &Ending> {
    let ended = all.partition_point(|one| one.days_left < 0);
    all.iter().skip(ended.saturating_sub(ENDED)).take(FIRST)
}

/// How strong the colour of a day is, of one on which the most end.
fn heat(count: usize, most: usize) -> &'static str {
    let steps = if most <= 4 { count } else { (count * 4).div_ceil(most) };
    match steps {
        0 => "",
        1 => " h1",
        2 => " h2",
        3 => " h3",
        _ => " h4",
    }
}

const WEEKS: i64 = 27;
const CELL: i64 = 16;
const LEFT: i64 = 32;
const TOP: i64 = 20;
const FIRST: usize = 7;
const ENDED: usize = 2;
