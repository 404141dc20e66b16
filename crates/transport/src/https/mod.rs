//! One request over HTTPS, to a host that its certificate proves.

mod error;
mod url;

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use sealpost_types::{Domain, HostClause, HostDemand, ReferenceName, TlsRequirement, TlsVersion, WireKey, WithCauses};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub use error::{HttpsError, HttpsFault, HttpsStage};
pub use url::{HttpsUrl, HttpsUrlError};

use crate::client::{DialError, dial};
use crate::tls::TlsBackend;

/// Asks and hands in over HTTPS: one connection a request, over TLS 1.2 or later, to a host whose certificate leads to a trust anchor
/// of the backend and has the host's name.
///
/// Redirections are not followed, nothing is cached, no proxy is used, and no name is looked up: the caller brings the addresses.
///
/// # Wire
/// HTTP/1.1 (RFC 9112) over TLS (RFC 9110 section 4.3.4), names by RFC 9525.
///
/// # Limits
/// [`HttpsLimits`].
pub struct HttpsClient<T> {
    tls: Arc<T>,
    limits: HttpsLimits,
}

/// What a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpsLimits {
    /// The time for all of it. A minute (RFC 8461 section 3.3).
    pub time: Duration,
    /// The time to connect to one address, before the next is tried. 10 s.
    pub connect: Duration,
    /// Octets of an answer. 64 KiB (RFC 8461 section 3.3).
    pub octets: usize,
}

/// What a host answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpsAnswer {
    /// The status of HTTP.
    pub status: u16,
    /// The Content-Type field as it stands, if there is one that can be read.
    pub content_type: Option<String>,
    /// What came. Of an answer that is no success (2xx) nothing is read.
    pub body: Vec<u8>,
}

impl<T: TlsBackend> HttpsClient<T> {
    /// A client that shakes hands by `tls`, and trusts whom that trusts.
    #[must_use]
    pub fn new(tls: Arc<T>, limits: HttpsLimits) -> Self {
        Self { tls, limits }
    }

    /// Asks for `url` at the first of these addresses that can be connected to.
    ///
    /// # Errors
    /// [`HttpsError`]; an answer of any status is none.
    pub async fn get(&self, url: &HttpsUrl, addresses: &[IpAddr]) -> Result<HttpsAnswer, HttpsError> {
        self.ask(url, addresses, Method::GET, None).await
    }

    /// Hands in `body` as `content_type` there.
    ///
    /// # Errors
    /// As for [`get`](Self::get); [`HttpsFault::Request`] also for a content type that cannot stand in a header field.
    pub async fn post(&self, url: &HttpsUrl, addresses: &[IpAddr], content_type: &str, body: Vec<u8>) -> Result<HttpsAnswer, HttpsError> {
        self.ask(url, addresses, Method::POST, Some((content_type, body))).await
    }

    async fn ask(
        &self,
        url: &HttpsUrl,
        addresses: &[IpAddr],
        method: Method,
        content: Option<(&str, Vec<u8>)>,
    ) -> Result<HttpsAnswer, HttpsError> {
        let failed = |address, fault| HttpsError { url: url.clone(), address, fault };
        let request = request(url, method, content).map_err(|fault| failed(None, fault))?;
        let deadline = Instant::now() + self.limits.time;
        let (tcp, address) = self.dial(url, addresses, deadline).await?;
        let failed = |fault| failed(Some(address), fault);
        let key = WireKey::new(address, Some(url.host().clone()), demand(url.host()));
        let shaken = self.in_time(HttpsStage::Handshake, deadline, self.tls.connect(tcp, &key)).await.map_err(failed)?;
        let shaken = shaken.map_err(|cause| failed(HttpsFault::Handshake { cause }))?;
        let exchange = exchange(shaken.stream, request, self.limits.octets);
        self.in_time(HttpsStage::Answer, deadline, exchange).await.and_then(|answer| answer).map_err(failed)
    }

