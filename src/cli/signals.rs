//! Ctrl-C once: end in order. Twice: leave. SIGTERM: end in order, soon.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

use super::{exit::Exit, printer::Printer};
use crate::{
    error::{Error, ErrorKind, Result},
    journey::Stop,
    language::t,
    mutex::locked,
};

/// How long withdrawing may take after the first Ctrl-C.
const GRACE_INTERRUPT: Duration = Duration::from_secs(30);

/// How long withdrawing may take after SIGTERM: container engines kill after ten seconds.
const GRACE_TERMINATE: Duration = Duration::from_secs(8);

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Interrupt,
    Terminate,
}

/// Listens for signals until it is dropped.
#[derive(Debug)]
pub(super) struct Signals {
    first: Arc<AtomicU8>,
    task: tokio::task::JoinHandle<()>,
}

impl Signals {
    /// Starts listening, and tells `stop`. `keeps_records`: after SIGTERM the next start goes on with the records that are out there.
    ///
    /// # Errors
    /// `ErrorKind::Unexpected` where signals cannot be listened for.
    pub(super) fn listen(stop: Stop, printer: Printer, keeps_records: bool) -> Result<Self> {
        let failed =
            |error: std::io::Error| Error::new(ErrorKind::Unexpected, t!("signals cannot be listened for")).with_source(error);
        let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminates = signal(SignalKind::terminate()).map_err(failed)?;
        let first = Arc::new(AtomicU8::new(0));
        let noted = Arc::clone(&first);
        let task = tokio::spawn(async move {
            loop {
                let asked = tokio::select! {
                    Some(()) = interrupts.recv() => Asked::Interrupt,
                    Some(()) = terminates.recv() => Asked::Terminate,
                    else => return,
                };
                printer.note(obey(asked, &stop, &noted, keeps_records));
            }
        });
        Ok(Self { first, task })
    }

    /// The exit code of the first signal, where there was one.
    pub(super) fn exit(&self) -> Option<Exit> {
        match self.first.load(Ordering::SeqCst) {
            0 => None,
            code if code == Exit::TERMINATED.code() => Some(Exit::TERMINATED),
            _ => Some(Exit::failure(ErrorKind::Interrupted)),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Does what a signal asks for, and returns what to say about it.
fn obey(asked: Asked, stop: &Stop, first: &AtomicU8, keeps_records: bool) -> &'static str {
    if stop.stop.is_cancelled() {
        // SIGTERM after Ctrl-C is patience at its end too.
        stop.leave.cancel();
        return t!(
            "leaving at once; the journal knows what is still out there, and the next run or `dv-verify clean` removes it"
        );
    }
    let (grace, exit, said) = match asked {
        Asked::Interrupt => (
            GRACE_INTERRUPT,
            Exit::failure(ErrorKind::Interrupted),
            t!("stopping: removing the records of this run; Ctrl-C again leaves at once"),
        ),
        Asked::Terminate if keeps_records => {
            stop.keeps_records.store(true, Ordering::SeqCst);
            (GRACE_TERMINATE, Exit::DONE, t!("stopping: what is under way is left for the next start"))
        }
        Asked::Terminate => (GRACE_TERMINATE, Exit::TERMINATED, t!("stopping: removing the records of this run")),
    };
    first.store(exit.code(), Ordering::SeqCst);
    *locked(&stop.grace) = grace;
    stop.stop.cancel();
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grace(stop: &Stop) -> Duration {
        *stop.grace.lock().unwrap()
    }

    #[test]
    fn the_first_interrupt_stops_and_the_second_leaves() {
        let (stop, first) = (Stop::default(), AtomicU8::new(0));
        obey(Asked::Interrupt, &stop, &first, false);
        assert!(stop.stop.is_cancelled() && !stop.leave.is_cancelled());
        assert_eq!(grace(&stop), Duration::from_secs(30));
        obey(Asked::Interrupt, &stop, &first, false);
        assert!(stop.leave.is_cancelled());
        assert_eq!(first.load(Ordering::SeqCst), 130);
    }

    #[test]
    fn sigterm_has_less_time_and_its_own_code() {
        let (stop, first) = (Stop::default(), AtomicU8::new(0));
        obey(Asked::Terminate, &stop, &first, false);
        assert_eq!(grace(&stop), Duration::from_secs(8));
        obey(Asked::Interrupt, &stop, &first, false);
        assert!(stop.leave.is_cancelled());
        assert_eq!(first.load(Ordering::SeqCst), 143, "the first signal names the exit code");
    }

    #[test]
    fn a_watch_keeps_its_records_after_sigterm_and_not_after_an_interrupt() {
        for (asked, keeps) in [(Asked::Terminate, true), (Asked::Interrupt, false)] {
            let (stop, first) = (Stop::default(), AtomicU8::new(0));
            obey(asked, &stop, &first, true);
            assert!(stop.stop.is_cancelled());
            assert_eq!(stop.keeps_records.load(Ordering::SeqCst), keeps);
        }
    }
}
