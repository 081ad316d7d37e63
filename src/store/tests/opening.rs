use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::{error::ErrorKind, test_disk};

#[tokio::test]
async fn processes_that_find_a_damaged_store_at_once_keep_it_aside_once() {
    const STORE: &str = "DV_TEST_DAMAGED_STORE";
    if let Some(path) = std::env::var_os(STORE) {
        let store = Store::open(Path::new(&path)).await.unwrap();
        store.intend(&intent("v", false), &order(&format!("o{}", std::process::id()))).await.unwrap();
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = used_store(folder.path()).await;
    fs::write(&path, "garbage").unwrap();
    let name = "store::tests::opening::processes_that_find_a_damaged_store_at_once_keep_it_aside_once";
    let mut children: Vec<_> = (0..3).map(|_| again(name, STORE, &path)).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(kept_aside(&path).len(), 1);
    assert_eq!(Store::open(&path).await.unwrap().entries().await.unwrap()[0].holders.len(), 3);
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let (folder, store) = store().await;
    store.intend(&intent("v", false), &order("a")).await.unwrap();
    let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("state"), 0o700);
    assert_eq!(mode("state/store.db"), 0o600);
    assert_eq!(mode("state/store.db-wal"), 0o600);
}

/// Opens a store that holds one entry, and returns its path. Everything is in the main file.
async fn used_store(folder: &Path) -> PathBuf {
    let path = folder.join("state/store.db");
    let store = Store::open(&path).await.unwrap();
    store.intend(&intent("v", false), &order("a")).await.unwrap();
    store.close().await;
    path
}

fn kept_aside(path: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.to_string_lossy().contains(".corrupt-") && !path.to_string_lossy().ends_with("-wal"))
        .filter(|path| !path.to_string_lossy().ends_with("-shm"))
        .collect()
}

#[tokio::test]
async fn a_damaged_store_is_kept_aside() {
    // Overwritten from the start, cut short, and with a page in the middle gone.
    let noise: fn(&mut Vec<u8>) = |bytes| bytes.fill(b'x');
    let cut: fn(&mut Vec<u8>) = |bytes| bytes.truncate(bytes.len() / 2);
    let hole: fn(&mut Vec<u8>) = |bytes| bytes[4096..3 * 4096].fill(0);
    for damage in [noise, cut, hole] {
        let folder = TempDir::new().unwrap();
        let path = used_store(folder.path()).await;
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let store = Store::open(&path).await.unwrap();
        let aside = kept_aside(&path);
        assert_eq!(aside.len(), 1);
        assert_eq!(fs::read(&aside[0]).unwrap(), bytes);
        assert!(store.notice().unwrap().contains(aside[0].to_str().unwrap()), "{:?}", store.notice());
        assert_eq!(store.entries().await.unwrap(), []);
        // And again at once: the file kept before is not overwritten.
        store.intend(&intent("v", false), &order("a")).await.unwrap();
        store.close().await;
        fs::write(&path, "cut").unwrap();
        Store::open(&path).await.unwrap();
        assert_eq!(kept_aside(&path).len(), 2);
        assert_eq!(Store::open(&path).await.unwrap().notice(), None, "said once");
    }
}

#[tokio::test]
async fn a_store_that_lost_its_content_is_begun_anew_and_this_is_said() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state/store.db");
    fs::create_dir(folder.path().join("state")).unwrap();
    fs::write(&path, "").unwrap();
    assert_eq!(Store::open(&path).await.unwrap().notice(), None, "it never had any");
    let path = used_store(folder.path()).await;
    fs::write(&path, "").unwrap();
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.entries().await.unwrap(), []);
    assert!(store.notice().unwrap().contains("lost its content"), "{:?}", store.notice());
}

