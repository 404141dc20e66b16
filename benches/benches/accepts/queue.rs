//! The queue itself, as the relay uses it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_queue::{BodyWriter, EmbeddedSpool, NewMessage, Settings, Settlement, Spool};
use sealpost_types::{Destination, Envelope, ForwardPath, Mailbox, Octets, Reception, Recipient, ReversePath, UnixMillis};

use crate::{Failure, body, setting};

pub(crate) fn load(directory: &Path, size: usize, writers: usize, time: Duration) -> Result<Vec<Duration>, Failure> {
    tokio::runtime::Builder::new_multi_thread().build()?.block_on(async {
        let mut settings = Settings::default();
        settings.inline = Octets(setting("ACCEPTS_INLINE_KIB", settings.inline.0 >> 10)? << 10);
        let queue = EmbeddedSpool::open(directory, settings)?;
        let body: Arc<[u8]> = body(size).into();
        let end = Instant::now() + time;
        let tasks: Vec<_> = (0..writers).map(|_| tokio::spawn(write(queue.clone(), body.clone(), end))).collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await??);
        }
        queue.close().await?;
        Ok(all)
    })
}

/// Accepts and removes until the time is over; the latency of each accept.
async fn write(queue: EmbeddedSpool, body: Arc<[u8]>, end: Instant) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        let mut writer = queue.body_writer(Some(Octets(body.len() as u64)))?;
        for piece in body.chunks(16 << 10) {
            writer.write(piece).await?;
        }
        let to = ForwardPath::Mailbox(Mailbox::parse("recipient@partner.example")?);
        let from = ReversePath::Mailbox(Mailbox::parse("sender@hosted.example")?);
        let reception = Reception::from_client(UnixMillis(0), [192, 0, 2, 1].into(), "client.example".into(), None);
        let envelope = Envelope::new(from, vec![Recipient::new(to)]);
        let place = |_: &Recipient| Destination::new("mx:partner.example");
        let message = NewMessage::split(queue.next_id(), reception, envelope, UnixMillis(604_800_000), place);
        let leases = queue.accept(message, writer).await?;
        latencies.push(begin.elapsed());
        for lease in leases {
            queue.settle_soon(lease, Settlement::finished())?;
        }
    }
    Ok(latencies)
}
