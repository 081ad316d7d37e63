use super::*;
use crate::{
    name::Name,
    order::{Generation, OrderId},
    record::RecordType,
};

const SECOND: Duration = Duration::from_secs(1);

fn terms() -> Terms {
    Terms {
        named: false,
        no_wait: false,
        dry_run: false,
        patience: Patience::default(),
        looks_by_itself: true,
        first_interval: Duration::from_secs(1),
    }
}

fn fresh() -> State {
    State::new(terms(), false, None)
}

fn challenge(value: &str) -> Challenge {
    Challenge {
        domain: None,
        root_domain: None,
        kind: ChallengeKind::Record(RecordType::Txt),
        name: "_dnsauth.www.example.com".into(),
        value: value.into(),
    }
}

fn read(state: OrderState) -> Event {
    read_with(state, None)
}

fn read_with(state: OrderState, certificate_id: Option<&str>) -> Event {
    Event::Read(Order {
        id: OrderId::parse("cas-cn-1").unwrap(),
        generation: Generation::Instance,
        domains: vec![Name::parse("www.example.com").unwrap()],
        state,
        certificate_id: certificate_id.map(str::to_owned),
        note: None,
    })
}

fn issued(certificate_id: Option<&str>) -> Event {
    read_with(OrderState::Issued(Bundle { certificate: "PEM".into(), private_key: None }), certificate_id)
}

fn checking(value: &str) -> Event {
    read(OrderState::Checking(vec![challenge(value)]))
}

fn until(action: &Action) -> Duration {
    match action {
        Action::Wait { until, .. } => *until,
        other => panic!("expected a wait, got {other:?}"),
    }
}

fn refusal(action: &Action) -> String {
    match action {
        Action::WithdrawAndEnd(Ending::Badly(error)) if error.kind() == ErrorKind::Refused => error.to_string(),
        other => panic!("expected a refusal with withdrawal, got {other:?}"),
    }
}

#[test]
fn the_whole_journey() {
    let mut state = fresh();
    assert!(matches!(state.next(read(OrderState::Preparing), Duration::ZERO), Action::Wait { reason: FOR_CHALLENGE, .. }));
    assert!(matches!(state.next(Event::Due, SECOND), Action::Read));
    assert!(matches!(state.next(checking("a"), SECOND), Action::Publish(all) if all == [challenge("a")]));
    assert!(matches!(state.next(Event::Published, SECOND), Action::Wait { reason: FOR_VISIBILITY, .. }));
    assert!(matches!(state.next(Event::Visible, SECOND), Action::Wait { reason: FOR_CA, .. }));
    assert!(matches!(state.next(Event::Due, 2 * SECOND), Action::Read));
    assert!(matches!(state.next(issued(None), 2 * SECOND), Action::Deliver(_)));
}

#[test]
fn looks_come_at_1_2_4_and_so_on_and_start_anew_once_visible() {
    let mut state = fresh();
    let mut now = Duration::ZERO;
    let mut steps = Vec::new();
    for _ in 0..7 {
        let at = until(&state.next(read(OrderState::Preparing), now));
        steps.push(at.saturating_sub(now).as_secs());
        now = at;
    }
    assert_eq!(steps, [1, 2, 4, 8, 16, 30, 30]);
    let _ = state.next(checking("a"), now);
    assert_eq!(until(&state.next(Event::Published, now)).saturating_sub(now), 4 * SECOND, "slowly while it is not visible");
    assert_eq!(until(&state.next(Event::Visible, now)).saturating_sub(now), SECOND);
    assert_eq!(until(&state.next(checking("a"), now)).saturating_sub(now), 2 * SECOND);
}

#[test]
fn a_changed_challenge_is_published_anew() {
    let mut state = fresh();
    let _ = state.next(checking("a"), Duration::ZERO);
    let _ = state.next(Event::Published, Duration::ZERO);
    let _ = state.next(Event::Visible, Duration::ZERO);
    assert!(matches!(state.next(checking("b"), SECOND), Action::Publish(all) if all == [challenge("b")]));
    assert!(matches!(state.next(Event::Published, SECOND), Action::Wait { reason: FOR_VISIBILITY, .. }));
    assert!(matches!(state.next(checking("b"), SECOND), Action::Wait { .. }), "the same challenge is not published twice");
}

#[test]
fn issued_or_refused_ends_the_wait_for_visibility() {
    let mut state = fresh();
    let _ = state.next(checking("a"), Duration::ZERO);
    let _ = state.next(Event::Published, Duration::ZERO);
    assert!(matches!(state.clone().next(issued(None), SECOND), Action::Deliver(_)));
    let failed = read(OrderState::Failed { reason: "checked_fail".into() });
    assert!(refusal(&state.next(failed, SECOND)).contains("checked_fail"));
}

