//! One scope: what holds for one name on one hop, field by field.

use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{Clause, Demand, Domain, Hop, Level, NameMatch, NameRule, OnExpiry, ReferenceName, TlsRequirement, TlsVersion};

use crate::asked::Setting;
use crate::compile::{BUILTIN, Defaults, Entry, Policy, entry_at};
use crate::demand::{join_shared, verified};
use crate::table::{Matched, Table};
use crate::trace::{Axis, SourceKind, Tracer};

/// A source, as small as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) kind: SourceKind,
    pub(crate) entry: u32,
}

/// What a scope comes to.
pub(crate) struct Resolved {
    pub(crate) level: Option<Level>,
    pub(crate) demand: Arc<Demand>,
    pub(crate) tls_from: Option<Origin>,
    pub(crate) floor_from: Option<Origin>,
    pub(crate) lifetime: Option<(Duration, Origin)>,
    pub(crate) on_expiry: Option<(OnExpiry, Origin)>,
}

/// The sources of one name on one hop, asked from the most specific down.
///
/// Each strand is one way down through them: its fields hold what the first source on that way says. There is one strand,
/// unless entries have equal patterns: then each of them is filled up from the less specific sources by itself, and the
/// strands join, so that one more entry of the same pattern lowers nothing.
pub(crate) struct Scope<'p> {
    policy: &'p Policy,
    hop: Hop,
    rank: u32,
    strand: Strand<'p>,
    /// The strands beside the first.
    more: Vec<Strand<'p>>,
}

/// A field that may have been said, and by whom.
type Said<T> = Option<(T, Origin)>;

#[derive(Clone, Copy, Default)]
struct Strand<'p> {
    level: Said<Level>,
    names: Said<&'p [ReferenceName]>,
    matching: Said<NameMatch>,
    floor: Said<TlsVersion>,
    lifetime: Said<Duration>,
    on_expiry: Said<OnExpiry>,
    /// The number of the setting that says the level.
    setting: u32,
}

impl<'p> Scope<'p> {
    pub(crate) fn new(policy: &'p Policy, hop: Hop) -> Self {
        Self { policy, hop, rank: 0, strand: Strand::default(), more: Vec::new() }
    }

    /// Asks the entries of a table; tells whether any of them covers the name.
    pub(crate) fn ask_table<T: Tracer>(&mut self, kind: SourceKind, name: Option<&Domain>, with_all: bool, tracer: &mut T) -> bool {
        let (table, entries): (&'p Table, &'p [Entry]) = match kind {
            SourceKind::Domain => (&self.policy.hosted, &self.policy.domains),
            _ => (&self.policy.external, &self.policy.partners),
        };
        let hop = self.hop;
        let mut covered = false;
        table.walk(name.map(Domain::as_str), with_all, |matched, indices| {
            let covers = |entry: &Entry| entry.exclude.as_ref().is_none_or(|exclude| !exclude.contains(name));
            let asked = (indices.iter())
                .filter_map(|index| Some((*index, entry_at(entries, *index).filter(|entry| covers(entry))?)))
                .map(|(index, entry)| (Origin { kind, entry: index }, entry.hop(hop)));
            covered |= self.ask(asked, Some(matched), tracer);
            T::ON || !self.is_complete()
        });
        covered
    }

