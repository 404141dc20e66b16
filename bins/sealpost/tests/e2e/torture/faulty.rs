//! A server that does at one stage of a session what no server should, until it is healed.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;

use crate::content::noise;
use crate::relay::free_address;
use crate::wire::Wire;

/// Where in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Banner,
    Hello,
    StartTls,
    Handshake,
    Mail,
    Rcpt,
    Data,
    /// In the middle of the body.
    Body,
    /// All of the body is there.
    End,
    Quit,
}

/// What it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Says nothing, and reads nothing.
    Stall,
    /// Says an octet now and then, of something that never ends; reads as slowly.
    Drip,
    /// Resets the connection.
    Reset,
    /// Says what is no SMTP, and no TLS.
    Garbage,
}

pub(crate) struct Faulty {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
}

pub(crate) struct State {
    fault: (Stage, Deed),
    is_ill: AtomicBool,
    /// How often it did it.
    pub(crate) struck: AtomicUsize,
    /// Commands of mail that came in clear.
    pub(crate) in_clear: AtomicUsize,
    /// The bodies that came whole.
    pub(crate) taken: Mutex<Vec<Vec<u8>>>,
    tls: Arc<ServerConfig>,
}

impl Stage {
    pub(crate) const ALL: [Self; 10] =
        [Self::Banner, Self::Hello, Self::StartTls, Self::Handshake, Self::Mail, Self::Rcpt, Self::Data, Self::Body, Self::End, Self::Quit];
}

impl Deed {
    pub(crate) const ALL: [Self; 4] = [Self::Stall, Self::Drip, Self::Reset, Self::Garbage];
}

impl Faulty {
    /// It ends with the process.
    pub(crate) fn start(fault: (Stage, Deed), tls: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind(free_address()).unwrap();
        // Small, so that a body fills it.
        SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            fault,
            is_ill: AtomicBool::new(true),
            struck: AtomicUsize::new(0),
            in_clear: AtomicUsize::new(0),
            taken: Mutex::default(),
            tls,
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // How a session ends is the fault's business.
                thread::spawn(move || drop(state.serve(stream)));
            }
        });
        Self { address, state }
    }

    pub(crate) fn heal(&self) {
        self.state.is_ill.store(false, Ordering::SeqCst);
    }

    pub(crate) fn copies(&self) -> usize {
        self.state.taken.lock().unwrap().len()
    }
}

impl State {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let tcp = stream.try_clone()?;
        let (mut wire, tcp) = (Wire::new(stream)?, &tcp);
        let mut is_secure = false;
        self.say(Stage::Banner, &mut wire, tcp, "220 faulty.test ESMTP")?;
        while let Some(line) = wire.line(true)? {
            let line = String::from_utf8_lossy(&line).to_ascii_uppercase();
            let verb = line.split([' ', ':', '\r']).next().unwrap_or_default();
            if !is_secure && ["MAIL", "RCPT", "DATA"].contains(&verb) {
                self.in_clear.fetch_add(1, Ordering::SeqCst);
            }
            match verb {
                "EHLO" if is_secure => wire.send(b"250 faulty.test\r\n")?,
                "EHLO" => self.say(Stage::Hello, &mut wire, tcp, "250-faulty.test\r\n250 STARTTLS")?,
                "STARTTLS" => {
                    self.say(Stage::StartTls, &mut wire, tcp, "220 go on")?;
                    if self.is_due(Stage::Handshake) {
                        // What comes with the 220 is another fault.
                        wire.fill()?;
                        self.strike(&mut wire, tcp, &[22, 3, 3, 0x3f, 0xff, 2])?;
                    }
                    wire.accept_tls(Arc::clone(&self.tls))?;
                    is_secure = true;
                }
                "MAIL" => self.say(Stage::Mail, &mut wire, tcp, "250 ok")?,
                "RCPT" => self.say(Stage::Rcpt, &mut wire, tcp, "250 ok")?,
                "DATA" => {
                    self.say(Stage::Data, &mut wire, tcp, "354 go on")?;
                    self.body(&mut wire, tcp)?;
                }
                "QUIT" => return self.say(Stage::Quit, &mut wire, tcp, "221 bye"),
                _ => wire.send(b"250 ok\r\n")?,
            }
        }
        Ok(())
    }

    fn body(&self, wire: &mut Wire, tcp: &TcpStream) -> io::Result<()> {
        if self.is_due(Stage::Body) {
            let begun = wire.exactly(1000)?;
            wire.put_back(&begun);
            if self.fault.1 == Deed::Drip {
                self.struck.fetch_add(1, Ordering::SeqCst);
                while self.is_ill.load(Ordering::SeqCst) {
                    wire.fill()?;
                    thread::sleep(PAUSE);
                }
            } else {
                self.strike(wire, tcp, b"250 ")?;
            }
        }
        let body = wire.until(b"\r\n.\r\n")?;
        self.taken.lock().unwrap().push(body);
        self.say(Stage::End, wire, tcp, "250 taken")
    }

    fn is_due(&self, stage: Stage) -> bool {
        self.fault.0 == stage && self.is_ill.load(Ordering::SeqCst)
    }

    fn say(&self, stage: Stage, wire: &mut Wire, tcp: &TcpStream, reply: &str) -> io::Result<()> {
        if self.is_due(stage) {
            return self.strike(wire, tcp, &reply.as_bytes()[..4]);
        }
        wire.send(format!("{reply}\r\n").as_bytes())
    }

    /// Always an error, when the client has had enough.
    fn strike(&self, wire: &mut Wire, tcp: &TcpStream, begin: &[u8]) -> io::Result<()> {
        self.struck.fetch_add(1, Ordering::SeqCst);
        match self.fault.1 {
            Deed::Stall => {
                while self.is_ill.load(Ordering::SeqCst) {
                    thread::sleep(PAUSE);
                }
            }
            Deed::Drip => {
                wire.send(begin)?;
                while self.is_ill.load(Ordering::SeqCst) {
                    wire.send(b"x")?;
                    thread::sleep(PAUSE);
                }
            }
            Deed::Reset => SockRef::from(tcp).set_linger(Some(Duration::ZERO))?,
            Deed::Garbage => {
                let mut octets = noise(77, 600);
                octets.iter_mut().step_by(3).for_each(|octet| *octet |= 0x80);
                wire.send(&octets)?;
                wire.send(b"\0\r\n\r\n")?;
                while wire.fill()? > 0 {
                    wire.forget_pending();
                }
            }
        }
        Err(ErrorKind::Other.into())
    }
}

/// Between two octets.
const PAUSE: Duration = Duration::from_millis(20);
