use super::*;

fn ids(count: usize) -> Vec<OrderId> {
    (0..count).map(|number| OrderId::parse(&format!("o{number:03}")).unwrap()).collect()
}

#[tokio::test]
async fn orders_are_claimed_once_and_settled() {
    for home in homes() {
        let store = home.open().await;
        let listed = store.moment().await.unwrap();
        store.enqueue("o", &ids(3), listed).await.unwrap();
        store.enqueue("o", &ids(3), listed).await.unwrap();
        store.enqueue("other", &ids(1), listed).await.unwrap();
        let claimed = store.claim("o", 2).await.unwrap();
        assert_eq!(claimed.iter().map(|work| work.id.clone()).collect::<Vec<_>>(), ids(2));
        let rest = store.claim("o", 9).await.unwrap();
        assert_eq!(rest.len(), 1, "what is claimed is not claimed again");
        store.settle("o", &claimed[0].id, &Settled::Done).await.unwrap();
        let failed = Settled::Failed { after: Duration::from_secs(60), error: "no".into(), counts: true };
        store.settle("o", &claimed[1].id, &failed).await.unwrap();
        store.settle("o", &rest[0].id, &Settled::Later(Duration::ZERO)).await.unwrap();
        let again = store.claim("o", 9).await.unwrap();
        assert_eq!((again.len(), &again[0].id, again[0].failures), (1, &rest[0].id, 0));
        let left = store.work("o").await.unwrap();
        let failed = left.iter().find(|work| work.id == claimed[1].id).unwrap();
        assert_eq!((left.len(), failed.failures, failed.last_error.as_deref()), (2, 1, Some("no")));
        let backlog = store.backlog("o").await.unwrap();
        assert_eq!((backlog.claimed, backlog.due, backlog.resting, backlog.watchers), (1, 0, 1, 1));
        assert!(backlog.next.unwrap() > Duration::from_secs(30), "{backlog:?}");
        let own: Vec<OrderId> = store.own_claims("o").await.unwrap().into_iter().map(|work| work.id).collect();
        assert_eq!(own, [rest[0].id.clone()], "what was claimed without its answer being heard is found again");
        store.hurry("o").await.unwrap();
        let hurried = store.claim("o", 9).await.unwrap();
        assert_eq!((hurried.len(), &hurried[0].id), (1, &failed.id));
        let turned_away = Settled::Failed { after: Duration::ZERO, error: "wait".into(), counts: false };
        store.settle("o", &failed.id, &turned_away).await.unwrap();
        let again = store.claim("o", 9).await.unwrap();
        assert_eq!((again[0].failures, again[0].last_error.as_deref()), (1, Some("wait")));
    }
}

#[tokio::test]
async fn watchers_are_counted_as_long_as_they_live() {
    let Some(database) = test_postgres::database() else { return };
    let stores = [open(&database.url()).await, open(&database.url()).await];
    let first = stores[0].attend("o").await.unwrap();
    let other_origin = stores[1].attend("other").await.unwrap();
    assert!(first.is_some() && other_origin.is_some());
    assert_eq!(stores[0].backlog("o").await.unwrap().watchers, 1);
    let _second = stores[1].attend("o").await.unwrap();
    assert_eq!(stores[0].backlog("o").await.unwrap().watchers, 2);
    database.say("UPDATE dv_verify.leases SET expires = 0 WHERE name LIKE 'watcher of o: %'");
    assert_eq!(stores[0].backlog("o").await.unwrap().watchers, 1, "a watch counts itself, also when it was silent");
}

#[tokio::test]
async fn machines_that_claim_at_once_share_without_overlap_and_take_over_what_ran_out() {
    let Some(database) = test_postgres::database() else { return };
    let stores = futures_util::future::join_all((0..4).map(|_| open_url(database.url()))).await;
    stores[0].enqueue("o", &ids(100), stores[0].moment().await.unwrap()).await.unwrap();
    let claims = futures_util::future::join_all(stores.iter().map(|store| async { store.claim("o", 25).await.unwrap() })).await;
    let mut all: Vec<OrderId> = claims.into_iter().flatten().map(|work| work.id).collect();
    let mut seen = 0;
    while seen < 100 {
        // Whoever passed over rows that others were just claiming comes again.
        seen = all.len();
        all.extend(stores[0].claim("o", 100).await.unwrap().into_iter().map(|work| work.id));
        if all.len() == seen {
            break;
        }
    }
    all.sort();
    assert_eq!(all, ids(100));
    database.say("UPDATE dv_verify.work SET claimed_until = 0 WHERE id = 'o007'");
    let taken = stores[3].claim("o", 9).await.unwrap();
    assert_eq!(taken[0].id.as_str(), "o007");
    // The holder before no longer decides when it is tried again,
    for store in &stores[..3] {
        assert!(!store.is_claimed("o", &taken[0].id).await.unwrap());
        store.settle("o", &taken[0].id, &Settled::Later(Duration::from_secs(60))).await.unwrap();
    }
    assert!(stores[3].is_claimed("o", &taken[0].id).await.unwrap());
    // but what it has done is done.
    stores[0].settle("o", &taken[0].id, &Settled::Done).await.unwrap();
    assert!(!stores[3].is_claimed("o", &taken[0].id).await.unwrap());
    assert_eq!(stores[3].work("o").await.unwrap().len(), 99);
}

