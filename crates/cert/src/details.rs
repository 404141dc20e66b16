//! Everything an administrator wants to know about one certificate.

use std::fmt;

use sealpost_types::{Pin, UnixMillis};

use crate::algorithm::signature_name;
use crate::certificate::Certificate;
use crate::chain::CERTIFICATE_OCTETS;
use crate::date::Utc;
use crate::distinguished::{self, COUNTRY, LOCALITY, ORGANIZATION, STATE, UNIT};
use crate::finding::{Malformed, Position};
use crate::key::PublicKey;
use crate::name::PresentedName;
use crate::pin::{Fingerprint, pin_of_key};

/// Everything an administrator wants to know about one certificate. `Display` writes it as a block of aligned lines.
///
/// Text from the certificate is safe to print: control characters and marks that turn the direction of writing are
/// escaped. Nothing is verified here.
///
/// # Example
/// ```
/// # use sealpost_cert::{CertificateDetails, certificates_from_pem};
/// # let file = include_bytes!("../tests/fixtures/rsa2048.pem");
/// let certificates = certificates_from_pem(file)?;
/// let details = CertificateDetails::from_der(&certificates[0])?;
/// assert_eq!(details.common_name(), Some("mx1.bank.example"));
/// assert_eq!(details.signature_algorithm(), "sha256WithRSAEncryption");
/// assert!(details.to_string().starts_with("Common name:          mx1.bank.example\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct CertificateDetails {
    common_name: Option<String>,
    alternative_names: Vec<PresentedName>,
    country: Option<String>,
    state: Option<String>,
    locality: Option<String>,
    organization: Option<String>,
    organizational_units: Vec<String>,
    serial_number: String,
    signature_algorithm: String,
    issuer: String,
    subject: String,
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_utc"))]
    not_before: UnixMillis,
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_utc"))]
    not_after: UnixMillis,
    public_key: PublicKey,
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_text"))]
    fingerprint: Fingerprint,
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_text"))]
    pin: Pin,
    is_ca: bool,
    key_usage: Vec<String>,
    extended_key_usage: Vec<String>,
}

/// Octets whose details cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DetailsError {
    /// They are not a certificate, or one of its extensions is not what it should be.
    #[error("not a certificate that can be read: {problem}")]
    Unparsable {
        /// What is wrong with them.
        problem: Malformed,
    },
    /// There are more than [`CERTIFICATE_OCTETS`].
    #[error("{found} octets are more than a certificate may have ({limit})")]
    TooLarge {
        /// Octets found.
        found: usize,
        /// Octets allowed.
        limit: usize,
    },
}

impl CertificateDetails {
    /// The details of a DER certificate.
    ///
    /// # Errors
    /// [`DetailsError::Unparsable`] for anything else, also where octets follow behind the certificate or an extension
    /// that is shown is broken; [`DetailsError::TooLarge`] past [`CERTIFICATE_OCTETS`].
    pub fn from_der(der: &[u8]) -> Result<Self, DetailsError> {
        if der.len() > CERTIFICATE_OCTETS {
            return Err(DetailsError::TooLarge { found: der.len(), limit: CERTIFICATE_OCTETS });
        }
        let certificate = Certificate::parse(der, Position::Leaf)?;
        let subject = certificate.x509.subject();
        Ok(Self {
            common_name: certificate.common_name(),
            alternative_names: certificate.presented_names()?,
            country: distinguished::last(subject, COUNTRY),
            state: distinguished::last(subject, STATE),
            locality: distinguished::last(subject, LOCALITY),
            organization: distinguished::last(subject, ORGANIZATION),
            organizational_units: distinguished::all(subject, UNIT),
            serial_number: serial_number(certificate.x509.raw_serial()),
            signature_algorithm: signature_name(certificate.x509.signature_algorithm.algorithm.as_bytes()),
            issuer: distinguished::text(certificate.x509.issuer()),
            subject: distinguished::text(subject),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            public_key: PublicKey::of(&certificate),
            fingerprint: Fingerprint::of_certificate(der),
            pin: pin_of_key(certificate.spki()),
            is_ca: certificate.is_ca()?,
            key_usage: key_usage(certificate.key_usage()?.map_or(0, |usage| usage.flags)),
            extended_key_usage: certificate.purposes()?.map(|purposes| purposes.names).unwrap_or_default(),
        })
    }

    /// The common name (CN) of the subject; the last, where there are several.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The subject alternative names, in the order of the certificate.
    #[must_use]
    pub fn alternative_names(&self) -> &[PresentedName] {
        &self.alternative_names
    }

    /// The country (C) of the subject.
    #[must_use]
    pub fn country(&self) -> Option<&str> {
        self.country.as_deref()
    }

    /// The state or province (ST) of the subject.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The locality (L) of the subject.
    #[must_use]
    pub fn locality(&self) -> Option<&str> {
        self.locality.as_deref()
    }

    /// The organization (O) of the subject.
    #[must_use]
    pub fn organization(&self) -> Option<&str> {
        self.organization.as_deref()
    }

