//! Bars: who stands where, what holds at which level, who runs the hosts, what they speak.

use super::super::standing::Standing;
use super::super::summary::Summary;
use super::markup::{Markup, put};
use super::{counted, grouped, noun};

/// The picture that says most: every domain by the strictest level that holds for it.
pub(super) fn standings(page: &mut Markup, summary: &Summary) {
    put!(page, "<section class=\"wide\"><h2>What holds for each domain today</h2>");
    put!(page, "<svg class=\"bar tall\" role=\"img\" aria-label=\"Domains by the strictest level that holds\">");
    hatch(page);
    let mut left = 0.0;
    for (standing, count) in summary.standings() {
        let width = percent(count, summary.domains);
        put!(
            page,
            "<rect class=\"",
            standing.class(),
            "\" x=\"",
            places(left),
            "%\" width=\"",
            places(width),
            "%\" height=\"100%\"><title>"
        );
        put!(page, standing.words(), ": ", grouped(count), "</title></rect>");
        left += width;
    }
    put!(page, "</svg><ul class=\"legend\">");
    for (standing, count) in summary.standings() {
        put!(page, "<li><button type=\"button\" data-filter=\"", standing.class(), "\" title=\"Show only these in the table\">");
        put!(page, "<i class=\"", standing.class(), "\"></i><b>", grouped(count), "</b> <span>", standing.words(), "</span><small>");
        put!(page, standing.meaning(), "</small></button></li>");
    }
    put!(page, "</ul></section>");
}

/// What somebody should do something about, the worst first.
pub(super) fn needs_a_look(page: &mut Markup, summary: &Summary) {
    put!(page, "<section><h2>What needs a look</h2>");
    let expired: Vec<_> = summary.certificates.iter().filter(|one| one.days_left < 0).collect();
    let soon: Vec<_> = summary.certificates.iter().filter(|one| (0..SOON).contains(&one.days_left)).collect();
    let domains = |all: &[&super::super::summary::Ending]| {
        let names: std::collections::BTreeSet<_> = all.iter().flat_map(|one| &one.domains).collect();
        names.len()
    };
    let fails = summary.policy.map_or(0, |counts| counts[1]);
    let needed = |all: &[&super::super::summary::Ending]| format!("mail to {} needs a good one", counted(domains(all), "domain"));
    let in_testing = summary.mta_sts_would_stop;
    let items: [(&str, usize, String); 7] = [
        ("bad", fails, format!("{} without what the policy asks", noun(fails, "domain"))),
        ("bad", summary.count(Standing::Clear), "without TLS: mail to them can be read on the way".to_owned()),
        ("bad", summary.count(Standing::Nothing), "cannot be reached at any level".to_owned()),
        ("bad", expired.len(), format!("expired {}; {}", noun(expired.len(), "certificate"), needed(&expired))),
        ("warn", soon.len(), format!("{} within {SOON} days of the end; {}", noun(soon.len(), "certificate"), needed(&soon))),
        ("warn", in_testing, format!("{} with an MTA-STS policy in testing that would stop mail", noun(in_testing, "domain"))),
        ("warn", summary.count(Standing::Untested), "could not be tested; a later try may tell".to_owned()),
    ];
    let there: Vec<_> = items.into_iter().filter(|(_, count, _)| *count > 0).collect();
    if there.is_empty() {
        put!(page, "<p class=\"fine\">Nothing. Every domain was tested, has TLS, and no certificate ends soon.</p></section>");
        return;
    }
    put!(page, "<ul class=\"look\">");
    for (class, count, text) in there {
        put!(page, "<li class=\"", class, "\"><b>", grouped(count), "</b><span>", text, "</span></li>");
    }
    put!(page, "</ul></section>");
}

