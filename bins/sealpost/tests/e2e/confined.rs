//! Landlock: the relay keeps to the folders that its files name. All tests of this suite run so; these show that it holds.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::Client;
use crate::relay::{House, Relay};

const LIMIT: Duration = Duration::from_secs(30);

/// A relay with this setting, and trust anchors that lie where none of its files lie.
fn house(landlock: &str) -> (House, tempfile::TempDir, PathBuf) {
    let elsewhere = tempfile::tempdir().unwrap();
    let anchors = elsewhere.path().join("ca.pem");
    let house = House::new().also(&format!("[process]\nlandlock = \"{landlock}\"\n"));
    fs::copy(house.file("ca.pem"), &anchors).unwrap();
    (house, elsewhere, anchors)
}

fn naming(anchors: &std::path::Path) -> String {
    format!("[[partner]]\ndomains = \"bank.example\"\ndeliver = {{ level = \"verify\", anchors = [\"{}\"] }}\n", anchors.display())
}

/// Has the relay read a policy that names a file elsewhere; what the command says, and its exit code.
fn reload(house: &House, anchors: &std::path::Path) -> (Option<i32>, String) {
    fs::write(house.file("policy.toml"), naming(anchors)).unwrap();
    let output = house.run(&["reload"]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn serves(relay: &Relay, house: &House) {
    Client::secure(relay.address, &house.authority.client()).unwrap().quit();
}

#[test]
fn a_file_elsewhere_cannot_be_read_and_the_error_says_what_to_do() {
    for setting in ["on", "best-effort"] {
        let (house, _elsewhere, anchors) = house(setting);
        house.write();
        assert!(house.says(&["check"], 0).contains("the process  confined by Landlock"));
        let relay = house.start_again();
        let log = relay.log();
        let folder = house.config().parent().unwrap().display().to_string();
        assert!(log.contains("confined by Landlock; reads in ") && log.contains(&format!("{folder}/data")), "{log}");
        let (code, said) = reload(&house, &anchors);
        let words = ["ca.pem", "Permission denied", "confined to the folders that its files named when it started", "restart it"];
        assert!(code == Some(1) && words.iter().all(|word| said.contains(word)), "{said}");
        relay.hang_up();
        serves(&relay, &house);
        drop(relay);
        // A start reads what the files name then.
        let relay = house.start_again();
        assert_eq!(reload(&house, &anchors).0, Some(0), "{}", relay.log());
    }
}

/// The negative control.
#[test]
fn without_it_a_file_elsewhere_is_read() {
    let (house, _elsewhere, anchors) = house("off");
    house.write();
    assert!(house.says(&["check"], 0).contains("the process  not confined ([process] landlock)"));
    let relay = house.start_again();
    assert!(relay.log().contains("not confined ([process] landlock)"));
    let (code, said) = reload(&house, &anchors);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_is_beside_its_files_is_read_when_it_is_new() {
    let (house, ..) = house("on");
    let relay = house.start();
    fs::copy(house.file("ca.pem"), house.file("new-ca.pem")).unwrap();
    assert_eq!(reload(&house, &house.file("new-ca.pem")).0, Some(0), "{}", relay.log());
    // Certificates are exchanged by renaming.
    house.authority.issue(&["relay.test", "localhost", "127.0.0.1"]).write(&house.file("data"));
    fs::rename(house.file("data/key.pem"), house.file("key.pem")).unwrap();
    fs::rename(house.file("data/cert.pem"), house.file("cert.pem")).unwrap();
    relay.hang_up();
    let end = std::time::Instant::now() + LIMIT;
    while !relay.log().contains("certificate") {
        assert!(std::time::Instant::now() < end, "{}", relay.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    serves(&relay, &house);
    let wrong = house.says(&["check"], 0);
    fs::write(house.config(), house.config_text().replace("landlock = \"on\"", "landlock = \"perhaps\"")).unwrap();
    assert!(wrong.contains("confined by Landlock") && house.says(&["check"], 1).contains("best-effort"));
}
