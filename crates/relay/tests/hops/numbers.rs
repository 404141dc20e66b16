//! What is counted, and whether mail can be taken: the same numbers wherever they are read.

use std::collections::BTreeSet;
use std::time::Duration;

use sealpost_discovery::ProbeError;
use sealpost_queue::MemorySpool;
use sealpost_relay::{MetricsFormat, RelayControl, SERIES, Users, users_line};
use sealpost_report::EventKind;
use tokio::time::{sleep, timeout};

use crate::support::{Behaviour, Client, House, Kind, Mx, PATIENCE, Running, StartTls, letter};

const FROM: &str = "ann@shop.example";

/// The sum of the samples of a series whose labels have this.
pub(crate) fn sum(page: &str, name: &str, with: &str) -> f64 {
    let of = |line: &str| {
        let (series, number) = line.rsplit_once(' ')?;
        let labels = series.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('{'))?;
        labels.contains(with).then(|| number.parse::<f64>().unwrap())
    };
    page.lines().filter_map(of).sum()
}

pub(crate) async fn page(relay: &Running) -> String {
    relay.handle.control().metrics(MetricsFormat::Text).await
}

/// Mail that is delivered, in clear and under TLS, that waits, and that is refused.
async fn busy() -> (Running, [Mx; 2]) {
    let servers = [Mx::start(Behaviour::plain()).await, Mx::start(Behaviour::plain().with_start_tls(StartTls::Broken)).await];
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[&servers[0]]).route("shop.example", &[&servers[1]]);
    let house = house.partner("shop.example", "\"require\"").partner("strict.example", "\"require\"");
    let relay = house.start().await;
    let mut client = Client::secure(relay.address).await;
    client.send(FROM, &["bob@bank.example"], &letter("one")).await;
    client.send(FROM, &["cat@shop.example"], &letter("two")).await;
    relay.wait(EventKind::Deferred, "cat@shop.example", 1).await;
    relay.wait(EventKind::Delivered, "bob@bank.example", 1).await;
    assert!(client.say("MAIL FROM:<ann@shop.example>").await.starts_with("250"));
    assert!(client.say("RCPT TO:<a%b@bank.example>").await.starts_with("550"));
    (relay, servers)
}

// req: E9
#[tokio::test]
async fn the_metrics_are_what_the_relay_says_of_itself() {
    let (relay, _servers) = busy().await;
    let (page, stats) = (page(&relay).await, relay.handle.stats());
    assert_eq!((stats.accepted, stats.refused, stats.delivered, stats.deferred, stats.tls_failures), (2, 1, 1, 1, 1));
    let outcome = |word: &str| sum(&page, "sealpost_delivery_outcomes_total", &format!("outcome=\"{word}\"")) as u64;
    assert_eq!(sum(&page, "sealpost_received_messages_total", "") as u64, stats.accepted);
    assert_eq!(sum(&page, "sealpost_refusals_total", "") as u64, stats.refused);
    assert_eq!((outcome("delivered"), outcome("deferred"), outcome("bounced")), (stats.delivered, stats.deferred, stats.bounced));
    assert_eq!(sum(&page, "sealpost_host_failures_total", "reason=\"tls-failed\"") as u64, stats.tls_failures);
    assert_eq!(sum(&page, "sealpost_delivery_outcomes_total", "level=\"require\",outcome=\"deferred\",reason=\"tls-failed\""), 1.0);
    assert_eq!(sum(&page, "sealpost_tls_handshake_failures_total", "hop=\"deliver\""), 1.0);
    assert_eq!(sum(&page, "sealpost_tls_downgrades_total", "hop=\"deliver\",reason=\"not-offered\""), 1.0);
    assert_eq!(sum(&page, "sealpost_tls_downgrades_total", ""), 1.0);

    let status = relay.handle.control().status().await.unwrap();
    let state = |word: &str| sum(&page, "sealpost_queue_entries", &format!("state=\"{word}\"")) as u64;
    assert_eq!((state("due"), state("later")), (status.due, status.queue.deferred - status.due));
    assert_eq!((state("due"), state("later"), status.queue.deferred), (0, 1, 1));
    relay.shutdown().await;
}

