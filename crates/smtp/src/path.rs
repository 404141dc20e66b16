//! Paths: the addresses in angle brackets of MAIL and RCPT.

use nom::branch::alt;
use nom::bytes::complete::{take_while_m_n, take_while1};
use nom::character::complete::{anychar, char};
use nom::combinator::{opt, recognize, value};
use nom::multi::{many0_count, separated_list1};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};
use sealpost_types::{ForwardPath, Mailbox, MailboxError, ReversePath};

/// Why the text behind `FROM:` or `TO:` is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// No angle brackets, or they do not close.
    Brackets,
    /// `<>` where somebody has to receive.
    Empty,
    /// What stands in the brackets is no mailbox.
    Mailbox(MailboxError),
}

/// A path at the start of `text`, and what follows it.
pub(crate) fn reverse_path(text: &str) -> Result<(&str, ReversePath), PathError> {
    let (rest, address) = bracketed(text)?;
    if address.is_empty() {
        return Ok((rest, ReversePath::Null));
    }
    Ok((rest, ReversePath::Mailbox(Mailbox::parse(address).map_err(PathError::Mailbox)?)))
}

/// A path at the start of `text`, and what follows it.
pub(crate) fn forward_path(text: &str) -> Result<(&str, ForwardPath), PathError> {
    let (rest, address) = bracketed(text)?;
    if address.is_empty() {
        return Err(PathError::Empty);
    }
    if address.eq_ignore_ascii_case("postmaster") {
        return Ok((rest, ForwardPath::Postmaster));
    }
    Ok((rest, ForwardPath::Mailbox(Mailbox::parse(address).map_err(PathError::Mailbox)?)))
}

fn bracketed(text: &str) -> Result<(&str, &str), PathError> {
    match path(text) {
        Ok((rest, address)) if rest.is_empty() || rest.starts_with(' ') => Ok((rest, address)),
        _ => Err(PathError::Brackets),
    }
}

/// `"<" [ A-d-l ":" ] Mailbox ">"`; the route is dropped, as RFC 5321 section 4.1.1.3 and appendix C ask.
fn path(input: &str) -> IResult<&str, &str> {
    delimited(char('<'), preceded(opt(route), address), char('>')).parse(input)
}

/// `"@" Domain *( "," "@" Domain ) ":"`
fn route(input: &str) -> IResult<&str, ()> {
    let hop = preceded(char('@'), take_while1(|c: char| !c.is_whitespace() && !matches!(c, '@' | ',' | ':' | '<' | '>' | '"')));
    value((), terminated(separated_list1(char(','), hop), char(':'))).parse(input)
}

/// Everything up to the `>` that is not within quotes. What it has to be is [`Mailbox::parse`]'s to say.
fn address(input: &str) -> IResult<&str, &str> {
    let plain = value((), take_while1(|c: char| !matches!(c, '<' | '>' | '"')));
    recognize(many0_count(alt((plain, quoted)))).parse(input)
}

fn quoted(input: &str) -> IResult<&str, ()> {
    let plain = value((), take_while_m_n(1, usize::MAX, |c: char| !matches!(c, '"' | '\\')));
    let pair = value((), (char('\\'), anychar));
    value((), delimited(char('"'), many0_count(alt((plain, pair))), char('"'))).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reverse(text: &str) -> Result<(&str, String), PathError> {
        reverse_path(text).map(|(rest, path)| (rest, path.to_string()))
    }

    #[test]
    fn rfc5321_4_1_2_paths_end_where_their_bracket_closes() {
        assert_eq!(reverse("<>"), Ok(("", String::new())));
        assert_eq!(reverse("<a@b.example> SIZE=1"), Ok((" SIZE=1", "a@b.example".to_owned())));
        assert_eq!(reverse("<\"a> \\\" b\"@b.example>"), Ok(("", "\"a> \\\" b\"@b.example".to_owned())));
        assert_eq!(reverse("<a@[IPv6:::1]>"), Ok(("", "a@[IPv6:::1]".to_owned())));
        for wrong in ["", "a@b", "<a@b", "a@b>", "<a@b>x", "<<a@b>>", "<\"a@b>", "<a<b@c>"] {
            assert_eq!(reverse(wrong), Err(PathError::Brackets), "{wrong}");
        }
        assert!(matches!(reverse("<a b@c>"), Err(PathError::Mailbox(MailboxError::LocalPartCharacter { .. }))));
    }

    #[test]
    fn rfc5321_appendix_c_source_routes_are_dropped() {
        assert_eq!(reverse("<@a.example,@b.example:user@c.example>"), Ok(("", "user@c.example".to_owned())));
        assert_eq!(reverse("<@a.example:user@c.example>"), Ok(("", "user@c.example".to_owned())));
        for wrong in ["<@a.example>", "<@a.example,user@c.example>", "<@:user@c.example>", "<@a,@:u@c.example>"] {
            assert!(matches!(reverse(wrong), Err(PathError::Mailbox(_))), "{wrong}");
        }
    }

    #[test]
    fn rfc5321_4_5_1_postmaster_needs_no_domain() {
        assert_eq!(forward_path("<pOSTmaster>"), Ok(("", ForwardPath::Postmaster)));
        assert_eq!(forward_path("<>"), Err(PathError::Empty));
        assert_eq!(forward_path("<root>"), Err(PathError::Mailbox(MailboxError::NoAt)));
    }
}
