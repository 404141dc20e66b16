//! Events into the rows of their day.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sealpost_store::rusqlite::{self, CachedStatement, OptionalExtension, Transaction, params};
use sealpost_types::{Domain, Hop};

use super::check::{Texts, checksum, digest, json};
use super::day::Day;
use super::schema::ANY_DOMAIN;
use crate::{Decided, Event, EventKind, EventResult, Proof};

/// What the file of a day is known to hold, so that it need not be asked for each event.
#[derive(Debug, Default)]
pub(super) struct Known {
    codes: HashMap<Code, i64>,
    domains: HashMap<Domain, i64>,
    decisions: HashMap<Arc<Decided>, i64>,
    proofs: HashMap<Sought, i64>,
    /// The highest number of an event; none before the file was asked.
    last: Option<i64>,
}

type Code = (EventKind, Hop, EventResult);

/// A proof that is looked for among those that are known: found by what differs most, and then all of it is compared. A hash over all of
/// it takes longer than the rest of its entry.
#[derive(Debug, PartialEq, Eq)]
struct Sought(Arc<Proof>);

impl Hash for Sought {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Proof { spki_pin, login, demand, .. } = &*self.0;
        (spki_pin, login, demand).hash(state);
    }
}

/// Writes events of one day into its file.
///
/// It only reads what is [`Known`]: what it learns counts when the transaction is durable, and is thrown away if not.
struct Writer<'a> {
    tx: &'a Transaction<'a>,
    day: Day,
    known: &'a Known,
    learnt: Known,
    /// What is to stand in `moments`: domain, code and moment.
    moments: BTreeSet<(i64, i64, i64)>,
    /// The proofs and decisions of this batch by their place in memory, which the batch keeps alive.
    seen: HashMap<*const Proof, i64>,
    seen_decisions: HashMap<*const Decided, i64>,
}

impl Known {
    /// Takes in what a durable transaction has learnt.
    pub(super) fn learn(&mut self, learnt: Self) {
        self.codes.extend(learnt.codes);
        join(&mut self.domains, learnt.domains, KNOWN_DOMAINS);
        join(&mut self.decisions, learnt.decisions, KNOWN_TEXTS);
        join(&mut self.proofs, learnt.proofs, KNOWN_TEXTS);
        self.last = learnt.last.or(self.last);
    }
}

/// Starts anew when there would be too many: those in use come back at once.
fn join<K: Eq + Hash>(known: &mut HashMap<K, i64>, learnt: HashMap<K, i64>, limit: usize) {
    if known.len() + learnt.len() > limit {
        known.clear();
    }
    known.extend(learnt);
}

/// Writes all of these events, which are of this day and ordered by time. What was learnt of the file by that.
pub(super) fn insert(tx: &Transaction<'_>, day: Day, events: &[Event], known: &Known) -> rusqlite::Result<Known> {
    let mut writer = Writer::new(tx, day, known);
    let mut statements = Statements::prepare(tx)?;
    events.iter().try_for_each(|event| writer.insert(event, &mut statements))?;
    writer.finish(&mut statements)
}

/// Writes those of these events that are not there yet.
pub(super) fn insert_new(tx: &Transaction<'_>, day: Day, events: &[Event], known: &Known) -> rusqlite::Result<Known> {
    let mut writer = Writer::new(tx, day, known);
    let mut statements = Statements::prepare(tx)?;
    for event in events {
        if !writer.is_there(event)? {
            writer.insert(event, &mut statements)?;
        }
    }
    writer.finish(&mut statements)
}

/// About how much an event takes.
pub(super) fn octets(event: &Event) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    256 + length(&event.reason) + length(&event.reply)
}

/// What every event needs, compiled once for a batch.
struct Statements<'a> {
    event: CachedStatement<'a>,
    moment: CachedStatement<'a>,
}

impl<'a> Statements<'a> {
    fn prepare(tx: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self { event: tx.prepare_cached(INSERT)?, moment: tx.prepare_cached(INSERT_MOMENT)? })
    }
}

impl<'a> Writer<'a> {
    fn new(tx: &'a Transaction<'a>, day: Day, known: &'a Known) -> Self {
        Self { tx, day, known, learnt: Known::default(), moments: BTreeSet::new(), seen: HashMap::new(), seen_decisions: HashMap::new() }
    }

