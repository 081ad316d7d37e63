//! BIND as a primary.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
};

use super::{CLOSED_ZONE, FOREIGN_KEY, LOCKED_ZONE, OUR_KEY, Process, Shared, ZONES, free_port, installed, program, zone_file};

/// A running `named`.
pub(crate) struct Bind {
    /// Where it answers and takes updates.
    pub(crate) address: SocketAddr,
    _process: Process,
}

/// The BIND that all tests of this process share; `None` where it is not installed.
pub(crate) fn bind() -> Option<&'static Bind> {
    static SHARED: Shared<Bind> = Shared::new();
    SHARED.get(|| installed(&["named", "nsupdate", "dig"]).then(Bind::start))
}

impl Bind {
    /// Starts one that serves [`ZONES`]. Everybody may transfer them; it notifies nobody, so that secondaries lag until they ask.
    pub(crate) fn start() -> Result<Self, String> {
        let named = program("named").expect("named is installed");
        let (process, address) = Process::start("named", |folder| {
            let port = free_port();
            let mut text = format!(
                "options {{ directory \"{}\"; pid-file none; lock-file none; session-keyfile none; listen-on port {port} {{ 127.0.0.1; }}; \
                 listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; notify no; allow-transfer {{ any; }}; empty-zones-enable no; }};\n\
                 controls {{ }};\n",
                folder.display()
            );
            text.push_str(&OUR_KEY.statement());
            text.push_str(&FOREIGN_KEY.statement());
            for zone in ZONES {
                std::fs::write(folder.join(zone), zone_file(zone)).expect("the zone is written");
                let ours = match zone {
                    LOCKED_ZONE => String::new(),
                    CLOSED_ZONE => format!("grant {} zonesub A; ", OUR_KEY.name),
                    _ => format!("grant {} zonesub ANY; ", OUR_KEY.name),
                };
                let _ = writeln!(
                    text,
                    "zone \"{zone}\" {{ type primary; file \"{zone}\"; update-policy {{ {ours}grant {} zonesub ANY; }}; }};",
                    FOREIGN_KEY.name
                );
            }
            let configuration = folder.join("named.conf");
            std::fs::write(&configuration, text).expect("the configuration is written");
            let command = [named.to_str().expect("text"), "-g", "-n", "1", "-c", configuration.to_str().expect("text")];
            let ready = vec![("all zones loaded", 1), ("running", 1)];
            (command.map(str::to_owned).to_vec(), ready, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        })?;
        Ok(Self { address, _process: process })
    }
}
