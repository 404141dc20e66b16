//! `sealpost quickstart`: one message through both hops of a throw-away relay on loopback, and the story of it.

mod sink;
mod story;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost_cert::TrustAnchors;
use sealpost_discovery::StaticResolver;
use sealpost_policy::Policy;
use sealpost_queue::{EmbeddedSpool, Settings};
use sealpost_relay::config::{Config, Listener, ListenerTls};
use sealpost_relay::{Relay, RelayHandle};
use sealpost_report::{Event, EventKind, History};
use sealpost_smtp::{ClientConfig, HelloName, Transaction};
use sealpost_transport::{
    ConnectOptions, Connector, ConnectorSettings, MemoryBody, RecipientOutcome, RustlsBackend, RustlsSettings, Server, ServerIdentity,
};
use sealpost_types::{
    Domain, HostClause, HostDemand, Mailbox, NextHop, Octets, Recipient, ReferenceName, TlsRequirement, TlsVersion, WireKey,
};
use tokio::sync::broadcast;
use tokio::time::timeout;

use self::sink::Sink;
use self::story::Story;
use super::{Failure, in_words, runtime};
use crate::cli;
use crate::identity::ThrowAwayAuthority;

pub(crate) fn quickstart(options: &cli::Quickstart) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    runtime()?.block_on(async {
        let scene = Scene::set(folder.path()).await?;
        let mut events = scene.relay.events();
        let reply = timeout(PATIENCE, scene.send()).await.map_err(|_| "the relay did not take the message in time".to_owned())??;
        let story = Story {
            relay: scene.relay.addresses().first().copied(),
            sink: scene.sink.local_addr(),
            folder: folder.path(),
            reply,
            received: next(&mut events, EventKind::Received).await?,
            delivered: next(&mut events, EventKind::Delivered).await?,
        };
        story.tell(start.elapsed());
        if options.keep {
            story.invite();
            super::run::stop_signal()?.await;
        }
        scene.relay.shutdown(GRACE).await;
        scene.sink.shutdown(GRACE).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// A relay, the server behind it, and whoever sends through it.
struct Scene {
    relay: RelayHandle,
    sink: Server,
    anchors: Arc<TrustAnchors>,
}

impl Scene {
    async fn set(folder: &Path) -> Result<Self, Failure> {
        let authority = ThrowAwayAuthority::new().map_err(|error| format!("cannot make a throw-away authority: {error}"))?;
        let anchors = Arc::new(TrustAnchors::from_pem(authority.pem().as_bytes()).map_err(in_words)?);
        let backend = |name: &str| -> Result<RustlsBackend, Failure> {
            let identity = authority.issue(name, folder)?;
            let mut settings = RustlsSettings::new(Arc::clone(&anchors));
            settings.identities = vec![ServerIdentity::from_pem_files(&identity.certificate, &identity.private_key).map_err(in_words)?];
            RustlsBackend::new(settings).map_err(in_words)
        };
        let sink = Sink::start(&domain(SINK)?, Arc::new(backend(SINK)?))?;

        let mut config = Config::new(domain(RELAY)?, folder.join("data"));
        config.listeners = vec![Listener::new(LOOPBACK.into(), ListenerTls::StartTls)];
        config.rights.trusted_networks = vec!["127.0.0.0/8".parse().map_err(|error| format!("{error}"))?];
        let to_sink = NextHop::Host { name: domain(SINK)?, port: sink.local_addr().port() };
        config.routes.insert("bank.example", to_sink).map_err(in_words)?;
        let resolver = StaticResolver::new();
        resolver.set_addresses(&domain(SINK)?, vec![LOOPBACK.0.into()]);
        let queue = EmbeddedSpool::open(&config.data_dir.join("queue"), Settings::default()).map_err(in_words)?;
        let history = History::open(&sealpost_relay::history_directory(&config)).map_err(in_words)?;
        let policy = Policy::parse("policy.toml", POLICY).map_err(in_words)?;
        let relay = Relay::builder(config, queue, resolver, backend(RELAY)?).policy(policy).history(history);
        let relay = relay.start().await.map_err(in_words)?;
        Ok(Self { relay, sink, anchors })
    }

    /// Hands one message to the relay as a client that verifies it; what the relay said.
    async fn send(&self) -> Result<String, Failure> {
        let hello = HelloName::new(CLIENT).ok_or("the client has no name")?;
        let settings = ConnectorSettings::new(Arc::new(ClientConfig::new(hello)));
        let backend = RustlsBackend::new(RustlsSettings::new(Arc::clone(&self.anchors))).map_err(in_words)?;
        let connector = Connector::new(Arc::new(backend), settings);
        let clauses = vec![HostClause::Chain, HostClause::Identity(vec![ReferenceName::Exact(domain(RELAY)?)])];
        let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2);
        let address = *self.relay.addresses().first().ok_or("the relay does not listen")?;
        let key = WireKey::new(address, Some(domain(RELAY)?), demand);
        let mut connection = connector.connect(&key, &ConnectOptions::default()).await.map_err(in_words)?;
        let mailbox = |text: &str| Mailbox::parse(text).map_err(in_words);
        let length = Octets(u64::try_from(MESSAGE.len()).unwrap_or(u64::MAX));
        let transaction = Transaction::new(mailbox(FROM)?.into(), vec![Recipient::new(mailbox(TO)?.into())], length);
        let outcome = connection.deliver(transaction, &mut MemoryBody::new(MESSAGE.as_bytes())).await.map_err(in_words)?;
        let reply = match outcome.recipient(0) {
            Some(RecipientOutcome::Delivered(reply)) => Ok(reply.to_string()),
            Some(RecipientOutcome::Refused(reply)) => Err(format!("the relay refused the message: {reply}")),
            Some(RecipientOutcome::Broken(error)) => Err(format!("the relay did not take the message: {error}")),
            _ => Err("the relay said nothing of the message".to_owned()),
        };
        connection.quit().await;
        reply
    }
}

/// The next event of this kind; a failure on the way is told at once.
async fn next(events: &mut broadcast::Receiver<Arc<Event>>, kind: EventKind) -> Result<Arc<Event>, Failure> {
    let found = async {
        loop {
            match events.recv().await {
                Ok(event) if event.kind == kind => return Ok(event),
                Ok(event) if event.kind == EventKind::Received => {}
                Ok(event) => return Err(event.reason.clone().unwrap_or_else(|| event.kind.to_string())),
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| Err(format!("the message was not {kind} in time")))
}

fn domain(text: &str) -> Result<Domain, Failure> {
    Domain::parse(text).map_err(|error| format!("{text}: {error}"))
}

const LOOPBACK: (std::net::Ipv4Addr, u16) = (std::net::Ipv4Addr::LOCALHOST, 0);
const CLIENT: &str = "client.acme.example";
const RELAY: &str = "relay.acme.example";
const SINK: &str = "mx.bank.example";
const FROM: &str = "ann@acme.example";
const TO: &str = "bob@bank.example";

/// The policy of the scene, as an operator would write it.
const POLICY: &str = r#"[defaults.external]
receive = "require"

[[partner]]
name = "Bank"
domains = "bank.example"
deliver = "verify"
"#;

const MESSAGE: &str = "From: Ann <ann@acme.example>\r\n\
To: Bob <bob@bank.example>\r\n\
Subject: Sealed on both hops\r\n\
\r\n\
This message travels over TLS on both hops, or it does not travel.\r\n";

/// How long each step may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(2);
