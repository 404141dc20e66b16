//! Results as CSV (RFC 4180).

use super::row::Row;
use crate::test::LEVELS;

/// The names of the columns.
pub(crate) fn heading() -> String {
    let levels = LEVELS.map(|(word, _)| column(word));
    let fixed = ["domain", "at", "holds"].map(str::to_owned);
    line(fixed.into_iter().chain(levels).chain(BEHIND.map(str::to_owned)))
}

/// One domain.
pub(crate) fn row(row: &Row) -> String {
    let of_level = |(word, _): (&str, &str)| row.level(word).map_or_else(|| row.result.clone(), |level| level.result.clone());
    let certificate = row.first_to_end();
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let fixed = [row.domain.clone(), text(row.at.as_deref()), row.standing().words().to_owned()];
    let mut hosts: Vec<_> = row.hosts.iter().map(|host| host.host.as_str()).collect();
    hosts.dedup();
    let behind: [String; BEHIND.len()] = [
        row.why().unwrap_or_default(),
        hosts.join(" "),
        row.each_once(|tls| Some(&tls.version)).join(" "),
        row.each_once(|tls| tls.group.as_deref()).join(" "),
        text(certificate.and_then(|certificate| certificate.not_after.as_deref())),
        certificate.and_then(|certificate| certificate.days_left).map(|days| days.to_string()).unwrap_or_default(),
        text(certificate.and_then(|certificate| certificate.issuer.as_deref())),
        if row.has_dane() { "yes" } else { "no" }.to_owned(),
        text(row.mta_sts()),
        text(row.policy.as_ref().map(|policy| policy.level.as_str())),
        row.asked.clone(),
        row.result.clone(),
    ];
    line(fixed.into_iter().chain(LEVELS.map(of_level)).chain(behind))
}

/// `verify (match = "mx")` as the name of a column.
fn column(level: &str) -> String {
    if level == crate::test::VERIFY_MX { "verify_mx".to_owned() } else { level.replace('-', "_") }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<_> = cells.map(|cell| quoted(&cell)).collect();
    cells.join(",")
}

fn quoted(cell: &str) -> String {
    // Names and replies come from outside: none of them becomes a formula of a spreadsheet.
    let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<i64>().is_err() { "'" } else { "" };
    if guard.is_empty() && !cell.contains(['"', ',', '\n', '\r']) {
        cell.to_owned()
    } else {
        format!("\"{guard}{}\"", cell.replace('"', "\"\""))
    }
}

/// The columns behind the levels.
const BEHIND: [&str; 12] = [
    "why",
    "hosts",
    "versions",
    "groups",
    "certificate_ends",
    "days_left",
    "issuer",
    "dane_records",
    "mta_sts",
    "policy_level",
    "asked",
    "result",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        assert_eq!(quoted("a"), "a");
        assert_eq!(quoted("-12"), "-12");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted("say \"a, b\""), "\"say \"\"a, b\"\"\"");
        let columns = heading().split(',').count();
        let cells = row(&Row::parse(br#"{"domain":"a.example","result":"fails"}"#).unwrap());
        assert_eq!(cells.split(',').count(), columns, "{cells}");
        assert!(heading().starts_with("domain,at,holds,opportunistic,require,chain,verify,verify_mx,dane,dane_only,why,"), "{}", heading());
    }
}
