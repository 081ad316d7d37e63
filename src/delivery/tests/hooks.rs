use std::time::{Duration, Instant};

use super::*;
use crate::{environment::Environment, hook::Hook};

const LONG: Duration = Duration::from_secs(30);

fn delivered(out: &Path) -> Delivered {
    deliver(&Ca::new().bundle(&["www.example.com"]), &target(out, "o-1", &[])).unwrap()
}

async fn hook(line: &str, delivered: &Delivered, timeout: Duration) -> Result<()> {
    let environment = Environment::of([("PATH", "/usr/bin:/bin"), ("KEPT", "yes"), ("TOKEN", "hidden")]);
    let order = OrderId::parse("o-1").unwrap();
    run_hook(&Hook::Shell(line.into()), delivered, &order, &environment, &["TOKEN".to_owned()], timeout).await
}

#[tokio::test]
async fn a_hook_gets_paths_and_no_credentials() {
    let out = TempDir::new().unwrap();
    let delivered = delivered(out.path());
    let line = "test -s \"$DV_FULLCHAIN\" -a -s \"$DV_PRIVKEY\" -a \"$DV_ORDER_ID\" = o-1 -a \"$KEPT\" = yes -a -z \"$TOKEN\" \
                -a \"$DV_FOLDER\" = www.example.com && ! read line";
    hook(line, &delivered, LONG).await.unwrap();
}

#[tokio::test]
async fn a_hook_that_fails_says_what_it_said_last() {
    let out = TempDir::new().unwrap();
    let delivered = delivered(out.path());
    let error = hook("echo one; echo two >&2; exit 7", &delivered, LONG).await.unwrap_err().to_string();
    assert!(error.contains("two") && error.contains('7'), "{error}");
    let error = hook("exit 3", &delivered, LONG).await.unwrap_err().to_string();
    assert!(error.contains("it said nothing"), "{error}");
    let missing = Hook::Program("/nonexistent/program".into());
    let order = OrderId::parse("o-1").unwrap();
    let error = run_hook(&missing, &delivered, &order, &Environment::default(), &[], LONG).await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/program") && error.contains("cannot start"), "{error}");
}

#[tokio::test]
async fn megabytes_of_output_do_not_block_and_only_the_end_is_kept() {
    let out = TempDir::new().unwrap();
    let line = "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1";
    let error = hook(line, &delivered(out.path()), LONG).await.unwrap_err().to_string();
    assert!(error.contains("the end"), "{}", &error[error.len() - 100..]);
    assert!(error.len() < 70_000);
}

#[tokio::test]
async fn a_hook_that_hangs_is_ended_with_its_children() {
    let out = TempDir::new().unwrap();
    let delivered = delivered(out.path());
    let began = Instant::now();
    let line = format!("sleep 60 & echo $! > {0}/pid; sleep 60", out.path().display());
    let error = hook(&line, &delivered, Duration::from_millis(500)).await.unwrap_err().to_string();
    assert!(error.contains("was ended"), "{error}");
    let pid = out.path().join("pid");
    while is_running(&pid) && began.elapsed() < Duration::from_secs(10) {
        tokio::task::yield_now().await;
    }
    assert!(!is_running(&pid), "the child of the hook goes on");
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// The process whose id the hook wrote into `path`.
fn is_running(path: &Path) -> bool {
    let id = fs::read_to_string(path).unwrap();
    fs::read_to_string(format!("/proc/{}/stat", id.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_hook_may_leave_something_running() {
    let out = TempDir::new().unwrap();
    let began = Instant::now();
    // It holds the pipe open.
    hook(&format!("sleep 300 & echo $! > {}/pid", out.path().display()), &delivered(out.path()), LONG).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(is_running(&out.path().join("pid")));
    let id = fs::read_to_string(out.path().join("pid")).unwrap().trim().parse().unwrap();
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_hook_whose_time_is_up_may_tidy_up() {
    let out = TempDir::new().unwrap();
    let line = format!("trap 'echo tidied > {0}/trapped; exit 0' TERM; echo waiting; sleep 300 & wait", out.path().display());
    let error = hook(&line, &delivered(out.path()), Duration::from_millis(300)).await.unwrap_err().to_string();
    assert!(error.contains("within 300 ms") && error.contains("waiting"), "{error}");
    assert_eq!(fs::read_to_string(out.path().join("trapped")).unwrap(), "tidied\n");
}

#[tokio::test]
async fn a_hook_that_does_not_heed_is_killed() {
    let out = TempDir::new().unwrap();
    let line = format!("trap '' TERM; echo $$ > {0}/pid; while :; do sleep 1; done", out.path().display());
    let began = Instant::now();
    hook(&line, &delivered(out.path()), Duration::from_millis(300)).await.unwrap_err();
    assert!(!is_running(&out.path().join("pid")));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_run_that_is_cancelled_ends_its_hook() {
    let out = TempDir::new().unwrap();
    let delivered = delivered(out.path());
    let pid = out.path().join("pid");
    let line = format!("echo $$ > {0}.part; mv {0}.part {0}; exec sleep 300", pid.display());
    tokio::select! {
        outcome = hook(&line, &delivered, LONG) => panic!("{outcome:?}"),
        () = async { while !pid.exists() { tokio::task::yield_now().await } } => {}
    }
    let began = Instant::now();
    while is_running(&pid) {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_hook_says_is_in_order_without_secrets_and_control_characters() {
    let out = TempDir::new().unwrap();
    let delivered = delivered(out.path());
    let line = "echo first; echo second >&2; printf '\\033[31mthe value was hidd''en\\n'; exit 1";
    let error = hook(line, &delivered, LONG).await.unwrap_err().to_string();
    assert!(error.contains("first / second / [31mthe value was [redacted]"), "{error}");
}

#[tokio::test]
async fn a_hook_that_cannot_start_says_what_to_do() {
    let out = TempDir::new().unwrap();
    let delivered = delivered(out.path());
    let script = out.path().join("script");
    fs::write(&script, "echo x").unwrap();
    let order = OrderId::parse("o-1").unwrap();
    let run = async || run_hook(&Hook::Program(script.clone()), &delivered, &order, &Environment::default(), &[], LONG).await;
    assert!(run().await.unwrap_err().hint().unwrap().contains("chmod +x"));
}