    /// Asks the defaults, most specific first, down to what is built in.
    pub(crate) fn ask_defaults<T: Tracer>(&mut self, kind: SourceKind, tracer: &mut T) {
        let own: &'p Defaults = match kind {
            SourceKind::DefaultsHosted => &self.policy.hosted_defaults,
            _ => &self.policy.external_defaults,
        };
        for (kind, setting) in [(kind, own.hop(self.hop)), (SourceKind::Defaults, self.policy.base.hop(self.hop))] {
            self.ask(std::iter::once((Origin { kind, entry: 0 }, setting)), None, tracer);
        }
        self.ask_builtin(tracer);
    }

    /// Asks nobody but what is built in.
    pub(crate) fn ask_builtin<T: Tracer>(&mut self, tracer: &mut T) {
        self.ask(std::iter::once((Origin { kind: SourceKind::Builtin, entry: 0 }, BUILTIN)), None, tracer);
    }

    /// Asks the sources of one rank; tells whether there was one. Those that say nothing of this hop leave all as it is.
    fn ask<T: Tracer>(
        &mut self,
        sources: impl Iterator<Item = (Origin, u32)> + Clone,
        matched: Option<Matched<'p>>,
        tracer: &mut T,
    ) -> bool {
        let policy = self.policy;
        let settings = sources.filter_map(|(origin, number)| Some((origin, number, policy.setting(number)?)));
        let mut asked = false;
        for (origin, _, setting) in settings.clone() {
            asked = true;
            tracer.asked(self.rank, origin, matched, &setting.asked);
        }
        self.rank += u32::from(asked);
        let mut speaking = settings.filter(|(_, _, setting)| !setting.asked.is_empty());
        let Some(first) = speaking.next() else { return asked };
        match speaking.next() {
            None => {
                self.strand.fill(first);
                self.more.iter_mut().for_each(|strand| strand.fill(first));
            }
            Some(second) => self.split([first, second].into_iter().chain(speaking)),
        }
        asked
    }

    /// Several sources of one rank: each goes on from each strand above.
    fn split(&mut self, sources: impl Iterator<Item = (Origin, u32, &'p Setting)>) {
        let mut strands: Vec<Strand<'p>> = Vec::new();
        for source in sources {
            for above in self.strands() {
                let mut strand = *above;
                strand.fill(source);
                if !strands.iter().any(|other| other.says_the_same(&strand)) {
                    strands.push(strand);
                }
            }
        }
        let mut strands = strands.into_iter();
        self.strand = strands.next().unwrap_or_default();
        self.more = strands.collect();
    }

    fn strands(&self) -> impl Iterator<Item = &Strand<'p>> {
        std::iter::once(&self.strand).chain(&self.more)
    }

    /// Whether nothing that is asked from here on can change the outcome.
    fn is_complete(&self) -> bool {
        self.strands().all(|strand| {
            let names_done =
                strand.level.is_some_and(|(level, _)| level != Level::Verify) || (strand.names.is_some() && strand.matching.is_some());
            let fate_done = self.hop == Hop::Receive || (strand.lifetime.is_some() && strand.on_expiry.is_some());
            strand.level.is_some() && names_done && strand.floor.is_some() && fate_done
        })
    }

    /// What the scope comes to; nothing if nobody was asked.
    pub(crate) fn resolve<T: Tracer>(self, received_secure: bool, tracer: &mut T) -> Option<Resolved> {
        if self.rank == 0 {
            return None;
        }
        let mut resolved: Option<Resolved> = None;
        for strand in self.strands() {
            let next = strand.resolve(self.policy, received_secure);
            if next.level == Some(Level::Verify) {
                strand.certificate_sources().for_each(|origin| tracer.holds(Axis::Certificate, origin));
            }
            resolved = Some(match resolved {
                Some(before) => before.join(next),
                None => next,
            });
        }
        let resolved = resolved?;
        for (axis, origin) in [(Axis::Tls, resolved.tls_from), (Axis::MinVersion, resolved.floor_from)] {
            if let Some(origin) = origin {
                tracer.holds(axis, origin);
            }
        }
        Some(resolved)
    }
}

