//! The relay as a library, on both hops: real listeners, real TLS, servers that do what a test tells them.
//!
//! What is awaited is an event of the relay or a record of a server, never a stretch of time.
#![allow(missing_docs, reason = "tests")]

mod answers;
mod backoff;
mod certain;
mod change;
mod dane;
mod dsn;
mod enforcement;
mod expiry;
mod extensions;
mod fair;
mod fairness;
mod fallback;
mod keys;
mod level_header;
mod listeners;
mod login;
mod looks;
mod notice;
mod numbers;
mod proxy;
mod require_tls;
mod reuse;
mod rights;
mod rules;
mod servers;
mod silence;
mod split;
mod stop;
mod support;
mod testing;
mod tlsrpt;
mod two;
mod waking;
