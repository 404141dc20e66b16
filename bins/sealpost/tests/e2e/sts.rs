//! `sealpost sts`, and what `sealpost domains test` says of MTA-STS: policies that Python serves over HTTPS.

use crate::relay::House;

/// Where nothing is kept, and where MTA-STS is switched off.
#[test]
fn nothing_is_kept_where_no_relay_ran_and_where_mta_sts_is_switched_off() {
    let house = House::new();
    house.write();
    assert!(house.says(&["sts", "list"], 0).contains("no MTA-STS policy is kept"));
    assert_eq!(house.says(&["sts", "list", "--json"], 0), "");
    assert!(house.says(&["sts", "show", "bank.example"], 1).contains("no MTA-STS policy of bank.example is kept"));
    assert!(house.says(&["sts", "drop", "bank..example"], 1).contains("\"bank..example\" is no domain"));
    let house = House::new().also("[mta_sts]\nenabled = false\n");
    let relay = house.start();
    assert!(house.says(&["sts", "list"], 1).contains("the relay uses no MTA-STS; [mta_sts] enabled = true in sealpost.toml"));
    drop(relay);
}

/// What needs BIND, Python, and root with ports 25 and 443 that nobody listens on.
mod with_web_on_port_443 {
    use crate::bind::Signing;
    use crate::mta_sts::with_web_on_port_443::{Bank, LIMIT, Shows, TELLER, hand_in, policy};
    use crate::relay::House;

    fn json(text: &str) -> serde_json::Value {
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    }

    /// Looks at the one policy that is kept, in each way.
    fn look(house: &House) {
        let listed = house.says(&["sts", "list"], 0);
        for words in ["bank.example", "enforce", "6d left", "id 1", "mx.bank.example", "cannot be fetched"] {
            assert!(listed.contains(words), "no {words:?} in {listed}");
        }
        assert!(house.says(&["sts", "list", "--mode", "testing"], 0).contains("no MTA-STS policy is kept that matches"));
        assert_eq!(house.says(&["sts", "list", "--after", "bank.example", "--json"], 0), "");
        let one = json(&house.says(&["sts", "show", "bank.example", "--json"], 0));
        assert_eq!(one, json(&house.says(&["sts", "list", "--mode", "enforce", "--json"], 0)));
        assert_eq!(
            (one["mode"].as_str(), one["id"].as_str(), one["mx"][0].as_str()),
            (Some("enforce"), Some("1"), Some("mx.bank.example"))
        );
        assert_eq!(one["expires"].as_i64().unwrap() - one["fetched"].as_i64().unwrap(), 604_800_000);
        assert!(one["failure"]["reason"].as_str().unwrap().contains("cannot be fetched"), "{one}");
        assert!(house.says(&["sts", "show", "bank.example"], 0).contains("failed        "));
    }

    /// Drops it; a policy that binds is not dropped by a slip.
    fn drop_it(house: &House) -> String {
        let asked = house.says(&["sts", "drop", "bank.example"], 1);
        assert!(asked.contains("--yes is needed where nobody can be asked"), "{asked}");
        house.says(&["sts", "show", "bank.example"], 0);
        let dropped = house.says(&["sts", "drop", "bank.example", "--yes"], 0);
        assert!(dropped.contains("dropped: the policy 1 of bank.example, mode enforce"), "{dropped}");
        house.says(&["sts", "show", "bank.example"], 1);
        house.says(&["sts", "drop", "bank.example", "--yes"], 1);
        dropped
    }

