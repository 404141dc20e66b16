//! The codec beside smtp-proto, smtp-codec and mailin, on the same octets.
//!
//! ```console
//! $ cargo bench --manifest-path benches/codec/Cargo.toml
//! ```
#![allow(clippy::unwrap_used, reason = "a bench may end")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use mailin::{Handler, SessionBuilder};
use sealpost_smtp::{
    Answer, Command, DataEncoder, DataScanner, Limits, Output, Reply, ReplyReader, ServerConfig, ServerEvent, ServerSession,
};
use sealpost_types::{Domain, Ticks};
use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EhloResponse, Request};

/// What every one of the four understands.
const COMMANDS: [&str; 6] = [
    "EHLO mx1.sender.example\r\n",
    "MAIL FROM:<newsletter-7243@sender.example> SIZE=48213 BODY=8BITMIME\r\n",
    "RCPT TO:<jane.doe@recipient.example>\r\n",
    "RCPT TO:<john.doe@department.recipient.example>\r\n",
    "DATA\r\n",
    "QUIT\r\n",
];

const EHLO_REPLY: &str = "250-mx1.recipient.example greets mx1.sender.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n\
    250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 DSN\r\n";

const REPLY: &str = "250 2.0.0 Ok: queued as 4XkW2v3QhLz9sVR\r\n";

fn commands(c: &mut Criterion) {
    let mut group = c.benchmark_group("six commands");
    group.throughput(Throughput::Elements(COMMANDS.len() as u64));
    group.bench_function("sealpost-smtp", |b| {
        let lines = COMMANDS.map(|line| line.strip_suffix("\r\n").unwrap().as_bytes());
        b.iter(|| lines.iter().for_each(|line| drop(black_box(Command::parse(black_box(line)).unwrap()))));
    });
    group.bench_function("smtp-proto", |b| {
        b.iter(|| COMMANDS.iter().for_each(|line| drop(black_box(Request::parse(&mut black_box(line.as_bytes()).iter()).unwrap()))));
    });
    group.bench_function("smtp-codec", |b| {
        b.iter(|| {
            COMMANDS.iter().for_each(|line| drop(black_box(smtp_codec::parse::command::command(black_box(line.as_bytes())).unwrap())))
        });
    });
}

fn replies(c: &mut Criterion) {
    let mut group = c.benchmark_group("a reply");
    group.bench_function("sealpost-smtp", |b| {
        let mut reader = ReplyReader::new(&Limits::default());
        b.iter(|| {
            reader.push(black_box(REPLY.as_bytes()));
            reader.next_reply().unwrap().unwrap()
        });
    });
    group.bench_function("smtp-proto", |b| {
        let mut receiver = ResponseReceiver::default();
        b.iter(|| {
            let reply = receiver.parse(&mut black_box(REPLY.as_bytes()).iter()).unwrap();
            receiver.reset();
            reply
        });
    });
    group.finish();
    let mut group = c.benchmark_group("the reply to EHLO");
    group.bench_function("sealpost-smtp", |b| {
        let mut reader = ReplyReader::new(&Limits::default());
        b.iter(|| {
            reader.push(black_box(EHLO_REPLY.as_bytes()));
            sealpost_smtp::Extensions::from_reply(&reader.next_reply().unwrap().unwrap())
        });
    });
    group.bench_function("smtp-proto", |b| b.iter(|| EhloResponse::parse(&mut black_box(EHLO_REPLY.as_bytes()).iter()).unwrap()));
    group
        .bench_function("smtp-codec", |b| b.iter(|| smtp_codec::parse::response::ehlo_ok_rsp(black_box(EHLO_REPLY.as_bytes())).unwrap().1));
}

