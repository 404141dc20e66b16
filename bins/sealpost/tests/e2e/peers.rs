//! Real mail servers, each unpacked below the target folder and run there in a root of its own. Needs root.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::authority::Identity;
use crate::client::Client;
use crate::relay::free_address;

/// A mail server on a loopback port; it is stopped and its files are removed when this is dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    root: PathBuf,
    child: Child,
    log: PathBuf,
}

impl Peer {
    /// A Postfix that takes mail for every domain over TLS and keeps it in one mailbox.
    pub(crate) fn postfix(identity: &Identity) -> Self {
        Self::postfix_at(free_address(), identity)
    }

    /// The same, on this address.
    pub(crate) fn postfix_at(address: SocketAddr, identity: &Identity) -> Self {
        Self::start_at(address, "postfix", |root, address| {
            postfix_files(root, address, identity, POSTFIX_MAILBOX);
            "postfix start-fg & cat >/dev/null; postfix stop; wait"
        })
    }

    /// The same, which knows no other key exchange than the post-quantum one.
    pub(crate) fn postfix_of_post_quantum(identity: &Identity) -> Self {
        Self::start("postfix", |root, address| {
            postfix_files(root, address, identity, &format!("{POSTFIX_MAILBOX}{POSTFIX_POST_QUANTUM}"));
            "postfix start-fg & cat >/dev/null; postfix stop; wait"
        })
    }

    /// The same, of clients with a certificate that `authority` (PEM) vouches for.
    pub(crate) fn postfix_demanding(identity: &Identity, authority: &str) -> Self {
        Self::start("postfix", |root, address| {
            put(root, "etc/certs/ca.pem", authority, 0o644);
            postfix_files(root, address, identity, &format!("{POSTFIX_MAILBOX}{POSTFIX_DEMANDING}"));
            "postfix start-fg & cat >/dev/null; postfix stop; wait"
        })
    }

    /// A Postfix that sends everything to `next`, over TLS that `authority` (PEM) vouches for.
    pub(crate) fn postfix_client(identity: &Identity, next: SocketAddr, authority: &str) -> Self {
        Self::postfix_client_with("", identity, next, authority)
    }

    /// The same, which knows no other key exchange than the post-quantum one.
    pub(crate) fn postfix_client_of_post_quantum(identity: &Identity, next: SocketAddr, authority: &str) -> Self {
        Self::postfix_client_with(POSTFIX_POST_QUANTUM, identity, next, authority)
    }

    fn postfix_client_with(more: &str, identity: &Identity, next: SocketAddr, authority: &str) -> Self {
        Self::start("postfix", |root, address| {
            put(root, "etc/certs/ca.pem", authority, 0o644);
            let next = format!("[{}]:{}", next.ip(), next.port());
            postfix_files(root, address, identity, &format!("{}{more}", POSTFIX_CLIENT.replace("NEXT", &next)));
            "postfix start-fg & cat >/dev/null; postfix stop; wait"
        })
    }

    /// An OpenSMTPD that takes mail for every domain over TLS and keeps it in one mailbox.
    pub(crate) fn opensmtpd(identity: &Identity) -> Self {
        Self::start("opensmtpd", |root, address| {
            certificates(root, identity, (0, 0));
            put(root, "etc/ssl/certs/ca-certificates.crt", &identity.certificate, 0o644);
            put(root, "etc/smtpd.conf", &OPENSMTPD.replace("PORT", &address.port().to_string()), 0o600);
            "/usr/sbin/smtpd -d & pid=$!; cat >/dev/null; kill -TERM $pid; wait"
        })
    }

    /// An Exim that takes mail for every domain over TLS and keeps it in one mailbox.
    pub(crate) fn exim(identity: &Identity) -> Self {
        Self::start("exim", |root, address| {
            certificates(root, identity, EXIM_USER);
            put(root, "etc/exim4/exim4.conf", &EXIM.replace("PORT", &address.port().to_string()), 0o644);
            "/usr/sbin/exim4 -bdf -q30s & pid=$!; cat >/dev/null; kill -TERM $pid; wait"
        })
    }

    fn start(name: &str, configure: impl FnOnce(&Path, SocketAddr) -> &'static str) -> Self {
        Self::start_at(free_address(), name, configure)
    }

