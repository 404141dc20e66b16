//! `sealpost reload`: the running relay reads its policy again, its own file and its certificates.

use std::process::ExitCode;

use sealpost_admin::Client;
use sealpost_relay::policy_file::ChangeOptions;
use sealpost_relay::read_config;

use super::policy::waiting;
use super::{Failure, in_words, print, runtime};
use crate::cli;

pub(crate) fn reload(options: &cli::Reload) -> Result<ExitCode, Failure> {
    let config = read_config(&options.config.config).map_err(in_words)?;
    let socket = config.admin.socket.ok_or("[admin] socket is \"none\": send SIGHUP to the relay instead")?;
    let request = change_options(options.change).into();
    let (runtime, client) = (runtime()?, Client::new(socket));
    let change = runtime.block_on(client.reload(request)).map_err(in_words)?;
    print(&change.diff);
    let (before, after) = (change.entries_before, change.entries_after);
    match (options.change.dry_run, change.changed) {
        (true, true) => say!("nothing is changed; {after} entries would be in force, {before} are"),
        (false, true) => say!("in force: {after} entries, {before} before"),
        (_, false) => say!("no difference: {after} entries are in force"),
    }
    if change.changed {
        say!("{}", change.summary);
    }
    let name = options.config.config.display();
    let (now, later) = (&change.settings.now, &change.settings.restart);
    if !now.is_empty() {
        say!("{name}: {}{}", if options.change.dry_run { "would be in force: " } else { "in force: " }, now.join(", "));
    }
    if !later.is_empty() {
        say!("{name}: in force after a restart only: {}", later.join(", "));
    }
    change.certificates.iter().for_each(|certificate| say!("{certificate}"));
    waiting::tell(&runtime, &client, &change, options.change);
    if options.change.apply_to_queue && !options.change.dry_run {
        say!("mail that waits for TLS is let go where the policy allows it");
    }
    // The policy and the settings are in force all the same.
    if !change.refused.is_empty() {
        return Err(change.refused.join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the options of the command line ask for.
pub(super) fn change_options(arguments: cli::ChangeArguments) -> ChangeOptions {
    let mut options = ChangeOptions::default();
    options.dry_run = arguments.dry_run;
    options.force = arguments.force;
    options.apply_to_queue = arguments.apply_to_queue;
    options
}
