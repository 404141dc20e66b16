//! Fetching a policy from where its domain keeps it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sealpost_transport::{HttpsClient, HttpsLimits, HttpsUrl, TlsBackend};
use sealpost_types::{Domain, StsPolicy};

use super::{StsTrouble, parse_sts_policy};
use crate::{ResolveError, Resolver, interleave};

/// Where policies come from.
pub trait StsSource: Send + Sync + 'static {
    /// The policy that a domain has now.
    ///
    /// # Errors
    /// [`StsTrouble`]: there is none that can be used.
    fn fetch<R: Resolver>(&self, resolver: &R, domain: &Domain) -> impl Future<Output = Result<StsPolicy, StsTrouble>> + Send;
}

/// Fetches policies over HTTPS from `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`.
///
/// # Wire
/// RFC 8461 section 3.3: the certificate has the name `mta-sts.DOMAIN`, redirections are not followed, only status 200 counts.
///
/// # Limits
/// [`STS_POLICY_OCTETS`] for a policy, the time that it was made with for all of it.
pub struct HttpsSource<T> {
    client: HttpsClient<T>,
    port: Option<u16>,
}

impl<T: TlsBackend> HttpsSource<T> {
    /// Trusts whom `tls` trusts, and waits at most `time` for a policy.
    #[must_use]
    pub fn new(tls: Arc<T>, time: Duration) -> Self {
        let mut limits = HttpsLimits::default();
        (limits.time, limits.octets) = (time, STS_POLICY_OCTETS);
        Self { client: HttpsClient::new(tls, limits), port: None }
    }

    #[cfg(test)]
    pub(crate) fn at_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    fn url(&self, host: &Domain) -> Option<HttpsUrl> {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("https://{host}{port}/.well-known/mta-sts.txt").parse().ok()
    }
}

impl<T: TlsBackend> StsSource for HttpsSource<T> {
    async fn fetch<R: Resolver>(&self, resolver: &R, domain: &Domain) -> Result<StsPolicy, StsTrouble> {
        let too_long = || StsTrouble::NoHost(ResolveError::NoSuchDomain { domain: domain.clone() });
        let host = Domain::parse(&format!("mta-sts.{domain}")).map_err(|_| too_long())?;
        let url = self.url(&host).ok_or_else(too_long)?;
        let addresses = interleave(&resolver.addresses(&host).await.map_err(StsTrouble::NoHost)?.list);
        let answer = self.client.get(&url, &addresses).await.map_err(|error| StsTrouble::of(&error))?;
        if answer.status != OK {
            return Err(StsTrouble::Status { host, status: answer.status });
        }
        if answer.media_type() != MEDIA_TYPE {
            return Err(StsTrouble::MediaType { host, found: answer.content_type.unwrap_or_default() });
        }
        parse_sts_policy(&answer.body).map_err(|cause| StsTrouble::Void { host, cause })
    }
}

impl<T> fmt::Debug for HttpsSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsSource").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Octets of a policy that are read (RFC 8461 section 3.3).
pub const STS_POLICY_OCTETS: usize = 64 << 10;

