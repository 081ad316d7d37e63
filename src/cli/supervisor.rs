//! What a service manager hears of a watch: systemd's protocol, on the socket that `NOTIFY_SOCKET` names. Without one, nothing is sent.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;

use crate::{journey::watch::Pulse, language::t, mutex::locked};

/// How often a watch shows that it lives, where no watchdog wants more.
const BEAT: Duration = Duration::from_secs(5);

/// The shortest time between two texts for people.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// Who supervises this process.
pub(super) struct Supervisor {
    /// How long the manager waits for a sign of life (`WATCHDOG_USEC`); `None`: it does not.
    watchdog: Option<Duration>,
    said: Mutex<Said>,
}

struct Said {
    alive: Option<Instant>,
    status: String,
    status_at: Option<Instant>,
    /// That the watch ends.
    stopping: bool,
}

impl Supervisor {
    /// As the environment of the process says.
    pub(super) fn of_process() -> Self {
        let said = Said { alive: None, status: String::new(), status_at: None, stopping: false };
        Self { watchdog: sd_notify::watchdog_enabled(), said: Mutex::new(said) }
    }

    /// How often [`Supervisor::pulse`] has to be called.
    pub(super) fn beat(&self) -> Duration {
        self.sign_of_life().unwrap_or(BEAT).min(BEAT)
    }

    /// Three signs of life in the time that the manager waits, so that one may be late.
    fn sign_of_life(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| (watchdog / 3).max(Duration::from_millis(50)))
    }

    /// The watch is up, or has its configuration.
    #[expect(clippy::unused_self, reason = "one subject for all messages")]
    pub(super) fn ready(&self) {
        send(&[NotifyState::Ready]);
    }

    /// The configuration is read again; [`Supervisor::ready`] follows.
    #[expect(clippy::unused_self, reason = "one subject for all messages")]
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!("no monotonic clock: {error}"),
        }
    }

    /// The loop has gone round once more.
    pub(super) fn pulse(&self, pulse: &Pulse) {
        let now = Instant::now();
        let mut said = locked(&self.said);
        if self.sign_of_life().is_some_and(|pause| said.alive.is_none_or(|at| now >= at + pause)) {
            said.alive = Some(now);
            send(&[NotifyState::Watchdog]);
        }
        if pulse.draining && !std::mem::replace(&mut said.stopping, true) {
            send(&[NotifyState::Stopping]);
        }
        let text = status(pulse);
        if text != said.status && said.status_at.is_none_or(|at| now >= at + STATUS_PAUSE) {
            send(&[NotifyState::Status(&text)]);
            (said.status, said.status_at) = (text, Some(now));
        }
    }
}

/// One line for `systemctl status`.
fn status(pulse: &Pulse) -> String {
    if pulse.draining {
        return t!("ending; %{carried} orders under way", carried = pulse.carried);
    }
    if let Some(obstacle) = &pulse.obstacle {
        return t!("%{carried} orders under way, but %{obstacle}", carried = pulse.carried, obstacle);
    }
    if !pulse.has_listed {
        return t!("looking for orders").to_owned();
    }
    let machines = match pulse.backlog.watchers {
        0 | 1 => String::new(),
        machines => t!("; %{machines} machines", machines),
    };
    t!(
        "%{carried} orders under way, %{due} due, %{resting} to be tried again%{machines}",
        carried = pulse.carried,
        due = pulse.backlog.due,
        resting = pulse.backlog.resting,
        machines
    )
}

/// A manager that does not listen changes nothing for the orders.
fn send(messages: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(messages) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Backlog;

    #[test]
    fn one_line_says_how_it_is_going() {
        let backlog = Backlog { due: 5, resting: 2, watchers: 3, ..Backlog::default() };
        let mut pulse = Pulse { carried: 4, backlog, has_listed: false, obstacle: None, draining: false };
        assert_eq!(status(&pulse), "looking for orders");
        pulse.has_listed = true;
        assert_eq!(status(&pulse), "4 orders under way, 5 due, 2 to be tried again; 3 machines");
        pulse.draining = true;
        assert_eq!(status(&pulse), "ending; 4 orders under way");
    }

    #[test]
    fn a_watchdog_hears_three_signs_of_life_in_its_time() {
        let beat = |watchdog| {
            let said = Said { alive: None, status: String::new(), status_at: None, stopping: false };
            Supervisor { watchdog, said: Mutex::new(said) }.beat()
        };
        assert_eq!(beat(None), BEAT);
        assert_eq!(beat(Some(Duration::from_secs(3))), Duration::from_secs(1));
        assert_eq!(beat(Some(Duration::from_secs(60))), BEAT);
        assert_eq!(beat(Some(Duration::ZERO)), Duration::from_millis(50));
    }
}
