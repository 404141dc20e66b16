//! Where on the disk a relay has business: for whoever restricts the process to these folders.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sealpost_policy::{Policy, PolicyText};
use sealpost_report::StreamTarget;
use sealpost_types::ClientIdentity;

use crate::config::Config;
use crate::policy_file::beside;

/// The folders that a relay needs while it runs, as its configuration and its policy name them.
///
/// Folders, not files: certificates, lists and policies are replaced by new files of the same names. A file that is a symbolic link
/// needs the folder that it leads to, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Places {
    /// What is read there, also again and again.
    pub read: BTreeSet<PathBuf>,
    /// What is written there, and read.
    pub write: BTreeSet<PathBuf>,
}

impl Places {
    /// Of a relay with this configuration and this policy; `config_file` is read again by a reload.
    #[must_use]
    pub fn of(config_file: &Path, config: &Config, policy: &Policy) -> Self {
        let mut places = Self::default();
        places.may_write(&config.data_dir);
        places.may_read_file(config_file);
        for identity in config.tls.identities().chain(&config.delivery.client_identity) {
            places.may_read_file(&identity.certificate);
            places.may_read_file(&identity.private_key);
        }
        let tls = &config.tls;
        let dkim = config.tls_reports.as_ref().and_then(|reports| reports.dkim_key.as_ref());
        let others = [
            &tls.trust_anchors,
            &tls.revocation_lists,
            &tls.client_anchors,
            &config.auth.users,
            &config.dns.trust_anchor,
            &config.admin.token,
        ];
        others.into_iter().flatten().chain(dkim).for_each(|file| places.may_read_file(file));
        config.admin.socket.iter().for_each(|socket| places.may_write(folder(socket)));
        if let Some(StreamTarget::File(file)) = &config.history.stream {
            places.may_write(folder(file));
        }
        if let Some(file) = &config.policy {
            places.of_policy(file, policy);
        }
        places.in_few_words()
    }

    /// The same without what lies below another: what may be written may be read.
    fn in_few_words(self) -> Self {
        let real = |folders: BTreeSet<PathBuf>| folders.into_iter().map(real).collect::<BTreeSet<_>>();
        let (read, write) = (real(self.read), real(self.write));
        let is_below = |folder: &Path, of: &BTreeSet<PathBuf>| folder.ancestors().skip(1).any(|above| of.contains(above));
        let highest = |of: &BTreeSet<PathBuf>| of.iter().filter(|folder| !is_below(folder, of)).cloned().collect::<BTreeSet<_>>();
        let (read, write) = (highest(&read), highest(&write));
        let read = read.into_iter().filter(|folder| !write.contains(folder) && !is_below(folder, &write)).collect();
        Self { read, write }
    }

    /// The policy, the lists that it includes and the files that it names. Commands change policy and lists through the relay.
    fn of_policy(&mut self, file: &Path, policy: &Policy) {
        self.may_write_file(file);
        let text = std::fs::read_to_string(file).unwrap_or_default();
        for include in PolicyText::parse("", &text).iter().flat_map(PolicyText::includes) {
            self.may_write_file(&beside(file, &include.form.file));
        }
        for (files, _) in policy.anchor_files() {
            files.files().for_each(|anchors| self.may_read_file(&beside(file, anchors)));
        }
        for (identity, _) in policy.client_identities() {
            if let ClientIdentity::Files { certificate, key } = identity {
                [certificate, key].iter().for_each(|name| self.may_read_file(&beside(file, name)));
            }
        }
    }

    fn may_read_file(&mut self, file: &Path) {
        self.read.insert(folder(file).to_owned());
        self.read.extend(led_to(file));
    }

    fn may_write_file(&mut self, file: &Path) {
        self.write.insert(folder(file).to_owned());
        self.write.extend(led_to(file));
    }

    fn may_write(&mut self, folder: &Path) {
        self.write.insert(folder.to_owned());
    }
}

/// The folder of the file that a symbolic link leads to in the end.
fn led_to(file: &Path) -> Option<PathBuf> {
    file.canonicalize().ok().map(|file| folder(&file).to_owned())
}

/// The folder by its whole name, without links; one that is not there yet as it is named.
fn real(folder: PathBuf) -> PathBuf {
    folder.canonicalize().or_else(|_| std::path::absolute(&folder)).unwrap_or(folder)
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Says that this process is restricted to some folders from now on: errors about files that may not be read tell of it.
pub fn process_is_confined() {
    CONFINED.store(true, Ordering::Relaxed);
}

/// The error with what to do about it, where the restriction of the process may be why.
pub(crate) fn explained(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::PermissionDenied && CONFINED.load(Ordering::Relaxed) {
        return io::Error::new(io::ErrorKind::PermissionDenied, Confined(error));
    }
    error
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{0}; the running relay is confined to the folders that its files named when it started ([process] landlock): restart it, or put the file into one of them"
)]
struct Confined(io::Error);

/// A process is restricted as a whole, and for good.
static CONFINED: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_file_that_is_named_has_its_folder_and_links_lead_to_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["etc", "live", "archive", "lists", "partners", "data", "data/tls", "run", "log", "users"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("archive/key1.pem"), "x").unwrap();
        std::os::unix::fs::symlink(at("archive/key1.pem"), at("live/key.pem")).unwrap();
        let policy_text = "[[include]]\nfile = '../lists/partners.csv'\n[[partner]]\ndomains = 'bank.example'\n\
            deliver = { level = 'verify', anchors = ['../partners/ca.pem'] }\n";
        fs::write(at("etc/policy.toml"), policy_text).unwrap();
        fs::write(at("lists/partners.csv"), "domain\na.example\n").unwrap();
        let text = "hostname = 'a.example'\ndata_dir = '../data'\npolicy = 'policy.toml'\n[tls]\ncertificate = '../live/cert.pem'\n\
            private_key = '../live/key.pem'\ntrust_anchors = '../data/tls/ca.pem'\n[auth]\nusers = '../users/users'\n[admin]\nsocket = '../run/admin.sock'\n[history]\nstream = '../log/history.jsonl'\n";
        let config = Config::parse("sealpost.toml", text, &at("etc")).unwrap();
        let (_, policy) = crate::policy_file::PolicyFile::open(&at("etc/policy.toml")).unwrap();
        let places = Places::of(&at("etc/sealpost.toml"), &config, &policy);
        let all = |names: &[&str]| names.iter().map(|name| at(name).canonicalize().unwrap()).collect::<BTreeSet<_>>();
        assert_eq!(places.read, all(&["archive", "live", "partners", "users"]));
        assert_eq!(places.write, all(&["data", "etc", "lists", "log", "run"]), "and what lies below these is not told");
    }

    #[test]
    fn only_what_is_forbidden_to_a_confined_process_is_explained() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(!explained(denied()).to_string().contains("confined"));
        // Other tests of this process do not meet forbidden files.
        process_is_confined();
        assert!(explained(denied()).to_string().contains("restart it"));
        assert!(!explained(io::Error::from(io::ErrorKind::NotFound)).to_string().contains("confined"));
        CONFINED.store(false, Ordering::Relaxed);
    }
}
