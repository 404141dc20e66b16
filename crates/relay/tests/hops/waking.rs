//! What waits is tried at once when something changes that concerns it; nothing else is, and no row is written for it.

use std::time::Duration;

use sealpost_queue::{Filter, MemorySpool, Spool as _};
use sealpost_relay::{QueueAction, QueueSelection};
use sealpost_report::EventKind;

use crate::support::{Behaviour, Client, House, Kind, Mx, Running, free_address, letter, waiting};

const FROM: &str = "ann@shop.example";
const HOUR: Duration = Duration::from_secs(3600);

/// Two banks, one message waiting for each for want of TLS, and what each is asked.
async fn two_banks(one: &str, two: &str) -> ([Mx; 2], Running, MemorySpool) {
    let banks = [Mx::start(Behaviour::plain()).await, Mx::start(Behaviour::plain()).await];
    let spool = MemorySpool::new();
    let house = House::new().retry(HOUR).route("one.example", &[&banks[0]]).route("two.example", &[&banks[1]]);
    let relay = house.policy(&asked(one, two)).start_with(spool.clone()).await;
    let mut client = Client::secure(relay.address).await;
    for to in ["bob@one.example", "bob@two.example"] {
        client.send(FROM, &[to], &letter("waits")).await;
    }
    waiting(&spool, 2).await;
    (banks, relay, spool)
}

fn asked(one: &str, two: &str) -> String {
    let of = |domain: &str, deliver: &str| format!("[[partner]]\ndomains = \"{domain}\"\ndeliver = {deliver}\n");
    of("one.example", one) + &of("two.example", two)
}

/// A policy wakes the destinations of mail of which it decides otherwise, by its demand or by its fate, and no other.
// req: A8 E8
#[tokio::test]
async fn a_policy_wakes_those_whose_decision_changed() {
    let (banks, relay, spool) = two_banks("\"require\"", "\"require\"").await;
    relay.set_policy(&asked("\"chain\"", "\"require\""));
    relay.wait(EventKind::Deferred, "bob@one.example", 2).await;
    waiting(&spool, 2).await;
    relay.set_policy(&asked("{ level = \"chain\", lifetime = \"9d\" }", "\"require\""));
    relay.wait(EventKind::Deferred, "bob@one.example", 3).await;
    waiting(&spool, 2).await;
    // Nothing that is decided: a comment, and a partner for whom nothing waits.
    let other = "# a comment\n".to_owned() + &asked("{ level = \"chain\", lifetime = \"9d\" }", "\"require\"");
    relay.set_policy(&(other + "[[partner]]\ndomains = \"other.example\"\ndeliver = \"verify\"\n"));
    // The negative control: it is the decision that wakes, of the other one too.
    relay.set_policy(&asked("{ level = \"chain\", lifetime = \"9d\" }", "\"chain\""));
    relay.wait(EventKind::Deferred, "bob@two.example", 2).await;
    waiting(&spool, 2).await;
    assert_eq!((relay.count(EventKind::Deferred), banks[0].record().sessions, banks[1].record().sessions), (5, 3, 2));
    relay.shutdown().await;
}

/// A destination that does not answer is not asked because of a policy that decides of it as before.
// req: A8
#[tokio::test]
async fn a_policy_does_not_end_a_silence_that_it_does_not_concern() {
    let (bank, spool) = (Mx::start(Behaviour::plain()).await, MemorySpool::new());
    let house = House::new().retry(HOUR).route("one.example", &[&bank]).route_to("two.example", &[free_address()]);
    let relay = house.policy(&asked("\"require\"", "\"require\"")).start_with(spool.clone()).await;
    let mut client = Client::secure(relay.address).await;
    for to in ["bob@one.example", "bob@two.example", "eve@two.example"] {
        client.send(FROM, &[to], &letter("waits")).await;
        relay.first(EventKind::Received, to).await;
    }
    waiting(&spool, 3).await;
    relay.set_policy(&asked("\"chain\"", "\"require\""));
    relay.wait(EventKind::Deferred, "bob@one.example", 2).await;
    waiting(&spool, 3).await;
    assert_eq!(relay.count(EventKind::Attempt), 1, "the dead one is not dialled again");
    // The negative control.
    relay.set_policy(&asked("\"chain\"", "\"chain\""));
    relay.when("another dial", |events| events.iter().filter(|event| event.kind == EventKind::Attempt).count() == 2).await;
    relay.shutdown().await;
}

/// A rule that looks at header sections of some mail wakes that and no other.
// req: A8 C1
#[tokio::test]
async fn a_policy_with_a_rule_on_headers_wakes_what_it_would_look_at() {
    let (banks, relay, spool) = two_banks("\"require\"", "\"require\"").await;
    let rule = "[[list]]\nname = \"two\"\nentries = \"two.example\"\n\
                [[rule]]\nname = \"secret\"\nwhen = { recipient = { matches = \"two\" }, header = { name = \"Subject\", matches = \"*secret*\" } }\n\
                then = { add_header = { X-TLSLevel = \"Require\" } }\n";
    relay.set_policy(&(asked("\"require\"", "\"require\"") + rule));
    relay.wait(EventKind::Deferred, "bob@two.example", 2).await;
    waiting(&spool, 2).await;
    assert_eq!((banks[0].record().sessions, banks[1].record().sessions), (1, 2));
    relay.shutdown().await;
}

/// What a rule makes of a header section is not known without reading it: all that waits is tried. The control of the one above.
// req: A8 C1
#[tokio::test]
async fn a_policy_with_rules_on_headers_wakes_all() {
    let (_banks, relay, spool) = two_banks("\"require\"", "\"require\"").await;
    let rule = "[[rule]]\nname = \"secret\"\nwhen = { header = { name = \"Subject\", matches = \"*secret*\" } }\n\
                then = { add_header = { X-TLSLevel = \"Require\" } }\n";
    relay.set_policy(&(asked("\"require\"", "\"require\"") + rule));
    for to in ["bob@one.example", "bob@two.example"] {
        relay.wait(EventKind::Deferred, to, 2).await;
    }
    waiting(&spool, 2).await;
    relay.shutdown().await;
}

/// All mail for one destination is tried, and no other.
// req: A8
#[tokio::test]
async fn one_destination_is_woken() {
    let (banks, relay, spool) = two_banks("\"require\"", "\"require\"").await;
    banks.iter().for_each(|bank| bank.change(Behaviour::secure(Kind::SelfSigned, "mx.example")));
    let listed = spool.list(Filter::all(), 10).await.unwrap();
    let of = |to: &str| listed.iter().find(|entry| entry.entry.as_ref().unwrap().envelope.recipients[0].path.to_string() == to).unwrap();
    let destination = of("bob@one.example").destination.clone();
    let selection = QueueSelection::Matching(Filter::all().destination(destination));
    let outcome = relay.handle.control().change_queue(selection, QueueAction::Retry).await.unwrap();
    assert_eq!(outcome.done, 1);
    banks[0].message().await;
    waiting(&spool, 1).await;
    assert_eq!(banks[1].record().sessions, 1);
    // The negative control.
    relay.retry_all().await;
    banks[1].message().await;
    relay.shutdown().await;
}
