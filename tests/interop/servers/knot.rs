//! Knot as a primary, and as a secondary that lags until it is told to look.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::{
    CLOSED_ZONE, FOREIGN_KEY, LOCKED_ZONE, OUR_KEY, Process, Shared, ZONES, free_port, installed, program, run, zone_file,
};

/// A running `knotd`.
pub(crate) struct Knot {
    /// Where it answers, and takes updates where it is a primary.
    pub(crate) address: SocketAddr,
    process: Process,
}

/// The Knot that all tests of this process share, a primary; `None` where it is not installed.
pub(crate) fn knot() -> Option<&'static Knot> {
    static SHARED: Shared<Knot> = Shared::new();
    SHARED.get(|| installed(&["knotd", "nsupdate", "dig"]).then(Knot::start_primary))
}

impl Knot {
    /// Starts a primary that serves [`ZONES`].
    pub(crate) fn start_primary() -> Result<Self, String> {
        Self::start(None, &ZONES)
    }

    /// Starts a secondary for some of [`ZONES`] at `primary`. It has them when this returns, and takes changes only at
    /// [`Knot::transfer`].
    pub(crate) fn start_secondary(primary: SocketAddr, zones: &[&str]) -> Result<Self, String> {
        Self::start(Some(primary), zones)
    }

    /// Takes the zone from the primary, and returns when that is done.
    pub(crate) fn transfer(&self, zone: &str) {
        let socket = self.process.folder().join("knot.sock");
        run("knotc", &["-s", socket.to_str().expect("text"), "-b", "zone-retransfer", zone], "");
    }

    fn start(primary: Option<SocketAddr>, zones: &[&str]) -> Result<Self, String> {
        let knotd = program("knotd").expect("knotd is installed");
        let (process, address) = Process::start("knotd", |folder| {
            let port = free_port();
            let configuration = folder.join("knot.conf");
            std::fs::write(&configuration, configuration_text(folder.display(), port, primary, zones))
                .expect("the configuration is written");
            for zone in zones.iter().filter(|_| primary.is_none()) {
                std::fs::write(zone_path(folder, zone), zone_file(zone)).expect("the zone is written");
            }
            let command = [knotd.to_str().expect("text"), "-c", configuration.to_str().expect("text")];
            let loaded = if primary.is_some() { "AXFR, incoming, remote 127.0.0.1@" } else { "loaded, serial none ->" };
            let loaded_times = if primary.is_some() { 2 * zones.len() } else { zones.len() };
            let ready = vec![("server started", 1), (loaded, loaded_times)];
            (command.map(str::to_owned).to_vec(), ready, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        })?;
        Ok(Self { address, process })
    }
}

fn zone_path(folder: &std::path::Path, zone: &str) -> PathBuf {
    folder.join(format!("{zone}.zone"))
}

fn configuration_text(folder: impl std::fmt::Display, port: u16, primary: Option<SocketAddr>, zones: &[&str]) -> String {
    let mut text = format!(
        "server:\n    rundir: {folder}\n    listen: 127.0.0.1@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
         control:\n    listen: {folder}/knot.sock\n\
         log:\n  - target: stdout\n    any: info\n\
         database:\n    storage: {folder}\n    journal-db-max-size: 16M\n"
    );
    text.push_str("key:\n");
    for key in [OUR_KEY, FOREIGN_KEY] {
        let _ = write!(text, "  - id: {}\n    algorithm: hmac-sha256\n    secret: {}\n", key.name, key.secret);
    }
    if let Some(primary) = primary {
        let _ = write!(text, "remote:\n  - id: primary\n    address: {}@{}\n", primary.ip(), primary.port());
    }
    let (ours, foreign) = (OUR_KEY.name, FOREIGN_KEY.name);
    let _ = write!(
        text,
        "acl:\n  - id: open\n    key: [{ours}, {foreign}]\n    action: update\n  - id: closed\n    key: {ours}\n    action: update\n    update-type: A\n  - id: locked\n    key: {foreign}\n    action: update\n\
         template:\n  - id: default\n    storage: {folder}\n    file: \"%s.zone\"\n    zonefile-sync: -1\nzone:\n"
    );
    for zone in zones {
        let acl = match *zone {
            LOCKED_ZONE => "locked",
            CLOSED_ZONE => "closed",
            _ => "open",
        };
        let _ = writeln!(text, "  - domain: {zone}");
        let _ = match primary {
            Some(_) => writeln!(text, "    master: primary"),
            None => writeln!(text, "    acl: {acl}"),
        };
    }
    text
}
