//! What lies idle, by [`WireKey`], with all limits; it knows nothing of sockets.

use std::collections::HashMap;

use sealpost_types::{Destination, WireKey};
use tokio::time::Instant;

use super::PoolSettings;

/// Idle things by key. Each key's are a stack: the last one put back is the warmest.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    settings: PoolSettings,
    reduce: fn(&WireKey) -> WireKey,
    generation: u64,
    total: usize,
    stacks: HashMap<WireKey, Vec<Idle<T>>>,
}

/// Something idle.
#[derive(Debug)]
struct Idle<T> {
    item: T,
    /// What it was used for last.
    destination: Destination,
    generation: u64,
    since: Instant,
}

impl<T> Shelf<T> {
    pub(super) fn new(settings: PoolSettings) -> Self {
        Self::keyed_by(settings, WireKey::clone)
    }

    /// A shelf whose keys are what `reduce` leaves of them: only tests leave anything out.
    pub(super) fn keyed_by(settings: PoolSettings, reduce: fn(&WireKey) -> WireKey) -> Self {
        Self { settings, reduce, generation: 0, total: 0, stacks: HashMap::new() }
    }

    /// The warmest item of `key` that is young enough and of this generation; older ones are pushed to `gone`.
    pub(super) fn take(&mut self, key: &WireKey, now: Instant, gone: &mut Vec<T>) -> Option<T> {
        let key = (self.reduce)(key);
        let stack = self.stacks.get_mut(&key)?;
        let mut found = None;
        while let Some(idle) = stack.pop() {
            self.total -= 1;
            if idle.is_usable(&self.settings, self.generation, now) {
                found = Some(idle.item);
                break;
            }
            gone.push(idle.item);
        }
        if stack.is_empty() {
            self.stacks.remove(&key);
        }
        found
    }

    /// Puts `item`, which was used for this destination, on the shelf; what has no room (the item itself, or the coldest one there is)
    /// goes to `gone`.
    pub(super) fn put(&mut self, (key, destination): (&WireKey, &Destination), item: T, generation: u64, now: Instant, gone: &mut Vec<T>) {
        if generation < self.generation || self.settings.idle_per_key == 0 || self.settings.idle_total == 0 {
            gone.push(item);
            return;
        }
        let stack = self.stacks.entry((self.reduce)(key)).or_default();
        stack.push(Idle { item, destination: destination.clone(), generation, since: now });
        self.total += 1;
        if stack.len() > self.settings.idle_per_key {
            gone.push(stack.remove(0).item);
            self.total -= 1;
        } else if self.total > self.settings.idle_total {
            self.drop_coldest(gone);
        }
    }

    /// Takes the coldest away until no more than `total` lie here.
    pub(super) fn shrink(&mut self, total: usize, gone: &mut Vec<T>) {
        while self.total > total && !self.stacks.is_empty() {
            self.drop_coldest(gone);
        }
    }

    /// Takes the coldest of one destination away, whatever their addresses and demands, until no more than `most` lie here.
    pub(super) fn shrink_of(&mut self, destination: &Destination, most: usize, gone: &mut Vec<T>) {
        let is_its = |idle: &Idle<T>| idle.destination == *destination;
        let its = self.stacks.values().flatten().filter(|idle| is_its(idle)).count();
        for _ in most..its {
            self.drop_coldest_of(gone, is_its);
        }
    }

    fn drop_coldest(&mut self, gone: &mut Vec<T>) {
        self.drop_coldest_of(gone, |_| true);
    }

    fn drop_coldest_of(&mut self, gone: &mut Vec<T>, is_meant: impl Fn(&Idle<T>) -> bool) {
        // The first of a stack lies there longest.
        let meant = self.stacks.iter().filter_map(|(key, stack)| {
            let (place, idle) = stack.iter().enumerate().find(|(_, idle)| is_meant(idle))?;
            Some((idle.since, key, place))
        });
        let coldest = meant.min_by_key(|(since, ..)| *since).map(|(_, key, place)| (key.clone(), place));
        let Some((key, place)) = coldest else { return };
        if let Some(stack) = self.stacks.get_mut(&key) {
            gone.push(stack.remove(place).item);
            self.total -= 1;
            if stack.is_empty() {
                self.stacks.remove(&key);
            }
        }
    }

