//! What the quickstart tells.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealpost_report::Event;

use super::{CLIENT, FROM, RELAY, SINK, TO};

/// What happened to the message.
pub(super) struct Story<'a> {
    pub(super) relay: Option<SocketAddr>,
    pub(super) sink: SocketAddr,
    pub(super) folder: &'a Path,
    /// What the relay said to the client.
    pub(super) reply: String,
    pub(super) received: Arc<Event>,
    pub(super) delivered: Arc<Event>,
}

impl Story<'_> {
    pub(super) fn tell(&self, took: Duration) {
        say!("One message, two hops: <{FROM}> to <{TO}>\n");
        say!("    {CLIENT}  --TLS-->  {RELAY}  --TLS-->  {SINK}\n");
        say!("Hop 1, receive: {CLIENT} to {RELAY} at {}", shown(self.relay));
        hop(&self.received, &self.reply);
        say!("\nHop 2, deliver: {RELAY} to {SINK} at {}", self.sink);
        hop(&self.delivered, self.delivered.reply.as_deref().unwrap_or_default());
        say!("\nBoth hops travelled over TLS; it took {} ms from the start. Next: README.md, \"Run it\".", took.as_millis());
    }

    /// How to go on with a relay that keeps running.
    pub(super) fn invite(&self) {
        let port = self.relay.map_or(0, |relay| relay.port());
        say!("\nThe relay stays until SIGTERM or Ctrl-C. Send something through it:");
        say!("    swaks --server 127.0.0.1:{port} --tls --from {FROM} --to {TO}");
        say!("and without TLS, to be refused:");
        say!("    swaks --server 127.0.0.1:{port} --from {FROM} --to {TO}");
        say!("Its data lies in {} and goes when it stops.", self.folder.display());
    }
}

fn hop(event: &Event, reply: &str) {
    let proof = event.proof.as_deref();
    if let Some(tls) = proof.and_then(|proof| proof.tls) {
        line("protocol", tls.version.as_str());
        line("cipher", &tls.suite.to_string());
        if let Some(group) = tls.group {
            line("group", &format!("{group}{}", if group.is_post_quantum() { " (post-quantum)" } else { "" }));
        }
    } else {
        line("protocol", "none: in clear");
    }
    if let Some(subject) = proof.and_then(|proof| proof.subject.as_ref()) {
        line("certificate", subject);
    }
    if let Some(path) = proof.map(|proof| &proof.validation_path).filter(|path| path.len() > 1) {
        line("trusted by", &path.get(1..).unwrap_or_default().join(", "));
    }
    if let Some(decided) = &event.decided {
        line("level", &decided.level);
        let (_, why) = decided.trace.split_once(": ").unwrap_or(("", &decided.trace));
        line("why", why);
    }
    line("answer", reply);
}

fn line(name: &str, text: &str) {
    say!("    {name:<12} {text}");
}

fn shown(address: Option<SocketAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}
