//! AUTH as a client says it (RFC 4954).

use sealpost_smtp::{AuthMechanism, ClientError, ClientEvent, ClientSession, Credentials, Output, Secret, Stage};
use sealpost_types::Ticks;

use crate::script::{client_config, tls_facts};

fn credentials(mechanism: AuthMechanism) -> Credentials {
    Credentials::new(mechanism, None, "tim".to_owned(), Secret::new("tanstaaftanstaaf"))
}

/// A session that has said EHLO and was offered both mechanisms.
fn ready(under_tls: bool) -> ClientSession {
    let mut session = ClientSession::new(client_config(), under_tls.then(tls_facts), Ticks(0));
    answer(&mut session, "220 mx.example");
    answer(&mut session, "250-mx.example\r\n250 AUTH PLAIN LOGIN");
    session
}

/// What the session says and tells once the server has said this.
fn answer(session: &mut ClientSession, reply: &str) -> (String, Vec<ClientEvent>) {
    session.receive(format!("{reply}\r\n").as_bytes(), Ticks(0));
    drain(session)
}

fn drain(session: &mut ClientSession) -> (String, Vec<ClientEvent>) {
    let (mut said, mut events) = (String::new(), Vec::new());
    while let Some(output) = session.poll() {
        match output {
            Output::Send(octets) => said.push_str(std::str::from_utf8(octets).unwrap()),
            Output::Event(event) => events.push(event),
            _ => {}
        }
    }
    (said, events)
}

#[test]
fn rfc4616_4_plain_goes_with_the_command() {
    let mut session = ready(true);
    session.authenticate(&credentials(AuthMechanism::Plain), Ticks(0)).unwrap();
    assert_eq!(drain(&mut session).0, "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
    let (_, events) = answer(&mut session, "235 2.7.0 welcome");
    assert!(matches!(&events[..], [ClientEvent::Authenticated(reply)] if reply.text() == "welcome"), "{events:?}");
    assert!(session.is_ready());
}

#[test]
fn login_answers_two_challenges_and_no_third() {
    for (third, good) in [("235 2.7.0 welcome", true), ("334 bW9yZQ==", false)] {
        let mut session = ready(true);
        session.authenticate(&credentials(AuthMechanism::Login), Ticks(0)).unwrap();
        assert_eq!(drain(&mut session).0, "AUTH LOGIN\r\n");
        assert_eq!(answer(&mut session, "334 VXNlcm5hbWU6").0, "dGlt\r\n");
        assert_eq!(answer(&mut session, "334 UGFzc3dvcmQ6").0, "dGFuc3RhYWZ0YW5zdGFhZg==\r\n");
        let (_, events) = answer(&mut session, third);
        if good {
            assert!(matches!(events[..], [ClientEvent::Authenticated(_)]), "{events:?}");
        } else {
            assert!(matches!(events[..], [ClientEvent::Failed(ClientError::UnexpectedReply { stage: Stage::Auth, .. })]), "{events:?}");
        }
    }
}

#[test]
fn a_refusal_leaves_the_session_ready() {
    let mut session = ready(true);
    session.authenticate(&credentials(AuthMechanism::Plain), Ticks(0)).unwrap();
    drain(&mut session);
    let (_, events) = answer(&mut session, "535 5.7.8 no");
    assert!(matches!(events[..], [ClientEvent::Refused { stage: Stage::Auth, .. }]), "{events:?}");
    assert!(session.is_ready());
}

#[test]
fn nothing_is_said_in_clear_or_by_a_mechanism_that_is_not_offered() {
    assert!(ready(false).authenticate(&credentials(AuthMechanism::Plain), Ticks(0)).is_err());
    let other = AuthMechanism::parse("CRAM-MD5").unwrap();
    assert!(ready(true).authenticate(&credentials(other), Ticks(0)).is_err());
    let mut without = ClientSession::new(client_config(), Some(tls_facts()), Ticks(0));
    answer(&mut without, "220 mx.example");
    answer(&mut without, "250 mx.example");
    assert!(without.authenticate(&credentials(AuthMechanism::Plain), Ticks(0)).is_err());
    assert_eq!(drain(&mut without).0, "");
}

#[test]
fn mail_is_tried_and_reset_before_the_next_transaction() {
    let mut session = ready(false);
    session.try_mail(Ticks(0)).unwrap();
    assert_eq!(drain(&mut session).0, "MAIL FROM:<>\r\n");
    let (_, events) = answer(&mut session, "250 2.1.0 ok");
    assert!(matches!(&events[..], [ClientEvent::Mail(reply)] if reply.is_success()), "{events:?}");
    let bob = sealpost_types::Mailbox::parse("bob@b.example").unwrap();
    let recipients = vec![sealpost_types::Recipient::new(bob.into())];
    let transaction = sealpost_smtp::Transaction::new(sealpost_types::ReversePath::Null, recipients, sealpost_types::Octets(1));
    session.transaction(transaction, Ticks(0)).unwrap();
    assert!(drain(&mut session).0.starts_with("RSET\r\n"), "what was tried is forgotten first");
    let mut refused = ready(false);
    refused.try_mail(Ticks(0)).unwrap();
    drain(&mut refused);
    let (_, events) = answer(&mut refused, "530 5.7.0 STARTTLS first");
    assert!(matches!(&events[..], [ClientEvent::Mail(reply)] if reply.code().value() == 530), "{events:?}");
    assert!(refused.is_ready());
}
