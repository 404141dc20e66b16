//! The report itself, exactly as RFC 8460 has it in JSON.

use sealpost_types::{TlsFailureType, UnixMillis};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A report about the sessions of one day.
///
/// # Wire
/// RFC 8460 section 4.4. Of others' reports more is read than the RFC has: a text where a list of texts is meant, fields that are not
/// known, and no failures where there were none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct TlsReport {
    /// Who reports.
    #[serde(default)]
    pub organization_name: String,
    /// Of which time.
    pub date_range: DateRange,
    /// Whom to ask.
    #[serde(default)]
    pub contact_info: String,
    /// What the reporter calls this report; no two have the same.
    pub report_id: String,
    /// What happened, by the policy that held.
    pub policies: Vec<PolicyReport>,
}

/// The time that a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DateRange {
    /// Its first moment.
    #[serde(with = "moment")]
    pub start_datetime: UnixMillis,
    /// Its last second.
    #[serde(with = "moment")]
    pub end_datetime: UnixMillis,
}

/// What happened under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct PolicyReport {
    /// The policy.
    pub policy: ReportedPolicy,
    /// How many sessions there were.
    pub summary: Summary,
    /// The failures, by kind and host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_details: Vec<FailureDetails>,
}

/// A policy as it held.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ReportedPolicy {
    /// Of which kind.
    pub policy_type: PolicyType,
    /// What it says: the TLSA records, or the lines of the MTA-STS policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_more")]
    pub policy_string: Vec<String>,
    /// Whose it is: the domain, or with DANE the name that the records stand under.
    #[serde(default)]
    pub policy_domain: String,
    /// The hosts that an MTA-STS policy names.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_more")]
    pub mx_host: Vec<String>,
}

/// The kind of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PolicyType {
    /// TLSA records (DANE).
    Tlsa,
    /// MTA-STS.
    Sts,
    /// There was none.
    NoPolicyFound,
    /// A word that RFC 8460 does not have.
    Other(String),
}

/// How many sessions there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Summary {
    /// With TLS as the policy asks.
    #[serde(default)]
    pub total_successful_session_count: u64,
    /// Without.
    #[serde(default)]
    pub total_failure_session_count: u64,
}

/// Failures of one kind at one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct FailureDetails {
    /// What went wrong.
    pub result_type: ResultType,
    /// The address of the sender.
    #[serde(default, rename = "sending-mta-ip", skip_serializing_if = "Option::is_none")]
    pub sending_mta_ip: Option<String>,
    /// The name of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    /// What the host calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_helo: Option<String>,
    /// The address of the host.
    #[serde(default, rename = "receiving-ip", skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<String>,
    /// How often.
    #[serde(default)]
    pub failed_session_count: u64,
    /// A URI with more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_information: Option<String>,
    /// The reporter's own word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason_code: Option<String>,
}

/// The kind of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ResultType {
    /// One of RFC 8460.
    Known(TlsFailureType),
    /// A word that RFC 8460 does not have.
    Other(String),
}

impl TlsReport {
    /// A report of its parts.
    #[must_use]
    pub fn new(
        organization: &str,
        contact: &str,
        report_id: &str,
        (start, end): (UnixMillis, UnixMillis),
        policies: Vec<PolicyReport>,
    ) -> Self {
        Self {
            organization_name: organization.to_owned(),
            date_range: DateRange { start_datetime: start, end_datetime: end },
            contact_info: contact.to_owned(),
            report_id: report_id.to_owned(),
            policies,
        }
    }

    /// The report as it is sent.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Of texts, numbers and lists of them nothing can fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl PolicyReport {
    /// A report about one policy of its parts.
    #[must_use]
    pub fn new(policy: ReportedPolicy, successes: u64, failure_details: Vec<FailureDetails>) -> Self {
        let failures = failure_details.iter().map(|failure| failure.failed_session_count).fold(0, u64::saturating_add);
        let summary = Summary { total_successful_session_count: successes, total_failure_session_count: failures };
        Self { policy, summary, failure_details }
    }
}

impl ReportedPolicy {
    /// A policy that says nothing.
    #[must_use]
    pub fn new(policy_type: PolicyType, domain: &str) -> Self {
        Self { policy_type, policy_string: Vec::new(), policy_domain: domain.to_owned(), mx_host: Vec::new() }
    }

