//! The text of a policy, read strictly.

use std::time::Duration;

use sealpost_types::{MxPattern, MxPatternError, StsMode, StsPolicy, UnknownStsMode};

use super::record::{is_name, shown};

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StsPolicyError {
    /// It is no UTF-8.
    #[error("the policy is no text: octet {offset} is not UTF-8")]
    NoText {
        /// Where.
        offset: usize,
    },
    /// A line that is no field.
    #[error("line {line} of the policy is {found:?}; a field such as \"mx: mail.example.com\" is meant")]
    Field {
        /// Its number.
        line: usize,
        /// What stands there, cut where it is very long.
        found: String,
    },
    /// A version that is not known here.
    #[error("line {line} of the policy has the version {found:?}; STSv1 is meant")]
    Version {
        /// Its number.
        line: usize,
        /// The version.
        found: String,
    },
    /// A mode that is none.
    #[error("line {line} of the policy: {source}")]
    Mode {
        /// Its number.
        line: usize,
        /// What stands there.
        source: UnknownStsMode,
    },
    /// An age that is no number of seconds.
    #[error("line {line} of the policy has the max_age {found:?}; a number of seconds of up to ten digits is meant")]
    MaxAge {
        /// Its number.
        line: usize,
        /// What stands there.
        found: String,
    },
    /// A host that is none.
    #[error("line {line} of the policy: {source}")]
    Mx {
        /// Its number.
        line: usize,
        /// What stands there.
        source: MxPatternError,
    },
    /// More hosts than a policy may name.
    #[error("line {line} of the policy names {found:?}, and {limit} hosts are allowed")]
    TooManyHosts {
        /// The number of the line that is one too many.
        line: usize,
        /// The host that stands there, cut where it is very long.
        found: String,
        /// Hosts that are allowed.
        limit: usize,
    },
    /// A field that has to be there.
    #[error("the policy has no {field}")]
    Missing {
        /// Its name.
        field: &'static str,
    },
}

/// Reads the text of a policy.
///
/// # Wire
/// RFC 8461 section 3.2. Lines end in LF or CRLF, the last one with or without. Fields come in any order; unknown ones are skipped,
/// and of one that comes twice the first counts, but for `mx`. Words are case-sensitive.
///
/// # Limits
/// [`STS_MAX_AGE`]: a longer one counts as that. [`STS_POLICY_HOSTS`], each counted once: one more makes the whole void.
///
/// # Errors
/// [`StsPolicyError`], one variant per kind of mistake. A single `mx` that is no host makes the whole void.
///
/// # Example
/// ```
/// # use sealpost_discovery::parse_sts_policy;
/// let policy = parse_sts_policy(b"version: STSv1\nmode: enforce\nmx: *.example.net\nmax_age: 604800\n")?;
/// assert!(policy.names(&sealpost_types::Domain::parse("mail.example.net")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse_sts_policy(octets: &[u8]) -> Result<StsPolicy, StsPolicyError> {
    let text = std::str::from_utf8(octets).map_err(|error| StsPolicyError::NoText { offset: error.valid_up_to() })?;
    let mut read = Read::default();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_end_matches([' ', '\t']);
        // Many end in empty lines, and nothing can hide in one.
        if !line.is_empty() {
            read.field(index + 1, line)?;
        }
    }
    read.policy()
}

#[derive(Default)]
struct Read {
    has_version: bool,
    mode: Option<StsMode>,
    max_age: Option<Duration>,
    mx: Vec<MxPattern>,
}

