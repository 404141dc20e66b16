//! BIND on loopback, with zones that are signed for one test: a root of its own, and what lies below it.
//!
//! One server has the zones; another one is a validating resolver in front of it.
#![allow(dead_code, reason = "each test program uses a part")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How a zone is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    /// Not at all.
    None,
    /// By this algorithm, its gaps shown by NSEC.
    Nsec(&'static str),
    /// By this algorithm, its gaps shown by NSEC3.
    Nsec3(&'static str),
    /// The same, and what is not signed is left out (RFC 5155 section 6).
    OptOut(&'static str),
    /// With signatures that ended last year.
    Expired,
    /// Rightly, and then records are changed.
    Tampered,
}

/// A zone: its name without the final dot (the root is ""), and its records beside SOA and NS.
pub(crate) struct Zone {
    pub(crate) name: &'static str,
    pub(crate) signing: Signing,
    pub(crate) records: String,
}

/// A running server; it ends when this is dropped, or the process does.
pub(crate) struct Bind {
    folder: TempDir,
    pub(crate) address: SocketAddr,
    config: PathBuf,
    child: Option<Child>,
}

impl Bind {
    /// A server that has these zones, children after their parents, with the delegations between them.
    pub(crate) fn serving(zones: &[Zone]) -> Self {
        let folder = tempfile::Builder::new().prefix("bind-").tempdir().unwrap();
        let mut files = Vec::new();
        // From the leaves to the root: a parent holds what its children's keys are known by.
        let mut proofs: Vec<(String, String)> = Vec::new();
        for zone in zones.iter().rev() {
            let mut text = format!("$TTL 60\n$ORIGIN {}.\n@ SOA ns.bind. host.bind. 1 60 60 600 60\n@ NS ns.bind.\n", zone.name);
            for (child, ds) in proofs.iter().filter(|(child, _)| parent(child, zones) == zone.name) {
                writeln!(text, "{child}. NS ns.bind.\n{ds}").unwrap();
            }
            if zone.name.is_empty() {
                text.push_str("ns.bind. A 127.0.0.1\n");
            }
            text.push_str(&zone.records);
            text.push('\n');
            let (file, ds) = sign(folder.path(), zone, &text);
            if !zone.name.is_empty() {
                proofs.push((zone.name.to_owned(), ds));
            }
            files.push((zone.name.to_owned(), file));
        }
        let mut options = String::new();
        for (name, file) in &files {
            writeln!(options, "zone \"{}.\" {{ type primary; file \"{}\"; }};", name, file.display()).unwrap();
        }
        Self::start(folder, "recursion no; dnssec-validation no;", &options)
    }

    /// A validating resolver in front of it.
    pub(crate) fn resolver(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("bind-").tempdir().unwrap();
        let upstream = format!("forward only; forwarders {{ {} port {}; }};", self.address.ip(), self.address.port());
        let key = self.anchor();
        let words: Vec<_> = key.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "DNSKEY").unwrap();
        let (flags, rest) = (&words[at + 1..at + 4], words[at + 4..].concat());
        let anchor = format!("trust-anchors {{ . static-key {} \"{rest}\"; }};", flags.join(" "));
        Self::start(folder, &format!("recursion yes; dnssec-validation yes; {upstream}"), &anchor)
    }

    /// The root's key-signing key, as a line of a trust anchor file.
    pub(crate) fn anchor(&self) -> String {
        let root = self.folder.path().join("root.key");
        fs::read_to_string(root).unwrap()
    }

    /// Serves other records in a zone from now on, signed anew.
    pub(crate) fn change(&mut self, zone: &Zone) {
        let mut text = format!("$TTL 60\n$ORIGIN {}.\n@ SOA ns.bind. host.bind. 2 60 60 600 60\n@ NS ns.bind.\n", zone.name);
        text.push_str(&zone.records);
        text.push('\n');
        sign(self.folder.path(), zone, &text);
        self.stop("again\n");
        self.child = Some(run(self.folder.path(), &self.config, self.address));
    }

    fn start(folder: TempDir, options: &str, more: &str) -> Self {
        let address = free_address();
        let place = folder.path().display();
        let config = folder.path().join("named.conf");
        let text = format!(
            "options {{ directory \"{place}\"; pid-file none; session-keyfile none; lock-file none; managed-keys-directory \"{place}\";\n\
             listen-on port {} {{ {}; }}; listen-on-v6 {{ none; }}; notify no; minimal-responses no; empty-zones-enable no; {options} }};\n\
             controls {{ }};\n{more}\n",
            address.port(),
            address.ip(),
        );
        fs::write(&config, text).unwrap();
        let child = run(folder.path(), &config, address);
        Self { folder, address, config, child: Some(child) }
    }

    fn stop(&mut self, word: &str) {
        if let Some(mut child) = self.child.take() {
            child.stdin.take().unwrap().write_all(word.as_bytes()).unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        self.stop("again\n");
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.path().join("named.log")).unwrap_or_default());
        }
    }
}

