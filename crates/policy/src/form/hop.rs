//! What an entry says of one hop.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Items;

/// What an entry says of one hop: a level alone, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum HopForm {
    /// A level and nothing else.
    Level(String),
    /// A level with options, or options for an inherited level.
    Table(Box<HopTable>),
}

/// The keys of a hop. The policy's own reader knows which of them mean something on which hop and at which level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is the key of the document with the same name, described in docs/policy/levels.md")]
pub struct HopTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Items>,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pins: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchors: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    #[serde(rename = "else", skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphers: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub senders: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuse: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exempt_clients: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Items>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_expiry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounce_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_published: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dane_satisfies: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear_fallback: Option<String>,
}

impl HopForm {
    /// The level, if one is written.
    #[must_use]
    pub fn level(&self) -> Option<&str> {
        match self {
            Self::Level(level) => Some(level),
            Self::Table(table) => table.level.as_deref(),
        }
    }

    /// The same as a table.
    #[must_use]
    pub fn to_table(&self) -> HopTable {
        match self {
            Self::Level(level) => HopTable { level: Some(level.clone()), ..HopTable::default() },
            Self::Table(table) => HopTable::clone(table),
        }
    }
}

impl From<&str> for HopForm {
    fn from(level: &str) -> Self {
        Self::Level(level.to_owned())
    }
}

/// A table with nothing but a level becomes a level alone.
impl From<HopTable> for HopForm {
    fn from(mut table: HopTable) -> Self {
        if let Some(level) = table.level.take() {
            if table == HopTable::default() {
                return Self::Level(level);
            }
            table.level = Some(level);
        }
        Self::Table(Box::new(table))
    }
}

impl<'de> Deserialize<'de> for HopForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = HopForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a level such as \"require\", or a table { level = \"require\" }")
            }

            fn visit_str<E>(self, level: &str) -> Result<HopForm, E> {
                Ok(HopForm::from(level))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HopForm, A::Error> {
                Ok(HopForm::Table(Box::new(HopTable::deserialize(MapAccessDeserializer::new(map))?)))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}
