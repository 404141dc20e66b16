//! From partners to a table.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealpost_types::{AnchorFiles, Domain, ReferenceName};

use super::ciphers;
use crate::edit::{Entry, EntryKind, PolicyText};
use crate::exchange::loss::Notes;
use crate::exchange::{Exported, Loss, words};
use crate::form::{HopForm, HopTable, Items, PartnerForm};
use crate::pattern::Pattern;

/// Writes partners as a table for `smtp_tls_policy_maps`; `name` is what warnings call the text they come from.
///
/// Only the deliver hop has a counterpart. What is written asks no less there than here; what could not is refused.
///
/// # Example
/// ```
/// # use sealpost_policy::{PolicyText, export_postfix};
/// let text = PolicyText::parse("policy.toml", "[[partner]]\ndomains = 'bank.example'\ndeliver = 'require'\n")?;
/// let table = "bank.example\tencrypt protocols=>=TLSv1.2\n.bank.example\tencrypt protocols=>=TLSv1.2\n";
/// assert_eq!(export_postfix("policy.toml", text.partners()).text, table);
/// # Ok::<(), sealpost_policy::TextError>(())
/// ```
#[must_use]
pub fn export_postfix<'a>(name: &str, partners: impl IntoIterator<Item = &'a Entry<PartnerForm>>) -> Exported {
    let partners: Vec<_> = partners.into_iter().collect();
    let wide = wide(&partners);
    let mut writer = Writer { notes: Notes::new(name), text: String::new(), written: HashMap::new(), pinned: false, wide };
    for entry in partners {
        writer.partner(entry);
    }
    writer.finish()
}

/// The same of a whole document; says once of each other kind of entry that it is not written.
#[must_use]
pub fn export_postfix_policy(name: &str, policy: &PolicyText) -> Exported {
    let mut exported = export_postfix(name, policy.partners());
    let mut notes = Notes::new(name);
    let first = [
        (EntryKind::Owner, policy.owners().first().map(|entry| entry.line)),
        (EntryKind::Domain, policy.domains().first().map(|entry| entry.line)),
        (EntryKind::List, policy.lists().first().map(|entry| entry.line)),
        (EntryKind::Rule, policy.rules().first().map(|entry| entry.line)),
    ];
    for (kind, line) in first {
        if let Some(line) = line {
            notes.refuse((line, None), &format!("[[{kind}]]"), Loss::Kind(kind));
        }
    }
    if let Some(entry) = policy.includes().first() {
        notes.refuse((entry.line, None), "[[include]]", Loss::Includes);
    }
    if *policy.defaults() != crate::form::DefaultsForm::default() {
        notes.refuse((policy.defaults_line(), None), "[defaults]", Loss::Defaults);
    }
    exported.refused.extend(notes.refused);
    exported
}

struct Writer {
    notes: Notes,
    text: String,
    /// Each key with its value, and where it comes from.
    written: HashMap<String, (String, u32)>,
    pinned: bool,
    /// What falls through to the names below these.
    wide: HashMap<Domain, (HopTable, u32)>,
}

type Place = (u32, Option<u32>);