    /// Each command through the running relay and straight in the file. What is dropped counts no more, and is looked for anew.
    // req: E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn kept_policies_are_listed_shown_and_dropped() {
        let house = House::new();
        let mut bank = Bank::new(&house, Shows::Right.behaviour(&house), &policy("enforce", "mx.bank.example"), Signing::None, "");
        let house = bank.known_to(house);
        let relay = house.start();
        hand_in(&house, &relay, &[TELLER]);
        bank.sink.wait_for(1, LIMIT);
        // The policy keeps the mail from whoever stands in for the bank. An open connection to the bank itself would serve.
        relay.terminate();
        assert!(relay.wait(LIMIT).success());
        bank.is_taken_over(&house);
        let relay = house.start_again();
        hand_in(&house, &relay, &[TELLER]);
        house.wait_for_history(&["Processing: Check TLS", "\"mode\":\"enforce\"", "cannot be fetched"], LIMIT);
        look(&house);
        assert!(!drop_it(&house).contains("no relay runs"));
        house.wait_for_history(
            &["\"kind\":\"policy-changed\"", "MTA-STS", "the kept policy 1 of bank.example is dropped; its mode was enforce"],
            LIMIT,
        );
        // Nothing is left to go by: what waited goes out to whoever stands there.
        bank.sink.wait_for(2, LIMIT);
        relay.kill();

        // The bank is back, and the next mail fetches its policy.
        bank.announce("1");
        bank.web.resume();
        bank.sink.change(Shows::Right.behaviour(&house));
        let relay = house.start_again();
        hand_in(&house, &relay, &[TELLER]);
        bank.sink.wait_for(3, LIMIT);
        bank.web.stop();
        bank.announce("2");
        // What DNS said is known for a second, and the name server reads its zone in its own time; the mail goes over the open connection
        // all the same.
        for count in 4.. {
            std::thread::sleep(std::time::Duration::from_secs(1));
            hand_in(&house, &relay, &[TELLER]);
            bank.sink.wait_for(count, LIMIT);
            if house.says(&["sts", "list"], 0).contains("cannot be fetched") {
                break;
            }
            assert!(count < 34, "the new id is never seen");
        }
        relay.terminate();
        assert!(relay.wait(LIMIT).success());
        look(&house);
        assert!(drop_it(&house).contains("no relay runs: it holds from its next start"));
    }

    /// The ping asks for what the delivery would: the policy is looked up, and hosts and certificates are held against it.
    // req: A7, E2
    #[test]
    #[ignore = "needs bind9, python3, root and ports 25 and 443"]
    fn domains_test_holds_servers_against_the_policy() {
        for (mode, mx, shows, code, words) in [
            ("enforce", "mx.bank.example", Shows::Right, 0, "MTA-STS: enforce, policy 1, hosts mx.bank.example"),
            ("enforce", "mx.bank.example", Shows::OtherName, 1, "that is not what the domain publishes: mail would wait"),
            ("enforce", "mx.bank.example", Shows::SelfSigned, 1, "that is not what the domain publishes: mail would wait"),
            ("enforce", "old.bank.example", Shows::Right, 1, "what the domain publishes does not let mail go to this host"),
            // The controls: what `testing` says stops nothing, and a void policy is none.
            ("testing", "old.bank.example", Shows::OtherName, 0, "MTA-STS: testing, policy 1"),
            ("enforced", "mx.bank.example", Shows::OtherName, 0, "the MTA-STS policy of mta-sts.bank.example is void"),
        ] {
            let house = House::new();
            let bank = Bank::new(&house, shows.behaviour(&house), &policy(mode, mx), Signing::None, "");
            let house = bank.known_to(house);
            house.write();
            let said = house.says(&["domains", "test", "bank.example"], code);
            assert!(said.contains(words), "{mode} {mx} {shows:?}: {said}");
            assert_eq!(bank.web.fetches(), 1, "{said}");
        }
        // What has no TLS at all fails whatever is published: it is no server for a relay that enforces TLS.
        let house = House::new();
        let bank = Bank::new(&house, Shows::NoTls.behaviour(&house), &policy("enforce", "mx.bank.example"), Signing::None, "");
        let house = bank.known_to(house);
        house.write();
        assert!(house.says(&["domains", "test", "bank.example"], 1).contains("does not offer STARTTLS"));
    }
}
