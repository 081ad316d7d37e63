//! Files of ours that end in the middle, or are gone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What becomes of a file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The store ends in the middle.
    StoreCut,
    /// The store is overwritten with rubbish.
    StoreRubbish,
    /// The store's write-ahead log ends in the middle.
    LogCut,
    /// Every note beside the store ends in the middle.
    NotesCut,
    /// Every lock file is cut to nothing.
    LocksCut,
    /// Every certificate file ends in the middle.
    CertificateCut,
    /// What is written about each certificate ends in the middle.
    AboutCut,
    /// `live` leads nowhere.
    LiveDangling,
    /// `live` is gone.
    LiveGone,
}

impl Damage {
    /// Does it to the store and the certificates in these folders.
    pub(super) fn done_to(self, state: &Path, certificates: &[PathBuf]) -> Result<(), String> {
        self.try_done_to(state, certificates).map_err(|error| format!("{self:?} cannot be done: {error}"))
    }

    fn try_done_to(self, state: &Path, certificates: &[PathBuf]) -> io::Result<()> {
        let store = state.join("store.db");
        let log = state.join("store.db-wal");
        let delivered = |ending: &str| -> Vec<PathBuf> {
            let all = certificates.iter().flat_map(|folder| files(folder));
            all.filter(|path| path.extension().is_some_and(|it| it == ending)).collect()
        };
        match self {
            // With what is in the log the cut would be mended.
            Self::StoreCut => fs::remove_file(&log).and_then(|()| cut(&store)),
            Self::StoreRubbish => fs::write(&store, [0x5a; 9000]),
            Self::LogCut => cut(&log),
            Self::NotesCut => cut_some(&files(&state.join("store.db.notes"))),
            Self::LocksCut => files(&state.join("locks"))
                .iter()
                .try_for_each(|path| fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0))),
            Self::CertificateCut => delivered("pem").iter().try_for_each(|path| cut(path)),
            Self::AboutCut => cut_some(&delivered("json")),
            Self::LiveDangling | Self::LiveGone => {
                certificates.iter().map(|folder| folder.join("live")).filter(|live| live.is_symlink()).try_for_each(|live| {
                    fs::remove_file(&live)?;
                    if self == Self::LiveDangling { std::os::unix::fs::symlink("nowhere", &live) } else { Ok(()) }
                })
            }
        }
    }
}

/// Half of a file is gone.
fn cut(path: &Path) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(file.metadata()?.len() / 2)
}

/// As [`cut`], where there must be some: else nothing was shown.
fn cut_some(paths: &[PathBuf]) -> io::Result<()> {
    if paths.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    paths.iter().try_for_each(|path| cut(path))
}

/// Every file below a folder, links not followed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
