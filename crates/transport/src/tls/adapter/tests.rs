//! Handshakes of two backends over loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sealpost_types::{CipherSet, CipherSuite, Domain, FloorMissed, HostClause, HostDemand, KexFloor, TlsRequirement, UnixMillis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::tls::valid_until;

struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn anchors(&self) -> Arc<TrustAnchors> {
        Arc::new(TrustAnchors::from_der([self.ca.der()]))
    }

    fn identity(&self, name: &str) -> ServerIdentity {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.ca).unwrap();
        let chain = certificate.pem() + &self.ca.pem();
        ServerIdentity::from_pem((Path::new("cert"), chain.as_bytes()), (Path::new("key"), key.serialize_pem().as_bytes())).unwrap()
    }
}

fn server(pki: &Pki, name: &str) -> RustlsSettings {
    RustlsSettings { identities: vec![pki.identity(name)], ..RustlsSettings::new(Arc::new(TrustAnchors::default())) }
}

fn key(address: SocketAddr, name: &str, clauses: Vec<HostClause>) -> WireKey {
    WireKey::new(address, Some(Domain::parse(name).unwrap()), HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2))
}

fn verify(name: &str) -> Vec<HostClause> {
    vec![HostClause::Chain, HostClause::Identity(vec![name.parse().unwrap()])]
}

/// Accepts forever; each client is sent one octet, so that TLS 1.3 tickets arrive before it.
async fn accept_all(backend: RustlsBackend) -> (SocketAddr, Arc<RustlsBackend>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let backend = Arc::new(backend);
    let shared = Arc::clone(&backend);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let backend = Arc::clone(&shared);
            tokio::spawn(async move {
                if let Ok(mut shaken) = backend.accept(tcp, ClientCertificate::NotAsked).await {
                    let _ = shaken.stream.write_all(b"!").await;
                    let _ = shaken.stream.flush().await;
                    let _ = shaken.stream.read_u8().await;
                }
            });
        }
    });
    (address, backend)
}

async fn shake(client: &RustlsBackend, key: &WireKey) -> Result<ClientHandshake<RustlsStream>, HandshakeError> {
    let tcp = TcpStream::connect(key.address).await.unwrap();
    let mut shaken = client.connect(tcp, key).await?;
    assert_eq!(shaken.stream.read_u8().await.unwrap(), b'!');
    Ok(shaken)
}

/// What cipher settings call usable is what the library has, no more and no less.
#[test]
fn every_suite_of_the_library_is_named_and_no_other() {
    let library: Vec<_> = aws_lc_rs::default_provider().cipher_suites.iter().map(|suite| CipherSuite(u16::from(suite.suite()))).collect();
    let named = (0..=u16::MAX).map(CipherSuite).filter(|suite| suite.name().is_some()).collect();
    assert_eq!(CipherSet::new(library), CipherSet::new(named));
}

#[tokio::test]
async fn a_session_is_resumed_for_its_own_key_only() {
    let pki = Pki::new();
    let (address, _server) = accept_all(RustlsBackend::new(server(&pki, "mx.example")).unwrap()).await;
    let client = RustlsBackend::new(RustlsSettings::new(pki.anchors())).unwrap();
    let anything = key(address, "mx.example", vec![]);
    let right = key(address, "mx.example", verify("mx.example"));
    assert!(!shake(&client, &anything).await.unwrap().facts.resumed);
    assert!(shake(&client, &anything).await.unwrap().facts.resumed);
    let first = shake(&client, &right).await.unwrap();
    assert!(!first.facts.resumed, "another demand, another ticket");
    let again = shake(&client, &right).await.unwrap();
    assert!(again.facts.resumed);
    assert!(Arc::ptr_eq(&first.verdict, &again.verdict), "a resumed session has the verdict of the first handshake");
    assert_eq!(first.chain, again.chain);
    let wrong = key(address, "mx.example", verify("other.example"));
    assert!(matches!(shake(&client, &wrong).await, Err(HandshakeError::Unverified { .. })));
}

