//! A small disk that can be full.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A tmpfs in a mount namespace that a process of ours keeps: gone with it, and it goes with the pipe to it.
pub(super) struct Disk {
    keeper: Child,
    /// As the program sees it.
    pub(super) folder: PathBuf,
}

impl Disk {
    /// Enough for store and certificates.
    const SIZE: &str = "2m";

    pub(super) fn mount(folder: &Path) -> Result<Self, String> {
        fs::create_dir(folder).map_err(|error| error.to_string())?;
        let script = format!("mount -t tmpfs -o size={} none \"$1\" && echo mounted && exec cat", Self::SIZE);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut keeper = command.spawn().map_err(|error| error.to_string())?;
        let mut said = String::new();
        if let Some(output) = keeper.stdout.as_mut() {
            let _ = std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut said);
        }
        if said.trim() == "mounted" {
            return Ok(Self { keeper, folder: folder.to_owned() });
        }
        let _ = keeper.wait();
        Err(super::matrix::LEFT_OUT.to_owned())
    }

    pub(super) fn seen_from_here(&self) -> PathBuf {
        let inside = self.folder.strip_prefix("/").unwrap_or(&self.folder);
        PathBuf::from(format!("/proc/{}/root", self.keeper.id())).join(inside)
    }

    /// The same command, where the disk is mounted.
    pub(super) fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.keeper.id())).arg("--");
        inside.arg(command.get_program()).args(command.get_args()).env_clear();
        inside.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inside
    }

    pub(super) fn fill(&self) {
        let path = self.seen_from_here().join("filler");
        let mut file = fs::File::create(path).expect("the disk is there");
        while file.write_all(&[0; 4096]).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }

    pub(super) fn empty(&self) {
        let _ = fs::remove_file(self.seen_from_here().join("filler"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