#[test]
fn the_old_certificate_of_a_renewal_is_not_taken_for_the_new_one() {
    let mut state = fresh();
    let pending = read_with(OrderState::Checking(vec![challenge("a")]), Some("100"));
    let _ = state.next(pending, Duration::ZERO);
    let _ = state.next(Event::Published, Duration::ZERO);
    assert!(refusal(&state.clone().next(issued(Some("100")), SECOND)).contains("from before"));
    assert!(matches!(state.next(issued(Some("101")), SECOND), Action::Deliver(_)));
    // A later run knows the baseline from the store.
    let mut resumed = State::new(terms(), true, Some("100".into()));
    assert!(refusal(&resumed.next(issued(Some("100")), SECOND)).contains("from before"));
    // An order that was never waiting is just fetched.
    assert!(matches!(fresh().next(issued(Some("100")), SECOND), Action::Deliver(_)));
}

#[test]
fn an_application_that_disappears_was_refused() {
    let mut state = fresh();
    let _ = state.next(read(OrderState::Reviewing), Duration::ZERO);
    refusal(&state.next(read(OrderState::NotSubmitted), SECOND));
    assert!(matches!(fresh().next(read(OrderState::NotSubmitted), SECOND), Action::End(Ending::Well(Outcome::NothingToDo))));
    let mut named = State::new(Terms { named: true, ..terms() }, false, None);
    assert!(matches!(
        named.next(read(OrderState::NotSubmitted), SECOND),
        Action::End(Ending::Badly(error)) if error.kind() == ErrorKind::Usage
    ));
}

