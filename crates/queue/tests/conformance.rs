//! What every engine of the queue does, tested without knowing which one it is.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sealpost_queue::{
    AcceptError, BodyReadError, Change, Changed, Deferral, EmbeddedSpool, FOLLOW_UP_OCTETS, Filter, FollowUp, FollowUpError, Health, Hold,
    MemorySpool, QueueId, Selector, Settings, Settlement, Spool, SpoolError, State,
};
use sealpost_types::{Blame, CipherSet, Clause, Demand, KexFloor, Level, NameMatch, NameRule, Octets, Retry, TlsRequirement, TlsVersion};
use support::{accept, accept_deferred, at, body, content, destination, eventually, message};

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::MemorySpool::new()).await;
            })*
        }
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                super::$name(super::EmbeddedSpool::open(directory.path(), super::Settings::default()).unwrap()).await;
            })*
        }
    };
}

conformance!(
    accepted_mail_is_handed_out_at_once,
    one_entry_for_each_destination,
    served_recipients_leave_and_others_wait,
    only_attempts_are_counted,
    due_entries_come_in_order_and_once,
    a_destination_can_be_left_alone,
    what_must_be_looked_at_is_never_left_alone,
    what_must_be_looked_at_keeps_nobody_waiting,
    a_lease_that_is_dropped_comes_back_later,
    a_lease_that_is_released_comes_back_at_once,
    a_known_dead_destination_is_not_tried,
    an_outcome_may_be_recorded_soon,
    a_follow_up_is_accepted_with_the_outcome,
    a_follow_up_that_cannot_be_costs_no_outcome,
    outbox_rows_stay_until_they_are_done,
    waiting_mail_can_be_woken,
    holds_are_kept_and_released,
    waiters_are_told,
    an_operator_can_look,
    damaged_mail_is_set_aside,
    an_operator_holds_releases_and_deletes,
    a_recipient_waits_to_be_let_go,
    entries_are_found_by_what_they_are,
    mistakes_are_named,
    bodies_come_back_as_they_were,
    a_writer_that_is_dropped_leaves_nothing,
    ids_are_unique_and_rise,
    a_closed_queue_takes_nothing,
);

async fn accepted_mail_is_handed_out_at_once<S: Spool>(queue: S) {
    let leases = accept(&queue, at(0), &["b@one.example"], b"hello").await.unwrap();
    let [lease] = &leases[..] else { panic!("{leases:?}") };
    let entry = lease.entry();
    assert_eq!((entry.id, entry.message), (lease.id(), lease.id()));
    assert_eq!(entry.destination, destination("one.example"));
    assert_eq!(entry.envelope.reverse_path.to_string(), "sender@hosted.example");
    assert_eq!(entry.envelope.recipients, [support::recipient("b@one.example")]);
    assert_eq!((entry.attempts, entry.size, entry.expires), (0, Octets(5), at(0).after(support::WEEK)));
    assert_eq!((entry.deferrals.as_slice(), entry.reception.at), (&[None][..], at(0)));
    assert_eq!(lease.body().as_slice(), Some(&b"hello"[..]));
    // Nobody else gets it.
    assert!(queue.lease_due(at(1_000_000), 10, &[]).await.unwrap().is_empty());
    assert_eq!(queue.next_due().await, Ok(None));
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.fresh, stats.deferred, stats.leased, stats.size, stats.oldest), (1, 0, 1, Octets(5), Some(at(0))));
    for lease in leases {
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
    assert_eq!(queue.stats().await.unwrap(), sealpost_queue::Stats::default());
}

async fn one_entry_for_each_destination<S: Spool>(queue: S) {
    let to = ["a@one.example", "b@two.example", "c@one.example", "d@three.example"];
    for size in [10, 100_000] {
        let content = content(1, size);
        let mut leases = accept(&queue, at(0), &to, &content).await.unwrap();
        let shown: Vec<_> = leases.iter().map(|l| (l.entry().destination.to_string(), l.entry().envelope.recipients.len())).collect();
        assert_eq!(shown, [("mx:one.example".into(), 2), ("mx:two.example".into(), 1), ("mx:three.example".into(), 1)]);
        let message = leases[0].id();
        assert!(leases.iter().all(|lease| lease.entry().message == message));
        assert_eq!(leases.iter().map(|lease| lease.id()).collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(queue.list(Filter::all().message(message), 10).await.unwrap().len(), 3);
        // Each is settled for itself; the body stays until the last one is.
        queue.settle(leases.remove(0), Settlement::finished()).await.unwrap();
        let wait = Settlement::deferred(leases[1].entry(), &Deferral::new(at(10), "later"));
        queue.settle(leases.remove(1), wait).await.unwrap();
        assert_eq!(leases[0].body().to_vec().await.unwrap(), content);
        queue.settle(leases.remove(0), Settlement::finished()).await.unwrap();
        let mut again = queue.lease_due(at(10), 10, &[]).await.unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].entry().message, message);
        assert_eq!(again[0].body().to_vec().await.unwrap(), content);
        queue.settle(again.remove(0), Settlement::finished()).await.unwrap();
        assert_eq!(queue.stats().await.unwrap().deferred, 0);
    }
}

