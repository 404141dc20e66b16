//! Where an HTTPS request goes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;
use sealpost_types::{Domain, DomainError};

/// An `https:` URL: a host's name, a port, and the path with its query.
///
/// # Example
/// ```
/// # use sealpost_transport::HttpsUrl;
/// let url: HttpsUrl = "https://reports.example:8443/v1?from=us".parse()?;
/// assert_eq!((url.host().as_str(), url.port(), url.path()), ("reports.example", 8443, "/v1?from=us"));
/// assert!("http://reports.example/".parse::<HttpsUrl>().is_err());
/// # Ok::<(), sealpost_transport::HttpsUrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpsUrl {
    host: Domain,
    port: u16,
    path: Box<str>,
}

/// Why a text is no [`HttpsUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsUrlError {
    /// It is no absolute URL.
    #[error("{found:?} is no URL; https://host/path is meant")]
    NoUrl {
        /// The text.
        found: String,
    },
    /// It is a URL of another kind.
    #[error("{found:?} is not an https URL")]
    Scheme {
        /// The text.
        found: String,
    },
    /// Its host is an address: no certificate of the web has a name for it.
    #[error("{found:?} names its host by an address; a name is meant")]
    Address {
        /// The text.
        found: String,
    },
    /// It carries a user's name or password, which are sent to nobody.
    #[error("a user's name or password stands in the URL for {host:?}")]
    Credentials {
        /// What stands behind them.
        host: String,
    },
    /// Its host is no domain name.
    #[error("the host of {found:?} is no domain name")]
    Host {
        /// The text.
        found: String,
        /// What is wrong with it.
        source: DomainError,
    },
}

impl HttpsUrl {
    /// The host, by which its certificate is judged.
    #[must_use]
    pub fn host(&self) -> &Domain {
        &self.host
    }

    /// The port; 443 unless the URL says another.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path, with its query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands in the Host field: the port only where it is not the usual one.
    pub(super) fn authority(&self) -> String {
        if self.port == HTTPS_PORT { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl FromStr for HttpsUrl {
    type Err = HttpsUrlError;

    fn from_str(text: &str) -> Result<Self, HttpsUrlError> {
        let found = || text.to_owned();
        let uri: Uri = text.parse().map_err(|_| HttpsUrlError::NoUrl { found: found() })?;
        match uri.scheme_str() {
            Some("https") => {}
            Some(_) => return Err(HttpsUrlError::Scheme { found: found() }),
            None => return Err(HttpsUrlError::NoUrl { found: found() }),
        }
        let authority = uri.authority().ok_or_else(|| HttpsUrlError::NoUrl { found: found() })?;
        if let Some((_, host)) = authority.as_str().rsplit_once('@') {
            return Err(HttpsUrlError::Credentials { host: host.to_owned() });
        }
        let host = authority.host();
        if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
            return Err(HttpsUrlError::Address { found: found() });
        }
        let host = Domain::parse(host).map_err(|source| HttpsUrlError::Host { found: found(), source })?;
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // A colon with nothing that is a port behind it.
            None if authority.as_str().contains(':') => return Err(HttpsUrlError::NoUrl { found: found() }),
            None => HTTPS_PORT,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { host, port, path: path.into() })
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

const HTTPS_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_shown() {
        for (text, shown) in [
            ("https://mta-sts.example.org/.well-known/mta-sts.txt", "https://mta-sts.example.org/.well-known/mta-sts.txt"),
            ("HTTPS://Reports.Example", "https://reports.example/"),
            ("https://reports.example:443/a?b=c#d", "https://reports.example/a?b=c"),
            ("https://reports.example:8443", "https://reports.example:8443/"),
        ] {
            let url: HttpsUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.to_string().parse(), Ok(url));
        }
    }

    #[test]
    fn what_is_no_https_url_is_refused() {
        for (text, words) in [
            ("", "is no URL"),
            ("/path", "is no URL"),
            ("reports.example", "is no URL"),
            ("https://", "is no URL"),
            ("https://reports.example:/x", "is no URL"),
            ("https://reports.example:99999/x", "is no URL"),
            ("https://re ports.example/", "is no URL"),
            ("https://reports.example/\r\nHost: other.example", "is no URL"),
            ("http://reports.example/", "not an https URL"),
            ("mailto:reports@reports.example", "is no URL"),
            ("https://192.0.2.1/", "by an address"),
            ("https://[2001:db8::1]/", "by an address"),
            ("https://user:secret@reports.example/", "name or password"),
            ("https://-reports.example/", "no domain name"),
        ] {
            let error = text.parse::<HttpsUrl>().map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|error| error.contains(words) && !error.contains("secret")), "{text}: {error:?}");
        }
    }
}
