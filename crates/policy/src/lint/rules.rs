//! Oddities of message rules and of the lists that they look into.

use sealpost_types::UnixMillis;

use super::{Lint, Oddity, Unreachable};
use crate::policy::Policy;
use crate::scope::Origin;
use crate::trace::{Place, Source, SourceKind};

pub(super) fn look(policy: &Policy, now: UnixMillis, found: &mut Vec<Lint>) {
    let main = &policy.main;
    let (mut stopped, mut level_set): (Option<Place>, Option<Place>) = (None, None);
    for (number, rule) in (0..).zip(&main.rules) {
        let source = Source::of(policy, Origin { kind: SourceKind::Rule, included: false, entry: number });
        let mut note = |oddity| found.push(Lint { source: source.clone(), oddity });
        let expired = rule.until.filter(|until| now > *until);
        if let Some(until) = expired {
            note(Oddity::Expired { until });
        }
        if let Some(by) = &stopped {
            note(Oddity::Unreachable { because: Unreachable::Stopped { by: by.clone() } });
            continue;
        }
        if let (Some(by), Some(_)) = (&level_set, rule.level) {
            note(Oddity::Unreachable { because: Unreachable::LevelSet { by: by.clone() } });
        }
        if rule.when.is_always() && !rule.testing && expired.is_none() {
            let place = source.place();
            level_set = level_set.or_else(|| place.filter(|_| rule.level.is_some()).cloned());
            stopped = place.filter(|_| rule.stop).cloned();
        }
    }
    for (number, list) in (0..).zip(&main.named_lists) {
        let oddity = match (list.is_used, list.is_empty) {
            (false, _) => Oddity::Unused,
            (true, true) => Oddity::Empty,
            (true, false) => continue,
        };
        let source = Source::of(policy, Origin { kind: SourceKind::List, included: false, entry: number });
        found.push(Lint { source, oddity });
    }
}