async fn served_recipients_leave_and_others_wait<S: Spool>(queue: S) {
    let mut leases = accept(&queue, at(0), &["a@one.example", "b@one.example", "c@one.example"], b"x").await.unwrap();
    let slow = Deferral::tls(at(60_000), "the certificate is not trusted");
    let fast = Deferral::new(at(5_000), "451 greylisted");
    let settlement = Settlement::finished().remain(2, slow.clone()).remain(0, fast.clone());
    queue.settle(leases.remove(0), settlement).await.unwrap();
    assert_eq!(queue.next_due().await, Ok(Some(at(5_000))));
    let shown = queue.list(Filter::all(), 10).await.unwrap().remove(0);
    assert_eq!((shown.state, shown.due, shown.reason.as_deref()), (State::Deferred, Some(at(5_000)), Some("451 greylisted")));
    let mut leases = queue.lease_due(at(5_000), 10, &[]).await.unwrap();
    let entry = leases[0].entry().clone();
    assert_eq!(entry.envelope.recipients, [support::recipient("a@one.example"), support::recipient("c@one.example")]);
    assert_eq!(entry.deferrals, [Some(fast), Some(slow)]);
    assert_eq!(entry.attempts, 1);
    // Only the first is due; when nobody is, the entry was woken, and all are.
    assert_eq!((entry.due_recipients(at(5_000)), entry.due_recipients(at(4_000))), (vec![0], vec![0, 1]));
    let wait = Settlement::deferred(&entry, &Deferral::new(at(90_000), "again"));
    queue.settle(leases.remove(0), wait).await.unwrap();
    let mut leases = queue.lease_due(at(90_000), 10, &[]).await.unwrap();
    assert_eq!((leases[0].entry().attempts, leases[0].entry().envelope.recipients.len()), (2, 2));
    queue.settle(leases.remove(0), Settlement::finished()).await.unwrap();
    assert_eq!(queue.next_due().await, Ok(None));
}

async fn only_attempts_are_counted<S: Spool>(queue: S) {
    let mut lease = accept(&queue, at(0), &["a@one.example", "b@one.example"], b"x").await.unwrap().remove(0);
    // (an attempt was made, attempts counted afterwards)
    for (step, (attempted, counted)) in [(false, 0), (true, 1), (false, 1), (true, 2)].into_iter().enumerate() {
        let due = at(10 * (1 + step as i64));
        let mut wait = Settlement::deferred(lease.entry(), &Deferral::new(due, "the host does not answer"));
        if !attempted {
            wait = wait.without_attempt();
        }
        queue.settle(lease, wait).await.unwrap();
        lease = queue.lease_due(due, 1, &[]).await.unwrap().remove(0);
        assert_eq!((lease.entry().attempts, lease.entry().envelope.recipients.len()), (counted, 2), "step {step}");
    }
}

async fn due_entries_come_in_order_and_once<S: Spool>(queue: S) {
    for millis in [500, 100, 300, 200, 400] {
        accept_deferred(&queue, at(0), &["a@one.example"], at(millis)).await;
    }
    let due = |leases: &[sealpost_queue::Lease]| -> Vec<_> {
        leases.iter().map(|l| l.entry().deferrals[0].as_ref().unwrap().due.0 - at(0).0).collect()
    };
    assert!(queue.lease_due(at(99), 10, &[]).await.unwrap().is_empty());
    assert!(queue.lease_due(at(999), 0, &[]).await.unwrap().is_empty());
    let first = queue.lease_due(at(400), 3, &[]).await.unwrap();
    assert_eq!(due(&first), [100, 200, 300]);
    assert_eq!(queue.next_due().await, Ok(Some(at(400))));
    let second = queue.lease_due(at(400), 3, &[]).await.unwrap();
    assert_eq!(due(&second), [400]);
    assert_eq!(queue.next_due().await, Ok(Some(at(500))));
    assert!(queue.lease_due(at(400), 3, &[]).await.unwrap().is_empty());
    assert_eq!(queue.stats().await.unwrap().leased, 4);
    // Many at once: no two get the same.
    for lease in first.into_iter().chain(second) {
        lease.release();
    }
    eventually(|| async { queue.stats().await.unwrap().leased == 0 }).await;
    let look = || queue.lease_due(at(999), 2, &[]);
    let looks: [_; 5] = tokio::join!(look(), look(), look(), look(), look()).into();
    let mut seen = BTreeSet::new();
    for lease in looks.into_iter().flat_map(Result::unwrap) {
        assert!(seen.insert(lease.id()));
        std::mem::forget(lease);
    }
    assert_eq!(seen.len(), 5);
}

