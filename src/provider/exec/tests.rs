use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use rustix::process::{Pid, Signal};

use super::*;
use crate::{
    environment::Environment,
    error::ErrorKind,
    http::Http,
    name::Name,
    provider::{
        program::{LAST_LINES, MAX_LINE},
        told::zone_above,
    },
    record::RecordType,
    secret::{Redactor, Secret},
};

/// A folder with an executable shell script `program` in it.
fn script(body: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    std::fs::write(&path, format!("#!/bin/sh\ncd '{}'\n{body}\n", folder.path().display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn opened(folder: &Path, more: &[(&str, &str)]) -> Result<Arc<dyn DnsProvider>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redactor = Redactor::default();
    redactor.learn(&Secret::new("hunter2hunter2"));
    let context = Context { http: Http::new().unwrap(), redactor };
    let mut settings = Settings::of_builtin(
        "exec",
        Environment::of([
            ("PATH", "/usr/bin:/bin"),
            ("EXEC_PATH", folder.join("program").to_str().unwrap()),
            ("RFC2136_TSIG_SECRET", "secret of ours"),
            ("HTTPREQ_PASSWORD", "for the program"),
            ("HARMLESS", "1"),
        ]),
    );
    settings.table = more.iter().map(|(name, value)| ((*name).to_owned(), toml::Value::String((*value).to_owned()))).collect();
    Registry::load(None).unwrap().open(&settings, &context)
}

fn record() -> Record {
    Record { name: Name::parse("_dv.example.com").unwrap(), record_type: RecordType::Txt, value: "a value; $HOME".into() }
}

fn read(folder: &tempfile::TempDir, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(name)).unwrap()
}

#[tokio::test]
async fn the_program_gets_action_name_and_value_and_no_input() {
    let folder = script("printf '%s|' \"$#\" \"$@\" >> calls; cat >> calls");
    let provider = opened(folder.path(), &[]).unwrap();
    let zone = provider.locate(&record().name).await.unwrap();
    provider.publish(&zone, &record()).await.unwrap();
    provider.withdraw(&zone, &record(), None).await.unwrap();
    assert_eq!(read(&folder, "calls"), "3|present|_dv.example.com.|a value; $HOME|3|cleanup|_dv.example.com.|a value; $HOME|");
}

#[tokio::test]
async fn the_program_sees_no_credential_but_those_that_the_user_passes() {
    let folder = script("env > seen");
    let provider = opened(folder.path(), &[("pass", "HTTPREQ_PASSWORD, OTHER")]).unwrap();
    provider.publish(&zone_above(&record().name), &record()).await.unwrap();
    let seen = read(&folder, "seen");
    assert!(seen.contains("HARMLESS=1") && seen.contains("HTTPREQ_PASSWORD=for the program"), "{seen}");
    assert!(!seen.contains("secret of ours"), "{seen}");
}

#[tokio::test]
async fn a_failure_quotes_the_last_lines_in_order_and_redacted() {
    let folder = script("for i in 1 2 3 4 5 6; do echo line $i; echo error $i >&2; done; printf 'token hunter2hunter2'; exit 3");
    let error = opened(folder.path(), &[]).unwrap().publish(&zone_above(&record().name), &record()).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Provider);
    assert!(text.ends_with("(exit status: 3): line 5 | error 5 | line 6 | error 6 | token [redacted]"), "{text}");
}

#[tokio::test]
async fn endless_output_does_not_fill_the_memory() {
    let folder = script("yes 'a line of output' | head -c 3000000; head -c 300000 /dev/zero | tr '\\0' x; exit 1");
    let error = opened(folder.path(), &[]).unwrap().publish(&zone_above(&record().name), &record()).await.unwrap_err();
    assert!(error.to_string().len() < (LAST_LINES + 1) * (MAX_LINE + 100));
}

/// Waits until no process has the fifo open for writing any more.
fn wait_until_abandoned(fifo: &Path) {
    use std::{io::ErrorKind, os::unix::fs::OpenOptionsExt};
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(fifo).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    // Without blocking, a fifo that somebody may still write to says `WouldBlock`; one that is abandoned is at its end.
    while let Err(error) = std::io::Read::read(&mut file, &mut [0; 1]) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(std::time::Instant::now() < deadline, "a process was left running");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_its_children() {
    let folder = script("mkfifo alive; (exec 9<> alive; exec sleep 600) & wait");
    let provider = opened(folder.path(), &[("timeout", "300ms")]).unwrap();
    let error = provider.publish(&zone_above(&record().name), &record()).await.unwrap_err();
    assert!(error.to_string().contains("was killed"), "{error}");
    wait_until_abandoned(&folder.path().join("alive"));
}

#[tokio::test]
async fn a_dropped_call_kills_the_program() {
    let folder = script("mkfifo alive; exec 9<> alive; echo > started; sleep 600");
    let provider = opened(folder.path(), &[]).unwrap();
    let call = tokio::spawn(async move { provider.publish(&zone_above(&record().name), &record()).await });
    while !folder.path().join("started").exists() {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    wait_until_abandoned(&folder.path().join("alive"));
    // The next one gets its turn, so the first has let go of it.
    let folder = script("exit 0");
    opened(folder.path(), &[]).unwrap().publish(&zone_above(&record().name), &record()).await.unwrap();
}

#[tokio::test]
async fn a_program_that_leaves_something_running_is_not_waited_for() {
    let folder = script("sleep 30 & echo $! > child; exit 0");
    let started = std::time::Instant::now();
    opened(folder.path(), &[]).unwrap().publish(&zone_above(&record().name), &record()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(20));
    let child: i32 = read(&folder, "child").trim().parse().unwrap();
    // It lives on (a daemon that was started on purpose); this test ends it.
    rustix::process::kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn two_calls_do_not_overlap() {
    let folder = script("mkdir busy || exit 9; echo x >> calls; rmdir busy");
    let provider = opened(folder.path(), &[]).unwrap();
    let (record, zone) = (record(), zone_above(&record().name));
    let calls = (0..8).map(|_| provider.publish(&zone, &record));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.unwrap();
    }
    assert_eq!(read(&folder, "calls").lines().count(), 8);
}

#[test]
fn what_cannot_run_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let error = opened(folder.path(), &[]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("variable `EXEC_PATH`"), "{error}");
    std::fs::write(folder.path().join("program"), "").unwrap();
    assert!(opened(folder.path(), &[]).err().unwrap().to_string().contains("chmod +x"));
    let folder = script("");
    for timeout in ["soon", "0s", "-1s", "2d"] {
        assert!(opened(folder.path(), &[("timeout", timeout)]).is_err(), "{timeout}");
    }
    assert!(opened(folder.path(), &[("mode", "RAW")]).err().unwrap().to_string().contains("RAW"));
}
