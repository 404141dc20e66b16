//! What can be asked of a running relay, and done to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sealpost_discovery::{StsKept, StsNumbers, Validation};
use sealpost_policy::{Edit, Policy};
use sealpost_queue::{Filter, Listed, SpoolError};
use sealpost_report::{Answer, Event, Filter as HistoryFilter, HistoryError};
use sealpost_store::WriteError;
use sealpost_types::{Domain, UnixMillis};
use tokio::sync::{Mutex, MutexGuard, broadcast};

use crate::certificates::{self, CertificateReload, Certificates};
use crate::config::Config;
use crate::config_file::ConfigFile;
use crate::metrics::{Gauges, QueueNumbers};
use crate::operate::{Outlook, QueueAction, QueueOutcome, QueueSelection};
use crate::policy_file::{ChangeOptions, Draft, NamedFiles, PolicyChange, PolicyFile, PolicyFileError, RowChange};
use crate::ready::{DiskLook, Stage};
use crate::resolver_watch::Found;
use crate::revocation::WatchedLists;
use crate::stats::{Counters, RelayStats};
use crate::tlsrpt::Reports;
use crate::trust::Trust;

/// What can be asked of a running relay, and done to it. Cheap to clone; when the relay has stopped it does nothing more.
#[derive(Clone)]
pub struct RelayControl {
    shared: Arc<Shared>,
    /// Who makes changes through it.
    by: Arc<str>,
}

/// A relay at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayStatus {
    /// Its name.
    pub hostname: Domain,
    /// When it started.
    pub started: UnixMillis,
    /// The time on its clock.
    pub now: UnixMillis,
    /// The policy's file; none for a policy that is in no file.
    pub policy_file: Option<PathBuf>,
    /// How often the policy was replaced.
    pub policy_generation: u64,
    /// Entries in it, those of included lists among them.
    pub policy_entries: usize,
    /// What it did since its start.
    pub stats: RelayStats,
    /// What is queued.
    pub queue: sealpost_queue::Stats,
    /// Deferred entries of it that are due.
    pub due: u64,
}

/// What is needed of an engine, whatever its parts are.
pub(crate) trait Control: Send + Sync {
    fn hostname(&self) -> Domain;
    fn now(&self) -> UnixMillis;
    fn stats(&self) -> RelayStats;
    fn counters(&self) -> &Counters;
    fn gauges(&self) -> Gauges;
    fn config(&self) -> Arc<Config>;
    fn due(&self, now: UnixMillis) -> Waiting<'_, Result<u64, SpoolError>>;
    fn resolver_found(&self) -> Option<Found>;
    fn queue(&self) -> Waiting<'_, Result<sealpost_queue::Stats, SpoolError>>;
    fn list_queue(&self, filter: Filter, limit: usize) -> Waiting<'_, Result<Vec<Listed>, SpoolError>>;
    fn change_queue(&self, selection: QueueSelection, action: QueueAction) -> Waiting<'_, Result<QueueOutcome, SpoolError>>;
    fn outlook(&self, listed: &Listed) -> Vec<Outlook>;
    fn events(&self) -> broadcast::Receiver<Arc<Event>>;
    fn history<'a>(&'a self, filter: &'a HistoryFilter) -> Waiting<'a, Option<Result<Answer, HistoryError>>>;
    fn sts_policies(&self) -> Option<Vec<StsKept>>;
    fn sts_numbers(&self) -> Option<StsNumbers>;
    fn reports(&self) -> Option<&Reports>;
    fn forget_sts_policy<'a>(&'a self, domain: &'a Domain) -> Waiting<'a, Result<Option<StsKept>, WriteError>>;
    fn policy(&self) -> Arc<Policy>;
    fn validation(&self) -> Waiting<'_, Validation>;
    fn generation(&self) -> u64;
    fn set_policy(&self, policy: Policy);
    /// Nothing that was verified before is used again, and what waits is tried at once.
    fn renew(&self);
    fn record(&self, event: Event);
    fn set_config(&self, config: Config);
    fn release_holds(&self) -> Waiting<'_, Result<(), SpoolError>>;
    fn close(&self) -> Waiting<'_, ()>;
    fn break_off(&self);
}

pub(crate) type Waiting<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Files that are read again when they change.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) lists: Option<Arc<WatchedLists>>,
    pub(crate) trust: Arc<Trust>,
}

