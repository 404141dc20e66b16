//! What the tests of the queue share.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod preloaded;

use std::time::Duration;

use sealpost_queue::{AcceptError, BodyWriter, Deferral, Lease, NewMessage, QueueId, Settings, Spool};
use sealpost_types::{Destination, Envelope, ForwardPath, Mailbox, Reception, Recipient, ReversePath, UnixMillis};

pub(crate) const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Milliseconds after the start of all tests' time.
pub(crate) fn at(millis: i64) -> UnixMillis {
    UnixMillis(1_763_785_920_000 + millis)
}

/// With bodies where they stand while many are accepted at once, though the test does so one by one.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.inline_alone = settings.inline;
    settings
}

pub(crate) fn recipient(address: &str) -> Recipient {
    Recipient::new(ForwardPath::Mailbox(Mailbox::parse(address).unwrap()))
}

/// The destination of everything below a domain.
pub(crate) fn destination(domain: &str) -> Destination {
    Destination::new(&format!("mx:{domain}"))
}

/// A message received at `now` to these addresses, grouped by domain.
pub(crate) fn message(id: QueueId, now: UnixMillis, to: &[&str]) -> NewMessage {
    let from = ReversePath::Mailbox(Mailbox::parse("sender@hosted.example").unwrap());
    let envelope = Envelope::new(from, to.iter().map(|address| recipient(address)).collect());
    let reception = Reception::from_client(now, [192, 0, 2, 1].into(), "client.example".into(), None);
    NewMessage::split(id, reception, envelope, now.after(WEEK), |recipient| destination(recipient.path.domain().unwrap().as_str()))
}

pub(crate) async fn body<S: Spool>(queue: &S, content: &[u8]) -> S::Writer {
    let mut body = queue.body_writer(None).unwrap();
    for piece in content.chunks(7_001) {
        body.write(piece).await.unwrap();
    }
    assert_eq!(body.size().0, content.len() as u64);
    body
}

/// Accepts a message with this body; its leases.
pub(crate) async fn accept<S: Spool>(queue: &S, now: UnixMillis, to: &[&str], content: &[u8]) -> Result<Vec<Lease>, AcceptError> {
    let body = body(queue, content).await;
    queue.accept(message(queue.next_id(), now, to), body).await
}

/// Accepts a message that waits until `due`.
pub(crate) async fn accept_deferred<S: Spool>(queue: &S, now: UnixMillis, to: &[&str], due: UnixMillis) -> QueueId {
    let body = body(queue, b"deferred").await;
    let mut message = message(queue.next_id(), now, to);
    let id = message.id;
    for group in &mut message.groups {
        *group = group.clone().deferred(Deferral::new(due, "no answer"));
    }
    assert!(queue.accept(message, body).await.unwrap().is_empty());
    id
}

/// Bytes that no other number gives.
pub(crate) fn content(number: u64, size: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(size.div_ceil(8)).flatten().collect();
    bytes.truncate(size);
    bytes
}

/// Waits for what is recorded soon but not at once.
pub(crate) async fn eventually<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}
