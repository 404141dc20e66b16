//! Entries of a policy document as values: what the API takes and gives, what a command line builds, what an import yields.
//!
//! Only the shape is checked: which keys there are and of which type. Whether a level exists or a pattern is one, the policy's
//! own reader says.

mod hop;
mod items;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use hop::{HopForm, HopTable};
pub use items::Items;

pub(crate) use items::{is_separator, split};

/// `[[partner]]`: somebody else's domains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct PartnerForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub domains: Items,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdomains: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#for: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, deserialize_with = "date", skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `[[domain]]`: a hosted domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct DomainForm {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submit: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, deserialize_with = "date", skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `[[owner]]`: whoever domains belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct OwnerForm {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submit: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, deserialize_with = "date", skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `[[list]]`: domains or addresses under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct ListForm {
    pub name: String,
    #[serde(default)]
    pub entries: Items,
}

/// `[[rule]]`: what is done with a message that meets conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct RuleForm {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<WhenForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<ThenForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, deserialize_with = "date", skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The conditions of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct WhenForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<MatchForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<MatchForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderForm>,
}

/// What is compared with a named list: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct MatchForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_matches: Option<String>,
}

/// A header and the pattern of its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct HeaderForm {
    pub name: String,
    pub matches: String,
}

/// What a rule does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct ThenForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_header: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<bool>,
}

/// `[defaults]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct DefaultsForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_expiry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounce_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_trust: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_delimiters: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requiretls: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosted: Option<ScopeForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ScopeForm>,
}

/// `[defaults.hosted]` or `[defaults.external]`; `submit` stands in the first only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct ScopeForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submit: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver: Option<HopForm>,
}

/// `[[include]]`: a file with one domain a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct IncludeForm {
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver: Option<HopForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, deserialize_with = "date", skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl PartnerForm {
    /// An entry for these domains that says nothing yet.
    #[must_use]
    pub fn new(domains: Items) -> Self {
        Self { domains, ..Self::default() }
    }
}

/// A date as a text, or as TOML has dates.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Reader;

    impl<'de> Visitor<'de> for Reader {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a date such as 2026-12-31")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<String, A::Error> {
            toml_edit::Datetime::deserialize(MapAccessDeserializer::new(map)).map(|date| date.to_string())
        }
    }

    deserializer.deserialize_any(Reader).map(Some)
}
