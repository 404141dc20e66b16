//! Parameters of MAIL and RCPT.

mod xtext;

use nom::bytes::complete::take_while;
use nom::character::complete::char;
use nom::combinator::{fail, opt, verify};
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

    fn takes(self, parameter: Parameter) -> bool {
        match parameter {
            Parameter::Size => self.size,
            Parameter::Body => self.body,
            Parameter::SmtpUtf8 => self.smtputf8,
            Parameter::RequireTls => self.require_tls,
            Parameter::Ret | Parameter::EnvelopeId | Parameter::Notify | Parameter::OriginalRecipient => self.dsn,
            Parameter::Auth => self.auth,
        }
    }
}

/// Reads what follows the reverse path into `mail`.
pub(crate) fn mail(text: &str, accepted: Accepted, mail: &mut MailCommand) -> Result<(), CommandError> {
    let mut seen = Seen::default();
    each(text, |keyword, value| {
        let parameter = seen.add(keyword, mail_parameter(keyword.as_bytes()).filter(|p| accepted.takes(*p)))?;
        let wrong = || CommandError::ParameterValue { parameter };
        match (parameter, value) {
            (Parameter::SmtpUtf8, None) => mail.smtputf8 = true,
            (Parameter::RequireTls, None) => mail.require_tls = true,
            (Parameter::SmtpUtf8 | Parameter::RequireTls, Some(_)) | (_, None) => return Err(wrong()),
            (Parameter::Size, Some(value)) => mail.size = Some(size(value.as_bytes()).ok_or_else(wrong)?),
            (Parameter::Body, Some(value)) => {
                mail.body = body(value.as_bytes()).ok_or_else(wrong)?;
                if mail.body == BodyKind::BinaryMime && !accepted.binary {
                    return Err(CommandError::UnknownParameter { keyword: "BODY=BINARYMIME".to_owned() });
                }
            }
            (Parameter::Ret, Some(value)) => mail.ret = Some(ret(value).ok_or_else(wrong)?),
            (Parameter::EnvelopeId, Some(value)) => {
                let id = xtext::decode(value).and_then(|text| EnvelopeId::new(&text).ok());
                mail.envelope_id = Some(id.ok_or_else(wrong)?);
            }
            (_, Some(value)) => mail.auth = Some(auth(value).ok_or_else(wrong)?),
        }
        Ok(())
    })
}

/// Reads what follows the forward path into `rcpt`.
pub(crate) fn rcpt(text: &str, accepted: Accepted, rcpt: &mut RcptCommand) -> Result<(), CommandError> {
    let mut seen = Seen::default();
    each(text, |keyword, value| {
        let parameter = seen.add(keyword, rcpt_parameter(keyword.as_bytes()).filter(|p| accepted.takes(*p)))?;
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
        Ok(())
    })
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

/// Hands each parameter to `read`. One that is no parameter at all is worse than whatever `read` finds.
fn each<'a>(text: &'a str, mut read: impl FnMut(&'a str, Option<&'a str>) -> Result<(), CommandError>) -> Result<(), CommandError> {
    let (mut rest, mut result) = (text, Ok(()));
    while !rest.is_empty() {
        let (behind, (keyword, value)) = preceded(blanks, parameter).parse(rest).map_err(|_| CommandError::ParameterSyntax)?;
        result = result.and_then(|()| read(keyword, value));
        rest = behind;
    }
    result
}

fn blanks(input: &str) -> IResult<&str, &str> {
    run(input, |octet| matches!(octet, b' ' | b'\t'))
}

/// `esmtp-keyword ["=" esmtp-value]`, RFC 5321 section 4.1.2 and RFC 6531 section 3.3.
fn parameter(input: &str) -> IResult<&str, Word<'_>> {
    (keyword, opt(preceded(char('='), value))).parse(input)
}

fn keyword(input: &str) -> IResult<&str, &str> {
    let octets = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    verify(|input| run(input, octets), |word: &str| !word.starts_with('-')).parse(input)
}

/// Nearly always graphic characters of ASCII; from the first one that is none, character by character.
fn value(input: &str) -> IResult<&str, &str> {
    let (rest, _) = opt(|input| run(input, |octet| octet.is_ascii_graphic() && octet != b'=')).parse(input)?;
    let (rest, _) = if rest.as_bytes().first().is_none_or(u8::is_ascii) { (rest, "") } else { wide(rest)? };
    match input.split_at_checked(input.len().saturating_sub(rest.len())) {
        Some((value, rest)) if !value.is_empty() => Ok((rest, value)),
        _ => fail().parse(input),
    }
}

fn wide(input: &str) -> IResult<&str, &str> {
    take_while(|c: char| c != '=' && c != ' ' && !c.is_control()).parse(input)
}

/// At least one octet of ASCII that is `allowed`, and all that follow it.
fn run(input: &str, allowed: impl Fn(u8) -> bool) -> IResult<&str, &str> {
    let length = input.bytes().position(|octet| !allowed(octet)).unwrap_or(input.len());
    match input.split_at_checked(length) {
        Some((run, rest)) if !run.is_empty() => Ok((rest, run)),
        _ => fail().parse(input),
    }
}

