//! The notification that a sender gets about mail that was given up.

use sealpost_policy::{ClientFacts, DeliverDecision, DeliverFacts, Policy, ReceiveFacts, covers};
use sealpost_queue::{Body, Entry, FollowUp, Spool as _};
use sealpost_report::{Action, Dsn, DsnRecipient, RETURNED_OCTETS, Returned, may_notify};
use sealpost_types::{Demand, Envelope, Reception, Recipient, Ret, ReversePath, UnixMillis};

use super::body::start_of;
use super::outcome::Trouble;
use super::subject::Subject;
use crate::engine::{Components, Engine};
use crate::submit;

/// A recipient that was given up, and why.
#[derive(Debug)]
pub(crate) struct GivenUp {
    /// Its place in the envelope.
    pub(crate) index: usize,
    pub(crate) recipient: Recipient,
    pub(crate) decision: DeliverDecision,
    pub(crate) trouble: Trouble,
}

/// The notification about these recipients, ready to be queued; none where nobody may be told.
pub(crate) async fn about<C: Components>(
    engine: &Engine<C>,
    subject: &Subject<'_>,
    body: &Body,
    given_up: &[GivenUp],
    at: UnixMillis,
) -> Option<FollowUp> {
    let Subject { policy, entry, .. } = subject;
    let sender = &entry.envelope.reverse_path;
    let mailbox = sender.mailbox()?.clone();
    let told: Vec<_> = given_up.iter().filter(|one| may_notify(sender, one.recipient.notify, Action::Failed)).collect();
    if told.is_empty() {
        return None;
    }
    let back = Recipient::new(mailbox.clone().into());
    let mut dsn = Dsn::new(engine.config.hostname.clone(), entry.message.to_string(), mailbox, Action::Failed, at);
    dsn.arrival = Some(entry.reception.at);
    dsn.envelope_id.clone_from(&entry.envelope.envelope_id);
    dsn.recipients = told.iter().map(|one| recipient(subject, one, at)).collect();
    // What had to travel well guarded does not come back less so: then only its header does.
    let way_back = policy.decide_deliver(&DeliverFacts::new(&ReversePath::Null, &back.path, true).at(at));
    let guarded = told.iter().any(|one| was_better_guarded(policy, entry, one, &way_back.demand, at));
    let small = usize::try_from(body.size().0).is_ok_and(|size| size <= RETURNED_OCTETS);
    dsn.returned = match (guarded, entry.envelope.ret, small) {
        (false, None | Some(Ret::Full), true) => Returned::Whole(body.to_vec().await.unwrap_or_default()),
        _ => Returned::Headers(start_of(body, HEADER_OCTETS).await.unwrap_or_default()),
    };
    let id = engine.spool.next_id();
    let message = || submit::message(engine, id, Reception::local(at), Envelope::new(ReversePath::Null, vec![back.clone()]));
    let whole = FollowUp::new(message(), dsn.to_bytes());
    let notice = whole.or_else(|_| FollowUp::new(message(), brief(dsn).to_bytes()));
    notice.inspect_err(|error| tracing::error!(id = %entry.message, %error, "the sender cannot be notified")).ok()
}

fn recipient(subject: &Subject<'_>, one: &GivenUp, at: UnixMillis) -> DsnRecipient {
    let mut about = DsnRecipient::new(one.recipient.clone(), one.trouble.status, one.trouble.reason.clone());
    about.remote.clone_from(&one.trouble.host);
    about.reply = one.trouble.reply.as_ref().map(ToString::to_string);
    about.last_attempt = Some(at);
    if one.trouble.tls
        && let Some(decided) = subject.decided(one.index, at)
    {
        about.level = Some(decided.level);
        about.source = Some(decided.source);
    }
    about
}

/// The same with less said of each recipient, where there are very many: that they did not get it is what counts.
fn brief(mut dsn: Dsn) -> Dsn {
    dsn.recipients.truncate(BRIEF_RECIPIENTS);
    for about in &mut dsn.recipients {
        about.reply = None;
        about.reason = about.reason.chars().take(BRIEF_REASON).collect();
    }
    dsn.returned = Returned::Headers(Vec::new());
    dsn
}

/// Whether more was asked of the mail on either hop than is asked of the way back. What asks for no TLS guards nothing.
fn was_better_guarded(policy: &Policy, entry: &Entry, one: &GivenUp, way_back: &Demand, at: UnixMillis) -> bool {
    let better = |demand: &Demand| demand.is_mandatory() && !covers(way_back, demand);
    let received = entry.reception.client.is_some_and(|client| {
        let mut known = ClientFacts::new(client);
        known.login = entry.reception.login.as_deref();
        let facts = ReceiveFacts::new(client, &entry.envelope.reverse_path).with_client(known);
        let facts = facts.with_tls(entry.reception.tls.as_ref()).at(at);
        better(&policy.decide_receive(&facts.with_recipient(&one.recipient.path)).demand)
    });
    received || better(&one.decision.demand)
}

/// More than a notification gives back of a header.
const HEADER_OCTETS: usize = 64 << 10;

/// Recipients named in a brief notification, and characters of each one's reason: together below what a follow-up holds.
const BRIEF_RECIPIENTS: usize = 1000;
const BRIEF_REASON: usize = 100;
