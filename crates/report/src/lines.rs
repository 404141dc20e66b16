//! Entries in few lines: what many of them are looked through by.

use std::fmt::Write as _;

use crate::messages::Key;
use crate::render::Visible;
use crate::{Event, EventKind, TextStyle};

impl Event {
    /// The entry in two to four lines: when, what and of which message; from whom to whom; where and why.
    ///
    /// Control characters are made visible, as in [`to_text`](Self::to_text).
    #[must_use]
    pub fn to_lines(&self, style: TextStyle) -> String {
        let lang = style.lang;
        let mut text = format!("{}  {}", style.clock.short(self.at), style.title(self));
        if let Some(id) = &self.queue_id {
            let _ = write!(text, "  {}", Visible(id));
        }
        text.push('\n');
        if self.kind == EventKind::PolicyChanged {
            let who: Vec<&str> = [&self.host, &self.next_hop].into_iter().filter_map(Option::as_deref).collect();
            line(&mut text, &who.join(", "));
            for change in self.reason.iter().flat_map(|changes| changes.lines()) {
                line(&mut text, change);
            }
            return text;
        }
        let path = |path: &dyn ToString| format!("<{}>", path.to_string());
        let from = self.sender.as_ref().map(|sender| path(sender));
        let to = self.recipient.as_ref().map(|recipient| path(recipient));
        match (from, to) {
            (Some(from), Some(to)) => line(&mut text, &format!("{from} -> {to}")),
            (Some(from), None) => line(&mut text, &format!("{from} ->")),
            (None, Some(to)) => line(&mut text, &format!("-> {to}")),
            (None, None) => {}
        }
        let mut parts: Vec<String> = Vec::new();
        // The reason names the host where it comes from one.
        let said = self.reason.clone().or_else(|| self.reply.clone().filter(|_| self.kind != EventKind::Delivered));
        match said {
            Some(said) => parts.push(said),
            None => parts.extend(self.where_to(lang)),
        }
        if let Some(proof) = self.proof.as_ref().filter(|_| matches!(self.kind, EventKind::Received | EventKind::Delivered)) {
            parts.push(match &proof.tls {
                Some(facts) => facts.version.to_string(),
                None => Key::InClear.text(lang).to_owned(),
            });
        }
        if let Some(decided) = self.decided.as_ref().filter(|_| self.kind != EventKind::Received) {
            parts.push(decided.level.clone());
        }
        if let Some(at) = self.next_attempt {
            parts.push(Key::AgainAt.fill(lang, &[("time", &style.clock.short(at))]));
        }
        if let Some(more) = self.more {
            parts.push(Key::MoreRefusals.fill(lang, &[("count", &more.to_string())]));
        }
        if !parts.is_empty() {
            line(&mut text, &parts.join("; "));
        }
        text
    }
}

/// One more line; line ends inside become spaces.
fn line(text: &mut String, content: &str) {
    let parts: Vec<&str> = content.lines().map(str::trim).filter(|part| !part.is_empty()).collect();
    let _ = writeln!(text, "    {}", Visible(&parts.join(" ")));
}

#[cfg(test)]
mod tests {
    use sealpost_types::{Hop, UnixMillis};

    use super::*;
    use crate::event::tests::full_event;
    use crate::{Clock, Lang};

    #[test]
    fn an_entry_is_a_few_lines() {
        let style = TextStyle::new(Lang::En, Clock::Utc);
        assert_eq!(
            full_event().to_lines(style),
            "2025-11-22 04:12:07  Processing: Check TLS  01JD8X0000000000000000000A
    <alice@acme.example> -> <bob@bank.example>
    the certificate is not the one that is demanded; verify; again at 2025-11-22 04:17:07; 12 more like it in the minute before
"
        );
        let mut delivered = full_event();
        (delivered.kind, delivered.reason, delivered.next_attempt, delivered.more) = (EventKind::Delivered, None, None, None);
        let text = delivered.to_lines(TextStyle::new(Lang::De, Clock::Utc));
        assert!(text.ends_with("mx.bank.example [192.0.2.7]:25 (nächstes Ziel mx:bank.example); TLSv1.3; verify\n"), "{text}");
    }

    #[test]
    fn a_change_of_the_policy_says_who_and_what() {
        let event = Event::of_policy(UnixMillis(0), "uid 0 (root)", "/etc/sealpost/policy.toml", "1 added: partner bank.example");
        let expected =
            "1970-01-01 00:00:00  The policy was changed\n    uid 0 (root), /etc/sealpost/policy.toml\n    1 added: partner bank.example\n";
        assert_eq!(event.to_lines(TextStyle::new(Lang::En, Clock::Utc)), expected);
    }

    #[test]
    fn no_peer_steers_the_terminal_or_adds_a_line() {
        let mut event = Event::new(UnixMillis(0), EventKind::Refused, Hop::Receive);
        event.reply = Some("550 \u{1b}[2Jgone\r\n550 1970-01-01 00:00:00  Mail was delivered\r\n".into());
        let text = event.to_lines(TextStyle::default());
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("550 \\u{1b}[2Jgone 550 1970"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    }

    #[test]
    fn only_titles_have_colours_and_only_where_asked() {
        let mut style = TextStyle::new(Lang::En, Clock::Utc);
        style.color = true;
        let (lines, block) = (full_event().to_lines(style), full_event().to_text(style));
        for text in [lines, block] {
            assert!(text.contains("\u{1b}[1;33mProcessing: Check TLS\u{1b}[0m"), "{text}");
            assert_eq!(text.matches('\u{1b}').count(), 2, "{text}");
        }
    }
}
