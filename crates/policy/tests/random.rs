//! Random documents with every table and key, asked about random mail: what must hold whatever an administrator writes.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use sealpost_policy::{
    ClientFacts, DeliverDecision, DeliverFacts, HeaderBlock, HeaderLevel, HostDecision, HostFacts, Policy, ReceiveDecision, ReceiveFacts,
    Sts, Tlsa, covers,
};
use sealpost_types::{
    CipherSuite, Clause, Domain, ForwardPath, HostClause, Mailbox, NextHop, Pin, ReversePath, TlsFacts, TlsVersion, TlsaRecord, UnixMillis,
};

/// One entry: its header and its keys, so that it can be written as it is, in testing, with a date, or left out.
#[derive(Clone, Debug)]
struct Entry {
    /// `[[partner]]` and the keys that say what it is.
    head: String,
    /// The keys that ask for something.
    asks: String,
    dated: bool,
    testing: bool,
}

/// How one entry of a document is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum As {
    Enforced,
    Testing,
    Expired,
    /// Left out; of a hosted domain or an owner what it asks is, for others stand on what it is.
    Absent,
}

impl Entry {
    /// Always as many lines, so that every place stays where it is.
    fn written(&self, how: As) -> String {
        let stays = !self.head.starts_with("[[partner]]") && !self.head.starts_with("[[rule]]");
        let (mode, until) =
            (if how == As::Testing { "mode='testing'" } else { "" }, if how == As::Expired { "until=2020-01-01" } else { "" });
        match how {
            // The domain stays a hosted one; who its own servers are is nothing that it may say in testing.
            As::Absent if stays => {
                let head: String = self
                    .head
                    .lines()
                    .map(|line| if line.starts_with("servers=") { "\n".to_owned() } else { format!("{line}\n") })
                    .collect();
                format!("{head}{}", "\n".repeat(2 + self.asks.matches('\n').count()))
            }
            As::Absent => "\n".repeat(self.head.matches('\n').count() + 2 + self.asks.matches('\n').count()),
            _ if self.asks.contains("ignore_published") && until.is_empty() => {
                format!("{}{}{mode}\nuntil=2999-01-01\n", self.head, self.asks)
            }
            _ => format!("{}{}{mode}\n{until}\n", self.head, self.asks),
        }
    }

    fn own(&self) -> As {
        match (self.testing, self.dated) {
            (true, _) => As::Testing,
            (_, true) => As::Expired,
            _ => As::Enforced,
        }
    }
}

/// The text with the entry of this number written so, and all others as they are.
fn text(entries: &[Entry], number: usize, how: As) -> String {
    entries.iter().enumerate().map(|(index, entry)| entry.written(if index == number { how } else { entry.own() })).collect()
}

fn parsed(text: &str) -> Option<Policy> {
    Policy::parse("policy.toml", &format!("{text}{LISTS}")).ok()
}

const LISTS: &str = "[[list]]\nname='vip'\nentries='ceo@bank.example *@acme.example'\n[[list]]\nname='none'\nentries=''\n";

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

/// Nothing half the time, else one of these.
fn some_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), one_of(words)]
}

fn for_some_mail() -> BoxedStrategy<String> {
    some_of(&[
        "senders='ceo@bank.example *@acme.example',",
        "recipients='ceo',",
        "senders='*@bank.example', recipients='ceo x',",
        "recipients='ceo', ELSE",
        "senders='*@acme.example', ELSE",
    ])
    .boxed()
}

