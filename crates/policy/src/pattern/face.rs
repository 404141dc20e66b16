//! The mailboxes by which one address is known: itself, and those it wraps.

use std::borrow::Cow;
use std::fmt;

use sealpost_types::{Domain, LocalPart, MailHost, Mailbox, ReversePath};

use super::local::{Shown, compared};

/// One mailbox by which an address of the envelope is known, or the null reverse-path.
///
/// # Example
/// ```
/// # use sealpost_policy::faces;
/// # use sealpost_types::{Mailbox, ReversePath};
/// let sender = ReversePath::from(Mailbox::parse("SRS0=HHH=TT=bank.example=Ann@forwarder.example")?);
/// let faces: Vec<_> = faces(&sender).map(|face| face.to_string()).collect();
/// assert_eq!(faces, ["srs0=hhh=tt=bank.example=ann@forwarder.example", "ann@bank.example"]);
/// # Ok::<(), sealpost_types::MailboxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face<'a>(Option<Compared<'a>>);

/// The faces of one address: the address itself, then what it wraps, then what that wraps.
///
/// Wrappers are BATV (`prvs=KDDDSSSSSS=local@domain`), SRS0 (`SRS0=hash=time=domain=local@forwarder`) and SRS1
/// (`SRS1=hash=forwarder==hash=time=domain=local@other`), in any case. Their hashes cannot be checked here: only the site
/// that wrote one can. What is no such wrapper in full wraps nothing.
///
/// # Limits
/// [`WRAPPERS`] faces beside the address itself. An ordinary address, its local part lower-case ASCII, costs no allocation.
#[derive(Clone, Debug)]
pub struct Faces<'a> {
    next: Next<'a>,
    wrappers_left: usize,
}

/// A mailbox with its local part in the form that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Compared<'a> {
    local: Cow<'a, str>,
    host: Cow<'a, MailHost>,
}

#[derive(Clone, Debug)]
enum Next<'a> {
    Null,
    /// The local part as it is meant, in the case in which it was written.
    Mailbox(Cow<'a, str>, Cow<'a, MailHost>),
    Nothing,
}

/// The faces of a sender; `<>` has one, the null face.
#[must_use]
pub fn faces(path: &ReversePath) -> Faces<'_> {
    path.mailbox().map_or(Faces { next: Next::Null, wrappers_left: 0 }, Faces::of)
}

impl<'a> Faces<'a> {
    /// The faces of a mailbox.
    #[must_use]
    pub fn of(mailbox: &'a Mailbox) -> Self {
        let next = Next::Mailbox(mailbox.local_part().unquoted(), Cow::Borrowed(mailbox.host()));
        Self { next, wrappers_left: WRAPPERS }
    }
}

impl<'a> Iterator for Faces<'a> {
    type Item = Face<'a>;

    fn next(&mut self) -> Option<Face<'a>> {
        match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Nothing => None,
            Next::Null => Some(Face(None)),
            Next::Mailbox(local, host) => {
                if let Some(left) = self.wrappers_left.checked_sub(1)
                    && let Some((inner, domain)) = unwrapped(&local)
                {
                    let host = domain.map_or_else(|| host.clone(), |domain| Cow::Owned(MailHost::Domain(domain)));
                    self.next = Next::Mailbox(inner, host);
                    self.wrappers_left = left;
                }
                Some(Face(Some(Compared { local: compared(local), host })))
            }
        }
    }
}

impl<'a> Face<'a> {
    /// The mailbox itself, whatever it wraps.
    #[must_use]
    pub fn of(mailbox: &'a Mailbox) -> Self {
        Self(Some(Compared { local: compared(mailbox.local_part().unquoted()), host: Cow::Borrowed(mailbox.host()) }))
    }

    /// Whether this is `<>`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// The domain; nothing for `<>` and address literals.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.parts().and_then(|(_, domain)| domain)
    }

    /// The local part as it is compared, and the domain unless a literal stands in its place; nothing for `<>`.
    pub(super) fn parts(&self) -> Option<(&str, Option<&Domain>)> {
        let Compared { local, host } = self.0.as_ref()?;
        let domain = match &**host {
            MailHost::Domain(domain) => Some(domain),
            MailHost::Literal(_) => None,
        };
        Some((local, domain))
    }
}

/// As it is compared; the null face is `<>`.
impl fmt::Display for Face<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(Compared { local, host }) => write!(f, "{}@{host}", Shown(local)),
            None => f.write_str("<>"),
        }
    }
}

/// The local part that this one wraps, and its domain where that is another.
fn unwrapped<'a>(local: &str) -> Option<(Cow<'a, str>, Option<Domain>)> {
    let (word, rest) = local.split_at_checked(4)?;
    let (inner, domain) = if word.eq_ignore_ascii_case("prvs") {
        (batv(rest)?, None)
    } else if word.eq_ignore_ascii_case("SRS0") {
        srs0(rest)?
    } else if word.eq_ignore_ascii_case("SRS1") {
        srs1(rest)?
    } else {
        return None;
    };
    // What was quoted before it was wrapped may still have its quotes.
    let quoted = if inner.starts_with('"') { LocalPart::parse(inner).ok() } else { None };
    let meant = quoted.map_or_else(|| inner.to_owned(), |local| local.unquoted().into_owned());
    Some((meant.into(), domain))
}

/// `=KDDDSSSSSS=local`: the number of a key, a day, and a signature in hexadecimal.
fn batv(rest: &str) -> Option<&str> {
    let (tag, inner) = rest.strip_prefix('=')?.split_once('=')?;
    let (numbers, signature) = tag.split_at_checked(4)?;
    let is_tag = numbers.bytes().all(|b| b.is_ascii_digit()) && signature.len() == 6 && signature.bytes().all(|b| b.is_ascii_hexdigit());
    (is_tag && !inner.is_empty()).then_some(inner)
}

/// `=hash=time=domain=local`; the first separator may be `+` or `-` too.
fn srs0(rest: &str) -> Option<(&str, Option<Domain>)> {
    let (hash, rest) = rest.strip_prefix(SRS_SEPARATORS)?.split_once('=')?;
    let (time, rest) = rest.split_once('=')?;
    let (domain, inner) = rest.split_once('=')?;
    if hash.is_empty() || time.is_empty() || inner.is_empty() {
        return None;
    }
    Some((inner, Some(Domain::parse(domain).ok()?)))
}

/// `=hash=forwarder=` and an SRS0 address without its word; the first separator may be `+` or `-` too.
fn srs1(rest: &str) -> Option<(&str, Option<Domain>)> {
    let (hash, rest) = rest.strip_prefix(SRS_SEPARATORS)?.split_once('=')?;
    let (forwarder, rest) = rest.split_once('=')?;
    if hash.is_empty() || forwarder.is_empty() {
        return None;
    }
    srs0(rest)
}

const SRS_SEPARATORS: [char; 3] = ['=', '+', '-'];

/// How many wrappers around an address are looked into.
pub const WRAPPERS: usize = 4;
