//! One sandbox, one provider, one or two orders, a foreign record, a hook that counts; runs with faults, and the checks after the last one.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Behaviour, Fault as Wrong, OrderChange, OrderTraits, SandboxOptions, Service, Validation},
};

use super::{
    account,
    bind::{self, Outsider},
    disk::Disk,
    fault::{Fault, OnDisk, Silence, Times},
    kind::Kind,
    site::Site,
};
use crate::{
    interop::servers::OPEN_ZONE,
    outside::context::{Context, Ran, assert_no_secret, name},
};

/// The value that all orders want.
const VALUE: &str = "2026shared-by-both-orders";

/// The value that somebody else put there.
const FOREIGN: &str = "foreign";

/// The scene of one combination.
pub(super) struct Scene {
    context: Context,
    kind: Kind,
    /// The name that all orders want a record at.
    owner: String,
    /// Who holds the records and lets the CA issue, where that is not the sandbox.
    bind: Option<Outsider>,
    /// Where files are published.
    site: Option<Site>,
    orders: Vec<(OrderId, String)>,
    /// Every run so far: what it said.
    runs: Vec<Ran>,
    /// A small file system with store and certificates, where a disk is to be full.
    disk: Option<(Disk, OnDisk)>,
    /// Whether a run died between making a folder of the web root and keeping that it did: then that may stay, empty.
    may_leave_folders: bool,
    /// How many runs may have ended between a hook and the memory of it.
    repeats: usize,
    /// Whether a point may be missed: after an earlier fault a run may have less to do.
    pub(super) is_lenient: bool,
}

impl Scene {
    /// One order, or two that share name and value; with these things on a small disk.
    pub(super) fn new(kind: Kind, orders: usize, on_disk: Option<OnDisk>) -> Result<Self, String> {
        let (site, disk) = match kind {
            Kind::File => Site::new(on_disk == Some(OnDisk::All)).map(|(site, disk)| (Some(site), disk))?,
            _ => (None, None),
        };
        let context = Context::with(|options: &mut SandboxOptions| {
            options.challenge_delay = Duration::ZERO;
            options.issue_delay = Duration::ZERO;
            options.zones.push(name(OPEN_ZONE));
            if let Some(site) = &site {
                site.serve(options);
            }
        });
        let domain = if kind == Kind::Bind { bind::new_domain() } else { "www.example.com".to_owned() };
        let owner = if kind == Kind::File { domain.clone() } else { format!("_dnsauth.{domain}") };
        let validation = if kind == Kind::File { Validation::File } else { Validation::Txt };
        let traits = OrderTraits { value: Some(VALUE.into()), validation, ..OrderTraits::default() };
        let ordered = |domains: Vec<String>| {
            let names: Vec<&str> = domains.iter().map(String::as_str).collect();
            (context.order_with(Generation::Instance, &names, traits.clone()), domains[0].replace('*', "_wildcard"))
        };
        let orders: Vec<(OrderId, String)> = kind.domains(&domain).into_iter().take(orders).map(ordered).collect();
        let bind = (kind == Kind::Bind).then(|| Outsider::start(&owner, FOREIGN)).transpose()?;
        if bind.is_none() && site.is_none() {
            context.put_record(&owner, FOREIGN);
        }
        let disk = match (disk, on_disk) {
            (None, Some(_)) => Some(Disk::mount(&context.home().join("disk"))?),
            (disk, _) => disk,
        };
        Ok(Self {
            context,
            kind,
            owner,
            bind,
            site,
            orders,
            runs: Vec::new(),
            disk: disk.zip(on_disk),
            may_leave_folders: false,
            repeats: 0,
            is_lenient: false,
        })
    }

    /// The folder of the store, as this process sees it.
    fn state(&self) -> PathBuf {
        self.place(OnDisk::State, Disk::seen_from_here).join("state")
    }

    /// The folder of certificates, as this process sees it.
    fn out(&self) -> PathBuf {
        self.place(OnDisk::Certificates, Disk::seen_from_here).join("out")
    }

    /// Where this lies: in the home folder, or on the small disk, whose folder `of` tells.
    fn place(&self, what: OnDisk, of: impl Fn(&Disk) -> PathBuf) -> PathBuf {
        match &self.disk {
            Some((disk, on_disk)) if *on_disk == OnDisk::All || *on_disk == what => of(disk),
            _ => self.context.home().to_owned(),
        }
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
        let files = self.site.as_ref().map(Site::arguments).unwrap_or_default();
        let mut arguments = vec!["--output", "json", "--hook-shell", &hook];
        arguments.extend(self.kind.provider().into_iter().flat_map(|provider| ["--provider", provider]));
        arguments.extend(files.iter().map(String::as_str));
        arguments.extend(["--poll-interval", "100ms", "--timeout", timeout, "--propagation-timeout", timeout]);
        for (id, _) in &self.orders {
            arguments.extend(["--order", id.as_str()]);
        }
        let mut command = self.context.command(&arguments);
        if let Some(bind) = &self.bind {
            bind.point_to(&mut command);
        }
        self.placed(command)
    }

