//! The embedding program's own word on each message.

use std::sync::Arc;

use sealpost_smtp::Reply;
use sealpost_types::{Envelope, Reception};

/// The embedding program's own word on each message, just before it is made durable.
#[derive(Clone)]
pub(crate) struct AcceptHook(Arc<Ask>);

type Ask = dyn Fn(&Envelope, &Reception) -> Result<(), Reply> + Send + Sync;

impl AcceptHook {
    pub(crate) fn new(ask: impl Fn(&Envelope, &Reception) -> Result<(), Reply> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(crate) fn ask(&self, envelope: &Envelope, reception: &Reception) -> Result<(), Reply> {
        (self.0)(envelope, reception)
    }
}
