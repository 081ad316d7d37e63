//! Each mistake ends with a message that names the thing, says why and what to do, the right exit code, and nothing left behind.

use std::{process::Stdio, time::Duration};

use dv_verify::{
    order::Generation,
    sandbox::{Answer, Fault, OrderChange, Service},
};

use super::context::Context;

/// A context with one waiting order, and that order's id.
fn one_order() -> (Context, String) {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]).to_string();
    (context, id)
}

#[test]
fn no_credentials() {
    let (context, id) = one_order();
    let mut command = context.command(&["--provider", "cloudflare", "--order", &id]);
    command.env_remove("ALIBABA_CLOUD_ACCESS_KEY_ID").env_remove("ALIBABA_CLOUD_ACCESS_KEY_SECRET");
    let ran = super::context::Ran::of(command.output().unwrap()).expect(3).says("ALIBABA_CLOUD_ACCESS_KEY_ID");
    assert!(ran.stderr.contains("config.json"), "every place that was looked at is named: {}", ran.stderr);
}

#[test]
fn wrong_secret() {
    let (context, id) = one_order();
    let mut command = context.command(&["--provider", "cloudflare", "--order", &id]);
    command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "not-the-secret-at-all");
    let ran = super::context::Ran::of(command.output().unwrap()).expect(3).says("SignatureDoesNotMatch");
    assert!(!ran.stderr.contains("not-the-secret-at-all"));
}

#[test]
fn unknown_order_and_order_of_another_region() {
    let (context, _) = one_order();
    context
        .run(&["--provider", "cloudflare", "--order", "cas-cn-nosuchorder"])
        .expect(2)
        .says("cas-cn-nosuchorder")
        .says("--region");
}

#[test]
fn no_provider_shows_every_record_that_is_needed() {
    let (context, _) = one_order();
    context.order(Generation::Api2018, &["b.example.net"]);
    let ran = context.run(&[]).expect(2).says("--provider");
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(all.contains("_dnsauth.www.example.com") && all.contains("_dnsauth.b.example.net"), "{all}");
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn unknown_provider_suggests_the_nearest() {
    let (context, _) = one_order();
    context.run(&["--provider", "cloudflair"]).expect(2).says("did you mean").says("cloudflare");
}

#[test]
fn missing_provider_credentials_name_the_variables() {
    let (context, id) = one_order();
    let mut command = context.command(&["--provider", "cloudflare", "--order", &id]);
    command.env_remove("DV_CLOUDFLARE_API_TOKEN");
    super::context::Ran::of(command.output().unwrap())
        .expect(3)
        .says("DV_CLOUDFLARE_API_TOKEN")
        .says("CLOUDFLARE_DNS_API_TOKEN")
        .says("CF_Token");
}

#[test]
fn wrong_provider_token() {
    let (context, id) = one_order();
    let mut command = context.command(&["--provider", "cloudflare", "--order", &id]);
    command.env("DV_CLOUDFLARE_API_TOKEN", "wrong-token-of-the-provider");
    let ran = super::context::Ran::of(command.output().unwrap()).expect(3);
    assert!(!ran.stderr.contains("wrong-token-of-the-provider"), "{}", ran.stderr);
}

#[test]
fn zone_not_in_the_account() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.elsewhere.org"]);
    context.run(&["--provider", "cloudflare", "--order", id.as_str()]).expect(4).says("elsewhere.org").says("zone");
}

#[test]
fn a_manifest_with_a_typo_names_line_and_column() {
    let (context, _) = one_order();
    let path = context.home().join("mine.toml");
    std::fs::write(
        &path,
        "id = \"mine\"\ntitle = \"Mine\"\nbase_url = \"https://example.com\"\nformat = 1\n\n[creat]\nhttp = \"POST /x\"\n",
    )
    .unwrap();
    let ran = context.run(&["--provider", "./mine.toml"]).expect(2).says("mine.toml").says("creat");
    assert!(ran.stderr.contains("line 6") || ran.stderr.contains(":6"), "the line is named: {}", ran.stderr);
}

#[test]
fn the_guard_refuses_a_name_outside_of_the_zones() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    context
        .run(&["--provider", "cloudflare", "--order", id.as_str(), "--zone", "example.net"])
        .expect(2)
        .says("_dnsauth.www.example.com")
        .says("--allow-name");
    assert_eq!(context.writes(), 0, "nothing was written");
}

#[test]
fn replies_that_are_no_replies() {
    let redirect = Answer::Redirect { to: "https://evil.example/".into() };
    let huge = Answer::Huge { bytes: 50_000_000 };
    for (answer, expected) in
        [(Answer::Html503, "503"), (Answer::NotJson, "JSON"), (redirect, "redirect"), (huge, "MiB"), (Answer::Endless, "MiB")]
    {
        let context = Context::new();
        context.sandbox.fault(Fault::Calls { service: Service::Cas, action: None, times: None, answer }).unwrap();
        context.run(&["orders", "--api", "instance"]).expect(1).says(expected);
    }
}

