//! Who may ask over TCP.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::error::AdminError;
use crate::problem::Failure;

/// Who may ask over TCP.
#[derive(Clone)]
pub(crate) enum Access {
    /// Whoever shows this token.
    Token(Arc<str>),
    /// Whoever is on this host, and only what changes nothing.
    LocalReaders,
}

impl Access {
    /// By the token of this file, if one is configured. Blocks.
    pub(crate) fn by_token(file: Option<&Path>) -> Result<Self, AdminError> {
        let Some(path) = file else { return Ok(Self::LocalReaders) };
        let text = std::fs::read_to_string(path).map_err(|source| AdminError::Token { path: path.to_owned(), source })?;
        let token = text.trim();
        if token.len() < TOKEN_CHARACTERS || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AdminError::WeakToken { path: path.to_owned() });
        }
        Ok(Self::Token(token.into()))
    }

    fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Failure> {
        match self {
            Self::Token(token) => {
                let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).and_then(bearer);
                match shown.map(|shown| verify_slices_are_equal(shown, token.as_bytes())) {
                    Some(Ok(())) => Ok(()),
                    _ => Err(Failure::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong")
                        .meant("`Authorization: Bearer TOKEN` with the token of [admin] token")),
                }
            }
            Self::LocalReaders if method != Method::GET && method != Method::HEAD => {
                Err(Failure::new(StatusCode::FORBIDDEN, "over TCP nothing can be changed without a token")
                    .meant("[admin] token = \"FILE\" in sealpost.toml, or the unix socket"))
            }
            Self::LocalReaders if WHO_WROTE_TO_WHOM.iter().any(|begin| path.starts_with(begin)) => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "over TCP history, queue and kept MTA-STS policies are not shown without a token: they say who wrote to whom",
            )
            .meant("[admin] token = \"FILE\" in sealpost.toml, or the unix socket")),
            // A page in a browser on this host may lead a name of its own here, and would read what is answered.
            Self::LocalReaders if !headers.get(header::HOST).is_some_and(is_local) => {
                Err(Failure::new(StatusCode::FORBIDDEN, "this is no name of the loopback interface")
                    .meant("http://127.0.0.1 or http://localhost"))
            }
            Self::LocalReaders => Ok(()),
        }
    }
}

/// Lets a request pass if whoever makes it may.
pub(crate) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.check(request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => {
            let mut response = failure.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_ascii())
}

/// Whether a Host field names the loopback interface, with or without a port.
fn is_local(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// What begins so names senders and recipients, or the domains that mail goes to.
const WHO_WROTE_TO_WHOM: [&str; 3] = ["/v1/history", "/v1/queue", "/v1/mta-sts"];

const BEARER: &[u8] = b"Bearer ";

/// Fewer characters can be guessed.
const TOKEN_CHARACTERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(access: &Access, method: &Method, path: &str, name: header::HeaderName, value: &str) -> StatusCode {
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        access.check(method, path, &headers).map_or_else(|failure| failure.into_response().status(), |()| StatusCode::OK)
    }

    fn status(access: &Access, method: &Method, name: header::HeaderName, value: &str) -> StatusCode {
        status_of(access, method, "/v1/status", name, value)
    }

    #[test]
    fn who_wrote_to_whom_needs_a_token() {
        for path in ["/v1/history", "/v1/history/follow", "/v1/queue", "/v1/queue/1M8CB0EW30000", "/v1/mta-sts", "/v1/mta-sts/bank.example"]
        {
            let status = |access: &Access, name, value| status_of(access, &Method::GET, path, name, value);
            assert_eq!(status(&Access::LocalReaders, header::HOST, "localhost"), StatusCode::FORBIDDEN, "{path}");
            let with_token = Access::Token("0123456789abcdef".into());
            assert_eq!(status(&with_token, header::AUTHORIZATION, "Bearer 0123456789abcdef"), StatusCode::OK, "{path}");
        }
    }

    #[test]
    fn only_the_token_opens() {
        let access = Access::Token("0123456789abcdef".into());
        for (value, expected) in [
            ("Bearer 0123456789abcdef", StatusCode::OK),
            ("bearer 0123456789abcdef", StatusCode::OK),
            ("Bearer 0123456789abcdeg", StatusCode::UNAUTHORIZED),
            ("Bearer 0123456789abcde", StatusCode::UNAUTHORIZED),
            ("Bearer ", StatusCode::UNAUTHORIZED),
            ("Bear", StatusCode::UNAUTHORIZED),
            ("Basic 0123456789abcdef", StatusCode::UNAUTHORIZED),
            ("0123456789abcdef", StatusCode::UNAUTHORIZED),
        ] {
            assert_eq!(status(&access, &Method::GET, header::AUTHORIZATION, value), expected, "{value}");
        }
    }

    #[test]
    fn without_a_token_one_may_look_from_here() {
        for (method, host, expected) in [
            (Method::GET, "127.0.0.1:8025", StatusCode::OK),
            (Method::GET, "localhost:8025", StatusCode::OK),
            (Method::GET, "[::1]:8025", StatusCode::OK),
            (Method::GET, "evil.example:8025", StatusCode::FORBIDDEN),
            (Method::GET, "127.0.0.1.evil.example", StatusCode::FORBIDDEN),
            (Method::POST, "127.0.0.1:8025", StatusCode::FORBIDDEN),
        ] {
            assert_eq!(status(&Access::LocalReaders, &method, header::HOST, host), expected, "{method} {host}");
        }
    }
}
