//! The deliver hop: the recipient's sources, then rules and the X-TLSLevel field.

use sealpost_types::{KexFloor, Level, ReversePath, TlsRequirement, TlsVersion};

use super::{Joined, Outcome, is_own};
use crate::asked::Asked;
use crate::facts::{DeliverFacts, HeaderLevel};
use crate::layer::Side;
use crate::policy::Policy;
use crate::require_tls::RequireTls;
use crate::rule::Direction;
use crate::scope::{Mail, Origin, Resolved, Scope};
use crate::trace::{Axis, Note, Party, SourceKind, Tracer};

impl Policy {
    /// Whether a rule looks at the header section of this message, which is not among the facts: what it holds may change the decision.
    #[must_use]
    pub fn hangs_on_header(&self, facts: &DeliverFacts<'_>) -> bool {
        if !self.reads_header() {
            return false;
        }
        let hosted = is_own(facts.forward_path) || facts.forward_path.domain().is_some_and(|domain| self.is_hosted(domain));
        self.main.rules.iter().any(|rule| rule.when.hangs_on_header(facts, Direction::of(hosted), rule.level))
    }

    /// What the sources ask; `shadow` tells whether entries in testing count.
    pub(super) fn deliver<T: Tracer>(&self, facts: &DeliverFacts<'_>, shadow: bool, tracer: &mut T) -> Outcome {
        let mail = Mail {
            reverse_path: facts.reverse_path,
            forward_path: Some(facts.forward_path),
            client: None,
            received_secure: facts.received_secure,
            now: facts.now,
            shadow,
        };
        let domain = facts.forward_path.domain();
        let own = is_own(facts.forward_path);
        let mut outcome = Outcome { joined: Joined::default(), left_out_testing: false };
        let mut scope = Scope::new(self, Side::Deliver, mail);
        tracer.scope(Party::Recipient);
        let hosted = scope.ask_domains(domain, tracer) || own;
        if hosted {
            scope.ask_owners(tracer);
            scope.ask_defaults(SourceKind::DefaultsHosted, tracer);
            outcome.take(&scope, tracer);
            scope = Scope::new(self, Side::Deliver, mail);
            tracer.scope(Party::Recipient);
        }
        // A hosted domain may lie below a partner's; `*` speaks of other people's domains only.
        if !own {
            scope.ask_partners(domain, !hosted, tracer);
        }
        if !hosted {
            scope.ask_defaults(SourceKind::DefaultsExternal, tracer);
        }
        outcome.take(&scope, tracer);
        self.apply_rules(facts, Direction::of(hosted), shadow, &mut outcome, tracer);
        if let Some(level) = facts.header_level {
            tracer.scope(Party::Nobody);
            let origin = Origin { kind: SourceKind::Header, included: false, entry: 0 };
            self.apply_level(level, origin, false, &mut outcome.joined, tracer);
        }
        self.apply_sender_choice(facts, &mut outcome, tracer);
        outcome
    }

    /// What the sender says of TLS by RFC 8689. What it takes of the certificate is decided host by host.
    fn apply_sender_choice<T: Tracer>(&self, facts: &DeliverFacts<'_>, outcome: &mut Outcome, tracer: &mut T) {
        let Some(grade) = self.require_tls(facts) else {
            if facts.tls_optional {
                tracer.scope(Party::Nobody);
                let origin = Origin { kind: SourceKind::TlsRequiredField, included: false, entry: 0 };
                let asked = || Asked { ignore_published: Some(true), ..Asked::default() };
                tracer.sender_asked(origin, asked, Some(Axis::IgnorePublished));
            }
            return;
        };
        tracer.scope(Party::Nobody);
        let origin = Origin { kind: SourceKind::RequireTls, included: false, entry: 0 };
        let (level, settled) = match grade {
            RequireTls::Require => (Level::Require, None),
            _ => (Level::Verify, Some(Axis::Certificate)),
        };
        tracer.sender_asked(origin, || Asked { level: Some(level), ..Asked::default() }, settled);
        tracer.holds(Axis::Tls, origin);
        let demand = self.plain.demand(TlsRequirement::Mandatory, TlsVersion::Tls1_2, KexFloor::Any, None);
        outcome.joined.join(Resolved::of_level(level, demand, origin));
    }

    /// How much of REQUIRETLS is insisted on, if the sender asks for it.
    ///
    /// A notification is not lost for want of a server that knows REQUIRETLS: RFC 8689 section 5.
    pub(super) fn require_tls(&self, facts: &DeliverFacts<'_>) -> Option<RequireTls> {
        let grade = if *facts.reverse_path == ReversePath::Null { RequireTls::Require } else { self.main.require_tls };
        facts.require_tls.then_some(grade)
    }

    /// The first level that a rule sets.
    fn apply_rules<T: Tracer>(&self, facts: &DeliverFacts<'_>, direction: Direction, shadow: bool, outcome: &mut Outcome, tracer: &mut T) {
        let mut set = false;
        for (rule, entry) in self.main.rules.iter().zip(0..) {
            let origin = Origin { kind: SourceKind::Rule, included: false, entry };
            let expired = rule.until.is_some_and(|until| facts.now > until);
            if !rule.when.holds(facts, direction, rule.level) {
                let note = match () {
                    () if !rule.when.is_for(direction) => Note::OtherDirection,
                    () if T::ON && rule.when.hangs_on_header(facts, direction, rule.level) => Note::HeaderUnknown,
                    () => Note::OtherMail,
                };
                tracer.rule_passed_over(origin, rule.level, note);
                continue;
            }
            if rule.testing && !shadow {
                outcome.left_out_testing |= rule.level.is_some() || rule.stop;
                tracer.rule_passed_over(origin, rule.level, Note::Testing);
                continue;
            }
            if let Some(level) = rule.level.filter(|_| !set) {
                tracer.scope(Party::Nobody);
                self.apply_level(level, origin, expired, &mut outcome.joined, tracer);
                // What is past its date only adds: it keeps no later rule from being looked at.
                set = !expired;
            } else if rule.level.is_some() {
                tracer.rule_passed_over(origin, rule.level, Note::LaterRule);
            }
            if rule.stop && !expired {
                return;
            }
        }
    }

    /// A rule's or a field's level as one more source. `Try` raises what would be less without anybody having written it for
    /// this domain, and lowers nothing.
    fn apply_level<T: Tracer>(&self, level: HeaderLevel, origin: Origin, expired: bool, joined: &mut Joined, tracer: &mut T) {
        let (word, tls) = match level {
            HeaderLevel::Require => (Level::Require, TlsRequirement::Mandatory),
            HeaderLevel::Try => (Level::Opportunistic, TlsRequirement::Opportunistic),
        };
        if level == HeaderLevel::Try && joined.resolved().is_some_and(|resolved| resolved.writes_none) {
            tracer.rule_passed_over(origin, Some(level), Note::WrittenNone);
            return;
        }
        tracer.rule_asked(origin, level, expired.then_some(Note::Expired));
        let demand = self.plain.demand(tls, TlsVersion::Tls1_2, KexFloor::Any, None);
        let resolved = Resolved::of_level(word, demand, origin);
        tracer.holds(Axis::Tls, origin);
        joined.join(resolved);
    }
}