async fn a_destination_can_be_left_alone<S: Spool>(queue: S) {
    for (millis, to) in ["a@slow.example", "a@one.example", "b@slow.example", "a@two.example", "b@one.example"].into_iter().enumerate() {
        accept_deferred(&queue, at(0), &[to], at(millis as i64)).await;
    }
    let to = |leases: &[sealpost_queue::Lease]| -> Vec<_> {
        leases.iter().map(|lease| lease.entry().envelope.recipients[0].path.to_string()).collect()
    };
    let [slow, one, two, other] = ["slow", "one", "two", "other"].map(|name| destination(&format!("{name}.example")));
    let all = [slow.clone(), one.clone(), two, other.clone()];
    assert!(queue.lease_due(at(9), 9, &all).await.unwrap().is_empty());
    let first = queue.lease_due(at(9), 2, &[slow.clone(), other]).await.unwrap();
    assert_eq!(to(&first), ["a@one.example", "a@two.example"]);
    assert!(queue.lease_due(at(9), 9, &[slow, one.clone()]).await.unwrap().is_empty());
    // What was left alone is still there, and due.
    assert_eq!(queue.next_due().await, Ok(Some(at(0))));
    assert_eq!(to(&queue.lease_due(at(9), 9, &[one]).await.unwrap()), ["a@slow.example", "b@slow.example"]);
    assert_eq!(to(&queue.lease_due(at(9), 9, &[]).await.unwrap()), ["b@one.example"]);
}

/// A destination is left alone; what expires there is handed out all the same, once, and first.
async fn what_must_be_looked_at_is_never_left_alone<S: Spool>(queue: S) {
    let dead = [destination("dead.example")];
    for latest in [None, Some(at(100)), Some(at(50))] {
        let body = body(&queue, b"x").await;
        let mut message = message(queue.next_id(), at(0), &["a@dead.example"]);
        message.groups[0] = message.groups[0].clone().deferred(Deferral::new(at(10), "no answer"));
        message.groups[0].latest = latest;
        queue.accept(message, body).await.unwrap();
    }
    let live = accept_deferred(&queue, at(0), &["a@live.example"], at(20)).await;
    assert_eq!(
        (queue.next_due().await, queue.due_after(at(10)).await, queue.due_after(at(20)).await),
        (Ok(Some(at(10))), Ok(Some(at(20))), Ok(Some(at(50))))
    );
    assert_eq!(queue.due_after(at(100)).await, Ok(None));
    let ids = |leases: &[sealpost_queue::Lease]| leases.iter().map(|lease| lease.id()).collect::<Vec<_>>();
    let listed: Vec<_> = queue.list(Filter::all().destination(dead[0].clone()), 9).await.unwrap().iter().map(|listed| listed.id).collect();
    assert_eq!(ids(&queue.lease_due(at(40), 10, &dead).await.unwrap()), [live]);
    eventually(|| async { queue.stats().await.unwrap().leased == 0 }).await;
    let mut leases = queue.lease_due(at(200), 2, &dead).await.unwrap();
    assert_eq!(ids(&leases), [listed[2], listed[1]], "those that are overdue, and the live one is abandoned until later");
    assert!(queue.lease_due(at(200), 10, &dead).await.unwrap().is_empty());
    let mut later = Settlement::deferred(leases[0].entry(), &Deferral::new(at(10), "no answer"));
    later.latest = Some(at(300));
    queue.settle(leases.remove(0), later).await.unwrap();
    assert!(queue.lease_due(at(299), 10, &dead).await.unwrap().is_empty());
    assert_eq!(ids(&queue.lease_due(at(300), 10, &dead).await.unwrap()), [listed[2]]);
}

/// What must be looked at is handed out again and again while nobody can take it.
async fn what_must_be_looked_at_keeps_nobody_waiting<S: Spool>(queue: S) {
    let dead = [destination("dead.example")];
    for _ in 0..3 {
        let body = body(&queue, b"x").await;
        let mut message = message(queue.next_id(), at(0), &["a@dead.example"]);
        message.groups[0] = message.groups[0].clone().deferred(Deferral::new(at(10), "no answer"));
        message.groups[0].latest = Some(at(50));
        queue.accept(message, body).await.unwrap();
    }
    let live = accept_deferred(&queue, at(0), &["a@live.example"], at(20)).await;
    let leases = queue.lease_due(at(200), 2, &dead).await.unwrap();
    assert_eq!((leases.len(), leases[1].id()), (2, live));
    assert_eq!(queue.lease_due(at(200), 2, &dead).await.unwrap().len(), 2, "with nobody else they have all of the room");
}