/// For each level how many would get their mail.
pub(super) fn levels(page: &mut Markup, summary: &Summary) {
    put!(page, "<section><h2>If you required it of everybody</h2><div class=\"bars\">");
    let policy = summary.policy.map(|counts| ("the policy", counts));
    for (word, counts) in summary.levels.iter().copied().chain(policy) {
        put!(page, "<div class=\"row\"><span>", word, "</span><svg class=\"bar\" role=\"img\" aria-label=\"", word, "\">");
        let mut left = 0.0;
        for ((class, meaning), count) in OUTCOMES.into_iter().zip(counts) {
            let width = percent(count, summary.domains);
            put!(page, "<rect class=\"", class, "\" x=\"", places(left), "%\" width=\"", places(width), "%\" height=\"100%\"><title>");
            put!(page, grouped(count), " ", meaning, "</title></rect>");
            left += width;
        }
        put!(page, "</svg><b>", grouped(counts[0]), "</b></div>");
    }
    put!(page, "</div><p class=\"key\">");
    for (class, meaning) in OUTCOMES {
        put!(page, "<span><i class=\"", class, "\"></i>", meaning, "</span>");
    }
    put!(page, "</p></section>");
}

/// Whose hosts take the mail of how many domains.
pub(super) fn providers(page: &mut Markup, summary: &Summary) {
    put!(page, "<section id=\"providers\"><h2>Who runs the mail servers</h2>");
    // Whoever runs the servers of one domain is that domain, as a rule.
    let few = summary.providers.len() <= PROVIDERS;
    let shown: Vec<_> = summary.providers.iter().take_while(|(_, count)| few || *count > 1).take(PROVIDERS).collect();
    let more = summary.providers.len().saturating_sub(shown.len());
    bars(page, shown.into_iter(), summary.providers.first().map_or(0, |(_, count)| *count), "domains");
    if more > 0 {
        let others = if more == 1 { "other runs few domains, or its own" } else { "others run few domains, or their own" };
        put!(page, "<p class=\"key\">", grouped(more), " ", others, ".</p>");
    }
    put!(page, "</section>");
}

/// What hosts settle on.
pub(super) fn sessions(page: &mut Markup, summary: &Summary) {
    let (safe, all) = summary.post_quantum;
    put!(page, "<section><h2>What ", counted(all, "host"), " with TLS can do</h2>");
    bars(page, summary.versions.iter(), all, "hosts");
    put!(page, "<h3>Key exchange</h3>");
    bars(page, summary.groups.iter().take(GROUPS), all, "hosts");
    put!(page, "<p class=\"key\">", grouped(safe), " of them safe from a quantum computer of tomorrow.</p></section>");
}

/// What domains say of themselves.
pub(super) fn published(page: &mut Markup, summary: &Summary) {
    put!(page, "<section><h2>What domains publish</h2>");
    let list = [
        ("TLSA records (DANE)".to_owned(), summary.dane),
        ("MTA-STS, any mode".to_owned(), summary.mta_sts),
        ("MTA-STS, enforced".to_owned(), summary.mta_sts_enforced),
    ];
    bars(page, list.iter(), summary.domains, "domains");
    put!(page, "<p class=\"key\">What a domain publishes holds for your mail without any entry in the policy.</p></section>");
}

fn bars<'a>(page: &mut Markup, list: impl Iterator<Item = &'a (String, usize)>, full: usize, what: &'static str) {
    put!(page, "<div class=\"bars\">");
    for (word, count) in list {
        put!(page, "<div class=\"row\"><span title=\"", word, "\">", word, "</span><svg class=\"bar\" role=\"img\" aria-label=\"", word);
        put!(
            page,
            "\"><rect class=\"plain\" width=\"",
            places(percent(*count, full)),
            "%\" height=\"100%\"><title>",
            grouped(*count),
            " ",
            what
        );
        put!(page, "</title></rect></svg><b>", grouped(*count), "</b></div>");
    }
    put!(page, "</div>");
}

/// What stands for "nobody knows" is hatched, so that it is told from grey.
fn hatch(page: &mut Markup) {
    put!(page, "<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">");
    put!(page, "<rect class=\"ground\" width=\"6\" height=\"6\"/><rect class=\"line\" width=\"2.5\" height=\"6\"/></pattern></defs>");
}

fn percent(count: usize, all: usize) -> f64 {
    let float = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    if all == 0 { 0.0 } else { float(count) * 100.0 / float(all) }
}

fn places(number: f64) -> String {
    format!("{number:.3}")
}

/// The three results, as they are painted and named.
const OUTCOMES: [(&str, &str); 3] = [("yes", "would get their mail"), ("no", "would not"), ("unknown", "could not be tested")];

/// Days before an end that somebody has to see to.
pub(super) const SOON: i64 = 14;

const PROVIDERS: usize = 10;
const GROUPS: usize = 6;
