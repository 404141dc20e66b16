//! Entries as text for people and as JSON for programs.

use std::fmt::{self, Write as _};

use sealpost_types::{Domain, Hop, TlsFacts};
use serde::Serialize;

use crate::messages::Key;
use crate::{Clock, Event, EventKind, EventResult, Lang, NoTls, Proof, RequireTlsMark, Shadow, ShadowOutcome, StsProof};

/// How entries are shown to people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TextStyle {
    /// In which language.
    pub lang: Lang,
    /// By which clock.
    pub clock: Clock,
    /// Whether the trace of the decision is shown, too.
    pub trace: bool,
    /// Whether titles have colours, as a terminal shows them.
    pub color: bool,
}

impl TextStyle {
    /// A style of its parts, without the trace.
    #[must_use]
    pub fn new(lang: Lang, clock: Clock) -> Self {
        Self { lang, clock, trace: false, color: false }
    }
}

impl TextStyle {
    /// The title of an entry, by its result in green, yellow or red.
    pub(crate) fn title(self, event: &Event) -> String {
        let title = event.kind.title(self.lang);
        let color = match event.result {
            EventResult::Success => 32,
            EventResult::Transient => 33,
            EventResult::Permanent => 31,
        };
        if self.color { format!("\u{1b}[1;{color}m{title}\u{1b}[0m") } else { title.to_owned() }
    }
}

impl Event {
    /// The entry as a block of lines: time and title, then what is known, one thing a line.
    ///
    /// What came from other hosts is shown with control characters made visible, so that no peer can steer a
    /// terminal or fake a line.
    #[must_use]
    pub fn to_text(&self, style: TextStyle) -> String {
        let mut block = Block { lang: style.lang, text: String::with_capacity(512) };
        let lang = style.lang;
        if self.kind == EventKind::PolicyChanged {
            let _ = writeln!(block.text, "{}  {}", style.clock.iso(self.at), style.title(self));
            block.opt(Key::LabelBy, self.host.as_deref());
            block.opt(Key::LabelFile, self.next_hop.as_deref());
            block.opt(Key::LabelChanges, self.reason.as_deref());
            return block.text;
        }
        let hop = match self.hop {
            Hop::Receive => Key::HopReceive,
            Hop::Deliver => Key::HopDeliver,
        };
        let _ = writeln!(block.text, "{}  {} ({})", style.clock.iso(self.at), style.title(self), hop.text(lang));
        block.opt(Key::LabelId, self.queue_id.as_deref());
        block.opt(Key::LabelSender, self.sender.as_ref().map(|path| format!("<{path}>")));
        block.opt(Key::LabelRecipient, self.recipient.as_ref().map(|path| format!("<{path}>")));
        block.opt(Key::LabelSize, self.size.map(|size| Key::Octets.fill(lang, &[("count", &size.to_string())])));
        block.opt(Key::LabelHost, self.where_to(lang));
        let result = Key::result(self.result).text(lang);
        let attempt = self.attempts.map(|count| Key::AttemptNumber.fill(lang, &[("count", &count.to_string())]));
        block.line(Key::LabelResult, &attempt.map_or_else(|| result.to_owned(), |attempt| format!("{result}, {attempt}")));
        block.opt(Key::LabelMore, self.more.map(|more| Key::MoreRefusals.fill(lang, &[("count", &more.to_string())])));
        block.opt(Key::LabelReason, self.reason.as_deref());
        block.opt(Key::LabelReply, self.reply.as_deref());
        block.opt(Key::LabelNext, self.next_attempt.map(|at| style.clock.iso(at)));
        if let Some(decided) = &self.decided {
            block.line(Key::LabelDecided, &Key::DecidedBy.fill(lang, &[("level", &decided.level), ("source", &decided.source)]));
            if style.trace {
                block.line(Key::LabelTrace, &decided.trace);
            }
        }
        if let Some(proof) = &self.proof {
            block.proof(proof);
        }
        if let Some(shadow) = &self.shadow {
            block.shadow(shadow);
        }
        block.text
    }

