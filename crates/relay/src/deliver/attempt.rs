//! One attempt at one entry: every party of its recipients, host after host.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use sealpost_policy::{DeliverFacts, HostFacts, Policy};
use sealpost_queue::{Entry, Lease};
use sealpost_report::EventKind;
use sealpost_smtp::{Missing, Reply, Transaction, missing_for};
use sealpost_transport::{ConnectError, ConnectOptions, ConnectStage, Connection, RecipientOutcome, TransferError};
use sealpost_types::{HostDemand, Level, NextHop, Retry, TlsRequirement, TlsVersion, WireKey};

use super::body::LeasedBody;
use super::outcome::{self, Contact, Outcome, Party, Trouble};
use super::tell;
use crate::engine::{Components, Engine};
use crate::hosts::{self, Host};
use crate::{account, random, route, submit};

/// One attempt at one entry.
pub(crate) struct Attempt<'a, C: Components> {
    engine: &'a Engine<C>,
    policy: Arc<Policy>,
    generation: u64,
    lease: &'a Lease,
    entry: &'a Entry,
    damage: OnceLock<String>,
}

/// How a host is talked to.
enum Way {
    /// As the policy says.
    AsDecided,
    /// In clear on a new connection, after TLS failed where it was not mandatory.
    InClear {
        /// How it failed.
        reason: String,
    },
    /// Over TLS with any certificate, where a host asked for it and the policy would not have tried.
    OverTls,
}

/// What is known of the hosts that failed.
#[derive(Default)]
struct Failures {
    hosts: usize,
    tls: usize,
    unreachable: usize,
    /// The one to tell of: the last that was about TLS, else the last.
    told: Option<Trouble>,
}

impl<'a, C: Components> Attempt<'a, C> {
    pub(crate) fn new(engine: &'a Engine<C>, lease: &'a Lease) -> Self {
        // The number is read first: a policy that changes in between makes the connection older than it is, never newer.
        let generation = engine.generation.load(Ordering::Acquire);
        Self { engine, policy: engine.policy.load_full(), generation, lease, entry: lease.entry(), damage: OnceLock::new() }
    }

    /// What is wrong with the stored body, if sending it showed that something is.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// The parties of the recipients that are due: each is decided on its own, and only equals travel together.
    pub(crate) fn parties(&self) -> Vec<Party> {
        let mut parties: Vec<Party> = Vec::new();
        for index in self.entry.due_recipients(self.engine.now()) {
            let Some(recipient) = self.entry.envelope.recipients.get(index) else { continue };
            let next_hop = route::next_hop(&self.policy, &self.engine.config, &recipient.path);
            let facts = DeliverFacts::new(&self.entry.envelope.reverse_path, &recipient.path, self.entry.reception.is_secure());
            let decision = self.policy.decide_deliver(&facts);
            match parties.iter_mut().find(|party| party.next_hop == next_hop && party.decision == decision) {
                Some(party) => party.recipients.push(index),
                None => parties.push(Party { next_hop, decision, recipients: vec![index] }),
            }
        }
        parties
    }

    /// What becomes of each recipient of a party, in its order.
    pub(crate) async fn deliver(&self, party: &Party) -> Vec<Outcome> {
        let destination = party.next_hop.destination();
        if let Some(silence) = self.engine.lanes.silence(&destination, self.engine.now()) {
            return self.all(party, Outcome::PutOff(submit::put_off(&silence)));
        }
        let hosts = match hosts::resolve(&self.engine.resolver, &party.next_hop, &self.engine.config.hostname, random::number()).await {
            Ok(hosts) => hosts,
            Err(error) if error.is_permanent() => return self.all(party, Outcome::Failed(Trouble::new(error.to_string(), error.status()))),
            Err(error) => {
                let trouble = Trouble::new(error.to_string(), error.status());
                self.fell_silent(&party.next_hop, &trouble.reason);
                return self.all(party, Outcome::Deferred(trouble));
            }
        };
        let mut failures = Failures::default();
        let mut answer = self.try_hosts(party, &hosts, &Way::AsDecided, &mut failures).await;
        if answer.is_none()
            && let Some(reason) = self.clear_fallback(party, &failures)
        {
            answer = self.try_hosts(party, &hosts, &Way::InClear { reason }, &mut failures).await;
        }
        // `mirror` only follows the first hop: a host that wants TLS gets it. `none` was written by an operator, and stays.
        if party.decision.level == Level::Mirror && answer.as_deref().is_some_and(all_want_tls) {
            answer = self.try_hosts(party, &hosts, &Way::OverTls, &mut failures).await;
        }
        answer.unwrap_or_else(|| self.all(party, Outcome::Deferred(self.conclude(party, failures))))
    }

