//! Requests to a relay that is managed, as octets on its socket.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sealpost_admin::{AdminServer, Client};
use sealpost_cert::TrustAnchors;
use sealpost_discovery::StaticResolver;
use sealpost_queue::MemorySpool;
use sealpost_relay::config::{Admin, Config};
use sealpost_relay::policy_file::PolicyFile;
use sealpost_relay::{Relay, RelayHandle};
use sealpost_transport::{RustlsBackend, RustlsSettings};
use sealpost_types::Domain;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::choice::Choices;

/// Whatever is asked, in whatever pieces: each answer is one, none says that the relay is at a loss, the token stays secret, and
/// who does not have it changes nothing.
pub fn requests(input: &[u8]) {
    let mut choices = Choices::new(input);
    let (door, cut) = (choices.octet(), usize::from(choices.octet()).max(1));
    let octets = choices.rest();
    let managed = &*MANAGED;
    managed.runtime.block_on(async {
        let before = std::fs::read(managed.folder.path().join("policy.toml")).expect("the policy");
        let by_network = door % 4 == 0;
        let answer = if by_network {
            ask(TcpStream::connect(managed.address).await.expect("a server"), octets, cut).await
        } else {
            ask(UnixStream::connect(managed.folder.path().join("admin.sock")).await.expect("a server"), octets, cut).await
        };
        check_answer(&answer);
        let after = std::fs::read(managed.folder.path().join("policy.toml")).expect("the policy");
        assert!(!by_network || before == after, "the policy was changed without the token");
        // It goes on answering.
        let status = timeout(PATIENCE, Client::new(managed.folder.path().join("admin.sock")).status()).await;
        status.expect("an answer in time").expect("an answer");
    });
}

async fn ask(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, octets: &[u8], cut: usize) -> Vec<u8> {
    let mut answer = Vec::new();
    let talk = async {
        for piece in octets.chunks(cut.max(octets.len() / 16 + 1)) {
            if stream.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    // Some requests are answered without end: those who follow events.
    let _ = timeout(FOLLOWED, talk).await;
    answer
}

fn check_answer(answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    assert!(!text.contains(TOKEN), "the token is told: {text}");
    if answer.is_empty() {
        return;
    }
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse::<u16>().ok());
    let status = status.unwrap_or_else(|| panic!("no answer: {text}"));
    // 503: there is no history; 501 none.
    assert!((200..500).contains(&status) || status == 503, "{text}");
}

struct Managed {
    runtime: Runtime,
    folder: TempDir,
    address: std::net::SocketAddr,
    _relay: RelayHandle,
    _server: AdminServer,
}

static MANAGED: LazyLock<Managed> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    std::fs::write(path("policy.toml"), "[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\nreceive = \"require\"\n")
        .expect("a file");
    std::fs::write(path("token"), TOKEN).expect("a file");
    let (relay, server) = runtime.block_on(async {
        let config = Config::new(Domain::parse("relay.example").expect("a domain"), path("data"));
        let tls = RustlsBackend::new(RustlsSettings::new(Arc::new(TrustAnchors::default()))).expect("a backend");
        let (file, policy) = PolicyFile::open(&path("policy.toml")).expect("a policy");
        let builder = Relay::builder(config, MemorySpool::new(), StaticResolver::new(), tls).policy_file(file, policy);
        let relay = builder.start().await.expect("a relay");
        let mut admin = Admin::default();
        admin.socket = Some(path("admin.sock"));
        admin.address = Some(([127, 0, 0, 1], 0).into());
        admin.token = Some(path("token"));
        let server = AdminServer::start(&admin, relay.control().clone()).await.expect("a server");
        (relay, server)
    });
    let address = server.address().expect("an address");
    Managed { runtime, folder, address, _relay: relay, _server: server }
});

const TOKEN: &str = "0123456789abcdef0123456789abcdef-secret";

/// How long an answer without end is listened to.
const FOLLOWED: Duration = Duration::from_millis(200);

const PATIENCE: Duration = Duration::from_secs(20);
