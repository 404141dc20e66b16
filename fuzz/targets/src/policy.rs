//! The policy document, its edits, its lists, the tables it is imported from, and header sections.

use std::collections::BTreeMap;

use sealpost_policy::{
    CsvDefaults, DeliverFacts, Edit, Fingerprints, HEADER_OCTETS, HeaderBlock, Policy, PolicyText, ReceiveFacts, RowEdit, export_csv,
    export_domains_csv, export_lists_csv, export_postfix, export_postfix_policy, import_csv, import_domains_csv, import_lists_csv,
    import_postfix,
};
use sealpost_types::{ForwardPath, Mailbox, ReversePath, UnixMillis};

use crate::choice::{Choices, text};
use crate::lines::{check_error, check_shown};

/// Field names and values hold no line end, and nothing behind the section is read.
pub fn headers(input: &[u8]) {
    let block = HeaderBlock::parse(input);
    let head = input.get(..HEADER_OCTETS).unwrap_or(input);
    assert!(block.fields().count() <= head.iter().filter(|octet| **octet == b'\n').count() + 1);
    for (name, value) in block.fields() {
        assert!(name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':'), "{name:?}");
        assert!(!value.contains('\n') && value == value.trim_matches([' ', '\t']), "{value:?}");
        assert!(block.values(&name.to_ascii_uppercase()).any(|found| found == value));
    }
    if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
        let section = head.get(..end + 4).unwrap_or_default();
        let more = [section, b"X-Behind: it\r\n"].concat();
        assert_eq!(HeaderBlock::parse(&more), HeaderBlock::parse(section));
    }
    // What was read is written and read as the same.
    let again: String = block.fields().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    if again.len() < HEADER_OCTETS && !again.contains('\r') {
        let pairs = |block: &HeaderBlock| block.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>();
        assert_eq!(pairs(&HeaderBlock::parse(again.as_bytes())), pairs(&block));
    }
}

/// A document: each mistake is told, and a policy decides every question that it is asked.
pub fn document(input: &[u8]) {
    let text = text(input);
    match Policy::parse("policy.toml", &text) {
        Err(errors) => {
            check_shown(&errors.to_string());
            assert!(errors.to_string().contains("policy.toml"), "{errors}");
        }
        Ok(policy) => {
            assert!(PolicyText::parse("policy.toml", &text).is_ok(), "what is obeyed can be edited");
            ask(&policy);
        }
    }
}

fn ask(policy: &Policy) {
    policy.lint(UnixMillis(0)).into_iter().for_each(|lint| check_error(&lint));
    for (from, to) in
        [("ann@bank.example", "bob@acme.example"), ("bob@acme.example", "ann@mx.bank.example"), ("x+tag@y.z", "\"q q\"@[192.0.2.1]")]
    {
        let (from, to) = (Mailbox::parse(from).expect("a mailbox"), Mailbox::parse(to).expect("a mailbox"));
        for from in [ReversePath::from(from), ReversePath::Null] {
            let receive = ReceiveFacts::new([192, 0, 2, 7].into(), &from);
            let (decision, trace) = policy.explain_receive(&receive);
            assert_eq!(decision.refusal(), policy.decide_receive(&receive).refusal());
            check_shown(&trace.to_string());
            if let Some(refusal) = decision.refusal() {
                assert!(!refusal.to_string().contains(['\r', '\n']), "{refusal}");
            }
            for secure in [false, true] {
                let to = ForwardPath::Mailbox(to.clone());
                let deliver = DeliverFacts::new(&from, &to, secure);
                let (decision, trace) = policy.explain_deliver(&deliver);
                assert_eq!(decision.demand, policy.decide_deliver(&deliver).demand);
                check_shown(&trace.to_string());
            }
        }
    }
}