    /// Host after host, until one gives an answer.
    async fn try_hosts(&self, party: &Party, hosts: &[Host], way: &Way, failures: &mut Failures) -> Option<Vec<Outcome>> {
        let options = ConnectOptions::of_generation(self.generation);
        for host in hosts {
            let key = self.wire_key(party, host, way);
            let _permit = self.engine.permits.acquire().await.ok()?;
            // A connection from the pool may have been closed by the other side: then a new one is made, once.
            let mut reused = self.engine.pool.take(&key);
            loop {
                let fresh = reused.is_none();
                let connection = match reused.take() {
                    Some(connection) => connection,
                    None => match self.engine.connector.connect(&key, &options).await {
                        Ok(connection) => connection,
                        Err(error) => {
                            self.host_failed(party, host, &key, &error, failures);
                            break;
                        }
                    },
                };
                self.engine.lanes.answered(&party.next_hop.destination());
                match self.hand_over(party, host, &key, connection, way).await {
                    Ok(outcomes) => return Some(outcomes),
                    Err((_, error)) if !fresh && error.retry() == Retry::OtherHost => {}
                    Err((contact, error)) => {
                        let trouble = broken(&contact, &error);
                        self.record_attempt(party, EventKind::Attempt, &trouble);
                        if error.retry() != Retry::OtherHost {
                            return Some(self.all(party, Outcome::Deferred(trouble)));
                        }
                        failures.note(trouble, false);
                        break;
                    }
                }
            }
        }
        None
    }

    /// The transaction with one host. An error means that no recipient has an answer.
    async fn hand_over(
        &self,
        party: &Party,
        host: &Host,
        key: &WireKey,
        mut connection: Connection<C::Tls>,
        way: &Way,
    ) -> Result<Vec<Outcome>, (Arc<Contact>, TransferError)> {
        let contact = Arc::new(Contact::new(host, key, &connection, way.downgrade()));
        let transaction = self.transaction(party);
        if let Some(missing) = missing_for(&transaction, connection.extensions()).into_iter().find(|missing| *missing != Missing::Dsn) {
            self.engine.pool.put(connection);
            return Ok(self.all(party, Outcome::Failed(lacking(&contact, missing))));
        }
        let mut body = LeasedBody::new(self.lease.body());
        let result = match connection.deliver(transaction, &mut body).await {
            Ok(result) => result,
            // What the session would refuse was asked above; what is left is a connection that cannot be used.
            Err(error) => {
                let trouble = Trouble::new(format!("{}: {error}", contact.host), outcome::BAD_CONNECTION);
                return Ok(self.all(party, Outcome::Deferred(trouble)));
            }
        };
        if let Some(damage) = body.damage() {
            // Whoever else shares the entry finds the same; the first word stays.
            let _ = self.damage.set(damage.to_owned());
        }
        let mut outcomes = Vec::with_capacity(party.recipients.len());
        let mut unanswered = None;
        for answer in result.outcomes() {
            outcomes.push(match answer {
                RecipientOutcome::Delivered(reply) => Outcome::Delivered(Arc::clone(&contact), reply.clone()),
                RecipientOutcome::Refused(reply) => outcome::refused(&contact, reply),
                RecipientOutcome::Broken(error) => {
                    unanswered.get_or_insert_with(|| error.clone());
                    Outcome::Deferred(broken(&contact, error))
                }
                // An answer that this relay does not know is none.
                _ => Outcome::Deferred(Trouble::new("the host's answer is of an unknown kind", outcome::BAD_CONNECTION)),
            });
        }
        self.engine.pool.put(connection);
        match unanswered {
            Some(error) if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Deferred(trouble) if trouble.reply.is_none())) => {
                Err((contact, error))
            }
            _ => Ok(outcomes),
        }
    }

    /// Which connections will do: those that the policy says, or the one way beside it that this attempt has come to.
    fn wire_key(&self, party: &Party, host: &Host, way: &Way) -> WireKey {
        let beside = |tls| HostDemand::new(tls, Vec::new(), TlsVersion::default());
        match way {
            Way::AsDecided => {
                let facts = HostFacts::new(&party.next_hop, host.name.as_ref(), host.secure, host.address);
                self.policy.decide_host(&party.decision, &facts).wire_key
            }
            Way::InClear { .. } => WireKey::new(host.address, None, beside(TlsRequirement::Never)),
            Way::OverTls => WireKey::new(host.address, host.name.clone(), beside(TlsRequirement::Mandatory)),
        }
    }

    fn transaction(&self, party: &Party) -> Transaction {
        let envelope = &self.entry.envelope;
        let recipients = party.recipients.iter().filter_map(|index| envelope.recipients.get(*index).cloned()).collect();
        let mut transaction = Transaction::new(envelope.reverse_path.clone(), recipients, self.entry.size);
        transaction.body = envelope.body;
        transaction.smtputf8 = envelope.smtputf8;
        // One flight for what fits into a packet or a few; a large body waits for the answers to the envelope.
        transaction.inline_body = self.lease.body().as_slice().is_some_and(|body| body.len() <= INLINE_OCTETS);
        transaction
    }

    /// Whether the party's mail may go in clear now, and why it would.
    ///
    /// Only where TLS was asked for no more than opportunistically, where TLS is what failed, and not at once: a
    /// failure of a moment must not cost the mail its protection, so the first attempt ends with a deferral.
    fn clear_fallback(&self, party: &Party, failures: &Failures) -> Option<String> {
        let opportunistic = party.decision.demand.tls == TlsRequirement::Opportunistic;
        let again = party.recipients.iter().all(|index| {
            let deferral = self.entry.deferrals.get(*index).and_then(Option::as_ref);
            deferral.is_some_and(|deferral| deferral.tls_failure)
        });
        if opportunistic && again && failures.tls > 0 { failures.told.as_ref().map(|trouble| trouble.reason.clone()) } else { None }
    }

    fn host_failed(&self, party: &Party, host: &Host, key: &WireKey, error: &ConnectError, failures: &mut Failures) {
        let tls = error.is_tls_failure();
        let trouble = Trouble {
            reason: format!("{}: {}", host.shown(), error.fault),
            tls,
            tls_at_a_host: tls,
            wants_tls: false,
            status: if tls { outcome::TLS_TROUBLE } else { error.reply().and_then(Reply::status).unwrap_or(outcome::NO_ANSWER) },
            reply: error.reply().cloned(),
            host: Some(host.shown()),
            address: Some(host.address),
            proof: account::failed_proof(key, error).map(Arc::new),
        };
        let kind = if tls { EventKind::CheckTls } else { EventKind::Attempt };
        if tls {
            self.engine.counters.tls_failures.add_one();
        }
        self.record_attempt(party, kind, &trouble);
        failures.note(trouble, error.stage == ConnectStage::Connect);
    }

    /// What the party is told when every host failed.
    fn conclude(&self, party: &Party, failures: Failures) -> Trouble {
        let mut trouble = failures.told.unwrap_or_else(|| Trouble::new("the destination has no host to try", outcome::NO_ANSWER));
        // It is a TLS failure when every host failed because of TLS: a host that is down might have had it.
        trouble.tls = failures.tls > 0 && failures.tls == failures.hosts;
        trouble.tls_at_a_host = failures.tls > 0;
        if failures.hosts > 0 && failures.unreachable == failures.hosts {
            self.fell_silent(&party.next_hop, &trouble.reason);
        }
        trouble
    }

    fn fell_silent(&self, next_hop: &NextHop, reason: &str) {
        let retry = &self.engine.config.queue.retry;
        self.engine
            .lanes
            .fell_silent(&next_hop.destination(), self.engine.now(), reason, |failures| retry.wait_after(failures, random::jitter()));
    }

    fn record_attempt(&self, party: &Party, kind: EventKind, trouble: &Trouble) {
        for index in &party.recipients {
            if let Some(event) = tell::of_recipient(&self.policy, kind, self.engine.now(), self.entry, *index, &party.next_hop) {
                self.engine.record(tell::with_trouble(event, trouble));
            }
        }
    }

    fn all(&self, party: &Party, outcome: Outcome) -> Vec<Outcome> {
        vec![outcome; party.recipients.len()]
    }
}

