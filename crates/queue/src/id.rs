//! Names of queued messages.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

use sealpost_types::UnixMillis;

/// The name of a queued message or entry: 13 letters and digits that sort by age, as `01K9ZQ4F0R3TE`.
///
/// The time is in its upper part, but it never runs backwards and no name is given twice, whatever the clock does and
/// however often the process starts. Upper and lower case name the same.
///
/// # Example
/// ```
/// # use sealpost_queue::QueueId;
/// let id: QueueId = "01k9zq4f0r3te".parse()?;
/// assert_eq!(id.to_string(), "01K9ZQ4F0R3TE");
/// # Ok::<(), sealpost_queue::QueueIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(i64);

/// Why a text is no [`QueueId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueIdError {
    /// Not 13 characters.
    #[error("a queue id has {expected} characters, not {found}")]
    Length {
        /// Characters found.
        found: usize,
        /// Characters expected.
        expected: usize,
    },
    /// A character that no queue id has at this place.
    #[error("a queue id cannot have {found:?} at place {offset}")]
    Character {
        /// Where, in characters from the start.
        offset: usize,
        /// What stands there.
        found: char,
    },
}

impl QueueId {
    /// The first id there could be.
    pub(crate) const FIRST: Self = Self(0);

    /// The id of this number, or nothing if it is negative.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        if number >= 0 { Some(Self(number)) } else { None }
    }

    /// Its number, which sorts as the text does.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; LENGTH];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            *place = usize::try_from(rest & 31).ok().and_then(|digit| ALPHABET.get(digit).copied()).unwrap_or(b'0');
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueueId {
    type Err = QueueIdError;

    fn from_str(text: &str) -> Result<Self, QueueIdError> {
        let found = text.chars().count();
        if found != LENGTH {
            return Err(QueueIdError::Length { found, expected: LENGTH });
        }
        let mut number = 0_i64;
        for (offset, found) in text.chars().enumerate() {
            let digit = ALPHABET.iter().position(|letter| char::from(*letter) == found.to_ascii_uppercase());
            // Thirteen places of five bits are two more than an id has.
            let digit = digit.filter(|digit| offset > 0 || *digit < 8).and_then(|digit| i64::try_from(digit).ok());
            number = number << 5 | digit.ok_or(QueueIdError::Character { offset, found })?;
        }
        Ok(Self(number))
    }
}

impl serde::Serialize for QueueId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for QueueId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes ids. What lies below `reserved` may be given; the owner keeps that number durable and above all given ones,
/// and starts above it the next time.
#[derive(Debug)]
pub(crate) struct IdMaker {
    last: AtomicI64,
    reserved: AtomicI64,
}

impl IdMaker {
    /// Starts above `used`; `reserved` is what [`reservation`] said and is durable.
    pub(crate) fn new(used: i64, reserved: i64) -> Self {
        Self { last: AtomicI64::new(used), reserved: AtomicI64::new(reserved) }
    }

    /// The next id, and whether the reservation should be extended.
    pub(crate) fn next(&self, now: UnixMillis) -> (QueueId, bool) {
        let wanted = of_time(now);
        let reserved = self.reserved.load(Ordering::Acquire);
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            // A clock that jumped beyond the reservation is not followed before that is extended: there are a million
            // ids a millisecond in between.
            let next = if wanted < reserved { wanted.max(last + 1) } else { last + 1 };
            match self.last.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (QueueId(next), next.max(wanted) > reserved - (RESERVED << TIME_SHIFT) / 2),
                Err(newer) => last = newer,
            }
        }
    }

    /// The last id given.
    pub(crate) fn last(&self) -> i64 {
        self.last.load(Ordering::Relaxed)
    }

    /// What was reserved became durable.
    pub(crate) fn extend(&self, reserved: i64) {
        self.reserved.fetch_max(reserved, Ordering::Release);
    }
}

/// What to reserve, given what was used or reserved before.
pub(crate) fn reservation(used: i64, now: UnixMillis) -> i64 {
    used.max(of_time(now)).saturating_add(RESERVED << TIME_SHIFT)
}

fn of_time(now: UnixMillis) -> i64 {
    now.0.clamp(0, i64::MAX >> (TIME_SHIFT + 1)) << TIME_SHIFT
}

/// Bits below the milliseconds: a million ids in each.
const TIME_SHIFT: u32 = 20;

/// Milliseconds that a reservation reaches ahead.
const RESERVED: i64 = 60_000;

const LENGTH: usize = 13;

/// Without I, L, O and U, which are misread.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_are_inverse_and_sort_alike() {
        let numbers = [0, 1, 31, 32, 1 << 20, 1_763_785_920_000 << 20, i64::MAX];
        let mut texts = Vec::new();
        for number in numbers {
            let id = QueueId::from_number(number).unwrap();
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
            assert_eq!(serde_json::from_str::<QueueId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
            texts.push(id.to_string());
        }
        assert!(texts.is_sorted());
        assert_eq!(QueueId::from_number(-1), None);
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!("0".parse::<QueueId>(), Err(QueueIdError::Length { found: 1, expected: 13 }));
        assert_eq!("8000000000000".parse::<QueueId>(), Err(QueueIdError::Character { offset: 0, found: '8' }));
        assert_eq!("000000000000U".parse::<QueueId>(), Err(QueueIdError::Character { offset: 12, found: 'U' }));
        assert_eq!("00000000000é0".parse::<QueueId>(), Err(QueueIdError::Character { offset: 11, found: 'é' }));
    }

    #[test]
    fn the_clock_may_do_what_it_likes() {
        let start = UnixMillis(1_000_000);
        let maker = IdMaker::new(0, reservation(0, start));
        let mut last = QueueId(0);
        for now in [start, start, UnixMillis(1), start.after(std::time::Duration::from_secs(86_400)), start] {
            let (id, _) = maker.next(now);
            assert!(id > last && id.number() < reservation(0, start), "{id} after {last}");
            last = id;
        }
        // A new start, with the clock far behind: still above.
        let reserved = reservation(0, start);
        let again = IdMaker::new(reserved, reservation(reserved, UnixMillis(0)));
        assert!(again.next(UnixMillis(0)).0 > last);
    }
}
