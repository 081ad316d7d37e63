//! Files in the folder that a web server serves. Every step below that folder is taken from an open folder and follows no symbolic link,
//! so that nobody who may write there can lead a file elsewhere.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, fchmod, fsync, linkat, mkdirat, openat, renameat_with, statat, unlinkat},
    io::Errno,
};
use serde_json::json;

use super::{File, Publisher};
use crate::{
    error::{Error, ErrorKind, Result},
    failpoint,
    language::t,
    mutex::locked,
    provider::{Found, Handle},
};

/// What a web server must be able to read.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// The handle's list of folders that were made for the file, the outermost first.
const MADE: &str = "made";

/// Folders that this process made: a file that comes into one later takes it along as well, if it is the last to go. Held while folders come
/// and go, so that none goes between being found and being written to.
static OURS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// How often a file is put into its folder that another process removes at the same moment.
const ATTEMPTS: u32 = 3;

/// A folder that a web server serves.
#[derive(Clone)]
pub(super) struct Webroot {
    root: PathBuf,
}

/// What is at the place of a file.
enum Place {
    /// Nothing, or a folder on the way is not there.
    Empty,
    /// The file, whole.
    Ours,
    /// Something else.
    Foreign,
}

/// An error on the way, with what it is about.
struct Fault {
    path: PathBuf,
    why: Why,
}

enum Why {
    Errno(Errno),
    Link,
    NotFolder,
    Foreign,
}

impl Webroot {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Runs `work` where it may block: the folder may be on another machine.
    async fn blocking<T: Send + 'static>(
        &self,
        file: File<'_>,
        work: impl FnOnce(&Walk) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let walk = Walk { root: self.root.clone(), path: file.path.to_owned(), content: file.content.to_owned() };
        let done = tokio::task::spawn_blocking(move || work(&walk)).await;
        done.map_err(|error| Error::new(ErrorKind::Unexpected, t!("writing into the web root broke off")).with_source(error))?
            .map_err(Fault::told)
    }
}

#[async_trait]
impl Publisher for Webroot {
    async fn find(&self, file: File<'_>) -> Result<Found> {
        self.blocking(file, |walk| {
            let Some(folder) = walk.folder(None)? else { return Ok(Found::Absent) };
            match walk.place(&folder)? {
                Place::Empty => Ok(Found::Absent),
                Place::Ours => Ok(Found::Present(handle(&[]))),
                Place::Foreign => Err(walk.fault(Why::Foreign)),
            }
        })
        .await
    }

    async fn publish(&self, file: File<'_>) -> Result<Handle> {
        self.blocking(file, Walk::publish).await
    }

    async fn withdraw(&self, file: File<'_>, handle: Option<&Handle>) -> Result<()> {
        let made = handle.and_then(|handle| handle.0.get(MADE)?.as_array().cloned()).unwrap_or_default();
        let made: Vec<String> = made.iter().filter_map(|path| path.as_str().map(str::to_owned)).collect();
        self.blocking(file, move |walk| walk.withdraw(&made)).await
    }

