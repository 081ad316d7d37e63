//! Notices: `--on-failure` and `--on-issued`, and the scripts of docs/notify.md against services that check what they get.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, channel},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Fault, OrderChange, Service},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{
    context::{ACCESS_KEY_SECRET, API_TOKEN, Context, Ran, assert_no_secret},
    postgres,
};

const DINGTALK_SECRET: &str = "SEC000-dingtalk";
const FEISHU_SECRET: &str = "feishu-secret";

fn program(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A program that keeps its environment in `<name>.seen`, one file for each call.
fn keeper(context: &Context, name: &str) -> PathBuf {
    let seen = context.home().join(format!("{name}.seen"));
    program(context.home(), name, &format!("#!/bin/sh\nenv >> {0}; echo ---- >> {0}\n", seen.display()))
}

/// What the calls of a keeper found in their environment.
fn seen(context: &Context, name: &str) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(context.home().join(format!("{name}.seen"))).unwrap_or_default();
    let call = |part: &str| {
        let lines = part.lines().filter_map(|line| line.split_once('='));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    text.split("----\n").filter(|part| !part.is_empty()).map(call).collect()
}

/// Runs one order that the CA refuses.
fn refused(context: &Context, arguments: &[&str]) -> Ran {
    let order = context.order(Generation::Api2018, &["www.example.com"]);
    context.change(&order, OrderChange::Reject);
    let mut all = vec!["--provider", "cloudflare", "--order", order.as_str()];
    all.extend(arguments);
    context.run(&all)
}

#[test]
fn a_failure_is_told_with_what_to_do_and_without_secrets() {
    let context = Context::new();
    let told = keeper(&context, "failure");
    let ran = refused(&context, &["--on-failure", told.to_str().unwrap()]).expect(6);
    let calls = seen(&context, "failure");
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!((call["DV_EVENT"].as_str(), call["DV_KIND"].as_str(), call["DV_EXIT_CODE"].as_str()), ("failed", "refused", "6"));
    assert!(!call["DV_ORDER_ID"].is_empty() && ran.stderr.contains(&call["DV_MESSAGE"]), "{call:?}\n{}", ran.stderr);
    assert!(!call["DV_HINT"].is_empty(), "{call:?}");
    for (name, value) in call {
        assert!(!value.contains(ACCESS_KEY_SECRET) && !value.contains(API_TOKEN), "{name} holds a secret");
    }
    assert!(!call.contains_key("ALIBABA_CLOUD_ACCESS_KEY_SECRET") && !call.contains_key("DV_CLOUDFLARE_API_TOKEN"));
}

#[test]
fn a_new_certificate_is_told_once_and_without_its_key() {
    let context = Context::new();
    let (issued, failure) = (keeper(&context, "issued"), keeper(&context, "failure"));
    let order = context.order(Generation::Instance, &["www.example.com", "xn--fsqu00a.example.com"]);
    let arguments = ["--provider", "cloudflare", "--order", order.as_str(), "--on-issued", issued.to_str().unwrap()];
    let arguments = [&arguments[..], &["--on-failure", failure.to_str().unwrap()]].concat();
    context.run(&arguments).expect(0);
    context.run(&arguments).expect(0);
    let calls = seen(&context, "issued");
    assert_eq!(calls.len(), 1, "the second run has no news");
    let call = &calls[0];
    assert_eq!((call["DV_EVENT"].as_str(), call["DV_NAMES"].as_str()), ("issued", "www.example.com xn--fsqu00a.example.com"));
    assert!(call["DV_MESSAGE"].starts_with("new certificate for www.example.com, 例子.example.com until 20"), "{call:?}");
    assert!(Path::new(&call["DV_FULLCHAIN"]).is_file() && !call.contains_key("DV_PRIVKEY"));
    assert_eq!(seen(&context, "failure").len(), 0);
}

#[test]
fn the_failure_of_a_whole_run_is_told() {
    let context = Context::new();
    let told = keeper(&context, "failure");
    let mut command = context.command(&["--provider", "cloudflare", "--on-failure", told.to_str().unwrap()]);
    let ran = Ran::of(command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "wrong").output().unwrap()).expect(3);
    let calls = seen(&context, "failure");
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0]["DV_ORDER_ID"].as_str(), calls[0]["DV_KIND"].as_str()), ("", "credentials"));
    assert!(ran.stderr.contains(&calls[0]["DV_MESSAGE"]));
    assert_no_secret(&ran);
}

