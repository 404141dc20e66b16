#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod page;

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, CommandFactory};

/// Write a manual page for every command.
#[derive(Debug, Args)]
#[command(after_help = MAN)]
pub struct Man {
    /// Where the pages go; made if it is not there.
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl Man {
    /// Writes `NAME.1` and one `NAME-COMMAND.1` for each command below it, and says how many on standard output.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, or a page cannot be written; the error names it.
    pub fn write<C: CommandFactory>(&self) -> io::Result<()> {
        let named = |path: &PathBuf, error: io::Error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()));
        fs::create_dir_all(&self.directory).map_err(|error| named(&self.directory, error))?;
        let pages = page::pages(C::command())?;
        for page in &pages {
            let path = self.directory.join(&page.file);
            fs::write(&path, &page.text).map_err(|error| named(&path, error))?;
        }
        writeln!(io::stdout(), "{} pages in {}", pages.len(), self.directory.display())
    }
}

/// Print what a shell needs to complete commands and options.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS)]
pub struct Completions {
    /// For which shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints the script on standard output.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written.
    pub fn print<C: CommandFactory>(&self) -> io::Result<()> {
        let mut command = C::command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, &name, &mut script);
        if self.shell == clap_complete::Shell::Bash {
            script = with_one_name(&String::from_utf8_lossy(&script), &name).into_bytes();
        }
        io::stdout().write_all(&script)
    }
}

/// clap_complete 4.6 writes a program's name that has a hyphen in two ways, one where bash decides which command is meant and one where
/// it looks up its options, so that it finds none: this leaves the first.
fn with_one_name(script: &str, name: &str) -> String {
    if !name.contains('-') {
        return script.to_owned();
    }
    let (one, other) = (name.replace('-', "__"), name.replace('-', "__subcmd__"));
    script.replace(&format!("{other}__subcmd__"), &format!("{one}__subcmd__"))
}

const MAN: &str = "\
The pages are those of `--help`: one for each command, NAME-COMMAND.1 in section 1. A directory that
man looks into is /usr/local/share/man/man1.";

const COMPLETIONS: &str = "\
The script goes where the shell looks for it: in Debian's bash into
/usr/share/bash-completion/completions/ under the program's name, in zsh into a directory of $fpath
under the name with an underscore before it, in fish into ~/.config/fish/completions/NAME.fish.";
