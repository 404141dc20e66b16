//! A checksum over what an entry says: one that is not what was written is not shown.

use sealpost_store::rusqlite;
use sealpost_types::Hop;

use crate::Event;

/// What of an event stands in its row as text that has to be made.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) sender: Option<String>,
    pub(super) recipient: Option<String>,
    pub(super) address: Option<String>,
    pub(super) shadow: Option<String>,
}

impl Texts {
    pub(super) fn of(event: &Event) -> rusqlite::Result<Self> {
        Ok(Self {
            sender: event.sender.as_ref().map(ToString::to_string),
            recipient: event.recipient.as_ref().map(ToString::to_string),
            address: event.address.map(|address| address.to_string()),
            shadow: event.shadow.as_deref().map(json).transpose()?,
        })
    }
}

/// Of the entry with this number, which refers to this decision and this proof. The time of an entry is in its number.
pub(super) fn checksum(number: i64, event: &Event, texts: &Texts, references: [Option<i64>; 2]) -> u32 {
    let mut said = Said(Vec::with_capacity(USUAL_OCTETS));
    said.number(Some(number));
    let hop = match event.hop {
        Hop::Receive => "receive",
        Hop::Deliver => "deliver",
    };
    for text in [event.kind.as_str(), hop, event.result.as_str()] {
        said.text(Some(text));
    }
    let Texts { sender, recipient, address, shadow } = texts;
    let own = [&event.queue_id, &event.level_header, &event.next_hop, &event.host, &event.reason, &event.reply];
    for text in own.into_iter().chain([sender, recipient, address, shadow]) {
        said.text(text.as_deref());
    }
    let large = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let own = [
        event.received_secure.map(i64::from),
        event.size.map(|size| large(size.0)),
        event.attempts.map(i64::from),
        event.next_attempt.map(|at| at.0),
        event.more.map(large),
    ];
    own.into_iter().chain(references).for_each(|number| said.number(number));
    crc32fast::hash(&said.0)
}

/// FNV-1a of 64 bits: the same in every version of this program, as what is stored must be.
pub(super) fn digest(parts: &[&str]) -> i64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    // The octet 0xff occurs in no text, so it keeps the parts apart.
    for octet in parts.iter().flat_map(|part| part.bytes().chain([0xff])) {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.cast_signed()
}

pub(super) fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// What an entry says, put together: a checksum of many small pieces takes several times as long.
struct Said(Vec<u8>);

impl Said {
    fn text(&mut self, text: Option<&str>) {
        self.0.push(u8::from(text.is_some()));
        self.0.extend_from_slice(text.unwrap_or_default().as_bytes());
        // It occurs in no text.
        self.0.push(0xff);
    }

    fn number(&mut self, number: Option<i64>) {
        self.0.push(u8::from(number.is_some()));
        self.0.extend_from_slice(&number.unwrap_or_default().to_le_bytes());
    }
}

/// An entry, a decision or a proof is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("its checksum says that it is not what was written")]
pub(super) struct Changed;

/// What most entries say is shorter.
const USUAL_OCTETS: usize = 512;