async fn a_lease_that_is_dropped_comes_back_later<S: Spool>(queue: S) {
    let mut wake = queue.wake();
    let leases = accept(&queue, at(0), &["a@one.example"], b"dropped").await.unwrap();
    let id = leases[0].id();
    drop(leases);
    wake.changed().await;
    let shown = queue.show(id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.leased), (State::Deferred, false));
    // Not at once: what killed the task may kill the next one too.
    let due = queue.next_due().await.unwrap().unwrap();
    assert_eq!(due, at(0).after(Duration::from_secs(60)));
    assert!(queue.lease_due(at(0), 10, &[]).await.unwrap().is_empty());
    let leases = queue.lease_due(due, 10, &[]).await.unwrap();
    assert_eq!((leases[0].id(), leases[0].body().to_vec().await.unwrap()), (id, b"dropped".to_vec()));
    // And once more, now that it was a deferred one.
    wake = queue.wake();
    drop(leases);
    wake.changed().await;
    assert_eq!(queue.next_due().await, Ok(Some(due.after(Duration::from_secs(60)))));
    // A task that panics drops its lease too.
    let lease = queue.lease_due(at(1_000_000_000), 10, &[]).await.unwrap().remove(0);
    wake = queue.wake();
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _lease = lease;
        std::panic::resume_unwind(Box::new("a task that dies"));
    }));
    assert!(died.is_err());
    wake.changed().await;
    assert_eq!(queue.stats().await.unwrap().leased, 0);
}

async fn a_lease_that_is_released_comes_back_at_once<S: Spool>(queue: S) {
    let mut wake = queue.wake();
    let lease = accept(&queue, at(5), &["a@one.example"], b"released").await.unwrap().remove(0);
    let id = lease.id();
    lease.release();
    wake.changed().await;
    let lease = queue.lease_due(at(5), 10, &[]).await.unwrap().remove(0);
    assert_eq!((lease.id(), lease.entry().attempts), (id, 0));
    let mut wake = queue.wake();
    lease.release();
    wake.changed().await;
    assert_eq!(queue.next_due().await, Ok(Some(at(5))));
}

async fn a_known_dead_destination_is_not_tried<S: Spool>(queue: S) {
    let mut wake = queue.wake();
    let mut message = message(queue.next_id(), at(0), &["a@dead.example", "b@live.example"]);
    message.groups[0] = message.groups[0].clone().deferred(Deferral::new(at(300), "connection refused"));
    let body = body(&queue, b"both").await;
    let leases = queue.accept(message, body).await.unwrap();
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].entry().destination, destination("live.example"));
    wake.changed().await;
    assert_eq!(queue.next_due().await, Ok(Some(at(300))));
    let due = queue.lease_due(at(300), 10, &[]).await.unwrap();
    assert_eq!(due[0].entry().destination, destination("dead.example"));
    assert_eq!(due[0].body().to_vec().await.unwrap(), b"both");
    assert_eq!(due[0].entry().attempts, 0);
}

async fn an_outcome_may_be_recorded_soon<S: Spool>(queue: S) {
    let mut leases = Vec::new();
    for _ in 0..5 {
        leases.extend(accept(&queue, at(0), &["a@one.example"], b"soon").await.unwrap());
    }
    let last = leases.pop().unwrap();
    for lease in leases {
        queue.settle_soon(lease, Settlement::finished()).unwrap();
    }
    let wait = Settlement::deferred(last.entry(), &Deferral::new(at(7), "later"));
    queue.settle_soon(last, wait).unwrap();
    eventually(|| async { queue.next_due().await == Ok(Some(at(7))) }).await;
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.fresh, stats.deferred, stats.leased), (0, 1, 0));
}

async fn a_follow_up_is_accepted_with_the_outcome<S: Spool>(queue: S) {
    let lease = accept(&queue, at(0), &["a@one.example"], b"will bounce").await.unwrap().remove(0);
    let notice = message(queue.next_id(), at(9), &["sender@hosted.example"]);
    let notice_id = notice.id;
    let mut wake = queue.wake();
    let settlement = Settlement::finished().record(b"bounced".to_vec()).follow_up(FollowUp::new(notice, b"your message".to_vec()).unwrap());
    queue.settle(lease, settlement).await.unwrap();
    wake.changed().await;
    let leases = queue.lease_due(at(9), 10, &[]).await.unwrap();
    assert_eq!((leases.len(), leases[0].id()), (1, notice_id));
    assert_eq!(leases[0].entry().destination, destination("hosted.example"));
    assert_eq!(leases[0].body().to_vec().await.unwrap(), b"your message");
    assert_eq!(queue.outbox(10).await.unwrap()[0].row, b"bounced");
}

