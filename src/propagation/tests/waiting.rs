//! One name that is waited for, while servers change.

use super::*;

#[tokio::test]
async fn a_change_is_noticed_and_seldom_asked_for() {
    let begun = std::time::Instant::now();
    let lag = Duration::from_millis(1730);
    let prompt = Server::start(from(|_| true)).await;
    let late = Server::start(from(move |_| begun.elapsed() >= lag)).await;
    let mut words = Vec::new();
    let round = propagation(stated(&[&prompt, &late]))
        .wait(&record(NAME, "v"), &Expectation::default(), soon(20), &mut |round| {
            words.push(round.observations.iter().map(|seen| seen.verdict.word()).collect::<Vec<_>>());
        })
        .await
        .unwrap();
    // How soon is measured by bench/propagation, and bounded in virtual time by the tests of the schedule.
    assert!(round.visible && round.explanation.is_none());
    // Who shows the value is left in peace until the last one does; then its old sighting is confirmed.
    assert_eq!(prompt.asked().len(), 2);
    // One each 370 ms, the first at once: a fixed 200 ms would need 10.
    assert!(late.asked().len() <= 8, "{}", late.asked().len());
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words[0].contains(&"nxdomain") && words[1] == ["visible", "visible"]);
}

#[tokio::test]
async fn a_dead_server_counts_as_out_only_where_the_policy_allows() {
    let (good, silent) = (Server::start(from(|_| true)).await, Server::start(dead).await);
    let patient = Options { query_timeout: Duration::from_millis(150), ..stated(&[&good, &silent]) };
    let round = wait(&propagation(patient.clone()), &record(NAME, "v"), soon(20)).await.unwrap();
    let out: Vec<bool> = round.observations.iter().map(|seen| seen.out).collect();
    assert_eq!(out.iter().filter(|out| **out).count(), 1);
    let explanation = round.explanation.unwrap();
    assert!(explanation.contains(&silent.address.to_string()) && explanation.contains("counts as out"), "{explanation}");
    // Over both transports, in three rounds.
    assert!(silent.asked().iter().filter(|asked| asked.over_tcp).count() >= 3);
    assert!(silent.asked().iter().filter(|asked| !asked.over_tcp).count() >= 3);
    assert!(propagation(patient.clone()).look(&record(NAME, "v")).await.unwrap().visible);

    let strict = Options { policy: Policy::All, ..patient };
    let begun = Instant::now();
    let error = wait(&propagation(strict), &record(NAME, "v"), Instant::now() + Duration::from_secs(1)).await.unwrap_err();
    // At its deadline of one second; the slack is for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(error.kind(), ErrorKind::NotVisible);
    assert!(error.message().contains("1 of 2 servers shows the value, all must"), "{error}");
}

#[tokio::test]
async fn a_server_that_comes_back_counts_again() {
    let restored = Arc::new(AtomicBool::new(false));
    let shows = Arc::new(AtomicBool::new(false));
    let (is_restored, is_shown) = (Arc::clone(&restored), Arc::clone(&shows));
    let mut flapping = from(move |_| is_shown.load(Ordering::SeqCst));
    let flapping =
        Server::start(move |asked| if is_restored.load(Ordering::SeqCst) { flapping(asked) } else { refuse(asked) }).await;
    let others = Arc::clone(&shows);
    let good = Server::start(from(move |_| others.load(Ordering::SeqCst))).await;
    let mut was_out = false;
    let mut was_back = false;
    let address = flapping.address;
    let round = propagation(Options { query_timeout: Duration::from_millis(150), ..stated(&[&good, &flapping]) })
        .wait(&record(NAME, "v"), &Expectation::default(), soon(20), &mut |round| {
            let seen = round.observations.iter().find(|seen| seen.authority.address == address).unwrap();
            if seen.out && !was_out {
                was_out = true;
                restored.store(true, Ordering::SeqCst);
            } else if was_out && seen.verdict == Verdict::NxDomain {
                was_back = true;
                assert!(!seen.out && !round.visible);
                shows.store(true, Ordering::SeqCst);
            }
        })
        .await
        .unwrap();
    assert!(was_out && was_back && round.visible);
    assert!(round.observations.iter().all(|seen| seen.verdict == Verdict::Visible && !seen.out));
}

