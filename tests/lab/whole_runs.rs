//! Whole runs of the binary, from the order to the withdrawal, where the zone's servers cannot be asked: CAS, provider and CA are those of
//! a sandbox inside the network, the servers of the zone are BIND's, out of reach or spoken for by somebody else.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::networks::{Network, is_allowed};
use crate::interop::servers::{Process, program};

/// A sandbox inside a network, and a home folder for the runs against it.
struct World<'a> {
    network: &'a Network,
    /// Ends with it.
    _sandbox: Process,
    home: TempDir,
    variables: BTreeMap<String, String>,
}

impl<'a> World<'a> {
    /// With one waiting order for `www.example.test`; the CA issues so long after it saw the record.
    fn start(network: &'a Network, issue_delay: &str) -> Self {
        let options = ["--zone", "example.test", "--lag", "0s", "--issue-delay", issue_delay, "--order-for", "www.example.test"];
        let command: Vec<String> =
            [vec![program("nsenter").expect("installed").to_str().expect("text").to_owned()], network.entrance()]
                .concat()
                .into_iter()
                .chain([env!("CARGO_BIN_EXE_dv-verify"), "sandbox"].into_iter().chain(options).map(str::to_owned))
                .collect();
        let started = Process::start("the sandbox", |_| (command.clone(), vec![("the sandbox runs until", 1)], ()));
        let (sandbox, ()) = started.unwrap();
        let log = sandbox.log();
        let exports = log.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let mut variables: BTreeMap<String, String> =
            exports.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect();
        // Found as in life: through the system's resolver, at the zone's own servers.
        variables.remove("DV_AUTHORITY").expect("it is told");
        variables.remove("DV_RESOLVER").expect("it is told");
        Self { network, _sandbox: sandbox, home: TempDir::new().expect("a folder"), variables }
    }

    /// Exit code, events, and what was said besides.
    fn run(&self, arguments: &[&str]) -> (i32, Vec<Value>, String) {
        let mut command = self.network.command();
        command.args(arguments).envs(&self.variables).env("HOME", self.home.path());
        command.env("DV_OUT", self.home.path().join("out")).env("DV_STORE", self.home.path().join("store.db"));
        let output = command.output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let events =
            text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
        (output.status.code().unwrap_or(-1), events, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Calls the control API; with a body it is a POST.
    fn control(&self, path: &str, body: Option<&Value>) -> String {
        let script = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], *[body.encode() for body in sys.argv[2:]]).read().decode())";
        let url = format!("{}/{path}", self.variables["DV_SANDBOX_CONTROL"].trim_end_matches('/'));
        let body = body.map(Value::to_string);
        let arguments: Vec<&str> = ["-c", script, &url].into_iter().chain(body.as_deref()).collect();
        self.network.run_program("python3", &arguments)
    }

    /// What the sandbox has.
    fn state(&self) -> Value {
        let text = self.control("state", None);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// How many records are in the provider's zone.
    fn records(&self) -> usize {
        self.state()["records"].as_array().expect("a list").len()
    }
}

fn words(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap_or_default()).collect()
}

/// That the record was really written.
fn was_written(world: &World<'_>, events: &[Value]) {
    let calls = world.state()["provider_calls"].clone();
    assert!(calls["POST"].as_u64().is_some_and(|writes| writes == 1), "{calls}");
    assert!(words(events).contains(&"published"), "{events:?}");
}

#[test]
fn a_run_where_the_servers_cannot_be_asked_is_never_green_says_why_and_leaves_nothing() {
    if !is_allowed() {
        return;
    }
    std::thread::scope(|scope| {
        let each = [
            ("no-53", "25s", "port 53 seems to be blocked here"),
            ("interceptor", "6s", "this network answers DNS in the name of others"),
        ]
        .map(|(kind, time, why)| scope.spawn(move || never_green(kind, time, why)));
        for run in each {
            run.join().expect("the run is as it should be");
        }
    });
}

fn never_green(kind: &str, time: &str, why: &str) {
    let network = Network::start(kind).unwrap_or_else(|why| panic!("{kind}: {why}"));
    // The CA would issue, but long after the time is up.
    let world = World::start(&network, "1h");
    let arguments = ["--provider", "cloudflare", "--output", "json", "--propagation-timeout", time];
    let (code, events, said) = world.run(&arguments);
    assert_eq!(code, 5, "{kind}: {events:?}\n{said}");
    let all = words(&events);
    assert!(!all.contains(&"visible") && !all.contains(&"issued"), "{kind}: {events:?}");
    assert!(events.iter().all(|event| event["visible"] != true), "{kind}: {events:?}");
    let failed = events.iter().find(|event| event["event"] == "failed").unwrap_or_else(|| panic!("{kind}: {events:?}"));
    assert!(failed.to_string().contains(why), "{kind}: {failed}");
    // The CA may still look, so the record stays for the next run; once the order is over, that one takes it away.
    was_written(&world, &events);
    assert_eq!(world.records(), 1, "{kind}: {events:?}");
    let order = world.state()["orders"][0]["id"].clone();
    world.control("faults", Some(&json!({ "fault": "order", "order": order, "change": { "kind": "reject" } })));
    let (code, _, said) = world.run(&["clean", "--provider", "cloudflare", "--output", "json"]);
    assert_eq!(code, 0, "{kind}: {said}");
    assert_eq!(world.records(), 0, "{kind}: {said}");
}

#[test]
fn a_ca_that_looks_from_elsewhere_ends_the_wait_though_nothing_was_visible_here() {
    if !is_allowed() {
        return;
    }
    let network = Network::start("no-53").unwrap_or_else(|why| panic!("{why}"));
    let world = World::start(&network, "2s");
    let (code, events, said) = world.run(&["--provider", "cloudflare", "--output", "json"]);
    assert_eq!(code, 0, "{events:?}\n{said}");
    let all = words(&events);
    assert!(all.contains(&"delivered") && !all.contains(&"visible"), "{events:?}");
    was_written(&world, &events);
    assert!(all.contains(&"withdrawn"), "{events:?}");
    assert_eq!(world.records(), 0, "{events:?}");
}