#[test]
fn unknown_words_are_waited_out_to_the_end() {
    let mut state = fresh();
    let mut now = Duration::ZERO;
    loop {
        match state.next(read(OrderState::Unknown("quantum".into())), now) {
            Action::Wait { until, .. } => now = until,
            Action::End(Ending::Badly(error)) => {
                assert_eq!(error.kind(), ErrorKind::StillWaiting);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(now, Patience::default().order);
}

#[test]
fn the_challenge_has_its_own_patience() {
    let mut state = fresh();
    let _ = state.next(read(OrderState::Preparing), Duration::ZERO);
    let ten_minutes = Patience::default().challenge;
    assert!(matches!(
        state.next(Event::Due, ten_minutes),
        Action::End(Ending::Badly(error)) if error.kind() == ErrorKind::StillWaiting
    ));
}

#[test]
fn a_source_that_fails_for_a_moment_is_asked_again_when_it_says() {
    let mut state = fresh();
    let asked = Duration::from_secs(20);
    let throttled = Error::new(ErrorKind::OrderSource, "throttled").with_retry(Retry::After(asked));
    assert_eq!(until(&state.next(Event::ReadFailed(throttled), Duration::ZERO)), asked);
    let denied = Error::new(ErrorKind::Rights, "denied");
    assert!(matches!(state.next(Event::ReadFailed(denied), SECOND), Action::End(Ending::Badly(_))));
}

#[test]
fn throttling_for_minutes_is_waited_out_as_long_as_there_is_time() {
    let mut state = fresh();
    let _ = state.next(checking("a"), Duration::ZERO);
    let _ = state.next(Event::Published, Duration::ZERO);
    let _ = state.next(Event::Visible, Duration::ZERO);
    let throttled = || Event::ReadFailed(Error::new(ErrorKind::OrderSource, "throttled").with_retry(Retry::After(120 * SECOND)));
    let mut now = Duration::ZERO;
    for _ in 0..30 {
        now = until(&state.next(throttled(), now));
    }
    assert_eq!(now, 3600 * SECOND, "it is asked when it says, and not before");
    assert!(matches!(state.clone().next(issued(None), now), Action::Deliver(_)), "nothing is lost");
    // Where it asks for more than is left the run says so at once, and the records stay.
    let more = Event::ReadFailed(Error::new(ErrorKind::OrderSource, "throttled").with_retry(Retry::After(3600 * SECOND)));
    assert!(matches!(state.next(more, now), Action::End(Ending::Badly(error)) if error.to_string() == "throttled"));
}

#[test]
fn what_cannot_be_published_leaves_nothing() {
    let mut state = fresh();
    let _ = state.next(checking("a"), Duration::ZERO);
    assert!(matches!(state.next(Event::PublishFailed(Error::provider("x")), SECOND), Action::WithdrawAndEnd(Ending::Badly(_))));
}

#[test]
fn records_stay_when_the_time_is_up() {
    let mut state = fresh();
    let _ = state.next(checking("a"), Duration::ZERO);
    let _ = state.next(Event::Published, Duration::ZERO);
    let late = Error::new(ErrorKind::NotVisible, "not visible");
    assert!(matches!(state.clone().next(Event::NotVisible(late), SECOND), Action::End(Ending::Badly(_))));
    let _ = state.next(Event::Visible, SECOND);
    assert!(matches!(
        state.next(Event::Due, Patience::default().order),
        Action::End(Ending::Badly(error)) if error.kind() == ErrorKind::StillWaiting
    ));
}

#[test]
fn no_wait_publishes_sees_and_leaves() {
    let mut state = State::new(Terms { no_wait: true, ..terms() }, false, None);
    assert!(matches!(state.next(checking("a"), Duration::ZERO), Action::Publish(_)));
    assert!(matches!(state.next(Event::Published, SECOND), Action::Wait { reason: FOR_VISIBILITY, .. }));
    // A look at the order that fails meanwhile does not end the run.
    let failed = Event::ReadFailed(Error::new(ErrorKind::OrderSource, "x").with_retry(Retry::Later));
    assert!(matches!(state.next(failed, SECOND), Action::Wait { reason: FOR_VISIBILITY, .. }));
    assert!(matches!(state.next(Event::Visible, SECOND), Action::End(Ending::Well(Outcome::LeftWaiting))));
    let mut early = State::new(Terms { no_wait: true, ..terms() }, false, None);
    assert!(matches!(early.next(read(OrderState::Preparing), Duration::ZERO), Action::End(Ending::Well(Outcome::LeftWaiting))));
}

#[test]
fn a_file_is_published_like_a_record_and_waited_for_by_its_own_name() {
    let mut file = challenge("content-of-the-file");
    file.kind = ChallengeKind::File;
    let asked = || read(OrderState::Checking(vec![file.clone()]));
    let mut state = State::new(Terms { no_wait: true, ..terms() }, false, None);
    assert!(matches!(state.next(asked(), Duration::ZERO), Action::Publish(_)));
    assert!(matches!(state.next(Event::Published, SECOND), Action::Wait { reason: FOR_FILE, .. }));
    assert!(matches!(state.next(asked(), SECOND), Action::Wait { reason: FOR_FILE, .. }));
    assert!(matches!(state.next(Event::Visible, SECOND), Action::End(Ending::Well(Outcome::LeftWaiting))));
}

#[test]
fn stopping_withdraws() {
    let mut state = fresh();
    let _ = state.next(checking("a"), Duration::ZERO);
    let _ = state.next(Event::Published, Duration::ZERO);
    assert!(matches!(
        state.next(Event::Stopped, SECOND),
        Action::WithdrawAndEnd(Ending::Badly(error)) if error.kind() == ErrorKind::Interrupted
    ));
}

proptest::proptest! {
    /// Whatever happens, in whatever order, every journey that is driven on ends within its patience.
    #[test]
    fn every_journey_ends(events in proptest::collection::vec(0u8..9, 0..400)) {
        let mut state = fresh();
        let mut now = Duration::ZERO;
        let mut event = read(OrderState::Preparing);
        let mut script = events.into_iter();
        let limit = Patience::default().order + SECOND;
        for _ in 0..100_000 {
            let world = script.next();
            event = match state.next(event, now) {
                Action::End(_) | Action::WithdrawAndEnd(_) => return Ok(()),
                Action::Deliver(_) => return Ok(()),
                Action::Publish(_) => Event::Published,
                Action::Wait { until, .. } => { now = until; Event::Due }
                Action::Read => match world {
                    Some(0) => Event::ReadFailed(Error::new(ErrorKind::OrderSource, "x").with_retry(Retry::Later)),
                    Some(1) => read(OrderState::Unknown("x".into())),
                    Some(2) => read(OrderState::Reviewing),
                    Some(3) => checking("b"),
                    Some(4) => checking("c"),
                    Some(5) => Event::Visible,
                    _ => checking("a"),
                },
            };
            proptest::prop_assert!(now <= limit);
        }
        proptest::prop_assert!(false, "did not end");
    }
}

#[test]
fn a_source_that_fails_is_named_while_it_is_waited_for() {
    let mut state = fresh();
    let failed = || Event::ReadFailed(Error::new(ErrorKind::OrderSource, "HTTP 503").with_retry(Retry::Later));
    let Action::Wait { reason: FOR_SOURCE, failure: Some(why), .. } = state.next(failed(), Duration::ZERO) else {
        panic!("no wait")
    };
    assert_eq!(why, "HTTP 503");
    assert!(matches!(state.next(read(OrderState::Preparing), SECOND), Action::Wait { failure: None, .. }));
}

#[test]
fn a_dry_run_asks_three_times_and_waits_for_no_long_rest() {
    let dry = || State::new(Terms { dry_run: true, ..terms() }, false, None);
    let failed = |retry| Event::ReadFailed(Error::new(ErrorKind::OrderSource, "HTTP 503").with_retry(retry));
    let mut state = dry();
    for second in 0..2 {
        assert!(matches!(state.next(failed(Retry::Later), SECOND * second), Action::Wait { .. }));
    }
    let Action::End(Ending::Badly(error)) = state.next(failed(Retry::Later), SECOND * 2) else { panic!("it goes on") };
    assert_eq!(error.to_string(), "HTTP 503");
    assert!(matches!(dry().next(failed(Retry::After(SECOND * 60)), Duration::ZERO), Action::End(_)));
}
