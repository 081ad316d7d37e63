//! The SQLite file: made, checked, brought up to date and, where it is damaged, kept aside.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    fault::{self, Place, Unusable, failed},
    file_locks, migrations,
};
use crate::{error::Result, language::t};

/// How long a statement waits for another process.
const BUSY_PATIENCE: Duration = Duration::from_secs(15);

/// Marks our files (`PRAGMA application_id`): the letters `dvvy`.
const APPLICATION: u32 = 0x6476_7679;

/// What the stores of development builds had that did not mark them.
const OLDER_TABLES: [&[&str]; 2] = [&["entry", "holder", "orders", "delay"], &["entries", "holders", "orders", "delays"]];

/// Where the mark is in the header of the file (<https://www.sqlite.org/fileformat.html>, section 1.3).
const APPLICATION_OFFSET: u64 = 68;

/// The largest file that is checked from end to end when it is opened.
const CHECKED_BYTES: u64 = 4 * 1024 * 1024;

/// A store that can be written.
pub(super) struct Opened {
    pub(super) pool: SqlitePool,
    /// The file, absolute.
    pub(super) path: PathBuf,
    /// The folder of lock files.
    pub(super) locks: PathBuf,
    /// What a person should know.
    pub(super) notice: Option<String>,
}

/// Opens or creates the store. One process at a time does this, so that none sets aside what another has just begun.
pub(super) async fn open(path: &Path) -> Result<Opened> {
    // Absolute, since SQLite reads a name that begins with `file:` as a URL.
    let path = std::path::absolute(path).map_err(|error| failed(path, t!("is no path"), error))?;
    let folder = path.parent().unwrap_or(&path);
    let locks = folder.join("locks");
    make_folder(folder)?;
    make_folder(&locks)?;
    // Found now, not when something is about to be published. A write to the database would cost three times as much.
    fault::write_test(folder).map_err(|error| failed(folder, t!("cannot be written"), error))?;
    let opening = file_locks::opening(&locks, &path, BUSY_PATIENCE).await?;
    let was_opened = opening.metadata().is_ok_and(|data| data.len() > 0);
    // For SQLite a file without content is a new one.
    let was_emptied = was_opened && fs::metadata(&path).is_ok_and(|data| data.len() == 0);
    let lost =
        t!("a new one was begun: records at the providers are known from the notes beside it, what was known of orders is lost");
    let mut notice = was_emptied.then(|| t!("the store `%{path}` had lost its content; %{lost}", path = path.display(), lost));
    make_file(&path)?;
    let pool = match connect(&path).await {
        Err(Unusable::Damaged(why)) => {
            if !(was_opened || is_marked(&path)) {
                return Err(fault::not_ours(&Place::File(path), &why));
            }
            let aside = set_aside(&path)?;
            make_file(&path)?;
            notice = Some(t!(
                "the store `%{path}` was damaged (%{why}); it is kept as `%{aside}`, and %{lost}",
                path = path.display(),
                why,
                aside = aside.display(),
                lost
            ));
            connect(&path).await
        }
        outcome => outcome,
    };
    let pool = pool.map_err(|unusable| unusable.into_error(&Place::File(path.clone())))?;
    if !was_opened {
        // For the next run: what is here from now on is a store, whatever becomes of the file.
        opening.write_all_at(b"opened\n", 0).map_err(|error| failed(&locks, t!("cannot be written"), error))?;
    }
    Ok(Opened { pool, path, locks, notice })
}

/// Looks whether a file without our mark in its header is ours, before it is opened for writing: that alone would change a database of another
/// program. What cannot be read is for the opening to say.
async fn look(path: &Path) -> Result<(), Unusable> {
    if is_marked(path) || fs::metadata(path).map_or(true, |data| data.len() == 0) {
        return Ok(());
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_PATIENCE);
    let Ok(mut connection) = SqliteConnection::connect_with(&options).await else { return Ok(()) };
    let verdict = whose(&mut connection).await;
    let _ = connection.close().await;
    match verdict {
        Err(unusable @ (Unusable::Foreign | Unusable::Development)) => Err(unusable),
        _ => Ok(()),
    }
}

async fn connect(path: &Path) -> Result<SqlitePool, Unusable> {
    look(path).await?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // The journal must be on disk before a provider is called.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_PATIENCE);
    // One connection: writers take turns anyway, and each statement takes about a millisecond.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(BUSY_PATIENCE * 4)
        .idle_timeout(None)
        .max_lifetime(None)
        // SQLite itself ends a transaction that meets a full disk, and sqlx does not notice: such a connection is replaced.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await?;
    match prepare(&pool, path).await {
        Ok(()) => Ok(pool),
        Err(unusable) => {
            // The file may be moved next.
            pool.close().await;
            Err(unusable)
        }
    }
}

/// Checks the file, and brings it up to date. Nothing is written where it is.
async fn prepare(pool: &SqlitePool, path: &Path) -> Result<(), Unusable> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let is_new = claim(&mut transaction).await?;
    if !is_new && fs::metadata(path).is_ok_and(|data| data.len() <= CHECKED_BYTES) {
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *transaction).await?;
        if verdict != "ok" {
            return Err(Unusable::Damaged(verdict));
        }
    }
    migrations::all().run(&mut *transaction).await.map_err(migrations::unusable)?;
    transaction.commit().await?;
    Ok(())
}

/// Marks a new file as ours, and refuses one of another program. True for a new one.
async fn claim(connection: &mut SqliteConnection) -> Result<bool, Unusable> {
    if !whose(connection).await? {
        return Ok(false);
    }
    let statement = sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION}"));
    sqlx::query(statement).execute(connection).await?;
    Ok(true)
}

/// Refuses a file that is not ours. True for one with nothing in it.
async fn whose(connection: &mut SqliteConnection) -> Result<bool, Unusable> {
    let mark: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    if mark == i64::from(APPLICATION) {
        return Ok(false);
    }
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master").fetch_all(&mut *connection).await?;
    if mark == 0 && OLDER_TABLES.iter().any(|older| older.iter().all(|table| tables.iter().any(|name| name == table))) {
        return Err(Unusable::Development);
    }
    if mark != 0 || !tables.is_empty() {
        return Err(Unusable::Foreign);
    }
    Ok(true)
}

fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(folder, t!("cannot be made"), error))
}

/// Makes the file where there is none: SQLite would make it readable for others. Its side files get the same mode.
fn make_file(path: &Path) -> Result<()> {
    let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| failed(path, t!("cannot be written"), error))
}

/// Whether the header of a damaged file still has our mark.
fn is_marked(path: &Path) -> bool {
    let mut mark = [0; 4];
    File::open(path).and_then(|file| file.read_exact_at(&mut mark, APPLICATION_OFFSET)).is_ok()
        && mark == APPLICATION.to_be_bytes()
}

/// Moves a damaged store and its side files away, and returns where it is now.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut aside = with_ending(path, &format!(".corrupt-{stamp}"));
    for number in 2.. {
        if fs::symlink_metadata(&aside).is_err() {
            break;
        }
        aside = with_ending(path, &format!(".corrupt-{stamp}-{number}"));
    }
    // The side files belong to the damaged one, and would damage a new one: they go first.
    for side in ["-wal", "-shm", ""] {
        match fs::rename(with_ending(path, side), with_ending(&aside, side)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound || side.is_empty() => {
                return Err(failed(path, t!("is damaged and cannot be kept aside"), error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
