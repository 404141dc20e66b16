//! Commands as nearly every client spells them: one space where one belongs, nothing but ASCII, nothing unknown.
//!
//! A line that is spelled otherwise is not wrong for that: [`super::grammar`] reads it, and says what is wrong with it if
//! something is. What is read here is read the same there.

use sealpost_types::{BodyKind, ForwardPath, Mailbox, Octets, ReversePath};

use super::{Command, HelloName, MailCommand, RcptCommand};
use crate::line::is_printable;
use crate::params::{self, Accepted};

/// The command of a line, if a short look is enough for it.
pub(super) fn command(line: &[u8], accepted: Accepted) -> Option<Command> {
    if !is_printable(line) {
        return None;
    }
    let (verb, argument) = line.split_first_chunk::<4>()?;
    match (capitals(*verb), argument) {
        (RCPT, argument) => rcpt(argument),
        (MAIL, argument) => mail(argument, accepted),
        (EHLO, [b' ', name @ ..]) => hello(name).map(Command::Ehlo),
        (HELO, [b' ', name @ ..]) => hello(name).map(Command::Helo),
        (DATA, []) => Some(Command::Data),
        (RSET, []) => Some(Command::Rset),
        (NOOP, []) => Some(Command::Noop),
        (QUIT, []) => Some(Command::Quit),
        _ => None,
    }
}

fn hello(name: &[u8]) -> Option<HelloName> {
    HelloName::new(std::str::from_utf8(name).ok()?)
}

fn mail(argument: &[u8], accepted: Accepted) -> Option<Command> {
    let (keyword, rest) = argument.split_first_chunk::<7>()?;
    if !keyword.eq_ignore_ascii_case(b" FROM:<") {
        return None;
    }
    let (address, parameters) = address(rest)?;
    let MailParameters { size, body, smtputf8 } = mail_parameters(parameters, accepted)?;
    let reverse_path = if address.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(Mailbox::parse(address).ok()?) };
    // Built where it is returned: it is large enough for its copies to be noticed.
    Some(Command::Mail(MailCommand {
        reverse_path,
        size,
        body: body.unwrap_or_default(),
        smtputf8,
        require_tls: false,
        ret: None,
        envelope_id: None,
        auth: None,
    }))
}

/// What clients say of a message unless they ask for something special.
#[derive(Debug, Default)]
struct MailParameters {
    size: Option<Octets>,
    body: Option<BodyKind>,
    smtputf8: bool,
}

/// SIZE, BODY and SMTPUTF8, each once at most.
fn mail_parameters(text: &[u8], accepted: Accepted) -> Option<MailParameters> {
    let (mut rest, mut found) = (text, MailParameters::default());
    while let Some((b' ', words)) = rest.split_first() {
        let end = words.iter().position(|octet| *octet == b' ').unwrap_or(words.len());
        let (word, behind) = words.split_at_checked(end)?;
        rest = behind;
        match word.split_first_chunk::<5>()? {
            (keyword, digits) if accepted.size && found.size.is_none() && keyword.eq_ignore_ascii_case(b"SIZE=") => {
                found.size = Some(params::size(digits)?);
            }
            (keyword, kind) if accepted.body && found.body.is_none() && keyword.eq_ignore_ascii_case(b"BODY=") => {
                found.body = Some(params::body(kind).filter(|kind| *kind != BodyKind::BinaryMime)?);
            }
            _ if accepted.smtputf8 && !found.smtputf8 && word.eq_ignore_ascii_case(b"SMTPUTF8") => found.smtputf8 = true,
            _ => return None,
        }
    }
    rest.is_empty().then_some(found)
}

fn rcpt(argument: &[u8]) -> Option<Command> {
    let (keyword, rest) = argument.split_first_chunk::<5>()?;
    if !keyword.eq_ignore_ascii_case(b" TO:<") {
        return None;
    }
    let (address, parameters) = address(rest)?;
    if !parameters.is_empty() {
        return None;
    }
    let forward_path = ForwardPath::Mailbox(Mailbox::parse(address).ok()?);
    Some(Command::Rcpt(RcptCommand { forward_path, notify: None, original: None }))
}

/// What stands before the `>`, and the parameters behind it.
///
/// A route is no mailbox, neither is half of a quoted string: both are left to the grammar.
fn address(text: &[u8]) -> Option<(&str, &[u8])> {
    let (address, rest) = text.split_at_checked(memchr::memchr(b'>', text)?)?;
    let (_, parameters) = rest.split_first()?;
    // White space at the end of a line is none of its parameters.
    let apart = parameters.is_empty() || (parameters.starts_with(b" ") && !parameters.ends_with(b" "));
    if apart { Some((std::str::from_utf8(address).ok()?, parameters)) } else { None }
}