impl Writer {
    fn partner(&mut self, entry: &Entry<PartnerForm>) {
        let form = &entry.form;
        let place = (entry.line, None);
        let found = form.name.clone().or_else(|| form.domains.iter().next().cloned()).unwrap_or_default();
        if form.receive.is_some() || form.clients.is_some() {
            self.notes.warn_once(place, &found, Loss::Receive);
        }
        if form.mode.as_deref() == Some("testing") {
            return self.notes.refuse(place, &found, Loss::Testing);
        }
        let Some(hop) = form.deliver.as_ref().map(HopForm::to_table) else {
            return self.notes.refuse(place, &found, Loss::NoLevel);
        };
        if let Some(loss) = form.domains.iter().find_map(|domain| self.left_open(domain, &hop)) {
            return self.notes.refuse(place, &found, loss);
        }
        let value = match self.value(place, &found, form, &hop) {
            Ok(value) => value,
            Err(loss) => return self.notes.refuse(place, &found, loss),
        };
        let keys: Vec<_> = form.domains.iter().flat_map(|domain| self.keys(place, domain, form.subdomains != Some(false))).collect();
        let mut lines = String::new();
        for key in keys {
            match self.written.get(&key) {
                Some((other, _)) if *other == value => {}
                Some((_, first_line)) => {
                    let loss = Loss::Joined { first_line: *first_line };
                    self.notes.warn(place, &key, loss);
                }
                None => {
                    lines.push_str(&format!("{key}\t{value}\n"));
                    self.written.insert(key, (value.clone(), entry.line));
                }
            }
        }
        if lines.is_empty() {
            return;
        }
        self.pinned |= hop.pins.is_some();
        for remark in form.name.iter().chain(&form.reason) {
            self.text.push_str(&format!("# {}\n", remark.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
        self.text.push_str(&lines);
    }

    /// What a wider entry asks of these names, and this one does not say: there it would be asked of them no more.
    fn left_open(&self, domain: &str, hop: &HopTable) -> Option<Loss> {
        let (Ok(Pattern::Exact(name) | Pattern::Below(name)), false) = (domain.parse(), hop.level.as_deref() == Some("none")) else {
            return None;
        };
        name.suffixes().skip(1).find_map(|above| {
            let (wider, line) = self.wide.get(&Domain::parse(above).ok()?)?;
            Some(Loss::LeftOpen { key: falls_through(wider, hop)?, line: *line })
        })
    }

    /// The keys of a pattern.
    fn keys(&mut self, place: Place, domain: &str, subdomains: bool) -> Vec<String> {
        match domain.parse::<Pattern>() {
            Ok(Pattern::Exact(name)) if subdomains => vec![name.to_string(), format!(".{name}")],
            Ok(Pattern::Exact(name)) => vec![name.to_string()],
            Ok(Pattern::Below(parent)) => vec![format!(".{parent}")],
            other => {
                let loss = match other {
                    Ok(Pattern::All) => Loss::AllDomains,
                    Err(cause) => Loss::Key { cause },
                    Ok(_) => Loss::Wildcard,
                };
                self.notes.refuse(place, domain, loss);
                Vec::new()
            }
        }
    }

    /// Level and attributes; or what cannot be said there.
    fn value(&mut self, place: Place, found: &str, form: &PartnerForm, hop: &HopTable) -> Result<String, Loss> {
        let level = words::level(hop.level.as_deref().ok_or(Loss::NoLevel)?).ok_or(Loss::Level)?;
        let mandatory = !matches!(level, "none" | "mirror" | "opportunistic" | "dane");
        let conditions = form.r#for.is_some() || hop.senders.is_some() || hop.recipients.is_some();
        let excludes = form.exclude.as_ref().is_some_and(|names| !names.is_empty());
        // What holds for more mail there is stricter only if it is strict.
        for (applies, loss) in [(conditions, Loss::Conditions), (excludes, Loss::Exclude), (form.until.is_some(), Loss::Until)] {
            if applies && !mandatory {
                return Err(loss);
            }
        }
        if let Some(key) = beyond(hop, level) {
            return Err(Loss::HopKey { key });
        }
        // Those of the system alone are what there are without a word of them.
        let anchors = hop.anchors.as_ref().map(Items::as_slice).filter(|files| *files != [AnchorFiles::SYSTEM]).unwrap_or_default();
        if anchors.iter().any(|file| !file.starts_with('/')) {
            return Err(Loss::Anchors);
        }
        let value = match level {
            "none" => "none".to_owned(),
            "mirror" | "opportunistic" => "may".to_owned(),
            "require" => "encrypt".to_owned(),
            "dane" if hop.otherwise.as_deref().is_none_or(|level| words::level(level) == Some("opportunistic")) => "dane".to_owned(),
            "dane" => return Err(Loss::Otherwise),
            "dane-only" => "dane-only".to_owned(),
            "verify" => self.verify(place, found, hop),
            "pinned" => fingerprint(hop.pins.as_ref())?,
            _ => return Err(Loss::Level),
        };
        // Only now, as nothing is said of an entry that is refused.
        let once = [
            (has_fate(hop), Loss::Fate),
            (form.until.is_some(), Loss::Until),
            (hop.dane_satisfies == Some(true), Loss::DaneSatisfies),
            (hop.client_certificate.is_some() && level != "none", Loss::ClientCertificate),
            (!matches!(level, "none" | "dane" | "dane-only") && hop.ignore_published != Some(true), Loss::PublishedIgnored),
        ];
        for (applies, loss) in once {
            if applies {
                self.notes.warn_once(place, found, loss);
            }
        }
        for (applies, loss) in [(conditions, Loss::Conditions), (excludes, Loss::Exclude), (level == "mirror", Loss::Mirror)] {
            if applies {
                self.notes.warn(place, found, loss);
            }
        }
        if level == "none" {
            return Ok(value);
        }
        let floor = if hop.min_version.as_deref() == Some("1.3") { "TLSv1.3" } else { "TLSv1.2" };
        let anchors: String = anchors.iter().map(|file| format!(" tafile={file}")).collect();
        let exclude = hop
            .ciphers
            .as_ref()
            .and_then(|suites| ciphers::excluded(suites.iter()))
            .map(|suites| format!(" ciphers=high exclude={suites}"));
        Ok(format!("{value}{anchors} protocols=>={floor}{}", exclude.unwrap_or_default()))
    }

    fn verify(&mut self, place: Place, found: &str, hop: &HopTable) -> String {
        let mut value = if hop.matching.as_deref() == Some("mx") {
            "verify match=hostname:nexthop:dot-nexthop"
        } else {
            "secure match=nexthop:dot-nexthop"
        }
        .to_owned();
        for name in hop.names.iter().flatten() {
            match name.parse::<ReferenceName>() {
                Ok(ReferenceName::Exact(name)) => value.push_str(&format!(":{name}")),
                Ok(ReferenceName::Below(parent)) => value.push_str(&format!(":.{parent}")),
                _ => self.notes.warn(place, found, Loss::AddressName),
            }
        }
        value
    }

    fn finish(self) -> Exported {
        let head = if self.pinned { "# The digests are of public keys: main.cf needs smtp_tls_fingerprint_digest = sha256\n" } else { "" };
        Exported { text: format!("{head}{}", self.text), warnings: self.notes.warnings, refused: self.notes.refused }
    }
}

/// Entries whose floors or anchors hold for names below theirs, where these have none of their own.
fn wide(partners: &[&Entry<PartnerForm>]) -> HashMap<Domain, (HopTable, u32)> {
    let mut wide = HashMap::new();
    for entry in partners.iter().filter(|entry| entry.form.mode.as_deref() != Some("testing")) {
        let Some(hop) = entry.form.deliver.as_ref().map(HopForm::to_table) else { continue };
        if falls_through(&hop, &HopTable::default()).is_none() && hop.anchors.is_none() {
            continue;
        }
        for domain in &entry.form.domains {
            let name = match domain.parse() {
                Ok(Pattern::Exact(name)) if entry.form.subdomains != Some(false) => name,
                Ok(Pattern::Below(name)) => name,
                _ => continue,
            };
            wide.insert(name, (hop.clone(), entry.line));
        }
    }
    wide
}

/// The first key that a wider entry sets and a narrower one leaves open, so that more is asked of it than it says.
fn falls_through(wider: &HopTable, narrower: &HopTable) -> Option<&'static str> {
    [
        ("min_version", wider.min_version.as_deref() == Some("1.3") && narrower.min_version.is_none()),
        ("min_group", wider.min_group.is_some() && narrower.min_group.is_none()),
        ("ciphers", wider.ciphers.is_some() && narrower.ciphers.is_none()),
        ("clear_fallback", wider.clear_fallback.as_deref() == Some("never") && narrower.clear_fallback.is_none()),
        ("anchors", wider.anchors.is_some() && narrower.anchors.is_none() && narrower.level.as_deref() == Some("verify")),
    ]
    .into_iter()
    .find_map(|(key, falls)| falls.then_some(key))
}

/// A key of the hop that asks more than Postfix can be asked for one destination.
fn beyond(hop: &HopTable, level: &str) -> Option<&'static str> {
    [
        (hop.min_group.is_some(), "min_group"),
        (hop.ciphers.as_ref().is_some_and(|suites| ciphers::excluded(suites.iter()).is_none()), "ciphers"),
        (hop.clear_fallback.as_deref() == Some("never"), "clear_fallback"),
        // Both ask for a chain beside the digest, or a digest beside the chain.
        (hop.pins.is_some() && level != "pinned", "pins"),
        (hop.anchors.is_some() && level != "verify", "anchors"),
        (hop.names.as_ref().is_some_and(|names| !names.is_empty()) && level != "verify", "names"),
    ]
    .into_iter()
    .find_map(|(is_there, key)| is_there.then_some(key))
}

fn has_fate(hop: &HopTable) -> bool {
    hop.lifetime.is_some() || hop.retry.is_some() || hop.on_expiry.is_some() || hop.on_failure.is_some() || hop.bounce_after.is_some()
}

fn fingerprint(pins: Option<&Items>) -> Result<String, Loss> {
    let mut digests = Vec::new();
    for pin in pins.into_iter().flatten() {
        let octets = pin.strip_prefix("sha256//").and_then(|text| STANDARD.decode(text).ok()).filter(|octets| octets.len() == 32);
        let octets = octets.ok_or(Loss::Pin)?;
        digests.push(octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":"));
    }
    if digests.is_empty() { Err(Loss::Pin) } else { Ok(format!("fingerprint match={}", digests.join("|"))) }
}