struct Shared {
    control: Box<dyn Control>,
    watched: Option<Watched>,
    config: RwLock<Option<ConfigFile>>,
    /// One reload at a time: what one finds changed is told from what the one before left.
    reloading: Mutex<()>,
    started: UnixMillis,
    /// One change at a time.
    file: Option<Arc<Mutex<PolicyFile>>>,
    /// What the file said when it last came into force: to be read while a change is under way.
    text: RwLock<Option<(PathBuf, Arc<str>)>>,
    stage: RwLock<Stage>,
    reloads: RwLock<Reloads>,
    numbers: QueueNumbers,
    disk_look: DiskLook,
}

/// What came of reading the policy's file again, or editing it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reloads {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) last_succeeded: bool,
    pub(crate) in_force_since: UnixMillis,
}

impl RelayControl {
    pub(crate) fn new(control: Box<dyn Control>, file: Option<PolicyFile>, watched: Option<Watched>, config: Option<ConfigFile>) -> Self {
        let text = RwLock::new(file.as_ref().map(text_of));
        let (started, file) = (control.now(), file.map(|file| Arc::new(Mutex::new(file))));
        let reloads = Reloads { succeeded: 0, failed: 0, last_succeeded: true, in_force_since: started };
        let shared = Shared {
            control,
            watched,
            config: RwLock::new(config),
            reloading: Mutex::default(),
            started,
            file,
            text,
            stage: RwLock::default(),
            reloads: RwLock::new(reloads),
            numbers: QueueNumbers::default(),
            disk_look: DiskLook::default(),
        };
        Self { shared: Arc::new(shared), by: Arc::from(THE_PROGRAM) }
    }

    /// The same, for changes that this one makes: so the history calls them.
    #[must_use]
    pub fn by(&self, who: impl Into<Arc<str>>) -> Self {
        Self { shared: Arc::clone(&self.shared), by: who.into() }
    }

    pub(crate) fn engine(&self) -> &dyn Control {
        &*self.shared.control
    }

