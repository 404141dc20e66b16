//! One address of a host: the session, the certificate, and what else the server says.

use std::sync::Arc;
use std::time::Duration;

use sealpost_relay::{Reach, ReachError, ReachHost, any_certificate};
use sealpost_smtp::{Extensions, Reply};
use sealpost_transport::{Connection, RustlsBackend, StageTimes};
use sealpost_types::{CipherSet, CipherSuite, HostDemand, KexFloor, TlsFacts, TlsRequirement, TlsVersion};

/// How hosts are examined.
pub(super) struct Examining {
    pub(super) reach: Arc<Reach>,
    pub(super) time: Duration,
    pub(super) asks_in_clear: bool,
    pub(super) deep: bool,
}

/// What was found at one address.
pub(super) struct Examined {
    pub(super) host: ReachHost,
    pub(super) session: Result<Session, ReachError>,
    /// What it says to MAIL in clear; not asked of a further address of the same host.
    pub(super) in_clear: Option<Result<Reply, String>>,
    /// The suites that it takes one by one, in the order of ours; not asked without `--deep`.
    pub(super) suites: Option<Vec<(CipherSuite, Taken)>>,
}

/// A session under TLS.
pub(super) struct Session {
    pub(super) tls: Option<TlsFacts>,
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) extensions: Arc<Extensions>,
    pub(super) times: StageTimes,
}

/// Whether a suite was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    No,
    /// The server did not let it be found out.
    Unknown,
}

impl Examining {
    /// The addresses of one host, one after the other.
    pub(super) async fn group(&self, group: Vec<(usize, ReachHost)>) -> Vec<(usize, Examined)> {
        let mut found: Vec<(usize, Examined)> = Vec::with_capacity(group.len());
        for (place, host) in group {
            let is_known = found.iter().any(|(_, examined)| examined.in_clear.is_some());
            found.push((place, self.address(host, !is_known).await));
        }
        found
    }

    async fn address(&self, host: ReachHost, first: bool) -> Examined {
        let session = match self.reach.connect(&host, any_certificate(), false, self.time).await {
            Ok(connection) => {
                let session = Session::of(&connection);
                connection.quit().await;
                Ok(session)
            }
            Err(error) => Err(error),
        };
        // A server that does not answer is not asked again.
        let answers = match &session {
            Ok(_) => true,
            Err(error) => !error.is_inconclusive() && error.is_tls_failure(),
        };
        let in_clear = if first && answers && self.asks_in_clear { Some(self.in_clear(&host).await) } else { None };
        let suites = if first && self.deep && session.is_ok() { Some(self.suites(&host).await) } else { None };
        Examined { host, session, in_clear, suites }
    }

    async fn in_clear(&self, host: &ReachHost) -> Result<Reply, String> {
        let demand = HostDemand::new(TlsRequirement::Never, Vec::new(), TlsVersion::default());
        let mut connection = self.reach.connect(host, demand, false, self.time).await.map_err(|error| error.to_string())?;
        let answered = connection.try_mail().await.map_err(|error| error.to_string());
        connection.quit().await;
        answered
    }

    async fn suites(&self, host: &ReachHost) -> Vec<(CipherSuite, Taken)> {
        let mut found = Vec::with_capacity(SUITES.len());
        let mut gave_up = false;
        for suite in SUITES {
            let demand = any_certificate().with_floors(KexFloor::Any, Some(CipherSet::new(vec![suite])));
            let taken = if gave_up {
                Taken::Unknown
            } else {
                tokio::time::sleep(PAUSE).await;
                match self.reach.connect(host, demand, false, self.time).await {
                    Ok(connection) => {
                        connection.quit().await;
                        Taken::Yes
                    }
                    Err(error) if error.is_inconclusive() => Taken::Unknown,
                    Err(_) => Taken::No,
                }
            };
            // A server that says 421 has had enough.
            gave_up |= taken == Taken::Unknown;
            found.push((suite, taken));
        }
        found
    }
}

impl Session {
    fn of(connection: &Connection<RustlsBackend>) -> Self {
        Self {
            tls: connection.tls().copied(),
            chain: connection.chain().to_vec(),
            extensions: Arc::clone(connection.extensions()),
            times: *connection.times(),
        }
    }
}

/// TLS 1.3, then TLS 1.2; what else there is, no client of ours can speak.
const SUITES: [CipherSuite; 9] = [
    CipherSuite(0x1302),
    CipherSuite(0x1301),
    CipherSuite(0x1303),
    CipherSuite(0xc02c),
    CipherSuite(0xc02b),
    CipherSuite(0xcca9),
    CipherSuite(0xc030),
    CipherSuite(0xc02f),
    CipherSuite(0xcca8),
];

/// Between two connections to the same host.
const PAUSE: Duration = Duration::from_millis(100);