    /// Everything that has lain idle too long.
    pub(super) fn reap(&mut self, now: Instant) -> Vec<T> {
        let (settings, generation) = (&self.settings, self.generation);
        let mut gone = Vec::new();
        for stack in self.stacks.values_mut() {
            gone.extend(stack.extract_if(.., |idle| !idle.is_usable(settings, generation, now)).map(|idle| idle.item));
        }
        self.stacks.retain(|_, stack| !stack.is_empty());
        self.total -= gone.len();
        gone
    }

    /// Starts a new generation, if it is one, and gives out everything of older ones.
    pub(super) fn invalidate(&mut self, generation: u64, now: Instant) -> Vec<T> {
        self.generation = self.generation.max(generation);
        self.reap(now)
    }

    /// Everything there is.
    pub(super) fn drain(&mut self) -> Vec<T> {
        self.total = 0;
        self.stacks.drain().flat_map(|(_, stack)| stack).map(|idle| idle.item).collect()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn len(&self) -> usize {
        self.total
    }

    /// How long until the next item has lain too long.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let oldest = self.stacks.values().filter_map(|stack| stack.first()).map(|idle| idle.since).min();
        oldest.map(|since| since + self.settings.idle_time)
    }
}

impl<T> Idle<T> {
    fn is_usable(&self, settings: &PoolSettings, generation: u64, now: Instant) -> bool {
        self.generation >= generation && now.saturating_duration_since(self.since) < settings.idle_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpost_types::{HostClause, HostDemand, TlsRequirement, TlsVersion};
    use std::net::SocketAddr;
    use std::time::Duration;

    fn key(port: u16, clauses: Vec<HostClause>) -> WireKey {
        WireKey::new(
            SocketAddr::from(([192, 0, 2, 1], port)),
            None,
            HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2),
        )
    }

    fn its() -> Destination {
        Destination::new("mx:example.org")
    }

    fn settings() -> PoolSettings {
        PoolSettings { idle_per_key: 2, idle_total: 3, ..PoolSettings::default() }
    }

    #[test]
    fn the_warmest_comes_first_and_the_coldest_makes_room() {
        let mut shelf = Shelf::new(settings());
        let (a, b) = (key(1, vec![]), key(2, vec![]));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut gone = Vec::new();
        shelf.put((&a, &its()), "a1", 0, at(0), &mut gone);
        shelf.put((&a, &its()), "a2", 0, at(1), &mut gone);
        shelf.put((&b, &its()), "b1", 0, at(2), &mut gone);
        assert!(gone.is_empty());
        shelf.put((&a, &its()), "a3", 0, at(3), &mut gone);
        assert_eq!(gone, ["a1"], "two of one key");
        shelf.put((&b, &its()), "b2", 0, at(4), &mut gone);
        assert_eq!((gone.as_slice(), shelf.len()), (["a1", "a2"].as_slice(), 3), "three in all");
        assert_eq!(shelf.take(&b, at(5), &mut gone), Some("b2"));
        assert_eq!(shelf.take(&b, at(5), &mut gone), Some("b1"));
        assert_eq!((shelf.take(&b, at(5), &mut gone), shelf.len()), (None, 1));
    }

    #[test]
    fn the_coldest_of_all_make_room_for_a_new_connection() {
        let mut shelf = Shelf::new(settings());
        let start = Instant::now();
        let mut gone = Vec::new();
        for (place, port) in [2, 1, 3].into_iter().enumerate() {
            shelf.put((&key(port, vec![]), &its()), port, 0, start + Duration::from_secs(place as u64), &mut gone);
        }
        shelf.shrink(3, &mut gone);
        assert!(gone.is_empty());
        shelf.shrink(1, &mut gone);
        assert_eq!((gone.as_slice(), shelf.len()), ([2, 1].as_slice(), 1));
        shelf.shrink(0, &mut gone);
        assert_eq!((gone.len(), shelf.len()), (3, 0));
    }