    /// The command with store and certificates in their places.
    fn placed(&self, mut command: Command) -> Command {
        let place = |what| self.place(what, |disk| disk.folder.clone());
        command.env("DV_STORE", place(OnDisk::State).join("state/store.db"));
        command.env("DV_OUT", place(OnDisk::Certificates).join("out"));
        match &self.disk {
            Some((disk, _)) => disk.inside(&command),
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
            Fault::Network(point, _) => !self.is_lenient && point.starts_with("visible."),
            _ => false,
        };
        if holds {
            self.orders.iter().for_each(|(id, _)| self.context.change(id, OrderChange::Hold));
        }
        let lasts = matches!(fault, Fault::Calls(_, _, Times::ForEver) | Fault::From(_, _, Times::ForEver) | Fault::Network(..));
        let mut command = self.command(if lasts { "2s" } else { "60s" });
        let pause = tempfile::tempdir().map_err(|error| error.to_string())?;
        if let Some(point) = fault.point() {
            command.env("DV_FAILPOINT", point);
        }
        let pauses =
            matches!(fault, Fault::Sigkill(..) | Fault::From(..) | Fault::DiskFull(..) | Fault::Network(..) | Fault::Restart(_));
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
            Fault::DiskFull(..) => self.disk.as_ref().ok_or("there is no small disk")?.0.fill(),
            Fault::Network(_, silence) => self.cut_network(*silence),
            Fault::From(..) => {
                let wrong = fault.told_at_the_point(self.kind).into_iter();
                wrong.for_each(|wrong| self.context.sandbox.fault(wrong).expect("a fault"));
            }
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
        for service in [Service::Cas, Service::Provider, Service::Web] {
            sandbox.fault(Wrong::Calls { service, action: None, times: None, answer: answer.clone() }).expect("a fault");
        }
        for server in 0..3 {
            sandbox.fault(Wrong::Authority { server, behaviour: Behaviour::Dead }).expect("a server");
        }
    }

    fn after_the_run(&mut self, fault: &Fault) -> Result<(), String> {
        self.context.sandbox.clear_faults();
        self.orders.iter().for_each(|(id, _)| self.context.change(id, OrderChange::Recover));
        if let Some((disk, _)) = &self.disk {
            disk.empty();
        }
        self.may_leave_folders |= match fault {
            Fault::Kill(point, _) | Fault::Sigkill(point, _) => {
                // The other order may be in the middle of its own write then.
                let is_early = ["read.", "publish.", "visible."].iter().any(|start| point.starts_with(start));
                let is_of_other = self.orders.len() > 1 && is_early;
                let is_between = point.starts_with("webroot.") && *point != "webroot.after-removal";
                is_of_other || is_between || *point == "publish.after-write"
            }
            // What the store knew of folders may be lost with it, or could not be kept.
            Fault::Cut(..) | Fault::DiskFull(..) => true,
            _ => self.is_lenient,
        };
        match fault {
            // The hook is at work or done, and nobody knows: it may be called again, once for each order.
            Fault::Kill(point, _) | Fault::Sigkill(point, _) | Fault::Cut(point, _)
                if self.orders.len() > 1
                    || point.starts_with("withdraw.")
                    || *point == "webroot.after-removal"
                    || point.starts_with("hook.")
                    || point.starts_with("end.") =>
            {
                self.repeats += 1;
            }
            // It ran, and that cannot be kept.
            Fault::DiskFull(point, _) if point.starts_with("withdraw.") => self.repeats += 1,
            _ => {}
        }
        if let Fault::Cut(_, damage) = fault {
            let folders: Vec<PathBuf> = self.orders.iter().map(|(_, folder)| self.out().join(folder)).collect();
            damage.done_to(&self.state(), &folders)?;
            // What the store knew of hooks may be lost, and a certificate that is delivered anew is news.
            self.repeats += 1;
        }
        Ok(())
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
        let expected: Vec<String> = self.site.is_none().then(|| format!("{} TXT {FOREIGN}", self.owner)).into_iter().collect();
        if left != expected {
            return Err(format!("the provider has {left:?}, not {expected:?}"));
        }
        self.site.as_ref().map_or(Ok(()), |site| site.check(self.may_leave_folders))?;
        for (id, folder) in &self.orders {
            let stage = self.context.sandbox.order(id).map(|order| (order.stage, order.domains));
            let Some((stage, domains)) = stage else { return Err(format!("{id} is gone")) };
            if stage != "issued" {
                return Err(format!("{id} is {stage}"));
            }
            account::verify_pair(&self.out().join(folder).join("live"), &domains)?;
            let hooks = self.hooks_ran().get(id.as_str()).copied().unwrap_or_default();
            if hooks < 1 || hooks > 1 + self.repeats {
                return Err(format!("the hook of {id} ran {hooks} times, not 1 to {}", 1 + self.repeats));
            }
        }
        let ids: Vec<&str> = self.orders.iter().map(|(id, _)| id.as_str()).collect();
        account::events(&self.runs, &ids)?;
        self.runs.iter().for_each(assert_no_secret);
        // The journal is empty: `clean` finds nothing to talk about.
        let clean = ended(spawned(&mut self.clean_command())?)?;
        if clean.code != 0 || clean.stdout.contains(&self.owner) {
            return Err(format!("the journal still knows something: {} {}", clean.stdout, clean.stderr));
        }
        Ok(())
    }

    fn clean_command(&self) -> Command {
        let mut arguments = vec!["clean", "--dry-run", "--all", "--output", "json"];
        arguments.extend(self.kind.provider().into_iter().flat_map(|provider| ["--provider", provider]));
        self.placed(self.context.command(&arguments))
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
