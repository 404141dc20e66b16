//! Events into rows.

use std::collections::HashMap;
use std::sync::Arc;

use sealpost_store::rusqlite::{self, OptionalExtension, Transaction, params};
use sealpost_types::Domain;

use crate::{Decided, Event, Proof};

/// Writes all of these events.
pub(super) fn insert(tx: &Transaction<'_>, events: &[Event]) -> rusqlite::Result<()> {
    let mut proofs = HashMap::new();
    events.iter().try_for_each(|event| insert_one(tx, event, &mut proofs))
}

/// Writes those of these events that are not there yet.
pub(super) fn insert_new(tx: &Transaction<'_>, events: &[Event]) -> rusqlite::Result<()> {
    let mut proofs = HashMap::new();
    for event in events {
        if !is_there(tx, event)? {
            insert_one(tx, event, &mut proofs)?;
        }
    }
    Ok(())
}

/// About how much an event takes.
pub(super) fn octets(event: &Event) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    256 + length(&event.reason) + length(&event.reply) + event.decided.as_ref().map_or(0, |decided| decided.trace.len())
}

/// What is the same in one batch is looked up once: `proofs` holds ids by the place in memory, which the batch keeps alive.
fn insert_one(tx: &Transaction<'_>, event: &Event, proofs: &mut HashMap<*const Proof, i64>) -> rusqlite::Result<()> {
    let decision = event.decided.as_ref().map(|decided| decision_id(tx, decided)).transpose()?;
    let proof = match &event.proof {
        None => None,
        Some(proof) => Some(match proofs.get(&Arc::as_ptr(proof)) {
            Some(id) => *id,
            None => {
                let id = proof_id(tx, proof)?;
                proofs.insert(Arc::as_ptr(proof), id);
                id
            }
        }),
    };
    let (sender_domain, recipient_domain) = event.domains();
    tx.prepare_cached(INSERT)?.execute(params![
        event.at.0,
        event.kind.as_str(),
        event.hop.to_string(),
        event.result.as_str(),
        event.queue_id,
        event.sender.as_ref().map(ToString::to_string),
        sender_domain.map(Domain::as_str),
        event.recipient.as_ref().map(ToString::to_string),
        recipient_domain.map(Domain::as_str),
        event.size.map(|size| i64::try_from(size.0).unwrap_or(i64::MAX)),
        event.next_hop,
        event.host,
        event.address.map(|address| address.to_string()),
        event.attempts,
        event.next_attempt.map(|at| at.0),
        event.reason,
        event.reply,
        decision,
        proof,
        event.received_secure,
        event.level_header,
        event.shadow.as_deref().map(json).transpose()?,
    ])?;
    Ok(())
}

/// Whether the event is there: told apart by message, time, kind, recipient and host. One of no message never counts as there.
fn is_there(tx: &Transaction<'_>, event: &Event) -> rusqlite::Result<bool> {
    let Some(queue_id) = &event.queue_id else { return Ok(false) };
    let recipient = event.recipient.as_ref().map(ToString::to_string);
    tx.prepare_cached(IS_THERE)?.exists(params![queue_id, event.at.0, event.kind.as_str(), recipient, event.host])
}

fn decision_id(tx: &Transaction<'_>, decided: &Decided) -> rusqlite::Result<i64> {
    let Decided { level, source, trace } = decided;
    let digest = digest(&[level, source, trace]);
    let found = tx.prepare_cached(FIND_DECISION)?.query_row(params![digest, level, source, &**trace], |row| row.get(0)).optional()?;
    match found {
        Some(id) => Ok(id),
        None => tx.prepare_cached(INSERT_DECISION)?.insert(params![digest, level, source, &**trace]),
    }
}

fn proof_id(tx: &Transaction<'_>, proof: &Proof) -> rusqlite::Result<i64> {
    let json = json(proof)?;
    let digest = digest(&[&json]);
    let found = tx.prepare_cached(FIND_PROOF)?.query_row(params![digest, json], |row| row.get(0)).optional()?;
    match found {
        Some(id) => Ok(id),
        None => tx.prepare_cached(INSERT_PROOF)?.insert(params![digest, json]),
    }
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// FNV-1a of 64 bits: the same in every version of this program, as what is stored must be.
fn digest(parts: &[&str]) -> i64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    // The octet 0xff occurs in no text, so it keeps the parts apart.
    for octet in parts.iter().flat_map(|part| part.bytes().chain([0xff])) {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.cast_signed()
}

const INSERT: &str = "INSERT INTO events (at, kind, hop, result, queue_id, sender, sender_domain, recipient, recipient_domain, size,
    next_hop, host, address, attempts, next_attempt, reason, reply, decision, proof, received_secure, level_header, shadow)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)";

const IS_THERE: &str = "SELECT 1 FROM events WHERE queue_id = ?1 AND at = ?2 AND kind = ?3 AND recipient IS ?4 AND host IS ?5";

const FIND_DECISION: &str = "SELECT id FROM decisions WHERE digest = ?1 AND level = ?2 AND source = ?3 AND trace = ?4";
const INSERT_DECISION: &str = "INSERT INTO decisions (digest, level, source, trace) VALUES (?1, ?2, ?3, ?4)";

const FIND_PROOF: &str = "SELECT id FROM proofs WHERE digest = ?1 AND proof = ?2";
const INSERT_PROOF: &str = "INSERT INTO proofs (digest, proof) VALUES (?1, ?2)";
