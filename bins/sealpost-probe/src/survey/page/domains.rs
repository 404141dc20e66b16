//! The table of domains, and what is shown of one when somebody asks for more.

use serde_json::json;

use super::super::row::Row;
use super::super::standing::Standing;
use super::markup::{Markup, put};
use super::pictures::SOON;

/// A row a domain; the script searches and sorts it.
pub(super) fn table(page: &mut Markup, rows: &[Row]) {
    put!(page, "<section class=\"wide\" id=\"domains\"><div class=\"tools\"><h2>Domains</h2>");
    put!(
        page,
        "<input type=\"search\" id=\"search\" placeholder=\"Domain, host, issuer, reason\" aria-label=\"Search\" autocomplete=\"off\">"
    );
    put!(page, "<select id=\"filter\" aria-label=\"What holds\"><option value=\"\">everything</option>");
    for standing in Standing::ALL {
        put!(page, "<option value=\"", standing.class(), "\">", standing.words(), "</option>");
    }
    put!(page, "</select><output id=\"count\" role=\"status\"></output></div>");
    put!(page, "<noscript><p>Search, order and details need JavaScript; the table is all here.</p></noscript>");
    put!(page, "<div class=\"scroll\"><table id=\"table\"><thead><tr>");
    for (number, name) in COLUMNS.into_iter().enumerate() {
        let order = if number == 0 { "ascending" } else { "none" };
        put!(page, "<th aria-sort=\"", order, "\"><button type=\"button\" data-column=\"", number, "\">", name, "</button></th>");
    }
    put!(page, "</tr></thead><tbody>");
    let mut sorted: Vec<(usize, &Row)> = rows.iter().enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| a.domain.cmp(&b.domain));
    for (number, row) in sorted {
        domain(page, number, row);
    }
    put!(page, "</tbody></table></div><p id=\"none\" hidden>No domain matches.</p></section>");
}

fn domain(page: &mut Markup, number: usize, row: &Row) {
    let standing = row.standing();
    let place = Standing::ALL.iter().position(|one| *one == standing).unwrap_or_default();
    put!(
        page,
        "<tr data-n=\"",
        number,
        "\" data-s=\"",
        standing.class(),
        "\"><td><button type=\"button\" aria-expanded=\"false\">",
        row.domain
    );
    put!(page, "</button></td><td data-k=\"", place, "\"><i class=\"", standing.class(), "\"></i>", standing.words(), "</td><td><div>");
    put!(page, row.why().unwrap_or_default(), "</div></td>");
    let versions = row.each_once(|tls| tls.version.strip_prefix("TLSv"));
    let unsafe_later = row.hosts.iter().filter_map(|host| host.tls.as_ref()).any(|tls| !tls.post_quantum);
    put!(page, "<td>", versions.join(", "));
    if !versions.is_empty() && !unsafe_later {
        put!(page, " <small title=\"The key exchange is safe from a quantum computer of tomorrow\">PQ</small>");
    }
    match row.first_to_end().and_then(|certificate| certificate.days_left) {
        Some(days) if days < 0 => put!(page, "</td><td class=\"bad\" data-k=\"", days, "\">expired</td>"),
        Some(days) => {
            let class = if days < SOON { "warn" } else { "" };
            put!(page, "</td><td class=\"", class, "\" data-k=\"", days, "\">", days, " days</td>");
        }
        None => put!(page, "</td><td data-k=\"99999\"></td>"),
    }
    let dane = if row.has_dane() { "DANE" } else { "" };
    let sts = row.mta_sts().map(|mode| format!("MTA-STS {mode}")).unwrap_or_default();
    let published: Vec<_> = [dane, &sts].into_iter().filter(|text| !text.is_empty()).collect();
    put!(page, "<td>", published.join(", "), "</td><td>", row.providers().into_iter().collect::<Vec<_>>().join(", "), "</td></tr>");
}

/// What the script shows of a domain, by its number: levels, hosts, and where it is published.
pub(super) fn details(page: &mut Markup, rows: &[Row]) {
    let all: Vec<_> = rows.iter().map(detail).collect();
    put!(page, "<script type=\"application/json\" id=\"details\">");
    page.data(&json!(all));
    put!(page, "</script>");
}

fn detail(row: &Row) -> serde_json::Value {
    let mut before = String::new();
    let levels = row.levels.iter().map(|level| {
        let (first, why) = crate::shown::told_once(&level.words, &mut before);
        json!([level.level, class(&level.result), format!("{first}{why}")])
    });
    let levels: Vec<_> = levels.collect();
    let hosts: Vec<_> = row.hosts.iter().map(host).collect();
    let mut notes: Vec<String> = row.error.iter().cloned().collect();
    notes.extend(row.mx.as_ref().map(|mx| format!("MX (DNSSEC: {})", mx.dnssec)));
    notes.extend(row.policy.as_ref().map(|policy| format!("By the policy: {}; today: {}", policy.level, policy.outlook.words)));
    notes.extend((!row.validation.is_empty()).then(|| row.validation.clone()));
    notes.extend(row.at.as_ref().map(|at| format!("Tested {at}")));
    json!({ "levels": levels, "hosts": hosts, "notes": notes })
}

fn host(host: &super::super::row::Host) -> serde_json::Value {
    let tls = host.tls.as_ref().map(|tls| {
        let group = tls.group.as_deref().unwrap_or("no key exchange");
        format!("{} {} {group}", tls.version, tls.cipher)
    });
    let certificate = host.certificate.as_ref().map(|certificate| {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
        let (subject, issuer) = (text(&certificate.subject), text(&certificate.issuer));
        format!("{subject}, issued by {issuer}, until {}", text(&certificate.not_after))
    });
    let said = tls.or_else(|| host.reason.clone());
    let lines: Vec<_> =
        [said, certificate].into_iter().flatten().chain(host.dane.records.iter().map(|record| format!("TLSA {record}"))).collect();
    json!([host.host, host.address, class(&host.result), lines])
}

fn class(result: &str) -> &'static str {
    match result {
        super::super::row::PASSES => "yes",
        super::super::row::FAILS => "no",
        _ => "unknown",
    }
}

const COLUMNS: [&str; 7] = ["Domain", "What holds", "Why no better", "TLS", "Certificate ends", "Publishes", "Run by"];
