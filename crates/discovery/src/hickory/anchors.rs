//! The keys that DNSSEC starts from.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use hickory_resolver::proto::dnssec::{Algorithm, TrustAnchors};
use hickory_resolver::proto::rr::Name;

/// The keys that DNSSEC starts from: those of the root, or of a root or zone of one's own.
///
/// They are fixed: a roll-over of the root's keys (RFC 5011) reaches them with a new file, or a new release.
#[derive(Clone)]
pub struct DnssecAnchors {
    pub(super) keys: Arc<TrustAnchors>,
    /// Whose keys they are; never empty.
    pub(super) zones: Vec<Name>,
}

/// Why a text holds no trust anchors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorsError {
    /// It is not a list of DNSKEY records.
    #[error("it cannot be read as DNSKEY records ({}); lines such as \". IN DNSKEY 257 3 13 ...\" are meant", detail.escape_debug())]
    Unreadable {
        /// What is wrong with it.
        detail: String,
    },
    /// It has no record at all.
    #[error("it has no DNSKEY record; lines such as \". IN DNSKEY 257 3 13 ...\" are meant")]
    Empty,
}

impl DnssecAnchors {
    /// The keys in a text of DNSKEY records in the form of a zone file, each with its owner's full name.
    ///
    /// For a zone below the root, all its keys have to be there, unless the root proves them too.
    ///
    /// # Errors
    /// [`AnchorsError`]: it is something else, or empty, or has a key of an algorithm that cannot be verified (RFC 8624 section 3.1). DS records
    /// are not taken.
    pub fn parse(text: &str) -> Result<Self, AnchorsError> {
        if let Some(algorithm) = unsupported(text) {
            return Err(AnchorsError::Unreadable { detail: format!("algorithm {algorithm} is none of 5, 7, 8, 10, 13, 14 and 15") });
        }
        let keys = TrustAnchors::from_str(text).map_err(|error| AnchorsError::Unreadable { detail: error.to_string() })?;
        let mut zones = Vec::new();
        for line in text.lines().filter(|line| line.split_whitespace().any(|word| word == "DNSKEY")) {
            let Some(Ok(mut zone)) = line.split_whitespace().next().map(Name::from_ascii) else { continue };
            zone.set_fqdn(true);
            if !zones.contains(&zone) {
                zones.push(zone);
            }
        }
        if zones.is_empty() { Err(AnchorsError::Empty) } else { Ok(Self { keys: Arc::new(keys), zones }) }
    }
}

/// The first algorithm that hickory does not know: in a debug build it panics over one.
fn unsupported(text: &str) -> Option<u8> {
    let mut words = text
        .lines()
        .flat_map(|line| line.split(';').next().unwrap_or_default().split(|c: char| c.is_whitespace() || matches!(c, '(' | ')')))
        .filter(|word| !word.is_empty());
    while words.any(|word| word.eq_ignore_ascii_case("DNSKEY")) {
        // Behind the flags and the protocol.
        let algorithm = words.nth(2).and_then(|word| word.parse().ok());
        if let Some(number) = algorithm.filter(|number| !Algorithm::from_u8(*number).is_supported()) {
            return Some(number);
        }
    }
    None
}

/// The keys of the root of the Internet.
impl Default for DnssecAnchors {
    fn default() -> Self {
        Self { keys: Arc::new(TrustAnchors::default()), zones: vec![Name::root()] }
    }
}

impl fmt::Debug for DnssecAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.zones.iter().map(ToString::to_string)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";

    #[test]
    fn keys_are_read_with_the_names_of_their_zones() {
        let text = format!("; a comment\n. 3600 IN DNSKEY {KEY}\nZone.Example. IN DNSKEY {KEY} ;;state=2\n");
        let anchors = DnssecAnchors::parse(&text).unwrap();
        assert_eq!(format!("{anchors:?}").to_lowercase(), "[\".\", \"zone.example.\"]");
        assert_eq!(anchors.keys.len(), 1, "of the root");
    }

    #[test]
    fn what_holds_no_key_is_refused() {
        assert_eq!(DnssecAnchors::parse("; nothing\n").unwrap_err(), AnchorsError::Empty);
        for text in
            [". IN DS 20326 8 2 E06D44B8", "-----BEGIN CERTIFICATE-----", ". IN DNSKEY 257 3 13 !", ". IN DNSKEY ( 257 3\n 6 AwEAAQ== )"]
        {
            assert!(matches!(DnssecAnchors::parse(text), Err(AnchorsError::Unreadable { .. })), "{text}");
        }
    }
}