    /// The organizational units (OU) of the subject.
    #[must_use]
    pub fn organizational_units(&self) -> &[String] {
        &self.organizational_units
    }

    /// The serial number in hexadecimal, octets separated by colons: `0a:1b:2c`.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// OpenSSL's name of the signature algorithm (`sha256WithRSAEncryption`), or its dotted object identifier.
    #[must_use]
    pub fn signature_algorithm(&self) -> &str {
        &self.signature_algorithm
    }

    /// The distinguished name of the issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The distinguished name of the subject.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The first moment at which it is valid.
    #[must_use]
    pub fn not_before(&self) -> UnixMillis {
        self.not_before
    }

    /// The last second in which it is valid.
    #[must_use]
    pub fn not_after(&self) -> UnixMillis {
        self.not_after
    }

    /// Kind and size of the public key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// SHA-256 of the public key.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// Whether it is a CA certificate.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// What the key may be used for, in OpenSSL's words; empty where nothing is said.
    #[must_use]
    pub fn key_usage(&self) -> &[String] {
        &self.key_usage
    }

    /// The purposes of the certificate, in OpenSSL's words or as dotted object identifiers; empty where nothing is said.
    #[must_use]
    pub fn extended_key_usage(&self) -> &[String] {
        &self.extended_key_usage
    }
}

/// The block of lines, names in a column of their own; several alternative names stand below one another.
impl fmt::Display for CertificateDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = [("C", &self.country), ("ST", &self.state), ("L", &self.locality)];
        let organization = self.organization.iter().map(|name| format!("O={name}"));
        let organization = organization.chain(self.organizational_units.iter().map(|unit| format!("OU={unit}")));
        let names = self.alternative_names.iter().map(ToString::to_string).collect::<Vec<_>>().join(CONTINUED);
        let none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        for (name, value) in [
            ("Common name", self.common_name.clone().unwrap_or_default()),
            ("Alternative names", names),
            ("Location", listed(location.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}"))))),
            ("Serial number", self.serial_number.clone()),
            ("Signature algorithm", self.signature_algorithm.clone()),
            ("Issuer", self.issuer.clone()),
            ("Subject", self.subject.clone()),
            ("Organization", listed(organization)),
            ("Valid from", Utc(self.not_before).to_string()),
            ("Valid until", Utc(self.not_after).to_string()),
            ("Public key", self.public_key.to_string()),
            ("SHA-256 fingerprint", self.fingerprint.to_string()),
            ("Pin", self.pin.to_string()),
            ("CA", if self.is_ca { "yes" } else { "no" }.to_owned()),
            ("Key usage", self.key_usage.join(", ")),
            ("Extended key usage", self.extended_key_usage.join(", ")),
        ] {
            writeln!(f, "{:<22}{}", format!("{name}:"), none(value))?;
        }
        Ok(())
    }
}

impl From<Malformed> for DetailsError {
    fn from(problem: Malformed) -> Self {
        Self::Unparsable { problem }
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// The octets of a serial number as OpenSSL prints them: without the octet that only says that it is positive.
fn serial_number(octets: &[u8]) -> String {
    let hex = |octets: &mut dyn Iterator<Item = u8>| octets.map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":");
    match octets {
        [0, rest @ ..] if !rest.is_empty() => hex(&mut rest.iter().copied()),
        [first, ..] if first & 0x80 != 0 => {
            // Two's complement: all bits turned over, plus one from the end.
            let mut carry = true;
            let mut magnitude: Vec<u8> = Vec::with_capacity(octets.len());
            for octet in octets.iter().rev() {
                let (sum, overflow) = (!octet).overflowing_add(u8::from(carry));
                carry = overflow;
                magnitude.push(sum);
            }
            format!("-{}", hex(&mut magnitude.into_iter().rev()))
        }
        _ => hex(&mut octets.iter().copied()),
    }
}

fn key_usage(flags: u16) -> Vec<String> {
    KEY_USAGES.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, name)| (*name).to_owned()).collect()
}

#[cfg(feature = "serde")]
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_utc<S: serde::Serializer>(time: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Utc(*time))
}

#[cfg(feature = "serde")]
fn as_text<S: serde::Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The names of the bits of a key usage extension, the first bit first.
const KEY_USAGES: [&str; 9] = [
    "Digital Signature",
    "Non Repudiation",
    "Key Encipherment",
    "Data Encipherment",
    "Key Agreement",
    "Certificate Sign",
    "CRL Sign",
    "Encipher Only",
    "Decipher Only",
];

/// Ends a line of the block and goes on in the column of values.
const CONTINUED: &str = "\n                      ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_written_as_openssl_does() {
        for (octets, text) in [
            (&[0x0a, 0x1b][..], "0a:1b"),
            (&[0x00, 0x8f, 0x01], "8f:01"),
            (&[0x00], "00"),
            (&[0x80], "-80"),
            (&[0xff], "-01"),
            (&[0xfe, 0x00], "-02:00"),
            (&[], ""),
        ] {
            assert_eq!(serial_number(octets), text);
        }
    }
}
