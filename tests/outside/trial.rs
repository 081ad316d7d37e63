//! `dv-verify test`: a provider is proved with two random values, and nothing stays behind.

use std::{process::Stdio, time::Duration};

use super::context::{Context, Ran};

const TEST: &[&str] = &["test", "--provider", "cloudflare", "--zone", "example.com"];

#[test]
fn it_writes_sees_and_removes_two_values() {
    let context = Context::new();
    context.put_record("_dnsauth.example.com", "foreign");
    let ran = context.run(TEST).expect(0);
    assert!(ran.stdout.contains("provider `cloudflare` works"), "{}", ran.stdout);
    let steps = ran.stdout.lines().filter(|line| line.starts_with("ok  ")).count();
    assert_eq!(steps, 5, "the zone, two values seen, two values gone: {}", ran.stdout);
    assert_eq!(context.writes(), 2);
    assert_eq!(context.values("_dnsauth.example.com"), ["foreign"]);
    assert_eq!(context.records().len(), 1);
}

/// A provider that nothing has shown to work is called so, before it writes: by a test, and where a person adds a record.
#[test]
fn an_experimental_provider_is_called_so() {
    let context = Context::new();
    let path = context.own_manifest("");
    let run = |arguments: &[&str]| Ran::of(context.command_with_own(arguments).output().unwrap()).expect(0);
    let said = "is experimental: nobody has shown that it works";
    run(&["test", "--provider", &path, "--zone", "example.com"]).says(said);
    run(&["record", "add", "_dnsauth.example.com", "abc", "--provider", &path]).says(said);
    assert!(!context.run(TEST).expect(0).stderr.contains("experimental"));
}

#[test]
fn its_result_is_one_json_object_after_the_events() {
    let context = Context::new();
    let ran = context.run(&[TEST, &["--output", "json"]].concat()).expect(0);
    let events = ran.events();
    let last = events.last().unwrap();
    assert_eq!(last["provider"], "cloudflare");
    assert!(last["visible_after_ms"].is_u64() && last["gone_after_ms"].is_u64(), "{last}");
}

#[test]
fn mistakes_are_named_before_anything_is_written() {
    let context = Context::new();
    context.run(&["test", "--provider", "cloudflare"]).expect(2).says("no zone is named");
    context.run(&["test", "--zone", "example.com"]).expect(2);
    context.run(&["test", "--provider", "cloudflare", "--zone", "example.org"]).expect(4).says("example.org");
    let denied = context.command(TEST).env("DV_CLOUDFLARE_API_TOKEN", "wrong").output().unwrap();
    Ran::of(denied).expect(3);
    assert_eq!(context.writes(), 0);
}

/// A test whose value is at the provider, and not at the name servers for a long while.
fn waiting(context: &Context) -> std::process::Child {
    let child = context.command(TEST).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    context.until_records(1);
    child
}

#[test]
fn an_interrupt_takes_the_values_away() {
    let context = Context::with(|options| options.lag = Duration::from_secs(600));
    let child = waiting(&context);
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    Ran::of(child.wait_with_output().unwrap()).expect(130);
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn what_a_killed_test_left_is_found_by_clean() {
    let context = Context::with(|options| options.lag = Duration::from_secs(600));
    let mut child = waiting(&context);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(context.records().len(), 1);
    context.run(&["clean", "--provider", "cloudflare"]).expect(0);
    assert_eq!(context.records(), Vec::<String>::new());
}
