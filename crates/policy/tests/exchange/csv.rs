//! CSV: what is wrong and where, and what holds for any.

use proptest::prelude::*;
use sealpost_policy::{
    CSV_ERRORS, Column, CsvDefaults, Entry, HopForm, HopTable, Items, Loss, PartnerForm, PolicyText, export_csv, import_csv, read_rows,
};

fn import(text: &str) -> Vec<Entry<PartnerForm>> {
    import_csv("partners.csv", text, &CsvDefaults::default()).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

#[track_caller]
fn fails(text: &str, expected: &[&str]) {
    let errors = import_csv("partners.csv", text, &CsvDefaults::default()).expect_err(text);
    assert_eq!(errors.to_string().lines().collect::<Vec<_>>(), expected, "{text}");
}

// req: E10 B10
#[test]
fn rows_and_their_lines() {
    let partners = import(
        "\u{feff}Deliver, Domain ,name\r\n# a remark, with a comma\r\nrequire, a.example ,Bank\r\n\r\nrequire,b.example,Bank\r\n\
         verify,c.example,Bank\r\n\"require\",\"d.example\",\"A \"\"B\"\",\nC\"\r\n,e.example\r\n",
    );
    let found: Vec<_> =
        partners.iter().map(|entry| (entry.line, entry.form.domains.as_slice().join(" "), entry.form.name.clone())).collect();
    let row = |line, domains: &str, name: &str| (line, domains.to_owned(), (!name.is_empty()).then(|| name.to_owned()));
    assert_eq!(
        found,
        [row(3, "a.example b.example", "Bank"), row(6, "c.example", "Bank"), row(7, "d.example", "A \"B\",\nC"), row(9, "e.example", "")]
    );
    assert_eq!(partners[3].form.deliver, None);
}

// req: B10
#[test]
fn blanks_around_a_cell_are_none_of_it_with_quotes_and_without() {
    let names = |cell: &str| {
        let partners = import(&format!("domain,name\na.example,{cell}\n"));
        let written = export_csv("list.csv", &partners).text;
        [partners, import(&written)].map(|partners| partners[0].form.name.clone())
    };
    for blank in ["", " ", "\t", "\r", "\u{c}", " \r\t"] {
        for cell in [format!("{blank}Bank{blank}"), format!("\"{blank}Bank{blank}\"")] {
            assert_eq!(names(&cell), [Some("Bank".to_owned()), Some("Bank".to_owned())], "{cell:?}");
        }
    }
    // Only behind blanks that may stand before quotes are they quotes.
    assert_eq!(names("\r\"Bank\""), [Some("\"Bank\"".to_owned()), Some("\"Bank\"".to_owned())]);
}

#[test]
fn a_list_without_a_header() {
    let mut defaults = CsvDefaults::default();
    defaults.deliver = Some(HopForm::from("require"));
    let partners = import_csv("list", "a.example\n# b\n*.b.example,\n", &defaults).expect("a list");
    let found: Vec<_> = partners.iter().map(|entry| (entry.line, entry.form.domains.as_slice().join(" "))).collect();
    assert_eq!(found, [(1, "a.example".to_owned()), (3, "*.b.example".to_owned())]);
    assert!(partners.iter().all(|entry| entry.form.deliver == defaults.deliver && entry.form.receive.is_none()));
    assert_eq!(import(""), []);
}

#[test]
fn a_row_keeps_the_options_that_are_given_for_all() {
    let mut defaults = CsvDefaults::default();
    let mut hop = HopTable::default();
    (hop.level, hop.matching, hop.retry) = (Some("verify".to_owned()), Some("mx".to_owned()), Some(Items::from("1m 5m")));
    defaults.deliver = Some(HopForm::from(hop.clone()));
    let partners = import_csv("list", "domain,deliver,names\na.example,,mx.example\nb.example,require,\n", &defaults).expect("rows");
    hop.names = Some(Items::from("mx.example"));
    assert_eq!(partners[0].form.deliver, Some(HopForm::from(hop.clone())));
    (hop.names, hop.level) = (None, Some("require".to_owned()));
    assert_eq!(partners[1].form.deliver, Some(HopForm::from(hop)));
}

#[test]
fn cells_are_not_copied() {
    let text = "domain,name,reason\na.example,Bank,\"one, two\"\nb.example,\"a \"\"b\"\"\",\n";
    let mut copied = Vec::new();
    let octets = text.as_bytes().as_ptr_range();
    read_rows("x", text, |row| {
        let cells = [Column::Domain, Column::Name, Column::Reason].into_iter().filter_map(|column| row.cell(column));
        copied.extend(cells.filter(|cell| !octets.contains(&cell.as_ptr())).map(str::to_owned));
        Ok(())
    })
    .expect("rows");
    // Only quotes within quotes need a text of their own.
    assert_eq!(copied, ["a \"b\""]);
}

#[test]
fn each_mistake_has_its_place() {
    let columns = Column::PARTNERS.map(Column::as_str).join(", ");
    fails("domain,colour\n", &[&format!("partners.csv:1:8: unknown column \"colour\"; one of {columns}")]);
    fails("domain,name,Domain\na\n", &["partners.csv:1:13: the column domain is there twice; remove one of the two"]);
    fails(
        "a.example,require\n",
        &[
            "partners.csv:1:1: there is no column domain; write a header line such as domain,receive,deliver, or one domain a line and nothing else",
        ],
    );
    fails(
        "# x\ndomain\na b\n",
        &[
            "partners.csv:3:1: \"a b\" is no domain pattern: the domain has ' ' at octet 1; letters, digits, '-', '_' and '.' are allowed; write example.org, *.example.org or *",
        ],
    );
    fails(
        "domain,deliver\n,require\nä.example,requier\n\nb.example,dane\nc.example,require,x,y\n",
        &[
            "partners.csv:2:1: the row has no domain; write one, or # in front of the row",
            "partners.csv:3:11: deliver is \"requier\"; write none, mirror, opportunistic, require, chain, verify, dane, dane-only, pinned",
            "partners.csv:6:19: the row has 4 cells, the header 2; put a cell with a comma in quotes",
        ],
    );
    fails(
        "domain,name,receive,subdomains,match,min_version,on_expiry,on_failure,mode\na,,dane,,,,,,\nb,,,yes,,,,,\nc,\"x\ny\",,,all,,,,\nd,,,,,1.1,,,\ne,,,,,,die,,\nf,,,,,,,give up,\ng,,,,,,,,off\n",
        &[
            "partners.csv:2:4: receive is \"dane\"; write opportunistic, require, chain, verify, pinned",
            "partners.csv:3:5: subdomains is \"yes\"; write true, false",
            "partners.csv:5:6: match is \"all\"; write domain, mx",
            "partners.csv:6:7: min_version is \"1.1\"; write 1.2, 1.3",
            "partners.csv:7:8: on_expiry is \"die\"; write bounce, delete, hold",
            "partners.csv:8:9: on_failure is \"give up\"; write retry, bounce",
            "partners.csv:9:10: mode is \"off\"; write enforce, testing",
        ],
    );
    fails(
        "domain,name\na.example,\"x\" y\nb.example,\"x\nc.example,y\n",
        &[
            "partners.csv:2:14: there is text behind the closing quotes; put the whole cell in quotes, and write quotes within it twice",
            "partners.csv:3:11: the quotes that begin here have no end; a quote within a cell is written twice",
        ],
    );
}

#[test]
fn a_file_of_the_wrong_kind_is_not_all_printed() {
    let text = "domain\n".to_owned() + &"a b\n".repeat(CSV_ERRORS + 7);
    let errors = import_csv("partners.csv", &text, &CsvDefaults::default()).unwrap_err();
    assert_eq!((errors.errors.len(), errors.more), (CSV_ERRORS, 7));
    assert_eq!(errors.to_string().lines().last(), Some("and 7 more"));
}

#[test]
fn what_has_no_column_is_refused() {
    let text = "[[partner]]\ndomains = 'a.example'\ndeliver = { level = 'dane', else = 'require' }\n[[partner]]\nname = 'B'\ndomains = 'b.example'\nclients = '192.0.2.1'\n\
        [[partner]]\ndomains = 'c.example'\nreceive = { level = 'require', refuse = '4xx' }\n[[partner]]\ndomains = 'd.example'\ndeliver = { level = 'verify', names = [] }\n\
        [[partner]]\ndomains = 'e.example'\nreceive = 'require'\n";
    let policy = PolicyText::parse("policy.toml", text).expect("a document");
    let exported = export_csv("policy.toml", policy.partners());
    assert_eq!(exported.text, "domain,receive\ne.example,require\n");
    let refused: Vec<_> = exported.refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        refused,
        [
            "policy.toml:1: a.example: not written: there is no column for else",
            "policy.toml:4: B: not written: there is no column for clients",
            "policy.toml:8: c.example: not written: there is no column for receive with options",
            "policy.toml:11: d.example: not written: there is no column for names = []",
        ]
    );
    assert_eq!(exported.refused[0].loss, Loss::NoColumn { key: "else" });
}

