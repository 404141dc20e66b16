//! Hosts and boxes on the way that choke on a hello with a post-quantum key exchange.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealpost_smtp::{ClientConfig, HelloName};
use sealpost_transport::{
    ConnectError, ConnectFault, ConnectOptions, ConnectStage, Connection, Connector, ConnectorSettings, HandshakeError, ListenerTls,
    RustlsBackend, WallClock,
};
use sealpost_types::{KexFloor, UnixMillis, WireKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::pki::{Kind, Pki};
use crate::receiver::{Receiver, plain_server};
use crate::sending::{require, verify};

/// What a box does to a TLS hello that is larger than it puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Swallow,
    Close,
    Alert,
}

/// A box on the way to a server.
struct Middlebox {
    address: SocketAddr,
    /// The sizes of the hellos that came by.
    hellos: Arc<Mutex<Vec<usize>>>,
}

impl Middlebox {
    async fn before(server: SocketAddr, limit: usize, harm: Harm) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, hellos) = (listener.local_addr().unwrap(), Arc::default());
        let seen: Arc<Mutex<Vec<usize>>> = Arc::clone(&hellos);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, limit, harm, Arc::clone(&seen)));
            }
        });
        Self { address, hellos }
    }

    fn hellos(&self) -> Vec<usize> {
        self.hellos.lock().unwrap().clone()
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, limit: usize, harm: Harm, hellos: Arc<Mutex<Vec<usize>>>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut up, mut down) = ([0; 8192], [0; 8192]);
    let mut shaken = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                // The record header of a hello: its type, its version, its length.
                if !shaken && up[0] == 22 {
                    shaken = true;
                    let size = usize::from(u16::from_be_bytes([up[3], up[4]]));
                    hellos.lock().unwrap().push(size);
                    match harm {
                        _ if size <= limit => {}
                        Harm::Swallow => return std::future::pending().await,
                        Harm::Close => return,
                        Harm::Alert => {
                            // a fatal decode_error
                            client.write_all(&[21, 3, 3, 0, 2, 2, 50]).await.unwrap();
                            return;
                        }
                    }
                }
                if server.write_all(&up[..count]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A connector that does not wait long, and its clock.
fn connector(backend: &Arc<RustlsBackend>) -> (Connector<RustlsBackend>, Arc<AtomicI64>) {
    let offset = Arc::new(AtomicI64::new(0));
    let (shift, system) = (Arc::clone(&offset), WallClock::system());
    let mut settings = ConnectorSettings::new(Arc::new(ClientConfig::new(HelloName::new("client.example").unwrap())));
    settings.full_hello_timeout = Duration::from_millis(300);
    settings.clock = WallClock::from_fn(move || UnixMillis(system.now().0 + shift.load(Ordering::Relaxed)));
    (Connector::new(Arc::clone(backend), settings), offset)
}

async fn connect(connector: &Connector<RustlsBackend>, key: &WireKey) -> Result<Connection<RustlsBackend>, ConnectError> {
    connector.connect(key, &ConnectOptions::default()).await
}

fn post_quantum(connection: &Connection<RustlsBackend>) -> bool {
    connection.tls().unwrap().group.unwrap().is_post_quantum()
}

/// One packet of an Ethernet takes a smaller hello, and not the post-quantum one.
const ONE_PACKET: usize = 1000;

// req: F7
#[tokio::test]
async fn a_host_that_chokes_on_the_large_hello_is_asked_again_without_it_and_remembered() {
    let pki = Pki::new();
    for harm in [Harm::Swallow, Harm::Close, Harm::Alert] {
        let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &Receiver::default().into());
        let middlebox = Middlebox::before(server.local_addr(), ONE_PACKET, harm).await;
        let (connector, offset) = connector(&pki.client());
        let key = verify(middlebox.address);
        let first = connect(&connector, &key).await.unwrap();
        assert!(!post_quantum(&first) && first.verdict().unwrap().satisfied, "{harm:?}");
        let why = first.small_hello().unwrap_or_default().to_owned();
        assert!(!why.is_empty(), "{harm:?}");
        let hellos = middlebox.hellos();
        assert!(hellos.len() == 2 && hellos[0] > ONE_PACKET && hellos[1] < ONE_PACKET, "{harm:?}: {hellos:?}");

        // It is known now, whatever is demanded.
        for key in [&key, &require(middlebox.address)] {
            let again = connect(&connector, key).await.unwrap();
            assert_eq!(again.small_hello(), Some(&*why), "{harm:?}");
        }
        assert_eq!(middlebox.hellos().len(), 4, "{harm:?}: no large one is sent in vain");

        // After a day the large one is tried again.
        offset.store(25 * 3_600_000, Ordering::Relaxed);
        drop(connect(&connector, &key).await.unwrap());
        let hellos = middlebox.hellos();
        assert!(hellos.len() == 6 && hellos[4] > ONE_PACKET, "{harm:?}: {hellos:?}");
    }
}

