//! Every title and sentence, in every language.
//!
//! The texts stand in `messages/<language>.ftl`, one file per language, in [Fluent](https://projectfluent.org)'s syntax. A
//! further language is such a file, and its line in `languages!`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};

use crate::{EventKind, EventResult, RequireTlsMark};

/// Names each language once: as a variant, by its code, and with its file.
macro_rules! languages {
    ($($(#[$meta:meta])* $variant:ident = $code:literal,)*) => {
        /// A language that entries and notifications can be read in.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Lang { $($(#[$meta])* $variant,)* }

        impl Lang {
            /// Every language.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$variant,)*];

            /// Its code of two letters (ISO 639-1).
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            fn texts(self) -> &'static Texts {
                match self {
                    $(Self::$variant => {
                        static TEXTS: LazyLock<Texts> = LazyLock::new(|| texts($code, include_str!(concat!("messages/", $code, ".ftl"))));
                        &TEXTS
                    })*
                }
            }
        }
    };
}

languages! {
    /// English.
    #[default]
    En = "en",
    /// German.
    De = "de",
}

/// A word that is no [`Lang`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown language {found:?}; one of {} is meant", Lang::ALL.map(Lang::as_str).join(", "))]
#[non_exhaustive]
pub struct UnknownLang {
    /// The word.
    pub found: String,
}

type Texts = FluentBundle<FluentResource>;

/// The texts of a file. What is wrong with it, a test says; what can be read of it counts.
fn texts(code: &str, file: &str) -> Texts {
    let mut texts = Texts::new_concurrent(code.parse().into_iter().collect());
    // Terminals and mail have no use for marks of direction around what is filled in.
    texts.set_use_isolating(false);
    let resource = FluentResource::try_new(file.to_owned()).unwrap_or_else(|(resource, _)| resource);
    let _ = texts.add_resource(resource);
    texts
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
    LabelMore = "label-more",
    MoreRefusals = "more-refusals",
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
    LabelAnchors = "label-anchors",
    LabelShown = "label-shown",
    LabelDemand = "label-demand",
    LabelDane = "label-dane",
    LabelSts = "label-sts",
    LabelFinding = "label-finding",
    Via = "via",
    Octets = "octets",
    AttemptNumber = "attempt-number",
    DecidedBy = "decided-by",
    ClearText = "clear-text",
    InClear = "in-clear",
    AgainAt = "again-at",
    PostQuantum = "post-quantum",
    NotPostQuantum = "not-post-quantum",
    NoKeyExchange = "no-key-exchange",
    Resumed = "resumed",
    NoPath = "no-path",
    Satisfied = "satisfied",
    NotSatisfied = "not-satisfied",
    InsecureName = "insecure-name",
    SmallHello = "small-hello",
    RequireTlsAsked = "requiretls-asked",
    RequireTlsHandedOn = "requiretls-handed-on",
    RequireTlsGradedDown = "requiretls-graded-down",
    DaneMatched = "dane-matched",
    DaneUnmatched = "dane-unmatched",
    StsMet = "sts-met",
    StsLacking = "sts-lacking",
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
    /// The text in a language, of a message in which nothing is filled in.
    pub(crate) fn text(self, lang: Lang) -> &'static str {
        match self.format(lang, None) {
            Some(Cow::Borrowed(text)) => text,
            // A test holds every file to every key; should one be missing all the same, its name still says something.
            _ => self.as_str(),
        }
    }

    /// The text in a language with these values filled in.
    pub(crate) fn fill(self, lang: Lang, values: &[(&str, &str)]) -> String {
        let arguments: FluentArgs<'_> = values.iter().map(|(name, value)| (*name, *value)).collect();
        self.format(lang, Some(&arguments)).map_or_else(|| self.as_str().to_owned(), Cow::into_owned)
    }

    fn format(self, lang: Lang, arguments: Option<&FluentArgs<'_>>) -> Option<Cow<'static, str>> {
        let texts = lang.texts();
        let text = texts.get_message(self.as_str())?.value()?;
        // What cannot be filled in shows as the name of the gap.
        Some(texts.format_pattern(text, arguments, &mut Vec::new()))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement};

    use super::*;

    /// What is filled in, by key.
    type Gaps = BTreeMap<String, Vec<String>>;

    fn gaps(file: &str) -> Gaps {
        let resource = FluentResource::try_new(file.to_owned()).expect("the file is Fluent's");
        let message = |entry: &Entry<&str>| match entry {
            Entry::Message(message) => {
                let mut names = message.value.as_ref().map(names).unwrap_or_default();
                names.sort();
                names.dedup();
                Some((message.id.name.to_owned(), names))
            }
            _ => None,
        };
        resource.entries().filter_map(message).collect()
    }

    fn names(pattern: &Pattern<&str>) -> Vec<String> {
        let of = |element: &PatternElement<&str>| match element {
            PatternElement::Placeable { expression: Expression::Inline(InlineExpression::VariableReference { id }) } => {
                vec![id.name.to_owned()]
            }
            PatternElement::Placeable { expression: Expression::Select { selector, variants } } => {
                let mut all: Vec<String> = variants.iter().flat_map(|variant| names(&variant.value)).collect();
                if let InlineExpression::VariableReference { id } = selector {
                    all.push(id.name.to_owned());
                }
                all
            }
            _ => Vec::new(),
        };
        pattern.elements.iter().flat_map(of).collect()
    }

    fn file(lang: Lang) -> String {
        let path = format!("{}/src/messages/{lang}.ftl", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    /// What a language lacks, has too much, or fills in otherwise than English does.
    fn faults(gaps: &Gaps, english: &Gaps) -> Vec<String> {
        let mut faults = Vec::new();
        for key in Key::ALL.iter().map(|key| key.as_str()) {
            match (gaps.get(key), english.get(key)) {
                (Some(found), Some(english)) if found != english => faults.push(format!("{key} fills in others")),
                (Some(_), _) => {}
                (None, _) => faults.push(format!("{key} is missing")),
            }
        }
        let unknown = gaps.keys().filter(|key| !Key::ALL.iter().any(|known| known.as_str() == **key));
        faults.extend(unknown.map(|key| format!("{key} is unknown")));
        faults
    }

    // req: A9
    #[test]
    fn no_message_is_missing_in_any_language() {
        let english = gaps(&file(Lang::En));
        for lang in Lang::ALL {
            let gaps = gaps(&file(lang));
            assert_eq!(faults(&gaps, &english), Vec::<String>::new(), "{lang}");
            for key in Key::ALL {
                let empty = gaps.get(key.as_str()).is_none_or(Vec::is_empty);
                assert_eq!(matches!(key.format(lang, None), Some(Cow::Borrowed(text)) if !text.is_empty()), empty, "{lang} {key:?}");
            }
        }
    }

    #[test]
    fn each_file_is_a_language() {
        let folder = format!("{}/src/messages", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().filter_map(|file| file.unwrap().file_name().into_string().ok()).collect();
        let mut known = Lang::ALL.map(|lang| format!("{lang}.ftl"));
        files.sort();
        known.sort();
        assert_eq!(files, known);
    }

    #[test]
    fn a_missing_message_would_be_noticed() {
        let english = gaps(&file(Lang::En));
        let german = file(Lang::De).replace("title-check-tls =", "title-gone =").replace("{ $count } Oktette", "Oktette");
        assert_eq!(faults(&gaps(&german), &english), ["title-check-tls is missing", "octets fills in others", "title-gone is unknown"]);
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
        assert_eq!(Key::Octets.fill(Lang::En, &[]), "{$count} octets");
    }
}
