//! A policy that is replaced while the relay runs.

use std::path::Path;
use std::time::Duration;

use sealpost_queue::{EmbeddedSpool, Settings, Spool};
use sealpost_relay::policy_file::{ChangeOptions, PolicyFile, PolicyFileError, RowChange};
use sealpost_report::EventKind;

use crate::support::{Behaviour, Body, Client, House, Kind, Mx, Running, letter};

const FROM: &str = "ann@shop.example";
const TO: &str = "bob@bank.example";
const HOST: &str = "mx.bank.example";

fn bank_at(level: &str) -> String {
    format!("[[partner]]\ndomains = \"bank.example\"\ndeliver = \"{level}\"\n")
}

/// A relay that tries again after an hour, with one message that waits for TLS.
async fn waiting(bank: &Mx) -> Running {
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[bank]);
    let relay = house.policy(&bank_at("require")).start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("wake up")).await;
    relay.first(EventKind::Deferred, TO).await;
    relay
}

// req: E8
#[tokio::test]
async fn a_new_policy_wakes_what_waits() {
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = waiting(&bank).await;
    bank.change(Behaviour::secure(Kind::Right, HOST));
    relay.set_policy(&bank_at("chain"));
    assert!(bank.message().await.tls.is_some());
    assert_eq!(relay.first(EventKind::Delivered, TO).await.attempts, Some(2));
    relay.shutdown().await;
}

/// Mail is decided anew at each attempt: what is stricter now holds for what was accepted before.
// req: E8 B8
#[tokio::test]
async fn a_stricter_policy_reaches_mail_that_waits() {
    let bank = Mx::start(Behaviour::plain()).await;
    let relay = waiting(&bank).await;
    bank.change(Behaviour::secure(Kind::SelfSigned, HOST));
    relay.set_policy(&bank_at("verify"));
    let deferred = relay.wait(EventKind::Deferred, TO, 2).await.remove(1);
    assert_eq!(deferred.decided.as_ref().map(|decided| decided.level.as_str()), Some("verify"));
    assert_eq!(bank.count(), 0, "the certificate that was good enough before is not now");
    bank.change(Behaviour::secure(Kind::Right, HOST));
    relay.retry_all().await;
    bank.message().await;
    relay.shutdown().await;
}

/// A new policy holds for sessions that are open, from the next command on.
// req: E8 A5
#[tokio::test]
async fn a_new_policy_holds_for_open_sessions() {
    let relay = House::new().start().await;
    let mut client = Client::clear(relay.address).await;
    assert!(client.say("MAIL FROM:<bob@bank.example>").await.starts_with("250 "));
    assert!(client.say("RSET").await.starts_with("250 "));
    relay.set_policy("[[partner]]\ndomains = \"bank.example\"\nreceive = \"require\"\n");
    assert!(client.say("MAIL FROM:<bob@bank.example>").await.starts_with("530 5.7.0 "));
    drop(client);
    relay.shutdown().await;
}

/// The route is the policy's too: mail that waits goes where a new one says, and a silent destination is not waited for.
// req: E8
#[tokio::test]
async fn a_new_route_reaches_mail_that_waits() {
    let (down, bank) = (crate::support::free_address(), Mx::start(Behaviour::plain()).await);
    let routed = |address: std::net::SocketAddr| format!("[[domain]]\nname = \"bank.example\"\nroute = \"{address}\"\n");
    let relay = House::new().retry(Duration::from_secs(3600)).policy(&routed(down)).start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("moved")).await;
    relay.first(EventKind::Deferred, TO).await;
    relay.set_policy(&routed(bank.address));
    assert!(bank.message().await.text().contains("moved"));
    relay.shutdown().await;
}