fn text() -> impl Strategy<Value = Option<String>> {
    // A cell has no spaces around it; within it everything goes.
    prop::option::of("[a-z\"#][a-z\", \n#ä]{0,6}[a-z\"]")
}

fn some(words: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(words)).prop_map(|word| word.map(str::to_owned))
}

fn partner() -> impl Strategy<Value = PartnerForm> {
    let hop = (
        some(&["none", "require", "verify", "may"]),
        some(&["domain", "mx"]),
        prop::option::of(prop::collection::vec("[a-c]{1,3}", 1..3)),
        some(&["1.2", "1.3"]),
        some(&["7d"]),
        some(&["bounce", "delete"]),
    );
    (text(), prop::collection::vec("(\\*\\.)?[a-c]{1,2}\\.example", 1..4), prop::option::of(any::<bool>()), some(&["require"]), hop, text())
        .prop_map(|(name, mut domains, subdomains, receive, (level, matching, names, min_version, lifetime, on_expiry), reason)| {
            if name.is_none() {
                // Without a name, rows cannot be told to be one entry.
                domains.truncate(1);
            }
            let mut deliver = HopTable::default();
            (deliver.level, deliver.matching, deliver.min_version) = (level, matching, min_version);
            (deliver.lifetime, deliver.on_expiry) = (lifetime, on_expiry);
            deliver.names = names.map(|names| names.iter().collect());
            let mut form = PartnerForm::new(domains.iter().collect());
            (form.name, form.subdomains, form.reason) = (name, subdomains, reason);
            form.receive = receive.map(HopForm::Level);
            form.deliver = (deliver != HopTable::default()).then(|| deliver.into());
            form
        })
}

