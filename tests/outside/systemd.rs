//! A systemd that runs: process 1 of namespaces and of a control group that a test makes, with the units in `dist/systemd`.
//!
//! Only where this is root, a version 2 control group hierarchy is mounted, and systemd is installed. The network is the machine's, so that the
//! service reaches the sandbox on loopback; the units that systemd sees are those below and no others.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::context::{API_TOKEN, Context, Ran};

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
pub(super) struct Machine {
    unshare: Child,
    group: PathBuf,
    pub(super) said: PathBuf,
}

impl Machine {
    /// Starts it with the units in `<folder>/units`; `Err` says why it cannot be here.
    pub(super) fn boot(folder: &Path) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !Path::new(SYSTEMD).exists() || !rustix::process::geteuid().is_root() {
            return Err("systemd is not installed, or this is not root".into());
        }
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let hierarchy = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|mount| mount[2] == "cgroup2");
        let hierarchy = hierarchy.ok_or("no version 2 control groups are mounted")?[1];
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let group = Path::new(hierarchy).join(format!("dv-verify-test-{}-{number}", std::process::id()));
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
    pub(super) fn run(&self, program: &[&str]) -> Ran {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.first().unwrap(), "-a", "env", "-i", "PATH=/usr/bin:/bin"]).args(program);
        Ran::of(command.stdin(Stdio::null()).output().unwrap())
    }

    pub(super) fn systemctl(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["systemctl", "--no-pager"], arguments].concat())
    }

    /// A property of a unit.
    pub(super) fn property(&self, unit: &str, name: &str) -> String {
        self.systemctl(&["show", "--value", "-p", name, unit]).stdout.trim().to_owned()
    }

    /// Whether a file is there inside.
    pub(super) fn has(&self, path: &str) -> bool {
        self.run(&["test", "-e", path]).code == 0
    }

    /// What is known of the process of a service: `/proc/ID/<what>`.
    pub(super) fn process(&self, unit: &str, what: &str) -> String {
        self.run(&["cat", &format!("/proc/{}/{what}", self.property(unit, "MainPID"))]).expect(0).stdout
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

/// The units as they are installed, but for places, and where the sandbox is: a drop-in for `dv-verify-watch.service` and for each instance of
/// `dv-verify@.service`, with these lines of an administrator beside it.
pub(super) fn units(context: &Context, folder: &Path, lines: &str) {
    let units = folder.join("units");
    fs::create_dir_all(&units).unwrap();
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
    let mut drop_in = format!("[Service]\nStandardOutput=append:/run/said\nStandardError=append:/run/said\n{lines}");
    let command = context.command(&[]);
    for (name, value) in command.get_envs() {
        let (name, value) = (name.to_str().unwrap(), value.and_then(|value| value.to_str()).unwrap_or_default());
        if ["DV_ENDPOINT", "DV_CLOUDFLARE_BASE_URL", "DV_AUTHORITY", "DV_RESOLVER"].contains(&name) {
            writeln!(drop_in, "Environment=\"{name}={value}\"").unwrap();
        }
    }
    for unit in ["dv-verify-watch.service.d", "dv-verify@.service.d"] {
        fs::create_dir_all(units.join(unit)).unwrap();
        fs::write(units.join(unit).join("sandbox.conf"), &drop_in).unwrap();
    }
}

/// The config and the secrets of an account in `<folder>/etc/dv-verify/<place>`.
pub(super) fn configured(folder: &Path, place: &str, key_id: &str, key_secret: &str) {
    let etc = folder.join("etc/dv-verify").join(place);
    fs::create_dir_all(etc.join("credentials")).unwrap();
    fs::write(etc.join("config.toml"), "interval = \"1s\"\npoll_interval = \"1s\"\ndefault_provider = \"cloudflare\"\n").unwrap();
    for (name, value) in [("access-key-id", key_id), ("access-key-secret", key_secret), ("cloudflare-token", API_TOKEN)] {
        fs::write(etc.join("credentials").join(name), value).unwrap();
    }
}