    fn insert(&mut self, event: &Event, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        let number = self.number(event)?;
        let code = self.code((event.kind, event.hop, event.result))?;
        let (sender_domain, recipient_domain) = event.domains();
        let sender_domain = sender_domain.map(|domain| self.domain(domain)).transpose()?;
        let recipient_domain = recipient_domain.map(|domain| self.domain(domain)).transpose()?;
        let decision = event.decided.as_ref().map(|decided| self.decision(decided)).transpose()?;
        let proof = event.proof.as_ref().map(|proof| self.proof(proof)).transpose()?;
        let texts = Texts::of(event)?;
        let checksum = checksum(number, event, &texts, [decision, proof]);
        statements.event.execute(params![
            number,
            code,
            event.queue_id,
            texts.sender,
            sender_domain,
            texts.recipient,
            recipient_domain,
            event.received_secure,
            event.level_header,
            event.size.map(|size| i64::try_from(size.0).unwrap_or(i64::MAX)),
            event.next_hop,
            event.host,
            texts.address,
            event.attempts,
            event.next_attempt.map(|at| at.0),
            event.reason,
            event.reply,
            decision,
            proof,
            texts.shadow,
            event.more.map(|more| i64::try_from(more).unwrap_or(i64::MAX)),
            checksum,
        ])?;
        let domains = [Some(ANY_DOMAIN), sender_domain, recipient_domain].into_iter().flatten();
        self.moments.extend(domains.map(|domain| (domain, code, Day::moment_of(number))));
        Ok(())
    }

    /// Says where the events are, in the order of that table: in that of the events nearly each would go to another page.
    fn finish(self, statements: &mut Statements<'_>) -> rusqlite::Result<Known> {
        for row in self.moments {
            statements.moment.execute(row)?;
        }
        Ok(self.learnt)
    }

    /// The next free number of the event's millisecond. Most events are later than all others, and need not ask.
    fn number(&mut self, event: &Event) -> rusqlite::Result<i64> {
        let first = self.day.number_at(event.at);
        let last = match self.learnt.last.or(self.known.last) {
            Some(last) => last,
            None => self.tx.query_row("SELECT ifnull(max(id), -1) FROM events", [], |row| row.get(0))?,
        };
        let same_moment = |number: i64| self.day.time_of(number) == self.day.time_of(first);
        let number = if last < first {
            first
        } else if same_moment(last) {
            last + 1
        } else {
            let end = self.day.first_number(sealpost_types::UnixMillis(event.at.0.saturating_add(1)));
            let taken: Option<i64> = self.tx.prepare_cached(LAST_OF_MOMENT)?.query_row(params![first, end], |row| row.get(0))?;
            taken.map_or(first, |taken| taken + 1)
        };
        self.learnt.last = Some(last.max(number));
        Ok(number)
    }

    fn code(&mut self, code: Code) -> rusqlite::Result<i64> {
        if let Some(id) = self.known.codes.get(&code).or_else(|| self.learnt.codes.get(&code)) {
            return Ok(*id);
        }
        let (kind, hop, result) = (code.0.as_str(), code.1.to_string(), code.2.as_str());
        self.tx
            .prepare_cached("INSERT OR IGNORE INTO codes (kind, hop, result) VALUES (?1, ?2, ?3)")?
            .execute(params![kind, hop, result])?;
        let find = "SELECT id FROM codes WHERE kind = ?1 AND hop = ?2 AND result = ?3";
        let id = self.tx.prepare_cached(find)?.query_row(params![kind, hop, result], |row| row.get(0))?;
        self.learnt.codes.insert(code, id);
        Ok(id)
    }

    fn domain(&mut self, domain: &Domain) -> rusqlite::Result<i64> {
        if let Some(id) = self.known.domains.get(domain).or_else(|| self.learnt.domains.get(domain)) {
            return Ok(*id);
        }
        let found = self.tx.prepare_cached(FIND_DOMAIN)?.query_row([domain.as_str()], |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => self.tx.prepare_cached("INSERT INTO domains (name) VALUES (?1)")?.insert([domain.as_str()])?,
        };
        self.learnt.domains.insert(domain.clone(), id);
        Ok(id)
    }

