//! Every example runs, ends well, and shows what it is about.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each example, and a part of what it prints.
const EXAMPLES: &[(&str, &str)] = &[
    ("decide_policy", "from bank.example, in clear: 530 5.7.0 "),
    ("embedded_relay", "delivered over TLSv1.3 as demanded"),
    ("parse_session", "250 2.0.0 message accepted"),
    ("queue_and_lease", "settled, 0 left"),
    ("send_verified", "sent over TLSv1.3 "),
    ("verify_certificate", "not satisfied: no certificate for mx.bank.example"),
];

#[test]
fn every_example_runs() {
    let mut wrong = Vec::new();
    for (name, part) in EXAMPLES {
        let output = Command::new(binary(name)).output().unwrap_or_else(|error| panic!("{name}: {error}"));
        let shown = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !shown.contains(part) {
            wrong.push(format!("{name}: {}\n{shown}{}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_is_in_the_table_and_on_the_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(folder.join("src/lib.rs")).unwrap();
    let files: BTreeSet<String> = std::fs::read_dir(folder).unwrap().filter_map(|entry| example_name(&entry.unwrap().path())).collect();
    let table: BTreeSet<String> = EXAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, table, "files in examples/, and what this test runs");
    for name in table {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not on the crate's page");
    }
}

fn example_name(path: &Path) -> Option<String> {
    if path.extension()? != "rs" {
        return None;
    }
    Some(path.file_stem()?.to_str()?.to_owned())
}

/// Cargo builds the examples together with the tests, and puts them beside these.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap().join("examples");
    let binary = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(binary.exists(), "{} is not there: `cargo test -p sealpost-examples` builds it", binary.display());
    binary
}
