//! Oddities of owners, hosted domains, partners and included lists.

use std::collections::HashSet;

use sealpost_types::{ClearFallback, Demand, Domain, Level, TlsRequirement, UnixMillis};

use super::{Conflict, LINTS, Lint, Oddity, Unreachable};
use crate::asked::Asked;
use crate::layer::{Entry, Hops, Layer, Side};
use crate::pattern::Pattern;
use crate::policy::Policy;
use crate::scope::Origin;
use crate::setting::tls_of;
use crate::table::{self, Listed, Matched};
use crate::trace::{Place, Source, SourceKind};

pub(super) fn look(policy: &Policy, now: UnixMillis, found: &mut Vec<Lint>) {
    let main = &policy.main;
    look_at_owners(policy, now, found);
    for (kind, layer, included) in [
        (SourceKind::Domain, &main.hosted, false),
        (SourceKind::Partner, &main.partners, false),
        (SourceKind::Partner, &policy.included, true),
    ] {
        let of = |entry| Origin { kind, included, entry };
        for (number, entry) in layer.entries.iter() {
            if found.len() >= LINTS {
                break;
            }
            if let Some(until) = entry.extra.as_ref().and_then(|extra| extra.until).filter(|until| now > *until) {
                found.push(lint(policy, of(number), Oddity::Expired { until }));
            }
            // A million rows share a few settings, which stand in their list's own entry.
            if !included {
                found.extend(
                    layer
                        .brief(entry.brief)
                        .into_iter()
                        .flat_map(|brief| floors(layer, &brief.hops))
                        .map(|oddity| lint(policy, of(number), oddity)),
                );
            }
        }
        layer.table.each(|pattern, entries| {
            if found.len() < LINTS {
                look_at_pattern(policy, kind, layer, included, pattern, entries, found);
            }
        });
    }
    for (kind, defaults) in [(SourceKind::DefaultsHosted, &main.hosted_defaults), (SourceKind::DefaultsExternal, &main.external_defaults)] {
        let origin = Origin { kind, included: false, entry: 0 };
        found.extend(floors(&main.hosted, &defaults.hops).map(|oddity| lint(policy, origin, oddity)));
    }
}

fn look_at_owners(policy: &Policy, now: UnixMillis, found: &mut Vec<Lint>) {
    let main = &policy.main;
    let of_domains = main.hosted.entries.iter().filter_map(|(_, entry)| entry.extra.as_ref()?.owner);
    let of_owners = main.owners.iter().filter_map(|owner| owner.parent);
    let partners = main.partners.entries.iter().chain(policy.included.entries.iter());
    let of_partners = partners.filter_map(|(_, entry)| entry.extra.as_ref()?.ends.as_ref()).flat_map(|ends| ends.owners.iter().copied());
    let used: HashSet<u32> = of_domains.chain(of_owners).chain(of_partners).collect();
    for (number, owner) in (0..).zip(&main.owners) {
        let origin = Origin { kind: SourceKind::Owner, included: false, entry: number };
        if !used.contains(&number) {
            found.push(lint(policy, origin, Oddity::Unused));
        }
        if let Some(until) = owner.until.filter(|until| now > *until) {
            found.push(lint(policy, origin, Oddity::Expired { until }));
        }
        found.extend(floors(&main.hosted, &owner.hops).map(|oddity| lint(policy, origin, oddity)));
    }
}