fn deliver_hop() -> BoxedStrategy<String> {
    let level = one_of(&[
        "",
        "level='none',",
        "level='mirror',",
        "level='opportunistic',",
        "level='require',",
        "level='chain',",
        "level='chain', dane_satisfies=true,",
        "level='verify',",
        "level='verify', match='mx', names='x.example',",
        "level='verify', names='y.example', dane_satisfies=true,",
        "level='dane',",
        "level='dane', else='verify',",
        "level='dane', else='none',",
        "level='dane-only',",
        "level='pinned', pins='PIN1',",
        "level='pinned', pins='PIN1 PIN2',",
        "names='z.example',",
        "match='mx',",
        "dane_satisfies=false,",
    ]);
    let floors = (
        some_of(&["min_version='1.2',", "min_version='1.3',"]),
        some_of(&["min_group='x25519',", "min_group='post-quantum',"]),
        some_of(&[
            "ciphers='TLS_AES_128_GCM_SHA256',",
            "ciphers='TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384',",
            "ciphers='TLS_AES_256_GCM_SHA384',",
        ]),
    );
    let fate = (
        some_of(&[
            "lifetime='1d',",
            "on_expiry='delete',",
            "on_expiry='hold',",
            "retry='5m 1h',",
            "on_failure='bounce',",
            "bounce_after=2,",
        ]),
        some_of(&["clear_fallback='never',", "ignore_published=true,"]),
    );
    (level, floors, for_some_mail(), fate)
        .prop_map(|(level, (version, group, ciphers), mail, (fate, published))| {
            let (floors, never) =
                if level.contains("none") { (String::new(), true) } else { (format!("{version}{group}{ciphers}"), false) };
            let mail = if level.contains("'dane'") { mail.replace(", ELSE", ",") } else { mail.replace("ELSE", "else='mirror',") };
            let opportunistic = level.contains("opportunistic") || level.contains("mirror");
            let published = if published.contains("clear") && (never || !opportunistic) { String::new() } else { published };
            format!("{level}{floors}{mail}{fate}{published}")
        })
        .boxed()
}

fn receive_hop() -> BoxedStrategy<String> {
    let level = one_of(&[
        "",
        "level='opportunistic',",
        "level='require',",
        "level='chain',",
        "level='verify', names='out.example',",
        "level='pinned', pins='PIN1',",
    ]);
    let rest = (
        some_of(&["min_version='1.3',", "min_group='post-quantum',", "ciphers='TLS_AES_256_GCM_SHA384',"]),
        some_of(&["refuse='4xx',", "exempt_clients='203.0.113.0/24',"]),
    );
    (level, rest, for_some_mail())
        .prop_map(|(level, (floor, rest), mail)| format!("{level}{floor}{}{rest}", mail.replace("ELSE", "else='opportunistic',")))
        .boxed()
}

fn keys(submit: bool) -> BoxedStrategy<String> {
    (deliver_hop(), receive_hop(), receive_hop())
        .prop_map(move |(deliver, receive, handed_in)| {
            let pins = |hop: String| hop.replace("PIN1", &Pin([1; 32]).to_string()).replace("PIN2", &Pin([2; 32]).to_string());
            let line = |key: &str, hop: String| {
                if hop.is_empty() { "\n".to_owned() } else { format!("{key} = {{ {} }}\n", pins(hop).trim_end_matches(',')) }
            };
            let reason = "reason='why'\n";
            let handed_in = if submit { line("submit", handed_in) } else { String::new() };
            format!("{}{}{handed_in}{reason}", line("deliver", deliver), line("receive", receive))
        })
        .boxed()
}

fn entry(head: impl Strategy<Value = String> + 'static, submit: bool) -> BoxedStrategy<Entry> {
    (head, keys(submit), prop::bool::weighted(0.15), prop::bool::weighted(0.15))
        .prop_map(|(head, asks, dated, testing)| Entry { head, asks, dated: dated && !testing, testing })
        .boxed()
}

fn partner() -> BoxedStrategy<Entry> {
    let head = (
        one_of(&["bank.example", "mx.bank.example", "*.bank.example", "*.example", "b*.example", "*", "shop.test bank.example"]),
        some_of(&[
            "for='acme.example'",
            "for='owner:o1'",
            "for='*'",
            "exclude='mx.bank.example'",
            "clients='203.0.113.9'",
            "subdomains=false",
        ]),
    );
    entry(head.prop_map(|(domains, rest)| format!("[[partner]]\ndomains='{domains}'\n{rest}\n")), false).boxed()
}

