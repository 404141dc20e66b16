//! Where the history is read: the running relay, or its files if none runs.

use std::ops::ControlFlow;
use std::time::Duration;

use sealpost_admin::{Client, ClientError, Followed, HistoryPage, HistoryQuery};
use sealpost_relay::{history_directory, read_config};
use sealpost_report::{HistoryError, HistoryReader};
use tokio::runtime::Runtime;

use super::super::{Failure, in_words, now, runtime};
use super::{Shown, newest};
use crate::cli;

/// Where the history is read.
pub(super) enum Source {
    Relay(Client, Runtime),
    Files(Box<HistoryReader>),
}

impl Source {
    /// Asks the relay of this configuration, if one runs that may be asked, and else looks into its files. Nothing, and a word
    /// on stderr, if there are none: a relay that has not run yet has nothing to tell, which is an answer and no failure.
    pub(super) fn open(options: &cli::Config) -> Result<Option<Self>, Failure> {
        let config = read_config(&options.config).map_err(in_words)?;
        if let Some(socket) = &config.admin.socket {
            let (client, runtime) = (Client::new(socket.clone()), runtime()?);
            let mut nothing = HistoryQuery::default();
            nothing.limit = Some(0);
            match runtime.block_on(client.history(&nothing)) {
                Ok(_) => return Ok(Some(Self::Relay(client, runtime))),
                // One of another version, or whose socket is another user's: the files may still be readable.
                Err(
                    ClientError::NotRunning { .. } | ClientError::Socket { .. } | ClientError::Refused { .. } | ClientError::Foreign { .. },
                ) => {}
                Err(error) => return Err(in_words(error)),
            }
        }
        match HistoryReader::open(&history_directory(&config)) {
            Ok(reader) => Ok(Some(Self::Files(Box::new(reader)))),
            Err(error @ HistoryError::Missing { .. }) => {
                eprintln!("{error}: no relay has run with this data_dir yet");
                Ok(None)
            }
            Err(error) => Err(in_words(error)),
        }
    }

    /// The entries that are asked for. What cannot be read is told.
    pub(super) fn page(&mut self, query: &HistoryQuery) -> Result<HistoryPage, Failure> {
        let page = match self {
            Self::Relay(client, runtime) => runtime.block_on(client.history(query)).map_err(in_words)?,
            Self::Files(reader) => {
                let filter = query.filter(now()).map_err(|error| format!("--{error}"))?;
                let rows = reader.query(&filter).map_err(in_words)?;
                query.page(&filter, &rows).map_err(|error| format!("--{error}"))?.lacking(reader.unreadable())
            }
        };
        page.unreadable.iter().for_each(|unreadable| eprintln!("warning: {unreadable}"));
        Ok(page)
    }

    /// The `last` entries, and then what happens from now on, until `take` says that it is enough or the relay stops. What
    /// happens in between may come twice.
    pub(super) fn follow(
        &mut self,
        query: &HistoryQuery,
        last: usize,
        mut take: impl FnMut(Followed) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        match self {
            Self::Relay(client, runtime) => {
                let mut failed = None;
                let live = |followed| match followed {
                    // Nothing is missed from here on, so what is looked up now leaves no gap.
                    Followed::Begun => match of_another_thread(client, query, last) {
                        Ok(shown) => shown.entries.into_iter().rev().try_for_each(|entry| take(Followed::Entry(entry))),
                        Err(failure) => {
                            failed = Some(failure);
                            ControlFlow::Break(())
                        }
                    },
                    other => take(other),
                };
                let mut from_now = query.clone();
                from_now.since = None;
                let mut ended = false;
                let mut live = live;
                let outcome = runtime.block_on(client.follow(&from_now, |followed| {
                    let flow = live(followed);
                    ended = flow.is_break();
                    flow
                }));
                if outcome.is_ok() && !ended {
                    eprintln!("the relay has stopped");
                }
                failed.map_or_else(|| outcome.map_err(in_words), Err)
            }
            Self::Files(_) => {
                eprintln!("no relay answers: its files are looked at every second");
                for entry in newest(self, query, last)?.entries.into_iter().rev() {
                    if take(Followed::Entry(entry)).is_break() {
                        return Ok(());
                    }
                }
                let mut recent = query.clone();
                // An entry may be written a little later than it happened.
                recent.since = Some("10s".to_owned());
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                    for entry in newest(self, &recent, RECENT)?.entries.into_iter().rev() {
                        if take(Followed::Entry(entry)).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }
}

/// The newest entries, asked for while the runtime of this thread is busy.
fn of_another_thread(client: &Client, query: &HistoryQuery, last: usize) -> Result<Shown, Failure> {
    let ask = || newest(&mut Source::Relay(client.clone(), runtime()?), query, last);
    std::thread::scope(|scope| scope.spawn(ask).join()).unwrap_or_else(|_| Err("the history cannot be asked for".to_owned()))
}

/// Entries of the last seconds that are looked through.
const RECENT: usize = 10_000;