#[tokio::test]
async fn a_sighting_that_is_gone_when_the_last_server_follows_is_no_green() {
    let begun = std::time::Instant::now();
    let settled = Arc::new(AtomicBool::new(false));
    let is_settled = Arc::clone(&settled);
    // Shows the value to the first question, then forgets it until it is settled.
    let flapping = Server::start(from(move |asked| asked.before == 0 || is_settled.load(Ordering::SeqCst))).await;
    let late = Server::start(from(move |_| begun.elapsed() >= Duration::from_millis(1200))).await;
    let (mut relapsed, address) = (false, flapping.address);
    let round = propagation(Options { query_timeout: Duration::from_millis(300), ..stated(&[&flapping, &late]) })
        .wait(&record(NAME, "v"), &Expectation::default(), soon(20), &mut |round| {
            let seen = round.observations.iter().find(|seen| seen.authority.address == address).unwrap();
            if seen.verdict == Verdict::NxDomain {
                relapsed = true;
                assert!(!round.visible);
                settled.store(true, Ordering::SeqCst);
            }
        })
        .await
        .unwrap();
    assert!(relapsed && round.visible);
    assert!(flapping.asked().len() >= 3);
}

#[tokio::test]
async fn old_data_is_waited_for_to_the_deadline_and_a_dropped_wait_asks_nothing_more() {
    let (good, old) = (Server::start(from(|_| true)).await, Server::start(from(|_| false)).await);
    let propagation = propagation(stated(&[&good, &old]));
    let error = wait(&propagation, &record(NAME, "v"), Instant::now() + Duration::from_millis(1500)).await.unwrap_err();
    assert!(error.message().contains("1 of 2 servers shows the value"), "{error}");
    assert!(error.message().contains("does not know the name (NXDOMAIN)"), "{error}");
    assert!(error.hint().unwrap().contains("explain _dnsauth.example.test"));

    let wanted = record(NAME, "v");
    assert!(timeout(Duration::from_millis(600), wait(&propagation, &wanted, soon(60))).await.is_err());
    let after = old.asked().len();
    sleep(Duration::from_millis(700)).await;
    assert_eq!(old.asked().len(), after);
}

/// Prints how late a change is noticed over loopback, and how often each authority was asked. Takes two minutes:
/// `cargo test --lib measure_notice -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement of two minutes"]
async fn measure_notice_delays() {
    const RUNS: usize = 25;
    join_all([0.0, 1.3, 3.2, 6.8, 31.0, 121.0].map(|lag| async move {
        let mut runs = join_all((0..RUNS).map(|_| async move {
            // Each run at another moment, so that the schedule and the lag do not march in step.
            sleep(Duration::from_millis(rand::random_range(0..500))).await;
            let begun = std::time::Instant::now();
            let lag = Duration::from_secs_f64(lag);
            let prompt = Server::start(from(|_| true)).await;
            let late = Server::start(from(move |_| begun.elapsed() >= lag)).await;
            let options = Options { query_timeout: Options::default().query_timeout, ..stated(&[&prompt, &late]) };
            wait(&propagation(options), &record(NAME, "v"), soon(300)).await.unwrap();
            (begun.elapsed().saturating_sub(lag), late.asked().len(), prompt.asked().len())
        }))
        .await;
        runs.sort();
        let questions = runs.iter().map(|run| run.1).max().unwrap();
        println!("lag {lag:>5} s: median {:?}, worst {:?}, at most {questions} questions", runs[RUNS / 2].0, runs[RUNS - 1].0);
    }))
    .await;
}
