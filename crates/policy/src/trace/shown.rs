//! A trace as text, as one line, and serialised.

use std::fmt::{self, Write as _};

use sealpost_types::{Clause, ClientIdentity, Demand, Domain, KexFloor, Level, NameMatch, OnExpiry, RetrySchedule, TlsRequirement};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{Axes, Axis, Note, Party, Place, Question, Source, Step, Trace};
use crate::asked::{FailureEnd, Span, expiry_word, fallback_word, match_word, version_word};
use crate::facts::ClientCertificate;

impl Trace {
    /// One line for a history: the level, and each source that settled something, `;` between them.
    ///
    /// What is built in is named only if it settled everything.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = format!("{}: ", self.level);
        let mut any = false;
        // What the sender asks stands in no file.
        let is_told = |source: &Source| source.place().is_some() || source.kind().is_of_sender();
        for step in self.steps.iter().filter(|step| !step.decided.is_empty() && is_told(&step.source)) {
            let separator = if any { "; " } else { "" };
            let _ = write!(text, "{separator}{} {}", step.source, Effects { step, demand: &self.demand });
            any = true;
        }
        if !any {
            text.push_str("built-in default");
        }
        text
    }
}

/// What came of a source, in words: `raised tls to mandatory, asked for chain and name`.
struct Effects<'a> {
    step: &'a Step,
    demand: &'a Demand,
}

impl fmt::Display for Effects<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { raised, decided, asked, .. } = self.step;
        for (index, axis) in decided.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            let verb = if raised.contains(axis) { "raised" } else { "set" };
            match axis {
                Axis::Tls => write!(f, "{verb} tls to {}", tls_word(self.demand.tls))?,
                Axis::Certificate => f.write_str(certificate_words(asked.level))?,
                Axis::MinVersion => write!(f, "{verb} min_version to {}", version_word(self.demand.min_version))?,
                Axis::MinGroup => write!(f, "{verb} min_group to {}", self.demand.min_group)?,
                Axis::Ciphers => f.write_str("set the cipher suites")?,
                Axis::OnFailure => {
                    write!(f, "set on_failure to {}", if asked.on_failure == Some(FailureEnd::Bounce) { "bounce" } else { "retry" })?
                }
                Axis::ClearFallback => write!(f, "set clear_fallback to {}", fallback_word(asked.clear_fallback.unwrap_or_default()))?,
                Axis::IgnorePublished => f.write_str("left out what the domain publishes")?,
                Axis::ClientCertificate => match &asked.client_identity {
                    Some(ClientIdentity::Files { certificate, .. }) => write!(f, "set the client certificate to {certificate}")?,
                    _ => f.write_str("left out the client certificate")?,
                },
                Axis::Lifetime => write!(f, "set lifetime to {}", Span(asked.lifetime.unwrap_or_default()))?,
                Axis::Retry => write!(f, "set retry to {}", waits(asked.retry.as_ref()))?,
                Axis::OnExpiry => write!(f, "set on_expiry to {}", expiry_word(asked.on_expiry.unwrap_or_default()))?,
            }
        }
        if decided.is_empty() { f.write_str("no effect") } else { Ok(()) }
    }
}

/// The waits of a schedule in the words of the file.
fn waits(schedule: Option<&RetrySchedule>) -> String {
    let waits = schedule.map_or(&[][..], RetrySchedule::waits);
    waits.iter().map(|wait| Span(*wait).to_string()).collect::<Vec<_>>().join(" ")
}

fn certificate_words(level: Option<Level>) -> &'static str {
    match level {
        Some(Level::Chain) => "asked for a chain",
        Some(Level::Verify) => "asked for chain and name",
        Some(Level::Pinned) => "asked for a pinned key",
        Some(Level::DaneOnly) => "asked for DANE",
        Some(Level::Dane) => "asked for DANE where it is there",
        _ => "set what the certificate must have",
    }
}

