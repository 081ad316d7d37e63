use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::*;
use crate::{record::RecordType, test_postgres};

mod holders;
mod leases;
mod locks;
mod notices;
mod opening;
mod server;
mod work;

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

/// A place for a store: the same test runs on each.
struct Home {
    text: String,
    _folder: Option<TempDir>,
}

impl Home {
    async fn open(&self) -> Store {
        open(&self.text).await
    }
}

async fn open(text: &str) -> Store {
    Store::open_at(&Target::parse(text).unwrap(), LEASE).await.unwrap()
}

/// SQLite, and PostgreSQL where it is installed.
fn homes() -> Vec<Home> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("state/store.db").to_str().unwrap().to_owned();
    let mut homes = vec![Home { text: file, _folder: Some(folder) }];
    homes.extend(test_postgres::database().map(|database| Home { text: database.url(), _folder: None }));
    homes
}

#[tokio::test]
async fn an_entry_outlives_the_process() {
    for home in homes() {
        let store = home.open().await;
        let entry = store.intend(&intent("v", false), &order("a")).await.unwrap();
        store.published(entry.id, &Handle(serde_json::json!({"id": "r1"}))).await.unwrap();
        // Not closed: as after a kill.
        std::mem::forget(store);
        let again = home.open().await;
        let entries = again.entries().await.unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].zone, intent("v", false).zone);
        assert_eq!(entries[0].record, intent("v", false).record);
        assert_eq!(entries[0].handle, Some(Handle(serde_json::json!({"id": "r1"}))));
        assert_eq!(entries[0].holders, [order("a")]);
    }
}

#[tokio::test]
async fn many_at_once_over_two_connections_lose_nothing() {
    for home in homes() {
        let first = home.open().await;
        let second = home.open().await;
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
}

/// Runs the test `name` of this binary again, with `variable` set to `value`.
fn again(name: &str, variable: &str, value: impl AsRef<std::ffi::OsStr>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(variable, value).stdout(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn processes_that_begin_and_write_the_same_store_at_once_lose_nothing() {
    const STORE: &str = "DV_TEST_STORE";
    if let Ok(text) = std::env::var(STORE) {
        let store = open(&text).await;
        let holder = order(&format!("o{}", std::process::id()));
        for number in 0..10 {
            store.intend(&intent(&format!("shared-{number}"), false), &holder).await.unwrap();
        }
        // Not closed, no destructors: as after a kill.
        #[expect(clippy::exit, reason = "the process must end as if it were killed")]
        std::process::exit(0);
    }
    for home in homes() {
        let name = "store::tests::processes_that_begin_and_write_the_same_store_at_once_lose_nothing";
        let mut children: Vec<_> = (0..3).map(|_| again(name, STORE, &home.text)).collect();
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
        let entries = home.open().await.entries().await.unwrap();
        assert_eq!(entries.len(), 10);
        for child in &children {
            let holder = order(&format!("o{}", child.id()));
            assert!(entries.iter().all(|entry| entry.holders.contains(&holder) && entry.holders.len() == 3));
        }
    }
}

#[tokio::test]
async fn orders_are_remembered_and_recalled() {
    for home in homes() {
        let store = home.open().await;
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
}

#[tokio::test]
async fn the_latest_twenty_delays_are_kept() {
    for home in homes() {
        let store = home.open().await;
        for seconds in 1..=25 {
            store.note_delay(&name("example.com"), "cf", Duration::from_secs(seconds)).await.unwrap();
        }
        store.note_delay(&name("example.net"), "cf", Duration::from_secs(99)).await.unwrap();
        let delays = store.delays(&name("example.com"), "cf").await.unwrap();
        assert_eq!(delays, (6..=25).map(Duration::from_secs).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn work_that_is_cancelled_leaves_nothing_half_done() {
    for home in homes() {
        let store = home.open().await;
        for polls in 0..40 {
            let (intent, holder) = (intent(&format!("v{polls}"), false), order("a"));
            {
                let mut work = std::pin::pin!(store.intend(&intent, &holder));
                for _ in 0..polls {
                    let once = std::future::poll_fn(|context| std::task::Poll::Ready(work.as_mut().poll(context)));
                    if once.await.is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let entries = store.entries().await.unwrap();
            assert!(entries.iter().all(|entry| entry.holders == [order("a")]), "an entry without its holder");
            store.intend(&intent, &holder).await.unwrap();
        }
        assert_eq!(store.entries().await.unwrap().len(), 40);
    }
}
