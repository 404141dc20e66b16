//! Somebody on the way to a name server, who does something to its answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// What is done, to answers about TLSA records alone where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meddling {
    None,
    /// To all answers: the AD bit is cleared.
    ClearAd,
    /// The signatures are taken out.
    StripSignatures,
    /// There is nothing, and no proof of it.
    Empty,
    /// There is no such name, says a zone that is rightly unsigned, and another one.
    DeniedByUnsignedZone,
    /// Another record stands there.
    Forged,
    ServFail,
    Silence,
    /// No answer to anything.
    SilenceAll,
}

/// It listens on UDP and TCP, and asks its upstream over TCP.
pub(crate) struct Meddler {
    pub(crate) address: SocketAddr,
    meddling: Arc<Mutex<Meddling>>,
}

impl Meddler {
    /// Passes on what this server says; on a runtime of its own.
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        let meddling = Arc::new(Mutex::new(Meddling::None));
        let (told, hear) = std::sync::mpsc::channel();
        let shared = Arc::clone(&meddling);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let (udp, tcp) = loop {
                    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                    if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                        break (Arc::new(udp), tcp);
                    }
                };
                told.send(udp.local_addr().unwrap()).unwrap();
                let over_tcp = Arc::clone(&shared);
                tokio::spawn(async move {
                    while let Ok((mut stream, _)) = tcp.accept().await {
                        let meddling = Arc::clone(&over_tcp);
                        tokio::spawn(async move {
                            while let Ok(length) = stream.read_u16().await {
                                let mut question = vec![0; usize::from(length)];
                                stream.read_exact(&mut question).await.unwrap();
                                let Some(answer) = answer(upstream, &question, &meddling).await else { continue };
                                stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                                stream.write_all(&answer).await.unwrap();
                            }
                        });
                    }
                });
                let mut buffer = [0; 4096];
                while let Ok((length, peer)) = udp.recv_from(&mut buffer).await {
                    let (question, udp, meddling) = (buffer[..length].to_vec(), Arc::clone(&udp), Arc::clone(&shared));
                    tokio::spawn(async move {
                        let Some(answer) = answer(upstream, &question, &meddling).await else { return };
                        let answer = if answer.len() > 1200 { cut(&answer) } else { answer };
                        udp.send_to(&answer, peer).await.unwrap();
                    });
                }
            });
        });
        Self { address: hear.recv().unwrap(), meddling }
    }

    pub(crate) fn set(&self, meddling: Meddling) {
        *self.meddling.lock().unwrap() = meddling;
    }
}

fn cut(answer: &[u8]) -> Vec<u8> {
    let mut message = Message::from_vec(answer).unwrap();
    message.answers.clear();
    message.authorities.clear();
    message.additionals.clear();
    message.metadata.truncation = true;
    message.to_vec().unwrap()
}

async fn answer(upstream: SocketAddr, question: &[u8], meddling: &Mutex<Meddling>) -> Option<Vec<u8>> {
    let meddling = *meddling.lock().unwrap();
    if meddling == Meddling::SilenceAll {
        return None;
    }
    let mut stream = TcpStream::connect(upstream).await.ok()?;
    stream.write_u16(u16::try_from(question.len()).unwrap()).await.ok()?;
    stream.write_all(question).await.ok()?;
    let mut answer = vec![0; usize::from(stream.read_u16().await.ok()?)];
    stream.read_exact(&mut answer).await.ok()?;
    let mut message = Message::from_vec(&answer).unwrap();
    let is_tlsa = message.queries.first()?.query_type() == RecordType::TLSA;
    match meddling {
        Meddling::ClearAd => message.metadata.authentic_data = false,
        _ if !is_tlsa => return Some(answer),
        Meddling::None | Meddling::SilenceAll => return Some(answer),
        Meddling::StripSignatures => message.answers.retain(|record| record.record_type() != RecordType::RRSIG),
        Meddling::Empty => {
            message.answers.clear();
            message.authorities.clear();
        }
        Meddling::DeniedByUnsignedZone => {
            message.answers.clear();
            let name = |text| Name::from_ascii(text).unwrap();
            let soa = RData::SOA(SOA::new(name("ns.bind."), name("host.bind."), 1, 60, 60, 60, 60));
            message.authorities = vec![Record::from_rdata(name("plain."), 60, soa)];
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        Meddling::Forged => {
            for record in &mut message.answers {
                if let RData::TLSA(tlsa) = &mut record.data {
                    tlsa.cert_data = vec![0xee; 32];
                }
            }
        }
        Meddling::ServFail => {
            message.answers.clear();
            message.metadata.response_code = ResponseCode::ServFail;
        }
        Meddling::Silence => return None,
    }
    Some(message.to_vec().unwrap())
}
