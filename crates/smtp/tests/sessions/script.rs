//! Dialogues as text, run as they stand and then once for every place at which the peer's octets could be cut.
//!
//! ```text
//!   C: EHLO a.example      what the client says (\0 \r \n \x80 are escapes; a final \ leaves the CRLF out)
//!   S: 250 b.example       what the server says
//!   E: mail <ann@a>        what the session under test tells its owner
//!   ! refuse 550 5.1.1 no  what the owner does
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use sealpost_smtp::{
    Answer, BodyTransfer, ClientConfig, ClientEvent, ClientSession, Command, DataEncoder, Greeting, HelloName, Output, Reply, ServerConfig,
    ServerEvent, ServerSession, Transaction,
};
use sealpost_types::{CipherSuite, Domain, ForwardPath, Mailbox, Octets, Recipient, ReversePath, Ticks, TlsFacts, TlsVersion};

pub(crate) fn tls_facts() -> TlsFacts {
    TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1301), None, false)
}

pub(crate) fn server_config(change: impl FnOnce(&mut ServerConfig)) -> Arc<ServerConfig> {
    let mut config = ServerConfig::new(Domain::parse("mx.example").unwrap());
    change(&mut config);
    Arc::new(config)
}

pub(crate) fn client_config() -> Arc<ClientConfig> {
    Arc::new(ClientConfig::new(HelloName::new("a.example").unwrap()))
}

pub(crate) fn reply(text: &str) -> Reply {
    Reply::parse(format!("{text}\r\n").as_bytes()).unwrap()
}

/// The octets that a line of a script stands for.
fn octets(line: &str) -> Vec<u8> {
    let (line, end) = match line.strip_suffix('\\') {
        Some(line) => (line, &b""[..]),
        None => (line, &b"\r\n"[..]),
    };
    let mut octets = Vec::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => octets.push(match rest.next().unwrap() {
                'r' => b'\r',
                'n' => b'\n',
                '0' => 0,
                'x' => u8::from_str_radix(&[rest.next().unwrap(), rest.next().unwrap()].iter().collect::<String>(), 16).unwrap(),
                other => panic!("no such escape: {other}"),
            }),
            c => octets.extend(c.to_string().bytes()),
        }
    }
    octets.extend_from_slice(end);
    octets
}

/// What a session did, as lines of a script.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) said: Vec<u8>,
    pub(crate) events: Vec<String>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}\n{:#?}", self.said.escape_ascii().to_string().replace("\\r\\n", "\n"), self.events)
    }
}

impl Record {
    /// Pieces of content are one piece, and content of what is aborted is none: how it is cut does not count.
    fn event(&mut self, event: String) {
        let last = self.events.last_mut().filter(|last| last.starts_with("body "));
        match (event.strip_prefix("body "), last) {
            (Some(more), Some(last)) => last.push_str(more),
            (None, Some(last)) if event.starts_with("aborted ") => *last = event,
            _ => self.events.push(event),
        }
    }
}

pub(crate) fn describe(event: &ServerEvent, input: &[u8]) -> String {
    let line = |command: Command| {
        let mut wire = Vec::new();
        command.encode(&mut wire);
        String::from_utf8(wire).unwrap().trim_end().to_owned()
    };
    match event {
        ServerEvent::Hello { name, greeting } => format!("hello {name} {}", if *greeting == Greeting::Ehlo { "extended" } else { "plain" }),
        ServerEvent::Mail(mail) => line(Command::Mail(mail.clone())),
        ServerEvent::Rcpt(rcpt) => line(Command::Rcpt(rcpt.clone())),
        ServerEvent::BodyStart => "start".to_owned(),
        ServerEvent::Body(range) => format!("body {}", input[range.clone()].escape_ascii()),
        ServerEvent::BodyEnd { size } => format!("end {size}"),
        ServerEvent::Aborted(why) => format!("aborted {why:?}"),
        ServerEvent::Auth(credentials) => format!(
            "auth {} {} {} {}",
            credentials.mechanism,
            credentials.acting_as.as_deref().unwrap_or("-"),
            credentials.user,
            credentials.password.reveal().escape_ascii()
        ),
        other => format!("{other:?}"),
    }
}

