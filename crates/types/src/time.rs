//! Times and sizes with their units in the type.

use std::fmt;
use std::time::Duration;

/// Wall-clock time: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "a number with its unit")]
pub struct UnixMillis(pub i64);

/// Time on a clock that never jumps: microseconds since some start that only the caller knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a number with its unit")]
pub struct Ticks(pub u64);

/// A size in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "a number with its unit")]
pub struct Octets(pub u64);

impl UnixMillis {
    /// The last moment that can be written: later than all others.
    pub const MAX: Self = Self(i64::MAX);

    /// This much later; saturates.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long `earlier` lies back; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Ticks {
    /// This much later; saturates.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long `earlier` lies back; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a span of time; a number with its unit is meant: 30s, 90m, 36h, 7d")]
#[non_exhaustive]
pub struct SpanError {
    /// The text.
    pub found: String,
}

/// The span of time that `text` writes: a whole number with the unit `s`, `m`, `h` or `d`.
///
/// # Errors
/// [`SpanError`] for anything else, and for more than a hundred years.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let wrong = || SpanError { found: text.to_owned() };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let total = number.checked_mul(seconds).filter(|total| *total <= LONGEST_SPAN).ok_or_else(wrong)?;
    Ok(Duration::from_secs(total))
}

/// The longest span that may be written, in seconds: a hundred years.
const LONGEST_SPAN: u64 = 100 * 365 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        for (text, seconds) in [("30s", 30), ("90m", 5400), ("36h", 129_600), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "7", "d", "7 d", "-1d", "1.5h", "7w", "99999999999d", "7dd"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