/// The negative control of the test above: keyed by host, a demand that nobody checked counts as satisfied.
#[tokio::test]
async fn control_keyed_by_host_alone_a_wrong_name_gets_in() {
    let pki = Pki::new();
    let (address, _server) = accept_all(RustlsBackend::new(server(&pki, "mx.example")).unwrap()).await;
    let by_host = SessionStore::keyed_by(8, |key| WireKey::new(key.address, key.server_name.clone(), HostDemand::default()));
    let client = RustlsBackend::with_sessions(RustlsSettings::new(pki.anchors()), by_host).unwrap();
    shake(&client, &key(address, "mx.example", vec![])).await.unwrap();
    let wrong = shake(&client, &key(address, "mx.example", verify("other.example"))).await.unwrap();
    assert!(wrong.facts.resumed && wrong.verdict.matched_name.is_none());
}

#[tokio::test]
async fn tls12_sessions_are_resumed_too() {
    let pki = Pki::new();
    let settings = server(&pki, "mx.example");
    let mut backend = RustlsBackend::new(settings).unwrap();
    // A server of TLS 1.2 alone, which no setting makes.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&backend.identities.0) as _);
    config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
    backend.server = TlsAcceptor::from(Arc::new(config));
    let (address, _server) = accept_all(backend).await;
    let client = RustlsBackend::new(RustlsSettings::new(pki.anchors())).unwrap();
    let right = key(address, "mx.example", verify("mx.example"));
    let first = shake(&client, &right).await.unwrap();
    assert_eq!((first.facts.version, first.facts.resumed), (TlsVersion::Tls1_2, false));
    let again = shake(&client, &right).await.unwrap();
    assert_eq!((again.facts.resumed, again.facts.group), (true, None));
    assert!(Arc::ptr_eq(&first.verdict, &again.verdict));

    // A floor on the key exchange: a resumed session would have none of its own, so none is resumed.
    let mut floored = right.clone();
    floored.demand.min_group = KexFloor::Bits128;
    for _ in 0..2 {
        let full = shake(&client, &floored).await.unwrap();
        assert!(!full.facts.resumed && full.facts.group.is_some());
    }

    let mut newer = right.clone();
    newer.demand.min_version = TlsVersion::Tls1_3;
    let refused = shake(&client, &newer).await.unwrap_err();
    assert!(matches!(refused, HandshakeError::Alert { .. } | HandshakeError::Protocol { .. }), "{refused:?}");
}

#[tokio::test]
async fn the_server_holds_to_its_lowest_version() {
    let pki = Pki::new();
    let settings = RustlsSettings { min_version: TlsVersion::Tls1_3, ..server(&pki, "mx.example") };
    let backend = RustlsBackend::new(settings).unwrap();
    let (address, _server) = accept_all(backend).await;
    let mut client = RustlsBackend::new(RustlsSettings::new(pki.anchors())).unwrap();
    let right = key(address, "mx.example", verify("mx.example"));
    let facts = shake(&client, &right).await.unwrap().facts;
    assert_eq!((facts.version, facts.group.map(|group| group.to_string())), (TlsVersion::Tls1_3, Some("X25519MLKEM768".to_owned())));
    client.anchors.sessions.clear();
    client.client_tls12 =
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_protocol_versions(&[&TLS12]).unwrap();
    let error = shake(&client, &right).await.unwrap_err();
    assert!(matches!(&error, HandshakeError::Alert { alert } if alert.as_str() == "protocol_version"), "{error:?}");
}

/// The hello offers what will do and nothing else, so that a server with other tastes still meets the demand.
// req: F7
#[tokio::test]
async fn a_floor_shapes_what_is_offered() {
    let pki = Pki::new();
    let (address, _server) = accept_all(RustlsBackend::new(server(&pki, "mx.example")).unwrap()).await;
    let client = RustlsBackend::new(RustlsSettings::new(pki.anchors())).unwrap();
    let right = key(address, "mx.example", verify("mx.example"));
    let own_choice = shake(&client, &right).await.unwrap().facts;
    let other = CipherSuite(if own_choice.suite.0 == 0x1301 { 0x1302 } else { 0x1301 });
    for (group, ciphers) in
        [(KexFloor::PostQuantum, None), (KexFloor::Bits192, None), (KexFloor::Any, Some(other)), (KexFloor::Any, Some(CipherSuite(0xc02b)))]
    {
        let mut floored = right.clone();
        floored.demand = floored.demand.with_floors(group, ciphers.map(|suite| CipherSet::new(vec![suite])));
        let facts = shake(&client, &floored).await.unwrap().facts;
        assert!(facts.group.unwrap().strength() >= group, "{facts:?}");
        assert!(ciphers.is_none_or(|suite| suite == facts.suite), "{facts:?}");
    }
}

