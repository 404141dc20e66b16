//! Patterns over addresses.

use std::fmt;
use std::str::FromStr;

use sealpost_types::MailboxError;

use super::domain::{Pattern, PatternError};
use super::face::Face;
use super::local::Local;

/// Which addresses an entry of a list speaks of.
///
/// | written | means |
/// |---|---|
/// | `john.smith@example.org` | that mailbox, and the same with a tag: `john.smith+tag@example.org` |
/// | `john+tag@example.org` | that tag only |
/// | `j*@example.org`, `j?hn@example.org` | `*` stands for any characters or for none, `?` for one; in quotes they are themselves |
/// | `*@example.org`, `example.org` | every mailbox there; what stands behind the `@`, or alone, is a [`Pattern`] |
/// | `*` | everything, address literals and `<>` too |
/// | `<>` | the null reverse-path |
///
/// Local parts are compared without quotes, case folded, and composed (Unicode NFC); domains as lower-case A-labels.
///
/// # Example
/// ```
/// # use sealpost_policy::{AddressPattern, Face, TAG_DELIMITERS};
/// # use sealpost_types::Mailbox;
/// let pattern: AddressPattern = "John.Smith@*.example.org".parse()?;
/// assert_eq!(pattern.to_string(), "john.smith@*.example.org");
/// let covers = |text| Mailbox::parse(text).map(|mailbox| pattern.matches(&Face::of(&mailbox), TAG_DELIMITERS));
/// assert!(covers("\"JOHN.smith\"@mail.example.org")?);
/// assert!(covers("john.smith+news@mail.example.org")?);
/// assert!(!covers("john.smith@example.org")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddressPattern(pub(super) Kind);

/// An item of a list of recipients in which only local parts are written: `payroll john.smith *`.
///
/// What stands before the `@` of an [`AddressPattern`]; or a whole one, with its `@`.
///
/// # Example
/// ```
/// # use sealpost_policy::{LocalPattern, Pattern};
/// let hosted: Pattern = "acme.example".parse()?;
/// assert_eq!("Payroll".parse::<LocalPattern>()?.at(&hosted).to_string(), "payroll@acme.example");
/// assert_eq!("ceo@law.example".parse::<LocalPattern>()?.at(&hosted).to_string(), "ceo@law.example");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalPattern(Recipient);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// `*`
    All,
    /// `<>`
    Null,
    /// A domain pattern alone.
    Domain(Pattern),
    /// `local@domain`
    At(Local, Pattern),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Recipient {
    Local(Local),
    Address(AddressPattern),
}

