//! What the hosts that failed in one attempt add up to.

use std::collections::BTreeMap;

use sealpost_policy::RequireTls;

use super::outcome::{self, Contact, Outcome, Trouble};
use crate::hosts::Host;
use sealpost_types::UnixMillis;

/// The hosts that failed in one attempt, by name: a host of two addresses is one host.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    hosts: BTreeMap<String, HostFailure>,
    without_tls: Vec<(Host, String)>,
    /// The one to tell of: the last that was about TLS, else the last.
    told: Option<Trouble>,
    /// A host that answered, and cannot take a message of this kind.
    lacking: Option<Trouble>,
    /// Hosts that were not tried at all, because their addresses could not be had.
    some_untried: bool,
    /// A transaction began under TLS, and broke off.
    began_under_tls: bool,
    /// What a host publishes of its certificate could not be found out.
    published_unknown: bool,
    /// The first moment at which a host is tried again that was left alone, and whether others were asked.
    left_alone: Option<UnixMillis>,
    some_asked: bool,
}

#[derive(Debug)]
struct HostFailure {
    /// One of its addresses showed that it has no TLS as demanded.
    tls: bool,
    /// One of its addresses answered at all.
    answered: bool,
    /// Words for what is wrong with its TLS for good, and whether there is one for every failure.
    verdicts: Vec<String>,
    conclusive: bool,
}

impl Failures {
    /// A host failed at one of its addresses. `may_be_clear` tells whether TLS was asked of it no more than opportunistically.
    pub(crate) fn note(&mut self, host: &Host, trouble: Trouble, answered: bool, may_be_clear: bool) {
        self.some_asked = true;
        let known = self.of(host);
        known.tls |= trouble.tls;
        known.answered |= answered;
        match &trouble.verdict {
            Some(word) => known.verdicts.push(word.clone()),
            // A dead address beside one that answered says nothing of the host's TLS.
            None => known.conclusive &= !answered,
        }
        if trouble.tls && may_be_clear {
            self.without_tls.push((host.clone(), trouble.reason.clone()));
        }
        if trouble.tls || !self.told.as_ref().is_some_and(|told| told.tls) {
            self.told = Some(trouble);
        }
    }

    /// A host was not asked, because it did not answer others a short while ago.
    pub(crate) fn left_out(&mut self, host: &Host, trouble: Trouble, until: UnixMillis) {
        let some_asked = self.some_asked;
        self.note(host, trouble, false, false);
        self.some_asked = some_asked;
        self.left_alone = Some(self.left_alone.map_or(until, |first| first.min(until)));
    }

    /// If every host was left alone: until when.
    pub(crate) fn left_alone(&self) -> Option<UnixMillis> {
        self.left_alone.filter(|_| !self.some_asked)
    }

    /// A host answered, and cannot take a message of this kind.
    pub(crate) fn lacks(&mut self, host: &Host, trouble: Trouble) {
        self.of(host).answered = true;
        self.lacking = Some(trouble);
    }

    /// The next hop has hosts whose addresses could not be had: nothing that is said of the others is said of all.
    pub(crate) fn some_untried(&mut self) {
        self.some_untried = true;
    }

    /// A transaction broke off. One that began under TLS goes to nobody in clear in this attempt.
    pub(crate) fn broke_off(&mut self, contact: &Contact) {
        self.began_under_tls |= contact.proof.tls.is_some();
    }

    /// What is published of a host or of its domain could not be found out: whoever disturbs the DNS must not get the mail in clear.
    pub(crate) fn published_unknown(&mut self) {
        self.published_unknown = true;
    }

    /// Whether a message may still go in clear in this attempt.
    pub(crate) fn lets_go_in_clear(&self) -> bool {
        !self.began_under_tls && !self.published_unknown
    }

    /// The addresses where TLS failed, each with why.
    pub(crate) fn without_tls(&self) -> &[(Host, String)] {
        &self.without_tls
    }

    /// Whether there were hosts, and none of them answered.
    pub(crate) fn is_silent(&self) -> bool {
        !self.hosts.is_empty() && self.hosts.values().all(|host| !host.answered)
    }

    /// What happened, in words.
    pub(crate) fn reason(&self) -> &str {
        self.told.as_ref().map_or("", |trouble| &trouble.reason)
    }

