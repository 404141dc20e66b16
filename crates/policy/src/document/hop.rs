//! What stands behind `receive`, `submit` or `deliver`.

use sealpost_types::{AnchorFiles, ClientIdentity, Level, RetrySchedule};
use toml::de::DeTable;

use super::place::Text;
use super::problem::Problem;
use super::value::{Value, Written, address, as_set, client, local, pin, reference_name, values};
use super::words;
use crate::asked::Asked;
use crate::layer::Side;
use crate::network::ClientPattern;
use crate::pattern::{AddressPattern, LocalPattern};

/// What an entry says of one hop, and for which mail.
#[derive(Debug, Default)]
pub(crate) struct HopEntry {
    pub(crate) asked: Asked,
    pub(crate) senders: Option<Vec<AddressPattern>>,
    pub(crate) recipients: Option<Vec<LocalPattern>>,
    pub(crate) exempt: Vec<ClientPattern>,
    /// `else` beside `senders` or `recipients`.
    pub(crate) otherwise: Option<Level>,
}

/// What one entry says of all hops.
#[derive(Debug, Default)]
pub(crate) struct HopEntries {
    pub(crate) receive: HopEntry,
    pub(crate) submit: HopEntry,
    pub(crate) deliver: HopEntry,
    /// Keys without a level beside them: to be checked against the level that holds.
    pub(crate) unchecked: Vec<(Side, &'static str, usize)>,
    /// Where `ignore_published = true` stands: the entry must say why, and until when.
    pub(crate) ignores_published: Option<usize>,
}

impl HopEntries {
    pub(super) fn read(text: &mut Text<'_>, table: &DeTable<'_>, sides: &[Side]) -> Self {
        let mut entries = Self::default();
        for side in sides {
            let Some(value) = table.get(side.key()) else { continue };
            let hop = text.hop(value, *side, &mut entries);
            match side {
                Side::Receive => entries.receive = hop,
                Side::Submit => entries.submit = hop,
                Side::Deliver => entries.deliver = hop,
            }
        }
        entries
    }
}

impl HopEntry {
    /// Whether it is for some mail or some clients only.
    pub(crate) fn is_conditional(&self) -> bool {
        self.senders.is_some() || self.recipients.is_some() || !self.exempt.is_empty()
    }
}

impl Text<'_> {
    fn hop(&mut self, value: &Value<'_>, side: Side, entries: &mut HopEntries) -> HopEntry {
        let Some(table) = value.get_ref().as_table() else {
            let expected = match side {
                Side::Deliver => "a level such as \"require\", or a table { level = \"verify\", names = [\"mx.example.org\"] }",
                _ => "a level such as \"require\", or a table { level = \"require\" }",
            };
            let found = self.string(value, side.key(), expected);
            let level = found.and_then(|(offset, found)| self.noted(offset, words::level(side.key(), found, side)));
            self.check_companions(value.span().start, level, &Asked::default(), side);
            return HopEntry { asked: Asked { level, ..Asked::default() }, ..HopEntry::default() };
        };
        self.check_hop_keys(table, side);
        let mut asked = self.asked(table, side);
        let mut hop = HopEntry {
            senders: self.filled_list(table, "senders", "at least one address, or leave it out for all", address),
            recipients: self.filled_list(table, "recipients", "at least one local part, or leave it out for all", local),
            ..HopEntry::default()
        };
        if side != Side::Deliver {
            let exempt = self.list_at(table, "exempt_clients", client).unwrap_or_default();
            for Written { offset, value } in exempt {
                if value.is_network() {
                    hop.exempt.push(value);
                } else {
                    self.problem(offset, Problem::ExemptClient { found: value.to_string() });
                }
            }
        }
        let level_key = table.get_key_value("level").map(|(key, _)| key.span().start);
        self.otherwise(table, side, &mut asked, &mut hop);
        self.check_companions(level_key.unwrap_or_else(|| value.span().start), asked.level, &asked, side);
        self.check_meanings(table, side, &asked, entries);
        hop.asked = asked;
        hop
    }

