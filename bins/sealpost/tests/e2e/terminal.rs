//! What a person at a terminal is asked: what deletes asks first, and a password is not shown.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::client::Client;
use crate::content::message;
use crate::relay::{House, Relay, sealpost, wait};
use crate::sink::{Behaviour, Sink, StartTls};

const LIMIT: Duration = Duration::from_secs(30);

/// A command that somebody runs at a terminal.
struct Typing {
    child: std::process::Child,
    keyboard: File,
    screen: thread::JoinHandle<Vec<u8>>,
}

impl Typing {
    /// Starts a command with a terminal as its input and for what it says on standard error.
    fn start(command: &mut Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let ours = openpt(flags).unwrap();
        unlockpt(&ours).unwrap();
        let theirs = ioctl_tiocgptpeer(&ours, flags).unwrap();
        command.stdin(Stdio::from(theirs.try_clone().unwrap())).stdout(Stdio::piped()).stderr(Stdio::from(theirs));
        let child = command.spawn().unwrap();
        // The command keeps its own copies; with the last of them the screen ends.
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let keyboard = File::from(ours);
        let mut shown = keyboard.try_clone().unwrap();
        let screen = thread::spawn(move || {
            let mut text = Vec::new();
            // A terminal that nobody has open any more answers with an error where a file ends.
            let _ = shown.read_to_end(&mut text);
            text
        });
        Self { child, keyboard, screen }
    }

    /// Whether the terminal shows what is typed.
    fn echoes(&self) -> bool {
        tcgetattr(&self.keyboard).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Types a line; gives how the command ended, what stood on the screen, and what came out.
    fn line(mut self, line: &str) -> (ExitStatus, String, String) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
        let status = wait(&mut self.child, LIMIT).expect("the command does not end");
        let mut output = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        (status, String::from_utf8(self.screen.join().unwrap()).unwrap(), output)
    }
}

/// A relay with two messages that wait for an hour.
fn waiting() -> (House, Relay, Sink) {
    let sink = Sink::start(Behaviour::new(StartTls::Absent));
    let house = House::new().route("bank.example", sink.address);
    let house =
        house.policy("[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\ndeliver = \"require\"\n[defaults]\nretry = \"1h\"\n");
    let relay = house.start();
    for name in ["first", "second"] {
        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        assert_eq!(client.send("a@sender.example", &["teller@bank.example"], message(name).as_bytes()).unwrap().code, 250);
        house.wait_for_history(&["Processing: Check TLS"], LIMIT);
    }
    (house, relay, sink)
}

fn queued(house: &House) -> usize {
    house.says(&["queue", "list", "--json"], 0).lines().filter(|line| line.starts_with('{')).count()
}

/// `queue delete` asks, says how much it is about, and takes nothing but a yes for one.
#[test]
fn deleting_asks_first() {
    let (house, _relay, _sink) = waiting();
    let delete = |line: &str| {
        let mut command = sealpost();
        command.args(["queue", "delete", "--sender", "a@sender.example", "--config"]).arg(house.config());
        Typing::start(&mut command).line(line)
    };
    for no in ["", "n", "no", "Yes!", "delete"] {
        let (status, screen, output) = delete(no);
        assert_eq!((status.code(), output.as_str()), (Some(1), ""), "{no:?}: {screen}");
        assert!(screen.contains("Delete 2 entries from the queue, for good? [y/N] "), "{screen}");
        assert!(screen.contains("nothing is deleted"), "{screen}");
        assert_eq!(queued(&house), 2, "{no:?} deleted");
    }
    let (status, screen, output) = delete("y");
    assert_eq!((status.code(), output.as_str()), (Some(0), "deleted: 2 entries\n"), "{screen}");
    assert_eq!(queued(&house), 0);
}

/// `users hash` asks for the password and does not show it; the terminal is as before when it has ended.
#[test]
fn a_password_is_not_shown() {
    let typing = Typing::start(sealpost().args(["users", "hash", "--name", "alice"]));
    let end = Instant::now() + LIMIT;
    while typing.echoes() {
        assert!(Instant::now() < end, "the terminal goes on showing what is typed");
        thread::sleep(Duration::from_millis(5));
    }
    let after = typing.keyboard.try_clone().unwrap();
    let (status, screen, output) = typing.line("correct horse");
    assert_eq!(status.code(), Some(0), "{screen}");
    assert!(screen.contains("Password: ") && !screen.contains("horse"), "{screen}");
    assert!(output.starts_with("alice"), "{output}");
    assert!(tcgetattr(&after).unwrap().local_modes.contains(LocalModes::ECHO), "the terminal stays without echo");
    // The control: where the command does not ask for it to be hidden, the terminal shows what is typed.
    let (house, _relay, _sink) = waiting();
    let mut shown = sealpost();
    shown.args(["queue", "delete", "--sender", "a@sender.example", "--config"]).arg(house.config());
    let (_, screen, _) = Typing::start(&mut shown).line("horse");
    assert!(screen.contains("horse"), "{screen}");
}
