//! One attempt at one entry: every party of its recipients, host after host.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sealpost_discovery::{ResolveError, StsFound};
use sealpost_policy::{DeliverDecision, HostDecision};
use sealpost_queue::{BodyReadError, Deferral, Lease, Spool as _};
use sealpost_report::{EventKind, RequireTlsMark};
use sealpost_smtp::Reply;
use sealpost_transport::{ConnectError, ConnectOptions, TransferError};
use sealpost_types::{
    ClearFallback, Domain, HostDemand, Level, NextHop, Retry, RetrySchedule, TlsRequirement, TlsVersion, UnixMillis, WireKey,
};

use super::failures::Failures;
use super::outcome::{self, Contact, Outcome, Party, Trouble};
use super::sign::Sign;
use super::subject::{self, Subject};
use super::transfer::{NoAnswer, Transfer};
use crate::engine::{Components, Engine};
use crate::hosts::{self, Host, Hosts, Wanted};
use crate::lanes::{Answered, Silence};
use crate::tlsrpt::Watch;
use crate::{account, random, route, submit};

/// One attempt at one entry.
pub(crate) struct Attempt<'a, C: Components> {
    engine: &'a Engine<C>,
    subject: Subject<'a>,
    generation: u64,
    lease: &'a Lease,
    damage: OnceLock<String>,
}

/// One address of a host, and which connections to it will do.
struct Candidate<'a> {
    host: &'a Host,
    key: WireKey,
    insecure_name: Option<Domain>,
    /// Why it is talked to in clear although TLS was tried.
    downgrade: Option<&'a str>,
    /// What would be asked of it if entries in testing counted, where that is something else.
    shadow: Option<HostDecision>,
    /// Why it may not be used, whatever it presents.
    barred: Option<Trouble>,
}

impl<'a, C: Components> Attempt<'a, C> {
    pub(crate) async fn new(engine: &'a Engine<C>, lease: &'a Lease) -> Self {
        // The numbers are read first: a policy that changes in between makes the connection, and what the mail is held under,
        // older than they are, never newer.
        let (generation, releases) = (engine.generation.load(Ordering::Acquire), engine.spool.releases());
        let subject = Subject::new(engine.policy.load_full(), Arc::clone(&engine.words), releases, lease).await;
        Self { engine, subject, generation, lease, damage: OnceLock::new() }
    }

