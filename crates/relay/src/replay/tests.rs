//! Every transition: what happened, the policy that is tried on it, and what comes out.

use std::sync::Arc;

use sealpost_queue::{Deferral, MemorySpool, NewMessage, Spool as _, State};
use sealpost_report::{Decided, Event, EventKind, NoTls, Proof};
use sealpost_types::{
    CipherSuite, Domain, Envelope, ForwardPath, Hop, KexGroup, Mailbox, Reception, Recipient, ReversePath, TlsFacts, TlsVersion, UnixMillis,
};

use super::*;

const PIN: &str = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
const OTHER_PIN: &str = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn config() -> Config {
    let mut config = Config::new(Domain::parse("relay.example").unwrap(), "/nowhere".into());
    config.rights.trusted_networks = vec!["192.0.2.0/24".parse().unwrap()];
    config
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

/// A partner that is dealt with like this.
fn partner(hops: &str) -> String {
    format!("[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\n{hops}\n")
}

/// A session; with TLS it has the host's certificate, of a trusted chain for `mx.bank.example` unless changed.
fn proof(tls: Option<TlsVersion>, no_tls: Option<NoTls>) -> Proof {
    let facts = tls.map(|version| TlsFacts::new(version, CipherSuite(0x1301), Some(KexGroup(0x001d)), false));
    let mut proof = Proof::new(facts, "TLS if offered", true);
    proof.host_secure = Some(false);
    proof.no_tls = no_tls;
    if tls.is_some() {
        with_certificate(&mut proof);
    }
    proof
}

fn with_certificate(proof: &mut Proof) {
    proof.subject = Some("CN=mx.bank.example".into());
    proof.spki_pin = Some(PIN.into());
    proof.names = Some(vec!["DNS:mx.bank.example".into(), "IP Address:198.51.100.7".into()]);
    proof.validation_path = vec!["CN=mx.bank.example".into(), "CN=CA".into()];
}

fn delivered(proof: Proof) -> Event {
    let mut event = Event::new(UnixMillis(1000), EventKind::Delivered, Hop::Deliver)
        .of_message("Q1", mailbox("ann@shop.example").into())
        .for_recipient(mailbox("bob@bank.example").into());
    event.received_secure = Some(true);
    event.next_hop = Some("mx:bank.example".into());
    event.host = Some("mx.bank.example".into());
    event.address = Some("198.51.100.7:25".parse().unwrap());
    event.decided = Some(Arc::new(Decided::new("opportunistic", "[defaults.external]", "opportunistic: built-in default")));
    event.proof = Some(Arc::new(proof));
    event
}

fn in_clear() -> Event {
    delivered(proof(None, Some(NoTls::NotOffered)))
}

fn over(version: TlsVersion) -> Event {
    delivered(proof(Some(version), None))
}

/// The same event with another proof.
fn having(mut event: Event, change: impl FnOnce(&mut Proof)) -> Event {
    change(Arc::make_mut(event.proof.as_mut().unwrap()));
    event
}

/// Mail that came to its end because TLS was not as demanded; with a certificate it failed because of that.
fn held(kind: EventKind, demand: &str, no_tls: NoTls, certificate: bool) -> Event {
    let mut event = delivered(proof(None, Some(no_tls)));
    event.kind = kind;
    having(event, |proof| {
        proof.satisfied = false;
        proof.demand = demand.to_owned();
        if certificate {
            with_certificate(proof);
            proof.validation_path.clear();
        }
    })
}

fn from_client(kind: EventKind, tls: Option<TlsVersion>, recipient: Option<&str>) -> Event {
    let mut event = Event::new(UnixMillis(1000), kind, Hop::Receive).of_message("Q1", mailbox("ann@bank.example").into());
    event.recipient = recipient.map(|recipient| mailbox(recipient).into());
    event.address = Some("192.0.2.7:4711".parse().unwrap());
    event.decided = Some(Arc::new(Decided::new("opportunistic", "[defaults.external]", "opportunistic: built-in default")));
    event.proof = Some(Arc::new(proof(tls, None)));
    event
}

/// `would: why @ source`, or `same`, or `-` where it is not judged.
fn answer(policy: &str, event: &Event) -> String {
    let (config, policy) = (config(), Policy::parse("new.toml", policy).unwrap());
    Replay::new(&config, &policy).event(event).map_or_else(|| "-".to_owned(), |judged| shown(&judged))
}

fn shown(judged: &Judged) -> String {
    let Some(change) = &judged.change else { return "same".to_owned() };
    let source = change.source.as_ref().map(|source| format!(" @ {source}")).unwrap_or_default();
    format!("{}: {}{source}", change.would.as_str(), change.why)
}

fn check(cases: &[(&str, &str, Event, &str)]) {
    for (what, policy, event, expected) in cases {
        let found = answer(policy, event);
        assert_eq!(found, format!("{expected}{}", if expected.contains(": ") && !expected.contains('@') { BANK } else { "" }), "{what}");
    }
}

const BANK: &str = " @ partner \"Bank\" (new.toml:1)";

// req: F4
#[test]
fn deliveries_that_a_stricter_policy_stops() {
    let (v12, v13) = (TlsVersion::Tls1_2, TlsVersion::Tls1_3);
    let deliver = |hop: &str| partner(&format!("deliver = {hop}"));
    let require = deliver("\"require\"");
    let verify = deliver("\"verify\"");
    let pinned = |pin: &str| deliver(&format!("{{ level = \"pinned\", pins = \"{pin}\" }}"));
    check(&[
        ("clear, nothing asked", "", in_clear(), "same"),
        ("TLS, nothing asked", "", over(v12), "same"),
        ("clear, TLS asked", &require, in_clear(), "not-go-out: it went in clear"),
        ("clear after TLS failed", &require, delivered(proof(None, Some(NoTls::Failed))), "not-go-out: it went in clear"),
        (
            "clear, TLS not tried",
            &require,
            delivered(proof(None, Some(NoTls::NotTried))),
            "untold: it went in clear, and TLS was not tried",
        ),
        ("TLS, TLS asked", &require, over(v12), "same"),
        (
            "version",
            &deliver("{ level = \"require\", min_version = \"1.3\" }"),
            over(v12),
            "not-go-out: TLSv1.3 or later is asked for, this session has TLSv1.2",
        ),
        ("version met", &deliver("{ level = \"require\", min_version = \"1.3\" }"), over(v13), "same"),
        ("a trusted chain", &deliver("\"chain\""), over(v13), "same"),
        (
            "no chain",
            &deliver("\"chain\""),
            having(over(v13), |proof| proof.validation_path.clear()),
            "not-go-out: the certificate has no chain to a trust anchor",
        ),
        ("the domain's own name", &verify, over(v13), "same"),
        (
            "another name",
            &verify,
            having(over(v13), |proof| proof.names = Some(vec!["DNS:mx.hosting.example".into()])),
            "not-go-out: the certificate has none of the names that are asked for",
        ),
        (
            "another name that is written down",
            &deliver("{ level = \"verify\", names = \"mx.hosting.example\" }"),
            having(over(v13), |proof| proof.names = Some(vec!["DNS:*.hosting.example".into()])),
            "same",
        ),
        (
            "names of before they were kept",
            &verify,
            having(over(v13), |proof| proof.names = None),
            "untold: the host's certificate was not kept, or not all of its names",
        ),
        (
            "too many names",
            &verify,
            having(over(v13), |proof| proof.names = Some(vec!["DNS:x.example".into(); sealpost_report::PROOF_NAMES])),
            "untold: the host's certificate was not kept, or not all of its names",
        ),
        ("the key", &pinned(PIN), over(v13), "same"),
        ("another key", &pinned(OTHER_PIN), over(v13), "not-go-out: the certificate has none of the keys that are asked for"),
        ("TLSA", &deliver("\"dane-only\""), over(v13), "untold: the host's TLSA records are not kept"),
        ("TLSA, in clear", &deliver("\"dane-only\""), in_clear(), "not-go-out: it went in clear"),
        ("TLSA or less, in clear", &deliver("\"dane\""), in_clear(), "untold: the host's TLSA records are not kept"),
    ]);
}

// req: F4
#[test]
fn deliveries_that_lose_their_tls() {
    let floor = "{ level = \"opportunistic\", min_version = \"1.3\" }";
    let no_clear = "{ level = \"opportunistic\", min_version = \"1.3\", clear_fallback = \"never\" }";
    let v12 = TlsVersion::Tls1_2;
    let missed = "TLSv1.3 or later is asked for, this session has TLSv1.2";
    check(&[
        ("never", &partner("deliver = \"none\""), over(v12), "go-in-clear: TLS would not be tried"),
        ("never, and was in clear", &partner("deliver = \"none\""), in_clear(), "same"),
        ("a floor that falls back", &partner(&format!("deliver = {floor}")), over(v12), &format!("go-in-clear: {missed}")),
        ("a floor that holds", &partner(&format!("deliver = {no_clear}")), over(v12), &format!("not-go-out: {missed}")),
        (
            "no way back to clear",
            &partner(&format!("deliver = {no_clear}")),
            delivered(proof(None, Some(NoTls::Failed))),
            "not-go-out: it went in clear",
        ),
        ("nothing offered", &partner(&format!("deliver = {no_clear}")), in_clear(), "same"),
    ]);
}

// req: F4
#[test]
fn facts_that_were_not_kept_count_only_where_they_matter() {
    let mirror = partner("deliver = \"mirror\"");
    let forgot = |mut event: Event| {
        event.received_secure = None;
        event
    };
    let v13 = TlsVersion::Tls1_3;
    let older = |level: &str| {
        let mut event = having(in_clear(), |proof| proof.no_tls = None);
        Arc::make_mut(event.decided.as_mut().unwrap()).level = level.to_owned();
        event
    };
    let other_host = |secure| {
        having(over(v13), move |proof| {
            proof.host_secure = secure;
            proof.names = Some(vec!["DNS:mx.hosting.example".into()]);
        })
    };
    let hosted_elsewhere = |secure| {
        let mut event = other_host(secure);
        event.host = Some("mx.hosting.example".into());
        event
    };
    let mut incomplete = in_clear();
    incomplete.address = None;
    check(&[
        ("it matters", &mirror, forgot(over(v13)), "untold: whether it had come in over TLS was not kept"),
        ("it does not", &partner("deliver = \"require\""), forgot(in_clear()), "not-go-out: it went in clear"),
        ("it is known", &mirror, over(v13), "same"),
        ("an older entry, TLS tried", &partner("deliver = \"require\""), older("opportunistic"), "not-go-out: it went in clear"),
        (
            "an older entry, TLS not tried",
            &partner("deliver = \"require\""),
            older("none"),
            "untold: it went in clear, and TLS was not tried",
        ),
        ("a host of DNSSEC", &partner("deliver = \"verify\""), hosted_elsewhere(Some(true)), "same"),
        (
            "a host of plain DNS",
            &partner("deliver = \"verify\""),
            hosted_elsewhere(Some(false)),
            "not-go-out: the certificate has none of the names that are asked for",
        ),
        (
            "a host of who knows",
            &partner("deliver = \"verify\""),
            hosted_elsewhere(None),
            "untold: whether the host's name was known for sure was not kept",
        ),
    ]);
    assert_eq!(answer("", &incomplete), "untold: the entry lacks what a decision needs");
}

// req: F4
#[test]
fn a_rule_on_a_header_that_is_not_kept_leaves_the_answer_open_only_where_it_matters() {
    let rule = |value: &str| {
        format!(
            "[[rule]]\nname = \"Secret\"\nwhen = {{ header = {{ name = \"X-Secret\", matches = \"*\" }} }}\nthen = {{ add_header = {{ X-TLSLevel = \"{value}\" }} }}\n"
        )
    };
    let open = "untold: a rule asks for a header field, and the header is not kept @ rule \"Secret\" (new.toml:1)";
    check(&[
        ("in clear", &rule("Require"), in_clear(), open),
        ("over TLS all the same", &rule("Require"), over(TlsVersion::Tls1_2), "same"),
        ("a rule that keeps later ones out", &rule("Try"), over(TlsVersion::Tls1_2), open),
    ]);
}

// req: F4
#[test]
fn another_next_hop_is_another_host() {
    let moved = "[[domain]]\nname = \"bank.example\"\nroute = \"mail.bank.example:25\"\n";
    assert_eq!(answer(moved, &over(TlsVersion::Tls1_3)), "untold: it would go to another host");
}

// req: F4
#[test]
fn held_mail_that_a_weaker_policy_lets_go() {
    let bounced = |demand: &str, no_tls, certificate| held(EventKind::Bounced, demand, no_tls, certificate);
    let verify = "TLSv1.2 or later, a trusted chain, the name bank.example or *.bank.example";
    let require = "TLSv1.2 or later";
    let deliver = |hop: &str| partner(&format!("deliver = {hop}"));
    let mut deleted = held(EventKind::DeletedByTlsPolicy, require, NoTls::NotOffered, false);
    deleted.kind = EventKind::DeletedByTlsPolicy;
    check(&[
        (
            "no TLS, may go in clear",
            &deliver("\"opportunistic\""),
            bounced(require, NoTls::NotOffered, false),
            "go-out: it may go in clear",
        ),
        ("no TLS, still required", &deliver("\"require\""), bounced(verify, NoTls::NotOffered, false), "same"),
        ("no TLS, the same", &deliver("\"require\""), bounced(require, NoTls::Failed, false), "same"),
        (
            "a handshake that failed",
            &deliver("\"chain\""),
            bounced(require, NoTls::Failed, false),
            "untold: TLS failed before a certificate was seen",
        ),
        (
            "a certificate that will do",
            &deliver("\"require\""),
            bounced(verify, NoTls::Failed, true),
            "go-out: the host's certificate will do",
        ),
        ("a certificate that will not", &deliver("\"chain\""), bounced(verify, NoTls::Failed, true), "same"),
        (
            "a floor that nobody saw",
            &deliver("{ level = \"require\", min_version = \"1.3\" }"),
            bounced(verify, NoTls::Failed, true),
            "untold: what the session would have had was not kept",
        ),
        ("never", &deliver("\"none\""), bounced(require, NoTls::Failed, false), "go-out: TLS would not be tried"),
        (
            "the other end",
            &deliver("{ level = \"require\", on_expiry = \"bounce\" }"),
            deleted.clone(),
            "return: it is returned when it expires",
        ),
        ("the same end", &deliver("{ level = \"require\", on_expiry = \"delete\" }"), deleted, "same"),
        (
            "returned by the host",
            "",
            {
                let mut e = over(TlsVersion::Tls1_3);
                e.kind = EventKind::Bounced;
                e
            },
            "-",
        ),
    ]);
}

// req: F4
#[test]
fn receptions_and_refusals() {
    let v13 = Some(TlsVersion::Tls1_3);
    let receive = |hop: &str| partner(&format!("receive = {hop}"));
    let to = Some("bob@acme.example");
    let received = |tls| from_client(EventKind::Received, tls, to);
    let refused = |tls, to| from_client(EventKind::Refused, tls, to);
    let mut turned_away = refused(None, to);
    turned_away.decided = None;
    let mut stranger = received(v13);
    stranger.address = Some("203.0.113.1:4711".parse().unwrap());
    check(&[
        ("clear, nothing asked", "", received(None), "same"),
        ("clear, TLS asked", &receive("\"require\""), received(None), "refuse: the session was in clear"),
        ("TLS, TLS asked", &receive("\"require\""), received(v13), "same"),
        (
            "a certificate is asked for",
            &receive("{ level = \"verify\", names = \"out.bank.example\" }"),
            received(v13),
            "untold: the client's certificate is not kept",
        ),
        ("still refused", &receive("\"require\""), refused(None, to), "same"),
        ("accepted", &receive("\"opportunistic\""), refused(None, to), "accept: the session has what is asked"),
        ("refused at MAIL", &receive("\"require\""), refused(None, None), "same"),
    ]);
    assert_eq!(answer("", &refused(None, None)), "untold: the client was refused before it named the recipients");
    assert_eq!(answer("", &turned_away), "-", "for something else than TLS");
    assert_eq!(answer("", &stranger), "refuse: the client may not send mail there", "its recipient is hosted no longer");
    assert_eq!(answer("[[domain]]\nname = \"acme.example\"\n", &stranger), "same");
    let by_recipient = "[[domain]]\nname = \"acme.example\"\nreceive = \"require\"\n";
    let (config, policy) = (config(), Policy::parse("new.toml", by_recipient).unwrap());
    let judged = Replay::new(&config, &policy).event(&received(None)).unwrap();
    assert_eq!(judged.domain.map(|domain| domain.to_string()).as_deref(), Some("acme.example"), "who asks for it is named");
}

async fn entry(lifetime_hours: i64, deferral: Option<Deferral>) -> Arc<sealpost_queue::Entry> {
    let spool = MemorySpool::new();
    let recipient = Recipient::new(ForwardPath::from(mailbox("bob@bank.example")));
    let reception = Reception::from_client(
        UnixMillis(-lifetime_hours * 3_600_000),
        "192.0.2.7".parse().unwrap(),
        "client.example".into(),
        Some(TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1301), None, false)),
    );
    let mut group = sealpost_queue::Group::new(
        "mx:bank.example".parse::<sealpost_types::NextHop>().unwrap().destination(),
        vec![recipient],
        UnixMillis(0),
    );
    if let Some(deferral) = deferral {
        group = group.deferred(deferral);
    }
    let envelope = Envelope::new(ReversePath::from(mailbox("ann@shop.example")), Vec::new());
    let message = NewMessage::new(spool.next_id(), reception, envelope, vec![group]);
    let writer = spool.body_writer(None).unwrap();
    drop(spool.accept(message, writer).await.unwrap());
    let listed = spool.list(sealpost_queue::Filter::all().state(State::Deferred), 1).await.unwrap();
    Arc::clone(listed[0].entry.as_ref().unwrap())
}

