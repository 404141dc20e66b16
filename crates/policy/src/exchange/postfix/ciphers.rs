//! Cipher suites: OpenSSL's words on that side, IANA's names on this.

use sealpost_cipher::{CipherChoice, CipherString, Suite};

use crate::exchange::Loss;

/// What `exclude=` leaves of the suites that there are here; none if it leaves all. And whether it names suites that there are not.
///
/// # Errors
/// [`Loss::UnknownCiphers`] for a word of which it cannot be told what it means.
pub(super) fn left(exclude: &str) -> Result<(Option<Vec<&'static str>>, bool), Loss> {
    let usable = usable();
    let (mut left, mut absent) = (usable.clone(), false);
    for word in exclude.split([':', ',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let taken = CipherString::parse(&format!("COMPLEMENTOFALL:ALL:!{word}")).map_err(|_| Loss::UnknownCiphers)?;
        absent |= usable.iter().all(|suite| taken.suites().contains(suite));
        left.retain(|suite| taken.suites().contains(suite));
    }
    // An OpenSSL cipher string never speaks of TLS 1.3.
    let names = || TLS13.iter().copied().chain(left.iter().map(|suite| suite.iana_name())).collect();
    Ok(((left.len() < usable.len()).then(names), absent))
}

/// `exclude=` so that no more than what this setting means is left; none if that cannot be said.
pub(super) fn excluded<'a>(setting: impl Iterator<Item = &'a String>) -> Option<String> {
    let setting = setting.map(String::as_str).collect::<Vec<_>>().join(":");
    let choice = CipherChoice::parse(&setting).ok().filter(|choice| choice.tls13().len() == TLS13.len())?;
    let missing = usable().into_iter().filter(|suite| !choice.tls12().contains(suite)).map(Suite::openssl_name);
    Some(missing.chain(ONLY_THERE.iter().copied()).collect::<Vec<_>>().join(":"))
}

/// The suites for TLS 1.2 that there are here, by number.
fn usable() -> Vec<&'static Suite> {
    let mut suites = CipherChoice::parse("compatible").map(|choice| choice.tls12().to_vec()).unwrap_or_default();
    suites.sort_by_key(|suite| suite.number());
    suites
}

const TLS13: &[&str] = &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

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
            ("AES128:MD5", Ok((7, true))),
            ("aes128", Err(Loss::UnknownCiphers)),
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
        let string = ["ECDHE+AESGCM:!AES128".to_owned()];
        assert_eq!(left(&excluded(string.iter()).unwrap()).unwrap().0.map(|left| left.len()), Some(5));
        // What this takes away from grade high is not here.
        let all = format!("HIGH:!aNULL:!{}", ONLY_THERE.join(":!"));
        assert_eq!(CipherString::parse(&all).unwrap().suites().len(), usable().len());
    }
}
