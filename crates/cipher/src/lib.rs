//! Cipher settings: which suites an OpenSSL cipher string, a list of IANA names or a profile means, and which of them can be used.
//!
//! It negotiates nothing, and opens no files: a text comes in, suites come out.
//!
//! # Example
//! ```
//! # use sealpost_cipher::CipherChoice;
//! let choice = CipherChoice::parse("TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL")?;
//! assert_eq!(choice.tls12()[0].openssl_name(), "ECDHE-ECDSA-AES256-GCM-SHA384");
//! assert_eq!(choice.tls12().len(), 4);
//! let static_rsa = choice.lacking().iter().find(|(suite, _)| suite.openssl_name() == "AES256-GCM-SHA384").unwrap();
//! assert!(static_rsa.1.to_string().starts_with("static RSA has no forward secrecy"));
//! # Ok::<(), sealpost_cipher::CipherError>(())
//! ```
//!
//! # How a choice comes about
//! ```text
//! "ECDHE+AESGCM:!AES128" --terms--> all suites of OpenSSL in its order,  --what the TLS library has--> tls12, lacking
//!                                   each term adds, moves or takes away
//! ```
//!
//! # Limits
//! [`STRING_OCTETS`].
//!
//! # Features
//! None.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(not(test), deny(clippy::unreachable, clippy::string_slice))]

mod choice;
mod error;
mod lack;
mod order;
mod string;
mod suite;
mod table;
mod term;
mod word;

pub use choice::{CipherChoice, PROFILES, parse_tls13};
pub use error::CipherError;
pub use lack::Lack;
pub use string::{CipherString, STRING_OCTETS};
pub use suite::{Authentication, Encryption, KeyExchange, Mac, Since, Suite};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
