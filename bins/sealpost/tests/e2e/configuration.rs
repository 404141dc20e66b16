//! A configuration that is wrong: a clear error with its place and what would be right, an exit code, and no panic.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use crate::relay::{House, finish, sealpost};

const LIMIT: Duration = Duration::from_secs(20);

/// A configuration in which `from` is replaced by `to`.
fn house(from: &str, to: &str) -> House {
    let house = House::new();
    house.write();
    let text = house.config_text();
    assert!(text.contains(from), "nothing to replace: {from}");
    fs::write(house.config(), text.replacen(from, to, 1)).unwrap();
    house
}

/// The output of a command that must fail, with all of these words and no panic in it.
fn says(output: &Output, words: &[&str]) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.code().is_some_and(|code| code != 0), "exit code {:?}:\n{text}", output.status);
    assert!(!text.contains("panicked"), "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

/// A cause is neither lost nor repeated.
fn said_once(output: &Output, cause: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.matches(cause).count(), 1, "{cause:?} in:\n{text}");
}

fn run(config: &Path) -> Output {
    finish(sealpost().arg("run").arg("--config").arg(config), LIMIT)
}

/// Both `check` and `run` refuse a file with this change and name the place.
fn refused(from: &str, to: &str, words: &[&str]) {
    let house = house(from, to);
    says(&house.run(&["check"]), words);
    says(&run(&house.config()), words);
}

/// The negative control of all below.
#[test]
fn check_accepts_a_right_configuration() {
    let house = House::new();
    house.write();
    let output = house.run(&["check"]);
    assert!(output.status.success(), "{output:?}");
}

// req: A6
#[test]
fn check_names_the_suites_that_are_not_used() {
    let house = house("[tls]\n", "[tls]\nciphers = \"TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL\"\n");
    let text = house.says(&["check"], 0);
    assert!(text.contains("  ciphers      TLS_AES_128_GCM_SHA256, ") && text.contains("  not used     AES256-GCM-SHA384, "), "{text}");
    refused("[tls]\n", "[tls]\nciphers = \"kRSA\"\n", &["sealpost.toml:", "leaves no cipher suite", "static RSA has no forward secrecy"]);
}

#[test]
fn a_typo_in_a_key() {
    refused("hostname =", "hostnam =", &["sealpost.toml:1:1", "hostnam", "hostname"]);
}

/// Every entry that needs what no listener asks for is named, not only the first.
#[test]
fn all_entries_that_need_client_certificates() {
    let house = House::new().policy(
        "[[owner]]\nname = \"acme\"\nsubmit = \"chain\"\n[[domain]]\nname = \"acme.example\"\nowner = \"acme\"\n\
         [[partner]]\ndomains = \"a.example\"\nreceive = \"chain\"\n[[include]]\nfile = \"rows.csv\"\n",
    );
    house.write();
    fs::write(house.file("rows.csv"), "domain,receive\nb.example,require\nc.example,chain\n").unwrap();
    let said = house.says(&["check"], 0);
    for place in ["policy.toml:1: ", "policy.toml:7: ", "rows.csv:3: "] {
        assert!(said.contains(&format!("{place}no listener asks for client certificates")), "{place} {said}");
    }
    assert_eq!(said.matches("no listener asks").count(), 3, "{said}");
    fs::write(house.config(), house.config_text().replacen("tls = \"starttls\"", "tls = \"starttls\"\nclient_certificates = true", 1))
        .unwrap();
    assert!(!house.says(&["check"], 0).contains("no listener asks"));
}

/// A users file is read by `check` and at start, and repeated nowhere.
#[test]
fn a_wrong_users_file() {
    for (users, words) in [
        (Some("ann:hunter2\n"), "users:1:5: what follows the name is no hash in PHC form"),
        (Some("# x\n  ann\n"), "users:2:3: no colon found"),
        (None, "cannot read [auth] users"),
    ] {
        let house = house("[queue]", "[auth]\nusers = \"users\"\n[queue]");
        if let Some(users) = users {
            fs::write(house.file("users"), users).unwrap();
        }
        for output in [house.run(&["check"]), run(&house.config())] {
            says(&output, &[words]);
            said_once(&output, words);
            assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
        }
    }
}

