//! One way down through the sources of a scope.

use std::time::Duration;

use sealpost_types::{CipherSet, ClearFallback, ClientIdentity, KexFloor, Level, OnExpiry, TlsVersion};

use super::resolved::Resolved;
use super::{Asking, Origin};
use crate::asked::{FailureEnd, Field, Fields, RefuseWith};
use crate::layer::Side;
use crate::policy::Policy;
use crate::setting::{Proofs, Setting};
use crate::trace::{Axis, Tracer};

/// A value that was said, and by whom.
pub(crate) type Said<T> = Option<(T, Origin)>;

/// One way down: for each field the first source on it that says something.
#[derive(Clone, Copy)]
pub(super) struct Strand<'p> {
    said: Fields,
    /// What is not known yet, though somebody may come to say it.
    withheld: Fields,
    by: [Option<(&'p Setting, Origin)>; Field::ALL.len()],
}

impl Default for Strand<'_> {
    fn default() -> Self {
        Self { said: Fields::NONE, withheld: Fields::NONE, by: [None; Field::ALL.len()] }
    }
}

impl<'p> Strand<'p> {
    /// Takes from a source what nobody before it said.
    pub(super) fn fill(&mut self, Asking { origin, setting, .. }: Asking<'p>) {
        for place in setting.said.without(self.said).places() {
            if let Some(by) = self.by.get_mut(place) {
                *by = Some((setting, origin));
            }
        }
        self.said = self.said.union(setting.said);
    }

    /// Takes nothing more of these fields from anybody.
    pub(super) fn withhold(&mut self, fields: Fields) {
        self.withheld = self.withheld.union(fields.without(self.said));
        self.said = self.said.union(fields);
    }

