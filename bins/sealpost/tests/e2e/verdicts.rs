//! Every verdict that a delivery can end with, each against a server that deserves it: what the history, `queue show` and `explain` say of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair, PublicKeyData, SignatureAlgorithm,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sealpost_cert::{Finding, certificates_from_pem};

use crate::authority::Authority;
use crate::client::Client;
use crate::content::message;
use crate::relay::House;
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(60);
/// Whom the relay trusts, beside the root of the fixtures.
const ROOT: &str = "Test Root of Verdicts";
const NAME: &str = "mx1.bank.example";
const VERIFY: &str = "level = 'verify', names = 'mx1.bank.example'";

type Ca = CertifiedIssuer<'static, KeyPair>;

/// What makes one verdict happen.
struct Case {
    /// The word for it.
    word: &'static str,
    behaviour: Behaviour,
    /// What the entry asks, but for its trust anchors.
    level: &'static str,
    /// What it says to people.
    says: &'static str,
}

/// Shows whatever chain it is told to, with a key that belongs to nothing: a chain is judged before the signature of the handshake is.
#[derive(Debug)]
struct Showing(Arc<CertifiedKey>);

impl ResolvesServerCert for Showing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn showing(chain: Vec<Vec<u8>>) -> Behaviour {
    let key = PrivateKeyDer::from_pem_slice(KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let builder =
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Showing(Arc::new(CertifiedKey::new(chain, key)))));
    Behaviour::new(StartTls::Offered(Arc::new(config)))
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/cert/tests/fixtures").join(name)
}

/// Certificates of the library's tests, which are in date until 2036.
fn shown(names: &[&str]) -> Behaviour {
    let der = |name: &&str| certificates_from_pem(&fs::read(fixture(&format!("{name}.pem"))).unwrap()).unwrap().remove(0);
    showing(names.iter().map(der).collect())
}

fn ca_params(name: &str, constraint: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraint);
    params
}

fn below(issuer: &Ca, name: &str, constraint: BasicConstraints) -> Ca {
    CertifiedIssuer::signed_by(ca_params(name, constraint), KeyPair::generate().unwrap(), issuer).unwrap()
}

fn leaf(issuer: &Ca, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    change(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
}

/// A key of RSA with 1024 bits, of which nobody has the other half.
struct WeakKey(Vec<u8>);

impl PublicKeyData for WeakKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

/// SEQUENCE of two INTEGERs: the modulus and 65537.
fn weak_key() -> WeakKey {
    let modulus = [&[0x02, 0x81, 0x81, 0x00][..], &[0xc5; 128]].concat();
    WeakKey([&[0x30, 0x81, 0x89][..], &modulus, &[0x02, 0x03, 0x01, 0x00, 0x01]].concat())
}

/// The same certificate, whose outer name of the signature algorithm is another one than the inner.
fn with_another_algorithm(mut certificate: Vec<u8>) -> Vec<u8> {
    // ecdsa-with-SHA256; the last digit names the hash
    let algorithm = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let at = certificate.windows(algorithm.len()).rposition(|eight| eight == algorithm).unwrap();
    certificate[at + 7] = 0x03;
    certificate
}

/// What the authority of this test signs, rightly and wrongly.
fn signed(root: &Ca) -> Vec<Case> {
    let case = |word, chain: Vec<Vec<u8>>, level, says| Case { word, behaviour: showing(chain), level, says };
    let intermediate = below(root, "Narrow CA", BasicConstraints::Constrained(0));
    let too_far = below(&intermediate, "Too Far CA", BasicConstraints::Unconstrained);
    let mut deep = vec![below(root, "CA 1", BasicConstraints::Unconstrained)];
    for number in 2..=7 {
        deep.push(below(&deep[number - 2], &format!("CA {number}"), BasicConstraints::Unconstrained));
    }
    let mut path = vec![leaf(deep.last().unwrap(), |_| ())];
    path.extend(deep.iter().rev().map(|ca| ca.der().to_vec()));
    let stranger =
        CertifiedIssuer::self_signed(ca_params("Stranger", BasicConstraints::Unconstrained), KeyPair::generate().unwrap()).unwrap();
    let mut crowd = vec![leaf(&stranger, |_| ())];
    crowd.extend((0..20).map(|number| below(root, &format!("Bystander {number}"), BasicConstraints::Unconstrained).der().to_vec()));
    let impostor = ca_params(ROOT, BasicConstraints::Unconstrained);
    let impostor = CertifiedIssuer::self_signed(impostor, KeyPair::generate().unwrap()).unwrap();
    let mut weak = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    weak.distinguished_name.push(DnType::CommonName, "weak");
    let weak = weak.signed_by(&weak_key(), root).unwrap().der().to_vec();
    let forever = (date_time_ymd(2024, 1, 1), date_time_ymd(2090, 1, 1));
    let of = |change: &dyn Fn(&mut CertificateParams)| {
        leaf(root, |params| {
            (params.not_before, params.not_after) = forever;
            change(params);
        })
    };
    vec![
        case("bad-signature", vec![leaf(&impostor, |_| ())], VERIFY, "is not signed with the key of"),
        case("not-yet-valid", vec![of(&|params| params.not_before = date_time_ymd(2080, 1, 1))], VERIFY, "is not valid until 2080-01-01"),
        case(
            "invalid-validity",
            vec![of(&|params| params.not_after = date_time_ymd(2020, 1, 1))],
            VERIFY,
            "ends before it starts to be valid",
        ),
        case("signature-algorithm-mismatch", vec![with_another_algorithm(of(&|_| ()))], VERIFY, "names two different signature algorithms"),
        case(
            "path-length-constraint",
            vec![leaf(&too_far, |_| ()), too_far.der().to_vec(), intermediate.der().to_vec()],
            VERIFY,
            "an issuer permits fewer CAs below itself",
        ),
        case("path-too-deep", path, VERIFY, "has more than 6 intermediate certificates"),
        case("too-many-certificates", crowd, VERIFY, "certificates were presented, of which only"),
        case("unaccepted-key", vec![weak], VERIFY, "the key of the certificate is too weak"),
        case("unparsable", vec![b"no certificate at all".to_vec()], VERIFY, "cannot be read"),
        case(
            "pin-mismatch",
            vec![of(&|_| ())],
            "level = 'pinned', pins = ['sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']",
            "is asked for",
        ),
        case(
            "ca-as-leaf",
            vec![of(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))],
            VERIFY,
            "a CA certificate (CA:TRUE) cannot be the peer's own",
        ),
        case(
            "unsupported-critical-extension",
            vec![of(&|params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4, 5], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            })],
            VERIFY,
            "has a critical extension that is not supported: 1.2.3.4.5",
        ),
    ]
}