    fn asked(&mut self, table: &DeTable<'_>, side: Side) -> Asked {
        let mut asked = Asked {
            level: self.read_at(table, "level", "a level such as \"require\"", |found| words::level("level", found, side)),
            names: self.list_at(table, "names", reference_name).map(values).map(as_set),
            pins: self.filled_list(table, "pins", "at least one sha256//... of a key, or leave it out", pin).map(as_set),
            min_version: self.read_at(table, "min_version", "\"1.2\" or \"1.3\"", |found| words::min_version("min_version", found)),
            min_group: self.read_at(table, "min_group", "a group such as \"x25519\", or \"post-quantum\"", |found| {
                words::min_group("min_group", found)
            }),
            ..Asked::default()
        };
        if let Some((key, _)) = table.get_key_value("ciphers") {
            let offset = key.span().start;
            let problems = self.problems();
            let items = self.list_at(table, "ciphers", words::cipher).map(values).unwrap_or_default();
            if self.problems() == problems {
                asked.ciphers = self.noted(offset, words::ciphers(&items));
            }
        }
        if side != Side::Deliver {
            asked.refuse = self.read_at(table, "refuse", "\"5xx\" or \"4xx\"", |found| words::refuse("refuse", found));
            return asked;
        }
        asked.anchors = self
            .filled_list(table, "anchors", "at least one file of certificates, or leave it out", |found| Ok(found.to_owned()))
            .map(AnchorFiles::new);
        asked.client_identity = self.client_identity(table);
        asked.matching = self.read_at(table, "match", "\"domain\" or \"mx\"", |found| words::matching("match", found));
        asked.dane_satisfies = self.boolean_at(table, "dane_satisfies");
        asked.ignore_published = self.boolean_at(table, "ignore_published");
        asked.clear_fallback = self.read_at(table, "clear_fallback", "\"second-attempt\", \"immediate\" or \"never\"", |found| {
            words::clear_fallback("clear_fallback", found)
        });
        self.fate(table, &mut asked);
        asked
    }

    /// A certificate to show, and its key; the key may stand in the same file.
    fn client_identity(&mut self, table: &DeTable<'_>) -> Option<ClientIdentity> {
        let certificate = self.file_at(table, "client_certificate", "a file such as \"client.pem\", or \"none\"");
        let key = self.file_at(table, "client_key", "a file such as \"client-key.pem\"");
        let belongs =
            if certificate.is_some() { certificate != Some(ClientIdentity::NONE) } else { table.get("client_certificate").is_some() };
        if let (Some((written, _)), false) = (table.get_key_value("client_key"), belongs) {
            self.problem(written.span().start, Problem::KeyWithoutCertificate);
        }
        Some(match certificate? {
            ClientIdentity::NONE => ClientIdentity::Withheld,
            certificate => ClientIdentity::of_files(certificate, key),
        })
    }

    fn file_at<'v>(&mut self, table: &'v DeTable<'_>, key: &'static str, expected: &'static str) -> Option<&'v str> {
        let (offset, file) = self.string_at(table, key, expected)?;
        if file.is_empty() {
            self.problem(offset, Problem::Empty { key, expected });
            return None;
        }
        Some(file)
    }

    /// The keys of a fate, which stand in `[defaults]` too.
    pub(super) fn fate(&mut self, table: &DeTable<'_>, asked: &mut Asked) {
        asked.lifetime = self.read_at(table, "lifetime", "a text such as \"7d\"", |found| words::span("lifetime", found));
        asked.retry = self
            .filled_list(table, "retry", "at least one wait such as \"5m\", or leave it out", |found| words::span("retry", found))
            .and_then(RetrySchedule::new);
        asked.on_expiry =
            self.read_at(table, "on_expiry", "\"bounce\", \"delete\" or \"hold\"", |found| words::on_expiry("on_expiry", found));
        asked.on_failure = self.read_at(table, "on_failure", "\"retry\" or \"bounce\"", |found| words::on_failure("on_failure", found));
        asked.bounce_after = self.count_at(table, "bounce_after");
    }

    /// `else` beside `dane` is for hosts without secure TLSA records, beside `senders` or `recipients` for other mail.
    fn otherwise(&mut self, table: &DeTable<'_>, side: Side, asked: &mut Asked, hop: &mut HopEntry) {
        let Some((key, value)) = table.get_key_value("else") else { return };
        let at = key.span().start;
        let Some((offset, found)) = self.string(value, "else", "a level such as \"opportunistic\"") else { return };
        if asked.level == Some(Level::Dane) {
            asked.otherwise = self.noted(offset, words::dane_else("else", found));
        } else if hop.senders.is_some() || hop.recipients.is_some() {
            hop.otherwise = self.noted(offset, words::level("else", found, side));
            let needs_more = |level| matches!(level, Level::Pinned | Level::Dane) || (level == Level::Verify && side != Side::Deliver);
            if hop.otherwise.is_some_and(needs_more) {
                self.problem(offset, Problem::ElseLevel { found: found.to_owned() });
            }
        } else {
            self.problem(at, Problem::ElseAlone);
        }
    }

