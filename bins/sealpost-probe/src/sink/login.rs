//! AUTH: who is let in.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpost_smtp::{AuthMechanism, Secret};

/// A user that is let in. The password never prints.
#[derive(Clone, Debug)]
pub(super) struct Login {
    name: String,
    password: Secret,
}

impl FromStr for Login {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, password) = text.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or("NAME:PASSWORD is meant")?;
        Ok(Self { name: name.to_owned(), password: Secret::new(password) })
    }
}

/// What is offered for these users.
pub(super) fn mechanisms(users: &[Login]) -> Vec<AuthMechanism> {
    if users.is_empty() { Vec::new() } else { vec![AuthMechanism::Plain, AuthMechanism::Login] }
}

/// Whom this response of PLAIN proves, in base64: `[authzid] NUL authcid NUL passwd`, RFC 4616 section 2.
pub(super) fn plain(users: &[Login], response: &[u8]) -> Option<String> {
    let decoded = STANDARD.decode(response).ok()?;
    plain_octets(users, &decoded)
}

/// The same, decoded.
pub(super) fn plain_octets(users: &[Login], decoded: &[u8]) -> Option<String> {
    let mut parts = decoded.splitn(3, |octet| *octet == 0).skip(1);
    known(users, parts.next()?, parts.next()?)
}

/// Whom these two responses of LOGIN prove, both in base64.
pub(super) fn login(users: &[Login], name: &[u8], password: &[u8]) -> Option<String> {
    known(users, &STANDARD.decode(name).ok()?, &STANDARD.decode(password).ok()?)
}

fn known(users: &[Login], name: &[u8], password: &[u8]) -> Option<String> {
    users.iter().find(|user| user.name.as_bytes() == name && user.password.reveal() == password).map(|user| user.name.clone())
}
