//! The units in `dist/systemd` under a systemd that runs: process 1 of namespaces and of a control group that the test makes.
//!
//! Only where this is root, a version 2 control group hierarchy is mounted, and systemd is installed. The network is the machine's, so that the
//! service reaches the sandbox on loopback; the units that systemd sees are those below and no others.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::OrderChange,
};

use super::context::{ACCESS_KEY_SECRET, API_TOKEN, Context, Ran, until};

const SYSTEMD: &str = "/lib/systemd/systemd";

/// What the shell says where the machine does not allow something.
const NOT_ALLOWED: i32 = 77;

/// Makes the places of a small machine and becomes its process 1: `boot.sh FOLDER PROGRAM`. Nothing of the real machine can be written but `/tmp`.
const BOOT: &str = r#"
allowed() { "$@" || { echo "not allowed: $*" >&2; exit 77; }; }
allowed mount --make-rprivate /
allowed mount -t tmpfs tmpfs /run
umount -R /sys/fs/cgroup
allowed mount -t cgroup2 cgroup2 /sys/fs/cgroup
allowed mount -t tmpfs tmpfs /var/lib
for place in /proc/sys /etc; do
    allowed mount --bind $place $place
    allowed mount -o remount,bind,ro $place
done
# The service sees the credentials that process 1 mounts for it.
allowed mount --make-rshared /
mkdir /run/bin
cp -r "$1/units" "$1/etc" /run
touch /run/bin/dv-verify
allowed mount --bind "$2" /run/bin/dv-verify
exec env -i container=test PATH=/usr/bin:/usr/sbin:/bin:/sbin SYSTEMD_UNIT_PATH=/run/units \
    /lib/systemd/systemd --unit=test.target --log-target=console --show-status=no
"#;

/// A systemd that runs.
struct Machine {
    unshare: Child,
    group: PathBuf,
    said: PathBuf,
}

impl Machine {
    /// Starts it with the units in `<folder>/units`; `Err` says why it cannot be here.
    fn boot(folder: &Path) -> Result<Self, String> {
        if !Path::new(SYSTEMD).exists() || !rustix::process::geteuid().is_root() {
            return Err("systemd is not installed, or this is not root".into());
        }
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let hierarchy = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|mount| mount[2] == "cgroup2");
        let hierarchy = hierarchy.ok_or("no version 2 control groups are mounted")?[1];
        let group = Path::new(hierarchy).join(format!("dv-verify-test-{}", std::process::id()));
        fs::create_dir(&group).map_err(|error| format!("no control group can be made: {error}"))?;
        let said = folder.join("systemd.log");
        let boot = folder.join("boot.sh");
        fs::write(&boot, BOOT).unwrap();
        let join = "echo $$ > \"$1/cgroup.procs\" || exit 77; shift; exec unshare --cgroup --mount --pid --fork --kill-child --mount-proc --uts --ipc \"$@\"";
        let log = fs::File::create(&said).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", join, "sh"]).arg(&group).arg("/bin/sh").arg(&boot).arg(folder).arg(env!("CARGO_BIN_EXE_dv-verify"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut machine = Self { unshare: command.spawn().map_err(|error| error.to_string())?, group, said };
        // It answers, or it has ended.
        for _ in 0..3000 {
            if let Some(ended) = machine.unshare.try_wait().unwrap() {
                let said = fs::read_to_string(&machine.said).unwrap();
                // unshare itself ends with 1 where namespaces are not allowed.
                assert!(ended.code() == Some(NOT_ALLOWED) || said.contains("unshare"), "{said}");
                return Err(said);
            }
            if machine.first().is_some() && machine.systemctl(&["is-active", "test.target"]).code == 0 {
                return Ok(machine);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("systemd does not come up: {}", fs::read_to_string(&machine.said).unwrap());
    }

    /// Its process 1, as this machine counts.
    fn first(&self) -> Option<String> {
        let id = self.unshare.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    /// A program inside.
    fn run(&self, program: &[&str]) -> Ran {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.first().unwrap(), "-a", "env", "-i", "PATH=/usr/bin:/bin"]).args(program);
        Ran::of(command.stdin(Stdio::null()).output().unwrap())
    }

    fn systemctl(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["systemctl", "--no-pager"], arguments].concat())
    }

    /// A property of the watch's unit.
    fn property(&self, name: &str) -> String {
        self.systemctl(&["show", "--value", "-p", name, "dv-verify-watch.service"]).stdout.trim().to_owned()
    }

    /// Whether a file is there inside.
    fn has(&self, path: &str) -> bool {
        self.run(&["test", "-e", path]).code == 0
    }

    /// What is known of the process of the service: `/proc/ID/<what>`.
    fn process(&self, what: &str) -> String {
        self.run(&["cat", &format!("/proc/{}/{what}", self.property("MainPID"))]).expect(0).stdout
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What it started goes with its process 1, which goes with this.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        // A group can be removed once its processes are gone.
        for _ in 0..500 {
            if remove_group(&self.group) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Removes a control group with those in it; false where processes are left.
fn remove_group(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_group(&entry.path());
        }
    }
    fs::remove_dir(group).is_ok()
}

