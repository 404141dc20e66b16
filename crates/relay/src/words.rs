//! Counters by closed sets of words, so that what is counted is bounded whatever comes from outside.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use sealpost_cert::{Finding, Verdict};
use sealpost_policy::RefusalReason;
use sealpost_report::NoTls;
use sealpost_transport::{ConnectError, ConnectFault, HandshakeError};
use sealpost_types::{Hop, KexGroup, Level, TlsFacts, TlsVersion};

use crate::deliver::verdict_word;

/// Every word that outcomes and hosts have in the metrics for TLS that could not be had, what is found of a certificate included.
pub fn tls_reasons() -> impl Iterator<Item = &'static str> {
    TLS_REASONS.iter().chain(&Finding::CODES).copied()
}

/// A closed set of words, by number.
pub(crate) trait Words: Copy {
    /// How many there are.
    const COUNT: usize;

    /// Which one this is, below [`COUNT`](Self::COUNT).
    fn index(self) -> usize;

    /// The word of a number; of several sets, one of each.
    fn write(index: usize, words: &mut Vec<&'static str>);
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// A counter for each word of a set.
#[derive(Debug)]
pub(crate) struct Tally<W> {
    counters: Box<[Counter]>,
    words: PhantomData<fn(W)>,
}

impl Counter {
    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The word for one of a set.
pub(crate) fn word<W: Words>(of: W) -> &'static str {
    let mut words = Vec::new();
    W::write(of.index(), &mut words);
    words.first().copied().unwrap_or_default()
}

impl<W: Words> Tally<W> {
    pub(crate) fn add_one(&self, of: W) {
        self.add(of, 1);
    }

    pub(crate) fn add(&self, of: W, more: u64) {
        if let Some(counter) = self.counters.get(of.index()) {
            counter.add(more);
        }
    }

    /// Each with its words.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Vec<&'static str>, u64)> {
        self.counters.iter().enumerate().map(|(index, counter)| {
            let mut words = Vec::new();
            W::write(index, &mut words);
            (words, counter.value())
        })
    }

    /// The sum of those whose words are so.
    pub(crate) fn sum(&self, is_meant: impl Fn(&[&'static str]) -> bool) -> u64 {
        self.entries().filter(|(words, _)| is_meant(words)).map(|(_, count)| count).sum()
    }
}

impl<W: Words> Default for Tally<W> {
    fn default() -> Self {
        Self { counters: (0..W::COUNT).map(|_| Counter::default()).collect(), words: PhantomData }
    }
}

impl<A: Words, B: Words> Words for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        A::write(index / B::COUNT, words);
        B::write(index % B::COUNT, words);
    }
}

impl<A: Words, B: Words, C: Words> Words for (A, B, C) {
    const COUNT: usize = <(A, (B, C)) as Words>::COUNT;

    fn index(self) -> usize {
        (self.0, (self.1, self.2)).index()
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        <(A, (B, C)) as Words>::write(index, words);
    }
}

/// An enum of which each variant is a word.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$about])* $variant,)*
        }

        impl $name {
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $word),)*];
        }

        impl Words for $name {
            const COUNT: usize = Self::ALL.len();

            fn index(self) -> usize {
                Self::ALL.iter().position(|(one, _)| *one == self).unwrap_or(Self::COUNT)
            }

            fn write(index: usize, words: &mut Vec<&'static str>) {
                words.extend(Self::ALL.get(index).map(|(_, word)| word));
            }
        }
    };
}

words! {
    /// Why a client was told no.
    RefusedFor {
        /// The policy wants TLS, and the session has none.
        NoTls = "no-tls",
        /// Its TLS is below a floor of the policy.
        BelowFloor = "below-floor",
        /// The policy wants a certificate of the client, and it showed none.
        NoCertificate = "no-certificate",
        /// It showed another one.
        Certificate = "certificate",
        /// It may not send there.
        Relaying = "relaying",
        /// The recipient is no address that mail is taken for.
        Recipient = "recipient",
        /// The message has passed too many hosts.
        Loop = "loop",
        /// The embedding program said no.
        Hook = "hook",
        /// What a later version of the policy knows.
        Other = "other",
        /// TLS has to come first on this listener, or before a login.
        TlsFirst = "tls-first",
        /// The message is too large.
        TooLarge = "too-large",
        /// It has too many recipients.
        TooManyRecipients = "too-many-recipients",
        /// The message has octets that may not be.
        Content = "content",
        /// The command is wrong, unknown, or out of order.
        Command = "command",
        /// The session had too many errors, or commands without a message.
        Flood = "flood",
        /// The disk has no room.
        StoreFull = "store-full",
        /// The store cannot be written.
        StoreBroken = "store-broken",
        /// The relay is stopping.
        ShuttingDown = "shutting-down",
    }
}