    /// What is delivered, and the policy that this attempt obeys.
    pub(crate) fn subject(&self) -> &Subject<'a> {
        &self.subject
    }

    /// What is wrong with the stored body, if sending it showed that something is.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// The parties of the recipients that are due: each is decided on its own, and only equals travel together.
    pub(crate) fn parties(&self) -> Vec<Party> {
        let (entry, now) = (self.subject.entry, self.engine.now());
        let decided = entry.due_recipients(now).into_iter().filter_map(|index| {
            let recipient = entry.envelope.recipients.get(index)?;
            let next_hop = route::next_hop(&self.subject.policy, &self.engine.config(), &recipient.path);
            Some((index, next_hop, self.subject.decide(index, now)?))
        });
        group(decided)
    }

    /// What becomes of each recipient of a party, in its order.
    pub(crate) async fn deliver(&self, party: &Party) -> Vec<Outcome> {
        if let Some(deferral) = submit::put_off(self.engine, &party.next_hop.destination(), self.engine.now()) {
            return party.all(Outcome::PutOff(deferral));
        }
        // A rule looks at the header: without it, what the rule asks is not known.
        if let Some(error) = self.subject.unreadable_header() {
            let reason = format!("the header of the stored message cannot be read: {error}");
            if matches!(error, BodyReadError::Damaged { .. }) {
                // Whoever else shares the entry finds the same; the first word stays.
                let _ = self.damage.set(error.to_string());
            }
            return party.all(Outcome::Deferred(Trouble::new(reason, outcome::SYSTEM_TROUBLE)));
        }
        let Hosts { list: hosts, some_unknown } = match self.hosts(party).await {
            Ok(hosts) => hosts,
            Err(error) => {
                if let Some(watch) = self.watch(party) {
                    watch.unresolved(&error);
                }
                return party.all(self.unresolved(&party.next_hop, &error));
            }
        };
        self.engine.counters.attempts.add_one(party.decision.level);
        let mut failures = Failures::default();
        if some_unknown {
            failures.some_untried();
        }
        if hosts.iter().any(|host| host.sts.is_unknown()) {
            failures.published_unknown();
        }
        let mut answer = self.try_each(party, &self.as_decided(party, &hosts), &mut failures).await;
        if answer.is_none() && self.may_go_in_clear(party) && failures.lets_go_in_clear() {
            let failed = failures.without_tls().to_vec();
            answer = self.try_each(party, &self.in_clear(party, &failed), &mut failures).await;
        }
        // `mirror` only follows the first hop: a host that wants TLS gets it. `none` was written by an operator, and stays.
        if party.decision.level == Level::Mirror && answer.as_deref().is_some_and(all_want_tls) {
            answer = self.try_each(party, &self.over_tls(party, &hosts), &mut failures).await;
        }
        if answer.is_none() && failures.is_silent() {
            // Where nobody was asked, because others found out a moment ago, there was no attempt.
            if let Some(until) = failures.left_alone() {
                let deferral = self.silent_until(&party.next_hop, failures.reason(), until);
                return party.all(Outcome::PutOff(deferral));
            }
            self.fell_silent(&party.next_hop, failures.reason());
        }
        answer.unwrap_or_else(|| party.all(failures.conclude(party.decision.require_tls)))
    }

    /// The hosts of the next hop, those that did not answer a short while ago last.
    async fn hosts(&self, party: &Party) -> Result<Hosts, ResolveError> {
        let Party { next_hop, decision, .. } = party;
        let published = decision.depends_on_tlsa(next_hop) || decision.shadow_depends_on_tlsa(next_hop);
        let wanted = Wanted { next_hop, own_name: &self.engine.config().hostname, published };
        let (hosts, sts) = tokio::join!(hosts::resolve(&self.engine.resolver, wanted, random::number()), self.sts(party));
        let mut hosts = hosts?.under(&Arc::new(sts));
        let now = self.engine.now();
        hosts.list.sort_by_key(|host| self.engine.unreachable.silent(host.address, now).is_some());
        Ok(hosts)
    }

    /// The MTA-STS policy of the recipient's domain, where that counts: it is asked for by that domain and by nothing else.
    async fn sts(&self, party: &Party) -> StsFound {
        let Party { next_hop, decision, .. } = party;
        match (&self.engine.sts, next_hop) {
            (Some(sts), NextHop::Mx(domain)) if decision.depends_on_sts(next_hop) || decision.shadow_depends_on_sts(next_hop) => {
                sts.find(&self.engine.resolver, domain).await
            }
            _ => StsFound::default(),
        }
    }

    fn unresolved(&self, next_hop: &NextHop, error: &ResolveError) -> Outcome {
        let mut trouble = Trouble::new(error.to_string(), error.status());
        match next_hop {
            // The operator wrote this name: a slip of theirs, or of their DNS, must not return their mail.
            NextHop::Host { name, .. } if error.is_permanent() => {
                tracing::error!(route = %name, %error, "a configured route leads nowhere; mail for it waits");
                trouble.status = outcome::ROUTING_TROUBLE;
                Outcome::Deferred(trouble)
            }
            _ if error.is_permanent() => Outcome::Failed(trouble),
            _ => {
                // Where no name server answers, that is nothing about this destination.
                if matches!(error, ResolveError::Server { .. } | ResolveError::BadAnswer { .. }) {
                    self.fell_silent(next_hop, &trouble.reason);
                }
                Outcome::Deferred(trouble)
            }
        }
    }

    fn as_decided<'h>(&self, party: &Party, hosts: &'h [Host]) -> Vec<Candidate<'h>> {
        let candidate = |host: &'h Host| {
            let decision = self.subject.policy.decide_host(&party.decision, &host.facts(&party.next_hop));
            let shadow = self.shadow(party, host);
            let barred = barred(party, host, &decision);
            Candidate { host, key: decision.wire_key, insecure_name: decision.insecure_name, downgrade: None, shadow, barred }
        };
        hosts.iter().map(candidate).collect()
    }

    /// What would be asked of a host if entries in testing counted, where that is something else.
    fn shadow(&self, party: &Party, host: &Host) -> Option<HostDecision> {
        self.subject.policy.decide_host_shadow(&party.decision, &host.facts(&party.next_hop))
    }

    /// The addresses where TLS failed, on a new connection without it.
    fn in_clear<'h>(&self, party: &Party, failed: &'h [(Host, String)]) -> Vec<Candidate<'h>> {
        let candidate = |(host, reason): &'h (Host, String)| {
            let key = WireKey::new(host.address, None, beside_policy(TlsRequirement::Never));
            Candidate { host, key, insecure_name: None, downgrade: Some(reason), shadow: self.shadow(party, host), barred: None }
        };
        failed.iter().map(candidate).collect()
    }

    /// Hosts over TLS with any certificate, where they asked for it and the policy would not have tried. Others are not among them: of a host
    /// that is under DANE or MTA-STS, and of one that may not be used, more is asked.
    fn over_tls<'h>(&self, party: &Party, hosts: &'h [Host]) -> Vec<Candidate<'h>> {
        let candidate = |host: &'h Host| {
            let key = WireKey::new(host.address, host.name.clone(), beside_policy(TlsRequirement::Mandatory));
            let key = key.showing(party.decision.client_identity.clone());
            Candidate { host, key, insecure_name: None, downgrade: None, shadow: self.shadow(party, host), barred: None }
        };
        let is_left_in_clear = |host: &&Host| {
            let decision = self.subject.policy.decide_host(&party.decision, &host.facts(&party.next_hop));
            decision.demand().tls == TlsRequirement::Never && barred(party, host, &decision).is_none()
        };
        hosts.iter().filter(is_left_in_clear).map(candidate).collect()
    }

    /// Candidate after candidate, those with an open connection first, until one gives an answer.
    async fn try_each(&self, party: &Party, candidates: &[Candidate<'_>], failures: &mut Failures) -> Option<Vec<Outcome>> {
        // Before a connection is taken out of the pool: one that waits for its turn would be counted nowhere.
        let _permit = self.engine.permits.acquire().await.ok()?;
        for candidate in candidates.iter().filter(|candidate| candidate.barred.is_none()) {
            while let Some(connection) = self.engine.pool.take(&candidate.key) {
                self.engine.counters.reused.add_one();
                self.answered(&party.next_hop);
                match self.transfer(party, candidate).run(connection).await {
                    Ok(outcomes) => return Some(outcomes),
                    // It was closed by the other side meanwhile: the next one, or a new one.
                    Err(NoAnswer::Broken(contact, error)) if error.retry() == Retry::OtherHost => failures.broke_off(&contact),
                    Err(no_answer) => {
                        if let Some(outcomes) = self.unanswered(party, candidate, no_answer, failures) {
                            return Some(outcomes);
                        }
                        break;
                    }
                }
            }
        }
        let options = ConnectOptions::of_generation(self.generation);
        for candidate in candidates {
            if let Some(trouble) = &candidate.barred {
                self.record(party, EventKind::CheckTls, trouble);
                if let Some(error) = candidate.host.published.failure() {
                    failures.published_unknown();
                    if let Some(watch) = self.watch(party) {
                        watch.unknown(candidate.host, error);
                    }
                }
                if let Some(watch) = self.watch(party) {
                    watch.barred(candidate.host);
                }
                failures.note(candidate.host, trouble.clone(), true, false);
                continue;
            }
            let now = self.engine.now();
            if let Some(silent) = self.engine.unreachable.silent(candidate.host.address, now) {
                failures.left_out(candidate.host, Trouble::new(silent.reason, outcome::NO_ANSWER), silent.until);
                continue;
            }
            if let Some(trouble) = self.engine.verdicts.recall(&party.next_hop, &candidate.key, now) {
                self.recalled(party, candidate, trouble, failures);
                continue;
            }
            self.engine.pool.make_room(self.engine.permits.available_permits());
            // Each worker has one connection at the most; beside them other demands, and other addresses, may have left some idle.
            let destination = &self.lease.entry().destination;
            let each = self.engine.config().delivery.connections_per_destination;
            self.engine.pool.make_room_of(destination, each.saturating_sub(self.engine.lanes.workers(destination)));
            let connection = match self.engine.connector.connect(&candidate.key, &options).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.engine.counters.not_connected(&error);
                    self.host_failed(party, candidate, &error, failures);
                    continue;
                }
            };
            self.engine.counters.connected(&connection);
            self.engine.unreachable.forget(candidate.host.address);
            self.engine.verdicts.forget(&party.next_hop, &candidate.key);
            self.answered(&party.next_hop);
            match self.transfer(party, candidate).run(connection).await {
                Ok(outcomes) => return Some(outcomes),
                Err(no_answer) => {
                    if let Some(outcomes) = self.unanswered(party, candidate, no_answer, failures) {
                        return Some(outcomes);
                    }
                }
            }
        }
        None
    }

    fn transfer<'t>(&'t self, party: &'t Party, candidate: &'t Candidate<'_>) -> Transfer<'t, C> {
        Transfer {
            engine: self.engine,
            lease: self.lease,
            party,
            host: candidate.host,
            key: &candidate.key,
            insecure_name: candidate.insecure_name.as_ref(),
            downgrade: candidate.downgrade,
            shadow: candidate.shadow.as_ref(),
            damage: &self.damage,
        }
    }

    /// A host was reached and no recipient has an answer: it is the next one's turn, unless another copy might go out.
    fn unanswered(&self, party: &Party, candidate: &Candidate<'_>, no_answer: NoAnswer, failures: &mut Failures) -> Option<Vec<Outcome>> {
        match no_answer {
            NoAnswer::Lacking(trouble) if trouble.tls => {
                self.record(party, EventKind::CheckTls, &trouble);
                failures.note(candidate.host, *trouble, true, false);
            }
            NoAnswer::Lacking(trouble) => failures.lacks(candidate.host, *trouble),
            NoAnswer::Broken(contact, error) => {
                let trouble = broken(&contact, &error);
                self.record(party, EventKind::Attempt, &trouble);
                if error.retry() != Retry::OtherHost {
                    return Some(party.all(Outcome::Deferred(trouble)));
                }
                failures.broke_off(&contact);
                failures.note(candidate.host, trouble, true, false);
            }
        }
        None
    }

    /// Looks on for the reports about TLS, where this is counted.
    fn watch<'w>(&'w self, party: &'w Party) -> Option<Watch<'w>> {
        Watch::of(self.engine, self.subject.entry, party)
    }

    /// Whether mail may go in clear now to hosts where TLS failed.
    ///
    /// Only where TLS was asked for no more than opportunistically, and not at once unless the policy says so: a failure of a
    /// moment must not cost the mail its protection, so the first attempt ends with a deferral.
    fn may_go_in_clear(&self, party: &Party) -> bool {
        let failed_before = |index: &usize| {
            let deferral = self.subject.entry.deferrals.get(*index).and_then(Option::as_ref);
            deferral.is_some_and(|deferral| deferral.tls_failure)
        };
        let in_time = match party.decision.clear_fallback {
            ClearFallback::Immediate => true,
            ClearFallback::SecondAttempt => party.recipients.iter().all(failed_before),
            _ => false,
        };
        party.decision.demand.tls == TlsRequirement::Opportunistic && in_time
    }

    fn host_failed(&self, party: &Party, candidate: &Candidate<'_>, error: &ConnectError, failures: &mut Failures) {
        let host = candidate.host;
        if let Some(watch) = self.watch(party) {
            watch.failed(host, &candidate.key, error);
        }
        let tls = error.is_tls_failure();
        let mut trouble = Trouble::new(
            format!("{}: {}", host.shown(), error.fault),
            if tls { outcome::TLS_TROUBLE } else { error.reply().and_then(Reply::status).unwrap_or(outcome::NO_ANSWER) },
        );
        trouble.tls = tls;
        trouble.tls_at_a_host = tls;
        trouble.verdict = outcome::verdict_word(error);
        trouble.reply = error.reply().cloned();
        trouble.host = Some(host.shown());
        trouble.address = Some(host.address);
        trouble.proof = account::failed_proof(host, &candidate.key, error).map(|mut proof| {
            proof.require_tls = party.decision.require_tls.map(|_| RequireTlsMark::Asked);
            Arc::new(proof)
        });
        self.record(party, if tls { EventKind::CheckTls } else { EventKind::Attempt }, &trouble);
        let (now, config) = (self.engine.now(), self.engine.config());
        let queue = &config.queue;
        let sign = Sign::of(error.stage, &error.fault);
        match sign {
            Sign::Dead => self.engine.unreachable.note(host.address, now, &trouble.reason, |failures| silence(&queue.retry, failures)),
            Sign::There => self.answered(&party.next_hop),
            Sign::Nothing => {}
        }
        if tls {
            let known = trouble.clone();
            self.engine.verdicts.note(&party.next_hop, &candidate.key, now, known, |failures| silence(&queue.retry_tls, failures));
        }
        let may_be_clear = candidate.key.demand.tls == TlsRequirement::Opportunistic;
        failures.note(host, trouble, sign != Sign::Dead, may_be_clear);
    }

    /// What another message found out a short while ago, as if this one had.
    fn recalled(&self, party: &Party, candidate: &Candidate<'_>, mut trouble: Trouble, failures: &mut Failures) {
        trouble.recalled = true;
        trouble.reason.push_str(" (known from a moment ago)");
        self.record(party, EventKind::CheckTls, &trouble);
        let may_be_clear = candidate.key.demand.tls == TlsRequirement::Opportunistic;
        failures.note(candidate.host, trouble, true, may_be_clear);
    }

    /// A host of the next hop answered: more workers may come, and what waited for it is tried.
    fn answered(&self, next_hop: &NextHop) {
        let destination = next_hop.destination();
        let Answered { was_silent, wants_workers } = self.engine.lanes.answered(&destination);
        if wants_workers {
            self.engine.reinforce.notify_one();
        }
        if was_silent {
            self.engine.wake(destination);
        }
    }

    fn fell_silent(&self, next_hop: &NextHop, reason: &str) {
        let config = self.engine.config();
        self.silent_for(next_hop, reason, |failures| silence(&config.queue.retry, failures));
    }

    /// Others found out a moment ago that its hosts do not answer.
    fn silent_until(&self, next_hop: &NextHop, reason: &str, until: UnixMillis) -> Deferral {
        let now = self.engine.now();
        submit::waiting_for(&self.silent_for(next_hop, reason, |_| until.since(now)))
    }

    /// The destination is left alone; what waits in its lane waits in the queue.
    fn silent_for(&self, next_hop: &NextHop, reason: &str, wait: impl Fn(u32) -> Duration) -> Silence {
        let probe = self.subject.entry.message.to_string();
        let (silence, waiting) = self.engine.lanes.fell_silent(&next_hop.destination(), self.engine.now(), (reason, &probe), wait);
        for lease in waiting {
            // What was tried before waits as before, and costs nothing.
            if lease.entry().deferrals.iter().all(Option::is_some) {
                lease.release();
            } else {
                submit::leave(self.engine, lease, &silence);
            }
        }
        silence
    }

    fn record(&self, party: &Party, kind: EventKind, trouble: &Trouble) {
        for index in &party.recipients {
            if let Some(event) = self.subject.event(kind, self.engine.now(), *index, &party.next_hop) {
                self.engine.record(subject::with_trouble(event, trouble));
            }
        }
    }
}

