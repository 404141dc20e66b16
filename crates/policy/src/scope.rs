//! One scope: what holds for one name on one hop, field by field.

mod applies;
mod resolved;
mod strand;

use sealpost_types::{Domain, ForwardPath, ReversePath, UnixMillis};

use crate::asked::Fields;
use crate::facts::ClientFacts;
use crate::layer::{Layer, Side};
use crate::policy::{Defaults, Policy};
use crate::setting::Setting;
use crate::table::{self, Found, Listed, Matched};
use crate::trace::{Note, Seen, Source, SourceKind, Tracer};

pub(crate) use resolved::Resolved;
pub(crate) use strand::{Said, has_clauses};

use applies::{Applies, Standing};
use strand::Strand;

/// A source, as small as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) kind: SourceKind,
    /// Whether it stands in an included list.
    pub(crate) included: bool,
    pub(crate) entry: u32,
}

/// The facts that conditions of entries are held against.
#[derive(Clone, Copy)]
pub(crate) struct Mail<'f> {
    pub(crate) reverse_path: &'f ReversePath,
    /// None at MAIL.
    pub(crate) forward_path: Option<&'f ForwardPath>,
    /// None on the deliver hop.
    pub(crate) client: Option<&'f ClientFacts<'f>>,
    pub(crate) received_secure: bool,
    pub(crate) now: UnixMillis,
    /// Whether entries in testing count.
    pub(crate) shadow: bool,
}

/// The sources of one name on one hop, asked from the most specific down.
///
/// Each strand is one way down through them: its fields hold what the first source on that way says. There is one strand,
/// unless entries have equal patterns: then each of them is filled up from the less specific sources by itself, and the
/// strands join, so that one more entry of the same pattern lowers nothing.
pub(crate) struct Scope<'p, 'f> {
    policy: &'p Policy,
    side: Side,
    mail: Mail<'f>,
    rank: u32,
    strand: Strand<'p>,
    /// The strands beside the first.
    more: Vec<Strand<'p>>,
    /// The owner of the most specific entry that has one.
    owner: Option<u32>,
    /// Whether an entry in testing was left out.
    left_out_testing: bool,
}

/// A source that is asked, and what it says.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'p> {
    pub(crate) origin: Origin,
    pub(crate) setting: &'p Setting,
    certainty: Certainty,
}

/// How sure it is that a source speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Certainty {
    Sure,
    /// What holds with it and what holds without it join.
    Doubtful,
    /// That hangs on the recipient, who is not known yet: nothing holds of what it could say.
    Later(Fields),
}

impl Asking<'_> {
    /// What it says, or may come to say.
    fn says(&self) -> Fields {
        if let Certainty::Later(fields) = self.certainty { fields } else { self.setting.said }
    }
}

impl<'p, 'f> Scope<'p, 'f> {
    pub(crate) fn new(policy: &'p Policy, side: Side, mail: Mail<'f>) -> Self {
        Self { policy, side, mail, rank: 0, strand: Strand::default(), more: Vec::new(), owner: None, left_out_testing: false }
    }

    /// Asks the hosted domains that cover the name; tells whether any of them does.
    pub(crate) fn ask_domains<T: Tracer>(&mut self, name: Option<&Domain>, tracer: &mut T) -> bool {
        let layer = &self.policy.main.hosted;
        if layer.table.is_empty() {
            return false;
        }
        let mut covered = false;
        let missed = table::walk([Some(&layer.table), None], name.map(Domain::as_str), true, |matched, found| {
            covered |= self.ask_found(SourceKind::Domain, [layer, layer], name, matched, found, tracer);
            T::ON || !self.is_complete()
        });
        if T::ON && missed {
            self.note_near_misses(SourceKind::Domain, [layer, layer], name, tracer);
        }
        covered
    }

    /// Asks the partners that cover the name; `with_all` tells whether `*` counts.
    pub(crate) fn ask_partners<T: Tracer>(&mut self, name: Option<&Domain>, with_all: bool, tracer: &mut T) {
        let layers = [&self.policy.main.partners, &self.policy.included];
        let tables = layers.map(|layer| Some(&layer.table));
        let missed = table::walk(tables, name.map(Domain::as_str), with_all, |matched, found| {
            self.ask_found(SourceKind::Partner, layers, name, matched, found, tracer);
            T::ON || !self.is_complete()
        });
        if T::ON && missed {
            self.note_near_misses(SourceKind::Partner, layers, name, tracer);
        }
    }

