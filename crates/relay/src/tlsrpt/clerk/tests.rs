//! Days and weeks of a clerk, in no time.

use std::collections::HashMap;
use std::sync::Mutex;

use sealpost_report::tlsrpt::{Book, BookReader, DkimSigner, Failure, Observation, PolicyType, ReportedPolicy, read_report, unpack};
use sealpost_store::rusqlite::Connection;
use sealpost_types::TlsFailureType;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, TlsReports};
use crate::tlsrpt::book_path;

/// The world as a test has it: what is published, who takes what, and what was handed over.
#[derive(Default)]
struct Stage {
    texts: Mutex<HashMap<String, Texts>>,
    /// Why nothing is taken.
    refuses: Mutex<Option<String>>,
    posted: Mutex<Vec<(String, TlsReport)>>,
    mailed: Mutex<Vec<(String, String)>>,
    asked: Mutex<usize>,
    /// Who sends reports by mail, where that is another.
    sender: String,
}

/// What is answered for the TXT records of a name.
type Texts = Result<Vec<Vec<u8>>, ResolveError>;

impl World for Stage {
    async fn texts(&self, name: &Domain) -> Result<Vec<Vec<u8>>, ResolveError> {
        *self.asked.lock().unwrap() += 1;
        self.texts.lock().unwrap().get(name.as_str()).cloned().unwrap_or(Ok(Vec::new()))
    }

    async fn post(&self, url: &str, packed: Vec<u8>) -> Result<(), String> {
        if let Some(reason) = self.refuses.lock().unwrap().clone() {
            return Err(reason);
        }
        let report = read_report(&unpack(&packed, 1 << 20).unwrap()).unwrap();
        self.posted.lock().unwrap().push((url.to_owned(), report));
        Ok(())
    }

    async fn mail(&self, from: &Mailbox, to: &Mailbox, message: Vec<u8>) -> Result<(), String> {
        if let Some(reason) = self.refuses.lock().unwrap().clone() {
            return Err(reason);
        }
        let expected = if self.sender.is_empty() { "tlsrpt@relay.example" } else { &self.sender };
        assert_eq!(from.to_string(), expected);
        self.mailed.lock().unwrap().push((to.to_string(), String::from_utf8(message).unwrap()));
        Ok(())
    }
}

impl Stage {
    fn publish(&self, domain: &str, record: &str) {
        let found = if record.is_empty() { Vec::new() } else { vec![record.as_bytes().to_vec()] };
        self.texts.lock().unwrap().insert(format!("_smtp._tls.{domain}"), Ok(found));
    }

    fn silence(&self, domain: &str) {
        let name = Domain::parse(domain).unwrap();
        self.texts.lock().unwrap().insert(format!("_smtp._tls.{domain}"), Err(ResolveError::Server { name, code: 2 }));
    }

    fn posted(&self) -> Vec<(String, TlsReport)> {
        std::mem::take(&mut self.posted.lock().unwrap())
    }

    fn mailed(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.mailed.lock().unwrap())
    }
}

struct Room {
    folder: TempDir,
    stage: Stage,
    reports: Reports,
    hostname: Domain,
}

fn signer() -> DkimSigner {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    DkimSigner::from_pem(key.as_bytes(), Domain::parse("relay.example").unwrap(), Domain::parse("tlsrpt").unwrap()).unwrap()
}

fn reports(folder: &TempDir, signer: Option<DkimSigner>) -> Reports {
    let settings = TlsReports::of_host(&Domain::parse("relay.example").unwrap()).unwrap();
    Reports::new(settings, Book::open(&folder.path().join("counters.db")).unwrap(), signer)
}

impl Room {
    fn new() -> Self {
        Self::with(Some(signer()))
    }

    fn with(signer: Option<DkimSigner>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (reports, hostname) = (reports(&folder, signer), Domain::parse("relay.example").unwrap());
        Self { stage: Stage::default(), reports, folder, hostname }
    }

    /// The same after the process was killed.
    async fn restarted(self) -> Self {
        self.restarted_after(|_| ()).await
    }

    /// The same after somebody changed what is kept.
    async fn restarted_after(self, change: impl FnOnce(&Connection)) -> Self {
        let Self { folder, stage, reports: old, hostname } = self;
        old.book.close().await.unwrap();
        change(&Connection::open(folder.path().join("counters.db")).unwrap());
        let mut reports = reports(&folder, Some(signer()));
        reports.settings = old.settings;
        Self { folder, stage, reports, hostname }
    }