/// The parameters that a command had so far.
#[derive(Debug, Default)]
struct Seen([Option<Parameter>; PARAMETERS_AT_MOST]);

impl Seen {
    /// Adds the `known` parameter that `keyword` names.
    fn add(&mut self, keyword: &str, known: Option<Parameter>) -> Result<Parameter, CommandError> {
        let parameter = known.ok_or_else(|| CommandError::UnknownParameter { keyword: shown(keyword) })?;
        for place in &mut self.0 {
            match place {
                Some(seen) if *seen == parameter => return Err(CommandError::DuplicateParameter { parameter }),
                Some(_) => {}
                None => {
                    *place = Some(parameter);
                    break;
                }
            }
        }
        Ok(parameter)
    }
}

fn mail_parameter(keyword: &[u8]) -> Option<Parameter> {
    let known: &[Parameter] = match keyword.len() {
        3 => &[Parameter::Ret],
        4 => &[Parameter::Size, Parameter::Body, Parameter::Auth],
        5 => &[Parameter::EnvelopeId],
        8 => &[Parameter::SmtpUtf8],
        10 => &[Parameter::RequireTls],
        _ => &[],
    };
    known.iter().copied().find(|parameter| keyword.eq_ignore_ascii_case(parameter.as_str().as_bytes()))
}

fn rcpt_parameter(keyword: &[u8]) -> Option<Parameter> {
    let known = [Parameter::Notify, Parameter::OriginalRecipient];
    known.into_iter().find(|parameter| keyword.eq_ignore_ascii_case(parameter.as_str().as_bytes()))
}

/// The value of SIZE: up to 20 digits, RFC 1870 section 3.
pub(crate) fn size(digits: &[u8]) -> Option<Octets> {
    if digits.is_empty() || digits.len() > SIZE_DIGITS {
        return None;
    }
    let digit = |octet: u8| octet.checked_sub(b'0').filter(|digit| *digit <= 9).map(u64::from);
    let size = digits.iter().try_fold(0_u64, |size, octet| size.checked_mul(10)?.checked_add(digit(*octet)?));
    size.map(Octets)
}

/// The value of BODY, RFC 6152 section 2 and RFC 3030 section 3.
pub(crate) fn body(value: &[u8]) -> Option<BodyKind> {
    if value.eq_ignore_ascii_case(b"8BITMIME") {
        Some(BodyKind::EightBitMime)
    } else if value.eq_ignore_ascii_case(b"7BIT") {
        Some(BodyKind::SevenBit)
    } else if value.eq_ignore_ascii_case(b"BINARYMIME") {
        Some(BodyKind::BinaryMime)
    } else {
        None
    }
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

/// Parameters that one command can have.
const PARAMETERS_AT_MOST: usize = 7;

/// Digits of SIZE=, RFC 1870 section 3.
const SIZE_DIGITS: usize = 20;

/// Characters of an unknown keyword that an error shows.
const SHOWN_CHARACTERS: usize = 40;

#[cfg(test)]
mod tests {
    use nom::bytes::complete::take_while1;

    use super::*;

    /// Octet by octet or character by character, a value ends in the same place.
    #[test]
    fn the_short_way_gives_what_the_long_one_gives() {
        fn long(input: &str) -> IResult<&str, &str> {
            take_while1(|c: char| c != '=' && c != ' ' && !c.is_control()).parse(input)
        }
        let pieces: Vec<char> = (0..=127_u8).map(char::from).chain(['ü', '\u{85}', '\u{3000}']).collect();
        for first in &pieces {
            for second in &pieces {
                for text in [format!("{first}{second}"), format!("a{first}{second}b=c"), format!("ü{first}a{second} x")] {
                    assert_eq!(value(&text).ok(), long(&text).ok(), "{text:?}");
                }
            }
        }
        assert!(value("").is_err() && long("").is_err());
    }

    #[test]
    fn what_is_no_parameter_is_worse_than_one_that_is_unknown() {
        let error = |text| rcpt(text, Accepted::ALL, &mut RcptCommand::new(sealpost_types::ForwardPath::Postmaster)).unwrap_err();
        assert_eq!(error(" X=1 NOTIFY=NEVER"), CommandError::UnknownParameter { keyword: "X".to_owned() });
        assert_eq!(error(" SIZE=1"), CommandError::UnknownParameter { keyword: "SIZE".to_owned() });
        for wrong in [" X=1 =", " X=1 -a", " NOTIFY=", " NOTIFY=a=b", "NOTIFY=NEVER", " notify=never x=\u{85}"] {
            assert_eq!(error(wrong), CommandError::ParameterSyntax, "{wrong:?}");
        }
        let parameter = Parameter::Notify;
        assert_eq!(error(" NOTIFY=NEVER ORCPT=rfc822;a notify=never"), CommandError::DuplicateParameter { parameter });
    }
}