words! {
    /// What came of a login.
    Login {
        Accepted = "accepted",
        Refused = "refused",
        /// It could not be checked.
        Unavailable = "unavailable",
    }
}

words! {
    /// What came of handing in a report about TLS.
    ReportTry {
        Sent = "sent",
        /// It is tried again.
        Refused = "refused",
        /// It was given up.
        Dropped = "dropped",
    }
}

words! {
    /// What became of a recipient in an attempt.
    Fate {
        Delivered = "delivered",
        Deferred = "deferred",
        Bounced = "bounced",
        /// Because of the TLS policy.
        Deleted = "deleted",
        /// Because of the TLS policy.
        Held = "held",
    }
}

words! {
    /// Why a handshake did not come about.
    HandshakeFault {
        /// The other side sent an alert.
        Alert = "alert",
        Closed = "closed",
        TimedOut = "timed-out",
        Protocol = "protocol",
        /// The other side's certificate cannot be read.
        Certificate = "certificate",
        /// The certificate is not the one that is demanded.
        Unverified = "unverified",
        /// It came about below a floor of the demand.
        BelowFloor = "below-floor",
        NoIdentity = "no-identity",
    }
}

/// Why a recipient was not served, or a host could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason(usize);

/// What was found of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VerdictWord(usize);

/// A handshake that came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake(TlsFacts);

impl RefusedFor {
    pub(crate) fn of_policy(reason: &RefusalReason) -> Self {
        match reason {
            RefusalReason::NoTls => Self::NoTls,
            RefusalReason::BelowFloor(_) => Self::BelowFloor,
            RefusalReason::NoCertificate => Self::NoCertificate,
            RefusalReason::Certificate(_) => Self::Certificate,
            _ => Self::Other,
        }
    }

    /// Whether it is the policy's, or a matter of rights: not of the protocol, nor of the state of this host.
    fn is_deliberate(word: &str) -> bool {
        let deliberate = [
            Self::NoTls,
            Self::BelowFloor,
            Self::NoCertificate,
            Self::Certificate,
            Self::Relaying,
            Self::Recipient,
            Self::Loop,
            Self::Hook,
            Self::Other,
        ];
        deliberate.into_iter().any(|own| self::word(own) == word)
    }
}

impl Tally<RefusedFor> {
    /// Those of the policy, and of rights.
    pub(crate) fn deliberate(&self) -> u64 {
        self.sum(|words| words.iter().all(|word| RefusedFor::is_deliberate(word)))
    }
}

impl HandshakeFault {
    pub(crate) fn of(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::Unverified { .. } => Self::Unverified,
            HandshakeError::BelowFloor { .. } => Self::BelowFloor,
            HandshakeError::Alert { .. } => Self::Alert,
            HandshakeError::Closed { kind: std::io::ErrorKind::TimedOut } => Self::TimedOut,
            HandshakeError::Certificate { .. } => Self::Certificate,
            HandshakeError::NoIdentity => Self::NoIdentity,
            HandshakeError::Closed { .. } => Self::Closed,
            _ => Self::Protocol,
        }
    }
}

impl Reason {
    /// Nothing is wrong.
    pub(crate) const NONE: Self = Self(0);

    /// The one of this word; `other` if there is none.
    pub(crate) fn of(word: &str) -> Self {
        Self::find(word).unwrap_or(Self(1))
    }

    /// Of the verdicts of all hosts on why TLS could not be had, joined by spaces.
    pub(crate) fn of_verdicts(words: Option<&str>) -> Self {
        match words {
            None => Self::of(TLS_FAILED),
            Some(several) if several.contains(' ') => Self::of("several"),
            Some(word) => Self::find(word).unwrap_or_else(|| Self::of(TLS_FAILED)),
        }
    }

    /// Why a host could not be used.
    pub(crate) fn of_connect(error: &ConnectError) -> Self {
        if error.is_tls_failure() {
            return match &error.fault {
                ConnectFault::Injected => Self::of("injected"),
                ConnectFault::StartTlsRefused { .. } => Self::of("starttls-refused"),
                _ => Self::of_verdicts(verdict_word(error).as_deref()),
            };
        }
        Self::of(match &error.fault {
            ConnectFault::Local { .. } | ConnectFault::Handshake { .. } => "local",
            ConnectFault::Unreachable { .. } => "no-answer",
            ConnectFault::TimedOut { .. } => "timed-out",
            ConnectFault::Lost { .. } => "connection-broken",
            ConnectFault::Refused { .. } | ConnectFault::StartTlsRefused { .. } => "refused",
            ConnectFault::Protocol { .. } => "protocol",
            _ => "other",
        })
    }

