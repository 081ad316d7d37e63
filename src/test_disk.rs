//! Disks that are full or read-only, for tests: small file systems in a mount namespace of their own, gone with the process.

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

/// Tells the test that it runs inside, and where the file system is.
const MOUNTED: &str = "DV_TEST_MOUNTED";

/// What the shell says where nothing can be mounted.
const CANNOT_MOUNT: i32 = 77;

/// The folder of a fresh tmpfs of `size` bytes (`64k`, `1m`). The first call, from the test as the harness runs it, runs the test `name` again
/// with the file system in place, fails if that fails, and returns `None`: the test returns then. Where the system does not let
/// anything be mounted (no namespaces, no rights), it says that the test was left out.
pub(crate) fn small(name: &str, size: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(MOUNTED) {
        return Some(folder.into());
    }
    let folder = TempDir::new().unwrap();
    let script =
        format!("mount -t tmpfs -o size={size} tmpfs \"$1\" || exit {CANNOT_MOUNT}; exec \"$2\" --exact \"$3\" --nocapture");
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", &script, "sh"]).arg(folder.path()).arg(std::env::current_exe().unwrap()).arg(name);
    match command.env(MOUNTED, folder.path()).output() {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("1 passed"), "`{name}` is not the name of a test: {said}");
        }
        Ok(output) if output.status.code() == Some(CANNOT_MOUNT) || output.stderr.starts_with(b"unshare:") => {
            println!("left out: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output) => panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => println!("left out: `unshare` does not run here ({error})"),
    }
    None
}

/// Makes the file system at `folder` read-only, or writable again.
pub(crate) fn remount(folder: &std::path::Path, mode: &str) {
    let status = Command::new("mount").arg("-o").arg(format!("remount,{mode}")).arg(folder).status().unwrap();
    assert!(status.success());
}

/// Takes all that is left of the disk that `folder` is on. The file that it makes is the return value.
pub(crate) fn fill(folder: &std::path::Path) -> PathBuf {
    use std::io::Write;
    let path = folder.join("filler");
    let mut file = std::fs::File::create(&path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
    path
}
