//! What an entry says of a hop, ready to be asked.

use std::collections::HashMap;
use std::sync::Arc;

use sealpost_types::{AnchorFiles, Clause, Demand, KexFloor, Level, NameMatch, NameRule, Pin, ReferenceName, TlsRequirement, TlsVersion};

use crate::asked::{Asked, Fields, SharedAsked};
use crate::layer::Brief;
use crate::network::ClientSet;
use crate::pattern::AddressSet;

/// What many entries may share: an [`Asked`] with the demands that it makes by itself, and for whom it holds.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) asked: SharedAsked,
    pub(crate) said: Fields,
    /// What it demands where no other source says anything of certificates: at floor 1.2, at floor 1.3.
    demands: Option<[Arc<Demand>; 2]>,
    pub(crate) conditions: Option<Box<Conditions>>,
}

/// For which mail a hop's words hold.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) senders: Option<AddressSet>,
    pub(crate) recipients: Option<AddressSet>,
    /// Clients of which nothing more than TLS on offer is asked.
    pub(crate) exempt: ClientSet,
    /// What holds for mail that is not among `senders` and `recipients`: the number of a setting.
    pub(crate) otherwise: Option<u32>,
}

/// What a certificate must prove, before it is known which host presents it: all that a level reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proofs<'a> {
    pub(crate) names: &'a [ReferenceName],
    pub(crate) matching: NameMatch,
    pub(crate) pins: &'a [Pin],
    pub(crate) anchors: Option<&'a AnchorFiles>,
    pub(crate) otherwise: Option<Level>,
    pub(crate) dane_satisfies: bool,
}

/// The settings seen so far, each once.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) list: Vec<Arc<Setting>>,
    pub(crate) briefs: Vec<Brief>,
    places: HashMap<SharedAsked, u32>,
    places_of_briefs: HashMap<Brief, u32>,
}

impl Setting {
    pub(crate) fn new(asked: SharedAsked, conditions: Option<Box<Conditions>>) -> Self {
        let own = Proofs {
            names: asked.names.as_deref().unwrap_or_default(),
            matching: asked.matching.unwrap_or_default(),
            pins: asked.pins.as_deref().unwrap_or_default(),
            anchors: asked.anchors.as_ref(),
            otherwise: asked.otherwise,
            dane_satisfies: asked.dane_satisfies.unwrap_or_default(),
        };
        let clauses = asked.level.map(|level| own.clauses(level)).filter(|clauses| !clauses.is_empty());
        let demands = clauses.map(|clauses| {
            let tls = own.tls(asked.level.unwrap_or(Level::Require), true);
            [TlsVersion::Tls1_2, TlsVersion::Tls1_3].map(|floor| Arc::new(Demand::new(tls, clauses.clone(), floor)))
        });
        Self { said: asked.said(), asked, demands, conditions }
    }

    /// Whether it says nothing, to nobody. One that is silent itself may have an `else`.
    pub(crate) fn is_silent(&self) -> bool {
        self.said.is_empty() && self.conditions.is_none()
    }

    /// Whether it asks for what only DNSSEC can show.
    pub(crate) fn needs_dnssec(&self) -> bool {
        matches!(self.asked.level, Some(Level::Dane | Level::DaneOnly)) || self.asked.dane_satisfies == Some(true)
    }

    /// Whether it asks for a certificate.
    pub(crate) fn needs_certificate(&self) -> bool {
        matches!(self.asked.level, Some(Level::Chain | Level::Verify | Level::Pinned))
    }

    /// Its own demand, if that is what `proofs` and the floors come to.
    pub(crate) fn own_demand(&self, proofs: &Proofs<'_>, version: TlsVersion, group: KexFloor) -> Option<Arc<Demand>> {
        let asked = &self.asked;
        let is_own = asked.names.as_deref().unwrap_or_default() == proofs.names
            && asked.matching.unwrap_or_default() == proofs.matching
            && asked.pins.as_deref().unwrap_or_default() == proofs.pins
            && asked.anchors.as_ref() == proofs.anchors
            && asked.otherwise == proofs.otherwise
            && asked.dane_satisfies.unwrap_or_default() == proofs.dane_satisfies;
        if !is_own || group != KexFloor::Any {
            return None;
        }
        let [low, high] = self.demands.as_ref()?;
        Some(Arc::clone(if version >= TlsVersion::Tls1_3 { high } else { low }))
    }
}

