//! Whole journeys: from `checking` to files on disk, and nothing left behind.

use std::{os::unix::fs::PermissionsExt, process::Stdio};

use dv_verify::{
    order::Generation,
    sandbox::{Answer, Fault, OrderChange, Service},
};

use super::context::{Context, Ran};

/// The files of a delivered certificate.
fn assert_delivered(context: &Context, name: &str) {
    let live = context.out().join(name).join("live");
    for file in ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem", "order.json"] {
        assert!(live.join(file).is_file(), "{} is missing", live.join(file).display());
    }
    let mode = std::fs::metadata(live.join("privkey.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the key is for its owner only");
}

#[test]
fn one_order_of_2018() {
    let context = Context::new();
    let id = context.order(Generation::Api2018, &["www.example.com"]);
    let ran = context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--output", "json"]).expect(0);
    let words = ran.event_words();
    for word in ["order", "published", "verdicts", "visible", "issued", "delivered", "withdrawn", "done"] {
        assert!(words.iter().any(|seen| seen == word), "no event `{word}` in {words:?}");
    }
    assert_delivered(&context, "www.example.com");
    assert_eq!(context.records(), Vec::<String>::new(), "no record is left");
}

#[test]
fn every_waiting_order_of_every_generation_in_one_run() {
    let context = Context::new();
    context.order(Generation::Api2018, &["a.example.com"]);
    context.order(Generation::Order, &["b.example.com"]);
    context.order(Generation::Instance, &["c.example.com", "d.example.net"]);
    context.order(Generation::Instance, &["*.example.net"]);
    context.run(&["--provider", "cloudflare"]).expect(0);
    for name in ["a.example.com", "b.example.com", "c.example.com", "_wildcard.example.net"] {
        assert_delivered(&context, name);
    }
    assert_eq!(context.records(), Vec::<String>::new());
    context.run(&["--provider", "cloudflare"]).expect(0);
}

/// The names in a delivered certificate, sorted.
fn names_of(context: &Context, folder: &str) -> Vec<String> {
    let pem = std::fs::read(context.out().join(folder).join("live/cert.pem")).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let leaf = pem.parse_x509().unwrap();
    let names = leaf.subject_alternative_name().unwrap().expect("names").value.general_names.iter();
    let mut names: Vec<String> = names
        .map(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(name) => (*name).to_owned(),
            other => panic!("{other}"),
        })
        .collect();
    names.sort();
    names
}

#[test]
fn each_generation_with_one_name_with_several_and_with_wildcards() {
    let context = Context::new();
    let mut expected = Vec::new();
    for (generation, label) in [(Generation::Api2018, "a"), (Generation::Order, "b"), (Generation::Instance, "c")] {
        for names in [&["one"][..], &["several", "more"], &["*.wild"], &["*.both", "both"]] {
            let names: Vec<String> = names.iter().map(|name| format!("{name}.{label}.example.com")).collect();
            context.order(generation, &names.iter().map(String::as_str).collect::<Vec<_>>());
            expected.push(names);
        }
    }
    context.run(&["--provider", "cloudflare"]).expect(0);
    for mut names in expected {
        let folder = names[0].replace('*', "_wildcard");
        assert_delivered(&context, &folder);
        names.sort();
        assert_eq!(names_of(&context, &folder), names);
    }
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn apex_and_wildcard_in_one_order() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["example.com", "*.example.com"]);
    context.run(&["--provider", "cloudflare", "--order", id.as_str()]).expect(0);
    assert_delivered(&context, "example.com");
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn many_orders_where_few_files_may_be_open() {
    let context = Context::new();
    let orders = 150;
    for number in 0..orders {
        context.order(Generation::Api2018, &[&format!("n{number}.example.com")]);
    }
    // All of them at once would have two locks each, and connections.
    let line = "ulimit -n 256; exec dv-verify -v --provider cloudflare --rate 1000";
    let ran = Ran::of(context.shell_command(line).current_dir(context.home()).output().unwrap()).expect(0);
    ran.says("leaves room for 37 orders at the same time").says("150 orders: 150 issued");
    assert!(context.records().is_empty());
}

#[test]
fn both_signatures_are_accepted() {
    let context = Context::new();
    for (signature, domain) in [("v1", "v1.example.com"), ("v3", "v3.example.com")] {
        let id = context.order(Generation::Instance, &[domain]);
        context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--signature", signature]).expect(0);
        assert_delivered(&context, domain);
    }
}

#[test]
fn twice_is_as_good_as_once() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let marker = context.home().join("hook-ran");
    let hook = format!("echo x >> {}", marker.display());
    let arguments = ["--provider", "cloudflare", "--order", id.as_str(), "--hook-shell", &hook, "--detailed-exit-code"];
    context.run(&arguments).expect(10);
    let live = std::fs::read_link(context.out().join("www.example.com/live")).unwrap();
    context.run(&arguments).expect(0);
    assert_eq!(std::fs::read_link(context.out().join("www.example.com/live")).unwrap(), live);
    assert_eq!(std::fs::read_to_string(marker).unwrap(), "x\n", "the hook runs once");
}

#[test]
fn a_hook_sees_the_paths_and_no_credentials() {
    let context = Context::new();
    let id = context.order(Generation::Api2018, &["www.example.com"]);
    let dump = context.home().join("environment");
    let hook = format!("env > {}; test -s \"$DV_FULLCHAIN\" && test -s \"$DV_PRIVKEY\"", dump.display());
    context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--hook-shell", &hook]).expect(0);
    let environment = std::fs::read_to_string(dump).unwrap();
    assert!(environment.contains("DV_NAMES=www.example.com"), "{environment}");
    for hidden in ["ALIBABA_CLOUD_ACCESS_KEY_SECRET", "DV_CLOUDFLARE_API_TOKEN", super::context::ACCESS_KEY_SECRET] {
        assert!(!environment.contains(hidden), "the hook sees {hidden}");
    }
}

