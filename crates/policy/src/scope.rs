//! One scope: what holds for one name on one hop, field by field.

use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{Clause, Demand, Domain, Hop, Level, NameMatch, NameRule, OnExpiry, ReferenceName, TlsRequirement, TlsVersion};

use crate::asked::{Asked, Setting};
use crate::compile::{BUILTIN, Defaults, Entry, Policy, entry_at};
use crate::demand::verified;
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
    pub(crate) tls_from: Origin,
    pub(crate) floor_from: Origin,
    pub(crate) lifetime: Option<(Duration, Origin)>,
    pub(crate) on_expiry: Option<(OnExpiry, Origin)>,
}

/// The sources of one name on one hop, most specific first, each field filled by the first rank that says it.
pub(crate) struct Scope<'p> {
    policy: &'p Policy,
    hop: Hop,
    rank: u32,
    level: Field<(Level, &'p Setting)>,
    names: Field<&'p [ReferenceName]>,
    matching: Field<NameMatch>,
    floor: Field<TlsVersion>,
    lifetime: Field<Duration>,
    on_expiry: Field<OnExpiry>,
}

/// One field: who says it at the most specific rank where anybody does. Entries with equal patterns share a rank.
struct Field<T> {
    rank: u32,
    first: Option<(T, Origin)>,
    more: Vec<(T, Origin)>,
}

impl<'p> Scope<'p> {
    pub(crate) fn new(policy: &'p Policy, hop: Hop) -> Self {
        Self {
            policy,
            hop,
            rank: 0,
            level: Field::default(),
            names: Field::default(),
            matching: Field::default(),
            floor: Field::default(),
            lifetime: Field::default(),
            on_expiry: Field::default(),
        }
    }