impl Read {
    fn field(&mut self, line: usize, text: &str) -> Result<(), StsPolicyError> {
        let wrong = || StsPolicyError::Field { line, found: shown(text.as_bytes()) };
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let value = value.trim_start_matches([' ', '\t']);
        if !is_name(name.as_bytes()) || value.chars().any(char::is_control) {
            return Err(wrong());
        }
        let found = || shown(value.as_bytes());
        match name {
            "version" if !self.has_version => {
                if value != VERSION {
                    return Err(StsPolicyError::Version { line, found: found() });
                }
                self.has_version = true;
            }
            "mode" if self.mode.is_none() => {
                self.mode = Some(value.parse().map_err(|source| StsPolicyError::Mode { line, source })?);
            }
            "max_age" if self.max_age.is_none() => {
                let is_number = (1..=AGE_DIGITS).contains(&value.len()) && value.bytes().all(|octet| octet.is_ascii_digit());
                let seconds = value.parse().ok().filter(|_| is_number).ok_or_else(|| StsPolicyError::MaxAge { line, found: found() })?;
                self.max_age = Some(Duration::from_secs(seconds).min(STS_MAX_AGE));
            }
            "mx" => {
                let pattern = value.parse().map_err(|source| StsPolicyError::Mx { line, source })?;
                if !self.mx.contains(&pattern) {
                    if self.mx.len() >= STS_POLICY_HOSTS {
                        return Err(StsPolicyError::TooManyHosts { line, found: found(), limit: STS_POLICY_HOSTS });
                    }
                    self.mx.push(pattern);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn policy(self) -> Result<StsPolicy, StsPolicyError> {
        let missing = |field| StsPolicyError::Missing { field };
        if !self.has_version {
            return Err(missing("version"));
        }
        let mode = self.mode.ok_or_else(|| missing("mode"))?;
        let max_age = self.max_age.ok_or_else(|| missing("max_age"))?;
        if self.mx.is_empty() && mode != StsMode::None {
            return Err(missing("mx"));
        }
        Ok(StsPolicy::new(mode, self.mx, max_age))
    }
}

/// The longest that a policy holds: some 13 months (RFC 8461 section 3.2).
pub const STS_MAX_AGE: Duration = Duration::from_secs(31_557_600);

/// Hosts that a policy may name: many times what a domain has, and so few that it takes little more memory than its text.
pub const STS_POLICY_HOSTS: usize = 256;

const VERSION: &str = "STSv1";
const AGE_DIGITS: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RFC: &str = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n";

    fn parse(text: &str) -> Result<StsPolicy, StsPolicyError> {
        parse_sts_policy(text.as_bytes())
    }

    fn wanted() -> StsPolicy {
        let mx = ["mail.example.com", "*.example.net", "backupmx.example.com"].map(|text| text.parse().unwrap());
        StsPolicy::new(StsMode::Enforce, mx.to_vec(), Duration::from_secs(604_800))
    }

    // req: E2
    #[test]
    fn rfc8461_3_2_the_same_policy_in_every_way_that_it_may_be_written() {
        for text in [
            RFC.to_owned(),
            RFC.replace('\n', "\r\n"),
            RFC.trim_end().to_owned(),
            RFC.replace(": ", ":"),
            RFC.replace(": ", ": \t "),
            RFC.replace('\n', " \t\r\n"),
            format!("{RFC}\n\r\n"),
            format!("{RFC}later: a value\nx.y-z_1: ü"),
            format!("{RFC}mode: none\nmax_age: 1\nversion: STSv2\nmx: mail.example.com\n"),
            "mx: mail.example.com\nmax_age: 604800\nmx: *.EXAMPLE.net.\nmode: enforce\nmx: backupmx.example.com\nversion: STSv1".to_owned(),
        ] {
            assert_eq!(parse(&text), Ok(wanted()), "{text}");
        }
    }

    #[test]
    fn rfc8461_3_2_an_age_has_its_limit_and_none_needs_no_host() {
        let age = |text: &str| parse(&RFC.replace("604800", text)).map(|policy| policy.max_age.as_secs());
        assert_eq!(
            (age("0"), age("31557600"), age("31557601"), age("9999999999")),
            (Ok(0), Ok(31_557_600), Ok(31_557_600), Ok(31_557_600))
        );
        let none = parse("version: STSv1\nmode: none\nmax_age: 86400\n").unwrap();
        assert_eq!((none.mode, none.mx.len()), (StsMode::None, 0));
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_line() {
        for (from, to, words) in [
            ("version: STSv1\n", "", "no version"),
            ("STSv1", "STSv2", "line 1 of the policy has the version \"STSv2\""),
            ("STSv1", "stsv1", "the version \"stsv1\""),
            ("mode: enforce\n", "", "no mode"),
            ("enforce", "Enforce", "line 2 of the policy: unknown mode \"Enforce\""),
            ("max_age: 604800\n", "", "no max_age"),
            ("604800", "-1", "line 6 of the policy has the max_age \"-1\""),
            ("604800", "+1", "max_age \"+1\""),
            ("604800", "1 week", "max_age \"1 week\""),
            ("604800", "00000000001", "max_age"),
            ("*.example.net", "*", "line 4 of the policy: \"*\" is no host"),
            ("*.example.net", "*.*.example.net", "is no host"),
            ("*.example.net", "mail*.example.net", "is no host"),
            ("*.example.net", ".example.net", "is no host"),
            ("*.example.net", "", "is no host"),
            ("mx: *.example.net", "<html>", "line 4 of the policy is \"<html>\""),
            ("mx: *.example.net", " mx: *.example.net", "line 4"),
            ("mx: *.example.net", "mx : *.example.net", "line 4"),
            ("mx: *.example.net", ": *.example.net", "line 4"),
            ("mx: *.example.net", "x: \rmx: a.example", "line 4"),
            ("mx: *.example.net", "x: \0", "line 4"),
            ("version", "\u{feff}version", "line 1"),
        ] {
            let error = parse(&RFC.replacen(from, to, 1)).expect_err(to).to_string();
            assert!(error.contains(words), "{to:?}: {error}");
        }
        assert_eq!(parse_sts_policy(b"version: STSv1\nmode: \xff"), Err(StsPolicyError::NoText { offset: 21 }));
        assert_eq!(parse(""), Err(StsPolicyError::Missing { field: "version" }));
    }

    /// Seven thousand short lines in 64 KiB made one policy take as much memory as hundreds, and quadratic time.
    #[test]
    fn a_policy_names_so_many_hosts_at_most_each_counted_once() {
        let of = |hosts: usize| {
            let mx: String = (0..hosts).map(|number| format!("mx: mx{number}.example.com\nmx: MX0.example.com\n")).collect();
            parse(&format!("version: STSv1\nmode: enforce\n{mx}max_age: 604800\n"))
        };
        assert_eq!(of(STS_POLICY_HOSTS).map(|policy| policy.mx.len()), Ok(STS_POLICY_HOSTS), "the control");
        let error = of(STS_POLICY_HOSTS + 1).unwrap_err();
        assert_eq!(error.to_string(), "line 515 of the policy names \"mx256.example.com\", and 256 hosts are allowed");
    }

    /// Zuplu/postfix-tlspol #95: a slip (`nmx:`) became a policy that no host can meet, and the mail stuck.
    #[test]
    fn a_policy_that_no_host_can_meet_is_none() {
        let text = "version: STSv1\nmode: enforce\nnmx: mail.example.com\nmax_age: 604800\n";
        assert_eq!(parse(text), Err(StsPolicyError::Missing { field: "mx" }));
    }

    proptest! {
        #[test]
        fn no_octets_are_too_strange(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_sts_policy(&octets);
        }

        /// What is read never asks less than what was written, however it was damaged: it is refused, or has a host for its mode.
        #[test]
        fn a_damaged_policy_is_refused_or_has_what_it_needs(at in 0..RFC.len(), octet: u8) {
            let mut octets = RFC.as_bytes().to_vec();
            octets[at] = octet;
            if let Ok(policy) = parse_sts_policy(&octets) {
                prop_assert_eq!(policy.mode, StsMode::Enforce);
                prop_assert!(!policy.mx.is_empty() && policy.max_age <= STS_MAX_AGE);
            }
        }
    }
}
