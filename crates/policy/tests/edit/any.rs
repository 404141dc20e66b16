//! Any edits of any document.

use proptest::prelude::*;
use sealpost_policy::{Edit, EditError, HopForm, Items, PartnerForm, Patch, PatchValue, PolicyText};

use crate::{COMMENTED, edit, read};

fn item() -> impl Strategy<Value = String> {
    "[a-d]{1,2}\\.example"
}

fn edits() -> impl Strategy<Value = Edit> {
    let hop = || prop::sample::select(vec!["require", "verify", "none"]);
    let at = || prop::sample::select(vec!["Bank", "law.example", "Clinic", "new"]).prop_map(str::to_owned);
    let partner = |(name, domains, level): (String, Vec<String>, &str)| {
        let mut entry = PartnerForm::new(domains.iter().collect());
        (entry.name, entry.deliver) = (Some(name), Some(HopForm::from(level)));
        Edit::AddPartner { entry }
    };
    prop_oneof![
        (at(), prop::collection::vec(item(), 1..4), hop()).prop_map(partner),
        at().prop_map(|at| Edit::RemovePartner { at }),
        (at(), item()).prop_map(|(partner, item)| Edit::AddDomains { partner, domains: Items::from(item.as_str()) }),
        (at(), item()).prop_map(|(partner, item)| Edit::RemoveDomains { partner, domains: Items::from(item.as_str()) }),
        item().prop_map(|item| Edit::AddEntries { list: "tls".to_owned(), entries: Items::from(item.as_str()) }),
        item().prop_map(|item| Edit::RemoveEntries { list: "tls".to_owned(), entries: Items::from(item.as_str()) }),
        (at(), hop(), any::<bool>()).prop_map(|(at, level, table)| {
            let level = PatchValue::Text(level.to_owned());
            let value = if table { PatchValue::Table(Patch::new().with("level", level)) } else { level };
            Edit::SetPartner { at, patch: Patch::new().with("deliver", value) }
        }),
        (at(), prop::collection::vec(item(), 0..5))
            .prop_map(|(at, items)| Edit::SetPartner { at, patch: Patch::new().with("exclude", PatchValue::List(items)) }),
    ]
}

fn forms() -> impl Strategy<Value = PartnerForm> {
    let level = || prop::sample::select(vec!["require", "verify", "none"]);
    let table = || {
        (prop::option::of(level()), prop::collection::vec(item(), 1..3), any::<bool>()).prop_map(|(level, names, dated)| {
            let table = serde_json::json!({ "level": level, "names": names, "lifetime": dated.then_some("2d") });
            let table: serde_json::Map<_, _> =
                table.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
            serde_json::from_value::<HopForm>(table.into()).unwrap()
        })
    };
    let hop = || prop::option::of(prop_oneof![level().prop_map(HopForm::from), table()]);
    (prop::collection::vec(item(), 1..4), hop(), hop(), prop::option::of(any::<bool>()), any::<bool>()).prop_map(
        |(domains, receive, deliver, subdomains, dated)| {
            let mut form = PartnerForm::new(domains.iter().collect());
            (form.receive, form.deliver, form.subdomains) = (receive, deliver, subdomains);
            form.until = dated.then(|| "2030-01-01".to_owned());
            form
        },
    )
}