/// The negative control of the check behind the handshake: what cannot be offered is still not put up with.
#[tokio::test]
async fn a_session_below_a_floor_of_the_demand_is_refused() {
    let pki = Pki::new();
    let (address, _server) = accept_all(RustlsBackend::new(server(&pki, "mx.example")).unwrap()).await;
    let client = RustlsBackend::new(RustlsSettings::new(pki.anchors())).unwrap();
    let right = key(address, "mx.example", verify("mx.example"));
    for ciphers in [vec![], vec![CipherSuite(0x000a)]] {
        let mut floored = right.clone();
        floored.demand = floored.demand.with_floors(KexFloor::Any, Some(CipherSet::new(ciphers)));
        let error = shake(&client, &floored).await.unwrap_err();
        assert!(matches!(&error, HandshakeError::BelowFloor { missed: FloorMissed::Cipher { .. } }), "{error:?}");
    }
}

#[tokio::test]
async fn tickets_end_with_the_certificate_and_with_the_generation() {
    let pki = Pki::new();
    let (address, _server) = accept_all(RustlsBackend::new(server(&pki, "mx.example")).unwrap()).await;
    let offset = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let shift = Arc::clone(&offset);
    let system = WallClock::system();
    let clock = WallClock::from_fn(move || UnixMillis(system.now().0 + shift.load(std::sync::atomic::Ordering::Relaxed)));
    let settings = RustlsSettings { clock, session_lifetime: Duration::from_secs(60), ..RustlsSettings::new(pki.anchors()) };
    let client = RustlsBackend::new(settings).unwrap();
    let right = key(address, "mx.example", verify("mx.example"));
    shake(&client, &right).await.unwrap();
    assert!(shake(&client, &right).await.unwrap().facts.resumed);
    offset.store(61_000, std::sync::atomic::Ordering::Relaxed);
    assert!(!shake(&client, &right).await.unwrap().facts.resumed, "the certificate is judged anew after the lifetime");
    assert!(shake(&client, &right).await.unwrap().facts.resumed);
    client.invalidate(1);
    assert!(!shake(&client, &right).await.unwrap().facts.resumed, "another generation of the policy");
    assert!(shake(&client, &right).await.unwrap().facts.resumed);
    client.invalidate(1);
    assert!(shake(&client, &right).await.unwrap().facts.resumed, "the same generation changes nothing");
    client.anchor_switch().set(Arc::new(TrustAnchors::default()));
    assert!(matches!(shake(&client, &right).await, Err(HandshakeError::Unverified { .. })), "no ticket outlives its anchor");
}

#[test]
fn a_certificate_that_ends_ends_its_tickets() {
    let now = UnixMillis(1_000_000);
    let mut verdict = sealpost_cert::verify_server(&[], &HostDemand::default(), &TrustAnchors::default(), now);
    assert_eq!(valid_until(&verdict, now), UnixMillis(i64::MAX));
    verdict.valid_until = Some(UnixMillis(1_500_000));
    assert_eq!(valid_until(&verdict, now), UnixMillis(1_500_000));
}

#[tokio::test]
async fn the_store_is_bounded_and_drops_what_was_used_longest_ago() {
    let settings = RustlsSettings { session_keys: 2, ..RustlsSettings::new(Arc::new(TrustAnchors::default())) };
    let client = RustlsBackend::new(settings).unwrap();
    let at = |port| key(SocketAddr::from(([127, 0, 0, 1], port)), "mx.example", vec![]);
    let first = client.wire(&at(1));
    client.wire(&at(2));
    assert!(Arc::ptr_eq(&first, &client.wire(&at(1))));
    client.wire(&at(3));
    assert_eq!(client.anchors.sessions.len(), 2);
    assert!(Arc::ptr_eq(&first, &client.wire(&at(1))), "1 was used after 2");
}

