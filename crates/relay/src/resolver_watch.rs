//! Whether the name servers answer, found out now and then, so that nobody who asks has to wait or makes them work.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sealpost_discovery::{ProbeError, Resolver as _, Validation};
use tokio::sync::watch;

use crate::engine::{Components, Engine};

/// What the last probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) answer: Result<(), ProbeError>,
    /// How often in a row nobody answered.
    pub(crate) failures: u32,
    /// Whether anybody ever did.
    pub(crate) ever: bool,
    /// None while it is not known.
    pub(crate) validation: Option<Validation>,
}

/// The last probe; nothing before the first has come back.
#[derive(Debug, Default)]
pub(crate) struct ResolverWatch(RwLock<Option<Found>>);

impl Found {
    /// Whether answers are validated.
    pub(crate) fn validates(&self) -> bool {
        self.validation == Some(Validation::Works)
    }

    /// Whether it is sure that nobody answers: one question may be lost.
    pub(crate) fn is_silent(&self) -> bool {
        self.answer.is_err() && (self.failures >= SURE || !self.ever)
    }
}

impl ResolverWatch {
    pub(crate) fn found(&self) -> Option<Found> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in a probe; whether the news are worth a line in the log.
    fn note(&self, answer: Result<(), ProbeError>) -> bool {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = kept.take();
        let was_silent = before.as_ref().is_some_and(Found::is_silent);
        let failures = if answer.is_ok() { 0 } else { before.as_ref().map_or(0, |found| found.failures).saturating_add(1) };
        let ever = answer.is_ok() || before.as_ref().is_some_and(|found| found.ever);
        let found = Found { answer, failures, ever, validation: before.and_then(|found| found.validation) };
        let is_news = found.is_silent() != was_silent;
        *kept = Some(found);
        is_news
    }

    fn note_validation(&self, validation: Validation) {
        if let Some(found) = self.0.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            found.validation = Some(validation);
        }
    }
}

/// Asks now and then, until it is told to stop.
pub(crate) async fn keep_watch<C: Components>(engine: Arc<Engine<C>>, mut stopped: watch::Receiver<bool>) {
    let watching = async {
        loop {
            let answer = engine.resolver.probe().await;
            let pause = if answer.is_ok() { EVERY } else { AGAIN };
            let told = answer.as_ref().err().map(ToString::to_string);
            match (engine.resolver_watch.note(answer), told) {
                (true, Some(error)) => tracing::warn!(error, "the name servers do not answer; mail whose way they would tell waits"),
                (true, None) => tracing::info!("the name servers answer again"),
                (false, _) => {}
            }
            engine.resolver_watch.note_validation(engine.resolver.validation().await);
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = watching => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// How often it is asked ...
const EVERY: Duration = Duration::from_secs(30);

/// ... and how soon again if nobody answered.
const AGAIN: Duration = Duration::from_secs(5);

/// Questions in a row without an answer that are no accident.
const SURE: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lost_question_is_not_silence_unless_nobody_ever_answered() {
        let lost = || Err(ProbeError::Silent { waited: Duration::from_secs(5) });
        let watch = ResolverWatch::default();
        assert_eq!(watch.found(), None);
        assert!(watch.note(lost()) && watch.found().unwrap().is_silent(), "nobody ever answered");
        assert!(watch.note(Ok(())) && !watch.found().unwrap().is_silent());
        watch.note_validation(Validation::Works);
        assert!(!watch.note(lost()) && !watch.found().unwrap().is_silent(), "one is lost");
        assert!(watch.note(lost()) && watch.found().unwrap().is_silent());
        assert!(!watch.note(lost()), "it is told once");
        assert!(watch.found().unwrap().validates(), "what is proven is not known anew");
        assert!(watch.note(Ok(())));
    }
}
