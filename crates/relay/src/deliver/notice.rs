//! The notification that a sender gets: about mail that was given up, is late, or went to a server that does not report.

use sealpost_policy::{ClientFacts, DeliverDecision, DeliverFacts, Policy, ReceiveFacts, covers};
use sealpost_queue::{Body, Entry, FollowUp, Spool as _};
use sealpost_report::{Action, Dsn, DsnRecipient, RETURNED_OCTETS, Returned, may_notify};
use sealpost_smtp::Reply;
use sealpost_types::{BodyKind, Demand, EnhancedStatus, Envelope, Notify, Reception, Recipient, Ret, ReversePath, UnixMillis};

use super::body::start_of;
use super::held::asks_for_tls;
use super::outcome::{self, Contact, Trouble};
use super::subject::Subject;
use crate::engine::{Components, Engine};
use crate::submit;

/// What there is to tell of one recipient, if its sender wants to hear it.
#[derive(Debug)]
pub(crate) struct Notice {
    /// Its place in the envelope.
    index: usize,
    recipient: Recipient,
    action: Action,
    status: EnhancedStatus,
    reason: String,
    remote: Option<String>,
    reply: Option<String>,
    /// Whether it was TLS that could not be had.
    tls: bool,
    /// What was asked of the delivery.
    decision: DeliverDecision,
    /// Until when it is tried, or was.
    tried_until: Option<UnixMillis>,
}

/// It was given up; `expired` is when its time was over, if that is why.
pub(crate) fn failed(
    index: usize,
    recipient: &Recipient,
    decision: &DeliverDecision,
    trouble: Trouble,
    expired: Option<UnixMillis>,
) -> Notice {
    Notice::in_trouble(index, recipient, decision, Action::Failed, trouble, expired)
}

/// It is late, and is tried `until` then.
pub(crate) fn delayed(index: usize, recipient: &Recipient, decision: &DeliverDecision, mut trouble: Trouble, until: UnixMillis) -> Notice {
    // RFC 3464 section 2.3.4: of what is still tried, the status is transient, whatever the host said.
    trouble.status = outcome::transient(trouble.status);
    Notice::in_trouble(index, recipient, decision, Action::Delayed, trouble, Some(until))
}

/// A host took it that does not report what becomes of it; nothing where the host does, or where the sender did not ask.
///
/// # Wire
/// RFC 3461 section 5.2.2 (b).
pub(crate) fn relayed(index: usize, recipient: &Recipient, decision: &DeliverDecision, contact: &Contact, reply: &Reply) -> Option<Notice> {
    let asked = matches!(recipient.notify, Some(Notify::On { success: true, .. }));
    (asked && !contact.reports).then(|| Notice {
        index,
        recipient: recipient.clone(),
        action: Action::Relayed,
        status: reply.status().filter(|status| status.class() == 2).unwrap_or(outcome::DONE),
        reason: format!("{} took it, and offers no delivery status notifications", contact.host),
        remote: Some(contact.host.clone()),
        reply: Some(reply.to_string()),
        tls: false,
        decision: decision.clone(),
        tried_until: None,
    })
}

impl Notice {
    fn in_trouble(
        index: usize,
        recipient: &Recipient,
        decision: &DeliverDecision,
        action: Action,
        trouble: Trouble,
        tried_until: Option<UnixMillis>,
    ) -> Self {
        Self {
            index,
            recipient: recipient.clone(),
            action,
            status: trouble.status,
            reason: trouble.reason,
            remote: trouble.host,
            reply: trouble.reply.as_ref().map(ToString::to_string),
            tls: trouble.tls,
            decision: decision.clone(),
            tried_until,
        }
    }

    fn shown(&self, subject: &Subject<'_>, at: UnixMillis) -> DsnRecipient {
        let mut about = DsnRecipient::new(self.recipient.clone(), self.action, self.status, self.reason.clone());
        about.remote.clone_from(&self.remote);
        about.reply.clone_from(&self.reply);
        about.last_attempt = Some(at);
        about.tried_until = self.tried_until;
        if self.tls
            && let Some(decided) = subject.decided(self.index, at)
        {
            about.level = Some(decided.level.clone());
            about.source = Some(decided.source.clone());
        }
        about
    }
}