/// A text that is no [`AddressPattern`], or no [`LocalPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressPatternError {
    /// There is nothing.
    #[error("the pattern is empty")]
    Empty,
    /// The local part is wrong, or there is one and no `@`.
    #[error(transparent)]
    LocalPart(#[from] MailboxError),
    /// The domain, or one label of it, is wrong.
    #[error(transparent)]
    Domain(#[from] PatternError),
    /// An address literal.
    #[error("{found:?} is an address literal, and patterns are over domains")]
    Literal {
        /// The literal as written.
        found: String,
    },
    /// An address in angle brackets.
    #[error("angle brackets are part of no pattern but <>")]
    Brackets,
    /// The null reverse-path in a list of recipients.
    #[error("no recipient is <>")]
    NullRecipient,
}

impl AddressPattern {
    /// Whether it covers this face of an address. `delimiters` part a tag from the local part: [`super::TAG_DELIMITERS`].
    ///
    /// Makes the wildcards ready at each call: for more than a few patterns there is [`super::AddressSet`].
    #[must_use]
    pub fn matches(&self, face: &Face<'_>, delimiters: &str) -> bool {
        if self.0 == Kind::All {
            return true;
        }
        let (Some((local, name)), Some((locals, domain))) = (face.parts(), self.parts()) else {
            return self.0 == Kind::Null && face.is_null();
        };
        let domain_covers = name.map_or(*domain == Pattern::All, |name| domain.matches(name));
        domain_covers && locals.covers(local, delimiters)
    }

    /// What it says of the local part and of the domain; nothing for `*` and `<>`.
    pub(super) fn parts(&self) -> Option<(&Local, &Pattern)> {
        match &self.0 {
            Kind::All | Kind::Null => None,
            Kind::Domain(domain) => Some((&Local::Any, domain)),
            Kind::At(local, domain) => Some((local, domain)),
        }
    }
}

impl LocalPattern {
    /// The pattern over addresses that it means in a list that belongs to `domain`.
    #[must_use]
    pub fn at(&self, domain: &Pattern) -> AddressPattern {
        match &self.0 {
            Recipient::Local(local) => AddressPattern(Kind::At(local.clone(), domain.clone())),
            Recipient::Address(pattern) => pattern.clone(),
        }
    }
}

impl AddressPatternError {
    /// What would be right, in words.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::LocalPart(MailboxError::NoAt) => "write @ and a domain behind the quotes: \"john smith\"@example.org",
            Self::LocalPart(MailboxError::LocalPartCharacter { .. }) => "put the local part in quotes: \"john smith\"@example.org",
            Self::LocalPart(MailboxError::Unclosed) => {
                "close the quotes before the @; a quote or a backslash inside has a backslash before it"
            }
            Self::LocalPart(MailboxError::EmptyLocalPart) => "write *@example.org or example.org for every mailbox there",
            Self::Literal { .. } => "write *, which covers address literals too",
            Self::Brackets => "write it without them",
            Self::NullRecipient => "leave it out",
            _ => "write john@example.org, *@example.org, example.org, *.example.org, <> or *",
        }
    }
}

/// Whether the text is a quoted local part without a domain: no domain ends with a quote.
fn is_quoted_local(text: &str) -> bool {
    text.starts_with('"') && text.ends_with('"')
}

impl FromStr for AddressPattern {
    type Err = AddressPatternError;

    fn from_str(text: &str) -> Result<Self, AddressPatternError> {
        if text.is_empty() {
            return Err(AddressPatternError::Empty);
        }
        if text == "<>" {
            return Ok(Self(Kind::Null));
        }
        if text.starts_with('<') && text.ends_with('>') {
            return Err(AddressPatternError::Brackets);
        }
        if is_quoted_local(text) {
            return Err(MailboxError::NoAt.into());
        }
        // A quoted local part may hold an '@', a domain never does: the last one parts them.
        let (local, domain) = text.rsplit_once('@').map_or((None, text), |(local, domain)| (Some(local), domain));
        if domain.starts_with('[') {
            return Err(AddressPatternError::Literal { found: domain.to_owned() });
        }
        let local = local.map(Local::parse).transpose()?;
        let domain: Pattern = domain.parse()?;
        Ok(Self(match (local, domain) {
            (Some(local), domain) => Kind::At(local, domain),
            (None, Pattern::All) => Kind::All,
            (None, domain) => Kind::Domain(domain),
        }))
    }
}

impl FromStr for LocalPattern {
    type Err = AddressPatternError;

    fn from_str(text: &str) -> Result<Self, AddressPatternError> {
        if text.is_empty() {
            return Err(AddressPatternError::Empty);
        }
        if text == "<>" {
            return Err(AddressPatternError::NullRecipient);
        }
        if text.contains('@') && !is_quoted_local(text) {
            return Ok(Self(Recipient::Address(text.parse()?)));
        }
        Ok(Self(Recipient::Local(Local::parse(text)?)))
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::All => f.write_str("*"),
            Kind::Null => f.write_str("<>"),
            Kind::Domain(domain) => domain.fmt(f),
            Kind::At(local, domain) => write!(f, "{local}@{domain}"),
        }
    }
}

impl fmt::Display for LocalPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Recipient::Local(local) => local.fmt(f),
            Recipient::Address(pattern) => pattern.fmt(f),
        }
    }
}