proptest! {
    /// Export and import: the same.
    // req: E10
    #[test]
    fn a_round_trip(mut forms in prop::collection::vec(partner(), 0..12)) {
        // Two entries in a row that differ in their domains alone would come back as one.
        forms.dedup_by(|b, a| a.name.is_some() && a.name == b.name);
        let text: String = forms.iter().map(|form| {
            let mut text = PolicyText::parse("x", "").unwrap();
            text.apply(&sealpost_policy::Edit::AddPartner { entry: form.clone() }).unwrap();
            text.to_string()
        }).collect();
        let policy = PolicyText::parse("policy.toml", &text).unwrap();
        let exported = export_csv("policy.toml", policy.partners());
        prop_assert!(exported.refused.is_empty());
        let imported: Vec<_> = import(&exported.text).into_iter().map(|entry| entry.form).collect();
        prop_assert_eq!(imported, forms, "{}", exported.text);
    }

    /// The cells are those that another reader of CSV finds.
    #[test]
    fn cells_are_those_of_another_reader(rows in prop::collection::vec(("[a-c\", \nä\r]{0,5}", "[a-c\", \n#ä\r]{0,5}", "[a-c\", \n#ä\r]{0,5}"), 1..8)) {
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(["domain", "name", "reason"]).unwrap();
        for (domain, name, reason) in &rows {
            writer.write_record([domain, name, reason]).unwrap();
        }
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
        let expected: Vec<Vec<String>> = reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
        let expected: Vec<_> = expected.into_iter().filter(|row| !row[0].is_empty()).collect();
        let mut found = Vec::new();
        let _ = read_rows("x", &text, |row| {
            let cell = |column| row.cell(column).unwrap_or_default().to_owned();
            found.push(vec![row.domain().to_owned(), cell(Column::Name), cell(Column::Reason)]);
            Ok(())
        });
        prop_assert_eq!(found, expected, "{:?}", text);
    }

    /// Whatever the text is, it is read to its end or each mistake has a place in it.
    #[test]
    fn any_text(text in "(domain,name\n)?([a-c\",# \r\n]{0,6}){0,8}") {
        if let Err(errors) = import_csv("x", &text, &CsvDefaults::default()) {
            let lines: Vec<_> = text.split('\n').collect();
            for error in &errors.errors {
                let line = lines.get(usize::try_from(error.line).unwrap() - 1).expect("a line of the text");
                prop_assert!(usize::try_from(error.column).unwrap() <= line.chars().count() + 1, "{error} in {text:?}");
            }
        }
    }
}