    /// The entry as one JSON object on one line, without the line's end: for log shippers and other programs.
    ///
    /// Names, not registry numbers, stand for TLS versions, cipher suites and groups. Fields are added over time,
    /// never renamed. All control characters are escaped, those too that JSON lets stand (DEL, U+0080 to U+009F): a terminal obeys some of them.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (sender_domain, recipient_domain) = self.domains();
        let of_policy = self.kind == EventKind::PolicyChanged;
        let (mail, policy) = (Some(self).filter(|_| !of_policy), Some(self).filter(|_| of_policy));
        let line = JsonLine {
            at: Clock::Utc.iso(self.at),
            kind: self.kind.as_str(),
            title: self.kind.title(Lang::En),
            hop: mail.map(|event| event.hop),
            result: self.result.as_str(),
            queue_id: self.queue_id.as_deref(),
            sender: self.sender.as_ref().map(ToString::to_string),
            sender_domain: sender_domain.map(Domain::as_str),
            recipient: self.recipient.as_ref().map(ToString::to_string),
            recipient_domain: recipient_domain.map(Domain::as_str),
            received_secure: self.received_secure,
            level_header: self.level_header.as_deref(),
            size: self.size.map(|size| size.0),
            next_hop: mail.and_then(|event| event.next_hop.as_deref()),
            host: mail.and_then(|event| event.host.as_deref()),
            by: policy.and_then(|event| event.host.as_deref()),
            file: policy.and_then(|event| event.next_hop.as_deref()),
            address: self.address.map(|address| address.to_string()),
            attempts: self.attempts,
            next_attempt: self.next_attempt.map(|at| Clock::Utc.iso(at)),
            reason: self.reason.as_deref(),
            reply: self.reply.as_deref(),
            level: self.decided.as_ref().map(|decided| decided.level.as_str()),
            source: self.decided.as_ref().map(|decided| decided.source.as_str()),
            trace: self.decided.as_ref().map(|decided| &*decided.trace),
            proof: self.proof.as_deref().map(JsonProof::new),
            shadow: self.shadow.as_deref(),
            more: self.more,
        };
        // Only strings, numbers and booleans are in it: that cannot fail.
        let json = serde_json::to_string(&line).unwrap_or_default();
        if json.chars().any(char::is_control) { without_controls(&json) } else { json }
    }

    /// The other host with its address, and the next hop where it says more.
    pub(crate) fn where_to(&self, lang: Lang) -> Option<String> {
        let host = match (&self.host, self.address) {
            (Some(host), Some(address)) => Some(format!("{host} [{}]:{}", address.ip(), address.port())),
            (Some(host), None) => Some(host.clone()),
            (None, Some(address)) => Some(format!("[{}]:{}", address.ip(), address.port())),
            (None, None) => None,
        };
        match (host, &self.next_hop) {
            (Some(host), Some(next)) => Some(Key::Via.fill(lang, &[("host", &host), ("next", next)])),
            (Some(host), None) => Some(host),
            (None, next) => next.clone(),
        }
    }
}

/// A block with its labels in one column.
struct Block {
    lang: Lang,
    text: String,
}

impl Block {
    fn line(&mut self, label: Key, value: &str) {
        let mut label = label.text(self.lang);
        for part in value.split('\n') {
            let part = part.trim_end_matches('\r');
            let _ = writeln!(self.text, "    {label:<18} {}", Visible(part));
            label = "";
        }
    }

