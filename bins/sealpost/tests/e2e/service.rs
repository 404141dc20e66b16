//! The relay as a service: what it tells its manager, and the unit file.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::relay::House;

const LIMIT: Duration = Duration::from_secs(30);

fn manager(house: &House) -> UnixDatagram {
    let socket = UnixDatagram::bind(house.file("manager")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

/// The next thing that is told that is no sign of life.
fn told(manager: &UnixDatagram) -> String {
    let mut octets = [0; 256];
    loop {
        let length = manager.recv(&mut octets).unwrap();
        let text = String::from_utf8(octets[..length].to_vec()).unwrap();
        if text != "WATCHDOG=1" {
            return text;
        }
    }
}

#[test]
fn the_service_manager_is_told_of_start_reload_stop_and_life() {
    let house = House::new();
    let path = house.file("manager").display().to_string();
    let house = house.environment("NOTIFY_SOCKET", path).environment("WATCHDOG_USEC", "100000");
    let manager = manager(&house);
    let relay = house.start();
    assert_eq!(told(&manager), "READY=1");
    let mut octets = [0; 64];
    let length = manager.recv(&mut octets).unwrap();
    assert_eq!(&octets[..length], b"WATCHDOG=1");
    relay.hang_up();
    assert!(told(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(&manager), "READY=1");
    relay.terminate();
    assert_eq!(told(&manager), "STOPPING=1");
    assert!(relay.wait(LIMIT).success());
    assert!(!std::fs::read_to_string(house.file("relay.log")).unwrap().contains("service manager"));
}

/// The control: without these variables nobody is told anything, and with a socket that is not there mail flows all the same.
#[test]
fn without_a_service_manager_nobody_is_told() {
    let house = House::new();
    let manager = manager(&house);
    let relay = house.start();
    relay.terminate();
    assert!(relay.wait(LIMIT).success());
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 8]).is_err());

    let house = House::new().environment("NOTIFY_SOCKET", "/nowhere/manager");
    let relay = house.start();
    assert!(relay.log().contains("the service manager is not told \"READY=1\""), "{}", relay.log());
}

/// The unit file, for a program that is where this test's is.
fn unit() -> String {
    let text = include_str!("../../systemd/sealpost.service");
    assert!(text.contains("/usr/local/bin/sealpost run"));
    text.replace("/usr/local/bin/sealpost", env!("CARGO_BIN_EXE_sealpost"))
}

#[test]
fn the_unit_leaves_no_way_for_a_core_dump_or_for_root() {
    let unit = unit();
    for line in ["User=sealpost", "LimitCORE=0", "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes", "ProtectSystem=strict", "Type=notify"]
    {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
}

mod with_systemd {
    use std::fs;
    use std::process::Command;
    use std::time::Duration;

    use super::unit;
    use crate::relay::finish;

    const LIMIT: Duration = Duration::from_secs(60);

    /// How open a service may be, as systemd counts: 10 is one without any restriction.
    const EXPOSURE: f32 = 1.5;

    fn analyze(unit: &str, arguments: &[&str]) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sealpost.service");
        fs::write(&file, unit).unwrap();
        let output = finish(Command::new("systemd-analyze").args(arguments).arg(file), LIMIT);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), said)
    }

    fn exposure(unit: &str) -> f32 {
        let (_, said) = analyze(unit, &["security", "--offline=true", "--no-pager"]);
        let (_, rest) = said.split_once("Overall exposure level for sealpost.service: ").unwrap_or_else(|| panic!("{said}"));
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    #[ignore = "needs systemd"]
    fn the_unit_is_right() {
        assert_eq!(analyze(&unit(), &["verify", "--man=no"]), (true, String::new()));
        let (is_right, said) = analyze(&unit().replace("Restart=on-failure", "Restart=now-and-then"), &["verify", "--man=no"]);
        assert!(!is_right || said.contains("Failed to parse"), "the control: {said}");
    }

    #[test]
    #[ignore = "needs systemd"]
    fn the_unit_exposes_little() {
        let found = exposure(&unit());
        assert!(found <= EXPOSURE, "{found}");
        // The controls: what is left out is noticed.
        for line in ["NoNewPrivileges=yes\n", "SystemCallFilter=@system-service\n", "ProtectSystem=strict\n", "User=sealpost\n"] {
            assert!(exposure(&unit().replace(line, "")) > EXPOSURE, "{line}");
        }
    }
}

/// What the unit restricts, without systemd: `tests/confined.py` obeys the same lines.
mod with_confinement {
    use std::fs;
    use std::net::SocketAddr;
    use std::path::Path;
    use std::process::{Command, Output};
    use std::time::Duration;

    use super::unit;
    use crate::client::Client;
    use crate::relay::{House, Relay, finish};
    use crate::sink::{Behaviour, Sink, StartTls};

    const LIMIT: Duration = Duration::from_secs(60);

    fn launcher(unit: &str, program: &Path, folder: &Path) -> Command {
        let file = folder.join("sealpost.service");
        fs::write(&file, unit).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/confined.py")).arg(file).arg(program).arg(folder);
        command
    }

