//! A name server on loopback with a few records.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    closing: Arc<AtomicBool>,
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
        let stop = Arc::clone(&closing);
        thread::spawn(move || {
            let mut query = [0; 1500];
            while !stop.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
                if let Some(answer) = answer(&query[..length], &records) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { address, closing }
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

fn answer(query: &[u8], records: &[(&'static str, Record)]) -> Option<Vec<u8>> {
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
    Some([&query[..2], &flags, &[0, 1], &count.to_be_bytes(), &[0, 0, 0, 0], question, &answers.concat()].concat())
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
