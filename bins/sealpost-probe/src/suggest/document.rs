//! The suggestions as a policy's text: comments on what is weak, then entries, the weakest first.

use sealpost_types::Domain;

use super::candidate::Candidate;
use crate::survey::Standing;

/// What is suggested, and what is not, and why.
#[derive(Clone, Debug)]
pub(super) struct Document {
    source: String,
    day: String,
    all: usize,
    testing: bool,
    pub(super) entries: Vec<Candidate>,
    /// Domains without an entry, with the reason.
    without: Vec<(Standing, Domain, String)>,
    /// Domains whose entry, or lack of one, stays as it is.
    stays: Vec<(Domain, String)>,
    /// What the policy that is there says already, so that names are new.
    pub(super) taken: String,
}

impl Document {
    pub(super) fn new(source: &str, all: usize, testing: bool) -> Self {
        Self {
            source: source.to_owned(),
            day: crate::shown::today().to_string(),
            all,
            testing,
            entries: Vec::new(),
            without: Vec::new(),
            stays: Vec::new(),
            taken: String::new(),
        }
    }

    pub(super) fn add(&mut self, candidate: Candidate) {
        if candidate.standing.document().is_some() {
            self.entries.push(candidate);
        } else {
            let Candidate { domain, standing, warnings } = candidate;
            self.without.push((standing, domain, warnings.join("; ")));
        }
    }

    /// Takes a suggestion back, because what is there stays.
    pub(super) fn leave(&mut self, domain: Domain, why: String) {
        self.entries.retain(|candidate| candidate.domain != domain);
        self.stays.push((domain, why));
    }