impl<'p> Strand<'p> {
    /// Takes from a source what nobody before it said.
    fn fill(&mut self, (origin, number, setting): (Origin, u32, &'p Setting)) {
        let asked = &*setting.asked;
        if self.level.is_none() && asked.level.is_some() {
            self.setting = number;
        }
        say(&mut self.level, asked.level, origin);
        say(&mut self.names, asked.names.as_deref(), origin);
        say(&mut self.matching, asked.matching, origin);
        say(&mut self.floor, asked.min_version, origin);
        say(&mut self.lifetime, asked.lifetime, origin);
        say(&mut self.on_expiry, asked.on_expiry, origin);
    }

    /// Whether the words are the same, whoever said them.
    fn says_the_same(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(a: &Said<T>, b: &Said<T>) -> bool {
            a.as_ref().map(|(value, _)| value) == b.as_ref().map(|(value, _)| value)
        }
        same(&self.level, &other.level)
            && same(&self.names, &other.names)
            && same(&self.matching, &other.matching)
            && same(&self.floor, &other.floor)
            && same(&self.lifetime, &other.lifetime)
            && same(&self.on_expiry, &other.on_expiry)
    }

    fn certificate_sources(&self) -> impl Iterator<Item = Origin> {
        let level = self.level.map(|(_, origin)| origin);
        [level, self.names.map(|(_, origin)| origin), self.matching.map(|(_, origin)| origin)].into_iter().flatten()
    }

    fn resolve(&self, policy: &Policy, received_secure: bool) -> Resolved {
        let level = self.level.map(|(level, _)| level);
        let floor = self.floor.map(|(version, _)| version).unwrap_or_default();
        let demand = match level {
            Some(Level::Verify) => self.verified(policy, floor),
            // A scope without defaults may leave the level open: it asks nothing.
            level => policy.plain.demand(level.map_or(TlsRequirement::Never, |level| tls_of(level, received_secure)), floor),
        };
        Resolved {
            level,
            demand,
            tls_from: self.level.map(|(_, origin)| origin),
            floor_from: self.floor.map(|(_, origin)| origin),
            lifetime: self.lifetime,
            on_expiry: self.on_expiry,
        }
    }

    fn verified(&self, policy: &Policy, floor: TlsVersion) -> Arc<Demand> {
        let names = self.names.map_or(&[][..], |(names, _)| names);
        let matching = self.matching.map(|(matching, _)| matching).unwrap_or_default();
        let made = policy.setting(self.setting).filter(|setting| {
            let asked = &setting.asked;
            asked.names.as_deref().unwrap_or_default() == names && asked.matching.unwrap_or_default() == matching
        });
        let make = || Arc::new(verified(std::iter::once(Clause::Identity(NameRule::new(matching, names.to_vec()))), floor));
        made.and_then(|setting| setting.verified(floor)).unwrap_or_else(make)
    }
}

impl Resolved {
    /// The join; where both ask the same, the first is the one that decided.
    pub(crate) fn join(self, other: Self) -> Self {
        let stricter = other.level.is_some() && (self.level.is_none() || other.demand.tls > self.demand.tls);
        let higher = other.floor_from.is_some() && (self.floor_from.is_none() || other.demand.min_version > self.demand.min_version);
        Self {
            level: self.level.max(other.level),
            demand: join_shared(self.demand, other.demand),
            tls_from: if stricter { other.tls_from } else { self.tls_from },
            floor_from: if higher { other.floor_from } else { self.floor_from },
            lifetime: more_binding(self.lifetime, other.lifetime, |a, b| a < b),
            on_expiry: more_binding(self.on_expiry, other.on_expiry, |a, b| *a == OnExpiry::Bounce && *b == OnExpiry::Delete),
        }
    }
}

fn say<T>(field: &mut Said<T>, value: Option<T>, origin: Origin) {
    if field.is_none() {
        *field = value.map(|value| (value, origin));
    }
}

/// Of two that speak of the fate, an entry goes before a default, then the one that `wins`.
fn more_binding<T>(a: Said<T>, b: Said<T>, wins: impl Fn(&T, &T) -> bool) -> Said<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(match (a.1.kind.is_entry(), b.1.kind.is_entry()) {
            (true, false) => a,
            (false, true) => b,
            _ if wins(&b.0, &a.0) => b,
            _ => a,
        }),
        (a, b) => a.or(b),
    }
}

/// What a level asks of TLS itself.
pub(crate) fn tls_of(level: Level, received_secure: bool) -> TlsRequirement {
    match level {
        Level::None => TlsRequirement::Never,
        Level::Mirror if !received_secure => TlsRequirement::Never,
        Level::Mirror | Level::Opportunistic => TlsRequirement::Opportunistic,
        // A level that comes to be known later asks for TLS until it says otherwise.
        _ => TlsRequirement::Mandatory,
    }
}