#[test]
fn replies_of_the_dns_provider_that_are_no_replies() {
    let redirect = Answer::Redirect { to: "https://evil.example/".into() };
    let huge = Answer::Huge { bytes: 50_000_000 };
    for (answer, expected) in [(Answer::NotJson, "not JSON"), (redirect, "redirect"), (huge, "MiB"), (Answer::Endless, "MiB")] {
        let context = Context::new();
        context.sandbox.fault(Fault::Calls { service: Service::Provider, action: None, times: None, answer }).unwrap();
        let add = ["record", "add", "_dv.example.com", "abc", "--provider", "cloudflare"];
        context.run(&add).expect(4).says("GET /client/v4/zones").says(expected);
        assert_eq!(context.writes(), 0, "nothing was written");
    }
}

#[test]
fn a_reply_that_does_not_come_does_not_outlast_the_orders_time() {
    let (context, id) = one_order();
    let answer = Answer::Slow { millis: 600_000 };
    context.sandbox.fault(Fault::Calls { service: Service::Cas, action: None, times: None, answer }).unwrap();
    context.run(&["--provider", "cloudflare", "--order", &id, "--timeout", "1s"]).expect(1).says("did not answer in time");
    assert_eq!(context.writes(), 0, "nothing was written");
}

#[test]
fn a_folder_that_cannot_be_written_is_found_before_anything_is_published() {
    let (context, id) = one_order();
    let file = context.home().join("a-file");
    std::fs::write(&file, "").unwrap();
    let out = file.join("certificates");
    context
        .run(&["--provider", "cloudflare", "--order", &id, "--out", out.to_str().unwrap()])
        .expect(1)
        .says(out.to_str().unwrap());
    assert_eq!(context.writes(), 0, "nothing was published");
    let store = file.join("store.db");
    context.run(&["--provider", "cloudflare", "--order", &id, "--store", store.to_str().unwrap()]).expect(1).says("a-file");
    assert_eq!(context.writes(), 0, "nothing was published");
}

#[test]
fn no_home() {
    let (context, id) = one_order();
    let mut command = context.command(&["--provider", "cloudflare", "--order", &id]);
    command.env_remove("HOME");
    super::context::Ran::of(command.output().unwrap()).expect(0);
}

#[test]
fn a_clock_that_is_off_by_an_hour() {
    let (context, id) = one_order();
    context.sandbox.fault(Fault::ClockSkew { seconds: 3600 }).unwrap();
    context.run(&["--provider", "cloudflare", "--order", &id]).expect(2).says("clock");
}