#[test]
fn runs_from_cron_tell_a_failure_once_until_it_changes() {
    let context = Context::new();
    let told = keeper(&context, "failure");
    let order = context.order(Generation::Instance, &["www.example.com"]);
    let run = |token: &str, provider: &str| {
        let mut command =
            context.command(&["--provider", provider, "--order", order.as_str(), "--on-failure", told.to_str().unwrap()]);
        let ran = Ran::of(command.env("DV_CLOUDFLARE_API_TOKEN", token).output().unwrap());
        assert_no_secret(&ran);
        (ran.code, seen(&context, "failure").len())
    };
    let full = Fault::Calls {
        service: Service::Provider,
        action: Some("POST".into()),
        times: None,
        answer: Answer::Error { status: 400, code: "81057".into(), message: "no more records".into() },
    };
    context.sandbox.fault(full).unwrap();
    assert_eq!(run(API_TOKEN, "cloudflare"), (4, 1));
    assert_eq!(run(API_TOKEN, "cloudflare"), (4, 1), "it was told");
    // Another kind of failure is news.
    assert_eq!(run("another-token-that-is-wrong", "cloudflare"), (3, 2));
    assert_eq!(run("another-token-that-is-wrong", "cloudflare"), (3, 2));
    // And so is the same again, once it went well in between.
    context.sandbox.clear_faults();
    assert_eq!(run(API_TOKEN, "cloudflare"), (0, 2));
    refused(&context, &["--on-failure", told.to_str().unwrap()]).expect(6);
    assert_eq!(seen(&context, "failure").len(), 3, "another order");
}

#[test]
fn the_failure_of_whole_runs_is_told_once_and_again_after_one_that_went_well() {
    let context = Context::new();
    let told = keeper(&context, "failure");
    let run = |secret: &str| {
        let mut command = context.command(&["--provider", "cloudflare", "--on-failure", told.to_str().unwrap()]);
        let code = Ran::of(command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret).output().unwrap()).code;
        (code, seen(&context, "failure").len())
    };
    assert_eq!([run("wrong"), run("wrong")], [(3, 1), (3, 1)]);
    assert_eq!([run(ACCESS_KEY_SECRET), run("wrong")], [(0, 1), (3, 2)]);
}

#[test]
fn a_failure_that_nobody_heard_of_was_not_told() {
    let context = Context::new();
    let broken = program(
        context.home(),
        "broken",
        "#!/bin/sh
echo called >> broken.calls
exit 1
",
    );
    let order = context.order(Generation::Api2018, &["www.example.com"]);
    context.change(&order, OrderChange::Reject);
    let arguments = ["--provider", "cloudflare", "--order", order.as_str(), "--on-failure", broken.to_str().unwrap()];
    context.run(&arguments).expect(6);
    context.run(&arguments).expect(6);
    assert_eq!(fs::read_to_string(context.home().join("broken.calls")).unwrap().lines().count(), 2);
}

#[test]
fn machines_that_share_a_database_tell_once_a_day() {
    let Some(database) = postgres::database() else { return };
    let context = Context::new();
    let told = keeper(&context, "failure");
    let order = context.order(Generation::Api2018, &["www.example.com"]);
    context.change(&order, OrderChange::Reject);
    let machine = || {
        let mut command =
            context.command(&["--provider", "cloudflare", "--order", order.as_str(), "--on-failure", told.to_str().unwrap()]);
        Ran::of(command.env("DV_STORE", database.url()).output().unwrap()).expect(6);
        seen(&context, "failure").len()
    };
    assert_eq!([machine(), machine()], [1, 1]);
    database.say("UPDATE dv_verify.notices SET told = told - 86400000");
    assert_eq!([machine(), machine()], [2, 2]);
}

#[test]
fn a_dry_run_and_a_run_that_is_stopped_tell_nobody() {
    let context = Context::new();
    let told = keeper(&context, "failure");
    refused(&context, &["--dry-run", "--on-failure", told.to_str().unwrap()]);
    let order = context.order(Generation::Instance, &["www.example.com"]);
    context.change(&order, OrderChange::Hold);
    let arguments = ["--provider", "cloudflare", "--order", order.as_str(), "--on-failure", told.to_str().unwrap()];
    super::fates::interrupted(&context, &arguments, "-TERM").expect(143);
    assert_eq!(seen(&context, "failure").len(), 0);
}

