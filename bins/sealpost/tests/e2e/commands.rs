//! The commands that a new user tries first.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;

use crate::relay::{House, finish, free_address, sealpost};

const LIMIT: Duration = Duration::from_secs(60);

/// `sealpost ciphers ... | head` ended with a panic.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let house = House::new();
    house.write();
    let (config, certificate) = (house.config().display().to_string(), house.file("cert.pem").display().to_string());
    let explain = ["explain", "--config", &config, "--from", "a@x.example", "--to", "b@y.example"];
    for arguments in [
        &["ciphers", "HIGH"][..],
        &["ciphers", "HIGH", "--json"],
        &["check", "--config", &config],
        &["cert", "show", &certificate],
        &explain,
    ] {
        let mut child = sealpost().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}

// req: F6 F7
#[test]
fn quickstart_shows_both_hops() {
    let start = Instant::now();
    let output = finish(sealpost().arg("quickstart").env_clear(), LIMIT);
    let took = start.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for words in ["TLSv1.3", "TLS_AES_", "X25519MLKEM768", "require", "verify", "why", "[defaults.external]"] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    assert!(text.matches("TLSv1.3").count() >= 2, "both hops are shown:\n{text}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

// req: A10
#[test]
fn cert_show_has_every_field() {
    let house = House::new();
    let output = finish(sealpost().args(["cert", "show"]).arg(house.file("cert.pem")), LIMIT);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // the signature algorithm by the name that OpenSSL gives it
    for words in ["relay.test", "localhost", "127.0.0.1", "DE", "Bavaria", "Munich", "ecdsa-with-SHA256", "Test Authority"] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    let serial = text.lines().find(|line| line.to_ascii_lowercase().contains("serial")).unwrap_or_default();
    assert!(serial.matches(':').count() > 4, "colon-separated hex is meant: {serial:?}");
}

// req: A10
#[test]
fn cert_show_asks_a_server() {
    let house = House::new();
    let relay = house.start();
    let output = finish(sealpost().args(["cert", "show", &relay.address.to_string()]), LIMIT);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("relay.test") && text.contains("Test Authority"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// The name that the server was asked for counts, and so does how TLS begins there.
// req: A10
#[test]
fn cert_show_checks_a_server_by_its_name() {
    let other = free_address();
    let house = House::new().also(&format!("[[listener]]\naddress = \"{other}\"\ntls = \"implicit\"\n"));
    let show = |house: &House, arguments: &[&str]| {
        let output = finish(sealpost().env("SSL_CERT_FILE", house.file("ca.pem")).args(["cert", "show"]).args(arguments), LIMIT);
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let relay = house.start();
    let text = show(&house, &[&format!("localhost:{}", other.port()), "--implicit"]);
    assert!(text.contains("Check:                passes") && text.contains("TLSv1.3"), "{text}");
    let text = show(&house, &[&other.to_string(), "--implicit", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json.pointer("/server/address").and_then(|address| address.as_str()), Some(other.to_string().as_str()), "{text}");
    assert_eq!(json.pointer("/server/tls/version").and_then(|version| version.as_str()), Some("TLSv1.3"), "{text}");
    let text = show(&house, &[&relay.address.to_string(), "--implicit"]);
    assert!(text.contains("at handshake") && text.contains("needs no --implicit"), "{text}");
    relay.kill();
    // The negative control: trusted, but of another name.
    house.authority.issue(&["other.test"]).write(house.file("cert.pem").parent().unwrap());
    let relay = house.start();
    let text = show(&house, &[&format!("localhost:{}", relay.address.port())]);
    assert!(text.contains("other.test") && text.contains("localhost") && !text.contains("passes"), "{text}");
}

#[test]
fn cert_show_reads_files_of_every_kind() {
    let house = House::new();
    let show = |name: &str| finish(sealpost().args(["cert", "show"]).arg(house.file(name)), LIMIT);
    let shown = |name: &str| String::from_utf8(show(name).stdout).unwrap();
    let pem = fs::read_to_string(house.file("cert.pem")).unwrap();
    let der = rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).next().unwrap().unwrap();
    fs::write(house.file("leaf.der"), &der).unwrap();
    fs::write(house.file("three.pem"), format!("leaf\n{pem}\n{}{pem}", house.authority.pem)).unwrap();
    assert!(shown("leaf.der").contains("relay.test"));
    let three = shown("three.pem");
    assert!(["Certificate 1 of 3", "Certificate 3 of 3", "Test Authority"].iter().all(|words| three.contains(words)), "{three}");
    fs::write(house.file("empty"), "").unwrap();
    fs::write(house.file("garbage"), [0xffu8, 0, 7].repeat(100)).unwrap();
    fs::write(house.file("cut.der"), &der[..100]).unwrap();
    fs::write(house.file("cut.pem"), &pem[..200]).unwrap();
    for (name, words) in [
        ("empty", "no certificate found"),
        ("garbage", "no certificate found"),
        ("cut.der", "its DER encoding is broken"),
        ("cut.pem", "has no -----END CERTIFICATE----- line"),
        ("gone.pem", "No such file"),
        (".", "Is a directory"),
    ] {
        let output = show(name);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(words) && said.lines().count() == 1, "{name}: {said}");
    }
}

// req: A6
#[test]
fn ciphers_shows_what_is_left_and_why_the_rest_is_not() {
    let said = |arguments: &[&str]| {
        let output = finish(sealpost().arg("ciphers").args(arguments), LIMIT);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let sophos = "TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL";
    let (code, text, _) = said(&[sophos]);
    assert_eq!(code, Some(0));
    for line in [
        "TLS 1.3, of which the string does not speak",
        "  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384          ECDHE-RSA-AES256-GCM-SHA384",
        "  static RSA has no forward secrecy: who gets the key later reads what was recorded; rustls does not have it:",
        "    AES256-GCM-SHA384 AES128-GCM-SHA256 AES256-SHA256 AES128-SHA256 AES256-SHA AES128-SHA",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let (_, text, _) = said(&[sophos, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["tls12"][0]["openssl"], "ECDHE-ECDSA-AES256-GCM-SHA384", "{text}");
    let lacking = json["not_used"].as_array().unwrap();
    assert!(lacking.iter().any(|suite| suite["iana"] == "TLS_RSA_WITH_AES_128_CBC_SHA" && suite["reason"] == "static-rsa"), "{text}");
    for (string, words) in [("kRSA", "static RSA has no forward secrecy"), ("HIGH:!aNUL", "column 6: \"aNUL\"")] {
        let (code, text, error) = said(&[string]);
        assert!(code == Some(1) && text.is_empty() && error.contains(words) && error.lines().count() == 1, "{string}: {error}");
    }
}

/// Before the first mail, and before the first start.
#[test]
fn a_history_that_is_not_there_yet() {
    let house = House::new();
    house.write();
    let output = house.run(&["history", "--json"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no history in") && said.contains("data/history"), "{said}");
    drop(house.start());
    let output = house.run(&["history", "--json"]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

// req: F1
#[test]
fn explain_names_the_entry_that_decided() {
    let house =
        House::new().policy("[[partner]]\nname = \"Bank\"\ndomains = [\"bank.example\"]\nreceive = \"require\"\ndeliver = \"require\"\n");
    house.write();
    let output = house.run(&["explain", "--from", "alice@sender.example", "--to", "teller@bank.example"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("require") && text.contains("policy.toml:"), "{text}");
    // The negative control: nobody's entry decides for somebody else.
    let output = house.run(&["explain", "--from", "alice@sender.example", "--to", "bob@other.example"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("opportunistic") && !text.contains("require"), "{text}");
}

/// A page for every command that `--help` names, and a script that bash takes.
#[test]
fn manual_pages_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("man1");
    let said = finish(sealpost().args(["man", directory.to_str().unwrap()]), LIMIT);
    assert!(said.status.success(), "{said:?}");
    let help = finish(sealpost().args(["--help"]), LIMIT);
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() > 10 && commands.contains(&"man"), "{help}");
    for command in commands {
        let page = fs::read_to_string(directory.join(format!("sealpost-{command}.1"))).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{page}");
    }
    let page = fs::read_to_string(directory.join("sealpost-check.1")).unwrap();
    assert!(page.contains(".SH EXAMPLES\n.nf\n") && page.contains(".SH \"EXIT STATUS\""), "{page}");

    let script = finish(sealpost().args(["completions", "bash"]), LIMIT);
    let file = folder.path().join("script");
    fs::write(&file, &script.stdout).unwrap();
    let complete = format!(
        ". {}; COMP_WORDS=(sealpost quicks); COMP_CWORD=1; _sealpost sealpost quicks sealpost; echo ${{COMPREPLY[@]}}",
        file.display()
    );
    let completed = Command::new("bash").args(["-c", &complete]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "quickstart", "{completed:?}");
    let failed = finish(sealpost().args(["man", file.to_str().unwrap()]), LIMIT);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains(file.to_str().unwrap()), "{failed:?}");
}