    /// Adds to what somebody should look at first.
    pub(super) fn warn(&mut self, domain: &Domain, why: String) {
        let of = |candidate: &&mut Candidate| candidate.domain == *domain;
        if let Some(candidate) = self.entries.iter_mut().find(of) {
            candidate.warnings.push(why);
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let testing = if self.testing { " In testing: nothing is stopped by them yet." } else { "" };
        comment(
            &mut text,
            &format!(
                "Suggested by sealpost-probe on {} from {}: what holds today for {} of {} domains.{testing}",
                self.day,
                self.source,
                self.entries.len(),
                self.all
            ),
        );
        comment(&mut text, "Look through it; `sealpost check` and `sealpost policy replay` say what it changes before it is in force.");
        self.comment_on_the_rest(&mut text);
        self.comment_on_entries(&mut text);
        for standing in weakest_first() {
            let domains: Vec<_> = self.of(standing).map(|candidate| candidate.domain.as_str()).collect();
            let Some(deliver) = standing.document().filter(|_| !domains.is_empty()) else { continue };
            let name = self.name(standing);
            let mode = if self.testing { "mode = \"testing\"\n" } else { "" };
            text.push_str(&format!("\n[[partner]]\nname = \"{name}\"\ndomains = \"\"\"\n{}\n\"\"\"\n", domains.join("\n")));
            let needs = if standing == Standing::DaneOnly { "     # the relay has to validate DNSSEC" } else { "" };
            text.push_str(&format!("subdomains = false        # only these names were tested\ndeliver = {deliver}{needs}\n{mode}"));
        }
        text
    }

    /// What gets no entry, the worst first.
    fn comment_on_the_rest(&self, text: &mut String) {
        for standing in weakest_first() {
            let these: Vec<_> = self.without.iter().filter(|(of, ..)| *of == standing).collect();
            if these.is_empty() {
                continue;
            }
            text.push('\n');
            comment(text, &format!("No entry for {}: {}", these.len(), standing.meaning()));
            for (_, domain, why) in these {
                comment(text, &format!("  {domain}: {why}"));
            }
        }
        if !self.stays.is_empty() {
            text.push('\n');
            comment(text, &format!("As it is for {}:", self.stays.len()));
            for (domain, why) in &self.stays {
                comment(text, &format!("  {domain}: {why}"));
            }
        }
    }

    /// What is weak in what gets one.
    fn comment_on_entries(&self, text: &mut String) {
        let warned: Vec<_> =
            weakest_first().flat_map(|standing| self.of(standing)).filter(|candidate| !candidate.warnings.is_empty()).collect();
        if warned.is_empty() {
            return;
        }
        text.push('\n');
        comment(text, &format!("Look at these {} first, the weakest are in front:", warned.len()));
        for Candidate { domain, standing, warnings } in warned {
            comment(text, &format!("  {domain} ({}): {}", standing.words(), warnings.join("; ")));
        }
    }

    fn of(&self, standing: Standing) -> impl Iterator<Item = &Candidate> {
        self.entries.iter().filter(move |candidate| candidate.standing == standing)
    }

    /// A name that nothing has yet.
    fn name(&self, standing: Standing) -> String {
        let word = if standing == Standing::VerifyMx { "verify mx" } else { standing.words() };
        let names = (1..).map(|number| match number {
            1 => format!("suggested {}: {word}", self.day),
            _ => format!("suggested {} ({number}): {word}", self.day),
        });
        names.into_iter().find(|name| !self.taken.contains(name.as_str())).unwrap_or_default()
    }
}

fn weakest_first() -> impl Iterator<Item = Standing> {
    let rank = |standing: &Standing| match standing {
        Standing::Nothing => 0,
        Standing::Clear => 1,
        Standing::Untested => 2,
        Standing::NoMail => 3,
        Standing::Require => 4,
        Standing::Chain => 5,
        Standing::VerifyMx => 6,
        Standing::Verify => 7,
        Standing::DaneOnly => 8,
    };
    let mut all = Standing::ALL;
    all.sort_by_key(rank);
    all.into_iter()
}

/// One line, whatever is in it: reasons come from outside.
fn comment(text: &mut String, line: &str) {
    let line: String = line.chars().map(|character| if is_plain(character) { character } else { '?' }).collect();
    text.push_str(format!("# {line}").trim_end());
    text.push('\n');
}

fn is_plain(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use sealpost_policy::Policy;

    use super::*;

    fn candidate(domain: &str, standing: Standing, warnings: &[&str]) -> Candidate {
        let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
        Candidate { domain: Domain::parse(domain).unwrap(), standing, warnings }
    }

    #[test]
    fn the_text_is_a_policy_with_the_weakest_first() {
        let mut document = Document::new("found.jsonl", 4, false);
        document.add(candidate("strong.example", Standing::Verify, &[]));
        document.add(candidate("weak.example", Standing::Require, &["self-signed certificate"]));
        document.add(candidate("clear.example", Standing::Clear, &["no STARTTLS"]));
        document.add(candidate("mx.example", Standing::VerifyMx, &["a certificate ends in 3 days"]));
        let text = document.to_text();
        Policy::parse("suggested.toml", &text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let places = [
            "clear.example: no",
            "weak.example (require): self",
            "mx.example (verify",
            "deliver = \"require\"",
            "deliver = { level",
            "\"verify\"\n",
        ];
        let found: Vec<_> = places.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"))).collect();
        assert!(found.is_sorted(), "{found:?}: {text}");
    }

    /// A server's reply cannot write entries.
    #[test]
    fn a_reason_with_line_ends_stays_a_comment() {
        let mut document = Document::new("found\n[[rule]]", 1, false);
        document.add(candidate("a.example", Standing::Require, &["554 no\r\n[[partner]]\ndomains = '*'\ndeliver = 'none'\u{2028}x\u{0}"]));
        document.add(candidate("b.example", Standing::Clear, &["no\n[[partner]]"]));
        let text = document.to_text();
        assert!(!text.contains("\n[[rule]]") && text.matches("\n[[partner]]").count() == 1, "{text}");
        assert_eq!(Policy::parse("suggested.toml", &text).unwrap().entries(), 1);
    }

    #[test]
    fn a_name_that_is_taken_is_not_taken_again() {
        let mut document = Document::new("found.jsonl", 1, true);
        document.add(candidate("a.example", Standing::Chain, &[]));
        let first = document.to_text();
        document.taken.clone_from(&first);
        let both = format!("{first}\n{}", document.to_text());
        Policy::parse("policy.toml", &both).unwrap_or_else(|error| panic!("{error}: {both}"));
        assert!(both.contains("mode = \"testing\""));
    }
}