    /// Asks this hosted domain, then those that lie around all its names.
    pub(crate) fn ask_domain<T: Tracer>(&mut self, number: u32, tracer: &mut T) {
        let layer = &self.policy.main.hosted;
        // A hosted domain is called by its pattern, whose text is covered by all that covers its names.
        let Some(pattern) = layer.entries.get(number).map(|entry| entry.label.as_str()) else { return };
        table::walk([Some(&layer.table), None], Some(pattern), true, |_, found| {
            self.ask_rank(SourceKind::Domain, [layer, layer], None, None, found, tracer);
            T::ON || !self.is_complete()
        });
    }

    /// Asks these partners alone, as entries of one rank.
    pub(crate) fn ask_clients<T: Tracer>(&mut self, partners: &[u32], tracer: &mut T) {
        let layer = &self.policy.main.partners;
        let listed: Vec<Listed> = partners.iter().filter_map(|number| layer.listed(*number)).collect();
        self.ask_rank(SourceKind::Partner, [layer, layer], None, None, [&listed, &[]], tracer);
    }

    /// Asks the owner of the most specific hosted domain, then the owner above it, and so on.
    pub(crate) fn ask_owners<T: Tracer>(&mut self, tracer: &mut T) {
        let mut next = self.owner;
        while let Some((number, owner)) = next.and_then(|number| Some((number, self.policy.main.owner(number)?))) {
            if !T::ON && self.is_complete() {
                return;
            }
            let origin = Origin { kind: SourceKind::Owner, included: false, entry: number };
            self.ask_one(origin, owner.hops.of(self.side), owner.testing, owner.until, tracer);
            next = owner.parent;
        }
    }

