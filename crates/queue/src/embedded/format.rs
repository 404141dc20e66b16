//! How an entry stands in its row: JSON that an operator can read, with checksums.

use std::sync::Arc;

use sealpost_types::{
    BodyKind, Demand, Destination, Envelope, EnvelopeId, ForwardPath, Level, Notify, Octets, OriginalRecipient, Reception, Recipient, Ret,
    ReversePath, UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::{Deferral, Entry, Hold, NewMessage, QueueId, SameVerdict};

/// The column `envelope`: what never changes.
#[derive(Serialize, Deserialize)]
struct EnvelopeText {
    from: ReversePath,
    #[serde(default, skip_serializing_if = "is_default")]
    body: BodyKind,
    #[serde(default, skip_serializing_if = "is_default")]
    smtputf8: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    require_tls: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ret: Option<Ret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envelope_id: Option<EnvelopeId>,
    reception: Reception,
}

/// One element of the column `recipients`: those that are still to be served.
#[derive(Serialize, Deserialize)]
struct RecipientText {
    to: ForwardPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notify: Option<Notify>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original: Option<OriginalRecipient>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deferral: Option<DeferralText>,
}

#[derive(Serialize, Deserialize)]
struct DeferralText {
    due: UnixMillis,
    reason: String,
    #[serde(default, skip_serializing_if = "is_default")]
    tls: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<HoldText>,
    #[serde(default, skip_serializing_if = "is_default")]
    attempts: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    warned: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    until_released: bool,
}

#[derive(Serialize, Deserialize)]
struct VerdictText {
    word: String,
    times: u32,
}

#[derive(Serialize, Deserialize)]
struct HoldText {
    level: Level,
    demand: Demand,
    #[serde(default, skip_serializing_if = "is_default")]
    releases: u64,
}

/// The columns of an entry that are never changed, as they are stored.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    pub(super) id: i64,
    pub(super) message: Option<i64>,
    pub(super) destination: Destination,
    pub(super) created: i64,
    pub(super) expires: i64,
    pub(super) octets: i64,
    pub(super) body_check: u32,
    pub(super) envelope: Arc<str>,
    pub(super) file: Option<i64>,
    pub(super) file_at: Option<i64>,
}

/// The columns that a deferral changes.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) attempts: u32,
    pub(super) recipients: String,
}

/// Why a row is no entry.
pub(super) type Damage = String;

impl Fixed {
    /// The checksum over everything else in here: a bit that fell over is found, and so is a row in another one's place.
    pub(super) fn check(&self) -> u32 {
        let mut check = crc32fast::Hasher::new();
        let numbers = [self.id, self.message.unwrap_or(-1), self.created, self.expires, self.octets, self.file.unwrap_or(-1)];
        numbers.iter().for_each(|number| check.update(&number.to_le_bytes()));
        // Rows of before had none.
        if let Some(at) = self.file_at {
            check.update(&at.to_le_bytes());
        }
        check.update(&self.body_check.to_le_bytes());
        check.update(self.destination.as_str().as_bytes());
        check.update(&[0]);
        check.update(self.envelope.as_bytes());
        check.finalize()
    }
}

impl Waiting {
    pub(super) fn check(&self, id: i64) -> u32 {
        let mut check = crc32fast::Hasher::new();
        check.update(&id.to_le_bytes());
        check.update(&self.attempts.to_le_bytes());
        check.update(self.recipients.as_bytes());
        check.finalize()
    }
}

/// The column `envelope` of a message.
pub(super) fn envelope_text(message: &NewMessage) -> String {
    let Envelope { reverse_path, body, smtputf8, ret, envelope_id, require_tls, .. } = message.envelope.clone();
    let reception = message.reception.clone();
    json(&EnvelopeText { from: reverse_path, body, smtputf8, require_tls, ret, envelope_id, reception })
}

/// The column `recipients`.
pub(super) fn recipients_text<'a>(recipients: impl Iterator<Item = (&'a Recipient, Option<&'a Deferral>)>) -> String {
    let text = |(recipient, deferral): (&Recipient, Option<&Deferral>)| RecipientText {
        to: recipient.path.clone(),
        notify: recipient.notify,
        original: recipient.original.clone(),
        deferral: deferral.map(DeferralText::of),
    };
    json(&recipients.map(text).collect::<Vec<_>>())
}

/// The entry that a row is, if its checksums say that it is the one that was stored.
pub(super) fn entry(fixed: &Fixed, fixed_check: u32, waiting: &Waiting, waiting_check: u32) -> Result<Entry, Damage> {
    if fixed.check() != fixed_check {
        return Err("the checksum of the envelope differs".into());
    }
    if waiting.check(fixed.id) != waiting_check {
        return Err("the checksum of the recipients differs".into());
    }
    let envelope: EnvelopeText = serde_json::from_str(&fixed.envelope).map_err(|e| format!("the envelope cannot be read: {e}"))?;
    let recipients: Vec<RecipientText> =
        serde_json::from_str(&waiting.recipients).map_err(|e| format!("the recipients cannot be read: {e}"))?;
    let id = QueueId::from_number(fixed.id).ok_or("the id is negative")?;
    let message = fixed.message.map_or(Some(id), QueueId::from_number).ok_or("the message's id is negative")?;
    let (recipients, deferrals) = recipients.into_iter().map(RecipientText::split).unzip();
    Ok(Entry {
        id,
        message,
        destination: fixed.destination.clone(),
        deferrals,
        reception: envelope.reception.clone(),
        expires: UnixMillis(fixed.expires),
        attempts: waiting.attempts,
        size: Octets(u64::try_from(fixed.octets).map_err(|_| "the size is negative")?),
        envelope: envelope.of(recipients),
    })
}