    fn decision(&mut self, decided: &Arc<Decided>) -> rusqlite::Result<i64> {
        let place = Arc::as_ptr(decided);
        if let Some(id) = self.seen_decisions.get(&place) {
            return Ok(*id);
        }
        let id = match self.known.decisions.get(decided).or_else(|| self.learnt.decisions.get(decided)) {
            Some(id) => *id,
            None => self.new_decision(decided)?,
        };
        self.seen_decisions.insert(place, id);
        Ok(id)
    }

    fn new_decision(&mut self, decided: &Arc<Decided>) -> rusqlite::Result<i64> {
        let Decided { level, source, trace } = &**decided;
        let digest = digest(&[level, source, trace]);
        let mut find = self.tx.prepare_cached(FIND_DECISION)?;
        let found = find.query_row(params![digest, level, source, &**trace], |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => self.tx.prepare_cached(INSERT_DECISION)?.insert(params![digest, level, source, &**trace])?,
        };
        self.learnt.decisions.insert(Arc::clone(decided), id);
        Ok(id)
    }

    fn proof(&mut self, proof: &Arc<Proof>) -> rusqlite::Result<i64> {
        let place = Arc::as_ptr(proof);
        if let Some(id) = self.seen.get(&place) {
            return Ok(*id);
        }
        let sought = Sought(Arc::clone(proof));
        let id = match self.known.proofs.get(&sought).or_else(|| self.learnt.proofs.get(&sought)) {
            Some(id) => *id,
            None => self.new_proof(sought)?,
        };
        self.seen.insert(place, id);
        Ok(id)
    }

    fn new_proof(&mut self, proof: Sought) -> rusqlite::Result<i64> {
        let json = json(&*proof.0)?;
        let digest = digest(&[&json]);
        let found = self.tx.prepare_cached(FIND_PROOF)?.query_row(params![digest, json], |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => self.tx.prepare_cached(INSERT_PROOF)?.insert(params![digest, json])?,
        };
        self.learnt.proofs.insert(proof, id);
        Ok(id)
    }

    /// Whether the event is there: told apart by message, time, kind, recipient and host. One of no message never counts as there.
    fn is_there(&mut self, event: &Event) -> rusqlite::Result<bool> {
        let Some(queue_id) = &event.queue_id else { return Ok(false) };
        let code = self.code((event.kind, event.hop, event.result))?;
        let recipient = event.recipient.as_ref().map(ToString::to_string);
        let first = self.day.number_at(event.at);
        let end = self.day.first_number(sealpost_types::UnixMillis(event.at.0.saturating_add(1)));
        self.tx.prepare_cached(IS_THERE)?.exists(params![queue_id, first, end, code, recipient, event.host])
    }
}

/// Domains whose ids are remembered.
const KNOWN_DOMAINS: usize = 64 * 1024;

/// Decisions, and proofs, whose ids are remembered.
const KNOWN_TEXTS: usize = 4096;

const INSERT: &str = "INSERT INTO events (id, code, queue_id, sender, sender_domain, recipient, recipient_domain, received_secure,
    level_header, size, next_hop, host, address, attempts, next_attempt, reason, reply, decision, proof, shadow, more, checksum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)";

const INSERT_MOMENT: &str = "INSERT OR IGNORE INTO moments (domain, code, moment) VALUES (?1, ?2, ?3)";

const LAST_OF_MOMENT: &str = "SELECT max(id) FROM events WHERE id >= ?1 AND id < ?2";

const IS_THERE: &str = "SELECT 1 FROM events WHERE queue_id = ?1 AND id >= ?2 AND id < ?3 AND code = ?4 AND recipient IS ?5 AND host IS ?6";

const FIND_DOMAIN: &str = "SELECT id FROM domains WHERE name = ?1";

const FIND_DECISION: &str = "SELECT id FROM decisions WHERE digest = ?1 AND level = ?2 AND source = ?3 AND trace = ?4";
const INSERT_DECISION: &str = "INSERT INTO decisions (digest, level, source, trace) VALUES (?1, ?2, ?3, ?4)";

const FIND_PROOF: &str = "SELECT id FROM proofs WHERE digest = ?1 AND proof = ?2";
const INSERT_PROOF: &str = "INSERT INTO proofs (digest, proof) VALUES (?1, ?2)";
