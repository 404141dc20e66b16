//! Files that a policy names beside itself: trust anchors, and certificates to show to servers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealpost_cert::TrustAnchors;
use sealpost_policy::{Place, Policy};
use sealpost_transport::{ClientIdentities, IdentityError, ServerIdentity};
use sealpost_types::{AnchorFiles, ClientIdentity, UnixMillis};

use super::PolicyFileError;
use super::lists::beside;
use crate::assemble::read_anchors;
use crate::certificates::{Held, Stamp};
use crate::config::Identity;
use crate::error::StartError;

/// What a policy names beside itself, as it was read. Names are taken from the policy's folder.
#[derive(Debug, Default)]
pub struct NamedFiles {
    anchors: Vec<NamedAnchors>,
    identities: BTreeMap<ClientIdentity, Held>,
}

/// The trust anchors of some files.
#[derive(Debug)]
struct NamedAnchors {
    files: AnchorFiles,
    paths: Vec<PathBuf>,
    /// Those of the files alone.
    anchors: TrustAnchors,
    read: Vec<Option<Stamp>>,
    /// Files that differ from that. They are read when they have come to rest.
    moving: Option<Vec<Option<Stamp>>>,
}

/// Why a file that a policy names cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamedFileFault {
    /// It holds no trust anchors.
    #[error(transparent)]
    Anchors(#[from] StartError),
    /// It holds no certificate to show, or not the key to it.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The usual trust anchors, and beside them those of the files that a policy names.
///
/// # Errors
/// [`PolicyFileError::NamedFile`] with the place where the policy names it.
pub fn read_named_anchors(policy: &Policy, file: &Path, usual: &TrustAnchors) -> Result<TrustAnchors, PolicyFileError> {
    let anchors = NamedAnchors::read_all(policy, file)?;
    Ok(usual.clone().with_private(anchors.iter().map(|named| named.beside(usual))))
}

impl NamedFiles {
    /// Reads what a policy names; `file` is the policy's own.
    ///
    /// # Errors
    /// [`PolicyFileError::NamedFile`] with the place where the policy names it.
    pub fn read(policy: &Policy, file: &Path) -> Result<Self, PolicyFileError> {
        let mut identities = BTreeMap::new();
        for (identity, place) in policy.client_identities() {
            let ClientIdentity::Files { certificate, key } = &identity else { continue };
            let held = Held::read(&Identity::new(beside(file, certificate), beside(file, key)));
            identities.insert(identity.clone(), held.map_err(|fault| PolicyFileError::named_file(place, fault))?);
        }
        Ok(Self { anchors: NamedAnchors::read_all(policy, file)?, identities })
    }

    /// The usual anchors, and those of the files beside them.
    #[must_use]
    pub fn beside(&self, usual: &TrustAnchors) -> TrustAnchors {
        usual.clone().with_private(self.anchors.iter().map(|named| named.beside(usual)))
    }

    /// The certificates to show; `usual` where nothing is named.
    #[must_use]
    pub fn identities(&self, usual: Option<ServerIdentity>) -> ClientIdentities {
        let named = self.identities.iter().map(|(identity, held)| (identity.clone(), held.identity.clone()));
        ClientIdentities::new(usual, named)
    }

    /// The files of the certificates to show, and the last second of each.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (PathBuf, UnixMillis)> {
        self.identities.values().map(Held::end)
    }

    /// Whether they are the same files with the same content as far as their dates tell.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let anchors = |all: &Self| all.anchors.iter().map(|named| (named.files.clone(), named.read.clone())).collect::<Vec<_>>();
        let identities = |all: &Self| all.identities.iter().map(|(name, held)| (name.clone(), held.stamps())).collect::<Vec<_>>();
        anchors(self) == anchors(other) && identities(self) == identities(other)
    }

    /// Looks whether files have changed and come to rest, reads those again, and warns of certificates that end soon; whether anything is
    /// another now. What cannot be used is told in the log, and that of before stays.
    pub(crate) fn look(&mut self, now: UnixMillis, warn_before: std::time::Duration) -> bool {
        let mut changed = false;
        for named in &mut self.anchors {
            changed |= named.look();
        }
        for held in self.identities.values_mut() {
            changed |= held.look(now, warn_before);
        }
        changed
    }
}

impl NamedAnchors {
    fn read_all(policy: &Policy, file: &Path) -> Result<Vec<Self>, PolicyFileError> {
        let read =
            |(files, place): (AnchorFiles, Place)| Self::read(files, file).map_err(|fault| PolicyFileError::named_file(place, fault));
        policy.anchor_files().into_iter().filter(|(files, _)| !files.is_system()).map(read).collect()
    }

    fn read(files: AnchorFiles, policy_file: &Path) -> Result<Self, StartError> {
        let paths: Vec<_> = files.files().map(|name| beside(policy_file, name)).collect();
        // Before the files are read: what changes meanwhile is seen afterwards.
        let read = stamps(&paths);
        let anchors = anchors_of(&paths)?;
        Ok(Self { files, paths, anchors, read, moving: None })
    }

    /// Under its name, with the usual anchors where the policy names these too.
    fn beside(&self, usual: &TrustAnchors) -> (AnchorFiles, TrustAnchors) {
        let anchors = if self.files.has_system() { usual.and(&self.anchors) } else { self.anchors.clone() };
        (self.files.clone(), anchors)
    }

    fn look(&mut self) -> bool {
        let now = stamps(&self.paths);
        let rests = self.moving.as_ref() == Some(&now);
        let differs = now != self.read;
        self.moving = differs.then(|| now.clone());
        if !differs || !rests {
            return false;
        }
        (self.read, self.moving) = (now, None);
        let files = &self.files;
        match anchors_of(&self.paths) {
            Ok(anchors) => {
                tracing::info!(%files, "new trust anchors of the policy are obeyed from now on");
                self.anchors = anchors;
                true
            }
            Err(error) => {
                let error = sealpost_types::WithCauses(&error);
                tracing::error!(%files, "new trust anchors of the policy are refused, those of before count: {error}");
                false
            }
        }
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| Stamp::of(path)).collect()
}

fn anchors_of(paths: &[PathBuf]) -> Result<TrustAnchors, StartError> {
    let mut all = TrustAnchors::default();
    for path in paths {
        all = all.and(&read_anchors("anchors", path)?);
    }
    Ok(all)
}

impl PolicyFileError {
    fn named_file(place: Place, fault: impl Into<NamedFileFault>) -> Self {
        Self::NamedFile { place, fault: Arc::new(fault.into()) }
    }
}