#[test]
fn an_empty_users_file_is_a_warning() {
    let house = house("[queue]", "[auth]\nusers = \"users\"\n[queue]");
    fs::write(house.file("users"), "# nobody yet\n").unwrap();
    let checked = house.run(&["check"]);
    assert!(checked.status.success() && String::from_utf8_lossy(&checked.stdout).contains("the users file is empty"), "{checked:?}");
}

#[test]
fn a_proxy_that_anybody_is_is_a_warning() {
    for (network, warned) in [("0.0.0.0/0", true), ("::/0", true), ("192.0.2.0/24", false)] {
        let house = house("[tls]\n", &format!("proxy = [\"{network}\"]\n[tls]\n"));
        let checked = house.run(&["check"]);
        let text = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && text.contains("everybody is a proxy") == warned, "{text}");
    }
}

/// Anchors for clients are read whether anybody is asked or not.
#[test]
fn wrong_client_anchors() {
    refused("[tls]\n", "[tls]\nclient_anchors = \"none.pem\"\n", &["cannot read [tls] client_anchors", "none.pem"]);
    refused(
        "[tls]\n",
        "[tls]\nclient_anchors = \"key.pem\"\n",
        &["[tls] client_anchors", "key.pem", "a PEM file of certificates is meant"],
    );
    let checked = house("[tls]\n", "[tls]\nclient_anchors = \"ca.pem\"\n").run(&["check"]);
    assert!(checked.status.success() && String::from_utf8_lossy(&checked.stdout).contains("nobody is asked"), "{checked:?}");
}

#[test]
fn a_typo_in_a_word() {
    refused("tls = \"starttls\"", "tls = \"startls\"", &["sealpost.toml:6:7", "startls", "\"starttls\""]);
}

#[test]
fn a_syntax_error() {
    refused("[[listener]]", "[[listener]", &["sealpost.toml:4:"]);
}

#[test]
fn a_wrong_type() {
    refused("data_dir = \"data\"", "data_dir = 7", &["sealpost.toml:2:12", "7", "string"]);
}

#[test]
fn a_wrong_address() {
    refused("address = \"127.0.0.1:", "address = \"127.0.0.1.9:", &["sealpost.toml:5:11", "0.0.0.0:25"]);
}

#[test]
fn an_unknown_key() {
    refused("[tls]\n", "[tls]\nverify_everything = true\n", &["sealpost.toml:8:1", "verify_everything", "trust_anchors"]);
}

#[test]
fn an_unknown_table() {
    refused("[queue]\n", "[kew]\n", &["sealpost.toml:", "kew", "queue"]);
}

#[test]
fn a_missing_certificate() {
    let house = house("\"cert.pem\"", "\"gone.pem\"");
    for output in [house.run(&["check"]), run(&house.config())] {
        says(&output, &["gone.pem", "certificate", "No such file"]);
    }
}

