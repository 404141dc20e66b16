//! Bodies: large ones, both ways of sending, and what is known when it breaks off.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sealpost_smtp::{Reply, TransactionError};
use sealpost_transport::{
    BodySource, ConnectOptions, ListenerTls, MemoryBody, RecipientOutcome, ServerSettings, TransactionEnd, TransferFault, TransferPhase,
};
use sealpost_types::{BodyKind, Octets, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::pki::{Kind, Pki};
use crate::raw::{script, script_and_close};
use crate::receiver::{Receiver, config, serve};
use crate::sending::*;

/// A body made of the same lines over and over, never in memory as a whole.
struct Lines {
    piece: Vec<u8>,
    pieces: u64,
    announced: u64,
}

impl Lines {
    fn new(pieces: u64) -> Self {
        // A dot at the start of every line, and pieces whose edges fall inside of lines.
        let piece =
            b".one line of the body that begins with a dot\r\n".iter().copied().cycle().skip(7).take(32 * 1024).collect::<Vec<u8>>();
        let announced = pieces * u64::try_from(piece.len()).unwrap();
        Self { piece, pieces, announced }
    }
}

impl BodySource for Lines {
    fn length(&self) -> u64 {
        self.announced
    }

    async fn next_piece(&mut self) -> io::Result<&[u8]> {
        if self.pieces == 0 {
            return Ok(&[]);
        }
        self.pieces -= 1;
        Ok(&self.piece)
    }
}

#[tokio::test]
async fn a_large_body_passes_by_bdat_and_by_data_in_pieces() {
    let pki = Pki::new();
    for chunking in [true, false] {
        let receiver: Arc<Receiver> = Receiver::default().into();
        let mut config = config();
        config.offer.chunking = chunking;
        let server = serve(ServerSettings::new(Arc::new(config), ListenerTls::StartTls), &pki.server(Kind::Right), &receiver);
        let mut connection = connect(&pki.client(), &verify(server.local_addr())).await.unwrap();
        let mut body = Lines::new(128);
        let mut expected = body.piece.repeat(128);
        if !chunking {
            // DATA ends with a line end, so one is added to content that lacks it.
            expected.extend_from_slice(b"\r\n");
        }
        let mut transaction = transaction(&["bob@receiver.example"], b"");
        transaction.body_length = Octets(body.announced);
        let outcome = connection.deliver(transaction, &mut body).await.unwrap();
        assert!(matches!(outcome.recipient(0), Some(RecipientOutcome::Delivered(_))), "{outcome:?}");
        let messages = receiver.messages();
        assert!(messages[0].body == expected, "the body arrives as it was, chunking: {chunking}");
        assert!(*receiver.largest_chunk.lock().unwrap() <= 16 * 1024, "the receiver never holds more than a record");
    }
}

#[tokio::test]
async fn a_small_message_is_one_flight() {
    let replies = "250 sender\r\n250 recipient\r\n250 queued\r\n";
    let steps: &'static [_] =
        Vec::leak(vec![("", "220 mx\r\n"), ("\r\n", "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n"), ("hello\r\n", replies)]);
    let (address, heard) = script(steps).await;
    let mut connection = connect(&Pki::new().client(), &never(address)).await.unwrap();
    let body = b"hello\r\n";
    let mut message = transaction(&["bob@receiver.example"], body);
    message.inline_body = true;
    let outcome = connection.deliver(message, &mut MemoryBody::new(body)).await.unwrap();
    assert!(matches!(outcome.recipient(0), Some(RecipientOutcome::Delivered(_))));
    connection.hang_up();
    let expected =
        "EHLO client.example\r\nMAIL FROM:<ann@sender.example>\r\nRCPT TO:<bob@receiver.example>\r\nBDAT 7 LAST\r\nhello\r\nQUIT\r\n";
    assert_eq!(heard.await.unwrap(), expected);
}

const DATA: (&str, &str) = ("DATA\r\n", "250 sender\r\n250 recipient\r\n354 go\r\n");
const HELLO: [(&str, &str); 2] = [("", "220 mx\r\n"), ("\r\n", "250-mx\r\n250 PIPELINING\r\n")];

/// Delivers to a server that follows the steps and then closes.
async fn deliver_to(steps: &[(&'static str, &'static str)]) -> TransactionEnd {
    let steps: &'static [_] = Vec::leak([&HELLO, steps].concat());
    let (address, _heard) = script_and_close(steps).await;
    let mut connection = connect(&Pki::new().client(), &never(address)).await.unwrap();
    let outcome = deliver(&mut connection, &["bob@receiver.example"], b"x\r\n").await;
    assert!(!connection.is_reusable() || matches!(outcome.end, TransactionEnd::Answered { .. }));
    outcome.end
}

#[tokio::test]
async fn what_is_known_depends_on_when_it_breaks_off() {
    let TransactionEnd::Broken { error } = deliver_to(&[("DATA\r\n", "250 sender\r\n")]).await else { panic!() };
    assert_eq!((error.phase, error.is_unknown(), error.retry()), (TransferPhase::Envelope, false, Retry::OtherHost));
    let TransactionEnd::Broken { error } = deliver_to(&[DATA, (".\r\n", "")]).await else { panic!() };
    assert_eq!((error.phase, error.is_unknown(), error.retry()), (TransferPhase::Answer, true, Retry::Later));
    // A 421 is an answer, wherever it comes.
    let TransactionEnd::Broken { error } = deliver_to(&[DATA, (".\r\n", "421 going down\r\n")]).await else { panic!() };
    assert!(matches!(error.fault, TransferFault::Closing { .. }) && !error.is_unknown());
    let TransactionEnd::Answered { reply } = deliver_to(&[DATA, (".\r\n", "451 later\r\n")]).await else { panic!() };
    assert_eq!(reply, Reply::plain::<451>("later"));
}

#[tokio::test]
async fn a_server_that_never_answers_the_body_leaves_it_unknown() {
    let steps: &'static [_] = Vec::leak([&HELLO, [DATA].as_slice()].concat());
    let (address, _heard) = script(steps).await;
    let connector = connector_with(&Pki::new().client(), impatient(Duration::from_millis(50)));
    let mut connection = connector.connect(&never(address), &ConnectOptions::default()).await.unwrap();
    let outcome = deliver(&mut connection, &["bob@receiver.example"], b"x\r\n").await;
    let TransactionEnd::Broken { error } = outcome.end else { panic!("{outcome:?}") };
    assert!(matches!(error.fault, TransferFault::TimedOut { .. }) && error.is_unknown(), "{error:?}");
}

#[tokio::test]
async fn a_server_that_has_enough_is_heard_and_the_rest_is_kept_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut octets = vec![0; 64 * 1024];
        tcp.write_all(b"220 mx\r\n").await.unwrap();
        let _ = tcp.read(&mut octets).await.unwrap();
        tcp.write_all(b"250-mx\r\n250 CHUNKING\r\n").await.unwrap();
        for _ in 0..2 {
            let _ = tcp.read(&mut octets).await.unwrap();
            tcp.write_all(b"250 ok\r\n").await.unwrap();
        }
        let _ = tcp.read(&mut octets).await.unwrap();
        tcp.write_all(b"552 5.3.4 too much\r\n").await.unwrap();
        let mut read = 0;
        while let Ok(count @ 1..) = tcp.read(&mut octets).await {
            read += count;
        }
        read
    });
    let mut connection = connect(&Pki::new().client(), &never(address)).await.unwrap();
    let mut body = Lines::new(32 * 64);
    let mut message = transaction(&["bob@receiver.example"], b"");
    message.body_length = Octets(body.announced);
    let outcome = connection.deliver(message, &mut body).await.unwrap();
    assert!(matches!(outcome.recipient(0), Some(RecipientOutcome::Refused(reply)) if reply.text() == "too much"), "{outcome:?}");
    assert!(!connection.is_reusable());
    drop(connection);
    assert!(server.await.unwrap() < 60 * 1024 * 1024, "64 MiB were not all sent");
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_not_sent_to_its_end() {
    let receiver: Arc<Receiver> = Receiver::default().into();
    for chunking in [true, false] {
        let mut config = config();
        config.offer.chunking = chunking;
        let pki = Pki::new();
        let server = serve(ServerSettings::new(Arc::new(config), ListenerTls::None), &pki.server(Kind::Right), &receiver);
        for wrong in [2, 4] {
            let mut connection = connect(&pki.client(), &never(server.local_addr())).await.unwrap();
            let mut body = Lines { piece: b"x\r\n".to_vec(), pieces: 1, announced: wrong };
            let mut message = transaction(&["bob@receiver.example"], b"");
            message.body_length = Octets(wrong);
            let outcome = connection.deliver(message, &mut body).await.unwrap();
            let TransactionEnd::Broken { error } = outcome.end else { panic!() };
            assert!(matches!(error.fault, TransferFault::BodyLength { announced, .. } if announced == wrong));
            assert_eq!((error.retry(), error.is_unknown()), (Retry::Later, false));
            assert!(!connection.is_reusable());
        }
    }
    assert_eq!(receiver.messages().len(), 0);
}

#[tokio::test]
async fn a_message_that_may_not_be_sent_is_not_begun() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let server = serve(ServerSettings::new(Arc::new(config()), ListenerTls::None), &pki.server(Kind::Right), &receiver);
    let mut connection = connect(&pki.client(), &never(server.local_addr())).await.unwrap();
    let mut message = transaction(&["bob@receiver.example"], b"");
    message.body = BodyKind::BinaryMime;
    let refused = connection.deliver(message, &mut MemoryBody::new(b"")).await;
    assert!(matches!(refused, Err(TransactionError::Missing(_))));
    assert!(connection.is_reusable());
}
