//! Notices: programs of the user that tell somebody how an order ended. They change nothing about it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use super::{
    Stop,
    driver::Run,
    event::{Event, Outcome},
};
use crate::{
    delivery::{self, Delivered},
    environment::Environment,
    error::{Error, ErrorKind, Result},
    hook::Hook,
    language::t,
    name::Name,
    order::OrderId,
};

/// Notices at the same time: a hundred orders may fail in one second.
const AT_ONCE: usize = 4;

/// The same failure of the same order is told again after so long (`watch` tries again and again).
const TOLD_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// So many failures are told one by one within [`WINDOW`]; then one notice says that there are more.
const ONE_BY_ONE: usize = 10;

/// The time that failures are counted over.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// How long a notice that is under way may go on after the user asked to stop.
const FINISH: Duration = Duration::from_secs(3);

/// The longest text in a variable, in characters.
const LONGEST_TEXT: usize = 2000;

/// Whom to tell, and what was told already.
#[derive(Debug)]
pub struct Notices {
    on_issued: Vec<Hook>,
    on_failure: Vec<Hook>,
    told: Mutex<Told>,
    room: Semaphore,
}

impl Default for Notices {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

impl Notices {
    /// Tells these programs.
    pub fn new(on_issued: Vec<Hook>, on_failure: Vec<Hook>) -> Self {
        Self { on_issued, on_failure, told: Mutex::default(), room: Semaphore::new(AT_ONCE) }
    }

    /// All programs.
    pub fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.on_issued.iter().chain(&self.on_failure)
    }

    /// Tells of a failure of the run as a whole. Returns what went wrong with that; nothing is to be done about it than to say so.
    pub async fn tell_of_run(
        &self,
        error: &Error,
        environment: &Environment,
        hidden: &[String],
        timeout: Duration,
    ) -> Vec<Error> {
        let about = About { environment, hidden, timeout, stop: &Stop::default() };
        self.failed(None, &[], error, &about).await
    }

    async fn failed(&self, order: Option<&OrderId>, names: &[Name], error: &Error, about: &About<'_>) -> Vec<Error> {
        if self.on_failure.is_empty() || !is_told(error.kind()) {
            return Vec::new();
        }
        let message = error.to_string();
        let decided = self.told.lock().unwrap_or_else(PoisonError::into_inner).decide(order, &message, Instant::now());
        let variables = match decided {
            Decision::Tell => failure_variables(order, names, &message, error),
            Decision::TellOfMore => {
                let more = Error::new(error.kind(), t!("more orders failed, such as: %{message}", message))
                    .with_hint(t!("the log, the status page or `dv-verify orders` tells which"));
                failure_variables(None, &[], more.message(), &more)
            }
            Decision::Keep => return Vec::new(),
        };
        self.run(&self.on_failure, &variables, about).await
    }

    async fn issued(&self, order: &OrderId, delivered: &Delivered, about: &About<'_>) -> Vec<Error> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).forget(order);
        if self.on_issued.is_empty() {
            return Vec::new();
        }
        self.run(&self.on_issued, &issued_variables(order, delivered), about).await
    }

    async fn run(&self, hooks: &[Hook], variables: &[(&'static str, String)], about: &About<'_>) -> Vec<Error> {
        let Ok(_room) = self.room.acquire().await else { return Vec::new() };
        let mut failures = Vec::new();
        for hook in hooks {
            let stopped = async {
                about.stop.stop.cancelled().await;
                tokio::time::sleep(FINISH).await;
            };
            let outcome = tokio::select! {
                outcome = hook.run(variables, about.environment, about.hidden, about.timeout) => outcome,
                () = stopped => Err(Error::new(ErrorKind::Interrupted, t!("a notice was broken off, since the run was to end"))),
            };
            failures.extend(outcome.err().map(|error| match error.hint() {
                Some(_) => error,
                None => {
                    error.with_hint(t!("the order is not concerned; call the program by hand with DV_EVENT and DV_MESSAGE set"))
                }
            }));
        }
        failures
    }
}

/// What a program is run with.
struct About<'a> {
    environment: &'a Environment,
    hidden: &'a [String],
    timeout: Duration,
    stop: &'a Stop,
}

/// Tells how an order of a run ended. What goes wrong with that is a warning.
pub(super) async fn tell(run: &Run<'_>, id: &OrderId, outcome: &Result<Outcome>) {
    let (surroundings, options) = (run.surroundings, run.options);
    if options.dry_run {
        return;
    }
    let about = About {
        environment: &surroundings.environment,
        hidden: &options.hidden_variables,
        timeout: options.hook_timeout,
        stop: run.stop,
    };
    let failures = match outcome {
        Ok(Outcome::Issued(delivered)) if delivered.changed => options.notices.issued(id, delivered, &about).await,
        Ok(_) => return,
        Err(error) => {
            let memory = surroundings.store.recall(surroundings.source.origin(), id).await.ok().flatten();
            let names = memory.map(|memory| memory.domains).unwrap_or_default();
            options.notices.failed(Some(id), &names, error, &about).await
        }
    };
    for error in failures {
        // Of no order: this one has ended, and nothing of it comes after its end.
        let message = t!("notice about order `%{id}`: %{error}", id, error);
        surroundings.observer.event(&Event::Warning { order: None, message: &message, hint: error.hint() });
    }
}

/// What the user did, and what another run does, is no news.
fn is_told(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Interrupted | ErrorKind::Held)
}

