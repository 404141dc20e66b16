//! One address of a host: the session, the certificate, and what else the server says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpost_relay::{Reach, ReachError, ReachHost, any_certificate};
use sealpost_smtp::{Extensions, Reply};
use sealpost_transport::{Connection, RustlsBackend, StageTimes};
use sealpost_types::{CipherSet, CipherSuite, Domain, HostDemand, KexFloor, TlsFacts, TlsRequirement, TlsVersion};
use tokio::sync::OnceCell;

use super::manners::{Manners, Turn};

/// Examines hosts, each address under each name once: what it said is shared by all domains whose host it is.
pub(crate) struct Examiner {
    pub(crate) reach: Reach,
    pub(crate) time: Duration,
    pub(crate) in_clear: InClear,
    pub(crate) deep: bool,
    pub(crate) manners: Manners,
    pub(crate) known: Known,
}

/// What was seen, by whom was asked for under which name.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashMap<Place, Cell>>);

/// A name, where there is one, and an address.
type Place = (Option<Domain>, SocketAddr);

/// What was seen there, once somebody has looked.
type Cell = Arc<OnceCell<Arc<Seen>>>;

/// Which hosts are asked whether they take mail in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InClear {
    /// All that answer.
    Always,
    /// Those without TLS: there it is what becomes of the mail.
    WithoutTls,
    Never,
}

/// What was found at one address of a host of a domain.
pub(crate) struct Examined {
    pub(super) host: ReachHost,
    pub(super) seen: Arc<Seen>,
}

/// What a server said, whoever's host it is.
pub(crate) struct Seen {
    pub(super) session: Result<Session, ReachError>,
    /// What it says to MAIL in clear; not asked of a further address of the same host.
    pub(super) in_clear: Option<Result<Reply, String>>,
    /// The suites that it takes one by one, in the order of ours; not asked without `--deep`.
    pub(super) suites: Option<Suites>,
}

/// Suites, and what became of each.
pub(super) type Suites = Vec<(CipherSuite, Taken)>;

/// A session under TLS.
pub(super) struct Session {
    pub(super) tls: Option<TlsFacts>,
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) extensions: Arc<Extensions>,
    pub(super) times: StageTimes,
}

/// A connection, and the right to it.
struct Open {
    connection: Connection<RustlsBackend>,
    _turn: Turn,
}

/// Whether a suite was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    No,
    /// The server did not let it be found out.
    Unknown,
}

impl Known {
    fn cell(&self, host: &ReachHost) -> Cell {
        // Nothing here is left half-done by a panic, so a poisoned lock is as good as any.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry((host.name().cloned(), host.address())).or_default())
    }

    /// How many addresses were asked, under each name.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Examiner {
    /// The addresses of one host, one after the other.
    pub(super) async fn group(&self, group: Vec<(usize, ReachHost)>) -> Vec<(usize, Examined)> {
        let mut found: Vec<(usize, Examined)> = Vec::with_capacity(group.len());
        for (place, host) in group {
            let is_known = found.iter().any(|(_, examined)| examined.seen.in_clear.is_some());
            let cell = self.known.cell(&host);
            let seen = cell.get_or_init(async || Arc::new(self.look(&host, !is_known).await)).await;
            found.push((place, Examined { seen: Arc::clone(seen), host }));
        }
        found
    }

    async fn look(&self, host: &ReachHost, first: bool) -> Seen {
        let session = match self.connect(host, any_certificate()).await {
            Ok(open) => {
                let session = Session::of(&open.connection);
                open.connection.quit().await;
                Ok(session)
            }
            Err(error) => Err(error),
        };
        // A server that does not answer is not asked again.
        let asks = match &session {
            Ok(_) => self.in_clear == InClear::Always,
            Err(error) => self.in_clear != InClear::Never && !error.is_inconclusive() && error.is_tls_failure(),
        };
        let in_clear = if first && asks { Some(self.ask_in_clear(host).await) } else { None };
        let suites = if first && self.deep && session.is_ok() { Some(self.suites(host).await) } else { None };
        Seen { session, in_clear, suites }
    }

    /// A connection, when it is its turn.
    async fn connect(&self, host: &ReachHost, demand: HostDemand) -> Result<Open, ReachError> {
        let turn = self.manners.turn(host.address().ip()).await;
        let connection = self.reach.connect(host, demand, false, self.time).await?;
        Ok(Open { connection, _turn: turn })
    }

    async fn ask_in_clear(&self, host: &ReachHost) -> Result<Reply, String> {
        let demand = HostDemand::new(TlsRequirement::Never, Vec::new(), TlsVersion::default());
        let mut open = self.connect(host, demand).await.map_err(|error| error.to_string())?;
        let answered = open.connection.try_mail().await.map_err(|error| error.to_string());
        open.connection.quit().await;
        answered
    }

    async fn suites(&self, host: &ReachHost) -> Suites {
        let mut found = Vec::with_capacity(SUITES.len());
        let mut gave_up = false;
        for suite in SUITES {
            let demand = any_certificate().with_floors(KexFloor::Any, Some(CipherSet::new(vec![suite])));
            let taken = if gave_up {
                Taken::Unknown
            } else {
                match self.connect(host, demand).await {
                    Ok(open) => {
                        open.connection.quit().await;
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

impl Seen {
    /// The versions with what became of their suites, the newer one first; not asked without `--deep`.
    pub(super) fn versions(&self) -> Option<[(TlsVersion, Suites); 2]> {
        let suites = self.suites.as_ref()?;
        let of = |version| suites.iter().copied().filter(|(suite, _)| version_of(*suite) == version).collect();
        Some([TlsVersion::Tls1_3, TlsVersion::Tls1_2].map(|version| (version, of(version))))
    }
}

impl Taken {
    /// Whether a version is taken, of whose suites this was found.
    pub(super) fn any(suites: &[(CipherSuite, Self)]) -> Self {
        let is = |wanted| suites.iter().any(|(_, taken)| *taken == wanted);
        [Self::Yes, Self::Unknown].into_iter().find(|wanted| is(*wanted)).unwrap_or(Self::No)
    }

    /// For programs; nothing where it is not known.
    pub(super) fn as_bool(self) -> Option<bool> {
        match self {
            Self::Yes => Some(true),
            Self::No => Some(false),
            Self::Unknown => None,
        }
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

/// RFC 8446 appendix B.4: the suites of TLS 1.3, and of no other version, begin with 0x13.
fn version_of(suite: CipherSuite) -> TlsVersion {
    if suite.0 >> 8 == 0x13 { TlsVersion::Tls1_3 } else { TlsVersion::Tls1_2 }
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
