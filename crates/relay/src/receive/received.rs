//! What the history tells of an accepted message.

use std::net::SocketAddr;
use std::sync::Arc;

use sealpost_cert::Verdict;
use sealpost_policy::{ClientFacts, ReceiveFacts};
use sealpost_queue::QueueId;
use sealpost_report::{Event, EventKind};
use sealpost_types::{Envelope, Hop, Octets, Reception, TlsFacts};

use crate::account;
use crate::engine::{Components, Engine};

/// A message that is about to be accepted, as the history will tell of it.
pub(crate) struct Received {
    id: QueueId,
    reception: Reception,
    envelope: Envelope,
    client: SocketAddr,
    size: Octets,
}

impl Received {
    pub(crate) fn new(id: QueueId, reception: &Reception, envelope: &Envelope, client: SocketAddr, size: Octets) -> Self {
        Self { id, reception: reception.clone(), envelope: envelope.clone(), client, size }
    }

    /// Tells of it: an entry for each recipient.
    pub(crate) fn record<C: Components>(
        self,
        engine: &Engine<C>,
        tls: Option<&TlsFacts>,
        client: ClientFacts<'_>,
        verdict: Option<&Verdict>,
    ) {
        let policy = engine.policy.load_full();
        for recipient in self.envelope.recipients {
            let facts = ReceiveFacts::new(self.client.ip(), &self.envelope.reverse_path)
                .with_client(client)
                .with_tls(tls)
                .with_recipient(&recipient.path)
                .at(self.reception.at);
            let decision = policy.decide_receive(&facts);
            let mut event = Event::new(self.reception.at, EventKind::Received, Hop::Receive)
                .of_message(self.id.to_string(), self.envelope.reverse_path.clone())
                .for_recipient(recipient.path.clone());
            event.size = Some(self.size);
            event.host = Some(self.reception.helo.clone());
            event.address = Some(self.client);
            event.decided = Some(engine.words.of_reception(&policy, &facts));
            event.proof = Some(Arc::new(account::reception_proof(self.reception.tls, &client, verdict, &decision)));
            event.shadow = account::reception_shadow(&decision).map(Arc::new);
            engine.record(event);
        }
    }
}
