//! Python's HTTPS server on port 443 of a loopback address, with one MTA-STS policy.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::authority::Identity;

/// A running server; it ends when this is dropped, or the process does.
pub(crate) struct Web {
    folder: TempDir,
    address: Ipv4Addr,
    child: Option<Child>,
}

impl Web {
    pub(crate) fn start(address: Ipv4Addr, identity: &Identity, policy: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("web-").tempdir().unwrap();
        identity.write(folder.path());
        fs::create_dir_all(folder.path().join("www/.well-known")).unwrap();
        let mut web = Self { folder, address, child: None };
        web.publish(policy);
        web.resume();
        web
    }

    /// Another policy from now on.
    pub(crate) fn publish(&self, policy: &str) {
        fs::write(self.folder.path().join("www/.well-known/mta-sts.txt"), policy).unwrap();
    }

    /// Nobody answers any more.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Answers again.
    pub(crate) fn resume(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", SERVER, &self.address.to_string()]).arg(self.folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "{}", fs::read_to_string(self.log()).unwrap());
        self.child = Some(child);
    }

    /// How often the policy was fetched.
    pub(crate) fn fetches(&self) -> usize {
        fs::read_to_string(self.log()).unwrap().matches("GET /.well-known/mta-sts.txt ").count()
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("access.log")
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop();
    }
}

/// It ends with its standard input, so that none is left when the tests end, however they do.
const SERVER: &str = r#"
import functools, http.server, os, ssl, sys, threading
address, folder = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder + "/www")
server = http.server.ThreadingHTTPServer((address, 443), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("ready", flush=True)
server.serve_forever()
"#;
