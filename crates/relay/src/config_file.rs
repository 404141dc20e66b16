//! The relay's own file: what of it differs from what the relay runs with, and what of that is obeyed at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::assemble::read;
use crate::config::Config;
use crate::error::StartError;

/// The relay's own file as it was read at the start, and as it was last read.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    /// Keys that need a restart count from here.
    started: BTreeMap<String, Value>,
    current: BTreeMap<String, Value>,
}

/// Keys of `sealpost.toml` that differ, as they are written with dots: `limits.idle`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigChange {
    /// In force from now on.
    pub now: Vec<String>,
    /// In force from the next start on. They are told of at each reload until then.
    pub restart: Vec<String>,
}

impl ConfigFile {
    /// Reads the file, and what it says.
    ///
    /// # Errors
    /// [`StartError::Unreadable`] and [`StartError::Config`].
    pub fn open(path: &Path) -> Result<(Self, Config), StartError> {
        let (keys, config) = read_keys(path)?;
        Ok((Self { path: path.to_owned(), started: keys.clone(), current: keys }, config))
    }

    /// Reads it again: what it is now, what it says, and which keys differ. Blocks.
    ///
    /// # Errors
    /// As for [`open`](Self::open); then nothing of it is obeyed.
    pub(crate) fn read_again(&self) -> Result<(Self, Config, ConfigChange), StartError> {
        let (keys, config) = read_keys(&self.path)?;
        let change = ConfigChange {
            now: differing(&self.current, &keys).filter(|key| is_live(key)).collect(),
            restart: differing(&self.started, &keys).filter(|key| !is_live(key)).collect(),
        };
        Ok((Self { current: keys, ..self.clone() }, config, change))
    }
}

impl ConfigChange {
    /// Whether all is as the relay runs with it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.now.is_empty() && self.restart.is_empty()
    }
}

impl Config {
    /// Takes from another configuration what is obeyed while a relay runs: what [`LIVE`] names.
    pub(crate) fn take_live(&mut self, new: Self) {
        self.rights = new.rights;
        self.routes = new.routes;
        self.queue.retry = new.queue.retry;
        self.queue.retry_tls = new.queue.retry_tls;
        self.limits.hops = new.limits.hops;
    }
}

fn read_keys(path: &Path) -> Result<(BTreeMap<String, Value>, Config), StartError> {
    let text = read("the configuration", path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let config = Config::parse(&path.display().to_string(), &text, folder)?;
    let mut keys = BTreeMap::new();
    // What reads as a configuration is a table.
    flatten(String::new(), toml::from_str::<Table>(&text).unwrap_or_default(), &mut keys);
    Ok((keys, config))
}

/// Each key with its value, tables taken apart; lists, and lists of tables, are one value.
fn flatten(prefix: String, table: Table, keys: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let key = if is_bare { key } else { format!("{key:?}") };
        match value {
            Value::Table(inner) => flatten(format!("{prefix}{key}."), inner, keys),
            value => drop(keys.insert(format!("{prefix}{key}"), value)),
        }
    }
}

fn differing(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> impl Iterator<Item = String> {
    let gone_or_other = before.iter().filter(|(key, value)| after.get(*key) != Some(value)).map(|(key, _)| key);
    let new = after.keys().filter(|key| !before.contains_key(*key));
    let mut keys: Vec<_> = gone_or_other.chain(new).cloned().collect();
    keys.sort();
    keys.into_iter()
}

fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| if live.ends_with('.') { key.starts_with(live) } else { key == *live })
}

/// What is obeyed while a relay runs, from the next command of a session or the next attempt on; with a dot at the end all of a table.
/// Everything else needs a restart.
pub const LIVE: &[&str] = &["limits.hops", "queue.retry", "queue.retry_tls", "relay.", "routes."];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_told_until_they_are_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealpost.toml");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("hostname = 'a.example'\n[limits]\nidle = '1m'\n[routes]\n'b.example' = 'c.example:25'\n");
        let (file, _) = ConfigFile::open(&path).unwrap();
        assert!(file.read_again().unwrap().2.is_empty());
        write(
            "# comments are no keys\nhostname = 'a.example'\n[[listener]]\naddress = '127.0.0.1:25'\n[limits]\nidle = '2m'\nhops = 9\n\
             [routes]\n'*' = 'd.example:25'\n[relay]\ntrusted_networks = []\n",
        );
        let (file, _, change) = file.read_again().unwrap();
        assert_eq!(change.now, ["limits.hops", "relay.trusted_networks", "routes.\"*\"", "routes.\"b.example\""]);
        assert_eq!(change.restart, ["limits.idle", "listener"]);
        let (file, _, change) = file.read_again().unwrap();
        assert_eq!((change.now.len(), change.restart.len()), (0, 2), "what needs a restart still does");
        write("hostname = \n");
        assert!(matches!(file.read_again(), Err(StartError::Config(_))));
    }

    /// Each key that is said to be obeyed at once is taken over, and no other is.
    #[test]
    fn what_is_live_is_taken_over() {
        let parse = |text: &str| Config::parse("t", &format!("hostname = 'a.example'\n{text}"), Path::new(".")).unwrap();
        let mut running = parse("");
        running.take_live(parse(
            "[relay]\ntrusted_networks = ['192.0.2.0/24']\npostmaster = 'a@a.example'\n[routes]\n'*' = 'd.example:25'\n\
             [queue]\nretry = ['9s']\nretry_tls = ['8s']\nreserve = 9\n[limits]\nhops = 9\nidle = '9s'\n",
        ));
        assert!(running.rights.is_trusted([192, 0, 2, 1].into()) && running.rights.postmaster.is_some());
        assert!(running.routes.find(&"x.example".parse().unwrap()).is_some());
        assert_ne!((&running.queue.retry, &running.queue.retry_tls), (&parse("").queue.retry, &parse("").queue.retry_tls));
        assert_eq!((running.limits.hops, running.limits.idle, running.queue.reserve), (9, parse("").limits.idle, parse("").queue.reserve));
    }
}
