//! Times as people and mail headers write them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use sealpost_types::{UnixMillis, parse_span};

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
    /// A time for people, to the second: `2025-11-22 04:12:07`.
    #[must_use]
    pub fn short(self, at: UnixMillis) -> String {
        const FORMAT: &str = "%Y-%m-%d %H:%M:%S";
        match self {
            Self::Utc => timestamp(at).strftime(FORMAT).to_string(),
            Self::Local => local(at).strftime(FORMAT).to_string(),
        }
    }

    /// A time in the manner of ISO 8601, to the millisecond.
    #[must_use]
    pub fn iso(self, at: UnixMillis) -> String {
        match self {
            Self::Utc => format!("{:.3}", timestamp(at)),
            Self::Local => local(at).strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string(),
        }
    }
}

/// A text that is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is neither a span such as 36h nor a time such as 2026-11-22T04:00:00Z nor a day such as 2026-11-22")]
#[non_exhaustive]
pub struct TimeError {
    /// The text.
    pub found: String,
}

/// The moment that `text` names: a span back from `now`, a time of RFC 3339, or the beginning of a day on this machine's clock.
///
/// # Errors
/// [`TimeError`] for anything else.
pub fn parse_moment(text: &str, now: UnixMillis) -> Result<UnixMillis, TimeError> {
    if let Ok(span) = parse_span(text) {
        return Ok(UnixMillis(now.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)).max(0)));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(UnixMillis(time.as_millisecond()));
    }
    let day: Option<Date> = text.parse().ok().filter(|_| text.len() == "2026-11-22".len());
    let midnight = day.and_then(|day| day.to_zoned(TimeZone::system()).ok());
    midnight.map(|time| UnixMillis(time.timestamp().as_millisecond())).ok_or_else(|| TimeError { found: text.to_owned() })
}

/// A time as RFC 5322 section 3.3 writes it, in UTC.
pub(crate) fn rfc5322(at: UnixMillis) -> String {
    timestamp(at).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// A time as RFC 3339 writes it, in UTC and to the second.
pub(crate) fn rfc3339(at: UnixMillis) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The time that a text of RFC 3339 means. Some write `+00:00` without its colon, or leave the seconds' fraction in.
pub(crate) fn of_rfc3339(text: &str) -> Option<UnixMillis> {
    text.parse::<Timestamp>().ok().map(|time| UnixMillis(time.as_millisecond()))
}

/// A day in UTC, as `2026-11-26`.
pub(crate) fn civil_day(at: UnixMillis) -> String {
    timestamp(at).strftime("%Y-%m-%d").to_string()
}

/// The first moment of the day that `text` names, in UTC: `2026-11-26`, and in no other way.
pub(crate) fn of_civil_day(text: &str) -> Option<UnixMillis> {
    let day: Date = text.parse().ok()?;
    let start = day.to_zoned(TimeZone::UTC).ok().map(|time| UnixMillis(time.timestamp().as_millisecond()));
    start.filter(|start| civil_day(*start) == text)
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
    fn a_day_is_read_as_it_is_written() {
        for day in ["2026-11-26", "1970-01-01", "1969-12-31", "0000-02-29", "9999-12-30"] {
            assert_eq!(of_civil_day(day).map(civil_day).as_deref(), Some(day));
        }
        for other in ["20261126", "+002026-11-26", "2026-11-26T10:00", "-000005-05-30", "-0000050530", "2026-02-30", ""] {
            assert_eq!(of_civil_day(other), None, "{other}");
        }
    }

    #[test]
    fn times_are_written() {
        let at = UnixMillis(1_763_784_727_120);
        assert_eq!(Clock::Utc.iso(at), "2025-11-22T04:12:07.120Z");
        assert_eq!(rfc5322(at), "Sat, 22 Nov 2025 04:12:07 +0000");
        let local = Clock::Local.iso(at);
        assert_eq!(local.parse::<Timestamp>().unwrap(), timestamp(at), "{local}");
    }

    #[test]
    fn moments_are_read() {
        let now = UnixMillis(1_763_784_727_120);
        assert_eq!(parse_moment("90m", now), Ok(UnixMillis(now.0 - 5_400_000)));
        assert_eq!(parse_moment("2025-11-22T04:12:07.120Z", now), Ok(now));
        assert_eq!(parse_moment("2025-11-22T05:12:07.12+01:00", now), Ok(now));
        let day = parse_moment("2025-11-22", now).unwrap();
        assert_eq!(Clock::Local.short(day), "2025-11-22 00:00:00");
        for text in ["", "yesterday", "2025-13-01", "2025-11-22T04:12", "7w"] {
            assert!(parse_moment(text, now).unwrap_err().to_string().contains("such as 36h"), "{text}");
        }
        assert_eq!(Clock::Utc.short(now), "2025-11-22 04:12:07");
    }

    #[test]
    fn no_time_is_too_far_away() {
        assert!(Clock::Utc.iso(UnixMillis(i64::MAX)).starts_with("9999-"));
        assert!(Clock::Utc.iso(UnixMillis(i64::MIN)).starts_with("-"));
        assert!(rfc5322(UnixMillis(i64::MAX)).ends_with("9999 22:00:00 +0000"));
    }
}
