//! Whether a relay can take mail now, and what keeps it from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Access;
use sealpost_queue::Health;
use sealpost_types::{NextHop, Octets, UnixMillis};
use tokio::sync::Mutex;

use crate::certificates::expiry_warning;
use crate::control::RelayControl;
use crate::resolver_watch::Found;

/// Whether a relay can take mail now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Readiness {
    /// Each thing that it takes.
    pub checks: Vec<Check>,
    /// Free space on the disk of the queue, if it is known.
    pub free: Option<Octets>,
}

/// One thing that it takes to accept mail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it is met.
    pub is_met: bool,
    /// What was found.
    pub found: String,
    /// What would be right; nothing where it is met.
    pub remedy: Option<String>,
}

/// How far a relay has come.
#[derive(Clone, Debug, Default)]
pub(crate) enum Stage {
    /// Clients are not greeted yet.
    #[default]
    Starting,
    /// They are, at these addresses.
    Running(Vec<SocketAddr>),
    /// They are no more.
    Stopping,
}

/// Looks at the disk, one after the other: where it hangs, whoever asks again does not hang another thread.
#[derive(Debug, Default)]
pub(crate) struct DiskLook(Arc<Mutex<()>>);

/// What a look at the disk shows.
#[derive(Debug)]
struct Space {
    free: Result<Octets, String>,
    write: Result<(), String>,
}

impl Readiness {
    /// Whether every check is met.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.is_met)
    }
}

impl Check {
    fn met(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, is_met: true, found: found.into(), remedy: None }
    }

    fn failed(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, is_met: false, found: found.into(), remedy: Some(remedy.into()) }
    }
}

impl RelayControl {
    /// Whether it can take mail now, and what keeps it from it. It asks no name server: that is done now and then beside it.
    pub async fn readiness(&self) -> Readiness {
        let (engine, config) = (self.engine(), self.engine().config());
        let gauges = engine.gauges();
        let mut checks = vec![listeners(&self.stage()), store(&gauges.health)];
        let mut free = None;
        if let Some(disk) = gauges.disk {
            let space = self.disk_look().look(disk.directory.clone(), config.data_dir.clone()).await;
            free = space.as_ref().and_then(|space| space.free.as_ref().ok()).copied();
            checks.push(disk_space(&disk.directory, disk.reserve, space.as_ref(), &gauges.health));
            checks.push(data_dir(&config.data_dir, space.as_ref()));
        }
        let is_needed = !config.routes.lead_to_addresses();
        checks.push(resolver(engine.resolver_found().as_ref(), is_needed));
        checks.push(certificates(&self.certificate_ends(), self.now()));
        Readiness { checks, free }
    }
}

fn listeners(stage: &Stage) -> Check {
    match stage {
        Stage::Starting => Check::failed("listeners", "clients are not greeted yet: the relay is starting", "some seconds of patience"),
        Stage::Stopping => Check::failed("listeners", "closed: the relay is shutting down", "a start of the relay"),
        Stage::Running(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            Check::met("listeners", format!("clients are greeted at {}", addresses.join(", ")))
        }
    }
}

fn store(health: &Health) -> Check {
    match health {
        Health::Good | Health::Full => Check::met("store", "can be written"),
        Health::Poisoned { reason } => Check::failed(
            "store",
            format!("poisoned, nothing is taken: {reason}"),
            "a disk that can be written, and then a restart of the relay, which reads everything back",
        ),
        _ => Check::failed("store", "closed", "a start of the relay"),
    }
}

fn disk_space(directory: &Path, reserve: Octets, space: Option<&Space>, health: &Health) -> Check {
    let (directory, kept) = (directory.display(), Mebibytes(reserve));
    let remedy = format!("more than {kept} free, as [queue] reserve says");
    match space.map(|space| &space.free) {
        None => Check::failed("disk", format!("{directory}: the disk does not answer"), "a disk that answers within 2 s"),
        Some(Err(error)) => Check::failed("disk", format!("{directory}: {error}"), remedy),
        Some(Ok(free)) if *free < reserve => {
            let found = format!("{directory}: {} free, less than the reserve of {kept}", Mebibytes(*free));
            Check::failed("disk", found, remedy)
        }
        // It looks once a second.
        Some(Ok(free)) if *health == Health::Full => {
            Check::failed("disk", format!("{directory}: no mail is taken for want of space; {} are free now", Mebibytes(*free)), remedy)
        }
        Some(Ok(free)) => Check::met("disk", format!("{directory}: {} free, {kept} are kept in reserve", Mebibytes(*free))),
    }
}