    /// Several demands and several addresses of one destination: each had as many connections lying idle as all together may have.
    #[test]
    fn all_keys_of_a_destination_make_room_together() {
        let mut shelf = Shelf::new(PoolSettings { idle_total: 9, ..settings() });
        let (start, mut gone) = (Instant::now(), Vec::new());
        let (plain, chain, second) = (key(1, vec![]), key(1, vec![HostClause::Chain]), key(2, vec![]));
        let other = Destination::new("mx:other.example");
        for (place, (key, to, name)) in
            [(&chain, &other, "o"), (&chain, &its(), "c1"), (&second, &its(), "s1"), (&plain, &its(), "p1"), (&second, &its(), "s2")]
                .into_iter()
                .enumerate()
        {
            shelf.put((key, to), name, 0, start + Duration::from_secs(place as u64), &mut gone);
        }
        shelf.shrink_of(&its(), 4, &mut gone);
        assert_eq!(gone, [""; 0]);
        shelf.shrink_of(&its(), 1, &mut gone);
        assert_eq!((gone.as_slice(), shelf.len()), (["c1", "s1", "p1"].as_slice(), 2), "the other one keeps its own, though it is colder");
        shelf.shrink_of(&its(), 0, &mut gone);
        assert_eq!((gone.len(), shelf.len()), (4, 1));
        assert_eq!(shelf.take(&chain, start, &mut gone), Some("o"));
    }

    #[test]
    fn what_lay_too_long_is_not_given_out() {
        let mut shelf = Shelf::new(PoolSettings { idle_time: Duration::from_secs(30), ..settings() });
        let a = key(1, vec![]);
        let start = Instant::now();
        let mut gone = Vec::new();
        shelf.put((&a, &its()), 1, 0, start, &mut gone);
        assert_eq!(shelf.next_end(), Some(start + Duration::from_secs(30)));
        assert_eq!(shelf.take(&a, start + Duration::from_secs(30), &mut gone), None);
        assert_eq!((gone.as_slice(), shelf.len()), ([1].as_slice(), 0));
        shelf.put((&a, &its()), 2, 0, start, &mut gone);
        assert_eq!(shelf.reap(start + Duration::from_secs(29)), [0; 0]);
        assert_eq!(shelf.reap(start + Duration::from_secs(30)), [2]);
        assert_eq!((shelf.len(), shelf.next_end()), (0, None));
    }

    #[test]
    fn an_older_generation_is_not_given_out_or_taken_back() {
        let mut shelf = Shelf::new(settings());
        let a = key(1, vec![]);
        let now = Instant::now();
        let mut gone = Vec::new();
        shelf.put((&a, &its()), "old", 0, now, &mut gone);
        assert_eq!(shelf.invalidate(1, now), ["old"]);
        shelf.put((&a, &its()), "late", 0, now, &mut gone);
        assert_eq!(gone, ["late"], "it was opened before the change");
        shelf.put((&a, &its()), "new", 1, now, &mut gone);
        assert_eq!(shelf.invalidate(1, now), [""; 0]);
        assert_eq!(shelf.take(&a, now, &mut gone), Some("new"));
    }

    #[test]
    fn each_demand_has_its_own() {
        let mut shelf = Shelf::new(settings());
        let now = Instant::now();
        shelf.put((&key(1, vec![]), &its()), "unverified", 0, now, &mut Vec::new());
        assert_eq!(shelf.take(&key(1, vec![HostClause::Chain]), now, &mut Vec::new()), None);
    }

    /// The negative control of the test above: keyed by host, what was never verified serves a demand to verify.
    #[test]
    fn control_keyed_by_host_alone_a_demand_gets_what_another_verified() {
        let mut shelf = Shelf::keyed_by(settings(), |key| WireKey::new(key.address, key.server_name.clone(), HostDemand::default()));
        let now = Instant::now();
        shelf.put((&key(1, vec![]), &its()), "unverified", 0, now, &mut Vec::new());
        assert_eq!(shelf.take(&key(1, vec![HostClause::Chain]), now, &mut Vec::new()), Some("unverified"));
    }
}
