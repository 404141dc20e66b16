//! What the failure of a connection is called in the reports that mail systems send each other.

use sealpost_types::TlsFailureType;

use super::error::{ConnectError, ConnectFault};
use super::stage::ConnectStage;
use crate::tls::HandshakeError;

impl ConnectError {
    /// The type under which it is reported, and a word that says more; nothing for what is no failure of the connection: the fault is
    /// on this side, or the server talks SMTP and turns the client away before it comes to TLS.
    ///
    /// # Wire
    /// RFC 8460 section 4.3. What has no type of its own is a "validation-failure" with its reason code (section 4.3.3).
    #[must_use]
    pub fn failure_type(&self) -> Option<(TlsFailureType, String)> {
        let general = |word: &str| Some((TlsFailureType::ValidationFailure, word.to_owned()));
        let at_stage = |word: &str| general(&format!("{}-{word}", self.stage.as_str().replace(' ', "-")));
        match &self.fault {
            ConnectFault::Local { .. } => None,
            ConnectFault::Refused { .. } if self.stage < ConnectStage::StartTls => None,
            ConnectFault::Refused { .. } => at_stage("refused"),
            ConnectFault::Unreachable { .. } => general("unreachable"),
            ConnectFault::TimedOut { .. } => at_stage("timed-out"),
            ConnectFault::Lost { .. } => at_stage("lost"),
            ConnectFault::StartTlsNotOffered => Some((TlsFailureType::StartTlsNotSupported, "not-offered".to_owned())),
            ConnectFault::StartTlsRefused { reply } => Some((TlsFailureType::StartTlsNotSupported, format!("refused-{}", reply.code()))),
            ConnectFault::Injected => general("injected"),
            ConnectFault::Protocol { .. } => at_stage("protocol-error"),
            ConnectFault::Handshake { cause } => match cause {
                HandshakeError::Unverified { verdict } => {
                    let reported = verdict.most_telling().map(|finding| (finding.failure_type(), finding.code().to_owned()));
                    Some(reported.unwrap_or_else(|| (TlsFailureType::ValidationFailure, "unverified".to_owned())))
                }
                HandshakeError::BelowFloor { .. } => general("below-floor"),
                HandshakeError::Alert { alert } => general(&format!("alert-{}", alert.as_str().replace('_', "-"))),
                HandshakeError::Closed { .. } => at_stage("lost"),
                HandshakeError::Protocol { .. } => general("no-common-tls"),
                HandshakeError::Certificate { .. } => Some((TlsFailureType::CertificateNotTrusted, "unusable-certificate".to_owned())),
                HandshakeError::NoIdentity => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use sealpost_cert::{TrustAnchors, verify_server};
    use sealpost_smtp::{ClientError, Reply};
    use sealpost_types::{FloorMissed, HostClause, HostDemand, TlsRequirement, TlsVersion, UnixMillis};

    use super::*;
    use crate::client::stage::StageTimes;
    use crate::tls::AlertName;

    fn reported(stage: ConnectStage, fault: ConnectFault) -> Option<String> {
        let times = Box::<StageTimes>::default();
        let address = ([192, 0, 2, 1], 25).into();
        let error = ConnectError { address, stage, fault, times, extensions: None, ends: Box::default() };
        error.failure_type().map(|(kind, code)| format!("{kind} {code}"))
    }

    fn reply(text: &str) -> Reply {
        let mut reader = sealpost_smtp::ReplyReader::new(&sealpost_smtp::Limits::default());
        reader.push(format!("{text}\r\n").as_bytes());
        reader.next_reply().unwrap().unwrap()
    }

    #[test]
    fn rfc8460_4_3_each_failure_has_a_type_or_is_none_of_the_servers() {
        use ConnectStage::{Banner, Connect, Ehlo, Handshake, StartTls};
        let handshake = |cause| ConnectFault::Handshake { cause };
        let clauses = vec![HostClause::Dane { records: Vec::new(), names: Vec::new() }];
        let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::default());
        let unverified = verify_server(&[], &demand, &TrustAnchors::default(), UnixMillis(0)).into();
        for (stage, fault, expected) in [
            (Connect, ConnectFault::Local { kind: ErrorKind::AddrInUse }, None),
            (Connect, ConnectFault::Unreachable { kind: ErrorKind::ConnectionRefused }, Some("validation-failure unreachable")),
            (Connect, ConnectFault::TimedOut { after: Duration::ZERO }, Some("validation-failure connect-timed-out")),
            (Handshake, ConnectFault::TimedOut { after: Duration::ZERO }, Some("validation-failure handshake-timed-out")),
            (Ehlo, ConnectFault::Lost { kind: ErrorKind::UnexpectedEof }, Some("validation-failure ehlo-lost")),
            (Banner, ConnectFault::Refused { reply: reply("421 4.3.2 later") }, None),
            (StartTls, ConnectFault::Refused { reply: reply("421 4.3.2 later") }, Some("validation-failure starttls-refused")),
            (Ehlo, ConnectFault::StartTlsNotOffered, Some("starttls-not-supported not-offered")),
            (StartTls, ConnectFault::StartTlsRefused { reply: reply("454 4.7.0 no") }, Some("starttls-not-supported refused-454")),
            (StartTls, ConnectFault::Injected, Some("validation-failure injected")),
            (Ehlo, ConnectFault::Protocol { cause: ClientError::BytesBehindStartTls }, Some("validation-failure ehlo-protocol-error")),
            (Handshake, handshake(HandshakeError::Unverified { verdict: unverified }), Some("certificate-not-trusted no-certificate")),
            (
                Handshake,
                handshake(HandshakeError::BelowFloor {
                    missed: FloorMissed::Version { found: TlsVersion::Tls1_2, floor: TlsVersion::Tls1_3 },
                }),
                Some("validation-failure below-floor"),
            ),
            (
                Handshake,
                handshake(HandshakeError::Alert { alert: AlertName::new("handshake_failure") }),
                Some("validation-failure alert-handshake-failure"),
            ),
            (Handshake, handshake(HandshakeError::Closed { kind: ErrorKind::ConnectionReset }), Some("validation-failure handshake-lost")),
            (Handshake, handshake(HandshakeError::Protocol { detail: "x".into() }), Some("validation-failure no-common-tls")),
            (
                Handshake,
                handshake(HandshakeError::Certificate { detail: "x".into() }),
                Some("certificate-not-trusted unusable-certificate"),
            ),
            (Handshake, handshake(HandshakeError::NoIdentity), None),
        ] {
            let shown = format!("{fault:?}");
            assert_eq!(reported(stage, fault).as_deref(), expected, "{shown}");
        }
    }
}
