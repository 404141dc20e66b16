//! An idle TLS connection takes at most 24 KiB of the server's memory.
//!
//! The clients are a process of their own: this program again, told by an argument where to connect.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use sealpost_cert::TrustAnchors;
use sealpost_smtp::{ClientConfig, Credentials, HelloName, MailCommand, RcptCommand, Reply, ServerConfig, Transaction};
use sealpost_transport::{
    ConnectOptions, ConnectionHandler, ConnectionLimits, Connector, ConnectorSettings, Gate, ListenOptions, ListenerTls, MemoryBody,
    RustlsBackend, RustlsSettings, Server, ServerIdentity, ServerSettings, SessionHandler, listen,
};
use sealpost_types::{Domain, HostDemand, Mailbox, Octets, Recipient, TlsRequirement, TlsVersion, WireKey};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == CLIENTS) {
        Some(at) => {
            runtime.block_on(hold(arguments[at + 1].parse().unwrap()));
            ExitCode::SUCCESS
        }
        // What `cargo test` filters and lists is not ours; a filter that is not our name skips us.
        None if arguments.iter().skip(1).any(|argument| !argument.starts_with('-') && !"idle_memory".contains(argument.as_str())) => {
            ExitCode::SUCCESS
        }
        None if arguments.iter().any(|argument| argument == "--list") => ExitCode::SUCCESS,
        None => runtime.block_on(measure()),
    }
}

async fn measure() -> ExitCode {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["mx.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let identity = ServerIdentity::from_pem((Path::new("c"), certificate.as_bytes()), (Path::new("k"), key.serialize_pem().as_bytes()));
    let mut tls = RustlsSettings::new(Arc::new(TrustAnchors::default()));
    tls.identities = vec![identity.unwrap()];
    let mut settings = ServerSettings::new(Arc::new(ServerConfig::new(Domain::parse("mx.example").unwrap())), ListenerTls::StartTls);
    let mut limits = ConnectionLimits::default();
    limits.per_address = 10_000;
    settings.gate = Gate::new(limits);
    let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
    let server = Server::start(listener, settings, Arc::new(RustlsBackend::new(tls).unwrap()), Arc::new(Sink)).unwrap();

    // The first ones fill the allocator's and the runtime's own stores.
    let warm = Clients::start(server.local_addr());
    let before = resident();
    let many: Vec<Clients> = (0..ROUNDS).map(|_| Clients::start(server.local_addr())).collect();
    let connections = server.connections() - PER_PROCESS;
    let each = resident().saturating_sub(before) / connections;
    drop((warm, many));
    let verdict = if each <= LIMIT { "ok" } else { "FAILED" };
    let mut out = std::io::stdout();
    writeln!(out, "test idle_memory ... {verdict}: {each} octets for each of {connections} idle TLS connections, {LIMIT} allowed").unwrap();
    let failed = usize::from(each > LIMIT);
    writeln!(out, "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out", 1 - failed).unwrap();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Octets of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A process that holds connections open, each of which has delivered a message.
struct Clients(std::process::Child);

impl Clients {
    fn start(address: SocketAddr) -> Self {
        let program = std::env::current_exe().unwrap();
        let child = Command::new(program).args([CLIENTS, &address.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

async fn hold(address: SocketAddr) {
    let backend = Arc::new(RustlsBackend::new(RustlsSettings::new(Arc::new(TrustAnchors::default()))).unwrap());
    let config = ClientConfig::new(HelloName::new("client.example").unwrap());
    let connector = Connector::new(backend, ConnectorSettings::new(Arc::new(config)));
    let key = WireKey::new(address, None, HostDemand::new(TlsRequirement::Mandatory, vec![], TlsVersion::Tls1_2));
    let mut held = Vec::new();
    for _ in 0..PER_PROCESS {
        let mut connection = connector.connect(&key, &ConnectOptions::default()).await.unwrap();
        let from = Mailbox::parse("ann@sender.example").unwrap();
        let body = b"one line of text, as long as it takes to fill several records\r\n".repeat(1000);
        let length = Octets(u64::try_from(body.len()).unwrap());
        let transaction = Transaction::new(from.clone().into(), vec![Recipient::new(from.into())], length);
        connection.deliver(transaction, &mut MemoryBody::new(&body)).await.unwrap();
        held.push(connection);
    }
    // The server's tasks are done with the last reply when this time is over.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut out = std::io::stdout();
    writeln!(out, "ready").unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await.unwrap().unwrap();
}

struct Sink;

impl ConnectionHandler for Sink {
    type Session = Self;

    async fn opened(&self, _client: SocketAddr) -> Result<Self, Reply> {
        Ok(Self)
    }
}

impl SessionHandler for Sink {
    type Sink = ();

    async fn mail(&mut self, _: &MailCommand) -> Result<(), Reply> {
        Ok(())
    }

    async fn rcpt(&mut self, _: &RcptCommand) -> Result<(), Reply> {
        Ok(())
    }

    async fn body_start(&mut self) -> Result<(), Reply> {
        Ok(())
    }

    async fn body_chunk(&mut self, (): &mut (), _octets: &[u8]) -> Result<(), Reply> {
        Ok(())
    }

    async fn body_end(&mut self, (): ()) -> Reply {
        Reply::fixed::<250, 0, 0>("thrown away")
    }

    async fn auth(&mut self, _: Credentials) -> Result<(), Reply> {
        Err(Reply::fixed::<535, 7, 8>("nobody is known here"))
    }
}

/// The argument that makes this program a client.
const CLIENTS: &str = "--clients-of";

/// Connections of one client process.
const PER_PROCESS: usize = 100;

/// Client processes that are measured.
const ROUNDS: usize = 4;

/// Octets that an idle TLS connection may take.
const LIMIT: usize = 16 * 1024;
