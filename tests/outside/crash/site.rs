//! Web servers in the place of a provider: files below a folder for each host, which the CA fetches from the sandbox.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use dv_verify::sandbox::SandboxOptions;
use tempfile::TempDir;

use super::disk::Disk;

/// The hosts, each with the file of somebody else that its folder has from the start: one beside the folder that the challenge wants, one in it.
const HOSTS: [(&str, &str); 2] =
    [("www.example.com", ".well-known/foreign.txt"), ("example.com", ".well-known/pki-validation/foreign.txt")];

/// The folders of all hosts.
pub(super) struct Site {
    /// As the sandbox and this process see them.
    seen: PathBuf,
    /// As the program sees them.
    inside: PathBuf,
    before: BTreeMap<String, String>,
    _folder: TempDir,
}

impl Site {
    /// In a folder of its own, or on a small disk, which is then returned too.
    pub(super) fn new(needs_disk: bool) -> Result<(Self, Option<Disk>), String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = fs::canonicalize(folder.path()).map_err(|error| error.to_string())?;
        let disk = if needs_disk { Some(Disk::mount(&path.join("disk"))?) } else { None };
        let seen = disk.as_ref().map_or_else(|| path.clone(), Disk::seen_from_here).join("www");
        let inside = disk.as_ref().map_or(path, |disk| disk.folder.clone()).join("www");
        for (host, foreign) in HOSTS {
            let file = seen.join(host).join(foreign);
            let made = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, "somebody else's"));
            made.map_err(|error| error.to_string())?;
        }
        let before = tree(&seen);
        Ok((Self { seen, inside, before, _folder: folder }, disk))
    }

    /// Has the sandbox serve them, and its CA look often.
    pub(super) fn serve(&self, options: &mut SandboxOptions) {
        options.web_root = Some(self.seen.clone());
        options.validation_interval = Duration::from_millis(100);
    }

    /// What the program is told: the folder of each host.
    pub(super) fn arguments(&self) -> Vec<String> {
        let of_host = |(host, _): (&str, &str)| ["--webroot".to_owned(), format!("{host}={}", self.inside.join(host).display())];
        HOSTS.into_iter().flat_map(of_host).collect()
    }

    /// Whether everything is as it was at the start. `may_leave_folders`: a run died between making a folder and keeping that it did.
    pub(super) fn check(&self, may_leave_folders: bool) -> Result<(), String> {
        let mut left = tree(&self.seen);
        if may_leave_folders {
            left.retain(|path, _| !path.ends_with('/') || self.before.contains_key(path));
        }
        if left == self.before { Ok(()) } else { Err(format!("the web root has {left:?}, not {:?}", self.before)) }
    }
}

/// Everything below a folder: files with what they hold, folders with a slash at the end.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            if path.is_dir() {
                all.insert(format!("{relative}/"), String::new());
                folders.push(path);
            } else {
                all.insert(relative, fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    all
}
