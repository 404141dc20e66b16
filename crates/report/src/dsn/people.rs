//! The part of a notification that people read.

use super::encode::{quoted_printable, wrap};
use super::{Action, Dsn, DsnRecipient, Part};
use crate::Clock;
use crate::messages::Key;

impl Dsn {
    /// The part for people; `whole` tells whether all of the mail follows.
    pub(super) fn people_part(&self, whole: bool) -> Part {
        let lang = self.lang;
        let mut lines = vec![Key::DsnIntro.fill(lang, &[("host", self.reporting_mta.as_str())])];
        if let Some(at) = self.arrival {
            lines.push(Key::DsnReceived.fill(lang, &[("time", &Clock::Utc.iso(at)), ("id", &self.queue_id)]));
        }
        for (action, what) in [(Action::Failed, Key::DsnFailed), (Action::Delayed, Key::DsnDelayed), (Action::Relayed, Key::DsnRelayed)] {
            let mut about = self.recipients.iter().filter(|about| about.action == action).peekable();
            if about.peek().is_some() {
                lines.extend([String::new(), what.text(lang).to_owned()]);
                about.for_each(|about| self.tell_people(about, &mut lines));
            }
        }
        lines.extend([String::new(), if whole { Key::DsnWhole } else { Key::DsnHeaders }.text(lang).to_owned()]);
        let text: String = lines.iter().map(|line| wrap(line)).collect();
        if text.is_ascii() {
            Part { kind: "text/plain; charset=us-ascii", encoding: "7bit", content: text.into_bytes(), whole }
        } else {
            Part { kind: "text/plain; charset=utf-8", encoding: "quoted-printable", content: quoted_printable(text.as_bytes()), whole }
        }
    }

    fn tell_people(&self, about: &DsnRecipient, lines: &mut Vec<String>) {
        let lang = self.lang;
        lines.extend([String::new(), format!("<{}>", about.recipient.path)]);
        lines.push(format!("    {}", Key::DsnReason.fill(lang, &[("reason", &about.reason)])));
        if let (Some(level), Some(source)) = (&about.level, &about.source) {
            lines.push(format!("    {}", Key::DsnDecided.fill(lang, &[("level", level), ("source", source)])));
        }
        if let Some(reply) = &about.reply {
            let text = match &about.remote {
                Some(host) => Key::DsnReply.fill(lang, &[("host", host), ("reply", reply)]),
                None => Key::DsnReplyUnnamed.fill(lang, &[("reply", reply)]),
            };
            lines.extend(text.lines().map(|line| format!("    {line}")));
        }
        let until = match about.action {
            Action::Failed => Key::DsnExpired,
            Action::Delayed => Key::DsnUntil,
            Action::Relayed => return,
        };
        if let Some(time) = about.tried_until {
            lines.push(format!("    {}", until.fill(lang, &[("time", &Clock::Utc.iso(time))])));
        }
    }
}
