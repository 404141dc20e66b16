//! The test tool as its users run it, against servers that behave and servers that do not, and programs that no one here wrote.

mod cert;
#[path = "../../../sealpost/tests/e2e/dns.rs"]
#[allow(dead_code, reason = "shared with the tests of the relay, which need all of it")]
mod dns;
mod domain;
mod equipment;
mod load;
mod manual;
mod ping;
mod programs;
mod send;
mod sink;
