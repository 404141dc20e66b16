//! Every verdict that a delivery can end with, each against a server that deserves it: what the history, `queue show` and `explain` say of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
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
use sealpost_cert::certificates_from_pem;
use sealpost_relay::tls_reasons;

use crate::authority::Authority;
use crate::client::Client;
use crate::content::message;
use crate::dns::{NameServer, Record};
use crate::metrics;
use crate::relay::{House, free_address};
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
    // Those that name another host: that would be said first.
    let chain = |word, names, says| Case { level: "level = 'chain'", ..case(word, names, says) };
    vec![
        case("expired", &["expired", "intermediate"], "certificate expired"),
        case("name-mismatch", &["wildcard", "intermediate"], "no certificate for"),
        case("self-signed", &["self-signed"], "self-signed certificate: issuer and subject are"),
        case("unknown-issuer", &["ec256"], "is an intermediate missing?"),
        case("untrusted-root", &["by-ed25519", "root-ed"], "which is self-signed and no trust anchor"),
        case("unsupported-signature-algorithm", &["sha1"], "is signed with sha1WithRSAEncryption, which is not accepted"),
        case("name-constraint", &["outside", "constrained"], "do not permit the names of the certificate"),
        case("issuer-not-ca", &["by-leaf", "ec256", "intermediate"], "but is no CA certificate (CA:TRUE)"),
        chain("not-for-server-auth", &["client-only", "intermediate"], "is not for TLS servers, only for"),
        chain("unsupported-version", &["version1", "intermediate"], "is not an X.509 version 3 certificate"),
    ]
}

/// What is no matter of certificates.
fn of_sessions(right: &Arc<ServerConfig>) -> Vec<Case> {
    let case = |word, start_tls, level, says| Case { word, behaviour: Behaviour::new(start_tls), level, says };
    let offered = || StartTls::Offered(Arc::clone(right));
    vec![
        case("no-starttls", StartTls::Absent, "level = 'require'", "does not offer STARTTLS"),
        case("starttls-refused", StartTls::Refused, "level = 'require'", "454"),
        case("tls-failed", StartTls::Broken, "level = 'require'", "handshake"),
        case("injected", StartTls::Injected(Arc::clone(right)), "level = 'require'", "text in clear follows STARTTLS"),
        // Another entry for the domain, further down, asks for the other suite.
        case(
            "below-floor",
            offered(),
            "level = 'require', ciphers = 'TLS_AES_128_GCM_SHA256'",
            "no cipher suite is allowed by all who name some",
        ),
    ]
}

/// What another test makes happen, by its name.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("revoked", "certificates.rs", "a_server_whose_certificate_is_revoked_gets_no_mail"),
    ("tlsa-mismatch", "dane.rs", "mail_goes_out_under_dane_only_while_certificate_and_record_agree"),
    ("no-tlsa", "dane.rs", "published_records_hold_without_an_entry_and_unless_an_entry_ignores_them"),
    ("not-for-client-auth", "clients.rs", "what_is_wrong_with_a_clients_certificate_is_told"),
    ("several", "verdicts.rs", SEVERAL),
    ("no-requiretls", "verdicts.rs", REQUIRETLS),
    ("not-known-for-sure", "verdicts.rs", REQUIRETLS),
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
const SEVERAL: &str = "what_is_wrong_with_several_addresses_is_told_as_several";
const REQUIRETLS: &str = "what_requiretls_asks_and_no_host_has_is_told";

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

fn root() -> Ca {
    CertifiedIssuer::self_signed(ca_params(ROOT, BasicConstraints::Unconstrained), KeyPair::generate().unwrap()).unwrap()
}

/// Everything that the walk itself makes happen.
fn cases(root: &Ca, right: &Arc<ServerConfig>) -> Vec<Case> {
    signed(root).into_iter().chain(of_fixtures()).chain(of_sessions(right)).collect()
}

/// The words that stand in no list, or in two.
fn misplaced<'w>(words: impl Iterator<Item = &'w str>, lists: &[Vec<&'w str>]) -> Vec<&'w str> {
    let mut places: BTreeMap<&str, usize> = words.map(|word| (word, 0)).collect();
    for word in lists.iter().flatten() {
        places.entry(word).and_modify(|count| *count += 1);
    }
    places.into_iter().filter(|(_, count)| *count != 1).map(|(word, _)| word).collect()
}

/// Every word for TLS that could not be had is in one of the lists, and the tests that are named exist.
#[test]
fn every_verdict_has_its_place() {
    let cases = cases(&root(), &Authority::new().issue(&[NAME]).server());
    let lists = [
        cases.iter().map(|case| case.word).collect(),
        ELSEWHERE.iter().map(|(word, ..)| *word).collect(),
        UNREACHABLE.iter().map(|(word, _)| *word).collect(),
    ];
    assert_eq!(misplaced(tls_reasons(), &lists), [""; 0]);
    // The control: one that is new is missed, and so is one that has two places.
    assert_eq!(misplaced(tls_reasons().chain(["brand-new"]), &lists), ["brand-new"]);
    assert_eq!(misplaced(tls_reasons(), &[&lists[..], &[vec!["several"]]].concat()), ["several"]);
    for (word, file, test) in ELSEWHERE {
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(file)).unwrap();
        assert!(source.contains(&format!("fn {test}(")), "{word}: {file} has no {test}");
    }
}