    /// What a recipient is told when every host failed.
    ///
    /// Where REQUIRETLS is insisted on and it is certain that no host has what it asks, the mail goes back at once (RFC 8689
    /// section 4.2.1); a host that is down, or in trouble, may have it later.
    pub(crate) fn conclude(self, require_tls: Option<RequireTls>) -> Outcome {
        let mut trouble = match (self.told, self.lacking) {
            (None, Some(trouble)) if !self.some_untried => return Outcome::Failed(trouble),
            // A host that cannot be found now may be one that takes it.
            (None, Some(mut trouble)) => {
                trouble.status = outcome::transient(trouble.status);
                trouble
            }
            (Some(trouble), _) => trouble,
            (None, None) => Trouble::new("the destination has no host to try", outcome::NO_ANSWER),
        };
        trouble.tls_at_a_host = self.hosts.values().any(|host| host.tls);
        // It is a TLS failure when every host failed because of TLS: one that is down might have had it.
        trouble.tls = trouble.tls_at_a_host && !self.some_untried && self.hosts.values().all(|host| host.tls);
        let certain = trouble.tls && self.hosts.values().all(|host| host.conclusive && !host.verdicts.is_empty());
        if certain {
            let mut words: Vec<_> = self.hosts.into_values().flat_map(|host| host.verdicts).collect();
            words.sort();
            words.dedup();
            trouble.verdict = Some(words.join(" "));
            if require_tls == Some(RequireTls::Strict) {
                let of_requiretls = |word: &String| [outcome::NO_REQUIRETLS, outcome::NOT_KNOWN_FOR_SURE].contains(&word.as_str());
                let none_lacks_tls = words.iter().all(of_requiretls);
                trouble.status = if none_lacks_tls { outcome::REQUIRETLS_NEEDED } else { outcome::ENCRYPTION_NEEDED };
                return Outcome::Failed(trouble);
            }
        } else {
            trouble.verdict = None;
        }
        Outcome::Deferred(trouble)
    }