#[tokio::test]
async fn what_never_was_a_store_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "these are not a database\n".repeat(500);
    fs::write(&path, &text).unwrap();
    for _ in 0..2 {
        let error = Store::open(&path).await.unwrap_err();
        assert!(error.to_string().contains("not a store of this program"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let path = folder.path().join("other.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE cookies (id INTEGER)").execute(&other).await.unwrap();
    other.close().await;
    let error = Store::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn a_newer_store_is_left_alone() {
    let (folder, store) = store().await;
    sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'x', TRUE, x'00', 0)",
    )
    .execute(store.on())
    .await
    .unwrap();
    let path = folder.path().join("state/store.db");
    let error = Store::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
    assert!(kept_aside(&path).is_empty());
}

#[tokio::test]
async fn a_path_that_looks_like_a_url_is_a_path() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file:x?mode=memory");
    drop(Store::open(&path).await.unwrap());
    assert!(fs::metadata(&path).unwrap().len() > 0);
}

#[tokio::test]
async fn a_full_disk_is_found_when_opening_and_when_writing() {
    let name = "store::tests::opening::a_full_disk_is_found_when_opening_and_when_writing";
    let Some(disk) = test_disk::small(name, "1m") else { return };
    let path = used_store(&disk).await;
    let filler = test_disk::fill(&disk);
    let error = Store::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().to_lowercase().contains("no space"), "{error}");
    assert!(error.hint().unwrap().contains("make room"), "{error:?}");
    fs::remove_file(&filler).unwrap();
    let store = Store::open(&path).await.unwrap();
    test_disk::fill(&disk);
    let big = "v".repeat(100_000);
    let error = store.intend(&intent(&big, false), &order("b")).await.unwrap_err();
    assert!(error.to_string().contains("no space"), "{error}");
    fs::remove_file(&filler).unwrap();
    assert_eq!(store.entries().await.unwrap().len(), 1, "nothing lost, nothing half written");
    store.intend(&intent(&big, false), &order("b")).await.unwrap();
}

#[tokio::test]
async fn a_read_only_disk_is_found_when_opening() {
    let Some(disk) = test_disk::small("store::tests::opening::a_read_only_disk_is_found_when_opening", "1m") else { return };
    let path = used_store(&disk).await;
    test_disk::remount(&disk, "ro");
    for path in [path, disk.join("new/store.db")] {
        let error = Store::open(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert!(error.to_string().contains("Read-only file system"), "{error}");
        assert!(error.hint().unwrap().contains("--store"), "{error:?}");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let path = folder.path().join("file/state/store.db");
    let error = Store::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains("file/state"), "{error}");
    assert!(error.hint().unwrap().contains("--store"));
}

#[tokio::test]
async fn a_store_of_a_development_build_is_named_and_left_alone() {
    let folder = TempDir::new().unwrap();
    for (number, tables) in
        [["entry", "holder", "orders", "delay"], ["entries", "holders", "orders", "delays"]].iter().enumerate()
    {
        let path = folder.path().join(format!("{number}.db"));
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
        for table in tables {
            sqlx::query(sqlx::AssertSqlSafe(format!("CREATE TABLE {table} (id INTEGER)"))).execute(&other).await.unwrap();
        }
        other.close().await;
        let error = Store::open(&path).await.unwrap_err();
        assert!(error.to_string().contains("older development build"), "{error}");
        assert!(kept_aside(&path).is_empty());
    }
    // One that is marked, with tables that are not ours now.
    for home in homes() {
        let store = home.open().await;
        let other = match &store.database {
            Database::Sqlite(_) => sql("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1"),
            Database::Postgres(_) => sql("UPDATE _sqlx_migrations SET checksum = '\\x00'::bytea WHERE version = 1"),
        };
        other.execute(store.on()).await.unwrap();
        let error = Store::open_at(&Target::parse(&home.text).unwrap(), LEASE).await.unwrap_err();
        assert!(error.to_string().contains("older development build"), "{error}");
        assert!(error.hint().unwrap().contains("--store"), "{error:?}");
    }
}
