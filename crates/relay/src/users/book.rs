//! The content of a users file.

use std::collections::HashMap;
use std::ops::Range;

use argon2::{ARGON2ID_IDENT, Argon2, Params, PasswordHash, PasswordVerifier as _};

use super::{HASH_MEMORY_KIB, HASH_PASSES};
use crate::config::{ConfigError, Problems};

/// Every name with its hash.
pub(super) struct Book {
    by_name: HashMap<Box<str>, PasswordHash>,
    /// What is computed for an unknown name: the costliest hash, so that time tells no name from another.
    decoy: Option<PasswordHash>,
}

impl Book {
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let mut problems = Problems::new(file, text);
        let mut lines: HashMap<&str, usize> = HashMap::new();
        let mut by_name = HashMap::new();
        let mut start = 0;
        for (index, whole) in text.split_inclusive('\n').enumerate() {
            let at = start + (whole.len() - whole.trim_start().len());
            start += whole.len();
            let line = whole.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, hash)) = line.split_once(':') else {
                problems.add(at..at, format!("no colon found; {FORM} is meant"));
                continue;
            };
            if let Some(problem) = name_problem(name) {
                // A hash may stand on the wrong side of the colon, and is repeated nowhere.
                let name = if holds_hash(name) { String::new() } else { format!(" {name:?}") };
                problems.add(at..at, format!("the name{name} {problem}; {FORM} is meant"));
                continue;
            }
            if let Some(first) = lines.insert(name, index + 1) {
                problems.add(at..at, format!("a second line for {name:?}, the first is line {first}; one of them must go"));
            }
            let place = at + name.len() + 1;
            if let Some(hash) = usable(hash, place..place, &mut problems) {
                by_name.insert(name.into(), hash);
            }
        }
        match problems.into_error() {
            Some(error) => Err(error),
            None => Ok(Self { decoy: costliest(by_name.values()).or_else(|| PasswordHash::new(DECOY).ok()), by_name }),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The same work is done whether there is such a name or not.
    pub(super) fn verify(&self, name: &str, password: &[u8]) -> bool {
        let known = self.by_name.get(name);
        let Some(hash) = known.or(self.decoy.as_ref()) else { return false };
        let right = Argon2::default().verify_password(password, hash).is_ok();
        right & known.is_some()
    }
}

/// What keeps a name from standing in the file, if anything does.
pub(super) fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.starts_with('#') {
        Some("begins with '#', as comments do")
    } else if name.contains(':') {
        Some("holds a colon, which ends a name")
    } else if name.trim() != name || name.chars().any(char::is_control) {
        Some("has white space at an end, or a control character")
    } else if holds_hash(name) {
        Some("holds \"$argon2\", as hashes do")
    } else {
        None
    }
}

/// Before a hash that was copied there may be what nobody sees: a byte order mark, a control character.
fn holds_hash(name: &str) -> bool {
    name.contains("$argon2")
}

/// The hash, if it is one that a password can be checked against. What is wrong is told without repeating it: a password
/// may stand there by mistake.
fn usable(text: &str, place: Range<usize>, problems: &mut Problems<'_>) -> Option<PasswordHash> {
    let mut wrong = |what: String| problems.add(place.clone(), format!("{what}; a line that `sealpost users hash` printed is meant"));
    let Some(kind) = text.strip_prefix('$').and_then(|rest| rest.split_once('$')).map(|(kind, _)| kind) else {
        wrong("what follows the name is no hash in PHC form ($argon2id$...)".to_owned());
        return None;
    };
    if kind != ARGON2ID_IDENT.as_str() {
        let found = if OTHER_KINDS.contains(&kind) { format!("a hash of the kind {kind:?}") } else { "a hash of another kind".to_owned() };
        wrong(format!("{found}, not of the kind \"argon2id\""));
        return None;
    }
    let Ok(hash) = PasswordHash::new(text) else {
        wrong("the hash is damaged".to_owned());
        return None;
    };
    let params = Params::try_from(&hash).ok().filter(|_| hash.salt.is_some() && hash.hash.is_some());
    let Some(params) = params else {
        wrong("the hash lacks its parameters, its salt or its result".to_owned());
        return None;
    };
    if params.m_cost() > HASH_MEMORY_KIB || params.t_cost() > HASH_PASSES {
        let (memory, passes) = (params.m_cost(), params.t_cost());
        wrong(format!("m={memory} KiB and t={passes} are too much; {HASH_MEMORY_KIB} and {HASH_PASSES} are the most"));
        return None;
    }
    Some(hash)
}

fn costliest<'a>(hashes: impl Iterator<Item = &'a PasswordHash>) -> Option<PasswordHash> {
    let cost = |hash: &&PasswordHash| Params::try_from(*hash).map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()));
    hashes.max_by_key(cost).cloned()
}

/// How a line looks.
const FORM: &str = "name:$argon2id$..., as `sealpost users hash --name NAME` prints it,";

