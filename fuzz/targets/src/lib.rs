//! What each fuzz target does with an input: one function a target, which panics if a property does not hold.
//!
//! `fuzz/fuzz_targets` hands them to libFuzzer; the test `corpora` of this package runs them with what was collected and with
//! changes of it, on a stable compiler. `docs/reliability.md` says how to go on collecting.
#![allow(clippy::missing_panics_doc, reason = "a panic is how a target speaks")]

pub mod admin;
pub mod cert;
mod choice;
mod lines;
pub mod names;
pub mod pair;
pub mod policy;
pub mod proxy;
pub mod queue;
pub mod relay;
pub mod report;
pub mod smtp;
pub mod steps;

/// A target: its name, which is that of its corpus, and what it does.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a row of a table")]
pub struct Target {
    /// The name of its corpus, and of its program below `fuzz_targets`.
    pub name: &'static str,
    /// Panics if a property does not hold.
    pub run: fn(&[u8]),
    /// Whether an input costs some milliseconds: files or sockets are involved.
    pub is_slow: bool,
}

const fn quick(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, is_slow: false }
}

const fn slow(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, is_slow: true }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    quick("commands", smtp::commands),
    quick("replies", smtp::replies),
    quick("ehlo", smtp::ehlo),
    quick("data_scanner", smtp::data_scanner),
    quick("server_session", smtp::server_session),
    quick("client_session", smtp::client_session),
    quick("session_pair", pair::session_pair),
    quick("server_steps", steps::server_steps),
    quick("proxy_header", proxy::proxy_header),
    quick("xtext", names::xtext),
    quick("addresses", names::addresses),
    quick("patterns", names::patterns),
    quick("words", names::words),
    quick("headers", policy::headers),
    quick("policy_document", policy::document),
    quick("policy_edit", policy::edit),
    quick("csv", policy::csv),
    quick("postfix_table", policy::postfix_table),
    quick("cipher_strings", cert::cipher_strings),
    quick("certificates", cert::certificates),
    quick("verdicts", cert::verdicts),
    quick("tlsa", cert::tlsa),
    quick("pem", cert::pem),
    quick("sts_record", report::sts_record),
    quick("sts_policy", report::sts_policy),
    quick("mx_records", report::mx_records),
    quick("tlsrpt_record", report::tlsrpt_record),
    quick("tlsrpt_report", report::tlsrpt_report),
    quick("dkim", report::dkim),
    quick("notification", report::notification),
    quick("history_row", report::history_row),
    quick("settings", relay::settings),
    slow("spool_row", queue::spool_row),
    slow("spool_files", queue::spool_files),
    slow("admin_requests", admin::requests),
];
