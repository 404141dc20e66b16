//! Asks a relay over its unix socket.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::history::{HistoryEntry, HistoryPage, HistoryQuery};
use crate::model::{Change, EditRequest, PolicyText, ReloadRequest, RowRequest, Status};
use crate::problem::Problem;
use crate::queue::{QueueFilter, QueuePage, QueueRequest, QueueResult, QueueShown};
use crate::sts::{StsEntry, StsPage, StsQuery};

/// Asks the relay that answers on a unix socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why there is no answer, or a bad one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No relay runs there.
    #[error("no relay answers on {}", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket cannot be opened: mostly another user's.
    #[error("cannot ask the relay on {} (its user, its group or root is meant)", socket.display())]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke, or carried no HTTP.
    #[error("the relay on {} did not answer to the end", socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// What went wrong.
        source: hyper::Error,
    },
    /// The answer is not what was asked for: another version of the relay.
    #[error("the relay on {} answers as no relay of this version does", socket.display())]
    Foreign {
        /// The socket.
        socket: PathBuf,
        /// What it does not read as.
        source: serde_json::Error,
    },
    /// The relay said no.
    #[error("{problem}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// Why.
        problem: Problem,
    },
}

/// No relay answers on a socket, and none begins to while this is there.
#[derive(Debug)]
pub struct Absence(#[allow(dead_code, reason = "it is kept for its lock")] Option<File>);

impl Client {
    /// Asks there.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Where it asks.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Lets no relay begin to answer there while the result is kept; nothing if one answers. Blocks while another process does the same.
    #[must_use]
    pub fn hold_off(&self) -> Option<Absence> {
        let folder = self.socket.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        // Where the folder cannot be opened there is no lock to take; a relay that never ran makes it.
        let lock = File::open(folder).ok().filter(|folder| folder.lock().is_ok());
        if std::os::unix::net::UnixStream::connect(&self.socket).is_ok() { None } else { Some(Absence(lock)) }
    }

    /// How the relay is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, "/v1/status", None::<&()>).await
    }

    /// Has the policy's file read again.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] leaves the policy in force that was.
    pub async fn reload(&self, request: ReloadRequest) -> Result<Change, ClientError> {
        self.ask(Method::POST, "/v1/reload", Some(&request)).await
    }

    /// The policy in force, as it is written.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn policy(&self) -> Result<PolicyText, ClientError> {
        self.ask(Method::GET, "/v1/policy", None::<&()>).await
    }

    /// Changes the policy.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] leaves everything as it was.
    pub async fn edit(&self, request: &EditRequest) -> Result<Change, ClientError> {
        self.ask(Method::POST, "/v1/policy/edits", Some(request)).await
    }

    /// Changes one row of an included list.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] leaves everything as it was.
    pub async fn edit_row(&self, request: &RowRequest) -> Result<Change, ClientError> {
        self.ask(Method::POST, "/v1/policy/rows", Some(request)).await
    }

    /// A page of the queue, behind `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn queue(&self, filter: &QueueFilter, after: Option<&str>, limit: usize) -> Result<QueuePage, ClientError> {
        let mut path = format!("/v1/queue?limit={limit}");
        let state = filter.state.map(|state| state.as_str().to_owned());
        let before = filter.before.map(|before| before.to_string());
        let fields = [
            ("state", state.as_deref()),
            ("destination", filter.destination.as_deref()),
            ("sender", filter.sender.as_deref()),
            ("reason", filter.reason.as_deref()),
            ("before", before.as_deref()),
            ("after", after),
        ];
        for (key, value) in fields.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            path += &format!("&{key}={}", escaped(value));
        }
        self.ask(Method::GET, &path, None::<&()>).await
    }

    /// All of one message that is queued, or one entry of it.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] with 404 where there is none.
    pub async fn queue_entry(&self, id: &str) -> Result<Vec<QueueShown>, ClientError> {
        self.ask(Method::GET, &format!("/v1/queue/{}", escaped(id)), None::<&()>).await
    }

    /// Changes what is queued.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_queue(&self, request: &QueueRequest) -> Result<QueueResult, ClientError> {
        self.ask(Method::POST, "/v1/queue/changes", Some(request)).await
    }

    /// A page of the MTA-STS policies that are kept.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sts_policies(&self, query: &StsQuery) -> Result<StsPage, ClientError> {
        self.ask(Method::GET, &with_query("/v1/mta-sts", query), None::<&()>).await
    }

    /// The MTA-STS policy of one domain that is kept.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] with 404 where there is none.
    pub async fn sts_policy(&self, domain: &str) -> Result<StsEntry, ClientError> {
        self.ask(Method::GET, &format!("/v1/mta-sts/{}", escaped(domain)), None::<&()>).await
    }

    /// Forgets it, and gives what it was.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] with 404 where there is none.
    pub async fn forget_sts_policy(&self, domain: &str) -> Result<StsEntry, ClientError> {
        self.ask(Method::DELETE, &format!("/v1/mta-sts/{}", escaped(domain)), None::<&()>).await
    }

    /// A page of the history.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, ClientError> {
        self.ask(Method::GET, &with_query("/v1/history", query), None::<&()>).await
    }

    /// What happens from now on, until `take` says that it is enough or the relay ends.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn follow(&self, query: &HistoryQuery, mut take: impl FnMut(Followed) -> ControlFlow<()>) -> Result<(), ClientError> {
        let foreign = |source| ClientError::Foreign { socket: self.socket.clone(), source };
        let (_driving, response) = self.send(Method::GET, &with_query("/v1/history/follow", query), Vec::new()).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut waiting = Vec::new();
        if status == OK && take(Followed::Begun).is_break() {
            return Ok(());
        }
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|source| self.broken(source))?.into_data() else { continue };
            waiting.extend_from_slice(&piece);
            if status != OK {
                continue;
            }
            while let Some(end) = waiting.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                if take(Followed::read(&line).map_err(foreign)?).is_break() {
                    return Ok(());
                }
            }
        }
        if status == OK {
            Ok(())
        } else {
            Err(ClientError::Refused { status, problem: serde_json::from_slice(&waiting).map_err(foreign)? })
        }
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<T, ClientError> {
        let foreign = |source| ClientError::Foreign { socket: self.socket.clone(), source };
        let body = body.map(serde_json::to_vec).transpose().map_err(foreign)?.unwrap_or_default();
        let (status, answer) = self.exchange(method, path, body).await?;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&answer).map_err(foreign);
        }
        let problem = serde_json::from_slice(&answer).map_err(foreign)?;
        Err(ClientError::Refused { status, problem })
    }

    async fn exchange(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(u16, Bytes), ClientError> {
        let (_driving, response) = self.send(method, path, body).await?;
        let status = response.status().as_u16();
        let answer = response.into_body().collect().await.map_err(|source| self.broken(source))?.to_bytes();
        Ok((status, answer))
    }

    /// Sends a request; the connection is driven as long as the first of the answers is held.
    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(Driving, Response<Incoming>), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|source| self.broken(source))?;
        // What it ends with is told by the request as well.
        let driving = Driving(tokio::spawn(async move { drop(connection.await) }));
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(hyper::header::HOST, hyper::header::HeaderValue::from_static("localhost"));
        request.headers_mut().insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        let response = sender.send_request(request).await.map_err(|source| self.broken(source))?;
        Ok((driving, response))
    }

    fn broken(&self, source: hyper::Error) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), source }
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        let socket = self.socket.clone();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { socket },
            _ => ClientError::Socket { socket, source },
        }
    }
}

/// A value as it stands in a path or a query.
fn escaped(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, octet| {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            text.push(char::from(octet));
        } else {
            text += &format!("%{octet:02X}");
        }
        text
    })
}

/// What a follower of the history is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Followed {
    /// From now on nothing is missed.
    Begun,
    /// Something happened.
    Entry(HistoryEntry),
    /// So many entries were missed: they came faster than they were taken.
    Missed {
        /// How many.
        missed: u64,
    },
}

impl Followed {
    fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Missed {
            missed: u64,
        }
        match serde_json::from_slice(line) {
            Ok(Missed { missed }) => Ok(Self::Missed { missed }),
            Err(_) => serde_json::from_slice(line).map(Self::Entry),
        }
    }
}

/// A connection that ends when nobody holds this.
struct Driving(JoinHandle<()>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A path with parameters.
fn with_query(path: &str, query: &impl Serialize) -> String {
    // Only texts, numbers and booleans are in it.
    let query = serde_urlencoded::to_string(query).unwrap_or_default();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

const OK: u16 = 200;