fn data_dir(path: &Path, space: Option<&Space>) -> Check {
    let path = path.display();
    let remedy = "a directory that the user of the relay may write, on a disk that is not read-only";
    match space.map(|space| &space.write) {
        None => Check::failed("data_dir", format!("{path}: the disk does not answer"), remedy),
        Some(Err(error)) => Check::failed("data_dir", format!("{path}: {error}"), remedy),
        Some(Ok(())) => Check::met("data_dir", format!("{path}: can be written")),
    }
}

fn resolver(found: Option<&Found>, is_needed: bool) -> Check {
    let remedy = "a name server that answers, see [dns] servers";
    match found {
        _ if !is_needed => Check::met("resolver", "not needed: every route leads to an address"),
        None => Check::failed("resolver", "the name servers have not answered yet", remedy),
        Some(found) => match &found.answer {
            Err(error) if found.is_silent() => Check::failed("resolver", error.to_string(), remedy),
            Err(error) => Check::met("resolver", format!("one question was lost ({error})")),
            Ok(()) => Check::met("resolver", "the name servers answer"),
        },
    }
}

fn certificates(ends: &[(PathBuf, UnixMillis)], now: UnixMillis) -> Check {
    let over = |(file, end): &(PathBuf, UnixMillis)| {
        let words = expiry_warning(*end, now, Duration::ZERO).filter(|_| *end <= now)?;
        Some(format!("{} {words}", file.display()))
    };
    let expired: Vec<_> = ends.iter().filter_map(over).collect();
    match (expired.is_empty(), ends.len()) {
        (true, 0) => Check::met("certificates", "there are none whose files are watched"),
        (true, 1) => Check::met("certificates", "the certificate is in date"),
        (true, count) => Check::met("certificates", format!("all {count} certificates are in date")),
        (false, _) => {
            Check::failed("certificates", expired.join("; "), "a new certificate in the same file; it is shown without a restart")
        }
    }
}

impl DiskLook {
    /// What the disk says; nothing if it says nothing in time.
    async fn look(&self, directory: PathBuf, data_dir: PathBuf) -> Option<Space> {
        let looking = async {
            let turn = Arc::clone(&self.0).lock_owned().await;
            let look = move || {
                let space = Space {
                    free: rustix::fs::statvfs(&directory)
                        .map(|space| Octets(space.f_bavail.saturating_mul(space.f_frsize)))
                        .map_err(|error| std::io::Error::from(error).to_string()),
                    write: may_write(&data_dir),
                };
                drop(turn);
                space
            };
            tokio::task::spawn_blocking(look).await
        };
        tokio::time::timeout(DISK_TIMEOUT, looking).await.ok()?.ok()
    }
}

/// Whether files can be made there, as far as that can be told without making one.
fn may_write(directory: &Path) -> Result<(), String> {
    let is_directory = std::fs::metadata(directory).map_err(|error| error.to_string())?.is_dir();
    if !is_directory {
        return Err("it is no directory".to_owned());
    }
    rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| std::io::Error::from(error).to_string())
}

impl crate::config::Routes {
    /// Whether all mail of all routes goes to addresses, and no mail has no route: then no name server is asked.
    pub(crate) fn lead_to_addresses(&self) -> bool {
        let mut next_hops = self.next_hops().peekable();
        self.has_one_for_all() && next_hops.peek().is_some() && next_hops.all(|next_hop| matches!(next_hop, NextHop::Address { .. }))
    }
}

/// A size in MiB.
struct Mebibytes(Octets);

impl std::fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} MiB", self.0.0 >> 20)
    }
}

