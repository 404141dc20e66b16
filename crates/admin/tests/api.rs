//! A relay that is managed over a real socket, by the client and by whoever speaks HTTP.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sealpost_admin::{
    AdminServer, Client, ClientError, EditRequest, Followed, HistoryEntry, HistoryPage, HistoryQuery, Problem, ReloadRequest, RowRequest,
};
use sealpost_cert::TrustAnchors;
use sealpost_discovery::StaticResolver;
use sealpost_queue::MemorySpool;
use sealpost_relay::config::{Admin, Config, Listener, ListenerTls};
use sealpost_relay::policy_file::PolicyFile;
use sealpost_relay::{Relay, RelayHandle};
use sealpost_report::History;
use sealpost_transport::{RustlsBackend, RustlsSettings};
use sealpost_types::Domain;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// A relay with forty partners in its policy's file, and its management.
struct Managed {
    folder: tempfile::TempDir,
    relay: RelayHandle,
    server: AdminServer,
    client: Client,
}

fn partners(count: usize) -> String {
    (0..count).map(|n| format!("[[partner]] # {n}\ndomains = \"p{n}.example\"\nreceive = \"require\"\n")).collect()
}

async fn relay(policy: Option<PathBuf>, history: Option<&std::path::Path>) -> RelayHandle {
    let mut config = Config::new(Domain::parse("relay.example").unwrap(), "nothing-lies-here".into());
    config.listeners = vec![Listener::new(([127, 0, 0, 1], 0).into(), ListenerTls::None)];
    let tls = RustlsBackend::new(RustlsSettings::new(Arc::new(TrustAnchors::default()))).unwrap();
    let mut builder = Relay::builder(config, MemorySpool::new(), StaticResolver::new(), tls);
    if let Some(directory) = history {
        builder = builder.history(History::open(directory).unwrap());
    }
    let Some(path) = policy else { return builder.start().await.unwrap() };
    let (file, policy) = PolicyFile::open(&path).unwrap();
    builder.policy_file(file, policy).start().await.unwrap()
}

impl Managed {
    async fn start(change: impl FnOnce(&mut Admin, &std::path::Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.toml"), partners(40)).unwrap();
        let relay = relay(Some(folder.path().join("policy.toml")), Some(&folder.path().join("history"))).await;
        let mut admin = Admin::default();
        admin.socket = Some(folder.path().join("admin.sock"));
        change(&mut admin, folder.path());
        let server = AdminServer::start(&admin, relay.control().clone()).await.unwrap();
        let client = Client::new(folder.path().join("admin.sock"));
        Self { folder, relay, server, client }
    }

    async fn new() -> Self {
        Self::start(|_, _| ()).await
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("policy.toml"), text).unwrap();
    }
}

fn refused(error: ClientError) -> (u16, Problem) {
    match error {
        ClientError::Refused { status, problem } => (status, problem),
        other => panic!("{other}"),
    }
}

