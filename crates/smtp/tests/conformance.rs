//! Each test that conformance.md names exists, and each test named after a section is in it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split("#[test]").skip(1) {
                let name = part.split_once("fn ").unwrap().1.split('(').next().unwrap();
                found.insert(name.to_owned());
            }
        }
    }
}

#[test]
fn every_test_that_is_named_exists_and_the_other_way_round() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut existing = BTreeSet::new();
    functions(&home.join("src"), &mut existing);
    functions(&home.join("tests"), &mut existing);
    let text = std::fs::read_to_string(home.join("conformance.md")).unwrap();
    let named: BTreeSet<String> = text.split('`').filter(|word| word.starts_with("rfc")).map(str::to_owned).collect();
    assert!(named.len() > 40, "{}", named.len());
    let missing: Vec<_> = named.difference(&existing).collect();
    assert!(missing.is_empty(), "named and not there: {missing:#?}");
    let unnamed: Vec<_> = existing.iter().filter(|name| name.starts_with("rfc") && !named.contains(*name)).collect();
    assert!(unnamed.is_empty(), "there and not named: {unnamed:#?}");
}