/// The server's loop; answers come from `answers`, and are yes where there are none.
pub(crate) fn serve(session: &mut ServerSession, mut input: &[u8], now: Ticks, answers: &mut VecDeque<Answer>, record: &mut Record) {
    loop {
        let used = session.receive(input, now);
        while let Some(output) = session.poll() {
            match output {
                Output::Send(octets) => record.said.extend_from_slice(octets),
                Output::Event(event) => {
                    record.event(describe(&event, input));
                    if matches!(
                        event,
                        ServerEvent::Mail(_)
                            | ServerEvent::Rcpt(_)
                            | ServerEvent::BodyStart
                            | ServerEvent::BodyEnd { .. }
                            | ServerEvent::Auth(_)
                    ) {
                        assert!(session.is_waiting());
                        session.answer(answers.pop_front().unwrap_or(Answer::Accept), now).unwrap();
                    }
                }
                Output::StartTls => record.events.push("tls".to_owned()),
                Output::WaitUntil(_) => {}
                Output::Close => {
                    record.events.push("close".to_owned());
                    return;
                }
            }
        }
        input = &input[used..];
        if input.is_empty() {
            return;
        }
        assert!(used > 0 || session.is_closed(), "no progress with {:?}", input.escape_ascii().to_string());
    }
}

struct Turn {
    said: Vec<u8>,
    answers: Vec<Answer>,
    expected: Record,
}

/// Runs a script against a server session; the first turn is the greeting.
pub(crate) fn server(config: Arc<ServerConfig>, tls: bool, script: &str) {
    let mut turns = vec![Turn { said: Vec::new(), answers: Vec::new(), expected: Record::default() }];
    let mut last = ' ';
    for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (kind, text) = line.split_at(2);
        let text = text.strip_prefix(' ').unwrap_or(text);
        if matches!(kind, "C:" | "! ") && !matches!(last, 'C' | '!') {
            turns.push(Turn { said: Vec::new(), answers: Vec::new(), expected: Record::default() });
        }
        last = kind.chars().next().unwrap();
        let turn = turns.last_mut().unwrap();
        match kind {
            "C:" => turn.said.extend(octets(text)),
            "S:" => turn.expected.said.extend(octets(text)),
            "E:" => turn.expected.events.push(text.to_owned()),
            "! " if text == "accept" => turn.answers.push(Answer::Accept),
            "! " if text.starts_with("queued ") => turn.answers.push(Answer::Queued { reply: reply(&text[7..]) }),
            "! " if text.starts_with("refuse ") => turn.answers.push(Answer::Refuse(reply(&text[7..]))),
            _ => panic!("no such line: {line}"),
        }
    }
    for turn in &mut turns {
        // So that an answer stays with its event when the turns become one.
        let awaiting = |event: &&String| ["MAIL", "RCPT", "start", "end", "auth"].iter().any(|kind| event.starts_with(kind));
        let awaited = turn.expected.events.iter().filter(awaiting).count();
        turn.answers.resize(awaited, Answer::Accept);
    }
    let session = || ServerSession::new(Arc::clone(&config), tls.then(tls_facts), Ticks(0));
    let answers = || turns.iter().flat_map(|turn| turn.answers.iter().cloned()).collect::<VecDeque<_>>();

    let (mut whole, mut to_come) = (session(), VecDeque::new());
    let mut all = Record::default();
    for (number, turn) in turns.iter().enumerate() {
        let mut record = Record::default();
        to_come.extend(turn.answers.iter().cloned());
        serve(&mut whole, &turn.said, Ticks(0), &mut to_come, &mut record);
        assert_eq!(record.said.escape_ascii().to_string(), turn.expected.said.escape_ascii().to_string(), "turn {number}");
        assert_eq!(record.events, turn.expected.events, "turn {number}");
        all.said.extend(record.said);
        record.events.into_iter().for_each(|event| all.event(event));
    }
    if all.events.iter().any(|event| event == "tls") {
        return; // What comes before and behind the handshake is different by design.
    }
    let input: Vec<u8> = turns.iter().flat_map(|turn| turn.said.iter().copied()).collect();
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut session, mut answers, mut record) = (session(), answers(), Record::default());
        serve(&mut session, b"", Ticks(0), &mut answers, &mut record);
        for piece in pieces {
            if session.is_closed() {
                break;
            }
            serve(&mut session, piece, Ticks(0), &mut answers, &mut record);
        }
        record
    };
    for at in 0..=input.len() {
        let record = run(&mut [&input[..at], &input[at..]].into_iter());
        assert_eq!(record, all, "cut at {at}");
    }
    assert_eq!(run(&mut input.chunks(1)), all, "octet by octet");
}