impl EnvelopeText {
    fn of(self, recipients: Vec<Recipient>) -> Envelope {
        let mut envelope = Envelope::new(self.from, recipients);
        envelope.body = self.body;
        envelope.smtputf8 = self.smtputf8;
        envelope.ret = self.ret;
        envelope.envelope_id = self.envelope_id;
        envelope.require_tls = self.require_tls;
        envelope
    }
}

impl RecipientText {
    fn split(self) -> (Recipient, Option<Deferral>) {
        let mut recipient = Recipient::new(self.to);
        recipient.notify = self.notify;
        recipient.original = self.original;
        (recipient, self.deferral.map(DeferralText::read))
    }
}

impl DeferralText {
    fn of(deferral: &Deferral) -> Self {
        let Deferral { due, reason, tls_failure, verdict, hold, attempts, warned, until_released } = deferral.clone();
        let verdict = verdict.map(|verdict| VerdictText { word: verdict.word, times: verdict.times });
        let hold = hold.map(|hold| HoldText { level: hold.level, demand: hold.demand.clone(), releases: hold.releases });
        Self { due, reason, tls: tls_failure, verdict, hold, attempts, warned, until_released }
    }

    fn read(self) -> Deferral {
        let Self { due, reason, tls: tls_failure, attempts, warned, until_released, .. } = self;
        let verdict = self.verdict.map(|VerdictText { word, times }| SameVerdict { word, times });
        let hold = self.hold.map(|hold| Arc::new(Hold::new(hold.level, hold.demand, hold.releases)));
        Deferral { due, reason, tls_failure, verdict, hold, attempts, warned, until_released }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Values of this module are texts and numbers under text keys, which always have a JSON form; if one ever had not, the
/// empty text would be found as damage, not taken for another message.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sealpost_types::Mailbox;

    use super::*;

    /// The column as the first version wrote it, before a reception had a login.
    const OF_BEFORE: &str =
        "{\"from\":\"ann@shop.example\",\"reception\":{\"at\":7,\"client\":\"192.0.2.1\",\"helo\":\"client.example\",\"tls\":null}}";

    fn message(login: Option<&str>) -> NewMessage {
        let id = QueueId::from_number(7).unwrap();
        let reception = Reception::from_client(UnixMillis(7), [192, 0, 2, 1].into(), "client.example".into(), None);
        let envelope = Envelope::new(Mailbox::parse("ann@shop.example").unwrap().into(), Vec::new());
        NewMessage::new(id, reception.with_login(login.map(str::to_owned)), envelope, Vec::new())
    }

    fn fixed() -> Fixed {
        Fixed {
            id: 7,
            message: None,
            destination: Destination::new("mx:bank.example"),
            created: 7,
            expires: 8,
            octets: 1,
            body_check: 0,
            envelope: OF_BEFORE.into(),
            file: None,
            file_at: None,
        }
    }

    fn read(envelope: String) -> Entry {
        let fixed = Fixed { envelope: envelope.into(), ..fixed() };
        let waiting = Waiting { attempts: 0, recipients: "[]".to_owned() };
        entry(&fixed, fixed.check(), &waiting, waiting.check(7)).unwrap()
    }

    #[test]
    fn the_login_of_a_reception_is_kept_and_what_was_stored_without_one_still_reads() {
        assert_eq!(envelope_text(&message(None)), OF_BEFORE, "nothing is written that was not written before");
        assert_eq!(read(OF_BEFORE.to_owned()).reception, message(None).reception);
        assert_eq!(read(envelope_text(&message(Some("ann")))).reception.login.as_deref(), Some("ann"));
    }

    /// The column as it was written before a deferral had a verdict.
    const WITHOUT_VERDICT: &str = "[{\"to\":\"bob@bank.example\",\"deferral\":{\"due\":9,\"reason\":\"no STARTTLS\",\"tls\":true}}]";

    fn deferred(recipients: &str) -> Deferral {
        let fixed = fixed();
        let waiting = Waiting { attempts: 1, recipients: recipients.to_owned() };
        let mut entry = entry(&fixed, fixed.check(), &waiting, waiting.check(7)).unwrap();
        entry.deferrals.remove(0).unwrap()
    }

    // req: F5
    #[test]
    fn how_often_a_verdict_came_in_a_row_is_kept_and_what_was_stored_without_one_still_reads() {
        let recipient = Recipient::new(Mailbox::parse("bob@bank.example").unwrap().into());
        let stored = |deferral: &Deferral| recipients_text(std::iter::once((&recipient, Some(deferral))));
        let mut deferral = Deferral::tls(UnixMillis(9), "no STARTTLS");
        assert_eq!(stored(&deferral), WITHOUT_VERDICT, "nothing is written that was not written before");
        assert_eq!(deferred(WITHOUT_VERDICT), deferral);
        let first = SameVerdict::after("no-starttls".to_owned(), None);
        deferral.verdict = Some(SameVerdict::after("no-starttls".to_owned(), Some(&first)));
        assert_eq!(deferred(&stored(&deferral)), deferral);
        assert_eq!(deferred(&stored(&deferral)).verdict.map(|verdict| (verdict.word, verdict.times)), Some(("no-starttls".to_owned(), 2)));
    }
}
