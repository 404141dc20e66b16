//! The connecting side: STARTTLS, verification, what is never sent, what is resumed.

use std::sync::Arc;
use std::time::Duration;

use sealpost_cert::Finding;
use sealpost_smtp::ClientTimeouts;
use sealpost_transport::{
    ConnectFault, ConnectOptions, ConnectStage, Connector, ConnectorSettings, HandshakeError, ListenOptions, ListenerTls, RecipientOutcome,
    TransactionEnd, listen,
};
use sealpost_types::{Blame, Retry, TlsVersion};

use crate::pki::{Kind, Pki};
use crate::raw::script;
use crate::receiver::{Receiver, plain_server};
use crate::sending::*;

#[tokio::test]
async fn a_message_goes_over_starttls() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let mut connection = connect(&pki.client(), &verify(server.local_addr())).await.unwrap();
    let facts = *connection.tls().unwrap();
    assert_eq!((facts.version, facts.resumed), (TlsVersion::Tls1_3, false));
    // req: F7
    assert!(facts.group.unwrap().is_post_quantum());
    let verdict = connection.verdict().unwrap();
    assert!(verdict.satisfied && verdict.findings.is_empty());
    assert!(!connection.extensions().starttls() && connection.extensions().chunking());
    let stages: Vec<_> = connection.times().iter().map(|(stage, _)| stage).collect();
    assert_eq!(stages, ConnectStage::ALL);

    let outcome = deliver(&mut connection, &["bob@receiver.example", "unknown@receiver.example"], b"Subject: x\r\n\r\n.dot\r\n").await;
    assert!(matches!(outcome.recipient(0), Some(RecipientOutcome::Delivered(reply)) if reply.text() == "queued as 1"));
    assert!(matches!(outcome.recipient(1), Some(RecipientOutcome::Refused(reply)) if reply.text() == "no such user"));
    assert!(connection.is_reusable());
    let messages = receiver.messages();
    assert_eq!(messages[0].to, ["bob@receiver.example"]);
    assert_eq!(messages[0].body, b"Subject: x\r\n\r\n.dot\r\n");
    assert_eq!(messages[0].tls.map(|tls| tls.suite), Some(facts.suite), "both sides say the same of the connection");
    connection.quit().await;
}

#[tokio::test]
async fn a_message_goes_over_implicit_tls_and_ipv6() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let settings = sealpost_transport::ServerSettings::new(crate::receiver::config().into(), ListenerTls::Implicit);
    let server = crate::receiver::serve_on("[::1]:0", settings, &pki.server(Kind::Right), &receiver);
    let mut options = ConnectOptions::default();
    options.implicit_tls = true;
    let mut connection = connector(&pki.client()).connect(&verify(server.local_addr()), &options).await.unwrap();
    let stages: Vec<_> = connection.times().iter().map(|(stage, _)| stage).collect();
    assert_eq!(stages, [ConnectStage::Connect, ConnectStage::Banner, ConnectStage::Ehlo, ConnectStage::Handshake]);
    deliver(&mut connection, &["bob@receiver.example"], b"x\r\n").await;
    assert!(receiver.messages()[0].tls.is_some());
}

#[tokio::test]
async fn a_certificate_is_judged_by_the_demand_and_always_looked_at() {
    let pki = Pki::new();
    for kind in [Kind::Right, Kind::SelfSigned, Kind::Expired, Kind::WrongName] {
        let receiver = Receiver::default().into();
        let server = plain_server(ListenerTls::StartTls, &pki.server(kind), &receiver);
        let client = pki.client();
        let expected = |finding: &Finding| match kind {
            Kind::SelfSigned => matches!(finding, Finding::SelfSigned { .. }),
            Kind::Expired => matches!(finding, Finding::Expired { .. }),
            Kind::WrongName => matches!(finding, Finding::NameMismatch { .. }),
            Kind::Right => false,
        };
        // req: B8
        let strong = connect(&client, &verify(server.local_addr())).await;
        match (kind, strong) {
            (Kind::Right, strong) => assert!(strong.unwrap().verdict().unwrap().satisfied),
            (_, Ok(_)) => panic!("{kind:?} passes under verify"),
            (_, Err(error)) => {
                let ConnectFault::Handshake { cause: HandshakeError::Unverified { verdict } } = &error.fault else { panic!("{error:?}") };
                assert!(verdict.findings.iter().any(expected), "{kind:?}: {:?}", verdict.findings);
                assert!(error.is_tls_failure());
                assert_eq!((error.stage, error.blame(), error.retry()), (ConnectStage::Handshake, Blame::Peer, Retry::OtherHost));
            }
        }
        // req: F6
        let relaxed = connect(&client, &require(server.local_addr())).await.unwrap();
        let verdict = relaxed.verdict().unwrap();
        assert!(verdict.satisfied, "nothing was demanded of the certificate");
        assert_eq!(verdict.trusted, matches!(kind, Kind::Right | Kind::WrongName));
        if matches!(kind, Kind::SelfSigned | Kind::Expired) {
            assert!(verdict.findings.iter().any(expected), "{kind:?}: {:?}", verdict.findings);
        }
    }
}

