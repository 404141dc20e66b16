//! The grammar of command lines.

use nom::bytes::complete::tag_no_case;
use nom::character::complete::{char, space0, space1, u64 as number};
use nom::combinator::{all_consuming, opt};
use nom::sequence::{pair, preceded};
use nom::{IResult, Parser};
use sealpost_types::Octets;

use super::{Command, CommandError, HelloName, MailCommand, RcptCommand, Verb, plain};
use crate::auth::{AuthMechanism, Secret};
use crate::line::{LineError, TextLine};
use crate::params::{self, Accepted};
use crate::path::{self, PathError};

/// The command of a line without CRLF; parameters that are not `accepted` are unknown ones.
pub(crate) fn command(line: &[u8], accepted: Accepted) -> Result<Command, CommandError> {
    match plain::command(line, accepted) {
        Some(command) => Ok(command),
        None => closer(line, accepted),
    }
}

/// The same of any line, and what is wrong with one that is none.
pub(super) fn closer(line: &[u8], accepted: Accepted) -> Result<Command, CommandError> {
    if let Some(offset) = memchr::memchr3(0, b'\r', b'\n', line) {
        return Err(match line.get(offset) {
            Some(b'\r') => CommandError::BareCarriageReturn { offset },
            Some(b'\n') => CommandError::BareLineFeed { offset },
            _ => CommandError::Nul { offset },
        });
    }
    let length = line.iter().rposition(|octet| !is_blank(*octet)).map_or(0, |last| last.saturating_add(1));
    let line = line.get(..length).unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) => command_of_text(text, accepted),
        // Host names come in any character set; everything else has to be UTF-8.
        Err(_) if matches!(verb_of(line), Some(Verb::Helo | Verb::Ehlo)) => command_of_text(&String::from_utf8_lossy(line), accepted),
        Err(error) => Err(CommandError::NotUtf8 { offset: error.valid_up_to() }),
    }
}

fn command_of_text(text: &str, accepted: Accepted) -> Result<Command, CommandError> {
    let (word, rest) = split_where(text, |octet| !octet.is_ascii_graphic());
    if word.is_empty() {
        return Err(unknown(text));
    }
    let ends = rest.as_bytes().first().is_none_or(|octet| is_blank(*octet));
    let Some(verb) = Verb::parse(word.as_bytes()).filter(|_| ends) else { return Err(unknown(word)) };
    let (_, argument) = split_where(rest, |octet| !is_blank(octet));
    let some = || if argument.is_empty() { Err(CommandError::ArgumentMissing { verb }) } else { Ok(argument) };
    let none = |command| if argument.is_empty() { Ok(command) } else { Err(CommandError::ArgumentUnexpected { verb }) };
    let line = || some().and_then(|text| TextLine::new(text).ok_or(CommandError::Argument { verb }));
    match verb {
        Verb::Helo | Verb::Ehlo => {
            let name = some().and_then(|text| HelloName::new(text).ok_or(CommandError::Argument { verb }))?;
            Ok(if verb == Verb::Ehlo { Command::Ehlo(name) } else { Command::Helo(name) })
        }
        Verb::Mail => mail(some()?, accepted),
        Verb::Rcpt => rcpt(some()?, accepted),
        Verb::Data => none(Command::Data),
        Verb::Bdat => bdat(some()?).ok_or(CommandError::Argument { verb }),
        Verb::StartTls => none(Command::StartTls),
        Verb::Rset => none(Command::Rset),
        Verb::Quit => none(Command::Quit),
        // RFC 5321 section 4.1.1.9: an argument of NOOP is ignored.
        Verb::Noop => Ok(Command::Noop),
        Verb::Vrfy => line().map(Command::Vrfy),
        Verb::Expn => line().map(Command::Expn),
        Verb::Help if argument.is_empty() => Ok(Command::Help(None)),
        Verb::Help => line().map(|topic| Command::Help(Some(topic))),
        Verb::Auth => auth(some()?),
    }
}

/// The verb that a line begins with, whatever follows it: a blank, or what no line may hold.
pub(crate) fn verb_of(line: &[u8]) -> Option<Verb> {
    Verb::parse(line.split(|octet| is_blank(*octet) || matches!(octet, b'\r' | b'\n' | 0)).next()?)
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// What stands before the first octet that is an `end`, and the rest from there on.
fn split_where(text: &str, end: impl Fn(u8) -> bool) -> (&str, &str) {
    let length = text.bytes().position(end).unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, ""))
}

