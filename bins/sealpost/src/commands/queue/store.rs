//! The store of a relay that does not run, and the history beside it.

use std::io::ErrorKind;
use std::path::PathBuf;

use sealpost_admin::{QueueFilter, QueuePage, QueueRequest, QueueResult, QueueShown, Queued, queue_id};
use sealpost_queue::{EmbeddedSpool, Filter, QueueView, Settings, Spool as _, Stats};
use sealpost_relay::config::Config;
use sealpost_relay::{change_queue, history_directory, outlook, queue_directory, read_policy};
use sealpost_report::{Event, HistoryError, HistoryReader};
use sealpost_types::UnixMillis;

use super::super::{Failure, in_words};

/// The queue in the data directory of a relay that does not run.
pub(super) struct Store {
    config: Config,
    directory: PathBuf,
}

impl Store {
    pub(super) fn of(config: &Config) -> Self {
        Self { config: config.clone(), directory: queue_directory(config) }
    }

    pub(super) fn list(&self, filter: &QueueFilter, after: Option<&str>, limit: usize) -> Result<QueuePage, Failure> {
        let mut filter = filter.to_filter();
        filter.after = after.map(queue_id).transpose().map_err(in_words)?;
        let Some(mut view) = self.view()? else { return Ok(QueuePage::of(&[], limit)) };
        Ok(QueuePage::of(&view.list(&filter, limit).map_err(in_words)?, limit))
    }

    pub(super) fn show(&self, id: &str, now: UnixMillis) -> Result<Vec<QueueShown>, Failure> {
        let id = queue_id(id).map_err(in_words)?;
        let Some(mut view) = self.view()? else { return Ok(Vec::new()) };
        let policy = read_policy(&self.config).map_err(in_words)?;
        let listed = view.list(&Filter::all().message(id), usize::MAX).map_err(in_words)?;
        Ok(listed.iter().map(|listed| QueueShown::of(listed, &outlook(&policy, &self.config, listed, None, now))).collect())
    }

    pub(super) fn stats(&self, now: UnixMillis) -> Result<Queued, Failure> {
        let (stats, due) = match self.view()? {
            Some(mut view) => (view.stats().map_err(in_words)?, view.due(now).map_err(in_words)?),
            None => (Stats::default(), 0),
        };
        Ok(Queued::of(&stats, due))
    }

    /// Owns the queue for as long as it takes.
    pub(super) async fn change(&self, request: &QueueRequest, now: UnixMillis) -> Result<QueueResult, Failure> {
        let selection = request.selection().map_err(in_words)?.ok_or("one way to say which mail is meant")?;
        if !self.exists()? {
            return Ok(QueueResult::default());
        }
        let queue = EmbeddedSpool::open(&self.directory, Settings::default()).map_err(in_words)?;
        let outcome = change_queue(&queue, &selection, request.action.into(), now).await;
        queue.close().await.map_err(in_words)?;
        Ok(outcome.map_err(in_words)?.into())
    }

    /// None where no relay has run yet.
    fn view(&self) -> Result<Option<QueueView>, Failure> {
        if self.exists()? { QueueView::open(&self.directory).map(Some).map_err(in_words) } else { Ok(None) }
    }

    fn exists(&self) -> Result<bool, Failure> {
        match self.directory.metadata() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(format!("{}: {error}", self.directory.display())),
        }
    }
}

/// What the history tells of a message, oldest first; nothing where there is no history.
pub(super) fn events(config: &Config, message: &str) -> Result<Vec<Event>, Failure> {
    let mut reader = match HistoryReader::open(&history_directory(config)) {
        Err(HistoryError::Missing { .. }) => return Ok(Vec::new()),
        opened => opened.map_err(in_words)?,
    };
    let mut filter = sealpost_report::Filter::default();
    filter.queue_id = Some(message.to_owned());
    filter.newest_first = false;
    Ok(reader.query(&filter).map_err(in_words)?.into_iter().map(|row| row.event).collect())
}
