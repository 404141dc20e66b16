//! Details as JSON, for programs. Needs the feature `serde`.
#![cfg(feature = "serde")]

mod fixtures;

use fixtures::der;
use sealpost_cert::CertificateDetails;

// req: A10
#[test]
fn details_are_json() {
    let details = CertificateDetails::from_der(&der("ip-san")).unwrap();
    let json = serde_json::to_value(&details).unwrap();
    assert_eq!(json["common_name"], "192.0.2.25");
    assert_eq!(json["alternative_names"], serde_json::json!([{ "address": "192.0.2.25" }, { "address": "2001:db8::25" }]));
    assert_eq!(json["country"], serde_json::Value::Null);
    assert_eq!(json["serial_number"], details.serial_number());
    assert_eq!(json["signature_algorithm"], "ecdsa-with-SHA256");
    assert_eq!(json["not_before"], "2026-01-01T00:00:00Z");
    assert_eq!(json["public_key"], serde_json::json!({ "algorithm": "id-ecPublicKey", "bits": 256, "curve": "P-256" }));
    assert_eq!(json["pin"], details.pin().to_string());
    assert_eq!(json["fingerprint"], details.fingerprint().to_string());
    assert_eq!(json["is_ca"], false);
}
