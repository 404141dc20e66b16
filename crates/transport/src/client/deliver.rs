//! One transaction over an open connection.

use std::io;
use std::time::Duration;

use sealpost_smtp::{BodyTransfer, ClientError, ClientEvent, DataEncoder, Reply, Stage, Transaction, TransactionError};
use tokio::time::timeout;
use tracing::debug;

use super::body::BodySource;
use super::connection::{Broken, Connection, Happening, Talk};
use super::outcome::{TransactionEnd, TransactionOutcome, TransferError, TransferFault, TransferPhase};
use crate::tls::TlsBackend;

impl<B: TlsBackend> Connection<B> {
    /// Sends one message, and says what the server made of each recipient.
    ///
    /// Commands and body go out as far ahead and in as few writes as the server's extensions allow. Whatever fails on
    /// the way is part of the outcome; [`is_reusable`](Self::is_reusable) says whether another message may follow.
    ///
    /// # Wire
    /// RFC 5321 section 3.3, RFC 2920, RFC 3030; time-outs of RFC 5321 section 4.5.3.2.
    ///
    /// # Limits
    /// Some 64 KiB of the body are in memory at once, beside what `body` itself keeps.
    ///
    /// # Errors
    /// [`TransactionError`] if it cannot even begin: no recipients, an extension missing without which the message may
    /// not be sent, or a connection that is not reusable. Nothing has been sent then.
    pub async fn deliver(&mut self, transaction: Transaction, body: &mut impl BodySource) -> Result<TransactionOutcome, TransactionError> {
        let recipients = vec![None; transaction.recipients.len()];
        self.talk.session.transaction(transaction, self.talk.now())?;
        self.uses = self.uses.saturating_add(1);
        let mut outcome = TransactionOutcome { mail: None, recipients, end: TransactionEnd::NotSent };
        let mut phase = TransferPhase::Envelope;
        outcome.end = match self.converse(body, &mut outcome, &mut phase).await {
            Ok(end) => end,
            Err(fault) => {
                let error = TransferError { phase, fault };
                debug!(%error, "transaction broken off");
                // What the session believes to be under way cannot be finished.
                self.talk.session.quit(self.talk.now());
                TransactionEnd::Broken { error }
            }
        };
        // A connection that lies idle keeps no buffer.
        self.talk.out = Vec::new();
        Ok(outcome)
    }

    async fn converse(
        &mut self,
        body: &mut impl BodySource,
        outcome: &mut TransactionOutcome,
        phase: &mut TransferPhase,
    ) -> Result<TransactionEnd, TransferFault> {
        // Why the body could not be sent. A server that refuses in the middle often says why before it closes.
        let mut unsent: Option<TransferFault> = None;
        loop {
            let next = match &unsent {
                None => self.talk.next().await,
                Some(_) => timeout(LAST_WORDS, self.talk.next()).await.unwrap_or(Err(Broken::TimedOut { after: LAST_WORDS })),
            };
            let event = match next {
                Ok(Happening::Event(event)) => event,
                Ok(Happening::StartTls | Happening::Closed) => return Err(unsent.unwrap_or(LOST)),
                Err(broken) => return Err(unsent.unwrap_or_else(|| broken.into())),
            };
            match event {
                ClientEvent::Mail(reply) => outcome.mail = Some(reply),
                ClientEvent::Recipient { index, reply } => {
                    if let Some(slot) = outcome.recipients.get_mut(index) {
                        *slot = Some(reply);
                    }
                }
                ClientEvent::SendBody(transfer) => {
                    *phase = TransferPhase::Body;
                    match self.talk.send_body(transfer, body, phase).await {
                        Ok(true) => self.talk.session.body_sent(self.talk.now()),
                        Ok(false) => *phase = TransferPhase::Body,
                        Err(fault @ (TransferFault::Lost { .. } | TransferFault::TimedOut { .. })) => unsent = Some(fault),
                        Err(fault) => return Err(fault),
                    }
                }
                ClientEvent::Finished(reply) => {
                    let accepted = |reply: &Option<Reply>| reply.as_ref().is_some_and(Reply::is_success);
                    if !accepted(&outcome.mail) || !outcome.recipients.iter().any(accepted) {
                        return Ok(TransactionEnd::NotSent);
                    }
                    if outcome.recipients.contains(&None) {
                        // No recipient counts as delivered that was never accepted by name.
                        return Err(TransferFault::Protocol { cause: ClientError::UnexpectedReply { stage: Stage::Body, reply } });
                    }
                    return Ok(TransactionEnd::Answered { reply });
                }
                ClientEvent::Failed(ClientError::Closing { reply, .. }) => return Err(TransferFault::Closing { reply }),
                ClientEvent::Failed(cause) => return Err(unsent.unwrap_or(TransferFault::Protocol { cause })),
                // Greetings and the like do not come in a transaction.
                _ => {}
            }
        }
    }
}

impl<B: TlsBackend> Talk<B> {
    /// Writes the body behind what gathered before it; whether all of it.
    ///
    /// It stops when the server answers before the end: what follows would be for nobody.
    async fn send_body(
        &mut self,
        transfer: BodyTransfer,
        body: &mut impl BodySource,
        phase: &mut TransferPhase,
    ) -> Result<bool, TransferFault> {
        let announced = body.length();
        let mut encoder = DataEncoder::new();
        let mut found: u64 = 0;
        loop {
            let piece = body.next_piece().await.map_err(|error| TransferFault::Body { kind: error.kind() })?;
            if piece.is_empty() {
                break;
            }
            found = found.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if found > announced {
                return Err(TransferFault::BodyLength { announced, found });
            }
            for block in piece.chunks(BLOCK_OCTETS) {
                if self.out.len() >= BLOCK_OCTETS {
                    self.flush().await?;
                    self.session.body_progress(self.now());
                    self.read_ready();
                    if self.session.is_closed() {
                        return Ok(false);
                    }
                }
                match transfer {
                    BodyTransfer::Data => encoder.encode(block, &mut self.out),
                    BodyTransfer::Bdat(_) => self.out.extend_from_slice(block),
                }
            }
        }
        if found != announced {
            return Err(TransferFault::BodyLength { announced, found });
        }
        if transfer == BodyTransfer::Data {
            encoder.finish(&mut self.out);
        }
        self.told_of_content(found);
        // From here on the end may reach the server, whatever is heard of it.
        *phase = TransferPhase::Answer;
        self.flush().await?;
        Ok(true)
    }
}

impl From<Broken> for TransferFault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::TimedOut { after } => Self::TimedOut { after },
            Broken::Lost { kind } => Self::Lost { kind },
            Broken::Alert { .. } => Self::Lost { kind: io::ErrorKind::ConnectionAborted },
        }
    }
}

const LOST: TransferFault = TransferFault::Lost { kind: io::ErrorKind::UnexpectedEof };

/// How long to listen for the reason when the server takes no more of a body.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Octets of the body that are written at once: four full TLS records, less what they carry beside content.
const BLOCK_OCTETS: usize = 64 * 1024;
