//! AUTH.

use super::refusal::Refusal;
use super::{Greeting, ServerEvent, ServerSession, State, Wait};
use crate::auth::{AuthMechanism, Credentials, Secret};
use crate::command::{CommandError, Verb};
use crate::line::LineError;
use crate::reply::Reply;

/// What the next response of the client says.
#[derive(Debug)]
pub(super) enum Login {
    /// All, in the form of PLAIN.
    Plain,
    /// The user of LOGIN.
    User,
    /// The password of LOGIN.
    Password { user: Secret },
}

impl ServerSession {
    /// AUTH was said.
    pub(super) fn auth(&mut self, mechanism: &AuthMechanism, initial: Option<Secret>) {
        let offered = &self.config.offer.auth;
        let refusal = if offered.is_empty() {
            Some(Refusal::NotOffered(Verb::Auth))
        } else if self.tls.is_none() {
            Some(Refusal::AuthInClear)
        } else if self.greeted != Some(Greeting::Ehlo) {
            Some(Refusal::HelloFirst)
        } else if self.authenticated {
            Some(Refusal::AlreadyAuthenticated)
        } else if self.transaction.is_some() {
            Some(Refusal::AuthInTransaction)
        } else if !offered.contains(mechanism) {
            Some(Refusal::Mechanism)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.refuse(&refusal);
        }
        let login = match mechanism {
            AuthMechanism::Plain => Login::Plain,
            AuthMechanism::Login => Login::User,
            AuthMechanism::Other(_) => return self.refuse(&Refusal::Mechanism),
        };
        match initial {
            Some(response) => self.go_on(login, response),
            None => self.challenge(login),
        }
    }

    /// The client answered a challenge.
    pub(super) fn take_response(&mut self, line: Result<Vec<u8>, LineError>) {
        let State::Auth(login) = std::mem::replace(&mut self.state, State::Command) else { return };
        match line {
            Err(error) => self.complain(&CommandError::from(error).reply()),
            Ok(line) if line == b"*" => self.refuse(&Refusal::Cancelled),
            Ok(line) => match Secret::from_base64(&line) {
                Some(response) => self.go_on(login, response),
                None => self.complain(&CommandError::Base64.reply()),
            },
        }
    }

    fn go_on(&mut self, login: Login, response: Secret) {
        let credentials = match login {
            Login::Plain => Credentials::from_plain(&response),
            Login::User => return self.challenge(Login::Password { user: response }),
            Login::Password { user } => Credentials::from_login(&user, response),
        };
        let Some(credentials) = credentials else { return self.refuse(&Refusal::Credentials) };
        self.state = State::Waiting(Wait::Auth);
        self.events.push_back(ServerEvent::Auth(credentials));
    }

    fn challenge(&mut self, login: Login) {
        let challenge = match login {
            Login::Plain => "",
            Login::User => "VXNlcm5hbWU6",
            Login::Password { .. } => "UGFzc3dvcmQ6",
        };
        self.say(&Reply::plain::<334>(challenge));
        self.state = State::Auth(login);
    }
}
