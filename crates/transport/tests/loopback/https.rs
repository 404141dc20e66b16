//! `HttpsClient` against HTTPS servers that do as they are told, hostile ones among them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sealpost_cert::TrustAnchors;
use sealpost_transport::{
    ClientCertificate, HandshakeError, HttpsAnswer, HttpsClient, HttpsError, HttpsFault, HttpsLimits, HttpsStage, HttpsUrl, RustlsBackend,
    RustlsSettings, TlsBackend as _,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::pki::{Kind, NAME, Pki};

/// What a server does behind the handshake.
#[derive(Clone)]
enum Does {
    /// Answers this and closes as it should.
    Answers(Vec<u8>),
    /// The same, but cuts the connection where the end of TLS would be told.
    CutsOff(Vec<u8>),
    /// Answers this again and again, without end.
    Floods(Vec<u8>, Vec<u8>),
    /// Says this and no more.
    FallsSilent(Vec<u8>),
    /// Shakes no hands.
    NoHandshake,
}

struct Web {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Web {
    async fn start(tls: Arc<RustlsBackend>, does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let record = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                // A client that breaks off is a fact, not a failure.
                tokio::spawn(serve(tcp, Arc::clone(&tls), does.clone(), Arc::clone(&record)));
            }
        });
        Self { address, requests, task }
    }

    fn url(&self, path: &str) -> HttpsUrl {
        format!("https://{NAME}:{}{path}", self.address.port()).parse().unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(tcp: TcpStream, tls: Arc<RustlsBackend>, does: Does, record: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    if matches!(does, Does::NoHandshake) {
        return std::future::pending().await;
    }
    let Ok(shaken) = tls.accept(tcp, ClientCertificate::NotAsked).await else { return Ok(()) };
    let mut stream = shaken.stream;
    let said = request(&mut stream).await?;
    record.lock().unwrap().push(said);
    match does {
        Does::Answers(answer) => {
            stream.write_all(&answer).await?;
            stream.shutdown().await
        }
        Does::CutsOff(answer) => {
            stream.write_all(&answer).await?;
            stream.flush().await
        }
        Does::Floods(head, piece) => {
            stream.write_all(&head).await?;
            loop {
                stream.write_all(&piece).await?;
            }
        }
        Does::FallsSilent(beginning) => {
            stream.write_all(&beginning).await?;
            stream.flush().await?;
            std::future::pending().await
        }
        Does::NoHandshake => Ok(()),
    }
}

/// A request, its body with it.
async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut octets = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&octets).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= length.map_or(0, |length| length.parse::<usize>().unwrap()) {
                return Ok(text);
            }
        }
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(text);
        }
        octets.extend_from_slice(&buffer[..count]);
    }
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn client(pki: &Pki) -> HttpsClient<RustlsBackend> {
    let mut limits = HttpsLimits::default();
    limits.time = Duration::from_secs(10);
    limits.octets = 1000;
    HttpsClient::new(pki.client(), limits)
}

/// One that does not wait for long.
fn hasty_client(pki: &Pki) -> HttpsClient<RustlsBackend> {
    let mut limits = HttpsLimits::default();
    limits.time = Duration::from_millis(700);
    HttpsClient::new(pki.client(), limits)
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8";

/// What comes of one request to a server of the right certificate.
async fn asked(does: Does) -> Result<HttpsAnswer, HttpsError> {
    let pki = Pki::new();
    let web = Web::start(pki.server(Kind::Right), does).await;
    client(&pki).get(&web.url("/"), &[HERE]).await
}

#[tokio::test]
async fn an_answer_comes_as_it_was_given() {
    let pki = Pki::new();
    let web = Web::start(pki.server(Kind::Right), Does::Answers(answer(PLAIN, "version: STSv1\n"))).await;
    let answer = client(&pki).get(&web.url("/.well-known/mta-sts.txt?a=b"), &[HERE]).await.unwrap();
    assert_eq!((answer.status, answer.media_type().as_str(), answer.body.as_slice()), (200, "text/plain", &b"version: STSv1\n"[..]));
    let [request] = <[String; 1]>::try_from(web.requests()).unwrap();
    assert!(request.starts_with("GET /.well-known/mta-sts.txt?a=b HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: {NAME}:{}\r\n", web.address.port())), "{request}");
}

