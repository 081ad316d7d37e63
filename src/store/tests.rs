use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use tempfile::TempDir;

use super::*;
use crate::record::RecordType;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn intent(value: &str, was_there: bool) -> Intent {
    Intent {
        provider: "cf-work".into(),
        zone: Zone { name: name("example.com"), fields: BTreeMap::from([("id".to_owned(), serde_json::json!("z1"))]) },
        record: Record { name: name("_dnsauth.example.com"), record_type: RecordType::Txt, value: value.into() },
        was_there,
    }
}

fn order(id: &str) -> Holder {
    Holder::order("cas.aliyuncs.com", &OrderId::parse(id).unwrap())
}

async fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder.path().join("state/store.db")).await.unwrap();
    (folder, store)
}

#[tokio::test]
async fn an_entry_outlives_the_process() {
    let (folder, store) = store().await;
    let entry = store.intend(&intent("v", false), &order("a")).await.unwrap();
    store.published(entry.id, &Handle(serde_json::json!({"id": "r1"}))).await.unwrap();
    // Not closed: as after a kill.
    std::mem::forget(store);
    let again = Store::open(&folder.path().join("state/store.db")).await.unwrap();
    let entries = again.entries().await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].zone, intent("v", false).zone);
    assert_eq!(entries[0].record, intent("v", false).record);
    assert_eq!(entries[0].handle, Some(Handle(serde_json::json!({"id": "r1"}))));
    assert_eq!(entries[0].holders, [order("a")]);
}

#[tokio::test]
async fn the_same_value_is_one_entry_with_two_holders() {
    let (_folder, store) = store().await;
    let first = store.intend(&intent("v", false), &order("a")).await.unwrap();
    // The second order finds the value there, since the first put it there: that does not make it foreign.
    let second = store.intend(&intent("v", true), &order("b")).await.unwrap();
    assert_eq!(first.id, second.id);
    assert!(!second.was_there);
    assert_eq!(second.holders, [order("a"), order("b")]);
    assert_eq!(store.intend(&intent("v", false), &order("a")).await.unwrap().holders.len(), 2, "a holder counts once");
    assert_ne!(store.intend(&intent("w", false), &order("a")).await.unwrap().id, first.id);
    assert_eq!(store.release(first.id, &order("a")).await.unwrap(), [order("b")]);
    assert_eq!(store.entries_of(&order("a")).await.unwrap().len(), 1);
    assert_eq!(store.release(first.id, &order("b")).await.unwrap(), []);
    assert_eq!(store.entry(first.id).await.unwrap().unwrap().holders, []);
    store.forget(first.id).await.unwrap();
    assert_eq!(store.entry(first.id).await.unwrap(), None);
    assert_eq!(store.entries().await.unwrap().len(), 1);
}

#[tokio::test]
async fn many_at_once_over_two_connections_lose_nothing() {
    let (folder, first) = store().await;
    let second = Store::open(&folder.path().join("state/store.db")).await.unwrap();
    let work = (0..40).map(|number| {
        let store = if number % 2 == 0 { first.clone() } else { second.clone() };
        async move {
            let holder = order(&format!("o{number}"));
            store.intend(&intent("shared", false), &holder).await.unwrap();
            store.intend(&intent(&format!("own-{number}"), false), &holder).await.unwrap();
        }
    });
    futures_util::future::join_all(work).await;
    let entries = first.entries().await.unwrap();
    assert_eq!(entries.len(), 41);
    let shared = entries.iter().find(|entry| entry.record.value == "shared").unwrap();
    assert_eq!(shared.holders.len(), 40);
}

#[tokio::test]
async fn orders_are_remembered_and_recalled() {
    let (_folder, store) = store().await;
    let mut memory = OrderMemory {
        origin: "o".into(),
        id: OrderId::parse("cas-cn-1").unwrap(),
        generation: Generation::Instance,
        domains: vec![name("*.example.com"), name("example.com")],
        baseline_certificate: Some("7".into()),
        was_pending: true,
        finished: false,
        delivered: Some("/x/y".into()),
        hook_pending: true,
    };
    assert_eq!(store.recall("o", &memory.id).await.unwrap(), None);
    store.remember(&memory).await.unwrap();
    assert_eq!(store.recall("o", &memory.id).await.unwrap(), Some(memory.clone()));
    assert_eq!(store.unfinished("o").await.unwrap(), [memory.clone()]);
    memory.finished = true;
    store.remember(&memory).await.unwrap();
    assert_eq!(store.unfinished("o").await.unwrap().len(), 1, "a hook has yet to run");
    memory.hook_pending = false;
    store.remember(&memory).await.unwrap();
    assert_eq!(store.unfinished("o").await.unwrap(), []);
    assert_eq!(store.unfinished("other").await.unwrap(), []);
}

#[tokio::test]
async fn the_latest_twenty_delays_are_kept() {
    let (_folder, store) = store().await;
    for seconds in 1..=25 {
        store.note_delay(&name("example.com"), "cf", Duration::from_secs(seconds)).await.unwrap();
    }
    store.note_delay(&name("example.net"), "cf", Duration::from_secs(99)).await.unwrap();
    let delays = store.delays(&name("example.com"), "cf").await.unwrap();
    assert_eq!(delays, (6..=25).map(Duration::from_secs).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lock_is_held_once_and_freed_on_drop() {
    let (folder, store) = store().await;
    let other = Store::open(&folder.path().join("state/store.db")).await.unwrap();
    let key = LockKey::Order(order("a"));
    let held = store.try_lock(&key).unwrap().unwrap();
    assert!(store.try_lock(&key).unwrap().is_none(), "nor by the same process");
    assert!(other.try_lock(&key).unwrap().is_none());
    assert!(other.try_lock(&LockKey::Order(order("b"))).unwrap().is_some());
    let error = other.lock(&key, Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held);
    drop(held);
    let _again = other.lock(&key, Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let (folder, store) = store().await;
    store.intend(&intent("v", false), &order("a")).await.unwrap();
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("state"), 0o700);
    assert_eq!(mode("state/store.db"), 0o600);
    assert_eq!(mode("state/store.db-wal"), 0o600);
}

#[tokio::test]
async fn a_damaged_store_is_kept_aside() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let noise: Vec<u8> = std::iter::repeat_n(b"this is not a database\n".as_slice(), 500).flatten().copied().collect();
    std::fs::write(&path, &noise).unwrap();
    let store = Store::open(&path).await.unwrap();
    assert!(store.notice().unwrap().contains("kept as"), "{:?}", store.notice());
    assert_eq!(store.entries().await.unwrap(), []);
    let aside = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let aside: Vec<_> = aside.filter(|path| path.to_string_lossy().contains(".damaged-")).collect();
    assert_eq!(std::fs::read(&aside[0]).unwrap(), noise);
}

#[tokio::test]
async fn a_newer_store_is_left_alone() {
    let (folder, store) = store().await;
    sqlx::query("PRAGMA user_version = 999").execute(&store.pool).await.unwrap();
    let error = Store::open(&folder.path().join("state/store.db")).await.unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let path = folder.path().join("file/state/store.db");
    let error = Store::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains("file/state"), "{error}");
    assert!(error.hint().unwrap().contains("--store"));
}