/// A block of text: the question with the level, what is asked in all, and a line for each source.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.question, self.level)?;
        if let Some(certificate) = &self.question.certificate {
            writeln!(f, "  the client's certificate {}", Proves(certificate))?;
        }
        write!(f, "  asked in all: {}", Words(&self.demand))?;
        if let Some(fate) = &self.fate {
            let end = match fate.on_expiry {
                OnExpiry::Delete => "deletion",
                OnExpiry::Hold => "held",
                _ => "a bounce",
            };
            write!(f, "; tried for {}", Span(fate.lifetime))?;
            if fate.retry.is_some() {
                write!(f, " after {}", waits(fate.retry.as_ref()))?;
            }
            write!(f, ", then {end}")?;
        }
        for step in &self.steps {
            write!(f, "\n  {}", step.source)?;
            match (step.party.as_str(), &step.pattern) {
                (Some(party), Some(pattern)) => write!(f, ", {party} matches {pattern}")?,
                (Some(party), None) => write!(f, ", {party}")?,
                (None, _) => {}
            }
            match step.note {
                Some(note) if step.decided.is_empty() => write!(f, ": would ask {} -> {note}", step.asked)?,
                Some(note) => write!(f, ": asks {} ({note}) -> {}", step.asked, Effects { step, demand: &self.demand })?,
                None => write!(f, ": asks {} -> {}", step.asked, Effects { step, demand: &self.demand })?,
            }
        }
        if let Some((level, demand)) = &self.shadow {
            write!(f, "\n  with what is in testing: {level}, {}", Words(demand))?;
        }
        Ok(())
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from <{}>", self.hop, self.reverse_path)?;
        if let Some(to) = &self.forward_path {
            write!(f, " to <{to}>")?;
        }
        match (self.client, self.tls) {
            (Some(client), Some(version)) => write!(f, ", client {client} over {version}"),
            (Some(client), None) => write!(f, ", client {client} in clear"),
            (None, _) if self.secure => f.write_str(", received over TLS"),
            (None, _) => f.write_str(", received in clear"),
        }
    }
}

/// What a client's certificate proves, in words.
struct Proves<'a>(&'a ClientCertificate);

impl fmt::Display for Proves<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClientCertificate { is_trusted, names, pin, problem, .. } = self.0;
        if *is_trusted {
            let names: Vec<_> = names.iter().map(Domain::as_str).collect();
            return write!(f, "is trusted, and names {}", if names.is_empty() { "no host".to_owned() } else { names.join(", ") });
        }
        f.write_str("proves no name")?;
        problem.iter().try_for_each(|problem| write!(f, ": {problem}"))?;
        pin.iter().try_for_each(|pin| write!(f, "; its key is {pin}"))
    }
}

/// A demand in words.
struct Words<'a>(&'a Demand);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS {}", tls_word(self.0.tls))?;
        if self.0.tls != TlsRequirement::Never {
            write!(f, ", {} or later", self.0.min_version)?;
        }
        if self.0.min_group > KexFloor::Any {
            write!(f, ", key exchange {} or stronger", self.0.min_group)?;
        }
        if let Some(ciphers) = &self.0.ciphers {
            write!(f, ", cipher suites {ciphers}")?;
        }
        self.0.clauses.iter().try_for_each(|clause| write!(f, ", {}", clause_words(clause)))
    }
}

fn clause_words(clause: &Clause) -> String {
    match clause {
        Clause::Chain => "a chain to a trust anchor".to_owned(),
        Clause::ChainTo(anchors) => format!("a chain to a trust anchor of {anchors}"),
        Clause::Identity(rule) => {
            let mut text = match rule.matching {
                NameMatch::Mx => "a name of the domain or of its MX host".to_owned(),
                _ => "a name of the domain".to_owned(),
            };
            for name in &rule.names {
                let _ = write!(text, " or {name}");
            }
            text
        }
        Clause::Pinned(pins) => format!("the key {}", pins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")),
        Clause::Dane => "secure TLSA records".to_owned(),
        Clause::DaneElse(otherwise) => {
            let rest: Vec<_> = otherwise.iter().map(clause_words).collect();
            format!("secure TLSA records, or without them {}", if rest.is_empty() { "nothing".to_owned() } else { rest.join(" and ") })
        }
        _ => "a further proof".to_owned(),
    }
}

fn tls_word(tls: TlsRequirement) -> &'static str {
    match tls {
        TlsRequirement::Never => "never",
        TlsRequirement::Opportunistic => "opportunistic",
        TlsRequirement::Mandatory => "mandatory",
    }
}

impl Axis {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::MinVersion => "min_version",
            Self::MinGroup => "min_group",
            Self::Ciphers => "ciphers",
            Self::Lifetime => "lifetime",
            Self::OnExpiry => "on_expiry",
            Self::Retry => "retry",
            Self::OnFailure => "on_failure",
            Self::ClearFallback => "clear_fallback",
            Self::IgnorePublished => "ignore_published",
            Self::ClientCertificate => "client_certificate",
        }
    }
}

