//! `watch`, driven as a service manager drives it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    time::Duration,
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Fault, Service},
};
use rustix::process::Signal;

use super::{
    context::{API_TOKEN, Context, until},
    watcher::Watcher,
};

const NOT_YET: Duration = Duration::from_secs(3600);

/// Nothing of ours is left: no record at the provider, no entry in the journal.
#[track_caller]
fn assert_nothing_left(context: &Context) {
    assert_eq!(context.records(), Vec::<String>::new());
    context.run(&["clean", "--provider", "cloudflare"]).expect(0).says("the journal is empty");
}

fn has_certificate(context: &Context, name: &str) -> bool {
    context.out().join(name).join("live/privkey.pem").is_file()
}

#[test]
fn orders_that_appear_while_it_watches_are_issued() {
    let context = Context::new();
    let watcher = Watcher::start(&context, &["--provider", "cloudflare"]);
    context.order(Generation::Api2018, &["www.example.com"]);
    watcher.until_said("done", 1);
    context.order(Generation::Instance, &["www.example.net"]);
    context.order(Generation::Order, &["a.example.com", "b.example.com"]);
    watcher.until_said("done", 3);
    let said = watcher.end();
    assert!(said.contains("stopping: what is under way is left for the next start"), "{said}");
    for name in ["www.example.com", "www.example.net", "a.example.com"] {
        assert!(has_certificate(&context, name), "{name}: {said}");
    }
    assert_nothing_left(&context);
}

#[test]
fn a_provider_that_fails_and_recovers_costs_only_time() {
    let context = Context::new();
    let answer = Answer::Error { status: 500, code: "1000".into(), message: "out of order".into() };
    context.sandbox.fault(Fault::Calls { service: Service::Provider, action: None, times: None, answer }).unwrap();
    let watcher = Watcher::start(&context, &["--provider", "cloudflare"]);
    context.order(Generation::Api2018, &["www.example.com"]);
    watcher.until_said("tried again in", 1);
    assert_eq!(context.records(), Vec::<String>::new());
    context.sandbox.clear_faults();
    watcher.until_said("done", 1);
    watcher.end();
    assert_nothing_left(&context);
}

#[test]
fn many_failures_open_the_breaker_which_is_said_once() {
    let context = Context::new();
    let answer = Answer::Error { status: 503, code: "1000".into(), message: "out of order".into() };
    context.sandbox.fault(Fault::Calls { service: Service::Provider, action: None, times: None, answer }).unwrap();
    for number in 0..8 {
        context.order(Generation::Api2018, &[&format!("w{number}.example.com")]);
    }
    let watcher = Watcher::start(&context, &["--provider", "cloudflare"]);
    watcher.until_said("tried again in", 8);
    watcher.until_said("warning: provider `cloudflare` has failed again and again", 1);
    let calls = || context.sandbox.state().provider_calls.values().sum::<u64>();
    let before = calls();
    // What comes now is turned away before it gets to the provider.
    context.order(Generation::Api2018, &["late.example.com"]);
    watcher.until_said("tried again in", 9);
    assert_eq!(calls(), before);
    context.sandbox.clear_faults();
    // SIGHUP: somebody has done something about it, and all is tried at once.
    watcher.signal(Signal::HUP);
    watcher.until_said("done", 9);
    let said = watcher.end();
    assert_eq!(said.matches("warning: provider `cloudflare` has failed again").count(), 1, "{said}");
    assert_nothing_left(&context);
}