/// What the fixtures of the library show.
fn of_fixtures() -> Vec<Case> {
    let case = |word, names: &[&str], says| Case { word, behaviour: shown(names), level: VERIFY, says };
    vec![
        case("expired", &["expired", "intermediate"], "certificate expired"),
        case("name-mismatch", &["wildcard", "intermediate"], "no certificate for"),
        case("self-signed", &["self-signed"], "self-signed certificate: issuer and subject are"),
        case("unknown-issuer", &["ec256"], "is an intermediate missing?"),
        case("untrusted-root", &["by-ed25519", "root-ed"], "which is self-signed and no trust anchor"),
        case("unsupported-signature-algorithm", &["sha1"], "is signed with sha1WithRSAEncryption, which is not accepted"),
        case("name-constraint", &["outside", "constrained"], "do not permit the names of the certificate"),
        case("issuer-not-ca", &["by-leaf", "ec256", "intermediate"], "but is no CA certificate (CA:TRUE)"),
        case("not-for-server-auth", &["client-only", "intermediate"], "is not for TLS servers, only for"),
        Case {
            level: "level = 'chain'",
            ..case("unsupported-version", &["version1", "intermediate"], "is not an X.509 version 3 certificate")
        },
    ]
}

/// What is no matter of certificates.
fn of_sessions(right: &Arc<ServerConfig>) -> Vec<Case> {
    let case = |word, start_tls, level, says| Case { word, behaviour: Behaviour::new(start_tls), level, says };
    let old = || {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
        StartTls::Offered(Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::clone(&right.cert_resolver))))
    };
    vec![
        case("no-starttls", StartTls::Absent, "level = 'require'", "does not offer STARTTLS"),
        case("starttls-refused", StartTls::Refused, "level = 'require'", "454"),
        case("tls-failed", StartTls::Broken, "level = 'require'", "handshake"),
        case("injected", StartTls::Injected(Arc::clone(right)), "level = 'require'", "text in clear follows STARTTLS"),
        case("below-floor", old(), "level = 'require', min_version = '1.3'", "protocol_version"),
    ]
}

/// What another test makes happen, by its name.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("revoked", "certificates.rs", "a_server_whose_certificate_is_revoked_gets_no_mail"),
    ("tlsa-mismatch", "dane.rs", "mail_goes_out_under_dane_only_while_certificate_and_record_agree"),
    ("no-tlsa", "dane.rs", "published_records_hold_without_an_entry_and_unless_an_entry_ignores_them"),
    ("not-for-client-auth", "clients.rs", "what_is_wrong_with_a_clients_certificate_is_told"),
    ("no-requiretls", "notices.rs", "requiretls_comes_back_or_is_graded_down"),
    (
        "the MTA-STS policy does not name the host",
        "mta_sts.rs",
        "enforce_goes_to_named_hosts_with_the_right_certificate_and_testing_goes_everywhere",
    ),
    ("the MTA-STS policy is void", "mta_sts.rs", "what_does_not_count_is_not_obeyed"),
    ("the MTA-STS policy cannot be fetched", "mta_sts.rs", "b1_b2_a_policy_outlives_a_blocked_fetch_another_id_and_a_restart"),
    (
        "whether there is an MTA-STS policy is not known",
        "mta_sts.rs",
        "mail_does_not_fall_back_to_clear_while_it_is_not_known_whether_there_is_a_policy",
    ),
    ("a DNS answer is bogus", "dane.rs", "b13_mail_for_a_bogus_zone_waits"),
];

