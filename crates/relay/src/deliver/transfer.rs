//! One transaction with one host over one connection.

use std::sync::{Arc, OnceLock};

use sealpost_policy::{HostDecision, RequireTls};
use sealpost_queue::Lease;
use sealpost_report::RequireTlsMark;
use sealpost_smtp::{Extensions, Missing, Transaction, missing_for};
use sealpost_transport::{Connection, RecipientOutcome, TransferError};
use sealpost_types::{Domain, WireKey};

use super::body::LeasedBody;
use super::outcome::{self, Contact, Outcome, Party, Trouble};
use super::shadow;
use crate::engine::{Components, Engine};
use crate::hosts::Host;
use crate::tlsrpt::Watch;

/// One transaction with one host.
pub(crate) struct Transfer<'a, C: Components> {
    pub(crate) engine: &'a Engine<C>,
    pub(crate) lease: &'a Lease,
    pub(crate) party: &'a Party,
    pub(crate) host: &'a Host,
    pub(crate) key: &'a WireKey,
    /// The name that the identity of the host rests on, where it was learnt without DNSSEC.
    pub(crate) insecure_name: Option<&'a Domain>,
    /// Why it goes in clear although TLS was tried.
    pub(crate) downgrade: Option<&'a str>,
    /// What would be asked of the host if entries in testing counted, where that is something else.
    pub(crate) shadow: Option<&'a HostDecision>,
    /// What is found wrong with the stored body.
    pub(crate) damage: &'a OnceLock<String>,
}

/// Why no recipient has an answer.
pub(crate) enum NoAnswer {
    /// The transaction broke off.
    Broken(Arc<Contact>, TransferError),
    /// The host cannot take a message of this kind; nothing was sent.
    Lacking(Box<Trouble>),
}

impl<C: Components> Transfer<'_, C> {
    /// What became of each recipient, in order; the connection goes back to the pool.
    pub(crate) async fn run(&self, mut connection: Connection<C::Tls>) -> Result<Vec<Outcome>, NoAnswer> {
        if let Some(watch) = Watch::of(self.engine, self.lease.entry(), self.party) {
            watch.connected(self.host, &mut connection);
        }
        let shadow = self.party.decision.shadow.as_deref().zip(self.shadow);
        let (now, trust) = (self.engine.now(), self.engine.trust.as_deref());
        let shadow = shadow.map(|(shadow, host)| shadow::judge(shadow.level, host, &connection, self.downgrade.is_some(), trust, now));
        let transaction = self.transaction(&connection);
        let mut contact = Contact::new(self.host, self.key, &mut connection, self.insecure_name, self.downgrade, shadow, now);
        if self.party.decision.require_tls.is_some() {
            let given = transaction.require_tls && connection.extensions().require_tls();
            contact.mark_require_tls(match (given, transaction.require_tls) {
                (true, _) => RequireTlsMark::HandedOn,
                (false, true) => RequireTlsMark::Asked,
                (false, false) => RequireTlsMark::GradedDown,
            });
        }
        let contact = Arc::new(contact);
        if let Some(missing) = first_missing(&transaction, connection.extensions()) {
            self.engine.pool.put(connection, &self.lease.entry().destination);
            return Err(NoAnswer::Lacking(Box::new(lacking(&contact, &transaction, missing))));
        }
        let mut body = LeasedBody::new(self.lease.body());
        let result = match connection.deliver(transaction, &mut body).await {
            Ok(result) => result,
            // What the session would refuse was asked above; what is left is a connection that cannot be used.
            Err(error) => {
                let trouble = Trouble::new(format!("{}: {error}", contact.host), outcome::BAD_CONNECTION);
                return Ok(self.party.all(Outcome::Deferred(trouble)));
            }
        };
        self.engine.pool.put(connection, &self.lease.entry().destination);
        if let Some(damage) = body.damage() {
            // Whoever else shares the entry finds the same; the first word stays.
            let _ = self.damage.set(damage.to_owned());
        }
        let mut broken = None;
        let mut answered = false;
        let mut outcomes = Vec::with_capacity(self.party.recipients.len());
        for (index, answer) in result.outcomes().enumerate() {
            let at_rcpt = result.recipients.get(index).and_then(Option::as_ref).is_some_and(|reply| !reply.is_success());
            answered |= !matches!(answer, RecipientOutcome::Broken(_));
            outcomes.push(match answer {
                RecipientOutcome::Delivered(reply) => Outcome::Delivered(Arc::clone(&contact), reply.clone()),
                RecipientOutcome::Refused(reply) => outcome::refused(&contact, reply, at_rcpt, self.downgrade),
                RecipientOutcome::Broken(error) => {
                    broken.get_or_insert_with(|| error.clone());
                    Outcome::Deferred(Trouble::new(format!("{}: {error}", contact.host), outcome::BAD_CONNECTION))
                }
                // An answer that this relay does not know is none.
                _ => Outcome::Deferred(Trouble::new("the host's answer is of an unknown kind", outcome::BAD_CONNECTION)),
            });
        }
        match broken {
            Some(error) if !answered => Err(NoAnswer::Broken(contact, error)),
            _ => Ok(outcomes),
        }
    }

    fn transaction(&self, connection: &Connection<C::Tls>) -> Transaction {
        let entry = self.lease.entry();
        let envelope = &entry.envelope;
        let recipients = self.party.recipients.iter().filter_map(|index| envelope.recipients.get(*index).cloned()).collect();
        let mut transaction = Transaction::new(envelope.reverse_path.clone(), recipients, entry.size);
        transaction.body = envelope.body;
        transaction.smtputf8 = envelope.smtputf8;
        // RFC 3461 section 5.2.1; the session leaves them out where the server has no DSN (section 5.2.2).
        transaction.ret = envelope.ret;
        transaction.envelope_id.clone_from(&envelope.envelope_id);
        // Graded down, it is handed on where it is announced, and not missed elsewhere.
        transaction.require_tls = match self.party.decision.require_tls {
            Some(RequireTls::Strict) => true,
            Some(_) => connection.tls().is_some() && connection.extensions().require_tls(),
            None => false,
        };
        // One flight for what fits into a packet or a few; a large body waits for the answers to the envelope.
        transaction.inline_body = self.lease.body().as_slice().is_some_and(|body| body.len() <= INLINE_OCTETS);
        transaction
    }
}

