//! What is done with the counts: written, closed when their day is over, and sent. The time is an argument.

use std::time::Duration;

use sealpost_discovery::ResolveError;
use sealpost_report::tlsrpt::{BookError, Day, ReportAddress, ReportMail, Sending, SendingState, Tally, TlsReport, TlsrptRecord, pack};
use sealpost_types::{Domain, Mailbox, UnixMillis};

use super::Reports;
use super::interest::Wish;
use crate::random;
use crate::words::ReportTry;

/// What a clerk asks of others.
pub(crate) trait World: Send + Sync {
    /// The TXT records of a name.
    fn texts(&self, name: &Domain) -> impl Future<Output = Result<Vec<Vec<u8>>, ResolveError>> + Send;
    /// Hands in a report over HTTPS; or why it is not taken.
    fn post(&self, url: &str, packed: Vec<u8>) -> impl Future<Output = Result<(), String>> + Send;
    /// Queues a report as a mail; or why it cannot be.
    fn mail(&self, from: &Mailbox, to: &Mailbox, message: Vec<u8>) -> impl Future<Output = Result<(), String>> + Send;
}

/// Works through what is to be done at a moment.
pub(crate) struct Clerk<'a, W> {
    pub(crate) reports: &'a Reports,
    pub(crate) world: &'a W,
    pub(crate) hostname: &'a Domain,
}

