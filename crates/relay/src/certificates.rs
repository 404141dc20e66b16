//! The relay's own certificates: watched, and exchanged when their files change.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpost_cert::{CertificateDetails, Finding, Position, TrustAnchors, verify_server};
use sealpost_transport::{IdentityError, IdentitySwitch, ServerIdentity, WallClock};
use sealpost_types::{Blame, HostDemand, Retry, UnixMillis};
use tokio::sync::watch;

use crate::config::{Identity, Tls};
use crate::places::explained;

/// What became of one certificate when its files were read again.
#[derive(Debug)]
#[non_exhaustive]
pub struct CertificateReload {
    /// Its file.
    pub certificate: PathBuf,
    /// What came of it.
    pub outcome: CertificateOutcome,
}

/// What came of reading a certificate again.
#[derive(Debug)]
#[non_exhaustive]
pub enum CertificateOutcome {
    /// It is the one that is shown already.
    Unchanged,
    /// It is another one, and is shown from now on.
    Renewed {
        /// Its last second.
        not_after: UnixMillis,
    },
    /// It cannot be used; the one of before is still shown.
    Refused(CertificateError),
}

/// Why a certificate does not take the place of the one before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Its files are wrong, or do not belong together.
    #[error(transparent)]
    Files(#[from] IdentityError),
    /// It is not in date.
    #[error("{}: {finding}", path.display())]
    Outdated {
        /// Its file.
        path: PathBuf,
        /// What is wrong with its dates.
        finding: Box<Finding>,
    },
}

/// The certificates of a relay, with what is known of their files.
#[derive(Debug)]
pub(crate) struct Certificates {
    switch: IdentitySwitch,
    warn_before: Duration,
    held: Mutex<Vec<Held>>,
}

#[derive(Debug)]
pub(crate) struct Held {
    files: Identity,
    pub(crate) identity: ServerIdentity,
    not_after: UnixMillis,
    /// The files as they were when they were last read, whatever came of it.
    read: Stamps,
    /// Files that differ from that. They are read when they have come to rest.
    moving: Option<Stamps>,
    /// From when on the files are worth another look, whether they change or not: what was refused came before its time.
    good_from: Option<UnixMillis>,
    warned: Option<UnixMillis>,
}

/// Whether two files are what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps([Option<Stamp>; 2]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    /// Who may read it may change without its content.
    changed: (i64, i64),
}

/// Reads the certificates that a configuration names, the one for all other names first.
///
/// One that is out of date is taken: there is nothing better at a start.
pub(crate) fn read_all(tls: &Tls) -> Result<Vec<Held>, IdentityError> {
    tls.identities().map(Held::read).collect()
}

impl Certificates {
    pub(crate) fn new(held: Vec<Held>, switch: IdentitySwitch, warn_before: Duration) -> Self {
        Self { switch, warn_before, held: Mutex::new(held) }
    }

    /// Reads all files again. What is right and new is shown from the next handshake on; beside what is not, the old one stays.
    pub(crate) fn reload(&self, now: UnixMillis) -> Vec<CertificateReload> {
        let mut held = self.held();
        let found = held.iter_mut().map(|certificate| certificate.reload(now)).collect();
        self.show(&held);
        found
    }

    /// The file of each, and its last second.
    pub(crate) fn ends(&self) -> Vec<(PathBuf, UnixMillis)> {
        self.held().iter().map(Held::end).collect()
    }

    /// Looks whether files have changed, and warns of what ends soon.
    pub(crate) fn look(&self, now: UnixMillis) {
        let mut held = self.held();
        let mut changed = false;
        for certificate in held.iter_mut() {
            changed |= certificate.look(now, self.warn_before);
        }
        if changed {
            self.show(&held);
        }
    }