#[test]
fn a_refused_order_is_exit_6_and_leaves_nothing() {
    let context = Context::with(|options| options.issue_delay = Duration::from_secs(3600));
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let arguments = ["--provider", "cloudflare", "--order", id.as_str()];
    let child = context.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    context.until_records(1);
    context.change(&id, OrderChange::Reject);
    super::context::Ran::of(child.wait_with_output().unwrap()).expect(6).says("refused");
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn a_secret_on_the_command_line_is_refused() {
    let (context, _) = one_order();
    let ran = context.run(&["--provider", "cloudflare", "--endpoint", "https://user:hunter2hunter2@cas.example.com"]).expect(2);
    assert!(!ran.stderr.contains("hunter2hunter2"), "{}", ran.stderr);
}

/// Runs the program with a small file system of its own at `folder` (64 KiB), prepared by a line of shell. `None` where that is not allowed here.
pub(crate) fn run_with_small_disk(
    program: &std::process::Command,
    folder: &std::path::Path,
    prepare: &str,
) -> Option<super::context::Ran> {
    std::fs::create_dir(folder).unwrap();
    let script = format!("mount -t tmpfs -o size=64k none {0} || exit 99; {prepare}; exec \"$@\"", folder.display());
    let mut command = std::process::Command::new("/usr/bin/unshare");
    command.args(["--mount", "/bin/sh", "-c", &script, "sh"]).arg(program.get_program()).args(program.get_args());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let ran = super::context::Ran::of(command.output().ok()?);
    // unshare itself ends with 1 where namespaces are not allowed, mount with 99.
    let is_refused = ran.code == 99 || ran.stderr.contains("unshare");
    (!is_refused).then_some(ran)
}

#[test]
fn a_full_or_read_only_disk_is_found_before_anything_is_published() {
    for prepare in ["head -c 1000000 /dev/zero > {}/fill 2>/dev/null", "mount -o remount,ro {}"] {
        let (context, id) = one_order();
        let folder = context.home().join("disk");
        let prepare = prepare.replace("{}", folder.to_str().unwrap());
        let out = folder.join("out");
        let arguments = ["--provider", "cloudflare", "--order", &id, "--out", out.to_str().unwrap()];
        let Some(ran) = run_with_small_disk(&context.command(&arguments), &folder, &prepare) else {
            eprintln!("left out: a full disk (mount namespaces are not allowed here)");
            return;
        };
        ran.expect(1).says(folder.to_str().unwrap()).says("--out");
        assert_eq!(context.writes(), 0, "nothing was published");
    }
}

#[test]
fn names_and_values_that_cannot_be_are_refused_by_check_and_explain() {
    let context = Context::new();
    let long_label = format!("{}.example.com", "a".repeat(64));
    let long_name = format!("{}com", "abcdefgh.".repeat(30));
    let huge = "x".repeat(66_000);
    for (name, value, said) in [
        ("a..example.com", "v", "it has an empty label"),
        ("a b.example.com", "v", "the character ' ' cannot be part of one"),
        (long_label.as_str(), "v", "a label is longer than 63 characters"),
        (long_name.as_str(), "v", "longer than 253 characters"),
        ("_dv.example.com", huge.as_str(), "has 66000 bytes, more than a DNS message carries"),
    ] {
        for command in ["check", "explain"] {
            context.run(&[command, name, value]).expect(2).says(said);
        }
    }
    context.run(&["check", "_dv.example.com", ""]).expect(2).says("the value is empty");
    context.run(&["check", "_dv.example.com", "v", "--authority", "example.com"]).expect(2).says("names no zone");
    context
        .run(&["check", "_dv.example.com", "v", "--resolver", "http://192.0.2.1/"])
        .expect(2)
        .says("only `tls://` and `https://`");
}

/// A place where questions go unanswered, over UDP and TCP.
fn sink() -> (std::net::UdpSocket, std::net::TcpListener) {
    (0..100)
        .find_map(|_| {
            let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let tcp = std::net::TcpListener::bind(udp.local_addr().unwrap()).ok()?;
            Some((udp, tcp))
        })
        .unwrap()
}

#[test]
fn a_stated_authority_that_does_not_answer_is_named() {
    let context = Context::new();
    let (udp, _tcp) = sink();
    let stated = format!("example.com={}", udp.local_addr().unwrap());
    let ran = context.run(&["check", "_dv.example.com", "v", "--authority", &stated]).expect(5);
    assert!(
        ran.stdout.contains("gives no usable answer: UDP: no answer within 3 s; TCP: no answer within 3 s"),
        "{}",
        ran.stdout
    );
    context
        .run(&["check", "_dv.example.com", "\"v\"", "--authority", &stated, "--wait", "--propagation-timeout", "1s"])
        .expect(5)
        .says("is not visible after 1 s")
        .says("the quotes count as part of the value");
}

#[test]
fn a_resolver_that_does_not_answer_does_not_outlast_the_time() {
    let context = Context::new();
    let (udp, _tcp) = sink();
    let resolver = udp.local_addr().unwrap().to_string();
    let begun = std::time::Instant::now();
    let ran = context.run(&["check", "_dv.example.org", "v", "--resolver", &resolver, "--wait", "--propagation-timeout", "1s"]);
    ran.expect(5).says("the zone of _dv.example.org was not found in time").says("name another resolver");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn a_resolver_with_a_certificate_that_nobody_trusts_is_refused() {
    let context = Context::new();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = std::sync::Arc::new(config);
    // Ends with the process of the tests.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        }
    });
    for url in [format!("https://127.0.0.1:{port}/dns-query"), format!("tls://127.0.0.1:{port}")] {
        context
            .run(&["check", "_dv.example.org", "v", "--resolver", &url])
            .expect(5)
            .says(&url)
            .says("invalid peer certificate")
            .says("name another resolver");
    }
}

#[test]
fn ctrl_c_ends_check_and_explain_within_a_second() {
    let context = Context::new();
    for command in
        [&["check", "_dv.example.com", "v"][..], &["check", "_dv.example.com", "v", "--wait"], &["explain", "_dv.example.com"]]
    {
        let (udp, _tcp) = sink();
        let address = udp.local_addr().unwrap().to_string();
        let stated = format!("example.com={address}");
        let arguments = [command, &["--authority", &stated, "--resolver", &address]].concat();
        let child = context.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It has asked, and waits for the answer.
        udp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        udp.recv(&mut [0; 512]).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let begun = std::time::Instant::now();
        let ran = super::context::Ran::of(child.wait_with_output().unwrap()).expect(130).says("interrupted while looking");
        // A question has three seconds; a look at dead servers takes longer still.
        assert!(begun.elapsed() < Duration::from_secs(1), "{arguments:?}: {:?}: {}", begun.elapsed(), ran.stderr);
    }
}
