//! From what happened to entries of the history.

use std::net::SocketAddr;
use std::sync::Arc;

use sealpost_cert::Verdict;
use sealpost_policy::{Axis, DeliverFacts, ReceiveDecision, ReceiveFacts, Trace};
use sealpost_queue::{Entry, QueueId};
use sealpost_report::{Decided, Event, EventKind, Proof};
use sealpost_transport::{ConnectError, ConnectFault, Connection, HandshakeError, TlsBackend};
use sealpost_types::{
    Envelope, ForwardPath, Hop, HostClause, HostDemand, Octets, Reception, TlsFacts, TlsRequirement, UnixMillis, WireKey,
};

use crate::deliver::{Contact, Host, Trouble};
use crate::engine::{Components, Engine};

/// The level, the source that decided on TLS, and the trace in its short form.
pub(crate) fn decided(trace: &Trace) -> Decided {
    let source = trace.steps.iter().find(|step| step.decided.contains(Axis::Tls)).or_else(|| trace.steps.first());
    Decided::new(trace.level.as_str(), source.map(|step| step.source.to_string()).unwrap_or_default(), trace.short())
}

/// What the session with a client was like, and what was asked of it.
pub(crate) fn reception_proof(tls: Option<TlsFacts>, decision: &ReceiveDecision) -> Proof {
    let demand = &decision.demand;
    let asked = if demand.is_mandatory() { format!("{} or later", demand.min_version) } else { "TLS is offered".to_owned() };
    Proof::new(tls, asked, decision.refusal().is_none())
}

/// The decision on one recipient of an entry, as the history keeps it.
pub(crate) fn delivery_decided<C: Components>(engine: &Engine<C>, entry: &Entry, forward_path: &ForwardPath) -> Decided {
    let facts = DeliverFacts::new(&entry.envelope.reverse_path, forward_path, entry.reception.is_secure());
    decided(&engine.policy.load().explain_deliver(&facts).1)
}

/// The host that a connection leads to, with the proof of what the connection is like.
pub(crate) fn contact<T: TlsBackend>(host: &Host, key: &WireKey, connection: &Connection<T>, downgrade: Option<&str>) -> Contact {
    let downgrade = match connection.tls() {
        Some(_) => None,
        None if key.demand.tls == TlsRequirement::Opportunistic => Some("in clear: the server does not offer STARTTLS".to_owned()),
        None => downgrade.map(|reason| format!("in clear after TLS failed: {reason}")),
    };
    let proof = proof(connection.tls().copied(), &key.demand, connection.verdict().map(|verdict| &**verdict), true);
    Contact { host: host.shown(), address: host.address, proof: Arc::new(proof), downgrade }
}

/// What a connection was like that did not come about because of TLS; nothing where it did not get that far.
pub(crate) fn failed_proof(key: &WireKey, error: &ConnectError) -> Option<Proof> {
    let verdict = match &error.fault {
        ConnectFault::Handshake { cause: HandshakeError::Unverified { verdict } } => Some(&**verdict),
        _ => None,
    };
    error.is_tls_failure().then(|| proof(None, &key.demand, verdict, false))
}

fn proof(tls: Option<TlsFacts>, demand: &HostDemand, verdict: Option<&Verdict>, satisfied: bool) -> Proof {
    let mut proof = Proof::new(tls, demand_in_words(demand), satisfied);
    if let Some(verdict) = verdict {
        if let Some(leaf) = &verdict.leaf {
            proof.subject = Some(leaf.subject.clone());
            proof.spki_pin = Some(leaf.pin.to_string());
        }
        proof.validation_path.clone_from(&verdict.path);
        proof.findings = verdict.findings.iter().map(ToString::to_string).collect();
    }
    proof
}

/// What was asked of a host, for people: `TLS, a trusted chain, a name of mx.example or *.example`.
fn demand_in_words(demand: &HostDemand) -> String {
    let mut words = vec![match demand.tls {
        TlsRequirement::Never => "no TLS".to_owned(),
        TlsRequirement::Opportunistic => "TLS if offered".to_owned(),
        TlsRequirement::Mandatory => format!("{} or later", demand.min_version),
    }];
    words.extend(demand.clauses.iter().map(|clause| match clause {
        HostClause::Chain => "a trusted chain".to_owned(),
        HostClause::Identity(names) => {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            format!("the name {}", names.join(" or "))
        }
        _ => "a clause of a later version".to_owned(),
    }));
    words.join(", ")
}

/// An entry about a try that failed.
pub(crate) fn trouble_event(kind: EventKind, at: UnixMillis, entry: &Entry, forward_path: &ForwardPath, trouble: &Trouble) -> Event {
    let mut event = Event::new(at, kind, Hop::Deliver)
        .of_message(entry.message.to_string(), entry.envelope.reverse_path.clone())
        .for_recipient(forward_path.clone());
    event.size = Some(entry.size);
    event.attempts = Some(entry.attempts.saturating_add(1));
    add_trouble(&mut event, trouble);
    event
}

/// The same entry with why it failed, and where.
pub(crate) fn add_trouble(event: &mut Event, trouble: &Trouble) {
    event.reason = Some(trouble.reason.clone());
    event.reply = trouble.reply.as_ref().map(ToString::to_string);
    event.host.clone_from(&trouble.host);
    event.address = trouble.address;
    event.proof.clone_from(&trouble.proof);
}

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
    pub(crate) fn record<C: Components>(self, engine: &Engine<C>, tls: Option<&TlsFacts>) {
        let policy = engine.policy.load();
        for recipient in self.envelope.recipients {
            let facts = ReceiveFacts::new(self.client.ip(), &self.envelope.reverse_path).with_tls(tls).with_recipient(&recipient.path);
            let (decision, trace) = policy.explain_receive(&facts);
            let mut event = Event::new(self.reception.at, EventKind::Received, Hop::Receive)
                .of_message(self.id.to_string(), self.envelope.reverse_path.clone())
                .for_recipient(recipient.path);
            event.size = Some(self.size);
            event.host = Some(self.reception.helo.clone());
            event.address = Some(self.client);
            event.decided = Some(decided(&trace));
            event.proof = Some(Arc::new(reception_proof(self.reception.tls, &decision)));
            engine.record(event);
        }
    }
}
