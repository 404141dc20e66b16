//! `sealpost-probe ping`. (A7)

use crate::equipment::{Sink, closed, ends, object, probe, said};

fn ping(sink: &Sink, options: &[&str]) -> std::process::Output {
    let (at, anchors) = (sink.at(), sink.anchors());
    let mut arguments = vec!["ping", &at, "--anchors", &anchors];
    arguments.extend_from_slice(options);
    probe(&arguments)
}

// req: A7
#[test]
fn a_server_with_starttls_passes_and_each_stage_is_shown() {
    let sink = Sink::start(&["--kind", "self-signed"]);
    let said = ends(&ping(&sink, &[]), 0);
    for part in
        ["resolve", "connect", "banner", "ehlo", "starttls", "handshake", "ehlo again", "quit", "TLSv1.3", "X25519MLKEM768", "89 days left"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let line = said.lines().find(|line| line.contains("TLSv1.3")).unwrap();
    assert!(line.contains("CN=localhost, issued by CN=localhost"), "session and certificate share a line: {line}");
}

#[test]
fn json_has_the_same_facts() {
    let sink = Sink::start(&[]);
    let answer = object(&ping(&sink, &["--json"]));
    assert_eq!((&answer["result"], &answer["tls"]["version"]), (&"passes".into(), &"TLSv1.3".into()));
    assert_eq!((&answer["certificate"]["trusted"], &answer["certificate"]["days_left"]), (&true.into(), &89.into()));
    assert_eq!(answer["address"], sink.at());
    for stage in ["resolve", "connect", "banner", "ehlo", "starttls", "handshake", "ehlo_again", "quit"] {
        assert!(answer["stages_ms"][stage].as_f64().is_some(), "{stage}: {answer}");
    }
}

// req: A7
#[test]
fn a_server_without_starttls_fails() {
    let sink = Sink::start(&["--no-starttls"]);
    let said = ends(&ping(&sink, &[]), 1);
    assert!(said.contains("does not offer STARTTLS"), "{said}");
}

#[test]
fn what_is_wrong_with_tls_fails_and_is_said() {
    for (options, part) in [
        (&["--reply", "STARTTLS=454 4.7.0 no TLS now"][..], "454 4.7.0 no TLS now"),
        (&["--close", "HANDSHAKE"], "lost during the handshake"),
        (&["--old-tls"], "protocol_version"),
        (&["--inject", "250 evil"], "text in clear follows STARTTLS"),
        (&["--reply", "BANNER=554 5.7.1 not you"], "554 5.7.1 not you"),
    ] {
        let said = ends(&ping(&Sink::start(options), &[]), 1);
        assert!(said.contains(part), "{options:?}: {said}");
    }
    ends(&probe(&["ping", &closed().to_string()]), 1);
}

/// The reply 421 says "not now", and nothing of TLS: other testers report it as "no STARTTLS".
#[test]
fn what_could_not_be_tested_is_neither_a_pass_nor_a_failure() {
    for (options, part) in [
        (&["--reply", "BANNER=421 4.7.0 too many connections"][..], "421 4.7.0 too many"),
        (&["--reply", "EHLO=450 4.7.1 greylisted"], "450 4.7.1 greylisted"),
        (&["--reply", "EHLO=421 4.7.0 slow down"], "421 4.7.0 slow down"),
        (&["--reply", "STARTTLS=421 4.7.0 too many handshakes"], "421 4.7.0 too many handshakes"),
        (&["--stall", "BANNER"], "at banner: no answer within"),
        (&["--stall", "EHLO"], "at ehlo: no answer within"),
        (&["--stall", "HANDSHAKE"], "at handshake: no answer within"),
        (&["--close", "EHLO"], "closed the connection"),
    ] {
        let output = ping(&Sink::start(options), &["--timeout", "1s"]);
        let said = ends(&output, 2);
        assert!(said.contains(part) && !said.contains("does not offer"), "{options:?}: {said}");
    }
}

#[test]
fn where_it_fell_silent_is_in_the_object() {
    let sink = Sink::start(&["--stall", "EHLO"]);
    let answer = object(&ping(&sink, &["--timeout", "1s", "--json"]));
    assert_eq!((&answer["result"], &answer["stage"]), (&"could not be tested".into(), &"ehlo".into()));
    assert!(answer["stages_ms"]["banner"].as_f64().is_some() && answer["stages_ms"]["starttls"].is_null(), "{answer}");
}

// req: A7 B7
#[test]
fn a_level_is_judged_as_the_relay_does() {
    // an address has no name, so `chain` is what can be asked of it
    for (kind, passes, part) in
        [("good", true, "the chain is trusted here"), ("expired", false, "expired 3 days ago"), ("weak", false, "sha1WithRSAEncryption")]
    {
        let sink = Sink::start(&["--kind", kind]);
        let said = ends(&ping(&sink, &["--level", "chain"]), i32::from(!passes));
        assert!(said.contains(part), "{kind}: {said}");
        // the negative control: `require` asks nothing of a certificate
        ends(&ping(&sink, &["--level", "require"]), 0);
    }
    for (kind, code, part) in [("good", 0, "passes"), ("wrong-name", 1, "wrong-name.invalid"), ("self-signed", 0, "passes")] {
        let sink = Sink::start(&["--kind", kind]);
        let (host, anchors) = (format!("localhost:{}", sink.address.port()), sink.anchors());
        let said = ends(&probe(&["ping", &host, "-4", "--anchors", &anchors, "--level", "verify"]), code);
        assert!(said.contains(part), "{kind}: {said}");
    }
}

#[test]
fn implicit_tls_is_pinged_and_its_lack_is_hinted_at() {
    let sink = Sink::start(&["--implicit"]);
    ends(&ping(&sink, &["--implicit"]), 0);
    let said = ends(&ping(&sink, &["--timeout", "1s"]), 2);
    assert!(said.contains("--implicit"), "{said}");
    let said = ends(&ping(&Sink::start(&[]), &["--implicit"]), 1);
    assert!(said.contains("needs no --implicit"), "{said}");
}

#[test]
fn quiet_says_nothing_of_what_passes() {
    let good = ping(&Sink::start(&[]), &["--quiet"]);
    assert_eq!((good.status.code(), said(&good).as_str()), (Some(0), ""));
    assert!(!ends(&ping(&Sink::start(&["--no-starttls"]), &["--quiet"]), 1).is_empty());
}

#[test]
fn a_family_can_be_asked_for() {
    let sink = Sink::start(&[]);
    ends(&ping(&sink, &["-4"]), 0);
    let said = ends(&ping(&sink, &["-6"]), 1);
    assert!(said.contains("no IPv6 address"), "{said}");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [
        &["host:0"][..],
        &["a b"],
        &["mx:example.org"],
        &["x", "--timeout", "soon"],
        &["x", "--timeout", "0s"],
        &["x", "--level", "pinned"],
        &["x", "--anchors", "/nowhere.pem"],
        &["x", "-4", "-6"],
        &[],
    ] {
        ends(&probe(&[&["ping"], arguments].concat()), 64);
    }
}