pub(crate) fn describe_client(event: &ClientEvent) -> String {
    match event {
        ClientEvent::Greeting(_) => "greeting".to_owned(),
        ClientEvent::Ready { extensions, .. } => {
            extensions.iter().fold("ready".to_owned(), |line, extension| format!("{line} [{extension}]"))
        }
        ClientEvent::Refused { stage, reply } => format!("refused at {stage}: {reply}"),
        ClientEvent::Mail(reply) => format!("mail: {reply}"),
        ClientEvent::Recipient { index, reply } => format!("recipient {index}: {reply}"),
        ClientEvent::SendBody(BodyTransfer::Data) => "send body data".to_owned(),
        ClientEvent::SendBody(BodyTransfer::Bdat(size)) => format!("send body bdat {size}"),
        ClientEvent::Finished(reply) => format!("finished: {reply}"),
        ClientEvent::Reset => "reset".to_owned(),
        ClientEvent::Failed(error) => format!("failed: {error}"),
        other => format!("{other:?}"),
    }
}

pub(crate) fn drain(session: &mut ClientSession, record: &mut Record) {
    while let Some(output) = session.poll() {
        match output {
            Output::Send(octets) => record.said.extend_from_slice(octets),
            Output::Event(event) => record.events.push(describe_client(&event)),
            Output::StartTls => record.events.push("tls".to_owned()),
            Output::WaitUntil(_) => {}
            Output::Close => record.events.push("close".to_owned()),
        }
    }
}

/// `transaction ann@a.example bob@b.example,... [body=TEXT] [inline] [smtputf8] [requiretls] [8bit] [dsn]`
fn transaction(words: &str) -> (Transaction, Vec<u8>) {
    let mut words = words.split(' ');
    let reverse_path = match words.next().unwrap() {
        "<>" => ReversePath::Null,
        mailbox => Mailbox::parse(mailbox).unwrap().into(),
    };
    let path = |mailbox: &str| ForwardPath::from(Mailbox::parse(mailbox).unwrap());
    let recipients = words.next().unwrap().split(',').map(|mailbox| Recipient::new(path(mailbox))).collect();
    let mut transaction = Transaction::new(reverse_path, recipients, Octets(0));
    let mut body = b"hi\r\n".to_vec();
    for word in words {
        match word {
            "inline" => transaction.inline_body = true,
            "smtputf8" => transaction.smtputf8 = true,
            "requiretls" => transaction.require_tls = true,
            "8bit" => transaction.body = sealpost_types::BodyKind::EightBitMime,
            "dsn" => {
                transaction.ret = Some(sealpost_types::Ret::Headers);
                transaction.envelope_id = sealpost_types::EnvelopeId::new("a b").ok();
                transaction.recipients[0].notify = Some(sealpost_types::Notify::Never);
            }
            other => body = octets(other.strip_prefix("body=").unwrap()),
        }
    }
    transaction.body_length = Octets(u64::try_from(body.len()).unwrap());
    (transaction, body)
}

