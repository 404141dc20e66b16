//! The receive hop: clients whose mail was accepted, and clients that were turned away.

use sealpost_policy::{Axis, ClientCertificate, ClientFacts, ReceiveFacts, RefusalReason, SourceKind};
use sealpost_report::Event;
use sealpost_types::{Domain, ForwardPath, ReversePath};

use super::change::{Case, Change, Gap, Why, Would};
use super::{Judged, Replay};
use crate::account;
use crate::receive::admit;

impl Replay<'_> {
    pub(super) fn received(&self, event: &Event) -> Judged {
        let judged = |change: Option<Change>| Judged { case: Case::Reception, domain: self.whose(event, change.as_ref()), change };
        let certificate = certificate(event);
        let (Some(facts), Some(_)) = (facts(event, certificate.as_ref()), &event.proof) else {
            return judged(Some(Change::untold(Gap::Entry)));
        };
        judged(self.lack(&facts))
    }

    /// Who was refused without a decision on TLS was refused for something that no policy changes.
    pub(super) fn refused(&self, event: &Event) -> Option<Judged> {
        event.decided.as_ref()?;
        let judged = |change: Option<Change>| Judged { case: Case::Refusal, domain: self.whose(event, change.as_ref()), change };
        let certificate = certificate(event);
        let (Some(facts), Some(_)) = (facts(event, certificate.as_ref()), &event.proof) else {
            return Some(judged(Some(Change::untold(Gap::Entry))));
        };
        Some(judged(match (self.lack(&facts), facts.forward_path) {
            (Some(change), _) if change.would == Would::Refuse => None,
            (Some(change), _) => Some(change),
            (None, None) => Some(Change::untold(Gap::Recipients)),
            (None, Some(_)) => {
                let (_, trace) = self.policy.explain_receive(&facts);
                let source = account::deciding(&trace, Axis::Tls).map(|step| step.source.clone());
                Some(Change { would: Would::Accept, why: Why::Has, source })
            }
        }))
    }

    /// Why the client would be turned away, if it would.
    fn lack(&self, facts: &ReceiveFacts<'_>) -> Option<Change> {
        if let Some(forward_path) = facts.forward_path
            && admit(&self.config.rights, self.policy, facts, forward_path).is_err()
        {
            return Some(Change { would: Would::Refuse, why: Why::NoRight, source: None });
        }
        let decision = self.policy.decide_receive(facts);
        let refusal = decision.refusal()?;
        let source = Some(refusal.asked_by.clone());
        Some(match &refusal.reason {
            // A client that is not asked for a certificate shows none.
            RefusalReason::NoCertificate | RefusalReason::Certificate(_) => Change { source, ..Change::untold(Gap::ClientCertificate) },
            reason => Change { would: Would::Refuse, why: Why::Lacks(reason.clone()), source },
        })
    }

    /// The domain for whose sake it is so: the recipient's where a hosted domain's source says so, else the sender's.
    fn whose(&self, event: &Event, change: Option<&Change>) -> Option<Domain> {
        let kind = change.and_then(|change| change.source.as_ref()).map(|source| source.kind());
        let of_hosted = matches!(kind, Some(SourceKind::Domain | SourceKind::Owner | SourceKind::DefaultsHosted));
        let recipient = event.recipient.as_ref().and_then(ForwardPath::domain).filter(|domain| self.policy.is_hosted(domain));
        let sender = event.sender.as_ref().and_then(ReversePath::domain);
        if of_hosted { recipient.or(sender) } else { sender.or(recipient) }.cloned()
    }
}

/// What the client's certificate proved, as far as the history keeps it: not its key.
fn certificate(event: &Event) -> Option<ClientCertificate> {
    let names = &event.proof.as_ref()?.client_names;
    (!names.is_empty()).then(|| ClientCertificate::new(true, names.clone(), None))
}

/// The session as the history keeps it.
fn facts<'e>(event: &'e Event, certificate: Option<&'e ClientCertificate>) -> Option<ReceiveFacts<'e>> {
    let proof = event.proof.as_ref();
    let mut client = ClientFacts::new(event.address?.ip());
    client.login = proof.and_then(|proof| proof.login.as_deref());
    client.certificate = certificate;
    let tls = proof.and_then(|proof| proof.tls.as_ref());
    let facts = ReceiveFacts::new(client.address, event.sender.as_ref()?).with_client(client).with_tls(tls).at(event.at);
    Some(match &event.recipient {
        Some(recipient) => facts.with_recipient(recipient),
        None => facts,
    })
}
