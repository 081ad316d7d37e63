//! Ctrl-C while a run waits, whatever for: it ends at once, and leaves nothing.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Fault, OrderTraits, SandboxOptions, Service, Validation},
};
use rustix::process::{Pid, Signal, kill_process};

use super::context::{Context, Ran, assert_no_secret, until};

const NOT_YET: Duration = Duration::from_secs(3600);

/// How long a run may take to end: a second, and what a machine with much else to do needs. Less than a write under way is given, so that a
/// wait that is treated as one is found.
const AT_ONCE: Duration = Duration::from_millis(4_500);

/// Starts the program with these arguments.
fn started(context: &Context, arguments: &[&str]) -> Child {
    spawned(&mut context.command(arguments))
}

fn spawned(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Ctrl-C once it has come so far.
#[track_caller]
fn interrupted(context: &Context, run: Child, has_come_so_far: impl Fn() -> bool) {
    until(has_come_so_far);
    let asked = Instant::now();
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    let ran = Ran::of(run.wait_with_output().unwrap()).expect(130);
    assert!(asked.elapsed() < AT_ONCE, "{:?}: {}", asked.elapsed(), ran.stderr);
    assert_no_secret(&ran);
    assert_eq!(context.records(), Vec::<String>::new(), "{}", ran.stderr);
}

fn scene(change: impl FnOnce(&mut SandboxOptions)) -> (Context, OrderId) {
    let context = Context::with(|options| {
        options.challenge_delay = Duration::ZERO;
        change(options);
    });
    let order = context.order(Generation::Instance, &["www.example.com"]);
    (context, order)
}

/// The service takes every call, and answers none.
fn silence(context: &Context, service: Service) {
    context.sandbox.fault(Fault::Calls { service, action: None, times: None, answer: Answer::Held }).unwrap();
}

fn calls(context: &Context) -> u64 {
    context.sandbox.calls().values().sum()
}

fn looks_at_provider(context: &Context) -> u64 {
    context.sandbox.state().provider_calls.get("GET").copied().unwrap_or_default()
}

#[test]
fn the_wait_for_the_challenge_the_record_and_the_certificate() {
    let scenes = [
        scene(|options| options.challenge_delay = NOT_YET),
        scene(|options| options.lag = NOT_YET),
        scene(|options| options.issue_delay = NOT_YET),
    ];
    for (number, (context, order)) in scenes.iter().enumerate() {
        let run = started(context, &["--provider", "cloudflare", "--order", order.as_str()]);
        interrupted(context, run, || if number == 0 { calls(context) >= 2 } else { context.records().len() == 1 });
    }
}

#[test]
fn the_wait_for_a_service_that_does_not_answer() {
    for service in [Service::Cas, Service::Provider] {
        let (context, order) = scene(|_| ());
        silence(&context, service);
        let run = started(&context, &["--provider", "cloudflare", "--order", order.as_str()]);
        interrupted(&context, run, || if service == Service::Cas { calls(&context) } else { looks_at_provider(&context) } >= 1);
    }
    // Before the journey: orders are read to show what would be needed, or what a person is to do.
    for more in [&[][..], &["--provider", "manual"]] {
        let (context, order) = scene(|_| ());
        silence(&context, Service::Cas);
        let run = started(&context, &[&["--order", order.as_str()], more].concat());
        interrupted(&context, run, || calls(&context) >= 1);
    }
}

/// The provider is silent while the record is to be removed: the second Ctrl-C does not wait for it, and the journal knows what is left.
#[test]
fn a_second_interrupt_leaves_at_once() {
    let (context, order) = scene(|options| options.issue_delay = NOT_YET);
    let run = started(&context, &["--provider", "cloudflare", "--order", order.as_str()]);
    context.until_records(1);
    silence(&context, Service::Provider);
    let deletes = || context.sandbox.state().provider_calls.get("DELETE").copied().unwrap_or_default();
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    until(|| deletes() == 1);
    let asked = Instant::now();
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    Ran::of(run.wait_with_output().unwrap()).expect(130).says("leaving at once");
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    context.sandbox.clear_faults();
    context.run(&["clean", "--provider", "cloudflare"]).expect(0);
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn the_wait_for_a_file_to_be_served() {
    let (context, _) = scene(|_| ());
    let traits = OrderTraits { validation: Validation::File, ..OrderTraits::default() };
    let order = context.order_with(Generation::Instance, &["www.example.com"], traits);
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join(".well-known/pki-validation/fileauth.txt");
    let run = started(&context, &["--webroot", elsewhere.path().to_str().unwrap(), "--order", order.as_str()]);
    interrupted(&context, run, || file.exists());
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "the file is gone");
}

/// Another run is in the middle of its write at the same name.
#[cfg(feature = "failpoints")]
#[test]
fn the_wait_for_another_run_that_writes_at_the_same_name() {
    let (context, first) = scene(|_| ());
    let second = context.order(Generation::Instance, &["*.www.example.com"]);
    let pause = tempfile::tempdir().unwrap();
    let mut command = context.command(&["--provider", "cloudflare", "--order", first.as_str()]);
    command.env("DV_FAILPOINT", "publish.after-intent");
    command.env("DV_FAILPOINT_DOES", format!("pause:{}", pause.path().display()));
    let holding = spawned(&mut command);
    until(|| pause.path().join("reached").exists());
    let before = looks_at_provider(&context);
    let waiting = started(&context, &["--provider", "cloudflare", "--order", second.as_str()]);
    // It has found the zone; what comes next is the lock.
    interrupted(&context, waiting, || looks_at_provider(&context) > before);
    std::fs::write(pause.path().join("go"), "").unwrap();
    Ran::of(holding.wait_with_output().unwrap()).expect(0);
    assert_eq!(context.records(), Vec::<String>::new());
}
