//! Pebble, the ACME test server of Let's Encrypt. Its resolver is whatever server of the tests is named.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Process, free_port, installed, program};
use crate::tls::certify;

/// A name that Pebble refuses by policy, with all below it.
pub(crate) const BLOCKED: &str = "blocked.example.test";

/// The id and the key of an external account that Pebble knows.
pub(crate) const EXTERNAL: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// A running `pebble`.
pub(crate) struct Pebble {
    /// The URL of its directory.
    pub(crate) directory: String,
    process: Process,
}

/// What is not the default.
#[derive(Default)]
pub(crate) struct Manner {
    /// Whether accounts must be bound to an external one.
    pub(crate) external: bool,
    /// When its own server certificate is valid.
    pub(crate) valid: Valid,
    /// At which port it asks web servers for files.
    pub(crate) http_port: Option<u16>,
    /// How many seconds its certificates last.
    pub(crate) lifetime: Option<u32>,
    /// Variables such as `PEBBLE_WFE_NONCEREJECT`.
    pub(crate) variables: Vec<(&'static str, &'static str)>,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Valid {
    #[default]
    Now,
    Before,
    Later,
}

impl Pebble {
    /// Starts one that looks at DNS through `resolver`, without random pauses and without keeping valid authorizations, unless `manner` says
    /// otherwise. `None` where it is not installed.
    pub(crate) fn start(resolver: SocketAddr, manner: &Manner) -> Option<Self> {
        if !installed(&["pebble"]) {
            return None;
        }
        let pebble = program("pebble").expect("pebble is installed");
        let (process, port) = Process::start("pebble", |folder| {
            let (port, management) = (free_port(), free_port());
            make_certificate(folder, manner.valid);
            let configuration = serde_json::json!({"pebble": {
                "listenAddress": SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                "managementListenAddress": SocketAddr::from((Ipv4Addr::LOCALHOST, management)),
                "certificate": folder.join("server.pem"),
                "privateKey": folder.join("server.key"),
                "httpPort": manner.http_port.unwrap_or(5002),
                "tlsPort": 5001,
                "ocspResponderURL": "",
                "externalAccountBindingRequired": manner.external,
                "externalAccountMACKeys": {EXTERNAL.0: EXTERNAL.1},
                "domainBlocklist": [BLOCKED],
                "certificateValidityPeriod": manner.lifetime.unwrap_or(157_766_400),
            }});
            let path = folder.join("pebble.json");
            std::fs::write(&path, configuration.to_string()).expect("the configuration is written");
            let mut command = vec!["/usr/bin/env".to_owned(), "PEBBLE_VA_NOSLEEP=1".to_owned(), "PEBBLE_AUTHZREUSE=0".to_owned()];
            command.extend(manner.variables.iter().map(|(name, value)| format!("{name}={value}")));
            let text = |path: &Path| path.to_str().expect("text").to_owned();
            command.extend([text(&pebble), "-config".to_owned(), text(&path), "-dnsserver".to_owned(), resolver.to_string()]);
            (command, vec![("ACME directory available", 1)], port)
        })
        .unwrap_or_else(|why| panic!("{why}"));
        // It says so before it listens.
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "pebble does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { directory: format!("https://127.0.0.1:{port}/dir"), process })
    }

    /// The certificate that its own server certificate chains to.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.process.folder().join("ca.pem")
    }

    /// Everything that it said.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

/// A CA, and a certificate for 127.0.0.1 by it.
fn make_certificate(folder: &Path, valid: Valid) {
    certify(folder, &["127.0.0.1", "localhost"], |server| match valid {
        Valid::Now => {}
        Valid::Before => server.not_after = rcgen::date_time_ymd(2020, 1, 1),
        Valid::Later => server.not_before = rcgen::date_time_ymd(2090, 1, 1),
    });
}
