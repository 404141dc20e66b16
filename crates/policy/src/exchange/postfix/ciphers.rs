//! Cipher suites: OpenSSL's words on that side, IANA's names on this.

use crate::exchange::Loss;

/// A suite of TLS 1.2 that there is here.
struct Suite {
    iana: &'static str,
    openssl: &'static str,
    /// The words of a cipher string that it answers to, beside those of all.
    words: &'static [&'static str],
}

/// What `exclude=` leaves of the suites that there are here; none if it leaves all. And whether it names suites that there are not.
///
/// # Errors
/// [`Loss::UnknownCiphers`] for a word of which it cannot be told what it means.
pub(super) fn left(exclude: &str) -> Result<(Option<Vec<&'static str>>, bool), Loss> {
    let mut left: Vec<&Suite> = SUITES.iter().collect();
    let mut absent = false;
    for word in exclude.split([':', ' ']).filter(|word| !word.is_empty()) {
        let answers = |suite: &Suite| word.split('+').all(|part| suite.answers_to(part));
        if SUITES.iter().any(answers) {
            left.retain(|suite| !answers(suite));
        } else if word.split('+').all(|part| is_known(ABSENT, part) || SUITES.iter().any(|suite| suite.answers_to(part))) {
            absent = true;
        } else {
            return Err(Loss::UnknownCiphers);
        }
    }
    // An OpenSSL cipher string never speaks of TLS 1.3.
    let names = || TLS13.iter().copied().chain(left.iter().map(|suite| suite.iana)).collect();
    Ok(((left.len() < SUITES.len()).then(names), absent))
}

/// `exclude=` so that no more than these suites are left; none if that cannot be said.
pub(super) fn excluded<'a>(mut suites: impl Iterator<Item = &'a String> + Clone) -> Option<String> {
    let is_there = |iana: &str| suites.clone().any(|suite| suite.eq_ignore_ascii_case(iana));
    let missing = SUITES.iter().filter(|suite| !is_there(suite.iana)).map(|suite| suite.openssl);
    let exclude = missing.chain(ONLY_THERE.iter().copied()).collect::<Vec<_>>().join(":");
    let is_known = |name: &str| TLS13.iter().chain(SUITES.iter().map(|suite| &suite.iana)).any(|iana| iana.eq_ignore_ascii_case(name));
    let possible = TLS13.iter().all(|iana| is_there(iana));
    (possible && suites.all(|suite| is_known(suite))).then_some(exclude)
}

impl Suite {
    fn answers_to(&self, word: &str) -> bool {
        self.openssl.eq_ignore_ascii_case(word) || is_known(self.words, word) || is_known(OF_ALL, word)
    }
}

fn is_known(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

const TLS13: &[&str] = &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

const SUITES: &[Suite] = &[
    Suite {
        iana: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        openssl: "ECDHE-ECDSA-AES128-GCM-SHA256",
        words: &["aECDSA", "ECDSA", "AES", "AES128", "AESGCM"],
    },
    Suite {
        iana: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        openssl: "ECDHE-ECDSA-AES256-GCM-SHA384",
        words: &["aECDSA", "ECDSA", "AES", "AES256", "AESGCM"],
    },
    Suite {
        iana: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        openssl: "ECDHE-RSA-AES128-GCM-SHA256",
        words: &["aRSA", "AES", "AES128", "AESGCM"],
    },
    Suite {
        iana: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        openssl: "ECDHE-RSA-AES256-GCM-SHA384",
        words: &["aRSA", "AES", "AES256", "AESGCM"],
    },
    Suite { iana: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", openssl: "ECDHE-RSA-CHACHA20-POLY1305", words: &["aRSA", "CHACHA20"] },
    Suite {
        iana: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        openssl: "ECDHE-ECDSA-CHACHA20-POLY1305",
        words: &["aECDSA", "ECDSA", "CHACHA20"],
    },
];

const OF_ALL: &[&str] = &["ALL", "HIGH", "TLSv1.2", "ECDHE", "EECDH", "kECDHE", "kEECDH"];

/// OpenSSL's words for suites that there are not here: without forward secrecy, without AEAD, or broken.
const ABSENT: &[&str] = &[
    "3DES",
    "ADH",
    "AECDH",
    "aDH",
    "aDSS",
    "aECDH",
    "AESCBC",
    "AESCCM",
    "AESCCM8",
    "aNULL",
    "aPSK",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "aSRP",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "DES",
    "DES-CBC3-SHA",
    "DH",
    "DHE",
    "DSS",
    "EDH",
    "eNULL",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "IDEA",
    "kDH",
    "kDHd",
    "kDHE",
    "kDHr",
    "kECDH",
    "kECDHe",
    "kECDHr",
    "kEDH",
    "kPSK",
    "kRSA",
    "kSRP",
    "LOW",
    "MD5",
    "MEDIUM",
    "NULL",
    "PSK",
    "RC2",
    "RC4",
    "RC4-MD5",
    "RC4-SHA",
    "SEED",
    "SHA",
    "SHA1",
    "SHA256",
    "SHA384",
    "SRP",
    "SSLv2",
    "SSLv3",
];

/// Words that take away from OpenSSL's grade high what there is not here.
const ONLY_THERE: &[&str] = &["kRSA", "DHE", "PSK", "SRP", "SHA1", "SHA256", "SHA384", "AESCCM", "ARIA", "CAMELLIA"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_what_they_leave() {
        let names = |exclude: &str| left(exclude).map(|(left, absent)| (left.map_or(9, |left| left.len()), absent));
        for (exclude, expected) in [
            ("", Ok((9, false))),
            ("3DES:RC4", Ok((9, true))),
            ("AES128", Ok((7, false))),
            ("aes128:MD5", Ok((7, true))),
            ("aRSA", Ok((6, false))),
            ("aRSA+AES128", Ok((8, false))),
            ("kRSA+AES128", Ok((9, true))),
            ("ECDHE-RSA-CHACHA20-POLY1305:AESGCM", Ok((4, false))),
            ("ECDHE", Ok((3, false))),
            ("AES128:whatever", Err(Loss::UnknownCiphers)),
        ] {
            assert_eq!(names(exclude), expected, "{exclude}");
        }
    }

    #[test]
    fn what_is_left_is_excluded_again() {
        for exclude in ["AES128", "aRSA", "ECDHE", "CHACHA20:AES256"] {
            let left = |text: &str| left(text).expect("known words").0.expect("some are gone");
            let names: Vec<_> = left(exclude).into_iter().map(str::to_owned).collect();
            assert_eq!(left(&excluded(names.iter()).expect("all of TLS 1.3 is there")), names, "{exclude}");
        }
        let one = ["TLS_AES_128_GCM_SHA256".to_owned()];
        assert_eq!(excluded(one.iter()), None);
        let other = TLS13.iter().copied().chain(["TLS_RSA_WITH_AES_128_GCM_SHA256"]).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(excluded(other.iter()), None);
        assert!(ONLY_THERE.iter().all(|word| is_known(ABSENT, word)));
    }
}
