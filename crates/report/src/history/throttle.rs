//! Refusals of strangers, so few of them that no flood fills the disk.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::{Event, EventKind};

/// Lets the first refusals of a network through, and one for all the others of a minute.
///
/// The one is the last of them, with [`Event::more`] saying how many it stands for besides itself.
#[derive(Debug)]
pub(super) struct Throttle {
    networks: HashMap<Network, Share>,
    all: Bucket,
    /// What came from networks when too much came in all, or when there were too many of them.
    others: Option<Event>,
    /// When networks that are quiet again were last forgotten.
    forgot: Instant,
    /// When the summaries are due; none while there are none.
    due: Option<Instant>,
}

/// Where a client is, as far as one sender of a flood reaches: an IPv4 /24, an IPv6 /64; none of a client without an address.
type Network = Option<IpAddr>;

#[derive(Debug)]
struct Share {
    bucket: Bucket,
    held: Option<Event>,
}

/// Tokens that come back with time.
#[derive(Debug)]
struct Bucket {
    left: u32,
    most: u32,
    every: Duration,
    since: Instant,
}

impl Throttle {
    pub(super) fn new(now: Instant) -> Self {
        Self { networks: HashMap::new(), all: Bucket::new(ALL_AT_ONCE, ALL_EVERY, now), others: None, forgot: now, due: None }
    }

    /// The event, if it is to be recorded by itself.
    pub(super) fn pass(&mut self, event: Event, now: Instant) -> Option<Event> {
        if event.kind != EventKind::Refused {
            return Some(event);
        }
        let network = event.address.map(|address| network(address.ip()));
        // Looking at all of them for each refusal would make the flood worse.
        if self.networks.len() >= NETWORKS && now.saturating_duration_since(self.forgot) >= FORGET {
            self.networks.retain(|_, share| share.held.is_some() || !share.bucket.is_full(now));
            self.forgot = now;
        }
        let has_room = self.networks.len() < NETWORKS || self.networks.contains_key(&network);
        if !has_room {
            hold(&mut self.others, event);
        } else {
            let share = self.networks.entry(network).or_insert_with(|| Share { bucket: Bucket::new(AT_ONCE, EVERY, now), held: None });
            if !share.bucket.take(now) {
                hold(&mut share.held, event);
            } else if self.all.take(now) {
                return Some(event);
            } else {
                hold(&mut self.others, event);
            }
        }
        self.due.get_or_insert(now + WINDOW);
        None
    }

    /// When [`summaries`](Self::summaries) has something to give.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The summaries, if they are due or `all` are wanted now.
    pub(super) fn summaries(&mut self, now: Instant, all: bool) -> Vec<Event> {
        if !self.due.is_some_and(|due| due <= now || all) {
            return Vec::new();
        }
        self.due = None;
        let mut summaries = Vec::new();
        for share in self.networks.values_mut() {
            let Some(held) = share.held.take() else { continue };
            if self.all.take(now) { summaries.push(held) } else { hold(&mut self.others, held) }
        }
        self.networks.retain(|_, share| !share.bucket.is_full(now));
        // This one goes out whatever else did: one row a minute.
        summaries.extend(self.others.take());
        summaries
    }
}

impl Bucket {
    fn new(most: u32, every: Duration, now: Instant) -> Self {
        Self { left: most, most, every, since: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let back = u32::try_from(passed.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX);
        self.since += self.every.saturating_mul(back.min(self.most));
        self.left = self.left.saturating_add(back).min(self.most);
        if self.left == self.most {
            self.since = now;
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }

    fn is_full(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.every.saturating_mul(self.most - self.left)
    }
}

/// The last one stands for those before it.
fn hold(held: &mut Option<Event>, mut event: Event) {
    let counted = |event: &Event| event.more.unwrap_or(0).saturating_add(1);
    if let Some(before) = held.as_ref() {
        event.more = Some(event.more.unwrap_or(0).saturating_add(counted(before)));
    }
    *held = Some(event);
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            [a, b, c, 0].into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
    }
}

/// Refusals of one network that are recorded one by one, and how fast this comes back.
const AT_ONCE: u32 = 20;
const EVERY: Duration = Duration::from_secs(6);

/// Refusals in all that are recorded one by one, and how fast this comes back: 17,280 a day.
const ALL_AT_ONCE: u32 = 2000;
const ALL_EVERY: Duration = Duration::from_secs(5);

/// For how long refusals are gathered into one entry.
const WINDOW: Duration = Duration::from_secs(60);

/// How often networks that are quiet again are looked for when there are too many.
const FORGET: Duration = Duration::from_secs(1);

/// Networks that are told apart.
const NETWORKS: usize = 4096;

#[cfg(test)]
mod tests {
    use sealpost_types::{Hop, UnixMillis};

    use super::*;

    fn refusal(address: &str) -> Event {
        let mut event = Event::new(UnixMillis(0), EventKind::Refused, Hop::Receive);
        event.address = Some(address.parse().unwrap());
        event
    }

    fn counted(events: &[Event]) -> u64 {
        events.iter().map(|event| 1 + event.more.unwrap_or(0)).sum()
    }

    #[test]
    fn a_flood_from_one_network_is_few_entries_that_count_it() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let mut recorded = Vec::new();
        for number in 0..100_000u32 {
            let now = start + Duration::from_millis(number.into());
            recorded.extend(throttle.pass(refusal(&format!("192.0.2.{}:25", number % 250)), now));
            recorded.extend(throttle.summaries(now, false));
        }
        recorded.extend(throttle.summaries(start + WINDOW * 3, false));
        assert!(recorded.len() < 50, "{}", recorded.len());
        assert_eq!(counted(&recorded), 100_000, "none is left out of the count");
        let other = throttle.pass(refusal("192.0.3.1:25"), start);
        assert!(other.is_some(), "another network is not held back for it");
    }

    #[test]
    fn a_flood_from_everywhere_is_few_entries_too() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let mut recorded = Vec::new();
        for number in 0..200_000u32 {
            let now = start + Duration::from_micros(u64::from(number) * 600);
            let address = std::net::Ipv4Addr::from(number * 256);
            recorded.extend(throttle.pass(refusal(&format!("{address}:25")), now));
            recorded.extend(throttle.summaries(now, false));
        }
        recorded.extend(throttle.summaries(start + WINDOW * 9, true));
        assert!(recorded.len() < 2100, "{}", recorded.len());
        assert_eq!(counted(&recorded), 200_000);
        assert!(throttle.networks.len() <= NETWORKS);
    }

    #[test]
    fn what_is_no_refusal_always_passes() {
        let now = Instant::now();
        let mut throttle = Throttle::new(now);
        let mut event = refusal("192.0.2.1:25");
        event.kind = EventKind::Received;
        assert!((0..100_000).all(|_| throttle.pass(event.clone(), now).is_some()));
        assert_eq!(throttle.due(), None);
    }

    #[test]
    fn a_few_refusals_pass_and_later_ones_again() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let passed = |throttle: &mut Throttle, now| (0..30).filter(|_| throttle.pass(refusal("[2001:db8::1]:25"), now).is_some()).count();
        assert_eq!(passed(&mut throttle, start), AT_ONCE as usize);
        let summary = throttle.summaries(start + WINDOW, false);
        assert_eq!(summary.iter().map(|event| event.more).collect::<Vec<_>>(), [Some(9)]);
        assert_eq!(passed(&mut throttle, start + WINDOW), 10, "one every six seconds");
        assert_eq!(passed(&mut throttle, start + WINDOW * 10), AT_ONCE as usize, "and no more than that");
    }
}
