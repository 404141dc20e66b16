//! What holds for the workspace as a whole: who imports whom, what every member states, that what others say cannot make it
//! panic, and that `docs/requirements.md` and `docs/security.md` tell the truth.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Who may import whom; also for tests and examples. What is not written here is not allowed.
const ARROWS: &[(&str, &[&str])] = &[
    ("sealpost-types", &[]),
    ("sealpost-smtp", &["types"]),
    ("sealpost-cipher", &["types"]),
    ("sealpost-policy", &["types", "cipher"]),
    ("sealpost-cert", &["types"]),
    ("sealpost-store", &["types"]),
    ("sealpost-queue", &["types", "store"]),
    ("sealpost-transport", &["types", "smtp", "cert"]),
    ("sealpost-discovery", &["types", "cert", "transport", "store"]),
    ("sealpost-report", &["types", "store", "policy"]),
    ("sealpost-relay", ALL_BELOW_RELAY),
    ("sealpost-admin", ALL_BELOW_ADMIN),
    ("sealpost-manual", &[]),
    ("sealpost", ALL_AND_PROBE),
    ("sealpost-probe", ALL_BELOW_PROBE),
    ("sealpost-examples", ALL),
    ("sealpost-benches", ALL),
    ("sealpost-fuzz", ALL),
    ("sealpost-fuzz-programs", &["fuzz"]),
];
const ALL_BELOW_RELAY: &[&str] = &["types", "smtp", "cipher", "policy", "cert", "store", "queue", "transport", "discovery", "report"];
const ALL_BELOW_ADMIN: &[&str] =
    &["types", "smtp", "cipher", "policy", "cert", "store", "queue", "transport", "discovery", "report", "relay"];
/// The test tool asks a running relay which policy it obeys.
const ALL_BELOW_PROBE: &[&str] =
    &["manual", "types", "smtp", "cipher", "policy", "cert", "store", "transport", "discovery", "report", "relay", "admin"];
/// The relay's program shares with the test tool how certificates are shown.
const ALL_AND_PROBE: &[&str] = &[
    "types",
    "smtp",
    "cipher",
    "policy",
    "cert",
    "store",
    "queue",
    "transport",
    "discovery",
    "report",
    "relay",
    "admin",
    "manual",
    "probe",
];
const ALL: &[&str] =
    &["types", "smtp", "cipher", "policy", "cert", "store", "queue", "transport", "discovery", "report", "relay", "admin", "manual"];

/// Crates that one member alone may import.
const RESERVED: &[(&str, &str)] = &[("nom", "sealpost-smtp"), ("x509-parser", "sealpost-cert"), ("wildmatch", "sealpost-policy")];

/// Members without sockets, files, clocks and randomness, and what would bring these in, directly or not.
const SANS_IO: &[&str] = &["sealpost-types", "sealpost-smtp", "sealpost-cipher", "sealpost-policy", "sealpost-cert"];
const IO: &[&str] = &["async-std", "mio", "polling", "rand", "rusqlite", "rustix", "smol", "socket2", "tempfile", "tokio"];

/// What clippy must deny outside of tests; `todo` and `unimplemented` stand in the workspace's own table.
const PANICS: &[&str] = &["unwrap_used", "expect_used", "panic", "unreachable", "indexing_slicing", "string_slice"];

/// Members that are read, measured and tested with, not shipped.
const NOT_SHIPPED: &[&str] = &["sealpost-examples", "sealpost-benches", "sealpost-fuzz", "sealpost-fuzz-programs"];

/// The names of the requirements: a letter and how many there are.
const REQUIREMENTS: &[(char, usize)] = &[('A', 10), ('B', 10), ('C', 6), ('D', 5), ('E', 10), ('F', 7)];

/// A dependency as a manifest states it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrow {
    from: String,
    to: String,
}

#[test]
fn imports_follow_the_table() {
    assert_none(&forbidden_imports(&arrows(&metadata(false))));
}

#[test]
fn a_forbidden_import_is_found() {
    let bad = [
        ("sealpost-types", "sealpost-smtp"),
        ("sealpost-smtp", "x509-parser"),
        ("sealpost-new", "serde"),
        ("sealpost-policy", "sealpost-cert"),
    ];
    for (from, to) in bad {
        let mut arrows = arrows(&metadata(false));
        assert!(forbidden_imports(&arrows).is_empty());
        arrows.push(Arrow { from: from.to_owned(), to: to.to_owned() });
        assert_eq!(forbidden_imports(&arrows).len(), 1, "{from} -> {to}");
    }
}

#[test]
fn sans_io_crates_reach_no_io() {
    let graph = graph(&metadata(true));
    for member in SANS_IO {
        assert_none(&io_reached(&graph, member));
    }
    // The negative control: the search does find what a crate with sockets reaches.
    assert!(!io_reached(&graph, "sealpost-transport").is_empty());
}

