//! What a decision is made from, out of what the queue stores.

use sealpost_policy::{DeliverFacts, HeaderBlock, HeaderLevel};
use sealpost_types::{ForwardPath, Reception, ReversePath, UnixMillis};

/// The facts of one recipient of a message that came in like this.
pub(crate) fn of_delivery<'a>(
    reverse_path: &'a ReversePath,
    forward_path: &'a ForwardPath,
    reception: &Reception,
    require_tls: bool,
    header: Option<&'a HeaderBlock>,
    now: UnixMillis,
) -> DeliverFacts<'a> {
    DeliverFacts::new(reverse_path, forward_path, reception.is_secure())
        .with_header_level(reception.level_header.as_deref().map(HeaderLevel::of_client))
        .with_sender_choice(require_tls, reception.tls_optional)
        .with_header(header)
        .at(now)
}
