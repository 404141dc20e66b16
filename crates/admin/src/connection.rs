//! Connections: how many at a time, who is at the other end, and for how long one may say nothing.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use crate::api::REQUEST_OCTETS;
use crate::problem::Failure;

/// What connections of one listener may take up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// So many at a time; others wait until one ends.
    pub(crate) connections: usize,
    /// For the header section of a request from the end of the answer before, between two pieces of its body, and for a piece of the
    /// answer to be taken.
    pub(crate) idle: Duration,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// A process on this host, by its user.
    User(u32),
    Address(SocketAddr),
}

/// Where connections come in.
pub(crate) trait Door: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.accept().await?;
        let user = stream.peer_cred()?.uid();
        Ok((stream, Peer::User(user)))
    }
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Peer)> {
        self.accept().await.map(|(stream, address)| (stream, Peer::Address(address)))
    }
}

/// In the words of the history: `uid 0 (root)`, `192.0.2.7:4711 with the token`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => {
                write!(f, "uid {uid}")?;
                user_name(*uid).map_or(Ok(()), |name| write!(f, " ({name})"))
            }
            Self::Address(address) => write!(f, "{address} with the token"),
        }
    }
}

/// Answers those who come in, until `stop` says so; then those whose request is under way.
pub(crate) async fn serve<D: Door>(door: D, router: Router, limits: Limits, mut stop: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            door.next().await.map(|(stream, peer)| (permit, stream, peer))
        };
        let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
        tokio::select! {
            () = stopped => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            came = next => match came {
                Ok((permit, stream, peer)) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    connections.spawn(async move {
                        answer(stream, router.layer(Extension(peer)), limits, stop).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Mostly no file descriptor is left: others end meanwhile.
                    tracing::warn!(%error, "management: a connection cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(door);
    while connections.join_next().await.is_some() {}
}

async fn answer<S>(stream: S, router: Router, limits: Limits, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(Taken { stream, idle: limits.idle, waiting: None });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.idle);
    let mut connection = std::pin::pin!(builder.serve_connection(stream, TowerToHyperService::new(router)));
    let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "management: a connection broke");
    }
}

/// Reads the body of a request as a whole: none of its pieces may be long in coming. Who only looks has none, and fills no memory with one.
pub(crate) async fn whole_body(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let (parts, mut body) = request.into_parts();
    let most = if parts.method == Method::GET || parts.method == Method::HEAD { 0 } else { REQUEST_OCTETS };
    let mut octets = Vec::new();
    loop {
        match tokio::time::timeout(limits.idle, body.frame()).await {
            Err(_) => return broken_off(StatusCode::REQUEST_TIMEOUT, format!("no more of the request came in {:?}", limits.idle)),
            Ok(None) => break,
            Ok(Some(Err(error))) => return broken_off(StatusCode::BAD_REQUEST, format!("the request cannot be read: {error}")),
            Ok(Some(Ok(frame))) => octets.extend_from_slice(&frame.into_data().unwrap_or_default()),
        }
        if octets.len() > most {
            return broken_off(StatusCode::PAYLOAD_TOO_LARGE, format!("the body of a {} request has at most {most} octets", parts.method));
        }
    }
    next.run(Request::from_parts(parts, Body::from(octets))).await
}

/// What is left of the request is not read any more.
fn broken_off(status: StatusCode, error: String) -> Response {
    let mut response = Failure::new(status, error).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A stream whose other end has to take what is written within a time.
struct Taken<S> {
    stream: S,
    idle: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    fn in_time<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.waiting = None;
            return done;
        }
        let idle = self.idle;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, octets);
        self.in_time(context, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(context);
        self.in_time(context, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The name of a user, where the system's own file has it.
fn user_name(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string(USERS).ok()?;
    let of_uid = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number == uid.to_string()).then(|| name.to_owned())
    };
    users.lines().find_map(of_uid)
}

const USERS: &str = "/etc/passwd";

/// After a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(200);
