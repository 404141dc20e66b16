//! The Received field that the relay puts on top of each message.

use std::fmt::Write as _;
use std::net::IpAddr;

use sealpost_smtp::Greeting;
use sealpost_types::{Domain, ForwardPath, Reception, UnixMillis};

/// How a message came in, in the words of the registry "Mail Transmission Types".
///
/// # Wire
/// RFC 5321 section 4.4: SMTP, ESMTP; RFC 3848: ESMTPS, ESMTPA, ESMTPSA; RFC 6531 section 4.3: UTF8SMTP, UTF8SMTPS, UTF8SMTPA,
/// UTF8SMTPSA. There is no word for HELO under TLS or with AUTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) greeting: Greeting,
    pub(crate) smtputf8: bool,
    pub(crate) tls: bool,
    pub(crate) login: bool,
}

impl Protocol {
    fn as_str(self) -> &'static str {
        let Self { greeting, smtputf8, tls, login } = self;
        match (greeting, smtputf8, tls, login) {
            (Greeting::Helo, ..) => "SMTP",
            (Greeting::Ehlo, false, false, false) => "ESMTP",
            (Greeting::Ehlo, false, true, false) => "ESMTPS",
            (Greeting::Ehlo, false, false, true) => "ESMTPA",
            (Greeting::Ehlo, false, true, true) => "ESMTPSA",
            (Greeting::Ehlo, true, false, false) => "UTF8SMTP",
            (Greeting::Ehlo, true, true, false) => "UTF8SMTPS",
            (Greeting::Ehlo, true, false, true) => "UTF8SMTPA",
            (Greeting::Ehlo, true, true, true) => "UTF8SMTPSA",
        }
    }

    fn is_utf8(self) -> bool {
        self.greeting == Greeting::Ehlo && self.smtputf8
    }
}

/// The Received field of one message, with its final CRLF.
///
/// # Wire
/// RFC 5321 section 4.4 and 4.4.1. The TLS facts stand in comments, as every other relay writes them. The recipient is
/// named only when there is one, so that no recipient learns of another.
pub(crate) fn received_field(hostname: &Domain, id: &str, reception: &Reception, protocol: Protocol, recipients: &[ForwardPath]) -> String {
    let mut field = String::with_capacity(320);
    field.push_str("Received: from ");
    push_word(&mut field, &reception.helo);
    if let Some(client) = reception.client {
        let _ = match client.to_canonical() {
            IpAddr::V4(address) => write!(field, " ([{address}])"),
            IpAddr::V6(address) => write!(field, " ([IPv6:{address}])"),
        };
    }
    if let Some(tls) = &reception.tls {
        let _ = write!(field, "\r\n\t(using {} with cipher {}", tls.version, tls.suite);
        if let Some(group) = tls.group {
            let _ = write!(field, " key-exchange {group}");
        }
        field.push(')');
    }
    let _ = write!(field, "\r\n\tby {hostname} (Sealpost) with {} id {id}", protocol.as_str());
    if let [ForwardPath::Mailbox(only)] = recipients
        && (protocol.is_utf8() || only.is_ascii())
    {
        let _ = write!(field, "\r\n\tfor <{only}>");
    }
    let _ = write!(field, "; {}\r\n", rfc5322_date(reception.at));
    field
}

/// What a client calls itself is its own claim: only what cannot break a header field is repeated.
fn push_word(field: &mut String, helo: &str) {
    if helo.is_empty() {
        field.push_str("unknown");
    }
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    field.extend(helo.chars().take(HELO_CHARACTERS).map(|c| if harmless(c) { c } else { '?' }));
}

/// A date as mail writes it: `Sun, 22 Nov 2026 04:07:46 +0000`.
pub(crate) fn rfc5322_date(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .ok()
        .and_then(|time| jiff::fmt::rfc2822::to_string(&time.to_zoned(jiff::tz::TimeZone::UTC)).ok())
        .unwrap_or_else(|| "Thu, 1 Jan 1970 00:00:00 +0000".to_owned())
}

/// How much of a client's name is repeated: a full domain name fits.
const HELO_CHARACTERS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use sealpost_types::{CipherSuite, KexGroup, Mailbox, TlsFacts, TlsVersion};

    const AT: UnixMillis = UnixMillis(1_795_320_466_000);

    fn reception(tls: bool, helo: &str) -> Reception {
        let facts = TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1302), Some(KexGroup(0x11ec)), false);
        Reception::from_client(AT, "192.0.2.1".parse().unwrap(), helo.to_owned(), tls.then_some(facts))
    }

    fn field(tls: bool, helo: &str, recipients: &[&str]) -> String {
        let recipients: Vec<_> = recipients.iter().map(|r| ForwardPath::from(Mailbox::parse(r).unwrap())).collect();
        let protocol = Protocol { greeting: Greeting::Ehlo, smtputf8: false, tls, login: false };
        received_field(&Domain::parse("relay.example").unwrap(), "ID7", &reception(tls, helo), protocol, &recipients)
    }

    /// RFC 5321 section 4.4: what began with HELO came by SMTP; RFC 3848 gives S and A to EHLO alone.
    #[test]
    fn the_protocol_is_that_of_the_session() {
        for (greeting, smtputf8, tls, login, word) in [
            (Greeting::Helo, false, false, false, " with SMTP id "),
            (Greeting::Helo, false, true, true, " with SMTP id "),
            (Greeting::Ehlo, false, false, false, " with ESMTP id "),
            (Greeting::Ehlo, false, true, false, " with ESMTPS id "),
            (Greeting::Ehlo, false, false, true, " with ESMTPA id "),
            (Greeting::Ehlo, false, true, true, " with ESMTPSA id "),
            (Greeting::Ehlo, true, false, false, " with UTF8SMTP id "),
            (Greeting::Ehlo, true, true, false, " with UTF8SMTPS id "),
            (Greeting::Ehlo, true, false, true, " with UTF8SMTPA id "),
            (Greeting::Ehlo, true, true, true, " with UTF8SMTPSA id "),
        ] {
            let protocol = Protocol { greeting, smtputf8, tls, login };
            let field = received_field(&Domain::parse("relay.example").unwrap(), "ID7", &reception(tls, "x"), protocol, &[]);
            assert!(field.contains(word) && field.contains("(using TLS") == tls, "{field}");
        }
    }

    #[test]
    fn rfc3848_esmtps_with_the_tls_facts() {
        assert_eq!(
            field(true, "client.example", &["a@b.example"]),
            "Received: from client.example ([192.0.2.1])\r\n\
             \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 key-exchange X25519MLKEM768)\r\n\
             \tby relay.example (Sealpost) with ESMTPS id ID7\r\n\
             \tfor <a@b.example>; Sun, 22 Nov 2026 04:07:46 +0000\r\n"
        );
    }

    #[test]
    fn several_recipients_are_not_named() {
        let field = field(false, "x", &["a@b.example", "c@d.example"]);
        assert!(field.contains("with ESMTP id") && !field.contains("for <"), "{field}");
    }

    #[test]
    fn a_client_cannot_write_header_fields() {
        let field = field(false, "x\r\nEvil: yes (comment", &[]);
        assert!(!field.contains("\r\nEvil") && field.contains("x??Evil:?yes??comment"), "{field}");
    }
}
