//! The certificate that the server shows: a good one, or one of the usual bad ones.

use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use sealpost_transport::ServerIdentity;
use sealpost_types::{Domain, WithCauses};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    Expired,
    SelfSigned,
    WrongName,
    /// Signed with SHA-1 by an RSA key of 1024 bits.
    Weak,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "good" => Self::Good,
            "expired" => Self::Expired,
            "self-signed" => Self::SelfSigned,
            "wrong-name" => Self::WrongName,
            "weak" => Self::Weak,
            _ => return Err("one of good, expired, self-signed, wrong-name, weak is meant".to_owned()),
        })
    }
}

/// A certificate of this kind for this name, and what a client has to trust for it, in PEM.
pub(super) fn make(kind: Kind, name: &Domain) -> Result<(ServerIdentity, String), String> {
    let (certificate, key, anchor) = match kind {
        // Nothing in this workspace can sign so any more: it lies ready, for localhost, made once with OpenSSL.
        Kind::Weak => (
            WEAK.to_owned(),
            WEAK_KEY.to_owned(),
            WEAK.rsplit_once("-----BEGIN").map_or_else(|| WEAK.to_owned(), |(_, last)| format!("-----BEGIN{last}")),
        ),
        _ => sign(kind, name).map_err(|error| format!("cannot make a certificate for {name}: {error}"))?,
    };
    let identity = ServerIdentity::from_pem((Path::new("the certificate"), certificate.as_bytes()), (Path::new("its key"), key.as_bytes()));
    Ok((identity.map_err(|error| WithCauses(&error).to_string())?, anchor))
}

fn sign(kind: Kind, name: &Domain) -> Result<(String, String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let params = leaf(kind, name)?;
    if kind == Kind::SelfSigned {
        let certificate = params.self_signed(&key)?.pem();
        return Ok((certificate.clone(), key.serialize_pem(), certificate));
    }
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "Sealpost sink throw-away authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem(), issuer.pem()))
}

fn leaf(kind: Kind, name: &Domain) -> Result<CertificateParams, rcgen::Error> {
    let name = if kind == Kind::WrongName { "wrong-name.invalid" } else { name.as_str() };
    let mut names = vec![name.to_owned()];
    if name == "localhost" {
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    let (from, to) = if kind == Kind::Expired { (now - 30 * DAY, now - 3 * DAY - DAY / 2) } else { (now - DAY, now + 90 * DAY) };
    (params.not_before, params.not_after) = (from.into(), to.into());
    Ok(params)
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The certificate, then that of its authority.
const WEAK: &str = include_str!("weak.pem");
/// Its key, which is no secret.
const WEAK_KEY: &str = include_str!("weak.key.pem");
