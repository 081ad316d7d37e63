//! `test`: two random values are written, seen, and removed again, which proves credentials, rights and the manners of a provider.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Permission, Stop, Surroundings,
    event::Event,
    guard,
    publish::{self, Planned},
    sight, withdraw,
};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    mutex::locked,
    name::Name,
    propagation::{Expectation, Round, Verdict},
    record::{Record, RecordType},
    store::{Holder, LockKey},
};

/// The longest pause between two looks for what was removed.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a trial does next, or what it found.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The provider holds this zone for the name.
    Located(&'a Name),
    /// Every authority that counts shows this value, so long after the write began.
    Seen(&'a Record, Duration),
    /// No authority that answers shows this value any more, so long after the removal began.
    Gone(&'a Record, Duration),
}

/// A trial that went well.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The provider instance.
    pub provider: String,
    /// The zone at the provider.
    pub zone: Name,
    /// The random name that was written, and is gone.
    pub name: Name,
    /// From the first write to the value being visible.
    pub delay: Duration,
    /// From the last removal to no authority showing the value.
    pub removal_delay: Duration,
}

/// Writes two random values at a random name of `zone`, sees both at its name servers, removes one, sees that the other is still
/// there, and removes that. One value only where the provider can hold no more at a name. Whatever goes wrong, or where `stop` is
/// cancelled, both values are withdrawn; they are in the journal, so that `clean` finds them after a crash.
///
/// # Errors
/// As the provider's; `ErrorKind::NotVisible` where a value does not appear, or does not go, within `patience` (`None`: max(15 min,
/// twice the provider's usual delay)); `ErrorKind::Provider` where adding or removing one value changed the other;
/// `ErrorKind::Usage` for a provider that cannot remove values.
pub async fn trial(
    surroundings: &Surroundings,
    zone: &Name,
    patience: Option<Duration>,
    stop: &Stop,
    tell: &mut (dyn FnMut(Step<'_>) + Send),
) -> Result<Trial> {
    let mark = format!("{:016x}", rand::random::<u64>());
    let name = Name::parse(&format!("_dv-verify-test-{mark}.{zone}"))?;
    let holder = Holder::trial(&mark);
    // Held while this runs: `clean` takes a trial that nobody holds for one that was killed.
    let _lock = surroundings.store.try_lock(&LockKey::Order(holder.clone())).await?;
    let outcome = tokio::select! {
        outcome = attempt(surroundings, zone, &name, &holder, patience, tell) => outcome,
        () = stop.stop.cancelled() => Err(Error::new(ErrorKind::Interrupted, t!("interrupted during the test"))),
    };
    let grace = *locked(&stop.grace);
    let withdrawn = tokio::select! {
        withdrawn = tokio::time::timeout(grace, withdraw::withdraw_all(surroundings, &holder, None)) => withdrawn.unwrap_or_default(),
        () = stop.leave.cancelled() => Vec::new(),
    };
    let trial = outcome?;
    withdrawn.into_iter().next().map_or(Ok(trial), Err)
}

async fn attempt(
    surroundings: &Surroundings,
    asked: &Name,
    name: &Name,
    holder: &Holder,
    patience: Option<Duration>,
    tell: &mut (dyn FnMut(Step<'_>) + Send),
) -> Result<Trial> {
    let routed = surroundings.routing.route(name)?;
    let capabilities = routed.provider.capabilities();
    publish::require_type(&routed, &capabilities, RecordType::Txt)?;
    if !capabilities.removal {
        return Err(Error::usage(t!(
            "provider `%{instance}` cannot remove values, so that a test would leave two behind",
            instance = routed.instance
        ))
        .with_hint(t!("add one value with `dv-verify record add`, and look at it with `dv-verify check`")));
    }
    publish::warn_about(surroundings, &routed, None);
    let patience = sight::patience(patience, capabilities.usual_delay);
    let zone = routed.locate(name).await?;
    permit(name, asked, &zone.name)?;
    tell(Step::Located(&zone.name));
    let record =
        |value: u64| Record { name: name.clone(), record_type: RecordType::Txt, value: format!("dv-verify-test-{value:016x}") };
    let plan = |record: &Record| Planned { record: record.clone(), routed: routed.clone(), zone: zone.clone() };
    let (one, other) = (record(rand::random()), record(rand::random()));
    let both: &[&Record] = if capabilities.several_values { &[&one, &other] } else { &[&one] };

    let mut delay = Duration::ZERO;
    for record in both {
        let begun = Instant::now();
        publish::publish(surroundings, &plan(record), std::slice::from_ref(holder), None).await?;
        see(surroundings, record, capabilities.usual_delay, begun + patience).await?;
        tell(Step::Seen(record, begun.elapsed()));
        delay = if delay.is_zero() { begun.elapsed() } else { delay };
    }
    if both.len() == 2 && !shows_anywhere(&surroundings.propagation.look(&one).await?) {
        return Err(broke(&routed.instance, t!("adding a second value at the name took the first one away")));
    }
    // What was measured makes the next wait in this zone shorter.
    let _ = surroundings.store.note_delay(&zone.name, &routed.instance, delay).await;

    let mut removal_delay = Duration::ZERO;
    for (index, record) in both.iter().enumerate() {
        let begun = Instant::now();
        remove(surroundings, record, holder).await?;
        wait_gone(surroundings, record, begun + patience).await?;
        removal_delay = begun.elapsed();
        tell(Step::Gone(record, removal_delay));
        if index + 1 < both.len() && !shows_anywhere(&surroundings.propagation.look(&other).await?) {
            return Err(broke(&routed.instance, t!("removing one value took the other one away")));
        }
    }
    Ok(Trial { provider: routed.instance, zone: zone.name, name: name.clone(), delay, removal_delay })
}

/// The person says the zone, so that nothing else may be written: the provider must not place the name elsewhere.
fn permit(name: &Name, asked: &Name, zone: &Name) -> Result<()> {
    let request = guard::Request { name, target: name, zone, domains: &[], root_domain: None, rewrites_set: false };
    guard::permit(&request, &Permission { zones: vec![asked.clone()], zones_limit: true, ..Permission::default() })
}

async fn see(surroundings: &Surroundings, record: &Record, usual_delay: Option<Duration>, deadline: Instant) -> Result<()> {
    let observer = &surroundings.observer;
    let expectation = Expectation { usual_delay, measured: Vec::new() };
    let mut told = |round: &Round| observer.event(&Event::Verdicts { order: None, round });
    surroundings.propagation.wait(record, &expectation, deadline, &mut told).await?;
    Ok(())
}

async fn remove(surroundings: &Surroundings, record: &Record, holder: &Holder) -> Result<()> {
    for entry in surroundings.store.entries().await? {
        if entry.record == *record {
            withdraw::withdraw(surroundings, &entry, std::slice::from_ref(holder), None).await?;
        }
    }
    Ok(())
}

/// Waits until no authority that answers shows the record. The pauses grow from a quarter of a second.
async fn wait_gone(surroundings: &Surroundings, record: &Record, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_millis(250);
    while shows_anywhere(&surroundings.propagation.look(record).await?) {
        if Instant::now() >= deadline {
            return Err(Error::new(
                ErrorKind::NotVisible,
                t!("%{name} was removed at the provider, but name servers still show it", name = record.name),
            )
            .with_hint(t!(
                "the provider may be slow: look again with `dv-verify check`, or give more time with `--propagation-timeout`"
            )));
        }
        tokio::time::sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
    }
    Ok(())
}

fn shows_anywhere(round: &Round) -> bool {
    round.observations.iter().any(|observation| observation.verdict == Verdict::Visible)
}

fn broke(instance: &str, what: &str) -> Error {
    Error::new(ErrorKind::Provider, t!("provider `%{instance}`: %{what}", instance, what)).with_hint(t!(
        "do not use this provider beside other users of the name; please report it, with `providers show` and the version"
    ))
}
