//! A server that nobody here wrote holds the records: BIND, with the shared fixture of `interop`.

use std::{
    net::SocketAddr,
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use dv_verify::{order::OrderId, sandbox::OrderChange};

use crate::{
    interop::servers::{OPEN_ZONE, OUR_KEY, bind::bind, dig, nsupdate},
    outside::context::Context,
};

/// How often the CA looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A name that no other scene of this process writes at.
pub(super) fn new_domain() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("www-{}.{OPEN_ZONE}", NEXT.fetch_add(1, Ordering::SeqCst))
}

/// The server, and the name that a scene writes at.
pub(super) struct Outsider {
    address: SocketAddr,
    owner: String,
}

impl Outsider {
    /// Puts a value of somebody else at the name.
    pub(super) fn start(owner: &str, foreign: &str) -> Result<Self, String> {
        let server = bind().ok_or("BIND is not installed")?;
        nsupdate(server.address, OPEN_ZONE, &format!("add {owner} 60 TXT \"{foreign}\""));
        Ok(Self { address: server.address, owner: owner.to_owned() })
    }

    /// Lets a run write there, and look there.
    pub(super) fn point_to(&self, command: &mut Command) {
        command
            .env("DV_RFC2136_NAMESERVER", self.address.to_string())
            .env("DV_RFC2136_TSIG_KEY", OUR_KEY.name)
            .env("DV_RFC2136_TSIG_SECRET", OUR_KEY.secret)
            .env("DV_AUTHORITY", format!("{OPEN_ZONE}={}", self.address));
    }

    /// What is at the name now: `NAME TYPE VALUE`.
    pub(super) fn records(&self) -> Vec<String> {
        let values = dig(self.address, &self.owner, "TXT");
        values.iter().map(|value| format!("{} TXT {}", self.owner, value.trim_matches('"'))).collect()
    }

    /// The CA looks, and issues once it sees the value; until the run has ended, or `or_until` is so.
    pub(super) fn let_the_ca_look(
        &self,
        context: &Context,
        orders: &[(OrderId, String)],
        value: &str,
        run: &mut Child,
        or_until: impl Fn() -> bool,
    ) {
        let began = Instant::now();
        while !or_until() && matches!(run.try_wait(), Ok(None)) && began.elapsed() < Duration::from_secs(60) {
            if self.records().iter().any(|record| record.ends_with(value)) {
                return orders.iter().for_each(|(id, _)| context.change(id, OrderChange::Issue));
            }
            std::thread::sleep(PAUSE);
        }
    }
}
