//! What a scope comes to, and the join of several.

use std::sync::Arc;
use std::time::Duration;

use sealpost_types::{ClearFallback, ClientIdentity, Demand, Fate, Level, OnExpiry, OnFailure, RetrySchedule};

use super::{Origin, Said};
use crate::asked::{FailureEnd, RefuseWith};
use crate::demand::join_shared;
use crate::trace::{Axis, Tracer};

/// What a scope comes to.
pub(crate) struct Resolved {
    pub(crate) level: Option<Level>,
    pub(crate) demand: Arc<Demand>,
    pub(crate) tls_from: Option<Origin>,
    pub(crate) floor_from: Option<Origin>,
    pub(crate) group_from: Option<Origin>,
    /// Two sources, for an intersection that leaves nothing names both.
    pub(crate) ciphers_from: Option<[Origin; 2]>,
    /// Who asks something of the certificate: two of them, for all clauses must hold.
    pub(crate) certificate_from: Option<[Origin; 2]>,
    /// Whether everybody who sets the level writes `none`, in an entry for this domain.
    pub(crate) writes_none: bool,
    /// How a session is refused that lacks what is asked.
    pub(crate) refuse: RefuseWith,
    pub(crate) lifetime: Said<Duration>,
    pub(crate) retry: Said<RetrySchedule>,
    pub(crate) on_expiry: Said<OnExpiry>,
    pub(crate) on_failure: Said<FailureEnd>,
    pub(crate) bounce_after: Said<u32>,
    pub(crate) clear_fallback: Said<ClearFallback>,
    pub(crate) client_identity: Said<ClientIdentity>,
    pub(crate) ignores_published: bool,
    pub(crate) ignores_from: Option<Origin>,
}

impl Resolved {
    /// A rule or a header field: it asks for no more than this use of TLS, beside sources that were asked before it.
    pub(crate) fn of_level(level: Level, demand: Arc<Demand>, origin: Origin) -> Self {
        Self {
            level: Some(level),
            demand,
            tls_from: Some(origin),
            floor_from: None,
            group_from: None,
            ciphers_from: None,
            certificate_from: None,
            writes_none: false,
            refuse: RefuseWith::Permanent,
            lifetime: None,
            retry: None,
            on_expiry: None,
            on_failure: None,
            bounce_after: None,
            clear_fallback: None,
            client_identity: None,
            // Of what is published it says nothing: in a join that leaves all as it is.
            ignores_published: true,
            ignores_from: None,
        }
    }

    /// The join; where both ask the same, the first is the one that decided.
    pub(crate) fn join(self, other: Self) -> Self {
        let decides = |own: Option<Origin>, theirs: Option<Origin>, more: bool| match (own, theirs) {
            (Some(own), Some(theirs)) => Some(if more { theirs } else { own }),
            (own, theirs) => own.or(theirs),
        };
        let stricter = other.level.is_some() && (self.level.is_none() || other.demand.tls > self.demand.tls);
        let as_strict = self.level.is_some() && other.level.is_some() && other.demand.tls == self.demand.tls;
        let refuse = match (stricter, as_strict) {
            (true, _) => other.refuse,
            (_, true) => self.refuse.max(other.refuse),
            _ => self.refuse,
        };
        let both = |own: Option<[Origin; 2]>, theirs: Option<[Origin; 2]>| match (own, theirs) {
            (Some([own, second]), Some([theirs, _])) => Some([own, if second == own { theirs } else { second }]),
            (own, theirs) => own.or(theirs),
        };
        Self {
            level: self.level.max(other.level),
            tls_from: if stricter { other.tls_from } else { self.tls_from },
            floor_from: decides(self.floor_from, other.floor_from, other.demand.min_version > self.demand.min_version),
            group_from: decides(self.group_from, other.group_from, other.demand.min_group > self.demand.min_group),
            ciphers_from: both(self.ciphers_from, other.ciphers_from),
            certificate_from: both(self.certificate_from, other.certificate_from),
            writes_none: match (self.level, other.level) {
                (Some(_), Some(_)) => self.writes_none && other.writes_none,
                (Some(_), None) => self.writes_none,
                (None, _) => other.writes_none,
            },
            refuse,
            demand: join_shared(self.demand, other.demand),
            lifetime: more_binding(self.lifetime, other.lifetime, |a, b| a < b),
            // Whoever is asked to try sooner does.
            retry: more_binding(self.retry, other.retry, |a, b| a < b),
            on_expiry: more_binding(self.on_expiry, other.on_expiry, |a, b| gentleness(*a) < gentleness(*b)),
            // A bounce tells somebody, and sooner.
            on_failure: more_binding(self.on_failure, other.on_failure, |a, b| *a == FailureEnd::Bounce && *b == FailureEnd::Retry),
            bounce_after: more_binding(self.bounce_after, other.bounce_after, |a, b| a < b),
            clear_fallback: stricter_of(self.clear_fallback, other.clear_fallback),
            // Of two that say something of one rank, the first that was asked does.
            client_identity: more_binding(self.client_identity, other.client_identity, |_, _| false),
            // What is published may only be ignored where everybody says so.
            ignores_published: self.ignores_published && other.ignores_published,
            ignores_from: self.ignores_from.or(other.ignores_from),
        }
    }

