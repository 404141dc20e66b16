//! What a relay delivered, held against each level.

use std::collections::BTreeMap;

use sealpost_policy::Policy;
use sealpost_relay::config::Config;
use sealpost_relay::history_directory;
use sealpost_relay::replay::{Case, Replay, Would};
use sealpost_report::{Event, EventKind, Filter, HistoryReader, parse_moment};
use sealpost_transport::WallClock;
use sealpost_types::{Domain, ForwardPath, NextHop, UnixMillis, WithCauses};

use super::candidate::Candidate;
use crate::levels::policy_of;
use crate::survey::Standing;

/// What would have become of the deliveries to one domain at one level.
#[derive(Clone, Debug, Default)]
struct AtLevel {
    held: u64,
    stopped: u64,
    untold: u64,
    /// The last reason why not.
    why: Option<String>,
}

/// The deliveries to one domain.
#[derive(Clone, Debug, Default)]
struct Deliveries {
    /// As in [`LEVELS`].
    levels: [AtLevel; LEVELS.len()],
    all: u64,
    /// Why there is nothing to say, where mail goes by a route.
    routed: bool,
}

/// What the history of a relay says of each domain that it delivered to.
pub(super) fn candidates(config: &Config, since: &str) -> Result<Vec<Candidate>, String> {
    let now = WallClock::system().now();
    let since = parse_moment(since, now).map_err(|error| format!("--since: {error}"))?;
    let policies: Vec<_> =
        LEVELS.into_iter().map(|standing| policy_of(standing.document().unwrap_or_default())).collect::<Result<_, _>>()?;
    let mut reader = HistoryReader::open(&history_directory(config)).map_err(|error| WithCauses(&error).to_string())?;
    let mut found: BTreeMap<Domain, Deliveries> = BTreeMap::new();
    each(&mut reader, since, now, |event| {
        let Some(domain) = event.recipient.as_ref().and_then(ForwardPath::domain) else { return };
        found.entry(domain.clone()).or_default().add(config, &policies, event);
    })?;
    for (file, problem) in reader.unreadable() {
        eprintln!("warning: {} cannot be read, its entries are missing: {problem}", file.display());
    }
    Ok(found.into_iter().filter(|(_, deliveries)| deliveries.all > 0).map(|(domain, deliveries)| deliveries.candidate(domain)).collect())
}

/// The history page by page, the oldest first.
fn each(reader: &mut HistoryReader, since: UnixMillis, now: UnixMillis, mut take: impl FnMut(&Event)) -> Result<(), String> {
    let mut page = Filter::default();
    page.kinds = vec![EventKind::Delivered, EventKind::Bounced, EventKind::DeletedByTlsPolicy];
    (page.since, page.until) = (Some(since), Some(now));
    (page.limit, page.newest_first) = (PAGE, false);
    loop {
        let rows = reader.query(&page).map_err(|error| WithCauses(&error).to_string())?;
        let Some(last) = rows.last() else { return Ok(()) };
        page.after = Some((last.event.at, last.id));
        rows.iter().for_each(|row| take(&row.event));
    }
}

impl Deliveries {
    fn add(&mut self, config: &Config, policies: &[Policy], event: &Event) {
        let mut judged_any = false;
        for (level, policy) in self.levels.iter_mut().zip(policies) {
            // Entries without a connection, such as those of a bounce for another reason, say nothing.
            let Some(judged) = Replay::new(config, policy).event(event) else { continue };
            judged_any = true;
            level.add(judged.case, judged.change.as_ref().map(|change| (change.would, change.why.to_string())));
        }
        self.routed |= !matches!(event.next_hop.as_deref().map(str::parse), Some(Ok(NextHop::Mx(_))));
        self.all += u64::from(judged_any);
    }

    /// The strictest level at which nothing would have been stopped.
    fn candidate(self, domain: Domain) -> Candidate {
        if self.routed {
            let why = "its mail does not go to its mail exchangers, but where a route says".to_owned();
            return Candidate { domain, standing: Standing::Untested, warnings: vec![why] };
        }
        let best = LEVELS.into_iter().zip(&self.levels).rev().find(|(_, level)| level.holds());
        let (standing, next) = match best {
            Some((standing, _)) => {
                let place = LEVELS.iter().position(|one| *one == standing).unwrap_or_default();
                (standing, self.levels.get(place + 1))
            }
            None => {
                let standing =
                    if self.levels.first().is_some_and(|level| level.stopped > 0) { Standing::Clear } else { Standing::Untested };
                (standing, self.levels.first())
            }
        };
        let mut warnings = Vec::new();
        if let Some(next) = next.filter(|_| matches!(standing, Standing::Clear | Standing::Untested | Standing::Require | Standing::Chain))
        {
            let why = next.why.clone().unwrap_or_default();
            warnings.push(format!(
                "of {} deliveries {} would have been stopped, {} cannot be told: {why}",
                self.all, next.stopped, next.untold
            ));
        }
        if self.all < FEW && standing.level().is_some() {
            warnings.push(format!("few deliveries say so: {}", self.all));
        }
        Candidate { domain, standing, warnings }
    }
}

impl AtLevel {
    fn add(&mut self, case: Case, change: Option<(Would, String)>) {
        match (case, change) {
            (Case::Delivery, None) | (Case::Failure, Some((Would::GoOut, _))) => self.held += 1,
            (_, Some((Would::Untold, why))) => {
                self.untold += 1;
                self.why = Some(why);
            }
            (_, change) => {
                self.stopped += 1;
                self.why = change.map(|(_, why)| why).or_else(|| self.why.take());
            }
        }
    }

    fn holds(&self) -> bool {
        self.held > 0 && self.stopped == 0 && self.untold == 0
    }
}

/// The levels that deliveries are held against, the weakest first. What DANE asks, the history does not tell.
const LEVELS: [Standing; 4] = [Standing::Require, Standing::Chain, Standing::VerifyMx, Standing::Verify];

/// Deliveries that are few.
const FEW: u64 = 5;

/// Entries that are read at a time.
const PAGE: usize = 2000;