async fn a_follow_up_that_cannot_be_costs_no_outcome<S: Spool>(queue: S) {
    let lease = accept(&queue, at(0), &["served@one.example", "refused@one.example"], b"x").await.unwrap().remove(0);
    let settlement = Settlement::finished().record(b"one served, one refused".to_vec());
    // Whoever settles learns before that the notification is too long ...
    let notice = || message(queue.next_id(), at(0), &["sender@hosted.example"]);
    let longest = usize::try_from(FOLLOW_UP_OCTETS.0).unwrap();
    let error = FollowUp::new(notice(), vec![0; longest + 1]).unwrap_err();
    assert_eq!(error, FollowUpError::TooLong { found: Octets(longest as u64 + 1), limit: FOLLOW_UP_OCTETS });
    assert_eq!((error.blame(), error.retry()), (Blame::Caller, Retry::Never));
    let mut nobody = notice();
    nobody.groups[0].recipients.clear();
    assert_eq!(FollowUp::new(nobody, vec![]), Err(FollowUpError::NoRecipients));
    // ... and sends a shorter one: nobody is served twice.
    let shorter = FollowUp::new(notice(), content(1, longest)).unwrap();
    let id = shorter.message().id;
    assert_eq!(shorter.body().len(), longest);
    queue.settle(lease, settlement.follow_up(shorter)).await.unwrap();
    let left = queue.lease_due(at(1_000_000_000), 10, &[]).await.unwrap();
    assert_eq!(left.iter().map(|lease| lease.id()).collect::<Vec<_>>(), [id]);
    assert!(left[0].body().to_vec().await.unwrap() == content(1, longest));
    assert_eq!(queue.outbox(10).await.unwrap().len(), 1);
}

async fn outbox_rows_stay_until_they_are_done<S: Spool>(queue: S) {
    assert!(queue.outbox(10).await.unwrap().is_empty());
    for n in 0..3_u8 {
        let lease = accept(&queue, at(0), &["a@one.example"], b"x").await.unwrap().remove(0);
        queue.settle(lease, Settlement::finished().record(vec![n, 0]).record(vec![n, 1])).await.unwrap();
    }
    let rows = queue.outbox(4).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.row.clone()).collect::<Vec<_>>(), [[0, 0], [0, 1], [1, 0], [1, 1]]);
    assert_eq!(queue.outbox(4).await.unwrap(), rows);
    queue.outbox_done(rows[3].place).await.unwrap();
    let rest = queue.outbox(4).await.unwrap();
    assert_eq!(rest.iter().map(|row| row.row.clone()).collect::<Vec<_>>(), [[2, 0], [2, 1]]);
    queue.outbox_done(rest[1].place).await.unwrap();
    // Places rise also after everything was taken.
    let lease = accept(&queue, at(0), &["a@one.example"], b"x").await.unwrap().remove(0);
    queue.settle(lease, Settlement::finished().record(vec![9])).await.unwrap();
    assert!(queue.outbox(4).await.unwrap()[0].place > rest[1].place);
}

async fn waiting_mail_can_be_woken<S: Spool>(queue: S) {
    let mut ids = Vec::new();
    for millis in 1..=6 {
        let to: &[&str] = if millis % 2 == 0 { &["a@even.example"] } else { &["a@odd.example", "b@other.example"] };
        ids.push(accept_deferred(&queue, at(0), to, at(millis * 10_000)).await);
    }
    assert_eq!(queue.retry_now(Selector::Id(ids[0]), at(1)).await, Ok(2)); // both entries of the message
    assert_eq!(queue.retry_now(Selector::Id(ids[0]), at(1)).await, Ok(0));
    assert_eq!(queue.next_due().await, Ok(Some(at(1))));
    let leases = queue.lease_due(at(1), 10, &[]).await.unwrap();
    assert!(leases.len() == 2 && leases.iter().all(|lease| lease.entry().message == ids[0]));
    assert_eq!(queue.retry_now(Selector::Destinations(vec![destination("even.example")]), at(2)).await, Ok(3));
    let even = queue.lease_due(at(2), 10, &[]).await.unwrap();
    assert!(even.len() == 3 && even.iter().all(|lease| lease.entry().destination == destination("even.example")));
    assert_eq!(queue.retry_now(Selector::All, at(3)).await, Ok(4));
    assert_eq!(queue.lease_due(at(3), 10, &[]).await.unwrap().len(), 4);
}