fn rule() -> BoxedStrategy<Entry> {
    let when = one_of(&[
        "",
        "direction='outbound'",
        "direction='inbound'",
        "sender={ matches='vip' }",
        "recipient={ not_matches='vip' }",
        "recipient={ matches='none' }",
        "header={ name='Subject', matches='*secret*' }",
    ]);
    let then = one_of(&[
        "add_header={ X-TLSLevel='Try' }",
        "add_header={ X-TLSLevel='Require' }",
        "stop=true",
        "add_header={ X-TLSLevel='Require' }, stop=true",
    ]);
    (when, then, any::<u64>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2))
        .prop_map(|(when, then, number, dated, testing)| Entry {
            head: format!("[[rule]]\nname='{number}'\n"),
            asks: format!("when={{ {when} }}\nthen={{ {then} }}\n"),
            dated: dated && !testing,
            testing,
        })
        .boxed()
}

/// The entries of a document: hosted domains, their owners, partners, rules.
fn document() -> BoxedStrategy<Vec<Entry>> {
    let domain = |name: &'static str, rest: &'static str| {
        prop::option::of(entry(Just(format!("[[domain]]\nname='{name}'\n{rest}\n")), true))
            .prop_map(|entry| entry.into_iter().collect::<Vec<_>>())
    };
    let owner = |name: &'static str, parent: &'static str| {
        entry(Just(format!("[[owner]]\nname='{name}'\n{parent}\n")), true).prop_map(|entry| vec![entry])
    };
    let hosted = (
        domain("acme.example", "owner='o2'\nservers='192.0.2.1 auth:acme'"),
        domain("*.acme.example", "owner='o1'\nservers='192.0.2.0/24'"),
        domain("zeta.example", "\nservers='shared:198.51.100.0/24 198.51.100.9'"),
        owner("o1", ""),
        owner("o2", "parent='o1'"),
    );
    (hosted, prop::collection::vec(partner(), 0..4), prop::collection::vec(rule(), 0..3))
        .prop_map(|((a, b, c, d, e), partners, rules)| [a, b, c, d, e, partners, rules].concat())
        .boxed()
}

/// What a mail is, and which facts come from elsewhere.
#[derive(Clone, Debug)]
struct Mail {
    sender: ReversePath,
    recipient: ForwardPath,
    secure: bool,
    header: HeaderBlock,
    client: &'static str,
    tls: Option<TlsFacts>,
    now: UnixMillis,
}

fn mail() -> BoxedStrategy<Mail> {
    let sender = prop::sample::select(vec![
        "",
        "ann@acme.example",
        "ann@a.acme.example",
        "ceo@bank.example",
        "bob@mx.bank.example",
        "x@zeta.example",
        "prvs=0123abcdef=bob@bank.example",
        "SRS0=h=t=acme.example=ann@forwarder.test",
        "x@[192.0.2.1]",
    ]);
    let recipient = prop::sample::select(vec![
        "x@acme.example",
        "ceo@acme.example",
        "x@a.acme.example",
        "ceo@zeta.example",
        "ceo@bank.example",
        "x@bank.example",
        "x@mx.bank.example",
        "x@shop.test",
        "",
    ]);
    let tls = prop::sample::select(vec![None, Some((TlsVersion::Tls1_2, 0xc02f)), Some((TlsVersion::Tls1_3, 0x1302))]);
    let client = prop::sample::select(vec!["192.0.2.1", "192.0.2.77", "198.51.100.9", "203.0.113.9", "233.252.0.1"]);
    let now = prop::sample::select(vec![UnixMillis(0), UnixMillis(1_800_000_000_000)]);
    (sender, recipient, any::<bool>(), any::<bool>(), client, tls, now)
        .prop_map(|(sender, recipient, secure, secret, client, tls, now)| Mail {
            sender: if sender.is_empty() { ReversePath::Null } else { Mailbox::parse(sender).unwrap().into() },
            recipient: if recipient.is_empty() { ForwardPath::Postmaster } else { Mailbox::parse(recipient).unwrap().into() },
            secure,
            header: HeaderBlock::parse(if secret { b"Subject: a secret\r\n\r\n" } else { b"Subject: a\r\n\r\n" }),
            client,
            tls: tls.map(|(version, suite)| TlsFacts::new(version, CipherSuite(suite), None, false)),
            now,
        })
        .boxed()
}