    /// Waits until no other reload is under way, and lets none begin until this is dropped.
    pub(crate) async fn reloading(&self) -> MutexGuard<'_, ()> {
        self.shared.reloading.lock().await
    }

    /// The relay's own file as it was last read.
    pub(crate) fn config_file(&self) -> Option<ConfigFile> {
        self.shared.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn keep_config_file(&self, file: ConfigFile) {
        *self.shared.config.write().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    /// How far it has come.
    pub(crate) fn stage(&self) -> Stage {
        self.shared.stage.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn enter(&self, stage: Stage) {
        *self.shared.stage.write().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    pub(crate) fn reloads(&self) -> Reloads {
        *self.shared.reloads.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn started(&self) -> UnixMillis {
        self.shared.started
    }

    pub(crate) fn disk_look(&self) -> &DiskLook {
        &self.shared.disk_look
    }

    pub(crate) fn kept_numbers(&self) -> &QueueNumbers {
        &self.shared.numbers
    }

    /// The files of its own certificates, and when what is shown of each ends.
    pub(crate) fn certificate_ends(&self) -> Vec<(PathBuf, UnixMillis)> {
        self.shared.watched.as_ref().map_or_else(Vec::new, |watched| watched.certificates.ends())
    }

    /// The files of the certificates that it shows to servers, and when what is shown of each ends.
    pub(crate) fn shown_certificate_ends(&self) -> Vec<(PathBuf, UnixMillis)> {
        self.shared.watched.as_ref().map_or_else(Vec::new, |watched| watched.trust.ends())
    }

    /// How it is.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    pub async fn status(&self) -> Result<RelayStatus, SpoolError> {
        let engine = self.engine();
        let (queue, due) = (engine.queue().await?, engine.due(engine.now()).await?);
        Ok(RelayStatus {
            hostname: engine.hostname(),
            started: self.shared.started,
            now: engine.now(),
            policy_file: self.policy_text().map(|(path, _)| path),
            policy_generation: engine.generation(),
            policy_entries: engine.policy().entries(),
            stats: engine.stats(),
            queue,
            due,
        })
    }

    /// Up to `limit` entries of the queue that match, oldest first.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    pub async fn list_queue(&self, filter: Filter, limit: usize) -> Result<Vec<Listed>, SpoolError> {
        self.engine().list_queue(filter, limit).await
    }

    /// What would hold for each recipient of an entry if it were tried now.
    #[must_use]
    pub fn outlook(&self, listed: &Listed) -> Vec<Outlook> {
        self.engine().outlook(listed)
    }

    /// Does this to entries of the queue; those that are being tried are left alone. It is brought to its end even if nobody
    /// waits for it any more.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read or written.
    pub async fn change_queue(&self, selection: QueueSelection, action: QueueAction) -> Result<QueueOutcome, SpoolError> {
        let control = self.clone();
        let changing = tokio::spawn(async move { control.engine().change_queue(selection, action).await });
        changing.await.unwrap_or(Err(SpoolError::Closed))
    }

    /// The time on its clock.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.engine().now()
    }

    /// What happens from now on, as the history tells it. Whoever falls a thousand events behind misses some.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.engine().events()
    }

    /// The entries of the history that a filter lets through, up to those of this moment; nothing if it keeps none.
    pub async fn history(&self, filter: &HistoryFilter) -> Option<Result<Answer, HistoryError>> {
        self.engine().history(filter).await
    }

    /// The MTA-STS policies that are kept, by domain; nothing if it uses none.
    #[must_use]
    pub fn sts_policies(&self) -> Option<Vec<StsKept>> {
        self.engine().sts_policies()
    }

    /// Forgets the MTA-STS policy of a domain, and returns what it was: the next mail looks for one anew. The history tells of it. It is
    /// brought to its end even if nobody waits for it any more.
    ///
    /// # Errors
    /// [`WriteError`]: it counts no more, and may be there again after a restart.
    pub async fn forget_sts_policy(&self, domain: &Domain) -> Result<Option<StsKept>, WriteError> {
        let (control, domain) = (self.clone(), domain.clone());
        let forgetting = tokio::spawn(async move {
            let engine = control.engine();
            let forgotten = engine.forget_sts_policy(&domain).await?;
            if let Some(StsKept { kept, .. }) = &forgotten {
                let (by, mode, id) = (&*control.by, kept.policy.mode, &*kept.id);
                tracing::warn!(%domain, by, %mode, id, "a kept MTA-STS policy is dropped");
                let changes = format!("the kept policy {id} of {domain} is dropped; its mode was {mode}");
                engine.record(Event::of_policy(engine.now(), by, MTA_STS, changes));
            }
            Ok(forgotten)
        });
        forgetting.await.unwrap_or(Err(WriteError::Closed))
    }

    /// The policy that is in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.engine().policy()
    }

    /// The file of the policy that is in force, and what it said then.
    #[must_use]
    pub fn policy_text(&self) -> Option<(PathBuf, Arc<str>)> {
        self.shared.text.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the policy's file again, and obeys it from now on. Open sessions and deliveries under way are not disturbed.
    ///
    /// What is stricter now reaches mail that waits at once; what is weaker does not let go mail that was deferred for TLS,
    /// unless [`ChangeOptions::apply_to_queue`] says so.
    ///
    /// # Errors
    /// [`PolicyFileError`], and the policy of before stays in force.
    pub async fn reload(&self, options: ChangeOptions) -> Result<PolicyChange, PolicyFileError> {
        self.change(options, move |file| file.read_again(options)).await
    }

    /// Reads the relay's own certificates again, which it does by itself too when their files change, and says what came of each. What is
    /// new is shown from the next handshake on; beside what is wrong or out of date, the one of before stays. The revocation lists are read
    /// again too.
    pub async fn reload_certificates(&self) -> Vec<CertificateReload> {
        let Some(Watched { certificates, lists, .. }) = self.shared.watched.clone() else { return Vec::new() };
        let now = self.engine().now();
        let found = tokio::task::spawn_blocking(move || {
            lists.iter().for_each(|lists| lists.reload());
            certificates.reload(now)
        })
        .await
        .unwrap_or_default();
        found.iter().for_each(certificates::tell);
        found
    }

    /// Changes the policy's file, and obeys it from now on, as [`reload`](Self::reload) does. One change is made after the other.
    ///
    /// # Errors
    /// [`PolicyFileError`], and file and policy stay as they were.
    pub async fn edit(&self, edits: Vec<Edit>, options: ChangeOptions) -> Result<PolicyChange, PolicyFileError> {
        self.change(options, move |file| file.edit(&edits, options)).await
    }

    /// Changes one row of an included list, in its file and in the policy in force, as [`edit`](Self::edit) does, in the time
    /// that it takes to copy the list: nothing else is read again. `list` is what the policy calls it.
    ///
    /// # Errors
    /// [`PolicyFileError`], and list and policy stay as they were.
    pub async fn edit_row(&self, list: String, row: RowChange, options: ChangeOptions) -> Result<PolicyChange, PolicyFileError> {
        self.change(options, move |file| file.edit_row(&list, &row, options)).await
    }

    /// Drafts a policy and brings it into force. It is brought to its end even if nobody waits for it any more.
    async fn change(
        &self,
        options: ChangeOptions,
        draft: impl FnOnce(&PolicyFile) -> Result<Draft, PolicyFileError> + Send + 'static,
    ) -> Result<PolicyChange, PolicyFileError> {
        let file = Arc::clone(self.shared.file.as_ref().ok_or(PolicyFileError::NoFile)?);
        let changed = self.change_file(file, options, draft).await;
        if !options.dry_run {
            self.note_reload(changed.is_ok());
        }
        changed
    }

    fn note_reload(&self, succeeded: bool) {
        let now = self.now();
        let mut reloads = self.shared.reloads.write().unwrap_or_else(PoisonError::into_inner);
        reloads.last_succeeded = succeeded;
        if succeeded {
            (reloads.succeeded, reloads.in_force_since) = (reloads.succeeded + 1, now);
        } else {
            reloads.failed += 1;
        }
    }

    async fn change_file(
        &self,
        file: Arc<Mutex<PolicyFile>>,
        options: ChangeOptions,
        draft: impl FnOnce(&PolicyFile) -> Result<Draft, PolicyFileError> + Send + 'static,
    ) -> Result<PolicyChange, PolicyFileError> {
        let control = self.clone();
        let changing = tokio::spawn(async move {
            let mut file = file.lock_owned().await;
            let (asked, runtime) = (control.clone(), tokio::runtime::Handle::current());
            let blocking = tokio::task::spawn_blocking(move || {
                let draft = draft(&file)?;
                if let Some(place) = draft.needs_dnssec() {
                    PolicyFileError::unless_proven(place, &runtime.block_on(asked.engine().validation()))?;
                }
                let named = NamedFiles::read(draft.policy(), file.path())?;
                let change = draft.change().clone();
                let changed_file = draft.file(&file);
                let policy = if options.dry_run { None } else { Some((file.commit(draft)?, named)) };
                Ok::<_, PolicyFileError>((file, change, changed_file, policy))
            });
            // Held until the end, so that policies come into force in the order of the texts.
            let (file, change, changed_file, policy) = blocking.await.map_err(|_| PolicyFileError::Stopping)??;
            if let Some(policy) = policy {
                *control.shared.text.write().unwrap_or_else(PoisonError::into_inner) = Some(text_of(&file));
                control.enforce(policy, &change, &changed_file, options).await?;
            }
            Ok(change)
        });
        changing.await.map_err(|_| PolicyFileError::Stopping)?
    }

    async fn enforce(
        &self,
        (policy, named): (Policy, NamedFiles),
        change: &PolicyChange,
        file: &Path,
        options: ChangeOptions,
    ) -> Result<(), PolicyFileError> {
        let PolicyChange { changed, entries_before, entries_after, .. } = *change;
        let engine = self.engine();
        // Before the policy: what it names is known when it is first asked.
        let renamed = self.shared.watched.as_ref().is_some_and(|watched| watched.trust.obey(named));
        if changed || renamed {
            engine.set_policy(policy);
            if renamed {
                engine.renew();
            }
            let files = if renamed { "; trust anchors or client certificates are others" } else { "" };
            let changes = format!("{}; {entries_after} entries, {entries_before} before{files}", change.differences);
            engine.record(Event::of_policy(engine.now(), &*self.by, file.display().to_string(), changes));
        }
        let (by, generation) = (&*self.by, engine.generation());
        tracing::info!(changed, by, generation, entries_before, entries_after, "a policy is in force");
        if options.apply_to_queue {
            // After the policy: an attempt that begins in between is still held, and made again.
            engine.release_holds().await?;
            tracing::info!(by, "mail that was deferred for TLS is let go where the policy allows it");
        }
        Ok(())
    }
}

fn text_of(file: &PolicyFile) -> (PathBuf, Arc<str>) {
    (file.path().to_owned(), Arc::clone(file.text()))
}

impl fmt::Debug for RelayControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayControl").field("hostname", &self.engine().hostname()).finish_non_exhaustive()
    }
}

/// What the history calls the place of policies that others publish.
const MTA_STS: &str = "MTA-STS";

/// Who makes changes, where nobody else is named.
const THE_PROGRAM: &str = "the program itself";