    fn usual_delay(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

fn handle(made: &[String]) -> Handle {
    Handle(json!({ MADE: made }))
}

/// One file below one root.
struct Walk {
    root: PathBuf,
    path: String,
    content: String,
}

impl Walk {
    /// The names of the folders on the way, and of the file.
    fn steps(&self) -> (Vec<&str>, &str) {
        let mut steps: Vec<&str> = self.path.split('/').filter(|step| !step.is_empty()).collect();
        let file = steps.pop().unwrap_or_default();
        (steps, file)
    }

    /// The name under which the file is made before it is put in its place; nobody serves it.
    fn temporary(&self) -> String {
        format!(".{}.dv-verify", self.steps().1)
    }

    fn fault(&self, why: Why) -> Fault {
        Fault { path: self.root.join(self.path.trim_start_matches('/')), why }
    }

    /// Opens the folder of the file; makes what is missing on the way, where `making` is given. `None`: it is not there.
    fn folder(&self, mut making: Option<Making<'_>>) -> Result<Option<OwnedFd>, Fault> {
        let mut at = self.root.clone();
        let mut folder = openat(CWD, &self.root, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Fault { path: at.clone(), why: Why::Errno(errno) })?;
        let mut relative = String::new();
        for step in self.steps().0 {
            at.push(step);
            relative = if relative.is_empty() { step.to_owned() } else { format!("{relative}/{step}") };
            let fault = |errno| Fault { path: at.clone(), why: Why::Errno(errno) };
            folder = match (below(&folder, step), &mut making) {
                (Ok(next), Some(making)) if making.ours.contains(&at) => {
                    making.made.push(relative.clone());
                    next
                }
                (Ok(next), _) => next,
                (Err(Errno::NOENT), None) => return Ok(None),
                (Err(Errno::NOENT), Some(making)) => {
                    let is_made = match mkdirat(&folder, step, FOLDER_MODE) {
                        Ok(()) => true,
                        // Another process made it meanwhile.
                        Err(Errno::EXIST) => false,
                        Err(errno) => return Err(fault(errno)),
                    };
                    let next = below(&folder, step).map_err(fault)?;
                    if is_made {
                        making.made.push(relative.clone());
                        making.ours.insert(at.clone());
                        // Whatever the umask is, the web server must get through.
                        fchmod(&next, FOLDER_MODE).map_err(fault)?;
                        fsync(&folder).map_err(fault)?;
                    }
                    next
                }
                (Err(errno), _) => return Err(Fault { path: at.clone(), why: unlike_folder(&folder, step, errno) }),
            };
        }
        Ok(Some(folder))
    }

    /// What is at the place of the file.
    fn place(&self, folder: &OwnedFd) -> Result<Place, Fault> {
        let name = self.steps().1;
        // Not to hang where somebody put a pipe.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match openat(folder, name, flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(Place::Empty),
            Err(Errno::LOOP) => return Ok(Place::Foreign),
            Err(errno) => return Err(self.fault(Why::Errno(errno))),
        };
        let mut there = Vec::new();
        let most = self.content.len() as u64 + 1;
        let read = std::fs::File::from(opened).take(most).read_to_end(&mut there);
        Ok(if read.is_ok() && there == self.content.as_bytes() { Place::Ours } else { Place::Foreign })
    }

    fn publish(&self) -> Result<Handle, Fault> {
        let mut ours = ours();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut made = Vec::new();
            match self.try_publish(Making { made: &mut made, ours: &mut ours }) {
                // Another process has removed the folder, which was empty.
                Err(Fault { why: Why::Errno(Errno::NOENT), .. }) if attempts < ATTEMPTS => {}
                Ok(()) => return Ok(handle(&made)),
                Err(fault) => {
                    self.remove_folders(&made, &mut ours);
                    return Err(fault);
                }
            }
        }
    }