/// A request as it goes over the wire, and the whole answer.
async fn raw(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// `UPDATE_OPENAPI=1 cargo test -p sealpost-admin` writes the document anew.
#[test]
fn the_document_that_is_checked_in_is_that_of_the_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let made = sealpost_admin::openapi();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == made, "openapi.json differs; UPDATE_OPENAPI=1 writes it anew");
    let document: serde_json::Value = serde_json::from_str(&made).unwrap();
    for path in [
        "/v1/status",
        "/v1/reload",
        "/v1/policy",
        "/v1/policy/edits",
        "/v1/policy/rows",
        "/v1/entries/{kind}",
        "/v1/history",
        "/v1/history/follow",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

#[tokio::test]
async fn a_relay_says_how_it_is() {
    let managed = Managed::new().await;
    let status = managed.client.status().await.unwrap();
    assert_eq!((status.hostname.as_str(), status.policy_generation, status.policy_entries), ("relay.example", 0, 40));
    assert_eq!((status.counts.accepted, status.queue.deferred), (0, 0));
    assert!(status.policy_file.unwrap().ends_with("policy.toml"));
}

// req: E8
#[tokio::test]
async fn a_policy_is_read_again() {
    let managed = Managed::new().await;
    managed.write(&partners(41));
    let change = managed.client.reload(ReloadRequest::default()).await.unwrap();
    assert_eq!((change.changed, change.entries_before, change.entries_after), (true, 40, 41));
    assert_eq!(managed.client.status().await.unwrap().policy_generation, 1);
    assert_eq!(managed.client.policy().await.unwrap().text, partners(41));
    // The same again is no change: nothing is woken.
    assert!(!managed.client.reload(ReloadRequest::default()).await.unwrap().changed);
    assert_eq!(managed.client.status().await.unwrap().policy_generation, 1);
}

/// Each is told with its place, and what would be right; the old policy stays.
// req: E8
#[tokio::test]
async fn a_wrong_policy_is_refused_with_its_places() {
    let managed = Managed::new().await;
    managed.write("[[partner]]\ndomains = \"bank.example\"\nreceive = \"requrie\"\ndelivr = \"none\"\n");
    let (status, problem) = refused(managed.client.reload(ReloadRequest::default()).await.unwrap_err());
    assert_eq!((status, problem.also.len()), (422, 1));
    assert!(problem.place.as_ref().unwrap().ends_with("policy.toml:3:11"), "{problem:?}");
    assert!(problem.remedy.as_ref().unwrap().contains("did you mean \"require\"?"), "{problem:?}");
    assert!(problem.also[0].place.as_ref().unwrap().ends_with("policy.toml:4:1"), "{problem:?}");
    assert_eq!(managed.client.status().await.unwrap().policy_entries, 40);
    assert_eq!(managed.client.policy().await.unwrap().text, partners(40));
}

fn edits(json: &str) -> EditRequest {
    serde_json::from_str(json).unwrap()
}

const ADD: &str = r#"{"kind": "add_partner", "entry": {"name": "Bank", "domains": "bank.example", "receive": "require"}}"#;

/// In the file and in force, or neither; what else stands in the file stays as it is.
// req: A1 A3 A4 E8
#[tokio::test]
async fn entries_are_added_changed_and_removed() {
    let managed = Managed::new().await;
    let file = managed.folder.path().join("policy.toml");
    let text = || fs::read_to_string(&file).unwrap();
    let ask = async |edit: &str, more: &str| managed.client.edit(&edits(&format!("{{\"edits\": [{edit}]{more}}}"))).await;

    let dry = ask(ADD, ", \"dry_run\": true").await.unwrap();
    assert!(dry.changed && dry.diff.contains("+domains = [\"bank.example\"]"), "{dry:?}");
    assert_eq!((text(), managed.relay.control().policy().entries()), (partners(40), 40));

    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(ask(ADD, "").await.unwrap().entries_after, 41);
    assert!(text().starts_with(&partners(40)) && text().contains("name = \"Bank\""), "{}", text());
    assert_eq!(managed.relay.control().policy().entries(), 41);
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap()) & 0o777, 0o640, "the mode stays");
    assert_eq!(fs::read_dir(managed.folder.path()).unwrap().count(), 3, "nothing but the file, the socket and the history");

    ask(r#"{"kind": "set_partner", "at": "Bank", "patch": {"receive": null, "deliver": "verify"}}"#, "").await.unwrap();
    assert!(text().contains("deliver = \"verify\"") && text().matches("receive").count() == 40, "{}", text());
    ask(r#"{"kind": "remove_partner", "at": "Bank"}"#, "").await.unwrap();
    assert_eq!((text(), managed.relay.control().policy().entries()), (partners(40), 40));
}

// req: E8
#[tokio::test]
async fn an_edit_that_cannot_be_changes_nothing() {
    let managed = Managed::new().await;
    let file = managed.folder.path().join("policy.toml");
    for (edit, words) in [
        // one of several: none is made
        (format!("{ADD}, {{\"kind\": \"remove_partner\", \"at\": \"Shop\"}}"), "there is no partner \"Shop\""),
        (ADD.replace("require", "requrie"), "did you mean \"require\"?"),
        (ADD.replace("bank.example", "bank..example"), "bank..example"),
    ] {
        let error = managed.client.edit(&edits(&format!("{{\"edits\": [{edit}]}}"))).await.unwrap_err();
        let (status, problem) = refused(error);
        assert!(status == 422 && problem.to_string().contains(words), "{status} {problem}");
    }
    let remove: Vec<_> = (0..3).map(|n| format!("{{\"kind\": \"remove_partner\", \"at\": \"p{n}.example\"}}")).collect();
    let (status, problem) = refused(managed.client.edit(&edits(&format!("{{\"edits\": [{}]}}", remove.join(", ")))).await.unwrap_err());
    assert!(status == 409 && problem.error.contains("3 of 40 entries"), "{problem}");
    assert_eq!(fs::read_to_string(&file).unwrap(), partners(40));
    assert_eq!(managed.client.status().await.unwrap().policy_generation, 0);
}

// req: A2
#[tokio::test]
async fn entries_are_listed_and_searched() {
    let managed = Managed::new().await;
    for (path, status, words) in [
        ("partner?search=P7.&limit=5", "200", r#"{"total":1,"entries":[{"domains":["p7.example"],"line":22,"receive":"require"}]}"#),
        ("partner?offset=39", "200", "p39.example"),
        ("rule", "200", r#"{"total":0,"entries":[]}"#),
        ("thing", "400", "partner"),
        ("partner?serch=x", "400", "serch"),
    ] {
        let request = format!("GET /v1/entries/{path} HTTP/1.1\nHost: x\nConnection: close\n\n");
        let answer = raw(UnixStream::connect(managed.client.socket()).await.unwrap(), &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words), "{path}: {answer}");
    }
}

// req: A2
#[tokio::test]
async fn a_list_is_told_in_parts() {
    let managed = Managed::new().await;
    managed.write(&partners(1001));
    managed.client.reload(ReloadRequest::default()).await.unwrap();
    let request = "GET /v1/entries/partner?limit=99999 HTTP/1.1\nHost: x\nConnection: close\n\n";
    let answer = raw(UnixStream::connect(managed.client.socket()).await.unwrap(), request).await;
    assert!(answer.contains(r#""total":1001"#) && answer.matches(r#""domains""#).count() == 1000);
}

/// A row of a list is told like an entry of the policy; a mistake with its place in the list.
// req: A1 A3 A4 B10 E8
#[tokio::test]
async fn rows_of_a_list_are_added_and_removed() {
    let managed = Managed::new().await;
    let list = managed.folder.path().join("many.csv");
    let rows = "domain,deliver\nfar.example,require\n";
    fs::write(&list, rows).unwrap();
    managed.write(&(partners(40) + "[[include]]\nfile = \"many.csv\"\n"));
    managed.client.reload(ReloadRequest::default()).await.unwrap();
    let ask = async |change: &str| {
        let request: RowRequest = serde_json::from_str(&format!("{{\"list\": \"many.csv\", {change}}}")).unwrap();
        managed.client.edit_row(&request).await
    };
    let (text, entries) = (|| fs::read_to_string(&list).unwrap(), || managed.relay.control().policy().entries());

    let dry = ask(r#""add": "near.example,verify", "dry_run": true"#).await.unwrap();
    assert_eq!((dry.diff.lines().last(), text().as_str(), entries()), (Some("+near.example,verify"), rows, 41));
    let change = ask(r#""add": {"deliver": "verify", "domain": "near.example"}"#).await.unwrap();
    assert_eq!((change.entries_before, change.entries_after, entries()), (41, 42, 42));
    assert_eq!(text(), format!("{rows}near.example,verify\n"));
    assert_eq!(managed.client.status().await.unwrap().policy_generation, 2);
    assert_eq!(ask(r#""add": "far.example,verify", "dry_run": true"#).await.unwrap().also, ["many.csv:2"]);
    let change = ask(r#""set": {"at": "near.example", "cells": {"deliver": "require"}}"#).await.unwrap();
    assert_eq!((change.summary.as_str(), entries()), ("1 changed: near.example in many.csv", 42));
    assert_eq!(text(), format!("{rows}near.example,require\n"));
    ask(r#""remove": "far.example""#).await.unwrap();
    assert_eq!((text().as_str(), entries()), ("domain,deliver\n#far.example,require\nnear.example,require\n", 41));

    for (change, status, words) in [
        (r#""add": "x.example,requier""#, 422, "many.csv:4:11: deliver is \"requier\""),
        (r#""add": {"domain": "x.example", "colour": "red"}"#, 422, "no column \"colour\""),
        (r#""remove": "x.example""#, 422, "no row has the domain \"x.example\""),
        (r#""add": "x.example", "remove": "near.example""#, 400, "one of add, set and remove"),
        (r#""set": {"at": "near.example", "cells": {}}"#, 422, "nothing is named"),
        (r#""dry_run": true"#, 400, "one of add, set and remove"),
    ] {
        let (code, problem) = refused(ask(change).await.unwrap_err());
        assert!(code == status && problem.to_string().contains(words), "{change}: {code} {problem}");
    }
    fs::write(&list, rows).unwrap();
    assert_eq!(refused(ask(r#""remove": "near.example""#).await.unwrap_err()).0, 409, "somebody else wrote it");
    assert_eq!((text().as_str(), entries()), (rows, 41));
}

/// What somebody else wrote into the file is neither lost nor brought into force unseen.
// req: E8
#[tokio::test]
async fn a_file_that_somebody_else_changed_is_not_written() {
    let managed = Managed::new().await;
    let by_hand = partners(40) + "# by hand\n";
    managed.write(&by_hand);
    let request = edits(&format!("{{\"edits\": [{ADD}]}}"));
    let (status, problem) = refused(managed.client.edit(&request).await.unwrap_err());
    assert!(status == 409 && problem.error.contains("sealpost reload"), "{problem}");
    assert_eq!(fs::read_to_string(managed.folder.path().join("policy.toml")).unwrap(), by_hand);
    managed.client.reload(ReloadRequest::default()).await.unwrap();
    managed.client.edit(&request).await.unwrap();
    assert!(fs::read_to_string(managed.folder.path().join("policy.toml")).unwrap().contains("# by hand\n"));
}

/// Many at once: each finds what the one before left, and none is lost.
// req: E8
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_made_one_after_the_other() {
    let managed = Managed::new().await;
    let asking: Vec<_> = (0..20)
        .map(|n| {
            let client = managed.client.clone();
            let request =
                edits(&format!("{{\"edits\": [{}]}}", ADD.replace("Bank", &format!("Bank {n}")).replace("bank", &format!("bank{n}"))));
            tokio::spawn(async move { client.edit(&request).await.unwrap() })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap();
    }
    assert_eq!(managed.client.status().await.unwrap().policy_entries, 60);
    assert_eq!(fs::read_to_string(managed.folder.path().join("policy.toml")).unwrap().matches("name = \"Bank ").count(), 20);
}

#[tokio::test]
async fn what_takes_out_too_much_needs_force() {
    let managed = Managed::new().await;
    managed.write(&partners(30));
    let (status, problem) = refused(managed.client.reload(ReloadRequest::default()).await.unwrap_err());
    assert_eq!(status, 409);
    assert!(problem.error.contains("10 of 40 entries would go"), "{problem}");
    let mut forced = ReloadRequest::default();
    forced.force = true;
    assert_eq!(managed.client.reload(forced).await.unwrap().entries_after, 30);
}

#[tokio::test]
async fn a_relay_without_a_file_has_nothing_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let relay = relay(None, None).await;
    let mut admin = Admin::default();
    admin.socket = Some(folder.path().join("s"));
    let _server = AdminServer::start(&admin, relay.control().clone()).await.unwrap();
    let client = Client::new(folder.path().join("s"));
    assert_eq!(refused(client.reload(ReloadRequest::default()).await.unwrap_err()).0, 409);
    assert_eq!(refused(client.policy().await.unwrap_err()).0, 409);
    assert_eq!(client.status().await.unwrap().policy_file, None);
}

#[tokio::test]
async fn mistakes_are_answered_with_json() {
    let managed = Managed::new().await;
    for (request, status, words) in [
        ("GET /v1/nothing HTTP/1.1\nHost: x\nConnection: close\n\n", "404", "/v1/openapi.json"),
        ("PUT /v1/reload HTTP/1.1\nHost: x\nConnection: close\n\n", "405", "method"),
        ("POST /v1/reload HTTP/1.1\nHost: x\nConnection: close\nContent-Length: 7\n\n{\"a\":1}", "400", "unknown field `a`"),
        ("GET /v1/status HTTP/1.1\nHost: x\nConnection: close\nContent-Length: 1\n\nx", "413", "the body of a GET request has at most 0"),
    ] {
        let answer = raw(UnixStream::connect(managed.client.socket()).await.unwrap(), request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let problem: Problem = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert!(problem.to_string().contains(words), "{problem}");
    }
}

async fn over_tcp(address: SocketAddr, line: &str, headers: &str) -> String {
    let request = format!("{line} HTTP/1.1\nHost: {address}\nConnection: close\n{headers}\n");
    let answer = raw(TcpStream::connect(address).await.unwrap(), &request).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn over_tcp_a_token_is_needed() {
    let managed = Managed::start(|admin, folder| {
        fs::write(folder.join("token"), "correct-horse-battery\n").unwrap();
        (admin.address, admin.token) = (Some(([127, 0, 0, 1], 0).into()), Some(folder.join("token")));
    })
    .await;
    let address = managed.server.address().unwrap();
    managed.write(&partners(41));
    for headers in ["", "Authorization: Bearer wrong-horse-battery-\n", "Authorization: Basic correct-horse-battery\n"] {
        assert_eq!(over_tcp(address, "GET /v1/status", headers).await, "401", "{headers}");
        assert_eq!(over_tcp(address, "POST /v1/reload", headers).await, "401", "{headers}");
    }
    assert_eq!(managed.relay.control().policy().entries(), 40);
    let right = "Authorization: Bearer correct-horse-battery\n";
    assert_eq!(over_tcp(address, "GET /v1/status", right).await, "200");
    assert_eq!(over_tcp(address, "POST /v1/reload", right).await, "200");
    assert_eq!(managed.relay.control().policy().entries(), 41);
}

#[tokio::test]
async fn over_tcp_without_a_token_one_may_only_look() {
    let managed = Managed::start(|admin, _| admin.address = Some(([127, 0, 0, 1], 0).into())).await;
    let address = managed.server.address().unwrap();
    managed.write(&partners(41));
    assert_eq!(over_tcp(address, "GET /v1/status", "").await, "200");
    assert_eq!(over_tcp(address, "GET /v1/queue", "").await, "403");
    assert_eq!(over_tcp(address, "POST /v1/reload", "").await, "403");
    assert_eq!(managed.relay.control().policy().entries(), 40);
}

#[tokio::test]
async fn a_weak_token_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let relay = relay(None, None).await;
    let mut admin = Admin::default();
    (admin.address, admin.token) = (Some(([127, 0, 0, 1], 0).into()), Some(folder.path().join("token")));
    for (token, words) in [("short\n", "at least 16"), ("two words in one line\n", "without spaces"), ("", "at least 16")] {
        fs::write(folder.path().join("token"), token).unwrap();
        let error = AdminServer::start(&admin, relay.control().clone()).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn after_a_stop_nobody_answers_and_nothing_is_left() {
    let managed = Managed::new().await;
    managed.server.shutdown().await;
    assert!(matches!(managed.client.status().await.unwrap_err(), ClientError::NotRunning { .. }));
    assert!(!managed.client.socket().exists());
}

impl Managed {
    /// A client tries to send to a domain that is nobody's here, and is refused.
    async fn refuse(&self, from: &str) {
        let mut stream = TcpStream::connect(self.relay.addresses()[0]).await.unwrap();
        let dialogue = format!("EHLO c.example\r\nMAIL FROM:<{from}>\r\nRCPT TO:<bob@elsewhere.example>\r\nQUIT\r\n");
        let mut answer = vec![0; 4096];
        // A server may end a session whose client does not wait for its greeting.
        let greeted = stream.read(&mut answer).await.unwrap();
        assert!(answer[..greeted].starts_with(b"220"));
        for line in dialogue.split_inclusive("\r\n") {
            stream.write_all(line.as_bytes()).await.unwrap();
            let _ = stream.read(&mut answer).await.unwrap();
        }
    }
}

fn query(set: impl FnOnce(&mut HistoryQuery)) -> HistoryQuery {
    let mut query = HistoryQuery::default();
    set(&mut query);
    query
}

fn field(entry: &HistoryEntry, name: &str) -> String {
    let entry: serde_json::Value = serde_json::from_str(entry.entry.get()).unwrap();
    entry[name].as_str().unwrap_or_default().to_owned()
}

// req: A9 E9
#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_told_page_by_page() {
    let managed = Managed::new().await;
    for from in ["a@one.example", "a@two.example", "b@one.example"] {
        managed.refuse(from).await;
    }
    let senders = |page: &HistoryPage| page.entries.iter().map(|entry| field(entry, "sender")).collect::<Vec<_>>();
    let all = managed.client.history(&HistoryQuery::default()).await.unwrap();
    assert_eq!(senders(&all), ["b@one.example", "a@two.example", "a@one.example"]);
    assert!(all.next.is_none() && all.entries.iter().all(|entry| field(entry, "kind") == "refused" && entry.text.is_none()));

    let first = managed.client.history(&query(|q| (q.domain, q.limit) = (Some("one.example".into()), Some(1)))).await.unwrap();
    assert_eq!(senders(&first), ["b@one.example"]);
    let second = query(|q| (q.domain, q.limit, q.after) = (Some("one.example".into()), Some(5), first.next.clone()));
    assert_eq!(senders(&managed.client.history(&second).await.unwrap()), ["a@one.example"]);

    let german = query(|q| {
        (q.text, q.sender) = (Some("de".into()), Some("a@two.example".into()));
        (q.event, q.result, q.since) = (Some("refused,received".into()), Some("permanent".into()), Some("1h".into()));
    });
    let page = managed.client.history(&german).await.unwrap();
    assert!(page.entries.len() == 1 && page.entries[0].text.as_ref().unwrap().contains("Nachricht wurde abgelehnt"), "{page:?}");
    let none = query(|q| q.until = Some("1h".into()));
    assert!(managed.client.history(&none).await.unwrap().entries.is_empty());

    // A day that cannot be read hides no other, and is told.
    assert!(all.unreadable.is_empty(), "{all:?}");
    fs::write(managed.folder.path().join("history/1970-01-01.db"), vec![b'x'; 40_000]).unwrap();
    let page = managed.client.history(&HistoryQuery::default()).await.unwrap();
    assert_eq!((page.entries.len(), page.unreadable.len()), (3, 1), "{page:?}");
    assert!(page.unreadable[0].contains("history/1970-01-01.db cannot be read, its entries are missing: "), "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_cannot_be_read_names_its_parameter() {
    let managed = Managed::new().await;
    for (name, wrong) in [
        ("domain", query(|q| q.domain = Some("a b".into()))),
        ("sender", query(|q| q.sender = Some("@".into()))),
        ("since", query(|q| q.since = Some("soon".into()))),
        ("event", query(|q| q.event = Some("gone".into()))),
        ("result", query(|q| q.result = Some("maybe".into()))),
        ("after", query(|q| q.after = Some("5".into()))),
        ("text", query(|q| q.text = Some("fr".into()))),
    ] {
        let (status, problem) = refused(managed.client.history(&wrong).await.unwrap_err());
        assert!(status == 400 && problem.error.starts_with(name), "{problem}");
        let followed = managed.client.follow(&wrong, |_| std::ops::ControlFlow::Continue(())).await.unwrap_err();
        assert_eq!(refused(followed).0, 400, "{name}");
    }
    let socket = UnixStream::connect(managed.client.socket()).await.unwrap();
    let answer = raw(socket, "GET /v1/history?colour=red HTTP/1.1\nHost: localhost\nConnection: close\n\n").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("colour"), "{answer}");

    let bare = relay(None, None).await;
    let mut admin = Admin::default();
    let folder = tempfile::tempdir().unwrap();
    admin.socket = Some(folder.path().join("admin.sock"));
    let _server = AdminServer::start(&admin, bare.control().clone()).await.unwrap();
    let client = Client::new(folder.path().join("admin.sock"));
    let (status, problem) = refused(client.history(&HistoryQuery::default()).await.unwrap_err());
    assert!(status == 409 && problem.error.contains("no history"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_followed_until_the_relay_stops() {
    let managed = Managed::new().await;
    let (begun, beginning) = tokio::sync::oneshot::channel();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let client = managed.client.clone();
    let following = tokio::spawn(async move {
        let mut begun = Some(begun);
        let take = |followed| {
            match followed {
                Followed::Begun => drop(begun.take().unwrap().send(())),
                Followed::Entry(entry) => drop(told.send(entry)),
                other => panic!("{other:?}"),
            }
            std::ops::ControlFlow::Continue(())
        };
        client.follow(&query(|q| (q.domain, q.text) = (Some("two.example".into()), Some("en".into()))), take).await
    });
    beginning.await.unwrap();
    managed.refuse("a@one.example").await;
    managed.refuse("a@two.example").await;
    let entry = tokio::time::timeout(std::time::Duration::from_secs(20), heard.recv()).await.unwrap().unwrap();
    assert_eq!(field(&entry, "sender"), "a@two.example", "the other one is not asked for");
    assert!(entry.cursor.is_none() && entry.text.unwrap().contains("Mail was refused"));
    let stopping = std::time::Instant::now();
    managed.server.shutdown().await;
    assert!(stopping.elapsed() < std::time::Duration::from_secs(3), "a follower does not hold up the stop");
    tokio::time::timeout(std::time::Duration::from_secs(20), following).await.unwrap().unwrap().unwrap();
}
