//! A word on mail that waits, where a change may ask less of it.

use sealpost_admin::{Change, Client};
use tokio::runtime::Runtime;

use crate::cli::ChangeArguments;

/// Says that mail which waits for TLS stays under what was asked of it: whoever corrects an entry at night waits for that mail.
pub(in crate::commands) fn tell(runtime: &Runtime, client: &Client, change: &Change, arguments: ChangeArguments) {
    let may_be_less = change.removed + change.differing > 0;
    if !change.changed || !may_be_less || arguments.dry_run || arguments.apply_to_queue {
        return;
    }
    let Ok(status) = runtime.block_on(client.status()) else { return };
    let waiting = match status.queue.deferred {
        0 => return,
        1 => "1 message waits".to_owned(),
        count => format!("{count} messages wait"),
    };
    eprintln!(
        "note: {waiting}. What was deferred for TLS stays under what was asked then, too; `sealpost reload --apply-to-queue` ends that"
    );
}
