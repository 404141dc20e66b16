//! What happened to a message, as one entry of the history.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use sealpost_types::{Domain, ForwardPath, Hop, Octets, ReversePath, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::{EventBytesError, Proof};

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// A message was accepted: it is durable, and its client was told so.
    Received,
    /// A client was told no.
    Refused,
    /// A try at one host failed.
    Attempt,
    /// All hosts failed for now; it is tried again.
    Deferred,
    /// TLS could not be had as demanded: "Processing: Check TLS".
    CheckTls,
    /// It was given up. The sender was told, unless there is none (`<>`) or it wants no such notice (`NOTIFY=NEVER`).
    Bounced,
    /// It was given up and deleted, because TLS could not be had.
    DeletedByTlsPolicy,
    /// A host took it.
    Delivered,
    /// Its lifetime is over.
    Expired,
    /// It is kept and tried no more, until somebody lets it go.
    Held,
    /// Somebody let it go: it is tried again.
    Released,
    /// Somebody removed it from the queue.
    Removed,
    /// The policy is another one from here on. Of no message, and of no hop: [`Event::of_policy`].
    PolicyChanged,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(clippy::exhaustive_enums, reason = "it worked, it may work later, or it never will")]
pub enum EventResult {
    /// It worked.
    Success,
    /// Not now.
    Transient,
    /// Not ever.
    Permanent,
}

/// A word that is no [`EventKind`] or [`EventResult`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown word {found:?}; one of {} is meant", known.join(", "))]
#[non_exhaustive]
pub struct UnknownWord {
    /// The word.
    pub found: String,
    /// The words that there are.
    pub known: Vec<&'static str>,
}

/// Which level was in force, which setting demanded it, and the policy's own account of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Decided {
    /// The level or demand, in the words of the policy.
    pub level: String,
    /// Where it is written: file and line, or the name of the default.
    pub source: String,
    /// The trace in its short form.
    pub trace: Arc<str>,
}

/// One entry of the history.
///
/// Only [`at`](Self::at), [`kind`](Self::kind), [`hop`](Self::hop) and [`result`](Self::result) are always known;
/// everything else is filled in as far as the case has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// When it happened.
    pub at: UnixMillis,
    /// What happened.
    pub kind: EventKind,
    /// On which hop.
    pub hop: Hop,
    /// How it ended.
    pub result: EventResult,
    /// The message's queue id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<String>,
    /// Who sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<ReversePath>,
    /// Whom it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<ForwardPath>,
    /// Whether it had come in over TLS, or was made here; of an entry about the deliver hop, none where it was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_secure: Option<bool>,
    /// On the deliver hop, what the first X-TLSLevel field of a trusted client said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level_header: Option<String>,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Octets>,
    /// Where it goes next: the text of the destination. Of a change of the policy, the file that it was made in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
    /// The other host: an MX, or what the client said in EHLO. Of a change of the policy, who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// How many attempts there were, this one included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<UnixMillis>,
    /// Why, in plain words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The other host's reply, all lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// What was demanded, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Arc<Decided>>,
    /// What the connection was like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Arc<Proof>>,
    /// What would have happened if entries in testing counted; none where that is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Arc<Shadow>>,
    /// How many more like it, shortly before it, it stands for: refusals of a flood are counted instead of written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<u64>,
}

/// What would have happened if entries in testing counted (F2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Shadow {
    /// The level that would have held.
    pub level: String,
    /// Whether the session has what that asks.
    pub outcome: ShadowOutcome,
    /// What it lacks, in plain words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether a session has what entries in testing ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::exhaustive_enums, reason = "it has, it has not, or nobody looked")]
pub enum ShadowOutcome {
    /// It has: the mail would have travelled all the same.
    Met,
    /// It has not: the mail would have been refused, or held.
    NotMet,
    /// TLS was not tried, so nobody knows.
    NotJudged,
}

impl Shadow {
    /// A shadow of its parts.
    #[must_use]
    pub fn new(level: impl Into<String>, outcome: ShadowOutcome, reason: Option<String>) -> Self {
        Self { level: level.into(), outcome, reason }
    }
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Received,
        Self::Refused,
        Self::Attempt,
        Self::Deferred,
        Self::CheckTls,
        Self::Bounced,
        Self::DeletedByTlsPolicy,
        Self::Delivered,
        Self::Expired,
        Self::Held,
        Self::Released,
        Self::Removed,
        Self::PolicyChanged,
    ];

    /// The word for it in filters and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Refused => "refused",
            Self::Attempt => "attempt",
            Self::Deferred => "deferred",
            Self::CheckTls => "check-tls",
            Self::Bounced => "bounced",
            Self::DeletedByTlsPolicy => "deleted-by-tls-policy",
            Self::Delivered => "delivered",
            Self::Expired => "expired",
            Self::Held => "held",
            Self::Released => "released",
            Self::Removed => "removed",
            Self::PolicyChanged => "policy-changed",
        }
    }

    /// How a thing of this kind ends where nothing else is said.
    #[must_use]
    pub fn usual_result(self) -> EventResult {
        match self {
            Self::Received | Self::Delivered | Self::Released | Self::PolicyChanged => EventResult::Success,
            Self::Attempt | Self::Deferred | Self::CheckTls | Self::Held => EventResult::Transient,
            Self::Refused | Self::Bounced | Self::DeletedByTlsPolicy | Self::Expired | Self::Removed => EventResult::Permanent,
        }
    }
}

