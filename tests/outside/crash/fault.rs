//! What can go wrong, and how a test brings it about.

use std::fmt;

use dv_verify::sandbox::{Answer, Fault as Wrong, Service};

use super::{damage::Damage, kind::Kind};

/// One thing that goes wrong during a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process dies (it aborts) when a point is reached for the nth time.
    Kill(&'static str, u32),
    /// The process is held when a point is reached for the nth time, and killed from outside (SIGKILL): its other threads go on until then.
    Sigkill(&'static str, u32),
    /// Calls of a service fail: the next one, or all until the end of the run.
    Calls(Service, Broken, Times),
    /// From this point on calls of the provider fail, whatever they are for: the next one, or all until the end of the run.
    From(&'static str, Broken, Times),
    /// At this point a disk is filled, and stays so until the end of the run.
    DiskFull(&'static str, OnDisk),
    /// At this point every service and name server stops to answer, until the end of the run.
    Network(&'static str, Silence),
    /// At this point everything that listens goes away and comes back at the same addresses with all that it knew.
    Restart(&'static str),
    /// At this point the clock of this machine jumps by so many seconds.
    Clock(&'static str, i64),
    /// The clock of CAS is off by so many seconds during the whole run.
    CasClock(i64),
    /// The process dies at a point, and then a file of ours is damaged.
    Cut(&'static str, Damage),
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Connection closed, nothing done.
    Drop,
    /// Done, but the reply is lost.
    LostReply,
    /// The service says that it failed.
    Error,
    /// Too many calls.
    Throttle,
    /// Something that is no reply.
    Garbage,
}

/// How often a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    ForEver,
}

/// How a network that is gone looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Connections are closed.
    Closed,
    /// Connections are made, and no answer comes.
    Swallowed,
}

/// What lies on the disk that becomes full; the rest is elsewhere, with room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDisk {
    /// Store, notes, locks, certificates, and the web root where there is one.
    All,
    /// The state folder alone.
    State,
    /// The folder of certificates alone.
    Certificates,
}

impl Fault {
    /// What the sandbox is told before the run.
    pub(super) fn in_sandbox(&self, kind: Kind) -> Vec<Wrong> {
        match self {
            Self::Calls(service, broken, times) => {
                let service = if *service == Service::Provider { kind.service() } else { *service };
                let action = match service {
                    // The call that writes.
                    Service::Provider if kind == Kind::OneRecord => Some("POST".to_owned()),
                    Service::Provider => Some("PATCH".to_owned()),
                    _ => None,
                };
                vec![Wrong::Calls { service, action, times: times.number(), answer: broken.answer() }]
            }
            Self::CasClock(seconds) => vec![Wrong::ClockSkew { seconds: *seconds }],
            _ => Vec::new(),
        }
    }

    /// What the sandbox is told at the point.
    pub(super) fn told_at_the_point(&self, kind: Kind) -> Option<Wrong> {
        let Self::From(_, broken, times) = self else { return None };
        Some(Wrong::Calls { service: kind.service(), action: None, times: times.number(), answer: broken.answer() })
    }

    /// The point where it happens, where it has one.
    pub(super) fn point(&self) -> Option<String> {
        match self {
            Self::Kill(point, time) | Self::Sigkill(point, time) => Some(format!("{point}:{time}")),
            Self::From(point, ..)
            | Self::DiskFull(point, _)
            | Self::Network(point, _)
            | Self::Restart(point)
            | Self::Clock(point, _)
            | Self::Cut(point, _) => Some((*point).to_owned()),
            Self::Calls(..) | Self::CasClock(_) => None,
        }
    }

    /// Whether the run certainly dies of it.
    pub(super) fn kills(&self) -> bool {
        matches!(self, Self::Kill(..) | Self::Sigkill(..) | Self::Cut(..))
    }
}

impl Times {
    fn number(self) -> Option<u32> {
        (self == Self::Once).then_some(1)
    }
}

impl Broken {
    fn answer(self) -> Answer {
        match self {
            Self::Drop => Answer::Drop,
            Self::LostReply => Answer::LostReply,
            Self::Error => Answer::InternalError,
            Self::Throttle => Answer::Throttle { retry_after_ms: Some(200) },
            Self::Garbage => Answer::NotJson,
        }
    }
}

impl fmt::Display for Fault {
    /// One word for a row: `kill:publish.after-write:2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{self:?}").to_ascii_lowercase().replace(['"', ' ', ')'], "").replace(['(', ','], ":");
        f.write_str(&text)
    }
}
