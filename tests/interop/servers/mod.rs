//! The servers as fixtures: started when first asked for, shared by all tests of a process, ended with it.
//!
//! Each has its own folder, configuration and ports on loopback, and runs as the user of the tests.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

use dv_verify::environment::Environment;

pub(crate) mod bind;
pub(crate) mod knot;
pub(crate) mod moto;
pub(crate) mod pebble;
pub(crate) mod powerdns;
mod process;

pub(crate) use process::Process;

/// The key that dv-verify uses.
pub(crate) const OUR_KEY: Key = Key { name: "dv-key", secret: "UgewPpzSTEs0m5q1PyVWb4ld8qzYtYkgXoSyFVvWZjI=" };

/// The key of somebody else who writes to the same zones.
pub(crate) const FOREIGN_KEY: Key = Key { name: "foreign-key", secret: "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=" };

/// The zone in which both keys may write everything.
pub(crate) const OPEN_ZONE: &str = "example.test";

/// A zone below [`OPEN_ZONE`] on the same server, open as well.
pub(crate) const CHILD_ZONE: &str = "child.example.test";

/// A zone in which [`OUR_KEY`] may not write TXT, but A where the server can tell types apart.
pub(crate) const CLOSED_ZONE: &str = "closed.test";

/// A zone in which [`OUR_KEY`] may do nothing.
pub(crate) const LOCKED_ZONE: &str = "locked.test";

/// All zones of each server.
pub(crate) const ZONES: [&str; 4] = [OPEN_ZONE, CHILD_ZONE, CLOSED_ZONE, LOCKED_ZONE];

/// A server that the tests of a process share. It is started once; where that fails, it fails for all, and at once.
pub(crate) struct Shared<T>(OnceLock<Option<Result<T, String>>>);

impl<T> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The server; `start` gives `None` where it is not installed.
    pub(crate) fn get(&self, start: impl FnOnce() -> Option<Result<T, String>>) -> Option<&T> {
        self.0.get_or_init(start).as_ref().map(|server| server.as_ref().unwrap_or_else(|why| panic!("{why}")))
    }
}

/// A TSIG key with hmac-sha256.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) secret: &'static str,
}

impl Key {
    /// The `key` statement of BIND.
    pub(crate) fn statement(self) -> String {
        format!("key \"{}\" {{ algorithm hmac-sha256; secret \"{}\"; }};\n", self.name, self.secret)
    }
}

/// The zone file of `zone`. In [`OPEN_ZONE`], `_dv.alias` is an alias into a zone that is not served, and `away` is delegated elsewhere.
pub(crate) fn zone_file(zone: &str) -> String {
    let mut text = format!(
        "$ORIGIN {zone}.\n$TTL 60\n@ SOA ns.{zone}. admin.{zone}. 1 86400 3600 604800 77\n@ NS ns.{zone}.\nns A 127.0.0.1\n"
    );
    if zone == OPEN_ZONE {
        text.push_str("_dv.alias CNAME target.elsewhere.test.\naway NS ns.away.test.\nchild NS ns.child\nns.child A 127.0.0.1\n");
    }
    text
}

/// A port of 127.0.0.1 that is free for UDP and TCP at the moment.
pub(crate) fn free_port() -> u16 {
    (0..100)
        .find_map(|_| {
            let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
            let port = tcp.local_addr().ok()?.port();
            UdpSocket::bind(("127.0.0.1", port)).ok().map(|_| port)
        })
        .expect("a free port")
}

/// Where a program is: in `PATH`, or where Debian puts servers.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Whether all programs are there. Where one is not, says what is left out, or fails where `DV_TEST_REQUIRE_SERVERS` is set.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| program(name).is_none()).collect();
    if !missing.is_empty() {
        left_out(&format!("{} not installed", missing.join(", ")));
    }
    missing.is_empty()
}

/// Says what the tests leave out, past the capture of the test harness.
///
/// # Panics
/// Where `DV_TEST_REQUIRE_SERVERS` is set.
pub(crate) fn left_out(why: &str) {
    assert!(!Environment::of_process().flag("DV_TEST_REQUIRE_SERVERS"), "interop: {why}");
    let _ = writeln!(std::io::stderr(), "left out: interop ({why})");
}

/// Adds a value with `nsupdate` and [`FOREIGN_KEY`], as another tool would.
pub(crate) fn nsupdate(server: SocketAddr, zone: &str, change: &str) {
    let commands = format!("server {} {}\nzone {zone}\nupdate {change}\nsend\n", server.ip(), server.port());
    let key = format!("hmac-sha256:{}:{}", FOREIGN_KEY.name, FOREIGN_KEY.secret);
    run("nsupdate", &["-v", "-y", &key], &commands);
}

/// The values at a name, sorted, as `dig` shows them: text in quotes, names with their final dot.
pub(crate) fn dig(server: SocketAddr, name: &str, record_type: &str) -> Vec<String> {
    let (host, port) = (format!("@{}", server.ip()), server.port().to_string());
    let output = run("dig", &["+short", "+norecurse", "+tcp", "+tries=1", &host, "-p", &port, name, record_type], "");
    let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Runs a program to its end and returns its output.
///
/// # Panics
/// Where it fails.
pub(crate) fn run(name: &str, arguments: &[&str], input: &str) -> String {
    let path = program(name).unwrap_or_else(|| panic!("{name} is not installed"));
    let mut child = Command::new(path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("input is read");
    let output = child.wait_with_output().expect("it ends");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?} failed ({}):\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}
