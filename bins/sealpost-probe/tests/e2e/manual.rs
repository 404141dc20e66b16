//! `man` and `completions`.

use std::fs;
use std::process::Command;

use crate::equipment::probe;

/// A page for every command that `--help` names, and a script that bash takes.
#[test]
fn manual_pages_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("man1");
    let said = probe(&["man", directory.to_str().unwrap()]);
    assert!(said.status.success(), "{said:?}");
    let help = probe(&["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() > 4 && commands.contains(&"man"), "{help}");
    for command in commands {
        let page =
            fs::read_to_string(directory.join(format!("sealpost-probe-{command}.1"))).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{page}");
    }
    let page = fs::read_to_string(directory.join("sealpost-probe-ping.1")).unwrap();
    assert!(page.contains(".SH EXAMPLES\n.nf\n") && page.contains(".SH \"EXIT STATUS\""), "{page}");

    let script = probe(&["completions", "bash"]);
    let file = folder.path().join("script");
    fs::write(&file, &script.stdout).unwrap();
    let complete = format!(
        ". {}; COMP_WORDS=(sealpost-probe pi); COMP_CWORD=1; _sealpost__probe sealpost-probe pi sealpost-probe; echo ${{COMPREPLY[@]}}",
        file.display()
    );
    let completed = Command::new("bash").args(["-c", &complete]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "ping", "{completed:?}");
    // The options of a command: for a program whose name has a hyphen, bash once found none.
    let complete = format!(
        ". {}; COMP_WORDS=(sealpost-probe sink --ki); COMP_CWORD=2; _sealpost__probe sealpost-probe --ki sink; echo ${{COMPREPLY[@]}}",
        file.display()
    );
    let completed = Command::new("bash").args(["-c", &complete]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "--kind", "{completed:?}");
    let failed = probe(&["man", file.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains(file.to_str().unwrap()), "{failed:?}");
}
