//! Held against the program that the language is from.

mod with_openssl {
    use std::process::Command;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use sealpost_cipher::CipherString;

    /// Strings that stand in configurations and guides.
    const FOUND: &[&str] = &[
        "TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL",
        "DEFAULT",
        "DEFAULT:!aNULL:!eNULL:!LOW:!EXP:!RC4:!3DES:!MD5",
        "DEFAULT@SECLEVEL=1",
        "HIGH:!aNULL:!MD5",
        "HIGH:MEDIUM:!aNULL:!MD5:!RC4:!3DES",
        "ALL:!ADH:!LOW:!EXP:!MD5:@STRENGTH",
        "ALL:+RC4:@STRENGTH",
        "aNULL:-aNULL:HIGH:@STRENGTH",
        "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH",
        "EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH",
        "EECDH+CHACHA20:EECDH+AES128:RSA+AES128:EECDH+AES256:RSA+AES256:EECDH+3DES:RSA+3DES:!MD5",
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
         ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384",
        "kEECDH:kECDHE:kDHE:kEDH:kRSA:!aECDSA",
        "kECDHE+AES:!ECDSA, kDHE+AES256 AES128+SHA256;CAMELLIA",
        "AES:-AES128:+SHA1:AES128+SHA384:AES128",
        "TLSv1:TLSv1.0:SSLv3:-SHA",
        "ALL:COMPLEMENTOFALL@SECLEVEL=0",
        "ECDHE+AES@SECLEVEL=4",
        "HIGH@SECLEVEL=3",
        "HIGH!aNULL!kRSA",
        "ARIA:AESCCM:CHACHA20:DH:ECDH:RSA:DHE:ECDHE",
    ];

    // req: A6
    #[test]
    #[ignore = "needs openssl"]
    fn strings_of_the_wild_mean_the_same() {
        for text in FOUND {
            assert_eq!(ours(text), openssls(text), "{text}");
        }
        // The negative control: what differs in its order alone is noticed.
        assert_ne!(ours("AES256:AES128"), openssls("AES128:AES256"));
    }

    // req: A6
    #[test]
    #[ignore = "needs openssl"]
    fn made_up_strings_mean_the_same() {
        let mut runner = TestRunner::deterministic();
        let mut compared = 0;
        for _ in 0..400 {
            let text = string().new_tree(&mut runner).expect("a string").current();
            let ours = ours(&text);
            assert_eq!(ours, openssls(&text), "{text}");
            compared += usize::from(ours.len() > 1);
        }
        assert!(compared > 150, "{compared} strings of 400 left suites to compare");
    }

