//! Notices: programs of the user that tell somebody how an order ended. They change nothing about it.

use std::time::Duration;

use tokio::sync::Semaphore;

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
    name::{Name, in_words},
    order::OrderId,
    store::{Store, Telling, Told},
};

/// Notices at the same time: a hundred orders may fail in one second.
const AT_ONCE: usize = 4;

/// The same kind of failure of the same order is told again after so long: cron and `watch` try again and again.
const TOLD_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// So many failures are told one by one within [`WINDOW`]; then one notice says that there are more.
const ONE_BY_ONE: usize = 10;

/// The time that failures are counted over.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// How long a notice that is under way may go on after the user asked to stop.
const FINISH: Duration = Duration::from_secs(3);

/// The longest text in a variable, in characters.
const LONGEST_TEXT: usize = 2000;

/// Whom to tell. What was told already is in the store.
#[derive(Debug)]
pub struct Notices {
    on_issued: Vec<Hook>,
    on_failure: Vec<Hook>,
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
        Self { on_issued, on_failure, room: Semaphore::new(AT_ONCE) }
    }

    /// All programs.
    pub fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.on_issued.iter().chain(&self.on_failure)
    }

    /// Whether anybody is to be told of failures.
    pub fn is_told_of_failures(&self) -> bool {
        !self.on_failure.is_empty()
    }

    /// Tells of a failure of the run as a whole, unless an earlier run of the same account did; `memory` is the store and the account, where the
    /// store can be used. Returns what went wrong with that; nothing is to be done about it than to say so.
    pub async fn tell_of_run(
        &self,
        error: &Error,
        memory: Option<(&Store, &str)>,
        environment: &Environment,
        hidden: &[String],
        timeout: Duration,
    ) -> Vec<Error> {
        let about = About { environment, hidden, timeout, stop: &Stop::default() };
        self.failed(memory, None, &[], error, &about).await
    }

    async fn failed(
        &self,
        memory: Option<(&Store, &str)>,
        order: Option<&OrderId>,
        names: &[Name],
        error: &Error,
        about: &About<'_>,
    ) -> Vec<Error> {
        if self.on_failure.is_empty() || !is_told(error.kind()) {
            return Vec::new();
        }
        let message = error.to_string();
        let kind = error.kind().word();
        let decided = match memory {
            Some((store, origin)) => store.decide_telling(origin, order, kind, WINDOW, |told| decide(kind, told)).await,
            None => Ok(Telling::Tell),
        };
        // A store that fails is all the more to be told.
        let variables = match decided.unwrap_or(Telling::Tell) {
            Telling::Tell => failure_variables(order, names, &message, error),
            Telling::TellOfMore => {
                let more = Error::new(error.kind(), t!("more orders failed, such as: %{message}", message))
                    .with_hint(t!("the log, the status page or `dv-verify orders` tells which"));
                failure_variables(None, &[], more.message(), &more)
            }
            Telling::Keep => return Vec::new(),
        };
        let failures = self.run(&self.on_failure, &variables, about).await;
        if failures.len() == self.on_failure.len()
            && let Some((store, origin)) = memory
        {
            // Nobody heard it, so it was not told. That this cannot be kept either costs a notice at most.
            let _ = store.forget_telling(origin, order).await;
        }
        failures
    }

    async fn issued(&self, order: &OrderId, delivered: &Delivered, about: &About<'_>) -> Vec<Error> {
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
    let origin = surroundings.source.origin();
    if let Ok(Outcome::Issued(_)) = outcome
        && options.notices.is_told_of_failures()
    {
        let _ = surroundings.store.forget_telling(origin, Some(id)).await;
    }
    let failures = match outcome {
        Ok(Outcome::Issued(delivered)) if delivered.changed => options.notices.issued(id, delivered, &about).await,
        Ok(_) => return,
        Err(error) => {
            let memory = surroundings.store.recall(origin, id).await.ok().flatten();
            let names = memory.map(|memory| memory.domains).unwrap_or_default();
            options.notices.failed(Some((&surroundings.store, origin)), Some(id), &names, error, &about).await
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
    let names = in_words(&delivered.names);
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

/// What is done about a failure of this kind.
fn decide(kind: &str, told: &Told) -> Telling {
    match &told.last {
        Some((known, ago)) if known == kind && *ago < TOLD_AGAIN => Telling::Keep,
        _ if told.recent < ONE_BY_ONE => Telling::Tell,
        _ if told.recent == ONE_BY_ONE => Telling::TellOfMore,
        _ => Telling::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(last: Option<(&str, u64)>, recent: usize) -> Told {
        Told { last: last.map(|(kind, hours)| (kind.to_owned(), Duration::from_secs(hours * 3600))), recent }
    }

    #[test]
    fn the_same_failure_is_told_once_a_day_and_another_one_at_once() {
        assert_eq!(decide("provider", &told(None, 0)), Telling::Tell);
        assert_eq!(decide("provider", &told(Some(("provider", 0)), 1)), Telling::Keep);
        assert_eq!(decide("provider", &told(Some(("provider", 23)), 0)), Telling::Keep);
        assert_eq!(decide("provider", &told(Some(("provider", 24)), 0)), Telling::Tell);
        assert_eq!(decide("refused", &told(Some(("provider", 0)), 1)), Telling::Tell);
    }

    #[test]
    fn many_failures_are_ten_notices_and_one_that_says_so() {
        let all: Vec<Telling> = (0..13).map(|recent| decide("provider", &told(None, recent))).collect();
        assert!(all[..10].iter().all(|telling| *telling == Telling::Tell));
        assert_eq!(all[10..], [Telling::TellOfMore, Telling::Keep, Telling::Keep]);
    }

    #[test]
    fn a_variable_is_one_line() {
        assert_eq!(one_line("a\nb\0c\td"), "a b c d");
        assert_eq!(one_line(&"x".repeat(9000)).len(), LONGEST_TEXT);
    }
}