    fn clerk(&self) -> Clerk<'_, Stage> {
        Clerk { reports: &self.reports, world: &self.stage, hostname: &self.hostname }
    }

    async fn at(&self, now: UnixMillis) {
        self.clerk().write(now).await.unwrap();
        self.clerk().send(now).await.unwrap();
    }

    /// Each minute of so many hours from a moment on.
    async fn through(&self, from: UnixMillis, hours: u64) {
        for minute in 0..=hours * 60 {
            self.at(from.after(Duration::from_secs(60 * minute))).await;
        }
    }

    fn saw(&self, at: UnixMillis, domain: &str, failure: Option<Failure>) {
        let policy = ReportedPolicy::new(PolicyType::NoPolicyFound, domain);
        self.reports.saw(Observation::new(at, Domain::parse(domain).unwrap(), policy, failure));
    }
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

const HTTPS: &str = "v=TLSRPTv1; rua=https://r.bank.example/in";

// req: E3
#[tokio::test]
async fn a_week_is_reported_day_by_day_each_in_its_own_report() {
    let room = Room::new();
    room.stage.publish("bank.example", HTTPS);
    let mut told = Vec::new();
    for number in 0..7 {
        let start = UnixMillis(day("2026-11-23").start().0 + number * 86_400_000);
        for hour in 0..24_i64 {
            let now = UnixMillis(start.0 + hour * 3_600_000);
            for _ in 0..=number {
                room.saw(now, "bank.example", None);
            }
            let failure = Failure::new(TlsFailureType::CertificateExpired).because("expired");
            room.saw(now, "bank.example", (hour == 5).then_some(failure));
            room.at(now).await;
        }
        told.extend(room.stage.posted());
    }
    let shown: Vec<_> = told
        .iter()
        .map(|(url, report)| {
            assert_eq!(url, "https://r.bank.example/in");
            let summary = report.policies[0].summary;
            let counts = (summary.total_successful_session_count, summary.total_failure_session_count);
            (Day::of(report.date_range.start_datetime).to_string(), counts)
        })
        .collect();
    // The last day is not over.
    let expected = (0..6_u64).map(|number| (format!("2026-11-{}", 23 + number), (24 * (number + 1) + 23, 1)));
    assert_eq!(shown, expected.collect::<Vec<_>>());
    let mut ids: Vec<_> = told.iter().map(|(_, report)| report.report_id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), told.len(), "each report has an id of its own");
}

/// More domains than are looked at in a round cannot be asked where their reports go: those behind them get theirs.
#[tokio::test]
async fn domains_that_cannot_be_asked_hold_up_nobody() {
    let room = Room::new();
    let start = day("2026-11-23").start();
    let silent: Vec<_> = (0..2 * AT_A_TIME + 1).map(|number| format!("d{number}.example")).collect();
    for domain in &silent {
        room.stage.silence(domain);
        room.saw(start, domain, None);
    }
    room.stage.publish("z.example", HTTPS);
    room.saw(start, "z.example", None);
    room.at(start).await;
    room.through(day("2026-11-24").start(), 5).await;
    let told: Vec<_> = room.stage.posted().into_iter().map(|(_, report)| report.policies[0].policy.policy_domain.clone()).collect();
    assert_eq!(told, ["z.example"]);
}

#[tokio::test]
async fn reports_are_spread_over_the_hours_after_the_day() {
    let room = Room::new();
    let start = day("2026-11-23").start();
    for number in 0..60 {
        let domain = format!("d{number}.example");
        room.stage.publish(&domain, HTTPS);
        room.saw(start, &domain, None);
    }
    let midnight = day("2026-11-24").start();
    room.at(UnixMillis(midnight.0 - 1)).await;
    assert!(room.stage.posted().is_empty(), "nothing goes while the day lasts");
    let mut by_hour = Vec::new();
    for hour in 0..4 {
        room.through(midnight.after(Duration::from_secs(3600 * hour)), 1).await;
        by_hour.push(room.stage.posted().len());
    }
    assert_eq!(by_hour.iter().sum::<usize>(), 60, "{by_hour:?}");
    assert!(by_hour.iter().all(|count| *count > 0), "{by_hour:?}");
}

