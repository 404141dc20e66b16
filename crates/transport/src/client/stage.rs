//! The stages of opening a connection, and how long each took.

use std::fmt;
use std::time::Duration;

/// A stage of opening a connection, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConnectStage {
    /// The TCP connection.
    Connect,
    /// The greeting, 220.
    Banner,
    /// The first EHLO.
    Ehlo,
    /// STARTTLS and its reply.
    StartTls,
    /// The TLS handshake, the check of the certificate included.
    Handshake,
    /// EHLO again, under TLS.
    EhloAgain,
}

/// How long each stage took. A stage that did not take place has no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes([Option<Duration>; ConnectStage::ALL.len()]);

impl ConnectStage {
    /// Every stage, in order.
    pub const ALL: [Self; 6] = [Self::Connect, Self::Banner, Self::Ehlo, Self::StartTls, Self::Handshake, Self::EhloAgain];

    /// Its name in logs and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Banner => "banner",
            Self::Ehlo => "ehlo",
            Self::StartTls => "starttls",
            Self::Handshake => "handshake",
            Self::EhloAgain => "ehlo again",
        }
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|stage| *stage == self).unwrap_or_default()
    }
}

impl StageTimes {
    /// How long `stage` took, if it took place.
    #[must_use]
    pub fn time(&self, stage: ConnectStage) -> Option<Duration> {
        self.0.get(stage.index()).copied().flatten()
    }

    /// The stages that took place, in order, with their times.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectStage, Duration)> {
        ConnectStage::ALL.into_iter().filter_map(|stage| self.time(stage).map(|time| (stage, time)))
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.0.iter().flatten().sum()
    }

    pub(crate) fn set(&mut self, stage: ConnectStage, time: Duration) {
        if let Some(slot) = self.0.get_mut(stage.index()) {
            *slot = Some(time);
        }
    }
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_in_order() {
        let mut times = StageTimes::default();
        times.set(ConnectStage::EhloAgain, Duration::from_millis(2));
        times.set(ConnectStage::Connect, Duration::from_millis(1));
        assert_eq!(times.iter().map(|(stage, _)| stage).collect::<Vec<_>>(), [ConnectStage::Connect, ConnectStage::EhloAgain]);
        assert_eq!(times.total(), Duration::from_millis(3));
        assert_eq!(times.time(ConnectStage::Banner), None);
    }
}
