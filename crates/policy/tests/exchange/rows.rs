//! Edits of a file with one domain a line.

use proptest::prelude::*;
use sealpost_policy::{Column, EditError, NewRow, RowEdit, RowsEdited, read_rows};

fn rows(edit: RowEdit, text: &str) -> Result<String, EditError> {
    let (mut edit, mut out) = (edit, String::new());
    for line in text.split_inclusive('\n') {
        edit.line(line, &mut out);
    }
    edit.finish(&mut out).map(|_| out)
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

/// What a policy that is in force has to know of a change: the header, and each row with its line.
// req: A1 A4
#[test]
fn an_edit_tells_which_rows_it_touched() {
    fn edited(mut edit: RowEdit, text: &str) -> Result<RowsEdited, EditError> {
        let mut out = String::new();
        text.split_inclusive('\n').for_each(|line| edit.line(line, &mut out));
        edit.finish(&mut out)
    }
    let cells = |cells: &[(&str, &str)]| NewRow::Cells(cells.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    let text = "\u{feff}# ours\n\nDomain, name,deliver\r\na.example,x,\n\"b.example\",\"two\nlines\",none\na.example,y,\n";
    let gone = edited(RowEdit::remove("A.example"), text).unwrap();
    assert_eq!(gone.header.as_deref(), Some("Domain, name,deliver"));
    let told = |edited: &RowsEdited| edited.rows.iter().map(|row| (row.line, row.text.clone())).collect::<Vec<_>>();
    assert_eq!(told(&gone), [(4, "a.example,x,".to_owned()), (7, "a.example,y,".to_owned())]);
    assert_eq!(told(&edited(RowEdit::remove("b.example"), text).unwrap()), [(5, "\"b.example\",\"two\nlines\",none".to_owned())]);
    let row = cells(&[("deliver", "none"), ("domain", "c.example"), ("name", "C, \"the\" one")]);
    let came = edited(RowEdit::add_row(row).unwrap(), text).unwrap();
    assert_eq!((came.header, told(&gone).len()), (gone.header, 2));
    assert_eq!((came.rows[0].line, came.rows[0].text.as_str()), (8, "c.example,\"C, \"\"the\"\" one\",none"));
    // A list without a header line has one column.
    let plain = edited(RowEdit::add_row(cells(&[("domain", "b.example")])).unwrap(), "a.example\n").unwrap();
    assert_eq!((plain.header, plain.rows[0].line, plain.rows[0].text.as_str()), (None, 2, "b.example"));
    let error = edited(RowEdit::add_row(cells(&[("domain", "b.example"), ("deliver", "none")])).unwrap(), "a.example\n").unwrap_err();
    assert_eq!(error.to_string(), "there is no column \"deliver\"; the columns are domain");
    assert!(matches!(RowEdit::add_row(cells(&[("domain", "b.example"), ("colour", "red")])), Err(EditError::NoColumn { .. })));
    assert_eq!((gone.rows[0].domain.as_str(), came.rows[0].domain.as_str()), ("a.example", "c.example"));
    assert!(matches!(edited(RowEdit::add("domain").unwrap(), "# empty\n"), Err(EditError::Row { .. })), "it would be a header");
    assert!(matches!(edited(RowEdit::add_row(cells(&[("domain", "a\nb")])).unwrap(), text), Err(EditError::Row { .. })));
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