// req: F4
#[tokio::test]
async fn mail_that_waits() {
    let (config, entry) = (config(), entry(24, Some(Deferral::tls(UnixMillis(0), "no STARTTLS"))).await);
    let judge = |current: &str, new: &str, last: Option<&Event>| {
        let (current, new) = (Policy::parse("old.toml", current).unwrap(), Policy::parse("new.toml", new).unwrap());
        shown(&Replay::new(&config, &new).waiting(&current, &entry, 0, last, UnixMillis(0)).unwrap())
    };
    let (require, verify) = (partner("deliver = \"require\""), partner("deliver = \"verify\""));
    let no_tls = held(EventKind::CheckTls, "TLSv1.2 or later", NoTls::NotOffered, false);
    let greylisted = in_clear();
    assert_eq!(judge(&require, &require, Some(&no_tls)), "same");
    assert_eq!(judge(&require, "", Some(&no_tls)), "go-out: it may go in clear @ system rule");
    assert_eq!(judge(&require, &verify, Some(&no_tls)), "same", "it waits on");
    assert_eq!(judge("", &require, Some(&greylisted)), format!("not-go-out: it went in clear{BANK}"));
    assert_eq!(judge("", &require, None), format!("untold: no host was reached yet{BANK}"));
    assert_eq!(judge(&require, "", None), "same", "less is asked, and that is not what it waits for");
    let shorter = "[defaults]\nlifetime = \"12h\"\n";
    assert_eq!(judge("", shorter, Some(&greylisted)), "expire: its lifetime is shorter @ [defaults] (new.toml:1)");
    assert_eq!(judge(shorter, shorter, Some(&greylisted)), "same", "its time is over as it is");
}

