//! What DNSSEC says of an answer.

use std::fmt;

/// What DNSSEC says of an answer of the DNS.
///
/// # Wire
/// RFC 4033 section 5. An answer that nobody validated is [`Indeterminate`](Self::Indeterminate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the four states of RFC 4033")]
pub enum DnssecStatus {
    /// Signatures lead from a trust anchor to it.
    Secure,
    /// It is proven that its zone is not signed, or not in a way that is understood.
    Insecure,
    /// It should be signed, and is not so that it can be believed.
    Bogus,
    /// Nobody validated it.
    #[default]
    Indeterminate,
}

impl DnssecStatus {
    /// Whether it is proven.
    #[must_use]
    pub fn is_secure(self) -> bool {
        self == Self::Secure
    }

    /// What holds of an answer that takes both: no more than the weaker says.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let rank = |status| match status {
            Self::Bogus => 0,
            Self::Indeterminate => 1,
            Self::Insecure => 2,
            Self::Secure => 3,
        };
        if rank(other) < rank(self) { other } else { self }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Insecure => "insecure",
            Self::Bogus => "bogus",
            Self::Indeterminate => "indeterminate",
        }
    }
}

impl fmt::Display for DnssecStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_as_secure_as_its_weakest_link() {
        use DnssecStatus::{Bogus, Indeterminate, Insecure, Secure};
        let order = [Bogus, Indeterminate, Insecure, Secure];
        for (at, weaker) in order.into_iter().enumerate() {
            for other in &order[at..] {
                assert_eq!((weaker.and(*other), other.and(weaker)), (weaker, weaker));
            }
        }
    }
}
