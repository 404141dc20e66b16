//! Each kind of mistake in a document, with its exact place and words; and documents that are no documents.

mod entries;
mod mutated;
mod sense;
mod shape;
mod values;

use sealpost_policy::Policy;

/// Every line of the errors of a document.
fn errors(text: &str) -> Vec<String> {
    match Policy::parse("policy.toml", text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(errors(text), expected, "{text}");
}

/// The one problem of a partner with these further lines.
#[track_caller]
fn check_partner(lines: &str, expected: &str) {
    check(&format!("[[partner]]\ndomains = 'a.example'\n{lines}"), &expected.lines().collect::<Vec<_>>());
}
