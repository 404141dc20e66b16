//! The part of a notification that programs read.

use sealpost_types::ForwardPath;

use super::encode::{field, global_field, to_ascii, typed_address};
use super::{Action, Dsn, DsnRecipient, Part};
use crate::time::rfc5322;

impl Dsn {
    /// The part for programs.
    ///
    /// # Wire
    /// RFC 3464 section 2.2 and 2.3, RFC 3461 section 6.3, RFC 6533 section 4.
    pub(super) fn status_part(&self) -> Part {
        let mut out = Vec::new();
        self.put(&mut out, "Reporting-MTA", &format!("dns; {}", self.reporting_mta));
        if let Some(client) = &self.received_from {
            self.put(&mut out, "Received-From-MTA", &format!("dns; {client}"));
        }
        if let Some(id) = &self.envelope_id {
            self.put(&mut out, "Original-Envelope-Id", id.as_str());
        }
        if let Some(at) = self.arrival {
            self.put(&mut out, "Arrival-Date", &rfc5322(at));
        }
        for about in &self.recipients {
            out.extend_from_slice(b"\r\n");
            self.tell_programs(about, &mut out);
        }
        let (kind, encoding) = match (self.is_global(), out.is_ascii()) {
            (false, _) => ("message/delivery-status", "7bit"),
            (true, true) => ("message/global-delivery-status", "7bit"),
            (true, false) => ("message/global-delivery-status", "8bit"),
        };
        Part { kind, encoding, content: out, whole: false }
    }

    fn tell_programs(&self, about: &DsnRecipient, out: &mut Vec<u8>) {
        if let Some(original) = &about.recipient.original {
            self.put(out, "Original-Recipient", &typed_address(original.address_type(), original.address(), self.is_global()));
        }
        self.put(out, "Final-Recipient", &final_recipient(&about.recipient.path, self.is_global()));
        self.put(out, "Action", about.action.as_str());
        self.put(out, "Status", &about.status.to_string());
        if let Some(remote) = &about.remote {
            self.put(out, "Remote-MTA", &format!("dns; {remote}"));
        }
        match &about.reply {
            Some(reply) => self.put(out, "Diagnostic-Code", &format!("smtp; {reply}")),
            None => self.put(out, "Diagnostic-Code", &format!("x-sealpost; {}", about.reason)),
        }
        if let Some(at) = about.last_attempt {
            self.put(out, "Last-Attempt-Date", &rfc5322(at));
        }
        self.put(out, "Final-Log-ID", &to_ascii(&self.queue_id));
        if let (Some(until), Action::Delayed) = (about.tried_until, about.action) {
            self.put(out, "Will-Retry-Until", &rfc5322(until));
        }
    }

    fn put(&self, out: &mut Vec<u8>, name: &str, value: &str) {
        if self.is_global() { global_field(out, name, value) } else { field(out, name, value) }
    }
}

fn final_recipient(path: &ForwardPath, global: bool) -> String {
    let address = path.to_string();
    typed_address(if address.is_ascii() { "rfc822" } else { "utf-8" }, &address, global)
}
