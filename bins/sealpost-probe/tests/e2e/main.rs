//! The test tool as its users run it, against servers that behave and servers that do not, and programs that no one here wrote.
#![allow(clippy::print_stderr, reason = "the log of a server is shown when a test fails")]

mod browser;
mod cert;
mod domain;
mod equipment;
mod load;
mod manual;
mod openssl;
mod ping;
mod programs;
mod published;
mod report;
mod running;
mod send;
mod servers;
mod sink;
mod suggest;
mod survey;
mod tlsa;

// What the tests of the relay use too; they need more of it.
#[path = "../../../sealpost/tests/e2e/authority.rs"]
#[allow(dead_code, reason = "shared with the tests of the relay")]
mod authority;
#[path = "../../../../crates/discovery/tests/bind/mod.rs"]
mod bind;
#[path = "../../../sealpost/tests/e2e/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the relay")]
mod client;
#[path = "../../../sealpost/tests/e2e/dns.rs"]
#[allow(dead_code, reason = "shared with the tests of the relay")]
mod dns;
#[path = "../../../sealpost/tests/e2e/peers.rs"]
#[allow(dead_code, reason = "shared with the tests of the relay")]
mod peers;
#[path = "../../../sealpost/tests/e2e/s_server.rs"]
#[allow(dead_code, reason = "shared with the tests of the relay")]
mod s_server;
#[path = "../../../sealpost/tests/e2e/web.rs"]
#[allow(dead_code, reason = "shared with the tests of the relay")]
mod web;
#[path = "../../../sealpost/tests/e2e/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of the relay")]
mod wire;

/// What the shared files ask of the tests that they are part of.
mod relay {
    use std::net::SocketAddr;

    pub(crate) fn free_address() -> SocketAddr {
        crate::equipment::closed()
    }
}
