//! What each command does.

/// Prints a line for whoever reads it.
macro_rules! say {
    ($($line:tt)*) => {
        $crate::commands::print(&(format!($($line)*) + "\n"))
    };
}

mod aside;
mod cert;
mod check;
mod ciphers;
mod explain;
mod history;
mod hosts;
mod policy;
mod queue;
mod quickstart;
mod reload;
mod replay;
mod run;
mod sts;
mod tlsrpt;
mod users;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use sealpost_relay::config::{Config, ListenerTls};
use sealpost_types::{UnixMillis, WithCauses};

use crate::cli::{Arguments, Cert, Command, Policy, Users};
use crate::identity;

/// What a command says on stderr when it fails: one or more lines for people.
pub(crate) type Failure = String;

pub(crate) fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Run(options) => run::run(&options),
        Command::Check(options) => check::check(&options),
        Command::Reload(options) => reload::reload(&options),
        Command::Domains(command) => policy::domains(&command),
        Command::Hosted(command) => policy::hosted(&command),
        Command::Owners(command) => policy::owners(&command),
        Command::Lists(command) => policy::lists(&command),
        Command::Rules(command) => policy::rules(&command),
        Command::Queue(command) => queue::queue(&command),
        Command::Quickstart(options) => quickstart::quickstart(&options),
        Command::Explain(options) => explain::explain(&options),
        Command::History(options) => history::history(&options),
        Command::Policy(Policy::Replay(options)) => replay::replay(&options),
        Command::Cert(Cert::Show(options)) => cert::show(&options),
        Command::Ciphers(options) => ciphers::ciphers(&options),
        Command::Sts(command) => sts::sts(&command),
        Command::Tlsrpt(command) => tlsrpt::tlsrpt(&command),
        Command::Users(Users::Hash(options)) => users::hash(&options),
        Command::Man(options) => options.write::<Arguments>().map(|()| ExitCode::SUCCESS).map_err(in_words),
        Command::Completions(options) => options.print::<Arguments>().map(|()| ExitCode::SUCCESS).map_err(in_words),
    }
}

/// A reader that goes away, as `head` does, has seen enough: that is no failure.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// The runtime of commands that talk to the network.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| format!("cannot start: {error}"))
}

/// The time of the machine.
fn now() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

/// An error with all its causes: what a failing command says.
fn in_words(error: impl std::error::Error + 'static) -> Failure {
    WithCauses(&error).to_string()
}

/// Fills in the certificate that the relay makes itself, where a listener needs one and none is configured.
fn with_identity(mut config: Config) -> Result<Config, Failure> {
    let needed = config.listeners.iter().any(|listener| listener.tls != ListenerTls::None);
    if needed && config.tls.identity.is_none() {
        let identity = identity::own_or_new(&config.data_dir.join("tls"), config.hostname.as_str())?;
        tracing::warn!(
            certificate = %identity.certificate.display(),
            "no [tls] certificate is configured: a certificate signed by itself is used, which nobody can verify"
        );
        config.tls.identity = Some(identity);
    }
    Ok(config)
}