impl<W: World> Clerk<'_, W> {
    /// Writes what was counted of domains that want reports, and of those that could not be asked whether they do.
    ///
    /// # Errors
    /// [`BookError`]: then it is counted on, and written later.
    pub(crate) async fn write(&self, now: UnixMillis) -> Result<(), BookError> {
        let dropped = self.reports.tally().dropped();
        if dropped > 0 {
            tracing::warn!(dropped, "TLS sessions are in no report: more different ones came than are counted");
        }
        let domains = self.reports.tally().domains();
        for domain in &domains {
            if self.reports.interest.recall(domain, now).is_none() {
                let wish = match self.record(domain).await {
                    Ok(Some(_)) => Wish::Wants,
                    Ok(None) => Wish::WantsNone,
                    Err(_) => Wish::Unknown,
                };
                self.reports.interest.note(domain, wish, now);
            }
        }
        let taken = {
            let mut tally = self.reports.tally();
            tally.forget(|domain| self.reports.interest.is_none(domain, now));
            std::mem::take(&mut *tally)
        };
        if taken.is_empty() {
            return Ok(());
        }
        let written = self.reports.book.add(&taken).await;
        if written.is_err() {
            self.put_back(taken);
        }
        written
    }

    fn put_back(&self, taken: Tally) {
        self.reports.tally().merge(taken);
    }

    /// Closes the days that are over, and sends what is due.
    ///
    /// # Errors
    /// [`BookError`]: what is left is done later.
    pub(crate) async fn send(&self, now: UnixMillis) -> Result<(), BookError> {
        let today = Day::of(now);
        let (last, next) = *self.reports.round();
        if last == Some(today) && now < next {
            return Ok(());
        }
        if last != Some(today) {
            // What was seen just before midnight belongs to the day that is closed now.
            self.write(now).await?;
        }
        let book = &self.reports.book;
        let all_closed = self.close_days(today, now).await?;
        let due = book.due(now, AT_A_TIME).await?;
        let is_all = all_closed && due.len() < AT_A_TIME;
        for sending in due {
            self.send_one(sending, now).await?;
        }
        if last != Some(today) {
            book.forget_before(today.before(DAYS_KEPT)).await?;
        }
        let next = book.next_due().await?.into_iter().chain([now.after(LOOKED_EVERY)]).min().filter(|_| is_all).unwrap_or(now);
        *self.reports.round() = (Some(today), next);
        Ok(())
    }

    /// Closes the days that are over, as far as so many can be asked for in a round; whether that was all. Domains that could not be asked a
    /// while ago are passed over, however many they are.
    async fn close_days(&self, today: Day, now: UnixMillis) -> Result<bool, BookError> {
        let (mut asked, mut behind) = (0_usize, None);
        loop {
            let open = self.reports.book.open_days(today, behind.take(), AT_A_TIME).await?;
            for (day, domain) in &open {
                asked = asked.saturating_add(usize::from(self.close_day(*day, domain, now).await?));
            }
            if open.len() < AT_A_TIME || asked >= AT_A_TIME {
                return Ok(open.len() < AT_A_TIME);
            }
            behind = open.into_iter().next_back();
        }
    }

    /// From now on the report is on its way, if the domain still wants it; whether it was asked.
    async fn close_day(&self, day: Day, domain: &Domain, now: UnixMillis) -> Result<bool, BookError> {
        let interest = &self.reports.interest;
        let is_old = day < Day::of(now).before(1);
        if interest.recall(domain, now) == Some(Wish::Unknown) && !is_old {
            return Ok(false);
        }
        let addresses = match self.record(domain).await {
            Ok(Some(record)) => record.addresses,
            Ok(None) => Vec::new(),
            Err(error) if !is_old => {
                interest.note(domain, Wish::Unknown, now);
                tracing::debug!(%domain, %day, %error, "where the TLS report goes is not known yet");
                return Ok(true);
            }
            Err(error) => {
                tracing::warn!(%domain, %day, %error, "the TLS report is dropped: where it goes could not be found out for a day");
                Vec::new()
            }
        };
        let (addresses, unsigned): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| self.reports.signer.is_some() || !matches!(address, ReportAddress::Mail(_)));
        if addresses.is_empty() && !unsigned.is_empty() {
            tracing::info!(%domain, %day, "no TLS report: it is wanted by mail, and there is no [tlsrpt] dkim_key to sign it");
        }
        // RFC 8460 section 4.1: spread over some hours, so that not all of them come at midnight.
        let spread = u64::try_from(self.reports.settings.delay.as_millis()).unwrap_or(u64::MAX);
        let due = now.after(Duration::from_millis(random::number().checked_rem(spread).unwrap_or_default()));
        let report_id = format!("{day}.{:016x}@{}", random::number(), self.hostname);
        self.reports.book.close_day((day, domain), &report_id, &addresses, (due, due.after(RETRIED))).await?;
        Ok(true)
    }

    async fn send_one(&self, mut sending: Sending, now: UnixMillis) -> Result<(), BookError> {
        let Sending { day, domain, report_id, address, .. } = &sending;
        let policies = self.reports.book.counted(*day, domain).await?;
        let report = TlsReport::new(
            &self.reports.settings.organization,
            &self.reports.settings.contact,
            report_id,
            (day.start(), day.last_second()),
            policies,
        );
        let packed = pack(&report.to_json());
        let (domain, address, day) = (domain.clone(), address.clone(), *day);
        let taken = match &address {
            ReportAddress::Https(url) => self.world.post(url, packed).await,
            ReportAddress::Mail(to) => {
                // A crash right behind this loses the report; behind the hand-over it would be sent twice.
                sending.state = SendingState::Sent;
                self.reports.book.record(&sending).await?;
                self.mail(to, &report, &packed, (&domain, now)).await
            }
            _ => Err("this kind of address is not known".to_owned()),
        };
        sending.attempts = sending.attempts.saturating_add(1);
        match taken {
            Ok(()) => {
                sending.state = SendingState::Sent;
                self.reports.sent.add_one(ReportTry::Sent);
                tracing::info!(%domain, %day, to = %address, id = sending.report_id, "TLS report sent");
            }
            Err(reason) => {
                let due = now.after(wait(sending.attempts));
                let is_over = due > sending.until;
                sending.state = if is_over { SendingState::Dropped } else { SendingState::Waiting };
                sending.due = due;
                self.reports.sent.add_one(if is_over { ReportTry::Dropped } else { ReportTry::Refused });
                if is_over {
                    tracing::warn!(%domain, %day, to = %address, attempts = sending.attempts, reason, "TLS report dropped");
                } else {
                    tracing::info!(%domain, %day, to = %address, reason, "TLS report not taken, and tried again");
                }
            }
        }
        self.reports.book.record(&sending).await?;
        if sending.state == SendingState::Waiting { Ok(()) } else { self.reports.book.tidy(day, &domain).await }
    }

    async fn mail(&self, to: &Mailbox, report: &TlsReport, packed: &[u8], (domain, now): (&Domain, UnixMillis)) -> Result<(), String> {
        let signer = self.reports.signer.as_ref().ok_or("there is no [tlsrpt] dkim_key")?;
        let mail = ReportMail::new(self.reports.settings.from.clone(), to.clone(), domain.clone(), self.hostname.clone(), now);
        let signed = signer.signed(&mail.to_bytes(report, packed), now).ok_or("the [tlsrpt] dkim_key does not sign")?;
        self.world.mail(&self.reports.settings.from, to, signed).await
    }

    /// What a domain publishes now; nothing where it wants no reports.
    async fn record(&self, domain: &Domain) -> Result<Option<TlsrptRecord>, ResolveError> {
        let Some(name) = TlsrptRecord::name(domain) else { return Ok(None) };
        let texts = match self.world.texts(&name).await {
            Ok(texts) => texts,
            Err(error) if error.is_permanent() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(TlsrptRecord::of_texts(&texts).unwrap_or_else(|error| {
            tracing::debug!(%domain, %error, "the domain gets no TLS reports");
            None
        }))
    }
}

/// Until the next attempt after so many: a minute, then twice as long each time, up to four hours.
fn wait(attempts: u32) -> Duration {
    Duration::from_secs(60 << attempts.saturating_sub(1).min(8)).min(Duration::from_secs(4 * 3600))
}

/// RFC 8460 section 5.5: a report is tried for so long.
pub(crate) const RETRIED: Duration = Duration::from_secs(24 * 3600);

/// Days after which nothing is known of a report any more.
const DAYS_KEPT: u16 = 8;

/// How often is looked for days that could not be closed.
const LOOKED_EVERY: Duration = Duration::from_secs(60);

/// Days that are closed, and reports that are sent, in one round.
const AT_A_TIME: usize = 200;

#[cfg(test)]
mod tests;