/// What mail is held under comes back as it was; a release needs no row, and reaches what is leased.
async fn holds_are_kept_and_released<S: Spool>(queue: S) {
    let names = NameRule::new(NameMatch::Mx, vec!["*.mx.example".parse().unwrap(), "192.0.2.1".parse().unwrap()]);
    let pin = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse().unwrap();
    let clauses = vec![Clause::Chain, Clause::Identity(names), Clause::Pinned(vec![pin]), Clause::DaneElse(vec![Clause::Dane])];
    let suites = CipherSet::new(vec!["TLS_AES_256_GCM_SHA384".parse().unwrap()]);
    let demand = Demand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_3).with_floors(KexFloor::PostQuantum, Some(suites));
    let hold = Arc::new(Hold::new(Level::Verify, demand, queue.releases()));
    let deferral = Deferral::tls(at(10), "expired").held(Some(hold));
    let mut leases = accept(&queue, at(0), &["a@one.example", "b@one.example"], b"x").await.unwrap();
    let settlement = Settlement::finished().remain(0, deferral.clone()).remain(1, Deferral::new(at(10), "451"));
    queue.settle(leases.remove(0), settlement).await.unwrap();
    let lease = queue.lease_due(at(10), 1, &[]).await.unwrap().remove(0);
    assert_eq!(lease.entry().deferrals, [Some(deferral.clone()), Some(Deferral::new(at(10), "451"))]);
    queue.release_holds().await.unwrap();
    assert_eq!(queue.releases(), 1);
    let deferred = lease.entry().deferrals[0].clone().unwrap();
    assert_ne!(deferred.hold.map(|hold| hold.releases), Some(queue.releases()));
}

async fn waiters_are_told<S: Spool>(queue: S) {
    let mut wake = queue.wake();
    accept_deferred(&queue, at(0), &["a@one.example"], at(100)).await;
    wake.changed().await;
    queue.retry_now(Selector::All, at(1)).await.unwrap();
    wake.changed().await;
    let mut leases = queue.lease_due(at(1), 10, &[]).await.unwrap();
    let wait = Settlement::deferred(leases[0].entry(), &Deferral::new(at(200), "later"));
    queue.settle(leases.remove(0), wait).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), wake.changed()).await.unwrap();
    // Changes in between count once, and without one it waits.
    assert!(tokio::time::timeout(Duration::ZERO, wake.changed()).await.is_err());
}

async fn an_operator_can_look<S: Spool>(queue: S) {
    let fresh = accept(&queue, at(0), &["a@one.example"], b"12345").await.unwrap();
    let waiting = accept_deferred(&queue, at(1), &["a@two.example", "b@one.example"], at(100)).await;
    let all = queue.list(Filter::all(), 10).await.unwrap();
    assert_eq!(all.iter().map(|entry| entry.state).collect::<Vec<_>>(), [State::Fresh, State::Deferred, State::Deferred]);
    assert!(all.is_sorted_by_key(|entry| entry.id));
    assert_eq!(all.iter().map(|entry| entry.leased).collect::<Vec<_>>(), [true, false, false]);
    let page = queue.list(Filter::all().after(all[0].id), 1).await.unwrap();
    assert_eq!(page, all[1..2]);
    assert_eq!(queue.list(Filter::all().state(State::Fresh), 10).await.unwrap(), all[..1]);
    assert_eq!(queue.list(Filter::all().state(State::Damaged), 10).await.unwrap(), []);
    assert_eq!(queue.list(Filter::all().destination(destination("one.example")), 10).await.unwrap().len(), 2);
    let both = Filter::all().destination(destination("one.example")).state(State::Deferred);
    assert_eq!(queue.list(both, 10).await.unwrap().len(), 1);
    assert_eq!(queue.list(Filter::all().message(waiting), 10).await.unwrap(), all[1..]);
    let shown = queue.show(fresh[0].id()).await.unwrap().unwrap();
    assert_eq!(shown.entry.as_ref(), Some(fresh[0].entry()));
    assert_eq!((shown.due, shown.reason), (None, None));
    assert_eq!(queue.show(queue.next_id()).await, Ok(None));
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.fresh, stats.deferred, stats.size.0), (1, 2, 5 + 8 + 8));
}

async fn damaged_mail_is_set_aside<S: Spool>(queue: S) {
    let lease = accept(&queue, at(0), &["a@one.example"], b"rotten").await.unwrap().remove(0);
    let id = lease.id();
    queue.set_aside(lease, "its checksum differs").await.unwrap();
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.fresh, stats.deferred, stats.damaged, stats.leased), (0, 0, 1, 0));
    assert_eq!(queue.retry_now(Selector::All, at(1)).await, Ok(0));
    assert!(queue.lease_due(at(1_000_000_000_000), 10, &[]).await.unwrap().is_empty());
    let shown = queue.show(id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.reason.as_deref()), (State::Damaged, Some("its checksum differs")));
}

