//! Files that hold secrets, and whether others may read them.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sealpost_policy::Policy;
use sealpost_types::ClientIdentity;

use crate::config::Config;
use crate::policy_file::beside;

/// A file with a secret in it that anybody on this host may read, or write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenSecret {
    /// What it is: `private key`.
    pub what: &'static str,
    /// Where it lies.
    pub path: PathBuf,
    /// Its permissions, as `chmod` takes them.
    pub mode: u32,
}

impl fmt::Display for OpenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "{path}: everybody on this host may read or write the {} (mode {:03o}); `chmod o= {path}` is meant", self.what, self.mode)
    }
}

/// Which files with secrets in them are open to others than their owner and group. Those that are not there are not named.
#[must_use]
pub fn open_secrets(config: &Config, policy: Option<&Policy>) -> Vec<OpenSecret> {
    let keys =
        config.tls.identities().chain(&config.delivery.client_identity).map(|identity| ("private key", identity.private_key.clone()));
    let dkim = config.tls_reports.iter().filter_map(|reports| reports.dkim_key.clone()).map(|path| ("DKIM key", path));
    let token = config.admin.token.iter().map(|path| ("token", path.clone()));
    let users = config.auth.users.iter().map(|path| ("users file", path.clone()));
    let named = config.policy.iter().zip(policy).flat_map(|(file, policy)| {
        policy.client_identities().into_iter().filter_map(|(identity, _)| match identity {
            ClientIdentity::Files { key, .. } => Some(("private key", beside(file, &key))),
            _ => None,
        })
    });
    let mut found: Vec<_> = keys.chain(dkim).chain(token).chain(users).chain(named).filter_map(|(what, path)| look(what, path)).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    found
}

fn look(what: &'static str, path: PathBuf) -> Option<OpenSecret> {
    let mode = mode(&path)?;
    (mode & OTHERS != 0).then_some(OpenSecret { what, path, mode })
}

fn mode(path: &Path) -> Option<u32> {
    Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

/// Reading and writing by others than owner and group.
const OTHERS: u32 = 0o006;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn secrets_that_others_may_read_are_named_once_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, "secret").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        file("key.pem", 0o644);
        file("users", 0o602);
        file("token", 0o640);
        file("dkim.pem", 0o604);
        file("cert.pem", 0o644);
        file("partner.pem", 0o666);
        let text = "hostname = 'a.example'\npolicy = 'policy.toml'\n[tls]\ncertificate = 'cert.pem'\nprivate_key = 'key.pem'\n[auth]\nusers = 'users'\n\
            [delivery]\nclient_certificate = 'cert.pem'\nclient_key = 'key.pem'\n[admin]\naddress = '127.0.0.1:1'\ntoken = 'token'\n\
            [tlsrpt]\nenabled = true\ndkim_key = 'dkim.pem'\n";
        let config = Config::parse("sealpost.toml", text, folder.path()).unwrap();
        let policy = "[[partner]]\ndomains = 'bank.example'\ndeliver = { level = 'require', client_certificate = 'partner.pem', client_key = 'partner.pem' }\n";
        let policy = Policy::parse("policy.toml", policy).unwrap();
        let found = open_secrets(&config, Some(&policy));
        let names: Vec<_> = found.iter().map(|open| (open.path.file_name().unwrap().to_str().unwrap(), open.what, open.mode)).collect();
        assert_eq!(
            names,
            [
                ("dkim.pem", "DKIM key", 0o604),
                ("key.pem", "private key", 0o644),
                ("partner.pem", "private key", 0o666),
                ("users", "users file", 0o602)
            ]
        );
        assert!(found[0].to_string().contains("may read or write the DKIM key (mode 604); `chmod o= "), "{}", found[0]);
        for open in &found {
            fs::set_permissions(&open.path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        assert_eq!(open_secrets(&config, Some(&policy)), []);
    }
}