/// The units as they are installed, but for places; and what a drop-in of an administrator would say: where the sandbox is, and that a sign of life
/// is missed sooner.
fn units(context: &Context, folder: &Path) {
    let (units, etc) = (folder.join("units"), folder.join("etc/dv-verify"));
    fs::create_dir_all(units.join("dv-verify-watch.service.d")).unwrap();
    fs::create_dir_all(etc.join("credentials")).unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("/usr/bin/dv-verify", "/run/bin/dv-verify").replace("/etc/dv-verify", "/run/etc/dv-verify");
        let text =
            text.replace("/usr/bin/systemctl try-reload-or-restart nginx.service", "/bin/sh -c 'echo reloaded >> /run/reloaded'");
        fs::write(units.join(path.file_name().unwrap()), text).unwrap();
    }
    for target in ["test", "sysinit", "basic", "shutdown", "umount", "multi-user", "paths"] {
        fs::write(units.join(format!("{target}.target")), "[Unit]\nDefaultDependencies=no\n").unwrap();
    }
    fs::write(etc.join("config.toml"), "interval = \"1s\"\npoll_interval = \"1s\"\ndefault_provider = \"cloudflare\"\n").unwrap();
    for (name, value) in [
        ("access-key-id", context.sandbox.options().access_key_id.as_str()),
        ("access-key-secret", ACCESS_KEY_SECRET),
        ("cloudflare-token", API_TOKEN),
    ] {
        fs::write(etc.join("credentials").join(name), value).unwrap();
    }
    let mut drop_in =
        "[Service]\nWatchdogSec=8\nRestartSec=100ms\nStandardOutput=append:/run/said\nStandardError=append:/run/said\n"
            .to_owned();
    let command = context.command(&[]);
    for (name, value) in command.get_envs() {
        let (name, value) = (name.to_str().unwrap(), value.and_then(|value| value.to_str()).unwrap_or_default());
        if ["DV_ENDPOINT", "DV_CLOUDFLARE_BASE_URL", "DV_AUTHORITY", "DV_RESOLVER"].contains(&name) {
            writeln!(drop_in, "Environment=\"{name}={value}\"").unwrap();
        }
    }
    fs::write(units.join("dv-verify-watch.service.d/sandbox.conf"), drop_in).unwrap();
}

#[test]
#[allow(clippy::print_stdout, reason = "what was left out is said")]
fn the_units_do_their_work_under_a_running_systemd() {
    let context = Context::new();
    let folder = tempfile::tempdir().unwrap();
    units(&context, folder.path());
    let machine = match Machine::boot(folder.path()) {
        Ok(machine) => machine,
        Err(why) => return println!("left out: no systemd can be started here: {why}"),
    };
    let said = || machine.run(&["cat", "/run/said"]).stdout;

    // READY: the start waits for it. STATUS: what `systemctl status` shows.
    let started = machine.systemctl(&["start", "dv-verify-watch.service", "dv-verify-reload.path"]);
    assert_eq!(started.code, 0, "{}{}\n{}", started.stderr, said(), fs::read_to_string(&machine.said).unwrap());
    assert_eq!((machine.property("ActiveState"), machine.property("SubState")), ("active".into(), "running".into()));
    until(|| !machine.property("StatusText").is_empty());

    // It is shut in: a user of its own, no capability, no new right, a filter for system calls, secrets in no environment.
    let status = machine.process("status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:"), field("CapBnd:")), ("1".into(), "2".into(), "0000000000000000".into()));
    assert!(field("Uid:").split_whitespace().all(|id| id.parse::<u32>().is_ok_and(|id| id >= 61_184)), "{status}");
    let environment = machine.process("environ");
    assert!(
        environment.contains("CREDENTIALS_DIRECTORY=")
            && ![ACCESS_KEY_SECRET, API_TOKEN].iter().any(|secret| environment.contains(secret))
    );
    let rated = machine.run(&["systemd-analyze", "security", "--threshold=12", "dv-verify-watch.service"]);
    assert_eq!(rated.code, 0, "{}", rated.stdout);

    // With all that it carries an order through, and the path unit reloads what uses the certificate.
    context.order(Generation::Instance, &["www.example.com"]);
    until(|| machine.has("/run/reloaded"));
    assert!(machine.has("/var/lib/private/dv-verify/certificates/www.example.com/live/privkey.pem"), "{}", said());
    context.until_records(0);

    // Reload: SIGHUP, and systemd waits until the configuration was read.
    machine.run(&["sh", "-c", "echo 'parallel = 7' >> /run/etc/dv-verify/config.toml"]).expect(0);
    machine.systemctl(&["reload", "dv-verify-watch.service"]).expect(0);
    until(|| said().contains("the configuration was read again"));

    // Drain: the stop is clean, the record stays, and the next start goes on.
    let order = held(&context, "drained.example.com");
    machine.systemctl(&["stop", "dv-verify-watch.service"]).expect(0);
    assert_eq!((machine.property("Result"), machine.property("ExecMainStatus")), ("success".into(), "0".into()), "{}", said());
    assert_eq!(context.records().len(), 1, "it stays where it is");
    machine.systemctl(&["start", "dv-verify-watch.service"]).expect(0);
    context.change(&order, OrderChange::Issue);
    context.until_records(0);

    // WATCHDOG: a process that hangs is killed and started again, and goes on where it was.
    let order = held(&context, "hung.example.com");
    let hung = machine.property("MainPID");
    machine.run(&["kill", "-STOP", &hung]).expect(0);
    until(|| machine.property("NRestarts") == "1" && machine.property("SubState") == "running");
    assert_ne!(machine.property("MainPID"), hung);
    context.change(&order, OrderChange::Issue);
    context.until_records(0);
    until(|| machine.has("/var/lib/private/dv-verify/certificates/hung.example.com/live/privkey.pem"));
    machine.systemctl(&["stop", "dv-verify-watch.service"]).expect(0);
    assert!(![ACCESS_KEY_SECRET, API_TOKEN].iter().any(|secret| said().contains(secret)));
}

/// An order whose record is out, and which the CA does not issue yet.
fn held(context: &Context, name: &str) -> OrderId {
    let order = context.order(Generation::Instance, &[name]);
    context.change(&order, OrderChange::Hold);
    context.until_records(1);
    order
}
