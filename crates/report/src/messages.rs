//! Every title and sentence, in every language.
//!
//! The texts stand in `messages/<language>.ftl`, one file per language, in the simplest form of Fluent's syntax.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::{EventKind, EventResult, RequireTlsMark};

/// A language that entries and notifications can be read in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

/// A word that is no [`Lang`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown language {found:?}; one of en, de is meant")]
#[non_exhaustive]
pub struct UnknownLang {
    /// The word.
    pub found: String,
}

impl Lang {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::En, Self::De];

    /// Its code of two letters (ISO 639-1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    fn table(self) -> &'static Table {
        static EN: LazyLock<Table> = LazyLock::new(|| parse(include_str!("messages/en.ftl")));
        static DE: LazyLock<Table> = LazyLock::new(|| parse(include_str!("messages/de.ftl")));
        match self {
            Self::En => &EN,
            Self::De => &DE,
        }
    }
}

impl EventKind {
    /// Its title in a language: "Processing: Check TLS", "Verarbeitung läuft: TLS prüfen".
    #[must_use]
    pub fn title(self, lang: Lang) -> &'static str {
        Key::title(self).text(lang)
    }
}

impl FromStr for Lang {
    type Err = UnknownLang;

    fn from_str(text: &str) -> Result<Self, UnknownLang> {
        Self::ALL.into_iter().find(|lang| lang.as_str() == text).ok_or_else(|| UnknownLang { found: text.to_owned() })
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names each message once: as a variant, and as the key in the files.
macro_rules! keys {
    ($($variant:ident = $key:literal,)*) => {
        /// What a message says, whatever the language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Key { $($variant,)* }

        impl Key {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant,)*];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $key,)* }
            }
        }
    };
}

keys! {
    TitleReceived = "title-received",
    TitleRefused = "title-refused",
    TitleAttempt = "title-attempt",
    TitleDeferred = "title-deferred",
    TitleCheckTls = "title-check-tls",
    TitleBounced = "title-bounced",
    TitleDeleted = "title-deleted-by-tls-policy",
    TitleDelivered = "title-delivered",
    TitleExpired = "title-expired",
    TitleHeld = "title-held",
    TitleReleased = "title-released",
    TitleRemoved = "title-removed",
    TitlePolicyChanged = "title-policy-changed",
    HopReceive = "hop-receive",
    HopDeliver = "hop-deliver",
    ResultSuccess = "result-success",
    ResultTransient = "result-transient",
    ResultPermanent = "result-permanent",
    LabelId = "label-id",
    LabelSender = "label-sender",
    LabelRecipient = "label-recipient",
    LabelSize = "label-size",
    LabelHost = "label-host",
    LabelResult = "label-result",
    LabelReason = "label-reason",
    LabelReply = "label-reply",
    LabelNext = "label-next",
    LabelDecided = "label-decided",
    LabelTrace = "label-trace",
    LabelTls = "label-tls",
    LabelLogin = "label-login",
    LabelClientNames = "label-client-names",
    LabelCertificate = "label-certificate",
    LabelPin = "label-pin",
    LabelBy = "label-by",
    LabelFile = "label-file",
    LabelChanges = "label-changes",
    LabelShadow = "label-shadow",
    ShadowMet = "shadow-met",
    ShadowNotMet = "shadow-not-met",
    ShadowNotJudged = "shadow-not-judged",
    LabelPath = "label-path",
    LabelDemand = "label-demand",
    LabelFinding = "label-finding",
    Via = "via",
    Octets = "octets",
    AttemptNumber = "attempt-number",
    DecidedBy = "decided-by",
    ClearText = "clear-text",
    PostQuantum = "post-quantum",
    NotPostQuantum = "not-post-quantum",
    NoKeyExchange = "no-key-exchange",
    Resumed = "resumed",
    NoPath = "no-path",
    Satisfied = "satisfied",
    NotSatisfied = "not-satisfied",
    InsecureName = "insecure-name",
    RequireTlsAsked = "requiretls-asked",
    RequireTlsHandedOn = "requiretls-handed-on",
    RequireTlsGradedDown = "requiretls-graded-down",
    DsnFrom = "dsn-from",
    DsnSubjectFailed = "dsn-subject-failed",
    DsnSubjectDelayed = "dsn-subject-delayed",
    DsnSubjectRelayed = "dsn-subject-relayed",
    DsnIntro = "dsn-intro",
    DsnFailed = "dsn-failed",
    DsnDelayed = "dsn-delayed",
    DsnRelayed = "dsn-relayed",
    DsnReason = "dsn-reason",
    DsnDecided = "dsn-decided",
    DsnReply = "dsn-reply",
    DsnReplyUnnamed = "dsn-reply-unnamed",
    DsnUntil = "dsn-until",
    DsnExpired = "dsn-expired",
    DsnReceived = "dsn-received",
    DsnHeaders = "dsn-headers",
    DsnWhole = "dsn-whole",
}

