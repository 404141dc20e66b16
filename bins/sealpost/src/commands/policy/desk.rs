//! Where the policy is read and changed: the running relay, or the file if none runs.

use std::path::PathBuf;
use std::process::ExitCode;

use sealpost_admin::{Change, Client, ClientError, EditRequest};
use sealpost_policy::{Edit, PolicyText};
use sealpost_relay::config::Config;
use sealpost_relay::policy_file::{PolicyFile, PolicyFileError};
use sealpost_relay::read_config;
use tokio::runtime::Runtime;

use super::super::reload::change_options;
use super::super::{Failure, in_words, runtime};
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

    pub(super) fn file(&self) -> &std::path::Path {
        &self.file
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Makes the edits, all or none, and says what came of it.
    pub(super) fn change(&self, edits: Vec<Edit>, arguments: cli::ChangeArguments) -> Result<ExitCode, Failure> {
        let options = change_options(arguments);
        let (change, whose) = match &self.relay {
            Some(client) => {
                let request = EditRequest::new(edits, options);
                (self.runtime.block_on(client.edit(&request)).map_err(in_words)?, "the relay obeys it")
            }
            None if arguments.apply_to_queue => return Err("--apply-to-queue needs the running relay, and none answers".to_owned()),
            None => {
                let (mut file, _) = PolicyFile::open(&self.file).map_err(in_words)?;
                let draft = file.edit(&edits, options).map_err(in_words)?;
                let change = Change::from(draft.change().clone());
                if !arguments.dry_run {
                    file.commit(draft).map_err(in_words)?;
                }
                (change, "no relay runs: it holds from its next start")
            }
        };
        print!("{}", change.diff);
        match (change.changed, arguments.dry_run) {
            (false, _) => println!("{}: no difference", self.file.display()),
            (true, true) => println!("nothing is changed"),
            (true, false) => println!("{}: changed; {whose}", self.file.display()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