    fn folder(house: &House) -> std::path::PathBuf {
        house.config().parent().unwrap().to_owned()
    }

    fn confined(house: &House) -> Relay {
        house.write();
        house.start_under(launcher(&unit(), env!("CARGO_BIN_EXE_sealpost").as_ref(), &folder(house)))
    }

    /// A shell under the same unit.
    fn shell(unit: &str, script: &str) -> Output {
        let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        finish(launcher(unit, "/bin/sh".as_ref(), folder.path()).args(["-c", script]), LIMIT)
    }

    #[test]
    #[ignore = "needs confinement"]
    fn the_relay_does_all_it_has_to_as_nobody_under_the_unit() {
        let sink = Sink::start(Behaviour::new(StartTls::Absent));
        let mut house = House::to(&sink);
        let [low, high, ..] = std::process::id().to_le_bytes();
        house.address = SocketAddr::from(([127, low | 1, high.wrapping_add(91), 1], 24));
        let metrics = crate::relay::free_address();
        let house = house.also(&format!("[metrics]\naddress = \"{metrics}\"\n"));
        let relay = confined(&house);
        let status = fs::read_to_string(format!("/proc/{}/status", relay.pid())).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap().to_owned();
        assert!(field("Uid:").starts_with("65534"), "{status}");
        let rights = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].map(&field);
        assert!(rights.iter().all(|set| set == "0000000000000400"), "ports below 1024 and nothing else: {rights:?}");
        assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".to_owned(), "2".to_owned()));

        let mut client = Client::secure(relay.address, &house.authority.client()).unwrap();
        let large = [b"Subject: x\r\n\r\n".to_vec(), b"0123456789abcdef\r\n".repeat(20_000)].concat();
        for content in [&b"Subject: x\r\n\r\nx\r\n"[..], &large] {
            assert_eq!(client.send("alice@sender.example", &["bob@partner.example"], content).unwrap().code, 250);
        }
        sink.wait_for(2, LIMIT);
        house.wait_for_history(&["delivered", "bob@partner.example"], LIMIT);
        house.says(&["domains", "add", "bank.example", "--even-if-unreachable"], 0);
        assert!(fs::read_to_string(house.file("policy.toml")).unwrap().contains("bank.example"), "it may write its policy");
        relay.hang_up();
        house.wait_for_history(&["policy"], LIMIT);
        let mut answer = String::new();
        let mut stream = std::net::TcpStream::connect(metrics).unwrap();
        std::io::Write::write_all(&mut stream, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(answer.contains("process_open_fds") && answer.contains("process_resident_memory_bytes"), "{answer}");
        relay.terminate();
        assert!(relay.wait(LIMIT).success());
    }

    /// The negative controls: what the unit forbids is forbidden here, and a relay without what it needs does not start.
    #[test]
    #[ignore = "needs confinement"]
    fn what_the_unit_forbids_cannot_be_done() {
        let free = unit()
            .replace("ProtectSystem=strict\n", "")
            .replace("RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK");
        let write = "echo x > /mnt/folder/mine && ! echo x 2>/dev/null > /var/tmp/sealpost-not-mine";
        assert!(shell(&unit(), write).status.success());
        assert!(!shell(&free, write).status.success());
        let _ = fs::remove_file("/var/tmp/sealpost-not-mine");
        let netlink = "/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)'";
        assert!(!shell(&unit(), netlink).status.success());
        assert!(shell(&free, netlink).status.success(), "{:?}", shell(&free, netlink));
        let without = unit().replace("~@privileged", "~@network-io @privileged");
        let house = House::new();
        house.write();
        let mut command = launcher(&without, env!("CARGO_BIN_EXE_sealpost").as_ref(), &folder(&house));
        let output = finish(command.args(["run", "--config"]).arg(house.config()), LIMIT);
        assert!(!output.status.success(), "it listens without the calls for it");
    }

    /// A kernel without Landlock, as far as the relay can tell: its calls are forbidden.
    #[test]
    #[ignore = "needs confinement"]
    fn without_landlock_it_is_told_and_where_it_must_be_the_relay_does_not_start() {
        let without = unit().replace("landlock_create_ruleset landlock_add_rule landlock_restrict_self", "");
        let run = |landlock: &str| {
            let house = House::new().also(&format!("[process]\nlandlock = \"{landlock}\"\n"));
            house.write();
            let launcher = launcher(&without, env!("CARGO_BIN_EXE_sealpost").as_ref(), &folder(&house));
            (house, launcher)
        };
        let (house, launcher) = run("best-effort");
        let relay = house.start_under(launcher);
        assert!(relay.log().contains("not confined: this kernel has no Landlock"), "{}", relay.log());
        let (house, mut launcher) = run("on");
        let output = finish(launcher.args(["run", "--config"]).arg(house.config()), LIMIT);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("[process] landlock = \"on\""), "{said}");
    }
}