#[tokio::test]
async fn only_domains_that_want_reports_are_counted_and_each_is_asked_once_an_hour() {
    let room = Room::new();
    room.stage.publish("bank.example", HTTPS);
    room.stage.publish("two.example", HTTPS);
    room.stage.texts.lock().unwrap().get_mut("_smtp._tls.two.example").unwrap().as_mut().unwrap().push(HTTPS.as_bytes().to_vec());
    let start = day("2026-11-23").start();
    for minute in 0..50 {
        let now = start.after(Duration::from_secs(60 * minute));
        for domain in ["bank.example", "other.example", "two.example"] {
            if room.reports.wants(&Domain::parse(domain).unwrap(), now) {
                room.saw(now, domain, None);
            }
        }
        room.clerk().write(now).await.unwrap();
    }
    assert_eq!(*room.stage.asked.lock().unwrap(), 3);
    let counted = room.reports.book.open_days(day("2026-11-24"), None, 10).await.unwrap();
    assert_eq!(counted.iter().map(|(_, domain)| domain.as_str()).collect::<Vec<_>>(), ["bank.example"]);
    let counted = room.reports.book.counted(day("2026-11-23"), &counted[0].1).await.unwrap();
    assert_eq!(counted[0].summary.total_successful_session_count, 50);
    assert!(!room.reports.wants(&Domain::parse("other.example").unwrap(), start.after(Duration::from_secs(3000))));
}

/// What is counted while the DNS is down is not lost, and who wants no reports by the end gets none.
#[tokio::test]
async fn a_domain_that_cannot_be_asked_is_counted_until_it_can() {
    for (publishes, reports) in [(HTTPS, 1), ("", 0)] {
        let room = Room::new();
        let start = day("2026-11-23").start();
        room.stage.silence("bank.example");
        room.saw(start, "bank.example", None);
        room.at(start).await;
        let midnight = day("2026-11-24").start();
        room.at(midnight).await;
        room.stage.publish("bank.example", publishes);
        room.through(midnight.after(Duration::from_secs(600)), 5).await;
        assert_eq!(room.stage.posted().len(), reports);
        assert!(room.reports.book.open_days(day("2026-11-25"), None, 10).await.unwrap().is_empty());
    }
}

// req: E3
#[tokio::test]
async fn rfc8460_5_5_a_report_that_is_not_taken_is_tried_for_a_day_and_then_dropped() {
    let room = Room::new();
    room.stage.publish("bank.example", HTTPS);
    room.saw(day("2026-11-23").start(), "bank.example", None);
    *room.stage.refuses.lock().unwrap() = Some("503".to_owned());
    let midnight = day("2026-11-24").start();
    room.through(midnight, 5).await;
    let tried = room.reports.book.due(UnixMillis(i64::MAX), 10).await.unwrap();
    assert!(tried[0].attempts > 3 && tried[0].attempts < 12, "{}", tried[0].attempts);
    // It is taken at last: the control.
    *room.stage.refuses.lock().unwrap() = None;
    room.through(midnight.after(Duration::from_secs(5 * 3600)), 5).await;
    assert_eq!(room.stage.posted().len(), 1);

    room.saw(midnight, "bank.example", None);
    room.at(midnight.after(Duration::from_secs(3600 * 11))).await;
    *room.stage.refuses.lock().unwrap() = Some("503".to_owned());
    room.through(day("2026-11-25").start(), 30).await;
    assert!(room.reports.book.due(UnixMillis(i64::MAX), 10).await.unwrap().is_empty(), "it is given up");
    *room.stage.refuses.lock().unwrap() = None;
    room.through(day("2026-11-26").start().after(Duration::from_secs(6 * 3600)), 20).await;
    assert!(room.stage.posted().is_empty());
}

// req: E3
#[tokio::test]
async fn no_report_goes_twice_and_none_is_lost_when_the_relay_starts_again() {
    let mut room = Room::new();
    room.stage.publish("bank.example", "v=TLSRPTv1; rua=https://r.bank.example/in,mailto:r@bank.example");
    room.stage.publish("late.example", HTTPS);
    room.saw(day("2026-11-23").start(), "bank.example", None);
    room.clerk().write(day("2026-11-23").start()).await.unwrap();
    room = room.restarted().await;
    let midnight = day("2026-11-24").start();
    let mut found = (0, 0);
    for hour in 0..6 {
        // What is seen late of a day that is closed is in no report.
        room.saw(day("2026-11-23").start(), "bank.example", None);
        room.through(midnight.after(Duration::from_secs(3600 * hour)), 1).await;
        found = (found.0 + room.stage.posted().len(), found.1 + room.stage.mailed().len());
        room = room.restarted().await;
    }
    assert_eq!(found, (1, 1));
}

