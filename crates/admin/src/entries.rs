//! The entries of a policy by kind, and those that a search finds.

mod listed;

use std::str::FromStr;

use sealpost_policy::{DomainForm, EditError, Entry, ListForm, OwnerForm, PartnerForm, Pattern, PolicyText, RuleForm};
use sealpost_types::Domain;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use listed::{ListError, find_rows, rows_of_list, search_partners};

/// A kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Somebody else's domains.
    Partner,
    /// A hosted domain.
    Domain,
    /// Whoever hosted domains belong to.
    Owner,
    /// Domains or addresses under a name.
    List,
    /// What is done with a message that meets conditions.
    Rule,
}

/// Entries that were found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Entries {
    /// How many there are in all.
    pub total: usize,
    /// Those asked for, in the order of the file: the keys of the file, and `line`.
    #[schema(value_type = Vec<Object>)]
    pub entries: Vec<Value>,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Query {
    text: String,
    pattern: Option<Pattern>,
    name: Option<Domain>,
}

impl Query {
    /// Entries that have `text` somewhere in their name or their domains, whatever its case; with `*` or `?`, entries of which
    /// a domain matches it. A whole domain name finds those that cover it, too.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let pattern = if text.contains(['*', '?']) { Pattern::from_str(text).ok() } else { None };
        Self { text: text.to_lowercase(), pattern, name: Domain::parse(text).ok() }
    }

    fn finds<'a>(&self, name: Option<&str>, patterns: impl IntoIterator<Item = &'a String>, below: bool) -> bool {
        name.is_some_and(|name| self.is_in(name))
            || patterns.into_iter().any(|pattern| self.is_in(pattern) || self.is_covered(pattern, below))
    }

    fn is_in(&self, text: &str) -> bool {
        if text.len() < self.text.len() {
            return false;
        }
        let hit = if text.is_ascii() {
            let wanted = self.text.as_bytes();
            wanted.is_empty() || text.as_bytes().windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted))
        } else {
            text.to_lowercase().contains(&self.text)
        };
        hit || self
            .pattern
            .as_ref()
            .is_some_and(|pattern| Domain::parse(text.trim_start_matches("*.")).is_ok_and(|name| pattern.matches(&name)))
    }

    fn is_covered(&self, pattern: &str, below: bool) -> bool {
        let Some(name) = &self.name else { return false };
        match pattern.parse() {
            Ok(Pattern::All) | Err(_) => false,
            Ok(Pattern::Exact(domain)) => *name == domain || below && name.is_below(&domain),
            Ok(pattern) => pattern.matches(name),
        }
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Partner, Self::Domain, Self::Owner, Self::List, Self::Rule];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Domain => "domain",
            Self::Owner => "owner",
            Self::List => "list",
            Self::Rule => "rule",
        }
    }

    /// Entries of this kind, from `offset` up to `limit` of them; all where nothing is looked for.
    #[must_use]
    pub fn search(self, text: &PolicyText, query: Option<&Query>, offset: usize, limit: usize) -> Entries {
        let page = Page { query, offset, limit };
        match self {
            Self::Partner => page.of(text.partners(), |form: &PartnerForm, query| {
                query.finds(form.name.as_deref(), &form.domains, form.subdomains != Some(false))
            }),
            Self::Domain => page.of(text.domains(), |form: &DomainForm, query| query.finds(form.owner.as_deref(), [&form.name], false)),
            Self::Owner => page.of(text.owners(), |form: &OwnerForm, query| query.finds(form.parent.as_deref(), [&form.name], false)),
            Self::List => page.of(text.lists(), |form: &ListForm, query| query.finds(Some(&form.name), &form.entries, false)),
            Self::Rule => page.of(text.rules(), |form: &RuleForm, query| query.finds(Some(&form.name), [], false)),
        }
    }

    /// The entry that is meant by this name; a partner or hosted domain also by the only one that lists this domain.
    ///
    /// # Errors
    /// [`EditError::NotFound`], [`EditError::Several`].
    pub fn find(self, text: &PolicyText, address: &str) -> Result<Value, EditError> {
        match self {
            Self::Partner => match text.find::<PartnerForm>(address) {
                Err(EditError::NotFound { near, .. }) if near.len() == 1 => {
                    let found = text.partners().iter().find(|entry| near.contains(&entry.line));
                    found.map(value).ok_or_else(|| EditError::NotFound {
                        kind: sealpost_policy::EntryKind::Partner,
                        address: address.to_owned(),
                        near,
                    })
                }
                found => found.map(value),
            },
            Self::Domain => text.find::<DomainForm>(address).map(value),
            Self::Owner => text.find::<OwnerForm>(address).map(value),
            Self::List => text.find::<ListForm>(address).map(value),
            Self::Rule => text.find::<RuleForm>(address).map(value),
        }
    }
}

struct Page<'a> {
    query: Option<&'a Query>,
    offset: usize,
    limit: usize,
}

impl Page<'_> {
    fn of<T: Serialize>(&self, all: &[Entry<T>], is_found: impl Fn(&T, &Query) -> bool) -> Entries {
        let found = all.iter().filter(|entry| self.query.is_none_or(|query| is_found(&entry.form, query)));
        let mut total = 0;
        let entries = found.inspect(|_| total += 1).enumerate();
        let entries =
            entries.filter(|(place, _)| *place >= self.offset && *place - self.offset < self.limit).map(|(_, entry)| value(entry));
        let entries = entries.collect();
        Entries { total, entries }
    }
}

