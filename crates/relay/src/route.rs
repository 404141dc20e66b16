//! Where mail goes next.

use sealpost_policy::Policy;
use sealpost_types::{ForwardPath, MailHost, NextHop};

use crate::config::Config;

/// The next hop of one recipient: the route of its hosted domain, else a configured route, else its mail exchangers.
#[must_use]
pub fn next_hop(policy: &Policy, config: &Config, forward_path: &ForwardPath) -> NextHop {
    match forward_path.mailbox().map(sealpost_types::Mailbox::host) {
        Some(MailHost::Domain(domain)) => {
            policy.route(domain).or_else(|| config.routes.find(domain)).cloned().unwrap_or_else(|| NextHop::Mx(domain.clone()))
        }
        Some(MailHost::Literal(literal)) => NextHop::literal(*literal),
        // Only mail that was accepted before a postmaster was configured away gets here.
        None => NextHop::Mx(config.hostname.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpost_types::{Domain, Mailbox};

    #[test]
    fn a_hosted_domains_route_goes_before_a_configured_one_and_that_before_mx() {
        let policy = Policy::parse("policy.toml", "[[domain]]\nname = \"hosted.example\"\nroute = \"inner.example:26\"\n").unwrap();
        let mut config = Config::new(Domain::parse("relay.example").unwrap(), "/nowhere".into());
        let hop = |config: &Config, to: &str| next_hop(&policy, config, &Mailbox::parse(to).unwrap().into()).to_string();
        assert_eq!(hop(&config, "a@other.example"), "mx:other.example");
        config.routes.insert("*", "smart.example:27".parse().unwrap()).unwrap();
        assert_eq!(hop(&config, "a@other.example"), "smart.example:27");
        assert_eq!(hop(&config, "a@hosted.example"), "inner.example:26");
        assert_eq!(hop(&config, "a@[192.0.2.1]"), "192.0.2.1:25");
    }
}
