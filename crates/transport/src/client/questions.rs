//! Questions beside a transaction on an open connection: who the client is, and whether it might send.

use std::fmt;

use sealpost_smtp::{ClientEvent, Credentials, Reply, Stage};
use sealpost_types::{Blame, Retry};

use super::connection::{Connection, Happening};
use super::error::ConnectFault;
use crate::tls::TlsBackend;

/// Why a client is not let in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LoginError {
    /// The connection is in clear, or does not offer the mechanism: nothing has been said.
    NotPossible,
    /// The server refused; the connection can be used without.
    Refused {
        /// What it said.
        reply: Reply,
    },
    /// The connection broke.
    Broken {
        /// How.
        fault: ConnectFault,
    },
}

impl<B: TlsBackend> Connection<B> {
    /// Says who the client is, under TLS only; what the server answered.
    ///
    /// # Wire
    /// RFC 4954 section 4.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn authenticate(&mut self, credentials: &Credentials) -> Result<Reply, LoginError> {
        let now = self.talk.now();
        self.talk.session.authenticate(credentials, now).map_err(|_| LoginError::NotPossible)?;
        self.talk.secret = true;
        let answered = self.talk.next().await;
        self.talk.secret = false;
        match answered {
            Ok(Happening::Event(ClientEvent::Authenticated(reply))) => Ok(reply),
            Ok(Happening::Event(ClientEvent::Refused { stage: Stage::Auth, reply })) => Err(LoginError::Refused { reply }),
            Ok(other) => Err(LoginError::Broken { fault: super::connector::refused(other) }),
            Err(broken) => Err(LoginError::Broken { fault: broken.into() }),
        }
    }
}

impl<B: TlsBackend> Connection<B> {
    /// Asks whether the server would take mail over this connection; what it answered to MAIL. Nothing is sent.
    ///
    /// # Wire
    /// RFC 5321 section 3.3 (MAIL), RFC 3207 section 4 (530 where TLS has to come first).
    ///
    /// # Errors
    /// [`ConnectFault`]: it gave no answer.
    pub async fn try_mail(&mut self) -> Result<Reply, ConnectFault> {
        if self.talk.session.try_mail(self.talk.now()).is_err() {
            return Err(ConnectFault::Lost { kind: std::io::ErrorKind::NotConnected });
        }
        match self.talk.next().await? {
            Happening::Event(ClientEvent::Mail(reply)) => Ok(reply),
            other => Err(super::connector::refused(other)),
        }
    }
}

impl LoginError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotPossible | Self::Refused { .. } => Blame::Peer,
            Self::Broken { .. } => Blame::Network,
        }
    }

    /// Whether it may work again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotPossible => Retry::Never,
            Self::Refused { .. } | Self::Broken { .. } => Retry::Later,
        }
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPossible => f.write_str("the server offers no such login, or not under TLS"),
            Self::Refused { reply } => write!(f, "login refused: {reply}"),
            Self::Broken { fault } => write!(f, "at the login: {fault}"),
        }
    }
}

impl std::error::Error for LoginError {}
