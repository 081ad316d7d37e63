//! One sandbox, one provider, one or two orders, a foreign record, a hook that counts; runs with faults, and the checks after the last one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Behaviour, Fault as Wrong, OrderChange, OrderTraits, SandboxOptions, Service},
};

use super::{
    account,
    bind::{self, Outsider},
    disk::Disk,
    fault::{Damage, Fault, Silence, Times},
};
use crate::{
    interop::servers::OPEN_ZONE,
    outside::context::{Context, Ran, assert_no_secret, name},
};

/// The value that all orders want.
const VALUE: &str = "2026shared-by-both-orders";

/// The value that somebody else put there.
const FOREIGN: &str = "foreign";

/// How a provider writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A manifest with one record for each value (Cloudflare's API).
    OneRecord,
    /// A manifest that replaces whole sets (PowerDNS's API).
    Merge,
    /// DNS UPDATE to the sandbox.
    Rfc2136,
    /// DNS UPDATE to a real BIND, which is also who is asked whether the record is visible, and what the CA goes by.
    Bind,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::OneRecord, Self::Merge, Self::Rfc2136];

    pub(super) fn provider(self) -> &'static str {
        match self {
            Self::OneRecord => "cloudflare",
            Self::Merge => "powerdns",
            Self::Rfc2136 | Self::Bind => "rfc2136",
        }
    }

    /// The word for a row.
    pub(super) fn word(self) -> &'static str {
        if self == Self::Bind { "bind" } else { self.provider() }
    }
}

/// The scene of one combination.
pub(super) struct Scene {
    context: Context,
    kind: Kind,
    /// The name that all orders want a record at.
    owner: String,
    /// Who holds the records and lets the CA issue, where that is not the sandbox.
    bind: Option<Outsider>,
    orders: Vec<(OrderId, String)>,
    /// Every run so far: what it said.
    runs: Vec<Ran>,
    /// A small file system with store and certificates, where a disk is to be full.
    disk: Option<Disk>,
    /// How many runs may have ended between a hook and the memory of it.
    repeats: usize,
    /// Whether a point may be missed: after an earlier fault a run may have less to do.
    pub(super) is_lenient: bool,
}

impl Scene {
    /// One order, or two that share name and value.
    pub(super) fn new(kind: Kind, orders: usize, needs_disk: bool) -> Result<Self, String> {
        let context = Context::with(|options: &mut SandboxOptions| {
            options.challenge_delay = Duration::ZERO;
            options.issue_delay = Duration::ZERO;
            options.zones.push(name(OPEN_ZONE));
        });
        let domain = if kind == Kind::Bind { bind::new_domain() } else { "www.example.com".to_owned() };
        let owner = format!("_dnsauth.{domain}");
        let traits = OrderTraits { value: Some(VALUE.into()), ..OrderTraits::default() };
        let orders: Vec<(OrderId, String)> =
            [(domain.clone(), domain.clone()), (format!("*.{domain}"), format!("_wildcard.{domain}"))]
                .into_iter()
                .take(orders)
                .map(|(domain, folder)| (context.order_with(Generation::Instance, &[&domain], traits.clone()), folder))
                .collect();
        let bind = (kind == Kind::Bind).then(|| Outsider::start(&owner, FOREIGN)).transpose()?;
        if bind.is_none() {
            context.put_record(&owner, FOREIGN);
        }
        let disk = if needs_disk { Some(Disk::mount(&context.home().join("disk"))?) } else { None };
        Ok(Self { context, kind, owner, bind, orders, runs: Vec::new(), disk, repeats: 0, is_lenient: false })
    }

    /// The folder of store and certificates, as this process sees it.
    fn state(&self) -> PathBuf {
        self.disk.as_ref().map_or_else(|| self.context.home().to_owned(), Disk::seen_from_here)
    }

    /// The same as the program sees it.
    fn state_inside(&self) -> PathBuf {
        self.disk.as_ref().map_or_else(|| self.context.home().to_owned(), |disk| disk.folder.clone())
    }

    fn hooks_ran(&self) -> BTreeMap<String, usize> {
        let text = fs::read_to_string(self.context.home().join("hooks")).unwrap_or_default();
        text.lines().fold(BTreeMap::new(), |mut count, line| {
            *count.entry(line.to_owned()).or_default() += 1;
            count
        })
    }

    fn command(&self, timeout: &str) -> Command {
        let hook =
            format!("test -s \"$DV_FULLCHAIN\" && echo \"$DV_ORDER_ID\" >> {}", self.context.home().join("hooks").display());
        let mut arguments = vec!["--provider", self.kind.provider(), "--output", "json", "--hook-shell", &hook];
        arguments.extend(["--poll-interval", "100ms", "--timeout", timeout, "--propagation-timeout", timeout]);
        for (id, _) in &self.orders {
            arguments.extend(["--order", id.as_str()]);
        }
        let mut command = self.context.command(&arguments);
        if let Some(bind) = &self.bind {
            bind.point_to(&mut command);
        }
        command.env("DV_STORE", self.state_inside().join("state/store.db")).env("DV_OUT", self.state_inside().join("out"));
        match &self.disk {
            Some(disk) => disk.inside(&command),
            None => command,
        }
    }