impl Key {
    /// The text in a language, its placeholders not filled in.
    pub(crate) fn text(self, lang: Lang) -> &'static str {
        // A test holds every table to every key; should one be missing all the same, its name still says something.
        lang.table().get(self.as_str()).copied().unwrap_or_else(|| self.as_str())
    }

    /// The text in a language with its placeholders filled in.
    pub(crate) fn fill(self, lang: Lang, values: &[(&str, &str)]) -> String {
        let mut rest = self.text(lang);
        let mut filled = String::with_capacity(rest.len() + 64);
        // One pass from left to right: a value that looks like a placeholder stays as it is.
        while let Some((before, name, after)) = placeholder(rest) {
            filled.push_str(before);
            filled.push_str(values.iter().find(|(known, _)| *known == name).map_or("?", |(_, value)| value));
            rest = after;
        }
        filled + rest
    }

    pub(crate) fn title(kind: EventKind) -> Self {
        match kind {
            EventKind::Received => Self::TitleReceived,
            EventKind::Refused => Self::TitleRefused,
            EventKind::Attempt => Self::TitleAttempt,
            EventKind::Deferred => Self::TitleDeferred,
            EventKind::CheckTls => Self::TitleCheckTls,
            EventKind::Bounced => Self::TitleBounced,
            EventKind::DeletedByTlsPolicy => Self::TitleDeleted,
            EventKind::Delivered => Self::TitleDelivered,
            EventKind::Expired => Self::TitleExpired,
            EventKind::Held => Self::TitleHeld,
            EventKind::Released => Self::TitleReleased,
            EventKind::Removed => Self::TitleRemoved,
            EventKind::PolicyChanged => Self::TitlePolicyChanged,
        }
    }

    pub(crate) fn require_tls(mark: RequireTlsMark) -> Self {
        match mark {
            RequireTlsMark::Asked => Self::RequireTlsAsked,
            RequireTlsMark::HandedOn => Self::RequireTlsHandedOn,
            RequireTlsMark::GradedDown => Self::RequireTlsGradedDown,
        }
    }

    pub(crate) fn result(result: EventResult) -> Self {
        match result {
            EventResult::Success => Self::ResultSuccess,
            EventResult::Transient => Self::ResultTransient,
            EventResult::Permanent => Self::ResultPermanent,
        }
    }
}

type Table = HashMap<&'static str, &'static str>;

/// The next `{ $name }`: what stands before it, the name, what stands behind it.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{ $")?;
    let (name, after) = rest.split_once(" }")?;
    Some((before, name, after))
}

fn parse(file: &'static str) -> Table {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(key, text)| (key.trim(), text.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a table lacks, has too much, or fills in otherwise than English does.
    fn faults(table: &Table) -> Vec<String> {
        let english = Lang::En.table();
        let placeholders = |mut text: &'static str| {
            let mut names = Vec::new();
            while let Some((_, name, after)) = placeholder(text) {
                names.push(name);
                text = after;
            }
            names.sort_unstable();
            names
        };
        let mut faults = Vec::new();
        for key in Key::ALL.iter().map(|key| key.as_str()) {
            match (table.get(key), english.get(key)) {
                (Some(&""), _) => faults.push(format!("{key} is empty")),
                (Some(text), Some(english)) if placeholders(text) != placeholders(english) => faults.push(format!("{key} fills in others")),
                (Some(_), _) => {}
                (None, _) => faults.push(format!("{key} is missing")),
            }
        }
        faults.extend(
            table.keys().filter(|key| !Key::ALL.iter().any(|known| known.as_str() == **key)).map(|key| format!("{key} is unknown")),
        );
        faults
    }

    // req: A9
    #[test]
    fn no_message_is_missing_in_any_language() {
        for lang in Lang::ALL {
            assert_eq!(faults(lang.table()), Vec::<String>::new(), "{lang}");
        }
    }

    #[test]
    fn a_missing_message_would_be_noticed() {
        let mut table = Lang::De.table().clone();
        table.remove("title-check-tls");
        table.insert("octets", "Oktette");
        table.insert("title-gone", "weg");
        let mut found = faults(&table);
        found.sort();
        assert_eq!(found, ["octets fills in others", "title-check-tls is missing", "title-gone is unknown"]);
    }

    // req: A9
    #[test]
    fn the_titles_that_are_agreed_on() {
        assert_eq!(EventKind::CheckTls.title(Lang::En), "Processing: Check TLS");
        assert_eq!(EventKind::CheckTls.title(Lang::De), "Verarbeitung läuft: TLS prüfen");
        assert_eq!(EventKind::DeletedByTlsPolicy.title(Lang::En), "Mail was deleted because of the TLS policy");
    }

    #[test]
    fn a_value_is_never_filled_in_twice() {
        let text = Key::DecidedBy.fill(Lang::En, &[("level", "{ $source }"), ("source", "x")]);
        assert_eq!(text, "{ $source }, demanded by x");
        assert_eq!(Key::Octets.fill(Lang::En, &[]), "? octets");
    }
}