#[test]
fn a_notice_that_goes_wrong_is_a_warning_and_nothing_else() {
    let cases = [
        ("hangs", "exec sleep 300", "did not end within 500 ms"),
        ("fails", "echo 'the webhook says no' >&2; exit 7", "the webhook says no"),
        ("talks", "head -c 5000000 /dev/zero | tr '\\0' x; echo the end; exit 1", "the end"),
    ];
    for (name, line, said) in cases {
        let context = Context::new();
        let broken = program(context.home(), name, &format!("#!/bin/sh\n{line}\n"));
        let arguments =
            ["--hook-timeout", "500ms", "--on-issued", broken.to_str().unwrap(), "--on-failure", broken.to_str().unwrap()];
        let ran = refused(&context, &arguments).expect(6).says(said);
        assert!(ran.stderr.contains("warning:") && ran.stderr.len() < 20_000, "{name}: {}", ran.stderr);
        let order = context.order(Generation::Instance, &["www.example.com"]);
        let ran = context.run(&[&["--provider", "cloudflare", "--order", order.as_str()], &arguments[..]].concat());
        let ran = ran.expect(0).says(said);
        assert!(ran.stderr.contains("the order is not concerned"), "{}", ran.stderr);
        assert!(context.out().join("www.example.com/live/fullchain.pem").is_file());
        assert_eq!(context.records(), Vec::<String>::new());
    }
}

#[test]
fn a_notice_that_cannot_run_is_found_before_anything_is_written() {
    let context = Context::new();
    let order = context.order(Generation::Instance, &["www.example.com"]);
    for option in ["--on-failure", "--on-issued"] {
        let arguments = ["--provider", "cloudflare", "--order", order.as_str(), option, "/nonexistent/notify"];
        context.run(&arguments).expect(2).says("the hook `/nonexistent/notify` cannot be read");
    }
    assert_eq!(context.writes(), 0);
}

/// One request as a service got it.
#[derive(Debug)]
struct Request {
    /// Path and query.
    target: String,
    body: serde_json::Value,
}

/// A service that answers every request with this status and body.
fn service(status: &'static str, reply: &'static str) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                lines.push(line);
            }
            let length =
                lines.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let is_json = lines.iter().any(|line| line.to_ascii_lowercase().starts_with("content-type: application/json"));
            let target = lines[0].split(' ').nth(1).unwrap_or_default().to_owned();
            assert!(is_json && lines[0].starts_with("POST "), "{lines:?}");
            let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{reply}", reply.len());
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send(Request { target, body: serde_json::from_slice(&body).unwrap() }).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}/hook?key=k"), receiver)
}

/// The script below this heading of docs/notify.md.
fn script(title: &str) -> String {
    let page = include_str!("../../docs/notify.md");
    let (_, section) = page.split_once(&format!("### {title}\n")).expect("the heading is there");
    let (_, from) = section.split_once("```python\n").expect("a script follows");
    from.split_once("```").expect("it ends").0.to_owned()
}

fn signed(key: &str, text: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap().chain_update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Whether `stamp`, in units of which a second has `per_second`, is of this hour.
fn is_now(stamp: &str, per_second: u64) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    stamp.parse::<u64>().is_ok_and(|stamp| (stamp / per_second).abs_diff(now) < 3600)
}

/// The text that a service is to show, after checking what it alone wants.
fn text_of(title: &str, request: &Request) -> String {
    let body = &request.body;
    let text = match title {
        "DingTalk" => {
            let url = url::Url::parse(&format!("http://x{}", request.target)).unwrap();
            let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
            let stamp = &query["timestamp"];
            assert_eq!(query["key"], "k");
            assert!(is_now(stamp, 1000), "{stamp}");
            assert_eq!(query["sign"], signed(DINGTALK_SECRET, &format!("{stamp}\n{DINGTALK_SECRET}")));
            assert_eq!(body["msgtype"], "text");
            &body["text"]["content"]
        }
        "Feishu" => {
            let stamp = body["timestamp"].as_str().expect("a text");
            assert!(is_now(stamp, 1), "{stamp}");
            assert_eq!(body["sign"], signed(&format!("{stamp}\n{FEISHU_SECRET}"), ""));
            assert_eq!(body["msg_type"], "text");
            &body["content"]["text"]
        }
        "WeCom" => {
            assert_eq!((body["msgtype"].as_str(), request.target.as_str()), (Some("text"), "/hook?key=k"));
            &body["text"]["content"]
        }
        _ => &body["text"],
    };
    text.as_str().expect("a text").to_owned()
}

/// What each service says when all is well, and what when it refuses; with the words that the script is to show then.
const SERVICES: [(&str, &str, &str, &str, &str); 4] = [
    (
        "DingTalk",
        r#"{"errcode":0,"errmsg":"ok"}"#,
        "200 OK",
        r#"{"errcode":310000,"errmsg":"sign not match"}"#,
        "310000 sign not match",
    ),
    (
        "Feishu",
        r#"{"code":0,"msg":"success","data":{}}"#,
        "200 OK",
        r#"{"code":19021,"msg":"sign match fail"}"#,
        "19021 sign match fail",
    ),
    (
        "WeCom",
        r#"{"errcode":0,"errmsg":"ok"}"#,
        "200 OK",
        r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#,
        "93000 invalid webhook url",
    ),
    ("Slack", "ok", "403 Forbidden", "invalid_token", "403 invalid_token"),
];