    /// Whether the word says that TLS could not be had.
    fn is_tls(word: &str) -> bool {
        !OTHER_REASONS.contains(&word)
    }

    fn find(word: &str) -> Option<Self> {
        Self::all().position(|known| known == word).map(Self)
    }

    fn all() -> impl Iterator<Item = &'static str> {
        OTHER_REASONS.into_iter().chain(tls_reasons())
    }
}

impl Tally<Reason> {
    /// Those that say that TLS could not be had.
    pub(crate) fn about_tls(&self) -> u64 {
        self.sum(|words| words.iter().all(|word| Reason::is_tls(word)))
    }
}

impl Words for Reason {
    const COUNT: usize = OTHER_REASONS.len() + TLS_REASONS.len() + Finding::CODES.len();

    fn index(self) -> usize {
        self.0
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        words.extend(Self::all().nth(index));
    }
}

impl VerdictWord {
    /// Whatever was demanded.
    pub(crate) fn of(verdict: &Verdict) -> Self {
        let Some(finding) = verdict.most_telling() else { return Self(0) };
        let code = Finding::CODES.iter().position(|code| *code == finding.code());
        Self(code.map_or(1, |code| VERDICTS.len() + code))
    }
}

impl Words for VerdictWord {
    const COUNT: usize = VERDICTS.len() + Finding::CODES.len();

    fn index(self) -> usize {
        self.0
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        words.extend(VERDICTS.iter().chain(&Finding::CODES).nth(index));
    }
}

impl From<TlsFacts> for Handshake {
    fn from(facts: TlsFacts) -> Self {
        Self(facts)
    }
}

/// Version, group, and whether it was a full one.
impl Words for Handshake {
    const COUNT: usize = <(TlsVersion, (Option<KexGroup>, Session)) as Words>::COUNT;

    fn index(self) -> usize {
        let session = if self.0.resumed { Session::Resumed } else { Session::Full };
        (self.0.version, (self.0.group, session)).index()
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        <(TlsVersion, (Option<KexGroup>, Session)) as Words>::write(index, words);
    }
}

words! {
    /// Whether a handshake verified anew, or went on from an earlier one.
    Session {
        Full = "full",
        Resumed = "resumed",
    }
}

impl Words for Hop {
    const COUNT: usize = 2;

    fn index(self) -> usize {
        usize::from(self == Self::Deliver)
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        words.extend(["receive", "deliver"].get(index));
    }
}

impl Words for Level {
    const COUNT: usize = Self::ALL.len();

    fn index(self) -> usize {
        Self::ALL.iter().position(|level| *level == self).unwrap_or(Self::COUNT)
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        words.extend(Self::ALL.get(index).map(|level| level.as_str()));
    }
}

impl Words for TlsVersion {
    const COUNT: usize = VERSIONS.len();

    fn index(self) -> usize {
        VERSIONS.iter().position(|version| *version == self).unwrap_or(Self::COUNT)
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        words.extend(VERSIONS.get(index).map(|version| version.as_str()));
    }
}

/// The version of a session; none in clear.
impl Words for Option<TlsVersion> {
    const COUNT: usize = TlsVersion::COUNT + 1;

    fn index(self) -> usize {
        self.map_or(0, |version| version.index() + 1)
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        match index.checked_sub(1) {
            None => words.push(NONE),
            Some(version) => TlsVersion::write(version, words),
        }
    }
}

/// A group; none where a TLS 1.2 session was resumed without one.
impl Words for Option<KexGroup> {
    /// The named ones, none, and any other.
    const COUNT: usize = NAMED_GROUPS + 2;

    fn index(self) -> usize {
        let Some(group) = self else { return 0 };
        KexGroup::named().take(NAMED_GROUPS).position(|named| named == group).map_or(NAMED_GROUPS + 1, |index| index + 1)
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        let named = index.checked_sub(1).map(|index| KexGroup::named().take(NAMED_GROUPS).nth(index).and_then(KexGroup::name));
        words.push(named.map_or(NONE, |name| name.unwrap_or("other")));
    }
}

/// Why mail went in clear.
impl Words for NoTls {
    const COUNT: usize = CLEAR.len();

    fn index(self) -> usize {
        CLEAR.iter().position(|(known, _)| *known == self).unwrap_or(Self::COUNT)
    }

    fn write(index: usize, words: &mut Vec<&'static str>) {
        words.extend(CLEAR.get(index).map(|(_, word)| word));
    }
}

/// The word for what is not there.
const NONE: &str = "none";

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls1_2, TlsVersion::Tls1_3];

/// How many groups have a name.
const NAMED_GROUPS: usize = 10;

