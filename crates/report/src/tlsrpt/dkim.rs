//! A DKIM signature over a message that the relay itself wrote.
//!
//! It signs only: what comes from others is never judged here.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use sealpost_types::{Domain, UnixMillis};

/// Signs messages for one domain.
///
/// # Wire
/// RFC 6376 (`rsa-sha256`), RFC 8463 (`ed25519-sha256`); header and body are canonicalized as "relaxed", and there is no `l=`
/// (RFC 8460 section 3).
pub struct DkimSigner {
    domain: Domain,
    selector: Domain,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// Why a key cannot sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DkimKeyError {
    /// There is no private key in the file.
    #[error("there is no private key in it; PEM is meant, with a line such as -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// It is a key of another kind, or cannot be read.
    #[error("the private key is neither RSA of 2048 to 8192 bits nor Ed25519, or is damaged")]
    Unusable,
}

impl DkimSigner {
    /// A signer with a private key in PEM: RSA in PKCS#8 or PKCS#1, or Ed25519 in PKCS#8.
    ///
    /// # Errors
    /// [`DkimKeyError`].
    pub fn from_pem(pem: &[u8], domain: Domain, selector: Domain) -> Result<Self, DkimKeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| DkimKeyError::NoKey)?;
        let rsa = match &der {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            other => RsaKeyPair::from_pkcs8(other.secret_der()),
        };
        let key = match rsa {
            Ok(key) => Key::Rsa(Box::new(key)),
            Err(_) => {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der());
                Key::Ed25519(key.map_err(|_| DkimKeyError::Unusable)?)
            }
        };
        Ok(Self { domain, selector, key })
    }

    /// The name that the public key has to stand under.
    #[must_use]
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// The TXT record with the public key, for reports about TLS alone (RFC 8460 section 3).
    #[must_use]
    pub fn record(&self) -> String {
        match &self.key {
            Key::Rsa(key) => {
                let public = key.public_key().as_der().map(|der| STANDARD.encode(der.as_ref())).unwrap_or_default();
                format!("v=DKIM1; k=rsa; s=tlsrpt; p={public}")
            }
            Key::Ed25519(key) => format!("v=DKIM1; k=ed25519; s=tlsrpt; p={}", STANDARD.encode(key.public_key().as_ref())),
        }
    }

    /// The message with a signature in front; nothing if the key cannot sign. It must be one that the relay wrote: each line ends with
    /// CRLF, and each field stands there once.
    #[must_use]
    pub fn signed(&self, message: &[u8], at: UnixMillis) -> Option<Vec<u8>> {
        let (header, body) = split(message);
        let fields = fields(header);
        let present: Vec<_> = SIGNED.iter().filter(|name| fields.iter().any(|(found, _)| found == *name)).copied().collect();
        let body_hash = STANDARD.encode(digest(&SHA256, &relaxed_body(body)));
        let algorithm = match &self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        // A further From, To or Subject in front of these would break the signature (RFC 6376 section 8.15).
        let names = present.iter().chain(&OVERSIGNED).copied().collect::<Vec<_>>().join(":");
        let (domain, selector, seconds) = (&self.domain, &self.selector, at.0.div_euclid(1000).max(0));
        let unsigned = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; d={domain}; s={selector};\r\n t={seconds}; h={names};\r\n bh={body_hash};\r\n b="
        );
        let mut signed = Vec::new();
        for name in &present {
            let (_, field) = fields.iter().rev().find(|(found, _)| found == name)?;
            signed.extend_from_slice(&relaxed_field(field));
            signed.extend_from_slice(b"\r\n");
        }
        signed.extend_from_slice(&relaxed_field(unsigned.as_bytes()));
        let signature = STANDARD.encode(self.sign(&signed)?);
        let mut out = unsigned.into_bytes();
        for (number, piece) in signature.as_bytes().chunks(SIGNATURE_COLUMNS).enumerate() {
            out.extend_from_slice(if number == 0 { b"" } else { b"\r\n  " });
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(message);
        Some(out)
    }

    fn sign(&self, octets: &[u8]) -> Option<Vec<u8>> {
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), octets, &mut signature).ok()?;
                Some(signature)
            }
            // RFC 8463 section 3: the digest is what is signed.
            Key::Ed25519(key) => Some(key.sign(digest(&SHA256, octets).as_ref()).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for DkimSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimSigner").field("domain", &self.domain).field("selector", &self.selector).finish_non_exhaustive()
    }
}

/// Header section, with the line end of its last field, and body.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let parts = memchr::memmem::find(message, b"\r\n\r\n").and_then(|at| Some((message.get(..at + 2)?, message.get(at + 4..)?)));
    parts.unwrap_or((message, b""))
}

/// The fields of a header section, each with its name in lower case, folded as it stands, without its last line end.
fn fields(header: &[u8]) -> Vec<(String, &[u8])> {
    let (mut found, mut start) = (Vec::new(), 0);
    for end in memchr::memmem::find_iter(header, b"\r\n") {
        let next = end + 2;
        if !matches!(header.get(next), Some(b' ' | b'\t')) {
            let field = header.get(start..end).unwrap_or_default();
            let name = field.split(|octet| *octet == b':').next().unwrap_or_default();
            found.push((String::from_utf8_lossy(name).trim().to_ascii_lowercase(), field));
            start = next;
        }
    }
    found
}

/// RFC 6376 section 3.4.2.
fn relaxed_field(field: &[u8]) -> Vec<u8> {
    let colon = field.iter().position(|octet| *octet == b':').unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    let mut out = name.trim_ascii().to_ascii_lowercase();
    out.push(b':');
    let unfolded: Vec<u8> = value.iter().skip(1).copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    out.extend_from_slice(single_spaced(&unfolded).trim_ascii());
    out
}

