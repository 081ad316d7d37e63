//! Certificate files: written whole under another name, made current by one rename.
//!
//! Nothing that was delivered is ever changed: each pair has a folder of its own, and only the symlink `live` moves. Folders and links
//! whose names begin with `.new-` or `.live-` are unfinished; the next delivery removes those that a killed run left.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Delivered, Form, Target,
    access::{self, Access},
    folder::folder_name,
    form::{self, Content},
    older,
    pair::{self, Pair},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    failpoint,
    language::t,
    name::{Name, same_names},
};

/// What `order.json` holds, for people and for the next delivery.
#[derive(Serialize, Deserialize)]
pub(super) struct About {
    pub(super) order: String,
    names: Vec<Name>,
    serial: String,
    pub(super) not_before: jiff::Timestamp,
    not_after: jiff::Timestamp,
    pub(super) delivered: jiff::Timestamp,
}

/// How long a delivery waits for another one below the same folder; each takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// An error of the file system: which path, and why.
pub(super) fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            t!("make room on that disk, or choose another folder with `--out`")
        }
        io::ErrorKind::PermissionDenied => t!("give this user the right to write there, or choose another folder with `--out`"),
        _ => t!("choose a folder that can be written with `--out`"),
    };
    Error::new(ErrorKind::Delivery, format!("`{}` {what}: {error}", path.display())).with_hint(hint).with_source(error)
}

/// Makes sure that files and links can be made, written, renamed and removed below `out`.
pub(super) fn check_writable(out: &Path) -> Result<()> {
    make_folder(out)?;
    let cannot = |error| failed(out, t!("cannot be written"), error);
    let probe = tempfile::Builder::new().prefix(".write-test-").tempdir_in(out).map_err(cannot)?;
    let path = probe.path().join("file");
    // Some file systems say that they are full only when the bytes go to the disk.
    Access::default().write(&path, true, &[0; 16 * 1024]).map_err(cannot)?;
    let link = probe.path().join("link");
    let linked = symlink("file", &link).and_then(|()| fs::rename(&link, probe.path().join("live")));
    linked.map_err(|error| failed(out, t!("does not let symbolic links be made, which `live` is"), error))?;
    probe.close().map_err(|error| failed(out, t!("does not let files be removed"), error))
}