    /// Everything that OpenSSL has is in the table, under its number and its names.
    #[test]
    #[ignore = "needs openssl"]
    fn every_suite_is_known() {
        let output = openssl(&["-V", "-stdname", "ALL:COMPLEMENTOFALL@SECLEVEL=0"]);
        let known = CipherString::parse("ALL:COMPLEMENTOFALL").expect("a string");
        let mut found = 0;
        for line in output.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let number = u16::from_str_radix(&words[0].replace(",0x", "")[2..], 16).expect("a number");
            let suite = known.suites().iter().find(|suite| suite.number().0 == number);
            let suite = suite.unwrap_or_else(|| panic!("{line}"));
            assert_eq!((suite.iana_name(), suite.openssl_name()), (words[2], words[4]));
            found += 1;
        }
        assert!(found > 60, "{found}");
    }

    /// What `openssl ciphers` prints for TLS 1.2; nothing where it says that nothing fits.
    fn openssls(text: &str) -> Vec<String> {
        // A dash in front would be an option.
        let shield = if text.starts_with('-') { ":" } else { "" };
        let names = openssl(&[&format!("{shield}{}", with_level(text))]);
        names.trim().split(':').filter(|name| !name.is_empty() && !has_short_tag(name)).map(str::to_owned).collect()
    }

    fn openssl(arguments: &[&str]) -> String {
        // TLS 1.2, PSK and SRP as if there were secrets for them. No configuration of the machine has a say.
        let options = ["ciphers", "-s", "-tls1_2", "-psk", "-srp"];
        let output = Command::new("openssl").args(options).args(arguments).env("OPENSSL_CONF", "/dev/null").output().expect("openssl runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || errors.contains("no cipher match"), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("names")
    }

    /// The same by this library, without what this OpenSSL was built without.
    fn ours(text: &str) -> Vec<String> {
        let string = CipherString::parse(&with_level(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
        let names = string.suites().iter().map(|suite| suite.openssl_name().to_owned());
        names.filter(|name| BUILT_IN.contains(name) && !has_short_tag(name)).collect()
    }

    /// The level that applies where none is written depends on who built it.
    fn with_level(text: &str) -> String {
        if text.contains("@SECLEVEL") { text.to_owned() } else { format!("{text}:@SECLEVEL=1") }
    }

    /// OpenSSL 3.2 began to count CCM with a tag of 8 octets as 64 bits: its place depends on the version.
    fn has_short_tag(name: &str) -> bool {
        name.contains("CCM8")
    }

    static BUILT_IN: LazyLock<Vec<String>> =
        LazyLock::new(|| openssl(&["ALL:COMPLEMENTOFALL@SECLEVEL=0"]).trim().split(':').map(str::to_owned).collect());

    fn string() -> impl Strategy<Value = String> {
        prop::collection::vec((term(), prop::sample::select(vec![":", ",", " ", ";", "::"])), 1..8)
            .prop_map(|terms| terms.into_iter().map(|(term, separator)| term + separator).collect())
    }

    fn term() -> impl Strategy<Value = String> {
        let words = prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..4).prop_map(|words| words.join("+"));
        let sign = prop::sample::select(vec!["", "", "", "", "!", "-", "+"]);
        prop_oneof![
            12 => (sign, words).prop_map(|(sign, words)| format!("{sign}{words}")),
            // By itself only: with a grade or a suite behind it, OpenSSL forgets it.
            1 => prop::sample::select(vec!["COMPLEMENTOFDEFAULT", "!COMPLEMENTOFDEFAULT", "-COMPLEMENTOFDEFAULT"]).prop_map(str::to_owned),
            1 => Just("@STRENGTH".to_owned()),
            1 => (0..=5_u8).prop_map(|level| format!("@SECLEVEL={level}")),
        ]
    }

    const WORDS: &[&str] = &[
        "TLSv1.2",
        "FIPS",
        "kRSA",
        "kECDHE",
        "kEECDH",
        "kDHE",
        "kEDH",
        "aNULL",
        "eNULL",
        "NULL",
        "aRSA",
        "aECDSA",
        "HIGH",
        "MEDIUM",
        "ALL",
        "COMPLEMENTOFALL",
        "AES",
        "AES128",
        "AES256",
        "AESGCM",
        "AESCCM",
        "AESCCM8",
        "CHACHA20",
        "CAMELLIA",
        "CAMELLIA128",
        "ARIA",
        "ARIA256",
        "3DES",
        "RC4",
        "ECDSA",
        "RSA",
        "SHA",
        "SHA1",
        "SHA256",
        "SHA384",
        "DH",
        "DHE",
        "EDH",
        "ECDH",
        "ECDHE",
        "EECDH",
        "ADH",
        "AECDH",
        "PSK",
        "kPSK",
        "kDHEPSK",
        "kECDHEPSK",
        "kRSAPSK",
        "aPSK",
        "SRP",
        "aSRP",
        "aDSS",
        "DSS",
        "SSLv3",
        "TLSv1",
        "TLSv1.0",
        "MD5",
        "DES",
        "EXPORT",
        "LOW",
        "CBC",
        "AES128-SHA",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "DHE-RSA-AES256-SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "AES256-GCM-SHA384",
    ];
}