    /// Whether the words are the same, whoever said them.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let alone = |strand: &Self, field| strand.asked(field).map(|(asked, _)| asked.word(field));
        self.said == other.said
            && self.withheld == other.withheld
            && self.said.iter().all(|field| alone(self, field) == alone(other, field))
    }

    /// Whether nobody on this way says anything, nor may come to.
    pub(super) fn is_silent(&self) -> bool {
        self.said.is_empty()
    }

    pub(super) fn is_complete(&self, side: Side) -> bool {
        let Some((level, _)) = self.level() else { return false };
        let rest = if side == Side::Deliver { DELIVER } else { RECEIVE };
        self.said.contains_all(read_by(level, side).union(rest))
    }

    fn asked(&self, field: Field) -> Option<(&'p crate::asked::Asked, Origin)> {
        let (setting, origin) = self.by.get(field.index()).copied().flatten()?;
        Some((&*setting.asked, origin))
    }

    fn level(&self) -> Said<Level> {
        let (asked, origin) = self.asked(Field::Level)?;
        Some((asked.level?, origin))
    }

    fn said<T>(&self, field: Field, value: impl Fn(&'p crate::asked::Asked) -> Option<T>) -> Said<T> {
        let (asked, origin) = self.asked(field)?;
        Some((value(asked)?, origin))
    }

    fn proofs(&self) -> Proofs<'p> {
        Proofs {
            names: self.said(Field::Names, |asked| asked.names.as_deref()).map_or(&[], |(names, _)| names),
            matching: self.said(Field::Match, |asked| asked.matching).map_or_else(Default::default, |(matching, _)| matching),
            pins: self.said(Field::Pins, |asked| asked.pins.as_deref()).map_or(&[], |(pins, _)| pins),
            anchors: self.said(Field::Anchors, |asked| asked.anchors.as_ref()).map(|(anchors, _)| anchors),
            otherwise: self.said(Field::Else, |asked| asked.otherwise).map(|(level, _)| level),
            dane_satisfies: self.said(Field::DaneSatisfies, |asked| asked.dane_satisfies).is_some_and(|(yes, _)| yes),
        }
    }

    /// What this way comes to.
    pub(super) fn resolve<T: Tracer>(&self, policy: &Policy, side: Side, received_secure: bool, tracer: &mut T) -> Resolved {
        let level = self.level();
        let version: Said<TlsVersion> = self.said(Field::MinVersion, |asked| asked.min_version);
        let group: Said<KexFloor> = self.said(Field::MinGroup, |asked| asked.min_group);
        let ciphers: Said<&CipherSet> = self.said(Field::Ciphers, |asked| asked.ciphers.as_ref());
        let (floor, strength) = (version.map(|(v, _)| v).unwrap_or_default(), group.map(|(g, _)| g).unwrap_or_default());
        let proofs = self.proofs();
        // A scope without defaults may leave the level open: it asks nothing.
        let word = level.map(|(level, _)| level).unwrap_or(Level::None);
        let tls = proofs.tls(word, received_secure);
        let suites = ciphers.map(|(ciphers, _)| ciphers);
        // What a certificate must prove is not known as long as one of its fields is not.
        let is_certain = self.withheld.without(read_by(word, side)) == self.withheld;
        let demand = if has_clauses(word) && is_certain {
            let own = self.by.first().copied().flatten().filter(|_| suites.is_none());
            let make = || {
                let demand = sealpost_types::Demand::new(tls, proofs.clauses(word), floor);
                std::sync::Arc::new(demand.with_floors(strength, suites.cloned()))
            };
            let own = own.and_then(|(setting, _)| setting.own_demand(&proofs, floor, strength)).filter(|own| own.tls == tls);
            own.unwrap_or_else(make)
        } else {
            policy.plain.demand(tls, floor, strength, suites)
        };
        if T::ON && has_clauses(word) {
            let sources = read_by(word, side).and(Field::Level).iter().filter_map(|field| self.asked(field));
            sources.for_each(|(_, origin)| tracer.holds(Axis::Certificate, origin));
        }
        let ignores = self.said(Field::IgnorePublished, |asked| asked.ignore_published);
        let on_failure: Said<FailureEnd> = self.said(Field::OnFailure, |asked| asked.on_failure);
        Resolved {
            level: level.map(|(level, _)| level),
            demand,
            tls_from: level.map(|(_, origin)| origin),
            floor_from: version.map(|(_, origin)| origin),
            group_from: group.map(|(_, origin)| origin),
            ciphers_from: ciphers.map(|(_, origin)| [origin, origin]),
            certificate_from: level.filter(|(level, _)| has_clauses(*level)).map(|(_, origin)| [origin, origin]),
            writes_none: level.is_some_and(|(level, origin)| level == Level::None && origin.kind.is_entry()),
            refuse: self.said(Field::Refuse, |asked| asked.refuse).map_or(RefuseWith::Permanent, |(with, _)| with),
            lifetime: self.said::<Duration>(Field::Lifetime, |asked| asked.lifetime),
            retry: self.said(Field::Retry, |asked| asked.retry.clone()),
            on_expiry: self.said::<OnExpiry>(Field::OnExpiry, |asked| asked.on_expiry),
            on_failure,
            bounce_after: self.said(Field::BounceAfter, |asked| asked.bounce_after),
            clear_fallback: self.said::<ClearFallback>(Field::ClearFallback, |asked| asked.clear_fallback),
            client_identity: self.said::<ClientIdentity>(Field::ClientCertificate, |asked| asked.client_identity.clone()),
            ignores_published: ignores.is_some_and(|(yes, _)| yes),
            ignores_from: ignores.map(|(_, origin)| origin),
        }
    }
}

/// Whether a level asks anything of a certificate.
pub(crate) fn has_clauses(level: Level) -> bool {
    matches!(level, Level::Chain | Level::Verify | Level::Pinned | Level::Dane | Level::DaneOnly)
}

/// The keys beside it that a level reads.
fn read_by(level: Level, side: Side) -> Fields {
    match level {
        Level::Verify if side == Side::Deliver => VERIFY,
        Level::Verify => Fields::NONE.and(Field::Names),
        Level::Chain if side == Side::Deliver => Fields::NONE.and(Field::DaneSatisfies).and(Field::Anchors),
        Level::Dane => VERIFY.and(Field::Else).and(Field::Pins),
        Level::Pinned => Fields::NONE.and(Field::Pins),
        _ => Fields::NONE,
    }
}

const VERIFY: Fields = Fields::NONE.and(Field::Names).and(Field::Match).and(Field::DaneSatisfies).and(Field::Anchors);
const FLOORS: Fields = Fields::NONE.and(Field::MinVersion).and(Field::MinGroup).and(Field::Ciphers);
const RECEIVE: Fields = FLOORS.and(Field::Refuse);
const DELIVER: Fields = FLOORS
    .and(Field::Lifetime)
    .and(Field::Retry)
    .and(Field::OnExpiry)
    .and(Field::OnFailure)
    .and(Field::BounceAfter)
    .and(Field::ClearFallback)
    .and(Field::IgnorePublished)
    .and(Field::ClientCertificate);