    fn show(&self, held: &[Held]) {
        self.switch.set(&held.iter().map(|certificate| certificate.identity.clone()).collect::<Vec<_>>());
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after the certificates until it is told to stop.
pub(crate) async fn keep_watch(certificates: Arc<Certificates>, clock: WallClock, mut stopped: watch::Receiver<bool>) {
    loop {
        let (certificates, now) = (Arc::clone(&certificates), clock.now());
        if tokio::task::spawn_blocking(move || certificates.look(now)).await.is_err() {
            tracing::error!("the files of the certificates could not be looked at");
        }
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Says in the log what came of a certificate.
pub(crate) fn tell(reload: &CertificateReload) {
    let certificate = reload.certificate.display();
    match &reload.outcome {
        CertificateOutcome::Unchanged => tracing::debug!(%certificate, "the certificate is as it was"),
        CertificateOutcome::Renewed { .. } => tracing::info!(%certificate, "a new certificate is shown from now on"),
        CertificateOutcome::Refused(error) => {
            tracing::error!(%certificate, "a new certificate is refused, the one of before is still shown: {}", sealpost_types::WithCauses(error));
        }
    }
}

impl Held {
    pub(crate) fn read(files: &Identity) -> Result<Self, IdentityError> {
        // Before the files are read: what changes meanwhile is seen afterwards.
        let read = Stamps::of(files);
        let identity = ServerIdentity::from_pem_files(&files.certificate, &files.private_key).map_err(|error| match error {
            IdentityError::Unreadable { path, source } => IdentityError::Unreadable { path, source: explained(source) },
            other => other,
        })?;
        let not_after = details(&identity).map_or(UnixMillis(i64::MAX), |details| details.not_after());
        Ok(Self { files: files.clone(), identity, not_after, read, moving: None, good_from: None, warned: None })
    }

    /// Looks whether its files have changed, takes what is right and new, and warns of what ends soon; whether it is another one now.
    pub(crate) fn look(&mut self, now: UnixMillis, warn_before: Duration) -> bool {
        let mut changed = false;
        if self.has_come_to_rest() || self.good_from.is_some_and(|from| from <= now) {
            let reload = self.reload(now);
            tell(&reload);
            changed = matches!(reload.outcome, CertificateOutcome::Renewed { .. });
        }
        self.warn(now, warn_before);
        changed
    }

    /// Its file and its last second.
    pub(crate) fn end(&self) -> (PathBuf, UnixMillis) {
        (self.files.certificate.clone(), self.not_after)
    }

    /// The files as they were when they were last read.
    pub(crate) fn stamps(&self) -> Stamps {
        self.read
    }

    /// Whether the files are others than were read, and the same as at the last look: of two files one is written first.
    fn has_come_to_rest(&mut self) -> bool {
        let now = Stamps::of(&self.files);
        let differs = now != self.read;
        let rests = self.moving == Some(now);
        self.moving = differs.then_some(now);
        differs && rests
    }

    fn reload(&mut self, now: UnixMillis) -> CertificateReload {
        let certificate = self.files.certificate.clone();
        let before = Stamps::of(&self.files);
        self.good_from = None;
        let outcome = match Self::read(&self.files) {
            Ok(new) => self.replace(new, now),
            Err(error) => CertificateOutcome::Refused(error.into()),
        };
        (self.read, self.moving) = (before, None);
        CertificateReload { certificate, outcome }
    }

    fn replace(&mut self, new: Self, now: UnixMillis) -> CertificateOutcome {
        if new.identity.chain().eq(self.identity.chain()) {
            return CertificateOutcome::Unchanged;
        }
        if let Some(finding) = outdated(&new.identity, now) {
            if let Finding::NotYetValid { not_before, .. } = &finding {
                self.good_from = Some(*not_before);
            }
            let path = self.files.certificate.clone();
            return CertificateOutcome::Refused(CertificateError::Outdated { path, finding: Box::new(finding) });
        }
        *self = new;
        CertificateOutcome::Renewed { not_after: self.not_after }
    }

    /// Says once a day that the certificate ends soon, or has ended.
    fn warn(&mut self, now: UnixMillis, before: Duration) {
        let is_due = self.warned.is_none_or(|last| now.since(last) >= WARN_EVERY);
        let Some(warning) = expiry_warning(self.not_after, now, before).filter(|_| is_due) else { return };
        self.warned = Some(now);
        tracing::warn!(certificate = %self.files.certificate.display(), "the certificate {warning}; no new one has come");
    }
}

impl Stamps {
    fn of(files: &Identity) -> Self {
        Self([Stamp::of(&files.certificate), Stamp::of(&files.private_key)])
    }
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: (file.dev(), file.ino()),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

/// That a certificate ends within `before`, or has ended, in words; nothing if neither.
#[must_use]
pub fn expiry_warning(not_after: UnixMillis, now: UnixMillis, before: Duration) -> Option<String> {
    if not_after <= now {
        return Some(format!("expired {} ago", Span(now.since(not_after))));
    }
    let left = not_after.since(now);
    (left < before).then(|| format!("expires in {}", Span(left)))
}

/// What is wrong with the dates of an identity's own certificate.
fn outdated(identity: &ServerIdentity, now: UnixMillis) -> Option<Finding> {
    let chain: Vec<&[u8]> = identity.chain().collect();
    let verdict = verify_server(&chain, &HostDemand::default(), &TrustAnchors::default(), now);
    verdict.findings.into_iter().find(|finding| match finding {
        Finding::Expired { certificate, .. } | Finding::NotYetValid { certificate, .. } | Finding::InvalidValidity { certificate } => {
            certificate.position == Position::Leaf
        }
        _ => false,
    })
}

fn details(identity: &ServerIdentity) -> Option<CertificateDetails> {
    identity.chain().next().and_then(|der| CertificateDetails::from_der(der).ok())
}

impl CertificateError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Us
    }

    /// Whether it may work again by itself.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// A span in days, or in hours below two days.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.0.as_secs() / 3600;
        match (hours, hours / 24) {
            (1, _) => f.write_str("1 hour"),
            (..48, _) => write!(f, "{hours} hours"),
            (_, days) => write!(f, "{days} days"),
        }
    }
}

/// How often it is looked whether files have changed.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often one and the same thing is warned of.
pub(crate) const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Writes a certificate that is good from this year on, and its key.
    fn write(files: &Identity, year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(year, 1, 1), date_time_ymd(2050, 1, 1));
        fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.private_key, key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_certificate_that_came_before_its_time_is_shown_when_that_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let files = Identity { certificate: folder.path().join("cert.pem"), private_key: folder.path().join("key.pem") };
        write(&files, 2020);
        let mut held = Held::read(&files).unwrap();
        write(&files, 2030);
        let new_year_2030 = UnixMillis(1_893_456_000_000);
        let is_new = [-3, -2, -1, 0, 1].map(|day| held.look(UnixMillis(new_year_2030.0 + day * 86_400_000), Duration::ZERO));
        assert_eq!(is_new, [false, false, false, true, false]);
    }

    #[test]
    fn a_file_that_others_may_read_now_has_changed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let before = Stamp::of(file.path());
        assert_eq!(Stamp::of(file.path()), before);
        // The clock of a file system goes in steps.
        std::thread::sleep(Duration::from_millis(20));
        fs::set_permissions(file.path(), Permissions::from_mode(0o640)).unwrap();
        assert_ne!(Stamp::of(file.path()), before);
    }

    #[test]
    fn an_end_is_warned_of_in_time() {
        let hours = |hours: i64| UnixMillis(hours * 3_600_000);
        let warning = |end: i64| expiry_warning(hours(end), hours(1000), Duration::from_secs(14 * 24 * 3600));
        assert_eq!(warning(1000 + 14 * 24), None);
        assert_eq!(warning(1000 + 14 * 24 - 1).as_deref(), Some("expires in 13 days"));
        assert_eq!(warning(1047).as_deref(), Some("expires in 47 hours"));
        assert_eq!(warning(1001).as_deref(), Some("expires in 1 hour"));
        assert_eq!(warning(1000).as_deref(), Some("expired 0 hours ago"));
        assert_eq!(warning(1000 - 72).as_deref(), Some("expired 3 days ago"));
    }
}