/// Mail for each waits, says why in the history and in the queue, is counted by its word, and `explain` says who asks.
// req: B8 F5 F6
#[test]
fn every_verdict_is_told() {
    let (root, mut house, metrics) = (root(), House::new(), free_address());
    let right = Authority::new().issue(&[NAME]).server();
    let cases = cases(&root, &right);
    let mut policy = "[defaults]\nretry = '1h'\n".to_owned();
    let mut sinks = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let sink = Sink::start(case.behaviour.clone());
        let domain = format!("d{number}.example");
        writeln!(policy, "[[partner]]\nname = '{}'\ndomains = '{domain}'\ndeliver = {{ {} }}", case.word, case.level).unwrap();
        if case.word == "below-floor" {
            writeln!(policy, "[[partner]]\ndomains = '{domain}'\ndeliver = {{ ciphers = 'TLS_AES_256_GCM_SHA384' }}").unwrap();
        }
        house = house.route(&domain, sink.address);
        sinks.push(sink);
    }
    let house = house.policy(&policy).also(&metrics::table(metrics));
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
        let counted = format!("sealpost_host_failures_total{{reason=\"{word}\"}} 1\n");
        let page = metrics::page(metrics);
        assert!(page.contains(&counted), "no {counted} in\n{page}");
    }
    drop(relay);
}

/// One host, whose two addresses are wrong in two ways.
// req: F5 F6
#[test]
fn what_is_wrong_with_several_addresses_is_told_as_several() {
    let house = House::new();
    let without = Sink::start(Behaviour::new(StartTls::Absent));
    let port = without.address.port();
    let second = Ipv4Addr::new(127, 0, 0, 2);
    let other = Behaviour::offering(&house.authority.issue(&["mx.other.example"]));
    let other = Sink::start_at(SocketAddr::from((second, port)), other);
    let addresses = [Ipv4Addr::LOCALHOST, second].map(|address| ("mx.bank.example", Record::A(address)));
    let (server, metrics) = (NameServer::start(addresses.into()), free_address());
    let policy =
        format!("[[domain]]\nname = 'bank.example'\nroute = 'mx.bank.example:{port}'\ndeliver = {{ level = 'verify', retry = '1h' }}\n");
    let house = house.policy(&policy).also(&server.table()).also(&metrics::table(metrics));
    let relay = house.start();
    let mut client = Client::connect(relay.address).unwrap();
    client.expect("EHLO client.example", 250).unwrap();
    assert_eq!(client.send("alice@sender.example", &["teller@bank.example"], message("several").as_bytes()).unwrap().code, 250);
    let history = house.wait_for_history(&["\"kind\":\"deferred\"", "teller@bank.example"], LIMIT);
    for words in ["does not offer STARTTLS", "no certificate for mx.bank.example; it names mx.other.example"] {
        assert!(history.contains(words), "no {words:?} in {history}");
    }
    let explained = house.says(&["explain", "--from", "alice@sender.example", "--to", "teller@bank.example"], 0);
    assert!(explained.contains("domain \"bank.example\"") && explained.contains("asked for chain and name"), "{explained}");
    let page = metrics::page(metrics);
    for counted in [
        "sealpost_delivery_outcomes_total{level=\"verify\",outcome=\"deferred\",reason=\"several\"} 1\n",
        "sealpost_host_failures_total{reason=\"no-starttls\"} 1\n",
        "sealpost_host_failures_total{reason=\"name-mismatch\"} 1\n",
    ] {
        assert!(page.contains(counted), "no {counted} in\n{page}");
    }
    assert_eq!(without.message_count() + other.message_count(), 0);
    drop(relay);
}

/// A host that does not announce it, and one that is known from plain DNS: the mail goes back, and each is told by its own word.
// req: E4 F6
#[test]
fn what_requiretls_asks_and_no_host_has_is_told() {
    let (house, metrics) = (House::new(), free_address());
    let offering = || Behaviour::offering(&house.authority.issue(&["127.0.0.1"]));
    let (announces_none, sender) = (Sink::start(offering()), Sink::start(offering()));
    let server = NameServer::start(vec![
        ("plain.example", Record::Mx(10, "mx.plain.example")),
        ("mx.plain.example", Record::A(Ipv4Addr::LOCALHOST)),
    ]);
    let house = house.route("bank.example", announces_none.address).route("sender.example", sender.address);
    let house = house.also(&server.table()).also(&metrics::table(metrics));
    let relay = house.start();
    for (number, (to, word, says, looked_up)) in [
        ("teller@bank.example", "no-requiretls", "does not announce REQUIRETLS, which the sender asks for", "announces REQUIRETLS"),
        (
            "teller@plain.example",
            "not-known-for-sure",
            "mx.plain.example was learnt without DNSSEC and MTA-STS, and the sender asks for REQUIRETLS",
            "-> not used: its name was learnt without DNSSEC and MTA-STS, and REQUIRETLS is asked for",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        client.expect("MAIL FROM:<alice@sender.example> REQUIRETLS", 250).unwrap();
        client.expect(&format!("RCPT TO:<{to}>"), 250).unwrap();
        client.expect("DATA", 354).unwrap();
        client.wire.send(b"Subject: x\r\n\r\nx\r\n.\r\n").unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
        house.wait_for_history(&["Processing: Check TLS", to, says, "\"source\":\"REQUIRETLS\""], LIMIT);
        house.wait_for_history(&["\"kind\":\"bounced\"", to, says], LIMIT);
        let notice = String::from_utf8(sender.wait_for(number + 1, LIMIT)[number].content.clone()).unwrap();
        assert!(notice.contains("Status: 5.7.30"), "{notice}");
        let explained = house.says(&["explain", "--from", "alice@sender.example", "--to", to, "--requiretls", "--dns"], 0);
        assert!(explained.contains(looked_up) && explained.contains("REQUIRETLS: asks verify"), "{explained}");
        let counted = format!("outcome=\"bounced\",reason=\"{word}\"}} 1\n");
        let page = metrics::page(metrics);
        assert!(page.contains(&counted), "no {counted} in\n{page}");
    }
    assert_eq!(announces_none.message_count(), 0);
    drop(relay);
}
