//! DNSSEC against zones that BIND signs and serves, and a validating BIND in front of them.
#![allow(clippy::print_stderr, reason = "a test that fails shows the log of the server")]

mod bind;
mod meddler;

/// What needs `named`, `dnssec-keygen` and `dnssec-signzone`.
mod with_bind {
    use std::net::SocketAddr;
    use std::sync::OnceLock;
    use std::time::Duration;

    use sealpost_discovery::{Dane, Dnssec, DnssecAnchors, HickoryResolver, ResolveError, Resolver, Validation, dane};
    use sealpost_types::{DnssecStatus, Domain};

    use crate::bind::{Bind, Signing, Zone};
    use crate::meddler::{Meddler, Meddling};

    const ECDSA: &str = "ECDSAP256SHA256";

    struct World {
        zones: Bind,
        resolver: Bind,
    }

    /// The same for all tests: signing takes a while.
    fn world() -> &'static World {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| {
            let zones = Bind::serving(&zones());
            let resolver = zones.resolver();
            World { zones, resolver }
        })
    }

    fn tlsa(count: u8) -> String {
        (0..count).map(|number| format!(" TLSA 3 1 1 {:064x}\n", u32::from(number) * 0x0101)).collect()
    }

    /// The hosts that every zone below has, however it is signed.
    fn hosts(zone: &str) -> String {
        let several = tlsa(5).replace(" TLSA", "_25._tcp.mx TLSA");
        format!(
            "@ MX 10 mx.{zone}.\n\
             mx A 127.0.0.66\nmx AAAA ::1\n{several}\
             lone A 127.0.0.67\n\
             alias CNAME mx.{zone}.\nalias2 CNAME alias.{zone}.\n\
             _25._tcp.own TLSA 3 1 1 {:064x}\nown CNAME bare.{zone}.\nbare A 127.0.0.68\n\
             out CNAME mx.plain.\n_25._tcp.out TLSA 3 1 1 {:064x}\n\
             *.wild A 127.0.0.69\n_25._tcp.shared TLSA 3 1 1 {:064x}\n\
             towild CNAME any.wild.{zone}.\n\
             *.many TLSA 3 1 1 {:064x}\nmany A 127.0.0.70\n\
             talias A 127.0.0.71\n_25._tcp.talias CNAME _25._tcp.shared.{zone}.\n\
             deep.er.name A 127.0.0.72\n\
             toother CNAME mx.nsec3.\n",
            1, 2, 3, 4
        )
    }

    fn zones() -> Vec<Zone> {
        let zone = |name, signing| Zone { name, signing, records: hosts(name) };
        vec![
            Zone { name: "", signing: Signing::Nsec(ECDSA), records: String::new() },
            zone("nsec", Signing::Nsec(ECDSA)),
            zone("nsec3", Signing::Nsec3(ECDSA)),
            zone("optout", Signing::OptOut(ECDSA)),
            zone("rsa", Signing::Nsec3("RSASHA256")),
            zone("ed", Signing::Nsec("ED25519")),
            zone("plain", Signing::None),
            zone("expired", Signing::Expired),
            zone("tampered", Signing::Tampered),
            zone("sub.nsec", Signing::Nsec3(ECDSA)),
            zone("unsigned.nsec", Signing::None),
            zone("unsigned.nsec3", Signing::None),
            zone("unsigned.optout", Signing::None),
            zone("sub.plain", Signing::None),
        ]
    }

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn resolver(address: SocketAddr, dnssec: Dnssec) -> HickoryResolver {
        HickoryResolver::of_servers(&[address], dnssec).unwrap().with_timeout(Duration::from_secs(5))
    }

    fn anchors() -> DnssecAnchors {
        DnssecAnchors::parse(&world().zones.anchor()).unwrap()
    }

    /// Each way to learn what is proven: validating what the zones' own server says, what a resolver says, and trusting its AD bit.
    fn each_way() -> [(&'static str, HickoryResolver); 3] {
        let world = world();
        [
            ("zones", resolver(world.zones.address, Dnssec::Validate(anchors()))),
            ("resolver", resolver(world.resolver.address, Dnssec::Validate(anchors()))),
            ("ad", resolver(world.resolver.address, Dnssec::TrustAd)),
        ]
    }

    const SIGNED: [&str; 6] = ["nsec", "nsec3", "optout", "rsa", "ed", "sub.nsec"];
    const UNSIGNED: [&str; 5] = ["plain", "unsigned.nsec", "unsigned.nsec3", "unsigned.optout", "sub.plain"];

    async fn dane_of(resolver: &HickoryResolver, host: &str) -> Result<Dane, ResolveError> {
        let host = domain(host);
        let addresses = resolver.addresses(&host).await?;
        Ok(dane(resolver, &host, &addresses, 25).await)
    }

    fn base_of(dane: Dane) -> Option<(String, usize)> {
        match dane {
            Dane::Secure { base, records } => Some((base.to_string(), records.len())),
            _ => None,
        }
    }

    #[tokio::test]
    #[ignore = "needs bind9"]
    async fn signed_zones_are_secure_and_unsigned_ones_insecure() {
        for (way, resolver) in each_way() {
            assert_eq!(resolver.validation().await, Validation::Works, "{way}");
            for zone in SIGNED.iter().chain(&UNSIGNED) {
                let expected = if SIGNED.contains(zone) { DnssecStatus::Secure } else { DnssecStatus::Insecure };
                let set = resolver.mx(&domain(zone)).await.unwrap_or_else(|error| panic!("{way} {zone}: {error}"));
                assert_eq!(set.dnssec, expected, "{way} MX of {zone}");
                let addresses = resolver.addresses(&domain(&format!("mx.{zone}"))).await.unwrap();
                assert_eq!((addresses.dnssec, addresses.list.len()), (expected, 2), "{way} addresses of {zone}");
                let records = resolver.tlsa(&domain(&format!("mx.{zone}")), 25).await.unwrap();
                assert_eq!((records.dnssec, records.records.len()), (expected, 5), "{way} TLSA of {zone}");
            }
        }
    }

    /// RFC 7672 section 2.2.2: which name the records of a host stand under.
    #[tokio::test]
    #[ignore = "needs bind9"]
    async fn rfc7672_2_2_2_records_are_looked_for_at_the_end_of_secure_aliases_then_at_the_host() {
        for (way, resolver) in each_way() {
            for zone in SIGNED {
                for (host, base, count) in [
                    ("mx", format!("mx.{zone}"), 5),
                    ("alias", format!("mx.{zone}"), 5),
                    ("alias2", format!("mx.{zone}"), 5),
                    ("own", format!("own.{zone}"), 1),
                    ("out", format!("out.{zone}"), 1),
                    ("many", format!("many.{zone}"), 1),
                    ("talias", format!("talias.{zone}"), 1),
                    ("toother", "mx.nsec3".to_owned(), 5),
                ] {
                    // A wildcard there may hide a delegation that is not signed (RFC 5155 section 9.2).
                    let expected = if (host, zone) == ("many", "optout") { None } else { Some((base, count)) };
                    let host = format!("{host}.{zone}");
                    let found = dane_of(&resolver, &host).await.unwrap_or_else(|error| panic!("{way} {host}: {error}"));
                    assert_eq!(base_of(found.clone()), expected, "{way} {host}: {found:?}");
                }
                for host in ["lone", "any.wild", "towild", "deep.er.name", "bare"].map(|host| format!("{host}.{zone}")) {
                    let addresses = resolver.addresses(&domain(&host)).await.unwrap_or_else(|error| panic!("{way} {host}: {error}"));
                    assert_eq!(addresses.dnssec.is_secure(), zone != "optout" || !host.contains("wild"), "{way} {host}");
                    assert_eq!(dane_of(&resolver, &host).await, Ok(Dane::Absent), "{way} {host}");
                }
            }
            for zone in UNSIGNED {
                for host in ["mx", "alias", "own"].map(|host| format!("{host}.{zone}")) {
                    assert_eq!(dane_of(&resolver, &host).await, Ok(Dane::Absent), "{way} {host}");
                }
            }
        }
    }

    /// RFC 7672 section 2.1.1: what is bogus is no answer, and never "not signed".
    #[tokio::test]
    #[ignore = "needs bind9"]
    async fn expired_and_wrong_signatures_are_no_answers() {
        for (way, resolver) in each_way() {
            let bogus = |name: &str| match way {
                "zones" => ResolveError::Bogus { name: domain(name) },
                _ => ResolveError::Server { name: domain(name), code: 2 },
            };
            assert_eq!(resolver.mx(&domain("expired")).await, Err(bogus("expired")), "{way}");
            assert_eq!(resolver.addresses(&domain("mx.expired")).await, Err(bogus("mx.expired")), "{way}");
            assert_eq!(resolver.tlsa(&domain("mx.expired"), 25).await, Err(bogus("_25._tcp.mx.expired")), "{way}");
            assert!(resolver.mx(&domain("tampered")).await.unwrap().dnssec.is_secure(), "{way}: the rest of the zone is right");
            let left: Vec<_> = resolver.addresses(&domain("mx.tampered")).await.unwrap().list;
            assert_eq!(left, ["::1".parse::<std::net::IpAddr>().unwrap()], "{way}: never the forged one");
        }
    }

    /// The negative control of all of the above: whoever does not prove anything is not believed, and nothing is claimed.
    #[tokio::test]
    #[ignore = "needs bind9"]
    async fn control_without_validation_dane_is_not_claimed() {
        let world = world();
        let strangers = "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";
        let strangers = DnssecAnchors::parse(&format!(". IN DNSKEY {strangers}")).unwrap();
        let stripping = Meddler::start(world.resolver.address);
        stripping.set(Meddling::ClearAd);
        for (resolver, words) in [
            (resolver(world.zones.address, Dnssec::TrustAd), "without the AD bit"),
            (resolver(stripping.address, Dnssec::TrustAd), "without the AD bit"),
            (resolver(world.zones.address, Dnssec::Validate(strangers)), "do not lead to the trust anchor"),
            (resolver(world.zones.address, Dnssec::Off), "switched off"),
        ] {
            let validation = resolver.validation().await;
            assert!(validation.is_ruled_out() && validation.to_string().contains(words), "{validation}");
            assert_eq!(resolver.mx(&domain("nsec")).await.unwrap().dnssec, DnssecStatus::Indeterminate);
            assert_eq!(dane_of(&resolver, "mx.nsec").await, Ok(Dane::Unknown));
        }
    }

    /// Stalwart and KumoMTA took SERVFAIL and time-outs of the TLSA lookup for "no DANE": whoever can disturb the DNS got the mail in
    /// clear. So does, in a validator that believes any proof of insecurity, a proof that is about another zone.
    // req: E1
    #[tokio::test]
    #[ignore = "needs bind9"]
    async fn b13_a_disturbed_tlsa_lookup_is_a_failure_and_not_no_dane() {
        for upstream in [world().zones.address, world().resolver.address] {
            for meddling in [
                Meddling::StripSignatures,
                Meddling::Empty,
                Meddling::DeniedByUnsignedZone,
                Meddling::ServFail,
                Meddling::Silence,
                Meddling::Forged,
            ] {
                let meddler = Meddler::start(upstream);
                let resolver = resolver(meddler.address, Dnssec::Validate(anchors())).with_timeout(Duration::from_secs(2));
                assert_eq!(resolver.validation().await, Validation::Works);
                let addresses = resolver.addresses(&domain("mx.nsec3")).await.unwrap();
                meddler.set(meddling);
                let found = dane(&resolver, &domain("mx.nsec3"), &addresses, 25).await;
                assert!(matches!(found, Dane::Failed { .. }), "{meddling:?}: {found:?}");
                // the control: undisturbed it is there
                meddler.set(Meddling::None);
                let found = dane(&resolver, &domain("mx.nsec3"), &addresses, 25).await;
                assert_eq!(base_of(found), Some(("mx.nsec3".to_owned(), 5)), "{meddling:?}");
            }
        }
    }

    /// An answer, and that there is none, are kept as long as they allow.
    #[tokio::test]
    #[ignore = "needs bind9"]
    async fn what_is_proven_is_kept_also_that_there_is_nothing() {
        let meddler = Meddler::start(world().zones.address);
        let resolver = resolver(meddler.address, Dnssec::Validate(anchors())).with_timeout(Duration::from_secs(2));
        for host in ["mx.nsec", "lone.nsec3"] {
            let before = dane_of(&resolver, host).await.unwrap();
            meddler.set(Meddling::SilenceAll);
            assert_eq!(dane_of(&resolver, host).await.unwrap(), before, "{host}");
            resolver.forget();
            assert!(dane_of(&resolver, host).await.is_err(), "the control: it would have to ask");
            meddler.set(Meddling::None);
        }
    }

    /// RFC 7671 section 8.1: new records stand beside the old ones for a while; the order in an answer says nothing.
    #[tokio::test]
    #[ignore = "needs bind9"]
    async fn records_that_roll_over_are_seen_when_the_old_answer_ends() {
        let records = |kinds: &[u32]| {
            let lines = kinds.iter().map(|kind| format!("_25._tcp.mx TLSA 3 1 1 {kind:064x}\n"));
            Zone { name: "roll", signing: Signing::Nsec(ECDSA), records: format!("mx A 127.0.0.1\n{}", lines.collect::<String>()) }
        };
        let root = Zone { name: "", signing: Signing::Nsec(ECDSA), records: String::new() };
        let mut zones = Bind::serving(&[root, records(&[1])]);
        let resolver = resolver(zones.address, Dnssec::Validate(DnssecAnchors::parse(&zones.anchor()).unwrap()));
        let mut seen = Vec::new();
        for kinds in [&[1][..], &[2, 1], &[2]] {
            if !seen.is_empty() {
                zones.change(&records(kinds));
            }
            resolver.forget();
            let set = resolver.tlsa(&domain("mx.roll"), 25).await.unwrap();
            assert!(set.dnssec.is_secure());
            seen.push(set.records.iter().map(|record| record.data[31]).collect::<Vec<_>>());
        }
        assert_eq!(seen, [vec![1], vec![1, 2], vec![2]]);
    }
}