/// Held mail is not handed out, whatever comes, until it is let go; what is under way is left alone.
async fn an_operator_holds_releases_and_deletes<S: Spool>(queue: S) {
    let one = accept_deferred(&queue, at(0), &["a@one.example"], at(100)).await;
    let two = accept_deferred(&queue, at(0), &["a@two.example"], at(100)).await;
    let retry = |millis| Change::Retry { now: at(millis) };
    assert_eq!(change(&queue, one, hold()).await, Ok(Changed::Done));
    assert_eq!((change(&queue, one, hold()).await, change(&queue, one, retry(1)).await), (Ok(Changed::Unfit), Ok(Changed::Unfit)));
    assert_eq!(queue.retry_now(Selector::All, at(1)).await, Ok(1));
    let mut leases = queue.lease_due(at(1_000_000), 10, &[]).await.unwrap();
    assert_eq!(leases.iter().map(|lease| lease.id()).collect::<Vec<_>>(), [two]);
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.deferred, stats.held, stats.size), (1, 1, Octets(16)));
    for wanted in [hold(), release(1), retry(1), Change::Delete { outbox: vec![] }] {
        assert_eq!(change(&queue, two, wanted).await, Ok(Changed::Leased));
    }
    leases.drain(..).for_each(|lease| lease.release());
    eventually(|| async { queue.stats().await.unwrap().leased == 0 }).await;

    assert_eq!(change(&queue, two, Change::Delete { outbox: vec![b"gone".to_vec()] }).await, Ok(Changed::Done));
    assert_eq!(change(&queue, two, Change::Delete { outbox: vec![b"gone".to_vec()] }).await, Ok(Changed::Missing));
    let rows = queue.outbox(10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.row.as_slice()).collect::<Vec<_>>(), [&b"held"[..], b"gone"]);

    assert_eq!(queue.next_due().await, Ok(None));
    assert_eq!(change(&queue, one, release(7)).await, Ok(Changed::Done));
    assert_eq!(change(&queue, one, release(7)).await, Ok(Changed::Unfit));
    assert_eq!(queue.next_due().await, Ok(Some(at(7))));
    assert_eq!(change(&queue, one, retry(3)).await, Ok(Changed::Done));
    let lease = queue.lease_due(at(3), 10, &[]).await.unwrap().remove(0);
    assert_eq!(lease.body().to_vec().await.unwrap(), b"deferred");
    queue.settle(lease, Settlement::finished()).await.unwrap();
}

/// One of three recipients is to be let go by somebody: the others are tried, and it keeps the entry only when they are gone.
async fn a_recipient_waits_to_be_let_go<S: Spool>(queue: S) {
    let to = ["a@one.example", "b@one.example", "c@one.example"];
    let mut leases = accept(&queue, at(0), &to, b"x").await.unwrap();
    let mut held = Deferral::new(at(1), "no TLS");
    held.until_released = true;
    let settlement = Settlement::finished().remain(0, held.clone()).remain(1, Deferral::new(at(50), "451"));
    queue.settle(leases.remove(0), settlement).await.unwrap();
    assert_eq!(queue.next_due().await, Ok(Some(at(50))));
    let lease = queue.lease_due(at(50), 1, &[]).await.unwrap().remove(0);
    let entry = Arc::clone(lease.entry());
    assert_eq!((entry.due_recipients(at(50)), entry.due_recipients(at(2))), (vec![1], vec![1]));
    queue.settle(lease, Settlement::finished().remain(0, held)).await.unwrap();
    let id = entry.id;
    let shown = queue.show(id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.due, shown.reason.as_deref()), (State::Held, None, Some("no TLS")));
    assert!(queue.lease_due(at(1_000_000_000_000), 10, &[]).await.unwrap().is_empty());
    assert_eq!(change(&queue, id, release(60)).await, Ok(Changed::Done));
    let lease = queue.lease_due(at(60), 10, &[]).await.unwrap().remove(0);
    assert_eq!(lease.entry().due_recipients(at(60)), [0]);
    assert_eq!(lease.entry().envelope.recipients, [support::recipient("a@one.example")]);
    queue.settle(lease, Settlement::finished()).await.unwrap();
}

async fn entries_are_found_by_what_they_are<S: Spool>(queue: S) {
    let old = accept_deferred(&queue, at(0), &["a@one.example"], at(100)).await;
    let new = accept_deferred(&queue, at(50), &["a@one.example"], at(100)).await;
    let found = |filter: Filter| async { queue.list(filter, 10).await.unwrap().iter().map(|entry| entry.id).collect::<Vec<_>>() };
    assert_eq!(found(Filter::all().sender("Sender@hosted.example")).await, [old, new]);
    assert_eq!(found(Filter::all().sender("other@hosted.example")).await, []);
    assert_eq!(found(Filter::all().sender("")).await, []);
    assert_eq!(found(Filter::all().reason("No Answer")).await, [old, new]);
    assert_eq!(found(Filter::all().reason("100%")).await, []);
    assert_eq!(found(Filter::all().before(at(50))).await, [old]);
    assert_eq!(
        found(Filter::all().before(at(51)).destination(destination("one.example")).sender("sender@hosted.example")).await,
        [old, new]
    );
}

fn hold() -> Change {
    Change::Hold { outbox: vec![b"held".to_vec()] }
}

fn release(millis: i64) -> Change {
    Change::Release { now: at(millis), outbox: Vec::new() }
}

/// Changes one entry.
async fn change<S: Spool>(queue: &S, id: QueueId, change: Change) -> Result<Changed, SpoolError> {
    queue.change(vec![(id, change)]).await.map(|changed| changed[0])
}