proptest! {
    /// What an edit says is what is read afterwards, and all other entries are as they were.
    #[test]
    fn any_row_of_edits(edits in prop::collection::vec(edits(), 1..12)) {
        let mut text = read(COMMENTED);
        for edit in &edits {
            let before = text.clone();
            if text.apply(edit).is_err() {
                prop_assert_eq!(text.as_str(), before.as_str());
                continue;
            }
            let find = |text: &PolicyText, at: &str| text.find::<PartnerForm>(at).map(|entry| entry.form.clone()).ok();
            let touched = match edit {
                Edit::AddPartner { entry } => {
                    prop_assert_eq!(find(&text, entry.name.as_deref().unwrap()), Some(entry.clone()));
                    entry.name.as_deref()
                }
                Edit::RemovePartner { at } => {
                    prop_assert_eq!(find(&text, at), None);
                    Some(at.as_str())
                }
                Edit::AddDomains { partner, domains } => {
                    prop_assert!(find(&text, partner).unwrap().domains.iter().any(|item| item == &domains.as_slice()[0]));
                    Some(partner.as_str())
                }
                Edit::RemoveDomains { partner, domains } => {
                    prop_assert!(find(&text, partner).unwrap().domains.iter().all(|item| item != &domains.as_slice()[0]));
                    Some(partner.as_str())
                }
                Edit::SetPartner { at, patch } => {
                    let form = find(&text, at).unwrap();
                    match patch.iter().next().unwrap().1 {
                        PatchValue::Text(level) => prop_assert_eq!(form.deliver.as_ref(), Some(&HopForm::from(level.as_str()))),
                        PatchValue::List(items) => prop_assert_eq!(form.exclude.unwrap_or_default(), items.iter().collect::<Items>()),
                        _ => {}
                    }
                    Some(at.as_str())
                }
                _ => None,
            };
            for partner in before.partners() {
                let name = partner.form.name.as_deref().unwrap_or("law.example");
                if Some(name) != touched {
                    prop_assert_eq!(find(&text, name), Some(partner.form.clone()));
                }
            }
            prop_assert_eq!(text.owners(), before.owners());
            prop_assert_eq!(text.rules().iter().map(|rule| &rule.form).collect::<Vec<_>>(), before.rules().iter().map(|rule| &rule.form).collect::<Vec<_>>());
            // Comments of the sections never go.
            for comment in ["# Written by hand.", "### Owners", "### Partners", "### Lists", "### Rules, in order"] {
                prop_assert!(text.as_str().contains(comment));
            }
        }
    }

    /// Many at once come to what they come to one after the other, and none of them is made where one cannot be.
    #[test]
    fn any_edits_at_once(edits in prop::collection::vec(edits(), 1..12)) {
        let (mut one_by_one, mut at_once) = (read(COMMENTED), read(COMMENTED));
        let wrong = edits.iter().position(|edit| one_by_one.apply(edit).is_err());
        match (wrong, at_once.apply_all(&edits)) {
            (None, Ok(())) => prop_assert_eq!(at_once.as_str(), one_by_one.as_str()),
            (Some(index), Err((number, _))) => {
                prop_assert_eq!(number, index + 1);
                prop_assert_eq!(at_once.as_str(), COMMENTED);
            }
            (wrong, made) => prop_assert!(false, "{:?} {:?}", wrong, made),
        }
    }

    /// The patch between two entries makes of the first the second, however it is written.
    #[test]
    fn any_entry_becomes_any_other(at in prop::sample::select(vec!["Bank", "law.example", "Clinic"]), form in forms()) {
        let mut text = read(COMMENTED);
        let before = text.find::<PartnerForm>(at).unwrap().form.clone();
        let name = (at != "law.example").then(|| at.to_owned());
        let domains = if name.is_none() { before.domains.clone() } else { form.domains.clone() };
        let form = PartnerForm::clone(&form);
        let form = { let mut form = form; (form.name, form.domains) = (name, domains); form };
        text.apply(&Edit::SetPartner { at: at.to_owned(), patch: Patch::between(&before, &form) }).unwrap();
        prop_assert_eq!(&text.find::<PartnerForm>(at).unwrap().form, &form, "{}", text.as_str());
        for comment in ["# The bank, see ticket 12", "# no name", "# The clinic", "### Lists"] {
            prop_assert!(text.as_str().contains(comment), "{}", text.as_str());
        }
        let again = text.clone();
        text.apply(&Edit::SetPartner { at: at.to_owned(), patch: Patch::between(&form, &form) }).unwrap();
        prop_assert_eq!(text.as_str(), again.as_str());
    }

    /// Whatever the text is: if it can be read, it can be read after an edit.
    #[test]
    fn a_mutated_document(at in 0..COMMENTED.len(), length in 0usize..40, with in "[\\[\\]{}#=\"'\n a-z,.]{0,8}") {
        let end = (at + length).min(COMMENTED.len());
        let mutated = COMMENTED.get(..at).zip(COMMENTED.get(end..)).map(|(head, tail)| format!("{head}{with}{tail}"));
        if let Some(Ok(mut text)) = mutated.map(|mutated| PolicyText::parse("policy.toml", &mutated)) {
            for json in [
                r#"{"kind": "remove_partner", "at": "Bank"}"#,
                r#"{"kind": "add_domains", "partner": "Clinic", "domains": "x"}"#,
                r#"{"kind": "move_rule", "at": "one", "to": "last"}"#,
                r#"{"kind": "set_defaults", "patch": {"lifetime": "1d", "hosted": {"submit": "require"}}}"#,
                r#"{"kind": "remove_entries", "list": "tls", "entries": "x.example"}"#,
            ] {
                let result = text.apply(&edit(json));
                prop_assert!(!matches!(result, Err(EditError::Text(_))), "{result:?} after {json} in\n{text}");
            }
        }
    }
}
