//! OpenSSL cipher strings.

use crate::error::CipherError;
use crate::order::Order;
use crate::suite::Suite;
use crate::table::TLS13;
use crate::term::{Action, Term, fits, terms};
use crate::word::Word;

/// What a cipher string means, by the rules of OpenSSL and whatever a TLS library may have of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherString {
    suites: Vec<&'static Suite>,
    tls13: Tls13,
    level: Option<u8>,
}

/// What a string says of TLS 1.3, of which OpenSSL's never speak.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tls13 {
    named: Vec<&'static Suite>,
    removed: Vec<&'static Suite>,
    /// Whether everything in the string is the plain name of a suite in the IANA registry.
    only_registry_names: bool,
}

impl CipherString {
    /// What `text` means.
    ///
    /// Terms are separated by colons, commas or spaces. A term is words with `+` between them, all of which must fit a suite:
    /// `kRSA+FIPS`. It adds these suites at the end; `!` before it takes them away for good, `-` until they are added again, and `+`
    /// moves those that are there to the end. `@STRENGTH` sorts, `@SECLEVEL=n` sets a security level. `DEFAULT` or a
    /// profile ([`PROFILES`](crate::PROFILES)) may stand first.
    ///
    /// # Limits
    /// [`STRING_OCTETS`].
    ///
    /// # Errors
    /// [`CipherError::TooLong`], and what OpenSSL passes over or calls an invalid command: [`CipherError::UnknownWord`],
    /// [`CipherError::UnknownCommand`], [`CipherError::NoWord`], [`CipherError::Character`], [`CipherError::MisplacedBase`].
    ///
    /// # Example
    /// ```
    /// # use sealpost_cipher::CipherString;
    /// let names = |text| CipherString::parse(text).unwrap().suites().iter().map(|suite| suite.openssl_name()).collect::<Vec<_>>();
    /// assert_eq!(names("kRSA+AES128+SHA:kRSA+AES256+SHA"), ["AES128-SHA", "AES256-SHA"]);
    /// assert_eq!(names("kRSA+AES+SHA:!AES128"), ["AES256-SHA"]);
    /// ```
    pub fn parse(text: &str) -> Result<Self, CipherError> {
        if text.len() > STRING_OCTETS {
            return Err(CipherError::TooLong { octets: text.len(), limit: STRING_OCTETS });
        }
        let terms = terms(text)?;
        let (mut order, mut level) = (Order::new(), None);
        for term in &terms {
            match term {
                Term::Suites(action, words) => order.apply(*action, |suite| fits(words, suite)),
                Term::SortByStrength => order.sort_by_strength(),
                Term::SecurityLevel(found) => level = Some(*found),
            }
        }
        let suites = order.chosen().into_iter().filter(|suite| level.is_none_or(|level| suite.is_allowed_at(level))).collect();
        Ok(Self { suites, tls13: Tls13::of(&terms), level })
    }

    /// The suites for TLS 1.2, in order, without those below the security level that the string sets.
    #[must_use]
    pub fn suites(&self) -> &[&'static Suite] {
        &self.suites
    }

    /// The security level that the string sets.
    #[must_use]
    pub fn security_level(&self) -> Option<u8> {
        self.level
    }

    /// The suites of TLS 1.3, in order: those that are named; all where none is and something else stands there; none in a list of
    /// IANA names of earlier suites.
    #[must_use]
    pub fn tls13_suites(&self) -> Vec<&'static Suite> {
        let all = || if self.tls13.only_registry_names { Vec::new() } else { TLS13.iter().collect() };
        let suites = if self.tls13.named.is_empty() { all() } else { self.tls13.named.clone() };
        let is_left = |suite: &&Suite| !self.tls13.removed.contains(suite) && self.level.is_none_or(|level| suite.is_allowed_at(level));
        suites.into_iter().filter(is_left).collect()
    }

    /// Whether the string speaks of suites of TLS 1.3: names some, or takes some away.
    #[must_use]
    pub fn speaks_of_tls13(&self) -> bool {
        self.names_tls13() || !self.tls13.removed.is_empty()
    }

    /// Whether it names the only ones that will do.
    pub(crate) fn names_tls13(&self) -> bool {
        !self.tls13.named.is_empty()
    }
}

impl Tls13 {
    fn of(terms: &[Term]) -> Self {
        let mut found = Self { only_registry_names: !terms.is_empty(), ..Self::default() };
        for term in terms {
            let (action, words) = match term {
                Term::Suites(action, words) => (*action, words.as_slice()),
                _ => (Action::MoveToEnd, [].as_slice()),
            };
            let plain_name = match words {
                [Word::Tls13(suite)] => {
                    match action {
                        Action::Add if !found.named.contains(suite) => found.named.push(suite),
                        Action::Remove | Action::Kill => found.removed.push(suite),
                        _ => {}
                    }
                    true
                }
                [Word::RegistryName(_)] => true,
                _ => false,
            };
            found.only_registry_names &= plain_name && action == Action::Add;
        }
        found
    }
}

/// The longest string that is read. The longest that `openssl ciphers` prints has 4,500 octets.
pub const STRING_OCTETS: usize = 16 << 10;