    /// One run during which this goes wrong. Returns its exit code; `None`: it died.
    pub(super) fn run_with(&mut self, fault: &Fault) -> Result<Option<i32>, String> {
        let sandbox = &self.context.sandbox;
        for wrong in fault.in_sandbox(self.kind) {
            sandbox.fault(wrong).map_err(|error| error.to_string())?;
        }
        // The run is to come to the point before the CA issues: the record of one order would let it issue the other at once.
        let holds = match fault {
            Fault::Kill(point, time) | Fault::Sigkill(point, time) if !self.is_lenient => {
                point.starts_with("visible.") || (*time == 2 && point.starts_with("publish."))
            }
            _ => false,
        };
        if holds {
            self.orders.iter().for_each(|(id, _)| self.context.change(id, OrderChange::Hold));
        }
        let lasts = matches!(fault, Fault::Calls(_, _, Times::ForEver) | Fault::Network(..));
        let mut command = self.command(if lasts { "2s" } else { "60s" });
        let pause = tempfile::tempdir().map_err(|error| error.to_string())?;
        if let Some(point) = fault.point() {
            command.env("DV_FAILPOINT", point);
        }
        let pauses = matches!(fault, Fault::Sigkill(..) | Fault::DiskFull(_) | Fault::Network(..) | Fault::Restart(_));
        if pauses {
            command.env("DV_FAILPOINT_DOES", format!("pause:{}", pause.path().display()));
        }
        if let Fault::Clock(_, seconds) = fault {
            command.env("DV_FAILPOINT_DOES", format!("clock:{seconds}"));
        }
        let mut child = spawned(&mut command)?;
        let is_reached = || pause.path().join("reached").exists();
        if !holds {
            self.let_the_ca_look(&mut child, is_reached);
        }
        if pauses {
            let reached = until(is_reached, &mut child);
            if reached && matches!(fault, Fault::Sigkill(..)) {
                child.kill().map_err(|error| error.to_string())?;
            } else if reached {
                self.at_the_pause(fault)?;
            }
            fs::write(pause.path().join("go"), "").map_err(|error| error.to_string())?;
            if !reached && !self.is_lenient {
                return Err(format!("the run ended before it came to {:?}", fault.point()));
            }
        }
        let ran = ended(child)?;
        let died = ran.code == -1;
        if fault.kills() && !died && !self.is_lenient {
            return Err(format!("the run must die of {fault}, but ended with {}:\n{}\n{}", ran.code, ran.stdout, ran.stderr));
        }
        if !fault.kills() && died {
            return Err(format!("the run died of {fault}:\n{}\n{}", ran.stdout, ran.stderr));
        }
        let code = (!died).then_some(ran.code);
        self.runs.push(ran);
        self.after_the_run(fault)?;
        Ok(code)
    }

    /// Where a server of somebody else holds the records, what it shows is what the CA goes by.
    fn let_the_ca_look(&self, run: &mut Child, or_until: impl Fn() -> bool) {
        if let Some(bind) = &self.bind {
            bind.let_the_ca_look(&self.context, &self.orders, VALUE, run, or_until);
        }
    }

    fn at_the_pause(&mut self, fault: &Fault) -> Result<(), String> {
        match fault {
            Fault::DiskFull(_) => self.disk.as_ref().ok_or("there is no small disk")?.fill(),
            Fault::Network(_, silence) => self.cut_network(*silence),
            Fault::Restart(_) => self.context.restart_sandbox(),
            _ => {}
        }
        Ok(())
    }

    fn cut_network(&self, silence: Silence) {
        let answer = match silence {
            Silence::Closed => Answer::Drop,
            Silence::Swallowed => Answer::Slow { millis: 3_600_000 },
        };
        let sandbox = &self.context.sandbox;
        for service in [Service::Cas, Service::Provider] {
            sandbox.fault(Wrong::Calls { service, action: None, times: None, answer: answer.clone() }).expect("a fault");
        }
        for server in 0..3 {
            sandbox.fault(Wrong::Authority { server, behaviour: Behaviour::Dead }).expect("a server");
        }
    }

    fn after_the_run(&mut self, fault: &Fault) -> Result<(), String> {
        self.context.sandbox.clear_faults();
        self.orders.iter().for_each(|(id, _)| self.context.change(id, OrderChange::Recover));
        if let Some(disk) = &self.disk {
            disk.empty();
        }
        match fault {
            // The hook is at work or done, and nobody knows: it may be called again, once for each order.
            Fault::Kill(point, _) | Fault::Sigkill(point, _) | Fault::Cut(point, _)
                if self.orders.len() > 1
                    || point.starts_with("withdraw.")
                    || point.starts_with("hook.")
                    || point.starts_with("end.") =>
            {
                self.repeats += 1;
            }
            // It ran, and that cannot be kept.
            Fault::DiskFull(point) if point.starts_with("withdraw.") => self.repeats += 1,
            _ => {}
        }
        if let Fault::Cut(_, damage) = fault {
            self.damage(*damage)?;
            // What the store knew of hooks may be lost, and a certificate that is delivered anew is news.
            self.repeats += 1;
        }
        Ok(())
    }

