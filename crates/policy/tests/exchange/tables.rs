//! The tables of the page.

use sealpost_policy::{
    CsvDefaults, Edit, Exported, Fingerprints, Imported, Loss, PartnerForm, PolicyText, Warning, export_postfix, import_csv, import_postfix,
};

/// The rows of the first table below this heading, each cell without its backticks.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy/import.md");
    let page = std::fs::read_to_string(path).expect("the page is part of the source");
    let (_, section) = page.split_once(&format!("\n{heading}\n")).expect("the heading is there");
    let is_row = |line: &&str| line.starts_with("| ");
    section
        .lines()
        .skip_while(|line| !is_row(line))
        .filter(|line| !line.starts_with("|---"))
        .take_while(is_row)
        .skip(1)
        .map(cells)
        .collect()
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
}

/// The keys of a partner as the document has them.
fn written(form: &PartnerForm) -> Vec<String> {
    let mut text = PolicyText::parse("policy.toml", "").expect("a document");
    text.apply(&Edit::AddPartner { entry: form.clone() }).expect("an edit");
    text.as_str().lines().skip(1).map(str::to_owned).collect()
}

/// What is said of an entry; what is said once and for all is in the text of the page.
fn said(warnings: &[Warning], refused: &[Warning]) -> String {
    let of_all = [Loss::PublishedToo, Loss::PublishedIgnored];
    let said = warnings.iter().chain(refused).filter(|warning| !of_all.contains(&warning.loss));
    said.map(|warning| warning.loss.to_string()).collect::<Vec<_>>().join("; ")
}

fn import(line: &str) -> Imported {
    import_postfix("tls_policy", line, Fingerprints::Unknown)
}

// req: E10
#[test]
fn keys_of_postfix() {
    let rows = rows("### Keys");
    assert!(rows.len() >= 12, "{}", rows.len());
    for row in &rows {
        let imported = import(&format!("{} encrypt", row[0]));
        let becomes = imported.partners.first().map_or_else(
            || "-".to_owned(),
            |entry| {
                let lines = written(&entry.form);
                lines.iter().filter(|line| !line.starts_with("deliver")).cloned().collect::<Vec<_>>().join(", ")
            },
        );
        assert_eq!([&becomes, &said(&imported.warnings, &imported.refused)], [&row[1], &row[2]], "{row:?}");
    }
}

fn check_value(value: &str, row: &[String]) {
    let imported = import(&format!("example.com {value}"));
    let becomes = imported.partners.first().map_or_else(
        || "-".to_owned(),
        |entry| {
            let line = written(&entry.form).into_iter().find_map(|line| line.strip_prefix("deliver = ").map(str::to_owned));
            line.expect("each entry speaks of the deliver hop")
        },
    );
    assert_eq!([&becomes, &said(&imported.warnings, &imported.refused)], [&row[1], &row[2]], "{row:?}");
    assert_eq!(imported.partners.len() + imported.refused.len(), 1, "{row:?}");
}

// req: E10
#[test]
fn levels_of_postfix() {
    let rows = rows("### Levels and names");
    assert!(rows.len() >= 18, "{}", rows.len());
    for row in &rows {
        check_value(&row[0], row);
    }
}

// req: E10
#[test]
fn attributes_of_postfix() {
    let rows = rows("### Attributes");
    assert!(rows.len() >= 24, "{}", rows.len());
    let levels = ["may ", "dane ", "secure "];
    for row in &rows {
        let has_level = levels.iter().any(|level| row[0].starts_with(level));
        check_value(&if has_level { row[0].clone() } else { format!("encrypt {}", row[0]) }, row);
    }
}

// req: E10
#[test]
fn to_postfix() {
    let rows = rows("## To Postfix");
    assert!(rows.len() >= 27, "{}", rows.len());
    for row in &rows {
        let text = format!("[[partner]]\ndomains = \"example.com\"\n{}\n", row[0].replace("; ", "\n"));
        let policy = PolicyText::parse("policy.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let Exported { text, warnings, refused, .. } = export_postfix("policy.toml", policy.partners());
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.replace('\t', " ")).collect();
        let table = if lines.is_empty() { "-".to_owned() } else { lines.join(", ") };
        // Of an entry that is refused, only that is said that refuses it.
        let said = if refused.is_empty() { said(&warnings, &refused) } else { said(&[], &refused) };
        assert_eq!([&table, &said], [&row[1], &row[2]], "{row:?}");
    }
}

// req: E10
#[test]
fn columns_of_a_csv() {
    let rows = rows("## CSV");
    assert_eq!(rows.len(), sealpost_policy::Column::PARTNERS.len());
    for row in &rows {
        let is_domain = row[0] == "domain";
        let text = if is_domain { format!("domain\n{}\n", row[1]) } else { format!("domain,{}\nexample.com,{}\n", row[0], row[1]) };
        let partners = import_csv("partners.csv", &text, &CsvDefaults::default()).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let lines: Vec<_> = written(&partners[0].form).into_iter().filter(|line| is_domain || !line.starts_with("domains = ")).collect();
        assert_eq!(lines, [row[2].clone()], "{row:?}");
    }
}
