//! The MTA-STS policies that are kept, as they are asked for and answered.

use sealpost_discovery::StsKept;
use sealpost_types::StsMode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which kept policies are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[non_exhaustive]
pub struct StsQuery {
    /// Those of this mode: `enforce`, `testing` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Only those behind this domain: the `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many, 100 by default, 1000 at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of the kept policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct StsPage {
    /// The policies, by domain.
    pub policies: Vec<StsEntry>,
    /// What to give as `after` for the next page; null where there is none.
    pub next: Option<String>,
}

/// The MTA-STS policy of a recipient domain, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct StsEntry {
    /// The domain.
    pub domain: String,
    /// The id that it had in DNS when the policy was fetched.
    pub id: String,
    /// What it is for: `enforce`, `testing` or `none`.
    pub mode: String,
    /// The hosts that it names.
    pub mx: Vec<String>,
    /// How long it says that it holds: seconds.
    pub max_age: u64,
    /// When it was fetched: milliseconds since 1970.
    pub fetched: i64,
    /// When it ends: milliseconds since 1970.
    pub expires: i64,
    /// When it is looked for anew: milliseconds since 1970.
    pub refresh: i64,
    /// When mail last asked for it, to the day: milliseconds since 1970.
    pub used: i64,
    /// The last look for a newer one that failed since then.
    pub failure: Option<StsFailed>,
}

/// A look for a newer policy that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct StsFailed {
    /// When: milliseconds since 1970.
    pub at: i64,
    /// Why.
    pub reason: String,
}

impl StsPage {
    /// What is asked for of these, which are in the order of their domains.
    ///
    /// # Errors
    /// A mode that there is none of, in words.
    pub fn of(kept: &[StsKept], query: &StsQuery) -> Result<Self, String> {
        let mode = query.mode.as_deref().map(str::parse::<StsMode>).transpose().map_err(|error| format!("mode: {error}"))?;
        let limit = query.limit.unwrap_or(ENTRIES).clamp(1, MOST);
        let is_wanted = |kept: &&StsKept| {
            query.after.as_deref().is_none_or(|after| kept.domain.as_str() > after) && mode.is_none_or(|mode| kept.kept.policy.mode == mode)
        };
        let mut wanted = kept.iter().filter(is_wanted).map(StsEntry::of);
        let policies: Vec<_> = wanted.by_ref().take(limit).collect();
        let next = wanted.next().and_then(|_| policies.last()).map(|last| last.domain.clone());
        Ok(Self { policies, next })
    }
}

impl StsEntry {
    /// A policy that is kept.
    #[must_use]
    pub fn of(kept: &StsKept) -> Self {
        let StsKept { domain, kept, refresh_at, used_at, failure, .. } = kept;
        Self {
            domain: domain.to_string(),
            id: kept.id.to_string(),
            mode: kept.policy.mode.to_string(),
            mx: kept.policy.mx.iter().map(ToString::to_string).collect(),
            max_age: kept.policy.max_age.as_secs(),
            fetched: kept.fetched_at.0,
            expires: kept.expires_at.0,
            refresh: refresh_at.0,
            used: used_at.0,
            failure: failure.as_ref().map(|failure| StsFailed { at: failure.at.0, reason: failure.reason.to_string() }),
        }
    }
}

/// Policies that are given where nobody says how many.
const ENTRIES: usize = 100;

/// Policies in one answer at most.
const MOST: usize = 1000;
