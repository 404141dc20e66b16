//! The days that a history is divided into.

use std::fmt;

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use sealpost_types::UnixMillis;

/// A day of the calendar in UTC, by its number from 1970-01-01.
///
/// The entries of a day lie in one file. The number of an entry in it is made of the time of day and, in the lower bits, of
/// its place among those of the same millisecond: a walk by number is one by time, and no index of the time is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Day(i64);

impl Day {
    /// The day of a moment; moments outside the years 1 to 9999 count to the first or last day of these.
    pub(super) fn of(at: UnixMillis) -> Self {
        Self(at.0.div_euclid(DAY_MILLIS).clamp(FIRST, LAST))
    }

    /// When it begins.
    pub(super) fn start(self) -> UnixMillis {
        UnixMillis(self.0 * DAY_MILLIS)
    }

    /// When the next one begins.
    pub(super) fn end(self) -> UnixMillis {
        UnixMillis((self.0 + 1) * DAY_MILLIS)
    }

    /// The lowest number of an entry of this moment: 0 for those before the day, more than any for those behind it.
    pub(super) fn first_number(self, at: UnixMillis) -> i64 {
        at.0.saturating_sub(self.start().0).clamp(0, DAY_MILLIS) << PLACE_BITS
    }

    /// The lowest number of an entry that happens at this moment, which is one of the day.
    pub(super) fn number_at(self, at: UnixMillis) -> i64 {
        at.0.saturating_sub(self.start().0).clamp(0, DAY_MILLIS - 1) << PLACE_BITS
    }

    /// When the entry of this number happened.
    pub(super) fn time_of(self, number: i64) -> UnixMillis {
        UnixMillis(self.start().0 + (number >> PLACE_BITS))
    }

    /// The stretch of numbers in which an entry is: those of four milliseconds.
    pub(super) fn moment_of(number: i64) -> i64 {
        number >> MOMENT_BITS
    }

    /// The day of a file, by the file's name.
    pub(super) fn of_file(name: &str) -> Option<Self> {
        let date: Date = name.strip_suffix(SUFFIX)?.parse().ok()?;
        let days = date.since(EPOCH).ok()?.get_days();
        Some(Self(days.into())).filter(|day| day.to_string() == name)
    }
}

/// The name of its file.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = EPOCH.checked_add(self.0.days()).unwrap_or(EPOCH);
        write!(f, "{date}{SUFFIX}")
    }
}

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A million entries have room in a millisecond.
const PLACE_BITS: u32 = 20;

/// Four milliseconds are told apart by two bits above the place: few entries have to be looked through for one, and where thousands come in
/// a second, many of them share one.
pub(super) const MOMENT_BITS: u32 = PLACE_BITS + 2;

const SUFFIX: &str = ".db";

const EPOCH: Date = date(1970, 1, 1);

/// 0001-01-01 and 9999-12-31.
const FIRST: i64 = -719_162;
const LAST: i64 = 2_932_896;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_file() {
        for (at, name) in [
            (0, "1970-01-01.db"),
            (-1, "1969-12-31.db"),
            (1_763_784_727_123, "2025-11-22.db"),
            (i64::MAX, "9999-12-31.db"),
            (i64::MIN, "0001-01-01.db"),
        ] {
            let day = Day::of(UnixMillis(at));
            assert_eq!(day.to_string(), name);
            assert_eq!(Day::of_file(name), Some(day));
            assert!(day.start() < day.end());
        }
        for name in ["history.db", "2025-11-22.db-wal", "2025-11-22", "2025-13-01.db", "20251122.db"] {
            assert_eq!(Day::of_file(name), None, "{name}");
        }
    }

    #[test]
    fn numbers_follow_the_time() {
        let at = UnixMillis(1_763_784_727_123);
        let day = Day::of(at);
        assert_eq!(day.time_of(day.number_at(at) + 5), at);
        assert_eq!(day.first_number(UnixMillis(day.start().0 - 1)), 0);
        assert!(day.first_number(day.end()) > day.number_at(UnixMillis(day.end().0 - 1)));
        assert_eq!(day.time_of(day.number_at(UnixMillis(day.end().0 - 1))).0, day.end().0 - 1);
    }
}