async fn mistakes_are_named<S: Spool>(queue: S) {
    let mut none = message(queue.next_id(), at(0), &["a@one.example"]);
    none.groups[0].recipients.clear();
    let writer = body(&queue, b"x").await;
    let error = queue.accept(none, writer).await.unwrap_err();
    assert_eq!((&error, error.blame(), error.retry()), (&AcceptError::NoRecipients, Blame::Caller, Retry::Never));

    let first = message(queue.next_id(), at(0), &["a@one.example"]);
    let id = first.id;
    let writer = body(&queue, b"x").await;
    let mut leases = queue.accept(first.clone(), writer).await.unwrap();
    let writer = body(&queue, b"y").await;
    assert_eq!(queue.accept(first, writer).await.unwrap_err(), AcceptError::Duplicate { id });
    assert_eq!(leases[0].body().as_slice(), Some(&b"x"[..]));
    assert_eq!(queue.stats().await.unwrap().fresh, 1);

    // A wrong settlement is a lease dropped.
    let mut wake = queue.wake();
    let wrong = Settlement::finished().remain(1, Deferral::new(at(1), "who?"));
    let error = queue.settle(leases.remove(0), wrong).await.unwrap_err();
    assert_eq!(error, SpoolError::UnknownRecipient { index: 1, recipients: 1 });
    assert_eq!(error.blame(), Blame::Caller);
    wake.changed().await;
    assert_eq!(queue.stats().await.unwrap().deferred, 1);

    // Another queue's lease may bear an id that means another message here.
    let other = MemorySpool::new();
    let lease = accept(&other, at(0), &["a@one.example"], b"other").await.unwrap().remove(0);
    assert!(matches!(queue.settle(lease, Settlement::finished()).await, Err(SpoolError::ForeignLease { .. })));
    assert_eq!(other.stats().await.unwrap().deferred, 1);
}

async fn bodies_come_back_as_they_were<S: Spool>(queue: S) {
    for size in [0, 1, 16 << 10, (16 << 10) + 1, 64 << 10, (64 << 10) + 1, 300_000] {
        let content = content(size as u64, size);
        let lease = accept(&queue, at(0), &["a@one.example"], &content).await.unwrap().remove(0);
        assert_eq!(lease.body().size(), Octets(size as u64));
        assert!(lease.body().to_vec().await.unwrap() == content, "{size}, at once");
        let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(1), "later"));
        queue.settle(lease, wait).await.unwrap();
        let lease = queue.lease_due(at(1), 1, &[]).await.unwrap().remove(0);
        let mut reader = lease.body().reader();
        let mut all = Vec::new();
        while let Some(piece) = reader.next_piece().await.unwrap() {
            assert!(!piece.is_empty());
            all.extend_from_slice(piece);
        }
        assert!(all == content, "{size}, later");
        assert_eq!(reader.next_piece().await, Ok::<_, BodyReadError>(None));
        queue.settle(lease, Settlement::finished()).await.unwrap();
    }
}

async fn a_writer_that_is_dropped_leaves_nothing<S: Spool>(queue: S) {
    for size in [100, 200_000] {
        drop(body(&queue, &content(1, size)).await);
    }
    assert_eq!(queue.stats().await.unwrap(), sealpost_queue::Stats::default());
}

async fn ids_are_unique_and_rise<S: Spool>(queue: S) {
    let queue = Arc::new(queue);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            std::thread::spawn(move || (0..5_000).map(|_| queue.next_id()).collect::<Vec<_>>())
        })
        .collect();
    let mut all = BTreeSet::new();
    for thread in threads {
        let ids = thread.join().unwrap();
        assert!(ids.is_sorted() && ids.iter().all(|id| all.insert(*id)));
    }
    assert!(queue.next_id() > *all.last().unwrap());
}

async fn a_closed_queue_takes_nothing<S: Spool>(queue: S) {
    let leases = accept(&queue, at(0), &["a@one.example"], b"x").await.unwrap();
    let writer = body(&queue, b"y").await;
    assert_eq!(queue.health(), Health::Good);
    queue.close().await.unwrap();
    assert_eq!(queue.health(), Health::Closed);
    let error = queue.accept(message(queue.next_id(), at(0), &["a@one.example"]), writer).await.unwrap_err();
    assert_eq!((&error, error.blame(), error.retry()), (&AcceptError::Closed, Blame::Us, Retry::Later));
    assert!(matches!(queue.body_writer(None), Err(SpoolError::Closed)));
    assert!(matches!(queue.lease_due(at(0), 1, &[]).await, Err(SpoolError::Closed)));
    for lease in leases {
        assert_eq!(queue.settle(lease, Settlement::finished()).await, Err(SpoolError::Closed));
    }
    queue.close().await.unwrap();
}
