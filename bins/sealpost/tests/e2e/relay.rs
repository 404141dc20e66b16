//! A relay for one test: its files in a folder of their own, the process, and what it leaves behind.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::authority::Authority;
use crate::client::Client;
use crate::sink::{Behaviour, Sink, StartTls};

/// The files of one relay. Its certificate is for `relay.test`, `localhost` and `127.0.0.1`.
pub(crate) struct House {
    folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) address: SocketAddr,
    listener: &'static str,
    routes: Vec<(String, SocketAddr)>,
    policy: String,
    more: String,
    environment: Vec<(&'static str, String)>,
}

/// A running relay; it is killed when this is dropped, and its log is shown when the test failed.
pub(crate) struct Relay {
    child: Option<Child>,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("relay-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let authority = Authority::new();
        authority.issue(&["relay.test", "localhost", "127.0.0.1"]).write(folder.path());
        fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        Self {
            folder,
            authority,
            address: free_address(),
            listener: "starttls",
            routes: Vec::new(),
            policy: String::new(),
            more: String::new(),
            environment: Vec::new(),
        }
    }

    /// A relay that sends everything to this sink.
    pub(crate) fn to(sink: &Sink) -> Self {
        Self::new().route("*", sink.address)
    }

    /// With this policy, beside a server of bank.example that does TLS and one of clear.example that does not. Its files are written.
    pub(crate) fn between_bank_and_clear(policy: &str) -> (Self, [Sink; 2]) {
        let house = Self::new();
        let secure = Sink::start(Behaviour::offering(&house.authority.issue(&["bank.example", "127.0.0.1"])));
        let clear = Sink::start(Behaviour::new(StartTls::Absent));
        let house = house.route("bank.example", secure.address).route("clear.example", clear.address).policy(policy);
        house.write();
        (house, [secure, clear])
    }

    pub(crate) fn route(mut self, domain: &str, address: SocketAddr) -> Self {
        self.routes.push((domain.to_owned(), address));
        self
    }

    pub(crate) fn policy(mut self, text: &str) -> Self {
        text.clone_into(&mut self.policy);
        self
    }

    /// What the listener does about TLS.
    pub(crate) fn listener(mut self, tls: &'static str) -> Self {
        self.listener = tls;
        self
    }

    /// Further tables of `sealpost.toml`.
    pub(crate) fn also(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self.more.push('\n');
        self
    }

    /// A variable that the relay is started with.
    pub(crate) fn environment(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.file("sealpost.toml")
    }

    /// What the files say, as they are written at start.
    pub(crate) fn config_text(&self) -> String {
        let mut text = String::from("hostname = \"relay.test\"\ndata_dir = \"data\"\npolicy = \"policy.toml\"\n");
        let (address, listener) = (self.address, self.listener);
        write!(text, "[[listener]]\naddress = \"{address}\"\ntls = \"{listener}\"\n").unwrap();
        text.push_str("[tls]\ncertificate = \"cert.pem\"\nprivate_key = \"key.pem\"\ntrust_anchors = \"ca.pem\"\n");
        write!(text, "[relay]\ntrusted_networks = [\"127.0.0.0/8\"]\n[queue]\nretry = [\"1s\"]\n[routes]\n").unwrap();
        for (domain, address) in &self.routes {
            writeln!(text, "\"{domain}\" = \"{address}\"").unwrap();
        }
        text.push_str(&self.more);
        text
    }

    pub(crate) fn write(&self) {
        fs::write(self.config(), self.config_text()).unwrap();
        fs::write(self.file("policy.toml"), &self.policy).unwrap();
    }

    /// Writes the files, starts the relay, and waits until it has started.
    pub(crate) fn start(&self) -> Relay {
        self.write();
        self.start_again()
    }

    /// Begins to start the relay with the files that are there, and waits for nothing.
    pub(crate) fn begin(&self) -> Relay {
        self.begin_by(sealpost())
    }

    /// Starts the relay with the files that are there, with mounts of its own.
    pub(crate) fn start_unshared(&self) -> Relay {
        let mut command = Command::new("unshare");
        command.args(["--mount", env!("CARGO_BIN_EXE_sealpost")]);
        self.start_under(command)
    }

    /// Starts the relay with the files that are there, by a program that is told to run `sealpost` with the arguments behind its own.
    pub(crate) fn start_under(&self, launcher: Command) -> Relay {
        self.wait_for_start(self.begin_by(clean(launcher)), 0)
    }

    /// Starts the relay with the files that are there; it may open so many.
    pub(crate) fn start_with_files(&self, limit: u64) -> Relay {
        let mut command = clean(Command::new("sh"));
        command.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_sealpost")]);
        self.wait_for_start(self.begin_by(command), 0)
    }

