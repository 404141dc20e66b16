//! What a session refused without asking its owner.

use super::refusal::Refusal;
use crate::data::BodyFault;

/// What a session refused by itself, without asking its owner: how often, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionRefusals {
    /// Commands for which TLS has to come first (530), and logins in clear (538).
    pub tls_first: u32,
    /// Messages that are too large (552).
    pub too_large: u32,
    /// Recipients beyond the limit (452).
    pub too_many_recipients: u32,
    /// Messages with octets that may not be: a bare CR or LF, NUL (554).
    pub content: u32,
    /// Commands that are wrong, unknown, or out of order (5yz).
    pub commands: u32,
    /// Ends of the session for too many errors, too many refused recipients, too many commands without a message, or a line
    /// without end (421).
    pub floods: u32,
}

impl SessionRefusals {
    pub(super) fn count(&mut self, refusal: &Refusal) {
        let counter = match refusal {
            Refusal::TlsFirst | Refusal::AuthInClear => &mut self.tls_first,
            Refusal::TooLarge { .. } => &mut self.too_large,
            Refusal::TooManyRecipients { .. } => &mut self.too_many_recipients,
            Refusal::Fault(_) => &mut self.content,
            Refusal::TooManyErrors | Refusal::TooManyRefused | Refusal::TooManyIdleCommands | Refusal::EndlessLine => &mut self.floods,
            _ => &mut self.commands,
        };
        *counter = counter.saturating_add(1);
    }

    pub(super) fn count_fault(&mut self, fault: BodyFault) {
        self.count(&Refusal::Fault(fault));
    }

    pub(super) fn count_command(&mut self) {
        self.commands = self.commands.saturating_add(1);
    }
}