#[test]
fn every_member_opts_into_the_workspace() {
    for package in &metadata(false).packages {
        let text = fs::read_to_string(&package.manifest_path).unwrap();
        assert_none(&manifest_problems(&package.name, &text));
    }
}

#[test]
fn a_member_that_opts_out_is_found() {
    let good = "[package]\nedition.workspace = true\nrust-version = \"1.88\"\nlicense.workspace = true\n[lints]\nworkspace = true\n\
        [dependencies]\nserde.workspace = true\n";
    assert_none(&manifest_problems("good", good));
    for (from, to) in [
        ("[lints]\nworkspace = true\n", ""),
        ("edition.workspace = true", "edition = \"2021\""),
        ("serde.workspace = true", "serde = \"1\""),
    ] {
        assert_eq!(manifest_problems("bad", &good.replace(from, to)).len(), 1, "{to}");
    }
}

#[test]
fn every_library_and_program_denies_what_panics() {
    for package in &metadata(false).packages {
        for target in package.targets.iter().filter(|target| target.is_lib() || target.is_bin()) {
            if !NOT_SHIPPED.contains(&package.name.as_str()) {
                assert_none(&panics_allowed(&target.name, &fs::read_to_string(&target.src_path).unwrap()));
            }
        }
    }
}

#[test]
fn a_library_that_may_panic_is_found() {
    let good = "//! It.\n#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)]\n\
        #![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]\n";
    assert_none(&panics_allowed("good", good));
    for (from, to) in [("clippy::panic, ", ""), ("not(test), deny(", "test, deny("), ("#![deny(", "// #![deny(")] {
        assert!(!panics_allowed("bad", &good.replace(from, to)).is_empty(), "{to}");
    }
}

#[test]
fn the_requirements_table_is_true() {
    let root = root();
    let table = fs::read_to_string(root.join("docs/requirements.md")).unwrap();
    let marks = marks(&sources(&root));
    if std::env::var_os("UPDATE_REQUIREMENTS").is_some() {
        fs::write(root.join("docs/requirements.md"), updated_table(&table, &marks)).unwrap();
        return;
    }
    let read = |file: &str| fs::read_to_string(root.join(file)).ok();
    let problems = table_problems(&table, &marks, read);
    assert!(
        problems.is_empty(),
        "{}\n`UPDATE_REQUIREMENTS=1 cargo test -p sealpost --test house` writes the table anew",
        problems.join("\n")
    );
}

#[test]
fn a_wrong_requirements_table_is_found() {
    let mark = |requirement: &str, test: &str| Mark { requirement: requirement.to_owned(), file: "a.rs".to_owned(), test: test.to_owned() };
    let read = |file: &str| (file == "a.rs").then(|| "fn first() {}\nfn second() {}\n".to_owned());
    let marks = [mark("A1", "first"), mark("A2", "second")];
    let good = updated_table("| name | file | tests |\n|---|---|---|\n", &marks);
    assert_none(&table_problems(&good, &marks, read));
    for (from, to) in [
        ("`first`", "`third`"),                                           // a test that does not exist
        ("a.rs | `first`", "b.rs | `first`"),                             // a file that does not exist
        ("| A2 | a.rs | `second` |", "| A2 | | not yet |"),               // a test that proves what the table calls unproven
        ("| F7 | | not yet |\n", ""),                                     // a requirement that is missing
        ("| F7 | | not yet |", "| F7 | | not yet |\n| G1 | | not yet |"), // a requirement that does not exist
    ] {
        assert!(good.contains(from));
        assert!(!table_problems(&good.replace(from, to), &marks, read).is_empty(), "{to}");
    }
    let unknown = [mark("A1", "first"), mark("A2", "second"), mark("Z9", "first")];
    assert!(!table_problems(&good, &unknown, read).is_empty());
}

#[test]
fn the_defences_are_tested() {
    let root = root();
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let read = |file: &str| fs::read_to_string(root.join(file)).ok();
    assert!(defences(&page).len() >= 30);
    assert_none(&defence_problems(&page, read));
    // The negative controls.
    for (from, to) in
        [("`no_peer_steers_the_terminal`", "`a_peer_steers_it`"), ("e2e/secrets.rs", "e2e/public.rs"), ("`corpora_replay`", "")]
    {
        assert!(page.contains(from) && !defence_problems(&page.replace(from, to), read).is_empty(), "{from}");
    }
}

