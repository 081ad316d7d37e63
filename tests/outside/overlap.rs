//! Runs at the same time: harmless for the same orders, and for different orders at one record name.

use std::{process::Stdio, time::Duration};

use dv_verify::{
    order::Generation,
    sandbox::{Answer, Fault, Service},
};

use super::context::{Context, Ran, until};

const PROVIDERS: [&str; 3] = ["cloudflare", "powerdns", "rfc2136"];
const OWNER: &str = "_dnsauth.www.example.com";

#[test]
fn overlapping_runs_over_the_same_orders_are_as_good_as_one() {
    for provider in PROVIDERS {
        let context = Context::with(|options| options.challenge_delay = Duration::ZERO);
        context.order(Generation::Instance, &["www.example.com"]);
        context.order(Generation::Api2018, &["b.example.com"]);
        context.put_record(OWNER, "foreign");
        let hook = format!("echo $DV_FOLDER >> {}", context.home().join("hooks").display());
        let arguments = ["--provider", provider, "--hook-shell", &hook];
        let runs: Vec<_> =
            (0..4).map(|_| context.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).collect();
        for run in runs {
            Ran::of(run.wait_with_output().unwrap()).expect(0);
        }
        assert_eq!(context.values(OWNER), ["foreign"], "{provider}");
        assert_eq!(context.records().len(), 1, "{provider}");
        let hooks = std::fs::read_to_string(context.home().join("hooks")).unwrap();
        let mut hooks: Vec<&str> = hooks.lines().collect();
        hooks.sort_unstable();
        assert_eq!(hooks, ["b.example.com", "www.example.com"], "{provider}: each hook once");
    }
}

#[test]
fn runs_with_different_orders_at_one_name_keep_both_values() {
    for provider in PROVIDERS {
        let context = Context::with(|options| {
            options.challenge_delay = Duration::ZERO;
            options.issue_delay = Duration::from_secs(3600);
        });
        let orders = [
            context.order(Generation::Instance, &["www.example.com"]),
            context.order(Generation::Instance, &["*.www.example.com"]),
        ];
        context.put_record(OWNER, "foreign");
        let runs: Vec<_> = orders
            .iter()
            .map(|id| {
                let mut command = context.command(&["--provider", provider, "--order", id.as_str()]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        context.until_records(3);
        let mut expected: Vec<String> = orders.iter().map(|id| context.challenge_value(id)).collect();
        expected.push("foreign".into());
        let mut values = context.values(OWNER);
        expected.sort_unstable();
        values.sort_unstable();
        assert_eq!(values, expected, "{provider}");
        for id in &orders {
            context.change(id, dv_verify::sandbox::OrderChange::Issue);
        }
        for run in runs {
            Ran::of(run.wait_with_output().unwrap()).expect(0);
        }
        assert_eq!(context.values(OWNER), ["foreign"], "{provider}");
    }
}

/// A person removes a value that is not in the journal, while a run is about to replace the set that it has read.
#[test]
fn a_value_that_is_removed_while_a_run_writes_does_not_come_back() {
    let context = Context::with(|options| options.challenge_delay = Duration::ZERO);
    let order = context.order(Generation::Instance, &["www.example.com"]);
    context.put_record(OWNER, "foreign");
    context.put_record(OWNER, "old");
    let count = |method: &str| context.sandbox.state().provider_calls.get(method).copied().unwrap_or_default();
    let fault = Fault::Calls { service: Service::Provider, action: Some("PATCH".into()), times: Some(1), answer: Answer::Held };
    context.sandbox.fault(fault).unwrap();
    let start = |arguments: &[&str]| context.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let writing = start(&["--provider", "powerdns", "--order", order.as_str()]);
    until(|| count("PATCH") == 1);
    let before = count("GET");
    let removing = start(&["record", "remove", OWNER, "old", "--provider", "powerdns"]);
    // It has found the zone, and waits.
    until(|| count("GET") > before);
    context.sandbox.clear_faults();
    Ran::of(removing.wait_with_output().unwrap()).expect(0);
    Ran::of(writing.wait_with_output().unwrap()).expect(0);
    assert_eq!(context.values(OWNER), ["foreign"]);
}
