//! AUTH: mechanisms, and credentials that never print.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::line::TextLine;

/// A SASL mechanism by its name.
///
/// # Wire
/// RFC 4954 section 3; RFC 4616 for PLAIN, draft-murchison-sasl-login for LOGIN.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthMechanism {
    /// User and password in one response.
    Plain,
    /// User and password in two.
    Login,
    /// One that the sessions cannot do.
    Other(TextLine),
}

/// Octets that never print, in any build.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// What a client proved its name with. Password and all, it never prints.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The mechanism used.
    pub mechanism: AuthMechanism,
    /// Whom the client wants to act as, if it is not `user`.
    pub acting_as: Option<String>,
    /// Who the client says it is.
    pub user: String,
    /// The password.
    pub password: Secret,
}

impl AuthMechanism {
    /// The mechanism of this name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("PLAIN") {
            Some(Self::Plain)
        } else if name.eq_ignore_ascii_case("LOGIN") {
            Some(Self::Login)
        } else {
            let allowed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            TextLine::new(name).filter(|_| allowed && name.len() <= MECHANISM_OCTETS).map(Self::Other)
        }
    }

    /// The registered name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::Other(name) => name.as_str(),
        }
    }
}

impl Secret {
    /// A secret of these octets.
    #[must_use]
    pub fn new(octets: impl Into<Vec<u8>>) -> Self {
        Self(octets.into())
    }

    /// The octets, for whoever has to compare them.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// The secret that `text` is the base64 form of; `=` stands for an empty one (RFC 4954 section 4).
    pub(crate) fn from_base64(text: &[u8]) -> Option<Self> {
        if text == b"=" { Some(Self(Vec::new())) } else { STANDARD.decode(text).ok().map(Self) }
    }

    pub(crate) fn to_base64(&self) -> String {
        if self.0.is_empty() { "=".to_owned() } else { STANDARD.encode(&self.0) }
    }
}

impl Credentials {
    /// The credentials of these parts.
    #[must_use]
    pub fn new(mechanism: AuthMechanism, acting_as: Option<String>, user: String, password: Secret) -> Self {
        Self { mechanism, acting_as, user, password }
    }

    /// What the response of PLAIN says: `[authzid] NUL authcid NUL passwd`, RFC 4616 section 2.
    pub(crate) fn from_plain(response: &Secret) -> Option<Self> {
        let mut parts = response.reveal().split(|octet| *octet == 0);
        let (acting_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || password.is_empty() {
            return None;
        }
        let acting_as = name(acting_as)?;
        let user = name(user).filter(|user| !user.is_empty())?;
        let acting_as = Some(acting_as).filter(|other| !other.is_empty() && *other != user);
        Some(Self { mechanism: AuthMechanism::Plain, acting_as, user, password: Secret::new(password) })
    }

    /// The response of PLAIN that says this.
    pub(crate) fn to_plain(&self) -> Secret {
        let parts = [self.acting_as.as_deref().unwrap_or_default().as_bytes(), self.user.as_bytes(), self.password.reveal()];
        Secret::new(parts.join(&0))
    }

    /// What the two responses of LOGIN say.
    pub(crate) fn from_login(user: &Secret, password: Secret) -> Option<Self> {
        let user = name(user.reveal()).filter(|user| !user.is_empty())?;
        Some(Self { mechanism: AuthMechanism::Login, acting_as: None, user, password })
    }
}

/// A user's name: UTF-8 without control characters.
fn name(octets: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(octets).ok()?;
    if name.chars().any(char::is_control) { None } else { Some(name.to_owned()) }
}

impl fmt::Display for AuthMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// Octets in the name of a mechanism, RFC 4422 section 3.1.
const MECHANISM_OCTETS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4616_2_plain_is_three_parts() {
        let plain = |text: &str| Credentials::from_plain(&Secret::new(text));
        let found = plain("\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!((found.user.as_str(), found.acting_as.as_deref()), ("tim", None));
        assert_eq!(found.password.reveal(), b"tanstaaftanstaaf");
        assert_eq!(plain("Ursel\0Kurt\0xipj3plmq").unwrap().acting_as.as_deref(), Some("Ursel"));
        for wrong in ["", "tim", "\0tim", "\0tim\0", "\0\0x", "\0t\ri\0x", "\0a\0b\0c"] {
            assert_eq!(plain(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn secrets_never_print() {
        let credentials = Credentials::from_plain(&Secret::new("\0tim\0hunter2")).unwrap();
        let text = format!("{credentials:?} {:?} {credentials:#?}", credentials.password);
        assert!(!text.contains("hunter2") && !text.contains("tim"), "{text}");
    }

    #[test]
    fn rfc4954_4_an_equals_sign_is_an_empty_response() {
        assert_eq!(Secret::from_base64(b"="), Some(Secret::new("")));
        assert_eq!(Secret::new("").to_base64(), "=");
        assert_eq!(Secret::from_base64(b"dGlt"), Some(Secret::new("tim")));
        for wrong in [&b"dGl"[..], b"*", b"dGlt ", b"dGlt\n", b"dGl=t"] {
            assert_eq!(Secret::from_base64(wrong), None);
        }
    }
}
