use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{error::ErrorKind, record::RecordType, test_disk};

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

/// Runs the test `name` of this binary again, with `variable` set to `value`.
fn again(name: &str, variable: &str, value: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(variable, value).stdout(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn processes_that_begin_and_write_the_same_store_at_once_lose_nothing() {
    const STORE: &str = "DV_TEST_STORE";
    if let Some(path) = std::env::var_os(STORE) {
        let store = Store::open(Path::new(&path)).await.unwrap();
        let holder = order(&format!("o{}", std::process::id()));
        for number in 0..10 {
            store.intend(&intent(&format!("shared-{number}"), false), &holder).await.unwrap();
        }
        // Not closed, no destructors: as after a kill.
        #[expect(clippy::exit, reason = "the process must end as if it were killed")]
        std::process::exit(0);
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state/store.db");
    let name = "store::tests::processes_that_begin_and_write_the_same_store_at_once_lose_nothing";
    let mut children: Vec<_> = (0..3).map(|_| again(name, STORE, &path)).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let entries = Store::open(&path).await.unwrap().entries().await.unwrap();
    assert_eq!(entries.len(), 10);
    for child in &children {
        let holder = order(&format!("o{}", child.id()));
        assert!(entries.iter().all(|entry| entry.holders.contains(&holder) && entry.holders.len() == 3));
    }
}

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
    let name = "store::tests::processes_that_find_a_damaged_store_at_once_keep_it_aside_once";
    let mut children: Vec<_> = (0..3).map(|_| again(name, STORE, &path)).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(kept_aside(&path).len(), 1);
    assert_eq!(Store::open(&path).await.unwrap().entries().await.unwrap()[0].holders.len(), 3);
}

#[tokio::test]
async fn forgetting_does_not_take_the_record_of_who_joined_meanwhile() {
    let (_folder, store) = store().await;
    let entry = store.intend(&intent("v", false), &order("a")).await.unwrap();
    store.published(entry.id, &Handle(serde_json::json!("r1"))).await.unwrap();
    assert_eq!(store.release(entry.id, &order("a")).await.unwrap(), []);
    store.intend(&intent("v", true), &order("b")).await.unwrap();
    store.forget(entry.id).await.unwrap();
    let left = store.entry(entry.id).await.unwrap().unwrap();
    assert_eq!((left.holders.as_slice(), left.handle), ([order("b")].as_slice(), None));
    store.release(entry.id, &order("b")).await.unwrap();
    store.forget(entry.id).await.unwrap();
    let next = store.intend(&intent("v", false), &order("c")).await.unwrap();
    assert_ne!(next.id, entry.id, "a number is never given twice");
}

#[derive(Clone, Debug)]
enum Step {
    Intend { value: usize, holder: usize, was_there: bool },
    Publish(usize),
    Release { value: usize, holder: usize },
    Forget(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2usize, 0..3usize, any::<bool>())
            .prop_map(|(value, holder, was_there)| Step::Intend { value, holder, was_there }),
        1 => (0..2usize).prop_map(Step::Publish),
        3 => (0..2usize, 0..3usize).prop_map(|(value, holder)| Step::Release { value, holder }),
        1 => (0..2usize).prop_map(Step::Forget),
    ]
}

/// What an entry must be, told without a database.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    id: EntryId,
    was_there: bool,
    is_published: bool,
    holders: Vec<Holder>,
}

/// Takes the steps on the store and on the model, and compares them after each.
async fn follow(steps: Vec<Step>) {
    let (_folder, store) = store().await;
    let mut model: [Option<Model>; 2] = [None, None];
    for step in steps {
        match &step {
            Step::Intend { value, holder, was_there } => {
                let holder = order(&format!("o{holder}"));
                let entry = store.intend(&intent(&format!("v{value}"), *was_there), &holder).await.unwrap();
                let expected = model[*value].get_or_insert(Model {
                    id: entry.id,
                    was_there: *was_there,
                    is_published: false,
                    holders: Vec::new(),
                });
                if !expected.holders.contains(&holder) {
                    expected.holders.push(holder);
                }
                assert_eq!(entry.id, expected.id);
            }
            Step::Publish(value) => {
                let Some(expected) = &mut model[*value] else { continue };
                store.published(expected.id, &Handle(serde_json::json!({"id": 1}))).await.unwrap();
                expected.is_published = true;
            }
            Step::Release { value, holder } => {
                let Some(expected) = &mut model[*value] else { continue };
                let holder = order(&format!("o{holder}"));
                expected.holders.retain(|held| *held != holder);
                assert_eq!(store.release(expected.id, &holder).await.unwrap(), expected.holders);
            }
            Step::Forget(value) => {
                let Some(expected) = &mut model[*value] else { continue };
                store.forget(expected.id).await.unwrap();
                expected.is_published = false;
                if expected.holders.is_empty() {
                    model[*value] = None;
                }
            }
        }
        let found = store.entries().await.unwrap().into_iter().map(|entry| Model {
            id: entry.id,
            was_there: entry.was_there,
            is_published: entry.handle.is_some(),
            holders: entry.holders,
        });
        let mut expected: Vec<_> = model.iter().flatten().cloned().collect();
        expected.sort_by_key(|entry| entry.id);
        assert_eq!(found.collect::<Vec<_>>(), expected, "after {step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]
    #[test]
    fn holders_come_and_go_in_any_order(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follow(steps));
    }
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
async fn a_lock_that_waits_is_given_up_in_time_and_names_the_process() {
    let (_folder, store) = store().await;
    let key = LockKey::Name { provider: "cf".into(), name: name("_x.example.com") };
    let held = store.try_lock(&key).unwrap().unwrap();
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
                    if let Some(lock) = locks::try_lock(folder.path(), &key).unwrap() {
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
        let _held = store.try_lock(&key).unwrap().unwrap();
        fs::write(Path::new(&path).with_extension("held"), "").unwrap();
        std::future::pending::<()>().await;
    }
    let (folder, store) = store().await;
    let path = folder.path().join("state/store.db");
    let mut child = again("store::tests::a_lock_is_free_once_its_process_is_dead", STORE, &path);
    while !path.with_extension("held").exists() {
        assert!(child.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(store.try_lock(&key).unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(store.try_lock(&key).unwrap().is_some());
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
    store.pool.close().await;
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
        store.pool.close().await;
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
async fn work_that_is_cancelled_leaves_nothing_half_done() {
    let (_folder, store) = store().await;
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
    let other = SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE cookies (id INTEGER)").execute(&other).await.unwrap();
    other.close().await;
    let error = Store::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn a_newer_store_is_left_alone() {
    let (folder, store) = store().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (2, 'x', TRUE, x'00', 0)",
    )
    .execute(&store.pool)
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
    let name = "store::tests::a_full_disk_is_found_when_opening_and_when_writing";
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
    let Some(disk) = test_disk::small("store::tests::a_read_only_disk_is_found_when_opening", "1m") else { return };
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