    fn opt(&mut self, label: Key, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.line(label, value.as_ref());
        }
    }

    fn proof(&mut self, proof: &Proof) {
        match &proof.tls {
            None => self.line(Key::LabelTls, Key::ClearText.text(self.lang)),
            Some(facts) => self.line(Key::LabelTls, &self.tls(facts)),
        }
        self.opt(Key::LabelLogin, proof.login.as_deref());
        if !proof.client_names.is_empty() {
            let names: Vec<_> = proof.client_names.iter().map(Domain::as_str).collect();
            self.line(Key::LabelClientNames, &names.join(" "));
        }
        self.opt(Key::LabelCertificate, proof.subject.as_deref());
        self.opt(Key::LabelPin, proof.spki_pin.as_deref());
        if !proof.validation_path.is_empty() {
            self.line(Key::LabelPath, &proof.validation_path.join(" < "));
        } else if proof.subject.is_some() {
            self.line(Key::LabelPath, Key::NoPath.text(self.lang));
        }
        if let Some(why) = &proof.small_hello {
            self.line(Key::LabelTls, &Key::SmallHello.fill(self.lang, &[("why", why)]));
        }
        self.opt(Key::LabelAnchors, proof.anchors.as_deref());
        self.opt(Key::LabelShown, proof.shown.as_deref());
        let met = if proof.satisfied { Key::Satisfied } else { Key::NotSatisfied };
        self.line(Key::LabelDemand, &met.fill(self.lang, &[("demand", &proof.demand)]));
        if let Some(mark) = proof.require_tls {
            self.line(Key::LabelDemand, Key::require_tls(mark).text(self.lang));
        }
        if let Some(dane) = &proof.dane {
            let key = if dane.matched.is_some() { Key::DaneMatched } else { Key::DaneUnmatched };
            let (records, usable) = (dane.records.to_string(), dane.usable.to_string());
            let matched = dane.matched.as_deref().unwrap_or("-");
            let values = [("base", dane.base.as_str()), ("records", &records), ("usable", &usable), ("matched", matched)];
            self.line(Key::LabelDane, &key.fill(self.lang, &values));
        }
        if let Some(sts) = &proof.sts {
            self.sts(sts);
        }
        if let Some(name) = &proof.insecure_name {
            self.line(Key::LabelFinding, &Key::InsecureName.fill(self.lang, &[("name", name.as_str())]));
        }
        for finding in &proof.findings {
            self.line(Key::LabelFinding, finding);
        }
    }

    fn sts(&mut self, sts: &StsProof) {
        if let Some(id) = &sts.id {
            let key = if sts.lack.is_some() { Key::StsLacking } else { Key::StsMet };
            let lack = sts.lack.as_deref().unwrap_or("-");
            self.line(Key::LabelSts, &key.fill(self.lang, &[("mode", &sts.mode), ("id", id), ("lack", lack)]));
        }
        if let Some(trouble) = &sts.trouble {
            self.line(Key::LabelSts, trouble);
        }
    }

    fn shadow(&mut self, shadow: &Shadow) {
        let key = match shadow.outcome {
            ShadowOutcome::Met => Key::ShadowMet,
            ShadowOutcome::NotMet => Key::ShadowNotMet,
            ShadowOutcome::NotJudged => Key::ShadowNotJudged,
        };
        let reason = shadow.reason.as_deref().unwrap_or("-");
        self.line(Key::LabelShadow, &key.fill(self.lang, &[("level", &shadow.level), ("reason", reason)]));
    }

    fn tls(&self, facts: &TlsFacts) -> String {
        let mut text = format!("{} {}", facts.version, facts.suite);
        let _ = match facts.group {
            Some(group) => {
                let safe = if group.is_post_quantum() { Key::PostQuantum } else { Key::NotPostQuantum };
                write!(text, " {group} ({})", safe.text(self.lang))
            }
            None => write!(text, " ({})", Key::NoKeyExchange.text(self.lang)),
        };
        if facts.resumed {
            let _ = write!(text, ", {}", Key::Resumed.text(self.lang));
        }
        text
    }
}

/// JSON with its control characters escaped: outside of its strings there are none.
fn without_controls(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut escaped, c| {
        if c.is_control() {
            // Writing into a String cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
        escaped
    })
}

