//! `apply` and `renew` at an ACME CA that nobody here wrote: Pebble, which looks at records that were written to BIND and PowerDNS.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tempfile::TempDir;

use super::servers::{
    CHILD_ZONE, OPEN_ZONE, OUR_KEY,
    bind::bind,
    dig,
    pebble::{Manner, Pebble},
};
use crate::outside::Ran;

mod accounts;
mod faults;
mod files;
mod journeys;
mod moving;
mod proxy;
#[cfg(feature = "failpoints")]
mod resumption;
mod watch;

/// A home folder, a CA and a name server.
pub(super) struct Scene {
    pub(super) pebble: Pebble,
    pub(super) dns: SocketAddr,
    home: TempDir,
}

impl Scene {
    /// Pebble in its ordinary manner, with its default share of refused nonces, and the BIND of all tests; `None` where one is missing.
    pub(super) fn new() -> Option<Self> {
        Self::with(&Manner::default())
    }

    pub(super) fn with(manner: &Manner) -> Option<Self> {
        let dns = bind()?.address;
        Some(Self { pebble: Pebble::start(dns, manner)?, dns, home: TempDir::new().unwrap() })
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The folder `live` of a name.
    pub(super) fn live(&self, name: &str) -> PathBuf {
        self.home().join("out").join(name).join("live")
    }

    /// The program with this CA, and records by DNS UPDATE.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(self.home(), arguments);
        command
            .env("DV_CA", &self.pebble.directory)
            .env("DV_CA_FILE", self.pebble.ca_file())
            .env("DV_PROVIDER", "rfc2136")
            .env("DV_AUTHORITY", format!("{OPEN_ZONE}={dns};{CHILD_ZONE}={dns}", dns = self.dns))
            .env("DV_RESOLVER", self.dns.to_string())
            .env("DV_RFC2136_NAMESERVER", self.dns.to_string())
            .env("DV_RFC2136_TSIG_KEY", OUR_KEY.name)
            .env("DV_RFC2136_TSIG_SECRET", OUR_KEY.secret);
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    /// Asserts that no record of a challenge is left at the name.
    #[track_caller]
    pub(super) fn assert_clean(&self, name: &str) {
        assert_eq!(dig(self.dns, &format!("_acme-challenge.{name}"), "TXT"), Vec::<String>::new());
    }

    /// The files below the state folder, relative to it.
    pub(super) fn state(&self) -> Vec<String> {
        fn visit(folder: &Path, all: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { visit(&entry.path(), all) } else { all.push(entry.path()) }
            }
        }
        let mut all = Vec::new();
        let acme = self.home().join("state/acme");
        visit(&acme, &mut all);
        all.iter().map(|path| path.strip_prefix(&acme).unwrap().display().to_string()).collect()
    }
}

/// The directory of the scene's CA through an address that counts connections.
pub(super) fn counted(scene: &Scene) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ca = url::Url::parse(&scene.pebble.directory).unwrap().socket_addrs(|| None).unwrap()[0];
    let directory = format!("https://{}/dir", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    // Ends with the process of the tests.
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            counting.fetch_add(1, Ordering::Relaxed);
            let server = TcpStream::connect(ca).unwrap();
            for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (directory, count)
}

/// The program with nothing but a home folder.
pub(super) fn bare(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dv-verify"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("DV_STORE", home.join("state/store.db"))
        .env("DV_OUT", home.join("out"))
        .env("NO_COLOR", "1")
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// Runs it, and makes sure that no secret is in what it says.
#[track_caller]
pub(super) fn run(command: &mut Command) -> Ran {
    let ran = Ran::of(command.output().unwrap());
    for said in [&ran.stdout, &ran.stderr] {
        assert!(!said.contains("PRIVATE KEY") && !said.contains(OUR_KEY.secret), "{said}");
    }
    ran
}

/// What OpenSSL says about a certificate.
pub(super) fn openssl(arguments: &[&str]) -> String {
    super::servers::run("openssl", arguments, "")
}