/// The control of the test above: a relay that forgets at each start what it has sent, or which day it has closed, would be noticed.
#[tokio::test]
async fn control_a_relay_that_forgets_what_it_sent_sends_it_again() {
    for forget in ["UPDATE sending SET state = 'waiting', due = 0", "DELETE FROM closed"] {
        let mut room = Room::new();
        room.reports.settings.delay = Duration::ZERO;
        room.stage.publish("bank.example", HTTPS);
        let midnight = day("2026-11-24").start();
        let mut found = 0;
        for hour in 0..6 {
            // What is seen late of a day that is over.
            room.saw(day("2026-11-23").start(), "bank.example", None);
            room.through(midnight.after(Duration::from_secs(3600 * hour)), 1).await;
            found += room.stage.posted().len();
            room = room
                .restarted_after(|db| {
                    db.execute(forget, []).unwrap();
                    // The next attempt is a new one.
                    db.execute("DELETE FROM sending WHERE NOT EXISTS (SELECT 1 FROM closed)", []).unwrap();
                })
                .await;
        }
        assert!(found > 1, "{forget}: {found}");
    }
}

/// What a report tells of is known as long as the report is, also when what was counted is gone.
#[tokio::test]
async fn a_report_says_how_many_sessions_it_tells_of() {
    let room = Room::new();
    room.stage.publish("bank.example", "v=TLSRPTv1; rua=https://r.bank.example/in,https://s.bank.example/in");
    let start = day("2026-11-23").start();
    for _ in 0..3 {
        room.saw(start, "bank.example", None);
    }
    for kind in [TlsFailureType::CertificateExpired, TlsFailureType::ValidationFailure] {
        room.saw(start, "bank.example", Some(Failure::new(kind)));
    }
    room.through(day("2026-11-24").start(), 5).await;
    assert_eq!(room.stage.posted().len(), 2);
    let sent = BookReader::open(&room.folder.path().join("counters.db")).unwrap().sendings().unwrap();
    let told: Vec<_> = sent.iter().map(|sending| sending.sessions.map(|sessions| (sessions.successful, sessions.failed))).collect();
    assert_eq!(told, [Some((3, 2)), Some((3, 2))]);
}

/// Each setting of `[tlsrpt]` that is about the mail and its time, beside what holds without it.
// req: E3
#[tokio::test]
async fn the_settings_are_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    std::fs::write(folder.path().join("dkim.pem"), key).unwrap();
    let text =
        |more: &str| format!("hostname = 'relay.example'\ndata_dir = 'data'\n[tlsrpt]\nenabled = true\ndkim_key = 'dkim.pem'\n{more}");
    let own = "from = 'tls@reports.acme.example'\ndkim_domain = 'acme.example'\ndkim_selector = 'k2'\norganization = 'Acme Ltd'\n\
               contact = 'help@acme.example'\ndelay = '30m'\n";
    for (more, from, signed, organization, contact, delay) in [
        ("", "tlsrpt@relay.example", "d=relay.example; s=tlsrpt;", "relay.example", "postmaster@relay.example", 4 * 60),
        (own, "tls@reports.acme.example", "d=acme.example; s=k2;", "Acme Ltd", "help@acme.example", 30),
        (
            "from = 'tls@acme.example'\n",
            "tls@acme.example",
            "d=acme.example; s=tlsrpt;",
            "relay.example",
            "postmaster@relay.example",
            4 * 60,
        ),
    ] {
        let config = Config::parse("sealpost.toml", &text(more), folder.path()).unwrap();
        std::fs::remove_dir_all(folder.path().join("data")).ok();
        std::fs::create_dir_all(book_path(&config).parent().unwrap()).unwrap();
        let reports = Reports::open(&config).unwrap().unwrap();
        let (stage, hostname) = (Stage { sender: from.to_owned(), ..Stage::default() }, config.hostname.clone());
        let room = Room { stage, reports, folder: tempfile::tempdir().unwrap(), hostname };
        for number in 0..30 {
            let domain = format!("d{number}.example");
            room.stage.publish(&domain, "v=TLSRPTv1; rua=mailto:r@bank.example");
            room.saw(day("2026-11-23").start(), &domain, None);
        }
        let midnight = day("2026-11-24").start();
        let mut went = Vec::new();
        for minute in 0..=delay {
            room.at(midnight.after(Duration::from_secs(60 * minute))).await;
            went.extend(room.stage.mailed().into_iter().map(|(_, text)| (minute, text)));
        }
        assert_eq!(went.len(), 30, "{more}: all within the delay");
        assert!(went.iter().any(|(minute, _)| *minute > delay / 2), "{more}: spread over it");
        let text = &went[0].1;
        assert!(text.contains(signed) && text.contains(&format!("From: <{from}>\r\n")), "{more}: {text}");
        let report = read_report(text.as_bytes()).unwrap();
        assert_eq!((report.organization_name.as_str(), report.contact_info.as_str()), (organization, contact));
    }
}

