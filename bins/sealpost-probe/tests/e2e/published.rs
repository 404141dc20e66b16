//! What domains publish about their servers: MTA-STS policies that Python serves, TLSA records that BIND signs.

/// What needs BIND, Python, and root with ports 25 and 443 that nobody listens on.
mod with_web_on_port_443 {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU8, Ordering};

    use crate::authority::Authority;
    use crate::bind::{Bind, Signing, Zone};
    use crate::equipment::{Sink, ends, object, probe};
    use crate::web::Web;

    const SIGNED: Signing = Signing::Nsec("ECDSAP256SHA256");

    fn own_address() -> Ipv4Addr {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [low, high, ..] = std::process::id().to_le_bytes();
        Ipv4Addr::new(127, low | 1, high.wrapping_add(77), NEXT.fetch_add(1, Ordering::SeqCst))
    }

    /// A name server with one domain below `example`, and the settings of a relay that asks it.
    struct World {
        folder: tempfile::TempDir,
        _bind: Bind,
    }

    impl World {
        fn new(authority: &Authority, signing: Signing, records: &str) -> Self {
            let root = Zone { name: "", signing, records: String::new() };
            let bind = Bind::serving(&[root, Zone { name: "example", signing, records: records.to_owned() }]);
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
            let dnssec = if signing == Signing::None {
                "dnssec = 'off'\n"
            } else {
                std::fs::write(folder.path().join("root.key"), bind.anchor()).unwrap();
                "dnssec = 'validate'\ntrust_anchor = 'root.key'\n"
            };
            let text = format!(
                "hostname = 'relay.test'\ndata_dir = 'data'\n[tls]\ntrust_anchors = 'ca.pem'\n[dns]\nservers = ['{}']\n{dnssec}",
                bind.address
            );
            std::fs::write(folder.path().join("sealpost.toml"), text).unwrap();
            Self { folder, _bind: bind }
        }

        fn test(&self, options: &[&str]) -> std::process::Output {
            let config = self.folder.path().join("sealpost.toml").display().to_string();
            probe(&[&["test", "bank.example", "--config", &config], options].concat())
        }
    }

    /// The line of a level.
    fn at<'a>(said: &'a str, level: &str) -> &'a str {
        said.lines().find(|line| line.starts_with(&format!("  {level} "))).unwrap_or_else(|| panic!("{level}: {said}"))
    }

    // req: B7 E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn an_mta_sts_policy_counts_at_every_level() {
        let authority = Authority::new();
        let [mx, web] = [own_address(), own_address()];
        let records =
            format!("$TTL 1\nbank MX 10 mx.bank.example.\nmx.bank A {mx}\nmta-sts.bank A {web}\n_mta-sts.bank TXT \"v=STSv1; id=7;\"\n");
        let world = World::new(&authority, Signing::None, &records);
        let policy = |mode: &str, host: &str| format!("version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\nmax_age: 604800\r\n");
        let web = Web::start(web, &authority.issue(&["mta-sts.bank.example"]), &policy("enforce", "mx.bank.example"));
        let sink = Sink::start_at(&format!("{mx}:25"), &["--name", "mx.bank.example", "--kind", "self-signed"]);
        let said = ends(&world.test(&[]), 1);
        assert!(said.contains("MTA-STS: enforce, hosts mx.bank.example (policy 7, "), "{said}");
        for level in ["opportunistic", "MTA-STS"] {
            assert!(at(&said, level).contains("would NOT (mx.bank.example: self-signed certificate"), "{level}: {said}");
        }
        // what would become of mail when the domain enforces it is told before that
        web.publish(&policy("testing", "mx.bank.example"));
        let said = ends(&world.test(&[]), 0);
        assert!(at(&said, "opportunistic").ends_with("would deliver"), "{said}");
        assert!(at(&said, "MTA-STS (in testing)").contains("would NOT (mx.bank.example: self-signed certificate"), "{said}");
        // the negative control: without the policy nothing is asked of the certificate
        web.publish(&policy("none", "mx.bank.example"));
        let said = ends(&world.test(&[]), 0);
        assert!(at(&said, "opportunistic").ends_with("would deliver") && !said.contains("  MTA-STS "), "{said}");
        web.publish(&policy("enforce", "other.bank.example"));
        let said = ends(&world.test(&[]), 1);
        assert!(at(&said, "opportunistic").contains("the MTA-STS policy of the domain does not name it"), "{said}");
        assert!(at(&said, "MTA-STS").ends_with("would NOT (the same)"), "{said}");
        assert_eq!(object(&world.test(&["--json"]))["mta_sts"]["mx"][0], "other.bank.example");
        drop(sink);
    }

    // req: B7 E1
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn the_record_that_cert_says_to_publish_satisfies_dane_and_another_key_does_not() {
        let authority = Authority::new();
        let mx = own_address();
        let address = format!("{mx}:25");
        let sink = Sink::start_at(&address, &["--name", "mx.bank.example", "--kind", "self-signed"]);
        let record = object(&probe(&["cert", &address, "--json"]))["tlsa"][0].as_str().unwrap().to_owned();
        let records = format!("$TTL 1\nbank MX 10 mx.bank.example.\nmx.bank A {mx}\n_25._tcp.mx.bank TLSA {record}\n");
        let world = World::new(&authority, SIGNED, &records);
        let said = ends(&world.test(&[]), 0);
        assert!(said.contains("MTA-STS: no policy") && !said.contains("  MTA-STS "), "{said}");
        assert!(said.contains("(DNSSEC: secure)") && said.contains("DANE: 1 secure TLSA record at mx.bank.example, 1 usable"), "{said}");
        for level in ["opportunistic", "require", "dane", "dane-only"] {
            assert!(at(&said, level).ends_with("would deliver"), "{level}: {said}");
        }
        assert!(at(&said, "verify").contains("would NOT"), "DANE-EE satisfies no `verify`: {said}");
        drop(sink);
        let _other_key = Sink::start_at(&address, &["--name", "mx.bank.example", "--kind", "self-signed"]);
        let said = ends(&world.test(&[]), 1);
        assert!(at(&said, "opportunistic").contains("would NOT (mx.bank.example: "), "{said}");
        for level in ["dane", "dane-only"] {
            assert!(at(&said, level).contains("would NOT ("), "{level}: {said}");
        }
    }
}
