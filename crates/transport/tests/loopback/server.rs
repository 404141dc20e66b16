//! The accepting side: limits, time, orderly and disorderly ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_smtp::ServerConfig;
use sealpost_transport::{ConnectionLimits, Gate, ListenOptions, ListenerTls, Server, ServerSettings, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::pki::{Kind, Pki};
use crate::raw::RawClient;
use crate::receiver::{Handler, Receiver, Told, config, plain_server, serve};
use crate::sending::{connect, deliver, verify};

fn settings(config: ServerConfig) -> ServerSettings {
    ServerSettings::new(Arc::new(config), ListenerTls::StartTls)
}

pub(crate) fn limits(total: usize, per_address: usize) -> ServerSettings {
    let mut limits = ConnectionLimits::default();
    (limits.total, limits.per_address) = (total, per_address);
    let mut settings = settings(config());
    settings.gate = Gate::new(limits);
    settings
}

#[tokio::test]
async fn a_listener_that_requires_tls_refuses_mail_in_clear() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let mut config = config();
    config.require_tls_before_mail = true;
    let server = serve(settings(config), &pki.server(Kind::Right), &receiver);
    let mut clear = RawClient::hello(server.local_addr()).await;
    assert!(clear.ask("MAIL FROM:<ann@sender.example>\r\n").await.starts_with("530 5.7.0 "));
    let mut connection = connect(&pki.client(), &verify(server.local_addr())).await.unwrap();
    deliver(&mut connection, &["bob@receiver.example"], b"x\r\n").await;
    assert_eq!(receiver.messages().len(), 1);
}

