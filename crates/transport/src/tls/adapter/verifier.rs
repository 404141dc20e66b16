//! The two verifiers that rustls calls during a handshake.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use sealpost_cert::{CertificateDetails, TrustAnchors, Verdict, verify_server};
use sealpost_types::{HostDemand, UnixMillis};

use super::sessions::TicketStore;
use crate::tls::valid_until;

/// Judges a server's certificates against the demand of one [`sealpost_types::WireKey`], and remembers the verdict.
///
/// The full check always runs. It fails the handshake if the demand is authenticated and not satisfied. That the
/// server holds the key of the certificate is checked for every demand.
#[derive(Debug)]
pub(super) struct WireVerifier {
    pub(super) demand: HostDemand,
    pub(super) anchors: Arc<TrustAnchors>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) session_lifetime: Duration,
    pub(super) tickets: Arc<TicketStore>,
    pub(super) judged: Mutex<Vec<Judged>>,
}

/// A chain and what was said of it.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) chain: Arc<[Vec<u8>]>,
    pub(super) verdict: Arc<Verdict>,
}

/// How an unsatisfied verdict travels through rustls to the caller.
#[derive(Debug)]
pub(super) struct Unsatisfied(pub(super) Arc<Verdict>);

/// Asks a client for its certificate and checks that it holds the key; whom to trust is decided later.
#[derive(Debug)]
pub(super) struct DangerAnyClient {
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl WireVerifier {
    /// The verdict on the chain of a finished handshake: the stored one, which for a resumed session is that of the
    /// first handshake, or a new one if so many servers share the address that it was dropped.
    pub(super) fn judged(&self, chain: &[CertificateDer<'_>], now: UnixMillis) -> Judged {
        let judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = judged.iter().find(|known| known.chain.iter().map(Vec::as_slice).eq(chain.iter().map(AsRef::as_ref))).cloned();
        drop(judged);
        known.unwrap_or_else(|| self.judge(chain.iter().map(AsRef::as_ref).collect(), now))
    }

    fn judge(&self, chain: Vec<&[u8]>, now: UnixMillis) -> Judged {
        let verdict = Arc::new(verify_server(&chain, &self.demand, &self.anchors, now));
        let judged = Judged { chain: chain.into_iter().map(<[u8]>::to_vec).collect(), verdict };
        let mut kept = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|known| known.chain != judged.chain);
        if kept.len() >= CHAINS_PER_WIRE {
            kept.remove(0);
        }
        kept.push(judged.clone());
        judged
    }

    fn is_refused(&self, verdict: &Verdict) -> bool {
        self.demand.is_authenticated() && !verdict.satisfied
    }

    /// The error for a chain that may not be used under this demand, if it is such a chain.
    pub(super) fn refusal(&self, judged: &Judged) -> Option<Unsatisfied> {
        self.is_refused(&judged.verdict).then(|| Unsatisfied(Arc::clone(&judged.verdict)))
    }
}

impl ServerCertVerifier for WireVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>, // the names to look for stand in the demand
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let now = unix_millis(now);
        let chain = std::iter::once(end_entity).chain(intermediates).map(AsRef::as_ref).collect();
        let judged = self.judge(chain, now);
        self.tickets.expire_at(valid_until(&judged.verdict, now).min(now.after(self.session_lifetime)));
        match self.refusal(&judged) {
            Some(unsatisfied) => Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(unsatisfied))))),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for DangerAnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// Nobody is trusted by this: which clients need a certificate, from whom, is known only at MAIL and RCPT, where
    /// the policy judges the chain that the handler was given.
    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Such a certificate proves nothing, whatever it signs: its chain is given to nobody.
        if !is_provable(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Such a certificate proves nothing, whatever it signs: its chain is given to nobody.
        if !is_provable(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether somebody can prove to hold the key of this certificate: it can be read, and its key is one whose signatures are
/// taken.
pub(super) fn is_provable(certificate: &CertificateDer<'_>) -> bool {
    let accepted = || CertificateDetails::from_der(certificate).is_ok_and(|details| details.public_key().is_accepted());
    ParsedCertificate::try_from(certificate).is_ok() && accepted()
}

impl fmt::Display for Unsatisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate does not satisfy the demand")
    }
}

impl std::error::Error for Unsatisfied {}

fn unix_millis(time: UnixTime) -> UnixMillis {
    UnixMillis(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// Chains remembered per key: an address with more servers than this behind it has some judged twice.
const CHAINS_PER_WIRE: usize = 4;