/// Every series that is described is given, none is given that is not, and labels are those that are described.
// req: E9
#[tokio::test]
async fn what_is_given_is_what_is_described() {
    let (relay, _servers) = busy().await;
    let page = page(&relay).await;
    let given: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(given, SERIES.iter().map(|series| series.name).collect());
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').unwrap_or_else(|| (line.split(' ').next().unwrap(), ""));
        let series = SERIES.iter().find(|series| {
            let rest = name.strip_prefix(series.name);
            rest.is_some_and(|rest| {
                rest.is_empty() || (series.kind.as_str() == "histogram" && ["_bucket", "_sum", "_count"].contains(&rest))
            })
        });
        let series = series.unwrap_or_else(|| panic!("{line}"));
        let names: Vec<_> =
            labels.split("\",").filter_map(|label| label.split("=\"").next().filter(|name| !name.starts_with('}'))).collect();
        let names: Vec<_> = names.into_iter().filter(|name| !name.is_empty() && *name != "le").collect();
        assert_eq!(names, series.labels, "{line}");
    }
    relay.shutdown().await;
}

/// Names, addresses and texts of mail are nowhere in it.
#[tokio::test]
async fn nothing_that_comes_from_outside_is_a_label() {
    let (relay, servers) = busy().await;
    let (before, size) = (page(&relay).await, |page: &str| page.lines().count());
    let mut client = Client::secure(relay.address).await;
    for number in 0..50 {
        client.send(&format!("ann{number}@shop{number}.example"), &[&format!("bob{number}@bank.example")], &letter("more")).await;
    }
    servers[0].messages(51).await;
    let after = page(&relay).await;
    assert!(size(&after) <= size(&before) + 3, "{after}");
    for word in ["ann", "bob", "bank.example", "shop", "127.0.0.1"] {
        assert!(!after.contains(word), "{word}\n{after}");
    }
    relay.shutdown().await;
}

/// One message at this level to a server of this kind, over TLS or in clear; what is counted then.
async fn delivered(server: Behaviour, level: &str, client_tls: bool) -> String {
    let server = Mx::start(server).await;
    let relay = House::new().route("bank.example", &[&server]).partner("bank.example", level).start().await;
    let mut client = if client_tls { Client::secure(relay.address).await } else { Client::clear(relay.address).await };
    client.send(FROM, &["bob@bank.example"], &letter("one")).await;
    relay.wait(EventKind::Delivered, "bob@bank.example", 1).await;
    let page = page(&relay).await;
    relay.shutdown().await;
    page
}

/// Clear text that the policy wants is no downgrade.
// req: E9
#[tokio::test]
async fn clear_text_counts_as_a_downgrade_where_tls_would_have_been_used() {
    let broken = || Behaviour::plain().with_start_tls(StartTls::Broken);
    let secure = || Behaviour::secure(Kind::Right, "mx.bank.example");
    for (server, level, client_tls, deliver, receive) in [
        (Behaviour::plain(), "\"opportunistic\"", true, Some("not-offered"), false),
        (broken(), "\"opportunistic\"", true, Some("failed"), false),
        (secure(), "\"opportunistic\"", true, None, false),
        (secure(), "\"opportunistic\"", false, None, true),
        (secure(), "\"none\"", true, None, false),
        (secure(), "\"mirror\"", false, None, true),
    ] {
        let page = delivered(server, level, client_tls).await;
        let counted = |labels: String| sum(&page, "sealpost_tls_downgrades_total", &labels);
        for reason in ["not-offered", "failed", "not-tried", "below-floor"] {
            let expected = if deliver == Some(reason) { 1.0 } else { 0.0 };
            assert_eq!(counted(format!("hop=\"deliver\",reason=\"{reason}\"")), expected, "{level} {reason}");
        }
        assert_eq!(counted("hop=\"receive\"".to_owned()), f64::from(u8::from(receive)), "{level}");
    }
}

/// Demanded or not: what is wrong with a certificate is counted.
// req: E9 F2
#[tokio::test]
async fn verdicts_are_counted_whatever_is_demanded() {
    for (kind, verdict) in [(Kind::Right, "valid"), (Kind::SelfSigned, "self-signed"), (Kind::Expired, "expired")] {
        let page = delivered(Behaviour::secure(kind, "mx.bank.example"), "\"opportunistic\"", true).await;
        assert_eq!(sum(&page, "sealpost_tls_verdicts_total", &format!("hop=\"deliver\",verdict=\"{verdict}\"")), 1.0, "{verdict}\n{page}");
        assert_eq!(sum(&page, "sealpost_tls_verdicts_total", ""), 1.0);
        for hop in ["receive", "deliver"] {
            assert_eq!(sum(&page, "sealpost_tls_handshakes_total", &format!("hop=\"{hop}\",version=\"TLSv1.3\"")), 1.0, "{page}");
        }
    }
}

