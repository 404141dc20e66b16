//! Messages to send, how to compare what came out, and what stands in files.

use std::fs;
use std::path::{Path, PathBuf};

/// A message with what servers like to break: dots at line starts, 8-bit text, trailing blanks, long lines.
pub(crate) fn message(subject: &str) -> String {
    let long = "long ".repeat(190);
    format!(
        "From: <alice@sender.example>\r\nTo: <bob@partner.example>\r\nSubject: {subject}\r\nDate: Sun, 22 Nov 2026 04:00:00 +0000\r\n\
         Message-ID: <{subject}@sender.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n.one dot\r\n..two dots\r\n...\r\ntrailing blanks  \t\r\n\r\n{long}\r\n\r\nend\r\n"
    )
}

/// The Received field that stands on top, and what comes below it.
pub(crate) fn split_received(content: &[u8]) -> (String, Vec<u8>) {
    assert!(content.to_ascii_lowercase().starts_with(b"received:"), "no Received field on top: {:?}", String::from_utf8_lossy(content));
    let mut end = 0;
    for (at, line) in content.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if at > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            break;
        }
        end += line.len();
    }
    (String::from_utf8(content[..end].to_vec()).unwrap(), content[end..].to_vec())
}

/// Octets that look random and are the same for the same `seed`, in CRLF lines below 80 octets.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 80);
    while bytes.len() < length {
        for _ in 0..9 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(
                state.to_be_bytes().map(|byte| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+."[usize::from(byte % 64)]),
            );
        }
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// All files below a folder, as one text; a socket has none.
pub(crate) fn contents(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: PathBuf| match path {
        path if path.is_dir() => contents(&path),
        path if path.is_file() => String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned(),
        _ => String::new(),
    };
    entries.map(text).collect()
}
