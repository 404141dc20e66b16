//! The notification that a sender gets about mail that was given up.

use sealpost_policy::{DeliverDecision, DeliverFacts, Policy, ReceiveFacts};
use sealpost_queue::{Body, Entry, NewMessage, Spool as _};
use sealpost_report::{Action, Dsn, DsnRecipient, RETURNED_OCTETS, Returned, may_notify};
use sealpost_types::{Envelope, Reception, Recipient, Ret, ReversePath, UnixMillis};

use super::outcome::Trouble;
use crate::account;
use crate::engine::{Components, Engine};
use crate::submit;

/// A recipient that was given up, and why.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub(crate) recipient: Recipient,
    pub(crate) decision: DeliverDecision,
    pub(crate) trouble: Trouble,
}

/// The notification about these recipients, ready to be queued; none where nobody may be told.
pub(crate) async fn about<C: Components>(
    engine: &Engine<C>,
    entry: &Entry,
    body: &Body,
    given_up: &[GivenUp],
    at: UnixMillis,
) -> Option<(NewMessage, Vec<u8>)> {
    let sender = &entry.envelope.reverse_path;
    let mailbox = sender.mailbox()?.clone();
    let told: Vec<_> = given_up.iter().filter(|one| may_notify(sender, one.recipient.notify, Action::Failed)).collect();
    if told.is_empty() {
        return None;
    }
    let policy = engine.policy.load();
    let back = Recipient::new(mailbox.clone().into());
    let mut dsn = Dsn::new(engine.config.hostname.clone(), entry.message.to_string(), mailbox, Action::Failed, at);
    dsn.arrival = Some(entry.reception.at);
    dsn.envelope_id.clone_from(&entry.envelope.envelope_id);
    dsn.recipients = told
        .iter()
        .map(|one| {
            let mut about = DsnRecipient::new(one.recipient.clone(), one.trouble.status, one.trouble.reason.clone());
            about.remote.clone_from(&one.trouble.host);
            about.reply = one.trouble.reply.as_ref().map(ToString::to_string);
            about.last_attempt = Some(at);
            if one.trouble.tls {
                let facts = DeliverFacts::new(sender, &one.recipient.path, entry.reception.is_secure());
                let decided = account::decided(&policy.explain_deliver(&facts).1);
                about.level = Some(decided.level);
                about.source = Some(decided.source);
            }
            about
        })
        .collect();
    // Mail that had to travel over TLS does not come back in clear: where the way back is weaker, only its header does.
    let way_back = policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &back.path, true));
    let guarded = told.iter().any(|one| was_guarded(&policy, entry, one)) && !way_back.demand.is_mandatory();
    let small = usize::try_from(body.size().0).is_ok_and(|size| size <= RETURNED_OCTETS);
    dsn.returned = match (guarded, entry.envelope.ret, small) {
        (false, None | Some(Ret::Full), true) => Returned::Whole(body.to_vec().await.unwrap_or_default()),
        _ => Returned::Headers(header_section(body).await),
    };
    let envelope = Envelope::new(ReversePath::Null, vec![back]);
    let message = submit::message(engine, engine.spool.next_id(), Reception::local(at), envelope);
    Some((message, dsn.to_bytes()))
}

/// Whether the mail had to travel over TLS on either hop.
fn was_guarded(policy: &Policy, entry: &Entry, one: &GivenUp) -> bool {
    let received = entry.reception.client.is_some_and(|client| {
        let facts = ReceiveFacts::new(client, &entry.envelope.reverse_path).with_tls(entry.reception.tls.as_ref());
        policy.decide_receive(&facts.with_recipient(&one.recipient.path)).demand.is_mandatory()
    });
    received || one.decision.demand.is_mandatory()
}

/// The start of a message, as far as its header can reach; the notification cuts it at the first empty line.
async fn header_section(body: &Body) -> Vec<u8> {
    let mut reader = body.reader();
    let mut header = Vec::new();
    while header.len() < HEADER_OCTETS {
        match reader.next_piece().await {
            Ok(Some(piece)) => header.extend_from_slice(piece),
            _ => break,
        }
    }
    header
}

/// More than a notification gives back of a header.
const HEADER_OCTETS: usize = 64 << 10;
