//! From a table to partners.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealpost_types::{AnchorFiles, Domain, ReferenceName};

use super::Fingerprints;
use super::ciphers;
use super::lines::{Logical, Token, logical};
use super::value::{GRADES, Versions, attribute};
use crate::edit::{Entry, LineStarts};
use crate::exchange::loss::Notes;
use crate::exchange::{Imported, Loss};
use crate::form::{HopTable, Items, PartnerForm};

/// Reads the source text of a table for `smtp_tls_policy_maps`, as `postmap` reads it; `name` is what warnings call it.
///
/// Each key becomes a partner that says something of the deliver hop alone.
///
/// # Example
/// ```
/// # use sealpost_policy::{Fingerprints, import_postfix};
/// let table = "bank.example  secure match=mx.bank.example\n.bank.example encrypt\n[relay.example]:587 encrypt\n";
/// let imported = import_postfix("tls_policy", table, Fingerprints::Unknown);
/// assert_eq!(imported.partners[1].form.domains.as_slice(), ["*.bank.example"]);
/// assert!(imported.refused[0].to_string().starts_with("tls_policy:3:1: [relay.example]:587: not taken: it is a next hop"));
/// ```
#[must_use]
pub fn import_postfix(name: &str, text: &str, fingerprints: Fingerprints) -> Imported {
    let mut reader = Reader { text, starts: LineStarts::of(text), notes: Notes::new(name), fingerprints };
    let mut partners = Vec::new();
    let mut seen: HashMap<String, u32> = HashMap::new();
    for line in logical(text) {
        let place = reader.place(line.offset);
        let key = line.key.to_lowercase();
        if let Some(first_line) = seen.get(&key) {
            reader.notes.warn(place, &line.key, Loss::KeyTwice { first_line: *first_line });
            continue;
        }
        seen.insert(key, place.0);
        match reader.entry(&line) {
            Ok(Some(form)) => partners.push(Entry { line: place.0, form }),
            Ok(None) => reader.notes.warn(place, &line.key, Loss::NeverFound),
            Err((offset, found, loss)) => {
                let place = reader.place(offset);
                reader.notes.refuse(place, &found, loss);
            }
        }
    }
    fence(&mut partners);
    Imported { partners, warnings: reader.notes.warnings, refused: reader.notes.refused }
}

/// What is wrong, where, and what was found there.
type Refusal = (usize, String, Loss);

struct Reader<'t> {
    text: &'t str,
    starts: LineStarts,
    notes: Notes,
    fingerprints: Fingerprints,
}

/// The levels of Postfix. Those that authenticate need a name or a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    None,
    May,
    Encrypt,
    Dane,
    DaneOnly,
    Fingerprint,
    Verify,
    Secure,
}