/// The nearest zone above this one.
fn parent<'z>(name: &str, zones: &'z [Zone]) -> &'z str {
    let above = |zone: &&Zone| zone.name != name && (zone.name.is_empty() || name.ends_with(&format!(".{}", zone.name)));
    zones.iter().filter(above).map(|zone| zone.name).max_by_key(|name| name.len()).unwrap()
}

/// Writes a zone, signed if it is to be; gives its file, and the DS records for its parent.
fn sign(folder: &Path, zone: &Zone, text: &str) -> (PathBuf, String) {
    let label = if zone.name.is_empty() { "root" } else { zone.name };
    let file = folder.join(format!("{label}.zone"));
    let origin = format!("{}.", zone.name);
    let mut text = text.to_owned();
    let (algorithm, nsec3) = match zone.signing {
        Signing::None => {
            fs::write(&file, text).unwrap();
            return (file, String::new());
        }
        Signing::Nsec(algorithm) => (algorithm, &[][..]),
        Signing::Nsec3(algorithm) => (algorithm, &["-3", "ab", "-H", "0"][..]),
        Signing::OptOut(algorithm) => (algorithm, &["-3", "ab", "-H", "0", "-A"][..]),
        Signing::Expired | Signing::Tampered => ("ECDSAP256SHA256", &[][..]),
    };
    // The keys stay when a zone is signed anew.
    let keys_file = folder.join(format!("{label}.keys"));
    if !keys_file.exists() {
        let mut keys = String::new();
        for flags in [&["-f", "KSK"][..], &[]] {
            let mut command = Command::new("dnssec-keygen");
            command.arg("-q").arg("-K").arg(folder).args(["-a", algorithm]).args(flags);
            if algorithm.starts_with("RSA") {
                command.args(["-b", "2048"]);
            }
            let name = output(command.arg(&origin));
            let key = fs::read_to_string(folder.join(format!("{}.key", name.trim()))).unwrap();
            if zone.name.is_empty() && flags.len() == 2 {
                let record = key.lines().find(|line| !line.starts_with(';')).unwrap();
                fs::write(folder.join("root.key"), format!("{record}\n")).unwrap();
            }
            keys.push_str(&key);
        }
        fs::write(&keys_file, keys).unwrap();
    }
    text.push_str(&fs::read_to_string(&keys_file).unwrap());
    fs::write(&file, text).unwrap();
    let signed = folder.join(format!("{label}.signed"));
    let mut command = Command::new("dnssec-signzone");
    command.arg("-S").arg("-K").arg(folder).arg("-d").arg(folder).args(["-o", &origin]).arg("-f").arg(&signed);
    command.args(nsec3);
    if zone.signing == Signing::Expired {
        command.args(["-P", "-s", "20240101000000", "-e", "20240201000000"]);
    }
    output(command.current_dir(folder).arg(&file));
    if zone.signing == Signing::Tampered {
        let text = fs::read_to_string(&signed).unwrap();
        assert!(text.contains("127.0.0.66"), "a tampered zone needs an address to change");
        fs::write(&signed, text.replace("127.0.0.66", "127.0.0.99")).unwrap();
    }
    let ds = fs::read_to_string(folder.join(format!("dsset-{origin}"))).unwrap();
    (signed, ds)
}

fn run(folder: &Path, config: &Path, address: SocketAddr) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("named.log")).unwrap();
    // It ends with its standard input, so that none is left when the tests end, however they do.
    let mut command = Command::new("sh");
    command
        .args(["-c", "named -g -n 1 -c \"$0\" & read -r word; kill -9 $!; [ \"$word\" = again ] || rm -rf \"$1\""])
        .arg(config)
        .arg(folder);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        let log = || fs::read_to_string(folder.join("named.log")).unwrap_or_default();
        assert!(Instant::now() < end, "named does not start:\n{}", log());
        thread::sleep(Duration::from_millis(20));
    }
    child
}

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn free_address() -> SocketAddr {
    loop {
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        // The same number may be taken on the TCP side.
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
