//! The units in `dist/systemd` under a systemd that runs.

use std::fs;

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{OrderChange, OrderTraits},
};

use super::{
    accounts::{OTHER_KEY, OTHER_SECRET},
    context::{ACCESS_KEY_SECRET, API_TOKEN, Context, until},
    systemd::{Machine, configured, units},
};

const WATCH: &str = "dv-verify-watch.service";

#[test]
#[allow(clippy::print_stdout, reason = "what was left out is said")]
fn the_units_do_their_work_under_a_running_systemd() {
    let context = Context::new();
    let folder = tempfile::tempdir().unwrap();
    // A sign of life is missed sooner.
    units(&context, folder.path(), "WatchdogSec=8\nRestartSec=100ms\n");
    configured(folder.path(), "", &context.sandbox.options().access_key_id, ACCESS_KEY_SECRET);
    let machine = match Machine::boot(folder.path()) {
        Ok(machine) => machine,
        Err(why) => return println!("left out: no systemd can be started here: {why}"),
    };
    let said = || machine.run(&["cat", "/run/said"]).stdout;
    let property = |name: &str| machine.property(WATCH, name);

    // READY: the start waits for it. STATUS: what `systemctl status` shows.
    let started = machine.systemctl(&["start", WATCH, "dv-verify-reload.path"]);
    assert_eq!(started.code, 0, "{}{}\n{}", started.stderr, said(), fs::read_to_string(&machine.said).unwrap());
    assert_eq!((property("ActiveState"), property("SubState")), ("active".into(), "running".into()));
    until(|| !property("StatusText").is_empty());

    // It is shut in: a user of its own, no capability, no new right, a filter for system calls, secrets in no environment.
    let status = machine.process(WATCH, "status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:"), field("CapBnd:")), ("1".into(), "2".into(), "0000000000000000".into()));
    assert!(field("Uid:").split_whitespace().all(|id| id.parse::<u32>().is_ok_and(|id| id >= 61_184)), "{status}");
    let environment = machine.process(WATCH, "environ");
    assert!(
        environment.contains("CREDENTIALS_DIRECTORY=")
            && ![ACCESS_KEY_SECRET, API_TOKEN].iter().any(|secret| environment.contains(secret))
    );
    let rated = machine.run(&["systemd-analyze", "security", "--threshold=12", WATCH]);
    assert_eq!(rated.code, 0, "{}", rated.stdout);

    // With all that it carries an order through, and the path unit reloads what uses the certificate.
    context.order(Generation::Instance, &["www.example.com"]);
    until(|| machine.has("/run/reloaded"));
    assert!(machine.has("/var/lib/private/dv-verify/certificates/www.example.com/live/privkey.pem"), "{}", said());
    context.until_records(0);

    // Reload: SIGHUP, and systemd waits until the configuration was read.
    machine.run(&["sh", "-c", "echo 'parallel = 7' >> /run/etc/dv-verify/config.toml"]).expect(0);
    machine.systemctl(&["reload", WATCH]).expect(0);
    until(|| said().contains("the configuration was read again"));

    // Drain: the stop is clean, the record stays, and the next start goes on.
    let order = held(&context, "drained.example.com");
    machine.systemctl(&["stop", WATCH]).expect(0);
    assert_eq!((property("Result"), property("ExecMainStatus")), ("success".into(), "0".into()), "{}", said());
    assert_eq!(context.records().len(), 1, "it stays where it is");
    machine.systemctl(&["start", WATCH]).expect(0);
    context.change(&order, OrderChange::Issue);
    context.until_records(0);

    // WATCHDOG: a process that hangs is killed and started again, and goes on where it was.
    let order = held(&context, "hung.example.com");
    let hung = property("MainPID");
    machine.run(&["kill", "-STOP", &hung]).expect(0);
    until(|| property("NRestarts") == "1" && property("SubState") == "running");
    assert_ne!(property("MainPID"), hung);
    context.change(&order, OrderChange::Issue);
    context.until_records(0);
    until(|| machine.has("/var/lib/private/dv-verify/certificates/hung.example.com/live/privkey.pem"));
    machine.systemctl(&["stop", WATCH]).expect(0);
    assert!(![ACCESS_KEY_SECRET, API_TOKEN].iter().any(|secret| said().contains(secret)));
}

/// An order whose record is out, and which the CA does not issue yet.
fn held(context: &Context, name: &str) -> OrderId {
    let order = context.order(Generation::Instance, &[name]);
    context.change(&order, OrderChange::Hold);
    context.until_records(1);
    order
}

/// The template: one watch for each account, each with a user, secrets and folders of its own.
#[test]
#[allow(clippy::print_stdout, reason = "what was left out is said")]
fn instances_of_the_template_serve_one_account_each() {
    let context = Context::with(|options| options.other_accounts = [(OTHER_KEY.to_owned(), OTHER_SECRET.to_owned())].into());
    let folder = tempfile::tempdir().unwrap();
    units(&context, folder.path(), "");
    configured(folder.path(), "prod", &context.sandbox.options().access_key_id, ACCESS_KEY_SECRET);
    configured(folder.path(), "other-2", OTHER_KEY, OTHER_SECRET);
    let machine = match Machine::boot(folder.path()) {
        Ok(machine) => machine,
        Err(why) => return println!("left out: no systemd can be started here: {why}"),
    };
    let said = || machine.run(&["cat", "/run/said"]).stdout;
    let instances = ["dv-verify@prod.service", "dv-verify@other-2.service"];
    let started = machine.systemctl(&["start", instances[0], instances[1], "dv-verify-reload@other-2.path"]);
    assert_eq!(started.code, 0, "{}{}\n{}", started.stderr, said(), fs::read_to_string(&machine.said).unwrap());

    let uids = instances.map(|instance| {
        let status = machine.process(instance, "status");
        status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap().trim().to_owned()
    });
    assert_ne!(uids[0], uids[1], "each has a user of its own");
    assert!(machine.process(instances[1], "environ").contains("DV_ACCOUNT=other-2\0"));
    let rated = machine.run(&["systemd-analyze", "security", "--threshold=12", instances[1]]);
    assert_eq!(rated.code, 0, "{}", rated.stdout);

    // Each carries the orders of its account through, and a path unit hears of it.
    context.order(Generation::Instance, &["www.example.com"]);
    let traits = OrderTraits { account: Some(OTHER_KEY.into()), ..OrderTraits::default() };
    context.order_with(Generation::Instance, &["www.example.net"], traits);
    let key = |account: &str, name: &str| format!("/var/lib/private/dv-verify@{account}/certificates/{name}/live/privkey.pem");
    until(|| machine.has("/run/reloaded") && machine.has(&key("prod", "www.example.com")));
    assert!(machine.has(&key("other-2", "www.example.net")), "{}", said());
    assert!(!machine.has(&key("prod", "www.example.net")) && !machine.has(&key("other-2", "www.example.com")));
    assert!(machine.has("/var/lib/private/dv-verify@prod/dv-verify/store.db"));
    context.until_records(0);

    // What ends one leaves the other alone.
    machine.systemctl(&["stop", instances[0]]).expect(0);
    assert_eq!(
        (machine.property(instances[0], "Result"), machine.property(instances[1], "SubState")),
        ("success".into(), "running".into())
    );
    machine.systemctl(&["stop", instances[1]]).expect(0);
    assert!(![ACCESS_KEY_SECRET, OTHER_SECRET, API_TOKEN].iter().any(|secret| said().contains(secret)));
}