    fn start_at(address: SocketAddr, name: &str, configure: impl FnOnce(&Path, SocketAddr) -> &'static str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let peers = folder();
        let root = peers.join("run").join(format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst)));
        fs::create_dir_all(peers.join("run")).unwrap();
        // Hard links: what a test changes is removed and written anew.
        let copied = Command::new("cp").arg("-al").arg(peers.join(name)).arg(&root).status().unwrap();
        assert!(copied.success(), "no {name} in {}", peers.display());
        let script = configure(&root, address);
        directory(&root, "var/mail", MAIL_USER);
        let log = root.join("peer.log");
        let output = File::create(&log).unwrap();
        // It ends when its standard input does, so it never outlives the test.
        let child = Command::new("chroot")
            .arg(&root)
            .args(["/bin/sh", "-c", script])
            .env("PATH", "/usr/sbin:/usr/bin")
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut peer = Self { address, root, child, log };
        let end = Instant::now() + Duration::from_secs(60);
        while Client::connect(address).map(Client::quit).is_err() {
            assert!(peer.child.try_wait().unwrap().is_none(), "{name} ended at once");
            assert!(Instant::now() < end, "{name} does not greet");
            thread::sleep(Duration::from_millis(50));
        }
        peer
    }

    /// What arrived in its mailbox.
    pub(crate) fn mail(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let box_folder = self.root.join("var/mail/box/new");
        for file in fs::read_dir(box_folder).into_iter().flatten() {
            found.push(fs::read(file.unwrap().path()).unwrap());
        }
        found
    }

    pub(crate) fn wait_for_mail(&self, count: usize, limit: Duration) -> Vec<Vec<u8>> {
        let end = Instant::now() + limit;
        loop {
            let mail = self.mail();
            if mail.len() >= count {
                return mail;
            }
            assert!(Instant::now() < end, "{count} messages expected, {} arrived", mail.len());
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn log(&self) -> String {
        let logs = [self.log.clone(), self.root.join("var/log/postfix.log"), self.root.join("var/log/exim4/mainlog")];
        logs.iter().filter_map(|log| fs::read_to_string(log).ok()).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let end = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        if thread::panicking() {
            eprintln!("--- the log of {}\n{}---", self.root.display(), self.log());
        }
        // What cannot be removed is removed by the next `./test`.
        drop(fs::remove_dir_all(&self.root));
    }
}

/// Where the servers were unpacked.
pub(crate) fn folder() -> PathBuf {
    let given = std::env::var_os("SEALPOST_PEERS").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("peers"))
}

fn postfix_files(root: &Path, address: SocketAddr, identity: &Identity, role: &str) {
    certificates(root, identity, (0, 0));
    put(root, "etc/postfix/main.cf", &format!("{POSTFIX}{role}"), 0o644);
    put(root, "etc/postfix/master.cf", &POSTFIX_SERVICES.replace("ADDRESS", &address.to_string()), 0o644);
}

fn certificates(root: &Path, identity: &Identity, owner: (u32, u32)) {
    put(root, "etc/certs/cert.pem", &identity.certificate, 0o644);
    put(root, "etc/certs/key.pem", &identity.key, 0o600);
    chown(root.join("etc/certs/key.pem"), Some(owner.0), Some(owner.1)).unwrap();
}

fn put(root: &Path, name: &str, content: &str, mode: u32) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // The file may be a link into the unpacked root; it is not there in most cases.
    drop(fs::remove_file(&path));
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn directory(root: &Path, name: &str, owner: (u32, u32)) {
    let path = root.join(name);
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    chown(&path, Some(owner.0), Some(owner.1)).unwrap();
}

/// The account `post`, as the roots are made.
const MAIL_USER: (u32, u32) = (5000, 5000);
const EXIM_USER: (u32, u32) = (104, 105);

const POSTFIX: &str = "\
compatibility_level = 3.6
queue_directory = /var/spool/postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
data_directory = /var/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.test
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = /etc/certs/key.pem, /etc/certs/cert.pem
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtp_tls_loglevel = 1
message_size_limit = 104857600
maillog_file = /var/log/postfix.log
";

const POSTFIX_MAILBOX: &str = "\
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:box/
virtual_mailbox_base = /var/mail
virtual_mailbox_limit = 0
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
";

const POSTFIX_DEMANDING: &str = "\
smtpd_tls_req_ccert = yes
smtpd_tls_CAfile = /etc/certs/ca.pem
";

/// Its OpenSSL is 3.5, which has it.
const POSTFIX_POST_QUANTUM: &str = "\
tls_eecdh_auto_curves = X25519MLKEM768
tls_ffdhe_auto_groups =
";

const POSTFIX_CLIENT: &str = "\
relayhost = NEXT
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = relay.test
smtp_tls_CAfile = /etc/certs/ca.pem
";

const POSTFIX_SERVICES: &str = "\
ADDRESS inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
tlsproxy unix - - n - 0 tlsproxy
";

const OPENSMTPD: &str = r#"
pki smtpd.test cert "/etc/certs/cert.pem"
pki smtpd.test key "/etc/certs/key.pem"
table everyone { "@" = "post" }
listen on 127.0.0.1 port PORT tls-require pki smtpd.test hostname smtpd.test
action "keep" maildir "/var/mail/box" virtual <everyone>
match from any for any action "keep"
"#;

const EXIM: &str = "
primary_hostname = exim.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = PORT
disable_ipv6 = true
tls_advertise_hosts = *
tls_certificate = /etc/certs/cert.pem
tls_privatekey = /etc/certs/key.pem
acl_smtp_mail = tls_only
acl_smtp_rcpt = everyone
rfc1413_query_timeout = 0s
host_lookup =
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
keep_environment =
begin acl
tls_only:
  deny !encrypted = *
  accept
everyone:
  accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  directory = /var/mail/box
  maildir_format
  create_directory
  user = 5000
  group = 5000
";
