//! Times as people and mail headers write them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use sealpost_types::UnixMillis;

/// Which clock times are shown by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "ours, or everybody's")]
pub enum Clock {
    /// The same everywhere: `2025-11-22T04:12:07.123Z`.
    #[default]
    Utc,
    /// This machine's: `2025-11-22T05:12:07.123+01:00`.
    Local,
}

impl Clock {
    /// A time in the manner of ISO 8601, to the millisecond.
    #[must_use]
    pub fn iso(self, at: UnixMillis) -> String {
        match self {
            Self::Utc => format!("{:.3}", timestamp(at)),
            Self::Local => local(at).strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string(),
        }
    }
}

/// A time as RFC 5322 section 3.3 writes it, in UTC.
pub(crate) fn rfc5322(at: UnixMillis) -> String {
    timestamp(at).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn local(at: UnixMillis) -> Zoned {
    timestamp(at).to_zoned(TimeZone::system())
}

/// The nearest time that can be written: years -9999 to 9999.
fn timestamp(at: UnixMillis) -> Timestamp {
    Timestamp::from_millisecond(at.0).unwrap_or(if at.0 < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written() {
        let at = UnixMillis(1_763_784_727_120);
        assert_eq!(Clock::Utc.iso(at), "2025-11-22T04:12:07.120Z");
        assert_eq!(rfc5322(at), "Sat, 22 Nov 2025 04:12:07 +0000");
        let local = Clock::Local.iso(at);
        assert_eq!(local.parse::<Timestamp>().unwrap(), timestamp(at), "{local}");
    }

    #[test]
    fn no_time_is_too_far_away() {
        assert!(Clock::Utc.iso(UnixMillis(i64::MAX)).starts_with("9999-"));
        assert!(Clock::Utc.iso(UnixMillis(i64::MIN)).starts_with("-"));
        assert!(rfc5322(UnixMillis(i64::MAX)).ends_with("9999 22:00:00 +0000"));
    }
}