/// The control of the test above: a box that lets the large hello pass is given it, each time.
#[tokio::test]
async fn a_host_that_answers_the_large_hello_gets_no_other() {
    let pki = Pki::new();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &Receiver::default().into());
    let middlebox = Middlebox::before(server.local_addr(), usize::MAX, Harm::Close).await;
    let (connector, _) = connector(&pki.client());
    for _ in 0..2 {
        let connection = connect(&connector, &verify(middlebox.address)).await.unwrap();
        assert!(post_quantum(&connection) && connection.small_hello().is_none());
    }
    assert!(middlebox.hellos().iter().all(|size| *size > ONE_PACKET), "{:?}", middlebox.hellos());
}

/// What is demanded is not given up for a box: TLS fails there.
// req: F7
#[tokio::test]
async fn a_demand_for_post_quantum_key_exchange_is_never_lowered() {
    let pki = Pki::new();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &Receiver::default().into());
    let middlebox = Middlebox::before(server.local_addr(), ONE_PACKET, Harm::Close).await;
    let (connector, _) = connector(&pki.client());
    let mut key = verify(middlebox.address);
    key.demand = key.demand.with_floors(KexFloor::PostQuantum, None);
    // Not even where it is known that nothing else will do.
    drop(connect(&connector, &verify(middlebox.address)).await.unwrap());
    let error = connect(&connector, &key).await.unwrap_err();
    assert!(error.is_tls_failure() && error.stage == ConnectStage::Handshake, "{error}");
    let hellos = middlebox.hellos();
    assert!(hellos.len() == 3 && hellos[2] > ONE_PACKET, "{hellos:?}");
}

/// A host that does not answer the small hello either has another fault, and nothing is remembered of it.
#[tokio::test]
async fn a_host_that_answers_neither_is_not_remembered() {
    let pki = Pki::new();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &Receiver::default().into());
    let middlebox = Middlebox::before(server.local_addr(), 0, Harm::Close).await;
    let (connector, _) = connector(&pki.client());
    for attempt in 1..=2 {
        let error = connect(&connector, &verify(middlebox.address)).await.unwrap_err();
        assert!(matches!(error.fault, ConnectFault::Handshake { cause: HandshakeError::Closed { .. } }), "{error}");
        let hellos = middlebox.hellos();
        assert!(hellos.len() == 2 * attempt && hellos[2 * attempt - 2] > ONE_PACKET, "{hellos:?}");
    }
}

/// A wrong certificate comes behind an answer: no second connection is made for it.
#[tokio::test]
async fn what_fails_behind_an_answer_is_not_tried_again() {
    let pki = Pki::new();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::WrongName), &Receiver::default().into());
    let middlebox = Middlebox::before(server.local_addr(), usize::MAX, Harm::Close).await;
    let (connector, _) = connector(&pki.client());
    let error = connect(&connector, &verify(middlebox.address)).await.unwrap_err();
    assert!(matches!(error.fault, ConnectFault::Handshake { cause: HandshakeError::Unverified { .. } }), "{error}");
    assert_eq!(middlebox.hellos().len(), 1);
}
