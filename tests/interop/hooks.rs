//! The blocks of `docs/as-a-hook.md` with certbot, dehydrated and lego against pebble: the record is written and removed by dv-verify's hooks
//! through the sandbox's provider, and pebble looks at the sandbox's name servers.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::servers::{
    installed,
    pebble::{Manner, Pebble},
};
use crate::outside::context::{Context, Ran};

const PAGE: &str = include_str!("../../docs/as-a-hook.md");

/// The block of the page with this name.
fn block(name: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n```sh {name}\n")).unwrap_or_else(|| panic!("no block `{name}`"));
    rest.split_once("\n```").unwrap().0
}

/// Writes the block of a hook into the folder, executable.
fn write_hook(folder: &Path, name: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("{}\n", block(name))).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a block with more options of the client, which name the test's CA and folders; then looks at what is left.
/// `prepare` gives the variables and the options, and `certificate` says where the chain must be.
fn issue(client: &str, prepare: impl FnOnce(&Path, &Pebble) -> (Vec<(&'static str, PathBuf)>, String), certificate: &str) {
    if !installed(&[client]) {
        return;
    }
    let context = Context::new();
    // dehydrated does not try again where a nonce is rejected, as Pebble does by chance.
    let manner = Manner { variables: vec![("PEBBLE_WFE_NONCEREJECT", "0")], ..Manner::default() };
    let Some(pebble) = Pebble::start(context.sandbox.addresses().resolver, &manner) else { return };
    context.put_record("_acme-challenge.www.example.com", "of somebody else");
    // Of its own, since the client keeps private keys there, which the context takes for leaks of ours.
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let (variables, options) = prepare(home, &pebble);
    // lego's options stand before its command.
    let script = match block(client).strip_suffix(" run") {
        Some(rest) => format!("{rest} {options} run"),
        None => format!("{} {options}", block(client)),
    };
    let program = Path::new(env!("CARGO_BIN_EXE_dv-verify"));
    let mut command = Command::new("/bin/sh");
    command.envs(context.command(&[]).get_envs().map(|(name, value)| (name, value.unwrap_or_default())));
    let output = command
        .arg("-ec")
        .arg(script)
        .envs(variables)
        .env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", program.parent().unwrap().display()))
        .env("DV_PROVIDER", "cloudflare")
        .current_dir(home)
        .stdin(Stdio::null())
        .output();
    let ran = Ran::of(output.unwrap());
    assert_eq!(ran.code, 0, "{}\n{}\n--- pebble\n{}", ran.stdout, ran.stderr, pebble.log());
    let chain = fs::read_to_string(home.join(certificate)).unwrap();
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"), "{chain}");
    assert_eq!(context.writes(), 2, "one record for the name and one for its wildcard");
    assert_eq!(context.values("_acme-challenge.www.example.com"), ["of somebody else"]);
}

#[test]
fn certbot_issues_with_our_hooks() {
    let prepare = |home: &Path, pebble: &Pebble| {
        let home = home.display();
        let options = format!(
            "--server {} --register-unsafely-without-email --agree-tos --non-interactive \
             --config-dir {home}/certbot --work-dir {home}/certbot-work --logs-dir {home}/certbot-logs",
            pebble.directory
        );
        (vec![("REQUESTS_CA_BUNDLE", pebble.ca_file())], options)
    };
    issue("certbot", prepare, "certbot/live/www.example.com/fullchain.pem");
}

#[test]
fn dehydrated_issues_with_our_hook() {
    let prepare = |home: &Path, pebble: &Pebble| {
        write_hook(home, "dehydrated-hook");
        let config = home.join("dehydrated.conf");
        let text = format!(
            "CA={}\nBASEDIR={home}\nCERTDIR={home}/certs\nACCOUNTDIR={home}/accounts\nCHAINCACHE={home}/chains\nCURL_OPTS='--cacert {}'\n",
            pebble.directory,
            pebble.ca_file().display(),
            home = home.display()
        );
        fs::write(&config, text).unwrap();
        (Vec::new(), format!("--config {} --accept-terms", config.display()))
    };
    issue("dehydrated", prepare, "certs/www/fullchain.pem");
}

#[test]
fn lego_issues_with_our_hook() {
    let prepare = |home: &Path, pebble: &Pebble| {
        write_hook(home, "lego-hook");
        (
            vec![("LEGO_CA_CERTIFICATES", pebble.ca_file()), ("LEGO_PATH", home.join("lego"))],
            format!("--server {}", pebble.directory),
        )
    };
    issue("lego", prepare, "lego/certificates/www.example.com.crt");
}
