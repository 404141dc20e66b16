//! Who may send to whom through this relay, whatever TLS there is.

use sealpost_policy::{Policy, ReceiveFacts};
use sealpost_smtp::Reply;
use sealpost_types::{ForwardPath, MailHost, Mailbox};

use crate::config::Rights;

/// The mailbox that a recipient means, if this client may send to it. Who is `logged_in` may send anywhere.
///
/// # Errors
/// The reply that refuses it: 550 5.1.3 for forms that other relays read as a route of their own, 550 5.1.1 for
/// `<Postmaster>` where nobody is named, 550 5.7.1 where the client may not relay.
pub(crate) fn admit(rights: &Rights, policy: &Policy, facts: &ReceiveFacts<'_>, forward_path: &ForwardPath) -> Result<Mailbox, Reply> {
    let mailbox = match forward_path {
        // RFC 5321 section 4.5.1: mail for whoever looks after the relay needs no right to relay.
        ForwardPath::Postmaster => {
            return rights.postmaster.clone().ok_or_else(|| Reply::fixed::<550, 1, 1>("no postmaster mailbox is configured here"));
        }
        ForwardPath::Mailbox(mailbox) => mailbox,
    };
    let MailHost::Domain(domain) = mailbox.host() else {
        return Err(Reply::fixed::<550, 1, 3>("mail to an address literal is not accepted here"));
    };
    let local_part = mailbox.local_part();
    if !local_part.is_quoted() && local_part.as_str().contains(['%', '!']) {
        return Err(Reply::fixed::<550, 1, 3>("a local part with '%' or '!' is not accepted here: it reads as a route"));
    }
    if !policy.is_hosted(domain) && !may_relay(rights, policy, facts) {
        return Err(Reply::fixed::<550, 7, 1>(format!("relaying to {domain} is not permitted for your address")));
    }
    Ok(mailbox.clone())
}

/// Whether this client may send anywhere: it has logged in, is trusted, or is a server of a hosted domain.
pub(crate) fn may_relay(rights: &Rights, policy: &Policy, facts: &ReceiveFacts<'_>) -> bool {
    facts.client.login.is_some() || rights.is_trusted(facts.client.address) || policy.may_relay(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpost_policy::ClientFacts;
    use sealpost_types::ReversePath;

    fn code(client: &str, to: &str) -> String {
        code_for(client, false, to)
    }

    fn code_for(client: &str, logged_in: bool, to: &str) -> String {
        let rights = Rights { trusted_networks: vec!["192.0.2.0/24".parse().unwrap()], ..Rights::default() };
        let policy = Policy::parse("policy.toml", "[[domain]]\nname = \"hosted.example\"\nservers = \"203.0.113.9\"\n").unwrap();
        let forward_path = if to == "Postmaster" { ForwardPath::Postmaster } else { Mailbox::parse(to).unwrap().into() };
        let mut known = ClientFacts::new(client.parse().unwrap());
        known.login = logged_in.then_some("ann");
        let facts = ReceiveFacts::new(known.address, &ReversePath::Null).with_client(known);
        match admit(&rights, &policy, &facts, &forward_path) {
            Ok(mailbox) => mailbox.to_string(),
            Err(reply) => format!("{} {}", reply.code(), reply.status().map(|s| s.to_string()).unwrap_or_default()),
        }
    }

    #[test]
    fn strangers_reach_hosted_domains_only() {
        assert_eq!(code("198.51.100.1", "a@hosted.example"), "a@hosted.example");
        assert_eq!(code("198.51.100.1", "a@other.example"), "550 5.7.1");
        assert_eq!(code("192.0.2.7", "a@other.example"), "a@other.example");
        assert_eq!(code("::ffff:192.0.2.7", "a@other.example"), "a@other.example");
    }

    /// A hosted domain's own servers send anywhere, whatever sender they name; nobody else does by naming one.
    // req: B5
    #[test]
    fn own_servers_reach_everybody() {
        assert_eq!(code("203.0.113.9", "a@other.example"), "a@other.example");
        assert_eq!(code("203.0.113.10", "a@other.example"), "550 5.7.1");
    }

    #[test]
    fn who_is_logged_in_may_send_anywhere() {
        assert_eq!(code_for("198.51.100.1", true, "a@other.example"), "a@other.example");
        assert_eq!(code_for("198.51.100.1", false, "a@other.example"), "550 5.7.1");
        assert_eq!(code_for("198.51.100.1", true, "a%other.example@hosted.example"), "550 5.1.3");
    }

    #[test]
    fn forms_that_hide_a_route_are_refused_even_to_the_trusted() {
        for to in ["a%other.example@hosted.example", "other.example!a@hosted.example", "a@[192.0.2.1]"] {
            assert_eq!(code("192.0.2.7", to), "550 5.1.3", "{to}");
        }
        assert_eq!(code("192.0.2.7", "\"a%b\"@hosted.example"), "\"a%b\"@hosted.example");
        assert_eq!(code("192.0.2.7", "Postmaster"), "550 5.1.1");
    }
}