    /// Tells the tracer whose word holds within the scope.
    pub(super) fn tell<T: Tracer>(&self, tracer: &mut T) {
        let ciphers = self.ciphers_from.into_iter().flatten().map(|origin| (Axis::Ciphers, Some(origin)));
        let single = [(Axis::Tls, self.tls_from), (Axis::MinVersion, self.floor_from), (Axis::MinGroup, self.group_from)];
        for (axis, origin) in single.into_iter().chain(ciphers) {
            if let Some(origin) = origin {
                tracer.holds(axis, origin);
            }
        }
    }

    /// Whether what the recipient's domain publishes does not count.
    pub(crate) fn leaves_out_published(&self) -> bool {
        self.ignores_published || self.writes_none
    }

    pub(crate) fn fate(&self) -> Fate {
        let builtin = Fate::default();
        let lifetime = self.lifetime.map_or(builtin.lifetime, |(lifetime, _)| lifetime);
        let on_expiry = self.on_expiry.map_or(builtin.on_expiry, |(on_expiry, _)| on_expiry);
        let on_failure = match self.on_failure {
            Some((FailureEnd::Bounce, _)) => OnFailure::Bounce { after: self.bounce_after.map_or(BOUNCE_AFTER, |(after, _)| after) },
            _ => OnFailure::Retry,
        };
        let retry = self.retry.as_ref().map(|(retry, _)| retry.clone());
        Fate::new(lifetime, on_expiry).with_on_failure(on_failure).with_retry(retry)
    }

    pub(crate) fn client_identity(&self) -> ClientIdentity {
        self.client_identity.as_ref().map(|(identity, _)| identity.clone()).unwrap_or_default()
    }

    pub(crate) fn clear_fallback(&self) -> ClearFallback {
        self.clear_fallback.map_or_else(ClearFallback::default, |(fallback, _)| fallback)
    }
}

/// Of two that speak of the fate, an entry goes before a default, then the one that `wins`.
fn more_binding<T>(a: Said<T>, b: Said<T>, wins: impl Fn(&T, &T) -> bool) -> Said<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(match (a.1.kind.is_entry(), b.1.kind.is_entry()) {
            (true, false) => a,
            (false, true) => b,
            _ if wins(&b.0, &a.0) => b,
            _ => a,
        }),
        (a, b) => a.or(b),
    }
}

/// Of two ends the one that tells the sender goes before the one that loses nothing, and that before the one that does.
fn gentleness(end: OnExpiry) -> u8 {
    match end {
        OnExpiry::Bounce => 0,
        OnExpiry::Hold => 1,
        _ => 2,
    }
}

/// The later chance to go in clear, whoever says so.
fn stricter_of(a: Said<ClearFallback>, b: Said<ClearFallback>) -> Said<ClearFallback> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 > a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Identical conclusive verdicts in a row after which mail bounces, where nothing else is written (F5).
const BOUNCE_AFTER: u32 = 3;