#[tokio::test]
async fn a_body_is_handed_in_whole() {
    let pki = Pki::new();
    let web = Web::start(pki.server(Kind::Right), Does::Answers(answer("HTTP/1.1 201 Created", ""))).await;
    let client = client(&pki);
    let answer = client.post(&web.url("/v1"), &[HERE], "application/tlsrpt+gzip", vec![b'x'; 5000]).await.unwrap();
    assert!(answer.is_success());
    let [request] = <[String; 1]>::try_from(web.requests()).unwrap();
    assert!(request.starts_with("POST /v1 HTTP/1.1\r\n") && request.contains("\r\ncontent-type: application/tlsrpt+gzip\r\n"), "{request}");
    assert!(request.ends_with(&"x".repeat(5000)));

    let error = client.post(&web.url("/v1"), &[HERE], "text/plain\r\nHost: other.example", vec![]).await.unwrap_err();
    assert!(matches!(error.fault, HttpsFault::Request { .. }), "{error}");
    assert_eq!(web.requests().len(), 1);
}

/// RFC 8461 section 3.3: "HTTP 3xx redirects MUST NOT be followed".
#[tokio::test]
async fn a_redirection_is_an_answer_and_is_not_followed() {
    let pki = Pki::new();
    let elsewhere = Web::start(pki.server(Kind::Right), Does::Answers(answer(PLAIN, "here"))).await;
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {}", elsewhere.url("/"));
    let web = Web::start(pki.server(Kind::Right), Does::Answers(answer(&head, &"x".repeat(100_000)))).await;
    let answer = client(&pki).get(&web.url("/"), &[HERE]).await.unwrap();
    assert_eq!((answer.status, answer.is_success(), answer.body.len()), (302, false, 0));
    assert!(elsewhere.requests().is_empty());
    // the control: the place that it leads to would have answered
    assert_eq!(client(&pki).get(&elsewhere.url("/"), &[HERE]).await.unwrap().body, b"here");
}

#[tokio::test]
async fn only_the_right_certificate_is_spoken_to() {
    let pki = Pki::new();
    for (kind, word) in [(Kind::WrongName, "name-mismatch"), (Kind::Expired, "expired"), (Kind::SelfSigned, "self-signed")] {
        let web = Web::start(pki.server(kind), Does::Answers(answer(PLAIN, "secret"))).await;
        let error = client(&pki).get(&web.url("/"), &[HERE]).await.unwrap_err();
        let HttpsFault::Handshake { cause: HandshakeError::Unverified { verdict } } = &error.fault else { panic!("{kind:?}: {error}") };
        assert_eq!(verdict.most_telling().unwrap().code(), word);
        assert!(error.is_unverified() && web.requests().is_empty(), "{kind:?}");
    }
    // A certificate that is right, but for those who trust another authority.
    let web = Web::start(pki.server(Kind::Right), Does::Answers(answer(PLAIN, ""))).await;
    let stranger = Arc::new(RustlsBackend::new(RustlsSettings::new(Arc::new(TrustAnchors::default()))).unwrap());
    assert!(HttpsClient::new(stranger, HttpsLimits::default()).get(&web.url("/"), &[HERE]).await.unwrap_err().is_unverified());
    assert!(client(&pki).get(&web.url("/"), &[HERE]).await.is_ok(), "the control");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_none() {
    let limit = "x".repeat(1000);
    assert_eq!(asked(Does::Answers(answer(PLAIN, &limit))).await.unwrap().body.len(), 1000, "the control");
    let too_large = |outcome: Result<HttpsAnswer, HttpsError>| match outcome {
        Err(HttpsError { fault: HttpsFault::TooLarge { limit: 1000 }, .. }) => true,
        other => panic!("{other:?}"),
    };
    assert!(too_large(asked(Does::Answers(answer(PLAIN, &format!("{limit}x")))).await));
    let head = format!("{PLAIN}\r\nContent-Length: 999999999999\r\n\r\n").into_bytes();
    assert!(too_large(asked(Does::Floods(head, vec![b'x'; 4096])).await));
    let head = format!("{PLAIN}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    assert!(too_large(
        asked(Does::Floods(head, b"40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n".to_vec())).await
    ));
    let head = format!("{PLAIN}\r\n\r\n").into_bytes();
    assert!(too_large(asked(Does::Floods(head, vec![b'x'; 100])).await));
}

