//! A name server on loopback with a few records.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    closing: Arc<AtomicBool>,
    lies: Arc<Mutex<Vec<(&'static str, Lie)>>>,
}

/// What it does instead of answering.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    Silent,
    /// A forged answer to another query, as one who guesses sends it.
    OtherId,
    /// A forged answer to another question.
    OtherQuestion,
    /// A forged answer from another address.
    OtherSource,
    /// "Ask by TCP", where nobody listens.
    Truncated,
    /// No such name.
    Gone,
    /// SERVFAIL.
    Failed,
    Garbage,
}

pub(crate) enum Record {
    A(Ipv4Addr),
    Mx(u16, &'static str),
}

impl NameServer {
    /// Answers for these names; any other name does not exist.
    pub(crate) fn start(records: Vec<(&'static str, Record)>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let (address, closing) = (socket.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let lies: Arc<Mutex<Vec<(&str, Lie)>>> = Arc::default();
        let (stop, told) = (Arc::clone(&closing), Arc::clone(&lies));
        thread::spawn(move || {
            let mut query = [0; 1500];
            while !stop.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
                let Some((name, right)) = answer(&query[..length], &records) else { continue };
                let below = |zone: &str| name == format!("{zone}.") || name.ends_with(&format!(".{zone}."));
                let lie = told.lock().unwrap().iter().find(|(zone, _)| below(zone)).map(|(_, lie)| *lie);
                match lie {
                    None => drop(socket.send_to(&right, from).unwrap()),
                    Some(lie) => lie.tell(&socket, from, &query[..length], &right),
                }
            }
        });
        Self { address, closing, lies }
    }

    /// Lies about each of these domains and all that is below it, and about no other.
    pub(crate) fn lies(&self, lies: &[(&'static str, Lie)]) {
        *self.lies.lock().unwrap() = lies.to_vec();
    }

    /// The table of `sealpost.toml` that names this server.
    pub(crate) fn table(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\n", self.address)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl Lie {
    fn tell(self, socket: &UdpSocket, to: SocketAddr, query: &[u8], right: &[u8]) {
        // What a forger would have liked: everything is at one address.
        let forged = || {
            let (mut name, mut at) = (Vec::new(), 12);
            while query[at] != 0 {
                name.extend_from_slice(&query[at..=at + usize::from(query[at])]);
                at += 1 + usize::from(query[at]);
            }
            let kind = &query[at + 1..at + 3];
            let data = if kind == MX.to_be_bytes() { [&[0, 1], name.as_slice(), &[0]].concat() } else { vec![127, 0, 0, 66] };
            let length = u16::try_from(data.len()).unwrap().to_be_bytes();
            let record = [&[0xc0, 12], kind, &[0, 1, 0, 0, 0, 60], &length, &data].concat();
            [&query[..2], &[0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], &query[12..at + 5], &record].concat()
        };
        let mut reply = match self {
            Self::Silent => return,
            Self::OtherId | Self::OtherQuestion | Self::OtherSource => forged(),
            Self::Truncated | Self::Gone | Self::Failed => [&right[..6], &[0; 6], &right[12..]].concat(),
            Self::Garbage => vec![0xff; 40],
        };
        match self {
            Self::OtherId => reply[1] ^= 0x55,
            // a letter of the question
            Self::OtherQuestion => reply[13] ^= 1,
            Self::OtherSource => {
                UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|other| other.send_to(&reply, to)).unwrap();
                return;
            }
            Self::Truncated => reply[2] |= 0x02,
            Self::Gone => reply[3] = 0x83,
            Self::Failed => reply[3] = 0x82,
            Self::Silent | Self::Garbage => {}
        }
        if matches!(self, Self::Truncated | Self::Gone | Self::Failed) {
            // the question alone
            let end = 12 + reply[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
            reply.truncate(end);
        }
        socket.send_to(&reply, to).unwrap();
    }
}

/// The name that was asked for, and the answer.
fn answer(query: &[u8], records: &[(&'static str, Record)]) -> Option<(String, Vec<u8>)> {
    let (mut name, mut at) = (String::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = query.get(at..at + length)?;
        name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        name.push('.');
        at += length;
    }
    let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
    let question = query.get(12..at + 4)?;
    let own: Vec<_> = records.iter().filter(|(owner, _)| format!("{owner}.") == name).collect();
    let mut answers = Vec::new();
    for (_, record) in &own {
        let data = match record {
            Record::A(address) if kind == A => address.octets().to_vec(),
            Record::Mx(preference, host) if kind == MX => [preference.to_be_bytes().as_slice(), &encoded(host)].concat(),
            _ => continue,
        };
        let length = u16::try_from(data.len()).ok()?;
        // the name of the question, the type, class IN, one minute
        answers.push([&[0xc0, 12], kind.to_be_bytes().as_slice(), &[0, 1, 0, 0, 0, 60], &length.to_be_bytes(), &data].concat());
    }
    // a response, authoritative, recursion as asked and available; NXDOMAIN when the name is not there
    let flags = [0x84 | (query[2] & 1), if own.is_empty() { 0x83 } else { 0x80 }];
    let count = u16::try_from(answers.len()).ok()?;
    Some((name, [&query[..2], &flags, &[0, 1], &count.to_be_bytes(), &[0, 0, 0, 0], question, &answers.concat()].concat()))
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

const A: u16 = 1;
const MX: u16 = 15;
