//! The one table from what goes wrong on this side to what the client is told.

use sealpost_smtp::Reply;

/// Why a client is turned away by this host rather than by a policy.
///
/// The owner of a handler uses it too, so that one fault has one reply wherever it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// As many connections as the listener takes are open.
    TooManyConnections,
    /// As many connections as one address may have are open.
    TooManyFromAddress,
    /// The listener is stopping.
    ShuttingDown,
    /// The store has no room: disk or quota.
    StoreFull,
    /// The store cannot be written, and an operator has to look after it.
    StoreBroken,
    /// The message is greater than the store ever takes.
    MessageTooLarge,
    /// The service that checks names and passwords does not answer.
    AuthUnavailable,
    /// A decision could not be taken for a reason on this side.
    Internal,
    /// The message has passed too many hosts.
    LoopDetected,
}

impl Refusal {
    /// Every refusal there is.
    pub const ALL: &'static [Self] = &[
        Self::TooManyConnections,
        Self::TooManyFromAddress,
        Self::ShuttingDown,
        Self::StoreFull,
        Self::StoreBroken,
        Self::MessageTooLarge,
        Self::AuthUnavailable,
        Self::Internal,
        Self::LoopDetected,
    ];

    /// What the client is told. It says what the client needs to know, and nothing of the inside of this host.
    ///
    /// # Wire
    /// RFC 5321 section 4.2.3 and 3.8 (421), RFC 3463 for the status.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Self::TooManyConnections => Reply::fixed::<421, 7, 0>("too many connections, try again later"),
            Self::TooManyFromAddress => Reply::fixed::<421, 7, 0>("too many connections from your address, try again later"),
            Self::ShuttingDown => Reply::fixed::<421, 3, 2>("service is shutting down, try again later"),
            Self::StoreFull => Reply::fixed::<452, 3, 1>("not enough room to store the message, try again later"),
            Self::StoreBroken => Reply::fixed::<451, 3, 0>("the message cannot be stored now, try again later"),
            Self::MessageTooLarge => Reply::fixed::<552, 3, 4>("the message is too large"),
            Self::AuthUnavailable => Reply::fixed::<454, 7, 0>("authentication is not available now, try again later"),
            Self::Internal => Reply::fixed::<451, 3, 0>("a local fault, try again later"),
            Self::LoopDetected => Reply::fixed::<554, 4, 6>("the message has passed too many hosts: it goes in a circle"),
        }
    }

    /// Whether the connection ends with the reply.
    #[must_use]
    pub fn closes(self) -> bool {
        self.reply().code().value() == 421
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpost_types::Severity;

    #[test]
    fn every_refusal_has_its_reply() {
        let expected = |refusal| match refusal {
            // A match without a wildcard: a new variant does not compile until it is entered here and in ALL.
            Refusal::TooManyConnections | Refusal::TooManyFromAddress => "421 4.7.0",
            Refusal::ShuttingDown => "421 4.3.2",
            Refusal::StoreFull => "452 4.3.1",
            Refusal::StoreBroken | Refusal::Internal => "451 4.3.0",
            Refusal::MessageTooLarge => "552 5.3.4",
            Refusal::AuthUnavailable => "454 4.7.0",
            Refusal::LoopDetected => "554 5.4.6",
        };
        for refusal in Refusal::ALL {
            let reply = refusal.reply();
            let shown = format!("{} {}", reply.code(), reply.status().unwrap());
            assert_eq!(shown, expected(*refusal), "{refusal:?}");
            assert_eq!(refusal.closes(), shown.starts_with("421"));
            assert!(matches!(reply.severity(), Severity::Transient | Severity::Permanent));
        }
        let mut each = Refusal::ALL.to_vec();
        each.dedup();
        assert_eq!(each.len(), 9, "ALL names each variant once");
    }
}
