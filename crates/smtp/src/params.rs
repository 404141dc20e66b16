//! Parameters of MAIL and RCPT.

mod xtext;

use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::{char, satisfy, space1};
use nom::combinator::{opt, recognize};
use nom::multi::many0;
use nom::sequence::preceded;
use nom::{IResult, Parser};
use sealpost_types::{BodyKind, EnvelopeId, Notify, Octets, OriginalRecipient, Ret, ReversePath};

use crate::command::{CommandError, MailCommand, Parameter, RcptCommand};
use crate::path;

/// Which parameters may occur: those of extensions that the server offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) size: bool,
    pub(crate) body: bool,
    pub(crate) binary: bool,
    pub(crate) smtputf8: bool,
    pub(crate) dsn: bool,
    pub(crate) require_tls: bool,
    pub(crate) auth: bool,
}

impl Accepted {
    pub(crate) const ALL: Self = Self { size: true, body: true, binary: true, smtputf8: true, dsn: true, require_tls: true, auth: true };
    pub(crate) const NONE: Self =
        Self { size: false, body: false, binary: false, smtputf8: false, dsn: false, require_tls: false, auth: false };
}

/// Reads what follows the reverse path into `mail`.
pub(crate) fn mail(text: &str, accepted: Accepted, mail: &mut MailCommand) -> Result<(), CommandError> {
    let mut seen = Vec::new();
    for (keyword, value) in split(text)? {
        let parameter = known(keyword, MAIL_PARAMETERS, &mut seen, |p| match p {
            Parameter::Size => accepted.size,
            Parameter::Body => accepted.body,
            Parameter::SmtpUtf8 => accepted.smtputf8,
            Parameter::RequireTls => accepted.require_tls,
            Parameter::Ret | Parameter::EnvelopeId => accepted.dsn,
            Parameter::Auth => accepted.auth,
            Parameter::Notify | Parameter::OriginalRecipient => false,
        })?;
        let wrong = || CommandError::ParameterValue { parameter };
        match (parameter, value) {
            (Parameter::SmtpUtf8, None) => mail.smtputf8 = true,
            (Parameter::RequireTls, None) => mail.require_tls = true,
            (Parameter::SmtpUtf8 | Parameter::RequireTls, Some(_)) | (_, None) => return Err(wrong()),
            (Parameter::Size, Some(value)) => mail.size = Some(size(value).ok_or_else(wrong)?),
            (Parameter::Body, Some(value)) => mail.body = body(value, accepted)?.ok_or_else(wrong)?,
            (Parameter::Ret, Some(value)) => mail.ret = Some(ret(value).ok_or_else(wrong)?),
            (Parameter::EnvelopeId, Some(value)) => {
                let id = xtext::decode(value).and_then(|text| EnvelopeId::new(&text).ok());
                mail.envelope_id = Some(id.ok_or_else(wrong)?);
            }
            (_, Some(value)) => mail.auth = Some(auth(value).ok_or_else(wrong)?),
        }
    }
    Ok(())
}

/// Reads what follows the forward path into `rcpt`.
pub(crate) fn rcpt(text: &str, accepted: Accepted, rcpt: &mut RcptCommand) -> Result<(), CommandError> {
    let mut seen = Vec::new();
    for (keyword, value) in split(text)? {
        let parameter = known(keyword, RCPT_PARAMETERS, &mut seen, |_| accepted.dsn)?;
        let wrong = || CommandError::ParameterValue { parameter };
        let value = value.ok_or_else(wrong)?;
        if parameter == Parameter::Notify {
            rcpt.notify = Some(notify(value).ok_or_else(wrong)?);
        } else {
            let (kind, address) = value.split_once(';').ok_or_else(wrong)?;
            let address = if kind.eq_ignore_ascii_case("utf-8") { xtext::decode_utf8(address) } else { xtext::decode(address) };
            let original = address.and_then(|address| OriginalRecipient::new(kind, &address).ok());
            rcpt.original = Some(original.ok_or_else(wrong)?);
        }
    }
    Ok(())
}

/// Appends the parameters of `mail`.
pub(crate) fn encode_mail(mail: &MailCommand, out: &mut Vec<u8>) {
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    if let Some(Octets(size)) = mail.size {
        put(&format!(" SIZE={size}"));
    }
    match mail.body {
        BodyKind::EightBitMime => put(" BODY=8BITMIME"),
        BodyKind::BinaryMime => put(" BODY=BINARYMIME"),
        _ => {}
    }
    if mail.smtputf8 {
        put(" SMTPUTF8");
    }
    if mail.require_tls {
        put(" REQUIRETLS");
    }
    match mail.ret {
        Some(Ret::Full) => put(" RET=FULL"),
        Some(Ret::Headers) => put(" RET=HDRS"),
        None => {}
    }
    if let Some(id) = &mail.envelope_id {
        put(" ENVID=");
        put(&xtext::encode(id.as_str()));
    }
    match &mail.auth {
        Some(ReversePath::Null) => put(" AUTH=<>"),
        Some(ReversePath::Mailbox(mailbox)) => {
            put(" AUTH=");
            put(&xtext::encode(&mailbox.to_string()));
        }
        None => {}
    }
}

