//! Patterns over domain names and over addresses.

mod domain;

pub use domain::{Pattern, PatternError};