/// An entry has only texts, numbers, lists and tables with text keys, which JSON has as well.
fn value<T: Serialize>(entry: &Entry<T>) -> Value {
    serde_json::to_value(entry).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POLICY: &str = "
        [[partner]]
        name = 'Große Bank'
        domains = ['bank.example', 'bücher.example']
        [[partner]]
        domains = '*.gov.example'
        [[partner]]
        domains = 'Only.Example'
        subdomains = false
        [[partner]]
        domains = '*'
        [[domain]]
        name = 'acme.example'
        owner = 'acme'
        [[list]]
        name = 'tls'
        entries = 'a@bank.example clinic.example'
    ";

    fn lines(kind: Kind, query: &str) -> Vec<u64> {
        let text = PolicyText::parse("policy.toml", POLICY).unwrap();
        let found = kind.search(&text, Some(&Query::new(query)), 0, 100);
        assert_eq!(found.total, found.entries.len());
        found.entries.iter().map(|entry| entry["line"].as_u64().unwrap()).collect()
    }

    // req: A2
    #[test]
    fn a_part_a_pattern_and_a_name_below_are_found() {
        for (query, expected) in [
            ("bank", vec![2]),
            ("GROSSE", vec![]),
            ("große", vec![2]),
            ("BANK.exam", vec![2]),
            ("bücher", vec![2]),
            ("mail.bank.example", vec![2]),
            ("xn--bcher-kva.example", vec![2]),
            ("tax.gov.example", vec![5]),
            ("gov.example", vec![5]),
            ("only.example", vec![7]),
            ("x.only.example", vec![]),
            ("b*.example", vec![2]),
            ("*.gov.example", vec![5]),
            ("?nly.*", vec![7]),
            ("nobody.example", vec![]),
            ("", vec![2, 5, 7, 10]),
        ] {
            assert_eq!(lines(Kind::Partner, query), expected, "{query:?}");
        }
        assert_eq!((lines(Kind::Domain, "acme"), lines(Kind::List, "clinic"), lines(Kind::Rule, "x")), (vec![12], vec![15], vec![]));
    }

    // req: A2
    #[test]
    fn rows_of_a_list_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (file, list) = (folder.path().join("policy.toml"), folder.path().join("p.csv"));
        std::fs::write(&list, "domain,name,deliver\na.example,Big A,require\n*.gov.example,,verify\nb.example,,\n").unwrap();
        let policy = format!("[[include]]\nfile = 'p.csv'\nreceive = 'require'\ndeliver = 'none'\n{POLICY}");
        let text = PolicyText::parse("policy.toml", &policy).unwrap();
        let found = |query: &str, offset| search_partners(&file, &text, Some(&Query::new(query)), offset, 3).unwrap();
        let big =
            json!({"domains": ["a.example"], "name": "Big A", "receive": "require", "deliver": "require", "file": "p.csv", "line": 2});
        assert_eq!(found("big", 0).entries, [big]);
        assert_eq!(found("b.example", 0).entries[0]["deliver"], "none");
        // Those of the policy come first, and pages go over from one to the other.
        let lines = |page: &Entries| page.entries.iter().map(|entry| entry["line"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!((found("tax.gov.example", 0).total, lines(&found("tax.gov.example", 0))), (2, vec![9, 3]));
        assert_eq!(lines(&found("", 3)), [14, 2, 3]);
        assert_eq!((lines(&found("", 6)), found("", 6).total), (vec![4], 7));
        let found = |at: &str| find_rows(&file, &text, at).unwrap().iter().map(|row| row["line"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!((found("Big A"), found("B.EXAMPLE."), found("big"), found("tax.gov.example")), (vec![2], vec![4], vec![], vec![]));
        assert_eq!(rows_of_list(&file, &text, "p.csv").unwrap().unwrap().total, 3);
        assert!(rows_of_list(&file, &text, "q.csv").unwrap().is_none());
        std::fs::write(&list, "domain,colour\n").unwrap();
        assert!(matches!(search_partners(&file, &text, None, 0, 9), Err(ListError::Wrong(_))));
        std::fs::remove_file(&list).unwrap();
        assert!(matches!(search_partners(&file, &text, None, 0, 9), Err(ListError::Unreadable { .. })));
    }

    #[test]
    fn pages_are_cut_out_of_the_whole() {
        let text = PolicyText::parse("policy.toml", POLICY).unwrap();
        let page = Kind::Partner.search(&text, None, 1, 2);
        assert_eq!((page.total, page.entries.len(), page.entries[0]["line"].as_u64()), (4, 2, Some(5)));
        assert_eq!(Kind::Partner.search(&text, None, 9, 2).entries.len(), 0);
    }

    #[test]
    fn one_of_several_domains_names_its_partner() {
        let text = PolicyText::parse("policy.toml", POLICY).unwrap();
        for address in ["Große Bank", "bank.example", "BÜCHER.example"] {
            assert_eq!(Kind::Partner.find(&text, address).unwrap()["line"], 2, "{address}");
        }
        assert!(Kind::Partner.find(&text, "other.example").is_err());
    }
}
