//! What results are about: a level, or a policy.

use std::path::PathBuf;

use clap::Args;
use sealpost_admin::{Client, ClientError};
use sealpost_relay::config::Config;
use sealpost_relay::policy_file::compile_at;
use sealpost_types::{Level, Mailbox, ReversePath, WithCauses};

use super::tester::InForce;
use crate::network::Network;

#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// What the exit code is about, as verify or dane [default: require].
    #[arg(long, value_name = "LEVEL", conflicts_with = "policy")]
    level: Option<String>,
    /// Which level holds by this policy, why, and would it hold today?
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// By the policy that the running relay of --config obeys, and no other.
    #[arg(long, requires = "config", conflicts_with = "policy")]
    relay: bool,
    /// The sender that the policy is asked about.
    #[arg(long, value_name = "ADDRESS", default_value = "<>")]
    from: String,
}

impl Asked {
    /// The level that results are about; none where they are about the policy, or nothing is said.
    pub(crate) fn level(&self) -> Result<Option<Level>, String> {
        let Some(word) = &self.level else { return Ok(None) };
        let wrong = || format!("--level {word:?}: one of opportunistic, require, chain, verify, dane, dane-only is meant");
        let level: Level = word.parse().map_err(|_| wrong())?;
        if matches!(level, Level::None | Level::Mirror | Level::Pinned) { Err(wrong()) } else { Ok(Some(level)) }
    }

    pub(crate) fn from(&self) -> Result<ReversePath, String> {
        match self.from.trim_start_matches('<').trim_end_matches('>') {
            "" => Ok(ReversePath::Null),
            text => Mailbox::parse(text).map(ReversePath::from).map_err(|error| format!("--from {text:?}: {error}")),
        }
    }

    /// The policy that is asked, if any: the one in a file, or that of the relay of `config`.
    pub(crate) async fn policy(&self, network: &Network, config: &Config) -> Result<Option<InForce>, String> {
        match &self.policy {
            Some(path) => InForce::in_file(path).map(Some),
            None if network.has_config() => of_relay(config, self.relay).await.map(Some),
            None => Ok(None),
        }
    }
}

/// What a running relay obeys, which may be older than its file. Without one, its file; `only_running`: then nothing.
pub(crate) async fn of_relay(config: &Config, only_running: bool) -> Result<InForce, String> {
    let in_words = |error: ClientError| format!("--relay: {}", WithCauses(&error));
    let asked = match &config.admin.socket {
        Some(socket) => Client::new(socket.clone()).policy().await.map(Some),
        None if only_running => return Err("--relay: sealpost.toml has no [admin] socket to ask the relay over".to_owned()),
        None => Ok(None),
    };
    let in_force = match asked {
        Ok(in_force) => in_force,
        // It answers that there is no file: it obeys the built-in policy.
        Err(ClientError::Refused { status: NO_FILE, .. }) => {
            let policy = sealpost_policy::Policy::builtin();
            return Ok(InForce { policy, file: BUILT_IN.to_owned(), text: String::new(), running: true });
        }
        Err(error) if only_running => return Err(in_words(error)),
        // One of another version, or whose socket is another user's: its file may still be readable.
        Err(_) => None,
    };
    if let Some(in_force) = in_force {
        let path = PathBuf::from(&in_force.file);
        let policy = compile_at(&path, &in_force.text).map_err(|error| WithCauses(&error).to_string())?;
        return Ok(InForce { policy, file: in_force.file, text: in_force.text, running: true });
    }
    let Some(path) = &config.policy else {
        return Ok(InForce { policy: sealpost_policy::Policy::builtin(), file: BUILT_IN.to_owned(), text: String::new(), running: false });
    };
    // The settings of the relay have a say in what it takes as a policy.
    let policy = sealpost_relay::read_policy(config).map_err(|error| WithCauses(&error).to_string())?;
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(InForce { policy, file: path.display().to_string(), text, running: false })
}

/// What is there without a file.
const BUILT_IN: &str = "the built-in policy";

/// What the API says where there is no policy file.
const NO_FILE: u16 = 409;
