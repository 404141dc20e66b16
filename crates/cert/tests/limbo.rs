//! The conformance suite x509-limbo, with BetterTLS in part; see limbo/README.md.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpost_cert::{RevocationLists, TrustAnchors, verify_client, verify_server};
use sealpost_types::{Domain, HostClause, HostDemand, ReferenceName, TlsRequirement, TlsVersion, UnixMillis};
use serde_json::Value;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Pass,
    /// It asks for something that there is no way to ask for here.
    Skip(&'static str),
    /// It is judged otherwise, and the reviewed file says so.
    KnownDivergence,
    /// It is judged otherwise.
    Unexpected(String),
    /// It is judged as it should, and the reviewed file says otherwise.
    StaleDivergence,
}

struct Suite {
    certificates: Vec<Vec<u8>>,
    cases: Vec<Value>,
}

// req: A10
#[test]
fn the_suite_is_judged_as_it_should_be() {
    let suite = Suite::read();
    let outcomes = run(&suite, &divergences(DIVERGENCES));
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count();
    let wrong: Vec<_> =
        outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Unexpected(_) | Outcome::StaleDivergence)).collect();
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.iter().map(|(id, outcome)| format!("{id}: {outcome:?}\n")).collect::<String>()
    );
    let (passed, skipped) = (count(|outcome| *outcome == Outcome::Pass), count(|outcome| matches!(outcome, Outcome::Skip(_))));
    let known = count(|outcome| *outcome == Outcome::KnownDivergence);
    assert_eq!(passed + skipped + known, suite.cases.len());
    assert!(passed > 230 && skipped < 20 && known < 70, "{passed} passed, {skipped} skipped, {known} known divergences");
}

/// The negative controls: a divergence that nobody reviewed is noticed, and one that is there no longer.
#[test]
fn unexpected_and_stale_divergences_are_noticed() {
    let suite = Suite::read();
    let unreviewed = run(&suite, &BTreeMap::new());
    assert!(unreviewed.iter().any(|(_, outcome)| matches!(outcome, Outcome::Unexpected(_))));
    let mut reviewed = divergences(DIVERGENCES);
    let passed = unreviewed.iter().find(|(_, outcome)| *outcome == Outcome::Pass).map(|(id, _)| id.clone()).unwrap();
    reviewed.insert(passed.clone(), "nothing".to_owned());
    reviewed.insert("no::such-case".to_owned(), "nothing".to_owned());
    let stale: Vec<_> =
        run(&suite, &reviewed).into_iter().filter(|(_, outcome)| *outcome == Outcome::StaleDivergence).map(|(id, _)| id).collect();
    assert_eq!(stale, [passed, "no::such-case".to_owned()]);
}

fn run(suite: &Suite, divergences: &BTreeMap<String, String>) -> Vec<(String, Outcome)> {
    let mut outcomes: Vec<_> = suite
        .cases
        .iter()
        .map(|case| {
            let id = case["id"].as_str().unwrap().to_owned();
            let outcome = match (suite.judge(case), divergences.contains_key(&id)) {
                (Err(reason), false) => Outcome::Skip(reason),
                (Ok(None), false) => Outcome::Pass,
                (Ok(Some(said)), false) => Outcome::Unexpected(said),
                (Ok(Some(_)), true) => Outcome::KnownDivergence,
                (Ok(None) | Err(_), true) => Outcome::StaleDivergence,
            };
            (id, outcome)
        })
        .collect();
    let unknown = divergences.keys().filter(|id| !suite.cases.iter().any(|case| case["id"] == id.as_str()));
    outcomes.extend(unknown.map(|id| (id.clone(), Outcome::StaleDivergence)));
    outcomes
}

impl Suite {
    fn read() -> Self {
        let suite: Value = serde_json::from_str(include_str!("limbo/cases.json")).unwrap();
        let certificates = suite["certificates"].as_array().unwrap().iter().map(der).collect();
        Self { certificates, cases: suite["cases"].as_array().unwrap().clone() }
    }

    /// What is said where it is not what should be; an error where the case cannot be put.
    fn judge(&self, case: &Value) -> Result<Option<String>, &'static str> {
        for need in list(&case["needs"]) {
            match need.as_str() {
                Some("max_chain_depth") => return Err("the depth of a path is not a setting"),
                Some("key_usage") => return Err("the usage of the key is not a setting"),
                Some("signature_algorithms") => return Err("the signature algorithms are not a setting"),
                _ => {}
            }
        }
        let certificates = |places: &Value| -> Vec<&[u8]> {
            list(places).iter().map(|place| self.certificates[usize::try_from(place.as_u64().unwrap()).unwrap()].as_slice()).collect()
        };
        let succeeds = case["succeeds"].as_bool() == Some(true);
        // A list that cannot be used stops the start: nothing is judged with it.
        let Ok(lists) = RevocationLists::from_der(list(&case["crls"]).iter().map(der)) else {
            return Ok(succeeds.then(|| "the revocation list is refused".to_owned()));
        };
        let anchors = TrustAnchors::from_der(certificates(&case["anchors"])).with_revocation_lists(lists);
        let mut clauses = vec![HostClause::Chain];
        if let Some(name) = case["name"].as_str() {
            clauses.push(HostClause::Identity(reference(name).into_iter().collect()));
        }
        let demand = HostDemand::new(TlsRequirement::Mandatory, clauses, TlsVersion::Tls1_2);
        let judge = if case["client"].as_bool() == Some(true) { verify_client } else { verify_server };
        let verdict = judge(&certificates(&case["chain"]), &demand, &anchors, time(case["time"].as_str().unwrap()));
        let said = || verdict.most_telling().map_or_else(|| "accepted".to_owned(), ToString::to_string);
        Ok((verdict.satisfied != succeeds).then(said))
    }
}

/// A name that cannot be asked for is none that any certificate has.
fn reference(name: &str) -> Option<ReferenceName> {
    let address = name.parse::<IpAddr>().ok().map(ReferenceName::Address);
    address.or_else(|| Domain::parse(name).ok().map(ReferenceName::Exact))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn der(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// `2024-01-01T00:00:00+00:00`; the suite has no other offset.
fn time(text: &str) -> UnixMillis {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    assert!(text.ends_with("+00:00") || text.ends_with('Z'), "{text}");
    // Days of the civil calendar, whose year is taken to begin in March.
    let (shifted, era_month) = (if month > 2 { year } else { year - 1 }, (month + 9) % 12);
    let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + (era_month * 153 + 2) / 5 + day - 1 - 719_468;
    UnixMillis(((days * 24 + number(11..13)) * 3600 + number(14..16) * 60 + number(17..19)) * 1000)
}

/// Case by case with its reason: `id: reason`.
fn divergences(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pair = |line: &str| line.split_once(": ").map(|(id, reason)| (id.to_owned(), reason.to_owned()));
    lines.map(|line| pair(line).unwrap_or_else(|| panic!("no reason: {line}"))).collect()
}

const DIVERGENCES: &str = include_str!("limbo/divergences.txt");
