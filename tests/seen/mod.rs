//! What `--listen` shows, seen by those who look: a browser (Debian's chromium) and Prometheus's own checker (promtool).
//!
//! Where one is not installed, its tests say so and pass; with `DV_TEST_REQUIRE_SERVERS=1`, as `tests/run` sets it, they fail.

mod chromium;
mod page;
mod program;
mod scenes;

use std::process::{Command, Stdio};

/// Whether a program is there.
#[expect(clippy::print_stderr, reason = "what is left out is part of the result")]
fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let found = command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(std::env::var_os("DV_TEST_REQUIRE_SERVERS").is_none(), "{program} is not installed");
    eprintln!("left out: {program} is not installed");
    false
}
