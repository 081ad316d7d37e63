//! Who may read delivered files: owner, group and mode.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown, lchown},
    path::Path,
};

/// Who may read what was delivered. What is unset stays as the system makes it: files of this user, keys for nobody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The mode of files that hold the private key; 0600 where unset.
    pub key_mode: Option<u32>,
    /// The user id that owns the files.
    pub owner: Option<u32>,
    /// The group id of the files.
    pub group: Option<u32>,
}

impl Access {
    fn mode(self, is_private: bool) -> u32 {
        if is_private { self.key_mode.unwrap_or(0o600) } else { 0o644 }
    }

    fn is_stated(self) -> bool {
        self != Self::default()
    }

    /// Gives the folder its owner, and lets whoever may read a file get there: the files themselves say who that is.
    pub(super) fn apply_to_folder(self, folder: &Path) -> io::Result<()> {
        if self.is_stated() {
            lchown(folder, self.owner, self.group)?;
            fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Writes a file that was not there. It gets its owner and its mode before its content.
    pub(super) fn write(self, path: &Path, is_private: bool, bytes: &[u8]) -> io::Result<()> {
        let mode = self.mode(is_private);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o644).open(path)?;
        self.apply(&file, mode)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Gives a file that is there the owner and the mode that the user stated since.
    fn apply_to_file(self, path: &Path, is_private: bool) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_file() { self.apply(&File::open(path)?, self.mode(is_private)) } else { Ok(()) }
    }

    fn apply(self, file: &File, mode: u32) -> io::Result<()> {
        if self.is_stated() {
            fchown(file, self.owner, self.group)?;
            // After the owner: a change of owner takes bits away.
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

/// Gives what stands in `folder` the owner and the modes that the user stated.
pub(super) fn renew(folder: &Path, access: Access) -> io::Result<()> {
    if !access.is_stated() {
        return Ok(());
    }
    for name in ["cert.pem", "chain.pem", "fullchain.pem", "order.json", "cert.der"] {
        renew_if_there(&folder.join(name), access, false)?;
    }
    for name in ["privkey.pem", "combined.pem", "cert.p12", "privkey.der"] {
        renew_if_there(&folder.join(name), access, true)?;
    }
    access.apply_to_folder(folder)
}

fn renew_if_there(path: &Path, access: Access, is_private: bool) -> io::Result<()> {
    match access.apply_to_file(path, is_private) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
