//! Edits of a file with one domain a line.

use proptest::prelude::*;
use sealpost_policy::{Column, EditError, RowEdit, read_rows};

fn rows(edit: RowEdit, text: &str) -> Result<String, EditError> {
    let (mut edit, mut out) = (edit, String::new());
    for line in text.split_inclusive('\n') {
        edit.line(line, &mut out);
    }
    edit.finish(&mut out).map(|()| out)
}

// req: A1 A4
#[test]
fn rows_of_an_included_file() {
    let text = "# ours\nlevel,domain\nrequire,a.example\n\nverify,\"B.example\"\n\"many\nlines\",c.example\nx,b.example.";
    assert_eq!(
        rows(RowEdit::remove("b.example"), text).unwrap(),
        "# ours\nlevel,domain\nrequire,a.example\n\n#verify,\"B.example\"\n\"many\nlines\",c.example\n#x,b.example."
    );
    assert_eq!(
        rows(RowEdit::remove("c.example"), text).unwrap(),
        "# ours\nlevel,domain\nrequire,a.example\n\nverify,\"B.example\"\n#\"many\n#lines\",c.example\nx,b.example."
    );
    assert_eq!(rows(RowEdit::remove("require"), text), Err(EditError::NoRow { domain: "require".to_owned() }));
    assert_eq!(rows(RowEdit::add("z,d.example").unwrap(), text).unwrap(), format!("{text}\nz,d.example\n"));
    assert_eq!(rows(RowEdit::add("d.example").unwrap(), "a.example\r\n").unwrap(), "a.example\r\nd.example\r\n");
    assert_eq!(rows(RowEdit::remove("a.example"), "a.example\nb.example\n").unwrap(), "#a.example\nb.example\n");
    // A quote within a cell opens nothing; what is read as one row goes as one.
    assert_eq!(
        rows(RowEdit::remove("b.example"), "domain,name\na.example,5\" disk\nb.example,x\nc.example,6\" disk\n").unwrap(),
        "domain,name\na.example,5\" disk\n#b.example,x\nc.example,6\" disk\n"
    );
    assert_eq!(rows(RowEdit::remove("a.example"), "\u{feff}domain\na.example\n").unwrap(), "\u{feff}domain\n#a.example\n");
    // Quotes without an end hide some rows, not all.
    let open = format!("domain\n\"open\n{}a.example\n", "x.example\n".repeat(10_000));
    assert_eq!(rows(RowEdit::remove("a.example"), &open).unwrap(), open.replace("a.example", "#a.example"));
    for bad in ["", " ", "a\nb", "# a", "\"a"] {
        assert!(RowEdit::add(bad).is_err(), "{bad:?}");
    }
}

/// Each row with its line and its name.
fn read(text: &str) -> Vec<(u32, String, String)> {
    let mut found = Vec::new();
    read_rows("x", text, |row| {
        found.push((row.line, row.domain().to_owned(), row.cell(Column::Name).unwrap_or_default().to_owned()));
        Ok(())
    })
    .unwrap_or_else(|errors| panic!("{errors} in {text:?}"));
    found
}

proptest! {
    /// A row that goes takes nothing along, and all others stay where they are.
    #[test]
    fn any_row_that_goes(cells in prop::collection::vec(("[a-c]\\.example", "[a-c\", \n#\u{e4}]{0,5}"), 1..8), header in any::<bool>(), goes in "[a-c]\\.example") {
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(if header { ["domain", "name"] } else { ["name", "domain"] }).unwrap();
        for (domain, name) in &cells {
            writer.write_record(if header { [domain, name] } else { [name, domain] }).unwrap();
        }
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let before = read(&text);
        let kept: Vec<_> = before.iter().filter(|(_, domain, _)| *domain != goes).cloned().collect();
        match rows(RowEdit::remove(&goes), &text) {
            Ok(after) => prop_assert_eq!(read(&after), kept),
            Err(error) => {
                prop_assert_eq!(error, EditError::NoRow { domain: goes });
                prop_assert_eq!(kept.len(), before.len());
            }
        }
        let added = rows(RowEdit::add(if header { "d.example" } else { ",d.example" }).unwrap(), &text).unwrap();
        prop_assert!(read(&added).starts_with(&before));
        prop_assert_eq!(read(&added).len(), before.len() + 1);
    }
}