/// A disk that is slower does not take mail either.
const DISK_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use sealpost_discovery::ProbeError;

    use super::*;
    use crate::config::Routes;

    fn space(free: u64, write: Result<(), String>) -> Space {
        Space { free: Ok(Octets(free)), write }
    }

    #[test]
    fn clients_have_to_be_greeted() {
        assert!(listeners(&Stage::Running(vec![([127, 0, 0, 1], 25).into()])).is_met);
        for (stage, words) in [(Stage::Starting, "starting"), (Stage::Stopping, "shutting down")] {
            let check = listeners(&stage);
            assert!(!check.is_met && check.found.contains(words) && check.remedy.is_some(), "{check:?}");
        }
    }

    #[test]
    fn a_store_that_is_poisoned_or_closed_takes_nothing() {
        assert!(store(&Health::Good).is_met);
        let check = store(&Health::Poisoned { reason: "sync: disk I/O error".into() });
        assert!(!check.is_met && check.found.contains("sync: disk I/O error") && check.remedy.unwrap().contains("restart"));
        assert!(!store(&Health::Closed).is_met);
    }

    #[test]
    fn space_below_the_reserve_takes_nothing() {
        let check = |free, health| disk_space(Path::new("/q"), Octets(64 << 20), Some(&space(free, Ok(()))), &health);
        assert!(check(64 << 20, Health::Good).is_met);
        let low = check((64 << 20) - 1, Health::Good);
        assert_eq!((low.is_met, low.found.as_str()), (false, "/q: 63 MiB free, less than the reserve of 64 MiB"));
        assert!(low.remedy.unwrap().contains("[queue] reserve"));
        assert!(!check(1 << 40, Health::Full).is_met, "the queue knows better");
        assert!(!disk_space(Path::new("/q"), Octets(0), None, &Health::Good).is_met, "a disk that hangs");
    }

    #[test]
    fn a_data_directory_has_to_be_there_and_to_be_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(may_write(folder.path()), Ok(()));
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(may_write(&file), Err("it is no directory".to_owned()));
        assert!(may_write(&folder.path().join("gone")).unwrap_err().contains("No such file"));
        let refused = data_dir(Path::new("/d"), Some(&space(1, Err("Read-only file system (os error 30)".to_owned()))));
        assert!(!refused.is_met && refused.found.contains("Read-only") && refused.remedy.is_some());
        assert!(data_dir(Path::new("/d"), Some(&space(1, Ok(())))).is_met);
    }

    /// A look that hangs keeps its turn, so that the next ones find out by waiting, and not by hanging too.
    #[tokio::test]
    async fn a_disk_that_hangs_is_looked_at_once() {
        let (disk, folder) = (DiskLook::default(), tempfile::tempdir().unwrap());
        let look = async || disk.look(folder.path().to_owned(), folder.path().to_owned()).await;
        let hanging = Arc::clone(&disk.0).lock_owned().await;
        tokio::time::pause();
        assert!(look().await.is_none());
        tokio::time::resume();
        drop(hanging);
        assert!(look().await.unwrap().free.is_ok());
    }

    #[test]
    fn name_servers_have_to_answer_where_they_are_asked() {
        let found = |answer: Result<(), ProbeError>, failures, ever| Found { answer, failures, ever, validation: None };
        let lost = || Err(ProbeError::Silent { waited: Duration::from_secs(5) });
        assert!(resolver(Some(&found(Ok(()), 0, true)), true).is_met);
        assert!(resolver(Some(&found(lost(), 1, true)), true).is_met, "one question may be lost");
        for silent in [Some(found(lost(), 2, true)), Some(found(lost(), 1, false)), None] {
            let check = resolver(silent.as_ref(), true);
            assert!(!check.is_met && check.remedy.unwrap().contains("[dns] servers"), "{silent:?}");
            assert!(resolver(silent.as_ref(), false).is_met, "nobody asks them");
        }
    }

    #[test]
    fn name_servers_are_not_asked_where_every_route_leads_to_an_address() {
        let routes = |routes: &[(&str, &str)]| {
            let mut all = Routes::default();
            routes.iter().for_each(|(pattern, to)| all.insert(pattern, to.parse().unwrap()).unwrap());
            all.lead_to_addresses()
        };
        assert!(routes(&[("*", "192.0.2.1:25"), ("a.example", "[2001:db8::1]:26")]));
        assert!(!routes(&[]) && !routes(&[("a.example", "192.0.2.1:25")]), "other mail has no route");
        assert!(!routes(&[("*", "192.0.2.1:25"), ("*.a.example", "mx.a.example:25")]));
        assert!(!routes(&[("*", "smart.example:25")]));
    }

    #[test]
    fn certificates_have_to_be_in_date() {
        let (file, now) = (PathBuf::from("/c.pem"), UnixMillis(1_790_000_000_000));
        let check = |ends: &[i64]| certificates(&ends.iter().map(|end| (file.clone(), UnixMillis(end + now.0))).collect::<Vec<_>>(), now);
        assert!(check(&[]).is_met && check(&[1]).is_met && check(&[1, 2]).is_met);
        let expired = check(&[1, -72 * 3_600_000]);
        assert_eq!((expired.is_met, expired.found.as_str()), (false, "/c.pem expired 3 days ago"));
        assert!(expired.remedy.is_some());
    }
}