    /// A connection to the first address that takes one.
    async fn dial(&self, url: &HttpsUrl, addresses: &[IpAddr], deadline: Instant) -> Result<(TcpStream, SocketAddr), HttpsError> {
        let mut last = (None, HttpsFault::NoAddress);
        for address in addresses {
            let address = SocketAddr::new(*address, url.port());
            let until = deadline.min(Instant::now() + self.limits.connect);
            let fault = match self.in_time(HttpsStage::Connect, until, dial(address, None)).await {
                Ok(Ok(tcp)) => return Ok((tcp, address)),
                Ok(Err(DialError::Local(error))) => HttpsFault::Local { kind: error.kind() },
                Ok(Err(DialError::Remote(error))) => HttpsFault::Unreachable { kind: error.kind() },
                Err(fault) => fault,
            };
            last = (Some(address), fault);
            if Instant::now() >= deadline {
                break;
            }
        }
        let (address, fault) = last;
        Err(HttpsError { url: url.clone(), address, fault })
    }

    async fn in_time<F: Future>(&self, stage: HttpsStage, until: Instant, work: F) -> Result<F::Output, HttpsFault> {
        let after = if stage == HttpsStage::Connect { self.limits.connect.min(self.limits.time) } else { self.limits.time };
        timeout_at(until, work).await.map_err(|_| HttpsFault::TimedOut { stage, after })
    }
}

impl Default for HttpsLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), connect: Duration::from_secs(10), octets: 64 << 10 }
    }
}

impl HttpsAnswer {
    /// The media type of the content in lower case, without its parameters; empty if the answer does not say.
    #[must_use]
    pub fn media_type(&self) -> String {
        let full = self.content_type.as_deref().unwrap_or_default();
        full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Whether the status is one of success (2xx).
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl<T> fmt::Debug for HttpsClient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsClient").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// TLS, a trusted chain, and the host's name.
fn demand(host: &Domain) -> HostDemand {
    let clauses = vec![HostClause::Chain, HostClause::Identity(vec![ReferenceName::Exact(host.clone())])];
    HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2)
}

fn request(url: &HttpsUrl, method: Method, content: Option<(&str, Vec<u8>)>) -> Result<Request<Full<Bytes>>, HttpsFault> {
    let mut builder = Request::builder()
        .method(method)
        .uri(url.path())
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("sealpost/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close");
    if let Some((content_type, _)) = content {
        builder = builder.header(CONTENT_TYPE, content_type);
    }
    let body = content.map(|(_, body)| body).unwrap_or_default();
    builder.body(Full::from(body)).map_err(|error| HttpsFault::Request { detail: error.to_string().into() })
}

/// Sends the request and reads the answer.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>, limit: usize) -> Result<HttpsAnswer, HttpsFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(HEADER_FIELDS).max_buf_size(HEADER_OCTETS);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    // The connection is driven for as long as somebody waits for the answer, and ends with that.
    let driven = async {
        // What breaks it, the answer reports too.
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = async { read(sender.send_request(request).await.map_err(|error| broken(&error))?, limit).await } => answer,
        never = driven => never,
    }
}

async fn read(mut response: Response<Incoming>, limit: usize) -> Result<HttpsAnswer, HttpsFault> {
    let status = response.status().as_u16();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while response.status().is_success()
        && let Some(frame) = response.body_mut().frame().await
    {
        let frame = frame.map_err(|error| broken(&error))?;
        let Some(octets) = frame.data_ref() else { continue };
        if octets.len() > limit.saturating_sub(body.len()) {
            return Err(HttpsFault::TooLarge { limit });
        }
        body.extend_from_slice(octets);
    }
    Ok(HttpsAnswer { status, content_type, body })
}

fn broken(error: &hyper::Error) -> HttpsFault {
    HttpsFault::Broken { detail: WithCauses(error).to_string().into() }
}

/// Fields in the head of an answer.
const HEADER_FIELDS: usize = 64;

/// Octets of its head.
const HEADER_OCTETS: usize = 16 << 10;
