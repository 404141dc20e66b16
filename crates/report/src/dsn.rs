//! Delivery status notifications: what a sender is told about mail that did not arrive, is late, or went where nobody reports.

pub(crate) mod encode;
mod people;
mod returned;
mod status;

use sealpost_types::{Domain, EnhancedStatus, EnvelopeId, Mailbox, Notify, Recipient, ReversePath, UnixMillis};

use self::encode::{encoded_words, field, global_field};
use crate::Lang;
use crate::messages::Key;
use crate::time::rfc5322;

pub use self::returned::{RETURNED_HEADER_OCTETS, RETURNED_OCTETS, Returned};

/// What became of a recipient's mail. Ordered: a later one is told of first.
///
/// # Wire
/// RFC 3464 section 2.3.3. What expired has failed; `delivered` and `expanded` are for whoever has mailboxes and lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// It was handed to a server that does not report what becomes of it (RFC 3461 section 5.2.2).
    Relayed,
    /// It is still tried.
    Delayed,
    /// It was given up.
    Failed,
}

/// What a notification says of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DsnRecipient {
    /// Whom the mail was for, with the address that the sender first wrote.
    pub recipient: Recipient,
    /// What became of it.
    pub action: Action,
    /// The status that ended the last attempt.
    pub status: EnhancedStatus,
    /// Why, in plain words.
    pub reason: String,
    /// The host that the last attempt was made at: its name, or its address in brackets.
    pub remote: Option<String>,
    /// Its full reply.
    pub reply: Option<String>,
    /// The TLS level that was demanded, if that is the reason.
    pub level: Option<String>,
    /// Where that level is written.
    pub source: Option<String>,
    /// When the last attempt was made.
    pub last_attempt: Option<UnixMillis>,
    /// Until when it is tried; of what has failed, until when it was, if the end of that time is why.
    pub tried_until: Option<UnixMillis>,
}

/// A notification about one message.
///
/// It is to be sent with the null reverse-path, and only where [`may_notify`] says so.
///
/// # Wire
/// RFC 3464 in RFC 6522 (`multipart/report`), fields of RFC 3461 section 6.3, RFC 3834 (`Auto-Submitted`). Lines of ASCII, none
/// longer than 998 octets, where the sender's address is; addresses beyond it are written in ASCII then (RFC 6533 section 3).
/// A sender with an address beyond ASCII gets `message/global-delivery-status` with addresses as they are: send it with
/// SMTPUTF8.
///
/// # Example
/// ```
/// use sealpost_report::{Action, Dsn, DsnRecipient, Returned};
/// use sealpost_types::{Domain, EnhancedStatus, ForwardPath, Mailbox, Recipient, UnixMillis};
///
/// let bob = Recipient::new(ForwardPath::Mailbox(Mailbox::parse("bob@bank.example")?));
/// let status = EnhancedStatus::new(5, 7, 10).ok_or("no status")?;
/// let failed = DsnRecipient::new(bob, Action::Failed, status, "the server offers no TLS");
/// let sender = Mailbox::parse("alice@acme.example")?;
/// let mut dsn = Dsn::new(Domain::parse("relay.example")?, "01JD8X", sender, UnixMillis(0));
/// dsn.recipients.push(failed);
/// dsn.returned = Returned::Headers(b"Subject: hello\r\n\r\nbody".to_vec());
///
/// let text = String::from_utf8(dsn.to_bytes())?;
/// assert!(text.contains("\r\nFinal-Recipient: rfc822; bob@bank.example\r\nAction: failed\r\nStatus: 5.7.10\r\n"));
/// assert!(!text.contains("body"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dsn {
    /// The name of this relay.
    pub reporting_mta: Domain,
    /// The queue id of the mail.
    pub queue_id: String,
    /// The queue id of the notification, for its Message-ID: several may be made about one mail.
    pub own_id: Option<String>,
    /// Who is told: the sender of the mail.
    pub to: Mailbox,
    /// When the notification is made.
    pub at: UnixMillis,
    /// When the mail was accepted.
    pub arrival: Option<UnixMillis>,
    /// Who handed it in: the name that it gave, with its address.
    pub received_from: Option<String>,
    /// The sender's own name for it.
    pub envelope_id: Option<EnvelopeId>,
    /// Whom it concerns.
    pub recipients: Vec<DsnRecipient>,
    /// What is given back of it.
    pub returned: Returned,
    /// Whether a mail with octets beyond ASCII is given back as it is: the notification needs 8BITMIME then.
    pub eight_bit: bool,
    /// The language of the part for people.
    pub lang: Lang,
}

