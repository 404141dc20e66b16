//! `test` beside a relay that runs: what it obeys is what counts, not what lies in its file. (A7, B7)

use std::time::Duration;

use sealpost_admin::AdminServer;
use sealpost_relay::{Relay, RelayHandle, read_config};
use tokio::runtime::Runtime;

use crate::equipment::{ends, object, probe};
use crate::survey::{World, named};

/// A relay in this process, with its socket; it ends with the test.
pub(crate) struct Running {
    runtime: Runtime,
    pub(crate) handle: Option<RelayHandle>,
    server: Option<AdminServer>,
}

impl Running {
    pub(crate) fn start(world: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = read_config(world.path("sealpost.toml").as_ref()).unwrap();
        let admin = config.admin.clone();
        let (handle, server) = runtime.block_on(async {
            let ready = Relay::assemble(config).unwrap().ready().await.unwrap();
            let server = AdminServer::start(&admin, ready.control().clone()).await.unwrap();
            (ready.begin().unwrap(), server)
        });
        Self { runtime, handle: Some(handle), server: Some(server) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (handle, server) = (self.handle.take(), self.server.take());
        self.runtime.block_on(async {
            if let Some(server) = server {
                server.shutdown().await;
            }
            if let Some(handle) = handle {
                handle.shutdown(Duration::from_secs(5)).await;
            }
        });
    }
}

fn partner(level: &str) -> String {
    format!("[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\ndeliver = \"{level}\"\n")
}

// req: A7 B7
#[test]
fn what_the_running_relay_obeys_is_told_and_not_what_its_file_says_meanwhile() {
    let sink = named("mx.bank.example", &["--kind", "expired"]);
    let world = World::new(&[("bank.example", "mx.bank.example", &sink)]);
    let file = world.obeys(&partner("verify"));
    let config = world.path("sealpost.toml");
    let run = |options: &[&str]| probe(&[&["test", "bank.example", "--config", &config], options].concat());
    // nobody runs: the file is read, unless the relay is insisted on
    let said = ends(&run(&[]), 1);
    assert!(
        said.contains(&format!("By {file}: verify")) && said.contains("today: would NOT (mx.bank.example: certificate expired"),
        "{said}"
    );
    let said = ends(&run(&["--relay"]), 64);
    assert!(said.contains("--relay: ") && said.contains("admin.sock"), "{said}");
    let running = Running::start(&world);
    world.obeys(&partner("require"));
    let said = ends(&run(&["--relay"]), 1);
    assert!(said.contains(&format!("By {file}, as the running relay obeys it: verify")), "{said}");
    assert!(
        said.contains("policy.toml:1") && said.contains("today: would NOT (mx.bank.example: certificate expired"),
        "why, and whether: {said}"
    );
    let answer = object(&run(&["--json"]));
    assert_eq!(
        (&answer["policy"]["running"], &answer["policy"]["level"], &answer["policy"]["file"]),
        (&true.into(), &"verify".into(), &file.clone().into())
    );
    // a level that is named is what the exit code is about
    ends(&run(&["--level", "require"]), 0);
    drop(running);
    // the negative control: without the relay its file counts, and that asks less
    assert!(ends(&run(&[]), 0).contains(&format!("By {file}: require")));
}

#[test]
fn a_relay_without_a_policy_file_obeys_the_built_in_policy() {
    let sink = named("mx.bank.example", &[]);
    let world = World::new(&[("bank.example", "mx.bank.example", &sink)]);
    let _running = Running::start(&world);
    let said = ends(&probe(&["test", "bank.example", "--config", &world.path("sealpost.toml"), "--relay"]), 0);
    assert!(said.contains("By the built-in policy, as the running relay obeys it: opportunistic"), "{said}");
}
