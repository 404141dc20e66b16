//! From the words of a document to what they mean. The document and included lists share them.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use sealpost_cipher::{CipherChoice, CipherString};
use sealpost_types::{CipherSet, ClearFallback, KexFloor, Level, NameMatch, OnExpiry, TlsVersion, UnixMillis, parse_span};

use super::problem::{Problem, levels_of};
use crate::asked::{FailureEnd, RefuseWith};
use crate::layer::Side;
use crate::require_tls::RequireTls;
use crate::rule::Direction;

type Read<T> = Result<T, Problem>;

/// A level with a meaning on this side.
pub(crate) fn level(key: &str, text: &str, side: Side) -> Read<Level> {
    let level: Level = text.parse().map_err(|_| unknown(key, text, levels_of(side)))?;
    if levels_of(side).contains(&level.as_str()) { Ok(level) } else { Err(Problem::LevelOnHop { level, hop: side.key() }) }
}

/// What `dane` comes to for a host without secure TLSA records.
pub(crate) fn dane_else(key: &str, text: &str) -> Read<Level> {
    match level(key, text, Side::Deliver)? {
        Level::Dane | Level::DaneOnly => Err(unknown(key, text, DANE_ELSE)),
        level => Ok(level),
    }
}

pub(crate) fn min_version(key: &str, text: &str) -> Read<TlsVersion> {
    one_of(key, text, &["1.2", "1.3"], &[TlsVersion::Tls1_2, TlsVersion::Tls1_3])
}

pub(crate) fn min_group(key: &str, text: &str) -> Read<KexFloor> {
    text.parse().map_err(|_| unknown(key, text, &["x25519", "secp256r1", "secp384r1", "secp521r1", "X25519MLKEM768", "post-quantum"]))
}

/// One item of a cipher setting, as it stands. Whether it makes sense by itself is known; whether it does among the others is not.
pub(crate) fn cipher(text: &str) -> Read<String> {
    CipherString::parse(text).map(|_| text.to_owned()).map_err(|cause| Problem::Ciphers { cause })
}

/// The suites that the items leave; an empty list leaves nothing to talk with.
pub(crate) fn ciphers(items: &[String]) -> Read<CipherSet> {
    if items.is_empty() {
        return Err(Problem::Empty {
            key: "ciphers",
            expected: "a cipher string such as ECDHE+AESGCM, or names such as TLS_AES_256_GCM_SHA384",
        });
    }
    CipherChoice::parse(&items.join(":")).map(|choice| choice.set()).map_err(|cause| Problem::Ciphers { cause })
}

pub(crate) fn matching(key: &str, text: &str) -> Read<NameMatch> {
    one_of(key, text, &["domain", "mx"], &[NameMatch::Domain, NameMatch::Mx])
}

pub(crate) fn on_expiry(key: &str, text: &str) -> Read<OnExpiry> {
    one_of(key, text, ON_EXPIRY, &[OnExpiry::Bounce, OnExpiry::Delete, OnExpiry::Hold])
}

pub(crate) fn on_failure(key: &str, text: &str) -> Read<FailureEnd> {
    one_of(key, text, &["retry", "bounce"], &[FailureEnd::Retry, FailureEnd::Bounce])
}

pub(crate) fn clear_fallback(key: &str, text: &str) -> Read<ClearFallback> {
    let meanings = [ClearFallback::SecondAttempt, ClearFallback::Immediate, ClearFallback::Never];
    one_of(key, text, &["second-attempt", "immediate", "never"], &meanings)
}

pub(crate) fn require_tls(key: &str, text: &str) -> Read<RequireTls> {
    one_of(key, text, &["strict", "verify", "require"], &[RequireTls::Strict, RequireTls::Verify, RequireTls::Require])
}

pub(crate) fn refuse(key: &str, text: &str) -> Read<RefuseWith> {
    one_of(key, text, &["5xx", "4xx"], &[RefuseWith::Permanent, RefuseWith::Transient])
}

/// Whether the entry is in testing.
pub(crate) fn mode(key: &str, text: &str) -> Read<bool> {
    one_of(key, text, &["enforce", "testing"], &[false, true])
}

pub(crate) fn direction(key: &str, text: &str) -> Read<Direction> {
    one_of(key, text, &["inbound", "outbound"], &[Direction::Inbound, Direction::Outbound])
}

pub(crate) fn span(key: &'static str, text: &str) -> Read<Duration> {
    let span = parse_span(text).ok().filter(|span| !span.is_zero());
    span.ok_or_else(|| Problem::Duration { key, found: text.to_owned() })
}

/// The last moment of a date, or the moment itself where a time stands there; UTC unless an offset says otherwise.
pub(crate) fn until(text: &str) -> Read<UnixMillis> {
    let of_moment = || text.parse::<jiff::Timestamp>().ok();
    let of_local = || utc(text.parse::<DateTime>().ok()?);
    let of_day = || {
        let day: Date = text.parse().ok()?;
        if day == Date::MAX {
            return Some(jiff::Timestamp::MAX);
        }
        utc(day.tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight()))?.checked_sub(jiff::SignedDuration::from_millis(1)).ok()
    };
    // A date alone reads as a local time too, at its first moment.
    let moment = of_moment().or_else(|| if text.contains([':', 'T', 't']) { of_local() } else { of_day() });
    moment.map(|moment| UnixMillis(moment.as_millisecond())).ok_or_else(|| Problem::Date { found: text.to_owned() })
}

fn utc(moment: DateTime) -> Option<jiff::Timestamp> {
    TimeZone::UTC.to_timestamp(moment).ok()
}

fn one_of<T: Copy>(key: &str, text: &str, allowed: &'static [&'static str], meanings: &[T]) -> Read<T> {
    let place = allowed.iter().position(|word| *word == text);
    place.and_then(|place| meanings.get(place)).copied().ok_or_else(|| unknown(key, text, allowed))
}

fn unknown(key: &str, text: &str, allowed: &'static [&'static str]) -> Problem {
    Problem::UnknownWord { key: key.to_owned(), found: text.to_owned(), allowed }
}

/// The words of `on_expiry`.
pub(crate) const ON_EXPIRY: &[&str] = &["bounce", "delete", "hold"];

const DANE_ELSE: &[&str] = &["none", "mirror", "opportunistic", "require", "chain", "verify", "pinned"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_lasts_until_its_end() {
        let day = until("2026-12-31").unwrap();
        assert_eq!(day, UnixMillis(until("2027-01-01T00:00:00Z").unwrap().0 - 1));
        assert_eq!(until("2026-12-31T12:00:00"), until("2026-12-31T12:00:00Z"));
        assert_eq!(until("2026-12-31T12:00:00+01:00"), until("2026-12-31T11:00:00Z"));
        for wrong in ["", "soon", "2026-13-01", "2026-12-31T25:00:00Z", "31.12.2026", "-009999-01-01T"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
        // The last day that there is: people write it for "always".
        assert!(until("9999-12-31").unwrap() > until("9999-12-30T12:00:00Z").unwrap());
    }
}
