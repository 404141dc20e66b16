//! Everything that a relay reads again when it is told to: its own file, its policy, its certificates.

use crate::certificates::CertificateReload;
use crate::config_file::{ConfigChange, ConfigFile};
use crate::control::RelayControl;
use crate::error::StartError;
use crate::policy_file::{ChangeOptions, PolicyChange, PolicyFileError};

/// What a reload came to, or would come to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reload {
    /// Of the policy; nothing for one that is in no file.
    pub policy: Option<PolicyChange>,
    /// Of the relay's own file.
    pub config: ConfigChange,
    /// Of its certificates; nothing in a dry run.
    pub certificates: Vec<CertificateReload>,
}

/// Why nothing is read again. Policy and settings stay as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The relay's own file is wrong.
    #[error(transparent)]
    Config(#[from] StartError),
    /// The policy is wrong, or takes out too much.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
}

impl RelayControl {
    /// Reads again the relay's own file, its policy and its certificates, and obeys them from now on, or none of the first two. Some
    /// keys of the relay's own file are obeyed from the next start on only: [`ConfigChange::restart`].
    ///
    /// # Errors
    /// [`ReloadError`]: settings and policy stay as they were.
    pub async fn reload_all(&self, options: ChangeOptions) -> Result<Reload, ReloadError> {
        let _alone = self.reloading().await;
        let file = self.config_file();
        let read = tokio::task::spawn_blocking(move || file.map(|file| file.read_again()).transpose());
        let read = read.await.map_err(|_| PolicyFileError::Stopping)??;
        let policy = match self.reload(options).await {
            // Of a relay without a policy file the rest is read again.
            Err(PolicyFileError::NoFile) if read.is_some() => None,
            policy => Some(policy?),
        };
        let mut config = ConfigChange::default();
        if let Some((file, settings, change)) = read {
            config = change;
            if !options.dry_run {
                self.obey(file, settings, &config);
            }
        }
        let certificates = if options.dry_run { Vec::new() } else { self.reload_certificates().await };
        Ok(Reload { policy, config, certificates })
    }

    fn obey(&self, file: ConfigFile, settings: crate::config::Config, change: &ConfigChange) {
        if !change.now.is_empty() {
            self.engine().set_config(settings);
            tracing::info!(keys = change.now.join(" "), "settings are in force");
        }
        if !change.restart.is_empty() {
            tracing::warn!(keys = change.restart.join(" "), "settings are in force from the next start on");
        }
        self.keep_config_file(file);
    }
}
