//! How many files this process may have open: locks and connections are files, and each order takes some of both.

use std::sync::Once;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is never of use here, and programs of the user, which inherit the limit, may go through all numbers below it.
const ENOUGH: u64 = 65_536;

/// What one order may have open at the same time: two locks, and connections to the order source, to a provider, and to two name servers.
const OF_AN_ORDER: u64 = 6;

/// What a process has open whatever it does.
const OF_A_PROCESS: u64 = 32;

/// Allows this process as many open files as the administrator lets it have. Shells and cron begin with 1024 mostly, for the sake of programs
/// that are older than `poll`.
pub(crate) fn allow() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
    {
        tracing::debug!("the limit of open files stays at {:?}: {error}", limit.current);
    }
}

/// How many orders fit, `wanted` at most.
pub(crate) fn room_for_orders(wanted: usize) -> usize {
    let fitting = orders_within(getrlimit(Resource::Nofile).current);
    if fitting < wanted {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            tracing::info!("the limit of open files (`ulimit -n`) leaves room for {fitting} orders at the same time");
        });
    }
    wanted.min(fitting)
}

/// How many orders fit into a limit of open files; at least one.
fn orders_within(limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return usize::MAX };
    usize::try_from(limit.saturating_sub(OF_A_PROCESS) / OF_AN_ORDER).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits() {
        assert_eq!(orders_within(None), usize::MAX);
        assert_eq!(orders_within(Some(0)), 1);
        assert_eq!(orders_within(Some(256)), 37);
        assert_eq!(orders_within(Some(1024)), 165);
        assert_eq!(orders_within(Some(20_000)), 3_328);
    }
}
