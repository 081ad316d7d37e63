use super::*;
use crate::error::ErrorKind;

/// A store whose leases run for `lease`; `None` without PostgreSQL.
async fn machines<const N: usize>(lease: Duration) -> Option<(test_postgres::Database, [Store; N])> {
    let database = test_postgres::database()?;
    let target = Target::parse(&database.url()).unwrap();
    let stores = futures_util::future::try_join_all((0..N).map(|_| Store::open_at(&target, lease))).await.unwrap();
    Some((database, stores.try_into().unwrap()))
}

/// As if the machine that has the lease had given no sign of life for long enough.
fn run_out(database: &test_postgres::Database) {
    database.say("UPDATE dv_verify.leases SET expires = 0");
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_and_its_holder_notices() {
    let Some((database, [one, other])) = machines(LEASE).await else { return };
    let key = LockKey::Order(order("a"));
    let lost = one.try_lock(&key).await.unwrap().unwrap();
    lost.confirm().await.unwrap();
    assert!(other.try_lock(&key).await.unwrap().is_none());
    run_out(&database);
    let taken = other.try_lock(&key).await.unwrap().unwrap();
    let error = lost.confirm().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held);
    assert!(error.to_string().contains("is lost"), "{error}");
    // Giving back what was lost takes nothing from the new holder.
    drop(lost);
    one.close().await;
    taken.confirm().await.unwrap();
    assert_eq!(database.say("SELECT count(*) FROM dv_verify.leases"), "1");
}

#[tokio::test]
async fn a_lease_that_ran_out_while_nobody_wanted_it_is_still_ours() {
    let Some((database, [one, other])) = machines(LEASE).await else { return };
    let key = LockKey::Order(order("a"));
    let held = one.try_lock(&key).await.unwrap().unwrap();
    run_out(&database);
    held.confirm().await.unwrap();
    assert!(other.try_lock(&key).await.unwrap().is_none());
}

/// By the clock of the database, and nothing else: the machine is gone with all that ran on it.
#[tokio::test]
async fn a_lease_of_a_machine_that_is_gone_runs_out_by_itself() {
    let Some((database, [other])) = machines(LEASE).await else { return };
    let target = Target::parse(&database.url()).unwrap();
    let gone = std::thread::spawn(move || {
        let machine = tokio::runtime::Runtime::new().unwrap();
        machine.block_on(async {
            let store = Store::open_at(&target, Duration::from_millis(500)).await.unwrap();
            std::mem::forget(store.try_lock(&LockKey::Order(order("a"))).await.unwrap().unwrap());
            std::mem::forget(store);
        });
    });
    gone.join().unwrap();
    let key = LockKey::Order(order("a"));
    let taken = other.lock(&key, Duration::from_secs(60)).await.unwrap();
    taken.confirm().await.unwrap();
}

#[tokio::test]
async fn the_heart_keeps_leases_alive() {
    let Some((database, [one])) = machines(Duration::from_millis(300)).await else { return };
    let _held = one.try_lock(&LockKey::Order(order("a"))).await.unwrap().unwrap();
    let expires = || database.say("SELECT expires FROM dv_verify.leases").parse::<i64>().unwrap();
    let first = expires();
    // It beats by itself; bounded, so that a dead heart fails the test.
    for _ in 0..500 {
        if expires() > first {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no beat");
}

#[tokio::test]
async fn closing_gives_everything_back_at_once() {
    let Some((database, [one, other])) = machines(LEASE).await else { return };
    let key = LockKey::Order(order("a"));
    let held = one.try_lock(&key).await.unwrap().unwrap();
    one.close().await;
    drop(held);
    assert_eq!(database.say("SELECT count(*) FROM dv_verify.leases"), "0");
    assert!(other.try_lock(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn an_entry_stays_as_long_as_another_machine_may_still_write_it() {
    let Some((database, [frozen, other])) = machines(LEASE).await else { return };
    // One machine is frozen right before it writes; another finishes the order.
    let entry = frozen.intend(&intent("v", false), &order("a")).await.unwrap();
    assert_eq!(other.intend(&intent("v", false), &order("a")).await.unwrap().id, entry.id);
    assert!(other.published(entry.id, &Handle(serde_json::json!(1))).await.unwrap());
    other.release(entry.id, &order("a")).await.unwrap();
    other.forget(entry.id).await.unwrap();
    let left = other.entry(entry.id).await.unwrap().expect("somebody may still write it");
    assert_eq!((left.holders.as_slice(), left.handle), ([].as_slice(), None));
    // It wakes, writes, and is told that nobody needs it any more.
    assert!(!frozen.published(entry.id, &Handle(serde_json::json!(2))).await.unwrap());
    frozen.forget(entry.id).await.unwrap();
    assert_eq!(other.entries().await.unwrap(), []);

    // One that never wakes does not keep the entry for ever.
    let entry = frozen.intend(&intent("w", false), &order("b")).await.unwrap();
    other.release(entry.id, &order("b")).await.unwrap();
    other.forget(entry.id).await.unwrap();
    assert_eq!(other.entries().await.unwrap().len(), 1);
    database.say("UPDATE dv_verify.writers SET since = since - 15 * 60 * 1000 - 1");
    other.forget(entry.id).await.unwrap();
    assert_eq!(other.entries().await.unwrap(), []);
}

#[tokio::test]
async fn a_write_that_failed_keeps_nothing() {
    let Some((_database, [one, other])) = machines(LEASE).await else { return };
    let entry = one.intend(&intent("v", false), &order("a")).await.unwrap();
    one.gave_up_writing(entry.id).await.unwrap();
    other.release(entry.id, &order("a")).await.unwrap();
    other.forget(entry.id).await.unwrap();
    assert_eq!(other.entries().await.unwrap(), []);
}
