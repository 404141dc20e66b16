//! What a level and its attributes ask.

use crate::exchange::Loss;

/// Versions of TLS, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions(u8);

impl Versions {
    pub(super) const OLD: Self = Self(0b0_0111);
    pub(super) const TLS12: Self = Self(0b0_1000);
    pub(super) const TLS13: Self = Self(0b1_0000);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads `protocols=`: names, `!names`, `>=name`, `<=name`, between colons.
    pub(super) fn parse(text: &str) -> Option<Self> {
        const NAMES: [&str; 5] = ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
        let (mut included, mut excluded, mut allowed) = (0_u8, 0_u8, 0b1_1111_u8);
        for word in text.split(':').filter(|word| !word.is_empty()) {
            let place = |name: &str| {
                let at = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
                // SSLv2 is long gone there, and still written.
                at.map(|at| 1_u8 << at).or_else(|| name.eq_ignore_ascii_case("SSLv2").then_some(0))
            };
            if let Some(name) = word.strip_prefix(">=") {
                let bit = place(name)?;
                allowed &= !bit.saturating_sub(1);
            } else if let Some(name) = word.strip_prefix("<=") {
                let bit = place(name)?;
                allowed &= bit | bit.saturating_sub(1);
            } else if let Some(name) = word.strip_prefix('!') {
                excluded |= place(name)?;
            } else {
                included |= place(word)?;
            }
        }
        let chosen = if included == 0 { 0b1_1111 } else { included };
        Some(Self(chosen & !excluded & allowed))
    }
}

/// An attribute: `name=value`, or `{ name = value }`.
pub(super) fn attribute(token: &str) -> Result<(String, String), Loss> {
    let inner = match token.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}').ok_or(Loss::Malformed)?,
        None => token,
    };
    let (name, value) = inner.split_once('=').ok_or(Loss::Malformed)?;
    let name = name.trim();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(Loss::Malformed);
    }
    Ok((name.to_ascii_lowercase(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The grades of `ciphers=`.
pub(super) const GRADES: &[&str] = &["high", "medium", "low", "export", "null"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let tls = |text: &str| Versions::parse(text).map(|v| (v.has(Versions::OLD), v.has(Versions::TLS12), v.has(Versions::TLS13)));
        for (text, expected) in [
            ("", (true, true, true)),
            (">=TLSv1", (true, true, true)),
            (">=TLSv1.2", (false, true, true)),
            (">=tlsv1.3", (false, false, true)),
            (">=TLSv1.2:<=TLSv1.2", (false, true, false)),
            ("<=TLSv1.1", (true, false, false)),
            ("TLSv1.2", (false, true, false)),
            ("TLSv1.2:TLSv1.3", (false, true, true)),
            ("TLSv1", (true, false, false)),
            ("!SSLv2:!SSLv3", (true, true, true)),
            ("!SSLv2:!SSLv3:!TLSv1:!TLSv1.1", (false, true, true)),
            ("!TLSv1.2:!TLSv1.3", (true, false, false)),
            ("TLSv1.2:!TLSv1.2", (false, false, false)),
        ] {
            assert_eq!(tls(text), Some(expected), "{text}");
        }
        assert_eq!((tls("TLSv2"), tls(">=x"), tls("!")), (None, None, None));
    }

    #[test]
    fn attributes() {
        let read = |token: &str| attribute(token).ok();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(read("Match=a:b"), pair("match", "a:b"));
        assert_eq!(read("protocols=>=TLSv1"), pair("protocols", ">=TLSv1"));
        assert_eq!(read("{ policy_string = a  b }"), pair("policy_string", "a b"));
        assert_eq!(read("exclude="), pair("exclude", ""));
        assert_eq!((read("#"), read("=x"), read("{ a = b"), read("word")), (None, None, None, None));
    }
}
