//! A message from its parts (RFC 5322, RFC 2045 to 2047).

use std::path::Path;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpost_types::{Mailbox, ReversePath};

/// What a message is made of.
#[derive(Debug)]
pub(super) struct Message {
    fields: Vec<(String, String)>,
    pub(super) text: Vec<u8>,
    /// Names and contents.
    pub(super) attachments: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// A message without text; `further` fields take the place of ours of the same name.
    pub(super) fn new(from: &ReversePath, to: &[Mailbox], subject: &str, host: &str, further: &[String]) -> Result<Self, String> {
        let now = jiff::Zoned::now();
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let author = match from.mailbox() {
            Some(mailbox) => mailbox.to_string(),
            None => format!("MAILER-DAEMON@{host}"),
        };
        let to: Vec<_> = to.iter().map(ToString::to_string).collect();
        let mut fields = vec![
            ("Date".to_owned(), now.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()),
            ("From".to_owned(), author),
            ("To".to_owned(), to.join(",\r\n ")),
            ("Subject".to_owned(), encoded_words(subject)),
            ("Message-ID".to_owned(), format!("<{nanos:x}.{}@{host}>", std::process::id())),
        ];
        for field in further {
            let wrong = || format!("--header {field:?}: a name, a colon and a value are meant, such as 'X-TLSLevel: Require'");
            let (name, value) = field.split_once(':').ok_or_else(wrong)?;
            if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_graphic()) || value.contains(['\r', '\n']) {
                return Err(wrong());
            }
            fields.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
            fields.push((name.to_owned(), encoded_words(value.trim())));
        }
        Ok(Self { fields, text: Vec::new(), attachments: Vec::new() })
    }

    /// As it goes over the wire, before dots are stuffed.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = String::new();
        for (name, value) in &self.fields {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("MIME-Version: 1.0\r\n");
        if self.attachments.is_empty() {
            return [out.into_bytes(), text_part(&self.text)].concat();
        }
        let boundary = self.boundary();
        out.push_str(&format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n"));
        let mut octets = [out.into_bytes(), text_part(&self.text)].concat();
        for (name, content) in &self.attachments {
            let parameter = file_name(name);
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Disposition: attachment; {parameter}\r\n\
                Content-Transfer-Encoding: base64\r\n\r\n",
                media_type(name)
            );
            octets.extend_from_slice(head.as_bytes());
            octets.extend_from_slice(base64_lines(content).as_bytes());
        }
        octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        octets
    }

    /// A line that stands nowhere in the text; in base64 it cannot.
    fn boundary(&self) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let mut boundary = "=_sealpost_probe".to_owned();
        while text.contains(&boundary) {
            boundary.push('_');
        }
        boundary
    }
}

/// Each line end as CRLF.
pub(super) fn with_line_ends(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 32);
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                out.extend_from_slice(b"\r\n");
            }
            None => {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out
}

fn text_part(text: &[u8]) -> Vec<u8> {
    let text = with_line_ends(text);
    let fits =
        |line: &[u8]| line.len() <= LINE_OCTETS && !line.contains(&0) && !line.strip_suffix(b"\r\n").unwrap_or(line).contains(&b'\r');
    let as_it_is = std::str::from_utf8(&text).is_ok() && text.split_inclusive(|octet| *octet == b'\n').all(fits);
    let encoding = match (as_it_is, text.is_ascii()) {
        (false, _) => "base64",
        (true, true) => "7bit",
        (true, false) => "8bit",
    };
    let head = format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    let text = if as_it_is { text } else { base64_lines(&text).into_bytes() };
    [head.into_bytes(), text].concat()
}

/// RFC 2047: what is not ASCII is written in words of base64, none of which cuts a character.
fn encoded_words(text: &str) -> String {
    if text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic()) {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for character in text.chars().map(|character| if character.is_control() { ' ' } else { character }) {
        if words.last().is_some_and(|word| word.len() + character.len_utf8() > WORD_OCTETS) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(character);
        }
    }
    let words: Vec<_> = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\r\n ")
}

/// The parameter of Content-Disposition; RFC 2231 where the name is not plain.
fn file_name(name: &str) -> String {
    if name.bytes().all(|octet| octet == b' ' || (octet.is_ascii_graphic() && octet != b'"' && octet != b'\\')) {
        return format!("filename=\"{name}\"");
    }
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    let encoded: String =
        name.bytes().map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") }).collect();
    format!("filename*=utf-8''{encoded}")
}

fn media_type(name: &str) -> &'static str {
    let extension = Path::new(name).extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    match extension.as_str() {
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "zip" => "application/zip",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "txt" | "log" => "text/plain",
        _ => "application/octet-stream",
    }
}

fn base64_lines(octets: &[u8]) -> String {
    let encoded = STANDARD.encode(octets);
    let mut out = String::with_capacity(encoded.len() + encoded.len() / 38 + 2);
    for (at, character) in encoded.chars().enumerate() {
        if at > 0 && at % 76 == 0 {
            out.push_str("\r\n");
        }
        out.push(character);
    }
    out.push_str("\r\n");
    out
}

/// RFC 5322 section 2.1.1, with its CRLF.
const LINE_OCTETS: usize = 1000;

/// So that an encoded word stays below the 75 octets of RFC 2047 section 2.
const WORD_OCTETS: usize = 42;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, further: &[&str]) -> Message {
        let to = [Mailbox::parse("bob@b.example").unwrap()];
        let from = ReversePath::from(Mailbox::parse("ann@a.example").unwrap());
        let further: Vec<_> = further.iter().map(|field| (*field).to_owned()).collect();
        Message::new(&from, &to, subject, "h.example", &further).unwrap()
    }

    #[test]
    fn a_field_of_the_same_name_takes_the_place_of_ours() {
        let text = String::from_utf8(message("one", &["subject: two", "X-TLSLevel: Require"]).encode()).unwrap();
        assert!(text.contains("subject: two\r\n") && text.contains("X-TLSLevel: Require\r\n") && !text.contains("one"), "{text}");
    }

    #[test]
    fn no_option_smuggles_a_field() {
        let text = String::from_utf8(message("a\r\nBcc: eve@e.example", &[]).encode()).unwrap();
        assert!(!text.contains("\nBcc"), "{text}");
        let from = ReversePath::Null;
        for field in ["X: a\r\nY: b", "X", ": a", "X Y: a"] {
            assert!(Message::new(&from, &[], "s", "h.example", &[field.to_owned()]).is_err(), "{field}");
        }
    }

    #[test]
    fn lines_end_with_crlf_whatever_the_file_has() {
        assert_eq!(with_line_ends(b"a\nb\r\nc"), b"a\r\nb\r\nc\r\n");
        let mut message = message("s", &[]);
        message.text = vec![b'x'; 5000];
        let text = String::from_utf8(message.encode()).unwrap();
        assert!(text.lines().all(|line| line.len() <= 998) && text.contains("base64"), "{text}");
    }
}
