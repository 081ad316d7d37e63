//! docs/deploy.md: each block of the page is checked by the program that it is for, together with the files that it names.

use std::{path::PathBuf, process::Command, time::Duration};

use dv_verify::order::Generation;

use super::context::Context;
use crate::interop::servers;

const FOLDER: &str = "/var/lib/dv-verify/certificates";

/// The block of the page in this language, with the folder of the test and a port that needs no right.
fn block(language: &str, context: &Context) -> String {
    let page = include_str!("../../docs/deploy.md");
    let start = format!("```{language}\n");
    let mut blocks = page.split(&start).skip(1);
    let block = blocks.next().unwrap_or_else(|| panic!("the page has no block `{language}`"));
    assert_eq!(blocks.count(), 0, "one block `{language}`");
    let block = block.split("```").next().unwrap();
    block.replace(FOLDER, context.out().to_str().unwrap())
}

/// A certificate in every format.
fn delivered() -> Context {
    let context = Context::with(|options| options.challenge_delay = Duration::ZERO);
    context.order(Generation::Instance, &["www.example.com"]);
    let password = context.home().join("password");
    std::fs::write(&password, "only-for-this-test\n").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let password = password.to_str().unwrap();
    context.run(&["--provider", "cloudflare", "--format", "combined,pkcs12,der", "--pkcs12-password-file", password]).expect(0);
    for file in ["privkey.pem", "combined.pem", "cert.p12", "cert.der", "privkey.der"] {
        assert!(context.out().join("www.example.com/live").join(file).is_file(), "{file}");
    }
    context
}

/// Runs the program over a file with `text`; its complaint is the failure.
fn accepts(context: &Context, program: &str, text: &str, arguments: impl FnOnce(PathBuf) -> Vec<String>) {
    let file = context.home().join(format!("{program}.conf"));
    std::fs::write(&file, text).unwrap();
    let path = servers::program(program).expect("the caller looked");
    let output =
        Command::new(path).args(arguments(file)).current_dir(context.home()).env("HOME", context.home()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    assert!(output.status.success(), "{program} refuses this:\n{text}\n{said}");
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Has nginx check a server block that listens on `port`.
pub(super) fn nginx_accepts(context: &Context, server: &str, port: u16) {
    let home = context.home().to_str().unwrap();
    // `nginx -t` opens its sockets, so the port must be free.
    let server = server.replace(&format!("listen {port}"), &format!("listen 127.0.0.1:{}", free_port()));
    let folders =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {home}/{name};\n")).concat();
    let text = format!(
        "pid {home}/nginx.pid;\nerror_log {home}/nginx.log;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}{server}}}\n"
    );
    accepts(context, "nginx", &text, |file| vec!["-t".into(), "-c".into(), file.display().to_string()]);
}

#[test]
fn web_servers_accept_the_blocks_and_the_files() {
    if !servers::installed(&["nginx", "apache2", "haproxy", "caddy"]) {
        return;
    }
    let context = delivered();
    let home = context.home().to_str().unwrap().to_owned();

    nginx_accepts(&context, &block("nginx", &context), 443);

    let port = free_port();
    let modules = ["mpm_event", "authz_core", "socache_shmcb", "ssl"]
        .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
        .concat();
    let text = format!(
        "ServerRoot {home}\nServerName localhost\nPidFile {home}/apache.pid\nErrorLog {home}/apache.log\n{modules}Listen 127.0.0.1:{port}\n{}",
        block("apache", &context).replace("*:443", &format!("127.0.0.1:{port}"))
    );
    accepts(&context, "apache2", &text, |file| vec!["-t".into(), "-f".into(), file.display().to_string()]);

    let timeouts = "defaults\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n    mode http\n";
    let text = format!("global\n{timeouts}{}\nbackend application\n    mode http\n", block("haproxy", &context));
    accepts(&context, "haproxy", &text, |file| vec!["-c".into(), "-f".into(), file.display().to_string()]);

    accepts(&context, "caddy", &block("caddyfile", &context), |file| {
        ["validate", "--adapter", "caddyfile", "--config", &file.display().to_string()].map(str::to_owned).to_vec()
    });
}

#[test]
fn a_service_that_gets_the_wrong_key_would_be_noticed() {
    if !servers::installed(&["haproxy"]) {
        return;
    }
    let context = delivered();
    let live = context.out().join("www.example.com/live");
    std::fs::copy(live.join("fullchain.pem"), live.join("combined.pem")).unwrap();
    let text = format!("global\n{}\nbackend application\n    mode http\n", block("haproxy", &context));
    let file = context.home().join("haproxy.conf");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(servers::program("haproxy").unwrap()).arg("-c").arg("-f").arg(file).output().unwrap();
    assert!(!output.status.success(), "a check that cannot fail shows nothing");
}

#[test]
fn kubectl_makes_the_secret() {
    if !servers::installed(&["kubectl"]) {
        return;
    }
    let context = delivered();
    let live = context.out().join("www.example.com/live");
    let script = block("sh", &context);
    let (make, apply) = script.split_once("|\n").expect("a pipe");
    assert!(apply.trim().starts_with("kubectl apply"), "{apply}");
    let output = Command::new("/bin/sh")
        .args(["-c", make])
        .env("DV_FULLCHAIN", live.join("fullchain.pem"))
        .env("DV_PRIVKEY", live.join("privkey.pem"))
        .env("HOME", context.home())
        .output()
        .unwrap();
    let yaml = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let encoded = data_encoding::BASE64.encode(&std::fs::read(live.join("privkey.pem")).unwrap());
    assert!(yaml.contains("type: kubernetes.io/tls") && yaml.contains(&encoded), "{yaml}");
}

#[test]
fn tomcat_s_block_is_xml() {
    let page = include_str!("../../docs/deploy.md");
    let xml = page.split("```xml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    roxmltree::Document::parse(xml).unwrap();
}

#[test]
fn what_cannot_be_delivered_is_said_before_anything_is_published() {
    let context = Context::new();
    context.order(Generation::Instance, &["www.example.com"]);
    let password = context.home().join("password");
    std::fs::write(&password, "secret-of-the-test\n").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let file = password.to_str().unwrap();
    for (arguments, message) in [
        (vec!["--format", "pkcs12"], "needs a password"),
        (vec!["--format", "pkcs12", "--pkcs12-password-file", file], "can be read by others"),
        (vec!["--format", "pkcs12", "--pkcs12-password-file", "/no/such/file"], "cannot be read"),
        (vec!["--format", "p12"], "is not a format"),
        (vec!["--key-mode", "0666"], "is not a mode"),
        (vec!["--file-owner", "no-such-user-here"], "knows no user"),
        (vec!["--file-group", "no-such-group-here"], "knows no group"),
        (vec!["--keep", "many"], "not a number"),
    ] {
        let ran = context.run(&arguments).expect(2).says(message);
        assert!(!ran.stderr.contains("secret-of-the-test"));
    }
    assert_eq!(context.records(), Vec::<String>::new());
    assert_eq!(context.writes(), 0);
}