/// 1 MiB of lines of 76 octets, every twentieth of which begins with a dot, and the end.
fn data() -> Vec<u8> {
    let line = format!("{}\r\n", "QmFzZTY0IGxpbmVzIG9mIGFuIGF0dGFjaG1lbnQs".repeat(2).get(..76).unwrap());
    let mut wire = Vec::new();
    for number in 0.. {
        if wire.len() > 1 << 20 {
            break;
        }
        if number % 20 == 0 {
            wire.extend_from_slice(b"..a line that begins with a dot\r\n");
        }
        wire.extend_from_slice(line.as_bytes());
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// Reads DATA in pieces as they come off a socket.
fn reading(c: &mut Criterion) {
    let wire = data();
    let mut group = c.benchmark_group("1 MiB of DATA, read");
    group.throughput(Throughput::Bytes(wire.len() as u64));
    let content = scanned(&wire, &mut Vec::new());
    group.bench_function("sealpost-smtp, in place", |b| {
        b.iter(|| {
            let mut octets = 0;
            scan(black_box(&wire), |content| octets += content.len());
            assert_eq!(octets, content);
        });
    });
    let mut out = Vec::with_capacity(wire.len());
    group.bench_function("sealpost-smtp, copied", |b| {
        b.iter(|| assert_eq!(scanned(black_box(&wire), &mut out), content));
    });
    group.bench_function("smtp-proto, copied", |b| {
        b.iter(|| {
            out.clear();
            let mut receiver = DataReceiver::new();
            let ended = black_box(&wire).chunks(PIECE).any(|piece| receiver.ingest(&mut piece.iter(), &mut out));
            assert!(ended);
        });
    });
    of_mailin(&mut group, &wire);
    group.finish();
}

fn scanned(wire: &[u8], out: &mut Vec<u8>) -> usize {
    out.clear();
    scan(wire, |content| out.extend_from_slice(content));
    out.len()
}

fn scan(wire: &[u8], mut each: impl FnMut(&[u8])) {
    let mut scanner = DataScanner::new();
    for piece in wire.chunks(PIECE) {
        let mut rest = piece;
        while !rest.is_empty() {
            let scan = scanner.scan(rest);
            each(&rest[scan.content]);
            rest = &rest[scan.used..];
            if scan.ended {
                return;
            }
        }
    }
}

/// It is given lines, found beforehand.
fn of_mailin(group: &mut BenchmarkGroup<'_, WallTime>, wire: &[u8]) {
    struct Count(usize);
    impl Handler for Count {
        fn data(&mut self, octets: &[u8]) -> std::io::Result<()> {
            self.0 += octets.len();
            Ok(())
        }
    }
    let lines: Vec<&[u8]> = wire.split_inclusive(|octet| *octet == b'\n').collect();
    group.bench_function("mailin, lines given", |b| {
        b.iter(|| {
            let mut session = SessionBuilder::new("mx.example").build(IpAddr::V4(Ipv4Addr::LOCALHOST), Count(0));
            for line in ["EHLO a.example\r\n", "MAIL FROM:<a@a.example>\r\n", "RCPT TO:<b@b.example>\r\n", "DATA\r\n"] {
                session.process(line.as_bytes());
            }
            lines.iter().for_each(|line| drop(black_box(session.process(line))));
        });
    });
}

fn writing(c: &mut Criterion) {
    let content = {
        let mut content = Vec::new();
        scanned(&data(), &mut content);
        content
    };
    let mut group = c.benchmark_group("1 MiB of DATA, written");
    group.throughput(Throughput::Bytes(content.len() as u64));
    let mut out = Vec::with_capacity(content.len() * 2);
    group.bench_function("sealpost-smtp", |b| {
        b.iter(|| {
            out.clear();
            let mut encoder = DataEncoder::new();
            encoder.encode(black_box(&content), &mut out);
            encoder.finish(&mut out);
            out.len()
        });
    });
    group.finish();
}

/// A whole session with one message of no content, each command on its own.
fn sessions(c: &mut Criterion) {
    const LINES: [&str; 6] =
        ["EHLO a.example\r\n", "MAIL FROM:<a@a.example>\r\n", "RCPT TO:<b@b.example>\r\n", "DATA\r\n", ".\r\n", "QUIT\r\n"];
    let mut group = c.benchmark_group("a session of one message");
    group.bench_function("sealpost-smtp", |b| {
        let config = Arc::new(ServerConfig::new(Domain::parse("mx.example").unwrap()));
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            let now = Ticks(0);
            let mut session = ServerSession::new(Arc::clone(&config), None, now);
            for line in LINES {
                let mut rest = line.as_bytes();
                loop {
                    let used = session.receive(rest, now);
                    rest = &rest[used..];
                    let mut is_answered = false;
                    loop {
                        let answer = match session.poll() {
                            Some(Output::Send(octets)) => {
                                out.extend_from_slice(octets);
                                continue;
                            }
                            Some(Output::Event(ServerEvent::Mail(_) | ServerEvent::Rcpt(_) | ServerEvent::BodyStart)) => Answer::Accept,
                            Some(Output::Event(ServerEvent::BodyEnd { .. })) => {
                                Answer::Queued { reply: Reply::parse(b"250 2.0.0 Ok\r\n").unwrap() }
                            }
                            Some(_) => continue,
                            None => break,
                        };
                        session.answer(answer, now).unwrap();
                        is_answered = true;
                    }
                    if rest.is_empty() && !is_answered {
                        break;
                    }
                }
            }
            assert!(out.ends_with(b"\r\n") && session.is_closed(), "{}", String::from_utf8_lossy(&out));
        });
    });
    group.bench_function("mailin", |b| {
        struct Nobody;
        impl Handler for Nobody {}
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            let mut session = SessionBuilder::new("mx.example").build(IpAddr::V4(Ipv4Addr::LOCALHOST), Nobody);
            session.greeting().write_to(&mut out).unwrap();
            for line in LINES {
                session.process(line.as_bytes()).write_to(&mut out).unwrap();
            }
            assert!(out.ends_with(b"\r\n"));
        });
    });
    group.finish();
}

/// Octets that a socket gives at a time.
const PIECE: usize = 16 << 10;

criterion_group!(benches, commands, replies, reading, writing, sessions);
criterion_main!(benches);