/// Appends the parameters of `rcpt`.
pub(crate) fn encode_rcpt(rcpt: &RcptCommand, out: &mut Vec<u8>) {
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    match rcpt.notify {
        None => {}
        // "On none of them" can be built but not said; it means the same.
        Some(Notify::Never | Notify::On { success: false, failure: false, delay: false }) => put(" NOTIFY=NEVER"),
        Some(Notify::On { success, failure, delay }) => {
            let events = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
            let events: Vec<&str> = events.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| *name).collect();
            put(" NOTIFY=");
            put(&events.join(","));
        }
    }
    if let Some(original) = &rcpt.original {
        put(" ORCPT=");
        put(original.address_type());
        put(";");
        let utf8 = original.address_type().eq_ignore_ascii_case("utf-8");
        put(&if utf8 { xtext::encode_utf8(original.address()) } else { xtext::encode(original.address()) });
    }
}

type Word<'a> = (&'a str, Option<&'a str>);

fn split(text: &str) -> Result<Vec<Word<'_>>, CommandError> {
    match many0(preceded(space1, parameter)).parse(text) {
        Ok(("", words)) => Ok(words),
        _ => Err(CommandError::ParameterSyntax),
    }
}

/// `esmtp-keyword ["=" esmtp-value]`, RFC 5321 section 4.1.2 and RFC 6531 section 3.3.
fn parameter(input: &str) -> IResult<&str, Word<'_>> {
    let keyword = recognize((satisfy(|c| c.is_ascii_alphanumeric()), take_while(|c: char| c.is_ascii_alphanumeric() || c == '-')));
    let value = take_while1(|c: char| c != '=' && c != ' ' && !c.is_control());
    (keyword, opt(preceded(char('='), value))).parse(input)
}

fn known(
    keyword: &str,
    names: &[(&str, Parameter)],
    seen: &mut Vec<Parameter>,
    accepted: impl Fn(Parameter) -> bool,
) -> Result<Parameter, CommandError> {
    let parameter = names.iter().find(|(name, _)| keyword.eq_ignore_ascii_case(name)).map(|(_, parameter)| *parameter);
    let parameter = parameter.filter(|p| accepted(*p)).ok_or_else(|| CommandError::UnknownParameter { keyword: shown(keyword) })?;
    if seen.contains(&parameter) {
        return Err(CommandError::DuplicateParameter { parameter });
    }
    seen.push(parameter);
    Ok(parameter)
}

fn size(value: &str) -> Option<Octets> {
    let digits = value.len() <= SIZE_DIGITS && value.bytes().all(|b| b.is_ascii_digit());
    if digits { value.parse().ok().map(Octets) } else { None }
}

fn body(value: &str, accepted: Accepted) -> Result<Option<BodyKind>, CommandError> {
    Ok(if value.eq_ignore_ascii_case("7BIT") {
        Some(BodyKind::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Some(BodyKind::EightBitMime)
    } else if value.eq_ignore_ascii_case("BINARYMIME") {
        if !accepted.binary {
            return Err(CommandError::UnknownParameter { keyword: "BODY=BINARYMIME".to_owned() });
        }
        Some(BodyKind::BinaryMime)
    } else {
        None
    })
}

fn ret(value: &str) -> Option<Ret> {
    if value.eq_ignore_ascii_case("FULL") {
        Some(Ret::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Some(Ret::Headers)
    } else {
        None
    }
}

/// What is no mailbox counts as `<>`: the client vouches for nobody, RFC 4954 section 5.
fn auth(value: &str) -> Option<ReversePath> {
    let text = xtext::decode(value)?;
    let bracketed = if text.starts_with('<') { text } else { format!("<{text}>") };
    Some(path::reverse_path(&bracketed).map_or(ReversePath::Null, |(_, path)| path))
}

fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for event in value.split(',') {
        let flag = if event.eq_ignore_ascii_case("SUCCESS") {
            &mut success
        } else if event.eq_ignore_ascii_case("FAILURE") {
            &mut failure
        } else if event.eq_ignore_ascii_case("DELAY") {
            &mut delay
        } else {
            return None;
        };
        *flag = true;
    }
    Some(Notify::On { success, failure, delay })
}

fn shown(keyword: &str) -> String {
    keyword.chars().take(SHOWN_CHARACTERS).collect::<String>().to_ascii_uppercase()
}

const MAIL_PARAMETERS: &[(&str, Parameter)] = &[
    ("SIZE", Parameter::Size),
    ("BODY", Parameter::Body),
    ("SMTPUTF8", Parameter::SmtpUtf8),
    ("REQUIRETLS", Parameter::RequireTls),
    ("RET", Parameter::Ret),
    ("ENVID", Parameter::EnvelopeId),
    ("AUTH", Parameter::Auth),
];

const RCPT_PARAMETERS: &[(&str, Parameter)] = &[("NOTIFY", Parameter::Notify), ("ORCPT", Parameter::OriginalRecipient)];

/// Digits of SIZE=, RFC 1870 section 3.
const SIZE_DIGITS: usize = 20;

/// Characters of an unknown keyword that an error shows.
const SHOWN_CHARACTERS: usize = 40;