    fn try_publish(&self, making: Making<'_>) -> Result<(), Fault> {
        let failed = |errno| self.fault(Why::Errno(errno));
        let folder = self.folder(Some(making))?.ok_or_else(|| failed(Errno::NOENT))?;
        match self.place(&folder)? {
            Place::Ours => return Ok(()),
            Place::Foreign => return Err(self.fault(Why::Foreign)),
            Place::Empty => {}
        }
        failpoint::reach("webroot.after-folders");
        let (temporary, name) = (self.temporary(), self.steps().1);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // One that is there was left by a run that died.
        remove(&folder, &temporary).map_err(failed)?;
        let opened = openat(&folder, &*temporary, flags, FILE_MODE).map_err(failed)?;
        let written = self.write(opened);
        failpoint::reach("webroot.after-temporary");
        let placed = written.and_then(|()| place_new(&folder, &temporary, name));
        failpoint::reach("webroot.after-place");
        let tidied = remove(&folder, &temporary);
        match placed.and(tidied).and_then(|()| fsync(&folder)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(self.fault(Why::Foreign)),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn write(&self, opened: OwnedFd) -> Result<(), Errno> {
        fchmod(&opened, FILE_MODE)?;
        let mut file = std::fs::File::from(opened);
        let written = file.write_all(self.content.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    fn withdraw(&self, made: &[String]) -> Result<(), Fault> {
        let failed = |errno| self.fault(Why::Errno(errno));
        let folder = match self.folder(None) {
            Ok(Some(folder)) => folder,
            Ok(None) => return Ok(()),
            // The whole root is gone, and the file with it.
            Err(Fault { path, why: Why::Errno(Errno::NOENT) }) if path == self.root => return Ok(()),
            Err(fault) => return Err(fault),
        };
        remove(&folder, &self.temporary()).map_err(failed)?;
        if matches!(self.place(&folder)?, Place::Ours) {
            remove(&folder, self.steps().1).map_err(failed)?;
            fsync(&folder).map_err(failed)?;
        }
        drop(folder);
        failpoint::reach("webroot.after-removal");
        self.remove_folders(made, &mut ours());
        Ok(())
    }

    /// Removes the folders that were made for the file, the innermost first, unless something else is in them by now.
    fn remove_folders(&self, made: &[String], ours: &mut BTreeSet<PathBuf>) {
        for relative in made.iter().rev() {
            if self.remove_folder(relative) {
                ours.remove(&self.root.join(relative));
            }
        }
    }

    fn remove_folder(&self, relative: &str) -> bool {
        let above = Self { root: self.root.clone(), path: relative.to_owned(), content: String::new() };
        let folder = above.folder(None);
        matches!(folder, Ok(Some(folder)) if unlinkat(&folder, above.steps().1, AtFlags::REMOVEDIR).is_ok())
    }
}

/// Where it is noted which folders are made.
struct Making<'a> {
    /// Those on the way of one file, the outermost first.
    made: &'a mut Vec<String>,
    /// [`OURS`].
    ours: &'a mut BTreeSet<PathBuf>,
}

fn ours() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    locked(&OURS)
}

/// Opens a folder in a folder; a symbolic link is none.
fn below(folder: &OwnedFd, step: &str) -> Result<OwnedFd, Errno> {
    openat(folder, step, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Why something is no folder that is entered.
fn unlike_folder(folder: &OwnedFd, step: &str, errno: Errno) -> Why {
    if !matches!(errno, Errno::NOTDIR | Errno::LOOP) {
        return Why::Errno(errno);
    }
    let is_link = statat(folder, step, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink());
    if is_link { Why::Link } else { Why::NotFolder }
}

/// Gives the finished file its name, unless something has that name.
fn place_new(folder: &impl AsFd, temporary: &str, name: &str) -> Result<(), Errno> {
    match linkat(folder, temporary, folder, name, AtFlags::empty()) {
        // A file system without hard links.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            renameat_with(folder, temporary, folder, name, RenameFlags::NOREPLACE)
        }
        other => other,
    }
}

/// Removes a file; one that is not there is no error.
fn remove(folder: &impl AsFd, name: &str) -> Result<(), Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

impl Fault {
    fn told(self) -> Error {
        let path = self.path.display();
        match self.why {
            Why::Link => Error::config(t!("`%{path}` is a symbolic link, which is not followed below a web root", path))
                .with_hint(t!("name the folder that it leads to with `--webroot`, or put a real folder in its place")),
            Why::NotFolder => Error::config(t!("`%{path}` is in the way: it is no folder", path)).with_hint(t!("move it away")),
            Why::Foreign => Error::config(t!("`%{path}` is there already with another content, and is left as it is", path))
                .with_hint(t!(
                    "it may belong to another order, to another name of this one (then give each a folder of its own: `--webroot HOST=FOLDER`), or to a run of another tool; move it away if nobody needs it"
                )),
            Why::Errno(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                Error::new(ErrorKind::Rights, t!("`%{path}` cannot be written: %{errno}", path, errno))
                    .with_hint(t!("run this as a user who may write there, or use `--file-hook`"))
            }
            Why::Errno(errno) => Error::provider(t!("`%{path}` cannot be used: %{errno}", path, errno)),
        }
    }
}

#[cfg(test)]
#[path = "webroot_tests.rs"]
mod tests;
