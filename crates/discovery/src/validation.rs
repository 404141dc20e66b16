//! Whether what a resolver says of DNSSEC can be believed.

use std::fmt;

/// Whether what a resolver says of DNSSEC can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validation {
    /// It does not validate, and says so.
    Off,
    /// A signed zone was found to be so.
    Works,
    /// It should validate, and the name servers do not let it: DANE is not claimed.
    Broken {
        /// What is wrong, in words.
        reason: String,
    },
    /// Whether it does could not be found out. Answers count only if they are proven.
    Unsure {
        /// What happened, in words.
        reason: String,
    },
}

impl Validation {
    /// Whether it is certain that no answer is proven.
    #[must_use]
    pub fn is_ruled_out(&self) -> bool {
        matches!(self, Self::Off | Self::Broken { .. })
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("DNSSEC is switched off"),
            Self::Works => f.write_str("DNSSEC validation works"),
            Self::Broken { reason } => write!(f, "DNSSEC validation does not work: {reason}"),
            Self::Unsure { reason } => write!(f, "whether DNSSEC validation works is not known: {reason}"),
        }
    }
}
