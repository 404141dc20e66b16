//! The TXT record that says that a domain has a policy, and when it is another one.

/// That a domain has a policy, and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StsRecord {
    /// Changes whenever the policy does; 1 to 32 letters and digits.
    pub id: Box<str>,
}

/// Why TXT records say nothing of a policy although they seem to; the domain counts as one without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StsRecordError {
    /// More than one record of MTA-STS.
    #[error("there are {found} TXT records of MTA-STS, and one is meant")]
    Several {
        /// How many.
        found: usize,
    },
    /// A field that is none.
    #[error("the TXT record of MTA-STS has {found:?} where a field such as id=20260131 is meant")]
    Field {
        /// What stands there.
        found: String,
    },
    /// An id that is empty, too long, or of other characters.
    #[error("the TXT record of MTA-STS has the id {found:?}; 1 to 32 letters and digits are meant")]
    Id {
        /// The id.
        found: String,
    },
    /// No id at all.
    #[error("the TXT record of MTA-STS has no id")]
    NoId,
}

impl StsRecord {
    /// What the TXT records of `_mta-sts.DOMAIN` say, each with its strings joined; nothing if none is of MTA-STS.
    ///
    /// # Wire
    /// RFC 8461 section 3.1: records that do not begin with `v=STSv1;` do not count, and one has to be left. Unknown fields are
    /// skipped, and of a field that comes twice the first counts.
    ///
    /// # Errors
    /// [`StsRecordError`], one variant per kind of mistake.
    pub fn read(records: &[Vec<u8>]) -> Result<Option<Self>, StsRecordError> {
        let mut of_sts = records.iter().filter_map(|record| fields(record));
        let Some(fields) = of_sts.next() else { return Ok(None) };
        match of_sts.count() {
            0 => Self::of_fields(fields).map(Some),
            more => Err(StsRecordError::Several { found: more + 1 }),
        }
    }

    /// The fields behind the version, with the semicolons in front of them.
    fn of_fields(fields: &[u8]) -> Result<Self, StsRecordError> {
        let fields = trim(fields);
        let fields = fields.strip_suffix(b";").unwrap_or(fields);
        let mut id = None;
        // What stands in front of the first semicolon is nothing.
        for field in fields.split(|octet| *octet == b';').skip(1).map(trim) {
            let equals = field.iter().position(|octet| *octet == b'=');
            let Some((name, value)) = equals.map(|at| field.split_at(at)) else {
                return Err(StsRecordError::Field { found: shown(field) });
            };
            let value = value.get(1..).unwrap_or_default();
            if !is_name(name) || value.is_empty() || !value.iter().all(|octet| octet.is_ascii_graphic() && *octet != b'=') {
                return Err(StsRecordError::Field { found: shown(field) });
            }
            if name == b"id" && id.is_none() {
                id = Some(value);
            }
        }
        match id {
            None => Err(StsRecordError::NoId),
            Some(id) if id.len() <= ID_OCTETS && id.iter().all(u8::is_ascii_alphanumeric) => Ok(Self { id: shown(id).into() }),
            Some(id) => Err(StsRecordError::Id { found: shown(id) }),
        }
    }
}

/// What stands behind the version, if this is a record of MTA-STS.
fn fields(record: &[u8]) -> Option<&[u8]> {
    record.strip_prefix(VERSION).filter(|rest| trim(rest).first() == Some(&b';'))
}

/// Without spaces and tabs around it.
fn trim(mut octets: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = octets {
        octets = rest;
    }
    octets
}

/// Whether it may be the name of a field (RFC 8461 section 3.1, `sts-ext-name`).
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_inner = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-' | b'.');
    name.first().is_some_and(u8::is_ascii_alphanumeric) && name.len() <= NAME_OCTETS && name.iter().all(is_inner)
}

/// For people, cut where it is very long.
pub(super) fn shown(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets.get(..SHOWN_OCTETS).unwrap_or(octets)).into_owned()
}

const VERSION: &[u8] = b"v=STSv1";
const ID_OCTETS: usize = 32;
const NAME_OCTETS: usize = 32;
const SHOWN_OCTETS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(records: &[&str]) -> Result<Option<String>, StsRecordError> {
        let records: Vec<_> = records.iter().map(|record| record.as_bytes().to_vec()).collect();
        StsRecord::read(&records).map(|record| record.map(|record| record.id.into()))
    }

    // req: E2
    #[test]
    fn rfc8461_3_1_one_record_says_which_policy_there_is() {
        for record in [
            "v=STSv1; id=20160831085700Z;",
            "v=STSv1;id=20160831085700Z",
            "v=STSv1 ; id=20160831085700Z ; ",
            "v=STSv1;\tid=20160831085700Z",
            "v=STSv1; new.field-1=a:b/c; id=20160831085700Z; id=other",
        ] {
            assert_eq!(read(&[record]), Ok(Some("20160831085700Z".into())), "{record}");
            assert_eq!(read(&["v=spf1 -all", record, "v=STSv2; id=2"]), Ok(Some("20160831085700Z".into())), "{record}");
        }
    }

    #[test]
    fn rfc8461_3_1_everything_else_is_no_policy() {
        for records in
            [&[][..], &["v=spf1 -all"], &["v=stsv1; id=1"], &["v=STSv10; id=1"], &[" v=STSv1; id=1"], &["id=1; v=STSv1;"], &["v=STSv1"]]
        {
            assert_eq!(read(records), Ok(None), "{records:?}");
        }
        assert_eq!(read(&["v=STSv1; id=1;", "v=STSv1; id=1;"]), Err(StsRecordError::Several { found: 2 }));
        let long = format!("v=STSv1; id={}", "1".repeat(33));
        assert_eq!(read(&[&long[..long.len() - 1]]), Ok(Some("1".repeat(32))), "the control");
        for wrong in [
            "v=STSv1;",
            "v=STSv1; ;",
            "v=STSv1; id=",
            "v=STSv1; id=1 2",
            "v=STSv1; id=a-b",
            "v=STSv1; id=1;; x=y",
            "v=STSv1; id",
            "v=STSv1; ID=1",
            &long,
        ] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_are_too_strange(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..3), tail in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = StsRecord::read(&records);
            let record = [VERSION, b";", &tail].concat();
            if let Ok(Some(found)) = StsRecord::read(&[record]) {
                prop_assert!((1..=ID_OCTETS).contains(&found.id.len()) && found.id.bytes().all(|octet| octet.is_ascii_alphanumeric()));
            }
        }
    }
}
