//! `sealpost-probe load`: many messages, counted on both sides.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::equipment::{Sink, closed, ends, object, probe};

fn load(sink: &Sink, options: &[&str]) -> Output {
    let (at, anchors) = (sink.at(), sink.anchors());
    probe(&[&["load", &at, "--anchors", &anchors, "--json"], options].concat())
}

#[test]
fn every_message_arrives_once() {
    let sink = Sink::start(&[]);
    let output = load(&sink, &["-n", "300", "-s", "4", "--per-session", "20", "--size", "1500", "--to", "u#@bank.example"]);
    ends(&output, 0);
    let figures = object(&output);
    assert_eq!((&figures["accepted"], &figures["tls"]["version"]), (&300.into(), &"TLSv1.3".into()));
    assert!(figures["latency_ms"]["p50"].as_f64().unwrap() > 0.0 && figures["messages_per_second"].as_f64().unwrap() > 0.0, "{figures}");
    let messages = sink.told("message", 300);
    let mut to: Vec<_> = messages.iter().map(|message| message["to"][0].as_str().unwrap().to_owned()).collect();
    to.sort();
    to.dedup();
    assert_eq!((messages.len(), to.len()), (300, 300));
    assert!(messages.iter().all(|message| message["octets"].as_u64().unwrap().abs_diff(1500) <= 2), "{}", messages[0]);
    let sessions = figures["sessions"].as_u64().unwrap();
    assert!((15..=20).contains(&sessions), "20 messages a session: {figures}");
}

#[test]
fn sessions_are_resumed_unless_not() {
    let sink = Sink::start(&[]);
    let sessions = ["-n", "10", "-s", "1", "--per-session", "1"];
    assert!(object(&load(&sink, &sessions))["resumed"].as_u64().unwrap() >= 8);
    assert_eq!(object(&load(&sink, &[&sessions[..], &["--no-resumption"]].concat()))["resumed"], 0);
}

#[test]
fn a_rate_is_kept_and_a_time_is_the_end() {
    let sink = Sink::start(&[]);
    let start = Instant::now();
    let figures = object(&load(&sink, &["-n", "40", "-s", "2", "--rate", "40"]));
    assert_eq!(figures["accepted"], 40);
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
    let output = load(&sink, &["-n", "1000000", "-s", "2", "--rate", "20", "--for", "1s"]);
    ends(&output, 0);
    assert!((5..=40).contains(&object(&output)["accepted"].as_u64().unwrap()), "{}", object(&output));
}

/// Somebody has seen enough, and wants the figures all the same.
#[test]
fn an_interrupt_is_the_end_and_what_has_come_is_told() {
    let sink = Sink::start(&[]);
    let (at, anchors) = (sink.at(), sink.anchors());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sealpost-probe"));
    command.args(["load", &at, "--anchors", &anchors, "--json", "-n", "1000000", "-s", "2", "--rate", "50"]);
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    sink.told("message", 5);
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    ends(&output, 0);
    assert!((5..1000).contains(&object(&output)["accepted"].as_u64().unwrap()), "{}", object(&output));
}

#[test]
fn refusals_are_counted_with_their_reasons() {
    let sink = Sink::start(&["--reply", "RCPT*3=450 4.2.0 later", "--reply", "BODY*2=552 5.3.4 no"]);
    let output = load(&sink, &["-n", "20", "-s", "1"]);
    ends(&output, 1);
    let figures = object(&output);
    assert_eq!((&figures["accepted"], &figures["refused_later"], &figures["refused_for_good"]), (&15.into(), &3.into(), &2.into()));
    assert!(figures["reasons"].to_string().contains("450 4.2.0 later"), "{figures}");
    ends(&probe(&["load", &closed().to_string(), "-n", "1", "-s", "1"]), 1);
    ends(&load(&Sink::start(&["--reply", "MAIL=451 4.3.0 later"]), &["-n", "2", "-s", "1"]), 2);
    ends(&load(&Sink::start(&["--no-starttls"]), &["-n", "1", "-s", "1"]), 1);
    ends(&load(&Sink::start(&["--no-starttls"]), &["-n", "1", "-s", "1", "--level", "none"]), 0);
}

/// Content that is sent ahead is read, slowly, although nobody wants it.
#[test]
fn without_pipelining_a_refused_envelope_costs_no_content() {
    let time = |options: &[&str]| {
        let sink = Sink::start(&["--reply", "RCPT=450 4.2.0 later", "--read-rate", "1000"]);
        let start = Instant::now();
        ends(&load(&sink, &[&["-n", "1", "-s", "1"], options].concat()), 2);
        start.elapsed()
    };
    let (waits, goes_ahead) = (time(&["--no-pipelining"]), time(&[]));
    assert!(waits < Duration::from_secs(3) && goes_ahead > Duration::from_secs(3), "{waits:?} {goes_ahead:?}");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [
        &["mx:bank.example"][..],
        &["x", "--rate", "0"],
        &["x", "--rate", "nan"],
        &["x", "-s", "0"],
        &["x", "--size", "10"],
        &["x", "--level", "dane"],
        &["x", "--to", "bob"],
        &["x", "--for", "soon"],
        &[],
    ] {
        ends(&probe(&[&["load"], arguments].concat()), 64);
    }
}