/// Whether the sender may be told: never about mail that came from nowhere (a notification itself), and not where it
/// asked not to be. Who asked for nothing is told of failures and delays; whether delays are told of at all is the caller's
/// setting. That mail was relayed is for those who asked to hear of success.
///
/// # Wire
/// RFC 5321 section 4.5.5, RFC 3461 section 4.1, 5.2.2, 5.2.5 and 5.2.6.
#[must_use]
pub fn may_notify(sender: &ReversePath, asked: Option<Notify>, action: Action) -> bool {
    match (sender, asked, action) {
        (ReversePath::Null, ..) | (_, Some(Notify::Never), _) => false,
        (_, None, action) => action != Action::Relayed,
        (_, Some(Notify::On { failure, .. }), Action::Failed) => failure,
        (_, Some(Notify::On { delay, .. }), Action::Delayed) => delay,
        (_, Some(Notify::On { success, .. }), Action::Relayed) => success,
    }
}

impl Action {
    /// The word of RFC 3464.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
        }
    }
}

impl DsnRecipient {
    /// What is known in every case.
    #[must_use]
    pub fn new(recipient: Recipient, action: Action, status: EnhancedStatus, reason: impl Into<String>) -> Self {
        Self {
            recipient,
            action,
            status,
            reason: reason.into(),
            remote: None,
            reply: None,
            level: None,
            source: None,
            last_attempt: None,
            tried_until: None,
        }
    }
}

impl Dsn {
    /// A notification without recipients yet, that gives nothing back.
    #[must_use]
    pub fn new(reporting_mta: Domain, queue_id: impl Into<String>, to: Mailbox, at: UnixMillis) -> Self {
        Self {
            reporting_mta,
            queue_id: queue_id.into(),
            own_id: None,
            to,
            at,
            arrival: None,
            received_from: None,
            envelope_id: None,
            recipients: Vec::new(),
            returned: Returned::Headers(Vec::new()),
            eight_bit: false,
            lang: Lang::default(),
        }
    }

    /// What it is about, of all that it tells: a failure before a delay before success.
    #[must_use]
    pub fn action(&self) -> Action {
        self.recipients.iter().map(|about| about.action).max().unwrap_or(Action::Failed)
    }

    /// The notification as a message, header and body, ready to be queued.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let returned = self.returned_part();
        let boundary = self.boundary(&returned.content);
        let parts = [self.people_part(returned.whole), self.status_part(), returned];
        let mut out = Vec::with_capacity(parts.iter().map(|part| part.content.len()).sum::<usize>() + 2048);
        self.header(&mut out, &boundary, parts.iter().any(|part| part.encoding == "8bit"));
        for part in &parts {
            out.extend_from_slice(format!("--{boundary}\r\nContent-Type: {}\r\n", part.kind).as_bytes());
            out.extend_from_slice(format!("Content-Transfer-Encoding: {}\r\n\r\n", part.encoding).as_bytes());
            out.extend_from_slice(&part.content);
            // The line end before a boundary belongs to the boundary: without it the part would lose its own.
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        out
    }

    fn header(&self, out: &mut Vec<u8>, boundary: &str, eight_bit: bool) {
        let host = &self.reporting_mta;
        let action = self.action();
        let subject = match action {
            Action::Failed => Key::DsnSubjectFailed,
            Action::Delayed => Key::DsnSubjectDelayed,
            Action::Relayed => Key::DsnSubjectRelayed,
        };
        field(out, "Date", &rfc5322(self.at));
        field(out, "From", &format!("{} <MAILER-DAEMON@{host}>", encoded_words(Key::DsnFrom.text(self.lang))));
        global_field(out, "To", &format!("<{}>", self.to));
        field(out, "Subject", &encoded_words(subject.text(self.lang)));
        let id = plain(self.own_id.as_deref().unwrap_or(&self.queue_id));
        field(out, "Message-ID", &format!("<{id}.{}.{}@{host}>", self.at.0.max(0), action.as_str()));
        field(out, "MIME-Version", "1.0");
        field(out, "Auto-Submitted", "auto-replied");
        field(out, "Content-Type", &format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\""));
        if eight_bit {
            field(out, "Content-Transfer-Encoding", "8bit");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Whether it goes to an address beyond ASCII: then it may hold UTF-8 wherever text stands (RFC 6532, RFC 6533).
    fn is_global(&self) -> bool {
        !self.to.is_ascii()
    }

    /// A boundary that what is given back does not contain. In the other parts, what others wrote never starts a line.
    fn boundary(&self, returned: &[u8]) -> String {
        let id = plain(&self.queue_id);
        let mut boundary = format!("=_{id}");
        let mut number = 0_u32;
        while memchr::memmem::find(returned, boundary.as_bytes()).is_some() {
            number += 1;
            boundary = format!("=_{id}_{number}");
        }
        boundary
    }
}

/// A queue id as far as it fits into a boundary and a message id.
fn plain(id: &str) -> String {
    id.chars().filter(char::is_ascii_alphanumeric).take(40).collect()
}

/// One part of the report.
struct Part {
    kind: &'static str,
    encoding: &'static str,
    content: Vec<u8>,
    /// Whether it gives back all of the mail.
    whole: bool,
}

#[cfg(test)]
mod tests;
