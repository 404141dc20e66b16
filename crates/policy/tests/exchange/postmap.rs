//! What we write and read is what Postfix itself reads. Needs root and Postfix, unpacked as bins/sealpost/tests/peers/unpack does.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sealpost_policy::{Fingerprints, PolicyText, export_postfix, import_postfix};

/// A folder within the root of Postfix; it goes when this is dropped.
struct Table {
    folder: PathBuf,
    name: String,
}

impl Table {
    fn new(text: &str) -> Self {
        let given = std::env::var_os("SEALPOST_PEERS").map(PathBuf::from);
        let peers = given.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder").join("peers"));
        let name = format!("tmp/table-{}-{}", std::process::id(), text.len());
        let folder = peers.join("postfix").join(&name);
        fs::create_dir_all(&folder).expect("Postfix is unpacked");
        fs::write(folder.join("main.cf"), "compatibility_level = 3.6\n").expect("a file");
        fs::write(folder.join("tls_policy"), text).expect("a file");
        Self { folder, name }
    }

    /// What postmap answers, by key; first it makes the table.
    fn postmap(&self, arguments: &[&str], input: &str) -> BTreeMap<String, String> {
        self.run(&[], "");
        self.run(arguments, input)
    }

    fn run(&self, arguments: &[&str], input: &str) -> BTreeMap<String, String> {
        let root = self.folder.ancestors().nth(2).expect("the root");
        let mut command = Command::new("chroot");
        command.arg(root).args(["/usr/sbin/postmap", "-c", &format!("/{}", self.name)]).args(arguments);
        command.arg(format!("hash:/{}/tls_policy", self.name)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("chroot");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().filter_map(|line| line.split_once('\t')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

// req: E10
#[test]
#[ignore = "needs Postfix"]
fn postmap_finds_what_is_exported() {
    let policy = PolicyText::parse(
        "policy.toml",
        "[[partner]]\nname = 'Bank'\ndomains = 'bank.example bücher.example'\ndeliver = { level = 'verify', names = 'mx.bank.test' }\n\
         [[partner]]\ndomains = '*.gov.example'\ndeliver = 'dane-only'\nreason = 'by law'\n",
    )
    .expect("a document");
    let table = Table::new(&export_postfix("policy.toml", policy.partners()).text);
    let verify = "secure match=nexthop:dot-nexthop:mx.bank.test protocols=>=TLSv1.2";
    let expected = [
        ("bank.example", verify),
        (".bank.example", verify),
        ("xn--bcher-kva.example", verify),
        (".xn--bcher-kva.example", verify),
        (".gov.example", "dane-only protocols=>=TLSv1.2"),
    ];
    let asked: String = expected.iter().map(|(key, _)| format!("{key}\n")).chain(["gov.example\n".to_owned()]).collect();
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(table.postmap(&["-q", "-"], &asked), BTreeMap::from(expected));
}

// req: E10
#[test]
#[ignore = "needs Postfix"]
fn postmap_reads_the_lines_that_we_read() {
    let text = "# a\na.example may\n  # b\n\tprotocols=>=TLSv1.2\n\n   ciphers=high\nB.example\tencrypt\n\"c.example\" none\nnothing.example\n\
        a.example secure\n.d.example   dane-only\n[e.example]:587 may";
    let imported = import_postfix("tls_policy", text, Fingerprints::Unknown);
    let table = Table::new(text);
    let found = table.postmap(&["-s"], "");
    let keys: Vec<_> = imported.partners.iter().map(|entry| entry.form.domains.as_slice().join(" ").replace("*.", ".")).collect();
    let mut known: Vec<_> = keys.iter().map(String::as_str).chain(["[e.example]:587", "\"c.example\""]).collect();
    known.sort_unstable();
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), known);
    // The first of two entries holds, with what goes on behind the comment and the empty line.
    let value = found["a.example"].split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(value, "may protocols=>=TLSv1.2 ciphers=high");
}