/// Text with its control characters shown as `\u{1b}`.
pub(crate) struct Visible<'a>(pub(crate) &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() || is_direction_mark(c) { write!(f, "{}", c.escape_unicode())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Characters that turn the direction of writing: they can make a line read as another one.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Where each thing stands that [`Event::to_json`] may tell, as JSON pointers (RFC 6901): of a list the list itself.
///
/// An export in another form has all of it.
pub const JSON_FIELDS: [&str; 58] = [
    "/at",
    "/kind",
    "/title",
    "/hop",
    "/result",
    "/queue_id",
    "/sender",
    "/sender_domain",
    "/recipient",
    "/recipient_domain",
    "/received_secure",
    "/level_header",
    "/size",
    "/next_hop",
    "/host",
    "/by",
    "/file",
    "/address",
    "/attempts",
    "/next_attempt",
    "/reason",
    "/reply",
    "/level",
    "/source",
    "/trace",
    "/proof/tls/version",
    "/proof/tls/cipher",
    "/proof/tls/group",
    "/proof/tls/post_quantum",
    "/proof/tls/resumed",
    "/proof/login",
    "/proof/client_names",
    "/proof/subject",
    "/proof/spki_pin",
    "/proof/names",
    "/proof/validation_path",
    "/proof/anchors",
    "/proof/shown",
    "/proof/small_hello",
    "/proof/demand",
    "/proof/satisfied",
    "/proof/host_secure",
    "/proof/no_tls",
    "/proof/insecure_name",
    "/proof/require_tls",
    "/proof/dane/base",
    "/proof/dane/records",
    "/proof/dane/usable",
    "/proof/dane/matched",
    "/proof/sts/mode",
    "/proof/sts/id",
    "/proof/sts/lack",
    "/proof/sts/trouble",
    "/proof/findings",
    "/shadow/level",
    "/shadow/outcome",
    "/shadow/reason",
    "/more",
];

#[derive(Serialize)]
struct JsonLine<'a> {
    at: String,
    kind: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hop: Option<Hop>,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_secure: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level_header: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<JsonProof<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<&'a Shadow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<u64>,
}

#[derive(Serialize)]
struct JsonProof<'a> {
    tls: Option<JsonTls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Domain]>::is_empty")]
    client_names: &'a [Domain],
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spki_pin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<&'a [String]>,
    validation_path: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    anchors: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    small_hello: Option<&'a str>,
    demand: &'a str,
    satisfied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_secure: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_tls: Option<NoTls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    insecure_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    require_tls: Option<RequireTlsMark>,
    dane: Option<&'a crate::DaneProof>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sts: Option<&'a StsProof>,
    findings: &'a [String],
}

#[derive(Serialize)]
struct JsonTls {
    version: &'static str,
    cipher: String,
    group: Option<String>,
    post_quantum: Option<bool>,
    resumed: bool,
}

