//! The dialogue as it is shown: `->` is said, `<-` is heard.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use sealpost_transport::Watch;
use sealpost_types::TlsFacts;

use crate::shown;

/// Prints what goes over a connection.
#[derive(Debug)]
pub(super) struct Dialogue {
    on_stderr: bool,
    /// What has come of a line.
    heard: Mutex<Vec<u8>>,
}

impl Dialogue {
    pub(super) fn new(on_stderr: bool) -> Self {
        Self { on_stderr, heard: Mutex::default() }
    }

    fn print(&self, line: &str) {
        if self.on_stderr {
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }
}

impl Watch for Dialogue {
    fn sent(&self, octets: Option<&[u8]>) {
        match octets {
            None => self.print("-> (hidden)"),
            Some(octets) => octets.split_inclusive(|octet| *octet == b'\n').for_each(|line| self.print(&format!("-> {}", printable(line)))),
        }
    }

    fn sent_content(&self, octets: u64) {
        self.print(&format!("-> ({octets} octets of content)"));
    }

    fn received(&self, octets: &[u8]) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(octets);
        while let Some(end) = heard.iter().position(|octet| *octet == b'\n') {
            let line: Vec<u8> = heard.drain(..=end).collect();
            self.print(&format!("<- {}", printable(&line)));
        }
    }

    fn secured(&self, facts: &TlsFacts) {
        self.print(&format!("== {}", shown::session(facts)));
    }
}

/// Nothing that a server says moves the cursor of a terminal.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end_matches(['\r', '\n']).chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}
