//! A message is accepted, tried in vain, waits through a restart, and is handed out again when it is due.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use sealpost_examples::Outcome;
use sealpost_queue::{BodyWriter, Deferral, EmbeddedSpool, NewMessage, Settings, Settlement, Spool};
use sealpost_types::{Destination, Envelope, Mailbox, Reception, Recipient, UnixMillis};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let directory = tempfile::tempdir()?;
    let queue = EmbeddedSpool::open(directory.path(), Settings::default())?;

    let mut body = queue.body_writer(None)?;
    body.write(b"Subject: hello\r\n\r\nHello, Bob.\r\n").await?;
    let (now, expires) = (UnixMillis(1_781_481_600_000), UnixMillis(1_782_086_400_000));
    let bob = Recipient::new(Mailbox::parse("bob@bank.example")?.into());
    let envelope = Envelope::new(Mailbox::parse("ann@shop.example")?.into(), vec![bob]);
    let message = NewMessage::split(queue.next_id(), Reception::local(now), envelope, expires, |_| Destination::new("mx:bank.example"));
    let id = message.id;
    let lease = queue.accept(message, body).await?.pop().ok_or("no lease")?; // durable; nobody else may try it now
    println!("accepted {id}, {} octets", lease.entry().size.0);

    let due = now.after(std::time::Duration::from_secs(300));
    let wait = Settlement::deferred(lease.entry(), &Deferral::tls(due, "the server does not offer STARTTLS"));
    queue.settle(lease, wait).await?;
    queue.close().await?;
    drop(queue);

    let queue = EmbeddedSpool::open(directory.path(), Settings::default())?;
    assert!(queue.lease_due(now, 10, &[]).await?.is_empty(), "not due yet");
    assert_eq!(queue.next_due().await?, Some(due));
    let lease = queue.lease_due(due, 10, &[]).await?.pop().ok_or("nothing is due")?;
    println!("due again: {}, tried {} time", lease.entry().message, lease.entry().attempts);
    assert_eq!(lease.body().to_vec().await?, b"Subject: hello\r\n\r\nHello, Bob.\r\n");
    queue.settle(lease, Settlement::finished()).await?;
    println!("settled, {} left", queue.stats().await?.deferred);
    queue.close().await?;
    Ok(())
}
