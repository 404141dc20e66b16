//! The details of a certificate against what OpenSSL says of it.

mod fixtures;

use std::fs;
use std::net::IpAddr;

use fixtures::{all, der, file};
use sealpost_cert::{CERTIFICATE_OCTETS, CertificateDetails, DetailsError, Malformed, PresentedName, TrustAnchors};

/// OpenSSL's text of a fixture.
struct OpenSsl(String);

impl OpenSsl {
    fn of(name: &str) -> Self {
        Self(fs::read_to_string(file(&format!("{name}.txt"))).unwrap())
    }

    /// What follows `start` on the first line that begins with it.
    fn after(&self, start: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(start)).map(str::trim)
    }

    /// The indented line below the heading of an extension, cut at commas.
    fn extension(&self, heading: &str) -> Vec<String> {
        let mut lines = self.0.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
        let list = lines.next().map(|line| line.trim().split(", ").map(str::to_owned).collect());
        list.unwrap_or_default()
    }
}

// req: A10
#[test]
fn details_are_what_openssl_says() {
    for name in all() {
        let details = CertificateDetails::from_der(&der(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let openssl = OpenSsl::of(&name);
        let text = details.to_string();
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).map(str::trim).unwrap().to_owned();

        assert_eq!(details.subject(), openssl.after("subject=").unwrap(), "{name}");
        assert_eq!(details.issuer(), openssl.after("issuer=").unwrap(), "{name}");
        assert_eq!(details.serial_number().replace(':', "").to_uppercase(), openssl.after("serial=").unwrap(), "{name}");
        assert_eq!(details.fingerprint().to_string(), openssl.after("sha256 Fingerprint=").unwrap(), "{name}");
        assert_eq!(details.pin().to_string(), openssl.after("pin=").unwrap(), "{name}");
        assert_eq!(details.signature_algorithm(), openssl.after("Signature Algorithm:").unwrap(), "{name}");
        assert_eq!(line("Valid from:"), openssl.after("notBefore=").unwrap(), "{name}");
        assert_eq!(line("Valid until:"), openssl.after("notAfter=").unwrap(), "{name}");
        let key = details.public_key();
        assert_eq!(key.algorithm, openssl.after("Public Key Algorithm:").unwrap(), "{name}");
        let bits = key.bits.map(|bits| format!("({bits} bit)"));
        assert_eq!(bits.as_deref(), openssl.after("Public-Key:"), "{name}");
        assert_eq!(key.curve.as_deref(), openssl.after("NIST CURVE:"), "{name}");
        let is_ca = openssl.extension("X509v3 Basic Constraints").first().is_some_and(|first| first.starts_with("CA:TRUE"));
        assert_eq!(details.is_ca(), is_ca, "{name}");
        assert_eq!(details.key_usage(), openssl.extension("X509v3 Key Usage"), "{name}");
        assert_eq!(details.extended_key_usage(), openssl.extension("X509v3 Extended Key Usage"), "{name}");
        let names: Vec<_> = details.alternative_names().iter().map(with_one_form_of_address).collect();
        let expected = openssl.extension("X509v3 Subject Alternative Name");
        assert_eq!(names, expected.iter().map(|name| lower_address(name)).collect::<Vec<_>>(), "{name}");
        for part in [("CN", details.common_name()), ("C", details.country()), ("ST", details.state()), ("L", details.locality())] {
            if let (kind, Some(value)) = part {
                assert!(format!("{}, ", details.subject()).contains(&format!("{kind}={value}, ")), "{name}: {part:?}");
            }
        }
    }
}

/// OpenSSL writes IPv6 addresses in full and in capitals.
fn lower_address(name: &str) -> String {
    match name.strip_prefix("IP Address:") {
        Some(address) => format!("IP Address:{}", address.parse::<IpAddr>().unwrap()),
        None => name.to_owned(),
    }
}

fn with_one_form_of_address(name: &PresentedName) -> String {
    name.to_string()
}

// req: A10
#[test]
fn the_block_of_text_has_every_field() {
    let details = CertificateDetails::from_der(&der("rsa2048")).unwrap();
    let openssl = OpenSsl::of("rsa2048");
    let serial = details.serial_number();
    let (fingerprint, pin) = (openssl.after("sha256 Fingerprint=").unwrap(), openssl.after("pin=").unwrap());
    assert_eq!(
        details.to_string(),
        format!(
            r#"Common name:          mx1.bank.example
Alternative names:    DNS:mx1.bank.example
                      DNS:mail.bank.example
Location:             C=DE, ST=Bavaria, L=Munich
Serial number:        {serial}
Signature algorithm:  sha256WithRSAEncryption
Issuer:               C=DE, O=Test Trust, CN=Test Root
Subject:              C=DE, ST=Bavaria, L=Munich, O="Bank, \"Example\" + Sons", OU=Mail, OU=Operations, CN=mx1.bank.example
Organization:         O=Bank, "Example" + Sons, OU=Mail, OU=Operations
Valid from:           2026-01-01T00:00:00Z
Valid until:          2036-01-01T00:00:00Z
Public key:           rsaEncryption, 2048 bits
SHA-256 fingerprint:  {fingerprint}
Pin:                  {pin}
CA:                   no
Key usage:            Digital Signature, Key Encipherment
Extended key usage:   TLS Web Server Authentication, TLS Web Client Authentication
"#
        )
    );
    assert_eq!(serial.matches(':').count(), serial.len() / 3);
    assert_eq!(details.organization(), Some("Bank, \"Example\" + Sons"));
    assert_eq!(details.organizational_units(), ["Mail", "Operations"]);
}

#[test]
fn a_der_file_is_the_same_as_its_pem_file() {
    let file = fs::read(file("ec256.der")).unwrap();
    assert_eq!(CertificateDetails::from_der(&file), CertificateDetails::from_der(&der("ec256")));
    assert_eq!(TrustAnchors::from_der([file]).len(), 1);
}

#[test]
fn what_is_no_certificate_is_said_to_be_none() {
    let problem = |octets: &[u8]| CertificateDetails::from_der(octets).unwrap_err();
    let mut longer = der("ec256");
    longer.push(0);
    assert_eq!(problem(b""), DetailsError::Unparsable { problem: Malformed::Der });
    assert_eq!(problem(b"-----BEGIN CERTIFICATE-----"), DetailsError::Unparsable { problem: Malformed::Der });
    assert_eq!(problem(&longer), DetailsError::Unparsable { problem: Malformed::TrailingData });
    assert_eq!(problem(&vec![0x30; 70_000]), DetailsError::TooLarge { found: 70_000, limit: CERTIFICATE_OCTETS });
}

/// Machines without the file have nothing to compare; the bundle is Debian's.
#[test]
fn every_root_of_the_system_is_an_anchor() {
    let Ok(bundle) = fs::read("/etc/ssl/certs/ca-certificates.crt") else { return };
    let anchors = TrustAnchors::from_pem(&bundle).unwrap();
    assert_eq!(anchors.problems(), []);
    assert!(anchors.len() > 50);
}
