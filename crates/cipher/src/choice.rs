//! What of a setting can be used.

use sealpost_types::{CipherSet, CipherSuite};

use crate::error::CipherError;
use crate::lack::Lack;
use crate::string::CipherString;
use crate::suite::Suite;
use crate::table::TLS13;
use crate::term::is_separator;

/// The suites that a setting leaves, in the order that it prefers, and those that it names in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherChoice {
    tls12: Vec<&'static Suite>,
    tls13: Vec<&'static Suite>,
    lacking: Vec<(&'static Suite, Lack)>,
    speaks_of_tls13: bool,
}

impl CipherChoice {
    /// What is left of a profile ([`PROFILES`]), a list of IANA names or any other cipher string ([`CipherString::parse`]).
    ///
    /// A string or a profile speaks of TLS 1.2 and leaves TLS 1.3 as it is, but for suites of it that are named: `!` takes one away,
    /// and names without a sign are all that is left. A list that is nothing but IANA names is all that will do in both versions.
    ///
    /// # Errors
    /// Those of [`CipherString::parse`], and [`CipherError::NothingUsable`] where nothing is left that it speaks of.
    ///
    /// # Example
    /// ```
    /// # use sealpost_cipher::CipherChoice;
    /// let fips = CipherChoice::parse("fips")?;
    /// assert!(fips.tls12().iter().chain(fips.tls13()).all(|suite| suite.iana_name().contains("_AES_")));
    /// assert!(CipherChoice::parse("kRSA").unwrap_err().to_string().contains("no forward secrecy"));
    /// # Ok::<(), sealpost_cipher::CipherError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, CipherError> {
        let string = CipherString::parse(text)?;
        let usable = |suite: &&'static Suite| Lack::of(suite).is_none();
        let lacking = |suite: &'static Suite| Lack::of(suite).map(|why| (suite, why));
        let (tls12, tls13) = (string.suites(), string.tls13_suites());
        let choice = Self {
            tls12: tls12.iter().copied().filter(usable).collect(),
            tls13: tls13.iter().copied().filter(usable).collect(),
            // That CCM is not there for TLS 1.3 is told to those who ask for it.
            lacking: tls12.iter().chain(tls13.iter().filter(|_| string.names_tls13())).filter_map(|suite| lacking(suite)).collect(),
            speaks_of_tls13: string.speaks_of_tls13(),
        };
        let is_empty = choice.tls12.is_empty() && (!string.names_tls13() || choice.tls13.is_empty());
        if is_empty {
            return Err(CipherError::NothingUsable { text: text.to_owned(), lacking: choice.lacking });
        }
        Ok(choice)
    }

    /// What can be used in TLS 1.2.
    #[must_use]
    pub fn tls12(&self) -> &[&'static Suite] {
        &self.tls12
    }

    /// What can be used in TLS 1.3.
    #[must_use]
    pub fn tls13(&self) -> &[&'static Suite] {
        &self.tls13
    }

    /// What the setting names and cannot be used, with the reason.
    #[must_use]
    pub fn lacking(&self) -> &[(&'static Suite, Lack)] {
        &self.lacking
    }

    /// Whether the setting speaks of suites of TLS 1.3: names some, or takes some away.
    #[must_use]
    pub fn speaks_of_tls13(&self) -> bool {
        self.speaks_of_tls13
    }

    /// All that can be used, of both versions.
    #[must_use]
    pub fn set(&self) -> CipherSet {
        CipherSet::new(self.tls12.iter().chain(&self.tls13).map(|suite| suite.number()).collect())
    }
}

/// The suites of TLS 1.3 that a list of names means, in its order. Colons, commas or spaces separate them.
///
/// # Errors
/// [`CipherError::NotTls13`] for a name of anything else, [`CipherError::NothingUsable`] where nothing that can be used is left.
pub fn parse_tls13(text: &str) -> Result<Vec<CipherSuite>, CipherError> {
    let (mut found, mut lacking) = (Vec::new(), Vec::new());
    for (at, name) in text.split(is_separator).filter(|name| !name.is_empty()).enumerate() {
        let suite = TLS13.iter().find(|suite| suite.iana_name() == name);
        let suite = suite.ok_or_else(|| CipherError::NotTls13 { found: name.to_owned(), number: at.saturating_add(1) })?;
        match Lack::of(suite) {
            Some(why) => lacking.push((suite, why)),
            None if !found.contains(&suite.number()) => found.push(suite.number()),
            None => {}
        }
    }
    if found.is_empty() { Err(CipherError::NothingUsable { text: text.to_owned(), lacking }) } else { Ok(found) }
}

/// Profiles by their names, and the cipher string that each stands for. More terms may follow: `fips:!aECDSA`.
///
/// `modern` is for peers that are kept up: forward secrecy and authenticated encryption with keys of 256 bits. `compatible` is everything that
/// can be used. `fips` has nothing but what FIPS 140 approves, in TLS 1.3 too.
pub const PROFILES: &[(&str, &str)] = &[
    ("modern", "ECDHE+AES256+AESGCM:ECDHE+CHACHA20"),
    ("compatible", "ECDHE+AESGCM:ECDHE+CHACHA20"),
    ("fips", "ECDHE+AESGCM+FIPS:!TLS_CHACHA20_POLY1305_SHA256"),
];