    /// The same with what it says.
    #[must_use]
    pub fn saying(mut self, policy_string: Vec<String>) -> Self {
        self.policy_string = policy_string;
        self
    }

    /// The same with the hosts that it names.
    #[must_use]
    pub fn naming(mut self, mx_host: Vec<String>) -> Self {
        self.mx_host = mx_host;
        self
    }
}

impl FailureDetails {
    /// Failures of which nothing more is known.
    #[must_use]
    pub fn new(result_type: ResultType, count: u64) -> Self {
        Self {
            result_type,
            sending_mta_ip: None,
            receiving_mx_hostname: None,
            receiving_mx_helo: None,
            receiving_ip: None,
            failed_session_count: count,
            additional_information: None,
            failure_reason_code: None,
        }
    }
}

impl PolicyType {
    /// The word in a report.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::NoPolicyFound => "no-policy-found",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for PolicyType {
    fn from(word: String) -> Self {
        [Self::Tlsa, Self::Sts, Self::NoPolicyFound].into_iter().find(|known| known.as_str() == word).unwrap_or(Self::Other(word))
    }
}

impl ResultType {
    /// The word in a report.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(known) => known.as_str(),
            Self::Other(word) => word,
        }
    }
}

impl From<String> for ResultType {
    fn from(word: String) -> Self {
        TlsFailureType::of_word(&word).map_or(Self::Other(word), Self::Known)
    }
}

impl Serialize for PolicyType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PolicyType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl Serialize for ResultType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ResultType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// A list of texts, or the one text of reporters who leave the list away.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        Many(Vec<String>),
        One(String),
        None(()),
    }
    Ok(match Texts::deserialize(deserializer)? {
        Texts::Many(texts) => texts,
        Texts::One(text) => vec![text],
        Texts::None(()) => Vec::new(),
    })
}

/// Times as RFC 3339 writes them.
mod moment {
    use sealpost_types::UnixMillis;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::time::{of_rfc3339, rfc3339};

    pub(super) fn serialize<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*at))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("{text:?} is no time; one such as 2026-11-26T00:00:00Z is meant"));
        of_rfc3339(&text).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8460, appendix B.
    const OF_THE_RFC: &str = r#"{
        "organization-name": "Company-X",
        "date-range": { "start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z" },
        "contact-info": "sts-reporting@company-x.example",
        "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
        "policies": [{
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
                "policy-domain": "company-y.example",
                "mx-host": ["*.mail.company-y.example"]
            },
            "summary": { "total-successful-session-count": 5326, "total-failure-session-count": 303 },
            "failure-details": [{
                "result-type": "certificate-expired",
                "sending-mta-ip": "2001:db8:abcd:0012::1",
                "receiving-mx-hostname": "mx1.mail.company-y.example",
                "failed-session-count": 100
            }, {
                "result-type": "starttls-not-supported",
                "sending-mta-ip": "2001:db8:abcd:0013::1",
                "receiving-mx-hostname": "mx2.mail.company-y.example",
                "receiving-ip": "203.0.113.56",
                "failed-session-count": 200,
                "additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"
            }, {
                "result-type": "validation-failure",
                "sending-mta-ip": "198.51.100.62",
                "receiving-ip": "203.0.113.58",
                "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                "failed-session-count": 3,
                "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
            }]
        }]
    }"#;

    #[test]
    fn rfc8460_appendix_b_comes_back_as_it_was() {
        let report: TlsReport = serde_json::from_str(OF_THE_RFC).unwrap();
        assert_eq!(report.policies[0].policy.policy_type, PolicyType::Sts);
        assert_eq!(report.policies[0].failure_details[1].result_type, ResultType::Known(TlsFailureType::StartTlsNotSupported));
        let written: serde_json::Value = serde_json::from_slice(&report.to_json()).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(OF_THE_RFC).unwrap());
    }

    #[test]
    fn what_others_write_otherwise_is_read_too() {
        let text = OF_THE_RFC.replace(r#"["*.mail.company-y.example"]"#, r#""*.mail.company-y.example""#).replace("\"sts\"", "\"pact\"");
        let report: TlsReport = serde_json::from_str(&text.replace("certificate-expired", "stale")).unwrap();
        assert_eq!(report.policies[0].policy.mx_host, ["*.mail.company-y.example"]);
        assert_eq!(report.policies[0].policy.policy_type, PolicyType::Other("pact".to_owned()));
        assert_eq!(report.policies[0].failure_details[0].result_type.as_str(), "stale");
    }
}