impl Proofs<'_> {
    /// What a level asks of TLS itself.
    pub(crate) fn tls(&self, level: Level, received_secure: bool) -> TlsRequirement {
        match level {
            // What DANE raises is known host by host.
            Level::Dane => tls_of(self.fallback(), received_secure),
            level => tls_of(level, received_secure),
        }
    }

    /// What a level asks of the certificate; unsorted.
    pub(crate) fn clauses(&self, level: Level) -> Vec<Clause> {
        let chain = || match self.anchors.filter(|anchors| !anchors.is_system()) {
            Some(anchors) => Clause::ChainTo(anchors.clone()),
            None => Clause::Chain,
        };
        let identity = || Clause::Identity(NameRule::new(self.matching, self.names.to_vec()));
        let plain = match level {
            Level::Chain => vec![chain()],
            Level::Verify => vec![chain(), identity()],
            Level::Pinned => return vec![Clause::Pinned(self.pins.to_vec())],
            Level::DaneOnly => return vec![Clause::Dane],
            Level::Dane => return vec![Clause::DaneElse(self.clauses(self.fallback()))],
            _ => return Vec::new(),
        };
        if self.dane_satisfies { vec![Clause::DaneElse(plain)] } else { plain }
    }

    /// What `dane` comes to without secure TLSA records. It cannot be `dane` again.
    fn fallback(&self) -> Level {
        self.otherwise.filter(|level| *level != Level::Dane).unwrap_or(Level::Opportunistic)
    }
}

impl Settings {
    /// Settings that go on from these; those with conditions are not shared.
    pub(crate) fn of(list: &[Arc<Setting>], briefs: &[Brief]) -> Self {
        let shared = (0..).zip(list).filter(|(_, setting)| setting.conditions.is_none());
        let places = shared.map(|(place, setting)| (Arc::clone(&setting.asked), place)).collect();
        let places_of_briefs = (0..).zip(briefs).map(|(place, brief)| (*brief, place)).collect();
        Self { list: list.to_vec(), briefs: briefs.to_vec(), places, places_of_briefs }
    }

    /// The number of this `Brief`.
    pub(crate) fn place_brief(&mut self, brief: Brief) -> u32 {
        *self.places_of_briefs.entry(brief).or_insert_with(|| {
            self.briefs.push(brief);
            u32::try_from(self.briefs.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// The number of a setting that says this, without conditions.
    pub(crate) fn place(&mut self, asked: Asked) -> u32 {
        if let Some(place) = self.places.get(&asked) {
            return *place;
        }
        let asked = Arc::new(asked);
        let place = self.push(Setting::new(Arc::clone(&asked), None));
        self.places.insert(asked, place);
        place
    }

    /// The number of a new setting with conditions.
    pub(crate) fn place_conditional(&mut self, asked: Asked, conditions: Conditions) -> u32 {
        self.push(Setting::new(Arc::new(asked), Some(Box::new(conditions))))
    }

    fn push(&mut self, setting: Setting) -> u32 {
        let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(Arc::new(setting));
        place
    }
}

/// What a level other than `dane` asks of TLS itself.
pub(crate) fn tls_of(level: Level, received_secure: bool) -> TlsRequirement {
    match level {
        Level::None => TlsRequirement::Never,
        Level::Mirror if !received_secure => TlsRequirement::Never,
        Level::Mirror | Level::Opportunistic | Level::Dane => TlsRequirement::Opportunistic,
        // A level that comes to be known later asks for TLS until it says otherwise.
        _ => TlsRequirement::Mandatory,
    }
}
