//! Waiting for a record: asks each authority on its schedule until the policy is satisfied. Ends with its deadline.

use std::{sync::Arc, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{
    Delegation, Expectation, Round,
    fellows::Place,
    look::Looking,
    network::Scout,
    peer::{Asked, Occasion},
    policy::Judgement,
    schedule::Plan,
    shared::Shared,
    text::span,
    verdict::Verdict,
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    record::Record,
};

/// A sighting that is older than so many time-outs when the last authority follows is confirmed by one more question, for all names of
/// the zone by one of them.
const FRESH: u32 = 2;
/// So long before the deadline everybody is asked a last time.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Until this has passed, a round is shown only once every authority has answered.
const FIRST_ROUND: Duration = Duration::from_secs(1);
/// The longest pause between two attempts to find the zone.
const LONGEST_DISCOVERY_PAUSE: Duration = Duration::from_secs(10);

/// The schedule of one authority.
#[derive(Debug)]
struct Post {
    place: Place,
    /// When to ask next; `None` while it is being asked, and once it shows the value.
    due: Option<Instant>,
    asking: bool,
    /// How many questions it was asked.
    questions: u32,
    /// A neighbour saw its record there while this one was being asked.
    ask_again: bool,
    /// When the question was sent whose answer showed the value.
    seen: Option<Instant>,
    failed: Option<Instant>,
}

/// See [`super::Propagation::wait`].
pub(super) async fn wait(
    shared: &Arc<Shared>,
    record: &Record,
    expectation: &Expectation,
    deadline: Instant,
    observe: &mut (dyn FnMut(&Round) + Send),
) -> Result<Round> {
    let begun = Instant::now();
    // Looked for from the beginning, so that it delays no answer.
    let mut scout = Scout::new(shared);
    let delegation = scout.beside(discover(shared, record, deadline)).await?;
    let fellowship = shared.fellowships.of(&delegation.zone);
    let mut news = fellowship.news();
    let bell = Arc::default();
    let plan = Plan::new(expectation);
    let mut posts: Vec<Post> = delegation
        .authorities
        .iter()
        .map(|authority| {
            let place = fellowship.join(authority.address, begun, &bell);
            let first = Instant::now() + plan.first(place.turn(), rand::random());
            let due = Some(before(deadline, first));
            Post { place, due, asking: false, questions: 0, ask_again: false, seen: None, failed: None }
        })
        .collect();
    let mut looking = Looking::new(Arc::clone(shared), record.clone(), delegation, begun);
    let mut asking = FuturesUnordered::new();
    let mut shown: Option<Judgement> = None;
    let mut unshown = false;
    let mut satisfied: Option<Instant> = None;
    loop {
        let now = Instant::now();
        for (index, post) in posts.iter_mut().enumerate() {
            if post.due.is_some_and(|due| due <= now) {
                post.due = None;
                post.asking = true;
                post.questions += 1;
                asking.push(looking.ask(index, Occasion { number: post.questions, not_before: post.failed }));
            }
        }
        let doubted = satisfied.and_then(|_| scout.doubts_until(looking.slowest()));
        let next = posts.iter().filter_map(|post| post.due).chain(doubted).min();
        tokio::select! {
            biased;
            () = sleep_until(deadline) => return Err(too_late(&looking)),
            Some((index, asked)) = asking.next() => {
                unshown |= settle(&mut looking, &mut posts[index], &plan, index, asked, deadline);
                if looking.is_silent() {
                    scout.suspect(&looking.delegation.zone, &record.name);
                } else {
                    scout.clear();
                }
            }
            () = scout.news() => {}
            () = bell.notified() => {
                rearrange(&mut posts, &plan, begun);
                continue;
            }
            // A fellow may have confirmed what we wait to see confirmed.
            _ = news.changed() => if satisfied.is_none() { continue },
            () = at(next) => if doubted.is_none() { continue },
        }
        unshown |= looking.network.as_ref() != scout.network();
        looking.network = scout.network().cloned();
        let judgement = looking.judgement();
        unshown |= shown.as_ref().is_some_and(|shown| shown.visible != judgement.visible || shown.out != judgement.out);
        let fresh = judgement.visible && confirmed(&mut posts, &mut satisfied, shared.options.query_timeout * FRESH);
        let done = fresh && scout.doubts_until(looking.slowest()).is_none();
        if !judgement.visible {
            satisfied = None;
        }
        let presentable = looking.is_whole() || begun.elapsed() >= FIRST_ROUND;
        // What is not confirmed yet is not shown as visible.
        if done || unshown && presentable && !judgement.visible {
            let round = looking.round(&judgement);
            observe(&round);
            if done {
                return Ok(round);
            }
            unshown = false;
            shown = Some(judgement);
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Finds the zone, again and again where that may help.
async fn discover(shared: &Arc<Shared>, record: &Record, deadline: Instant) -> Result<Arc<Delegation>> {
    let mut pause = Duration::from_millis(500);
    let mut last = None;
    let searching = async {
        loop {
            match shared.delegation(&record.name).await {
                Ok(delegation) => return Ok(delegation),
                Err(error) if error.retry() == Retry::Never => return Err(error),
                Err(error) => last = Some(error),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_DISCOVERY_PAUSE);
        }
    };
    match timeout_at(deadline, searching).await {
        Ok(found) => found,
        Err(_) => Err(last.unwrap_or_else(|| {
            Error::new(ErrorKind::NotVisible, t!("the zone of %{name} was not found in time", name = record.name))
                .with_retry(Retry::Later)
                .with_hint(t!(
                    "name another resolver with `--resolver ADDRESS`, or state the authorities with `--authority ZONE=ADDRESS`"
                ))
        })),
    }
}

/// Takes in an answer and plans the next question. Whether there is something new to show.
fn settle(looking: &mut Looking, post: &mut Post, plan: &Plan, index: usize, asked: Asked, deadline: Instant) -> bool {
    let sent = asked.begun;
    let changed = looking.take(index, asked);
    let now = Instant::now();
    let verdict = looking.standing(index).verdict.as_ref();
    let (visible, failed) = (verdict == Some(&Verdict::Visible), verdict.is_some_and(Verdict::is_failure));
    post.asking = false;
    post.failed = failed.then_some(now);
    if visible {
        post.place.sees(sent);
    } else {
        post.place.lacks(!failed);
    }
    let ask_again = std::mem::take(&mut post.ask_again);
    if visible {
        post.seen = Some(sent);
        post.due = None;
        return changed;
    }
    post.seen = None;
    let pause = plan.pause(sent.saturating_duration_since(looking.begun), post.place.turn(), rand::random());
    post.due = Some(if ask_again { now } else { before(deadline, now.max(sent + pause)) });
    changed
}

/// No later than the last look before the deadline, unless that is over.
fn before(deadline: Instant, due: Instant) -> Instant {
    match deadline.checked_sub(LAST_LOOK) {
        Some(last) if Instant::now() < last => due.min(last),
        _ => due,
    }
}

/// The bell was rung: whoever is invited is asked at once; the others may have a turn sooner, since fewer wait.
fn rearrange(posts: &mut [Post], plan: &Plan, begun: Instant) {
    let now = Instant::now();
    for post in posts.iter_mut().filter(|post| post.seen.is_none()) {
        let invited = post.place.is_invited();
        if post.asking {
            post.ask_again |= invited;
        } else if invited {
            post.due = Some(now);
        } else if let Some(due) = post.due {
            post.due = Some(due.min(now + plan.pause(now - begun, post.place.turn(), rand::random())));
        }
    }
}

/// Once the policy is satisfied, old sightings are confirmed, each by one question, unless a fellow's is younger. Whether all are fresh.
fn confirmed(posts: &mut [Post], satisfied: &mut Option<Instant>, fresh_for: Duration) -> bool {
    let since = *satisfied.get_or_insert_with(Instant::now);
    let mut fresh = true;
    for post in posts {
        let is_old = post.seen.is_some_and(|seen| seen + fresh_for < since);
        if is_old && !since.checked_sub(fresh_for).is_some_and(|moment| post.place.is_vouched_for(moment)) {
            fresh = false;
            if !post.asking && post.due.is_none() && post.place.may_confirm() {
                post.due = Some(Instant::now());
            }
        }
    }
    fresh
}

fn too_late(looking: &Looking) -> Error {
    let (record, waited) = (&looking.record, span(looking.begun.elapsed()));
    let why = looking.judgement().explanation.unwrap_or_else(|| t!("its last confirmation did not come in time").to_owned());
    Error::new(
        ErrorKind::NotVisible,
        t!(
            "%{name} %{record_type} is not visible after %{waited}: %{why}",
            name = record.name,
            record_type = record.record_type,
            waited,
            why
        ),
    )
    .with_retry(Retry::Later)
    .with_hint(t!(
        "run the same command again, it goes on where it stopped; `dv-verify explain %{name}` says what may be wrong",
        name = record.name
    ))
}
