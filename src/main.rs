//! `dv-verify`: see the library `dv_verify`.

use std::process::ExitCode;

use dv_verify::{cli, environment::Environment};

fn main() -> ExitCode {
    // Fails only where a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ExitCode::from(cli::run(std::env::args_os(), Environment::of_process()))
}