fn mail(argument: &str, accepted: Accepted) -> Result<Command, CommandError> {
    let path = after(argument, b"FROM").ok_or(CommandError::ReversePathSyntax)?;
    let (rest, reverse_path) = path::reverse_path(path).map_err(|error| match error {
        PathError::Mailbox(error) => CommandError::ReversePath(error),
        PathError::Brackets | PathError::Empty => CommandError::ReversePathSyntax,
    })?;
    let mut mail = MailCommand::new(reverse_path);
    params::mail(rest, accepted, &mut mail)?;
    let written = path.get(..path.len().saturating_sub(rest.len())).unwrap_or(path);
    if !mail.smtputf8 && !written.is_ascii() {
        return Err(CommandError::ReversePathNeedsSmtpUtf8);
    }
    Ok(Command::Mail(mail))
}

fn rcpt(argument: &str, accepted: Accepted) -> Result<Command, CommandError> {
    let path = after(argument, b"TO").ok_or(CommandError::ForwardPathSyntax)?;
    let (rest, forward_path) = path::forward_path(path).map_err(|error| match error {
        PathError::Mailbox(error) => CommandError::ForwardPath(error),
        PathError::Brackets | PathError::Empty => CommandError::ForwardPathSyntax,
    })?;
    let mut rcpt = RcptCommand::new(forward_path);
    params::rcpt(rest, accepted, &mut rcpt)?;
    Ok(Command::Rcpt(rcpt))
}

/// What follows `FROM:` or `TO:`. White space around the colon is not in the grammar, but clients write it.
fn after<'a>(argument: &'a str, keyword: &'static [u8]) -> Option<&'a str> {
    let mut parser = (tag_no_case(keyword), space0, char(':'), space0);
    let done: IResult<&[u8], _> = parser.parse(argument.as_bytes());
    let (rest, _) = done.ok()?;
    argument.get(argument.len().checked_sub(rest.len())?..)
}

/// `BDAT SP chunk-size [ SP "LAST" ]`, RFC 3030 section 2.
fn bdat(argument: &str) -> Option<Command> {
    let mut parser = all_consuming(pair(number, opt(preceded(space1, tag_no_case("LAST")))));
    let done: IResult<&str, _> = parser.parse(argument);
    done.ok().map(|(_, (size, last))| Command::Bdat { size: Octets(size), last: last.is_some() })
}

/// `AUTH SP sasl-mech [ SP initial-response ]`, RFC 4954 section 4.
fn auth(argument: &str) -> Result<Command, CommandError> {
    let (name, initial) = argument.split_once([' ', '\t']).map_or((argument, None), |(name, rest)| (name, Some(rest.trim_start())));
    let mechanism = AuthMechanism::parse(name).ok_or(CommandError::Argument { verb: Verb::Auth })?;
    let initial = match initial {
        Some(text) => Some(Secret::from_base64(text.as_bytes()).ok_or(CommandError::Base64)?),
        None => None,
    };
    Ok(Command::Auth { mechanism, initial })
}

fn unknown(text: &str) -> CommandError {
    let word = text.split([' ', '\t']).next().unwrap_or_default();
    if KNOWN_ELSEWHERE.iter().any(|known| word.eq_ignore_ascii_case(known)) {
        return CommandError::NotImplemented { verb: word.to_ascii_uppercase() };
    }
    CommandError::Unknown { verb: word.chars().take(SHOWN_CHARACTERS).filter(|c| !c.is_control()).collect() }
}

impl From<LineError> for CommandError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::TooLong { limit } => Self::LineTooLong { limit },
            LineError::BareCarriageReturn { offset } => Self::BareCarriageReturn { offset },
            LineError::BareLineFeed { offset } => Self::BareLineFeed { offset },
            LineError::Nul { offset } => Self::Nul { offset },
        }
    }
}

/// Verbs of other RFCs that are answered with 502 and not with 500.
const KNOWN_ELSEWHERE: &[&str] = &["SEND", "SOML", "SAML", "TURN", "ETRN", "ATRN"];

/// Characters of an unknown verb that an error shows.
const SHOWN_CHARACTERS: usize = 40;