#[test]
fn marks_are_read() {
    let source =
        "// req: A5 B2\n#[test]\nfn one() {}\n\n    // req: F1, F2\n    #[tokio::test]\n    async fn two() {}\nlet x = \"req: A1\";\n";
    let found: Vec<_> = marks(&[("a.rs".to_owned(), source.to_owned())]).into_iter().map(|mark| (mark.requirement, mark.test)).collect();
    let expected = [("A5", "one"), ("B2", "one"), ("F1", "two"), ("F2", "two")];
    assert_eq!(found, expected.map(|(requirement, test)| (requirement.to_owned(), test.to_owned())));
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn metadata(with_dependencies: bool) -> Metadata {
    // What other platforms need was not fetched by building for this one.
    let host = Command::new("rustc").args(["--print", "host-tuple"]).output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let mut command = MetadataCommand::new();
    let options = ["--all-features", "--offline", "--filter-platform", host.trim()];
    command.manifest_path(root().join("Cargo.toml")).other_options(options.map(str::to_owned));
    if !with_dependencies {
        command.no_deps();
    }
    command.exec().unwrap()
}

/// Every dependency of every member, of whatever kind.
fn arrows(metadata: &Metadata) -> Vec<Arrow> {
    let of = |package: &cargo_metadata::Package| {
        let from = package.name.to_string();
        package.dependencies.iter().map(move |dependency| Arrow { from: from.clone(), to: dependency.name.clone() }).collect::<Vec<_>>()
    };
    metadata.packages.iter().flat_map(of).collect()
}

fn forbidden_imports(arrows: &[Arrow]) -> Vec<String> {
    let mut problems = Vec::new();
    for Arrow { from, to } in arrows {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == from) else {
            problems.push(format!("{from} is not in the table of imports"));
            continue;
        };
        let is_member = ARROWS.iter().any(|(name, _)| name == to);
        // A member that names itself switches on a feature for its own tests.
        if is_member && from != to && !to.strip_prefix("sealpost-").is_some_and(|short| allowed.contains(&short)) {
            problems.push(format!("{from} may not import {to}"));
        }
        if let Some((_, owner)) = RESERVED.iter().find(|(name, _)| name == to)
            && owner != from
        {
            problems.push(format!("{from} may not import {to}: only {owner} does"));
        }
    }
    problems
}

/// Ordinary dependencies as they were resolved, by name.
fn graph(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in &metadata.resolve.as_ref().unwrap().nodes {
        let ordinary = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|info| info.kind == DependencyKind::Normal));
        graph.entry(names[&node.id].clone()).or_default().extend(ordinary.map(|dep| names[&dep.pkg].clone()));
    }
    graph
}

fn io_reached(graph: &BTreeMap<String, BTreeSet<String>>, member: &str) -> Vec<String> {
    let (mut seen, mut queue) = (BTreeSet::new(), VecDeque::from([member.to_owned()]));
    while let Some(name) = queue.pop_front() {
        if seen.insert(name.clone()) {
            queue.extend(graph.get(&name).into_iter().flatten().cloned());
        }
    }
    assert!(seen.len() > 1, "{member} is not in the graph");
    IO.iter().filter(|name| seen.contains(**name)).map(|name| format!("{member} reaches {name}")).collect()
}

fn manifest_problems(name: &str, text: &str) -> Vec<String> {
    let manifest: toml::Table = text.parse().unwrap();
    let mut problems = Vec::new();
    let inherits =
        |value: Option<&toml::Value>| value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true);
    if !inherits(manifest.get("lints")) {
        problems.push(format!("{name}: no [lints] workspace = true"));
    }
    let package = manifest.get("package").and_then(toml::Value::as_table).unwrap();
    for key in ["edition", "license"] {
        if !inherits(package.get(key)) {
            problems.push(format!("{name}: {key} is not the workspace's"));
        }
    }
    if !package.contains_key("rust-version") {
        problems.push(format!("{name}: no rust-version"));
    }
    for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (dependency, value) in manifest.get(table).and_then(toml::Value::as_table).into_iter().flatten() {
            if !inherits(Some(value)) && dependency != name {
                problems.push(format!("{name}: {dependency} is not in the workspace's table"));
            }
        }
    }
    problems
}

/// What of [`PANICS`] the root of a crate does not deny.
fn panics_allowed(name: &str, root: &str) -> Vec<String> {
    let lists = root.lines().filter_map(|line| line.strip_prefix("#![deny(").or_else(|| line.strip_prefix("#![cfg_attr(not(test), deny(")));
    let denied: BTreeSet<_> = lists.flat_map(|list| list.split([',', ')', ' '])).collect();
    let allowed = PANICS.iter().filter(|lint| !denied.contains(format!("clippy::{lint}").as_str()));
    allowed.map(|lint| format!("{name} does not deny clippy::{lint}")).collect()
}

/// A comment that names a requirement, and the test below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    requirement: String,
    file: String,
    test: String,
}