const OK: u16 = 200;
const MEDIA_TYPE: &str = "text/plain";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use sealpost_cert::TrustAnchors;
    use sealpost_transport::{ClientCertificate, RustlsBackend, RustlsSettings, ServerIdentity};
    use sealpost_types::StsMode;
    use sealpost_types::TlsFailureType::{StsPolicyFetchError, StsPolicyInvalid, StsWebpkiInvalid};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::StaticResolver;

    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::new(vec![]).unwrap();
            params.distinguished_name.push(DnType::CommonName, "Test CA");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        /// A backend that trusts this authority.
        fn client(&self) -> Arc<RustlsBackend> {
            let anchors = TrustAnchors::from_der([self.0.der()]);
            Arc::new(RustlsBackend::new(RustlsSettings::new(Arc::new(anchors))).unwrap())
        }

        /// A web server of this name that answers everybody the same; its port.
        async fn serve(&self, name: &str, answer: String) -> u16 {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
            let (pem, key) = (certificate.pem(), key.serialize_pem());
            let identity = ServerIdentity::from_pem((Path::new("c"), pem.as_bytes()), (Path::new("k"), key.as_bytes())).unwrap();
            let mut settings = RustlsSettings::new(Arc::new(TrustAnchors::default()));
            settings.identities = vec![identity];
            let tls = RustlsBackend::new(settings).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    let Ok(shaken) = tls.accept(tcp, ClientCertificate::NotAsked).await else { continue };
                    let mut stream = shaken.stream;
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            });
            port
        }
    }

    const HOST: &str = "mta-sts.bank.example";
    const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx.bank.example\r\nmax_age: 86400\r\n";

    fn answer(status: &str, media_type: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    async fn fetched(authority: &Authority, port: u16) -> Result<StsPolicy, StsTrouble> {
        let dns = StaticResolver::new();
        dns.set_addresses(&Domain::parse(HOST).unwrap(), vec![[127, 0, 0, 1].into()]);
        let source = HttpsSource::new(authority.client(), Duration::from_secs(10)).at_port(port);
        source.fetch(&dns, &Domain::parse("bank.example").unwrap()).await
    }

    // req: E2
    #[tokio::test]
    async fn rfc8461_3_3_a_policy_is_fetched_from_its_host_and_from_nowhere_else() {
        let authority = Authority::new();
        for media_type in ["text/plain", "Text/Plain; charset=utf-8"] {
            let port = authority.serve(HOST, answer("200 OK", media_type, POLICY)).await;
            assert_eq!(fetched(&authority, port).await.unwrap().mode, StsMode::Enforce, "{media_type}");
        }
        let long = format!("{POLICY}{}", "x: y\r\n".repeat(STS_POLICY_OCTETS / 6));
        for (host, answer, failure) in [
            ("bank.example", answer("200 OK", "text/plain", POLICY), StsWebpkiInvalid),
            ("*.example", answer("200 OK", "text/plain", POLICY), StsWebpkiInvalid),
            (HOST, answer("301 Moved Permanently\r\nLocation: https://www.bank.example/", "text/plain", POLICY), StsPolicyFetchError),
            (HOST, answer("404 Not Found", "text/plain", POLICY), StsPolicyFetchError),
            (HOST, answer("203 Non-Authoritative", "text/plain", POLICY), StsPolicyFetchError),
            (
                HOST,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 500\r\n\r\nversion: STSv1".to_owned(),
                StsPolicyFetchError,
            ),
            (HOST, answer("200 OK", "text/html", POLICY), StsPolicyInvalid),
            (HOST, answer("200 OK", "text/plain", "<html>no</html>"), StsPolicyInvalid),
            (HOST, answer("200 OK", "text/plain", &long), StsPolicyInvalid),
        ] {
            let port = authority.serve(host, answer).await;
            let trouble = fetched(&authority, port).await.unwrap_err();
            assert_eq!(trouble.failure(), Some(failure), "{trouble}");
            assert!(trouble.to_string().contains("mta-sts.bank.example"), "{trouble}");
        }
        let stranger = Authority::new();
        let port = authority.serve(HOST, answer("200 OK", "text/plain", POLICY)).await;
        assert_eq!(fetched(&stranger, port).await.unwrap_err().failure(), Some(StsWebpkiInvalid));
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_found_has_no_policy() {
        let source = HttpsSource::new(Authority::new().client(), Duration::from_secs(10));
        let trouble = source.fetch(&StaticResolver::new(), &Domain::parse("bank.example").unwrap()).await.unwrap_err();
        assert_eq!(
            (trouble.failure(), trouble.to_string().as_str()),
            (Some(StsPolicyFetchError), "the host of the MTA-STS policy cannot be found: the domain mta-sts.bank.example does not exist")
        );
        let long = Domain::parse(&["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(60)].join(".")).unwrap();
        assert!(source.fetch(&StaticResolver::new(), &long).await.is_err());
    }
}
