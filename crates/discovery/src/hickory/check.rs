//! Whether the name servers let DNSSEC be validated at all, found out with a zone that is known to be signed.

use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::question::{Asker, Fault};
use crate::Validation;

/// What was found out, and when.
///
/// That validation works is found out once: what is not proven later is bogus, so that nobody switches it off from outside. That
/// it does not is looked at again from time to time.
#[derive(Debug)]
pub(super) struct Check {
    zones: Vec<Name>,
    state: Mutex<Option<(Validation, Instant)>>,
    works: std::sync::atomic::AtomicBool,
}

impl Check {
    /// A check with the keys of these zones.
    pub(super) fn new(zones: Vec<Name>) -> Self {
        Self { zones, state: Mutex::new(None), works: false.into() }
    }

    pub(super) async fn result(&self, asker: &Asker, time: Duration) -> Validation {
        use std::sync::atomic::Ordering;
        if self.works.load(Ordering::Acquire) {
            return Validation::Works;
        }
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some((known, since)) = &*state {
            let again = if matches!(known, Validation::Unsure { .. }) { AGAIN_UNSURE } else { AGAIN_BROKEN };
            if *known == Validation::Works || now.saturating_duration_since(*since) < again {
                return known.clone();
            }
        }
        let found = self.find_out(asker, time.min(CHECK_TIMEOUT)).await;
        match &found {
            Validation::Works => tracing::info!("DNSSEC validation works: DANE is used where it is published"),
            unsure @ Validation::Unsure { .. } => tracing::warn!("{unsure}"),
            other => tracing::error!("{other}; DANE is NOT used, and mail that needs it waits"),
        }
        self.works.store(found == Validation::Works, Ordering::Release);
        *state = Some((found.clone(), Instant::now()));
        found
    }

    async fn find_out(&self, asker: &Asker, time: Duration) -> Validation {
        for zone in &self.zones {
            for kind in [RecordType::DNSKEY, RecordType::SOA] {
                let found = timeout(time, asker.find(zone.clone(), kind, Instant::now())).await;
                let reason = match found.unwrap_or(Err(Fault::Net(NetError::Timeout))) {
                    Ok(answer) if answer.dnssec.is_secure() && !answer.records.is_empty() => continue,
                    Ok(answer) if answer.records.is_empty() => "the name servers say that there is none".to_owned(),
                    Ok(answer) => match asker {
                        Asker::TrustAd(_) => "the answer comes without the AD bit: these name servers do not validate".to_owned(),
                        _ => format!("the answer is {}", answer.dnssec),
                    },
                    Err(Fault::Bogus) => "the signatures are missing or do not lead to the trust anchor: the name servers strip \
                                          DNSSEC, or the trust anchor is not theirs"
                        .to_owned(),
                    Err(Fault::Code(code)) if code != ResponseCode::ServFail => format!("the name servers answer {code}"),
                    Err(Fault::Referral | Fault::Unusable) => "the answer cannot be used".to_owned(),
                    Err(fault) => return Validation::Unsure { reason: format!("{kind} of {zone} was asked for, and {}", unsure(&fault)) },
                };
                return Validation::Broken { reason: format!("{kind} of {zone} was asked for, and {reason}") };
            }
        }
        Validation::Works
    }
}

fn unsure(fault: &Fault) -> String {
    match fault {
        Fault::Code(code) => format!("the name servers answer {code}"),
        Fault::Net(NetError::Io(error)) => format!("no name server could be reached ({error})"),
        _ => "no name server answered in time".to_owned(),
    }
}

/// For one question of the check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// How soon it is found out again whether name servers that did not answer do.
const AGAIN_UNSURE: Duration = Duration::from_secs(30);

/// How soon it is found out again whether name servers that do not let validate do.
const AGAIN_BROKEN: Duration = Duration::from_secs(600);
