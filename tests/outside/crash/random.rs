//! Several faults in a row, drawn from a seed. Off unless `DV_TEST_CRASH_ROUNDS` says how many scenes; scene `n` of the seed
//! `DV_TEST_CRASH_SEED` (default: 1) is the same one every time, and `DV_TEST_CRASH_FIRST` begins at another than the first.

use dv_verify::{failpoint::POINTS, sandbox::Service};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    damage::Damage,
    fault::{Broken, Fault, Silence, Times},
    kind::Kind,
    matrix,
    scene::Scene,
};

/// The most faults of one scene.
const LONGEST: usize = 5;

/// Points that every run of an unfinished order comes to, so that a pause there is reached.
const ALWAYS: [&str; 2] = ["read.before", "read.after"];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn pick<T: Copy>(random: &mut StdRng, all: &[T]) -> T {
    all[random.random_range(0..all.len())]
}

/// One fault. Where a point is not reached in this run, nothing goes wrong in it, which is fine.
fn fault(random: &mut StdRng) -> Fault {
    let broken = [Broken::Drop, Broken::LostReply, Broken::Error, Broken::Throttle, Broken::Garbage];
    match random.random_range(0..12) {
        0..=1 => Fault::Sigkill(pick(random, POINTS), random.random_range(1..=2)),
        2..=5 => Fault::Kill(pick(random, POINTS), random.random_range(1..=2)),
        6 => Fault::Calls(Service::Provider, pick(random, &broken), Times::Once),
        7 => Fault::Calls(Service::Cas, pick(random, &broken), Times::Once),
        8 => Fault::Network(pick(random, &ALWAYS), pick(random, &[Silence::Closed, Silence::Swallowed])),
        9 => Fault::Restart(pick(random, &ALWAYS)),
        10 => Fault::Clock(pick(random, POINTS), random.random_range(-3..=3) * 50_000),
        // The store is not among them: what only it knew may be lost with it, and one fault at a time shows what can be promised.
        _ => Fault::Cut(
            pick(random, POINTS),
            pick(random, &[Damage::LocksCut, Damage::CertificateCut, Damage::LiveDangling, Damage::LiveGone]),
        ),
    }
}

fn scene(seed: u64, number: u64) -> Result<(), String> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
    let kind = pick(&mut random, &Kind::ALL);
    let orders = random.random_range(1..=2);
    let faults: Vec<Fault> = (0..random.random_range(1..=LONGEST)).map(|_| fault(&mut random)).collect();
    let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let told = |why: String| format!("{}/{orders}: {}\n{why}", kind.word(), words.join(", "));
    let mut scene = Scene::new(kind, orders, None).map_err(told)?;
    scene.is_lenient = true;
    for fault in &faults {
        scene.run_with(fault).map_err(told)?;
    }
    scene.finish().map_err(told)
}

#[test]
fn several_faults_in_a_row() {
    let Some(rounds) = number("DV_TEST_CRASH_ROUNDS") else {
        eprintln!("left out: random crashes (DV_TEST_CRASH_ROUNDS says how many scenes)");
        return;
    };
    let (seed, first) = (number("DV_TEST_CRASH_SEED").unwrap_or(1), number("DV_TEST_CRASH_FIRST").unwrap_or(0));
    let numbers: Vec<u64> = (first..first + rounds).collect();
    matrix::all_at_once(&numbers, |number| {
        scene(seed, *number).map(|()| true).map_err(|why| {
            format!(
                "alone: DV_TEST_CRASH_SEED={seed} DV_TEST_CRASH_FIRST={number} DV_TEST_CRASH_ROUNDS=1 \
                 cargo test --all-features --test main several_faults_in_a_row\n{why}"
            )
        })
    });
}