/// An attempt that was under way when the policy changed, and fails: its mail is tried by the new one at once, not after the
/// whole wait.
// req: E8
#[tokio::test]
async fn a_new_policy_reaches_mail_that_is_under_way() {
    let bank = Mx::start(Behaviour::plain().with_body(Body::Held)).await;
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[&bank]);
    let relay = house.start().await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("under way")).await;
    bank.when("it is under way", |record| record.held == 1, |_| ()).await;
    relay.set_policy(&bank_at("require"));
    bank.change(Behaviour::plain().with_body(Body::Refused("451 4.3.0 later")));
    let deferred = relay.wait(EventKind::Deferred, TO, 2).await.remove(1);
    assert_eq!(deferred.decided.as_ref().map(|decided| decided.level.as_str()), Some("require"));
    bank.change(Behaviour::secure(Kind::Right, HOST));
    relay.retry_all().await;
    assert!(bank.message().await.tls.is_some());
    relay.shutdown().await;
}

/// Waits for TLS under `require`, in a relay that tries again after an hour; its policy stands in a file.
async fn waiting_by_file<S: Spool>(bank: &Mx, file: &Path, spool: S) -> Running {
    std::fs::write(file, bank_at("require")).unwrap();
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[bank]);
    let (policy_file, policy) = PolicyFile::open(file).unwrap();
    let relay = Running::start(house.build(spool).policy_file(policy_file, policy)).await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("held")).await;
    relay.first(EventKind::Deferred, TO).await;
    relay
}

fn applying_to_queue() -> ChangeOptions {
    let mut options = ChangeOptions::default();
    options.apply_to_queue = true;
    options
}

/// A slip of an administrator must not send in clear what was held back for want of TLS. The same step with
/// `apply_to_queue`, which makes the relay ignore what it noted, sends it: it is that note which held it.
// req: E8 A8
#[tokio::test]
async fn a_weaker_policy_does_not_let_go_what_waits_for_tls() {
    for weaker in ["none", "opportunistic"] {
        let folder = tempfile::tempdir().unwrap();
        let (bank, file) = (Mx::start(Behaviour::plain()).await, folder.path().join("policy.toml"));
        let spool = EmbeddedSpool::open(&folder.path().join("queue"), Settings::default()).unwrap();
        let relay = waiting_by_file(&bank, &file, spool).await;
        std::fs::write(&file, bank_at(weaker)).unwrap();
        assert!(relay.handle.control().reload(ChangeOptions::default()).await.unwrap().changed);
        let held = relay.wait(EventKind::Deferred, TO, 2).await.remove(1);
        let decided = held.decided.clone().unwrap();
        assert_eq!(decided.level, "require");
        assert!(decided.trace.starts_with(&format!("held by an earlier policy: require; by the policy of now {weaker}: ")), "{decided:?}");
        // Also the attempt after that, and new mail is not concerned.
        relay.retry_all().await;
        relay.wait(EventKind::Deferred, TO, 3).await;
        assert!(bank.saw_no_mail_in_clear());
        Client::secure(relay.address).await.send(FROM, &["eve@bank.example"], &letter("new")).await;
        relay.first(EventKind::Delivered, "eve@bank.example").await;

        relay.handle.control().reload(applying_to_queue()).await.unwrap();
        assert_eq!(relay.first(EventKind::Delivered, TO).await.decided.as_ref().unwrap().level, weaker);
        relay.shutdown().await;
    }
}

/// What is being tried at the moment of the release is let go as well.
// req: E8
#[tokio::test]
async fn a_release_reaches_what_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, file) = (Mx::start(Behaviour::plain()).await, folder.path().join("policy.toml"));
    let relay = waiting_by_file(&bank, &file, sealpost_queue::MemorySpool::new()).await;
    bank.change(Behaviour::secure(Kind::SelfSigned, HOST).with_body(Body::Held));
    relay.retry_all().await;
    bank.when("it is under way", |record| record.held == 1, |_| ()).await;
    std::fs::write(&file, bank_at("none")).unwrap();
    relay.handle.control().reload(applying_to_queue()).await.unwrap();
    bank.change(Behaviour::plain().with_body(Body::Refused("451 4.3.0 later")));
    relay.wait(EventKind::Deferred, TO, 2).await;
    bank.change(Behaviour::plain());
    relay.retry_all().await;
    assert_eq!(relay.first(EventKind::Delivered, TO).await.decided.as_ref().unwrap().level, "none");
    relay.shutdown().await;
}