impl<'a> JsonProof<'a> {
    fn new(proof: &'a Proof) -> Self {
        Self {
            tls: proof.tls.map(|facts| JsonTls {
                version: facts.version.as_str(),
                cipher: facts.suite.to_string(),
                group: facts.group.map(|group| group.to_string()),
                post_quantum: proof.is_post_quantum(),
                resumed: facts.resumed,
            }),
            login: proof.login.as_deref(),
            client_names: &proof.client_names,
            subject: proof.subject.as_deref(),
            spki_pin: proof.spki_pin.as_deref(),
            names: proof.names.as_deref(),
            validation_path: &proof.validation_path,
            anchors: proof.anchors.as_deref(),
            shown: proof.shown.as_deref(),
            small_hello: proof.small_hello.as_deref(),
            demand: &proof.demand,
            satisfied: proof.satisfied,
            host_secure: proof.host_secure,
            no_tls: proof.no_tls,
            insecure_name: proof.insecure_name.as_ref().map(Domain::as_str),
            require_tls: proof.require_tls,
            dane: proof.dane.as_ref(),
            sts: proof.sts.as_ref(),
            findings: &proof.findings,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use sealpost_types::UnixMillis;

    use super::*;
    use crate::event::tests::full_event;

    // req: F6
    #[test]
    fn a_block_says_everything_in_english() {
        let mut style = TextStyle::new(Lang::En, Clock::Utc);
        style.trace = true;
        let expected = "\
2025-11-22T04:12:07.123Z  Processing: Check TLS (on the way out)
    id                 01JD8X0000000000000000000A
    from               <alice@acme.example>
    to                 <bob@bank.example>
    size               4096 octets
    host               mx.bank.example [192.0.2.7]:25 (next hop mx:bank.example)
    result             not now, attempt 2
    more               12 more like it in the minute before
    reason             the certificate is not the one that is demanded
    reply              454 4.7.0 TLS not available
                       454 4.7.0 try later
    next attempt       2025-11-22T04:17:07.123Z
    decided            verify, demanded by policy.toml:12
    trace              partner \"Bank\" says verify
                       defaults say opportunistic
    TLS                TLSv1.3 TLS_AES_256_GCM_SHA384 X25519MLKEM768 (post-quantum)
    login              alice
    client names       out.acme.example
    certificate        CN=mx.bank.example
    key pin            sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
    path               CN=mx.bank.example < CN=Test CA
    TLS                without a post-quantum key exchange: the connection was lost
    trust anchors      bank-ca.pem
    shown to it        client.pem
    demand             verify with mx.bank.example: not met
    demand             REQUIRETLS was asked for
    DANE               1 of 2 TLSA records at mx.bank.example can be used; right by 3 1 1 0a0b (certificate)
    MTA-STS            testing, policy 20261126T1: not met, it went in clear
    MTA-STS            whether there is a newer policy is not known: status 404
    finding            the name mx.bank.example was learnt from DNS without DNSSEC
    finding            certificate expired 3 days ago
    in testing         verify would have stopped this mail: it went in clear
";
        assert_eq!(full_event().to_text(style), expected);
    }

    // req: A9
    #[test]
    fn the_same_block_reads_in_german() {
        let text = full_event().to_text(TextStyle::new(Lang::De, Clock::Utc));
        for part in [
            "Verarbeitung läuft: TLS prüfen (bei der Zustellung)",
            "    Ergebnis           vorerst nicht, Versuch 2\n",
            "nicht erfüllt",
            "mx.bank.example stammt aus dem DNS ohne DNSSEC",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("Herleitung"), "the trace only where it is asked for");
    }

    #[test]
    fn a_connection_in_clear_says_so() {
        let mut event = Event::new(UnixMillis(0), EventKind::Delivered, Hop::Deliver);
        event.proof = Some(Arc::new(Proof::new(None, "opportunistic", true)));
        let text = event.to_text(TextStyle::default());
        assert!(text.contains("none: the connection was in clear text\n"), "{text}");
        assert!(event.to_json().contains("\"proof\":{\"tls\":null,"), "{}", event.to_json());
        assert!(!text.contains("DNSSEC") && !event.to_json().contains("insecure_name"), "nothing rests on a name");
    }

    #[test]
    fn a_change_of_the_policy_says_who_what_and_where() {
        let event = Event::of_policy(UnixMillis(0), "uid 0 (root)", "/etc/sealpost/policy.toml", "1 added: partner bank.example");
        let expected = "1970-01-01T00:00:00.000Z  The policy was changed\n    by                 uid 0 (root)\n    \
            file               /etc/sealpost/policy.toml\n    changes            1 added: partner bank.example\n";
        assert_eq!(event.to_text(TextStyle::new(Lang::En, Clock::Utc)), expected);
        let german = event.to_text(TextStyle::new(Lang::De, Clock::Utc));
        assert!(german.contains("Die Richtlinie wurde geändert\n    durch              uid 0 (root)\n    Datei "), "{german}");
        let json = "{\"at\":\"1970-01-01T00:00:00.000Z\",\"kind\":\"policy-changed\",\"title\":\"The policy was changed\",\
            \"result\":\"success\",\"by\":\"uid 0 (root)\",\"file\":\"/etc/sealpost/policy.toml\",\
            \"reason\":\"1 added: partner bank.example\"}";
        assert_eq!(event.to_json(), json);
    }

    #[test]
    fn no_peer_steers_the_terminal() {
        let mut event = Event::new(UnixMillis(0), EventKind::Refused, Hop::Receive);
        event.reply = Some("550 \u{1b}[2J\u{202e}gone\r\n550 x\u{0}".into());
        let text = event.to_text(TextStyle::default());
        assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{text}");
        assert!(text.contains("550 \\u{1b}[2J\\u{202e}gone\n"), "{text}");
        let reply = "550 \u{7f}\u{9b}2J\u{1b}gone";
        event.reply = Some(reply.into());
        let json = event.to_json();
        assert!(json.contains("550 \\u007f\\u009b2J\\u001bgone") && !json.contains(char::is_control), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["reply"], reply);
    }

    #[test]
    fn who_a_client_proved_to_be_is_shown() {
        let mut proof = Proof::new(None, "opportunistic", true);
        proof.login = Some("ann".into());
        proof.client_names = ["out.acme.example", "acme.example"].map(|name| Domain::parse(name).unwrap()).to_vec();
        let mut event = full_event();
        event.proof = Some(Arc::new(proof));
        let json = "\"proof\":{\"tls\":null,\"login\":\"ann\",\"client_names\":[\"out.acme.example\",\"acme.example\"],";
        assert!(event.to_json().contains(json), "{}", event.to_json());
        for (lang, login, names) in [(Lang::En, "login", "client names"), (Lang::De, "Anmeldung", "Client-Namen")] {
            let text = event.to_text(TextStyle::new(lang, Clock::Utc));
            assert!(text.contains(&format!("    {login:<18} ann\n")), "{text}");
            assert!(text.contains(&format!("    {names:<18} out.acme.example acme.example\n")), "{text}");
        }
    }

    /// The pointers of everything in a value that is no object.
    fn pointers(value: &serde_json::Value, at: &str, found: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), found)),
            _ => drop(found.insert(at.to_owned())),
        }
    }

    // req: F6
    #[test]
    fn the_list_of_fields_is_what_the_json_has() {
        let mut found = BTreeSet::new();
        for event in [full_event(), Event::of_policy(UnixMillis(0), "uid 0 (root)", "policy.toml", "1 added")] {
            pointers(&serde_json::from_str(&event.to_json()).unwrap(), "", &mut found);
        }
        assert_eq!(found, JSON_FIELDS.iter().map(ToString::to_string).collect());
    }

    // req: F6
    #[test]
    fn json_is_one_line_that_reads_back() {
        let json = full_event().to_json();
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        for (pointer, expected) in [
            ("/at", "2025-11-22T04:12:07.123Z"),
            ("/kind", "check-tls"),
            ("/title", "Processing: Check TLS"),
            ("/hop", "deliver"),
            ("/result", "transient"),
            ("/recipient_domain", "bank.example"),
            ("/sender_domain", "acme.example"),
            ("/next_attempt", "2025-11-22T04:17:07.123Z"),
            ("/proof/tls/version", "TLSv1.3"),
            ("/proof/tls/cipher", "TLS_AES_256_GCM_SHA384"),
            ("/proof/tls/group", "X25519MLKEM768"),
            ("/proof/subject", "CN=mx.bank.example"),
            ("/proof/validation_path/1", "CN=Test CA"),
            ("/proof/names/0", "DNS:mx.bank.example"),
            ("/proof/no_tls", "failed"),
            ("/proof/insecure_name", "mx.bank.example"),
            ("/proof/dane/base", "mx.bank.example"),
            ("/proof/dane/matched", "3 1 1 0a0b (certificate)"),
            ("/proof/sts/mode", "testing"),
            ("/proof/sts/lack", "it went in clear"),
            ("/proof/findings/0", "certificate expired 3 days ago"),
        ] {
            assert_eq!(value.pointer(pointer).and_then(|v| v.as_str()), Some(expected), "{pointer}");
        }
        assert_eq!(value.pointer("/proof/satisfied"), Some(&false.into()));
        assert_eq!(value.pointer("/proof/host_secure"), Some(&false.into()));
        assert_eq!(value.pointer("/received_secure"), Some(&true.into()));
        assert_eq!(value.pointer("/proof/tls/post_quantum"), Some(&true.into()));
    }
}
