//! What would be asked of the hosts of a next hop now: for tools that explain.

use std::net::SocketAddr;
use std::sync::Arc;

use sealpost_cert::TrustAnchors;
use sealpost_discovery::{Dane, HickoryResolver, HttpsSource, MtaSts, ResolveError, Resolver as _, StsCache, StsFound, Validation};
use sealpost_policy::{Barred, DeliverDecision, Policy};
use sealpost_transport::{BackendError, RustlsBackend, RustlsSettings, WallClock};
use sealpost_types::{Domain, NextHop, WithCauses};

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
    sts: Option<Policies>,
}

/// MTA-STS policies: those that the relay keeps, and others as it would get them.
pub(crate) type Policies = MtaSts<HttpsSource<RustlsBackend>>;

/// The hosts of a next hop, and what their domain says of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Surveyed {
    /// The hosts, in the order in which they would be tried.
    pub hosts: Vec<SurveyedHost>,
    /// The MTA-STS policy of the recipient's domain; none where that does not count.
    pub sts: Option<Arc<StsFound>>,
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
    /// Why it may not be used, whatever it presents.
    pub barred: Option<Barred>,
}

impl Survey {
    /// With the name servers of a relay.
    ///
    /// # Errors
    /// [`StartError`]: they, or the trust anchor, cannot be used.
    pub fn of_relay(config: &Config) -> Result<Self, StartError> {
        Ok(Self { resolver: assemble::open_resolver(config)?, own_name: config.hostname.clone(), sts: None })
    }

    /// The same with MTA-STS, where the relay uses it: with the policies that it keeps, and the trust anchors that it has.
    ///
    /// # Errors
    /// [`StartError`]: the trust anchors cannot be used.
    pub fn with_mta_sts(mut self, config: &Config) -> Result<Self, StartError> {
        self.sts = policies(config, assemble::read_trust_anchors(config)?)?;
        Ok(self)
    }

    /// Whether answers can be proven.
    pub async fn validation(&self) -> Validation {
        self.resolver.validation().await
    }

    /// The hosts of a next hop in the order in which they would be tried, and what this decision asks of each.
    ///
    /// # Errors
    /// [`ResolveError`]: no host can be found.
    pub async fn hosts(&self, policy: &Policy, decision: &DeliverDecision, next_hop: &NextHop) -> Result<Surveyed, ResolveError> {
        let wanted = Wanted { next_hop, own_name: &self.own_name, published: true };
        let (hosts, sts) = tokio::join!(
            hosts::resolve(&self.resolver, wanted, random::number()),
            policy_of(self.sts.as_ref(), &self.resolver, decision, next_hop)
        );
        let hosts = hosts?.under(&sts.clone().unwrap_or_default());
        let surveyed = |host: &hosts::Host| {
            let asked = policy.decide_host(decision, &host.facts(next_hop));
            SurveyedHost {
                host: host.shown(),
                address: host.address,
                securely_known: host.secure,
                dane: host.published.dane.clone(),
                usable: host.published.usable.len(),
                demand: demand_in_words(asked.demand()),
                barred: asked.barred,
            }
        };
        Ok(Surveyed { hosts: hosts.list.iter().map(surveyed).collect(), sts })
    }
}

/// The policies of a relay, where it uses them.
pub(crate) fn policies(config: &Config, anchors: Arc<TrustAnchors>) -> Result<Option<Policies>, BackendError> {
    if !config.mta_sts.enabled {
        return Ok(None);
    }
    let source = HttpsSource::new(Arc::new(RustlsBackend::new(RustlsSettings::new(anchors))?), config.mta_sts.timeout);
    Ok(Some(MtaSts::new(source, kept_policies(config), WallClock::system())))
}

/// The policy of the recipient's domain, where that counts for this decision.
pub(crate) async fn policy_of(
    policies: Option<&Policies>,
    resolver: &HickoryResolver,
    decision: &DeliverDecision,
    next_hop: &NextHop,
) -> Option<Arc<StsFound>> {
    match (policies, next_hop) {
        (Some(sts), NextHop::Mx(domain)) if decision.depends_on_sts(next_hop) => Some(Arc::new(sts.find(resolver, domain).await)),
        _ => None,
    }
}

/// What the relay keeps, as it is now.
fn kept_policies(config: &Config) -> StsCache {
    let path = assemble::sts_cache_file(config);
    match StsCache::peek(&path) {
        Ok(policies) => StsCache::of(policies),
        // A relay that never ran keeps nothing.
        Err(_) if !path.exists() => StsCache::in_memory(),
        Err(error) => {
            tracing::warn!(error = %WithCauses(&error), "the MTA-STS policies that the relay keeps cannot be read");
            StsCache::in_memory()
        }
    }
}
