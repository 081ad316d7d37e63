//! Notes beside the store: one small file for each record that is being, or was, written and not withdrawn since.
//!
//! The journal is in a database, and a database that was damaged is begun anew (or loses, without a sign, what was written to it last: the
//! end of its log). Then the notes still tell which records at the providers are ours, so that none is taken for somebody else's.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Intent, Store,
    fault::{self, Place},
};
use crate::{error::Result, language::t, provider::Zone, record::Record};

/// A record that this program writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The account whose run writes it; empty for the one without a name.
    #[serde(default)]
    pub account: String,
    /// The provider instance.
    pub provider: String,
    /// The zone at the provider.
    pub zone: Zone,
    /// The record.
    pub record: Record,
    /// Whether a person wants it kept.
    pub is_kept: bool,
}

impl Store {
    /// Durably notes that the record is about to be written by us. `is_kept`: a person wants it kept.
    ///
    /// # Errors
    /// `ErrorKind::Store`; then nothing may be written.
    pub fn note(&self, intent: &Intent, is_kept: bool) -> Result<()> {
        let Some(folder) = self.notes_folder() else { return Ok(()) };
        let path = folder.join(file_name(&intent.provider, &intent.record));
        let before = read(&path);
        let note = Note {
            account: before.as_ref().map_or_else(|| self.account.to_string(), |before| before.account.clone()),
            provider: intent.provider.clone(),
            zone: intent.zone.clone(),
            record: intent.record.clone(),
            is_kept: is_kept || before.as_ref().is_some_and(|before| before.is_kept),
        };
        if before.as_ref() == Some(&note) {
            return Ok(());
        }
        write(&folder, &path, &note).map_err(|error| fault::failed(&path, t!("cannot be written"), error))
    }

    /// Whether an earlier run noted that it writes this record.
    pub fn is_noted(&self, provider: &str, record: &Record) -> bool {
        self.notes_folder().is_some_and(|folder| read(&folder.join(file_name(provider, record))).is_some())
    }

    /// Removes the note of a record that is withdrawn. One that stays is harmless: the record is looked for once more.
    pub fn erase_note(&self, provider: &str, record: &Record) {
        if let Some(folder) = self.notes_folder() {
            let _ = fs::remove_file(folder.join(file_name(provider, record)));
        }
    }

    /// All notes of this run's account. Files that cannot be read are left out.
    pub fn notes(&self) -> Vec<Note> {
        let entries = self.notes_folder().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        entries.filter_map(|entry| read(&entry.path())).filter(|note| note.account == *self.account).collect()
    }

    /// Beside a file. A server of PostgreSQL has its own ways not to lose what it confirmed.
    fn notes_folder(&self) -> Option<PathBuf> {
        let Place::File(path) = &*self.place else { return None };
        let mut name = path.as_os_str().to_owned();
        name.push(".notes");
        Some(PathBuf::from(name))
    }
}

fn file_name(provider: &str, record: &Record) -> String {
    let key = format!("{provider}\n{}\n{}\n{}", record.name, record.record_type, record.value);
    format!("{}.json", data_encoding::HEXLOWER.encode(&Sha256::digest(key.as_bytes())))
}

fn read(path: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Whole or not at all, and on the disk when it returns.
fn write(folder: &Path, path: &Path, note: &Note) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(fs::DirBuilder::new().recursive(true), 0o700).create(folder)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(&serde_json::to_vec(note)?)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}