    /// Asks the entries of a table; tells whether any of them covers the name.
    pub(crate) fn ask_table<T: Tracer>(&mut self, kind: SourceKind, name: Option<&Domain>, with_all: bool, tracer: &mut T) -> bool {
        let (table, entries): (&'p Table, &'p [Entry]) = match kind {
            SourceKind::Domain => (&self.policy.hosted, &self.policy.domains),
            _ => (&self.policy.external, &self.policy.partners),
        };
        let mut covered = false;
        table.walk(name.map(Domain::as_str), with_all, |matched, indices| {
            let mut asked = false;
            for index in indices {
                let Some(entry) = entry_at(entries, *index) else { continue };
                if entry.exclude.as_ref().is_some_and(|exclude| exclude.contains(name)) {
                    continue;
                }
                asked = true;
                self.ask(Origin { kind, entry: *index }, entry.hop(self.hop), Some(matched), tracer);
            }
            self.rank += u32::from(asked);
            covered |= asked;
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
            self.ask(Origin { kind, entry: 0 }, setting, None, tracer);
            self.rank += 1;
        }
        self.ask_builtin(tracer);
    }

    /// Asks nobody but what is built in.
    pub(crate) fn ask_builtin<T: Tracer>(&mut self, tracer: &mut T) {
        self.ask(Origin { kind: SourceKind::Builtin, entry: 0 }, BUILTIN, None, tracer);
        self.rank += 1;
    }

    fn ask<T: Tracer>(&mut self, origin: Origin, setting: u32, matched: Option<Matched<'p>>, tracer: &mut T) {
        let Some(setting) = self.policy.setting(setting) else { return };
        let rank = self.rank;
        let asked: &'p Asked = &setting.asked;
        self.level.say(rank, origin, asked.level.map(|level| (level, setting)));
        self.names.say(rank, origin, asked.names.as_deref());
        self.matching.say(rank, origin, asked.matching);
        self.floor.say(rank, origin, asked.min_version);
        self.lifetime.say(rank, origin, asked.lifetime);
        self.on_expiry.say(rank, origin, asked.on_expiry);
        tracer.asked(rank, origin, matched, &setting.asked);
    }

    fn is_complete(&self) -> bool {
        let names_done =
            self.level.iter().all(|((level, _), _)| *level != Level::Verify) || (self.names.is_said() && self.matching.is_said());
        let fate_done = self.hop == Hop::Receive || (self.lifetime.is_said() && self.on_expiry.is_said());
        self.level.is_said() && names_done && self.floor.is_said() && fate_done
    }

    /// What the scope comes to; nothing if nobody said anything.
    pub(crate) fn resolve<T: Tracer>(self, received_secure: bool, tracer: &mut T) -> Option<Resolved> {
        if self.rank == 0 {
            return None;
        }
        let nobody = Origin { kind: SourceKind::Builtin, entry: 0 };
        let (mut level, mut tls, mut tls_from) = (None, TlsRequirement::Never, nobody);
        for ((said, _), origin) in self.level.iter() {
            if level.is_none() || tls_of(*said, received_secure) > tls {
                tls_from = *origin;
            }
            level = level.max(Some(*said));
            tls = tls.max(tls_of(*said, received_secure));
            if *said == Level::Verify {
                tracer.holds(Axis::Certificate, *origin);
            }
        }
        if level.is_some() {
            tracer.holds(Axis::Tls, tls_from);
        }
        let (floor, floor_from) = self.floor.strictest().unwrap_or((TlsVersion::Tls1_2, nobody));
        if self.floor.is_said() {
            tracer.holds(Axis::MinVersion, floor_from);
        }
        let lifetime = self.lifetime.iter().min_by_key(|(lifetime, _)| *lifetime).copied();
        let on_expiry = self.on_expiry.iter().min_by_key(|(fate, _)| *fate == OnExpiry::Delete).copied();
        let demand = if level == Some(Level::Verify) { self.verified(floor) } else { self.policy.plain.demand(tls, floor) };
        Some(Resolved { level, demand, tls_from, floor_from, lifetime, on_expiry })
    }

    fn verified(&self, floor: TlsVersion) -> Arc<Demand> {
        if let (Some(((_, setting), _)), true) = (&self.level.first, self.level.more.is_empty()) {
            let names_own = setting.asked.names.is_some() || !self.names.is_said();
            let matching_own = setting.asked.matching.is_some() || !self.matching.is_said();
            if let (true, true, Some(made)) = (names_own, matching_own, setting.verified(floor)) {
                return made;
            }
        }
        let mut identities = Vec::new();
        for ((_, setting), _) in self.level.iter().filter(|((level, _), _)| *level == Level::Verify) {
            // `domain` is the stricter of the two: it is the lesser in their order.
            let inherited = self.matching.iter().map(|(matching, _)| *matching).min();
            let matching = setting.asked.matching.or(inherited).unwrap_or_default();
            let mut identity = |names: &[ReferenceName]| identities.push(Clause::Identity(NameRule::new(matching, names.to_vec())));
            match &setting.asked.names {
                Some(own) => identity(own),
                None if self.names.is_said() => self.names.iter().for_each(|(names, _)| identity(names)),
                None => identity(&[]),
            }
        }
        Arc::new(verified(identities.into_iter(), floor))
    }
}

impl<T> Field<T> {
    fn say(&mut self, rank: u32, origin: Origin, value: Option<T>) {
        let Some(value) = value else { return };
        if self.first.is_none() {
            self.rank = rank;
            self.first = Some((value, origin));
        } else if self.rank == rank {
            self.more.push((value, origin));
        }
    }

    fn is_said(&self) -> bool {
        self.first.is_some()
    }

    fn iter(&self) -> impl Iterator<Item = &(T, Origin)> {
        self.first.iter().chain(&self.more)
    }
}

impl<T: Copy + Ord> Field<T> {
    /// The greatest value; of equals the one said first.
    fn strictest(&self) -> Option<(T, Origin)> {
        self.iter().copied().reduce(|best, next| if next.0 > best.0 { next } else { best })
    }
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self { rank: 0, first: None, more: Vec::new() }
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