impl EventResult {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Success, Self::Transient, Self::Permanent];

    /// The word for it in filters and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}

impl Decided {
    /// A decision of its parts.
    #[must_use]
    pub fn new(level: impl Into<String>, source: impl Into<String>, trace: impl Into<Arc<str>>) -> Self {
        Self { level: level.into(), source: source.into(), trace: trace.into() }
    }
}

impl Event {
    /// An entry with nothing but its kind; the result is the kind's usual one.
    #[must_use]
    pub fn new(at: UnixMillis, kind: EventKind, hop: Hop) -> Self {
        Self {
            at,
            kind,
            hop,
            result: kind.usual_result(),
            queue_id: None,
            sender: None,
            recipient: None,
            received_secure: None,
            level_header: None,
            size: None,
            next_hop: None,
            host: None,
            address: None,
            attempts: None,
            next_attempt: None,
            reason: None,
            reply: None,
            decided: None,
            proof: None,
            shadow: None,
            more: None,
        }
    }

    /// A change of the policy: who made it, in which file, and what came of it.
    ///
    /// It is of no hop; its `hop` is there because every entry has one, and is shown nowhere.
    #[must_use]
    pub fn of_policy(at: UnixMillis, by: impl Into<String>, file: impl Into<String>, changes: impl Into<String>) -> Self {
        let mut event = Self::new(at, EventKind::PolicyChanged, Hop::Receive).because(changes);
        (event.host, event.next_hop) = (Some(by.into()), Some(file.into()));
        event
    }

    /// The same entry about this message.
    #[must_use]
    pub fn of_message(mut self, queue_id: impl Into<String>, sender: ReversePath) -> Self {
        self.queue_id = Some(queue_id.into());
        self.sender = Some(sender);
        self
    }

    /// The same entry about this recipient.
    #[must_use]
    pub fn for_recipient(mut self, recipient: ForwardPath) -> Self {
        self.recipient = Some(recipient);
        self
    }

    /// The same entry with another result than the kind's usual one.
    #[must_use]
    pub fn with_result(mut self, result: EventResult) -> Self {
        self.result = result;
        self
    }

    /// The same entry with its reason in plain words.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The sender's and the recipient's domain, by which it is found.
    #[must_use]
    pub fn domains(&self) -> (Option<&Domain>, Option<&Domain>) {
        (self.sender.as_ref().and_then(ReversePath::domain), self.recipient.as_ref().and_then(ForwardPath::domain))
    }

    /// The entry as bytes for a store that need not understand it, such as the queue's outbox.
    ///
    /// The first octet is a version number; [`from_bytes`](Self::from_bytes) reads every version there ever was.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        // Writing to a vector cannot fail, and no field of an event is of a kind that JSON lacks.
        if serde_json::to_writer(&mut bytes, self).is_err() {
            bytes.truncate(1);
        }
        bytes
    }

    /// The entry that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`EventBytesError::Empty`], [`EventBytesError::Version`] for a first octet that no version has,
    /// [`EventBytesError::Content`] for what does not read as an entry.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EventBytesError> {
        match bytes.split_first() {
            None => Err(EventBytesError::Empty),
            Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|error| EventBytesError::Content { offset: error.column() }),
            Some((&found, _)) => Err(EventBytesError::Version { found, newest: VERSION }),
        }
    }
}

impl FromStr for EventKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let known = || Self::ALL.map(Self::as_str).to_vec();
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownWord { found: text.to_owned(), known: known() })
    }
}

impl FromStr for EventResult {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let known = || Self::ALL.map(Self::as_str).to_vec();
        Self::ALL.into_iter().find(|result| result.as_str() == text).ok_or_else(|| UnknownWord { found: text.to_owned(), known: known() })
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for EventResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version that [`Event::to_bytes`] writes.
const VERSION: u8 = 1;

#[cfg(test)]
pub(crate) mod tests {
    use sealpost_types::{CipherSuite, KexGroup, Mailbox, TlsFacts, TlsVersion};

    use super::*;
    use crate::{DaneProof, NoTls, RequireTlsMark, StsProof};

