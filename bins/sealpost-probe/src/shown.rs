//! Sessions and certificates as people and programs read them.

use std::time::Duration;

use sealpost_cert::{LeafSummary, Verdict};
use sealpost_relay::ReachError;
use sealpost_transport::{ConnectFault, WallClock};
use sealpost_types::{TlsFacts, UnixMillis, WithCauses};
use serde_json::{Value, json};

/// `TLSv1.3 TLS_AES_256_GCM_SHA384 X25519MLKEM768 (post-quantum)`
pub(crate) fn session(tls: &TlsFacts) -> String {
    let group = tls.group.map_or_else(|| "no key exchange".to_owned(), |group| group.to_string());
    let post_quantum = if is_post_quantum(tls) { " (post-quantum)" } else { "" };
    format!("{} {} {group}{post_quantum}", tls.version, tls.suite)
}

pub(crate) fn session_json(tls: &TlsFacts) -> Value {
    json!({ "version": tls.version.to_string(), "cipher": tls.suite.to_string(),
        "group": tls.group.map(|group| group.to_string()), "post_quantum": is_post_quantum(tls) })
}

fn is_post_quantum(tls: &TlsFacts) -> bool {
    tls.group.is_some_and(sealpost_types::KexGroup::is_post_quantum)
}

/// Why a host was not reached, without its address, which stands beside it.
pub(crate) fn reason(error: &ReachError) -> String {
    let text = WithCauses(error).to_string();
    match error {
        // That TLS is required, as the error says, is true of this connection, and perhaps not of the mail.
        ReachError::Connect(failed) if matches!(failed.fault, ConnectFault::StartTlsNotOffered) => {
            "the server does not offer STARTTLS".to_owned()
        }
        ReachError::Connect(failed) => text.strip_prefix(&format!("{} ", failed.address)).unwrap_or(&text).to_owned(),
        _ => text,
    }
}

/// What would happen at a level, and in parentheses why: ` (the same)` where that was said `before`, which this becomes.
pub(crate) fn told_once<'w>(words: &'w str, before: &mut String) -> (&'w str, String) {
    let (first, why) = words.split_once(" (").map_or((words, String::new()), |(first, why)| (first, format!(" ({why}")));
    let shown = if !why.is_empty() && why == *before { " (the same)".to_owned() } else { why.clone() };
    *before = why;
    (first, shown)
}

/// `1 certificate`, `2 certificates`
pub(crate) fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// `CN=mx.bank.example, issued by CN=R11, 62 days left (until 2027-01-27)`
pub(crate) fn certificate(leaf: &LeafSummary) -> String {
    format!("{}, issued by {}, {}", leaf.subject, leaf.issuer, countdown(leaf.not_after))
}

/// `62 days left (until 2027-01-27)`, or `expired 3 days ago (on 2026-11-23)`.
pub(crate) fn countdown(end: UnixMillis) -> String {
    let days = days_left(end);
    let plural = if days.abs() == 1 { "" } else { "s" };
    if end < WallClock::system().now() {
        format!("expired {} day{plural} ago (on {})", days.abs(), day(end))
    } else {
        format!("{days} day{plural} left (until {})", day(end))
    }
}

/// Whole days; negative when it is over.
pub(crate) fn days_left(end: UnixMillis) -> i64 {
    end.0.saturating_sub(WallClock::system().now().0) / DAY_MILLIS
}

/// Whole days until then; at least one less than none when it is over.
pub(crate) fn days_to(end: UnixMillis) -> i64 {
    if end < WallClock::system().now() { days_left(end).min(-1) } else { days_left(end) }
}

pub(crate) fn certificate_json(verdict: &Verdict) -> Value {
    let findings: Vec<_> = verdict.findings.iter().map(ToString::to_string).collect();
    let leaf = verdict.leaf.as_ref();
    json!({
        "subject": leaf.map(|leaf| &leaf.subject), "issuer": leaf.map(|leaf| &leaf.issuer),
        "names": leaf.map(|leaf| leaf.names.iter().map(|name| name.bare()).collect::<Vec<_>>()),
        "not_before": leaf.map(|leaf| moment(leaf.not_before)), "not_after": leaf.map(|leaf| moment(leaf.not_after)),
        "days_left": leaf.map(|leaf| days_left(leaf.not_after)), "pin": leaf.map(|leaf| leaf.pin.to_string()),
        "trusted": verdict.trusted, "findings": findings,
    })
}

/// A time-stamp for programs.
pub(crate) fn moment(at: UnixMillis) -> Option<String> {
    jiff::Timestamp::from_millisecond(at.0).ok().map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The moment that [`moment`] wrote.
pub(crate) fn read_moment(text: &str) -> Option<UnixMillis> {
    text.parse::<jiff::Timestamp>().ok().map(|time| UnixMillis(time.as_millisecond()))
}

/// The day that it is in UTC.
pub(crate) fn today() -> jiff::civil::Date {
    let now = jiff::Timestamp::from_millisecond(WallClock::system().now().0).unwrap_or_default();
    now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn day(at: UnixMillis) -> String {
    moment(at).and_then(|text| text.split('T').next().map(str::to_owned)).unwrap_or_default()
}

/// A line on standard output; a reader that has seen enough and closed the pipe is no failure.
macro_rules! line {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}
pub(crate) use line;

/// Milliseconds with one digit behind the point.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

const DAY_MILLIS: i64 = 24 * 3600 * 1000;