/// Only recipients of one next hop, one demand and one fate travel together, up to so many as every server takes.
fn group(decided: impl Iterator<Item = (usize, NextHop, DeliverDecision)>) -> Vec<Party> {
    let mut parties: Vec<Party> = Vec::new();
    for (index, next_hop, decision) in decided {
        let room = |party: &&mut Party| party.recipients.len() < RECIPIENTS;
        match parties.iter_mut().filter(room).find(|party| party.next_hop == next_hop && party.decision == decision) {
            Some(party) => party.recipients.push(index),
            None => parties.push(Party { next_hop, decision, recipients: vec![index] }),
        }
    }
    parties
}

/// Why a host may not be used: what is published of it does not allow it, or could not be found out and counts.
fn barred(party: &Party, host: &Host, decision: &HostDecision) -> Option<Trouble> {
    if let Some(barred) = decision.barred {
        return Some(Trouble::barred(host, barred));
    }
    let error = host.published.failure().filter(|_| party.decision.depends_on_tlsa(&party.next_hop))?;
    let reason = format!("{}: whether it publishes TLSA records (DANE) could not be found out: {error}", host.shown());
    let mut trouble = Trouble::new(reason, error.status());
    trouble.tls = party.decision.demand.is_mandatory();
    trouble.host = Some(host.shown());
    trouble.address = Some(host.address);
    Some(trouble)
}

