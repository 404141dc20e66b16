//! A mail server whose TLS is OpenSSL's: `openssl s_server`, behind somebody who speaks STARTTLS for it, and SMTP once TLS is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::authority::Identity;
use crate::relay::free_address;

/// A running server, for one connection after the other; it ends when this is dropped.
pub(crate) struct OpensslServer {
    /// Where it greets in clear and offers STARTTLS.
    pub(crate) starttls: SocketAddr,
    /// Where TLS begins with the first octet.
    pub(crate) implicit: SocketAddr,
    messages: Arc<Mutex<Vec<String>>>,
    child: Child,
    _folder: TempDir,
}

type Input = Arc<Mutex<ChildStdin>>;

impl OpensslServer {
    /// It shows this certificate; `options` are those of `openssl s_server`.
    pub(crate) fn start(identity: &Identity, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = identity.write(folder.path());
        let tls = free_address();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &tls.to_string(), "-cert"]).arg(certificate).arg("-key").arg(key).args(options);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (Arc::new(Mutex::new(child.stdin.take().unwrap())), child.stdout.take().unwrap());
        let messages = Arc::<Mutex<Vec<String>>>::default();
        let (taken, answers) = (Arc::clone(&messages), Arc::clone(&input));
        thread::spawn(move || serve(output, &answers, &taken));
        let starttls = listen(tls, |stream| offer_starttls(stream).is_some());
        let implicit = listen(tls, move |_| say(&input, "220 openssl.test ESMTP\r\n"));
        Self { starttls, implicit, messages, child, _folder: folder }
    }

    /// The messages that it has taken, once there are so many.
    pub(crate) fn wait_for(&self, count: usize, limit: Duration) -> Vec<String> {
        let end = Instant::now() + limit;
        loop {
            let taken = self.messages.lock().unwrap().clone();
            if taken.len() >= count {
                return taken;
            }
            assert!(Instant::now() < end, "{count} messages: {taken:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.messages.lock().unwrap().len()
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Leads each connection that passes `begin` to where TLS is.
fn listen(tls: SocketAddr, begin: impl Fn(&TcpStream) -> bool + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if begin(&client)
                && let Some(server) = connect(tls)
            {
                let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || copy(back_from, back_to));
                thread::spawn(move || copy(client, server));
            }
        }
    });
    address
}

/// `openssl` says nowhere that it listens.
fn connect(tls: SocketAddr) -> Option<TcpStream> {
    (0..500).find_map(|_| {
        let stream = TcpStream::connect(tls);
        if stream.is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        stream.ok()
    })
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// In clear, up to the 220 to STARTTLS; nothing where the client goes before.
fn offer_starttls(mut stream: &TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    stream.write_all(b"220 openssl.test ESMTP\r\n").ok()?;
    loop {
        let line = lines.next()?.ok()?.to_ascii_uppercase();
        let reply: &[u8] = match () {
            () if line.starts_with("EHLO") => b"250-openssl.test\r\n250 STARTTLS\r\n",
            () if line == "STARTTLS" => b"220 2.0.0 go ahead\r\n",
            () => b"530 5.7.0 STARTTLS first\r\n",
        };
        stream.write_all(reply).ok()?;
        if line == "STARTTLS" {
            return Some(());
        }
    }
}

/// What the client says under TLS, and what it is answered.
fn serve(output: ChildStdout, input: &Input, messages: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    while let Some(line) = lines.next() {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        say(
            input,
            match verb.as_str() {
                "EHLO" => "250-openssl.test\r\n250 8BITMIME\r\n",
                "DATA" => "354 go on\r\n",
                "QUIT" => "221 2.0.0 bye\r\n",
                _ => "250 2.0.0 ok\r\n",
            },
        );
        if verb == "DATA" {
            let message: Vec<String> = lines.by_ref().take_while(|line| line != ".").collect();
            messages.lock().unwrap().push(message.join("\n"));
            say(input, "250 2.0.0 taken\r\n");
        }
    }
}

fn say(input: &Input, text: &str) -> bool {
    let mut input = input.lock().unwrap();
    input.write_all(text.as_bytes()).and_then(|()| input.flush()).is_ok()
}