    /// An entry with every field filled in.
    pub(crate) fn full_event() -> Event {
        let facts = TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1302), Some(KexGroup(0x11ec)), false);
        let mut proof = Proof::new(Some(facts), "verify with mx.bank.example", false);
        proof.subject = Some("CN=mx.bank.example".into());
        proof.spki_pin = Some("sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into());
        proof.validation_path = vec!["CN=mx.bank.example".into(), "CN=Test CA".into()];
        proof.login = Some("alice".into());
        proof.client_names = vec![Domain::parse("out.acme.example").unwrap()];
        proof.anchors = Some("bank-ca.pem".into());
        proof.shown = Some("client.pem".into());
        proof.small_hello = Some("the connection was lost".into());
        proof.require_tls = Some(RequireTlsMark::Asked);
        proof.names = Some(vec!["DNS:mx.bank.example".into(), "IP Address:192.0.2.7".into()]);
        proof.host_secure = Some(false);
        proof.no_tls = Some(NoTls::Failed);
        proof.insecure_name = Some(Domain::parse("mx.bank.example").unwrap());
        let mut dane = DaneProof::new(Domain::parse("mx.bank.example").unwrap(), 2, 1);
        dane.matched = Some("3 1 1 0a0b (certificate)".into());
        proof.dane = Some(dane);
        let mut sts = StsProof::new("testing");
        sts.id = Some("20261126T1".into());
        sts.lack = Some("it went in clear".into());
        sts.trouble = Some("whether there is a newer policy is not known: status 404".into());
        proof.sts = Some(sts);
        proof.findings = vec!["certificate expired 3 days ago".into()];
        let mut event = Event::new(UnixMillis(1_763_784_727_123), EventKind::CheckTls, Hop::Deliver)
            .of_message("01JD8X0000000000000000000A", Mailbox::parse("alice@acme.example").unwrap().into())
            .for_recipient(ForwardPath::Mailbox(Mailbox::parse("bob@bank.example").unwrap()))
            .because("the certificate is not the one that is demanded");
        event.received_secure = Some(true);
        event.level_header = Some("Require".into());
        event.shadow = Some(Arc::new(Shadow::new("verify", ShadowOutcome::NotMet, Some("it went in clear".into()))));
        event.more = Some(12);
        event.size = Some(Octets(4096));
        event.next_hop = Some("mx:bank.example".into());
        event.host = Some("mx.bank.example".into());
        event.address = Some("192.0.2.7:25".parse().unwrap());
        event.attempts = Some(2);
        event.next_attempt = Some(UnixMillis(1_763_785_027_123));
        event.reply = Some("454 4.7.0 TLS not available\n454 4.7.0 try later".into());
        let trace = "partner \"Bank\" says verify\ndefaults say opportunistic";
        event.decided = Some(Arc::new(Decided::new("verify", "policy.toml:12", trace)));
        event.proof = Some(Arc::new(proof));
        event
    }

    /// The tests that show all there is rest on it: a field that is new is filled in above.
    #[test]
    fn the_full_event_leaves_nothing_out() {
        let shown = format!("{:?}", full_event());
        assert!(!shown.contains("None") && !shown.contains("[]"), "{shown}");
    }

    #[test]
    fn bytes_and_back() {
        let full = full_event();
        assert_eq!(Event::from_bytes(&full.to_bytes()), Ok(full));
        for kind in EventKind::ALL {
            for hop in [Hop::Receive, Hop::Deliver] {
                let mut event = Event::new(UnixMillis(-1), kind, hop);
                event.sender = Some(ReversePath::Null);
                event.recipient = Some(ForwardPath::Postmaster);
                assert_eq!(Event::from_bytes(&event.to_bytes()), Ok(event));
            }
        }
    }

    #[test]
    fn foreign_bytes_are_an_error_and_no_panic() {
        assert_eq!(Event::from_bytes(b""), Err(EventBytesError::Empty));
        assert_eq!(Event::from_bytes(b"\x07{}"), Err(EventBytesError::Version { found: 7, newest: 1 }));
        let bytes = full_event().to_bytes();
        for end in 1..bytes.len() {
            assert!(matches!(Event::from_bytes(&bytes[..end]), Err(EventBytesError::Content { .. })), "{end}");
        }
    }

    #[test]
    fn version_one_stays_readable() {
        let bytes = b"\x01{\"at\":5,\"kind\":\"deleted-by-tls-policy\",\"hop\":\"deliver\",\"result\":\"permanent\",\"queue_id\":\"Q\",\"sender\":\"\",\"later\":1}";
        let mut event = Event::new(UnixMillis(5), EventKind::DeletedByTlsPolicy, Hop::Deliver);
        event.queue_id = Some("Q".into());
        event.sender = Some(ReversePath::Null);
        assert_eq!(Event::from_bytes(bytes), Ok(event));
    }

    #[test]
    fn a_proof_of_before_there_were_more_fields_is_read() {
        let proof: Proof = serde_json::from_str("{\"demand\":\"verify\",\"satisfied\":true}").unwrap();
        assert_eq!(proof, Proof::new(None, "verify", true));
    }

    #[test]
    fn words_are_read_and_written() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        for result in EventResult::ALL {
            assert_eq!(result.as_str().parse(), Ok(result));
            assert_eq!(serde_json::to_string(&result).unwrap(), format!("\"{result}\""));
        }
        assert!("gone".parse::<EventKind>().unwrap_err().to_string().starts_with("unknown word \"gone\"; one of received, refused"));
    }
}