fn look_at_pattern(
    policy: &Policy,
    kind: SourceKind,
    layer: &Layer,
    included: bool,
    pattern: &Pattern,
    entries: &[Listed],
    found: &mut Vec<Lint>,
) {
    let of = |entry| Origin { kind, included, entry };
    let mut before: Option<u32> = None;
    for number in entries.iter().map(|listed| listed.entry) {
        let Some(entry) = layer.entries.get(number) else { continue };
        if covers_itself(entry, pattern) {
            let because = Unreachable::ExcludesItself { pattern: pattern.to_string() };
            found.push(lint(policy, of(number), Oddity::Unreachable { because }));
        }
        // What covers a name and all below it stands under both: it is told of once.
        let stands = |pattern: Pattern| layer.table.under(&pattern).iter().any(|listed| listed.entry == number);
        let told = matches!(pattern, Pattern::Below(name) if stands(Pattern::Exact(name.clone())));
        if let (Some(other), false) = (before, told) {
            compare(policy, (layer, of(number)), (layer, of(other)), pattern, found);
        }
        before = Some(number);
        if let (Pattern::Exact(name), SourceKind::Partner) = (pattern, kind) {
            if let Some(other) = included.then(|| policy.main.partners.table.under(pattern).first()).flatten() {
                let main = Origin { kind, included: false, entry: other.entry };
                compare(policy, (layer, of(number)), (&policy.main.partners, main), pattern, found);
            }
            found.extend(
                shadow(policy, layer, of(number), name)
                    .map(|by| lint(policy, of(number), Oddity::Shadowed { pattern: pattern.to_string(), by })),
            );
        }
        if let (Pattern::Exact(name), SourceKind::Domain) = (pattern, kind) {
            look_around(policy, of(number), name, found);
        }
    }
}

fn covers_itself(entry: &Entry, pattern: &Pattern) -> bool {
    let Some(exclude) = entry.extra.as_ref().and_then(|extra| extra.exclude.as_ref()) else { return false };
    match pattern {
        Pattern::Exact(name) => exclude.contains(Some(name)),
        Pattern::All => exclude.contains(None),
        _ => false,
    }
}

/// Two entries of one pattern.
fn compare(
    policy: &Policy,
    (layer, origin): (&Layer, Origin),
    (other_layer, other): (&Layer, Origin),
    pattern: &Pattern,
    found: &mut Vec<Lint>,
) {
    let (Some(own), Some(theirs)) = (layer.entries.get(origin.entry), other_layer.entries.get(other.entry)) else { return };
    let Some(place) = place(policy, other) else { return };
    let pattern = pattern.to_string();
    let (asked_own, asked_theirs) = (asked(layer, own, Side::Deliver), asked(other_layer, theirs, Side::Deliver));
    if let Some(what) = conflict(asked_own, asked_theirs) {
        found.push(lint(policy, origin, Oddity::Contradiction { pattern, other: place, what }));
        return;
    }
    let same = says_the_same((layer, own), (other_layer, theirs));
    found.push(lint(policy, origin, Oddity::Duplicate { pattern, other: place, same }));
}

/// The next less specific partner that says the same for a name, if that is all that covers it there.
fn shadow(policy: &Policy, layer: &Layer, origin: Origin, name: &Domain) -> Option<Place> {
    let own = layer.entries.get(origin.entry)?;
    let parent = name.suffixes().nth(1)?;
    let (main, included) = (&policy.main.partners, &policy.included);
    let mut by = None;
    // What covers the parent's children: `*.parent`, and names above with all below them.
    let child = format!("x.{parent}");
    table::walk([Some(&main.table), Some(&included.table)], Some(&child), false, |matched, found| {
        let is_wild = matches!(matched, Matched::Wild(_));
        let [listed, rows] = found;
        let all = listed.iter().map(|one| (main, false, one.entry)).chain(rows.iter().map(|one| (included, true, one.entry)));
        let others: Vec<_> = all.filter(|(_, included, number)| (*included, *number) != (origin.included, origin.entry)).collect();
        if let ([(layer_of, included, number)], false) = (others.as_slice(), is_wild)
            && layer_of.entries.get(*number).is_some_and(|entry| says_the_same((layer, own), (layer_of, entry)))
        {
            by = place(policy, Origin { kind: SourceKind::Partner, included: *included, entry: *number });
        }
        others.is_empty() && !is_wild
    });
    by
}

