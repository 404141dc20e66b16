//! What an edit changes, for people.

use similar::TextDiff;

/// A unified diff between two texts, with three lines of context; empty if they are the same.
///
/// # Example
/// ```
/// let diff = sealpost_policy::diff("policy.toml", "a = 1\nb = 2\n", "a = 1\nb = 3\n");
/// assert_eq!(diff, "--- policy.toml\n+++ policy.toml\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n");
/// ```
#[must_use]
pub fn diff(name: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    TextDiff::from_lines(before, after).unified_diff().header(name, name).to_string()
}