/// Runs a script against a client session, then once for every cut of everything that the server says at once.
pub(crate) fn client(script: &str) {
    let lines: Vec<&str> = script.lines().map(str::trim_start).filter(|line| !line.is_empty()).collect();
    let mut blocks = Vec::new();
    let mut block: Vec<u8> = Vec::new();
    for line in lines.iter().chain(["!"].iter()) {
        match line.strip_prefix("S:") {
            Some(text) => block.extend(octets(text.strip_prefix(' ').unwrap_or(text))),
            None if !block.is_empty() => blocks.push(std::mem::take(&mut block)),
            None => {}
        }
    }
    run_client(&lines, &blocks, None);
    for (number, block) in blocks.iter().enumerate() {
        for at in 1..block.len() {
            run_client(&lines, &blocks, Some((number, at)));
        }
    }
}

fn run_client(lines: &[&str], blocks: &[Vec<u8>], cut: Option<(usize, usize)>) {
    let now = Ticks(0);
    let mut session = ClientSession::new(client_config(), None, now);
    let (mut record, mut expected) = (Record::default(), Record::default());
    let mut blocks = blocks.iter().enumerate();
    let mut in_block = false;
    let mut body = Vec::new();
    let compare = |record: &mut Record, expected: &mut Record, at: usize| {
        assert_eq!(record.said.escape_ascii().to_string(), expected.said.escape_ascii().to_string(), "before line {at}, cut {cut:?}");
        assert_eq!(record.events, expected.events, "before line {at}, cut {cut:?}");
        *record = Record::default();
        *expected = Record::default();
    };
    drain(&mut session, &mut record);
    for (at, line) in lines.iter().enumerate() {
        let (kind, text) = line.split_at(2);
        let text = text.strip_prefix(' ').unwrap_or(text);
        match kind {
            "S:" if in_block => {}
            "S:" => {
                compare(&mut record, &mut expected, at);
                let (number, block) = blocks.next().unwrap();
                let split = cut.filter(|(cut, _)| *cut == number).map_or(0, |(_, at)| at);
                for piece in [&block[..split], &block[split..]] {
                    let used = session.receive(piece, now);
                    assert!(used == piece.len() || session.is_closed());
                    drain(&mut session, &mut record);
                }
            }
            "C:" => expected.said.extend(octets(text)),
            "E:" => expected.events.push(text.to_owned()),
            "! " => {
                compare(&mut record, &mut expected, at);
                match text.split_once(' ').unwrap_or((text, "")) {
                    ("starttls", _) => session.start_tls(now).unwrap(),
                    ("handshake", _) => session.tls_ready(tls_facts(), now),
                    ("reset", _) => session.reset(now).unwrap(),
                    ("quit", _) => session.quit(now),
                    ("data", _) => {
                        let mut encoder = DataEncoder::new();
                        encoder.encode(&body, &mut record.said);
                        encoder.finish(&mut record.said);
                        session.body_sent(now);
                    }
                    ("bdat", _) => {
                        record.said.extend_from_slice(&body);
                        session.body_sent(now);
                    }
                    ("transaction", words) => {
                        let (message, content) = transaction(words);
                        body = content;
                        session.transaction(message, now).unwrap();
                    }
                    ("cannot", words) => {
                        let (words, error) = words.split_once(": ").unwrap();
                        assert_eq!(session.transaction(transaction(words).0, now).unwrap_err().to_string(), error);
                    }
                    (other, _) => panic!("no such action: {other}"),
                }
                drain(&mut session, &mut record);
            }
            _ => panic!("no such line: {line}"),
        }
        in_block = kind == "S:";
    }
    compare(&mut record, &mut expected, lines.len());
}