/// How long a host or a destination is left alone after so many failures: a little less than the mail itself waits, so that its
/// own next attempt is one.
fn silence(retry: &RetrySchedule, failures: u32) -> Duration {
    retry.wait_after(failures, random::jitter()).mul_f64(SHORTENED).min(LONGEST_SILENCE)
}

fn beside_policy(tls: TlsRequirement) -> HostDemand {
    HostDemand::new(tls, Vec::new(), TlsVersion::default())
}

/// Whether nobody was served because the host takes nothing in clear.
fn all_want_tls(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Deferred(trouble) if trouble.wants_tls))
}

fn broken(contact: &Contact, error: &TransferError) -> Trouble {
    let mut trouble = Trouble::new(format!("{}: {error}", contact.host), outcome::BAD_CONNECTION);
    trouble.host = Some(contact.host.clone());
    trouble.address = Some(contact.address);
    trouble.proof = Some(Arc::clone(&contact.proof));
    trouble
}

/// Recipients in one transaction: what every server must take (RFC 5321 section 4.5.3.1.8).
const RECIPIENTS: usize = 100;

/// The longest that a destination is left alone between two probes.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// The longest that jitter makes it is then the shortest that jitter makes of the mail's own wait.
const SHORTENED: f64 = 0.8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealpost_policy::{DeliverFacts, Policy};
    use sealpost_types::{ForwardPath, Mailbox, ReversePath, UnixMillis};

    use super::*;

    /// What an entry may say, of what is asked and of the fate.
    const SAID: [&str; 9] = [
        "level='require'",
        "level='verify'",
        "level='require', retry='5m'",
        "level='require', retry='5m 1h'",
        "level='require', on_expiry='hold'",
        "level='require', on_expiry='delete'",
        "level='require', lifetime='1d'",
        "level='require', on_failure='bounce'",
        "level='require', on_failure='bounce', bounce_after=2",
    ];

    fn decisions() -> Vec<DeliverDecision> {
        let entry = |(number, said): (usize, &&str)| format!("[[partner]]\ndomains='d{number}.example'\ndeliver={{ {said} }}\n");
        let text: String = SAID.iter().enumerate().map(entry).collect();
        let policy = Policy::parse("policy.toml", &text).unwrap();
        let to = |number| ForwardPath::Mailbox(Mailbox::parse(&format!("bob@d{number}.example")).unwrap());
        (0..SAID.len())
            .map(|number| policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &to(number), true).at(UnixMillis(0))))
            .collect()
    }

    proptest! {
        /// Each recipient travels once, with those and only those for whom the same is said.
        #[test]
        fn what_differs_in_demand_or_fate_travels_apart(picks in prop::collection::vec((0..SAID.len(), 0..2_u16), 0..250)) {
            let decisions = decisions();
            let next_hop = |port: u16| NextHop::Host { name: Domain::parse("mx.example").unwrap(), port: 25 + port };
            let of = |index: usize| (decisions[picks[index].0].clone(), next_hop(picks[index].1));
            let parties = group((0..picks.len()).map(|index| (index, of(index).1, of(index).0)));
            let mut seen: Vec<usize> = parties.iter().flat_map(|party| party.recipients.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..picks.len()).collect::<Vec<_>>());
            for party in &parties {
                prop_assert!(party.recipients.len() <= RECIPIENTS);
                for index in &party.recipients {
                    prop_assert_eq!(picks[*index], picks[party.recipients[0]], "{:?}", party);
                }
            }
            // The negative control: equal ones do travel together.
            let kinds: std::collections::BTreeSet<_> = picks.iter().collect();
            let needed: usize = kinds.iter().map(|kind| picks.iter().filter(|pick| pick == kind).count().div_ceil(RECIPIENTS)).sum();
            prop_assert_eq!(parties.len(), needed);
        }
    }
}