    /// What must stand beside a level.
    fn check_companions(&mut self, offset: usize, level: Option<Level>, asked: &Asked, side: Side) {
        match level {
            Some(Level::Pinned) if asked.pins.is_none() => {
                self.problem(offset, Problem::NeedsBeside { level: Level::Pinned, key: "pins" });
            }
            Some(Level::Dane) if asked.otherwise == Some(Level::Pinned) && asked.pins.is_none() => {
                self.problem(offset, Problem::NeedsBeside { level: Level::Pinned, key: "pins" });
            }
            Some(Level::Verify) if side != Side::Deliver && asked.names.as_ref().is_none_or(Vec::is_empty) => {
                self.problem(offset, Problem::NeedsBeside { level: Level::Verify, key: "names" });
            }
            _ => {}
        }
    }

    fn check_meanings(&mut self, table: &DeTable<'_>, side: Side, asked: &Asked, entries: &mut HopEntries) {
        for key in KEYS_WITH_LEVELS {
            let Some((written, _)) = table.get_key_value(*key).filter(|_| allowed_keys(side).contains(key)) else { continue };
            let offset = written.span().start;
            match asked.level {
                Some(level) if !has_meaning(key, level, asked.otherwise) => {
                    self.problem(offset, Problem::KeyAtLevel { key, level, inherited: false });
                }
                // A level that could not be read has its own message.
                None if table.get("level").is_none() => entries.unchecked.push((side, key, offset)),
                _ => {}
            }
        }
        if asked.ignore_published == Some(true) {
            entries.ignores_published = table.get_key_value("ignore_published").map(|(key, _)| key.span().start);
        }
    }

    fn check_hop_keys(&mut self, table: &DeTable<'_>, side: Side) {
        let allowed = allowed_keys(side);
        for key in table.keys().filter(|key| !allowed.contains(&&**key.get_ref())) {
            let name = key.get_ref().to_string();
            let elsewhere = [RECEIVE_KEYS, DELIVER_KEYS].iter().any(|keys| keys.contains(&name.as_str()));
            let problem = if elsewhere {
                Problem::KeyOnHop { key: name, hop: side.key(), allowed }
            } else {
                Problem::UnknownKey { key: name, table: side.key(), allowed }
            };
            self.problem(key.span().start, problem);
        }
    }
}

fn allowed_keys(side: Side) -> &'static [&'static str] {
    match side {
        Side::Deliver => DELIVER_KEYS,
        _ => RECEIVE_KEYS,
    }
}

/// Whether a key means anything beside this level; `otherwise` is what `dane` comes to without records.
pub(crate) fn has_meaning(key: &str, level: Level, otherwise: Option<Level>) -> bool {
    let levels = [Some(level), otherwise.filter(|_| level == Level::Dane)];
    levels.into_iter().flatten().any(|level| match key {
        "min_version" | "min_group" | "ciphers" | "client_certificate" => level != Level::None,
        "names" | "match" => level == Level::Verify,
        "pins" => level == Level::Pinned,
        "dane_satisfies" | "anchors" => matches!(level, Level::Chain | Level::Verify),
        "clear_fallback" => matches!(level, Level::Mirror | Level::Opportunistic) || (level == Level::Dane && otherwise.is_none()),
        _ => true,
    })
}

/// The keys whose meaning hangs on the level.
const KEYS_WITH_LEVELS: &[&str] =
    &["names", "match", "pins", "anchors", "client_certificate", "dane_satisfies", "min_version", "min_group", "ciphers", "clear_fallback"];

pub(crate) const RECEIVE_KEYS: &[&str] =
    &["level", "names", "pins", "min_version", "min_group", "ciphers", "senders", "recipients", "else", "refuse", "exempt_clients"];

pub(crate) const DELIVER_KEYS: &[&str] = &[
    "level",
    "names",
    "match",
    "pins",
    "anchors",
    "client_certificate",
    "client_key",
    "else",
    "min_version",
    "min_group",
    "ciphers",
    "senders",
    "recipients",
    "lifetime",
    "retry",
    "on_expiry",
    "on_failure",
    "bounce_after",
    "clear_fallback",
    "dane_satisfies",
    "ignore_published",
];