    fn of(&mut self, host: &Host) -> &mut HostFailure {
        let new = || HostFailure { tls: false, answered: false, verdicts: Vec::new(), conclusive: true };
        self.hosts.entry(host.shown()).or_insert_with(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpost_types::Domain;

    fn host(name: &str, address: &str) -> Host {
        let published = std::sync::Arc::new(sealpost_discovery::Published::nothing_known());
        Host {
            name: Some(Domain::parse(name).unwrap()),
            address: address.parse().unwrap(),
            secure: false,
            published,
            sts: Default::default(),
        }
    }

    fn trouble(reason: &str, tls: bool) -> Trouble {
        let mut trouble = Trouble::new(reason, outcome::NO_ANSWER);
        trouble.tls = tls;
        trouble
    }

    fn concluded(failures: Failures) -> (String, bool, bool) {
        match failures.conclude(None) {
            Outcome::Deferred(trouble) => (trouble.reason, trouble.tls, trouble.tls_at_a_host),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_dead_address_of_a_host_without_tls_does_not_hide_that_tls_was_the_reason() {
        let mut failures = Failures::default();
        failures.note(&host("mx.a.example", "[2001:db8::1]:25"), trouble("no route", false), false, true);
        failures.note(&host("mx.a.example", "192.0.2.1:25"), trouble("no STARTTLS", true), true, true);
        assert!(!failures.is_silent());
        assert_eq!(concluded(failures), ("no STARTTLS".to_owned(), true, true));
    }

    #[test]
    fn a_host_that_is_down_might_have_had_tls() {
        let mut failures = Failures::default();
        failures.note(&host("mx1.a.example", "192.0.2.1:25"), trouble("no STARTTLS", true), true, true);
        failures.note(&host("mx2.a.example", "192.0.2.2:25"), trouble("refused", false), false, true);
        assert_eq!(failures.without_tls().len(), 1);
        assert_eq!(concluded(failures), ("no STARTTLS".to_owned(), false, true));
    }

    #[test]
    fn what_no_host_can_take_is_returned_unless_another_may_take_it_later() {
        let mut failures = Failures::default();
        failures.lacks(&host("mx1.a.example", "192.0.2.1:25"), trouble("too big", false));
        assert!(matches!(failures.conclude(None), Outcome::Failed(trouble) if trouble.reason == "too big"));
        let mut failures = Failures::default();
        failures.lacks(&host("mx1.a.example", "192.0.2.1:25"), trouble("too big", false));
        failures.note(&host("mx2.a.example", "192.0.2.2:25"), trouble("refused", false), false, true);
        assert_eq!(concluded(failures).0, "refused");
    }

    /// Mail was returned although one of the hosts could not be looked up: that one may take it.
    #[test]
    fn what_the_hosts_that_were_found_cannot_take_waits_for_one_that_was_not() {
        let mut failures = Failures::default();
        let lacking = Trouble::new("no 8BITMIME", outcome::CONVERSION_NEEDED);
        failures.lacks(&host("mx1.a.example", "192.0.2.1:25"), lacking);
        failures.some_untried();
        match failures.conclude(None) {
            Outcome::Deferred(trouble) => assert_eq!((trouble.reason.as_str(), trouble.status.class()), ("no 8BITMIME", 4)),
            other => panic!("{other:?}"),
        }
    }

    /// A host of which TLS is demanded does not come to be talked to in clear because mail may go in clear elsewhere.
    #[test]
    fn only_hosts_that_may_be_clear_are_tried_in_clear() {
        let mut failures = Failures::default();
        failures.note(&host("mx1.a.example", "192.0.2.1:25"), trouble("a wrong certificate", true), true, false);
        assert!(failures.without_tls().is_empty());
        failures.note(&host("mx2.a.example", "192.0.2.2:25"), trouble("no STARTTLS", true), true, true);
        assert_eq!(failures.without_tls().len(), 1);
        assert!(failures.lets_go_in_clear());
        failures.began_under_tls = true;
        assert!(!failures.lets_go_in_clear());
        let mut failures = Failures::default();
        failures.published_unknown();
        assert!(!failures.lets_go_in_clear());
    }

    /// What is certain of the hosts that were reached is not certain of all while another could not be found.
    #[test]
    fn a_host_that_could_not_be_found_makes_nothing_certain() {
        let certain = |untried: bool| {
            let mut failures = Failures::default();
            let mut trouble = trouble("no STARTTLS", true);
            trouble.verdict = Some("no-starttls".to_owned());
            failures.note(&host("mx1.a.example", "192.0.2.1:25"), trouble, true, true);
            if untried {
                failures.some_untried();
            }
            match failures.conclude(None) {
                Outcome::Deferred(trouble) => (trouble.tls, trouble.verdict.is_some()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(certain(false), (true, true));
        assert_eq!(certain(true), (false, false));
    }

    /// What the attempt concludes of these: name, address, verdict, whether it answered.
    fn verdict(hosts: &[(&str, &str, Option<&str>, bool)]) -> Option<String> {
        let mut failures = Failures::default();
        for (name, address, word, answered) in hosts {
            let mut trouble = trouble("reason", word.is_some());
            trouble.verdict = word.map(str::to_owned);
            failures.note(&host(name, address), trouble, *answered, true);
        }
        match failures.conclude(None) {
            Outcome::Deferred(trouble) => trouble.verdict,
            other => panic!("{other:?}"),
        }
    }

    // req: E4
    #[test]
    fn rfc8689_4_2_1_what_is_certain_goes_back_where_requiretls_is_insisted_on() {
        let end = |words: &[Option<&str>], grade: RequireTls| {
            let mut failures = Failures::default();
            for (number, word) in words.iter().enumerate() {
                let mut trouble = trouble("reason", true);
                trouble.verdict = word.map(str::to_owned);
                failures.note(&host(&format!("mx{number}.a.example"), "192.0.2.1:25"), trouble, true, false);
            }
            match failures.conclude(Some(grade)) {
                Outcome::Failed(trouble) => trouble.status.to_string(),
                Outcome::Deferred(_) => "waits".to_owned(),
                other => panic!("{other:?}"),
            }
        };
        let (no, unknown, tls) = (Some(outcome::NO_REQUIRETLS), Some(outcome::NOT_KNOWN_FOR_SURE), Some("no-starttls"));
        assert_eq!(end(&[no, unknown], RequireTls::Strict), "5.7.30");
        assert_eq!(end(&[no, tls], RequireTls::Strict), "5.7.10");
        assert_eq!(end(&[tls, tls], RequireTls::Strict), "5.7.10");
        // a broken handshake may be a matter of a moment
        assert_eq!(end(&[no, None], RequireTls::Strict), "waits");
        for graded in [RequireTls::Verify, RequireTls::Require] {
            assert_eq!(end(&[tls, tls], graded), "waits");
        }
    }

    // req: F5
    #[test]
    fn a_verdict_is_that_of_every_host() {
        let (one, two) = (("mx1.a.example", "192.0.2.1:25"), ("mx2.a.example", "192.0.2.2:25"));
        let none = Some("no-starttls");
        assert_eq!(verdict(&[(one.0, one.1, none, true)]).as_deref(), none);
        assert_eq!(verdict(&[(one.0, one.1, none, true), (two.0, two.1, none, true)]).as_deref(), none);
        let both = verdict(&[(two.0, two.1, Some("name-mismatch"), true), (one.0, one.1, none, true)]);
        assert_eq!(both.as_deref(), Some("name-mismatch no-starttls"), "in whatever order they were tried");
        assert_eq!(verdict(&[(one.0, one.1, none, true), (two.0, two.1, None, true)]), None, "a time-out or 454 says nothing");
        assert_eq!(verdict(&[(one.0, one.1, none, true), (two.0, two.1, None, false)]), None, "nor does a host that is down");
        // of one host, an address that is down hides nothing, and one that answers otherwise does
        assert_eq!(verdict(&[(one.0, one.1, none, true), (one.0, two.1, None, false)]).as_deref(), none);
        assert_eq!(verdict(&[(one.0, one.1, none, true), (one.0, two.1, None, true)]), None);
    }
}