/// A document that is edited stays one, keeps what was not touched, and an entry that goes is gone.
pub fn edit(input: &[u8]) {
    let mut choices = Choices::new(input);
    let (kind, which) = (choices.octet(), usize::from(choices.octet()));
    let text = text(choices.rest()).into_owned();
    let Ok(mut document) = PolicyText::parse("policy.toml", &text) else { return };
    assert_eq!(document.as_str(), text, "it is not changed by being read");
    let named = |name: Option<&str>, pattern: Option<&str>| name.or(pattern).map(str::to_owned);
    let edit = match kind % 4 {
        0 => document
            .partners()
            .get(which)
            .and_then(|entry| named(entry.form.name.as_deref(), entry.form.domains.iter().next().map(String::as_str)))
            .map(|at| Edit::RemovePartner { at }),
        1 => document.rules().get(which).map(|entry| entry.form.name.clone()).map(|at| Edit::RemoveRule { at }),
        2 => document.lists().get(which).map(|entry| Edit::RemoveList { at: entry.form.name.clone() }),
        _ => document.owners().get(which).map(|entry| Edit::RemoveOwner { at: entry.form.name.clone() }),
    };
    let Some(edit) = edit else { return };
    let count =
        |document: &PolicyText| document.partners().len() + document.rules().len() + document.lists().len() + document.owners().len();
    let before = count(&document);
    match document.apply(&edit) {
        Ok(changed) => {
            assert!(changed.changed);
            assert_eq!(count(&document) + 1, before, "{edit:?}");
            let again = PolicyText::parse("policy.toml", document.as_str()).expect("it is still a document");
            assert_eq!(count(&again) + 1, before);
        }
        Err(error) => {
            check_error(&error);
            assert_eq!(document.as_str(), text, "a refused edit changes nothing");
        }
    }
}

/// Lists: what is imported and exported is imported as the same; an edit leaves all other lines alone.
pub fn csv(input: &[u8]) {
    let text = text(input);
    match import_csv("list.csv", &text, &CsvDefaults::default()) {
        Ok(partners) => {
            let written = export_csv("list.csv", &partners);
            if written.refused.is_empty() && written.warnings.is_empty() {
                let again = import_csv("list.csv", &written.text, &CsvDefaults::default());
                let again = again.unwrap_or_else(|errors| panic!("{errors}\n{}", written.text));
                let forms = |all: &[sealpost_policy::Entry<_>]| all.iter().map(|entry| format!("{:?}", entry.form)).collect::<Vec<_>>();
                assert_eq!(forms(&again), forms(&partners), "{}", written.text);
            }
        }
        Err(errors) => check_shown(&errors.to_string()),
    }
    match import_domains_csv("domains.csv", &text) {
        Ok(domains) => drop(export_domains_csv("domains.csv", &domains)),
        Err(errors) => check_shown(&errors.to_string()),
    }
    match import_lists_csv("lists.csv", &text) {
        Ok(lists) => drop(export_lists_csv(&lists)),
        Err(errors) => check_shown(&errors.to_string()),
    }
    let cells = BTreeMap::from([("deliver".to_owned(), "require".to_owned())]);
    let edits = [RowEdit::add("new.example"), Ok(RowEdit::remove("bank.example")), RowEdit::set("bank.example", cells)];
    for mut edit in edits.into_iter().flatten() {
        let mut out = String::new();
        text.split_inclusive('\n').for_each(|line| edit.line(line, &mut out));
        if edit.finish(&mut out).is_ok() {
            let kept = |all: &str| all.lines().filter(|line| line.trim_start().starts_with('#')).count();
            assert!(kept(&out) >= kept(&text), "a comment went");
        }
    }
}

/// A Postfix table is read, written and read as the same.
pub fn postfix_table(input: &[u8]) {
    let text = text(input);
    for fingerprints in [Fingerprints::Unknown, Fingerprints::Sha256OfKeys] {
        let imported = import_postfix("tls_policy", &text, fingerprints);
        imported.warnings.iter().chain(&imported.refused).for_each(check_error);
        let written = export_postfix("tls_policy", &imported.partners);
        let again = import_postfix("tls_policy", &written.text, Fingerprints::Sha256OfKeys);
        // What is written once is written so again.
        let twice = export_postfix("tls_policy", &again.partners);
        if written.refused.is_empty() && again.refused.is_empty() {
            assert_eq!(twice.text, written.text);
        }
    }
    if let Ok(document) = PolicyText::parse("policy.toml", &text) {
        drop(export_postfix_policy("policy.toml", &document));
    }
}
