//! Delivery status notifications: what a sender is told about mail that did not arrive.

mod encode;

use sealpost_types::{
    Domain, EnhancedStatus, EnvelopeId, ForwardPath, Mailbox, Notify, OriginalRecipient, Recipient, ReversePath, UnixMillis,
};

use self::encode::{encoded_words, field, is_plain, quoted_printable, to_ascii, typed_address, wrap};
use crate::messages::Key;
use crate::time::rfc5322;
use crate::{Clock, Lang};

/// What became of the mail.
///
/// # Wire
/// RFC 3464 section 2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// It was given up.
    Failed,
    /// It is still tried.
    Delayed,
}

/// What a notification says of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DsnRecipient {
    /// Whom the mail was for, with the address that the sender first wrote.
    pub recipient: Recipient,
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
    /// Until when it is tried.
    pub tried_until: Option<UnixMillis>,
}

/// How much of the mail is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "RFC 3461 section 4.3 knows these two and no other")]
pub enum Returned {
    /// Its header. A body behind it is left out.
    Headers(Vec<u8>),
    /// All of it. A notification of a delay, and mail beyond [`RETURNED_OCTETS`] or not of plain lines of ASCII, gives
    /// back the header alone.
    Whole(Vec<u8>),
}

/// A notification about one message.
///
/// It is to be sent with the null reverse-path, and only where [`may_notify`] says so.
///
/// # Wire
/// RFC 3464 in RFC 6522 (`multipart/report`), fields of RFC 3461 section 6.3, RFC 3834 (`Auto-Submitted`), RFC 6533 for
/// addresses beyond ASCII. Lines of ASCII, none longer than 998 octets.
///
/// # Example
/// ```
/// use sealpost_report::{Action, Dsn, DsnRecipient, Returned};
/// use sealpost_types::{Domain, EnhancedStatus, ForwardPath, Mailbox, Recipient, UnixMillis};
///
/// let bob = Recipient::new(ForwardPath::Mailbox(Mailbox::parse("bob@bank.example")?));
/// let status = EnhancedStatus::new(5, 7, 10).ok_or("no status")?;
/// let failed = DsnRecipient::new(bob, status, "the server offers no TLS");
/// let sender = Mailbox::parse("alice@acme.example")?;
/// let mut dsn = Dsn::new(Domain::parse("relay.example")?, "01JD8X", sender, Action::Failed, UnixMillis(0));
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
    /// Who is told: the sender of the mail.
    pub to: Mailbox,
    /// What became of it.
    pub action: Action,
    /// When the notification is made.
    pub at: UnixMillis,
    /// When the mail was accepted.
    pub arrival: Option<UnixMillis>,
    /// The sender's own name for it.
    pub envelope_id: Option<EnvelopeId>,
    /// Whom it concerns.
    pub recipients: Vec<DsnRecipient>,
    /// What is given back of it.
    pub returned: Returned,
    /// The language of the part for people.
    pub lang: Lang,
}

/// Whether the sender may be told: never about mail that came from nowhere (a notification itself), and not where it
/// asked not to be. Who asked for nothing is told of both; whether delays are told of at all is the caller's setting.
///
/// # Wire
/// RFC 5321 section 4.5.5, RFC 3461 section 4.1.
#[must_use]
pub fn may_notify(sender: &ReversePath, asked: Option<Notify>, action: Action) -> bool {
    match (sender, asked, action) {
        (ReversePath::Null, ..) | (_, Some(Notify::Never), _) => false,
        (_, None, _) => true,
        (_, Some(Notify::On { failure, .. }), Action::Failed) => failure,
        (_, Some(Notify::On { delay, .. }), Action::Delayed) => delay,
    }
}

impl Action {
    /// The word of RFC 3464.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
        }
    }
}