/// What keeps the host from taking the message, the most telling first: what needs SMTPUTF8 needs 8BITMIME too. Without DSN it is
/// sent all the same.
fn first_missing(transaction: &Transaction, extensions: &Extensions) -> Option<Missing> {
    let missing = missing_for(transaction, extensions).into_iter().filter(|missing| *missing != Missing::Dsn);
    missing.min_by_key(|missing| *missing != Missing::SmtpUtf8)
}

/// A message that the host cannot take: it would have to be converted, or to shrink.
fn lacking(contact: &Contact, transaction: &Transaction, missing: Missing) -> Trouble {
    let host = &contact.host;
    let (status, reason) = match missing {
        Missing::EightBitMime => {
            let why = "the message has octets beyond ASCII, and messages are not converted here";
            (outcome::CONVERSION_NEEDED, format!("{host} does not offer 8BITMIME; {why}"))
        }
        Missing::SmtpUtf8 => (outcome::UTF8_NEEDED, format!("{host} does not offer SMTPUTF8; {}", needs_utf8(transaction))),
        Missing::RequireTls => (outcome::TLS_TROUBLE, format!("{host} does not announce REQUIRETLS, which the sender asks for")),
        Missing::Size { limit } => (outcome::TOO_BIG, format!("{host} takes messages of up to {limit} octets, and this one is larger")),
        other => (outcome::CONVERSION_NEEDED, format!("{host} does not offer {other}, which the message needs")),
    };
    let mut trouble = Trouble::new(reason, status);
    if missing == Missing::RequireTls {
        // The host's TLS is not what the sender asks for, and that is certain to last.
        trouble.tls = true;
        trouble.verdict = Some(outcome::NO_REQUIRETLS.to_owned());
    }
    trouble.host = Some(host.clone());
    trouble.address = Some(contact.address);
    trouble.proof = Some(Arc::clone(&contact.proof));
    trouble
}

/// What of a message needs SMTPUTF8.
fn needs_utf8(transaction: &Transaction) -> String {
    let recipient = transaction.recipients.iter().map(|recipient| &recipient.path).find(|path| !path.is_ascii());
    match (recipient, &transaction.reverse_path) {
        (Some(path), _) => format!("the address <{path}> needs it"),
        (None, path) if !path.is_ascii() => format!("the sender's address <{path}> needs it"),
        _ => "the message has UTF-8 in it, and was handed in with SMTPUTF8".to_owned(),
    }
}

/// Octets of a body that goes out together with its envelope where the server lets it.
const INLINE_OCTETS: usize = 16 << 10;
