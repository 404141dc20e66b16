//! A recorded history is judged page by page: all of it, once.

use std::sync::Arc;

use sealpost_policy::Policy;
use sealpost_relay::config::Config;
use sealpost_relay::replay::{Case, Replay, Tally, Would};
use sealpost_report::{Decided, Event, EventKind, Filter, History, HistoryReader, NoTls, Proof};
use sealpost_types::{CipherSuite, Domain, Hop, KexGroup, Mailbox, TlsFacts, TlsVersion, UnixMillis};

/// Messages in the history; each has a reception and an end.
const MESSAGES: u32 = 3000;
const PAGE: usize = 700;
const STRICT: &str = "[[partner]]\nname = \"Strict\"\ndomains = \"strict.example\"\ndeliver = \"require\"\n";

/// Every third message goes out over TLS, every third in clear, and every third is returned because it must not.
fn story(number: u32) -> [Event; 2] {
    // Several events share a moment.
    let at = UnixMillis(i64::from(number / 5));
    let (id, from) = (format!("Q{number}"), Mailbox::parse("ann@shop.example").unwrap());
    let domain = if number.is_multiple_of(2) { "strict.example" } else { "other.example" };
    let about = |kind, hop| {
        let mut event = Event::new(at, kind, hop)
            .of_message(id.clone(), from.clone().into())
            .for_recipient(Mailbox::parse(&format!("bob@{domain}")).unwrap().into());
        event.address = Some("192.0.2.7:4711".parse().unwrap());
        event.decided = Some(Arc::new(Decided::new("opportunistic", "system rule", "opportunistic: built-in default")));
        event
    };
    let facts = TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1301), Some(KexGroup(0x11ec)), false);
    let mut received = about(EventKind::Received, Hop::Receive);
    received.proof = Some(Arc::new(Proof::new(Some(facts), "TLS is offered", true)));
    let (kind, mut proof) = match number % 3 {
        0 => (EventKind::Delivered, Proof::new(Some(facts), "TLS if offered", true)),
        1 => (EventKind::Delivered, Proof::new(None, "TLS if offered", true)),
        _ => (EventKind::Bounced, Proof::new(None, "TLSv1.2 or later", false)),
    };
    proof.no_tls = proof.tls.is_none().then_some(NoTls::NotOffered);
    proof.host_secure = Some(false);
    let mut end = about(kind, Hop::Deliver);
    end.received_secure = Some(true);
    end.next_hop = Some(format!("mx:{domain}"));
    end.host = Some(format!("mx.{domain}"));
    end.proof = Some(Arc::new(proof));
    [received, end]
}

fn judge(reader: &mut HistoryReader, policy: &str) -> Tally {
    let mut config = Config::new(Domain::parse("relay.example").unwrap(), "/nowhere".into());
    config.rights.trusted_networks = vec!["192.0.2.0/24".parse().unwrap()];
    let policy = Policy::parse("new.toml", policy).unwrap();
    let (replay, mut tally) = (Replay::new(&config, &policy), Tally::default());
    let mut page = Filter::default();
    page.kinds = Replay::KINDS.to_vec();
    (page.limit, page.newest_first) = (PAGE, false);
    loop {
        let rows = reader.query(&page).unwrap();
        let Some(last) = rows.last() else { return tally };
        page.after = Some((last.event.at, last.id));
        for row in &rows {
            if let Some(judged) = replay.event(&row.event) {
                tally.add(&judged, row.event.queue_id.as_deref());
            }
        }
    }
}

// req: F4
#[tokio::test]
async fn a_recorded_history_is_judged_once_and_whole() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path()).unwrap();
    for number in 0..MESSAGES {
        history.record_durably(story(number).to_vec()).await.unwrap();
    }
    let mut reader = HistoryReader::open(directory.path()).unwrap();

    let third = u64::from(MESSAGES / 3);
    let tally = judge(&mut reader, STRICT);
    let judged = [Case::Delivery, Case::Failure, Case::Reception].map(|case| tally.count(case).judged);
    assert_eq!(judged, [2 * third, third, 2 * third + third]);
    let changed = |tally: &Tally, case, would| tally.count(case).changed.get(&would).copied().unwrap_or_default();
    assert_eq!(changed(&tally, Case::Delivery, Would::NotGoOut), third / 2, "half of what went in clear went there");
    assert_eq!(changed(&tally, Case::Failure, Would::GoOut), third / 2, "and half of what was returned did not");
    assert_eq!(tally.count(Case::Reception).changed.len(), 0);
    assert_eq!((tally.groups().len(), tally.has_untold()), (2, false));

    // The control: what was in force then, under which all of the returned mail had to have TLS.
    let tally = judge(&mut reader, "[defaults.external]\ndeliver = \"require\"\n");
    assert_eq!(changed(&tally, Case::Failure, Would::GoOut), 0);
    assert_eq!(changed(&tally, Case::Delivery, Would::NotGoOut), third);
}