#[tokio::test]
async fn text_behind_starttls_never_reaches_the_session_under_tls() {
    let pki = Pki::new();
    let receiver: Arc<Receiver> = Receiver::default().into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let mut together = RawClient::hello(server.local_addr()).await;
    assert!(together.ask("STARTTLS\r\nMAIL FROM:<eve@evil.example>\r\n").await.starts_with("554 5.5.1 "));
    assert_eq!(together.reply().await, "", "closed");
    let mut apart = RawClient::hello(server.local_addr()).await;
    assert!(apart.ask("STARTTLS\r\n").await.starts_with("220 "));
    apart.say("MAIL FROM:<eve@evil.example>\r\n").await;
    // Whatever comes is a TLS alert, not a reply; then the connection ends.
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(5), apart.tcp.read_to_end(&mut rest)).await.unwrap();
    assert!(!rest.starts_with(b"250"), "{rest:?}");
    assert_eq!(*receiver.aborted.lock().unwrap(), 0, "no transaction was ever begun");
    assert_eq!(*receiver.tls_failures.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_client_that_drips_is_sent_away() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let mut config = config();
    config.timeouts.command = Duration::from_millis(200);
    config.timeouts.message = Duration::from_millis(200);
    let server = serve(settings(config), &pki.server(Kind::Right), &receiver);
    for content in [false, true] {
        let mut client = RawClient::hello(server.local_addr()).await;
        if content {
            client.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n").await;
            for code in ["250", "250", "354"] {
                assert!(client.reply().await.starts_with(code));
            }
        }
        let start = Instant::now();
        let (mut read, mut write) = client.tcp.split();
        let drip = async {
            // Each octet comes long before any time-out for silence.
            while write.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let mut octets = [0; 100];
        let said = tokio::select! {
            () = drip => panic!("the client was not told"),
            count = read.read(&mut octets) => String::from_utf8_lossy(&octets[..count.unwrap()]).into_owned(),
        };
        assert!(said.starts_with("421 4.4.2 "), "{said}");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
    assert_eq!(*receiver.aborted.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_handshake_that_drips_ends_too() {
    let receiver = Receiver::default().into();
    let mut settings = ServerSettings::new(Arc::new(config()), ListenerTls::Implicit);
    settings.handshake_timeout = Duration::from_millis(50);
    let server = serve(settings, &Pki::new().server(Kind::Right), &receiver);
    let mut client = RawClient::connect(server.local_addr()).await;
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), client.tcp.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, b"");
}

/// A gate of its own for each listener would let in twice as many, and that they would be: the last lines show it.
#[tokio::test]
async fn listeners_with_one_gate_share_its_limits() {
    let backend = Pki::new().server(Kind::Right);
    let receiver = Receiver::default().into();
    for (settings, refusal) in
        [(limits(1, 10), "421 4.7.0 too many connections, "), (limits(10, 1), "421 4.7.0 too many connections from your address")]
    {
        let one = serve(settings.clone(), &backend, &receiver);
        let two = serve(settings.clone(), &backend, &receiver);
        let first = RawClient::hello(one.local_addr()).await;
        let turned_away = RawClient::connect(two.local_addr()).await.reply().await;
        assert!(turned_away.starts_with(refusal), "{turned_away}");
        drop(first);
        while settings.gate.connections() > 0 {
            tokio::task::yield_now().await;
        }
        RawClient::hello(two.local_addr()).await;
    }
    let (one, two) = (serve(limits(1, 10), &backend, &receiver), serve(limits(1, 10), &backend, &receiver));
    let _both = (RawClient::hello(one.local_addr()).await, RawClient::hello(two.local_addr()).await);
}

#[tokio::test]
async fn one_address_has_its_share_of_connections() {
    let pki = Pki::new();
    let backend = pki.server(Kind::Right);
    let receiver = Receiver::default().into();
    let server = serve(limits(10, 2), &backend, &receiver);
    let first = RawClient::hello(server.local_addr()).await;
    let _second = RawClient::hello(server.local_addr()).await;
    let mut third = RawClient::connect(server.local_addr()).await;
    assert_eq!(third.reply().await, "421 4.7.0 too many connections from your address, try again later\r\n");
    assert_eq!(third.reply().await, "", "closed");
    drop(first);
    while server.connections() > 1 {
        tokio::task::yield_now().await;
    }
    RawClient::hello(server.local_addr()).await;

    let exempt = Receiver { exempt: true, ..Receiver::default() }.into();
    let server = serve(limits(3, 1), &backend, &exempt);
    let mut inside = Vec::new();
    for _ in 0..3 {
        inside.push(RawClient::hello(server.local_addr()).await);
    }
    let mut fourth = RawClient::connect(server.local_addr()).await;
    assert!(fourth.reply().await.starts_with("421 4.7.0 too many connections,"), "the total holds for everybody");
}

#[tokio::test]
async fn the_handler_may_refuse_a_connection() {
    let receiver = Receiver { refuse_connections: true, ..Receiver::default() }.into();
    let server = plain_server(ListenerTls::StartTls, &Pki::new().server(Kind::Right), &receiver);
    let mut client = RawClient::connect(server.local_addr()).await;
    assert_eq!(client.reply().await, "554 5.7.1 not you\r\n");
    assert_eq!(client.reply().await, "");
}

#[tokio::test]
async fn at_shutdown_idle_sessions_end_and_a_transaction_is_finished() {
    let pki = Pki::new();
    let receiver: Arc<Receiver> = Receiver { gate: Some(Semaphore::new(0)), ..Receiver::default() }.into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let address = server.local_addr();
    let mut idle = RawClient::hello(address).await;
    let mut busy = connect(&pki.client(), &verify(address)).await.unwrap();
    let sending = tokio::spawn(async move { (deliver(&mut busy, &["bob@receiver.example"], b"x\r\n").await, busy) });
    // The body has come and the store has not answered yet.
    while *receiver.largest_chunk.lock().unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(server.shutdown(Duration::from_secs(5)));
    assert!(idle.reply().await.starts_with("421 4.3.2 "));
    assert_eq!(idle.reply().await, "");
    drop(idle);
    assert!(!stopping.is_finished());
    receiver.gate.as_ref().unwrap().add_permits(1);
    let (outcome, mut busy) = sending.await.unwrap();
    assert!(matches!(outcome.end, sealpost_transport::TransactionEnd::Answered { reply } if reply.is_success()));
    stopping.await.unwrap();
    assert!(!busy.is_reusable(), "and then it is told 421");
    assert_eq!(receiver.messages().len(), 1);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_transaction_that_does_not_end_is_ended_after_the_grace() {
    let receiver = Receiver::default().into();
    let server = plain_server(ListenerTls::None, &Pki::new().server(Kind::Right), &receiver);
    let mut client = RawClient::hello(server.local_addr()).await;
    assert!(client.ask("MAIL FROM:<a@b.example>\r\n").await.starts_with("250 "));
    let stopping = tokio::spawn(server.shutdown(Duration::from_millis(50)));
    assert!(client.reply().await.starts_with("421 4.3.2 "));
    drop(client);
    timeout(Duration::from_secs(5), stopping).await.unwrap().unwrap();
    assert_eq!((*receiver.aborted.lock().unwrap(), *receiver.closed.lock().unwrap()), (1, 1));
}

#[tokio::test]
async fn a_store_that_fills_up_refuses_the_message_and_the_session_stays_in_step() {
    let receiver = Receiver { refuse_body_at: Some(10), ..Receiver::default() }.into();
    let server = plain_server(ListenerTls::None, &Pki::new().server(Kind::Right), &receiver);
    let mut client = RawClient::hello(server.local_addr()).await;
    client.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n").await;
    for code in ["250", "250", "354"] {
        assert!(client.reply().await.starts_with(code));
    }
    client.say(&"0123456789\r\n".repeat(10_000)).await;
    assert!(client.ask(".\r\n").await.starts_with("452 4.3.1 full"));
    client.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 20 LAST\r\n0123456789ABCDEFGH\r\nNOOP\r\n").await;
    for code in ["250", "250", "452", "250"] {
        let reply = client.reply().await;
        assert!(reply.starts_with(code), "{code}: {reply}");
    }
    assert_eq!((receiver.messages().len(), *receiver.aborted.lock().unwrap()), (0, 0));
}

#[tokio::test]
async fn a_batch_of_commands_gets_one_write() {
    let receiver = Receiver::default().into();
    let server = plain_server(ListenerTls::None, &Pki::new().server(Kind::Right), &receiver);
    let mut client = RawClient::hello(server.local_addr()).await;
    client.say(&"NOOP\r\n".repeat(50)).await;
    let mut octets = [0; 4096];
    let count = client.tcp.read(&mut octets).await.unwrap();
    assert_eq!(count, 50 * "250 2.0.0 ok\r\n".len(), "all replies in one segment");
}

/// Whoever sends a thousand recipients at once is served in turn with others: with a client that says something only after some of them, whose
/// octets nobody has seen yet. A flood of recipients held up everybody while each session had 128 of them answered before the next, and
/// any number of those that it refuses by itself.
///
/// One alone has the longer turn all the same, for turns take time. The negative control is a turn without an end: then the other waits for
/// the last recipient.
#[tokio::test]
async fn a_thousand_recipients_at_once_hold_up_nobody() {
    let backend = Pki::new().server(Kind::Right);
    // What came before the other's MAIL: how many MAIL, and how many recipients.
    let before_the_other = async |clients: usize, at, limit, turn: Option<usize>| {
        let receiver: Arc<Receiver> = Receiver::default().into();
        let mut config = config();
        config.limits.recipients = limit;
        let mut settings = settings(config);
        settings.turn = turn.unwrap_or(settings.turn);
        let server = serve(settings, &backend, &receiver);
        let mut other = RawClient::hello(server.local_addr()).await;
        let tcp = other.tcp.into_std().unwrap();
        *receiver.at_recipient.lock().unwrap() = Some((at, Told(tcp.try_clone().unwrap(), b"MAIL FROM:<other@b.example>\r\n")));
        other.tcp = TcpStream::from_std(tcp).unwrap();
        let mut many = Vec::new();
        for _ in 0..clients {
            many.push(RawClient::hello(server.local_addr()).await);
        }
        // All that one says is one read of the server's.
        let recipients = "RCPT TO:<bob@b.example>\r\n".repeat(1000);
        for client in &mut many {
            client.say(&format!("MAIL FROM:<many@b.example>\r\n{recipients}RSET\r\nMAIL FROM:<more@b.example>\r\n")).await;
        }
        assert!(other.reply().await.starts_with("250 "));
        for _ in 0..1003 {
            assert!(many[0].reply().await.starts_with(['2', '4']));
        }
        let mails = receiver.mails.lock().unwrap();
        let before = mails.iter().position(|(from, _)| from.starts_with("other")).unwrap();
        (before, mails[before].1)
    };
    let (mails, recipients) = before_the_other(2, 300, 1000, None).await;
    assert!(mails == 2 && recipients <= 364, "{recipients} recipients of two came before the other's command, which came at the 300th");
    let (mails, recipients) = before_the_other(1, 20, 1000, None).await;
    assert!(mails == 1 && (100..150).contains(&recipients), "{recipients} recipients of one came before the other's command");
    // After the twentieth the session refuses them by itself.
    assert_eq!(before_the_other(1, 20, 20, None).await, (1, 20));
    for limit in [1000, 20] {
        assert_eq!(before_the_other(1, 20, limit, Some(usize::MAX)).await, (2, limit), "this does not see who waits");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_aborts_its_transaction() {
    let receiver: Arc<Receiver> = Receiver::default().into();
    let server = plain_server(ListenerTls::None, &Pki::new().server(Kind::Right), &receiver);
    let mut client = RawClient::hello(server.local_addr()).await;
    client.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n").await;
    for code in ["250", "250", "354"] {
        assert!(client.reply().await.starts_with(code));
    }
    client.say("half a message").await;
    drop(client);
    while *receiver.closed.lock().unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((receiver.messages().len(), *receiver.aborted.lock().unwrap()), (0, 1));
}

#[tokio::test]
async fn a_client_that_reads_no_replies_is_cut_off() {
    let receiver: Arc<Receiver> = Receiver::default().into();
    let mut config = config();
    config.limits.idle_commands = u32::MAX;
    let mut settings = settings(config);
    settings.write_timeout = Duration::from_millis(50);
    let server = serve(settings, &Pki::new().server(Kind::Right), &receiver);
    let mut client = RawClient::hello(server.local_addr()).await;
    let commands = "EHLO c\r\n".repeat(8000);
    let flood = async { while client.tcp.write_all(commands.as_bytes()).await.is_ok() {} };
    timeout(Duration::from_secs(10), flood).await.expect("the server closes");
    assert_eq!(*receiver.closed.lock().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_connections_at_once() {
    let pki = Pki::new();
    let receiver: Arc<Receiver> = Receiver { exempt: true, ..Receiver::default() }.into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let (client, key) = (pki.client(), verify(server.local_addr()));
    let sending: Vec<_> = (0..100)
        .map(|_| {
            let (client, key) = (Arc::clone(&client), key.clone());
            tokio::spawn(async move {
                let mut connection = connect(&client, &key).await.unwrap();
                deliver(&mut connection, &["bob@receiver.example"], &b"x\r\n".repeat(1000)).await;
                connection.quit().await;
            })
        })
        .collect();
    for task in sending {
        task.await.unwrap();
    }
    assert_eq!(receiver.messages().len(), 100);
    server.shutdown(Duration::from_secs(5)).await;
    assert_eq!(*receiver.closed.lock().unwrap(), 100);
}

#[tokio::test]
async fn tls_is_not_offered_without_a_certificate() {
    let backend = Pki::new().client();
    let start = |tls| {
        let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
        Server::start(listener, ServerSettings::new(Arc::new(config()), tls), Arc::clone(&backend), Arc::new(Handler(Arc::default())))
    };
    for tls in [ListenerTls::StartTls, ListenerTls::Implicit] {
        assert_eq!(start(tls).unwrap_err().to_string(), "there is no certificate to accept TLS with");
    }
    let server = start(ListenerTls::None).unwrap();
    let mut client = RawClient::connect(server.local_addr()).await;
    client.reply().await;
    assert!(!client.ask("EHLO c\r\n").await.contains("STARTTLS"));
}
