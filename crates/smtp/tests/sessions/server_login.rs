//! AUTH at a server session.

use std::sync::Arc;

use sealpost_smtp::{AuthMechanism, ServerConfig};

use crate::script::{server, server_config};

fn config() -> Arc<ServerConfig> {
    server_config(|config| config.offer.auth = vec![AuthMechanism::Plain, AuthMechanism::Login])
}

/// The reply to EHLO under TLS.
const HELLO: &str = r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 67108864
        S: 250-8BITMIME
        S: 250-CHUNKING
        S: 250-ENHANCEDSTATUSCODES
        S: 250 AUTH PLAIN LOGIN
        E: hello a.example extended
";

fn login(script: &str) {
    server(config(), true, &format!("{HELLO}{script}"));
}

#[test]
fn rfc4954_4_plain_with_an_initial_response() {
    login(
        r"
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        S: 235 2.7.0 authenticated
        E: auth PLAIN - tim tanstaaf
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        S: 503 5.5.1 authenticated already
        C: MAIL FROM:<tim@a.example> AUTH=tim+2Bx@a.example
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<tim@a.example> AUTH=tim+2Bx@a.example
        ",
    );
}

#[test]
fn rfc4954_4_plain_and_login_with_challenges() {
    login(
        r"
        C: AUTH PLAIN
        S: 334 \x20
        C: AHRpbQB0YW5zdGFhZg==
        ! refuse 535 5.7.8 no
        S: 535 5.7.8 no
        E: auth PLAIN - tim tanstaaf
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: dGlt
        S: 334 UGFzc3dvcmQ6
        C: dGFuc3RhYWY=
        ! refuse 535 5.7.8 no
        S: 535 5.7.8 no
        E: auth LOGIN - tim tanstaaf
        C: auth login dGlt
        S: 334 UGFzc3dvcmQ6
        C: dGFuc3RhYWY=
        S: 235 2.7.0 authenticated
        E: auth LOGIN - tim tanstaaf
        "
        .replace("334 \\x20", "334 ")
        .as_str(),
    );
}

#[test]
fn rfc4954_4_a_star_cancels_and_what_is_no_base64_is_501() {
    login(
        r"
        C: AUTH PLAIN
        S: 334 \x20
        C: *
        S: 501 5.7.0 authentication cancelled
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: *
        S: 501 5.7.0 authentication cancelled
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: QUIT!
        S: 501 5.5.2 the response is not base64
        C: AUTH PLAIN x
        S: 501 5.5.2 the response is not base64
        C: AUTH PLAIN =
        S: 501 5.5.2 malformed credentials
        C: AUTH PLAIN
        S: 334 \x20
        C: AHRp\nbQ==
        S: 500 5.5.2 bare LF at octet 4 of the line
        C: AUTH CRAM-MD5
        S: 504 5.5.4 mechanism not available
        C: AUTH ..
        S: 501 5.5.4 the argument of AUTH is malformed
        C: NOOP
        S: 250 2.0.0 ok
        "
        .replace("334 \\x20", "334 ")
        .as_str(),
    );
}

#[test]
fn rfc4954_4_auth_in_clear_is_538_and_not_offered() {
    server(
        config(),
        false,
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 67108864
        S: 250-8BITMIME
        S: 250-CHUNKING
        S: 250 ENHANCEDSTATUSCODES
        E: hello a.example extended
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        S: 538 5.7.11 authentication needs TLS
        C: MAIL FROM:<tim@a.example> AUTH=<>
        S: 555 5.5.4 parameter AUTH is not known here
        ",
    );
}

/// Whoever guesses passwords has as many guesses as errors; a fault of the server's own is no guess of the client's.
#[test]
fn rfc4954_4_refused_credentials_are_errors_and_faults_are_not() {
    let config = server_config(|config| {
        config.offer.auth = vec![AuthMechanism::Plain, AuthMechanism::Login];
        config.limits.errors = 2;
    });
    let script = r"
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        ! refuse 454 4.7.0 not now
        S: 454 4.7.0 not now
        E: auth PLAIN - tim tanstaaf
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        ! refuse 454 4.7.0 not now
        S: 454 4.7.0 not now
        E: auth PLAIN - tim tanstaaf
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        ! refuse 535 5.7.8 no
        S: 535 5.7.8 no
        E: auth PLAIN - tim tanstaaf
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        ! refuse 535 5.7.8 no
        S: 535 5.7.8 no
        S: 421 4.7.0 too many errors
        E: auth PLAIN - tim tanstaaf
        E: close
        ";
    server(config, true, &format!("{HELLO}{script}"));
}

#[test]
fn rfc4954_4_auth_has_its_place() {
    server(
        config(),
        true,
        r"
        S: 220 mx.example ESMTP
        C: HELO a.example
        S: 250 mx.example
        E: hello a.example plain
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        S: 503 5.5.1 say EHLO first
        ",
    );
    login(
        r"
        C: MAIL FROM:<>
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<>
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        S: 503 5.5.1 no AUTH within a transaction
        ",
    );
}
