//! A relay that has read its files, and opened nothing yet.

use std::path::Path;

use sealpost_discovery::HickoryResolver;
use sealpost_policy::Policy;
use sealpost_queue::EmbeddedSpool;
use sealpost_transport::RustlsBackend;

use crate::assemble::{assemble, open_policy};
use crate::builder::RelayBuilder;
use crate::config::Config;
use crate::error::StartError;
use crate::places::Places;
use crate::policy_file::PolicyFile;

/// A configuration and its policy, read: what a program may want to know before the relay's parts are opened.
#[derive(Debug)]
pub struct Prepared {
    config: Config,
    policy_file: Option<PolicyFile>,
    policy: Policy,
}

impl Prepared {
    /// Reads the policy that this configuration names.
    ///
    /// # Errors
    /// [`StartError::Policy`].
    pub fn read(config: Config) -> Result<Self, StartError> {
        let (policy_file, policy) = open_policy(&config)?;
        Ok(Self { config, policy_file, policy })
    }

    /// Where on the disk the relay has business; `config_file` is the file that the configuration stands in.
    #[must_use]
    pub fn places(&self, config_file: &Path) -> Places {
        Places::of(config_file, &self.config, &self.policy)
    }

    /// A relay of the usual parts: see [`Relay::assemble`](crate::Relay::assemble).
    ///
    /// # Errors
    /// [`StartError`]: what of these cannot be opened.
    pub fn assemble(self) -> Result<RelayBuilder<EmbeddedSpool, HickoryResolver, RustlsBackend>, StartError> {
        assemble(self.config, self.policy_file, self.policy)
    }
}