/// The notification about these recipients, ready to be queued; none where nobody may be told.
///
/// Never one about a notification: mail of the null reverse-path has nobody to tell.
pub(crate) async fn about<C: Components>(
    engine: &Engine<C>,
    subject: &Subject<'_>,
    body: &Body,
    notices: &[Notice],
    at: UnixMillis,
) -> Option<FollowUp> {
    let Subject { policy, entry, .. } = subject;
    let sender = &entry.envelope.reverse_path;
    let mailbox = sender.mailbox()?.clone();
    let told: Vec<_> = notices.iter().filter(|one| may_notify(sender, one.recipient.notify, one.action)).collect();
    if told.is_empty() {
        return None;
    }
    let back = Recipient::new(mailbox.clone().into());
    let id = engine.spool.next_id();
    let mut dsn = Dsn::new(engine.config().hostname.clone(), entry.message.to_string(), mailbox, at);
    dsn.own_id = Some(id.to_string());
    dsn.arrival = Some(entry.reception.at);
    dsn.received_from = received_from(&entry.reception);
    dsn.envelope_id.clone_from(&entry.envelope.envelope_id);
    dsn.recipients = told.iter().map(|one| one.shown(subject, at)).collect();
    // What had to travel well guarded does not come back less so: then only its header does.
    let facts = DeliverFacts::new(&ReversePath::Null, &back.path, true).with_sender_choice(entry.envelope.require_tls, false);
    let way_back = policy.decide_deliver(&facts.at(at));
    let guarded = told.iter().any(|one| was_better_guarded(policy, entry, one, &way_back.demand, at));
    let small = usize::try_from(body.size().0).is_ok_and(|size| size <= RETURNED_OCTETS);
    // RFC 8689 section 5: of REQUIRETLS mail only the header goes back, whatever RET says.
    let whole = !guarded && !entry.envelope.require_tls && entry.envelope.ret != Some(Ret::Headers);
    dsn.returned = if whole && small && dsn.action() == Action::Failed {
        Returned::Whole(body.to_vec().await.unwrap_or_default())
    } else {
        Returned::Headers(start_of(body, HEADER_OCTETS).await.unwrap_or_default())
    };
    // A notification that the way back cannot take is lost: only who asks for all of the mail is sent what needs 8BITMIME.
    dsn.eight_bit = entry.envelope.ret == Some(Ret::Full);
    let follow_up = |text: Vec<u8>| {
        let mut envelope = Envelope::new(ReversePath::Null, vec![back.clone()]);
        envelope.smtputf8 = !back.path.is_ascii();
        envelope.require_tls = entry.envelope.require_tls;
        if !text.is_ascii() {
            envelope.body = BodyKind::EightBitMime;
        }
        FollowUp::new(submit::message(engine, id, Reception::local(at), envelope), text)
    };
    let notice = follow_up(dsn.to_bytes()).or_else(|_| follow_up(brief(dsn).to_bytes()));
    notice.inspect_err(|error| tracing::error!(id = %entry.message, %error, "the sender cannot be notified")).ok()
}

/// Who handed the mail in: what it called itself, and its address.
fn received_from(reception: &Reception) -> Option<String> {
    let address = match reception.client?.to_canonical() {
        std::net::IpAddr::V4(address) => format!("[{address}]"),
        std::net::IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let helo: String = reception.helo.chars().map(|c| if harmless(c) { c } else { '?' }).collect();
    Some(if helo.is_empty() { address } else { format!("{helo} ({address})") })
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
fn was_better_guarded(policy: &Policy, entry: &Entry, one: &Notice, way_back: &Demand, at: UnixMillis) -> bool {
    let better = |demand: &Demand| asks_for_tls(demand) && !covers(way_back, demand);
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
