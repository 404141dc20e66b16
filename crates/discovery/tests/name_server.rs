//! `HickoryResolver` against a real name server on loopback, UDP and TCP, whose every answer the test writes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use sealpost_discovery::{Dnssec, DnssecAnchors, HickoryResolver, ProbeError, ResolveError, Resolver, ResolverSetupError, Validation};
use sealpost_types::{DnssecStatus, Domain};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What the server says to one question.
enum Says {
    Records(Vec<(&'static str, RData)>),
    NoData,
    Code(ResponseCode),
    Referral,
    Garbage,
    /// Cut off over UDP; whole over TCP.
    TooLong(Vec<(&'static str, RData)>),
    Nothing,
}

type Zone = fn(name: &str, kind: RecordType) -> Says;

struct NameServer {
    address: SocketAddr,
    over_tcp: Arc<AtomicUsize>,
    questions: Arc<AtomicUsize>,
}

impl NameServer {
    async fn start(zone: Zone) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // The same number may be taken on the TCP side.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let (over_tcp, questions) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let asked = questions.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = udp.recv_from(&mut buffer).await {
                asked.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(zone, &buffer[..length], false) {
                    udp.send_to(&answer, peer).await.unwrap();
                }
            }
        });
        let connections = over_tcp.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut question = vec![0; usize::from(length)];
                        stream.read_exact(&mut question).await.unwrap();
                        let Some(answer) = answer(zone, &question, true) else { continue };
                        stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                        stream.write_all(&answer).await.unwrap();
                    }
                });
            }
        });
        Self { address, over_tcp, questions }
    }

    fn resolver(&self) -> HickoryResolver {
        HickoryResolver::with_servers(&[self.address]).unwrap()
    }
}

fn answer(zone: Zone, question: &[u8], tcp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query: Query = question.queries[0].clone();
    let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let fill = |answer: &mut Message, records: Vec<(&str, RData)>| {
        for (owner, data) in records {
            answer.add_answer(Record::from_rdata(absolute(owner), 300, data));
        }
    };
    let soa = || {
        let soa = SOA::new(absolute("ns.example"), absolute("host.example"), 1, 60, 60, 60, 60);
        Record::from_rdata(absolute("example"), 60, RData::SOA(soa))
    };
    match zone(&name, query.query_type()) {
        Says::Records(records) => fill(&mut answer, records),
        Says::NoData => {
            answer.add_authority(soa());
        }
        Says::Code(code) => {
            answer.metadata.response_code = code;
            if code == ResponseCode::NXDomain {
                answer.add_authority(soa());
            }
        }
        Says::Referral => {
            answer.add_authority(Record::from_rdata(absolute("example"), 60, RData::NS(NS(absolute("ns.example")))));
        }
        Says::Garbage => {
            let mut octets = answer.to_vec().unwrap();
            octets.truncate(13);
            return Some(octets);
        }
        Says::TooLong(records) if tcp => fill(&mut answer, records),
        Says::TooLong(_) => answer.metadata.truncation = true,
        Says::Nothing => return None,
    }
    Some(answer.to_vec().unwrap())
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).unwrap()
}

fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, if host == "." { Name::root() } else { absolute(host) }))
}

