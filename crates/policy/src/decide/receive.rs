//! The receive hop: the client's sources and the recipient's, joined.

use std::cell::Cell;

use sealpost_types::{Domain, ForwardPath};

use super::{Joined, Outcome, is_own};
use crate::facts::ReceiveFacts;
use crate::layer::Side;
use crate::pattern::faces;
use crate::policy::{Policy, Presence};
use crate::scope::{Mail, Scope};
use crate::trace::{Party, SourceKind, Tracer};

impl Policy {
    /// What the sources ask; `shadow` tells whether entries in testing count.
    pub(super) fn receive<T: Tracer>(&self, facts: &ReceiveFacts<'_>, shadow: bool, tracer: &mut T) -> Outcome {
        let mail = Mail {
            reverse_path: facts.reverse_path,
            forward_path: facts.forward_path,
            client: Some(&facts.client),
            received_secure: true,
            now: facts.now,
            shadow,
        };
        let mut outcome = Outcome { joined: Joined::default(), left_out_testing: false };
        if !self.receive_from_own(facts, mail, &mut outcome, tracer) {
            self.receive_from_others(mail, &mut outcome, tracer);
        }
        if let Some(forward_path) = facts.forward_path {
            self.receive_to(forward_path, mail, &mut outcome, tracer);
        }
        if outcome.joined.resolved().is_none_or(|resolved| resolved.level.is_none()) {
            let mut scope = Scope::new(self, Side::Receive, mail);
            tracer.scope(Party::Nobody);
            scope.ask_builtin(SourceKind::Builtin, tracer);
            outcome.take(&scope, tracer);
        }
        outcome
    }

    /// A hosted domain's own servers: its `submit`, whatever reverse-path they use. Tells whether the client is one.
    fn receive_from_own<T: Tracer>(&self, facts: &ReceiveFacts<'_>, mail: Mail<'_>, outcome: &mut Outcome, tracer: &mut T) -> bool {
        // Nearly always there is one, perhaps named twice: it needs no list.
        let (mut first, mut more) = (None, Vec::new());
        // A domain in testing has no servers of its own: who comes from there is treated as without it.
        let left_out = Cell::new(false);
        let presence = |number| {
            let extra = self.main.hosted.entries.get(number).and_then(|entry| entry.extra.as_ref());
            if !mail.shadow && extra.is_some_and(|extra| extra.testing) {
                left_out.set(true);
                return Presence::Absent;
            }
            let is_past = extra.and_then(|extra| extra.until).is_some_and(|until| mail.now > until);
            if is_past { Presence::Doubtful } else { Presence::Certain }
        };
        self.main.visit_servers(&facts.client, facts.reverse_path.domain(), presence, |number| {
            if first.is_some_and(|first| first != number) && !more.contains(&number) {
                more.push(number);
            }
            first = first.or(Some(number));
        });
        outcome.left_out_testing |= left_out.get();
        let mut is_own = false;
        for number in first.into_iter().chain(more) {
            let mut scope = Scope::new(self, Side::Submit, mail);
            tracer.scope(Party::Client);
            scope.ask_domain(number, tracer);
            scope.ask_owners(tracer);
            scope.ask_defaults(SourceKind::DefaultsHosted, tracer);
            outcome.take(&scope, tracer);
            // A domain that may not count switches off nothing that holds for everybody else.
            let until = self.main.hosted.entries.get(number).and_then(|entry| entry.extra.as_ref()?.until);
            is_own |= until.is_none_or(|until| mail.now <= until);
        }
        is_own
    }

    /// Everybody else: the partners of the sender, by each of the mailboxes that it is known by; for `<>` the partners whose
    /// client this is.
    fn receive_from_others<T: Tracer>(&self, mail: Mail<'_>, outcome: &mut Outcome, tracer: &mut T) {
        for face in faces(mail.reverse_path) {
            self.receive_from_domain(face.domain(), mail, outcome, tracer);
        }
        if !mail.reverse_path.is_null() {
            return;
        }
        let Some(client) = mail.client else { return };
        let mut known = Vec::new();
        self.main.clients.visit(client, |number, _| known.push(number));
        if !known.is_empty() {
            known.sort_unstable();
            known.dedup();
            let mut scope = Scope::new(self, Side::Receive, mail);
            tracer.scope(Party::Client);
            scope.ask_clients(&known, tracer);
            outcome.take(&scope, tracer);
        }
        if let Some(host) = client.host_name {
            let mut scope = Scope::new(self, Side::Receive, mail);
            tracer.scope(Party::Client);
            scope.ask_partners(Some(host), false, tracer);
            outcome.take(&scope, tracer);
        }
    }

    fn receive_from_domain<T: Tracer>(&self, domain: Option<&Domain>, mail: Mail<'_>, outcome: &mut Outcome, tracer: &mut T) {
        let hosted = domain.is_some_and(|domain| self.is_hosted(domain));
        let mut scope = Scope::new(self, Side::Receive, mail);
        tracer.scope(Party::Sender);
        scope.ask_partners(domain, !hosted, tracer);
        // Who is no own server of a hosted domain is a stranger, whatever sender it writes.
        scope.ask_defaults(SourceKind::DefaultsExternal, tracer);
        outcome.take(&scope, tracer);
    }

    /// The recipient's sources: its hosted domain and the defaults for those. An external recipient has no say here.
    fn receive_to<T: Tracer>(&self, forward_path: &ForwardPath, mail: Mail<'_>, outcome: &mut Outcome, tracer: &mut T) {
        let mut scope = Scope::new(self, Side::Receive, mail);
        tracer.scope(Party::Recipient);
        if scope.ask_domains(forward_path.domain(), tracer) || is_own(forward_path) {
            scope.ask_owners(tracer);
            scope.ask_defaults(SourceKind::DefaultsHosted, tracer);
        }
        outcome.take(&scope, tracer);
    }
}

impl Outcome {
    /// Joins what a scope comes to.
    pub(super) fn take<T: Tracer>(&mut self, scope: &Scope<'_, '_>, tracer: &mut T) {
        self.left_out_testing |= scope.left_out_testing();
        if let Some(resolved) = scope.resolve(tracer) {
            self.joined.join(resolved);
        }
    }
}