#[tokio::test]
async fn an_order_that_is_done_comes_back_with_a_later_list_only() {
    for home in homes() {
        let store = home.open().await;
        let before = store.moment().await.unwrap();
        store.enqueue("o", &ids(1), before).await.unwrap();
        store.claim("o", 1).await.unwrap();
        store.settle("o", &ids(1)[0], &Settled::Done).await.unwrap();
        store.enqueue("o", &ids(1), before).await.unwrap();
        assert_eq!(store.claim("o", 1).await.unwrap(), [], "the list is older than its end");
        assert_eq!(store.backlog("o").await.unwrap().due, 0);
        let mut after = store.moment().await.unwrap();
        // The clock has milliseconds.
        while after == before || store.claim("o", 1).await.unwrap().is_empty() {
            store.enqueue("o", &ids(1), after).await.unwrap();
            after = store.moment().await.unwrap();
        }
        assert!(store.is_claimed("o", &ids(1)[0]).await.unwrap());
    }
}

async fn open_url(url: String) -> Store {
    open(&url).await
}

#[tokio::test]
async fn the_budget_of_calls_is_one_for_all_machines() {
    let Some(database) = test_postgres::database() else { return };
    let stores = [open(&database.url()).await, open(&database.url()).await];
    let period = Duration::from_secs(100);
    // The turns of both are evenly spaced: the fourth comes three periods after the first.
    let mut waits = Vec::new();
    for number in 0..4 {
        waits.push(stores[number % 2].reserve("calls", period).await.unwrap());
    }
    for (number, wait) in (0u32..).zip(&waits) {
        assert!(*wait <= period * number && *wait + period > period * number, "{waits:?}");
    }
    assert_eq!(stores[0].reserve("others", period).await.unwrap(), Duration::ZERO);
}

#[tokio::test]
async fn a_turn_is_taken_once_in_its_interval() {
    for home in homes() {
        let (one, other) = (home.open().await, home.open().await);
        let hour = Duration::from_secs(3600);
        assert!(one.take_turn("listing", hour).await.unwrap());
        assert!(!other.take_turn("listing", hour).await.unwrap());
        assert!(!one.take_turn("listing", hour).await.unwrap());
        assert!(other.take_turn("another", hour).await.unwrap());
    }
}

#[tokio::test]
async fn a_clock_that_was_wrong_keeps_nothing_waiting() {
    for home in homes() {
        let store = home.open().await;
        let before = store.moment().await.unwrap();
        store.enqueue("o", &ids(2), before).await.unwrap();
        store.claim("o", 2).await.unwrap();
        let failed = Settled::Failed { after: Duration::from_secs(5), error: "no".into(), counts: true };
        store.settle("o", &ids(2)[0], &failed).await.unwrap();
        store.settle("o", &ids(2)[1], &Settled::Done).await.unwrap();
        assert!(store.take_turn("listing", Duration::from_secs(60)).await.unwrap());
        // As if all this had happened ten years later, before the clock was put right.
        let later = 10 * 365 * 24 * 60 * 60 * 1000_i64;
        for statement in [
            "UPDATE work SET due = due + $1",
            "UPDATE work SET done = done + $1",
            "UPDATE budgets SET next_free = next_free + 1000 * $1",
        ] {
            sql(statement).bind(later).execute(store.on()).await.unwrap();
        }
        let backlog = store.backlog("o").await.unwrap();
        assert_eq!((backlog.due, backlog.overdue, backlog.resting, backlog.next), (1, 1, 0, None));
        assert_eq!(store.claim("o", 9).await.unwrap()[0].id, ids(2)[0], "it does not rest for ten years");
        store.enqueue("o", &ids(2), store.moment().await.unwrap()).await.unwrap();
        assert_eq!(store.claim("o", 9).await.unwrap()[0].id, ids(2)[1], "a new list brings it back");
        assert!(store.take_turn("listing", Duration::from_secs(60)).await.unwrap());
        assert!(!store.take_turn("listing", Duration::from_secs(60)).await.unwrap());
    }
}

#[tokio::test]
async fn what_nobody_takes_is_overdue_after_a_while() {
    for home in homes() {
        let store = home.open().await;
        store.enqueue("o", &ids(3), store.moment().await.unwrap()).await.unwrap();
        store.claim("o", 1).await.unwrap();
        assert_eq!(store.backlog("o").await.unwrap().overdue, 0);
        sql("UPDATE work SET due = due - 11000").execute(store.on()).await.unwrap();
        let backlog = store.backlog("o").await.unwrap();
        assert_eq!((backlog.claimed, backlog.due, backlog.overdue), (1, 2, 2));
    }
}
