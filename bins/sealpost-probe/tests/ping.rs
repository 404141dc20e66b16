//! `sealpost-probe ping` as a user runs it, against servers that behave and servers that do not. (A7)

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn ping(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sealpost-probe")).arg("ping").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that runs `serve` on each connection, until the test ends.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
}

/// Answers each line with what `reply` says; nothing ends the dialogue and hands the connection back.
fn talk(mut stream: TcpStream, greeting: &str, reply: impl Fn(&str) -> Option<String>) -> TcpStream {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    write!(stream, "{greeting}\r\n").unwrap();
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap_or(0) > 0 {
        let Some(reply) = reply(line.trim_end()) else { break };
        if write!(stream, "{reply}\r\n").is_err() {
            break;
        }
        line.clear();
    }
    stream
}

/// A server that does it all: STARTTLS, the handshake, EHLO again.
fn tls_server() -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["mx.bank.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    let config = Arc::new(config);
    server(move |stream| {
        let stream = talk(stream, "220 mx.bank.example", |line| match line {
            "STARTTLS" => None,
            line if line.starts_with("EHLO") => Some("250-mx.bank.example\r\n250 STARTTLS".to_owned()),
            _ => Some("500 what?".to_owned()),
        });
        let mut stream = stream;
        if stream.write_all(b"220 go\r\n").is_err() {
            return;
        }
        let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = BufReader::new(StreamOwned::new(tls, stream));
        let mut line = String::new();
        while tls.read_line(&mut line).unwrap_or(0) > 0 {
            let reply = if line.starts_with("EHLO") { "250 mx.bank.example" } else { "221 bye" };
            if write!(tls.get_mut(), "{reply}\r\n").is_err() {
                break;
            }
            line.clear();
        }
    })
}

// req: A7
#[test]
fn a_server_with_starttls_passes_and_each_stage_is_shown() {
    let address = tls_server().to_string();
    let output = ping(&[&address]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for stage in ["resolve", "connect", "banner", "ehlo", "starttls", "handshake", "ehlo again", "TLSv1.3", "X25519MLKEM768", "self-signed"]
    {
        assert!(said.contains(stage), "{stage}: {said}");
    }
}

#[test]
fn json_has_the_same_facts() {
    let output = ping(&[&tls_server().to_string(), "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["result"], "passes");
    assert_eq!(answer["tls"]["version"], "TLSv1.3");
    assert_eq!(answer["certificate"]["trusted"], false);
    assert!(answer["stages_ms"]["handshake"].as_f64().unwrap() > 0.0);
}

// req: A7
#[test]
fn a_server_without_starttls_fails() {
    let address = server(|stream| {
        talk(stream, "220 plain.example", |line| Some(if line.starts_with("EHLO") { "250 plain.example" } else { "502 no" }.to_owned()));
    });
    let output = ping(&[&address.to_string()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("does not offer STARTTLS"), "{}", said(&output));
}

#[test]
fn a_refused_starttls_and_a_refused_connection_fail() {
    let refuses = server(|stream| {
        talk(stream, "220 x", |line| {
            Some(if line.starts_with("EHLO") { "250-x\r\n250 STARTTLS" } else { "454 4.7.0 no TLS now" }.to_owned())
        });
    });
    let output = ping(&[&refuses.to_string()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("454 4.7.0 no TLS now"), "{}", said(&output));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(ping(&[&closed.to_string()]).status.code(), Some(1));
}

/// The reply 421 says "not now", and nothing of TLS: other testers report it as "no STARTTLS".
#[test]
fn what_could_not_be_tested_is_neither_a_pass_nor_a_failure() {
    let busy = server(|stream| {
        talk(stream, "421 4.7.0 too many connections", |_| None);
    });
    let output = ping(&[&busy.to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(!said(&output).contains("does not offer"), "{}", said(&output));
    let silent = server(|stream| {
        let _ = BufReader::new(stream).read_line(&mut String::new());
    });
    let output = ping(&[&silent.to_string(), "--timeout", "1s"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("at banner: no answer within"), "where it fell silent: {}", said(&output));
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [&["host:0"][..], &["a b"], &["mx:example.org"], &["x", "--timeout", "soon"], &["x", "--timeout", "0s"], &[]] {
        let output = ping(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", said(&output));
    }
}
