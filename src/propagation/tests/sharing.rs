//! Many names of one zone: what they share, and what they do not.

use super::*;

#[tokio::test]
async fn many_names_of_a_zone_share_their_questions() {
    const NAMES: usize = 40;
    let begun = std::time::Instant::now();
    let lag = Duration::from_millis(1500);
    let behind = move |extra: u64| {
        let all = full(NAMES);
        let none = Zone::new("example.test");
        move |asked: &Asked| {
            let visible = begun.elapsed() >= lag + Duration::from_millis(extra);
            send(&if visible { &all } else { &none }.answer(asked))
        }
    };
    let (first, second) = (Server::start(behind(0)).await, Server::start(behind(300)).await);
    let propagation = propagation(stated(&[&first, &second]));
    let records: Vec<Record> = (0..NAMES).map(|number| record(&format!("_d.h{number}.example.test"), "v")).collect();
    let rounds = join_all(records.iter().map(|record| wait(&propagation, record, soon(30)))).await;
    assert!(rounds.iter().all(Result::is_ok));
    for server in [&first, &second] {
        let asked = server.asked();
        assert!(asked.len() < 5 * NAMES, "{}", asked.len());
        // 400 a second and the burst; how many a minute may have is tested in virtual time (`peer`). Retransmissions are not counted,
        // and none is needed.
        for (before, question) in asked.iter().enumerate() {
            let passed = question.at - asked[0].at;
            assert!(before as u128 <= 8 + passed.as_micros() / 2_500, "{before} before {passed:?}");
        }
        // No name is taken for visible because another one is: each was answered for with its value.
        let confirmed = records
            .iter()
            .filter(|record| asked.iter().any(|asked| asked.name == record.name && asked.at.duration_since(begun.into()) >= lag));
        assert_eq!(confirmed.count(), NAMES);
    }
}

#[tokio::test]
async fn a_dead_server_does_not_cost_each_name_its_own_patience() {
    let counted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counted);
    let silent = Server::start(move |asked| {
        count.fetch_add(usize::from(asked.over_tcp), Ordering::SeqCst);
        vec![Act::Hang]
    })
    .await;
    let good = Server::start(|asked: &Asked| {
        let held = Zone::new("example.test").with(&asked.name.to_string(), txt("v"));
        send(&held.answer(asked))
    })
    .await;
    let propagation = propagation(Options { query_timeout: Duration::from_millis(300), ..stated(&[&good, &silent]) });
    let records: Vec<Record> = (0..30).map(|number| record(&format!("_d.h{number}.example.test"), "v")).collect();
    let rounds = join_all(records.iter().map(|record| propagation.look(record))).await;
    assert!(rounds.iter().all(|round| round.as_ref().is_ok_and(|round| round.visible && round.explanation.is_some())));
    // Each for itself this would be 30 * 3 = 90 questions.
    assert!(counted.load(Ordering::SeqCst) < 45, "{}", counted.load(Ordering::SeqCst));
}

/// A zone with the records of so many names.
fn full(names: usize) -> Zone {
    (0..names).fold(Zone::new("example.test"), |zone, number| zone.with(&format!("_d.h{number}.example.test"), txt("v")))
}

/// All records of these names, or none.
fn holding_all(names: usize, visible: impl Fn() -> bool + Send + 'static) -> impl FnMut(&Asked) -> Vec<Act> + Send + 'static {
    let all = full(names);
    let none = Zone::new("example.test");
    move |asked: &Asked| send(&if visible() { &all } else { &none }.answer(asked))
}

/// Waits for all of them beside a server that follows far more than two time-outs later, 1.5 s after `begun`; they all become visible.
async fn seen_with_a_late_one(prompt: &Server, names: usize, begun: std::time::Instant) -> Vec<Record> {
    let late = Server::start(holding_all(names, move || begun.elapsed() >= Duration::from_millis(1500))).await;
    let propagation = propagation(Options { query_timeout: Duration::from_millis(300), ..stated(&[prompt, &late]) });
    let records: Vec<Record> = (0..names).map(|number| record(&format!("_d.h{number}.example.test"), "v")).collect();
    let rounds = join_all(records.iter().map(|record| wait(&propagation, record, soon(30)))).await;
    assert!(rounds.iter().all(Result::is_ok));
    records
}

#[tokio::test]
async fn an_old_sighting_is_confirmed_by_one_name_for_all() {
    const NAMES: usize = 30;
    let begun = std::time::Instant::now();
    let prompt = Server::start(holding_all(NAMES, || true)).await;
    let records = seen_with_a_late_one(&prompt, NAMES, begun).await;
    // Each once, and one of them again; a few more where the machine is so slow that this one has become old too.
    let asked = prompt.asked().len();
    assert!((NAMES + 1..NAMES + 10).contains(&asked), "{asked}");
    for record in &records {
        assert!(prompt.asked().iter().any(|asked| asked.name == record.name));
    }
}

#[tokio::test]
async fn a_lost_confirmation_is_asked_for_by_one_other_name() {
    const NAMES: usize = 30;
    let begun = std::time::Instant::now();
    let holds = full(NAMES);
    let (mut known, mut unlucky, mut is_over) = (BTreeSet::new(), None, false);
    // Silent to the first name that asks once more, until another one does.
    let prompt = Server::start(move |asked: &Asked| {
        let again = !known.insert(asked.name.clone());
        if again {
            is_over |= *unlucky.get_or_insert_with(|| asked.name.clone()) != asked.name;
        }
        if again && !is_over { vec![Act::Hang] } else { send(&holds.answer(asked)) }
    })
    .await;
    seen_with_a_late_one(&prompt, NAMES, begun).await;
    // All of them again would be as many once more.
    let asked = prompt.asked().len();
    assert!((NAMES + 2..NAMES + 20).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_zone_that_is_gone_when_the_last_server_follows_makes_no_name_green() {
    const NAMES: usize = 12;
    let begun = std::time::Instant::now();
    let follows = Duration::from_millis(1200);
    let settled = Arc::new(AtomicBool::new(false));
    let is_settled = Arc::clone(&settled);
    // Forgets everything just before the other one follows.
    let forgetful = Server::start(holding_all(NAMES, move || {
        begun.elapsed() + Duration::from_millis(200) < follows || is_settled.load(Ordering::SeqCst)
    }))
    .await;
    let late = Server::start(holding_all(NAMES, move || begun.elapsed() >= follows)).await;
    let propagation = propagation(Options { query_timeout: Duration::from_millis(300), ..stated(&[&forgetful, &late]) });
    let address = forgetful.address;
    let records: Vec<Record> = (0..NAMES).map(|number| record(&format!("_d.h{number}.example.test"), "v")).collect();
    let waits = records.iter().map(|record| {
        let (propagation, settled) = (&propagation, &settled);
        async move {
            let mut observe = |round: &Round| {
                let seen = round.observations.iter().find(|seen| seen.authority.address == address);
                if begun.elapsed() >= follows && seen.is_some_and(|seen| seen.verdict == Verdict::NxDomain) {
                    settled.store(true, Ordering::SeqCst);
                }
            };
            let round = propagation.wait(record, &Expectation::default(), soon(30), &mut observe).await;
            (round.is_ok(), settled.load(Ordering::SeqCst))
        }
    });
    for (visible, was_settled) in join_all(waits).await {
        assert!(visible && was_settled);
    }
}
