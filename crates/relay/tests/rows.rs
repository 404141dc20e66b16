//! One row of an included list comes or goes: the file, and the policy in force.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use sealpost_policy::{DeliverFacts, DomainForm, Edit, NewRow, PartnerForm, Policy};
use sealpost_relay::policy_file::{ChangeOptions, PolicyChange, PolicyFile, PolicyFileError, RowChange};
use sealpost_types::{ForwardPath, Mailbox, ReversePath};

const POLICY: &str = "\
[[domain]]
name = \"acme.example\"

[[include]]
file = \"partners.csv\"
receive = \"require\"
deliver = \"require\"

[[include]]
file = \"plain.txt\"
deliver = \"verify\"
";

const PARTNERS: &str = "# ours\r\n\r\ndomain,deliver,name\r\na.example,,\r\n*.b.example,verify,\"B, the second\"\r\nc.example,none,";

struct Files {
    folder: tempfile::TempDir,
    file: PolicyFile,
    policy: Policy,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("policy.toml", POLICY), ("partners.csv", PARTNERS), ("plain.txt", "p.example\n")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (file, policy) = PolicyFile::open(&folder.path().join("policy.toml")).unwrap();
        Self { folder, file, policy }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn change(&mut self, list: &str, change: &RowChange) -> Result<PolicyChange, PolicyFileError> {
        let draft = self.file.edit_row(list, change, ChangeOptions::default())?;
        let change = draft.change().clone();
        self.policy = self.file.commit(draft)?;
        Ok(change)
    }

    /// Why mail to this domain is sent as it is, which names the row; the policy in force says the same as the files.
    fn why(&self, domain: &str) -> String {
        let (_, again) = PolicyFile::open(&self.path("policy.toml")).unwrap();
        let [now, again] = [&self.policy, &again].map(|policy| {
            let to = ForwardPath::from(Mailbox::parse(&format!("x@{domain}")).unwrap());
            policy.explain_deliver(&DeliverFacts::new(&ReversePath::Null, &to, true)).1.short().to_string()
        });
        assert_eq!(now, again, "{domain}");
        now
    }
}

fn add(row: &str) -> RowChange {
    RowChange::Add(NewRow::Text(row.to_owned()))
}

fn remove(domain: &str) -> RowChange {
    RowChange::Remove(domain.to_owned())
}

