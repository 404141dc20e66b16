//! Limits: the sizes of RFC 5321 section 4.5.3 by name, and what a session holds its peer to.

use sealpost_types::Octets;

/// What a session accepts from its peer before it says no.
///
/// # Limits
/// Each field names its unit, its default and why. The memory of a session is bounded by
/// [`Limits::command_line`] or [`Limits::reply_line`] times [`Limits::reply_lines`], whatever the peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets in a command line, CRLF included. Default [`COMMAND_LINE_WITH_PARAMETERS_OCTETS`].
    pub command_line: usize,
    /// Octets in a line of the peer's reply, CRLF included. Default four times [`REPLY_LINE_OCTETS`]: a reply that
    /// is a little too long is no reason to leave mail undelivered.
    pub reply_line: usize,
    /// Lines in one reply. Default 128: EHLO with every registered extension has fewer.
    pub reply_lines: usize,
    /// Recipients of one message. Default 1,000; RFC 5321 section 4.5.3.1.8 wants at least [`RECIPIENTS_AT_LEAST`].
    pub recipients: usize,
    /// Octets in one message, before stuffing. Default 64 MiB.
    pub message: Octets,
    /// Errors of the client in one session before it is sent away with 421. Default 20, as Postfix has it. Refused
    /// recipients and senders do not count; credentials refused for good do.
    pub errors: u32,
    /// Senders and recipients that the owner refused without a message in between, before the client is sent away with
    /// 421. Default 100: a list with dead addresses gets by, and whoever guesses addresses does not.
    pub refused: u32,
    /// Commands without a message in between (NOOP, RSET, EHLO, VRFY, MAIL, a chunk of no octets ...) before the client is
    /// sent away with 421. Default 100, as Postfix has it.
    pub idle_commands: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_line: COMMAND_LINE_WITH_PARAMETERS_OCTETS,
            reply_line: 4 * REPLY_LINE_OCTETS,
            reply_lines: 128,
            recipients: 1000,
            message: Octets(64 * 1024 * 1024),
            errors: 20,
            refused: 100,
            idle_commands: 100,
        }
    }
}

/// Octets in a command line with its CRLF, without any extension: RFC 5321 section 4.5.3.1.4.
pub const COMMAND_LINE_OCTETS: usize = 512;

/// Octets in a command line with all that extensions add to it.
///
/// RFC 5321 section 4.5.3.1.4 plus SIZE (RFC 1870: 26), BODY (RFC 6152: 17), SMTPUTF8 (RFC 6531: 10), DSN (RFC 3461:
/// up to 500), AUTH= (RFC 4954 section 5: 500) and REQUIRETLS (RFC 8689: 11); rounded up to what Postfix takes, which
/// also holds an AUTH PLAIN response of the greatest names and passwords (RFC 4616 section 2).
pub const COMMAND_LINE_WITH_PARAMETERS_OCTETS: usize = 2048;

/// Octets in a reply line with its CRLF: RFC 5321 section 4.5.3.1.5. No line that this crate writes is longer.
pub const REPLY_LINE_OCTETS: usize = 512;

/// Octets in a line of text with its CRLF: RFC 5321 section 4.5.3.1.6. Senders keep to it; a receiver need not
/// insist, and the sessions do not.
pub const TEXT_LINE_OCTETS: usize = 1000;

/// Recipients that every server must take for one message: RFC 5321 section 4.5.3.1.8.
pub const RECIPIENTS_AT_LEAST: usize = 100;

/// Octets of a message that every server must take: RFC 5321 section 4.5.3.1.7.
pub const MESSAGE_OCTETS_AT_LEAST: usize = 64 * 1024;
