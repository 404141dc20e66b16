//! Reply codes and enhanced status codes.

use std::fmt;

/// The three digits of a reply.
///
/// # Wire
/// RFC 5321 section 4.2: the first digit is 2 to 5, the second 0 to 5, the third any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyCode(u16);

/// What the first digit says.
///
/// # Wire
/// RFC 5321 section 4.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "RFC 5321 section 4.2.1 knows these four and no other")]
pub enum Severity {
    /// 2yz: done.
    Success,
    /// 3yz: go on.
    Intermediate,
    /// 4yz: not now.
    Transient,
    /// 5yz: not ever, as asked.
    Permanent,
}

/// An enhanced status code such as `5.7.10`.
///
/// # Wire
/// RFC 3463 section 2: class 2, 4 or 5; subject and detail of up to three digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedStatus {
    class: u8,
    subject: u16,
    detail: u16,
}

impl ReplyCode {
    /// The code of this value, or nothing if no reply may have it.
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        // The second digit is not held to 0..=5: servers send others, and only the first one steers.
        if value >= 200 && value <= 599 { Some(Self(value)) } else { None }
    }

    /// The code of a number that is written in a program: one that no reply may have does not compile.
    ///
    /// # Example
    /// ```
    /// # use sealpost_types::ReplyCode;
    /// const UNAVAILABLE: ReplyCode = ReplyCode::constant::<550>();
    /// assert_eq!(Some(UNAVAILABLE), ReplyCode::new(550));
    /// ```
    /// ```compile_fail
    /// # use sealpost_types::ReplyCode;
    /// const NONE: ReplyCode = ReplyCode::constant::<600>();
    /// ```
    #[must_use]
    #[allow(clippy::unwrap_used, reason = "evaluated while the program is built, never at run time")]
    pub const fn constant<const VALUE: u16>() -> Self {
        const { Self::new(VALUE).unwrap() }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// What its first digit says.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self.0 / 100 {
            2 => Severity::Success,
            3 => Severity::Intermediate,
            4 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }
}

impl EnhancedStatus {
    /// The code of its three numbers, or nothing if RFC 3463 does not allow them.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Option<Self> {
        if matches!(class, 2 | 4 | 5) && subject <= 999 && detail <= 999 { Some(Self { class, subject, detail }) } else { None }
    }

    /// The code of three numbers that are written in a program: what RFC 3463 does not allow does not compile.
    ///
    /// # Example
    /// ```
    /// # use sealpost_types::EnhancedStatus;
    /// const ENCRYPTION_NEEDED: EnhancedStatus = EnhancedStatus::constant::<5, 7, 10>();
    /// assert_eq!(ENCRYPTION_NEEDED.to_string(), "5.7.10");
    /// ```
    /// ```compile_fail
    /// # use sealpost_types::EnhancedStatus;
    /// const NONE: EnhancedStatus = EnhancedStatus::constant::<3, 0, 0>();
    /// ```
    #[must_use]
    #[allow(clippy::unwrap_used, reason = "evaluated while the program is built, never at run time")]
    pub const fn constant<const CLASS: u8, const SUBJECT: u16, const DETAIL: u16>() -> Self {
        const { Self::new(CLASS, SUBJECT, DETAIL).unwrap() }
    }

    /// The same, of the class of the reply code that it stands beside.
    ///
    /// # Wire
    /// RFC 2034 section 4: the two must agree.
    ///
    /// # Example
    /// ```
    /// # use sealpost_types::EnhancedStatus;
    /// assert_eq!(EnhancedStatus::beside::<451, 4, 3>(), EnhancedStatus::constant::<4, 4, 3>());
    /// ```
    /// ```compile_fail
    /// # use sealpost_types::EnhancedStatus;
    /// let none = EnhancedStatus::beside::<354, 0, 0>();
    /// ```
    #[must_use]
    #[allow(clippy::unwrap_used, reason = "evaluated while the program is built, never at run time")]
    pub const fn beside<const CODE: u16, const SUBJECT: u16, const DETAIL: u16>() -> Self {
        const {
            let class = match CODE / 100 {
                2 => 2,
                4 => 4,
                5 => 5,
                _ => 0,
            };
            Self::new(class, SUBJECT, DETAIL).unwrap()
        }
    }

    /// 2, 4 or 5.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.class
    }

    /// What the status is about: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 security.
    #[must_use]
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The detail within its subject.
    #[must_use]
    pub const fn detail(self) -> u16 {
        self.detail
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}
