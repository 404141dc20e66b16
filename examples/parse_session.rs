//! A client's and a server's session talk to each other in memory: no socket, no clock, no runtime.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use sealpost_examples::Outcome;
use sealpost_smtp::{
    Answer, ClientConfig, ClientEvent, ClientSession, HelloName, Output, ServerConfig, ServerEvent, ServerSession, Transaction,
};
use sealpost_types::{Domain, Mailbox, Octets, Recipient, Ticks};

const MESSAGE: &[u8] = b"Subject: hello\r\n\r\nHello, Bob.\r\n";
const NOW: Ticks = Ticks(0); // time is an argument, and here it stands still

/// All of what the client said goes in; what the server says to it comes out.
fn serve(server: &mut ServerSession, mut input: &[u8], mail: &mut Vec<u8>) -> Outcome<Vec<u8>> {
    let mut said = Vec::new();
    loop {
        let used = server.receive(input, NOW);
        while let Some(output) = server.poll() {
            match output {
                Output::Send(octets) => said.extend_from_slice(octets),
                Output::Event(ServerEvent::Body(range)) => mail.extend_from_slice(&input[range]),
                Output::Event(ServerEvent::Hello { .. } | ServerEvent::Aborted(_)) => {}
                Output::Event(_) => server.answer(Answer::Accept, NOW)?, // who sends, who receives, is it stored?
                Output::StartTls | Output::WaitUntil(_) | Output::Close => {}
            }
        }
        input = &input[used..];
        if input.is_empty() {
            return Ok(said);
        }
    }
}

/// The same for the client, which has one message to send.
fn send(client: &mut ClientSession, input: &[u8]) -> Outcome<Vec<u8>> {
    let mut said = Vec::new();
    client.receive(input, NOW);
    while let Some(output) = client.poll() {
        match output {
            Output::Send(octets) => said.extend_from_slice(octets),
            Output::Event(ClientEvent::Ready { .. }) => {
                let bob = Recipient::new(Mailbox::parse("bob@b.example")?.into());
                let size = Octets(u64::try_from(MESSAGE.len())?);
                client.transaction(Transaction::new(Mailbox::parse("ann@a.example")?.into(), vec![bob], size), NOW)?;
            }
            Output::Event(ClientEvent::SendBody(_)) => {
                said.extend_from_slice(MESSAGE); // as it is, for the server offers CHUNKING
                client.body_sent(NOW);
            }
            Output::Event(ClientEvent::Finished(_)) => client.quit(NOW),
            Output::Event(_) | Output::StartTls | Output::WaitUntil(_) | Output::Close => {}
        }
    }
    Ok(said)
}

fn main() -> Outcome {
    let mut server = ServerSession::new(Arc::new(ServerConfig::new(Domain::parse("b.example")?)), None, NOW);
    let hello = HelloName::new("a.example").ok_or("no name for EHLO")?;
    let mut client = ClientSession::new(Arc::new(ClientConfig::new(hello)), None, NOW);
    let (mut mail, mut from_client) = (Vec::new(), Vec::new());
    while !client.is_closed() {
        let from_server = serve(&mut server, &from_client, &mut mail)?;
        print!("server:\n{}", String::from_utf8_lossy(&from_server));
        from_client = send(&mut client, &from_server)?;
        println!("client:\n{}", String::from_utf8_lossy(&from_client).trim_end());
    }
    assert_eq!(mail, MESSAGE);
    Ok(())
}
