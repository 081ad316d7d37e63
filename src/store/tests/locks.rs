use std::fs;

use super::*;
use crate::error::ErrorKind;

#[tokio::test]
async fn a_lock_is_held_once_and_freed_on_drop() {
    for home in homes() {
        let store = home.open().await;
        let other = home.open().await;
        let key = LockKey::Order(order("a"));
        let held = store.try_lock(&key).await.unwrap().unwrap();
        assert!(store.try_lock(&key).await.unwrap().is_none(), "nor by the same process");
        assert!(other.try_lock(&key).await.unwrap().is_none());
        assert!(other.try_lock(&LockKey::Order(order("b"))).await.unwrap().is_some());
        let error = other.lock(&key, Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Held);
        drop(held);
        let _again = other.lock(&key, Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_that_waits_is_given_up_in_time_and_names_the_process() {
    let (_folder, store) = store().await;
    let key = LockKey::Name { provider: "cf".into(), name: name("_x.example.com") };
    let held = store.try_lock(&key).await.unwrap().unwrap();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let error = store.lock(&key, Duration::from_mins(1)).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 60);
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let (got, ()) = tokio::join!(store.lock(&key, Duration::from_mins(1)), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(held);
    });
    drop(got.unwrap());
    assert_eq!(began.elapsed().as_secs(), 65, "taken soon after it was freed");
}

#[test]
fn lock_files_do_not_pile_up_and_a_lock_is_never_given_twice() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let folder = TempDir::new().unwrap();
    let key = LockKey::Order(order("a"));
    let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while taken.load(Ordering::SeqCst) < 2000 {
                    if let Some(lock) = file_locks::try_lock(folder.path(), &key).unwrap() {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                        taken.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                }
            });
        }
    });
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_lock_is_free_once_its_process_is_dead() {
    const STORE: &str = "DV_TEST_LOCKED_STORE";
    let key = LockKey::Order(order("a"));
    if let Some(path) = std::env::var_os(STORE) {
        let store = Store::open(Path::new(&path)).await.unwrap();
        let _held = store.try_lock(&key).await.unwrap().unwrap();
        fs::write(Path::new(&path).with_extension("held"), "").unwrap();
        std::future::pending::<()>().await;
    }
    let (folder, store) = store().await;
    let path = folder.path().join("state/store.db");
    let mut child = again("store::tests::locks::a_lock_is_free_once_its_process_is_dead", STORE, &path);
    while !path.with_extension("held").exists() {
        assert!(child.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(store.try_lock(&key).await.unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(store.try_lock(&key).await.unwrap().is_some());
}

#[test]
fn a_lock_file_that_its_holder_removed_locks_nothing() {
    use super::super::file_locks::{Claim, claim, open, path, try_lock};
    let folder = TempDir::new().unwrap();
    let key = LockKey::Order(order("a"));
    let path = path(folder.path(), &key);
    let first = try_lock(folder.path(), &key).unwrap().unwrap();
    // One that comes while it is held, opens the file, and is slow.
    let slow = open(&path).unwrap();
    assert!(matches!(claim(slow.try_clone().unwrap(), &path).unwrap(), Claim::Held));
    drop(first);
    let second = try_lock(folder.path(), &key).unwrap().unwrap();
    assert!(matches!(claim(slow, &path).unwrap(), Claim::Stale));
    drop(second);
}
