//! A domain, and the strictest level that holds for it.

use sealpost_types::Domain;

use crate::survey::{Row, Standing};

/// What is suggested for one domain, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) domain: Domain,
    pub(super) standing: Standing,
    /// What somebody should look at first.
    pub(super) warnings: Vec<String>,
}

impl Candidate {
    /// What a test found. With `all_hosts` only what all of its hosts have.
    pub(super) fn of_row(row: &Row, all_hosts: bool) -> Result<Self, String> {
        let domain = Domain::parse(&row.domain).map_err(|error| format!("{:?}: {error}", row.domain))?;
        let standing = if all_hosts { of_all(row) } else { row.standing() };
        let mut warnings = Vec::new();
        match standing {
            Standing::Chain | Standing::Require | Standing::Clear | Standing::Nothing | Standing::NoMail | Standing::Untested => {
                warnings.extend(row.why());
            }
            _ => {
                let level = standing.level().and_then(|word| row.level(word));
                let others = level.and_then(|level| level.words.split_once(" ("));
                let others = others.map(|(_, others)| others.strip_suffix(')').unwrap_or(others).to_owned());
                warnings.extend(others);
            }
        }
        // Where certificates do not count, their end does not either.
        let counts = matches!(standing, Standing::Verify | Standing::VerifyMx | Standing::Chain);
        if let Some(days) =
            row.first_to_end().and_then(|certificate| certificate.days_left).filter(|days| counts && (0..SOON).contains(days))
        {
            warnings.push(format!("a certificate ends in {days} days"));
        }
        if standing == Standing::DaneOnly {
            warnings.extend(
                row.first_to_end()
                    .and_then(|certificate| certificate.days_left)
                    .filter(|days| *days < 0)
                    .map(|_| "its certificate has expired, which DANE does not mind".to_owned()),
            );
        }
        Ok(Self { domain, standing, warnings })
    }
}

/// The strictest level that every host has.
fn of_all(row: &Row) -> Standing {
    let standing = row.standing();
    let has_all =
        |word: &str| row.level(word).is_some_and(|level| level.passes() && level.hosts.iter().all(|host| host.result == "passes"));
    let best = Standing::ALL.into_iter().find(|standing| standing.level().is_some_and(has_all));
    match best {
        Some(best) => best,
        // One host may have TLS, and the others not.
        None if standing.level().is_some() => Standing::Clear,
        None => standing,
    }
}

/// Days before an end that is warned of.
const SOON: i64 = 14;
