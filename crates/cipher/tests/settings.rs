//! What settings leave, and what is said of wrong ones.

use sealpost_cipher::{CipherChoice, CipherError, CipherString, Lack, PROFILES, Suite, parse_tls13};
use sealpost_types::CipherSuite;

fn names<'a>(suites: &[&'a Suite]) -> Vec<&'a str> {
    suites.iter().map(|suite| suite.iana_name()).collect()
}

fn choice(text: &str) -> CipherChoice {
    CipherChoice::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

// req: A6
#[test]
fn the_string_of_sophos_keeps_what_has_forward_secrecy() {
    let choice = choice("TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL");
    let aes = [
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ];
    assert_eq!(names(choice.tls12()), aes);
    assert_eq!(choice.tls13().len(), 3, "a string does not speak of TLS 1.3");
    let why = |name: &str| choice.lacking().iter().find(|(suite, _)| suite.openssl_name() == name).map(|(_, why)| *why);
    assert_eq!(why("AES128-SHA"), Some(Lack::StaticRsa));
    assert_eq!(why("DHE-RSA-AES128-GCM-SHA256"), Some(Lack::FiniteField));
    assert_eq!(why("ECDHE-RSA-AES128-SHA256"), Some(Lack::Cbc));
    assert_eq!(why("ECDHE-RSA-AES128-GCM-SHA256"), None);
    // The 22 that `openssl ciphers -s` prints of the same string, and 3DES with static RSA, which most are built without.
    let without_secret = choice.lacking().iter().filter(|(_, why)| *why != Lack::SharedSecret).count();
    assert_eq!(choice.tls12().len() + without_secret, 23);
}

#[test]
fn profiles_have_forward_secrecy_and_authenticated_encryption() {
    for (name, string) in PROFILES {
        let choice = choice(name);
        assert!(choice.lacking().is_empty() && !choice.tls12().is_empty() && !choice.tls13().is_empty(), "{name}");
        assert_eq!(choice, CipherChoice::parse(string).unwrap(), "{name}");
    }
    assert_eq!((choice("compatible").tls12().len(), choice("modern").tls12().len(), choice("fips").tls12().len()), (6, 4, 4));
    assert!(choice("modern").tls12().iter().all(|suite| suite.bits() == 256));
    assert!(!choice("fips").set().contains(CipherSuite(0x1303)), "ChaCha20 is not approved in TLS 1.3 either");
}

#[test]
fn registry_names_are_exact_and_strings_leave_tls13() {
    let all = ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"];
    let ecdhe = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    for (text, tls12, tls13) in [
        (ecdhe, 1, &[] as &[&str]),
        ("ECDHE-RSA-AES256-GCM-SHA384", 1, &all),
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:ECDHE-RSA-AES256-GCM-SHA384", 1, &all),
        ("TLS_AES_256_GCM_SHA384", 0, &all[..1]),
        ("TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384", 0, &[all[2], all[0]]),
        ("TLS_AES_256_GCM_SHA384 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 1, &all[..1]),
        ("ECDHE+AESGCM", 4, &all),
        ("ECDHE+AESGCM:!TLS_AES_128_GCM_SHA256", 4, &all[..2]),
        ("ECDHE+AESGCM:TLS_AES_256_GCM_SHA384", 4, &all[..1]),
        ("ECDHE+AESGCM@SECLEVEL=4", 2, &all[..2]),
        ("DEFAULT:!aECDSA", 3, &all),
        ("fips:!aECDSA", 2, &[all[0], all[2]]),
    ] {
        let choice = choice(text);
        assert_eq!((choice.tls12().len(), names(choice.tls13())), (tls12, tls13.to_vec()), "{text}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, said) in [
        ("HIGH:!aNUL", "column 6: \"aNUL\" in \"!aNUL\" is no word of a cipher string; aNULL is meant?"),
        ("aes128", "column 1: \"aes128\" is no word of a cipher string; AES128 is meant?"),
        ("ALL:kRSA+FIBS", "column 5: \"FIBS\" in \"kRSA+FIBS\" is no word of a cipher string; FIPS is meant?"),
        ("strong", "column 1: \"strong\" is no word of a cipher string; a word such as ECDHE or AESGCM, or the name of a suite is meant"),
        ("ECDHE+", "column 1: \"ECDHE+\" lacks a word; a word such as AESGCM is meant behind the sign"),
        ("ALL:!", "column 5: \"!\" lacks a word; a word such as AESGCM is meant behind the sign"),
        ("ALL:-+AES", "column 5: \"-+AES\" lacks a word"),
        ("ALL|AES", "column 4: '|' stands in no cipher string; a colon is meant between terms"),
        ("äES", "column 1: 'ä' stands in no cipher string; a colon is meant between terms"),
        ("ALL:@SECLEVEL=6", "column 5: \"@SECLEVEL=6\" is no command; @STRENGTH, or @SECLEVEL=0 to @SECLEVEL=5 is meant"),
        ("ALL:DEFAULT", "column 5: DEFAULT has no meaning here; it is meant to be the first term, by itself"),
        ("ALL:modern", "column 5: modern has no meaning here"),
        ("AES+fips", "column 1: fips has no meaning here"),
        ("", "\"\" leaves no cipher suite that can be used: it names none; ECDHE+AESGCM or ECDHE+CHACHA20 would leave some"),
        ("ALL:!ALL", "\"ALL:!ALL\" leaves no cipher suite that can be used: it names none"),
        ("SSLv2", "\"SSLv2\" leaves no cipher suite that can be used: it names none"),
        (
            "kRSA+AES+SHA:RC4-MD5",
            "\"kRSA+AES+SHA:RC4-MD5\" leaves no cipher suite that can be used: RC4 is broken; the blocks of 3DES and IDEA are too short, and \
             SEED is not kept up (RC4-MD5); static RSA has no forward secrecy: who gets the key later reads what was recorded; rustls does \
             not have it (AES256-SHA, AES128-SHA); ECDHE+AESGCM or ECDHE+CHACHA20 would leave some",
        ),
        ("TLS_AES_128_CCM_SHA256", "\"TLS_AES_128_CCM_SHA256\" leaves no cipher suite that can be used: rustls does not have"),
    ] {
        let error = CipherChoice::parse(text).expect_err(text);
        let error = format!("{error}; {}", error.remedy());
        assert!(error.starts_with(said), "{text}: {error}");
    }
    let long = CipherString::parse(&"A".repeat(20_000)).unwrap_err();
    assert!(matches!(long, CipherError::TooLong { octets: 20_000, .. }), "{long}");
}

#[test]
fn suites_of_tls13_are_a_setting_of_their_own() {
    assert_eq!(parse_tls13("TLS_AES_256_GCM_SHA384"), Ok(vec![CipherSuite(0x1302)]));
    let error = parse_tls13("TLS_AES_256_GCM_SHA384:ECDHE+AESGCM").unwrap_err();
    assert_eq!(error.to_string(), "item 2: \"ECDHE+AESGCM\" is no suite of TLS 1.3");
    assert!(parse_tls13(" ").is_err());
    assert!(matches!(parse_tls13("TLS_AES_128_CCM_SHA256"), Err(CipherError::NothingUsable { .. })));
}

mod random {
    use proptest::prelude::*;
    use sealpost_cipher::{CipherChoice, CipherString};

    proptest! {
        /// Whatever is written, it ends in a choice or in an error that names a column of it.
        #[test]
        fn nothing_breaks_it(text in "[A-Za-z0-9:!+@=.,_ \\-äß\\n]{0,60}") {
            if let Err(error) = CipherString::parse(&text) {
                prop_assert!(error.column().is_none_or(|column| column <= text.chars().count() + 1), "{error}");
            }
            if let Ok(choice) = CipherChoice::parse(&text) {
                prop_assert!(!choice.set().as_slice().is_empty());
            }
        }
    }
}
