//! `sealpost-probe survey`: many domains, each as `test` would find it. (A7, F3)

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dns::{NameServer, Record};
use crate::equipment::{LIMIT, Sink, closed, ends, probe};

/// A relay's settings with a route for each domain, and a name server that knows the hosts.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    _dns: NameServer,
}

impl World {
    /// Domains with the name of their host and the server that it is.
    pub(crate) fn new(domains: &[(&str, &'static str, &Sink)]) -> Self {
        let hosts = domains.iter().map(|(_, host, sink)| {
            let std::net::IpAddr::V4(address) = sink.address.ip() else { panic!("{}", sink.address) };
            (*host, Record::A(address))
        });
        let dns = NameServer::start(hosts.collect());
        let folder = tempfile::tempdir().unwrap();
        let anchors: String = domains.iter().map(|(_, _, sink)| std::fs::read_to_string(sink.anchors()).unwrap()).collect();
        std::fs::write(folder.path().join("ca.pem"), anchors).unwrap();
        let routes: String =
            domains.iter().map(|(domain, host, sink)| format!("'{domain}' = '{host}:{}'\n", sink.address.port())).collect();
        let text = format!(
            "hostname = 'relay.test'\ndata_dir = 'data'\n[tls]\ntrust_anchors = 'ca.pem'\n{}dnssec = 'off'\n[routes]\n{routes}\
             [[listener]]\naddress = '127.0.0.1:0'\ntls = 'none'\n",
            dns.table()
        );
        let world = Self { folder, _dns: dns };
        world.write("sealpost.toml", &text);
        world
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self.path(name)
    }

    /// The relay's policy from now on.
    pub(crate) fn obeys(&self, policy: &str) -> String {
        let config = std::fs::read_to_string(self.path("sealpost.toml")).unwrap();
        if !config.contains("policy = ") {
            self.write("sealpost.toml", &format!("policy = 'policy.toml'\n{config}"));
        }
        self.write("policy.toml", policy)
    }

    pub(crate) fn list(&self, text: &str) -> String {
        self.write("domains.txt", text)
    }

    /// `survey` of this list.
    pub(crate) fn survey(&self, list: &str, options: &[&str]) -> Output {
        let (list, config) = (self.list(list), self.path("sealpost.toml"));
        probe(&[&["survey", &list, "--config", &config], options].concat())
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost-probe"));
        command.args(["survey", "--config", &self.path("sealpost.toml")]).args(options).stdin(Stdio::null());
        command
    }
}

pub(crate) fn named(name: &str, options: &[&str]) -> Sink {
    Sink::start(&[&["--name", name], options].concat())
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    out(output).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The line of a domain.
fn of<'a>(said: &'a str, domain: &str) -> &'a str {
    said.lines().find(|line| line.starts_with(&format!("{domain} "))).unwrap_or_else(|| panic!("{domain}: {said}"))
}

// req: A7
#[test]
fn each_domain_stands_somewhere_and_a_line_that_names_none_is_told() {
    let sinks = [
        named("mx.good.example", &[]),
        named("mx.old.example", &["--kind", "expired"]),
        named("mx.clear.example", &["--no-starttls"]),
        named("mx.later.example", &["--reply", "BANNER=421 4.7.0 later"]),
    ];
    let world = World::new(&[
        ("good.example", "mx.good.example", &sinks[0]),
        ("old.example", "mx.old.example", &sinks[1]),
        ("clear.example", "mx.clear.example", &sinks[2]),
        ("later.example", "mx.later.example", &sinks[3]),
    ]);
    let list = "# ours\ngood.example,Good Ltd\nold.example # comment\n\nbad..example\nclear.example\nlater.example\nnowhere.example\nGood.Example.\n";
    let output = world.survey(list, &["--level", "require"]);
    let said = out(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(of(&said, "good.example").ends_with(" verify"), "{said}");
    assert!(
        of(&said, "old.example").contains(" require ") && of(&said, "old.example").contains("certificate expired 3 days ago"),
        "{said}"
    );
    assert!(of(&said, "clear.example").contains(" in clear "), "{said}");
    assert!(
        of(&said, "later.example").contains(" could not be tested ") && of(&said, "later.example").contains("421"),
        "never no STARTTLS: {said}"
    );
    assert!(of(&said, "nowhere.example").contains(" takes no mail "), "{said}");
    assert!(said.contains("5 domains tested in ") && said.contains("lines that name no domain: 1"), "{said}");
    let wrong = String::from_utf8(output.stderr).unwrap();
    assert!(wrong.contains("domains.txt:5: \"bad..example\": ") && wrong.lines().count() == 1, "{wrong}");
    assert!(!said.contains('\x1b') && !said.contains('\r'), "no colours and no progress in a pipe: {said:?}");
    // the exit code tells the three results apart
    ends(&world.survey("good.example\n", &[]), 0);
    ends(&world.survey("good.example\nlater.example\n", &[]), 2);
    ends(&world.survey("good.example\nbad..example\n", &[]), 2);
}

/// It would be of no use to know what another tool thinks of a domain.
#[test]
fn a_survey_finds_what_test_finds() {
    let sinks = [
        named("mx.a.example", &["--kind", "wrong-name"]),
        named("mx.b.example", &["--no-starttls"]),
        named("mx.c.example", &["--kind", "self-signed"]),
    ];
    let world = World::new(&[
        ("a.example", "mx.a.example", &sinks[0]),
        ("b.example", "mx.b.example", &sinks[1]),
        ("c.example", "mx.c.example", &sinks[2]),
    ]);
    world.obeys("[[partner]]\ndomains = 'a.example'\ndeliver = 'verify'\n");
    for row in objects(&world.survey("a.example\nb.example\nc.example\nnowhere.example\n", &["--json"])) {
        let domain = row["domain"].as_str().unwrap();
        let alone: Value =
            serde_json::from_slice(&probe(&["test", domain, "--config", &world.path("sealpost.toml"), "--json"]).stdout).unwrap();
        for key in ["levels", "policy", "asked", "result", "error", "next_hop", "mx", "mta_sts", "validation"] {
            assert_eq!(row[key], alone[key], "{domain}: {key}");
        }
        assert!(row["asked"].as_str().unwrap().starts_with("the policy ("), "also where there are no hosts: {row}");
        assert_eq!(row["hosts"].as_array().unwrap().len(), alone["hosts"].as_array().unwrap().len());
        assert_eq!(
            row.as_object().unwrap().keys().collect::<Vec<_>>(),
            alone.as_object().unwrap().keys().collect::<Vec<_>>(),
            "one schema"
        );
    }
}

#[test]
fn a_host_that_many_share_is_asked_once() {
    let sinks = [named("mx.big.example", &[]), named("mx.other.example", &[])];
    let domains: Vec<String> = (0..40).map(|number| format!("d{number}.example")).collect();
    let routes: Vec<_> = domains.iter().map(|domain| (domain.as_str(), "mx.big.example", &sinks[0])).collect();
    let own = [("own.example", "mx.other.example", &sinks[1]), ("own2.example", "mx2.other.example", &sinks[1])];
    let world = World::new(&[&routes[..], &own].concat());
    let list = format!("{}\nown.example\nown2.example\n", domains.join("\n"));
    let said = out(&world.survey(&list, &[]));
    assert!(said.contains("42 domains tested in ") && said.contains(", 3 hosts asked"), "{said}");
    assert!(domains.iter().all(|domain| of(&said, domain).ends_with(" verify")), "{said}");
    assert_eq!(sinks[0].told("closed", 1).len(), 1, "one connection for all forty");
    // the negative control: another name is another host, though the address is the same
    assert_eq!(sinks[1].told("closed", 2).len(), 2);
}

#[test]
fn one_address_is_asked_no_faster_than_it_is_allowed() {
    let hosts: [&'static str; 6] = ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"];
    let time = |sink: &Sink, hosts: &[&'static str], options: &[&str]| {
        let world = World::new(&hosts.iter().map(|host| (*host, *host, sink)).collect::<Vec<_>>());
        let start = Instant::now();
        world.survey(&hosts.join("\n"), options);
        start.elapsed()
    };
    let quick = named("mx.example", &[]);
    let free = time(&quick, &hosts, &["--per-host", "6", "--rate", "1000"]);
    let slowly = time(&quick, &hosts, &["--per-host", "6", "--rate", "4"]);
    assert!(slowly > Duration::from_millis(1250), "five pauses of a quarter of a second: {slowly:?}");
    assert!(free < slowly, "the negative control: {free:?}");
    // a session with two EHLO takes two seconds here
    let slow = named("mx.example", &["--delay", "EHLO=1s"]);
    let one_by_one = time(&slow, &hosts[..3], &["--per-host", "1", "--rate", "1000"]);
    assert!(one_by_one > Duration::from_secs(6), "{one_by_one:?}");
    let together = time(&slow, &hosts[..3], &["--per-host", "3", "--rate", "1000"]);
    assert!(together < Duration::from_secs(5), "the negative control: {together:?}");
}

/// Somebody pulls the plug, and what was found is not lost and not asked for again.
#[test]
fn a_survey_that_is_killed_goes_on_where_it_was() {
    let sink = named("mx.example", &["--delay", "BANNER=1s"]);
    let hosts: Vec<&'static str> = (0..8).map(|number| &*format!("d{number}.example").leak()).collect();
    let world = World::new(&hosts.iter().map(|host| (*host, *host, &sink)).collect::<Vec<_>>());
    let (list, kept) = (world.list(&hosts.join("\n")), world.path("found.jsonl"));
    let mut child = world.command(&[&list, "-o", &kept, "--concurrency", "1", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        lines.next().expect("results come one by one").unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = std::fs::read_to_string(&kept).unwrap();
    assert!((3..8).contains(&before.lines().count()) && before.ends_with('\n'), "whole lines: {before}");
    // a machine that stops may leave half a line
    std::fs::OpenOptions::new().append(true).open(&kept).unwrap().write_all(b"{\"domain\":\"d7.exa").unwrap();
    ends(&world.survey(&hosts.join("\n"), &["-o", &kept]), 64);
    let said = ends(&world.survey(&hosts.join("\n"), &["-o", &kept, "--resume", "--rate", "1000"]), 0);
    assert!(said.contains(&format!(", {} were known before", before.lines().count())), "{said}");
    let after = std::fs::read_to_string(&kept).unwrap();
    assert!(after.starts_with(&before), "what was there stays");
    let mut found: Vec<String> =
        after.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["domain"].as_str().unwrap().to_owned()).collect();
    found.sort();
    let mut all: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    all.sort();
    assert_eq!(found, all, "each once");
    let sessions = sink.told("closed", 8).len();
    assert!((8..=9).contains(&sessions), "only the one under way was asked again: {sessions}");
}

#[test]
fn what_could_not_be_tested_is_tested_again_when_that_is_asked_for() {
    let sink = named("mx.busy.example", &["--reply", "BANNER*1=421 4.7.0 later"]);
    let world = World::new(&[("busy.example", "mx.busy.example", &sink)]);
    let kept = world.path("found.jsonl");
    ends(&world.survey("busy.example", &["-o", &kept]), 2);
    ends(&world.survey("busy.example", &["-o", &kept, "--resume"]), 2);
    assert_eq!(sink.told("closed", 1).len(), 1, "it has its result");
    ends(&world.survey("busy.example", &["-o", &kept, "--retry"]), 0);
    // of the two lines the later one counts
    ends(&world.survey("busy.example", &["-o", &kept, "--resume"]), 0);
    std::fs::write(&kept, "no result\n").unwrap();
    let said = ends(&world.survey("busy.example", &["-o", &kept, "--resume"]), 64);
    assert!(said.contains("found.jsonl:1: "), "{said}");
}

/// What passed at `require` passed at `verify` too, without a look at the certificate.
#[test]
fn what_is_known_answers_another_question_as_far_as_it_goes() {
    let sink = named("mx.old.example", &["--kind", "expired"]);
    let world = World::new(&[("old.example", "mx.old.example", &sink)]);
    let kept = world.path("found.jsonl");
    let survey = |options: &[&str], code: i32| ends(&world.survey("old.example", &[&["-o", &kept], options].concat()), code);
    survey(&["--level", "require"], 0);
    // what was found tells of every level
    for (level, code, row) in [("verify", 1, ",verify,fails\n"), ("require", 0, ",require,passes\n")] {
        let said = survey(&["--resume", "--csv", "--level", level], code);
        assert!(said.ends_with(row), "{said}");
    }
    survey(&["--retry", "--level", "verify"], 1);
    assert_eq!(sink.told("closed", 1).len(), 1);
    // a policy that decides otherwise is another question, and the same one is not
    for (policy, code, sessions) in [("verify", 1, 2), ("verify", 1, 2), ("require", 0, 3)] {
        world.obeys(&format!("[[partner]]\ndomains = 'old.example'\ndeliver = '{policy}'\n"));
        survey(&["--resume"], code);
        assert_eq!(sink.told("closed", sessions).len(), sessions, "{policy}");
    }
}

#[test]
fn csv_is_a_row_a_domain_also_from_standard_input() {
    let sink = named("mx.good.example", &[]);
    let world = World::new(&[("good.example", "mx.good.example", &sink)]);
    let mut child = world.command(&["-", "--csv"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"domain;since\ngood.example;2019\n").unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0][2], rows[1][0], rows[1][2]), (2, "holds", "good.example", "verify"), "{text}");
    let column = |name: &str| rows[1][rows[0].iter().position(|heading| *heading == name).unwrap()];
    assert_eq!(
        (column("require"), column("verify"), column("versions"), column("days_left")),
        ("passes", "passes", "TLSv1.3", "89"),
        "{text}"
    );
    assert_eq!((column("dane_only"), column("mta_sts"), column("result")), ("could not be tested", "", "passes"), "{text}");
}

#[test]
fn a_person_sees_how_far_it_is() {
    let sink = named("mx.good.example", &["--delay", "BANNER=1s"]);
    let world = World::new(&[("good.example", "mx.good.example", &sink)]);
    let list = world.list("good.example\n");
    let mut screen = Screen::start(&mut world.command(&[&list]));
    let shown = screen.all();
    assert!(shown.contains("[") && shown.contains("0 of 1,") && shown.contains("\r\x1b[K"), "a line that is drawn anew: {shown:?}");
    assert!(shown.contains("good.example") && shown.contains("\x1b[32mverify"), "{shown:?}");
    assert!(!shown.trim_end().ends_with(']'), "it does not stay: {shown:?}");
}

/// A terminal: what a command writes to it.
struct Screen {
    child: std::process::Child,
    screen: std::fs::File,
}

impl Screen {
    fn start(command: &mut Command) -> Self {
        use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let ours = openpt(flags).unwrap();
        unlockpt(&ours).unwrap();
        let theirs = ioctl_tiocgptpeer(&ours, flags).unwrap();
        command.stdout(Stdio::from(theirs.try_clone().unwrap())).stderr(Stdio::from(theirs)).env_remove("NO_COLOR");
        let child = command.spawn().unwrap();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self { child, screen: std::fs::File::from(ours) }
    }

    fn all(&mut self) -> String {
        let mut text = Vec::new();
        // A terminal that nobody has open any more answers with an error where a file ends.
        let _ = self.screen.read_to_end(&mut text);
        self.child.wait().unwrap();
        String::from_utf8(text).unwrap()
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path: PathBuf = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (list, empty) = (write("list", "a.example\n"), write("empty", "# nothing\n"));
    for arguments in [
        &["/nowhere"][..],
        &[&empty],
        &[&list, "--json", "--csv"],
        &[&list, "--resume"],
        &[&list, "--concurrency", "0"],
        &[&list, "--rate", "0"],
        &[&list, "--level", "pinned"],
        &[&list, "--report", "/nowhere/out.html"],
        &[&list, "-o", "/nowhere/out.jsonl"],
        &[&list, "--relay"],
        &[],
    ] {
        ends(&probe(&[&["survey"], arguments].concat()), 64);
    }
}

/// A name server that says nothing tells nothing of a domain, and holds nobody up for ever.
#[test]
fn a_name_server_that_is_silent_leaves_domains_untested() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list").display().to_string();
    std::fs::write(&list, "a.example\nb.example\n").unwrap();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let start = Instant::now();
    let said = ends(&probe(&["survey", &list, "--dns", &silent, "--dnssec", "off", "--timeout", "1s"]), 2);
    assert!(of(&said, "b.example").contains(" could not be tested ") && start.elapsed() < LIMIT, "{said}");
    let refused = closed().to_string();
    ends(&probe(&["survey", &list, "--dns", &refused, "--dnssec", "off", "--timeout", "1s"]), 2);
}

mod with_port_25 {
    use super::*;

    /// As in the world: a thousand domains whose MX records name two of a few hosts each.
    // req: A7
    #[test]
    #[ignore = "needs root and port 25"]
    fn a_thousand_domains_with_few_hosts_are_tested_with_few_connections() {
        let sinks: Vec<Sink> = (1..=8)
            .map(|number| {
                let kind = if number == 8 { "expired" } else { "good" };
                Sink::start_at(&format!("127.0.62.{number}:25"), &["--name", &format!("mx{number}.host.example"), "--kind", kind])
            })
            .collect();
        let hosts: Vec<&'static str> = (1..=8).map(|number| &*format!("mx{number}.host.example").leak()).collect();
        let mut records: Vec<(&'static str, Record)> = Vec::new();
        for (number, host) in hosts.iter().enumerate() {
            records.push((host, Record::A([127, 0, 62, u8::try_from(number + 1).unwrap()].into())));
        }
        let domains: Vec<&'static str> = (0..1000).map(|number| &*format!("d{number:04}.example").leak()).collect();
        for (number, domain) in domains.iter().enumerate() {
            records.push((domain, Record::Mx(10, hosts[number % 8])));
            records.push((domain, Record::Mx(20, hosts[(number + 1) % 8])));
        }
        let dns = NameServer::start(records);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let anchors: String = sinks.iter().map(|sink| std::fs::read_to_string(sink.anchors()).unwrap()).collect();
        std::fs::write(path("ca.pem"), anchors).unwrap();
        std::fs::write(path("list"), domains.join("\n")).unwrap();
        let (dns, anchors, list, kept) = (dns.address.to_string(), path("ca.pem"), path("list"), path("found.jsonl"));
        let output =
            probe(&["survey", &list, "--dns", &dns, "--dnssec", "off", "--anchors", &anchors, "-o", &kept, "--level", "verify", "-q"]);
        let said = ends(&output, 1);
        // The figure of docs/probe.md.
        eprintln!("{}", said.trim().lines().next().unwrap_or_default());
        assert!(said.contains("1000 domains tested in ") && said.contains(", 8 hosts asked"), "{said}");
        assert_eq!(std::fs::read_to_string(&kept).unwrap().lines().count(), 1000);
        let count =
            |word: &str| said.lines().find_map(|line| line.trim_start().strip_prefix(word)?.split_whitespace().next()?.parse::<u32>().ok());
        // an MX learnt without DNSSEC has no name of the domain; the other host of each is good
        assert_eq!(count("verify (match = \"mx\")"), Some(1000), "{said}");
        for sink in &sinks {
            assert_eq!(sink.told("closed", 1).len(), 1, "{}", sink.address);
        }
    }
}
