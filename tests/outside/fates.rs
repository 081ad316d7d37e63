//! What becomes of records: the table in the README, line by line.

use std::time::Duration;

use dv_verify::{
    order::Generation,
    sandbox::{Answer, Fault, Service},
};

use super::context::{Context, Ran, until};

const NOT_YET: Duration = Duration::from_secs(3600);

#[test]
fn no_wait_keeps_the_record_and_the_next_run_goes_on() {
    let context = Context::with(|options| options.challenge_delay = Duration::ZERO);
    let id = context.order(Generation::Instance, &["www.example.com"]);
    context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--no-wait"]).expect(0);
    assert_eq!(context.records().len(), 1);
    context.run(&["--provider", "cloudflare"]).expect(0);
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn still_waiting_is_exit_7_and_the_record_stays() {
    let context = Context::with(|options| options.issue_delay = NOT_YET);
    let id = context.order(Generation::Instance, &["www.example.com"]);
    context
        .run(&["--provider", "cloudflare", "--order", id.as_str(), "--timeout", "2s"])
        .expect(7)
        .says("run the same command again");
    assert_eq!(context.records().len(), 1);
}

#[test]
fn not_visible_is_exit_5_and_the_record_stays() {
    let context = Context::with(|options| options.lag = NOT_YET);
    let id = context.order(Generation::Instance, &["www.example.com"]);
    context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--propagation-timeout", "1s"]).expect(5);
    assert_eq!(context.records().len(), 1);
}

#[test]
fn keep_record_keeps_it_until_clean_all() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--keep-record"]).expect(0);
    assert_eq!(context.records().len(), 1);
    context.run(&["clean", "--provider", "cloudflare"]).expect(0);
    assert_eq!(context.records().len(), 1);
    context.run(&["clean", "--all", "--provider", "cloudflare"]).expect(0);
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn a_record_of_a_person_is_added_and_removed_twice() {
    let context = Context::new();
    for action in ["add", "add", "remove", "remove"] {
        context.run(&["record", action, "_x.example.com", "some value", "--provider", "cloudflare"]).expect(0);
        let left = usize::from(action == "add");
        assert_eq!(context.records().len(), left, "after {action}");
    }
}

#[test]
fn two_orders_that_need_the_same_record_are_two_holders() {
    let context = Context::with(|options| {
        options.challenge_delay = Duration::ZERO;
        options.issue_delay = NOT_YET;
    });
    // A person holds the same value that the order needs.
    let id = context.order(Generation::Instance, &["www.example.com"]);
    context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--no-wait"]).expect(0);
    let value = context.values("_dnsauth.www.example.com").remove(0);
    context.run(&["record", "add", "_dnsauth.www.example.com", &value, "--provider", "cloudflare"]).expect(0);
    context
        .run(&["record", "remove", "_dnsauth.www.example.com", &value, "--provider", "cloudflare"])
        .expect(0)
        .says("still needs it");
    assert_eq!(context.records().len(), 1);
}

#[test]
fn a_value_that_was_there_before_is_used_and_left() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let value = context.challenge_value(&id);
    context.put_record("_dnsauth.www.example.com", &value);
    context.put_record("_dnsauth.www.example.com", "foreign");
    context.run(&["--provider", "cloudflare", "--order", id.as_str()]).expect(0);
    assert_eq!(context.values("_dnsauth.www.example.com").len(), 2, "both are left");
}

#[test]
fn a_foreign_value_at_the_same_name_survives() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    context.put_record("_dnsauth.www.example.com", "foreign");
    context.run(&["--provider", "cloudflare", "--order", id.as_str()]).expect(0);
    assert_eq!(context.values("_dnsauth.www.example.com"), ["foreign"]);
}

/// Starts a run, waits until its record is out, sends a signal, and returns what it left.
pub(super) fn interrupted(context: &Context, arguments: &[&str], signal: &str) -> Ran {
    use std::process::Stdio;
    let child = context.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id().to_string();
    context.until_records(1);
    let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn interrupts_withdraw_the_record() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let context = Context::with(|options| options.issue_delay = NOT_YET);
        let id = context.order(Generation::Instance, &["www.example.com"]);
        let began = std::time::Instant::now();
        interrupted(&context, &["--provider", "cloudflare", "--order", id.as_str()], signal).expect(code);
        assert!(began.elapsed() < Duration::from_secs(10), "it ends promptly");
        assert_eq!(context.records(), Vec::<String>::new(), "after {signal}");
    }
}

#[test]
fn a_named_order_that_another_run_holds_is_exit_8() {
    use std::process::Stdio;
    let context = Context::with(|options| options.issue_delay = NOT_YET);
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let arguments = ["--provider", "cloudflare", "--order", id.as_str()];
    let mut first = context.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    context.until_records(1);
    context.run(&arguments).expect(8).says("another run");
    // Not named: skipped, which is success.
    context.run(&["--provider", "cloudflare"]).expect(0);
    first.kill().unwrap();
    first.wait().unwrap();
    // The killed run's lock is gone with it, and its record is taken over.
    context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--no-wait"]).expect(0);
    assert_eq!(context.records().len(), 1);
}

/// A change that its provider takes only by a commit, where the run was killed before that: the next run finds the record, and commits.
#[test]
fn what_a_killed_run_did_not_commit_is_committed_by_the_next() {
    let context = Context::new();
    let path = context.own_manifest("\n[commit]\nhttp = \"PATCH /zones/{{ zone.id }}\"\n");
    let add = ["record", "add", "_x.example.com", "some value", "--provider", &path];
    let commits = || context.sandbox.state().provider_calls.get("PATCH").copied().unwrap_or_default();
    let action = Some("PATCH".to_owned());
    context.sandbox.fault(Fault::Calls { service: Service::Provider, action, times: None, answer: Answer::Held }).unwrap();
    let mut killed = context.command_with_own(&add).spawn().unwrap();
    until(|| commits() == 1);
    killed.kill().unwrap();
    killed.wait().unwrap();
    context.sandbox.clear_faults();
    assert_eq!((context.records().len(), context.writes()), (1, 1));
    Ran::of(context.command_with_own(&add).output().unwrap()).expect(0);
    assert_eq!((context.records().len(), context.writes(), commits()), (1, 1, 2));
}
