//! The clerk at work beside a relay.

use std::sync::Arc;
use std::time::Duration;

use sealpost_discovery::{ResolveError, Resolver as _};
use sealpost_queue::{BodyWriter as _, Spool as _};
use sealpost_transport::{HttpsClient, HttpsLimits, HttpsUrl};
use sealpost_types::{Domain, Envelope, Mailbox, Notify, Octets, Reception, Recipient, ReversePath, WithCauses};
use tokio::sync::watch;

use super::{Clerk, World};
use crate::engine::{Components, Engine};
use crate::{deliver, submit};

/// Writes what was counted every few seconds, until `stop` says so.
pub(crate) async fn keep_counting<C: Components>(engine: Arc<Engine<C>>, mut stop: watch::Receiver<bool>) {
    while pause(&mut stop, WRITTEN_EVERY).await {
        work(&engine, async |clerk| clerk.write(engine.now()).await).await;
    }
}

/// Sends reports when it is time, until `stop` says so.
pub(crate) async fn keep_sending<C: Components>(engine: Arc<Engine<C>>, mut stop: watch::Receiver<bool>) {
    while pause(&mut stop, LOOKED_EVERY).await {
        work(&engine, async |clerk| clerk.send(engine.now()).await).await;
    }
}

async fn work<C: Components, F>(engine: &Arc<Engine<C>>, work: F)
where
    F: AsyncFnOnce(Clerk<'_, Office<C>>) -> Result<(), sealpost_report::tlsrpt::BookError>,
{
    let Some(reports) = &engine.reports else { return };
    let (office, config) = (Office(Arc::clone(engine)), engine.config());
    let clerk = Clerk { reports, world: &office, hostname: &config.hostname };
    if let Err(error) = work(clerk).await {
        tracing::error!(error = %WithCauses(&error), "TLS reports");
    }
}

/// Whether there is more to do after so long.
async fn pause(stop: &mut watch::Receiver<bool>, span: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(span) => true,
        _ = stop.wait_for(|stop| *stop) => false,
    }
}

/// What the clerk asks of a relay.
struct Office<C: Components>(Arc<Engine<C>>);

impl<C: Components> World for Office<C> {
    async fn texts(&self, name: &Domain) -> Result<Vec<Vec<u8>>, ResolveError> {
        self.0.resolver.txt(name).await
    }

    async fn post(&self, url: &str, packed: Vec<u8>) -> Result<(), String> {
        let url: HttpsUrl = url.parse().map_err(|error| WithCauses(&error).to_string())?;
        let addresses = self.0.resolver.addresses(url.host()).await.map_err(|error| error.to_string())?;
        let mut limits = HttpsLimits::default();
        limits.time = POST_TIME;
        let client = HttpsClient::new(Arc::clone(self.0.connector.backend()), limits);
        let answer = client.post(&url, &addresses.list, MEDIA_TYPE, packed).await.map_err(|error| WithCauses(&error).to_string())?;
        if answer.is_success() { Ok(()) } else { Err(format!("{} answered {}", url.host(), answer.status)) }
    }

    async fn mail(&self, from: &Mailbox, to: &Mailbox, message: Vec<u8>) -> Result<(), String> {
        let engine = &self.0;
        let now = engine.now();
        let mut recipient = Recipient::new(to.clone().into());
        // What comes back of a report is nobody's.
        recipient.notify = Some(Notify::Never);
        let mut envelope = Envelope::new(ReversePath::Mailbox(from.clone()), vec![recipient]);
        envelope.smtputf8 = !to.is_ascii() || !from.is_ascii();
        let mut writer = engine.spool.body_writer(Some(Octets(message.len() as u64))).map_err(|error| error.to_string())?;
        writer.write(&message).await.map_err(|error| error.to_string())?;
        let message = submit::message(engine, engine.spool.next_id(), Reception::tls_report(now), envelope);
        let leases = engine.spool.accept(message, writer).await.map_err(|error| error.to_string())?;
        deliver::submit(engine, leases);
        Ok(())
    }
}

/// What a crash may lose of the counts.
const WRITTEN_EVERY: Duration = Duration::from_secs(10);

/// How often is looked for days that are over and reports that are due.
const LOOKED_EVERY: Duration = Duration::from_secs(2);

/// The time for one report over HTTPS.
const POST_TIME: Duration = Duration::from_secs(30);

/// RFC 8460 section 6.4.
const MEDIA_TYPE: &str = "application/tlsrpt+gzip";
