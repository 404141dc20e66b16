//! Whether an entry that covers a name speaks for a mail.

use sealpost_types::{Domain, ForwardPath, UnixMillis};

use super::{BUILTIN, Scope};
use crate::asked::Fields;
use crate::layer::{Ends, Layer, Side};
use crate::pattern::{Faces, faces};
use crate::setting::{Conditions, Setting};
use crate::trace::Note;

/// Whether an entry counts, and for which mail.
pub(super) struct Standing<'p> {
    pub(super) testing: bool,
    pub(super) until: Option<UnixMillis>,
    pub(super) ends: Option<&'p Ends>,
}

impl Standing<'_> {
    fn is_plain(&self) -> bool {
        !self.testing && self.until.is_none() && self.ends.is_none()
    }
}

/// Whether an entry that covers the name speaks for this mail.
pub(super) enum Applies<'p> {
    Yes(&'p Setting),
    /// It is past its date, or whether it speaks is not known: what it says counts where it is the stricter.
    Doubtful(&'p Setting, Note),
    /// It speaks with other words.
    Instead(&'p Setting, Note),
    /// It may come to say this once the recipient is known.
    Later(Fields),
    No(Note),
}

impl<'p> Scope<'p, '_> {
    /// Whether an entry speaks, and with which words.
    pub(super) fn applies(&self, standing: &Standing<'p>, layer: &'p Layer, setting: &'p Setting) -> Applies<'p> {
        // Nearly every entry speaks for all mail.
        if standing.is_plain() && setting.conditions.is_none() { Applies::Yes(setting) } else { self.weigh(standing, layer, setting) }
    }

    fn weigh(&self, standing: &Standing<'p>, layer: &'p Layer, setting: &'p Setting) -> Applies<'p> {
        if standing.testing && !self.mail.shadow {
            return Applies::No(Note::Testing);
        }
        let mut doubt = None;
        let mut later = false;
        if let Some(ends) = standing.ends {
            later = self.side != Side::Deliver && self.mail.forward_path.is_none() && !ends.covers(None);
            match self.is_for(ends) {
                Some(false) if !later => return Applies::No(Note::OtherEnd),
                None => doubt = Some(Note::OtherEndUnknown),
                _ => {}
            }
        }
        if standing.until.is_some_and(|until| self.mail.now > until) {
            doubt = Some(Note::Expired);
        }
        let speaking = match setting.conditions.as_deref() {
            None => Applies::Yes(setting),
            Some(conditions) => self.meets(conditions, layer, setting),
        };
        match (speaking, doubt) {
            (Applies::Yes(setting) | Applies::Instead(setting, _), _) if later => Applies::Later(setting.said),
            (Applies::Yes(setting) | Applies::Instead(setting, _), Some(note)) => Applies::Doubtful(setting, note),
            (speaking, _) => speaking,
        }
    }

    /// Whether the mail's other end is one that an entry is for; nothing where that end is nowhere (`<>`).
    fn is_for(&self, ends: &Ends) -> Option<bool> {
        let is_one = |domain: Option<&Domain>| {
            let owners = domain.into_iter().flat_map(|domain| self.policy.main.owners_of(domain));
            ends.covers(domain) || owners.into_iter().any(|owner| ends.owners.contains(&owner))
        };
        if self.side != Side::Deliver {
            return Some(is_one(self.mail.forward_path.and_then(ForwardPath::domain)));
        }
        if self.mail.reverse_path.is_null() {
            return None;
        }
        // A wrapped sender is no way around the entry.
        Some(is_one(self.mail.reverse_path.domain()) || faces(self.mail.reverse_path).any(|face| is_one(face.domain())))
    }

    fn meets(&self, conditions: &'p Conditions, layer: &'p Layer, setting: &'p Setting) -> Applies<'p> {
        let exempt = self.mail.client.is_some_and(|client| conditions.exempt.contains(client));
        let offered = self.policy.main.setting(BUILTIN).filter(|_| exempt);
        let otherwise = conditions.otherwise.and_then(|number| layer.setting(number));
        let sender = conditions.senders.as_ref().is_none_or(|set| faces(self.mail.reverse_path).any(|face| set.matches(&face).is_some()));
        let recipient = match (&conditions.recipients, self.mail.forward_path) {
            (None, _) => true,
            (Some(_), None) if sender => {
                let others = [otherwise, offered].into_iter().flatten();
                return Applies::Later(others.fold(setting.said, |all, other| all.union(other.said)));
            }
            (Some(set), to) => to.and_then(ForwardPath::mailbox).is_some_and(|to| Faces::of(to).any(|face| set.matches(&face).is_some())),
        };
        match (sender && recipient, otherwise) {
            // An entry that is not for this mail exempts nobody from what others ask of it.
            (true, _) => offered.map_or(Applies::Yes(setting), |offered| Applies::Instead(offered, Note::ExemptClient)),
            (false, Some(otherwise)) => Applies::Instead(otherwise, Note::Otherwise),
            (false, None) => Applies::No(Note::OtherMail),
        }
    }
}
