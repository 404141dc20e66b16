//! Asks a relay over its unix socket.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::model::{Change, EditRequest, PolicyText, ReloadRequest, RowRequest, Status};
use crate::problem::Problem;
use crate::queue::{QueueFilter, QueuePage, QueueRequest, QueueResult, QueueShown};

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
        let broken = |source| ClientError::Broken { socket: self.socket.clone(), source };
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the sender; what it ends with is told by the request as well.
        let driving = tokio::spawn(connection);
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(hyper::header::HOST, hyper::header::HeaderValue::from_static("localhost"));
        request.headers_mut().insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let answer = response.into_body().collect().await.map_err(broken)?.to_bytes();
        driving.abort();
        Ok((status, answer))
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