#[tokio::test]
async fn the_certificate_can_be_exchanged_while_serving() {
    let pki = Pki::new();
    let (address, backend) = accept_all(RustlsBackend::new(server(&pki, "old.example")).unwrap()).await;
    let client = RustlsBackend::new(RustlsSettings::new(pki.anchors())).unwrap();
    shake(&client, &key(address, "mx.example", verify("old.example"))).await.unwrap();
    let new = key(address, "mx.example", verify("new.example"));
    assert!(shake(&client, &new).await.is_err());
    backend.identity_switch().set(&[pki.identity("new.example")]);
    shake(&client, &new).await.unwrap();
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let pki = Pki::new();
    let settings = RustlsSettings {
        identities: ["mx.example", "other.example", "*.wild.example", "own.wild.example"].map(|name| pki.identity(name)).into(),
        ..RustlsSettings::new(Arc::new(TrustAnchors::default()))
    };
    let (address, _server) = accept_all(RustlsBackend::new(settings).unwrap()).await;
    let client = RustlsBackend::new(RustlsSettings::new(pki.anchors())).unwrap();
    for (asked, shown) in [
        ("other.example", "other.example"),
        ("OTHER.example", "other.example"),
        ("a.wild.example", "a.wild.example"),
        ("own.wild.example", "own.wild.example"),
        ("b.a.wild.example", "mx.example"),
        ("wild.example", "mx.example"),
        ("unknown.example", "mx.example"),
    ] {
        let shaken = shake(&client, &key(address, asked, verify(shown))).await;
        assert!(shaken.is_ok(), "{asked}: {shaken:?}");
    }
    // Without SNI the first is shown; a certificate of its own comes before the wildcard, whatever stands first.
    let nobody = WireKey::new(address, None, HostDemand::new(TlsRequirement::Mandatory, verify("mx.example"), TlsVersion::Tls1_2));
    shake(&client, &nobody).await.unwrap();
    let shaken = shake(&client, &key(address, "own.wild.example", vec![])).await.unwrap();
    assert_eq!(shaken.verdict.leaf.as_ref().unwrap().names[0].to_string(), "DNS:own.wild.example");
}

/// Of two certificates for one name a client gets the one whose key it can verify.
#[tokio::test]
async fn of_two_kinds_of_keys_the_client_gets_the_one_that_it_knows() {
    let pki = Pki::new();
    let rsa = {
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let certificate = CertificateParams::new(vec!["mx.example".to_owned()]).unwrap().signed_by(&key, &pki.ca).unwrap();
        let chain = certificate.pem() + &pki.ca.pem();
        ServerIdentity::from_pem((Path::new("cert"), chain.as_bytes()), (Path::new("key"), key.serialize_pem().as_bytes())).unwrap()
    };
    let settings =
        RustlsSettings { identities: vec![pki.identity("mx.example"), rsa], ..RustlsSettings::new(Arc::new(TrustAnchors::default())) };
    let (address, _server) = accept_all(RustlsBackend::new(settings).unwrap()).await;
    let client = RustlsBackend::new(RustlsSettings::new(pki.anchors())).unwrap();
    for (suite, name) in [(0xc02b, "mx.example"), (0xc02f, "mx.example"), (0xc02f, "unknown.example"), (0x1302, "mx.example")] {
        let demand = HostDemand::new(TlsRequirement::Mandatory, vec![], TlsVersion::Tls1_2)
            .with_floors(KexFloor::Any, Some(CipherSet::new(vec![CipherSuite(suite)])));
        let shaken = shake(&client, &WireKey::new(address, Some(Domain::parse(name).unwrap()), demand)).await;
        assert_eq!(shaken.unwrap().facts.suite, CipherSuite(suite));
    }
}

/// What a server that asks or does not ask learns of a client of this version, with this certificate and key.
async fn shown(
    (pki, backend, ask): (&Pki, &RustlsBackend, ClientCertificate),
    version: &'static SupportedProtocolVersion,
    certificate: &[u8],
    key: &KeyPair,
) -> Result<Vec<Vec<u8>>, HandshakeError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki.ca.der().clone()).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let signer = aws_lc_rs::sign::any_supported_type(&private).unwrap();
    // Not checked here whether the two belong together: that is for the server to find out.
    let certified = rustls::sign::CertifiedKey::new(vec![certificate.to_vec().into()], signer);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let connect = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect("mx.example".try_into().unwrap(), tcp).await
    };
    let accept = async { backend.accept(listener.accept().await.unwrap().0, ask).await };
    let (_client, shaken) = tokio::join!(connect, accept);
    shaken.map(|shaken| shaken.chain)
}

