//! What the server does wrong, where, and how often.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::network::span;

/// Where in a session something is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Banner,
    Ehlo,
    StartTls,
    /// Between the reply to STARTTLS, or the connection, and the end of the handshake.
    Handshake,
    Mail,
    Rcpt,
    Data,
    /// Behind the end of the content.
    Body,
    Auth,
    Rset,
    Noop,
    Quit,
}

/// What is done there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Answers with these octets.
    Reply(Vec<u8>),
    /// Never answers.
    Stall,
    /// Resets the connection.
    Close,
    /// Answers so much later.
    Delay(Duration),
}

/// One thing that is done wrong.
#[derive(Debug)]
pub(super) struct Fault {
    stage: Stage,
    deed: Deed,
    /// How often still; for ever without a number.
    left: Option<AtomicU32>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Faults {
    list: Vec<Fault>,
    /// What follows the 220 to STARTTLS in clear.
    pub(super) inject: Option<Vec<u8>>,
    /// Whether TLS is refused as by a server of 2005.
    pub(super) old_tls: bool,
    /// Octets of content taken in a second.
    pub(super) read_rate: Option<u32>,
}

impl Fault {
    pub(super) fn reply(text: &str) -> Result<Self, String> {
        let (stage, reply) =
            text.split_once('=').ok_or_else(|| format!("--reply {text:?}: STAGE=TEXT is meant, such as 'MAIL=451 later'"))?;
        let mut reply = octets(reply)?;
        if !text.ends_with("\\c") {
            reply.extend_from_slice(b"\r\n");
        }
        let stage = Self::at("--reply", stage, Deed::Reply(reply))?;
        if stage.stage == Stage::Handshake {
            Err("--reply HANDSHAKE: nothing is answered there; --close, --stall and --delay work".to_owned())
        } else {
            Ok(stage)
        }
    }

    pub(super) fn stall(text: &str) -> Result<Self, String> {
        Self::at("--stall", text, Deed::Stall)
    }

    pub(super) fn close(text: &str) -> Result<Self, String> {
        Self::at("--close", text, Deed::Close)
    }

    pub(super) fn delay(text: &str) -> Result<Self, String> {
        let (stage, time) = text.split_once('=').ok_or_else(|| format!("--delay {text:?}: STAGE=SPAN is meant, such as BODY=5s"))?;
        Self::at("--delay", stage, Deed::Delay(span("--delay", time)?))
    }

    fn at(option: &str, text: &str, deed: Deed) -> Result<Self, String> {
        let (stage, times) = match text.split_once('*') {
            None => (text, None),
            Some((stage, times)) => {
                let times: u32 = times.parse().map_err(|_| format!("{option} {text:?}: a number is meant behind the *"))?;
                (stage, Some(AtomicU32::new(times)))
            }
        };
        let stage = stage.parse().map_err(|error| format!("{option}: {error}"))?;
        Ok(Self { stage, deed, left: times })
    }

    /// Whether it is its turn; that is one time less.
    fn strikes(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.left.as_ref().is_none_or(|left| left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok())
    }
}

impl Faults {
    pub(super) fn new(list: Vec<Fault>, inject: Option<Vec<u8>>, old_tls: bool, read_rate: Option<u32>) -> Self {
        Self { list, inject, old_tls, read_rate }
    }

    /// What is done at this stage now: delays first, then the first of the others whose turn it is.
    pub(super) fn at(&self, stage: Stage) -> (Option<Duration>, Option<&Deed>) {
        let mut delay: Option<Duration> = None;
        for fault in self.list.iter().filter(|fault| fault.stage == stage) {
            match &fault.deed {
                Deed::Delay(time) if fault.strikes() => delay = Some(delay.unwrap_or_default().saturating_add(*time)),
                Deed::Delay(_) => {}
                deed if fault.strikes() => return (delay, Some(deed)),
                _ => {}
            }
        }
        (delay, None)
    }
}

impl Stage {
    const ALL: [(Self, &'static str); 12] = [
        (Self::Banner, "BANNER"),
        (Self::Ehlo, "EHLO"),
        (Self::StartTls, "STARTTLS"),
        (Self::Handshake, "HANDSHAKE"),
        (Self::Mail, "MAIL"),
        (Self::Rcpt, "RCPT"),
        (Self::Data, "DATA"),
        (Self::Body, "BODY"),
        (Self::Auth, "AUTH"),
        (Self::Rset, "RSET"),
        (Self::Noop, "NOOP"),
        (Self::Quit, "QUIT"),
    ];

    pub(super) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(stage, _)| *stage == self).map_or("", |(_, name)| name)
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(stage, _)| *stage).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(_, name)| *name).collect();
            format!("{text:?} is no stage; one of {} is meant", names.join(", "))
        })
    }
}

/// The octets of a text with the escapes `\r \n \t \\ \xNN`; `\c` at the end stands for nothing.
pub(super) fn octets(text: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.strip_suffix("\\c").unwrap_or(text).chars();
    let wrong = |found: &str| format!("{text:?}: \\{found} is no escape; \\r, \\n, \\t, \\\\, \\xNN and \\c at the end are");
    while let Some(character) = rest.next() {
        if character != '\\' {
            octets.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        octets.push(match rest.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).ok().filter(|_| is_hex(&digits)).ok_or_else(|| wrong(&format!("x{digits}")))?
            }
            other => return Err(wrong(&other.map(String::from).unwrap_or_default())),
        });
    }
    Ok(octets)
}

/// `from_str_radix` takes one digit too, and a sign.
fn is_hex(digits: &str) -> bool {
    digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read() {
        assert_eq!(octets("a\\r\\n\\x00\\\\ü\\c").unwrap(), b"a\r\n\0\\\xc3\xbc");
        assert!(octets("\\q").is_err() && octets("\\x1").is_err() && octets("\\").is_err());
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_says_and_delays_add_up() {
        let faults = vec![Fault::delay("mail=1s").unwrap(), Fault::delay("MAIL*1=2s").unwrap(), Fault::reply("MAIL*2=451 later").unwrap()];
        let faults = Faults::new(faults, None, false, None);
        let reply = Deed::Reply(b"451 later\r\n".to_vec());
        assert_eq!(faults.at(Stage::Mail), (Some(Duration::from_secs(3)), Some(&reply)));
        assert_eq!(faults.at(Stage::Mail), (Some(Duration::from_secs(1)), Some(&reply)));
        assert_eq!(faults.at(Stage::Mail), (Some(Duration::from_secs(1)), None));
        assert_eq!(faults.at(Stage::Rcpt), (None, None));
    }

    #[test]
    fn a_wrong_fault_is_named() {
        for (wrong, part) in [
            (Fault::reply("MAIL"), "STAGE=TEXT"),
            (Fault::reply("MALI=451 x"), "no stage"),
            (Fault::reply("HANDSHAKE=451 x"), "nothing is answered"),
            (Fault::stall("MAIL*x"), "a number"),
            (Fault::delay("MAIL=soon"), "--delay"),
        ] {
            assert!(wrong.unwrap_err().contains(part), "{part}");
        }
    }
}