fn failure_variables(order: Option<&OrderId>, names: &[Name], message: &str, error: &Error) -> Vec<(&'static str, String)> {
    vec![
        ("DV_EVENT", "failed".to_owned()),
        ("DV_ORDER_ID", order.map(ToString::to_string).unwrap_or_default()),
        ("DV_NAMES", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        ("DV_MESSAGE", one_line(message)),
        ("DV_HINT", one_line(error.hint().unwrap_or_default())),
        ("DV_KIND", error.kind().word().to_owned()),
        ("DV_EXIT_CODE", error.kind().exit_code().to_string()),
    ]
}

/// The paths of a delivery's hook, but for the private key's.
fn issued_variables(order: &OrderId, delivered: &Delivered) -> Vec<(&'static str, String)> {
    let until = delivered.not_after.strftime("%Y-%m-%d");
    let names = delivered.names.iter().map(Name::unicode).collect::<Vec<_>>().join(", ");
    let mut all = delivery::variables(delivered, order);
    all.retain(|(name, _)| *name != "DV_PRIVKEY");
    all.push(("DV_EVENT", "issued".to_owned()));
    all.push(("DV_MESSAGE", one_line(&t!("new certificate for %{names} until %{until}", names, until))));
    all
}

/// A text that is one line, not endless, and fit for a variable.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect()
}

/// What is done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It is told.
    Tell,
    /// It is told that there are more.
    TellOfMore,
    /// It was told already, or there were too many.
    Keep,
}

/// What was told, so that nobody is told the same all night.
#[derive(Debug, Default)]
struct Told {
    last: HashMap<Option<OrderId>, (String, Instant)>,
    /// When failures were told within the window.
    recent: Vec<Instant>,
}

impl Told {
    fn decide(&mut self, order: Option<&OrderId>, message: &str, now: Instant) -> Decision {
        self.last.retain(|_, (_, at)| now.duration_since(*at) < TOLD_AGAIN);
        self.recent.retain(|at| now.duration_since(*at) < WINDOW);
        if self.last.get(&order.cloned()).is_some_and(|(known, _)| known == message) {
            return Decision::Keep;
        }
        let decision = match self.recent.len() {
            ..ONE_BY_ONE => Decision::Tell,
            ONE_BY_ONE => Decision::TellOfMore,
            _ => return Decision::Keep,
        };
        self.recent.push(now);
        if decision == Decision::Tell {
            self.last.insert(order.cloned(), (message.to_owned(), now));
        }
        decision
    }

    fn forget(&mut self, order: &OrderId) {
        self.last.remove(&Some(order.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> OrderId {
        OrderId::parse(text).unwrap()
    }

    #[test]
    fn the_same_failure_is_told_once_in_six_hours_and_another_one_at_once() {
        let (mut told, began) = (Told::default(), Instant::now());
        let mut decide = |order: &str, message: &str, minutes: u64| {
            told.decide(Some(&id(order)), message, began + Duration::from_secs(60 * minutes))
        };
        assert_eq!(decide("a", "x", 0), Decision::Tell);
        assert_eq!(decide("a", "x", 1), Decision::Keep);
        assert_eq!(decide("b", "x", 2), Decision::Tell);
        assert_eq!(decide("a", "y", 3), Decision::Tell);
        assert_eq!(decide("a", "y", 300), Decision::Keep);
        assert_eq!(decide("a", "y", 364), Decision::Tell);
        told.forget(&id("a"));
        assert_eq!(told.decide(Some(&id("a")), "y", began + Duration::from_secs(60 * 365)), Decision::Tell);
    }

    #[test]
    fn many_failures_are_ten_notices_and_one_that_says_so() {
        let (mut told, began) = (Told::default(), Instant::now());
        let decisions: Vec<Decision> =
            (0..300).map(|number| told.decide(Some(&id(&format!("o-{number}"))), "x", began)).collect();
        assert!(decisions[..10].iter().all(|decision| *decision == Decision::Tell));
        assert_eq!(decisions[10], Decision::TellOfMore);
        assert!(decisions[11..].iter().all(|decision| *decision == Decision::Keep));
        // Later there is room again, also for those that were kept.
        assert_eq!(told.decide(Some(&id("o-299")), "x", began + WINDOW), Decision::Tell);
    }

    #[test]
    fn a_variable_is_one_line() {
        assert_eq!(one_line("a\nb\0c\td"), "a b c d");
        assert_eq!(one_line(&"x".repeat(9000)).len(), LONGEST_TEXT);
    }
}