impl Way {
    fn downgrade(&self) -> Option<&str> {
        match self {
            Self::InClear { reason } => Some(reason),
            _ => None,
        }
    }
}

impl Failures {
    fn note(&mut self, trouble: Trouble, unreachable: bool) {
        self.hosts += 1;
        self.tls += usize::from(trouble.tls);
        self.unreachable += usize::from(unreachable);
        if trouble.tls || !self.told.as_ref().is_some_and(|told| told.tls) {
            self.told = Some(trouble);
        }
    }
}

fn broken(contact: &Contact, error: &TransferError) -> Trouble {
    let mut trouble = Trouble::new(format!("{}: {error}", contact.host), outcome::BAD_CONNECTION);
    trouble.host = Some(contact.host.clone());
    trouble.address = Some(contact.address);
    trouble.proof = Some(Arc::clone(&contact.proof));
    trouble
}

/// A message that the host cannot take: it would have to be converted, or to shrink.
fn lacking(contact: &Contact, missing: Missing) -> Trouble {
    let status = match missing {
        Missing::SmtpUtf8 => outcome::UTF8_NEEDED,
        Missing::Size { .. } => outcome::TOO_BIG,
        _ => outcome::CONVERSION_NEEDED,
    };
    let mut trouble = Trouble::new(format!("{}: {missing}", contact.host), status);
    trouble.host = Some(contact.host.clone());
    trouble.address = Some(contact.address);
    trouble.proof = Some(Arc::clone(&contact.proof));
    trouble
}

/// Whether nobody was served because the host takes nothing in clear.
fn all_want_tls(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Deferred(trouble) if trouble.wants_tls))
}

/// Octets of a body that goes out together with its envelope where the server lets it.
const INLINE_OCTETS: usize = 16 << 10;