/// A new version that cannot be in force leaves the old one there.
// req: E8
#[tokio::test]
async fn a_reload_that_is_wrong_or_takes_too_much_changes_nothing() {
    let partners = |count: usize| (0..count).map(|n| format!("[[partner]]\ndomains = \"p{n}.example\"\nreceive = \"require\"\n"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, partners(40).collect::<String>()).unwrap();
    let (policy_file, policy) = PolicyFile::open(&file).unwrap();
    let house = House::new();
    let relay = Running::start(house.build(sealpost_queue::MemorySpool::new()).policy_file(policy_file, policy)).await;
    let control = relay.handle.control();
    let (mut forced, mut dry) = (ChangeOptions::default(), ChangeOptions::default());
    (forced.force, dry.dry_run) = (true, true);

    std::fs::write(&file, "[[partner]]\ndomains = \"p0.example\"\nreceive = \"requrie\"\n").unwrap();
    for options in [ChangeOptions::default(), forced] {
        let error = control.reload(options).await.unwrap_err();
        assert!(error.to_string().contains("policy.toml:3:11: receive is \"requrie\""), "{error}");
    }
    std::fs::write(&file, partners(37).collect::<String>()).unwrap();
    let error = control.reload(ChangeOptions::default()).await.unwrap_err();
    assert!(matches!(error, PolicyFileError::Guarded { before: 40, .. }), "{error}");
    assert_eq!((control.policy().entries(), control.status().await.unwrap().policy_generation), (40, 0));
    dry.force = true;
    assert_eq!(control.reload(dry).await.unwrap().entries_after, 37);
    assert_eq!(control.policy().entries(), 40);
    control.reload(forced).await.unwrap();
    assert_eq!((control.policy().entries(), control.status().await.unwrap().policy_generation), (37, 1));
    // One entry in twenty, or a single one, is not too much.
    std::fs::write(&file, partners(36).collect::<String>()).unwrap();
    control.reload(ChangeOptions::default()).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(control.reload(forced).await.unwrap_err(), PolicyFileError::Unreadable { .. }));
    assert_eq!(control.policy().entries(), 36);
    relay.shutdown().await;
}

/// A row that goes lets nothing go that waits for TLS, as any other weakening does not; new mail to the domain is not concerned.
// req: A4 E8 A8
#[tokio::test]
async fn a_row_that_goes_does_not_let_go_what_waits_for_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, file) = (Mx::start(Behaviour::plain()).await, folder.path().join("policy.toml"));
    std::fs::write(folder.path().join("many.csv"), "domain,deliver\nbank.example,require\nshop.example,require\n").unwrap();
    std::fs::write(&file, "[[include]]\nfile = \"many.csv\"\n").unwrap();
    let house = House::new().retry(Duration::from_secs(3600)).route("bank.example", &[&bank]);
    let (policy_file, policy) = PolicyFile::open(&file).unwrap();
    let relay = Running::start(house.build(sealpost_queue::MemorySpool::new()).policy_file(policy_file, policy)).await;
    Client::secure(relay.address).await.send(FROM, &[TO], &letter("held")).await;
    relay.first(EventKind::Deferred, TO).await;
    let gone = |options| relay.handle.control().edit_row("many.csv".to_owned(), RowChange::Remove("bank.example".to_owned()), options);
    assert!(gone(ChangeOptions::default()).await.unwrap().changed);
    let held = relay.wait(EventKind::Deferred, TO, 2).await.remove(1);
    let decided = held.decided.clone().unwrap();
    assert!(decided.trace.starts_with("held by an earlier policy: require; by the policy of now opportunistic: "), "{decided:?}");
    assert!(bank.saw_no_mail_in_clear());
    let row = RowChange::Add(sealpost_policy::NewRow::Text("other.example,verify".to_owned()));
    relay.handle.control().edit_row("many.csv".to_owned(), row, applying_to_queue()).await.unwrap();
    assert_eq!(relay.first(EventKind::Delivered, TO).await.decided.as_ref().unwrap().level, "opportunistic");
    relay.shutdown().await;
}
