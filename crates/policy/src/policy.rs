//! A policy in the form in which it is asked.

use std::fmt;
use std::sync::Arc;

use sealpost_types::{AnchorFiles, ClientIdentity, Domain, NextHop, UnixMillis};

use crate::demand::PlainDemands;
use crate::facts::{ClientFacts, ReceiveFacts};
use crate::header::FieldName;
use crate::layer::{Entry, Hops, Layer, Side};
use crate::network::{ClientIndex, ClientSet};
use crate::require_tls::RequireTls;
use crate::rule::Rule;
use crate::setting::Setting;
use crate::table;
use crate::trace::{Place, SourceKind};

/// Which TLS level holds for which mail: a policy document in the form in which it is asked.
///
/// It does not change; share it in an `Arc`, and put a new one in its place when the document changes. A new one with one
/// entry more or less of an included list ([`with_row`](Self::with_row), [`without_row`](Self::without_row)) shares all but a
/// few kilobytes with the one before. No decision borrows from it.
///
/// # Limits
/// 2^31 - 1 entries of a kind; a decision costs a hash lookup a label of the name, and a comparison for each pattern
/// with wildcards elsewhere than in front.
///
/// # Example
/// ```
/// # use sealpost_policy::{DeliverFacts, Policy};
/// # use sealpost_types::{ForwardPath, Level, Mailbox, ReversePath};
/// let policy = Policy::parse("policy.toml", r#"
/// [[partner]]
/// name = "Bank"
/// domains = "bank.example"
/// deliver = "verify"
/// "#)?;
/// let to = ForwardPath::from(Mailbox::parse("ann@mail.bank.example")?);
/// let (decision, trace) = policy.explain_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true));
/// assert_eq!(decision.level, Level::Verify);
/// assert_eq!(trace.short(), "verify: partner \"Bank\" (policy.toml:2) raised tls to mandatory, asked for chain and name");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Policy {
    pub(crate) plain: Arc<PlainDemands>,
    pub(crate) main: Arc<Main>,
    /// The partners of included lists.
    pub(crate) included: Layer,
    pub(crate) lists: Arc<Vec<crate::compile::IncludedList>>,
}

/// What the document itself says.
#[derive(Debug)]
pub(crate) struct Main {
    /// The name of the document.
    pub(crate) file: Arc<str>,
    pub(crate) settings: Arc<Vec<Arc<Setting>>>,
    pub(crate) base: Defaults,
    pub(crate) hosted_defaults: Defaults,
    pub(crate) external_defaults: Defaults,
    pub(crate) owners: Vec<Owner>,
    pub(crate) hosted: Layer,
    pub(crate) partners: Layer,
    /// Which hosted domains' own servers a client is.
    pub(crate) servers: ClientIndex,
    /// Which partners' clients a client is.
    pub(crate) clients: ClientIndex,
    pub(crate) rules: Vec<Rule>,
    pub(crate) named_lists: Vec<NamedList>,
    /// The name of the X-TLSLevel field.
    pub(crate) header: FieldName,
    pub(crate) header_trust: ClientSet,
    pub(crate) require_tls: RequireTls,
}

/// A table of defaults.
#[derive(Debug)]
pub(crate) struct Defaults {
    pub(crate) line: u32,
    pub(crate) hops: Hops,
}

/// One `[[list]]`, beside what it compiles to.
#[derive(Debug)]
pub(crate) struct NamedList {
    pub(crate) name: Arc<str>,
    pub(crate) line: u32,
    /// Whether a rule looks into it.
    pub(crate) is_used: bool,
    pub(crate) is_empty: bool,
}

/// One `[[owner]]`.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) name: Arc<str>,
    pub(crate) line: u32,
    pub(crate) hops: Hops,
    pub(crate) parent: Option<u32>,
    pub(crate) testing: bool,
    pub(crate) until: Option<UnixMillis>,
}

/// Whether an entry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It does not.
    Absent,
    /// It is past its date: what holds with it and what holds without it join.
    Doubtful,
    Certain,
}

impl Policy {
    /// Whether mail for this domain is for a customer of this relay.
    #[must_use]
    pub fn is_hosted(&self, domain: &Domain) -> bool {
        let mut found = false;
        self.main.walk_hosted(domain, |_| {
            found = true;
            false
        });
        found
    }

    /// Where mail for a hosted domain goes, if its most specific entry with a `route` says so.
    #[must_use]
    pub fn route(&self, domain: &Domain) -> Option<&NextHop> {
        let mut route = None;
        self.main.walk_hosted(domain, |entry| {
            route = entry.extra.as_ref().and_then(|extra| extra.route.as_ref());
            route.is_none()
        });
        route
    }