fn write_config(context: &Context, text: &str) {
    let path = context.home().join("config.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn sighup_reads_the_config_again_and_a_wrong_one_changes_nothing() {
    let context = Context::new();
    let provider = format!("[provider.cf]\nuse = \"cloudflare\"\napi_token = \"{API_TOKEN}\"\n");
    write_config(&context, &format!("{provider}[[route]]\nzone = \"example.com\"\nprovider = \"cf\"\n"));
    let mut command = context.command(&["watch", "--interval", "1s", "--config", "config.toml"]);
    command.env("DV_CF_BASE_URL", context.sandbox.addresses().cloudflare.as_str());
    let watcher = Watcher::spawn(&context, command).until_says("watching: ");
    // No route leads there yet.
    context.order(Generation::Api2018, &["www.example.net"]);
    watcher.until_said("no provider is set for `_dnsauth.www.example.net`", 1);

    write_config(&context, "pollinterval = \"5s\"\n");
    watcher.signal(Signal::HUP);
    watcher.until_said("the new configuration is wrong, and the one before stays in force", 1);
    assert!(watcher.said().contains("did you mean `poll_interval`?"), "{}", watcher.said());
    context.order(Generation::Api2018, &["www.example.com"]);
    watcher.until_said("done", 1);

    write_config(&context, &format!("store = \"elsewhere.db\"\n{provider}"));
    watcher.signal(Signal::HUP);
    watcher.until_said("stays in force", 2);

    let routes = ["example.com", "example.net"].map(|zone| format!("[[route]]\nzone = \"{zone}\"\nprovider = \"cf\"\n"));
    write_config(&context, &format!("{provider}{}", routes.concat()));
    watcher.signal(Signal::HUP);
    watcher.until_said("the configuration was read again", 1);
    watcher.until_said("done", 2);
    watcher.end();
    assert!(has_certificate(&context, "www.example.net"));
    assert_eq!(context.records(), Vec::<String>::new());
}

/// A watch with one order whose record is out, and which the CA does not issue.
fn with_an_order_under_way(arguments: &[&str]) -> (Context, Watcher, OrderId) {
    let context = Context::with(|options| options.issue_delay = NOT_YET);
    let watcher = Watcher::start(&context, &[&["--provider", "cloudflare"], arguments].concat());
    let order = context.order(Generation::Instance, &["www.example.com"]);
    watcher.until_said("is visible", 1);
    (context, watcher, order)
}

#[test]
fn sigterm_keeps_the_records_and_the_next_start_goes_on() {
    let (context, watcher, order) = with_an_order_under_way(&[]);
    let said = watcher.end();
    assert!(said.contains("left waiting; the next run goes on"), "{said}");
    assert_eq!(context.records().len(), 1);
    let writes = context.writes();
    let again = Watcher::start(&context, &["--provider", "cloudflare"]);
    again.until_said(" waiting ", 1);
    context.change(&order, dv_verify::sandbox::OrderChange::Issue);
    again.until_said("done", 1);
    again.end();
    assert_eq!(context.writes(), writes, "the record was there");
    assert_nothing_left(&context);
}

#[test]
fn an_interrupt_removes_the_records() {
    let (context, watcher, _) = with_an_order_under_way(&[]);
    watcher.signal(Signal::INT);
    watcher.ends_with(130);
    assert_nothing_left(&context);
}

#[test]
fn a_watch_that_is_killed_leaves_its_work_to_the_next() {
    let (context, mut watcher, order) = with_an_order_under_way(&[]);
    watcher.kill();
    context.change(&order, dv_verify::sandbox::OrderChange::Issue);
    let again = Watcher::start(&context, &["--provider", "cloudflare"]);
    again.until_said("done", 1);
    again.end();
    assert_nothing_left(&context);
}

#[test]
fn a_service_manager_hears_how_it_is_going() {
    let context = Context::new();
    let socket = context.home().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hear = || {
        let mut bytes = [0; 4096];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    // Bounded by the time-out of the socket: something comes at least every 100 ms.
    let until_heard = |wanted: &str| {
        for _ in 0..600 {
            let heard = hear();
            if heard.contains(wanted) {
                return heard;
            }
        }
        panic!("`{wanted}` was not heard");
    };
    let mut command = context.command(&["watch", "--interval", "1s", "--provider", "cloudflare"]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "300000");
    let watcher = Watcher::spawn(&context, command);
    assert!(hear().contains("READY=1"));
    until_heard("WATCHDOG=1");
    until_heard("STATUS=0 orders under way, 0 due, 0 to be tried again");
    until_heard("WATCHDOG=1");
    watcher.signal(Signal::HUP);
    assert!(until_heard("RELOADING=1").contains("MONOTONIC_USEC="));
    until_heard("READY=1");
    watcher.signal(Signal::TERM);
    until_heard("STOPPING=1");
    watcher.ends_with(0);
}

/// What the status page of a watch answers to a request for `path`.
fn get(watcher: &Watcher, path: &str) -> String {
    let said = watcher.said();
    let address =
        said.lines().find_map(|line| line.strip_prefix("status page: http://")).unwrap().trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The calls to CAS that the metrics count.
fn calls(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with("dv_verify_calls_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn the_status_page_shows_a_watch_and_goes_on_when_the_config_is_read_again() {
    let context = Context::new();
    let watcher = Watcher::start(&context, &["--provider", "cloudflare", "--listen", "127.0.0.1:0"]);
    until(|| get(&watcher, "/readyz").starts_with("HTTP/1.1 200"));
    let order = context.order(Generation::Api2018, &["www.example.com"]);
    watcher.until_said("done", 1);
    assert!(get(&watcher, "/").contains(order.as_str()));
    let before = calls(&get(&watcher, "/metrics"));
    assert!(before > 0);
    watcher.signal(Signal::HUP);
    watcher.until_said("the configuration was read again", 1);
    context.order(Generation::Api2018, &["w2.example.com"]);
    watcher.until_said("done", 2);
    assert!(calls(&get(&watcher, "/metrics")) > before, "the numbers go on");
    let answer = Answer::Error { status: 404, code: "InvalidAccessKeyId.NotFound".into(), message: "no such key".into() };
    context.sandbox.fault(Fault::Calls { service: Service::Cas, action: None, times: None, answer }).unwrap();
    until(|| get(&watcher, "/readyz").starts_with("HTTP/1.1 503"));
    watcher.end();
}

#[test]
fn certificates_that_expire_soon_are_reported() {
    let context = Context::new();
    context.order(Generation::Api2018, &["www.example.com"]);
    context.run(&["--provider", "cloudflare"]).expect(0);
    let watcher = Watcher::start(&context, &["--provider", "cloudflare", "--renew-before", "3650d", "--output", "json"]);
    watcher.until_said("renewal_due", 1);
    let said = watcher.end();
    let event = said.lines().find(|line| line.contains("renewal_due")).unwrap();
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["name"], "www.example.com");
    assert!(event["days"].as_i64().unwrap() > 0 && event["live"].as_str().unwrap().ends_with("www.example.com/live"), "{event}");
    let watcher = Watcher::start(&context, &["--provider", "cloudflare", "--renew-before", "1d"]);
    context.order(Generation::Api2018, &["w2.example.com"]);
    watcher.until_said("done", 1);
    assert!(!watcher.end().contains("expires"));
}

const APPLICANT: [&str; 6] =
    ["--applicant-name", "Tom", "--applicant-email", "tom@example.com", "--applicant-phone", "13900000000"];

/// A certificate out of a package, in its last third.
fn with_one_that_is_due() -> Context {
    let context = Context::with(|options| options.certificate_age = 75);
    let apply = ["apply", "--provider", "cloudflare", "--product", "symantec-dv-1-starter", "www.example.com"];
    context.run(&[&apply, &APPLICANT[..]].concat()).expect(0);
    context
}

/// The certificates of this CA are in their last third: the watch renews what lies on this disk, each once, and swaps `live`.
#[test]
fn with_renew_certificates_of_cas_are_renewed() {
    let context = with_one_that_is_due();
    let live = context.out().join("www.example.com/live");
    let first = fs::read_link(&live).unwrap();
    let calls = |action: &str| context.sandbox.calls().get(action).copied().unwrap_or_default();
    let watcher = Watcher::start(&context, &[&["--provider", "cloudflare", "--renew"], &APPLICANT[..]].concat());
    until(|| fs::read_link(&live).unwrap() != first);
    watcher.until_said("www.example.com: applied for, it expires on", 1);
    watcher.until_said("done", 1);
    // Another order, so that it has looked again meanwhile.
    context.order(Generation::Api2018, &["w2.example.com"]);
    watcher.until_said("done", 2);
    watcher.end();
    assert_eq!(calls("RenewCertificateOrderForPackageRequest"), 1);
    assert_eq!(context.records(), Vec::<String>::new());
}

/// No quota is left: said once, and tried again later and later.
#[test]
fn a_renewal_that_fails_rests_and_the_watch_goes_on() {
    let context = with_one_that_is_due();
    let answer = Answer::Error { status: 400, code: "NoQuota".into(), message: "no quota is left".into() };
    let action = Some("RenewCertificateOrderForPackageRequest".into());
    context.sandbox.fault(Fault::Calls { service: Service::Cas, action, times: None, answer }).unwrap();
    let watcher = Watcher::start(&context, &[&["--provider", "cloudflare", "--renew"], &APPLICANT[..]].concat());
    watcher.until_said("www.example.com: its renewal could not be applied for", 1);
    for number in 0..3 {
        context.order(Generation::Api2018, &[&format!("n{number}.example.com")]);
        watcher.until_said("done", number + 1);
    }
    let said = watcher.end();
    let calls = context.sandbox.calls()["RenewCertificateOrderForPackageRequest"];
    assert!(calls <= 3, "{calls} applications: {said}");
}

#[test]
fn what_goes_with_one_run_only_is_refused() {
    let context = Context::new();
    for arguments in [["--no-wait", ""], ["--dry-run", ""], ["--order", "cas-cn-1"], ["--splay", "5m"]] {
        let arguments: Vec<&str> =
            ["watch", "--provider", "cloudflare"].into_iter().chain(arguments).filter(|text| !text.is_empty()).collect();
        context.run(&arguments).expect(2).says("does not go with `watch`");
    }
    context.run(&["watch"]).expect(2).says("no provider is set");
    context.run(&["watch", "--provider", "cloudflare", "--interval", "1ms"]).expect(2).says("too short: at least 1s");
    context.run(&["--interval", "1m"]).expect(2);
    assert_eq!(context.sandbox.calls().len(), 0);
}