/// All Rust sources of the repository, by their path in it.
fn sources(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: VecDeque<PathBuf> = ["bins", "crates", "examples", "benches", "fuzz"].iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop_front() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push_back(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests/house.rs") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

fn marks(sources: &[(String, String)]) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (file, text) in sources {
        let lines: Vec<_> = text.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(names) =
                line.strip_prefix("//").map(|rest| rest.trim_start_matches('/').trim_start()).and_then(|rest| rest.strip_prefix("req:"))
            else {
                continue;
            };
            let test = lines.iter().skip(at).find_map(|line| function(line)).unwrap_or_default();
            for requirement in names.split([' ', ',']).filter(|name| !name.is_empty()) {
                marks.push(Mark { requirement: requirement.to_owned(), file: file.clone(), test: test.to_owned() });
            }
        }
    }
    marks
}

/// The name of the function that starts on this line.
fn function(line: &str) -> Option<&str> {
    if line.starts_with("//") {
        return None;
    }
    let (before, rest) = line.split_once("fn ")?;
    let words_before = before.split_whitespace().all(|word| ["async", "pub", "pub(crate)", "const"].contains(&word));
    words_before.then(|| rest.split(['(', '<']).next().unwrap_or_default())
}

fn requirement_names() -> Vec<String> {
    REQUIREMENTS.iter().flat_map(|&(letter, count)| (1..=count).map(move |number| format!("{letter}{number}"))).collect()
}

/// The rows of the table: name, file, tests.
fn rows(table: &str) -> Vec<(String, String, Vec<String>)> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| name");
    table
        .lines()
        .filter(is_row)
        .map(cells)
        .filter(|cells| cells.len() == 3)
        .map(|cells| {
            let tests = cells[2].split(',').map(|test| test.trim().trim_matches('`').to_owned()).filter(|test| test != "not yet").collect();
            (cells[0].clone(), cells[1].clone(), tests)
        })
        .collect()
}

fn table_problems(table: &str, marks: &[Mark], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let (rows, names) = (rows(table), requirement_names());
    let mut problems = Vec::new();
    for name in &names {
        if !rows.iter().any(|row| row.0 == *name) {
            problems.push(format!("{name} is missing in the table"));
        }
    }
    for (name, file, tests) in &rows {
        if !names.contains(name) {
            problems.push(format!("{name} in the table is no requirement"));
        }
        if tests.is_empty() {
            continue;
        }
        let Some(source) = read(file) else {
            problems.push(format!("{name}: there is no file {file}"));
            continue;
        };
        for test in tests {
            if !source.lines().any(|line| function(line.trim_start()) == Some(test.as_str())) {
                problems.push(format!("{name}: there is no test {test} in {file}"));
            }
        }
    }
    for Mark { requirement, file, test } in marks {
        if !names.contains(requirement) {
            problems.push(format!("{file}: {test} names {requirement}, which is no requirement"));
        } else if !rows.iter().any(|row| row.0 == *requirement && !row.2.is_empty()) {
            problems.push(format!("{requirement}: the table says that nothing proves it, but {test} in {file} does"));
        }
    }
    problems
}

/// The rows of the table of defences: what must not happen, file, tests.
fn defences(page: &str) -> Vec<(String, String, Vec<String>)> {
    let table =
        page.lines().skip_while(|line| !line.starts_with("| what must not happen |")).skip(2).take_while(|line| line.starts_with("| "));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let [threat, _, file, tests] = cells.try_into().unwrap_or_else(|cells| panic!("not four cells: {cells:?}"));
        (threat, file, tests.split(',').map(|test| test.trim().trim_matches('`').to_owned()).collect())
    };
    table.map(row).collect()
}

fn defence_problems(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for (threat, file, tests) in defences(page) {
        let Some(source) = read(&file) else {
            problems.push(format!("{threat}: there is no file {file}"));
            continue;
        };
        let is_there = |test: &String| source.lines().any(|line| function(line.trim_start()) == Some(test.as_str()));
        problems.extend(tests.iter().filter(|test| !is_there(test)).map(|test| format!("{threat}: there is no test {test:?} in {file}")));
    }
    problems
}

/// The table's head, and a row for each requirement and file in which tests name it.
fn updated_table(table: &str, marks: &[Mark]) -> String {
    let head = table.split_inclusive('\n').take_while(|line| !line.starts_with("| A1 |"));
    let mut text: String = head.collect();
    for name in requirement_names() {
        let mut files: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for mark in marks.iter().filter(|mark| mark.requirement == name) {
            files.entry(&mark.file).or_default().insert(&mark.test);
        }
        if files.is_empty() {
            text.push_str(&format!("| {name} | | not yet |\n"));
        }
        for (file, tests) in files {
            let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
            text.push_str(&format!("| {name} | {file} | {} |\n", tests.join(", ")));
        }
    }
    text
}
