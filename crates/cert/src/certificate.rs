//! One certificate, read leniently: enough of it to say what is wrong.

use sealpost_types::UnixMillis;
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::extensions::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName, X509Extension};
use x509_parser::nom::Parser as _;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::algorithm::{dotted, purpose_name, same_oid};
use crate::distinguished;
use crate::finding::{Malformed, Place, Position};
use crate::name::PresentedName;

/// A certificate that could be read, and where it stands in its chain.
pub(crate) struct Certificate<'a> {
    pub(crate) position: Position,
    pub(crate) der: &'a [u8],
    pub(crate) x509: X509Certificate<'a>,
}

/// The purposes of an extended key usage extension.
pub(crate) struct Purposes {
    pub(crate) server_auth: bool,
    pub(crate) client_auth: bool,
    /// All of them, by name.
    pub(crate) names: Vec<String>,
}

impl<'a> Certificate<'a> {
    pub(crate) fn parse(der: &'a [u8], position: Position) -> Result<Self, Malformed> {
        // Extensions are read one by one when they are asked for, so that one broken extension hides nothing else.
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        match parser.parse(der) {
            Ok(([], x509)) => Ok(Self { position, der, x509 }),
            Ok(_) => Err(Malformed::TrailingData),
            Err(_) => Err(Malformed::Der),
        }
    }

    pub(crate) fn subject(&self) -> String {
        distinguished::short_text(self.x509.subject())
    }

    pub(crate) fn issuer(&self) -> String {
        distinguished::short_text(self.x509.issuer())
    }

    pub(crate) fn place(&self) -> Place {
        Place { position: self.position, subject: self.subject() }
    }

    pub(crate) fn not_before(&self) -> UnixMillis {
        millis(self.x509.validity().not_before)
    }

    /// The last second in which it is valid.
    pub(crate) fn not_after(&self) -> UnixMillis {
        millis(self.x509.validity().not_after)
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        self.x509.subject().as_raw() == self.x509.issuer().as_raw()
    }

    pub(crate) fn spki(&self) -> &'a [u8] {
        self.x509.tbs_certificate.subject_pki.raw
    }

    pub(crate) fn common_name(&self) -> Option<String> {
        distinguished::last(self.x509.subject(), distinguished::COMMON_NAME)
    }

    /// The subject alternative names, in the order of the certificate; none where the extension is missing.
    pub(crate) fn presented_names(&self) -> Result<Vec<PresentedName>, Malformed> {
        let names: Option<SubjectAlternativeName<'_>> = self.extension(SUBJECT_ALT_NAME)?;
        Ok(names.map(|names| names.general_names.iter().map(PresentedName::from_general).collect()).unwrap_or_default())
    }

    /// The extended key usage; `None` where nothing is restricted.
    pub(crate) fn purposes(&self) -> Result<Option<Purposes>, Malformed> {
        let Some(usage) = self.extension::<ExtendedKeyUsage<'_>>(EXTENDED_KEY_USAGE)? else { return Ok(None) };
        let known = [
            (usage.server_auth, "TLS Web Server Authentication"),
            (usage.client_auth, "TLS Web Client Authentication"),
            (usage.code_signing, "Code Signing"),
            (usage.email_protection, "E-mail Protection"),
            (usage.time_stamping, "Time Stamping"),
            (usage.ocsp_signing, "OCSP Signing"),
            (usage.any, "Any Extended Key Usage"),
        ];
        let names = known.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned());
        let names = names.chain(usage.other.iter().map(|oid| purpose_name(oid.as_bytes()))).collect();
        Ok(Some(Purposes { server_auth: usage.server_auth, client_auth: usage.client_auth, names }))
    }

    pub(crate) fn key_usage(&self) -> Result<Option<KeyUsage>, Malformed> {
        self.extension(KEY_USAGE)
    }

    pub(crate) fn is_ca(&self) -> Result<bool, Malformed> {
        Ok(self.extension::<BasicConstraints>(BASIC_CONSTRAINTS)?.is_some_and(|constraints| constraints.ca))
    }

    pub(crate) fn has_name_constraints(&self) -> bool {
        self.x509.extensions().iter().any(|extension| same_oid(NAME_CONSTRAINTS, extension.oid.as_bytes()))
    }

    /// The first critical extension that the path validation does not know.
    pub(crate) fn unknown_critical(&self) -> Option<String> {
        let known = |extension: &&X509Extension<'_>| UNDERSTOOD.iter().any(|oid| same_oid(oid, extension.oid.as_bytes()));
        let unknown = self.x509.extensions().iter().find(|extension| extension.critical && !known(extension))?;
        Some(dotted(unknown.oid.as_bytes()))
    }

    fn extension<'c, T: FromDer<'c, x509_parser::error::X509Error>>(&'c self, oid: &[u64]) -> Result<Option<T>, Malformed> {
        let mut found = self.x509.extensions().iter().filter(|extension| same_oid(oid, extension.oid.as_bytes()));
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(only), None) => match T::from_der(only.value) {
                Ok(([], value)) => Ok(Some(value)),
                _ => Err(Malformed::Extension),
            },
            (Some(_), Some(_)) => Err(Malformed::Extension),
        }
    }
}

fn millis(time: ASN1Time) -> UnixMillis {
    UnixMillis(time.timestamp().saturating_mul(1000))
}

const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];
const CRL_DISTRIBUTION_POINTS: &[u64] = &[2, 5, 29, 31];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const UNDERSTOOD: [&[u64]; 6] =
    [KEY_USAGE, SUBJECT_ALT_NAME, BASIC_CONSTRAINTS, NAME_CONSTRAINTS, CRL_DISTRIBUTION_POINTS, EXTENDED_KEY_USAGE];
