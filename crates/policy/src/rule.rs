//! Message rules: in written order, the first level that one of them sets holds.

use std::sync::Arc;

use sealpost_types::UnixMillis;
use wildmatch::WildMatch;

use crate::facts::{DeliverFacts, HeaderLevel};
use crate::pattern::{AddressSet, Face, Faces, faces};

/// One `[[rule]]`.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) line: u32,
    pub(crate) when: When,
    /// What its X-TLSLevel field asks; nothing for a rule that only stops.
    pub(crate) level: Option<HeaderLevel>,
    /// Whether no later rule is looked at.
    pub(crate) stop: bool,
    pub(crate) testing: bool,
    pub(crate) until: Option<UnixMillis>,
}

/// When a rule holds: all of these.
#[derive(Debug, Default)]
pub(crate) struct When {
    pub(crate) direction: Option<Direction>,
    pub(crate) sender: Option<ListMatch>,
    pub(crate) recipient: Option<ListMatch>,
    pub(crate) header: Option<HeaderMatch>,
}

/// Which way a message passes the relay (C2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// To a hosted domain.
    Inbound,
    /// To everybody else.
    Outbound,
}

/// Whether an address is in a named list, or is not.
#[derive(Debug)]
pub(crate) struct ListMatch {
    pub(crate) list: Arc<AddressSet>,
    pub(crate) is_in: bool,
}

/// A header field that must be there, with a value of this shape.
#[derive(Debug)]
pub(crate) struct HeaderMatch {
    pub(crate) name: Arc<str>,
    /// Compared in lower case.
    pub(crate) value: WildMatch,
}

impl When {
    /// Whether it holds for all mail.
    pub(crate) fn is_always(&self) -> bool {
        self.direction.is_none() && self.sender.is_none() && self.recipient.is_none() && self.header.is_none()
    }

    /// Whether only the header section decides.
    pub(crate) fn is_header_alone(&self) -> bool {
        self.direction.is_none() && self.sender.is_none() && self.recipient.is_none() && self.header.is_some()
    }

    /// Whether the rule is for mail of this direction.
    pub(crate) fn is_for(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|asked| asked == direction)
    }

    /// Whether the rule holds for this recipient; `level` is what it asks.
    pub(crate) fn holds(&self, facts: &DeliverFacts<'_>, direction: Direction, level: Option<HeaderLevel>) -> bool {
        self.holds_beside_header(facts, direction, level) && self.header.as_ref().is_none_or(|asked| asked.is_in(facts, level))
    }

    /// Whether it hangs on a header section that is not known; `level` is what the rule asks.
    pub(crate) fn hangs_on_header(&self, facts: &DeliverFacts<'_>, direction: Direction, level: Option<HeaderLevel>) -> bool {
        self.header.is_some() && facts.header.is_none() && self.holds_beside_header(facts, direction, level)
    }

    fn holds_beside_header(&self, facts: &DeliverFacts<'_>, direction: Direction, level: Option<HeaderLevel>) -> bool {
        let requires = level == Some(HeaderLevel::Require);
        let recipient = || facts.forward_path.mailbox().map(Faces::of);
        self.is_for(direction)
            && self.sender.as_ref().is_none_or(|asked| asked.holds(faces(facts.reverse_path), requires))
            && self.recipient.as_ref().is_none_or(|asked| recipient().map_or(!asked.is_in, |faces| asked.holds(faces, requires)))
    }
}

impl ListMatch {
    /// Whether the address with these faces is where it is asked to be, for a rule that requires TLS or for another.
    ///
    /// Anybody can wrap an address of any domain: one of another domain than the address itself counts only where that makes mail stricter.
    fn holds(&self, mut faces: Faces<'_>, requires: bool) -> bool {
        let Some(itself) = faces.next() else { return !self.is_in };
        let counts = |face: &Face<'_>| self.is_in == requires || face.domain() == itself.domain();
        let found = self.list.matches(&itself).is_some() || faces.any(|face| counts(&face) && self.list.matches(&face).is_some());
        found == self.is_in
    }
}

impl HeaderMatch {
    /// Whether the field is there. What was not seen of a header may hold it: padding is no way around a rule that requires TLS.
    fn is_in(&self, facts: &DeliverFacts<'_>, level: Option<HeaderLevel>) -> bool {
        let Some(header) = facts.header else { return false };
        let found = header.values(&self.name).any(|value| self.value.matches(&value.to_lowercase()));
        found || (!header.is_whole() && level == Some(HeaderLevel::Require))
    }
}

impl Direction {
    /// The direction of mail for this domain.
    pub(crate) fn of(is_hosted: bool) -> Self {
        if is_hosted { Self::Inbound } else { Self::Outbound }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}
