//! The part of a notification that gives back what was sent.

use super::encode::{is_lines, is_plain, quoted_printable};
use super::{Action, Dsn, Part};

/// How much of the mail is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "RFC 3461 section 4.3 knows these two and no other")]
pub enum Returned {
    /// Its header. A body behind it is left out.
    Headers(Vec<u8>),
    /// All of it. A notification that tells of no failure, and mail beyond [`RETURNED_OCTETS`] or not of plain lines, gives back
    /// the header alone; so does mail with octets beyond ASCII, unless [`Dsn::eight_bit`] is set.
    Whole(Vec<u8>),
}

impl Dsn {
    /// The part that gives back what was sent.
    ///
    /// # Wire
    /// RFC 6522 section 3 (`message/rfc822`, `text/rfc822-headers`), RFC 6533 section 5 (`message/global`,
    /// `message/global-headers`), RFC 3461 section 6.2.
    pub(super) fn returned_part(&self) -> Part {
        let (Returned::Headers(mail) | Returned::Whole(mail)) = &self.returned;
        let head = head_of(mail);
        let may_be_whole = matches!(self.returned, Returned::Whole(_)) && self.action() == Action::Failed && mail.len() <= RETURNED_OCTETS;
        if may_be_whole && is_plain(mail) {
            return Part { kind: "message/rfc822", encoding: "7bit", content: mail.clone(), whole: true };
        }
        if may_be_whole && (self.eight_bit || self.is_global()) && is_lines(mail) {
            if head.is_ascii() {
                return Part { kind: "message/rfc822", encoding: "8bit", content: mail.clone(), whole: true };
            }
            // A header beyond ASCII inside is for those who can read one outside.
            if self.is_global() && std::str::from_utf8(head).is_ok() {
                return Part { kind: "message/global", encoding: "8bit", content: mail.clone(), whole: true };
            }
        }
        let whole = false;
        if is_plain(head) {
            return Part { kind: "text/rfc822-headers", encoding: "7bit", content: head.to_vec(), whole };
        }
        // Both types may be encoded: RFC 6522 section 4, RFC 6533 section 5.
        let is_utf8 = !head.is_ascii() && std::str::from_utf8(head).is_ok();
        let kind = if is_utf8 { "message/global-headers" } else { "text/rfc822-headers" };
        if is_utf8 && self.is_global() && is_lines(head) {
            return Part { kind, encoding: "8bit", content: head.to_vec(), whole };
        }
        Part { kind, encoding: "quoted-printable", content: quoted_printable(head), whole }
    }
}

/// The header of a mail: up to the first empty line, and whole lines up to [`RETURNED_HEADER_OCTETS`].
fn head_of(mail: &[u8]) -> &[u8] {
    if mail.starts_with(b"\r\n") {
        return &[];
    }
    let head = memchr::memmem::find(mail, b"\r\n\r\n").and_then(|end| mail.get(..end + 2)).unwrap_or(mail);
    let Some(cut) = head.get(..RETURNED_HEADER_OCTETS).filter(|cut| cut.len() < head.len()) else { return head };
    memchr::memmem::rfind(cut, b"\r\n").and_then(|end| cut.get(..end + 2)).unwrap_or(cut)
}

/// Octets of a mail that is given back whole.
pub const RETURNED_OCTETS: usize = 64 * 1024;

/// Octets of a header that is given back.
pub const RETURNED_HEADER_OCTETS: usize = 32 * 1024;
