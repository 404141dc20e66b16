//! The Received field that the relay puts on top of each message.

use std::fmt::Write as _;
use std::net::IpAddr;

use sealpost_types::{Domain, ForwardPath, Reception, UnixMillis};

/// The Received field of one message, with its final CRLF.
///
/// # Wire
/// RFC 5321 section 4.4 and 4.4.1; RFC 3848 for `ESMTPS`, RFC 6531 section 4.3 for `UTF8SMTPS`. The TLS facts stand in
/// comments, as every other relay writes them. The recipient is named only when there is one, so that no recipient
/// learns of another.
pub(crate) fn received_field(hostname: &Domain, id: &str, reception: &Reception, smtputf8: bool, recipients: &[ForwardPath]) -> String {
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
    let protocol = match (smtputf8, reception.tls.is_some()) {
        (false, false) => "ESMTP",
        (false, true) => "ESMTPS",
        (true, false) => "UTF8SMTP",
        (true, true) => "UTF8SMTPS",
    };
    let _ = write!(field, "\r\n\tby {hostname} (Sealpost) with {protocol} id {id}");
    if let [ForwardPath::Mailbox(only)] = recipients
        && (smtputf8 || only.is_ascii())
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
        received_field(&Domain::parse("relay.example").unwrap(), "ID7", &reception(tls, helo), false, &recipients)
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
