//! The content of a message: taken in pieces, checked, and answered for as a whole.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sealpost_smtp::{BodyCheck, BodyFault, DataScanner};
use sealpost_types::{ForwardPath, Octets, ReversePath};
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite};

use super::Session;
use super::wire::{Answered, Wire};
use crate::shown;
use crate::sink::fault::Stage;

/// A transaction under way.
pub(super) struct Begun {
    pub(super) from: ReversePath,
    pub(super) to: Vec<ForwardPath>,
    pub(super) content: Content,
}

/// What has come of the content.
#[derive(Default)]
pub(super) struct Content {
    octets: u64,
    kept: Vec<u8>,
    check: BodyCheck,
}

impl Session<'_> {
    pub(super) async fn data<S: AsyncBufRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>) -> io::Result<Answered> {
        let answered = self.answer(wire, Stage::Data, "354 go on, end with a dot").await?;
        let (b'3', Some(begun)) = (answered.class, &mut self.begun) else { return Ok(answered) };
        let mut scanner = DataScanner::new();
        wire.flush().await?;
        loop {
            let input = wire.stream.fill_buf().await?;
            if input.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let input = self.server.faults.read_rate.and_then(|rate| input.get(..piece(rate))).unwrap_or(input);
            let scan = scanner.scan(input);
            begun.content.take(input.get(scan.content).unwrap_or_default(), self.server.tally.keeps());
            wire.stream.consume(scan.used);
            slow_down(scan.used, self.server.faults.read_rate).await;
            if scan.ended {
                break;
            }
        }
        self.finish(wire, scanner.fault()).await
    }

    pub(super) async fn bdat<S: AsyncBufRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        size: Octets,
        last: bool,
    ) -> io::Result<Answered> {
        let mut left = size.0;
        let wanted = self.has_recipients();
        wire.flush().await?;
        while left > 0 {
            let input = wire.stream.fill_buf().await?;
            if input.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.server.faults.read_rate.map_or(usize::MAX, piece));
            let input = input.get(..most).unwrap_or(input);
            if let Some(begun) = self.begun.as_mut().filter(|_| wanted) {
                begun.content.check.check(input);
                begun.content.take(input, self.server.tally.keeps());
            }
            let used = input.len();
            left = left.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
            wire.stream.consume(used);
            slow_down(used, self.server.faults.read_rate).await;
        }
        let Some(begun) = self.begun.as_mut().filter(|_| wanted) else { return Ok(wire.usual("503 5.5.1 MAIL and RCPT come first")) };
        if !last {
            return Ok(wire.usual("250 2.0.0 chunk taken"));
        }
        let fault = std::mem::take(&mut begun.content.check).finish();
        self.finish(wire, fault).await
    }

    /// Answers for the whole content, keeps it before that, and counts it after.
    async fn finish<S: AsyncBufRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>, fault: Option<BodyFault>) -> io::Result<Answered> {
        let Some(begun) = self.begun.take() else { return Ok(wire.usual("503 5.5.1 MAIL comes first")) };
        if let Some(fault) = fault {
            self.tell(&format!("message refused: {fault}"), json!({ "event": "refused", "reason": fault.to_string() }));
            return Ok(wire.usual(&format!("554 5.6.0 {fault}")));
        }
        let octets = begun.content.octets;
        if octets > SIZE_LIMIT {
            return Ok(wire.usual(&format!("552 5.3.4 {octets} octets, {SIZE_LIMIT} are allowed")));
        }
        let answered = self.answer(wire, Stage::Body, &format!("250 2.0.0 {octets} octets taken")).await?;
        let bare = |path: String| path.trim_matches(['<', '>']).to_owned();
        let from = bare(begun.from.to_string());
        let to: Vec<_> = begun.to.iter().map(|path| bare(path.to_string())).collect();
        let whom = format!("from <{from}> to {}", to.join(" "));
        if answered.class != b'2' {
            self.tell(&format!("message {whom} refused"), json!({ "event": "refused", "from": from, "to": to, "octets": octets }));
            return Ok(answered);
        }
        let kept = tokio::task::block_in_place(|| self.server.tally.keep(self.number, &begun.content.kept))?;
        let tls = self.tls.as_ref();
        let how = tls.map_or_else(|| "in clear".to_owned(), |tls| format!("over {}", tls.version));
        self.server
            .tally
            .tell(|| format!("#{} message {whom}: {octets} octets {how}", self.number), || self.message(&from, &to, octets, kept.as_ref()));
        self.server.tally.count(to.len(), octets);
        Ok(answered)
    }

    fn message(&self, from: &str, to: &[String], octets: u64, kept: Option<&PathBuf>) -> Value {
        json!({ "event": "message", "session": self.number, "client": self.client.to_string(), "from": from, "to": to, "octets": octets,
            "tls": self.tls.as_ref().map(shown::session_json), "login": self.login, "file": kept.map(|path| path.display().to_string()) })
    }

    pub(super) fn has_recipients(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| !begun.to.is_empty())
    }
}

impl Content {
    fn take(&mut self, piece: &[u8], keep: bool) {
        self.octets = self.octets.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if keep && self.octets <= SIZE_LIMIT {
            self.kept.extend_from_slice(piece);
        }
    }
}

/// How much is read at a time at this rate: a tenth of a second's.
fn piece(rate: u32) -> usize {
    usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1)
}

async fn slow_down(octets: usize, rate: Option<u32>) {
    if let Some(rate) = rate {
        let octets = f64::from(u32::try_from(octets).unwrap_or(u32::MAX));
        tokio::time::sleep(Duration::from_secs_f64(octets / f64::from(rate))).await;
    }
}

/// What is announced with SIZE.
pub(super) const SIZE_LIMIT: u64 = 64 * 1024 * 1024;