/// A dead host, and one without the TLS that is asked for: each is counted while it is left alone, and no longer.
// req: E9
#[tokio::test]
async fn what_is_left_alone_is_counted() {
    let plain = Mx::start(Behaviour::plain()).await;
    let dead = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[&plain]).route_to("dead.example", &[dead]);
    let relay = house.partner("bank.example", "\"require\"").start().await;
    let counted = async |what: &str| sum(&page(&relay).await, "sealpost_left_alone", &format!("what=\"{what}\"")) as u64;
    assert_eq!((counted("destination").await, counted("address").await, counted("tls").await), (0, 0, 0));
    let mut client = Client::secure(relay.address).await;
    for to in ["bob@bank.example", "eve@dead.example"] {
        client.send(FROM, &[to], &letter("one")).await;
        relay.first(EventKind::Deferred, to).await;
    }
    assert_eq!((counted("destination").await, counted("address").await, counted("tls").await), (1, 1, 1));
    // Of neither it decides otherwise: no attempt finds out anew meanwhile.
    relay.set_policy("[[partner]]\ndomains = \"bank.example\"\ndeliver = \"require\"\n");
    assert_eq!((counted("address").await, counted("tls").await), (0, 0), "a new policy has hosts tried again");
    relay.shutdown().await;
}

#[tokio::test]
async fn logins_are_counted() {
    let users = Users::parse("users", &users_line("ann", b"hunter2").unwrap()).unwrap();
    let relay = Running::start(House::new().build(MemorySpool::new()).users(users)).await;
    let mut client = Client::secure(relay.address).await;
    assert!(client.say("AUTH PLAIN AGFubgBodW50ZXIz").await.starts_with("535"));
    assert!(client.say("AUTH PLAIN AGFubgBodW50ZXIy").await.starts_with("235"));
    let page = page(&relay).await;
    for (result, count) in [("accepted", 1.0), ("refused", 1.0), ("unavailable", 0.0)] {
        assert_eq!(sum(&page, "sealpost_logins_total", &format!("result=\"{result}\"")), count, "{result}");
    }
    relay.shutdown().await;
}

async fn is_met(control: &RelayControl, check: &str) -> Option<bool> {
    control.readiness().await.checks.iter().find(|found| found.name == check).map(|found| found.is_met)
}

async fn wait_for(control: &RelayControl, check: &str, met: bool) {
    let waiting = async {
        while is_met(control, check).await != Some(met) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{check} is never {met}"));
}

// req: E9
#[tokio::test]
async fn a_relay_is_ready_while_it_greets_clients() {
    let ready = House::new().build(MemorySpool::new()).ready().await.unwrap();
    let control = ready.control().clone();
    assert_eq!(is_met(&control, "listeners").await, Some(false), "the addresses are open, and nobody is greeted");
    assert!(!control.readiness().await.is_ready());
    let handle = ready.begin().unwrap();
    wait_for(&control, "resolver", true).await;
    assert!(control.readiness().await.is_ready(), "{:?}", control.readiness().await);
    assert_eq!(is_met(&control, "disk").await, None, "a queue in memory is on no disk");
    handle.shutdown(PATIENCE).await;
    assert_eq!((is_met(&control, "listeners").await, is_met(&control, "store").await), (Some(false), Some(false)));
}

/// The probe runs beside: whoever asks often makes nobody ask the name servers.
#[tokio::test]
async fn name_servers_that_fall_silent_make_a_relay_unready() {
    let house = House::new();
    let dns = house.dns.clone();
    dns.set_silence(Some(ProbeError::Silent { waited: Duration::from_secs(5) }));
    let relay = house.start().await;
    let control = relay.handle.control();
    sleep(Duration::from_millis(300)).await;
    let found = control.readiness().await;
    let check = found.checks.iter().find(|check| check.name == "resolver").unwrap();
    assert!(!check.is_met && check.found.contains("no name server answered within 5 s") && check.remedy.is_some(), "{check:?}");
    dns.set_silence(None);
    assert_eq!(is_met(control, "resolver").await, Some(false), "it was not asked again for that");
    wait_for(control, "resolver", true).await;
    relay.shutdown().await;
}
