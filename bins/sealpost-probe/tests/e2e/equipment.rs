//! The program, and a `sealpost-probe sink` that runs until its test ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn probe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sealpost-probe")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The object that a command printed.
pub(crate) fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// Asserts the exit code, and gives what was said.
pub(crate) fn ends(output: &Output, code: i32) -> String {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// A server that is told what to do by the options of `sealpost-probe sink`.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    child: Child,
    told: Arc<(Mutex<Vec<Value>>, Condvar)>,
}

impl Sink {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", options)
    }

    pub(crate) fn start_at(address: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost-probe"));
        command.args(["sink", "--listen", address, "--json"]).arg("--maildir").arg(folder.path().join("mail"));
        if !options.contains(&"--certificate") {
            command.arg("--write-anchor").arg(folder.path().join("ca.pem"));
        }
        let mut child = command.args(options).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let first: Value = serde_json::from_str(&lines.next().expect("it says where it listens")).unwrap();
        let told = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let telling = Arc::clone(&told);
        thread::spawn(move || {
            for line in lines {
                telling.0.lock().unwrap().push(serde_json::from_str(&line).unwrap());
                telling.1.notify_all();
            }
        });
        Self { address: first["address"].as_str().unwrap().parse().unwrap(), folder, child, told }
    }

    pub(crate) fn at(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn anchors(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// Everything of this kind that it told, once there are so many.
    pub(crate) fn told(&self, event: &str, count: usize) -> Vec<Value> {
        let end = Instant::now() + LIMIT;
        let of = |told: &[Value]| told.iter().filter(|told| told["event"] == event).cloned().collect::<Vec<_>>();
        let mut told = self.told.0.lock().unwrap();
        loop {
            let found = of(&told);
            if found.len() >= count {
                return found;
            }
            let left = end.checked_duration_since(Instant::now()).unwrap_or_else(|| panic!("{count} x {event}: {told:#?}"));
            told = self.told.1.wait_timeout(told, left).unwrap().0;
        }
    }

    pub(crate) fn messages(&self) -> Vec<Value> {
        self.told("message", 0)
    }

    /// What lies in its maildir, in the order in which it came.
    pub(crate) fn kept(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.folder.path().join("mail/new")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| String::from_utf8(std::fs::read(file).unwrap()).unwrap()).collect()
    }

    /// Waits until it ends by itself.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client in clear that says what it is told, line by line.
pub(crate) struct Raw {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self { lines: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    /// Says this, if anything, and reads a reply with all its lines.
    pub(crate) fn say(&mut self, what: &str) -> String {
        self.stream.write_all(what.as_bytes()).unwrap();
        let mut reply = String::new();
        loop {
            let start = reply.len();
            if self.lines.read_line(&mut reply).unwrap_or(0) == 0 || reply.as_bytes()[start..].get(3) != Some(&b'-') {
                return reply;
            }
        }
    }
}

/// An address that refuses connections.
pub(crate) fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
