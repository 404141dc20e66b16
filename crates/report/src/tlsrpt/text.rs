//! A report for people: who, when, which policies, how many sessions, and what the failures mean.

use std::fmt::Write as _;

use sealpost_types::TlsFailureType;

use super::report::{FailureDetails, PolicyReport, PolicyType, ResultType, TlsReport};
use crate::Clock;

impl TlsReport {
    /// The report for people, in lines for a terminal. What others wrote is shown without control characters.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let range = self.date_range;
        let organization = if self.organization_name.is_empty() { "somebody without a name" } else { &self.organization_name };
        line(&mut text, "Report of", organization);
        line(&mut text, "Contact", &self.contact_info);
        line(&mut text, "Period", &format!("{} to {} UTC", Clock::Utc.short(range.start_datetime), Clock::Utc.short(range.end_datetime)));
        line(&mut text, "Report id", &self.report_id);
        let sum = |count: fn(&PolicyReport) -> u64| self.policies.iter().map(count).fold(0, u64::saturating_add);
        let failed = sum(|policy| policy.summary.total_failure_session_count);
        let of = |count: u64, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
        let successful = sum(|policy| policy.summary.total_successful_session_count);
        line(&mut text, "Sessions", &format!("{successful} with TLS as asked, {failed} failed"));
        if self.policies.is_empty() {
            text.push_str("\nNo policy is reported on.\n");
        }
        for policy in self.policies.iter().take(SHOWN) {
            add_policy(&mut text, policy);
        }
        if let Some(more) = self.policies.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(text, "\nand {}", of(u64::try_from(more).unwrap_or(u64::MAX), "policy more", "policies more"));
        }
        text
    }
}

/// What a failure means for the domain that gets the report, in plain words.
#[must_use]
pub(super) fn meaning(result: &ResultType) -> &'static str {
    let ResultType::Known(known) = result else { return "a kind of failure that RFC 8460 does not have; ask the reporter" };
    match known {
        TlsFailureType::StartTlsNotSupported => {
            "the host did not offer STARTTLS, or refused it; if it should have it, somebody may strip it"
        }
        TlsFailureType::CertificateHostMismatch => "the certificate does not have the name of the host",
        TlsFailureType::CertificateExpired => "the certificate is past its end",
        TlsFailureType::CertificateNotTrusted => {
            "the certificate leads to no authority that the sender trusts; often an intermediate is missing"
        }
        TlsFailureType::ValidationFailure => "TLS or the connection failed for another reason, which the reason code may name",
        TlsFailureType::TlsaInvalid => {
            "the TLSA records do not fit the certificate, or cannot be used; were they forgotten when it was renewed?"
        }
        TlsFailureType::DnssecInvalid => "the domain's DNS answers fail DNSSEC validation, or could not be had",
        TlsFailureType::DaneRequired => "the sender insists on DANE, and the host has no secure TLSA records",
        TlsFailureType::StsPolicyFetchError => {
            "the MTA-STS policy could not be fetched from https://mta-sts.DOMAIN/.well-known/mta-sts.txt"
        }
        TlsFailureType::StsPolicyInvalid => "the MTA-STS policy was fetched, and is not written as RFC 8461 has it",
        TlsFailureType::StsWebpkiInvalid => "the web server of the MTA-STS policy has a certificate that is not right for it",
    }
}

fn add_policy(text: &mut String, report: &PolicyReport) {
    let policy = &report.policy;
    let kind = match &policy.policy_type {
        PolicyType::Tlsa => "DANE (TLSA records)",
        PolicyType::Sts => "MTA-STS",
        PolicyType::NoPolicyFound => "no policy found",
        PolicyType::Other(word) => word,
    };
    let domain = if policy.policy_domain.is_empty() { "a domain that is not named" } else { &policy.policy_domain };
    let _ = writeln!(text, "\n{}: {}", clean(domain), clean(kind));
    for said in policy.policy_string.iter().take(SHOWN) {
        let _ = writeln!(text, "  | {}", clean(said));
    }
    if !policy.mx_host.is_empty() {
        let hosts = policy.mx_host.iter().take(SHOWN).map(|host| clean(host)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "  hosts        {hosts}");
    }
    let _ = writeln!(text, "  successful   {}", report.summary.total_successful_session_count);
    let _ = writeln!(text, "  failed       {}", report.summary.total_failure_session_count);
    for failure in report.failure_details.iter().take(SHOWN) {
        add_failure(text, failure);
    }
    if let Some(more) = report.failure_details.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "    and {more} kinds of failures more");
    }
}

fn add_failure(text: &mut String, failure: &FailureDetails) {
    let _ = writeln!(text, "    {:>7}  {}", failure.failed_session_count, clean(failure.result_type.as_str()));
    let mut detail = |name: &str, value: Option<&String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "             {name:<8} {}", clean(value));
        }
    };
    let address = failure.receiving_ip.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
    let host = failure.receiving_mx_hostname.as_ref().map(|host| format!("{host}{address}"));
    detail("host", host.as_ref().or(failure.receiving_ip.as_ref()));
    detail("says", failure.receiving_mx_helo.as_ref());
    detail("from", failure.sending_mta_ip.as_ref());
    detail("code", failure.failure_reason_code.as_ref());
    detail("see", failure.additional_information.as_ref());
    let _ = writeln!(text, "             means    {}", meaning(&failure.result_type));
}

fn line(text: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = writeln!(text, "{name:<14} {}", clean(value));
    }
}

/// What others wrote, without what a terminal would obey, and not for ever.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(COLUMNS).collect()
}

/// Policies, failures and lines that are shown of each; a program reads all of it as JSON.
const SHOWN: usize = 200;

/// Characters of one value that are shown.
const COLUMNS: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlsrpt::{Day, Failure, ReportedPolicy};

    // req: E3
    #[test]
    fn a_report_for_people_says_what_failures_mean() {
        let day: Day = "2026-11-25".parse().unwrap();
        let mut failure = Failure::new(TlsFailureType::TlsaInvalid).because("tlsa-mismatch");
        failure.host = Some("mx.bank.example".to_owned());
        failure.receiving_ip = Some([192, 0, 2, 1].into());
        let policy = ReportedPolicy::new(PolicyType::Tlsa, "mx.bank.example").saying(vec!["3 1 1 abcd".to_owned()]);
        let policies = vec![PolicyReport::new(policy, 7, vec![failure.counted(2)])];
        let report = TlsReport::new("Relay\u{1b}[31m Ltd", "a@relay.example", "id", (day.start(), day.last_second()), policies);
        let text = report.to_text();
        for words in [
            "Report of      Relay?[31m Ltd\n",
            "Period         2026-11-25 00:00:00 to 2026-11-25 23:59:59 UTC\n",
            "Sessions       7 with TLS as asked, 2 failed\n",
            "mx.bank.example: DANE (TLSA records)\n  | 3 1 1 abcd\n  successful   7\n  failed       2\n",
            "          2  tlsa-invalid\n             host     mx.bank.example (192.0.2.1)\n             code     tlsa-mismatch\n",
            "means    the TLSA records do not fit the certificate",
        ] {
            assert!(text.contains(words), "no {words:?} in\n{text}");
        }
    }

    #[test]
    fn each_kind_of_failure_is_explained_in_its_own_words() {
        let mut all: Vec<_> = TlsFailureType::ALL.into_iter().map(|one| meaning(&ResultType::Known(one))).collect();
        all.push(meaning(&ResultType::Other("x".to_owned())));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