#[tokio::test]
async fn without_starttls_a_mandatory_demand_sends_nothing() {
    // req: A8
    let (address, heard) = script(&[("", "220 mx\r\n"), ("\r\n", "250-mx\r\n250 PIPELINING\r\n"), ("QUIT\r\n", "221 bye\r\n")]).await;
    let error = connect(&Pki::new().client(), &require(address)).await.unwrap_err();
    assert!(matches!(error.fault, ConnectFault::StartTlsNotOffered));
    assert!(error.is_tls_failure());
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("EHLO client.example\r\n") && !heard.contains("MAIL") && !heard.contains('@'), "{heard}");
}

#[tokio::test]
async fn an_opportunistic_demand_takes_what_there_is() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let clear = plain_server(ListenerTls::None, &pki.server(Kind::Right), &receiver);
    let connection = connect(&pki.client(), &opportunistic(clear.local_addr())).await.unwrap();
    assert!(connection.tls().is_none() && connection.verdict().is_none() && connection.chain().is_empty());
    let offering = plain_server(ListenerTls::StartTls, &pki.server(Kind::SelfSigned), &receiver);
    assert!(connect(&pki.client(), &opportunistic(offering.local_addr())).await.unwrap().tls().is_some());
    let mut connection = connect(&pki.client(), &never(offering.local_addr())).await.unwrap();
    assert!(connection.tls().is_none());
    deliver(&mut connection, &["bob@receiver.example"], b"x\r\n").await;
    assert_eq!(receiver.messages()[0].tls, None);
}

#[tokio::test]
async fn what_the_server_says_decides_whether_it_is_a_tls_failure() {
    for (reply, is_tls_failure) in [("454 4.7.0 no key\r\n", true), ("502 no\r\n", true), ("451 later\r\n", false), ("421 busy\r\n", false)]
    {
        let steps: &'static [_] = Vec::leak(vec![("", "220 mx\r\n"), ("\r\n", "250-mx\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", reply)]);
        let (address, heard) = script(steps).await;
        let error = connect(&Pki::new().client(), &opportunistic(address)).await.unwrap_err();
        assert_eq!(error.is_tls_failure(), is_tls_failure, "{error}");
        assert_eq!((error.stage, error.reply().unwrap().code().to_string()), (ConnectStage::StartTls, reply[..3].to_owned()));
        assert!(error.extensions.unwrap().starttls());
        assert!(!heard.await.unwrap().contains("MAIL"), "and nothing is sent in clear on the same connection");
    }
    for greeting in ["421 4.3.2 busy\r\n", "554 no\r\n"] {
        let (address, _) = script(Vec::leak(vec![("", greeting)])).await;
        let error = connect(&Pki::new().client(), &require(address)).await.unwrap_err();
        assert!(!error.is_tls_failure());
        assert_eq!((error.stage, error.retry()), (ConnectStage::Banner, Retry::OtherHost));
        assert!(matches!(error.fault, ConnectFault::Refused { .. }));
    }
}

#[tokio::test]
async fn text_behind_starttls_is_an_attack() {
    let (address, heard) =
        script(&[("", "220 mx\r\n"), ("\r\n", "250-mx\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n")])
            .await;
    let error = connect(&Pki::new().client(), &opportunistic(address)).await.unwrap_err();
    assert!(matches!(error.fault, ConnectFault::Injected), "{error:?}");
    assert_eq!(heard.await.unwrap(), "EHLO client.example\r\nSTARTTLS\r\n", "not even a ClientHello");
}