fn settings(context: &Context, title: &str, url: &str) -> PathBuf {
    let secret = if title == "Feishu" { FEISHU_SECRET } else { DINGTALK_SECRET };
    let path = context.home().join(format!("{title}.json"));
    fs::write(&path, serde_json::json!({"url": url, "secret": secret}).to_string()).unwrap();
    path
}

fn has_python() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("DV_TEST_REQUIRE_SERVERS").is_none(), "python3 is not installed");
    there
}

#[test]
fn every_script_of_the_page_tells_its_service() {
    if !has_python() {
        return;
    }
    for (title, well, refusing, refusal, shown) in SERVICES {
        let context = Context::new();
        let path = program(context.home(), title, &script(title));
        let (url, requests) = service("200 OK", well);
        let orders = ["www.example.com", "b.example.com"].map(|name| context.order(Generation::Api2018, &[name]));
        for order in &orders {
            context.change(order, OrderChange::Reject);
        }
        let run = |url: &str, order: &OrderId| {
            let arguments = ["--provider", "cloudflare", "--order", order.as_str(), "--on-failure", path.to_str().unwrap()];
            let mut command = context.command(&arguments);
            command.env("PATH", "/usr/bin:/bin").env("NOTIFY_CONF", settings(&context, title, url));
            Ran::of(command.output().unwrap()).expect(6)
        };
        let ran = run(&url, &orders[0]);
        assert!(!ran.stderr.contains("warning:"), "{title}: {}", ran.stderr);
        let text = text_of(title, &requests.recv_timeout(Duration::from_secs(30)).expect("a request"));
        assert!(text.starts_with("dv-verify: failed") && text.contains(orders[0].as_str()) && text.contains("to do: "), "{text}");
        // What the service refuses is a warning with its words.
        let (url, _requests) = service(refusing, refusal);
        assert_eq!(run(&url, &orders[1]).says(shown).says("warning:").code, 6);

        // Texts with a meaning in JSON, markup, shells and templates arrive as they are.
        let (url, requests) = service("200 OK", well);
        let odd = "\"quoted\" \\ <!channel> & $(id) {{7*7}} @all 域名没有生效 ";
        let mut direct = Command::new(&path);
        direct.env("NOTIFY_CONF", settings(&context, title, &url)).env("DV_EVENT", "failed").env("DV_NAMES", "a.example");
        let output = direct.env("DV_MESSAGE", odd).output().unwrap();
        assert!(output.status.success(), "{title}: {}", String::from_utf8_lossy(&output.stderr));
        let mut text = text_of(title, &requests.recv_timeout(Duration::from_secs(30)).expect("a request"));
        if title == "Slack" {
            assert!(!text.contains('<'), "{text}");
            text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        }
        assert_eq!(text, format!("dv-verify: failed a.example\n{odd}"), "{title}");
    }
}

#[test]
fn the_script_for_mail_hands_a_whole_message_to_sendmail() {
    if !has_python() {
        return;
    }
    let context = Context::new();
    let path = program(context.home(), "mail", &script("Mail"));
    let sent = context.home().join("sent");
    let sendmail =
        program(context.home(), "sendmail", &format!("#!/bin/sh\necho \"$@\" > {0}.arguments; cat > {0}\n", sent.display()));
    let conf = context.home().join("mail.json");
    let values = serde_json::json!({"from": "dv@example.com", "to": "admin@example.com", "sendmail": sendmail});
    fs::write(&conf, values.to_string()).unwrap();
    let mut command = Command::new(&path);
    command.env("NOTIFY_CONF", &conf).env("DV_EVENT", "failed").env("DV_ORDER_ID", "cas-1").env("DV_HINT", "look at the zone");
    command.env("DV_NAMES", "www.example.com").env("DV_MESSAGE", "域名没有生效");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(context.home().join("sent.arguments")).unwrap(), "-t -i\n");
    let reader = "import email, email.policy, sys\n\
                  m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)\n\
                  print(m['From'], m['To'], m['Subject'], m['Auto-Submitted'], sep='|'); print(m.get_content())";
    let read = Command::new("python3").args(["-c", reader]).stdin(fs::File::open(&sent).unwrap()).output().unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    assert!(
        read.starts_with("dv@example.com|admin@example.com|dv-verify: failed: www.example.com|auto-generated\n域名没有生效\n"),
        "{read}"
    );
    assert!(read.contains("Order: cas-1") && read.contains("To do: look at the zone"), "{read}");
}