impl Mail {
    fn deliver_facts(&self) -> DeliverFacts<'_> {
        DeliverFacts::new(&self.sender, &self.recipient, self.secure).with_header(Some(&self.header)).at(self.now)
    }

    fn at_mail(&self) -> ReceiveFacts<'_> {
        let client = ClientFacts::new(self.client.parse().unwrap());
        ReceiveFacts::new(client.address, &self.sender).with_client(client).with_tls(self.tls.as_ref()).at(self.now)
    }

    /// Both decisions; whoever asks here also checks that explaining changes nothing.
    fn decide(&self, policy: &Policy) -> (DeliverDecision, ReceiveDecision) {
        let (delivery, trace) = policy.explain_deliver(&self.deliver_facts());
        assert_eq!(policy.decide_deliver(&self.deliver_facts()), delivery, "{trace}");
        assert_eq!((&trace.demand, trace.level, Some(&delivery.fate)), (&delivery.demand, delivery.level, trace.fate.as_ref()));
        let facts = self.at_mail().with_recipient(&self.recipient);
        let (reception, trace) = policy.explain_receive(&facts);
        assert_eq!(policy.decide_receive(&facts), reception, "{trace}");
        (delivery, reception)
    }
}

/// What is enforced of both hops, without the shadows.
fn enforced((delivery, reception): (DeliverDecision, ReceiveDecision)) -> (DeliverDecision, ReceiveDecision) {
    let (mut delivery, mut reception) = (delivery, reception);
    (delivery.shadow, reception.shadow) = (None, None);
    (delivery, reception)
}

fn host(policy: &Policy, decision: &DeliverDecision, tlsa: Tlsa<'_>, sts: Sts) -> HostDecision {
    let (next_hop, name) = (NextHop::Mx(Domain::parse("bank.example").unwrap()), Domain::parse("mx.hosting.test").unwrap());
    policy.decide_host(
        decision,
        &HostFacts::new(&next_hop, Some(&name), false, "192.0.2.25:25".parse().unwrap()).with_tlsa(tlsa).with_sts(sts),
    )
}

/// Whether the first asks of a host all that the second asks; where both speak of DANE, its records may stand for the rest.
fn asks_no_less(more: &HostDecision, less: &HostDecision, waivable: bool) -> bool {
    let (more, less) = (more.demand(), less.demand());
    let is_dane = |clause: &HostClause| matches!(clause, HostClause::Dane { .. });
    let proven = |clause| {
        more.clauses.contains(clause)
            || (is_dane(clause) && more.clauses.iter().any(is_dane))
            || (waivable && more.clauses.iter().any(is_dane))
    };
    // Floors of what does not use TLS are not carried along.
    let floors = more.min_version >= less.min_version && more.min_group >= less.min_group;
    more.tls >= less.tls && floors && less.clauses.iter().all(proven)
}

fn has_alternative(decision: &DeliverDecision) -> bool {
    decision.demand.clauses.iter().any(|clause| matches!(clause, Clause::DaneElse(_)))
}