/// What other programs write between the first two dollar signs. Of anything else nobody knows that it is no password.
const OTHER_KINDS: [&str; 14] = ["1", "2a", "2b", "2x", "2y", "5", "6", "7", "y", "gy", "argon2d", "argon2i", "scrypt", "pbkdf2-sha256"];

/// A hash of the usual cost, of a password that nobody knows.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2VhbHBvc3QtZGVjb3k$oP3mGbPSvuMbgUuqAcGGQoZ3cUYyd3YYZP0LQ4mVfpk";

#[cfg(test)]
pub(crate) mod tests {
    use argon2::PasswordHasher as _;

    use super::*;

    /// A line with a hash that costs nothing.
    pub(crate) fn line(name: &str, password: &[u8]) -> String {
        let cheap = Argon2::from(Params::new(8, 1, 1, None).unwrap());
        format!("{name}:{}\n", cheap.hash_password(password).unwrap())
    }

    fn problem(text: &str) -> String {
        Book::parse("users", text).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_name_has_its_password_and_no_other() {
        let text = format!("# who may send\n\n{}  {}\r\n", line("ann", b"one"), line("bob@shop.example", b"two").trim_end());
        let book = Book::parse("users", &text).unwrap();
        assert_eq!(book.len(), 2);
        assert!(book.verify("ann", b"one") && book.verify("bob@shop.example", b"two"));
        for (name, password) in [("ann", &b"two"[..]), ("Ann", b"one"), ("ann", b""), ("eve", b"one"), ("eve", b"two"), ("", b"one")] {
            assert!(!book.verify(name, password), "{name:?}");
        }
    }

    /// An unknown name costs a hash, too: the costliest there is. Without the decoy it would cost none, as the last line shows.
    #[test]
    fn an_unknown_name_costs_as_much_as_a_known_one() {
        let costly = Argon2::from(Params::new(64, 3, 1, None).unwrap()).hash_password(b"x").unwrap();
        let mut book = Book::parse("users", &format!("{}bob:{costly}\n", line("ann", b"one"))).unwrap();
        assert_eq!(book.decoy, Some(costly));
        assert!(!book.verify("eve", b"x"), "the decoy lets nobody in");
        let empty = Book::parse("users", "# nobody yet\n").unwrap();
        let usual = Params::try_from(empty.decoy.as_ref().unwrap()).unwrap();
        assert_eq!((usual.m_cost(), usual.t_cost()), (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST));
        let spent = |book: &Book| {
            let start = std::time::Instant::now();
            assert!(!book.verify("eve", b"x"));
            start.elapsed()
        };
        let with = spent(&empty);
        book.decoy = None;
        assert!(spent(&book) * 10 < with);
    }

    #[test]
    fn mistakes_have_a_place_and_a_remedy_and_repeat_no_secret() {
        let good = line("ann", b"one");
        let cut = &good[..good.rfind('$').unwrap()];
        let huge = good.trim_end().replace("m=8,t=1", "m=262145,t=1");
        let slow = good.trim_end().replace("m=8,t=1", "m=8,t=17");
        for (text, place, words) in [
            ("ann\n".to_owned(), "users:1:1:", "no colon found; name:$argon2id$"),
            ("# who\n  ann:hunter2\n".to_owned(), "users:2:7:", "no hash in PHC form"),
            ("ann:$2y$05$hunter2".to_owned(), "users:1:5:", "of the kind \"2y\", not of the kind \"argon2id\""),
            (good.replace("argon2id", "argon2i"), "users:1:5:", "of the kind \"argon2i\""),
            ("ann:$argon2id$hunter2!".to_owned(), "users:1:5:", "damaged"),
            (cut.to_owned(), "users:1:5:", "lacks its parameters, its salt or its result"),
            (huge, "users:1:5:", "262144 and 16 are the most"),
            (slow, "users:1:5:", "t=17 are too much"),
            (format!(":{}", good.split_once(':').unwrap().1), "users:1:1:", "the name \"\" is empty"),
            (
                good.trim_end().replace("ann:$argon2id$", "$argon2id$hunter2") + ":ann",
                "users:1:1:",
                "the name holds \"$argon2\", as hashes do",
            ),
            ("\u{feff}$argon2id$hunter2:ann".to_owned(), "users:1:1:", "the name holds \"$argon2\""),
            ("\u{2}$argon2id$hunter2:ann".to_owned(), "users:1:1:", "the name has white space at an end, or a control character"),
            ("ann:$hunter2$".to_owned(), "users:1:5:", "a hash of another kind, not of the kind \"argon2id\""),
            ("$argon2id$hunter2 :ann".to_owned(), "users:1:1:", "the name has white space at an end"),
            (format!("{good}{good}"), "users:2:1:", "a second line for \"ann\", the first is line 1"),
        ] {
            let said = problem(&text);
            assert!(said.starts_with(place) && said.contains(words), "{text}\n  -> {said}");
            assert!(!said.contains("hunter2") && (words == "damaged" || said.contains(" meant") || said.contains("must go")), "{said}");
        }
        assert_eq!(problem("ann\nbob:x\n").lines().count(), 2, "all of them show at once");
    }
}
