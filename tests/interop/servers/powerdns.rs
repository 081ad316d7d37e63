//! PowerDNS with its SQLite backend: the HTTP API, and DNS UPDATE.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{
    CLOSED_ZONE, FOREIGN_KEY, Key, LOCKED_ZONE, OUR_KEY, Process, Shared, ZONES, free_port, installed, left_out, program, run,
    zone_file,
};

/// The key of the HTTP API.
pub(crate) const API_KEY: &str = "changeme-api-key-of-the-tests";

/// Where Debian has the tables that the backend needs; the place changed once.
const SCHEMAS: [&str; 2] =
    ["/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql", "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql"];

/// A running `pdns_server`.
pub(crate) struct PowerDns {
    /// Where it answers and takes updates.
    pub(crate) address: SocketAddr,
    /// Where its HTTP API is.
    pub(crate) api: SocketAddr,
    process: Process,
}

/// The PowerDNS that all tests of this process share; `None` where it is not installed.
pub(crate) fn powerdns() -> Option<&'static PowerDns> {
    static SHARED: Shared<PowerDns> = Shared::new();
    let start = || {
        if !installed(&["pdns_server", "pdnsutil", "sqlite3", "nsupdate", "dig"]) {
            return None;
        }
        let Some(schema) = SCHEMAS.iter().map(Path::new).find(|path| path.is_file()) else {
            left_out("pdns-backend-sqlite3 not installed");
            return None;
        };
        Some(PowerDns::start(schema))
    };
    SHARED.get(start)
}

impl PowerDns {
    /// Adds one value as an administrator of the server would, beside those that are there.
    pub(crate) fn add(&self, zone: &str, relative: &str, record_type: &str, content: &str) {
        pdnsutil(self.process.folder(), &["add-record", zone, relative, record_type, "300", content]);
    }

    fn start(schema: &Path) -> Result<Self, String> {
        let server = program("pdns_server").expect("pdns_server is installed");
        let (process, (address, api)) = Process::start("pdns_server", |folder| {
            let (port, api_port) = (free_port(), free_port());
            let database = folder.join("pdns.sqlite");
            let text = format!(
                "launch=gsqlite3\ngsqlite3-database={}\ngsqlite3-pragma-synchronous=0\nlocal-address=127.0.0.1\nlocal-port={port}\n\
                 socket-dir={}\ndaemon=no\nguardian=no\nwrite-pid=no\nreceiver-threads=1\n\
                 cache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\nzone-cache-refresh-interval=0\ndisable-syslog=yes\nloglevel=5\n\
                 dnsupdate=yes\nallow-dnsupdate-from=127.0.0.0/8\nsecurity-poll-suffix=\nversion-string=anonymous\n\
                 webserver=yes\nwebserver-address=127.0.0.1\nwebserver-port={api_port}\napi=yes\napi-key={API_KEY}\n",
                database.display(),
                folder.display()
            );
            std::fs::write(folder.join("pdns.conf"), text).expect("the configuration is written");
            let tables = std::fs::read_to_string(schema).expect("the schema is readable");
            run("sqlite3", &[database.to_str().expect("text")], &tables);
            for Key { name, secret } in [OUR_KEY, FOREIGN_KEY] {
                pdnsutil(folder, &["import-tsig-key", name, "hmac-sha256", secret]);
            }
            for zone in ZONES {
                let file: PathBuf = folder.join(zone);
                std::fs::write(&file, zone_file(zone)).expect("the zone is written");
                pdnsutil(folder, &["load-zone", zone, file.to_str().expect("text")]);
                let keys: &[Key] =
                    if [CLOSED_ZONE, LOCKED_ZONE].contains(&zone) { &[FOREIGN_KEY] } else { &[OUR_KEY, FOREIGN_KEY] };
                for key in keys {
                    pdnsutil(folder, &["add-meta", zone, "TSIG-ALLOW-DNSUPDATE", key.name]);
                }
            }
            let command = vec![server.to_str().expect("text").to_owned(), format!("--config-dir={}", folder.display())];
            let ready = vec![("ready to distribute questions", 1), ("Listening for HTTP requests", 1)];
            let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            (command, ready, (at(port), at(api_port)))
        })?;
        Ok(Self { address, api, process })
    }
}

fn pdnsutil(folder: &Path, arguments: &[&str]) {
    let folder = format!("--config-dir={}", folder.display());
    run("pdnsutil", &[&[folder.as_str()], arguments].concat(), "");
}
