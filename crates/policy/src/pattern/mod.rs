//! Patterns over domain names and over addresses.
//!
//! ```text
//! "*@bank.example" -> AddressPattern --+
//! "john.smith"     -> LocalPattern   --+-> AddressSet --+
//!                                                       +-> the most specific pattern that covers the face
//! MAIL FROM:<SRS0=..> -> ReversePath --> Faces: Face ---+
//! ```

mod address;
mod domain;
mod face;
mod local;
mod set;

pub use address::{AddressPattern, AddressPatternError, LocalPattern};
pub use domain::{Pattern, PatternError};
pub use face::{Face, Faces, WRAPPERS, faces};
pub use set::{AddressSet, TAG_DELIMITERS};
