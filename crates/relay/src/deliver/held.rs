//! Mail that was deferred for TLS stays under what was asked then, until an operator releases it.

use std::fmt;
use std::sync::Arc;

use sealpost_policy::{DeliverDecision, covers, join};
use sealpost_queue::{Deferral, Hold};
use sealpost_types::{Demand, Level};

use super::outcome::Trouble;

/// A delivery obeys what an earlier policy asked, because the one in force asks for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The level that the mail failed at.
    level: Level,
}

/// Raises a decision to what the recipient's last deferral is held under; says if that asks for more than the policy does.
pub(crate) fn raise(decision: &mut DeliverDecision, deferral: Option<&Deferral>, releases: u64) -> Option<Held> {
    let hold = deferral?.hold.as_ref().filter(|hold| hold.releases == releases)?;
    if covers(&decision.demand, &hold.demand) {
        return None;
    }
    decision.demand = Arc::new(join(&decision.demand, &hold.demand));
    decision.level = decision.level.max(hold.level);
    if let Some(shadow) = &mut decision.shadow {
        shadow.demand = Arc::new(join(&shadow.demand, &hold.demand));
        shadow.level = shadow.level.max(hold.level);
    }
    Some(Held { level: hold.level })
}

/// What a recipient is held under from now on, that was deferred in this trouble.
pub(crate) fn after(decision: &DeliverDecision, trouble: &Trouble, before: Option<&Deferral>, releases: u64) -> Option<Arc<Hold>> {
    if trouble.tls_at_a_host && asks_for_tls(&decision.demand) {
        return Some(Arc::new(Hold::new(decision.level, (*decision.demand).clone(), releases)));
    }
    before.and_then(|deferral| deferral.hold.clone())
}

/// Whether TLS is asked for, at some hosts at least: what `dane` asks is known host by host, and its demand says that in a clause.
pub(crate) fn asks_for_tls(demand: &Demand) -> bool {
    demand.is_mandatory() || !demand.clauses.is_empty()
}

/// In the words of the history.
impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held by an earlier policy: {}", self.level)
    }
}
