//! Files with one domain a line.

use sealpost_policy::{EditError, RowEdit};

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
    for bad in ["", " ", "a\nb", "# a", "\"a"] {
        assert!(RowEdit::add(bad).is_err(), "{bad:?}");
    }
}
