//! Certificate files: written whole under another name, made current by one rename.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Delivered, Target, pair::Pair};
use crate::{
    error::{Error, ErrorKind, Result},
    name::Name,
};

/// What `order.json` holds, for people and for the next delivery.
#[derive(Serialize, Deserialize)]
struct About {
    order: String,
    names: Vec<Name>,
    serial: String,
    not_after: jiff::Timestamp,
    delivered: jiff::Timestamp,
}

/// An error of the file system: which path, and why.
pub(super) fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Delivery, format!("`{}` {what}: {error}", path.display()))
        .with_hint("make room or choose another folder with `--out`; the certificate is fetched again by the next run")
        .with_source(error)
}

/// Makes sure that files can be made, written and removed below `out`.
pub(super) fn check_writable(out: &Path) -> Result<()> {
    make_folder(out)?;
    let probe = tempfile::Builder::new()
        .prefix(".write-test-")
        .tempfile_in(out)
        .map_err(|error| failed(out, "cannot be written", error))?;
    // Some file systems say that they are full only when the bytes go to the disk.
    let mut file = probe.as_file();
    let written = file.write_all(&[0; 16 * 1024]).and_then(|()| file.sync_all());
    written.map_err(|error| failed(out, "cannot be written", error))?;
    probe.close().map_err(|error| failed(out, "does not let files be removed", error))
}

/// Writes the pair into a folder of its own and makes `live` point there, unless `live` holds the same pair already. `step` is called
/// before each step that changes what others see; tests let it fail.
pub(super) fn write(pair: &Pair, target: &Target, step: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<Delivered> {
    let parent = target.out.join(folder_name(pair, target)?);
    let live = parent.join("live");
    let mut delivered = Delivered {
        folder: parent.join(&pair.serial),
        live: live.clone(),
        names: pair.names.clone(),
        serial: pair.serial.clone(),
        not_after: pair.not_after,
        changed: false,
        has_private_key: pair.private_key.is_some(),
    };
    if holds(&live, pair) {
        delivered.folder = parent.join(fs::read_link(&live).map_err(|error| failed(&live, "cannot be read", error))?);
        return Ok(delivered);
    }
    make_folder(&parent)?;
    let fresh = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(&parent)
        .map_err(|error| failed(&parent, "cannot be written", error))?;
    let about = About {
        order: target.order.to_string(),
        names: pair.names.clone(),
        serial: pair.serial.clone(),
        not_after: pair.not_after,
        delivered: jiff::Timestamp::now(),
    };
    let about = serde_json::to_string_pretty(&about).unwrap_or_default() + "\n";
    let fullchain = format!("{}{}", pair.certificate, pair.chain);
    let mut files = vec![
        ("cert.pem", 0o644, pair.certificate.as_str()),
        ("chain.pem", 0o644, pair.chain.as_str()),
        ("fullchain.pem", 0o644, fullchain.as_str()),
        ("order.json", 0o644, about.as_str()),
    ];
    if let Some(key) = &pair.private_key {
        files.push(("privkey.pem", 0o600, key.expose()));
    }
    for (name, mode, text) in files {
        let path = fresh.path().join(name);
        write_file(&path, mode, text, step).map_err(|error| failed(&path, "cannot be written", error))?;
    }
    sync_folder(fresh.path())?;
    delivered.folder = place(fresh, &parent, &pair.serial, step)?;
    make_current(&delivered.folder, &live, step)?;
    delivered.changed = true;
    Ok(delivered)
}

/// The folder of a certificate: `--name`, else its first name, with `_wildcard` for `*`. A renewal has the same names and goes where the
/// certificate before it is; where a certificate with other names lives there, the order's id is appended.
fn folder_name(pair: &Pair, target: &Target) -> Result<String> {
    if let Some(name) = &target.name {
        let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        return plain.then(|| name.clone()).ok_or_else(|| {
            Error::usage(format!("`{name}` cannot be a folder name"))
                .with_hint("give `--name` one plain name, without `/` and without a dot in front")
        });
    }
    let first = target.domains.first().or_else(|| pair.names.first()).map(Name::as_str).unwrap_or_default();
    let plain = first.strip_prefix('*').map_or_else(|| first.to_owned(), |rest| format!("_wildcard{rest}"));
    let taken = names_of(&target.out.join(&plain).join("live")).is_some_and(|names| !same(&names, &pair.names));
    Ok(if taken { format!("{plain}-{}", target.order) } else { plain })
}

fn names_of(live: &Path) -> Option<Vec<Name>> {
    let text = fs::read_to_string(live.join("order.json")).ok()?;
    serde_json::from_str::<About>(&text).ok().map(|about| about.names)
}

fn same(left: &[Name], right: &[Name]) -> bool {
    left.len() == right.len() && left.iter().all(|name| right.contains(name))
}

/// Whether `live` holds exactly this pair.
fn holds(live: &Path, pair: &Pair) -> bool {
    let has = |file: &str, text: &str| fs::read_to_string(live.join(file)).is_ok_and(|found| found == text);
    let key = pair.private_key.as_ref().is_none_or(|key| has("privkey.pem", key.expose()));
    key && has("cert.pem", &pair.certificate)
        && has("chain.pem", &pair.chain)
        && has("fullchain.pem", &format!("{}{}", pair.certificate, pair.chain))
        && names_of(live).is_some()
}

fn write_file(path: &Path, mode: u32, text: &str, step: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    step("write")?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Gives the finished folder its name: the serial number, with a counter where an older, different folder has it.
fn place(fresh: tempfile::TempDir, parent: &Path, serial: &str, step: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<PathBuf> {
    let names = std::iter::once(serial.to_owned()).chain((2..).map(|number| format!("{serial}.{number}")));
    let mut free = names.map(|name| parent.join(name)).filter(|path| fs::symlink_metadata(path).is_err());
    // The iterator never ends.
    let folder = free.next().unwrap_or_else(|| parent.join(serial));
    let moved = step("place").and_then(|()| fs::rename(fresh.path(), &folder));
    moved.map_err(|error| failed(&folder, "cannot be made", error))?;
    // It has another name now: nothing is left to remove.
    let _ = fresh.keep();
    sync_folder(parent)?;
    Ok(folder)
}

/// Swaps `live` in one step: whoever reads it finds the old pair or the new one.
fn make_current(folder: &Path, live: &Path, step: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<()> {
    let parent = live.parent().unwrap_or_else(|| Path::new("."));
    let next = parent.join(format!(".live-{}", std::process::id()));
    let relative = folder.file_name().unwrap_or_default();
    // Left by a run that died at this point.
    let _ = fs::remove_file(&next);
    symlink(relative, &next)
        .and_then(|()| step("live"))
        .and_then(|()| fs::rename(&next, live))
        .map_err(|error| failed(live, "cannot be made", error))?;
    sync_folder(parent)
}

fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(|error| failed(folder, "cannot be made", error))
}

/// A rename is durable only once the folder is.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|error| failed(folder, "cannot be written", error))
}
