//! Where secrets may come from, and that they go nowhere else. Every test of this ring searches what its runs printed; and when its scene
//! ends, every file that they left and every HTTP request that the sandbox got (`Context`).

use std::{fs, os::unix::fs::PermissionsExt};

use dv_verify::order::Generation;

use super::context::{ACCESS_KEY_SECRET, API_TOKEN, Context, Ran, TSIG_SECRET, assert_no_secret};

const SECRETS: [&str; 3] = ["ALIBABA_CLOUD_ACCESS_KEY_SECRET", "DV_CLOUDFLARE_API_TOKEN", "DV_RFC2136_TSIG_SECRET"];

/// A file that only this user can read.
fn private(path: &std::path::Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Runs an order to its end with what `prepare` makes of the secrets, the talkative way, with a hook that keeps all that it was given.
fn journey(provider: &str, prepare: impl FnOnce(&Context, &mut std::process::Command)) {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let seen = context.home().join("seen-by-the-hook");
    let hook = format!(
        "{{ env; tr '\\0' '\\n' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$PPID/cmdline; ls /proc/$$/fd; }} > {0}; test -s {0}",
        seen.display()
    );
    let mut command = context.command(&["--provider", provider, "--order", id.as_str(), "-vv", "--hook-shell", &hook]);
    for secret in SECRETS {
        command.env_remove(secret);
    }
    prepare(&context, &mut command);
    let ran = Ran::of(command.output().unwrap()).expect(0);
    assert_no_secret(&ran);
    assert!(ran.stderr.contains("calls to CAS"), "it is talkative");
    let seen = fs::read_to_string(seen).unwrap();
    for secret in [ACCESS_KEY_SECRET, API_TOKEN, TSIG_SECRET] {
        assert!(!seen.contains(secret), "the hook of a run with {provider} sees a secret");
    }
    assert!(!seen.contains("CREDENTIALS_DIRECTORY"), "the hook is led to the credentials: {seen}");
    // What else is searched, is when `context` ends.
}

#[test]
fn from_the_environment() {
    for provider in ["cloudflare", "rfc2136"] {
        journey(provider, |_, command| {
            for (variable, value) in SECRETS.iter().zip([ACCESS_KEY_SECRET, API_TOKEN, TSIG_SECRET]) {
                command.env(variable, value);
            }
        });
    }
}

#[test]
fn from_files() {
    journey("cloudflare", |context, command| {
        for (variable, value) in SECRETS.iter().zip([ACCESS_KEY_SECRET, API_TOKEN]) {
            let path = context.home().join(format!("{variable}.secret"));
            private(&path, &format!("{value}\n"));
            command.env(format!("{variable}_FILE"), path);
        }
    });
}

#[test]
fn from_credentials_of_systemd() {
    for provider in ["cloudflare", "rfc2136"] {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in SECRETS.iter().zip([ACCESS_KEY_SECRET, API_TOKEN, TSIG_SECRET]) {
            private(&folder.path().join(name), value);
        }
        journey(provider, |_, command| {
            command.env("CREDENTIALS_DIRECTORY", folder.path());
        });
    }
}

#[test]
fn from_the_config_and_from_commands() {
    let value = |context: &Context| {
        let file = context.home().join("token.secret");
        private(&file, API_TOKEN);
        [format!("api_token = \"{API_TOKEN}\""), format!("api_token = \"exec:/bin/cat {}\"", file.display())]
    };
    for index in 0..2 {
        journey("cf-work", |context, command| {
            let config = context.home().join("config.toml");
            private(&config, &format!("[provider.cf-work]\nuse = \"cloudflare\"\n{}\n", value(context)[index]));
            command.env("DV_CONFIG", config).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET);
        });
    }
}

#[test]
fn a_command_that_fails_is_named_and_what_it_said_is_not() {
    let context = Context::new();
    context.order(Generation::Instance, &["www.example.com"]);
    let config = context.home().join("config.toml");
    let script = context.home().join("vault.secret");
    private(&script, &format!("echo {API_TOKEN}; echo {API_TOKEN} >&2; exit 3"));
    private(&config, &format!("[provider.cf-work]\nuse = \"cloudflare\"\napi_token = \"exec:/bin/sh {}\"\n", script.display()));
    let mut command = context.command(&["--provider", "cf-work", "--config", config.to_str().unwrap(), "-vv"]);
    command.env_remove("DV_CLOUDFLARE_API_TOKEN");
    let ran = Ran::of(command.output().unwrap()).expect(3).says("api_token").says("exit status: 3").says("/bin/sh");
    assert_no_secret(&ran);
    assert_eq!(context.writes(), 0);
}
