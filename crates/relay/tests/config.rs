//! What `sealpost.toml` may say, and what is said about mistakes in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealpost_relay::config::{Config, DnssecMode, ListenerTls, SuccessNotices, TlsReports};
use sealpost_report::StreamTarget;
use sealpost_types::{Domain, KexFloor, Octets, TlsVersion};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse("sealpost.toml", text, Path::new("/etc/sealpost")).map_err(|error| error.to_string())
}

fn problem(text: &str) -> String {
    parse(text).map(|_| String::new()).unwrap_or_else(|error| error)
}

#[test]
fn only_the_hostname_has_no_default() {
    let config = parse("hostname = \"Relay.Example\"").unwrap();
    assert_eq!(config.hostname.as_str(), "relay.example");
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/sealpost"));
    assert_eq!(config.policy, None);
    assert_eq!(config.listeners.iter().map(|l| l.address.to_string()).collect::<Vec<_>>(), ["0.0.0.0:25", "[::]:25"]);
    assert!(config.listeners.iter().all(|l| l.tls == ListenerTls::StartTls));
    assert_eq!(config.limits.message_size, Octets(64 << 20));
    assert!(problem("").contains("hostname"), "{}", problem(""));
}

#[test]
fn every_key_is_read() {
    let config = parse(
        r#"
        hostname = "relay.example"
        data_dir = "data"
        policy = "policy.toml"
        [[listener]]
        address = "127.0.0.1:2525"
        tls = "require"
        proxy = ["192.0.2.10/32", "2001:db8::/64"]
        [[listener]]
        address = "[::1]:465"
        tls = "implicit"
        client_certificates = true
        [[listener]]
        address = "127.0.0.1:2526"
        tls = "none"
        [tls]
        certificate = "chain.pem"
        private_key = "/secret/key.pem"
        expiry_warning = "3d"
        min_version = "1.3"
        min_group = "secp384r1"
        ciphers = "ECDHE+AESGCM"
        ciphers13 = "TLS_AES_256_GCM_SHA384"
        trust_anchors = "ca.pem"
        client_anchors = "clients.pem"
        revocation_lists = "crls.pem"
        [[tls.certificates]]
        certificate = "other.pem"
        private_key = "other.key.pem"
        [relay]
        trusted_networks = ["127.0.0.0/8", "::1/128"]
        postmaster = "admin@relay.example"
        success_notices = "all"
        [auth]
        users = "users"
        [routes]
        "a.example" = "mail.a.example:26"
        "*.example" = "192.0.2.1"
        "*" = "[2001:db8::1]:2525"
        [queue]
        store = "embedded"
        retry = ["10s", "2m"]
        retry_tls = ["30m"]
        delay_warning = "never"
        reserve = 1048576
        [dns]
        servers = ["127.0.0.1:5353", "192.0.2.53"]
        dnssec = "validate"
        trust_anchor = "root.key"
        [limits]
        message_size = 1000000
        recipients = 200
        connections = 10
        connections_per_address = 3
        idle = "20s"
        session = "10m"
        hops = 25
        [delivery]
        connections = 30
        connections_per_destination = 4
        connect_timeout = "5s"
        [admin]
        socket = "/run/sealpost/admin.sock"
        address = "192.0.2.1:8025"
        token = "token"
        [metrics]
        address = "127.0.0.1:9025"
        [history]
        keep = "30d"
        max_size = 16777216
        stream = "history.jsonl"
        [tlsrpt]
        enabled = true
        organization = "Acme Ltd"
        contact = "tls@acme.example"
        from = "reports@acme.example"
        dkim_key = "dkim.pem"
        dkim_domain = "example"
        dkim_selector = "s2026.tls"
        delay = "30m"
        "#,
    )
    .unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/etc/sealpost/data"));
    assert_eq!(config.policy, Some(PathBuf::from("/etc/sealpost/policy.toml")));
    assert_eq!(
        config.listeners.iter().map(|l| l.tls).collect::<Vec<_>>(),
        [ListenerTls::Require, ListenerTls::Implicit, ListenerTls::None]
    );
    let proxied = |listener: usize, peer: &str| config.listeners[listener].is_proxy(peer.parse().unwrap());
    assert!(proxied(0, "192.0.2.10") && proxied(0, "::ffff:192.0.2.10") && proxied(0, "2001:db8::7") && !proxied(0, "192.0.2.11"));
    assert!(!proxied(1, "192.0.2.10"), "each listener has its own");
    let certificates: Vec<_> = config.tls.identities().map(|identity| identity.certificate.to_str().unwrap()).collect();
    assert_eq!(certificates, ["/etc/sealpost/chain.pem", "/etc/sealpost/other.pem"]);
    assert_eq!(config.tls.expiry_warning, Duration::from_secs(3 * 24 * 3600));
    let identity = config.tls.identity.unwrap();
    assert_eq!(identity.certificate, PathBuf::from("/etc/sealpost/chain.pem"));
    assert_eq!(identity.private_key, PathBuf::from("/secret/key.pem"));
    assert_eq!(config.tls.min_version, TlsVersion::Tls1_3);
    assert_eq!(config.tls.min_group, KexFloor::Bits192);
    assert_eq!(
        config.tls.ciphers.unwrap().to_string(),
        "TLS_AES_256_GCM_SHA384:TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:\
         TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    );
    assert_eq!(config.tls.trust_anchors, Some(PathBuf::from("/etc/sealpost/ca.pem")));
    assert_eq!(config.tls.client_anchors, Some(PathBuf::from("/etc/sealpost/clients.pem")));
    assert_eq!(config.tls.revocation_lists, Some(PathBuf::from("/etc/sealpost/crls.pem")));
    assert_eq!(config.listeners.iter().map(|l| l.client_certificates).collect::<Vec<_>>(), [false, true, false]);
    assert!(config.rights.is_trusted("127.5.5.5".parse().unwrap()));
    assert!(config.rights.is_trusted("::ffff:127.0.0.1".parse().unwrap()));
    assert!(!config.rights.is_trusted("192.0.2.1".parse().unwrap()));
    assert_eq!(config.rights.success_notices, SuccessNotices::All);
    assert_eq!(config.rights.postmaster.unwrap().to_string(), "admin@relay.example");
    assert_eq!(config.auth.users, Some(PathBuf::from("/etc/sealpost/users")));
    let route = |domain: &str| config.routes.find(&Domain::parse(domain).unwrap()).map(ToString::to_string);
    assert_eq!(route("a.example").as_deref(), Some("mail.a.example:26"));
    assert_eq!(route("b.c.example").as_deref(), Some("192.0.2.1:25"));
    assert_eq!(route("example").as_deref(), Some("[2001:db8::1]:2525"));
    assert_eq!(config.queue.retry.waits(), [Duration::from_secs(10), Duration::from_secs(120)]);
    assert_eq!(config.queue.retry_tls.waits(), [Duration::from_secs(1800)]);
    assert_eq!(config.queue.delay_warning, None);
    assert_eq!(config.queue.reserve, Octets(1 << 20));
    assert_eq!((config.dns.dnssec, config.dns.trust_anchor), (DnssecMode::Validate, Some(PathBuf::from("/etc/sealpost/root.key"))));
    assert_eq!(config.dns.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:5353", "192.0.2.53:53"]);
    assert_eq!((config.limits.message_size, config.limits.recipients), (Octets(1_000_000), 200));
    assert_eq!((config.limits.connections, config.limits.connections_per_address, config.limits.hops), (10, 3, 25));
    assert_eq!((config.limits.idle, config.limits.session), (Duration::from_secs(20), Duration::from_secs(600)));
    assert_eq!((config.delivery.connections, config.delivery.connections_per_destination), (30, 4));
    assert_eq!(config.delivery.connect_timeout, Duration::from_secs(5));
    assert_eq!(config.admin.socket, Some(PathBuf::from("/run/sealpost/admin.sock")));
    assert_eq!(config.admin.address, Some("192.0.2.1:8025".parse().unwrap()));
    assert_eq!(config.admin.token, Some(PathBuf::from("/etc/sealpost/token")));
    assert_eq!(config.metrics.address, Some("127.0.0.1:9025".parse().unwrap()));
    assert_eq!((config.history.keep, config.history.max_size), (Duration::from_secs(30 * 86400), Octets(16 << 20)));
    assert_eq!(config.history.stream, Some(StreamTarget::File(PathBuf::from("/etc/sealpost/history.jsonl"))));
    let reports = config.tls_reports.unwrap();
    assert_eq!((reports.organization.as_str(), reports.contact.as_str()), ("Acme Ltd", "tls@acme.example"));
    assert_eq!((reports.from.to_string(), reports.delay), ("reports@acme.example".to_owned(), Duration::from_secs(1800)));
    assert_eq!(reports.dkim_key, Some(PathBuf::from("/etc/sealpost/dkim.pem")));
    assert_eq!((reports.dkim_domain.as_str(), reports.dkim_selector.as_str()), ("example", "s2026.tls"));
}

/// Clients are compared as what they are, and such a network was taken and named none of them.
#[test]
fn an_ipv4_network_written_as_ipv6_is_an_ipv4_network() {
    let config = parse(
        r#"
        hostname = "relay.example"
        [[listener]]
        address = "[::]:25"
        proxy = ["::ffff:192.0.2.10/128"]
        [relay]
        trusted_networks = ["::ffff:192.0.2.0/120", "::ffff:0:0/95"]
        "#,
    )
    .unwrap();
    // What is more than all of IPv4 is none of its networks: the second one names nobody here.
    for (client, trusted) in [("192.0.2.7", true), ("::ffff:192.0.2.7", true), ("192.0.3.7", false), ("::ffff:192.0.3.7", false)] {
        assert_eq!(config.rights.is_trusted(client.parse().unwrap()), trusted, "{client}");
    }
    let proxied = |peer: &str| config.listeners[0].is_proxy(peer.parse().unwrap());
    assert!(proxied("192.0.2.10") && proxied("::ffff:192.0.2.10") && !proxied("192.0.2.11"));
}

#[test]
fn reports_about_tls_are_made_when_that_is_asked_for_in_the_relays_own_name() {
    let reports = |rest: &str| parse(&format!("hostname = \"relay.example\"\n[tlsrpt]\n{rest}")).unwrap().tls_reports;
    assert_eq!(reports(""), None);
    let own = reports("enabled = true").unwrap();
    assert_eq!((own.organization.as_str(), own.contact.as_str()), ("relay.example", "postmaster@relay.example"));
    assert_eq!((own.from.to_string().as_str(), own.dkim_domain.as_str()), ("tlsrpt@relay.example", "relay.example"));
    let other = reports("enabled = true\nfrom = \"tls@mail.example\"").unwrap();
    assert_eq!(other.dkim_domain.as_str(), "mail.example", "who signs is who sends");
}

#[test]
fn the_history_streams_to_a_file_to_standard_output_or_nowhere() {
    let stream = |text: &str| parse(&format!("hostname = \"relay.example\"\n[history]\nstream = \"{text}\"")).unwrap().history.stream;
    assert_eq!(stream("none"), None);
    assert_eq!(stream("stdout"), Some(StreamTarget::Stdout));
    assert_eq!(stream("./stdout"), Some(StreamTarget::File(PathBuf::from("/etc/sealpost/./stdout"))));
}

#[test]
fn the_admin_socket_can_be_switched_off() {
    let socket = |rest: &str| parse(&format!("hostname = \"relay.example\"\n{rest}")).unwrap().admin.socket;
    assert_eq!(socket(""), Some(PathBuf::from("/var/lib/sealpost/admin.sock")));
    assert_eq!(socket("data_dir = \"data\""), Some(PathBuf::from("/etc/sealpost/data/admin.sock")));
    assert_eq!(socket("[admin]\nsocket = \"none\""), None);
    assert_eq!(socket("[admin]\nsocket = \"./none\""), Some(PathBuf::from("/etc/sealpost/./none")));
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    let with = |rest: &str| format!("hostname = \"relay.example\"\n{rest}");
    for (text, place, words) in [
        ("hostnam = \"x\"".to_owned(), "sealpost.toml:1:1:", "unknown field `hostnam`"),
        (with("data_dir = 7"), "sealpost.toml:2:12:", "invalid type"),
        (with("[tls]\ncertficate = \"a\""), "sealpost.toml:3:1:", "expected one of `certificate`"),
        (with("[tls]\ncertificate = \"a\""), "sealpost.toml:3:15:", "without private_key"),
        (with("[tls]\nmin_group = \"rsa\""), "sealpost.toml:3:13:", "\"x25519\" or \"post-quantum\" is meant"),
        (
            with("[tls]\nciphers = \"HIGH:!aNUL\""),
            "sealpost.toml:3:11:",
            "column 6: \"aNUL\" in \"!aNUL\" is no word of a cipher string; aNULL",
        ),
        (with("[tls]\nciphers = \"kRSA\""), "sealpost.toml:3:11:", "static RSA has no forward secrecy"),
        (with("[tls]\nciphers13 = \"ECDHE\""), "sealpost.toml:3:13:", "item 1: \"ECDHE\" is no suite of TLS 1.3"),
        (
            with("[tls]\nciphers = \"fips\"\nciphers13 = \"TLS_AES_128_GCM_SHA256\""),
            "sealpost.toml:4:13:",
            "ciphers names suites of TLS 1.3 already",
        ),
        (
            with(
                "[tls]\nmin_version = \"1.3\"\nciphers = \"ALL:!TLS_AES_128_GCM_SHA256:!TLS_AES_256_GCM_SHA384:!TLS_CHACHA20_POLY1305_SHA256\"",
            ),
            "sealpost.toml:4:11:",
            "leaves no suite of TLS 1.3",
        ),
        (with("[[listener]]\naddress = \"25\""), "sealpost.toml:3:11:", "\"0.0.0.0:25\""),
        (with("[[listener]]\naddress = \"1.2.3.4:25\"\ntls = \"maybe\""), "sealpost.toml:4:7:", "\"starttls\""),
        (with("[[listener]]\naddress = \"1.2.3.4:25\"\nproxy = [\"lb.example\"]"), "sealpost.toml:4:10:", "a network such as"),
        (
            with("[[listener]]\naddress = \"1.2.3.4:25\"\ntls = \"none\"\nclient_certificates = true"),
            "sealpost.toml:5:23:",
            "client certificates come with TLS",
        ),
        (with("[relay]\ntrusted_networks = [\"10.0.0.0/33\"]"), "sealpost.toml:3:21:", "a network such as"),
        (with("[routes]\n\"*\" = \"host:0\""), "sealpost.toml:3:7:", "no number from 1 to 65535"),
        (with("[routes]\n\"a b\" = \"host\""), "sealpost.toml:3:1:", "\"*.example.org\""),
        (with("[queue]\nretry = []"), "sealpost.toml:3:9:", "at least one wait"),
        (with("[queue]\nretry_tls = [\"0s\"]"), "sealpost.toml:3:13:", "retry_tls needs at least one wait"),
        (with("[queue]\nretry = [\"soon\"]"), "sealpost.toml:3:10:", "30s, 90m, 36h, 7d"),
        (with("[queue]\nstore = \"postgres://x\""), "sealpost.toml:3:9:", "\"embedded\""),
        (with("[limits]\nidle = \"0s\""), "sealpost.toml:3:8:", "at least \"1s\""),
        (with("[limits]\nrecipients = 5"), "sealpost.toml:3:14:", "at least 100"),
        (with("[dns]\nservers = [\"ns.example\"]"), "sealpost.toml:3:12:", "192.0.2.53"),
        (with("[dns]\ndnssec = \"on\""), "sealpost.toml:3:10:", "\"trust-ad\""),
        (with("[dns]\ndnssec = \"off\"\ntrust_anchor = \"k\""), "sealpost.toml:4:16:", "\"validate\" only"),
        (with("[admin]\nsocket = \"\""), "sealpost.toml:3:10:", "\"none\" for no socket"),
        (with("[admin]\naddress = \"0.0.0.0:8025\""), "sealpost.toml:3:11:", "token = \"FILE\" is needed"),
        (with("[admin]\naddress = \"localhost\""), "sealpost.toml:3:11:", "\"127.0.0.1:8025\""),
        (with("[metrics]\naddress = \"9025\""), "sealpost.toml:3:11:", "\"127.0.0.1:9025\""),
        (
            with("[admin]\naddress = \"127.0.0.1:8025\"\n[metrics]\naddress = \"127.0.0.1:8025\""),
            "sealpost.toml:5:11:",
            "[admin] has 127.0.0.1:8025 already",
        ),
        (with("[history]\nkeep = \"1h\""), "sealpost.toml:3:8:", "at least \"1d\""),
        (with("[history]\nmax_size = 5"), "sealpost.toml:3:12:", "at least 16777216"),
        (with("[history]\nstream = \"\""), "sealpost.toml:3:10:", "\"stdout\" or \"none\""),
        (with("[tlsrpt]\nfrom = \"reports\""), "sealpost.toml:3:8:", "the mailbox that sends reports"),
        (with("[tlsrpt]\nfrom = \"r@[192.0.2.1]\""), "sealpost.toml:3:8:", "an address cannot sign"),
        (with("[tlsrpt]\ncontact = \" \""), "sealpost.toml:3:11:", "whom to ask"),
        (with("[tlsrpt]\ndkim_selector = \"a b\""), "sealpost.toml:3:17:", "a domain name is meant"),
        (with("[tlsrpt]\ndelay = \"1d\""), "sealpost.toml:3:9:", "at most \"12h\""),
        ("hostname = \"bad name\"".to_owned(), "sealpost.toml:1:12:", "full name"),
        ("hostname = \"a".to_owned(), "sealpost.toml:1:1", "string"),
    ] {
        let said = problem(&text);
        assert!(said.starts_with(place) && said.contains(words), "{text}\n  -> {said}");
    }
}

// req: A6
#[test]
fn cipher_strings_are_for_tls12_and_leave_tls13() {
    let suites = |rest: &str| {
        let ciphers = parse(&format!("hostname = \"relay.example\"\n[tls]\n{rest}")).unwrap().tls.ciphers;
        ciphers.map(|set| {
            let tls13 = set.as_slice().iter().filter(|suite| suite.0 >> 8 == 0x13).count();
            (tls13, set.as_slice().len() - tls13)
        })
    };
    for (rest, expected) in [
        ("", None),
        ("ciphers = \"TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL\"", Some((3, 4))),
        ("ciphers = \"fips\"", Some((2, 4))),
        ("ciphers = \"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\"", Some((3, 1))),
        ("ciphers13 = \"TLS_AES_256_GCM_SHA384 TLS_AES_128_GCM_SHA256\"", Some((2, 6))),
        ("ciphers = \"modern\"\nciphers13 = \"TLS_AES_256_GCM_SHA384\"", Some((1, 4))),
    ] {
        assert_eq!(suites(rest), expected, "{rest}");
    }
}

#[test]
fn all_mistakes_show_at_once() {
    let said = problem("hostname = \"bad name\"\n[limits]\nidle = \"0s\"\nhops = 0\n");
    assert_eq!(said.lines().count(), 3, "{said}");
}

/// The book shows every key once; a key that the reader does not know, or a default that differs, fails here.
#[test]
fn the_book_shows_every_key_with_its_default() {
    let book = include_str!("../../../docs/config.md");
    let example = book.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let shown = parse(example).unwrap();
    let default = parse("hostname = \"relay.example\"").unwrap();
    assert_eq!(shown.data_dir, default.data_dir);
    assert_eq!(shown.listeners, default.listeners[..1]);
    assert_eq!((shown.tls.min_version, shown.tls.min_group), (default.tls.min_version, default.tls.min_group));
    assert_eq!(shown.tls.ciphers.unwrap().as_slice().len(), 9, "the default is everything that there is");
    assert_eq!((shown.tls.further_identities, shown.tls.expiry_warning), (default.tls.further_identities, default.tls.expiry_warning));
    assert_eq!(shown.queue, default.queue);
    assert_eq!(shown.mta_sts, default.mta_sts);
    assert_eq!(shown.limits, default.limits);
    let mut delivery = shown.delivery;
    assert!(delivery.client_identity.take().is_some());
    assert_eq!(delivery, default.delivery);
    assert_eq!(shown.admin.socket, default.admin.socket);
    assert_eq!(default.metrics.address, None);
    assert_eq!(shown.history, default.history);
    assert_eq!(shown.tls_reports, default.tls_reports);
    assert_eq!(shown.process, default.process);
    let reports = parse(&example.replace("enabled = false", "enabled = true")).unwrap().tls_reports.unwrap();
    let own = TlsReports::of_host(&default.hostname).unwrap();
    assert_eq!(reports.dkim_key, Some(PathBuf::from("/etc/sealpost/dkim.pem")), "shown, and none by default");
    assert_eq!((reports.organization, reports.contact, reports.from), (own.organization, own.contact, own.from));
    assert_eq!((reports.dkim_domain, reports.dkim_selector, reports.delay), (own.dkim_domain, own.dkim_selector, own.delay));
    for key in [
        "[[listener]]",
        "[tls]",
        "[relay]",
        "[auth]",
        "[routes]",
        "[queue]",
        "[dns]",
        "[mta_sts]",
        "[limits]",
        "[delivery]",
        "[admin]",
        "[metrics]",
        "[history]",
        "[tlsrpt]",
        "[process]",
    ] {
        assert!(example.contains(key), "{key}");
    }
}

#[test]
fn without_a_certificate_for_all_others_the_first_is_it() {
    let text = "hostname = \"relay.example\"\n[[tls.certificates]]\ncertificate = \"a\"\nprivate_key = \"ka\"\n[[tls.certificates]]\n\
        certificate = \"b\"\nprivate_key = \"kb\"";
    let tls = parse(text).unwrap().tls;
    assert_eq!(tls.identity.unwrap().certificate, PathBuf::from("/etc/sealpost/a"));
    assert_eq!(tls.further_identities.len(), 1);
    assert!(problem("hostname = \"relay.example\"\n[[tls.certificates]]\ncertificate = \"a\"").contains("missing field `private_key`"));
}
