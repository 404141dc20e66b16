//! Where the policy is read and changed: the running relay, or the file if none runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sealpost_admin::{Change, Client, ClientError, EditRequest, QueueFilter, QueueRequest, QueueVerb, RowRequest};
use sealpost_policy::{Edit, PolicyText};
use sealpost_relay::config::Config;
use sealpost_relay::policy_file::{ChangeOptions, Draft, NamedFiles, PolicyFile, PolicyFileError, RowChange};
use sealpost_relay::read_config;
use sealpost_types::NextHop;
use tokio::runtime::Runtime;

use super::super::reload::change_options;
use super::super::{Failure, in_words, print, runtime};
use super::waiting;
use crate::cli;

/// The policy in force, and who changes it.
pub(super) struct Desk {
    config: Config,
    file: PathBuf,
    text: PolicyText,
    runtime: Runtime,
    /// The relay that runs; none means that the file is changed.
    relay: Option<Client>,
}

impl Desk {
    pub(super) fn open(options: &cli::Config) -> Result<Self, Failure> {
        let config = read_config(&options.config).map_err(in_words)?;
        let runtime = runtime()?;
        let asked = match &config.admin.socket {
            Some(socket) => {
                let client = Client::new(socket.clone());
                match runtime.block_on(client.policy()) {
                    Ok(policy) => Some((client, policy)),
                    Err(ClientError::NotRunning { .. }) => None,
                    Err(error) => return Err(in_words(error)),
                }
            }
            None => None,
        };
        let (relay, file, text) = match asked {
            Some((client, policy)) => (Some(client), PathBuf::from(policy.file), policy.text),
            None => {
                let file = config.policy.clone().ok_or_else(|| PolicyFileError::NoFile.to_string())?;
                let text = std::fs::read_to_string(&file).map_err(|error| format!("cannot read the policy {}: {error}", file.display()))?;
                (None, file, text)
            }
        };
        let text = PolicyText::parse(&file.display().to_string(), &text).map_err(in_words)?;
        Ok(Self { config, file, text, runtime, relay })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The policy in force; without a running relay what the file says.
    pub(super) fn text(&self) -> &PolicyText {
        &self.text
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Where an included list lies.
    pub(super) fn beside(&self, list: &str) -> PathBuf {
        self.file.parent().unwrap_or_else(|| Path::new(".")).join(list)
    }

    /// Has the running relay try what waits for this next hop; how much that is.
    pub(super) fn retry(&self, next_hop: &NextHop) -> Result<u64, Failure> {
        let Some(client) = &self.relay else { return Ok(0) };
        let mut filter = QueueFilter::default();
        filter.destination = Some(next_hop.to_string());
        let request = QueueRequest::matching(QueueVerb::Retry, filter);
        Ok(self.runtime.block_on(client.change_queue(&request)).map_err(in_words)?.done)
    }

    /// Makes the edits, all or none, and says what came of it.
    pub(super) fn change(&self, edits: Vec<Edit>, arguments: cli::ChangeArguments) -> Result<ExitCode, Failure> {
        self.change_quietly(edits, arguments, ())
    }

    /// The same; `telling` is dropped before anything is said.
    pub(super) fn change_quietly<T>(&self, edits: Vec<Edit>, arguments: cli::ChangeArguments, telling: T) -> Result<ExitCode, Failure> {
        let options = change_options(arguments);
        let change = self.make(
            options,
            |client| self.runtime.block_on(client.edit(&EditRequest::new(edits.clone(), options))),
            |file| file.edit(&edits, options),
            &self.file,
        );
        drop(telling);
        let (change, obeyed) = change?;
        self.tell(&self.file, &change, obeyed, arguments);
        Ok(ExitCode::SUCCESS)
    }

    /// Changes rows of an included list, and says what came of it.
    pub(super) fn change_row(&self, list: &str, row: RowChange, arguments: cli::ChangeArguments) -> Result<ExitCode, Failure> {
        let (change, obeyed) = self.row(list, row, change_options(arguments))?;
        for place in &change.also {
            eprintln!("warning: {place} has that domain already; both hold, and the stricter of the two counts");
        }
        self.tell(&self.beside(list), &change, obeyed, arguments);
        Ok(ExitCode::SUCCESS)
    }

    /// Finds what is wrong with a change of a row, and changes nothing.
    pub(super) fn try_row(&self, list: &str, row: RowChange, arguments: cli::ChangeArguments) -> Result<(), Failure> {
        let mut options = change_options(arguments);
        options.dry_run = true;
        self.row(list, row, options).map(|_| ())
    }

    fn row(&self, list: &str, row: RowChange, options: ChangeOptions) -> Result<(Change, bool), Failure> {
        self.make(
            options,
            |client| self.runtime.block_on(client.edit_row(&RowRequest::new(list.to_owned(), row.clone(), options))),
            |file| file.edit_row(list, &row, options),
            &self.beside(list),
        )
    }

    /// Has the relay make a change, and tells that it obeys; or makes it in the file where none runs, and lets none begin meanwhile: it
    /// would have read what was there before.
    fn make(
        &self,
        options: ChangeOptions,
        ask: impl FnOnce(&Client) -> Result<Change, ClientError>,
        draft: impl FnOnce(&PolicyFile) -> Result<Draft, PolicyFileError>,
        written: &Path,
    ) -> Result<(Change, bool), Failure> {
        if let Some(client) = &self.relay {
            return Ok((ask(client).map_err(in_words)?, true));
        }
        // Who writes in a folder locks it: one that holds the socket as well is not locked twice.
        let folder = |path: &Path| path.parent().and_then(|folder| folder.canonicalize().ok());
        let socket = self.config.admin.socket.clone().filter(|socket| folder(socket) != folder(written));
        let client = socket.map(Client::new);
        let absence = client.as_ref().map(Client::hold_off);
        match (&client, &absence) {
            // One began since this command did.
            (Some(client), Some(None)) => Ok((ask(client).map_err(in_words)?, true)),
            _ => Ok((self.change_file(options, draft)?, false)),
        }
    }

    fn change_file(
        &self,
        options: ChangeOptions,
        draft: impl FnOnce(&PolicyFile) -> Result<Draft, PolicyFileError>,
    ) -> Result<Change, Failure> {
        if options.apply_to_queue {
            return Err("--apply-to-queue needs the running relay, and none answers".to_owned());
        }
        let (mut file, _) = PolicyFile::open(&self.file).map_err(in_words)?;
        let draft = draft(&file).map_err(in_words)?;
        NamedFiles::read(draft.policy(), file.path()).map_err(in_words)?;
        let change = Change::from(draft.change().clone());
        if !options.dry_run {
            file.commit(draft).map_err(in_words)?;
        }
        Ok(change)
    }

    fn tell(&self, file: &Path, change: &Change, obeyed: bool, arguments: cli::ChangeArguments) {
        let whose = if obeyed { "the relay obeys it" } else { "no relay runs: it holds from its next start" };
        print(&change.diff);
        match (change.changed, arguments.dry_run) {
            (false, _) => say!("{}: no difference", file.display()),
            (true, true) => say!("nothing is changed"),
            (true, false) => say!("{}: changed; {whose}", file.display()),
        }
        if let (true, Some(client)) = (obeyed, &self.relay) {
            waiting::tell(&self.runtime, client, change, arguments);
        }
    }
}