/// RFC 6376 section 3.4.4.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(line);
        out.extend_from_slice(single_spaced(text).trim_ascii_end());
        out.extend_from_slice(b"\r\n");
    }
    while out.ends_with(b"\r\n\r\n") {
        out.truncate(out.len() - 2);
    }
    if out == b"\r\n" { Vec::new() } else { out }
}

/// Each run of spaces and tabs as one space.
fn single_spaced(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for octet in text {
        match octet {
            b' ' | b'\t' if out.last() == Some(&b' ') => {}
            b' ' | b'\t' => out.push(b' '),
            other => out.push(*other),
        }
    }
    out
}

/// The fields that are signed where they are there.
const SIGNED: [&str; 11] = [
    "date",
    "from",
    "to",
    "subject",
    "message-id",
    "tls-report-domain",
    "tls-report-submitter",
    "tls-required",
    "auto-submitted",
    "mime-version",
    "content-type",
];

/// Those of which there must not come to be another one.
const OVERSIGNED: [&str; 3] = ["from", "to", "subject"];

const SIGNATURE_COLUMNS: usize = 72;

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    /// Checks a signature as a receiver does, with nothing of the signer but its record.
    fn verifies(message: &[u8], record: &str) -> bool {
        let (header, body) = split(message);
        let fields = fields(header);
        let (_, signature) = &fields[0];
        let text: String = String::from_utf8(signature.to_vec()).unwrap().chars().filter(|c| !c.is_whitespace()).collect();
        let tag = |name: &str| text.split([':', ';']).find_map(|tag| tag.strip_prefix(&format!("{name}="))).unwrap_or_default().to_owned();
        let names = text.split("h=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        if tag("bh") != STANDARD.encode(digest(&SHA256, &relaxed_body(body))) {
            return false;
        }
        let mut signed = Vec::new();
        let mut used = vec![false; fields.len()];
        for name in names.split(':') {
            let last = (1..fields.len()).rev().find(|at| fields[*at].0 == name && !used[*at]);
            let Some(at) = last else { continue };
            used[at] = true;
            signed.extend_from_slice(&relaxed_field(fields[at].1));
            signed.extend_from_slice(b"\r\n");
        }
        let end = memchr::memmem::rfind(signature, b" b=").unwrap() + 3;
        signed.extend_from_slice(&relaxed_field(&signature[..end]));
        let public = STANDARD.decode(record.split("p=").nth(1).unwrap()).unwrap();
        let octets = STANDARD.decode(tag("b")).unwrap();
        if record.contains("ed25519") {
            UnparsedPublicKey::new(&ED25519, public).verify(digest(&SHA256, &signed).as_ref(), &octets).is_ok()
        } else {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(&signed, &octets).is_ok()
        }
    }

    fn signer(pem: &str) -> DkimSigner {
        DkimSigner::from_pem(pem.as_bytes(), Domain::parse("relay.example").unwrap(), Domain::parse("tls").unwrap()).unwrap()
    }

    fn pem(der: &[u8]) -> String {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
    }

    const MESSAGE: &str = "Date: x\r\nFrom:  <a@relay.example>\r\nSubject: two\r\n  lines\r\nContent-Type: text/plain\r\n\r\nA  body \t\r\n\r\nend\r\n\r\n\r\n";

    #[test]
    fn rfc6376_a_signature_holds_until_something_is_changed() {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let rsa = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        for key in [pem(rsa.as_ref()), pem(ed.as_ref())] {
            let signer = signer(&key);
            assert_eq!(signer.record_name(), "tls._domainkey.relay.example");
            let signed = signer.signed(MESSAGE.as_bytes(), UnixMillis(1_795_700_000_000)).unwrap();
            let text = String::from_utf8(signed.clone()).unwrap();
            assert!(text.ends_with(MESSAGE) && text.starts_with("DKIM-Signature: v=1; a="), "{text}");
            assert!(text.contains("d=relay.example; s=tls;") && !text.contains(" l="), "{text}");
            assert!(verifies(&signed, &signer.record()));
            for (from, to, holds) in [
                ("A  body", "A body", true),
                ("Subject: two\r\n  lines", "subject:two lines", true),
                ("end\r\n\r\n\r\n", "end\r\n", true),
                ("A  body", "A b0dy", false),
                ("Subject: two", "Subject: 2", false),
                ("From:  <a@", "From:  <b@", false),
                // one more in front
                ("Date: x", "Subject: other\r\nDate: x", false),
            ] {
                let changed = text.replacen(from, to, 1);
                assert_eq!(verifies(changed.as_bytes(), &signer.record()), holds, "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn rfc6376_3_4_5_the_examples() {
        assert_eq!(relaxed_field(b"A: X"), b"a:X");
        assert_eq!(relaxed_field(b"B : Y\t\r\n\tZ  "), b"b:Y Z");
        assert_eq!(relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n"), b" C\r\nD E\r\n");
        assert_eq!(relaxed_body(b"\r\n\r\n"), b"");
        assert_eq!(relaxed_body(b"no end"), b"no end\r\n");
    }

    #[test]
    fn keys_that_cannot_sign_are_refused() {
        let of = |pem: &[u8]| DkimSigner::from_pem(pem, Domain::parse("a.example").unwrap(), Domain::parse("s").unwrap()).unwrap_err();
        assert_eq!(of(b""), DkimKeyError::NoKey);
        assert_eq!(of(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), DkimKeyError::NoKey);
        assert_eq!(of(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), DkimKeyError::Unusable);
    }
}