#[tokio::test]
async fn silence_is_no_tls_failure_whenever_it_comes() {
    let client = Pki::new().client();
    let scripts: [&'static [(&str, &str)]; 3] = [&[], &[("", "220 mx\r\n")], &[("", "220 mx\r\n"), ("\r\n", "250-mx\r\n250 STARTTLS\r\n")]];
    let expected = [ConnectStage::Banner, ConnectStage::Ehlo, ConnectStage::StartTls];
    for (steps, stage) in scripts.into_iter().zip(expected) {
        let (address, _heard) = script(steps).await;
        let after = Duration::from_millis(50);
        let error = connector_with(&client, impatient(after)).connect(&require(address), &ConnectOptions::default()).await.unwrap_err();
        assert!(matches!(error.fault, ConnectFault::TimedOut { after: waited } if waited == after), "{error:?}");
        assert_eq!((error.stage, error.is_tls_failure(), error.blame()), (stage, false, Blame::Network));
    }
    assert_eq!(ClientTimeouts::default().finish, Duration::from_secs(600), "RFC 5321 section 4.5.3.2.6");
}

#[tokio::test]
async fn a_handshake_that_never_answers_is_a_time_out_and_one_that_breaks_is_not() {
    let (address, _heard) = script(&[("", "220 mx\r\n"), ("\r\n", "250-mx\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "220 go\r\n")]).await;
    let mut settings = ConnectorSettings::new(impatient(Duration::from_secs(5)).into());
    settings.handshake_timeout = Duration::from_millis(50);
    let connector = Connector::new(Pki::new().client(), settings);
    let error = connector.connect(&require(address), &ConnectOptions::default()).await.unwrap_err();
    assert!(matches!(error.fault, ConnectFault::TimedOut { .. }) && !error.is_tls_failure(), "{error:?}");
}

#[tokio::test]
async fn a_host_that_is_not_there_is_no_tls_failure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = connect(&Pki::new().client(), &require(address)).await.unwrap_err();
    assert!(matches!(error.fault, ConnectFault::Unreachable { kind: std::io::ErrorKind::ConnectionRefused }));
    assert_eq!((error.stage, error.is_tls_failure()), (ConnectStage::Connect, false));
}

#[tokio::test]
async fn refusals_reach_the_outcome_and_leave_the_connection_usable() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let mut connection = connect(&pki.client(), &verify(server.local_addr())).await.unwrap();
    let outcome = deliver(&mut connection, &["unknown@receiver.example"], b"x\r\n").await;
    assert!(matches!(outcome.end, TransactionEnd::NotSent));
    assert!(matches!(outcome.recipient(0), Some(RecipientOutcome::Refused(reply)) if reply.code().value() == 550));
    assert!(connection.is_reusable());
    deliver(&mut connection, &["bob@receiver.example"], b"y\r\n").await;
    assert_eq!(receiver.messages().len(), 1);
    assert_eq!(connection.uses(), 2);
}

#[tokio::test]
async fn both_sides_know_that_a_session_was_resumed() {
    // req: E7
    let pki = Pki::new();
    let receiver: Arc<Receiver> = Receiver::default().into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let (client, key) = (pki.client(), verify(server.local_addr()));
    for _ in 0..2 {
        let mut connection = connect(&client, &key).await.unwrap();
        assert!(connection.verdict().unwrap().satisfied);
        deliver(&mut connection, &["bob@receiver.example"], b"x\r\n").await;
        connection.quit().await;
    }
    let resumed: Vec<_> = receiver.messages().iter().map(|message| message.tls.unwrap().resumed).collect();
    assert_eq!(resumed, [false, true]);
    assert!(!connect(&client, &require(server.local_addr())).await.unwrap().tls().unwrap().resumed, "not for another demand");
}

#[tokio::test]
async fn a_host_that_does_not_answer_at_all_is_given_up() {
    let mut options = ListenOptions::default();
    options.backlog = 0;
    let listener = listen("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    let mut settings = ConnectorSettings::new(impatient(Duration::from_millis(20)).into());
    settings.connect_timeout = Duration::from_millis(20);
    let connector = Connector::new(Pki::new().client(), settings);
    let key = require(listener.local_addr().unwrap());
    // Nobody accepts: once the few places are taken, the kernel answers no more.
    for _ in 0..10 {
        let error = connector.connect(&key, &ConnectOptions::default()).await.unwrap_err();
        assert!(matches!(error.fault, ConnectFault::TimedOut { .. }), "{error:?}");
        if error.stage == ConnectStage::Connect {
            return;
        }
    }
    panic!("the backlog is never full");
}

#[tokio::test]
async fn connections_come_from_the_source_address() {
    let pki = Pki::new();
    let receiver: Arc<Receiver> = Receiver::default().into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let mut settings = ConnectorSettings::new(impatient(Duration::from_secs(5)).into());
    settings.source_ipv4 = Some([127, 0, 0, 2].into());
    settings.source_ipv6 = Some("2001:db8::1".parse().unwrap());
    let connector = Connector::new(pki.client(), settings);
    connector.connect(&verify(server.local_addr()), &ConnectOptions::default()).await.unwrap().quit().await;
    assert_eq!(receiver.clients.lock().unwrap()[0].ip().to_string(), "127.0.0.2");
    let error = connector.connect(&verify("[::1]:25".parse().unwrap()), &ConnectOptions::default()).await.unwrap_err();
    assert!(matches!(error.fault, ConnectFault::Local { kind: std::io::ErrorKind::AddrNotAvailable }), "{error:?}");
    assert_eq!((error.blame(), error.retry()), (Blame::Us, Retry::Later));
}