fn a(text: &str) -> RData {
    match text.parse().unwrap() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

async fn mx_of(zone: Zone) -> Result<Vec<(u16, String)>, ResolveError> {
    let server = NameServer::start(zone).await;
    let set = server.resolver().mx(&domain("mail.example")).await?;
    assert_eq!(set.dnssec, DnssecStatus::Indeterminate, "nothing here was validated");
    Ok(set.hosts.iter().map(|host| (host.preference, host.name.to_string())).collect())
}

#[tokio::test]
async fn several_preferences_come_sorted_and_a_strangers_record_is_none_of_them() {
    let hosts = mx_of(|_, kind| match kind {
        RecordType::MX => Says::Records(vec![
            ("mail.example", mx(30, "c.example")),
            ("mail.example", mx(10, "a.example")),
            ("mail.example", mx(20, "b.example")),
            ("other.example", mx(1, "stranger.example")),
        ]),
        _ => Says::NoData,
    })
    .await;
    let expected = [(10, "a.example"), (20, "b.example"), (30, "c.example")].map(|(p, host)| (p, host.to_owned()));
    assert_eq!(hosts, Ok(expected.to_vec()));
}

#[tokio::test]
async fn nxdomain_is_final() {
    let error = mx_of(|_, _| Says::Code(ResponseCode::NXDomain)).await.unwrap_err();
    assert_eq!(error, ResolveError::NoSuchDomain { domain: domain("mail.example") });
}

#[tokio::test]
async fn rfc5321_5_1_no_mx_but_an_address_is_an_implicit_mx() {
    let hosts = mx_of(|_, kind| match kind {
        RecordType::A => Says::Records(vec![("mail.example", a("192.0.2.1"))]),
        _ => Says::NoData,
    })
    .await;
    assert_eq!(hosts, Ok(vec![(0, "mail.example".to_owned())]));
}

#[tokio::test]
async fn neither_mx_nor_address_is_final() {
    let error = mx_of(|_, _| Says::NoData).await.unwrap_err();
    assert_eq!(error, ResolveError::NoMailHost { domain: domain("mail.example") });
}

#[tokio::test]
async fn no_mx_and_an_address_that_nobody_tells_is_not_final() {
    let error = mx_of(|_, kind| match kind {
        RecordType::A => Says::Code(ResponseCode::ServFail),
        _ => Says::NoData,
    })
    .await
    .unwrap_err();
    assert_eq!(error, ResolveError::Server { name: domain("mail.example"), code: 2 });
}

#[tokio::test]
async fn rfc7505_a_null_mx_is_final_even_beside_an_address() {
    let error = mx_of(|_, kind| match kind {
        RecordType::MX => Says::Records(vec![("mail.example", mx(0, "."))]),
        _ => Says::Records(vec![("mail.example", a("192.0.2.1"))]),
    })
    .await
    .unwrap_err();
    assert_eq!(error, ResolveError::NullMx { domain: domain("mail.example") });
}

#[tokio::test]
async fn a_server_that_fails_is_not_an_answer() {
    let failing: [(Zone, u16); 3] = [
        (|_, _| Says::Code(ResponseCode::ServFail), 2),
        (|_, _| Says::Code(ResponseCode::NotImp), 4),
        (|_, _| Says::Code(ResponseCode::Refused), 5),
    ];
    for (zone, code) in failing {
        let error = mx_of(zone).await.unwrap_err();
        assert_eq!(error, ResolveError::Server { name: domain("mail.example"), code });
        assert!(!error.is_permanent());
    }
}

#[tokio::test]
async fn a_referral_is_not_an_answer() {
    let error = mx_of(|_, _| Says::Referral).await.unwrap_err();
    assert_eq!(error, ResolveError::Referral { name: domain("mail.example") });
}

#[tokio::test]
async fn silence_ends_in_time() {
    let server = NameServer::start(|_, _| Says::Nothing).await;
    let waited = Duration::from_millis(300);
    let error = server.resolver().with_timeout(waited).mx(&domain("mail.example")).await.unwrap_err();
    assert_eq!(error, ResolveError::Timeout { name: domain("mail.example"), waited });
}

#[tokio::test]
async fn garbage_is_not_an_answer() {
    let server = NameServer::start(|_, _| Says::Garbage).await;
    let error = server.resolver().with_timeout(Duration::from_millis(500)).mx(&domain("mail.example")).await.unwrap_err();
    assert!(!error.is_permanent(), "{error}");
}

#[tokio::test]
async fn nobody_there_is_not_an_answer() {
    let server = {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    let resolver = HickoryResolver::with_servers(&[server]).unwrap().with_timeout(Duration::from_millis(500));
    let error = resolver.mx(&domain("mail.example")).await.unwrap_err();
    assert!(matches!(error, ResolveError::Unreachable { .. } | ResolveError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_asked_for_over_tcp() {
    let server = NameServer::start(|_, kind| match kind {
        RecordType::MX => Says::TooLong(vec![("mail.example", mx(10, "a.example")), ("mail.example", mx(20, "b.example"))]),
        _ => Says::NoData,
    })
    .await;
    let set = server.resolver().mx(&domain("mail.example")).await.unwrap();
    assert_eq!(set.hosts.len(), 2);
    assert_eq!(server.over_tcp.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn cnames_are_followed_for_domains_and_for_hosts() {
    let server = NameServer::start(|name, kind| match (name, kind) {
        ("mail.example", RecordType::MX) => {
            Says::Records(vec![("mail.example", RData::CNAME(CNAME(absolute("real.example")))), ("real.example", mx(10, "mx.example"))])
        }
        // An MX should not name an alias; servers do it all the same.
        ("mx.example", RecordType::A) => Says::Records(vec![("mx.example", RData::CNAME(CNAME(absolute("host.example"))))]),
        ("host.example", RecordType::A) => Says::Records(vec![("host.example", a("192.0.2.9"))]),
        _ => Says::NoData,
    })
    .await;
    let resolver = server.resolver();
    let set = resolver.mx(&domain("mail.example")).await.unwrap();
    assert_eq!(set.hosts[0].name, domain("mx.example"), "the name in the MX is the name that counts");
    for _first_asked_then_remembered in 0..2 {
        assert_eq!(resolver.addresses(&domain("mx.example")).await.unwrap().list, ["192.0.2.9".parse::<IpAddr>().unwrap()]);
    }
}

/// RFC 7208 section 3.3, RFC 8461 section 3.1: a record's strings are joined without anything between them.
#[tokio::test]
async fn the_strings_of_a_text_are_joined_and_its_records_are_not() {
    let server = NameServer::start(|name, kind| {
        let text = |strings: &[&str]| RData::TXT(TXT::new(strings.iter().map(|string| (*string).to_owned()).collect()));
        match (name, kind) {
            ("_mta-sts.a.example", RecordType::TXT) => {
                Says::Records(vec![("_mta-sts.a.example", text(&["v=STS", "v1; id=1;"])), ("_mta-sts.a.example", text(&["other"]))])
            }
            ("_mta-sts.b.example", RecordType::TXT) => Says::Records(vec![
                ("_mta-sts.b.example", RData::CNAME(CNAME(absolute("_mta-sts.hosting.example")))),
                ("_mta-sts.hosting.example", text(&["v=STSv1; id=2;"])),
            ]),
            ("_mta-sts.c.example", _) => Says::NoData,
            ("_mta-sts.d.example", _) => Says::Code(ResponseCode::NXDomain),
            _ => Says::Code(ResponseCode::ServFail),
        }
    })
    .await;
    let resolver = server.resolver();
    let found = async |name| {
        resolver.txt(&domain(name)).await.map(|mut found| {
            found.sort();
            found.into_iter().map(|text| String::from_utf8(text).unwrap()).collect::<Vec<_>>()
        })
    };
    assert_eq!(found("_mta-sts.a.example").await.unwrap(), ["other", "v=STSv1; id=1;"]);
    assert_eq!(found("_mta-sts.b.example").await.unwrap(), ["v=STSv1; id=2;"]);
    for nothing in ["_mta-sts.c.example", "_mta-sts.d.example"] {
        assert_eq!(found(nothing).await, Ok(vec![]));
    }
    assert!(matches!(found("_mta-sts.e.example").await, Err(ResolveError::Server { .. })));
}

#[tokio::test]
async fn both_families_are_asked_and_one_of_them_is_enough() {
    let server = NameServer::start(|name, kind| match (name, kind) {
        ("both.example", RecordType::AAAA) => Says::Records(vec![("both.example", a("2001:db8::1"))]),
        ("both.example", RecordType::A) => Says::Records(vec![("both.example", a("192.0.2.1"))]),
        ("half.example", RecordType::A) => Says::Records(vec![("half.example", a("192.0.2.2"))]),
        ("half.example", _) => Says::Code(ResponseCode::ServFail),
        ("none.example", _) => Says::NoData,
        ("void.example", RecordType::A) => Says::Records(vec![("void.example", a("0.0.0.0"))]),
        _ => Says::Code(ResponseCode::NXDomain),
    })
    .await;
    let resolver = server.resolver();
    let list = |texts: &[&str]| texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect::<Vec<_>>();
    assert_eq!(resolver.addresses(&domain("both.example")).await.unwrap().list, list(&["2001:db8::1", "192.0.2.1"]));
    assert_eq!(resolver.addresses(&domain("half.example")).await.unwrap().list, list(&["192.0.2.2"]));
    for host in ["none.example", "void.example"].map(domain) {
        let expected = match host.as_str() {
            "none.example" => ResolveError::NoAddress { host: host.clone() },
            // The other family of this one does not exist at all.
            _ => ResolveError::NoSuchDomain { domain: host.clone() },
        };
        assert_eq!(resolver.addresses(&host).await, Err(expected));
    }
}

#[tokio::test]
async fn an_answer_is_kept_as_long_as_it_allows() {
    let server = NameServer::start(|_, _| Says::Records(vec![("mail.example", mx(10, "a.example"))])).await;
    let resolver = server.resolver();
    for _ in 0..5 {
        resolver.clone().mx(&domain("mail.example")).await.unwrap();
    }
    assert_eq!(server.questions.load(Ordering::SeqCst), 1);
}

#[test]
fn a_resolver_needs_a_server() {
    assert_eq!(HickoryResolver::with_servers(&[]).unwrap_err(), ResolverSetupError::NoServers);
}

/// Name servers that know nothing of DNSSEC must not stop the mail, nor be believed; of those that do not answer nothing is known.
#[tokio::test]
async fn whether_validation_works_is_found_out_and_nothing_is_claimed_where_it_does_not() {
    let answering: Zone = |_, kind| match kind {
        RecordType::MX => Says::Records(vec![("mail.example", mx(10, "a.example"))]),
        _ => Says::NoData,
    };
    let validate = || Dnssec::Validate(DnssecAnchors::default());
    for dnssec in [validate(), Dnssec::TrustAd] {
        let server = NameServer::start(answering).await;
        let resolver = HickoryResolver::of_servers(&[server.address], dnssec).unwrap();
        let validation = resolver.validation().await;
        assert!(matches!(validation, Validation::Broken { .. }), "{validation}");
        assert_eq!(resolver.mx(&domain("mail.example")).await.unwrap().dnssec, DnssecStatus::Indeterminate);
    }
    let silent: [(Zone, &str); 2] =
        [(|_, _| Says::Nothing, "no name server answered in time"), (|_, _| Says::Code(ResponseCode::ServFail), "answer Server Failure")];
    for (zone, words) in silent {
        let server = NameServer::start(zone).await;
        let resolver = HickoryResolver::of_servers(&[server.address], validate()).unwrap().with_timeout(Duration::from_millis(300));
        let validation = resolver.validation().await;
        assert!(matches!(validation, Validation::Unsure { .. }) && validation.to_string().contains(words), "{validation}");
        assert!(!resolver.mx(&domain("mail.example")).await.unwrap_err().is_permanent());
    }
    assert_eq!(NameServer::start(answering).await.resolver().validation().await, Validation::Off);
}

/// Nothing of it is remembered: who answered a moment ago may be silent now.
#[tokio::test]
async fn a_probe_tells_whether_anybody_answers_now() {
    let probe = async |zone: Zone| {
        let server = NameServer::start(zone).await;
        let resolver = server.resolver().with_timeout(Duration::from_millis(300));
        let (first, again) = (resolver.probe().await, resolver.probe().await);
        assert_eq!(first, again);
        (first, server.questions.load(Ordering::SeqCst) >= 2)
    };
    for zone in [|_: &str, _: RecordType| Says::NoData, |_: &str, _| Says::Code(ResponseCode::NXDomain), |_: &str, _| Says::Referral] {
        assert_eq!(probe(zone).await, (Ok(()), true));
    }
    for zone in [|_: &str, _: RecordType| Says::Code(ResponseCode::ServFail), |_: &str, _| Says::Code(ResponseCode::Refused)] {
        assert!(matches!(probe(zone).await, (Err(ProbeError::Refused { .. }), true)));
    }
    assert!(matches!(probe(|_, _| Says::Nothing).await, (Err(ProbeError::Silent { .. }), true)));
}