impl DsnRecipient {
    /// What is known in every case.
    #[must_use]
    pub fn new(recipient: Recipient, status: EnhancedStatus, reason: impl Into<String>) -> Self {
        Self {
            recipient,
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
    pub fn new(reporting_mta: Domain, queue_id: impl Into<String>, to: Mailbox, action: Action, at: UnixMillis) -> Self {
        Self {
            reporting_mta,
            queue_id: queue_id.into(),
            to,
            action,
            at,
            arrival: None,
            envelope_id: None,
            recipients: Vec::new(),
            returned: Returned::Headers(Vec::new()),
            lang: Lang::default(),
        }
    }

    /// The notification as a message, header and body, ready to be queued.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let returned = self.returned_part();
        let boundary = self.boundary(&returned.content);
        let mut out = Vec::with_capacity(returned.content.len() + 4096);
        self.header(&mut out, &boundary);
        let text = self.text_part(returned.whole);
        for part in [&text, &self.status_part(), &returned] {
            out.extend_from_slice(format!("--{boundary}\r\nContent-Type: {}\r\n", part.kind).as_bytes());
            out.extend_from_slice(format!("Content-Transfer-Encoding: {}\r\n\r\n", part.encoding).as_bytes());
            out.extend_from_slice(&part.content);
            // The line end before a boundary belongs to the boundary: without it the part would lose its own.
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        out
    }

    fn header(&self, out: &mut Vec<u8>, boundary: &str) {
        let host = &self.reporting_mta;
        let subject = match self.action {
            Action::Failed => Key::DsnSubjectFailed,
            Action::Delayed => Key::DsnSubjectDelayed,
        };
        field(out, "Date", &rfc5322(self.at));
        field(out, "From", &format!("{} <MAILER-DAEMON@{host}>", encoded_words(Key::DsnFrom.text(self.lang))));
        // An address beyond ASCII cannot stand in a header of ASCII: its text is kept in an empty group (RFC 6857).
        let to = if self.to.is_ascii() { format!("<{}>", self.to) } else { format!("{} :;", encoded_words(&self.to.to_string())) };
        field(out, "To", &to);
        field(out, "Subject", &encoded_words(subject.text(self.lang)));
        field(out, "Message-ID", &format!("<{}.{}.{}@{host}>", self.plain_id(), self.at.0.max(0), self.action.as_str()));
        field(out, "MIME-Version", "1.0");
        field(out, "Auto-Submitted", "auto-replied");
        field(out, "Content-Type", &format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\""));
        out.extend_from_slice(b"\r\n");
    }

    /// The part for people.
    fn text_part(&self, whole: bool) -> Part {
        let lang = self.lang;
        let mut lines = vec![Key::DsnIntro.fill(lang, &[("host", self.reporting_mta.as_str())]), String::new()];
        let what = match self.action {
            Action::Failed => Key::DsnFailed,
            Action::Delayed => Key::DsnDelayed,
        };
        lines.push(what.text(lang).to_owned());
        if let Some(at) = self.arrival {
            lines.push(Key::DsnReceived.fill(lang, &[("time", &Clock::Utc.iso(at)), ("id", &self.queue_id)]));
        }
        for about in &self.recipients {
            lines.extend([String::new(), format!("<{}>", about.recipient.path)]);
            lines.push(format!("    {}", Key::DsnReason.fill(lang, &[("reason", &about.reason)])));
            if let (Some(level), Some(source)) = (&about.level, &about.source) {
                lines.push(format!("    {}", Key::DsnDecided.fill(lang, &[("level", level), ("source", source)])));
            }
            if let Some(reply) = &about.reply {
                let text = match &about.remote {
                    Some(host) => Key::DsnReply.fill(lang, &[("host", host), ("reply", reply)]),
                    None => Key::DsnReplyUnnamed.fill(lang, &[("reply", reply)]),
                };
                lines.extend(text.lines().map(|line| format!("    {line}")));
            }
            if let (Some(until), Action::Delayed) = (about.tried_until, self.action) {
                lines.push(format!("    {}", Key::DsnUntil.fill(lang, &[("time", &Clock::Utc.iso(until))])));
            }
        }
        lines.extend([String::new(), if whole { Key::DsnWhole } else { Key::DsnHeaders }.text(lang).to_owned()]);
        let text: String = lines.iter().map(|line| wrap(line)).collect();
        if text.is_ascii() {
            Part { kind: "text/plain; charset=us-ascii", encoding: "7bit", content: text.into_bytes(), whole }
        } else {
            Part { kind: "text/plain; charset=utf-8", encoding: "quoted-printable", content: quoted_printable(text.as_bytes()), whole }
        }
    }

    /// The part for programs.
    fn status_part(&self) -> Part {
        let mut out = Vec::new();
        field(&mut out, "Reporting-MTA", &format!("dns; {}", self.reporting_mta));
        if let Some(id) = &self.envelope_id {
            field(&mut out, "Original-Envelope-Id", id.as_str());
        }
        if let Some(at) = self.arrival {
            field(&mut out, "Arrival-Date", &rfc5322(at));
        }
        for about in &self.recipients {
            out.extend_from_slice(b"\r\n");
            if let Some(original) = &about.recipient.original {
                field(&mut out, "Original-Recipient", &original_recipient(original));
            }
            field(&mut out, "Final-Recipient", &final_recipient(&about.recipient.path));
            field(&mut out, "Action", self.action.as_str());
            field(&mut out, "Status", &about.status.to_string());
            if let Some(remote) = &about.remote {
                field(&mut out, "Remote-MTA", &format!("dns; {}", to_ascii(remote)));
            }
            match &about.reply {
                Some(reply) => field(&mut out, "Diagnostic-Code", &format!("smtp; {}", to_ascii(reply))),
                None => field(&mut out, "Diagnostic-Code", &format!("x-sealpost; {}", to_ascii(&about.reason))),
            }
            if let Some(at) = about.last_attempt {
                field(&mut out, "Last-Attempt-Date", &rfc5322(at));
            }
            field(&mut out, "Final-Log-ID", &to_ascii(&self.queue_id));
            if let (Some(until), Action::Delayed) = (about.tried_until, self.action) {
                field(&mut out, "Will-Retry-Until", &rfc5322(until));
            }
        }
        Part { kind: "message/delivery-status", encoding: "7bit", content: out, whole: false }
    }

    /// The part that gives back what was sent.
    fn returned_part(&self) -> Part {
        let (Returned::Headers(mail) | Returned::Whole(mail)) = &self.returned;
        let whole = matches!(self.returned, Returned::Whole(_)) && self.action == Action::Failed;
        if whole && mail.len() <= RETURNED_OCTETS && is_plain(mail) {
            return Part { kind: "message/rfc822", encoding: "7bit", content: mail.clone(), whole: true };
        }
        let head = head_of(mail);
        if is_plain(head) {
            Part { kind: "text/rfc822-headers", encoding: "7bit", content: head.to_vec(), whole: false }
        } else {
            // RFC 6522 section 4 allows the encoding for this type.
            Part { kind: "text/rfc822-headers", encoding: "quoted-printable", content: quoted_printable(head), whole: false }
        }
    }

    /// A boundary that what is given back does not contain. In the other parts, what others wrote never starts a line.
    fn boundary(&self, returned: &[u8]) -> String {
        let mut boundary = format!("=_{}", self.plain_id());
        let mut number = 0_u32;
        while memchr::memmem::find(returned, boundary.as_bytes()).is_some() {
            number += 1;
            boundary = format!("=_{}_{number}", self.plain_id());
        }
        boundary
    }

    /// The queue id as far as it fits into a boundary and a message id.
    fn plain_id(&self) -> String {
        self.queue_id.chars().filter(char::is_ascii_alphanumeric).take(40).collect()
    }
}

struct Part {
    kind: &'static str,
    encoding: &'static str,
    content: Vec<u8>,
    whole: bool,
}

fn original_recipient(original: &OriginalRecipient) -> String {
    typed_address(original.address_type(), original.address())
}

fn final_recipient(path: &ForwardPath) -> String {
    let address = path.to_string();
    typed_address(if address.is_ascii() { "rfc822" } else { "utf-8" }, &address)
}

/// The header of a mail: up to the first empty line, and whole lines up to [`RETURNED_HEADER_OCTETS`].
fn head_of(mail: &[u8]) -> &[u8] {
    let end = match memchr::memmem::find(mail, b"\r\n\r\n") {
        Some(end) => end + 2,
        None if mail.starts_with(b"\r\n") => 0,
        None => mail.len(),
    };
    let head = if mail.starts_with(b"\r\n") { &[] } else { &mail[..end] };
    if head.len() <= RETURNED_HEADER_OCTETS {
        return head;
    }
    let cut = &head[..RETURNED_HEADER_OCTETS];
    memchr::memmem::rfind(cut, b"\r\n").map_or(cut, |end| &cut[..end + 2])
}

/// Octets of a mail that is given back whole.
pub const RETURNED_OCTETS: usize = 64 * 1024;

/// Octets of a header that is given back.
pub const RETURNED_HEADER_OCTETS: usize = 32 * 1024;

#[cfg(test)]
mod tests;
