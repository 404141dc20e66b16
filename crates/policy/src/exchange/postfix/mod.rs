//! Tables for Postfix's `smtp_tls_policy_maps`.
//!
//! Semantics as of Postfix 3.11: postconf(5) and the section "TLS policy table" of its TLS_README.

mod ciphers;
mod export;
mod import;
mod lines;
mod value;

pub use export::{export_postfix, export_postfix_policy};
pub use import::import_postfix;

/// What the digests of level `fingerprint` are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fingerprints {
    /// Postfix compares them with certificates and with keys, and nothing in the table says which is meant: such entries are
    /// refused.
    #[default]
    Unknown,
    /// SHA-256 digests of public keys: they are pins.
    Sha256OfKeys,
}
