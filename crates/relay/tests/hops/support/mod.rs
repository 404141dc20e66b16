//! What the tests share.

mod authority;
mod client;
mod house;
mod mx;
mod wire;

pub(crate) use authority::{Kind, anchors, backend, backend_and_pin, classical, showing, trusting};
pub(crate) use client::Client;
pub(crate) use house::{Clock, House, Running, domain, open_spool};
pub(crate) use mx::{Behaviour, Body, Message, Mx, StartTls, free_address};

use std::time::Duration;

use sealpost_queue::Spool;

/// A message with a header and a body that can be told from others.
pub(crate) fn letter(subject: &str) -> Vec<u8> {
    format!("From: <ann@shop.example>\r\nSubject: {subject}\r\n\r\nThe words of {subject}.\r\n").into_bytes()
}

/// Waits until so many entries wait and nothing is under way.
pub(crate) async fn waiting<S: Spool>(spool: &S, deferred: u64) {
    for _ in 0..2000 {
        let stats = spool.stats().await.unwrap();
        if (stats.fresh, stats.deferred, stats.leased) == (0, deferred, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", spool.stats().await);
}

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
