//! Which keys of an entry change, and to what.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml_edit::{InlineTable, Value};

use super::EntryForm;

/// A merge patch (RFC 7396): keys that are given replace, null removes, keys that are not given stay; a table changes the keys of a
/// table.
///
/// In one point it is safer than the RFC: a table for a hop that is written as a level alone keeps that level.
///
/// # Example
/// ```
/// # use sealpost_policy::Patch;
/// let patch: Patch = serde_json::from_str(r#"{"deliver": {"level": "verify"}, "until": null}"#)?;
/// assert_eq!(serde_json::to_string(&patch)?, r#"{"deliver":{"level":"verify"},"until":null}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch(Vec<(String, PatchValue)>);

/// What becomes of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatchValue {
    /// The key goes.
    Remove,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// Changes of the keys of a table, or a new table.
    Table(Patch),
}

impl Patch {
    /// A patch without changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more change; a key that was given before is given anew.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: PatchValue) -> Self {
        self.set(key.into(), value);
        self
    }

    /// What makes of one entry another of its kind. What both say in the same way is left alone, with its comments.
    ///
    /// # Example
    /// ```
    /// # use sealpost_policy::{PartnerForm, Patch};
    /// let form = |json: &str| serde_json::from_str::<PartnerForm>(json);
    /// let (before, after) = (form(r#"{"domains": "a.example", "deliver": "require", "until": "2030-01-01"}"#)?, form(r#"{"domains": "a.example", "deliver": {"level": "verify"}}"#)?);
    /// assert_eq!(serde_json::to_string(&Patch::between(&before, &after))?, r#"{"until":null,"deliver":{"level":"verify"}}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn between<T: EntryForm>(before: &T, after: &T) -> Self {
        let table = |form: &T| {
            let value = form.serialize(toml_edit::ser::ValueSerializer::new()).ok();
            value.and_then(|value| value.as_inline_table().cloned()).unwrap_or_default()
        };
        Self::of_tables(&table(before), &table(after))
    }

    fn of_tables(before: &InlineTable, after: &InlineTable) -> Self {
        let gone = before.iter().filter(|(key, _)| !after.contains_key(key)).map(|(key, _)| (key.to_owned(), PatchValue::Remove));
        let mut patch = Self(gone.collect());
        for (key, new) in after.iter() {
            let value = match (before.get(key), new) {
                (Some(old), new) if old.to_string() == new.to_string() => continue,
                (Some(Value::InlineTable(old)), Value::InlineTable(new)) => PatchValue::Table(Self::of_tables(old, new)),
                // A table keeps a level that is written alone, unless it is told not to.
                (Some(Value::String(_)), Value::InlineTable(new)) if !new.contains_key(LEVEL) => {
                    PatchValue::Table(Self::of_tables(&InlineTable::new(), new).with(LEVEL, PatchValue::Remove))
                }
                (_, new) => PatchValue::of(new),
            };
            patch.set(key.to_owned(), value);
        }
        patch
    }

    /// Each key and what becomes of it, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PatchValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn set(&mut self, key: String, value: PatchValue) {
        self.0.retain(|(other, _)| *other != key);
        self.0.push((key, value));
    }

    pub(super) fn to_table(&self) -> InlineTable {
        self.iter().filter_map(|(key, value)| Some((key, value.to_value()?))).collect()
    }
}

impl PatchValue {
    /// A value of an entry: those are texts, numbers, lists of texts, and tables.
    fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.value().clone()),
            Value::Integer(number) => Self::Number(*number.value()),
            Value::Boolean(yes) => Self::Bool(*yes.value()),
            Value::Array(items) => Self::List(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            Value::InlineTable(table) => Self::Table(Patch::of_tables(&InlineTable::new(), table)),
            other => Self::Text(other.to_string()),
        }
    }

    /// The value as it is written anew; none if the key goes, or nothing is left of a table.
    pub(super) fn to_value(&self) -> Option<Value> {
        Some(match self {
            Self::Remove => return None,
            Self::Bool(yes) => (*yes).into(),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(String::as_str).collect(),
            Self::Table(patch) => return Some(patch.to_table()).filter(|table| !table.is_empty()).map(Into::into),
        })
    }
}

impl Serialize for Patch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for PatchValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Remove => serializer.serialize_unit(),
            Self::Bool(yes) => serializer.serialize_bool(*yes),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => items.serialize(serializer),
            Self::Table(patch) => patch.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Patch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Patch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of the keys that change")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Patch, A::Error> {
                let mut patch = Patch::new();
                while let Some((key, value)) = map.next_entry()? {
                    patch.set(key, value);
                }
                Ok(patch)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

impl<'de> Deserialize<'de> for PatchValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueReader)
    }
}

struct ValueReader;

impl<'de> Visitor<'de> for ValueReader {
    type Value = PatchValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, true or false, a whole number, a text, a list of texts, or a table of these")
    }

    fn visit_unit<E>(self) -> Result<PatchValue, E> {
        Ok(PatchValue::Remove)
    }

    fn visit_none<E>(self) -> Result<PatchValue, E> {
        Ok(PatchValue::Remove)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<PatchValue, E> {
        Ok(PatchValue::Bool(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<PatchValue, E> {
        Ok(PatchValue::Number(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<PatchValue, E> {
        i64::try_from(number).map(PatchValue::Number).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E>(self, text: &str) -> Result<PatchValue, E> {
        Ok(PatchValue::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<PatchValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = texts.next_element()? {
            items.push(item);
        }
        Ok(PatchValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PatchValue, A::Error> {
        Patch::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(PatchValue::Table)
    }
}

const LEVEL: &str = "level";
