//! What is known of a host from one attempt at it.

use sealpost_cert::PresentedName;
use sealpost_report::{Event, NoTls, PROOF_NAMES, Proof};
use sealpost_types::{Domain, FloorMissed, ForwardPath, HostClause, HostDemand, KexFloor, Level, NextHop, Pin, ReferenceName, ReversePath};

use super::change::{Gap, Why};
use crate::account;

/// An entry about the deliver hop that has all that a decision needs.
#[derive(Clone, Debug)]
pub(super) struct Seen<'e> {
    pub(super) event: &'e Event,
    pub(super) sender: &'e ReversePath,
    pub(super) recipient: &'e ForwardPath,
    pub(super) proof: &'e Proof,
    pub(super) next_hop: NextHop,
    /// None for a host that is known by its address alone.
    pub(super) host: Option<Domain>,
    pub(super) address: std::net::SocketAddr,
}

/// Whether what was seen meets a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Met {
    Yes,
    No(Why),
    Unknown(Gap),
}

impl<'e> Seen<'e> {
    pub(super) fn of(event: &'e Event) -> Option<Self> {
        let host = event.host.as_deref()?;
        Some(Self {
            event,
            sender: event.sender.as_ref()?,
            recipient: event.recipient.as_ref()?,
            proof: event.proof.as_deref()?,
            next_hop: event.next_hop.as_deref()?.parse().ok()?,
            // An address in brackets is no name.
            host: if host.starts_with('[') { None } else { Some(Domain::parse(host).ok()?) },
            address: event.address?,
        })
    }

    /// Why there was no TLS, as far as it is known. Of an entry of before that was kept, the level tells whether it was tried.
    pub(super) fn no_tls(&self) -> Option<NoTls> {
        let level = || self.event.decided.as_ref().and_then(|decided| decided.level.parse().ok());
        self.proof.no_tls.or_else(|| matches!(level(), Some(Level::None | Level::Mirror)).then_some(NoTls::NotTried))
    }

    /// Whether the session and its certificate have what is asked. A session that did not come about has nothing to be
    /// held against a floor.
    pub(super) fn meets(&self, demand: &HostDemand) -> Met {
        let has_floors =
            demand.min_version > HostDemand::default().min_version || demand.min_group > KexFloor::Any || demand.ciphers.is_some();
        let floors = match &self.proof.tls {
            Some(facts) => match demand.floor_missed(facts) {
                None => Met::Yes,
                // A session that was resumed without a key exchange would not have been under this demand.
                Some(FloorMissed::Group { found: None, .. }) => Met::Unknown(Gap::Session),
                Some(missed) => Met::No(Why::BelowFloor(missed)),
            },
            None if has_floors => Met::Unknown(Gap::Session),
            None => Met::Yes,
        };
        let mut all = floors;
        for clause in &demand.clauses {
            all = all.and(self.meets_clause(clause));
        }
        all
    }

    fn meets_clause(&self, clause: &HostClause) -> Met {
        let holds = |holds: bool, why| if holds { Met::Yes } else { Met::No(why) };
        if self.proof.subject.is_none() && !matches!(clause, HostClause::Dane { .. }) {
            return Met::Unknown(Gap::Certificate);
        }
        match clause {
            // The path was held against the anchors that counted then.
            HostClause::Chain | HostClause::ChainTo(_) if self.proof.anchors != account::anchors_in_words(clause) => {
                Met::Unknown(Gap::Anchors)
            }
            HostClause::Chain | HostClause::ChainTo(_) => holds(!self.proof.validation_path.is_empty(), Why::NoChain),
            HostClause::Identity(wanted) => match self.proof.names.as_deref() {
                None => Met::Unknown(Gap::Certificate),
                Some(names) if has_one_of(names, wanted) => Met::Yes,
                Some(names) if names.len() >= PROOF_NAMES => Met::Unknown(Gap::Certificate),
                Some(_) if wanted.iter().any(|name| matches!(name, ReferenceName::CommonName(_))) => Met::Unknown(Gap::Certificate),
                Some(_) => Met::No(Why::WrongName),
            },
            HostClause::Pinned(pins) => match self.proof.spki_pin.as_deref().map(str::parse::<Pin>) {
                Some(Ok(pin)) => holds(pins.contains(&pin), Why::WrongKey),
                _ => Met::Unknown(Gap::Certificate),
            },
            _ => Met::Unknown(Gap::Tlsa),
        }
    }
}

impl Met {
    /// Both: what fails goes before what is not known.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No(why), _) | (_, Self::No(why)) => Self::No(why),
            (Self::Unknown(gap), _) | (_, Self::Unknown(gap)) => Self::Unknown(gap),
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

/// Whether a certificate with these names is one for what is asked; the names as a proof keeps them.
fn has_one_of(names: &[String], wanted: &[ReferenceName]) -> bool {
    names.iter().filter_map(|name| presented(name)).any(|name| wanted.iter().any(|wanted| name.matches(wanted)))
}

fn presented(name: &str) -> Option<PresentedName> {
    match name.split_once(':')? {
        ("DNS", name) => Some(PresentedName::Dns(name.to_owned())),
        ("IP Address", address) => address.parse().ok().map(PresentedName::Address),
        _ => None,
    }
}