    fn begin_by(&self, mut command: Command) -> Relay {
        let log = self.file("relay.log");
        let output = File::options().create(true).append(true).open(&log).unwrap();
        command.arg("run").arg("--config").arg(self.config());
        command.envs(self.environment.clone());
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Relay { child: Some(command.spawn().unwrap()), address: self.address, log }
    }

    /// Starts the relay with the files that are there.
    pub(crate) fn start_again(&self) -> Relay {
        let before = fs::metadata(self.file("relay.log")).map_or(0, |log| usize::try_from(log.len()).unwrap());
        self.wait_for_start(self.begin(), before)
    }

    /// Waits until the relay says so in its log behind these octets, and greets.
    fn wait_for_start(&self, mut relay: Relay, before: usize) -> Relay {
        let end = Instant::now() + START;
        while !relay.log()[before..].contains("started") || Client::connect(self.address).map(Client::quit).is_err() {
            let ended = relay.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the relay ended at once: {ended:?}");
            assert!(Instant::now() < end, "the relay does not start:\n{}", relay.log());
            thread::sleep(Duration::from_millis(20));
        }
        relay
    }

    /// Runs a command of `sealpost` with this configuration to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        finish(sealpost().envs(self.environment.clone()).args(arguments).arg("--config").arg(self.config()), Duration::from_secs(60))
    }

    /// Runs a command that must end with this exit code; gives all that it says.
    pub(crate) fn says(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        text
    }

    /// The history as JSON text.
    pub(crate) fn history(&self) -> String {
        let output = self.run(&["history", "--json", "--limit", "100000"]);
        assert!(output.status.success(), "history failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the history holds an entry with all these words; gives the whole history.
    pub(crate) fn wait_for_history(&self, words: &[&str], limit: Duration) -> String {
        let end = Instant::now() + limit;
        loop {
            let history = self.history();
            if entries(&history).iter().any(|entry| words.iter().all(|word| entry.contains(word))) {
                return history;
            }
            assert!(Instant::now() < end, "no entry with {words:?} in the history:\n{history}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Relay {
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), Signal::TERM).unwrap();
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), Signal::HUP).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(mut self, limit: Duration) -> ExitStatus {
        let status = wait(self.child.as_mut().unwrap(), limit).expect("the relay goes on");
        self.child = None;
        status
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    pub(crate) fn log(&self) -> String {
        // The relay writes many lines at a time: what it has said may still be on its way.
        thread::sleep(Duration::from_millis(100));
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A number of KiB from the process's status: `VmRSS`, or its highest value `VmHWM`.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Forgets the highest value so far.
    pub(crate) fn reset_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(12_000).map_or(0, |(at, _)| at);
            eprintln!("--- the relay's log\n{}---", &log[from..]);
        }
    }
}

/// The program under test.
pub(crate) fn sealpost() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_sealpost")))
}

/// Without what this process was told by its environment.
fn clean(mut command: Command) -> Command {
    for name in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "SEALPOST_CONFIG",
        "SEALPOST_LOG",
        "SEALPOST_LOG_FORMAT",
        "RUST_LOG",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command and gives what it wrote; panics when it takes longer than `limit`.
pub(crate) fn finish(command: &mut Command, limit: Duration) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = Pid::from_child(&child);
    let reading = (child.stdout.take(), child.stderr.take());
    let reader = |stream: Option<_>| {
        thread::spawn(move || {
            let (mut stream, mut bytes): (Box<dyn std::io::Read + Send>, _) = (stream.unwrap(), Vec::new());
            std::io::Read::read_to_end(&mut stream, &mut bytes).map(|_| bytes)
        })
    };
    let stdout = reader(reading.0.map(|stream| Box::new(stream) as _));
    let stderr = reader(reading.1.map(|stream| Box::new(stream) as _));
    let status = wait(&mut child, limit);
    if status.is_none() {
        // It may end by itself just now.
        let _ = kill_process(pid, Signal::KILL);
        child.wait().unwrap();
    }
    let (stdout, stderr) = (stdout.join().unwrap().unwrap(), stderr.join().unwrap().unwrap());
    let Some(status) = status else {
        panic!("{command:?} did not end:\n{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    };
    Output { status, stdout, stderr }
}

/// An address on loopback that nobody listens on. Ports lie below those that the system gives to outgoing connections.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 500).unwrap() * 20;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::SeqCst)) % 12_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpStream::connect(address).is_err() && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The entries of a history: one JSON value a line, or one array of them.
pub(crate) fn entries(history: &str) -> Vec<String> {
    match serde_json::from_str::<Vec<serde_json::Value>>(history) {
        Ok(values) => values.iter().map(ToString::to_string).collect(),
        Err(_) => history.lines().map(str::to_owned).collect(),
    }
}

pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

const START: Duration = Duration::from_secs(30);