/// The words of the history.
const CLEAR: [(NoTls, &str); 4] =
    [(NoTls::NotTried, "not-tried"), (NoTls::NotOffered, "not-offered"), (NoTls::Failed, "failed"), (NoTls::BelowFloor, "below-floor")];

/// What is no finding: the certificate is right, or all that is known is that it is not.
const VERDICTS: [&str; 2] = ["valid", "unverified"];

/// Reasons that are not about TLS. The first two have their places: [`Reason::NONE`], [`Reason::of`].
const OTHER_REASONS: [&str; 13] = [
    NONE,
    "other",
    "no-answer",
    "timed-out",
    "connection-broken",
    "refused",
    "protocol",
    "local",
    "dns",
    "dns-bogus",
    "no-route",
    "lifetime-over",
    "lacks-extension",
];

/// Reasons that are about TLS, beside what is found of a certificate.
const TLS_REASONS: [&str; 8] =
    [TLS_FAILED, "several", "no-starttls", "starttls-refused", "injected", "below-floor", "no-requiretls", "not-known-for-sure"];

/// A failure of TLS that may be otherwise next time.
const TLS_FAILED: &str = "tls-failed";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sealpost_types::CipherSuite;

    use super::*;

    /// Each number has words of its own.
    fn check<W: Words>() -> Vec<Vec<&'static str>> {
        let all: Vec<_> = Tally::<W>::default().entries().map(|(words, _)| words).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), W::COUNT);
        assert!(all.iter().all(|words| words.len() == all[0].len() && words.iter().all(|word| !word.is_empty())));
        all
    }

    #[test]
    fn words_tell_what_is_counted_apart() {
        check::<RefusedFor>();
        check::<Login>();
        check::<(Hop, HandshakeFault)>();
        check::<(Hop, VerdictWord)>();
        check::<(Hop, NoTls)>();
        check::<Option<TlsVersion>>();
        assert_eq!(check::<(Hop, Handshake)>()[0].len(), 4);
        assert_eq!(check::<(Level, Fate, Reason)>()[0], ["none", "delivered", "none"]);
        assert_eq!(KexGroup::named().count(), NAMED_GROUPS);
    }

    #[test]
    fn what_is_counted_has_its_words() {
        let handshakes = Tally::<(Hop, Handshake)>::default();
        let facts = |group, resumed| TlsFacts::new(TlsVersion::Tls1_3, CipherSuite(0x1302), group, resumed);
        handshakes.add_one((Hop::Deliver, facts(Some(KexGroup(0x11ec)), false).into()));
        handshakes.add_one((Hop::Receive, facts(Some(KexGroup(0x9999)), true).into()));
        handshakes.add_one((Hop::Receive, facts(None, true).into()));
        let counted: Vec<_> = handshakes.entries().filter(|(_, count)| *count > 0).map(|(words, _)| words.join(" ")).collect();
        let expected = ["receive TLSv1.3 none resumed", "receive TLSv1.3 other resumed", "deliver TLSv1.3 X25519MLKEM768 full"];
        assert_eq!(counted, expected);
        let outcomes = Tally::<(Level, Fate, Reason)>::default();
        outcomes.add_one((Level::Verify, Fate::Held, Reason::of_verdicts(Some("expired"))));
        assert_eq!(outcomes.sum(|words| words == ["verify", "held", "expired"]), 1);
    }

    /// The words for what is wrong with TLS are those of the queue and the history.
    #[test]
    fn words_are_those_of_elsewhere() {
        for word in ["no-starttls", "starttls-refused", "below-floor", "no-requiretls", "not-known-for-sure", "name-mismatch"] {
            let mut words = Vec::new();
            Reason::write(Reason::of_verdicts(Some(word)).index(), &mut words);
            assert_eq!(words, [word]);
            assert!(Reason::is_tls(word));
        }
        for (no_tls, word) in CLEAR {
            assert_eq!(toml::Value::try_from(no_tls).unwrap().as_str(), Some(word));
        }
        assert_eq!(Reason::of_verdicts(Some("expired no-starttls")), Reason::of("several"));
        assert_eq!(Reason::of_verdicts(Some("tomorrow")), Reason::of(TLS_FAILED));
        assert_eq!((Reason::of("none"), Reason::of("tomorrow")), (Reason::NONE, Reason::of("other")));
        assert!(OTHER_REASONS.iter().all(|word| !Reason::is_tls(word)));
    }

    #[test]
    fn what_policy_and_rights_refuse_is_told_apart() {
        let refusals = Tally::<RefusedFor>::default();
        RefusedFor::ALL.iter().for_each(|(reason, _)| refusals.add_one(*reason));
        assert_eq!((refusals.deliberate(), RefusedFor::COUNT), (9, 18));
    }
}