    fn damage(&self, damage: Damage) -> Result<(), String> {
        let state = self.state();
        let store = state.join("state/store.db");
        let cut = |path: &Path| -> std::io::Result<()> {
            let file = fs::OpenOptions::new().write(true).open(path)?;
            file.set_len(file.metadata()?.len() / 2)
        };
        let log = state.join("state/store.db-wal");
        let done: std::io::Result<()> = match damage {
            // With what is in the log the cut would be mended.
            Damage::StoreCut => fs::remove_file(&log).and_then(|()| cut(&store)),
            Damage::StoreRubbish => fs::write(&store, [0x5a; 9000]),
            Damage::LogCut => cut(&log),
            Damage::LocksCut => files(&state.join("state/locks"))
                .iter()
                .try_for_each(|path| fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0))),
            Damage::CertificateCut => self
                .orders
                .iter()
                .flat_map(|(_, folder)| files(&state.join("out").join(folder)))
                .filter(|path| path.extension().is_some_and(|ending| ending == "pem"))
                .try_for_each(|path| cut(&path)),
            Damage::LiveDangling | Damage::LiveGone => self
                .orders
                .iter()
                .map(|(_, folder)| state.join("out").join(folder).join("live"))
                .filter(|live| live.is_symlink())
                .try_for_each(|live| {
                    fs::remove_file(&live)?;
                    if damage == Damage::LiveDangling { std::os::unix::fs::symlink("nowhere", &live) } else { Ok(()) }
                }),
        };
        done.map_err(|error| format!("{damage:?} cannot be done: {error}"))
    }

    /// The next run, without any fault, and what must hold after it.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        let mut child = spawned(&mut self.command("60s"))?;
        self.let_the_ca_look(&mut child, || false);
        let ran = ended(child)?;
        let said = format!("exit code {}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
        if ran.code != 0 {
            return Err(format!("the next run failed: {said}"));
        }
        self.runs.push(ran);
        self.check().map_err(|why| {
            let all: Vec<String> =
                self.runs.iter().map(|ran| format!("exit code {}\n{}\n{}", ran.code, ran.stdout, ran.stderr)).collect();
            format!("{why}\n{}", all.join("\n--- next run\n"))
        })
    }

    fn check(&self) -> Result<(), String> {
        let left = self.bind.as_ref().map_or_else(|| self.context.records(), Outsider::records);
        let expected = [format!("{} TXT {FOREIGN}", self.owner)];
        if left != expected {
            return Err(format!("the provider has {left:?}, not {expected:?}"));
        }
        for (id, folder) in &self.orders {
            let stage = self.context.sandbox.order(id).map(|order| (order.stage, order.domains));
            let Some((stage, domains)) = stage else { return Err(format!("{id} is gone")) };
            if stage != "issued" {
                return Err(format!("{id} is {stage}"));
            }
            account::verify_pair(&self.state().join("out").join(folder).join("live"), &domains)?;
            let hooks = self.hooks_ran().get(id.as_str()).copied().unwrap_or_default();
            if hooks < 1 || hooks > 1 + self.repeats {
                return Err(format!("the hook of {id} ran {hooks} times, not 1 to {}", 1 + self.repeats));
            }
        }
        let ids: Vec<&str> = self.orders.iter().map(|(id, _)| id.as_str()).collect();
        account::events(&self.runs, &ids)?;
        self.runs.iter().for_each(assert_no_secret);
        // The journal is empty: `clean` finds nothing to talk about.
        let command = self.clean_command();
        let mut command = self.disk.as_ref().map_or(command, |disk| disk.inside(&self.clean_command()));
        let clean = ended(spawned(&mut command)?)?;
        if clean.code != 0 || clean.stdout.contains(&self.owner) {
            return Err(format!("the journal still knows something: {} {}", clean.stdout, clean.stderr));
        }
        Ok(())
    }

    fn clean_command(&self) -> Command {
        let mut command =
            self.context.command(&["clean", "--dry-run", "--all", "--provider", self.kind.provider(), "--output", "json"]);
        command.env("DV_STORE", self.state_inside().join("state/store.db"));
        command
    }
}

fn spawned(command: &mut Command) -> Result<Child, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| format!("the program does not start: {error}"))
}

fn ended(child: Child) -> Result<Ran, String> {
    child.wait_with_output().map(Ran::of).map_err(|error| error.to_string())
}

/// Waits until it is so; false where the program ended before.
fn until(is_so: impl Fn() -> bool, child: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if is_so() {
            return true;
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return is_so();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// Every file below a folder, links not followed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
