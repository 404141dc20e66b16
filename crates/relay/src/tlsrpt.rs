//! Reports about TLS to the domains that mail goes to (RFC 8460): what is seen is counted, and each day's counts are sent.
//!
//! ```text
//! deliver ── Watch ── tally (in memory) ── every few seconds ── book (a database)
//!                                                                 │  the day is over, and a random while more
//!                                                                 └── clerk ──┬── POST to https:
//!                                                                             └── a signed mail into the queue
//! ```

mod clerk;
mod interest;
mod send;
mod watch;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealpost_report::tlsrpt::{Book, BookError, Day, DkimSigner, Observation, Tally};
use sealpost_types::{Domain, UnixMillis};

use crate::assemble::read;
use crate::config::{Config, TlsReports};
use crate::error::StartError;
use crate::words::{self, ReportTry};

use self::interest::Interest;

pub(crate) use clerk::{Clerk, RETRIED, World};
pub(crate) use send::{keep_counting, keep_sending};
pub(crate) use watch::Watch;

/// What is counted, and who signs the reports.
#[derive(Debug)]
pub(crate) struct Reports {
    tally: Mutex<Tally>,
    interest: Interest,
    book: Book,
    signer: Option<DkimSigner>,
    settings: TlsReports,
    /// What came of handing them in.
    sent: words::Tally<ReportTry>,
    /// The day of the last round, and when the next one is due while that day lasts.
    round: Mutex<(Option<Day>, UnixMillis)>,
}

impl Reports {
    /// Opens the book of a relay whose configuration has reports, and reads the key that signs them.
    pub(crate) fn open(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(settings) = &config.tls_reports else { return Ok(None) };
        let signer = read_signer(settings)?;
        let book = Book::open(&book_path(config)).map_err(StartError::TlsReports)?;
        Ok(Some(Self::new(settings.clone(), book, signer)))
    }

    pub(crate) fn new(settings: TlsReports, book: Book, signer: Option<DkimSigner>) -> Self {
        match &signer {
            Some(signer) => tracing::info!(key = signer.record_name(), "TLS reports go by HTTPS, and by mail signed with this key"),
            None => {
                tracing::warn!("TLS reports go by HTTPS only: without [tlsrpt] dkim_key no mail is signed, and unsigned ones are ignored")
            }
        }
        Self {
            tally: Mutex::default(),
            interest: Interest::default(),
            book,
            signer,
            settings,
            sent: words::Tally::default(),
            round: Mutex::default(),
        }
    }

    /// Whether what is seen of this domain may matter to it.
    pub(crate) fn wants(&self, domain: &Domain, now: UnixMillis) -> bool {
        !self.interest.is_none(domain, now)
    }

    /// Counts what was seen. Nobody waits for it.
    pub(crate) fn saw(&self, seen: Observation) {
        self.tally().add(seen);
    }

    /// What came of handing reports in.
    pub(crate) fn sent(&self) -> &words::Tally<ReportTry> {
        &self.sent
    }

    /// How many reports wait for their time.
    pub(crate) async fn waiting(&self) -> Result<u64, BookError> {
        self.book.waiting().await
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn round(&self) -> MutexGuard<'_, (Option<Day>, UnixMillis)> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was counted, and lets go of the book.
    pub(crate) async fn close(&self) {
        let last = std::mem::take(&mut *self.tally());
        let written = self.book.add(&last).await;
        if let Err(error) = written.and(self.book.close().await) {
            tracing::error!(%error, "the last counts for TLS reports are lost");
        }
    }
}

/// The key that signs reports by mail, if a configuration has one.
///
/// # Errors
/// [`StartError::Unreadable`] and [`StartError::DkimKey`].
pub fn read_signer(config: &TlsReports) -> Result<Option<DkimSigner>, StartError> {
    let Some(path) = &config.dkim_key else { return Ok(None) };
    let pem = read("[tlsrpt] dkim_key", path)?;
    let signer = DkimSigner::from_pem(pem.as_bytes(), config.dkim_domain.clone(), config.dkim_selector.clone());
    signer.map(Some).map_err(|source| StartError::DkimKey { path: path.clone(), source })
}

/// Where the counters for TLS reports lie.
#[must_use]
pub fn book_path(config: &Config) -> std::path::PathBuf {
    config.data_dir.join(Path::new("tlsrpt")).join("counters.db")
}
