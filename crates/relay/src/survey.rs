//! What would be asked of the hosts of a next hop now: for tools that explain.

use std::net::SocketAddr;

use sealpost_discovery::{Dane, HickoryResolver, ResolveError, Resolver as _, Validation};
use sealpost_policy::{DeliverDecision, Policy};
use sealpost_types::{Domain, NextHop};

use crate::account::demand_in_words;
use crate::config::Config;
use crate::error::StartError;
use crate::hosts::{self, Wanted};
use crate::{assemble, random};

/// Looks at hosts as the deliver hop does, without connecting to them.
#[derive(Debug)]
pub struct Survey {
    resolver: HickoryResolver,
    own_name: Domain,
}

/// What would be asked of one host at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SurveyedHost {
    /// Its name, or its address in brackets.
    pub host: String,
    /// Where the connection would go.
    pub address: SocketAddr,
    /// Whether its name is known for sure: by a route, or by DNSSEC.
    pub securely_known: bool,
    /// What DNS says of its certificate.
    pub dane: Dane,
    /// How many of its TLSA records a certificate can be held against.
    pub usable: usize,
    /// What would be asked of it, in the words of the history.
    pub demand: String,
}

impl Survey {
    /// With the name servers of a relay.
    ///
    /// # Errors
    /// [`StartError`]: they, or the trust anchor, cannot be used.
    pub fn of_relay(config: &Config) -> Result<Self, StartError> {
        Ok(Self { resolver: assemble::open_resolver(config)?, own_name: config.hostname.clone() })
    }

    /// Whether answers can be proven.
    pub async fn validation(&self) -> Validation {
        self.resolver.validation().await
    }

    /// The hosts of a next hop in the order in which they would be tried, and what this decision asks of each.
    ///
    /// # Errors
    /// [`ResolveError`]: no host can be found.
    pub async fn hosts(&self, policy: &Policy, decision: &DeliverDecision, next_hop: &NextHop) -> Result<Vec<SurveyedHost>, ResolveError> {
        let wanted = Wanted { next_hop, own_name: &self.own_name, published: true };
        let hosts = hosts::resolve(&self.resolver, wanted, random::number()).await?;
        let surveyed = |host: &hosts::Host| SurveyedHost {
            host: host.shown(),
            address: host.address,
            securely_known: host.secure,
            dane: host.published.dane.clone(),
            usable: host.published.usable.len(),
            demand: demand_in_words(policy.decide_host(decision, &host.facts(next_hop)).demand()),
        };
        Ok(hosts.list.iter().map(surveyed).collect())
    }
}