/// The attributes of one entry, each as it was given.
#[derive(Default)]
struct Attributes<'a> {
    /// `match=`, which may be given several times.
    matches: Vec<(&'a Token, String)>,
    once: Vec<(&'a Token, String, String)>,
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> (u32, Option<u32>) {
        let (line, column) = self.starts.place(self.text, offset);
        (line, Some(column))
    }

    /// An entry; nothing if Postfix never finds its key.
    fn entry(&mut self, line: &Logical) -> Result<Option<PartnerForm>, Refusal> {
        let refused = |loss| (line.offset, line.key.clone(), loss);
        if line.loose {
            return Err(refused(Loss::NothingContinued));
        }
        let Some(pattern) = pattern(&line.key).map_err(refused)? else { return Ok(None) };
        let (word, rest) = line.value.split_first().ok_or_else(|| refused(Loss::NoValue))?;
        let level = match word.text.to_ascii_lowercase().as_str() {
            "none" => Level::None,
            "may" => Level::May,
            "encrypt" => Level::Encrypt,
            "dane" => Level::Dane,
            "dane-only" => Level::DaneOnly,
            "fingerprint" => Level::Fingerprint,
            "verify" => Level::Verify,
            "secure" => Level::Secure,
            "half-dane" | "halfdane" => return Err((word.offset, word.text.clone(), Loss::HalfDane)),
            _ => return Err((word.offset, word.text.clone(), Loss::UnknownLevel)),
        };
        let mut partner = PartnerForm::new(Items::from(pattern.as_str()));
        partner.subdomains = Some(false);
        partner.deliver = Some(self.hop(level, word, rest)?.into());
        Ok(Some(partner))
    }

    fn hop(&mut self, level: Level, word: &Token, rest: &[Token]) -> Result<HopTable, Refusal> {
        let own = match level {
            Level::None => "none",
            Level::May => "opportunistic",
            Level::Encrypt => "require",
            Level::Dane => "dane",
            Level::DaneOnly => "dane-only",
            Level::Fingerprint => "pinned",
            Level::Verify | Level::Secure => "verify",
        };
        let mut hop = HopTable { level: Some(own.to_owned()), ..HopTable::default() };
        if level == Level::None {
            if let Some(token) = rest.first() {
                self.notes.warn(self.place(token.offset), &token.text, Loss::AttributesAtNone);
            }
            return Ok(hop);
        }
        let attributes = Attributes::read(rest)?;
        for (token, name, value) in &attributes.once {
            self.attribute(level, token, name, value, &mut hop)?;
        }
        let place = self.place(word.offset);
        if level != Level::DaneOnly {
            self.notes.warn_once(place, &word.text, Loss::PublishedToo);
        }
        match level {
            Level::Verify | Level::Secure => self.names(level, word, &attributes, &mut hop)?,
            Level::Fingerprint => self.pins(word, &attributes, &mut hop)?,
            _ => {
                if let Some((token, _)) = attributes.matches.first() {
                    return Err(token.refused(Loss::AttributeAtLevel));
                }
            }
        }
        Ok(hop)
    }

    /// `match=` of the levels that verify names, or what Postfix does without.
    fn names(&mut self, level: Level, word: &Token, attributes: &Attributes<'_>, hop: &mut HopTable) -> Result<(), Refusal> {
        let (mut names, mut host, mut next_hop, mut below) = (Items::default(), false, false, false);
        for (token, value) in &attributes.matches {
            for name in value.split(':').filter(|name| !name.is_empty()) {
                match name.to_ascii_lowercase().as_str() {
                    "hostname" => host = true,
                    "nexthop" => next_hop = true,
                    "dot-nexthop" => below = true,
                    name => {
                        let name = match name.strip_prefix('.') {
                            Some(parent) => format!("*.{parent}"),
                            None => name.to_owned(),
                        };
                        match name.parse::<ReferenceName>() {
                            Ok(ReferenceName::Address(_)) | Err(_) => return Err(token.refused(Loss::Value)),
                            Ok(name) => names.push(&name.to_string()),
                        }
                    }
                }
            }
        }
        match attributes.matches.first() {
            None => {
                host = level == Level::Verify;
                if host {
                    self.notes.warn_once(self.place(word.offset), &word.text, Loss::VerifyNames);
                }
            }
            Some((token, _)) => {
                if host && level == Level::Secure {
                    self.notes.warn(self.place(token.offset), &token.text, Loss::HostName);
                }
                if !(next_hop && below) {
                    self.notes.warn(self.place(token.offset), &token.text, Loss::DomainNames);
                }
            }
        }
        hop.matching = Some(if host { "mx" } else { "domain" }.to_owned());
        hop.names = (!names.is_empty()).then_some(names);
        Ok(())
    }

    /// `match=` of level fingerprint.
    fn pins(&self, word: &Token, attributes: &Attributes<'_>, hop: &mut HopTable) -> Result<(), Refusal> {
        let first = attributes.matches.first().map_or(word, |(token, _)| token);
        if self.fingerprints == Fingerprints::Unknown || attributes.matches.is_empty() {
            return Err(first.refused(Loss::Fingerprints));
        }
        let mut pins = Items::default();
        for (token, value) in &attributes.matches {
            for digest in value.split('|').filter(|digest| !digest.is_empty()) {
                let octets: Option<Vec<u8>> = digest.split(':').map(octet_of).collect();
                match octets.filter(|octets| octets.len() == SHA256_OCTETS) {
                    Some(octets) => pins.push(&format!("sha256//{}", STANDARD.encode(octets))),
                    None => return Err(token.refused(Loss::Fingerprints)),
                }
            }
        }
        hop.pins = Some(pins);
        Ok(())
    }

    fn attribute(&mut self, level: Level, token: &Token, name: &str, value: &str, hop: &mut HopTable) -> Result<(), Refusal> {
        let place = self.place(token.offset);
        let is_word = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
        let loss = match name {
            "protocols" => {
                let versions = Versions::parse(value).ok_or_else(|| token.refused(Loss::Value))?;
                if !versions.has(Versions::TLS12) && versions.has(Versions::TLS13) {
                    hop.min_version = Some("1.3".to_owned());
                }
                if versions.is_empty() {
                    return Err(token.refused(Loss::Value));
                }
                if versions.has(Versions::OLD) {
                    let mandatory = !matches!(level, Level::May | Level::Dane);
                    self.notes.warn(place, &token.text, Loss::OldProtocols { mandatory });
                }
                if versions.has(Versions::TLS12) && !versions.has(Versions::TLS13) {
                    self.notes.warn(place, &token.text, Loss::NewProtocols);
                }
                return Ok(());
            }
            "ciphers" if is_word(GRADES) => Loss::CipherGrade,
            "exclude" => {
                let (left, absent) = ciphers::left(value).map_err(|loss| token.refused(loss))?;
                hop.ciphers = left.map(|left| left.into_iter().collect());
                if !absent {
                    return Ok(());
                }
                Loss::AbsentCiphers
            }
            "servername" if Domain::parse(value).is_ok() => Loss::ServerName,
            "connection_reuse" if is_word(&["yes", "no"]) => Loss::ConnectionReuse,
            "enable_rpk" if is_word(&["yes", "no"]) => Loss::RawKeys,
            "tafile" if value.is_empty() => Loss::Value,
            "tafile" if matches!(level, Level::Verify | Level::Secure) && value.starts_with('/') => {
                hop.anchors.get_or_insert_default().push(value);
                return Ok(());
            }
            "tafile" if matches!(level, Level::Verify | Level::Secure) => Loss::AnchorPath,
            "tafile" => Loss::AttributeAtLevel,
            "ciphers" | "servername" | "connection_reuse" | "enable_rpk" => Loss::Value,
            name if REPORTING.contains(&name) => Loss::Reporting,
            _ => Loss::UnknownAttribute,
        };
        if loss.consequence() == crate::exchange::Consequence::NotTaken {
            return Err(token.refused(loss));
        }
        self.notes.warn(place, &token.text, loss);
        Ok(())
    }
}

impl<'a> Attributes<'a> {
    fn read(tokens: &'a [Token]) -> Result<Self, Refusal> {
        let mut attributes = Self::default();
        for token in tokens {
            let (name, value) = attribute(&token.text).map_err(|loss| token.refused(loss))?;
            if name == "match" {
                if value.is_empty() {
                    return Err(token.refused(Loss::Value));
                }
                attributes.matches.push((token, value));
                continue;
            }
            let twice = attributes.once.iter().any(|(_, other, _)| *other == name);
            if twice && !REPEATED.contains(&name.as_str()) {
                return Err(token.refused(Loss::AttributeTwice));
            }
            attributes.once.push((token, name, value));
        }
        Ok(attributes)
    }
}

impl Token {
    fn refused(&self, loss: Loss) -> Refusal {
        (self.offset, self.text.clone(), loss)
    }
}

/// The pattern that a key means; nothing if Postfix never finds it.
fn pattern(key: &str) -> Result<Option<String>, Loss> {
    if key.starts_with('/') || key.starts_with('!') || key.eq_ignore_ascii_case("if") || key.eq_ignore_ascii_case("endif") {
        return Err(Loss::RegularExpression);
    }
    // A recipient's domain has none of these: a star is an ordinary character there, and quotes stay part of the key.
    if key.contains(['*', '?', '"']) || key.ends_with('.') {
        return Ok(None);
    }
    if key.starts_with('[') || key.contains(':') {
        return Err(Loss::NextHopKey);
    }
    let (name, below) = key.strip_prefix('.').map_or((key, ""), |parent| (parent, "*."));
    let domain = Domain::parse(name).map_err(|cause| Loss::Key { cause: cause.into() })?;
    Ok(Some(format!("{below}{domain}")))
}

/// Postfix takes one entry and no other; here what an entry does not say falls through to a wider one. So that names and anchors of a
/// wider entry stay its own, entries that could inherit some say that they have no names, and the system's anchors.
fn fence(partners: &mut [Entry<PartnerForm>]) {
    use crate::form::{HopForm, HopTable};
    let is_wide = |entry: &Entry<PartnerForm>| entry.form.domains.iter().any(|domain| domain.starts_with("*."));
    let some_wide = |has: fn(&HopTable) -> bool| {
        let mut wide = partners.iter().filter(|entry| is_wide(entry)).filter_map(|entry| entry.form.deliver.as_ref());
        wide.any(|hop| matches!(hop, HopForm::Table(table) if has(table)))
    };
    let (names, anchors) = (some_wide(|table| table.names.is_some()), some_wide(|table| table.anchors.is_some()));
    for entry in partners {
        if let Some(HopForm::Table(table)) = &mut entry.form.deliver
            && table.level.as_deref() == Some("verify")
        {
            if names {
                table.names.get_or_insert_with(Items::default);
            }
            if anchors {
                table.anchors.get_or_insert_with(|| Items::from(AnchorFiles::SYSTEM));
            }
        }
    }
}

fn octet_of(text: &str) -> Option<u8> {
    (text.len() == 2).then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

/// Attributes that a plugin sets for TLS reports.
const REPORTING: &[&str] = &["policy_ttl", "policy_type", "policy_domain", "policy_string", "mx_host_pattern", "policy_failure"];

/// Attributes that may be given more than once: the last one holds, or each does.
const REPEATED: &[&str] = &["tafile", "connection_reuse", "enable_rpk", "policy_string", "mx_host_pattern"];

const SHA256_OCTETS: usize = 32;
