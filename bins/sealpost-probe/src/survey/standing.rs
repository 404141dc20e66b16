//! The strictest level that holds for a domain today, in one word.

use super::row::Row;
use crate::test::VERIFY_MX;

/// How a domain stands, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Standing {
    DaneOnly,
    Verify,
    VerifyMx,
    Chain,
    Require,
    /// Mail goes, but nothing protects it.
    Clear,
    /// Not even opportunistic mail goes.
    Nothing,
    /// It takes no mail.
    NoMail,
    Untested,
}

impl Standing {
    pub(crate) const ALL: [Self; 9] = [
        Self::DaneOnly,
        Self::Verify,
        Self::VerifyMx,
        Self::Chain,
        Self::Require,
        Self::Clear,
        Self::Nothing,
        Self::NoMail,
        Self::Untested,
    ];

    pub(super) fn of(row: &Row) -> Self {
        if row.error.is_some() {
            return if row.result == super::row::UNTESTED { Self::Untested } else { Self::NoMail };
        }
        let passes = |word: &str| row.level(word).is_some_and(super::row::Level::passes);
        let best = Self::ALL.into_iter().find(|standing| standing.level().is_some_and(passes));
        if let Some(best) = best {
            return best;
        }
        match row.level("opportunistic") {
            // Whether there is TLS is the question, and a host that did not answer may have it.
            _ if row.level("require").is_none_or(super::row::Level::is_untested) => Self::Untested,
            Some(level) if level.passes() => Self::Clear,
            Some(level) if !level.is_untested() => Self::Nothing,
            _ => Self::Untested,
        }
    }

    /// The level as results call it, where it is one that enforces something.
    pub(crate) fn level(self) -> Option<&'static str> {
        Some(match self {
            Self::DaneOnly => "dane-only",
            Self::Verify => "verify",
            Self::VerifyMx => VERIFY_MX,
            Self::Chain => "chain",
            Self::Require => "require",
            _ => return None,
        })
    }

    /// The level as a policy writes it.
    pub(crate) fn document(self) -> Option<&'static str> {
        let (_, document) = crate::test::LEVELS.into_iter().find(|(word, _)| Some(*word) == self.level())?;
        Some(document)
    }

    /// The level whose reasons say most of why it stands no better.
    pub(super) fn asks_next(self) -> &'static str {
        match self {
            Self::DaneOnly => "dane-only",
            Self::Verify => "verify",
            Self::VerifyMx | Self::Chain => VERIFY_MX,
            Self::Require => "chain",
            Self::Nothing => "opportunistic",
            _ => "require",
        }
    }

    /// In words for a line.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Clear => "in clear",
            Self::Nothing => "not at all",
            Self::NoMail => "takes no mail",
            Self::Untested => "could not be tested",
            level => level.level().unwrap_or_default(),
        }
    }

    /// What that means, for people who do not know the levels.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::DaneOnly => "TLS, with the certificate that the domain publishes in signed DNS",
            Self::Verify => "TLS, with a trusted certificate for the domain's own name",
            Self::VerifyMx => "TLS, with a trusted certificate for the name of the mail exchanger",
            Self::Chain => "TLS, with a trusted certificate for some other name",
            Self::Require => "TLS, with a certificate that nobody vouches for",
            Self::Clear => "no TLS: mail goes in clear, or waits where TLS is required",
            Self::Nothing => "no mail goes at any level today",
            Self::NoMail => "there is no such domain, or it says that it takes no mail",
            Self::Untested => "nobody knows: no answer, come back later, or the DNS failed",
        }
    }

    /// A name for style sheets.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::DaneOnly => "dane",
            Self::Verify => "verify",
            Self::VerifyMx => "mx",
            Self::Chain => "chain",
            Self::Require => "require",
            Self::Clear => "clear",
            Self::Nothing => "nothing",
            Self::NoMail => "nomail",
            Self::Untested => "untested",
        }
    }

    pub(crate) fn outcome(self) -> crate::ping::Outcome {
        match self {
            Self::DaneOnly | Self::Verify | Self::VerifyMx | Self::Chain | Self::Require => crate::ping::Outcome::Passes,
            Self::Clear | Self::Nothing | Self::NoMail => crate::ping::Outcome::Fails,
            Self::Untested => crate::ping::Outcome::Untested,
        }
    }
}