/// Partners whose patterns lie around a hosted domain join it.
fn look_around(policy: &Policy, origin: Origin, name: &Domain, found: &mut Vec<Lint>) {
    let main = &policy.main;
    let Some(own) = main.hosted.entries.get(origin.entry).map(|entry| asked(&main.hosted, entry, Side::Deliver)) else { return };
    table::walk([Some(&main.partners.table), Some(&policy.included.table)], Some(name.as_str()), false, |_, partners| {
        for (layer, included, numbers) in [(&main.partners, false, partners[0]), (&policy.included, true, partners[1])] {
            for number in numbers.iter().map(|listed| listed.entry) {
                let Some(entry) = layer.entries.get(number) else { continue };
                let other = Origin { kind: SourceKind::Partner, included, entry: number };
                if let (Some(what), Some(other)) = (conflict(own, asked(layer, entry, Side::Deliver)), place(policy, other)) {
                    found.push(lint(policy, origin, Oddity::Contradiction { pattern: name.to_string(), other, what }));
                }
            }
        }
        true
    });
}

fn conflict(own: &Asked, theirs: &Asked) -> Option<Conflict> {
    let tls = |asked: &Asked| asked.level.map(|level| tls_of(level, true));
    if let (Some(TlsRequirement::Never), Some(TlsRequirement::Mandatory)) | (Some(TlsRequirement::Mandatory), Some(TlsRequirement::Never)) =
        (tls(own), tls(theirs))
    {
        return Some(Conflict::NeverAndMandatory);
    }
    let (own, theirs) = (own.ciphers.as_ref()?, theirs.ciphers.as_ref()?);
    own.intersection(theirs).as_slice().is_empty().then_some(Conflict::NoCipherLeft)
}

/// Whether two entries say the same of every hop, to all mail, without end.
fn says_the_same(own: (&Layer, &Entry), other: (&Layer, &Entry)) -> bool {
    let plain = |entry: &Entry| entry.extra.is_none();
    let of = |(layer, entry): (&Layer, &Entry), side: Side| {
        let setting = layer.said(entry.brief, side)?;
        setting.conditions.is_none().then(|| setting.asked.clone())
    };
    let same = |side| {
        let (own, other) = (of(own, side), of(other, side));
        own.is_some() && own == other
    };
    plain(own.1) && plain(other.1) && [Side::Receive, Side::Submit, Side::Deliver].into_iter().all(same)
}

/// The floors that may cost mail its protection: one of each hop.
fn floors(layer: &Layer, hops: &Hops) -> impl Iterator<Item = Oddity> {
    [Side::Receive, Side::Submit, Side::Deliver].into_iter().filter_map(move |side| {
        let asked = &*layer.setting(hops.of(side))?.asked;
        let never = side == Side::Deliver && asked.clear_fallback == Some(ClearFallback::Never);
        let key = floor_beside_clear(asked).filter(|_| !never)?;
        Some(match side {
            Side::Deliver => Oddity::ClearBelowFloor { key },
            Side::Receive | Side::Submit => Oddity::ClearPassesFloor { hop: side.key(), key },
        })
    })
}

/// A floor that is written where TLS is not demanded.
fn floor_beside_clear(asked: &Asked) -> Option<&'static str> {
    let may_be_clear = matches!(asked.level, Some(Level::Opportunistic | Level::Mirror));
    let plain = Demand::default();
    let floors = [
        ("min_version", asked.min_version.is_some_and(|version| version > plain.min_version)),
        ("min_group", asked.min_group.is_some_and(|group| group > plain.min_group)),
        ("ciphers", asked.ciphers.is_some()),
    ];
    floors.into_iter().find(|(_, written)| *written && may_be_clear).map(|(key, _)| key)
}

fn asked<'p>(layer: &'p Layer, entry: &Entry, side: Side) -> &'p Asked {
    static NOTHING: std::sync::LazyLock<Asked> = std::sync::LazyLock::new(Asked::default);
    layer.said(entry.brief, side).map_or(&NOTHING, |setting| &setting.asked)
}

fn place(policy: &Policy, origin: Origin) -> Option<Place> {
    Source::of(policy, origin).place().cloned()
}

fn lint(policy: &Policy, origin: Origin, oddity: Oddity) -> Lint {
    Lint { source: Source::of(policy, origin), oddity }
}