    /// Whether a client may send mail to anybody because it is one of a hosted domain's own `servers`.
    ///
    /// What is written as `shared:` counts only for a sender of that domain, and so proves little: a stranger in the same
    /// cloud can write the same sender.
    #[must_use]
    pub fn may_relay(&self, facts: &ReceiveFacts<'_>) -> bool {
        let mut may = false;
        self.main.visit_servers(&facts.client, facts.reverse_path.domain(), |_| Presence::Certain, |_| may = true);
        may
    }

    /// Whether this client's X-TLSLevel field counts.
    #[must_use]
    pub fn trusts_header_of(&self, client: &ClientFacts<'_>) -> bool {
        self.main.header_trust.contains(client)
    }

    /// The name of the X-TLSLevel field (C4), as it is written in `[defaults] header`.
    #[must_use]
    pub fn header_name(&self) -> &FieldName {
        &self.main.header
    }

    /// Whether a rule looks at the header section of messages.
    #[must_use]
    pub fn reads_header(&self) -> bool {
        self.main.rules.iter().any(|rule| rule.when.header.is_some())
    }

    /// Whether a rule looks at the header section of every message, whoever sends it to whomever.
    #[must_use]
    pub fn reads_every_header(&self) -> bool {
        self.main.rules.iter().any(|rule| rule.when.is_header_alone())
    }

    /// The name of the document, or of the list that it includes at this place; 0 is the document.
    pub(crate) fn file(&self, number: u32) -> &Arc<str> {
        let list = number.checked_sub(1).and_then(|number| self.lists.get(usize::try_from(number).ok()?));
        list.map_or(&self.main.file, |list| &list.file)
    }

    /// Where a level is written that only DNSSEC can hold (`dane`, `dane-only`, `dane_satisfies`), if there is one: without
    /// validated answers such mail is never delivered.
    #[must_use]
    pub fn needs_dnssec(&self) -> Option<Place> {
        self.places(&[Side::Deliver], Setting::needs_dnssec).next()
    }

    /// Each place where a level is written that rests on the client's certificate, in defaults, owners, then entries: a listener
    /// that asks for none turns such mail away.
    pub fn needs_client_certificates(&self) -> impl Iterator<Item = Place> {
        self.places(&[Side::Receive, Side::Submit], Setting::needs_certificate)
    }

    /// The files of trust anchors that it names, each with the first place where it does; somebody has to read them.
    #[must_use]
    pub fn anchor_files(&self) -> Vec<(AnchorFiles, Place)> {
        self.named(|setting| setting.asked.anchors.clone())
    }

    /// The certificates to show to hosts that it names, each with the first place where it does; somebody has to read them.
    #[must_use]
    pub fn client_identities(&self) -> Vec<(ClientIdentity, Place)> {
        let mut named = self.named(|setting| setting.asked.client_identity.clone());
        named.retain(|(identity, _)| matches!(identity, ClientIdentity::Files { .. }));
        named
    }

    /// What settings of the deliver hop name, each once, in order. A setting that no entry has any more names nothing.
    fn named<T: Ord + Clone>(&self, of: impl Fn(&Setting) -> Option<T> + Copy) -> Vec<(T, Place)> {
        let settings = self.main.settings.iter().chain(self.included.settings.iter());
        let all: std::collections::BTreeSet<T> = settings.filter_map(|setting| of(setting)).collect();
        let placed = |wanted: T| {
            let place = self.places(&[Side::Deliver], |setting| of(setting).as_ref() == Some(&wanted)).next()?;
            Some((wanted, place))
        };
        all.into_iter().filter_map(placed).collect()
    }

    /// The places of settings that are looked for: in defaults, owners, then entries.
    fn places<'p>(&'p self, sides: &'static [Side], is_it: impl Fn(&Setting) -> bool + Copy + 'p) -> impl Iterator<Item = Place> + 'p {
        let main = &self.main;
        // A million entries share a few settings: these are looked at first.
        let any = main.settings.iter().chain(self.included.settings.iter()).any(|setting| is_it(setting));
        let has = move |hops: &Hops| sides.iter().any(|side| main.setting(hops.of(*side)).is_some_and(is_it));
        let says = move |layer: &Layer, entry: &Entry| sides.iter().any(|side| layer.said(entry.brief, *side).is_some_and(is_it));
        let defaults = [&main.hosted_defaults, &main.external_defaults].into_iter().map(|defaults| (defaults.line, defaults.hops));
        let owners = main.owners.iter().map(|owner| (owner.line, owner.hops));
        let lines = defaults.chain(owners).filter(move |(_, hops)| has(hops)).map(|(line, _)| (0, line));
        let entries = [&main.hosted, &main.partners, &self.included].into_iter().flat_map(move |layer| {
            let found = layer.entries.iter().filter(move |(_, entry)| says(layer, entry));
            found.map(move |(_, entry)| (layer.file_of(entry), entry.line))
        });
        let places = any.then(|| lines.chain(entries)).into_iter().flatten();
        places.map(|(file, line)| Place { file: Arc::clone(self.file(file)), line })
    }

    /// How many entries it has, of every kind.
    #[must_use]
    pub fn entries(&self) -> usize {
        let listed = [&self.main.hosted, &self.main.partners, &self.included].map(|layer| layer.entries.iter().count());
        listed.into_iter().sum::<usize>() + self.main.owners.len() + self.main.rules.len()
    }
}

