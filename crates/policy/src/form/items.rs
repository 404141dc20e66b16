//! Lists as people write them.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A list that is read from a list of texts, or from one text in which spaces, commas and line ends separate the items in any
/// mix; it is written as a list.
///
/// # Example
/// ```
/// # use sealpost_policy::Items;
/// assert_eq!(Items::from("a.example, b.example\nc.example").as_slice(), ["a.example", "b.example", "c.example"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Items(Vec<String>);

impl Items {
    /// The items in their order.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The items in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, String> {
        self.0.iter()
    }

    /// Appends what a text lists.
    pub fn push(&mut self, text: &str) {
        self.0.extend(split(text).map(str::to_owned));
    }
}

/// The items of one text.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_separator).filter(|item| !item.is_empty())
}

/// What stands between items.
pub(crate) fn is_separator(c: char) -> bool {
    c.is_whitespace() || c == ','
}

impl From<&str> for Items {
    fn from(text: &str) -> Self {
        let mut items = Self::default();
        items.push(text);
        items
    }
}

impl<S: AsRef<str>> FromIterator<S> for Items {
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Self {
        let mut items = Self::default();
        for text in texts {
            items.push(text.as_ref());
        }
        items
    }
}

impl<'a> IntoIterator for &'a Items {
    type Item = &'a String;
    type IntoIter = std::slice::Iter<'a, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Items;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Items, E> {
                Ok(Items::from(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Items, A::Error> {
                let mut items = Items::default();
                while let Some(text) = texts.next_element::<String>()? {
                    items.push(&text);
                }
                Ok(items)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}