// req: A1 A3 A4
#[test]
fn a_row_comes_and_goes_and_the_others_stay() {
    let mut files = Files::new();
    let list = files.path("partners.csv");
    fs::set_permissions(&list, fs::Permissions::from_mode(0o640)).unwrap();
    let inode = fs::metadata(&list).unwrap().ino();
    let cells = [("domain", "d.example"), ("deliver", "verify"), ("name", "D, too")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let change = files.change("partners.csv", &RowChange::Add(NewRow::Cells(cells.into()))).unwrap();
    assert_eq!((change.changed, change.entries_before, change.entries_after), (true, 5, 6));
    assert_eq!(files.text("partners.csv"), format!("{PARTNERS}\r\nd.example,verify,\"D, too\"\r\n"));
    assert!(files.why("mx.d.example").starts_with("verify: partner \"D, too\" (partners.csv:7)"), "{}", files.why("d.example"));
    let metadata = fs::metadata(&list).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_ne!(metadata.ino(), inode, "it is replaced as a whole");

    files.change("partners.csv", &remove("*.B.example")).unwrap();
    let gone = PARTNERS.replace("*.b.example,", "#*.b.example,");
    assert_eq!(files.text("partners.csv"), format!("{gone}\r\nd.example,verify,\"D, too\"\r\n"));
    assert!(files.why("x.b.example").starts_with("opportunistic"), "{}", files.why("x.b.example"));
    assert!(files.why("a.example").contains("(partners.csv:4)") && files.why("c.example").contains("(partners.csv:6)"));

    files.change("plain.txt", &add("q.example")).unwrap();
    assert!(files.why("q.example").contains("(plain.txt:2)"), "{}", files.why("q.example"));
    files.change("plain.txt", &remove("p.example")).unwrap();
    assert_eq!(files.text("plain.txt"), "#p.example\nq.example\n");
    assert!(files.why("p.example").starts_with("opportunistic"));
    assert_eq!(files.text("policy.toml"), POLICY);

    // What was written here is known: it is neither a change of somebody else nor a new policy.
    assert!(!files.file.read_again(ChangeOptions::default()).unwrap().change().changed);
    let mut entry = DomainForm::default();
    entry.name = "new.example".to_owned();
    let draft = files.file.edit(&[Edit::AddDomain { entry }], ChangeOptions::default()).unwrap();
    files.policy = files.file.commit(draft).unwrap();
    let error = files.change("partners.csv", &add("new.example,verify,")).unwrap_err();
    assert!(error.to_string().starts_with("partners.csv:8:1: "), "{error}");
    let left: Vec<_> = fs::read_dir(files.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "nothing is left behind: {left:?}");
}

/// Told with its place, as at a start; list and policy stay as they were.
// req: A1 A4
#[test]
fn a_row_that_is_wrong_changes_nothing() {
    let mut files = Files::new();
    for (list, change, words) in [
        ("partners.csv", add("d.example,requier,"), "partners.csv:7:11: deliver is \"requier\""),
        ("partners.csv", add("d.example,none,D,x"), "partners.csv:7:18: the row has 4 cells"),
        ("partners.csv", add("d..example,none,"), "partners.csv:7:1: "),
        ("partners.csv", add("acme.example,none,"), "partners.csv:7:1: "),
        ("partners.csv", add("# d.example"), "the row \"# d.example\" is not one line"),
        ("partners.csv", remove("d.example"), "no row has the domain \"d.example\""),
        ("plain.txt", add("q.example,none"), "plain.txt:2:1: "),
        ("other.csv", add("d.example"), "the policy in force includes no list \"other.csv\""),
        ("../partners.csv", remove("a.example"), "includes no list"),
    ] {
        let error = files.change(list, &change).unwrap_err().to_string();
        assert!(error.contains(words), "{change:?}: {error}");
    }
    assert_eq!((files.text("partners.csv").as_str(), files.text("plain.txt").as_str()), (PARTNERS, "p.example\n"));
    assert!(!files.file.read_again(ChangeOptions::default()).unwrap().change().changed);
    assert_eq!(fs::read_dir(files.folder.path()).unwrap().count(), 3);
}

/// An entry of the document comes or goes beside lists whose rows are kept, those that came by themselves among them; a list that
/// was changed by hand is read first, and then it counts.
// req: A1 A4 B10
#[test]
fn the_document_changes_beside_its_lists() {
    let mut files = Files::new();
    files.change("partners.csv", &add("d.example,verify,")).unwrap();
    let mut entry = PartnerForm::default();
    (entry.domains, entry.name) = (["e.example", "a.example"].into_iter().collect(), Some("E".to_owned()));
    let edits = [Edit::AddPartner { entry }];
    let draft = files.file.edit(&edits, ChangeOptions::default()).unwrap();
    assert_eq!((draft.change().entries_before, draft.change().entries_after), (6, 7));
    files.policy = files.file.commit(draft).unwrap();
    for domain in ["a.example", "c.example", "d.example", "e.example", "p.example", "acme.example"] {
        files.why(domain);
    }
    assert!(files.why("d.example").contains("(partners.csv:7)"));

    fs::write(files.path("plain.txt"), "p.example\nby-hand.example\n").unwrap();
    let remove = [Edit::RemovePartner { at: "E".to_owned() }];
    let error = files.file.edit(&remove, ChangeOptions::default()).unwrap_err();
    assert!(matches!(&error, PolicyFileError::ChangedOnDisk { path } if path.ends_with("plain.txt")), "{error}");
    let draft = files.file.read_again(ChangeOptions::default()).unwrap();
    files.policy = files.file.commit(draft).unwrap();
    assert!(files.why("by-hand.example").contains("(plain.txt:2)"), "{}", files.why("by-hand.example"));
    let draft = files.file.edit(&remove, ChangeOptions::default()).unwrap();
    files.policy = files.file.commit(draft).unwrap();
    assert!(files.why("by-hand.example").contains("(plain.txt:2)"));
}

/// What somebody wrote into a list by hand is neither lost nor brought into force unseen; the same row goes in once it was read.
// req: A1 A4
#[test]
fn a_list_that_was_changed_by_hand_is_read_first() {
    let mut files = Files::new();
    let by_hand = PARTNERS.replace("c.example,none", "c.example,verify");
    fs::write(files.path("partners.csv"), &by_hand).unwrap();
    for change in [add("d.example,,"), remove("a.example"), remove("nobody.example")] {
        let error = files.change("partners.csv", &change).unwrap_err();
        assert!(matches!(&error, PolicyFileError::ChangedOnDisk { path } if path.ends_with("partners.csv")), "{error}");
    }
    assert_eq!(files.text("partners.csv"), by_hand);
    let draft = files.file.read_again(ChangeOptions::default()).unwrap();
    files.file.commit(draft).unwrap();
    files.change("partners.csv", &add("d.example,,")).unwrap();

    // Between the look and the replacement as well.
    let draft = files.file.edit_row("plain.txt", &add("q.example"), ChangeOptions::default()).unwrap();
    fs::write(files.path("plain.txt"), "by-hand.example\n").unwrap();
    assert!(matches!(files.file.commit(draft), Err(PolicyFileError::ChangedOnDisk { .. })));
    assert_eq!(files.text("plain.txt"), "by-hand.example\n");
}

// req: A1 A4
#[test]
fn a_dry_run_shows_the_lines() {
    let files = Files::new();
    let mut dry = ChangeOptions::default();
    dry.dry_run = true;
    let diff = |list: &str, change: &RowChange| files.file.edit_row(list, change, dry).unwrap().change().diff.clone();
    assert_eq!(diff("plain.txt", &add("q.example")), "--- plain.txt\n+++ plain.txt\n@@ -1,0 +2 @@\n+q.example\n");
    let gone = "--- partners.csv\n+++ partners.csv\n@@ -4 +4 @@\n-a.example,,\n+#a.example,,\n";
    assert_eq!(diff("partners.csv", &remove("a.example")), gone);
    assert_eq!((files.text("partners.csv").as_str(), files.text("plain.txt").as_str()), (PARTNERS, "p.example\n"));
}

/// A second row of a domain is no error, as it is none at a start: both hold, and the first is named.
// req: A1
#[test]
fn a_domain_that_is_listed_already_is_told() {
    let mut files = Files::new();
    let change = files.change("plain.txt", &add("C.example")).unwrap();
    assert_eq!(change.also.iter().map(ToString::to_string).collect::<Vec<_>>(), ["partners.csv:6"]);
    assert!(files.why("c.example").starts_with("verify"), "{}", files.why("c.example"));
    assert!(files.change("plain.txt", &add("new.example")).unwrap().also.is_empty());
    assert!(files.change("plain.txt", &add("*.c.example")).unwrap().also.is_empty());
}

/// Many rows of one domain go at once only if that is said.
// req: A4
#[test]
fn much_is_taken_out_by_force_only() {
    let mut files = Files::new();
    files.change("plain.txt", &add("p.example")).unwrap();
    let error = files.change("plain.txt", &remove("p.example")).unwrap_err();
    assert!(matches!(error, PolicyFileError::Emptied { .. }), "{error}");
    files.change("plain.txt", &add("q.example")).unwrap();
    let error = files.change("plain.txt", &remove("p.example")).unwrap_err();
    assert!(matches!(&error, PolicyFileError::Guarded { before: 7, gone, .. } if gone.count == 2), "{error}");
    let mut forced = ChangeOptions::default();
    forced.force = true;
    let draft = files.file.edit_row("plain.txt", &remove("p.example"), forced).unwrap();
    files.policy = files.file.commit(draft).unwrap();
    assert_eq!(files.text("plain.txt"), "#p.example\n#p.example\nq.example\n");
    assert!(files.why("p.example").starts_with("opportunistic"));
}
