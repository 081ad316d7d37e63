//! Runs that nobody watches: docs/cron.md line by line, silence, one line on failure, and the random wait.

use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use dv_verify::order::Generation;

use super::context::{Context, Ran};

/// The command lines of docs/cron.md, without time and user.
fn lines() -> Vec<String> {
    let page = include_str!("../../docs/cron.md");
    let mut inside = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```cron";
        } else if inside {
            let mut fields = line.splitn(7, ' ');
            assert_eq!(fields.by_ref().take(6).count(), 6, "five times and a user: {line}");
            lines.push(fields.next().expect("a command").replace("--splay 30m", "--splay 20ms"));
        }
    }
    assert_eq!(lines.len(), 4, "the page has four lines");
    lines
}

/// Runs a line as cron does: with `/bin/sh`, from nowhere, and with little in the environment.
fn as_cron(context: &Context, line: &str) -> Ran {
    let stub = context.bin().join("systemctl");
    if !stub.exists() {
        std::fs::write(&stub, format!("#!/bin/sh\necho \"$@\" >> {}\n", context.home().join("called").display())).unwrap();
        std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    Ran::of(context.shell_command(line).current_dir("/").output().unwrap())
}

fn called(context: &Context) -> String {
    std::fs::read_to_string(context.home().join("called")).unwrap_or_default()
}

#[test]
fn every_line_of_the_page_works_and_is_silent() {
    let page = lines();
    let (nightly, often, news, clean) = (&page[0], &page[1], &page[2], &page[3]);
    let new = || {
        let context = Context::with(|options| options.challenge_delay = Duration::ZERO);
        context.order(Generation::Instance, &["www.example.com"]);
        context
    };
    let silent = |ran: Ran| assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));

    let context = new();
    silent(as_cron(&context, nightly));
    assert_eq!(called(&context), "reload nginx\n");
    assert!(context.out().join("www.example.com/live/privkey.pem").is_file());
    silent(as_cron(&context, nightly));
    silent(as_cron(&context, news));
    assert_eq!(called(&context), "reload nginx\n", "no news, no call");
    silent(as_cron(&context, clean));
    assert_eq!(context.records(), Vec::<String>::new());

    let context = new();
    silent(as_cron(&context, news));
    assert_eq!(called(&context), "reload nginx\n");

    let context = new();
    // Runs until one finds the certificate: each publishes, sees, leaves, or collects.
    for _ in 0..100 {
        silent(as_cron(&context, often));
        if context.out().join("www.example.com/live").exists() {
            break;
        }
    }
    assert!(context.out().join("www.example.com/live/cert.pem").is_file());
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn no_wait_sees_the_record_before_it_leaves() {
    let context = Context::with(|options| {
        options.challenge_delay = Duration::ZERO;
        options.issue_delay = Duration::from_secs(3600);
        options.lag = Duration::from_millis(700);
    });
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let ran = context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--no-wait", "--output", "json"]).expect(0);
    let words = ran.event_words();
    assert!(words.ends_with(&["visible".into(), "done".into()]) || words.contains(&"visible".into()), "{words:?}");
    assert_eq!(context.records().len(), 1);
    // Not seen in time is no success, and the record stays for the next run.
    let context = Context::with(|options| {
        options.challenge_delay = Duration::ZERO;
        options.lag = Duration::from_secs(3600);
    });
    context.order(Generation::Instance, &["www.example.com"]);
    context.run(&["--provider", "cloudflare", "--no-wait", "--propagation-timeout", "1s"]).expect(5);
    assert_eq!(context.records().len(), 1);
}

#[test]
fn a_failure_is_one_useful_line() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.elsewhere.org"]);
    let ran =
        context.run(&["--provider", "cloudflare", "--quiet"]).expect(4).says(id.as_str()).says("elsewhere.org").says("hint:");
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1), "{}", ran.stderr);
    let ran = context.run(&["--provider", "cloudflair", "--quiet"]).expect(2).says("did you mean");
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1), "{}", ran.stderr);
}

#[test]
fn a_signal_ends_the_random_wait_at_once() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let context = Context::new();
        context.order(Generation::Instance, &["www.example.com"]);
        let mut command = context.command(&["--provider", "cloudflare", "--splay", "10000d"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // It says that it waits once it listens for signals.
        let mut said = String::new();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut stderr, &mut said).unwrap();
        assert!(said.contains("--splay"), "{said}");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(context.writes(), 0);
    }
}