#[tokio::test]
async fn clients_show_their_certificate_only_when_asked() {
    let pki = Pki::new();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["client.example".to_owned()]).unwrap().signed_by(&key, &pki.ca).unwrap();
    let backend = RustlsBackend::new(server(&pki, "mx.example")).unwrap();
    for (ask, expected) in [(ClientCertificate::NotAsked, vec![]), (ClientCertificate::Asked, vec![certificate.der().to_vec()])] {
        assert_eq!(shown((&pki, &backend, ask), &TLS13, certificate.der(), &key).await.unwrap(), expected, "{ask:?}");
    }
}

/// What the handler is given is the certificate of whoever holds its key, or nothing.
#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused_and_one_that_proves_nothing_is_none() {
    let pki = Pki::new();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(vec!["client.example".to_owned()]).unwrap().signed_by(&key, &pki.ca).unwrap();
    let backend = RustlsBackend::new(server(&pki, "mx.example")).unwrap();
    let asking = (&pki, &backend, ClientCertificate::Asked);
    for version in [&TLS12, &TLS13] {
        assert!(shown(asking, version, certificate.der(), &other).await.is_err(), "stolen");
        assert_eq!(shown(asking, version, b"no certificate", &key).await.unwrap(), Vec::<Vec<u8>>::new());
        let mut version_1 = certificate.der().to_vec();
        // [0] EXPLICIT INTEGER 2 is version 3; as version 1 it has no extensions, and is not read.
        let at = version_1.windows(5).position(|octets| octets == [0xa0, 3, 2, 1, 2]).unwrap();
        version_1[at + 4] = 0;
        assert_eq!(shown(asking, version, &version_1, &other).await.unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(shown(asking, version, certificate.der(), &key).await.unwrap().len(), 1, "the negative control");
    }
}

#[tokio::test]
async fn without_a_certificate_nothing_is_accepted() {
    let backend = RustlsBackend::new(RustlsSettings::new(Arc::new(TrustAnchors::default()))).unwrap();
    assert!(!backend.can_accept());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let error = backend.accept(listener.accept().await.unwrap().0, ClientCertificate::NotAsked).await.unwrap_err();
    assert!(matches!(error, HandshakeError::NoIdentity));
}

#[test]
fn backends_live_side_by_side_without_a_process_wide_provider() {
    let settings = || RustlsSettings::new(Arc::new(TrustAnchors::default()));
    let (_one, _other) = (RustlsBackend::new(settings()).unwrap(), RustlsBackend::new(settings()).unwrap());
    assert!(CryptoProvider::get_default().is_none(), "neither installed nor asked for");
}

fn files(name: &str) -> sealpost_types::AnchorFiles {
    sealpost_types::AnchorFiles::new(vec![name.to_owned()])
}

/// Two demands on one host, of which one brings its own anchors: neither profits from what the other found.
// req: E6
#[tokio::test]
async fn anchors_of_a_demand_are_those_of_its_key_only() {
    let pki = Pki::new();
    let (address, _server) = accept_all(RustlsBackend::new(server(&pki, "mx.example")).unwrap()).await;
    let anchors = TrustAnchors::default().with_private([(files("bank.pem"), TrustAnchors::clone(&pki.anchors()))]);
    let client = RustlsBackend::new(RustlsSettings::new(Arc::new(anchors))).unwrap();
    let own = key(address, "mx.example", vec![HostClause::ChainTo(files("bank.pem")), verify("mx.example").remove(1)]);
    let usual = key(address, "mx.example", verify("mx.example"));
    let other = key(address, "mx.example", vec![HostClause::ChainTo(files("other.pem"))]);
    shake(&client, &own).await.unwrap();
    assert!(shake(&client, &own).await.unwrap().facts.resumed);
    for key in [&usual, &other] {
        assert!(matches!(shake(&client, key).await, Err(HandshakeError::Unverified { .. })));
    }
    // Other content under the same name: what was found before counts no more.
    client.anchor_switch().set(Arc::new(TrustAnchors::default().with_private([(files("bank.pem"), TrustAnchors::default())])));
    assert!(matches!(shake(&client, &own).await, Err(HandshakeError::Unverified { .. })));
}