#[test]
fn secondaries_that_lag_are_waited_for() {
    let context = Context::with(|options| options.lag = std::time::Duration::from_millis(1500));
    let id = context.order(Generation::Api2018, &["www.example.com"]);
    let ran = context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--output", "json"]).expect(0);
    let verdicts: Vec<_> = ran.events().into_iter().filter(|event| event["event"] == "verdicts").collect();
    let text = serde_json::to_string(&verdicts[0]).unwrap();
    assert!(text.contains("nxdomain") || text.contains("missing"), "the first look finds lagging secondaries: {text}");
}

#[test]
fn the_most_talkative_run_tells_no_secret() {
    let context = Context::new();
    let id = context.order(Generation::Api2018, &["www.example.com"]);
    // `run` searches all output for the planted secrets.
    let ran = context.run(&["--provider", "cloudflare", "--order", id.as_str(), "-vv"]).expect(0);
    assert!(ran.stderr.contains("calls to CAS"), "it is talkative: {}", ran.stderr);
}

#[test]
fn a_state_that_nobody_knows_is_waited_out() {
    let context = Context::new();
    let id = context.order(Generation::Api2018, &["www.example.com"]);
    context.change(&id, OrderChange::UnknownState { word: "quantum_review".into() });
    let arguments = ["--provider", "cloudflare", "--order", id.as_str()];
    let child = context.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    context.until_calls("DescribeDVOrderResult", 1);
    context.change(&id, OrderChange::Recover);
    Ran::of(child.wait_with_output().unwrap()).expect(0).says("quantum_review");
    assert_delivered(&context, "www.example.com");
}

#[test]
fn a_lost_reply_after_a_write_leaves_one_record_and_then_none() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let lost =
        Fault::Calls { service: Service::Provider, action: Some("POST".into()), times: Some(1), answer: Answer::LostReply };
    context.sandbox.fault(lost).unwrap();
    context.run(&["--provider", "cloudflare", "--order", id.as_str()]).expect(0);
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn throttling_is_waited_out() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    for service in [Service::Cas, Service::Provider] {
        let answer = Answer::Throttle { retry_after_ms: Some(300) };
        context.sandbox.fault(Fault::Calls { service, action: None, times: Some(2), answer }).unwrap();
    }
    context.run(&["--provider", "cloudflare", "--order", id.as_str()]).expect(0);
    assert_delivered(&context, "www.example.com");
}

#[test]
fn the_resolver_hears_nothing_about_a_record_before_it_is_visible() {
    let context = Context::with(|options| options.lag = std::time::Duration::from_secs(3600));
    let id = context.order(Generation::Api2018, &["www.example.com"]);
    context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--propagation-timeout", "2s"]).expect(5);
    context.run(&["check", "_dnsauth.www.example.com", "x"]).expect(5);
    let asked = context.sandbox.resolver_questions();
    assert!(asked.keys().all(|question| !question.contains("_dnsauth")), "{asked:?}");
}

#[test]
fn dry_run_writes_nothing() {
    let context = Context::new();
    context.order(Generation::Api2018, &["www.example.com"]);
    let ran = context.run(&["--provider", "cloudflare", "--dry-run"]).expect(0);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(all.contains("_dnsauth.www.example.com") && all.contains("TXT"), "{all}");
    assert_eq!(context.records(), Vec::<String>::new());
    assert!(!context.out().exists());
}

#[test]
fn explain_says_what_stands_in_the_way_and_what_to_do() {
    let context = Context::with(|options| options.challenge_delay = std::time::Duration::ZERO);
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let ran = context.run(&["explain", id.as_str(), "--provider", "cloudflare"]).expect(5);
    assert!(ran.stdout.contains("waits for 1 record(s) of yours"), "{}", ran.stdout);
    assert!(ran.stdout.contains("_dnsauth.www.example.com") && ran.stdout.contains("blocks:"), "{}", ran.stdout);
    context.put_record("_dnsauth.www.example.com", &context.challenge_value(&id));
    context.run(&["explain", "_dnsauth.www.example.com", &context.challenge_value(&id)]).expect(0);
    context.run(&["explain", "cas-cn-nosuchorder"]).expect(2);
}

#[test]
fn check_shows_every_name_server() {
    let context = Context::new();
    context.put_record("_x.example.com", "right");
    let ran = context.run(&["check", "_x.example.com", "right"]).expect(0);
    assert_eq!(ran.stdout.matches("visible").count(), 5, "three servers, a resolver and a conclusion: {}", ran.stdout);
    let ran = context.run(&["check", "_x.example.com", "wrong", "--output", "json"]).expect(5);
    let look = ran.events().remove(0);
    assert_eq!(look["visible"], false);
    assert_eq!(look["authorities"].as_array().unwrap().len(), 3);
    assert_eq!(look["authorities"][0]["verdict"], "other-value");
}

#[test]
fn help_completions_and_manual_need_nothing() {
    let context = Context::new();
    for arguments in [&["--help"][..], &["-h"], &["--version"], &["completions", "bash"], &["man"], &["providers", "list"]] {
        let ran = Ran::of(context.bare(arguments).env_remove("HOME").output().unwrap()).expect(0);
        assert!(!ran.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_person_is_told_the_value_of_a_challenge_that_comes_late() {
    let context = Context::with(|options| options.challenge_delay = std::time::Duration::from_secs(1));
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let ran = context.run(&["--provider", "manual", "--order", id.as_str(), "--timeout", "3s"]).expect(7);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(told.contains(&context.challenge_value(&id)) && told.contains("by hand"), "{told}");
}