    /// Asks the defaults, most specific first, down to what is built in.
    pub(crate) fn ask_defaults<T: Tracer>(&mut self, kind: SourceKind, tracer: &mut T) {
        let main = &self.policy.main;
        let own: &'p Defaults = match kind {
            SourceKind::DefaultsHosted => &main.hosted_defaults,
            _ => &main.external_defaults,
        };
        for (kind, setting) in [(kind, own.hops.of(self.side)), (SourceKind::Defaults, main.base.hops.of(self.side))] {
            self.ask_one(Origin { kind, included: false, entry: 0 }, setting, false, None, tracer);
        }
        self.ask_builtin(if kind == SourceKind::DefaultsExternal { SourceKind::SystemRule } else { SourceKind::Builtin }, tracer);
    }

    /// Asks nobody but what is built in: on the way out that is the system rule (C6).
    pub(crate) fn ask_builtin<T: Tracer>(&mut self, kind: SourceKind, tracer: &mut T) {
        let (kind, setting) = if self.side == Side::Deliver { (kind, BUILTIN_FATE) } else { (SourceKind::Builtin, BUILTIN) };
        self.ask_one(Origin { kind, included: false, entry: 0 }, setting, false, None, tracer);
    }

    /// Asks an owner or a table of defaults.
    fn ask_one<T: Tracer>(&mut self, origin: Origin, setting: u32, testing: bool, until: Option<UnixMillis>, tracer: &mut T) {
        // The settings of the document are those of each of its layers.
        let layer = &self.policy.main.hosted;
        let Some(setting) = layer.setting(setting) else { return };
        if setting.is_silent() {
            return;
        }
        let applies = self.applies(&Standing { testing, until, ends: None }, layer, setting);
        let policy = self.policy;
        let asking = self.hear(origin, || Seen::of(policy, origin), setting, applies, tracer);
        self.rank += 1;
        self.fill(asking);
    }

    /// Asks the entries under one pattern; tells whether one of them covers the name, speaking or not.
    fn ask_found<T: Tracer>(
        &mut self,
        kind: SourceKind,
        layers: [&'p Layer; 2],
        name: Option<&Domain>,
        matched: Matched<'_>,
        found: Found<'_>,
        tracer: &mut T,
    ) -> bool {
        self.ask_rank(kind, layers, name, Some(matched), found, tracer)
    }

    fn ask_rank<T: Tracer>(
        &mut self,
        kind: SourceKind,
        layers: [&'p Layer; 2],
        name: Option<&Domain>,
        matched: Option<Matched<'_>>,
        found: Found<'_>,
        tracer: &mut T,
    ) -> bool {
        let [own, included] = found;
        // Nearly always one entry speaks: it needs no list.
        if let ([only], []) | ([], [only]) = (own, included) {
            let in_list = own.is_empty();
            let layer = if in_list { layers[1] } else { layers[0] };
            let Some((asking, covers)) = self.ask_entry(kind, layer, in_list, name, matched, *only, tracer) else { return false };
            self.rank += 1;
            self.fill(asking);
            return covers;
        }
        let mut all = Vec::with_capacity(own.len() + included.len());
        let mut covered = false;
        for (layer, in_list, entries) in [(layers[0], false, own), (layers[1], true, included)] {
            for listed in entries {
                if let Some((asking, covers)) = self.ask_entry(kind, layer, in_list, name, matched, *listed, tracer) {
                    all.extend(asking);
                    covered |= covers;
                }
            }
        }
        self.rank += 1;
        // Those that say nothing of this hop leave all as it is.
        all.retain(|asking: &Asking<'_>| !asking.says().is_empty());
        match all.as_slice() {
            [] | [_] => self.fill(all.pop()),
            several => self.split(several),
        }
        covered
    }

    /// Asks one entry: what it says if it speaks, and whether it covers the name.
    #[allow(clippy::too_many_arguments, reason = "the one place where all of them meet")]
    fn ask_entry<T: Tracer>(
        &mut self,
        kind: SourceKind,
        layer: &'p Layer,
        included: bool,
        name: Option<&Domain>,
        matched: Option<Matched<'_>>,
        listed: Listed,
        tracer: &mut T,
    ) -> Option<(Option<Asking<'p>>, bool)> {
        let setting = layer.said(listed.brief(), self.side)?;
        let origin = Origin { kind, included, entry: listed.entry };
        let seen = seen(self.policy, layer, origin, listed, matched, name);
        let mut standing = Standing { testing: false, until: None, ends: None };
        if !listed.is_plain()
            && let Some(extra) = layer.entries.get(listed.entry)?.extra.as_deref()
        {
            if matched.is_some() && extra.exclude.as_ref().is_some_and(|exclude| exclude.contains(name)) {
                tracer.passed_over(self.rank, origin, seen, &setting.asked, Note::Excluded);
                return Some((None, false));
            }
            self.owner = self.owner.or(extra.owner);
            standing = Standing { testing: extra.testing, until: extra.until, ends: extra.ends.as_ref() };
        }
        let applies = self.applies(&standing, layer, setting);
        Some((self.hear(origin, seen, setting, applies, tracer), true))
    }

    /// What a source comes to that speaks, or does not.
    fn hear<T: Tracer>(
        &mut self,
        origin: Origin,
        seen: impl FnOnce() -> Seen,
        setting: &'p Setting,
        applies: Applies<'p>,
        tracer: &mut T,
    ) -> Option<Asking<'p>> {
        let (setting, certainty, note) = match applies {
            Applies::Yes(setting) => (setting, Certainty::Sure, None),
            Applies::Doubtful(setting, note) => (setting, Certainty::Doubtful, Some(note)),
            Applies::Instead(setting, note) => (setting, Certainty::Sure, Some(note)),
            Applies::Later(fields) => {
                tracer.passed_over(self.rank, origin, seen, &setting.asked, Note::AtRecipient);
                return Some(Asking { origin, setting, certainty: Certainty::Later(fields) });
            }
            Applies::No(note) => {
                self.left_out_testing |= note == Note::Testing && !setting.is_silent();
                tracer.passed_over(self.rank, origin, seen, &setting.asked, note);
                return None;
            }
        };
        tracer.asked(self.rank, origin, seen, &setting.asked, note);
        Some(Asking { origin, setting, certainty })
    }

    /// Notes the entries that would cover the name at another depth.
    fn note_near_misses<T: Tracer>(&self, kind: SourceKind, layers: [&'p Layer; 2], name: Option<&Domain>, tracer: &mut T) {
        let Some(name) = name else { return };
        let layers = if kind == SourceKind::Partner { &layers[..] } else { &layers[..1] };
        for (layer, included) in layers.iter().zip([false, true]) {
            let mut note = |entries: &[Listed], others: &[Listed], matched: Matched<'_>| {
                // What covers the name at its own depth was asked, and may stand under both.
                for listed in entries.iter().filter(|listed| !others.contains(listed)) {
                    let setting = layer.said(listed.brief(), self.side).filter(|setting| !setting.asked.is_empty());
                    let Some(setting) = setting else { continue };
                    let origin = Origin { kind, included, entry: listed.entry };
                    let seen = seen(self.policy, layer, origin, *listed, Some(matched), Some(name));
                    tracer.passed_over(self.rank, origin, seen, &setting.asked, Note::WrongDepth);
                }
            };
            for (key, exact, below) in layer.table.family(name) {
                if key == name.as_str() {
                    note(below, exact, Matched::Below(key));
                } else {
                    note(exact, below, Matched::Exact(key));
                }
            }
        }
    }

    /// Takes what the only source of a rank says, if anything.
    fn fill(&mut self, source: Option<Asking<'p>>) {
        let Some(source) = source.filter(|asking| !asking.says().is_empty()) else { return };
        if source.certainty == Certainty::Sure {
            self.strand.fill(source);
            self.more.iter_mut().for_each(|strand| strand.fill(source));
        } else {
            self.split(&[source]);
        }
    }

    /// Several sources of one rank, or some that are not sure to speak: each goes on from each strand above, and where none
    /// is sure each strand goes on without them too. Those that may come to speak later count only where nobody else does.
    fn split(&mut self, sources: &[Asking<'p>]) {
        let mut strands: Vec<Strand<'p>> = Vec::new();
        let mut add = |strand: Strand<'p>| {
            if !strands.iter().any(|other| other.says_the_same(&strand)) {
                strands.push(strand);
            }
        };
        let (mut any, mut all_doubtful, mut later) = (false, true, Fields::NONE);
        for source in sources {
            if let Certainty::Later(fields) = source.certainty {
                later = later.union(fields);
                continue;
            }
            any = true;
            all_doubtful &= source.certainty == Certainty::Doubtful;
            for above in std::iter::once(&self.strand).chain(&self.more) {
                let mut strand = *above;
                strand.fill(*source);
                add(strand);
            }
        }
        if !any {
            self.strand.withhold(later);
            self.more.iter_mut().for_each(|strand| strand.withhold(later));
            return;
        }
        if all_doubtful && later.is_empty() {
            std::iter::once(&self.strand).chain(&self.more).for_each(|above| add(*above));
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
        self.strands().all(|strand| strand.is_complete(self.side))
    }

    /// Whether an entry in testing was left out: then a second look with it is due.
    pub(crate) fn left_out_testing(&self) -> bool {
        self.left_out_testing
    }

    /// What the scope comes to; nothing if nobody in it says anything.
    pub(crate) fn resolve<T: Tracer>(&self, tracer: &mut T) -> Option<Resolved> {
        if self.strands().all(Strand::is_silent) {
            return None;
        }
        if !T::ON && self.more.is_empty() {
            return Some(self.resolve_strand(&self.strand, tracer));
        }
        let first = self.resolve_strand(&self.strand, tracer);
        let resolved = self.more.iter().fold(first, |before, strand| before.join(self.resolve_strand(strand, tracer)));
        resolved.tell(tracer);
        Some(resolved)
    }

    fn resolve_strand<T: Tracer>(&self, strand: &Strand<'p>, tracer: &mut T) -> Resolved {
        strand.resolve(self.policy, self.side, self.mail.received_secure, tracer)
    }
}

/// How a trace comes to show an entry that is listed.
fn seen(
    policy: &Policy,
    layer: &Layer,
    origin: Origin,
    listed: Listed,
    matched: Option<Matched<'_>>,
    name: Option<&Domain>,
) -> impl FnOnce() -> Seen {
    move || Seen {
        source: Source::listed(policy, layer, origin, listed, matched),
        pattern: matched.and_then(|matched| matched.pattern(name)),
    }
}

/// The number of the setting that holds when nothing is written, and for exempt clients.
const BUILTIN: u32 = 0;

/// The same with how long mail is tried.
const BUILTIN_FATE: u32 = 1;
