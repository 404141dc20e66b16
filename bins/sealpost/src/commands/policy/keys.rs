//! Settings on the command line: `deliver.level=verify`, `domains="a.example b.example"`, `until=`.

use std::collections::BTreeMap;

use sealpost_policy::{Items, LIST_KEYS, Patch, PatchValue};

use super::super::Failure;

/// The changes that these settings are.
pub(super) fn patch(settings: &[String]) -> Result<Patch, Failure> {
    let mut root = Tree::default();
    for setting in settings {
        let (key, text) = setting.split_once('=').ok_or_else(|| format!("{setting:?} is no setting; KEY=VALUE is meant"))?;
        root.set(key.split('.'), text).map_err(|why| format!("{setting:?}: {why}"))?;
    }
    Ok(root.into_patch())
}

/// The cells of a row that these settings are: its columns, or the keys of an entry that there are columns for.
pub(super) fn cells(settings: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut cells = BTreeMap::new();
    for setting in settings {
        let (key, value) = setting.split_once('=').ok_or_else(|| format!("{setting:?} is no setting; KEY=VALUE is meant"))?;
        let column = match key.split_once('.') {
            Some((hop @ ("receive" | "deliver"), "level")) => hop,
            Some(("deliver", option)) => option,
            _ => key,
        };
        if cells.insert(column.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{column:?} is given twice"));
        }
    }
    Ok(cells)
}

/// Keys in the order given, some of them tables.
#[derive(Default)]
struct Tree {
    order: Vec<String>,
    branches: BTreeMap<String, Branch>,
}

enum Branch {
    Value(PatchValue),
    Table(Tree),
}

impl Tree {
    fn set<'a>(&mut self, mut path: impl Iterator<Item = &'a str>, text: &str) -> Result<(), &'static str> {
        let key = path.next().map(str::trim).filter(|key| !key.is_empty()).ok_or("a key is missing")?;
        let mut rest = path.peekable();
        let is_new = !self.branches.contains_key(key);
        if is_new {
            self.order.push(key.to_owned());
        }
        if rest.peek().is_none() {
            if !is_new {
                return Err("that key is given twice");
            }
            self.branches.insert(key.to_owned(), Branch::Value(value(key, text)));
            return Ok(());
        }
        match self.branches.entry(key.to_owned()).or_insert_with(|| Branch::Table(Self::default())) {
            Branch::Table(table) => table.set(Box::new(rest) as Box<dyn Iterator<Item = &str>>, text),
            Branch::Value(_) => Err("that key is given as a value and as a table"),
        }
    }

    fn into_patch(mut self) -> Patch {
        let mut patch = Patch::new();
        for key in self.order {
            patch = match self.branches.remove(&key) {
                Some(Branch::Value(value)) => patch.with(key, value),
                Some(Branch::Table(table)) => patch.with(key, PatchValue::Table(table.into_patch())),
                None => patch,
            };
        }
        patch
    }
}

/// What a text means as the value of this key.
fn value(key: &str, text: &str) -> PatchValue {
    match text {
        "" => PatchValue::Remove,
        "true" => PatchValue::Bool(true),
        "false" => PatchValue::Bool(false),
        _ if LIST_KEYS.contains(&key) => PatchValue::List(Items::from(text).iter().cloned().collect()),
        _ if NUMBERS.contains(&key) => text.parse().map_or_else(|_| PatchValue::Text(text.to_owned()), PatchValue::Number),
        _ => PatchValue::Text(text.to_owned()),
    }
}

/// Keys whose values are numbers.
const NUMBERS: &[&str] = &["bounce_after"];

#[cfg(test)]
mod tests {
    use super::*;

    fn json(settings: &[&str]) -> Result<String, Failure> {
        let settings: Vec<_> = settings.iter().map(|&text| text.to_owned()).collect();
        patch(&settings).map(|patch| serde_json::to_string(&patch).unwrap())
    }

    #[test]
    fn settings_become_a_patch() {
        for (settings, expected) in [
            (&["deliver=verify"][..], r#"{"deliver":"verify"}"#),
            (&["until="], r#"{"until":null}"#),
            (
                &["deliver.level=verify", "name=A", "deliver.names=a.example, b.example"],
                r#"{"deliver":{"level":"verify","names":["a.example","b.example"]},"name":"A"}"#,
            ),
            (&["subdomains=false", "deliver.bounce_after=3"], r#"{"subdomains":false,"deliver":{"bounce_after":3}}"#),
            (&["then.add_header.X-TLSLevel=Require"], r#"{"then":{"add_header":{"X-TLSLevel":"Require"}}}"#),
            (&["deliver.ciphers=TLS13_AES_256_GCM_SHA384"], r#"{"deliver":{"ciphers":["TLS13_AES_256_GCM_SHA384"]}}"#),
            (&["reason=a = b"], r#"{"reason":"a = b"}"#),
        ] {
            assert_eq!(json(settings).as_deref(), Ok(expected));
        }
        let settings = ["deliver.level=verify", "deliver.names=a.example b.example", "until=", "receive=require"].map(str::to_owned);
        let columns = cells(&settings).unwrap();
        let columns: Vec<_> = columns.iter().map(|(column, cell)| format!("{column}={cell}")).collect();
        assert_eq!(columns, ["deliver=verify", "names=a.example b.example", "receive=require", "until="]);
        assert!(cells(&["deliver=verify".to_owned(), "deliver.level=none".to_owned()]).is_err());
        for wrong in
            [&["deliver"][..], &["=x"], &["a..b=x"], &["a=1", "a=2"], &["deliver=x", "deliver.level=y"], &["deliver.level=y", "deliver=x"]]
        {
            assert!(json(wrong).is_err(), "{wrong:?}");
        }
    }
}
