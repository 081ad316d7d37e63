//! The line of names, without any server.

use super::*;

const HERE: ([u8; 4], u16) = ([127, 0, 0, 1], 53);

fn zone() -> Arc<Fellowship> {
    Fellowships::default().of(&Name::parse("example.test").unwrap())
}

fn joined(fellowship: &Arc<Fellowship>, address: impl Into<SocketAddr>, since: Instant) -> Place {
    fellowship.join(address.into(), since, &Arc::default())
}

fn line(of: usize, since: Instant) -> Vec<Place> {
    let zone = zone();
    (0..of).map(|_| joined(&zone, HERE, since)).collect()
}

fn invited(line: &[Place]) -> Vec<usize> {
    (0..line.len()).filter(|number| line[*number].is_invited()).collect()
}

/// Whether its bell was rung since this was asked last.
async fn hears(place: &Place) -> bool {
    tokio::time::timeout(Duration::ZERO, place.bell.notified()).await.is_ok()
}

#[test]
fn one_that_is_seen_invites_its_neighbours_once() {
    let now = Instant::now();
    let line = line(100, now);
    line[50].sees(now);
    assert_eq!(invited(&line), [49, 51]);
    assert_eq!(invited(&line), [0; 0]);
    // Those that see theirs invite on, twice as many each time; those that are being asked are left alone for a while.
    line[51].sees(now);
    assert_eq!(invited(&line), [48, 52, 53]);
    line[49].sees(now);
    assert_eq!(invited(&line), (45..=47).chain([54, 55]).collect::<Vec<_>>());
    for number in [48, 52, 53, 54] {
        line[number].sees(now);
    }
    assert_eq!(invited(&line), (32..=44).chain(56..=70).collect::<Vec<_>>());
    // One that does not see its record ends that.
    line[70].lacks(true);
    line[69].sees(now);
    assert_eq!(invited(&line), [0; 0]);
    line[30].sees(now);
    assert_eq!(invited(&line), [28, 29, 31]);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_not_there_is_invited_again_later() {
    let now = Instant::now();
    let line = line(3, now);
    line[0].sees(now);
    assert_eq!(invited(&line), [1]);
    line[1].lacks(true);
    line[2].sees(now);
    assert_eq!(invited(&line), [0; 0]);
    line[0].lacks(true);
    tokio::time::advance(AGAIN).await;
    line[2].lacks(true);
    line[2].sees(now);
    assert_eq!(invited(&line), [1]);
}

#[test]
fn what_was_published_later_is_not_expected() {
    let zone = zone();
    let begun = Instant::now();
    let at = |address: ([u8; 4], u16), seconds| joined(&zone, address, begun + Duration::from_secs(seconds));
    let (early, canary, beside, late) = (at(HERE, 0), at(HERE, 60), at(HERE, 63), at(HERE, 120));
    let elsewhere = at(([127, 0, 0, 2], 53), 0);
    canary.sees(begun);
    assert!(early.is_invited() && beside.is_invited());
    assert!(!late.is_invited() && !elsewhere.is_invited());
    let last = at(HERE, 121);
    last.sees(begun);
    assert!(late.is_invited());
}

#[tokio::test]
async fn every_other_turn_is_that_of_the_first_behind_those_that_were_seen() {
    let now = Instant::now();
    let line = line(4, now);
    let turns = |line: &[Place]| line.iter().map(|place| (place.turn().rank, place.turn().of)).collect::<Vec<_>>();
    assert_eq!(turns(&line), [(0, 2), (1, 6), (3, 6), (5, 6)]);
    assert!(line.iter().all(|place| place.turn().phase.to_bits() == line[0].turn().phase.to_bits()));
    line[1].sees(now);
    // Whose turn it is now hears of it.
    assert!(hears(&line[2]).await);
    assert_eq!(turns(&line[..1]), [(1, 4)]);
    assert_eq!(turns(&line[2..]), [(0, 2), (3, 4)]);
    // Nobody is behind the last.
    line[3].sees(now);
    assert_eq!((turns(&line[..1]), turns(&line[2..3])), (vec![(0, 2)], vec![(1, 2)]));
    line[2].sees(now);
    assert_eq!(turns(&line[..1]), [(0, 1)]);
}

#[tokio::test]
async fn a_line_that_gets_shorter_is_told_so() {
    let now = Instant::now();
    let mut line = line(100, now);
    let last = line.pop().unwrap();
    line.truncate(76);
    assert!(!hears(&last).await);
    line.truncate(74);
    assert!(hears(&last).await);
    assert!(!last.is_invited());
}

#[test]
fn one_asks_once_more_for_all_unless_that_was_in_vain() {
    let zone = zone();
    let begun = Instant::now();
    let after = |seconds| begun + Duration::from_secs(seconds);
    let (one, two, late) = (joined(&zone, HERE, begun), joined(&zone, HERE, begun), joined(&zone, HERE, after(60)));
    one.sees(after(1));
    two.sees(after(2));
    // The younger sighting is good for the older one, but not for a record that was published later.
    assert!(one.is_vouched_for(after(2)) && !one.is_vouched_for(after(3)) && !late.is_vouched_for(after(2)));
    assert!(one.may_confirm() && one.may_confirm() && !two.may_confirm());
    one.sees(after(9));
    assert!(two.is_vouched_for(after(9)));
    // Whoever leaves hands it on.
    assert!(two.may_confirm() && !one.may_confirm());
    drop(two);
    assert!(one.may_confirm());
    one.lacks(true);
    assert!(late.may_confirm() && one.may_confirm() && !one.is_vouched_for(after(9)));
}

#[test]
fn a_lost_answer_lets_another_name_ask_and_two_let_everybody() {
    let now = Instant::now();
    let names = line(3, now);
    let others_may = || names.iter().filter(|name| name.may_confirm()).count();
    for name in &names {
        name.sees(now);
    }
    assert!(names[0].may_confirm());
    names[0].lacks(false);
    assert!(names[1].may_confirm() && others_may() == 1 && names[2].is_vouched_for(now));
    // An answer in between makes it the first one again.
    names[1].sees(now);
    assert!(names[1].may_confirm());
    names[1].lacks(false);
    assert_eq!(others_may(), 1);
    names[0].lacks(false);
    assert!(others_may() == 3 && !names[2].is_vouched_for(now));
}