/// Missing, or no file at all: the cause is said, and said once.
#[test]
fn the_cause_stands_behind_the_place() {
    for (from, to, place, cause) in [
        ("certificate = \"cert.pem\"", "certificate = \"gone.pem\"", "[tls] certificate", "No such file or directory"),
        ("certificate = \"cert.pem\"", "certificate = \".\"", "[tls] certificate", "Is a directory"),
        ("private_key = \"key.pem\"", "private_key = \"gone.pem\"", "private_key", "No such file or directory"),
        ("trust_anchors = \"ca.pem\"", "trust_anchors = \"gone.pem\"", "[tls] trust_anchors", "No such file or directory"),
        ("trust_anchors = \"ca.pem\"", "trust_anchors = \"key.pem\"", "[tls] trust_anchors", "no certificate found"),
        ("policy = \"policy.toml\"", "policy = \".\"", "the policy", "Is a directory"),
    ] {
        let house = house(from, to);
        for output in [house.run(&["check"]), run(&house.config())] {
            says(&output, &[place]);
            said_once(&output, cause);
        }
        assert!(!house.file("data/queue").exists(), "a queue was made before {place} was looked at");
    }
    let broken = house("trust_anchors = \"ca.pem\"", "trust_anchors = \"broken.pem\"");
    fs::write(broken.file("broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    says(&run(&broken.config()), &["[tls] trust_anchors", "broken.pem", "certificate 1 cannot be a trust anchor"]);
    for (from, to, place, cause) in [
        ("\"data\"", "\"cert.pem\"", "data_dir", "File exists"),
        ("\"data\"", "\"cert.pem/data\"", "data_dir", "Not a directory"),
        ("address = \"127.0.0.1:", "address = \"192.0.2.1:", "192.0.2.1:", "no address of this host"),
        ("address = \"127.0.0.1:", "address = \"[fe80::1]:", "[fe80::1]:", "needs the number of its interface"),
    ] {
        let output = run(&house(from, to).config());
        says(&output, &[place]);
        said_once(&output, cause);
    }
}

#[test]
fn all_mistakes_of_a_policy_are_told_at_once() {
    let house = House::new().policy("[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\ndeliver = \"requrie\"\nreceiv = \"none\"\n");
    house.write();
    says(&run(&house.config()), &["policy.toml:4:11", "requrie", "policy.toml:5:1", "receiv"]);
}

#[test]
fn a_chain_without_a_certificate() {
    let house = house("\"cert.pem\"", "\"empty.pem\"");
    fs::write(house.file("empty.pem"), "nothing\n").unwrap();
    for output in [house.run(&["check"]), run(&house.config())] {
        says(&output, &["empty.pem"]);
    }
}

#[test]
fn a_key_of_another_certificate() {
    let house = house("\"key.pem\"", "\"other.pem\"");
    fs::write(house.file("other.pem"), house.authority.issue(&["relay.test"]).key).unwrap();
    for output in [house.run(&["check"]), run(&house.config())] {
        says(&output, &["other.pem"]);
    }
}

#[test]
fn a_missing_file() {
    says(&run(Path::new("/nonexistent/sealpost.toml")), &["/nonexistent/sealpost.toml"]);
}

#[test]
fn a_missing_policy() {
    let house = house("\"policy.toml\"", "\"gone.toml\"");
    for output in [house.run(&["check"]), run(&house.config())] {
        says(&output, &["gone.toml", "policy", "No such file"]);
    }
}

#[test]
fn a_wrong_level_in_the_policy() {
    let house = House::new().policy("[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\ndeliver = \"requrie\"\n");
    house.write();
    for output in [house.run(&["check"]), run(&house.config())] {
        says(&output, &["policy.toml:4:", "requrie", "require"]);
    }
}

#[test]
fn an_unknown_key_in_the_policy() {
    let house = House::new().policy("[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\ndeliverr = \"require\"\n");
    house.write();
    for output in [house.run(&["check"]), run(&house.config())] {
        says(&output, &["policy.toml:4:", "deliverr", "deliver"]);
    }
}

#[test]
fn a_port_in_use() {
    let house = House::new();
    house.write();
    let taken = TcpListener::bind(house.address).unwrap();
    says(&run(&house.config()), &[&house.address.to_string(), "in use"]);
    drop(taken);
}

/// A file where the folder should be: not even root may write below it.
#[test]
fn a_data_dir_that_cannot_be_made() {
    let house = house("\"data\"", "\"cert.pem/data\"");
    says(&run(&house.config()), &["cert.pem/data"]);
    says(&house.run(&["check"]), &["cert.pem/data", "is no directory"]);
}

/// `/proc` takes no files from anybody.
#[test]
fn a_data_dir_that_cannot_be_written() {
    let house = house("\"data\"", "\"/proc/sealpost\"");
    says(&run(&house.config()), &["/proc/sealpost"]);
}

#[test]
fn a_second_process_on_one_data_dir() {
    let first = House::new();
    let relay = first.start();
    let second = House::new();
    second.write();
    let data = first.file("data").display().to_string();
    fs::write(second.config(), second.config_text().replacen("\"data\"", &format!("{data:?}"), 1)).unwrap();
    says(&run(&second.config()), &[&data]);
    // the first one is not disturbed, and after its end the second one may have the folder
    crate::client::Client::connect(relay.address).unwrap().quit();
    relay.kill();
    drop(second.start_again());
}

#[test]
fn a_command_that_does_not_exist() {
    says(&finish(sealpost().arg("rum"), LIMIT), &["rum", "run"]);
}
