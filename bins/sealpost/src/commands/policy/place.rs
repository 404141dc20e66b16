//! Where a rule moves to.

use sealpost_policy::{PolicyText, RulePlace};

use super::super::Failure;
use crate::cli;

/// The place that the options name, for the rule of this name.
pub(super) fn of(text: &PolicyText, name: &str, place: &cli::RulePlace) -> Result<RulePlace, Failure> {
    if let Some(rule) = &place.before {
        return Ok(RulePlace::Before(rule.clone()));
    }
    if let Some(rule) = &place.after {
        return Ok(RulePlace::After(rule.clone()));
    }
    let rules = text.rules();
    let now = rules.iter().position(|entry| entry.form.name == name).map(|index| index + 1);
    let now = now.ok_or_else(|| format!("there is no rule {name:?}; `sealpost rules list` shows them"))?;
    Ok(match place {
        cli::RulePlace { last: true, .. } => RulePlace::Last,
        cli::RulePlace { first: true, .. } => RulePlace::Position(1),
        cli::RulePlace { up: true, .. } => RulePlace::Position(now.saturating_sub(1).max(1)),
        cli::RulePlace { down: true, .. } => RulePlace::Position((now + 1).min(rules.len())),
        _ => RulePlace::Position(place.to.unwrap_or(now)),
    })
}