/// Writes the pair into a folder of its own and makes `live` point there, unless `live` holds the same pair or a newer one already.
/// `step` is called before each step that changes what others see; tests let it fail.
pub(super) fn write(pair: &Pair, target: &Target, step: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<Delivered> {
    make_folder(&target.out)?;
    let _lock = lock(&target.out)?;
    let parent = target.out.join(folder_name(pair, target)?);
    let live = parent.join("live");
    make_folder(&parent)?;
    sync_folder(&target.out)?;
    sweep(&parent);
    let (folder, is_written) = match find(&parent, pair) {
        Found::Same(folder) => {
            let is_written = complete(pair, &target.form, &folder, step)?;
            (folder, is_written)
        }
        Found::Free(folder) => {
            place(pair, target, &folder, step)?;
            (folder, true)
        }
    };
    let is_current = fs::read_link(&live).is_ok_and(|link| Some(link.as_os_str()) == folder.file_name());
    let moves = !is_current && !holds_newer(&live, pair);
    if moves {
        make_current(&folder, &live, step)?;
    } else if is_written && !is_current {
        tracing::info!("`{}` holds a newer certificate for the same names, and stays", live.display());
    }
    if let Some(keep) = target.form.keep {
        older::remove(&parent, &live, keep);
    }
    Ok(Delivered {
        has_private_key: folder.join("privkey.pem").is_file(),
        folder,
        live,
        names: pair.names.clone(),
        serial: pair.serial.clone(),
        not_after: pair.not_after,
        changed: moves || is_current && is_written,
    })
}

/// Whether [`write`] would change nothing: the pair is on disk, and `live` holds it or a newer one.
pub(super) fn is_there(pair: &Pair, target: &Target) -> bool {
    let Ok(name) = folder_name(pair, target) else { return false };
    let parent = target.out.join(name);
    let live = parent.join("live");
    match find(&parent, pair) {
        Found::Same(folder) => {
            let is_current = fs::read_link(&live).is_ok_and(|link| Some(link.as_os_str()) == folder.file_name());
            (is_current || holds_newer(&live, pair)) && form::missing(pair, &target.form, &folder).is_empty()
        }
        Found::Free(_) => false,
    }
}

enum Found {
    /// The pair is there already.
    Same(PathBuf),
    /// The pair is not there; this is where it goes.
    Free(PathBuf),
}

/// The folder of the pair: its serial number, with a counter where something else has that name (another CA's certificate, or files
/// that were damaged since).
fn find(parent: &Path, pair: &Pair) -> Found {
    let mut folder = parent.join(&pair.serial);
    let mut number = 2;
    while fs::symlink_metadata(&folder).is_ok() {
        if is_same(&folder, pair) {
            return Found::Same(folder);
        }
        folder = parent.join(format!("{}.{number}", pair.serial));
        number += 1;
    }
    Found::Free(folder)
}

/// Whether the folder holds exactly this pair. A key that is there already may stay where this time none came.
fn is_same(folder: &Path, pair: &Pair) -> bool {
    let has = |file: &Content| {
        let found = fs::read(folder.join(file.name)).map(Zeroizing::new);
        found.is_ok_and(|found| *found == *file.bytes)
    };
    form::pem_files(pair).iter().all(has) && about(folder).is_some()
}

/// Whether `live` holds a certificate for the same names that was issued later and still holds. Without this, two orders for the same
/// names would push each other out with every run.
fn holds_newer(live: &Path, pair: &Pair) -> bool {
    let current = fs::read_to_string(live.join("cert.pem")).ok().and_then(|text| pair::look_at(&text));
    let has_key = pair.key.is_none() || live.join("privkey.pem").is_file();
    has_key
        && current.is_some_and(|(names, not_before, not_after)| {
            same_names(&names, &pair.names) && not_before > pair.not_before && not_after > failpoint::now()
        })
}

/// What `order.json` in a folder says.
pub(super) fn about(folder: &Path) -> Option<About> {
    serde_json::from_str(&fs::read_to_string(folder.join("order.json")).ok()?).ok()
}

/// Writes all files under another name, then gives the folder its own.
fn place(pair: &Pair, target: &Target, folder: &Path, step: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    let fresh = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(parent)
        .map_err(|error| failed(parent, t!("cannot be written"), error))?;
    let about = About {
        order: target.order.to_string(),
        names: pair.names.clone(),
        serial: pair.serial.clone(),
        not_before: pair.not_before,
        not_after: pair.not_after,
        delivered: failpoint::now(),
    };
    let about = serde_json::to_string_pretty(&about).unwrap_or_default() + "\n";
    let mut files = form::pem_files(pair);
    files.push(Content::public("order.json", about));
    for name in form::missing(pair, &target.form, fresh.path()) {
        files.push(form::further_file(pair, &target.form, name)?);
    }
    let access = target.form.access;
    for file in files {
        let path = fresh.path().join(file.name);
        let written = step("write").and_then(|()| access.write(&path, file.is_private, &file.bytes));
        written.map_err(|error| failed(&path, t!("cannot be written"), error))?;
    }
    access.apply_to_folder(fresh.path()).map_err(|error| failed(fresh.path(), t!("cannot be given its owner"), error))?;
    sync_folder(fresh.path())?;
    let moved = step("place").and_then(|()| fs::rename(fresh.path(), folder));
    moved.map_err(|error| failed(folder, t!("cannot be made"), error))?;
    // It has another name now: nothing is left to remove.
    let _ = fresh.keep();
    sync_folder(parent)
}

/// Adds to a pair that is there the files that the user wants since, and gives all of them the owner and modes that were stated. What is there
/// already is not written again. Returns whether a file was added.
fn complete(pair: &Pair, form: &Form, folder: &Path, step: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<bool> {
    let missing = form::missing(pair, form, folder);
    for name in &missing {
        let file = form::further_file(pair, form, name)?;
        let path = folder.join(name);
        let fresh = folder.join(format!(".new-{name}"));
        let _ = fs::remove_file(&fresh);
        let written = form.access.write(&fresh, file.is_private, &file.bytes);
        let moved = written.and_then(|()| step("write")).and_then(|()| fs::rename(&fresh, &path));
        moved.map_err(|error| failed(&path, t!("cannot be written"), error))?;
    }
    access::renew(folder, form.access).map_err(|error| failed(folder, t!("cannot be given its owner and modes"), error))?;
    if !missing.is_empty() {
        sync_folder(folder)?;
    }
    Ok(!missing.is_empty())
}

/// Swaps `live` in one step: whoever reads it finds the old pair or the new one.
fn make_current(folder: &Path, live: &Path, step: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<()> {
    if fs::symlink_metadata(live).is_ok_and(|data| !data.is_symlink()) {
        return Err(Error::new(
            ErrorKind::Delivery,
            t!("`%{live}` is not the symbolic link that it should be", live = live.display()),
        )
        .with_hint(t!("move it away; the new certificate is in `%{folder}`", folder = folder.display())));
    }
    let parent = live.parent().unwrap_or(live);
    let next = parent.join(".live-new");
    let relative = folder.file_name().unwrap_or_default();
    symlink(relative, &next)
        .and_then(|()| step("live"))
        .and_then(|()| fs::rename(&next, live))
        .map_err(|error| failed(live, t!("cannot be made"), error))?;
    sync_folder(parent)
}

/// Removes what runs that were killed left. Under the lock, so that it is nobody's work in progress.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".new-") {
            let _ = fs::remove_dir_all(entry.path());
        } else if name.starts_with(".live-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// One delivery at a time below `out`: two orders with the same first name must not both take its folder.
fn lock(out: &Path) -> Result<Option<File>> {
    let path = out.join(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| failed(&path, t!("cannot be written"), error))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::WouldBlock) => {
                let message =
                    t!("another delivery has held `%{path}` for %{value} s", path = path.display(), value = PATIENCE.as_secs());
                return Err(Error::new(ErrorKind::Delivery, message)
                    .with_hint(t!("see whether another run of this program hangs"))
                    .with_retry(Retry::Later));
            }
            // A file system without locks: each step is atomic all the same.
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(|error| failed(folder, t!("cannot be made"), error))
}

/// A rename is durable only once the folder is.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|error| failed(folder, t!("cannot be written"), error))
}