/// Four octets with the bit cleared that makes a letter a small one. Of a letter nothing but a letter is made, so that a word of
/// letters is matched by nothing else.
const fn capitals(word: [u8; 4]) -> u32 {
    u32::from_be_bytes(word) & 0xdfdf_dfdf
}

const RCPT: u32 = capitals(*b"RCPT");
const MAIL: u32 = capitals(*b"MAIL");
const EHLO: u32 = capitals(*b"EHLO");
const HELO: u32 = capitals(*b"HELO");
const DATA: u32 = capitals(*b"DATA");
const RSET: u32 = capitals(*b"RSET");
const NOOP: u32 = capitals(*b"NOOP");
const QUIT: u32 = capitals(*b"QUIT");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::grammar;

    /// Whatever is read here has to be what the grammar makes of it: of lines of pieces that matter, in every order.
    #[test]
    fn the_short_way_gives_what_the_long_one_gives() {
        let starts =
            ["MAIL FROM:", "rcpt to:", "MAIL FROM: ", "RCPT  TO:", "EHLO ", "HELO", "DATA", "NOOP", "quit", "RSET", "VRFY ", "MAIL"];
        let pieces = [
            "<",
            ">",
            "<>",
            "<a@b.example>",
            "<A.b+c@Xn--a>",
            "<\"x> y\"@b>",
            "<@r.example:a@b>",
            "<a@[192.0.2.1]>",
            "<postmaster>",
            "<ü@b>",
            "<a@b>>",
            " ",
            "\t",
            " SIZE=1",
            " size=x",
            " size=18446744073709551616",
            " body=binarymime",
            " RET=FULL",
            " BODY=8BITMIME",
            " SMTPUTF8",
            " NOTIFY=NEVER",
            " X=1",
            " =",
            "a",
            "\u{85}",
            "\r",
            "\0",
        ];
        let mut read = 0;
        for start in starts {
            for number in 0..pieces.len().pow(3) {
                let piece = |place: u32| pieces[number / pieces.len().pow(place) % pieces.len()];
                let line = [start, piece(0), piece(1), piece(2)].concat();
                for line in [line.as_bytes(), line.trim_end().as_bytes(), start.as_bytes()] {
                    for accepted in [Accepted::ALL, Accepted::NONE] {
                        if let Some(command) = command(line, accepted) {
                            read += 1;
                            assert_eq!(grammar::closer(line, accepted), Ok(command), "{:?}", String::from_utf8_lossy(line));
                        }
                    }
                }
            }
        }
        assert!(read > 1000, "{read}");
    }

    /// And octets put in, taken out and changed, one at a time.
    #[test]
    fn one_octet_makes_no_difference_between_the_two_ways() {
        let lines =
            ["EHLO mx.example", "MAIL FROM:<a.b@c.example> SIZE=9 BODY=7BIT", "RCPT TO:<a@b-c.example> NOTIFY=DELAY", "DATA", "QUIT"];
        let (mut read, mut left) = (0, 0);
        for line in lines.map(str::as_bytes) {
            for at in 0..line.len() {
                for octet in 0..=u8::MAX {
                    let changed = [&line[..at], &[octet], &line[at + 1..]].concat();
                    let longer = [&line[..at], &[octet], &line[at..]].concat();
                    let shorter = [&line[..at], &line[at + 1..]].concat();
                    for line in [changed, longer, shorter] {
                        match command(&line, Accepted::ALL) {
                            Some(command) => {
                                read += 1;
                                assert_eq!(grammar::closer(&line, Accepted::ALL), Ok(command), "{:?}", String::from_utf8_lossy(&line));
                            }
                            None => left += 1,
                        }
                    }
                }
            }
        }
        assert!(read > 5000 && left > 5000, "{read} {left}");
    }

    #[test]
    fn what_nearly_every_client_says_needs_no_closer_look() {
        for line in
            ["EHLO mx1.a.example", "MAIL FROM:<a-7@a.example> SIZE=1 BODY=8BITMIME", "mail from:<>", "RCPT TO:<j.d@b.example>", "DATA"]
        {
            assert!(command(line.as_bytes(), Accepted::ALL).is_some(), "{line}");
        }
    }
}