/// The negative control of the test above: keyed by host, the demand for the usual anchors gets what nobody else vouches for.
#[tokio::test]
async fn control_keyed_by_host_alone_private_anchors_serve_everybody() {
    let pki = Pki::new();
    let (address, _server) = accept_all(RustlsBackend::new(server(&pki, "mx.example")).unwrap()).await;
    let anchors = TrustAnchors::default().with_private([(files("bank.pem"), TrustAnchors::clone(&pki.anchors()))]);
    let by_host = SessionStore::keyed_by(8, |key| WireKey::new(key.address, key.server_name.clone(), HostDemand::default()));
    let client = RustlsBackend::with_sessions(RustlsSettings::new(Arc::new(anchors)), by_host).unwrap();
    shake(&client, &key(address, "mx.example", vec![HostClause::ChainTo(files("bank.pem"))])).await.unwrap();
    assert!(shake(&client, &key(address, "mx.example", verify("mx.example"))).await.unwrap().facts.resumed);
}

/// Accepts one client after the other and asks for its certificate; what each of them showed.
async fn asking(pki: &Pki) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let backend = RustlsBackend::new(server(pki, "mx.example")).unwrap();
    let (sender, shown) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut shaken) = backend.accept(tcp, ClientCertificate::Asked).await else { continue };
            sender.send(shaken.chain).unwrap();
            let _ = shaken.stream.write_all(b"!").await;
            let _ = shaken.stream.flush().await;
        }
    });
    (address, shown)
}

/// A certificate is shown where it is named, to whoever asks for one, and to nobody else.
// req: E6
#[tokio::test]
async fn a_client_certificate_is_shown_for_its_key_only() {
    let pki = Pki::new();
    let (address, mut shown) = asking(&pki).await;
    let [named, usual] = ["named.example", "usual.example"].map(|name| pki.identity(name));
    let (of_named, of_usual) = (named.chain().next().unwrap().to_vec(), usual.chain().next().unwrap().to_vec());
    let identity = sealpost_types::ClientIdentity::of_files("named.pem", None);
    let with = |usual: Option<ServerIdentity>| {
        let client_identities = ClientIdentities::new(usual, [(identity.clone(), named.clone())]);
        RustlsBackend::new(RustlsSettings { client_identities, ..RustlsSettings::new(pki.anchors()) }).unwrap()
    };
    let plain = key(address, "mx.example", verify("mx.example"));
    for (client, identity, expected) in [
        (with(None), identity.clone(), Some(&of_named)),
        (with(None), sealpost_types::ClientIdentity::Usual, None),
        (with(Some(usual.clone())), identity.clone(), Some(&of_named)),
        (with(Some(usual.clone())), sealpost_types::ClientIdentity::Usual, Some(&of_usual)),
        (with(Some(usual)), sealpost_types::ClientIdentity::Withheld, None),
        (with(None), sealpost_types::ClientIdentity::of_files("gone.pem", None), None),
    ] {
        let key = plain.clone().showing(identity.clone());
        for resumed in [false, true] {
            let shaken = shake(&client, &key).await.unwrap();
            assert_eq!(shaken.facts.resumed, resumed, "{identity:?}");
            assert_eq!(shaken.certificate_shown, expected.is_some(), "{identity:?}");
            assert_eq!(shown.recv().await.unwrap().first(), expected, "{identity:?}");
        }
    }
    // Nobody is shown one unasked.
    let (address, _server) = accept_all(RustlsBackend::new(server(&pki, "mx.example")).unwrap()).await;
    let key = key(address, "mx.example", verify("mx.example")).showing(identity.clone());
    assert!(!shake(&with(None), &key).await.unwrap().certificate_shown);
}

/// A server that has none of the groups of the first flight asks for another hello: that is an answer, and no fault.
#[tokio::test]
async fn a_hello_retry_request_is_followed_with_either_hello() {
    let pki = Pki::new();
    let mut backend = RustlsBackend::new(server(&pki, "mx.example")).unwrap();
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| KexGroup(u16::from(group.name())).strength() == KexFloor::Bits192);
    let config = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13]).unwrap();
    let config = config.with_no_client_auth().with_cert_resolver(Arc::clone(&backend.identities.0) as _);
    backend.server = TlsAcceptor::from(Arc::new(config));
    let (address, _server) = accept_all(backend).await;
    for hello in [Hello::Full, Hello::Small] {
        let client = RustlsBackend::new(RustlsSettings::new(pki.anchors())).unwrap();
        let progress = Arc::default();
        let tcp = TcpStream::connect(address).await.unwrap();
        let shaken = client.connect_with(tcp, &key(address, "mx.example", verify("mx.example")), hello, &progress).await.unwrap();
        assert_eq!(shaken.facts.group.unwrap().strength(), KexFloor::Bits192, "{hello:?}");
        assert!(progress.is_answered());
    }
}