#[tokio::test]
async fn what_is_no_whole_answer_is_an_error() {
    let head = format!("{PLAIN}\r\n\r\n");
    // The end of the connection is the end of the answer, but only if TLS says so: whoever cuts the line must not shorten a policy.
    assert_eq!(asked(Does::Answers(format!("{head}mode: none").into_bytes())).await.unwrap().body, b"mode: none", "the control");
    for does in [
        Does::CutsOff(format!("{head}mode: none").into_bytes()),
        Does::CutsOff(Vec::new()),
        Does::Answers(format!("{PLAIN}\r\nContent-Length: 100\r\n\r\nmode: none").into_bytes()),
        Does::Answers(format!("{PLAIN}\r\nContent-Length: many\r\n\r\nmode: none").into_bytes()),
        Does::Answers(format!("{PLAIN}\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nmode").into_bytes()),
        Does::Answers(b"220 mx.example ESMTP\r\n".to_vec()),
        Does::Answers(b"\x00\x01\x02".to_vec()),
        Does::Answers(format!("{PLAIN}\r\n{}\r\n", "X: y\r\n".repeat(100)).into_bytes()),
        Does::Floods(b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 4096]),
        Does::Floods(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".to_vec()),
    ] {
        let error = asked(does).await.unwrap_err();
        assert!(matches!(error.fault, HttpsFault::Broken { .. }), "{error}");
        assert!(!error.is_unverified());
    }
}

#[tokio::test]
async fn whoever_keeps_it_waiting_is_left() {
    let pki = Pki::new();
    let head = format!("{PLAIN}\r\nContent-Length: 10\r\n\r\n12345").into_bytes();
    for (does, stage) in [
        (Does::NoHandshake, HttpsStage::Handshake),
        (Does::FallsSilent(Vec::new()), HttpsStage::Answer),
        (Does::FallsSilent(b"HTTP/1.1 200".to_vec()), HttpsStage::Answer),
        (Does::FallsSilent(head), HttpsStage::Answer),
    ] {
        let web = Web::start(pki.server(Kind::Right), does).await;
        let start = Instant::now();
        let error = hasty_client(&pki).get(&web.url("/"), &[HERE]).await.unwrap_err();
        assert!(matches!(error.fault, HttpsFault::TimedOut { stage: at, .. } if at == stage), "{stage}: {error}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn the_next_address_is_tried_where_nobody_answers_and_nowhere_else() {
    let pki = Pki::new();
    let web = Web::start(pki.server(Kind::Right), Does::Answers(answer(PLAIN, "here"))).await;
    let dead = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));
    let found = client(&pki).get(&web.url("/"), &[dead, HERE]).await.unwrap();
    assert_eq!(found.body, b"here");
    let error = client(&pki).get(&web.url("/"), &[dead]).await.unwrap_err();
    assert!(matches!(error.fault, HttpsFault::Unreachable { .. }) && error.address.is_some_and(|address| address.ip() == dead), "{error}");
    let error = client(&pki).get(&web.url("/"), &[]).await.unwrap_err();
    assert!(matches!(error.fault, HttpsFault::NoAddress), "{error}");
}
