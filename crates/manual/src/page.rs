//! One manual page a command.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// A page and the name of its file.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) file: String,
    pub(crate) text: Vec<u8>,
}

/// The pages of a command and of all below it, those that are hidden left out.
pub(crate) fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let program = command.render_version().trim_end().to_owned();
    let mut pages = Vec::new();
    collect(&command, &program, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, program: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command, program)?);
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        collect(below, program, pages)?;
    }
    Ok(())
}

/// The page of one command; `program`, its name and version, stands at the foot.
fn page(command: &Command, program: &str) -> io::Result<Page> {
    let man = Man::new(command.clone()).source(program);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for section in sections(&help) {
        section.render(&mut text)?;
    }
    Ok(Page { file: man.get_filename(), text })
}

/// A section of what `--help` says at its end.
#[derive(Debug, PartialEq, Eq)]
struct Section<'a> {
    heading: String,
    lines: Vec<&'a str>,
    /// Its lines stay as they are; else they are one running text.
    verbatim: bool,
}

/// Blocks that a line with a colon heads, such as `Examples:`, are sections of that name; `Exit code` begins another; the rest
/// are notes.
fn sections(help: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for block in help.split("\n\n") {
        let mut lines = block.lines().peekable();
        if let Some(heading) = lines.next_if(|line| !line.starts_with(' ') && line.ends_with(':')) {
            let heading = heading.trim_end_matches(':').to_uppercase();
            sections.push(Section { heading, lines: lines.collect(), verbatim: true });
            continue;
        }
        let lines: Vec<_> = lines.collect();
        let exit = lines.iter().position(|line| line.starts_with("Exit code")).unwrap_or(lines.len());
        let (notes, exit) = lines.split_at(exit);
        for (heading, lines) in [("NOTES", notes), ("EXIT STATUS", exit)] {
            if !lines.is_empty() {
                sections.push(Section { heading: heading.to_owned(), lines: lines.to_vec(), verbatim: false });
            }
        }
    }
    sections
}

impl Section<'_> {
    fn render(&self, text: &mut Vec<u8>) -> io::Result<()> {
        let mut roff = Roff::new();
        roff.control("SH", [self.heading.as_str()]);
        if self.verbatim {
            roff.control("nf", []);
        }
        for line in &self.lines {
            roff.text([roman(*line)]);
        }
        if self.verbatim {
            roff.control("fi", []);
        }
        roff.to_writer(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(help: &str) -> Vec<(String, usize, bool)> {
        sections(help).into_iter().map(|section| (section.heading, section.lines.len(), section.verbatim)).collect()
    }

    #[test]
    fn the_end_of_the_help_falls_into_sections() {
        let help =
            "Start here:\n  knock door\n  knock --help\n\nOne is enough.\nTwo are too many.\nExit code 0: somebody came.\n1: nobody.";
        let expected = [("START HERE", 2, true), ("NOTES", 2, false), ("EXIT STATUS", 2, false)];
        assert_eq!(heads(help), expected.map(|(heading, lines, verbatim)| (heading.to_owned(), lines, verbatim)));
        assert_eq!(heads("  indented:\n"), [("NOTES".to_owned(), 1, false)]);
        assert_eq!(heads(""), []);
    }

    #[test]
    fn what_is_hidden_has_no_page_and_what_is_below_has() {
        let below = Command::new("door").subcommand(Command::new("twice").about("Knock again"));
        let command = Command::new("knock").version("1.2").subcommand(below).subcommand(Command::new("secret").hide(true));
        let pages = pages(command).unwrap();
        let files: Vec<_> = pages.iter().map(|page| page.file.as_str()).collect();
        assert_eq!(files, ["knock.1", "knock-door.1", "knock-door-twice.1"]);
        assert!(pages.iter().all(|page| String::from_utf8_lossy(&page.text).contains("\"knock 1.2\"")), "{pages:?}");
    }

    #[test]
    fn a_line_that_looks_like_a_request_is_text() {
        let command = Command::new("knock").after_help("Examples:\n.SH FORGED\n  knock 'a\\b' -x");
        let text = String::from_utf8(pages(command).unwrap().remove(0).text).unwrap();
        assert!(!text.contains("\n.SH FORGED") && text.contains("FORGED"), "{text}");
        assert!(text.contains("a\\\\b") || text.contains("a\\eb"), "{text}");
    }
}