#[tokio::test]
async fn a_report_by_mail_is_signed_and_without_a_key_there_is_none() {
    for signs in [true, false] {
        let room = Room::with(signs.then(signer));
        room.stage.publish("bank.example", "v=TLSRPTv1; rua=mailto:r@bank.example");
        room.stage.publish("web.example", HTTPS);
        for domain in ["bank.example", "web.example"] {
            room.saw(day("2026-11-23").start(), domain, None);
        }
        room.through(day("2026-11-24").start(), 5).await;
        assert_eq!(room.stage.posted().len(), 1);
        let mailed = room.stage.mailed();
        assert_eq!(mailed.len(), usize::from(signs));
        for (to, text) in mailed {
            assert_eq!(to, "r@bank.example");
            assert!(text.starts_with("DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=relay.example; s=tlsrpt;"), "{text}");
            let report = read_report(text.as_bytes()).unwrap();
            assert_eq!((report.organization_name.as_str(), report.contact_info.as_str()), ("relay.example", "postmaster@relay.example"));
            assert_eq!(report.policies[0].policy.policy_domain, "bank.example");
        }
    }
}

/// RFC 8460 section 1.1: with DANE, the name that the records stand under is a policy domain of its own.
#[tokio::test]
async fn the_owner_of_tlsa_records_is_told_too() {
    let room = Room::new();
    for domain in ["bank.example", "mx.host.example"] {
        room.stage.publish(domain, HTTPS);
    }
    let start = day("2026-11-23").start();
    let (bank, host) = (Domain::parse("bank.example").unwrap(), Domain::parse("mx.host.example").unwrap());
    let policy = ReportedPolicy::new(PolicyType::Tlsa, host.as_str()).saying(vec!["3 1 1 ab".to_owned()]);
    room.reports.saw(Observation::new(start, bank, policy, None).concerning(host));
    room.saw(start, "bank.example", None);
    room.through(start, 30).await;
    let told: Vec<_> = room.stage.posted().into_iter().map(|(_, report)| report.policies.len()).collect();
    assert!(told == [2, 1] || told == [1, 2], "{told:?}");
}

#[tokio::test]
async fn what_is_counted_of_one_domain_is_bounded() {
    use sealpost_report::tlsrpt::{FAILURES_COUNTED, POLICIES_COUNTED};
    let room = Room::new();
    room.stage.publish("bank.example", HTTPS);
    let start = day("2026-11-23").start();
    for number in 0..1000 {
        let mut failure = Failure::new(TlsFailureType::ValidationFailure);
        failure.host = Some(format!("mx{number}.bank.example"));
        room.saw(start, "bank.example", Some(failure));
        let policy = ReportedPolicy::new(PolicyType::Tlsa, &format!("mx{number}.bank.example"));
        room.reports.saw(Observation::new(start, Domain::parse("bank.example").unwrap(), policy, None));
    }
    room.clerk().write(start).await.unwrap();
    let counted = room.reports.book.counted(day("2026-11-23"), &Domain::parse("bank.example").unwrap()).await.unwrap();
    assert!(counted.len() <= POLICIES_COUNTED, "{}", counted.len());
    if let Some(without) = counted.iter().find(|report| report.policy.policy_type == PolicyType::NoPolicyFound) {
        assert!(without.failure_details.len() <= FAILURES_COUNTED + 2);
        assert_eq!(without.summary.total_failure_session_count, 1000, "what is not told apart is counted all the same");
    }
}