impl Main {
    pub(crate) fn setting(&self, number: u32) -> Option<&Setting> {
        usize::try_from(number).ok().and_then(|number| self.settings.get(number)).map(|setting| &**setting)
    }

    pub(crate) fn rule(&self, number: u32) -> Option<&Rule> {
        usize::try_from(number).ok().and_then(|number| self.rules.get(number))
    }

    pub(crate) fn named_list(&self, number: u32) -> Option<&NamedList> {
        usize::try_from(number).ok().and_then(|number| self.named_lists.get(number))
    }

    pub(crate) fn owner(&self, number: u32) -> Option<&Owner> {
        usize::try_from(number).ok().and_then(|number| self.owners.get(number))
    }

    /// The owner of a hosted domain, the owner above it, and so on.
    pub(crate) fn owners_of(&self, domain: &Domain) -> impl Iterator<Item = u32> {
        let mut next = None;
        self.walk_hosted(domain, |entry| {
            next = entry.extra.as_ref().and_then(|extra| extra.owner);
            next.is_none()
        });
        std::iter::from_fn(move || {
            let current = next?;
            next = self.owner(current).and_then(|owner| owner.parent);
            Some(current)
        })
    }

    /// Calls `visit` with the hosted domains that cover the name, most specific first, until it says `false`.
    pub(crate) fn walk_hosted<'p>(&'p self, domain: &Domain, mut visit: impl FnMut(&'p Entry) -> bool) {
        table::walk([Some(&self.hosted.table), None], Some(domain.as_str()), true, |_, [entries, _]| {
            entries.iter().filter_map(|listed| self.hosted.entries.get(listed.entry)).all(&mut visit)
        });
    }

    /// Calls `visit` with the number of each hosted domain of which the client is an own server.
    ///
    /// Where several domains name a network that is not shared, those of them that cover the sender's domain count, and all of
    /// them if none does. A network that is shared adds the domain of the sender and displaces nobody; nor does a domain that
    /// may not count.
    pub(crate) fn visit_servers(
        &self,
        client: &ClientFacts<'_>,
        sender: Option<&Domain>,
        presence: impl Fn(u32) -> Presence,
        mut visit: impl FnMut(u32),
    ) {
        let covers_sender = |number: u32| {
            let mut covers = false;
            if let Some(sender) = sender {
                table::walk([Some(&self.hosted.table), None], Some(sender.as_str()), true, |_, [entries, _]| {
                    covers = entries.iter().any(|listed| listed.entry == number);
                    !covers
                });
            }
            covers
        };
        let (mut first, mut several, mut any_covers) = (None, false, false);
        self.servers.visit(client, |number, shared| {
            let presence = presence(number);
            let there = presence != Presence::Absent;
            let covers = there && covers_sender(number);
            if covers {
                visit(number);
            } else if there && !shared {
                several |= first.is_some_and(|first| first != number);
                first = first.or(Some(number));
            }
            any_covers |= covers && !shared && presence == Presence::Certain;
        });
        match first {
            Some(_) if any_covers => {}
            Some(only) if !several => visit(only),
            Some(_) => self.servers.visit(client, |number, shared| {
                if !shared && presence(number) != Presence::Absent {
                    visit(number);
                }
            }),
            None => {}
        }
    }
}

/// Its size only: a policy may have a million entries.
impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("file", &self.main.file)
            .field("domains", &self.main.hosted.entries.len())
            .field("partners", &self.main.partners.entries.len())
            .field("included", &self.included.entries.len())
            .finish_non_exhaustive()
    }
}

/// The entries of a kind, where it has any.
pub(crate) fn layer_of(policy: &Policy, kind: SourceKind, included: bool) -> Option<&Layer> {
    match kind {
        SourceKind::Domain => Some(&policy.main.hosted),
        SourceKind::Partner if included => Some(&policy.included),
        SourceKind::Partner => Some(&policy.main.partners),
        _ => None,
    }
}