/// What no server can bring about, and why.
const UNREACHABLE: &[(&str, &str)] = &[
    ("no-certificate", "a server without a certificate has no suite that rustls offers; it ends as a failed handshake"),
    ("too-large", "rustls reads no handshake message of more than 65,535 octets, which is less than one certificate may have"),
    ("unsupported-issuer-key", "the anchor with such a key would have to be trusted by the operator; the library's tests have one"),
    ("distrusted", "it takes the private key of an authority that leaked its own"),
    ("foreign-revocation-list", "it is the operator's own list that is wrong; the library's tests have one"),
    (
        "path-too-costly",
        "of the certificates of one subject few are tried, so that the budget is not used up: the library's tests look for it",
    ),
    ("unsupported-feature", "a catch-all for what a later webpki may refuse"),
    ("no-anchors", "a policy whose files cannot be read does not come into force"),
    ("unsupported-demand", "a demand of a later version"),
];

/// Each verdict is in one of the lists, and the tests that are named exist.
#[test]
fn every_verdict_has_its_place() {
    let root = CertifiedIssuer::self_signed(ca_params(ROOT, BasicConstraints::Unconstrained), KeyPair::generate().unwrap()).unwrap();
    let cases: BTreeSet<_> = signed(&root).iter().chain(&of_fixtures()).map(|case| case.word).collect();
    let elsewhere: BTreeSet<_> = ELSEWHERE.iter().map(|(word, ..)| *word).collect();
    let unreachable: BTreeSet<_> = UNREACHABLE.iter().map(|(word, _)| *word).collect();
    for code in Finding::CODES {
        let places = [&cases, &elsewhere, &unreachable].into_iter().filter(|list| list.contains(code)).count();
        assert_eq!(places, 1, "{code}");
    }
    for (word, file, test) in ELSEWHERE {
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(file)).unwrap();
        assert!(source.contains(&format!("fn {test}(")), "{word}: {file} has no {test}");
    }
}

/// Mail for each waits, says why in the history and in the queue, and `explain` says who asks.
// req: B8 F5 F6
#[test]
fn every_verdict_is_told() {
    let root = CertifiedIssuer::self_signed(ca_params(ROOT, BasicConstraints::Unconstrained), KeyPair::generate().unwrap()).unwrap();
    let house = House::new();
    let right = Authority::new().issue(&[NAME]).server();
    let cases: Vec<_> = signed(&root).into_iter().chain(of_fixtures()).chain(of_sessions(&right)).collect();
    let mut policy = "[defaults]\nretry = '1h'\n".to_owned();
    let (mut house, mut sinks) = (house, Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let sink = Sink::start(case.behaviour.clone());
        let domain = format!("d{number}.example");
        writeln!(policy, "[[partner]]\nname = '{}'\ndomains = '{domain}'\ndeliver = {{ {} }}", case.word, case.level).unwrap();
        house = house.route(&domain, sink.address);
        sinks.push(sink);
    }
    let house = house.policy(&policy);
    // Of fixtures, `root` alone is trusted.
    let anchors = fs::read_to_string(fixture("root.pem")).unwrap() + &root.pem();
    fs::write(house.file("ca.pem"), anchors).unwrap();
    let relay = house.start();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    for number in 0..cases.len() {
        let to = format!("teller@d{number}.example");
        assert_eq!(client.send("alice@sender.example", &[&to], message("verdict").as_bytes()).unwrap().code, 250);
    }
    client.quit();
    for (number, case) in cases.iter().enumerate() {
        let Case { word, says, .. } = case;
        let to = format!("teller@d{number}.example");
        let history = house.wait_for_history(&["Processing: Check TLS", &to, says], LIMIT);
        house.wait_for_history(&["\"kind\":\"deferred\"", &to], LIMIT);
        let entry = history.lines().find(|line| line.contains("check-tls") && line.contains(&to)).unwrap();
        let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
        assert!(entry["source"].as_str().unwrap().contains(word), "{word}: {entry}");
        let shown = house.says(&["queue", "show", entry["queue_id"].as_str().unwrap()], 0);
        assert!(shown.contains(says) && shown.contains(&format!("partner \"{word}\"")), "{word}: {shown}");
        let explained = house.says(&["explain", "--from", "alice@sender.example", "--to", &to], 0);
        assert!(explained.contains(&format!("partner \"{word}\"")), "{word}: {explained}");
        assert_eq!(sinks[number].message_count(), 0, "{word}");
    }
    drop(relay);
}