impl Party {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Sender => Some("sender"),
            Self::Recipient => Some("recipient"),
            Self::Client => Some("client"),
            Self::Nobody => None,
        }
    }
}

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut trace = serializer.serialize_struct("Trace", 9)?;
        trace.serialize_field("question", &self.question)?;
        trace.serialize_field("level", self.level.as_str())?;
        trace.serialize_field("demand", &Serial(&*self.demand))?;
        match &self.fate {
            Some(fate) => {
                trace.serialize_field("lifetime", &Span(fate.lifetime).to_string())?;
                match &fate.retry {
                    Some(_) => trace.serialize_field("retry", &waits(fate.retry.as_ref()))?,
                    None => trace.skip_field("retry")?,
                }
                trace.serialize_field("on_expiry", expiry_word(fate.on_expiry))?;
            }
            None => {
                trace.skip_field("lifetime")?;
                trace.skip_field("retry")?;
                trace.skip_field("on_expiry")?;
            }
        }
        trace.serialize_field("sources", &self.steps)?;
        trace.serialize_field("shadow_level", &self.shadow.as_ref().map(|(level, _)| level.as_str()))?;
        trace.serialize_field("shadow_demand", &self.shadow.as_ref().map(|(_, demand)| Serial(&**demand)))?;
        trace.end()
    }
}

impl Serialize for Question {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut question = serializer.serialize_struct("Question", 7)?;
        question.serialize_field("hop", &self.hop.to_string())?;
        question.serialize_field("client", &self.client)?;
        question.serialize_field("certificate", &self.certificate.as_ref().map(Serial))?;
        question.serialize_field("from", &self.reverse_path.to_string())?;
        question.serialize_field("to", &self.forward_path.as_ref().map(ToString::to_string))?;
        question.serialize_field("tls", &self.tls.map(version_word))?;
        question.serialize_field("secure", &self.secure)?;
        question.end()
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut step = serializer.serialize_struct("Step", 7)?;
        step.serialize_field("source", &self.source)?;
        step.serialize_field("party", &self.party.as_str())?;
        step.serialize_field("pattern", &self.pattern.as_ref().map(ToString::to_string))?;
        step.serialize_field("asked", &*self.asked)?;
        step.serialize_field("note", &self.note.map(Note::code))?;
        step.serialize_field("raised", &self.raised)?;
        step.serialize_field("decided", &self.decided)?;
        step.end()
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut source = serializer.serialize_struct("Source", 4)?;
        source.serialize_field("kind", self.kind().as_str())?;
        source.serialize_field("name", &self.name())?;
        source.serialize_field("file", &self.place().map(|Place { file, .. }| &**file))?;
        source.serialize_field("line", &self.place().map(|place| place.line))?;
        source.end()
    }
}

impl Serialize for Axes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Axis::as_str))
    }
}

impl Serialize for Serial<'_, ClientCertificate> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ClientCertificate { is_trusted, names, pin, problem, .. } = self.0;
        let mut certificate = serializer.serialize_struct("ClientCertificate", 4)?;
        certificate.serialize_field("trusted", is_trusted)?;
        certificate.serialize_field("names", &names.iter().map(Domain::as_str).collect::<Vec<_>>())?;
        certificate.serialize_field("pin", &pin.as_ref().map(ToString::to_string))?;
        certificate.serialize_field("problem", &problem.as_deref())?;
        certificate.end()
    }
}

/// A value in the words of the file.
struct Serial<'a, T>(&'a T);

impl Serialize for Serial<'_, Demand> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut demand = serializer.serialize_struct("Demand", 5)?;
        demand.serialize_field("tls", tls_word(self.0.tls))?;
        demand.serialize_field("min_version", version_word(self.0.min_version))?;
        demand.serialize_field("min_group", self.0.min_group.as_str())?;
        demand.serialize_field(
            "ciphers",
            &self.0.ciphers.as_ref().map(|set| set.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>()),
        )?;
        demand.serialize_field("clauses", &self.0.clauses.iter().map(Serial).collect::<Vec<_>>())?;
        demand.end()
    }
}

impl Serialize for Serial<'_, Clause> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = match self.0 {
            Clause::Chain => "chain",
            Clause::ChainTo(_) => "chain-to",
            Clause::Identity(_) => "identity",
            Clause::Pinned(_) => "pinned",
            Clause::Dane => "dane",
            Clause::DaneElse(_) => "dane-else",
            _ => "other",
        };
        let mut clause = serializer.serialize_struct("Clause", 3)?;
        clause.serialize_field("kind", kind)?;
        match self.0 {
            Clause::ChainTo(anchors) => clause.serialize_field("anchors", anchors.as_slice())?,
            Clause::Identity(rule) => {
                clause.serialize_field("match", match_word(rule.matching))?;
                clause.serialize_field("names", &rule.names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            }
            Clause::Pinned(pins) => clause.serialize_field("pins", &pins.iter().map(ToString::to_string).collect::<Vec<_>>())?,
            Clause::DaneElse(otherwise) => clause.serialize_field("else", &otherwise.iter().map(Serial).collect::<Vec<_>>())?,
            _ => {}
        }
        clause.end()
    }
}