// req: F4
#[test]
fn a_tally_counts_groups_and_keeps_an_example() {
    let (config, policy) = (config(), Policy::parse("new.toml", &partner("deliver = \"require\"")).unwrap());
    let (replay, mut tally) = (Replay::new(&config, &policy), Tally::default());
    assert!(!tally.has_changes() && !tally.has_untold());
    for (event, id) in [(in_clear(), Some("Q1")), (over(TlsVersion::Tls1_3), Some("Q2")), (in_clear(), Some("Q3"))] {
        tally.add(&replay.event(&event).unwrap(), id);
    }
    assert!(tally.has_changes() && !tally.has_untold());
    tally.add(&replay.event(&delivered(proof(None, Some(NoTls::NotTried)))).unwrap(), None);
    assert!(tally.has_untold());
    let count = tally.count(Case::Delivery);
    assert_eq!((count.judged, count.changed.get(&Would::NotGoOut), count.changed.get(&Would::Untold)), (4, Some(&2), Some(&1)));
    assert_eq!(tally.count(Case::Reception), Count::default());
    let groups = tally.groups();
    assert_eq!(groups.len(), 2);
    let (group, counted) = groups[0];
    assert_eq!((group.domain.as_str(), group.why.as_str()), ("bank.example", "it went in clear"));
    assert_eq!(group.source, "partner \"Bank\" (new.toml:1)");
    assert_eq!((counted.count, counted.example.as_deref()), (2, Some("Q1")));
}

#[test]
fn a_tally_keeps_so_many_groups_and_counts_the_rest() {
    let mut tally = Tally::default();
    let change = Change { would: Would::NotGoOut, why: Why::InClear, source: None };
    for number in 0..GROUPS + 5 {
        let domain = Domain::parse(&format!("d{number}.example")).unwrap();
        tally.add(&Judged { case: Case::Delivery, domain: Some(domain), change: Some(change.clone()) }, None);
    }
    assert_eq!((tally.groups().len(), tally.ungrouped()), (GROUPS, 5));
    assert_eq!(tally.count(Case::Delivery).judged, u64::try_from(GROUPS + 5).unwrap());
}
