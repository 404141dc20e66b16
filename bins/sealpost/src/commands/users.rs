//! `sealpost users hash`: a line for the users file.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use sealpost_relay::{password_hash, users_line};

use super::{Failure, in_words};
use crate::cli;

pub(crate) fn hash(options: &cli::UsersHash) -> Result<ExitCode, Failure> {
    let password = read_password().map_err(|error| format!("cannot read the password from standard input: {error}"))?;
    let line = match &options.name {
        Some(name) => users_line(name, password.as_bytes()),
        None => password_hash(password.as_bytes()),
    };
    say!("{}", line.map_err(in_words)?);
    Ok(ExitCode::SUCCESS)
}

/// One line of standard input without its end. On a terminal it is asked for, and not shown.
fn read_password() -> io::Result<String> {
    let mut line = String::new();
    if io::stdin().is_terminal() {
        eprint!("Password: ");
        io::stderr().flush()?;
        let hidden = Hidden::new()?;
        io::stdin().lock().read_line(&mut line)?;
        drop(hidden);
        eprintln!();
    } else {
        io::stdin().lock().read_line(&mut line)?;
    }
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    Ok(line)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> io::Result<Self> {
        let shown = tcgetattr(io::stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // If it cannot be set back, there is nothing left to do it with.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