/// Most documents are without mistakes: the properties below are not held against nothing.
#[test]
fn most_random_documents_are_policies() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut read = 0;
    for _ in 0..200 {
        let entries = document().new_tree(&mut runner).unwrap().current();
        read += usize::from(parsed(&text(&entries, usize::MAX, As::Enforced)).is_some());
    }
    assert!(read > 100, "{read} of 200");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, failure_persistence: None, ..ProptestConfig::default() })]

    /// Two policies of one text decide alike, down to the keys of connections.
    #[test]
    fn decisions_are_the_same_wherever_they_are_made(entries in document(), mail in mail()) {
        let text = text(&entries, usize::MAX, As::Enforced);
        let (Some(one), Some(other)) = (parsed(&text), parsed(&text)) else { return Ok(()) };
        let (decision, again) = (mail.decide(&one), mail.decide(&other));
        prop_assert_eq!(&decision, &again);
        let keys = [&one, &other].map(|policy| host(policy, &decision.0, Tlsa::Absent, Sts::Absent).wire_key);
        prop_assert_eq!(&keys[0], &keys[1]);
    }

    /// What is refused at MAIL would be refused for every recipient.
    #[test]
    fn a_recipient_lowers_nothing(entries in document(), mail in mail()) {
        let Some(policy) = parsed(&text(&entries, usize::MAX, As::Enforced)) else { return Ok(()) };
        let at_mail = policy.decide_receive(&mail.at_mail());
        prop_assert_eq!(&policy.explain_receive(&mail.at_mail()).0, &at_mail);
        let (_, at_rcpt) = mail.decide(&policy);
        prop_assert!(covers(&at_rcpt.demand, &at_mail.demand), "{:?}\n{:?}", at_rcpt.demand, at_mail.demand);
        prop_assert!(at_mail.refusal().is_none() || at_rcpt.refusal().is_some());
    }

    /// No fact from outside lowers what is written here.
    #[test]
    fn no_remote_fact_lowers_a_demand(entries in document(), mail in mail()) {
        let Some(policy) = parsed(&text(&entries, usize::MAX, As::Enforced)) else { return Ok(()) };
        let (local, _) = mail.decide(&policy);
        for level in [HeaderLevel::Try, HeaderLevel::Require] {
            let facts = mail.deliver_facts().with_header_level(Some(level));
            let with = policy.decide_deliver(&facts);
            prop_assert!(covers(&with.demand, &local.demand), "{:?}: {:?} {:?}", level, with.demand, local.demand);
            prop_assert!(local.ignores_published || !with.ignores_published, "what is published counts as before");
            prop_assert_eq!((&with.fate, with.clear_fallback), (&local.fate, local.clear_fallback));
        }
        let records = [TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![1; 32] }];
        let nothing = host(&policy, &local, Tlsa::Absent, Sts::Absent);
        for tlsa in [Tlsa::Unknown, Tlsa::Absent, Tlsa::Secure { usable: &[] }, Tlsa::Secure { usable: &records }] {
            for sts in [Sts::Absent, Sts::Testing, Sts::Enforce { host_matches: true }, Sts::Enforce { host_matches: false }] {
                let with = host(&policy, &local, tlsa, sts);
                let waivable = has_alternative(&local) && matches!(tlsa, Tlsa::Unknown | Tlsa::Secure { usable: [_, ..] });
                prop_assert!(asks_no_less(&with, &nothing, waivable), "{:?} {:?}: {:?}\n{:?}", tlsa, sts, with, nothing);
                if local.ignores_published && !has_alternative(&local) && !local.demand.clauses.contains(&Clause::Dane) {
                    prop_assert_eq!(&with, &nothing, "it is left out of account");
                }
            }
        }
    }

    /// An entry in testing might as well not be there; with all of them enforced, what their shadow says holds.
    #[test]
    fn a_testing_entry_is_no_source(entries in document(), which in any::<prop::sample::Index>(), mail in mail()) {
        let number = which.index(entries.len());
        let (Some(testing), Some(absent)) = (parsed(&text(&entries, number, As::Testing)), parsed(&text(&entries, number, As::Absent))) else { return Ok(()) };
        prop_assert_eq!(enforced(mail.decide(&testing)), enforced(mail.decide(&absent)));
        let all: Vec<_> = entries.iter().cloned().map(|entry| Entry { testing: false, ..entry }).collect();
        let (Some(policy), Some(strict)) = (parsed(&text(&entries, usize::MAX, As::Enforced)), parsed(&text(&all, usize::MAX, As::Enforced))) else { return Ok(()) };
        let ((delivery, reception), (then, received)) = (mail.decide(&policy), mail.decide(&strict));
        let (shadow, shadow_received) = (delivery.shadow.map_or(delivery.demand, |shadow| shadow.demand), reception.shadow.map_or(reception.demand, |shadow| shadow.demand));
        prop_assert_eq!((shadow, shadow_received), (then.demand, received.demand));
    }

    /// An entry past its date is never weaker than it was, nor than without it.
    #[test]
    fn an_expired_entry_weakens_nothing(entries in document(), which in any::<prop::sample::Index>(), mail in mail()) {
        let number = which.index(entries.len());
        let [expired, with, without] = [As::Expired, As::Enforced, As::Absent].map(|how| parsed(&text(&entries, number, how)));
        let (Some(expired), Some(with), Some(without)) = (expired, with, without) else { return Ok(()) };
        let mail = Mail { now: UnixMillis(1_800_000_000_000), ..mail };
        let (delivery, reception) = mail.decide(&expired);
        for (other, received) in [mail.decide(&with), mail.decide(&without)] {
            prop_assert!(covers(&delivery.demand, &other.demand), "{:?}\n{:?}", delivery.demand, other.demand);
            prop_assert!(covers(&reception.demand, &received.demand), "{:?}\n{:?}", reception.demand, received.demand);
            prop_assert!(other.ignores_published || !delivery.ignores_published);
            prop_assert!(delivery.clear_fallback >= other.clear_fallback);
        }
    }

    /// The order of partners decides nothing, but for patterns that only their order ranks.
    #[test]
    fn the_order_of_partners_decides_nothing(partners in prop::collection::vec(partner(), 0..5), mail in mail()) {
        let mut turned = partners.clone();
        turned.reverse();
        let around = "[[owner]]\nname='o1'\n[[domain]]\nname='acme.example'\nowner='o1'\n";
        let [one, other] = [partners, turned].map(|partners| parsed(&format!("{around}{}", text(&partners, usize::MAX, As::Enforced))));
        let (Some(one), Some(other)) = (one, other) else { return Ok(()) };
        let ((delivery, reception), (again, received)) = (mail.decide(&one), mail.decide(&other));
        prop_assert_eq!((&delivery.demand, delivery.fate, delivery.clear_fallback, delivery.ignores_published), (&again.demand, again.fate, again.clear_fallback, again.ignores_published));
        prop_assert_eq!(&reception.demand, &received.demand);
    }

    /// Two partners that share a host share its connections exactly if what is asked of it is the same.
    #[test]
    fn a_connection_is_shared_exactly_where_demands_are_equal(one in deliver_hop(), other in deliver_hop(), mail in mail()) {
        let pins = |hop: &str| hop.replace("PIN1", &Pin([1; 32]).to_string()).replace("PIN2", &Pin([2; 32]).to_string());
        let entry = |name: &str, hop: &str| format!("[[partner]]\ndomains='{name}'\nreason='r'\nuntil=2999-01-01\ndeliver={{ {} }}\n", pins(hop).trim_end_matches(','));
        let Some(policy) = parsed(&format!("{}{}", entry("one.test", &one), entry("other.test", &other))) else { return Ok(()) };
        let decided = |name: &str| {
            let mail = Mail { recipient: Mailbox::parse(&format!("ceo@{name}")).unwrap().into(), ..mail.clone() };
            let decision = mail.decide(&policy).0;
            (host(&policy, &decision, Tlsa::Absent, Sts::Absent), decision)
        };
        let ((one, decision), (other, second)) = (decided("one.test"), decided("other.test"));
        prop_assert_eq!(one.wire_key == other.wire_key, one.demand() == other.demand());
        if decision.demand == second.demand && decision.ignores_published == second.ignores_published {
            prop_assert_eq!(&one.wire_key, &other.wire_key);
        }
    }
}
