//! Errors with all that led to them.

use std::error::Error;
use std::fmt;

/// An error and its causes on one line, the outermost first: for logs and for people.
///
/// No error repeats its cause in its own text, so that each stands here once.
///
/// # Example
/// ```
/// # use sealpost_types::WithCauses;
/// let error = "many".parse::<u8>().unwrap_err();
/// assert_eq!(WithCauses(&error).to_string(), "invalid digit found in string");
/// ```
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a way to show an error, and nothing else")]
pub struct WithCauses<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {path}")]
    struct Unreadable {
        path: &'static str,
        source: Interrupted,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the read was interrupted")]
    struct Interrupted;

    #[test]
    fn each_cause_is_said_once_and_in_order() {
        let error = Unreadable { path: "c.pem", source: Interrupted };
        assert_eq!(WithCauses(&error).to_string(), "cannot read c.pem: the read was interrupted");
        assert_eq!(WithCauses(&Interrupted).to_string(), "the read was interrupted");
    }
}
