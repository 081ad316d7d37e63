//! Locks between machines: rows of PostgreSQL that end by themselves when the run that took them no longer says that it lives.
//!
//! All times are those of the database, so the clocks of the machines do not matter.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{sync::mpsc, task::JoinHandle, time::MissedTickBehavior};

use super::{
    LockKey,
    database::{Database, sql},
    fault::{Place, database_failed},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    mutex::locked,
};

/// The database's time in milliseconds since 1970.
macro_rules! now {
    () => {
        "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT"
    };
}
pub(super) use now;

/// How often a run says that it lives, within the time that a lease runs.
const BEATS: u32 = 3;

/// All leases of this run. Cheap to clone; the heart-beat ends with the last clone.
#[derive(Clone)]
pub(super) struct Leases(Arc<Shared>);

struct Shared {
    database: Database,
    place: Place,
    /// The run: machine, process, and a number that no other run has.
    run: String,
    /// How long a lease runs without a sign of life.
    runs_for: Duration,
    /// What this process holds, with the token of each.
    held: Mutex<HashMap<String, String>>,
    /// Leases to give back, for the heart-beat's task.
    freed: mpsc::UnboundedSender<(String, String)>,
    heart: JoinHandle<()>,
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leases({})", self.0.run)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

impl Leases {
    /// Begins the heart-beat.
    pub(super) fn new(pool: PgPool, place: Place, run: String, runs_for: Duration) -> Self {
        let (freed, to_free) = mpsc::unbounded_channel();
        let database = Database::Postgres(pool);
        let heart = tokio::spawn(beat(database.clone(), run.clone(), runs_for, to_free));
        Self(Arc::new(Shared { database, place, run, runs_for, held: Mutex::default(), freed, heart }))
    }

    /// The name of this run.
    pub(super) fn run(&self) -> &str {
        &self.0.run
    }

    /// How long a lease runs, in milliseconds.
    pub(super) fn runs_for(&self) -> i64 {
        milliseconds(self.0.runs_for)
    }

    /// Takes the lease if it is free, or has run out.
    pub(super) async fn try_take(&self, key: &LockKey) -> Result<Option<Lease>> {
        let name = key.to_string();
        let token = format!("{:032x}", rand::random::<u128>());
        {
            let mut held = self.held();
            if held.contains_key(&name) {
                return Ok(None);
            }
            held.insert(name.clone(), token.clone());
        }
        // From here on, whatever happens (also when this future is dropped) gives the lease back.
        let lease = Lease { leases: self.clone(), name, token };
        // A row of ours that nobody holds is one that is about to be given back.
        let row = sql(concat!(
            "INSERT INTO leases (name, holder, token, expires) VALUES ($1, $2, $3, ",
            now!(),
            " + $4) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, token = excluded.token, expires = excluded.expires \
             WHERE leases.expires <= ",
            now!(),
            " OR leases.holder = excluded.holder RETURNING name"
        ))
        .bind(&lease.name)
        .bind(self.run())
        .bind(&lease.token)
        .bind(self.runs_for())
        .fetch_optional(self.0.database.on())
        .await
        .map_err(|error| database_failed(&self.0.place, error))?;
        Ok(row.map(|_| lease))
    }

    /// Who holds the lease.
    pub(super) async fn holder(&self, key: &LockKey) -> Option<String> {
        let statement = sql("SELECT holder FROM leases WHERE name = $1").bind(key.to_string());
        statement.fetch_optional(self.0.database.on()).await.ok()??.text("holder").ok()
    }

    /// Gives everything back that this run has.
    pub(super) async fn give_all_back(&self) -> sqlx::Result<()> {
        sql("UPDATE work SET claimed_by = NULL, claimed_until = 0 WHERE claimed_by = $1")
            .bind(self.run())
            .execute(self.0.database.on())
            .await?;
        sql("DELETE FROM leases WHERE holder = $1").bind(self.run()).execute(self.0.database.on()).await?;
        Ok(())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        locked(&self.0.held)
    }
}

/// A lease that this run has; given back on drop.
#[derive(Debug)]
pub(super) struct Lease {
    leases: Leases,
    name: String,
    token: String,
}

impl Lease {
    /// Renews it, if it is still ours.
    pub(super) async fn confirm(&self) -> Result<()> {
        let shared = &self.leases.0;
        let renewed = sql(concat!("UPDATE leases SET expires = ", now!(), " + $3 WHERE name = $1 AND token = $2"))
            .bind(&self.name)
            .bind(&self.token)
            .bind(self.leases.runs_for())
            .execute(shared.database.on())
            .await
            .map_err(|error| database_failed(&shared.place, error))?;
        if renewed > 0 {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Held,
            t!(
                "the lock on %{name} is lost: this run gave no sign of life for %{runs_for} s",
                name = self.name,
                runs_for = shared.runs_for.as_secs()
            ),
        )
        .with_hint(t!("another machine goes on with it; see whether this one was frozen, or cut off from the database"))
        .with_retry(Retry::Later))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.held();
        held.remove(&self.name);
        // Where the task has ended, the lease runs out by itself.
        let _ = self.leases.0.freed.send((std::mem::take(&mut self.name), std::mem::take(&mut self.token)));
    }
}

/// Says that the run lives, and gives back what it no longer needs. A beat that fails is made up for by the next.
async fn beat(database: Database, run: String, runs_for: Duration, mut freed: mpsc::UnboundedReceiver<(String, String)>) {
    let mut ticks = tokio::time::interval(runs_for / BEATS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut to_free: Vec<(String, String)> = Vec::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                // Before the beat, which would keep them alive.
                to_free = give_back(&database, to_free).await;
                // What ran out stays ours as long as nobody else has taken it.
                let leases = concat!("UPDATE leases SET expires = ", now!(), " + $2 WHERE holder = $1");
                let claims = concat!("UPDATE work SET claimed_until = ", now!(), " + $2 WHERE claimed_by = $1");
                for statement in [leases, claims] {
                    let beaten = sql(statement).bind(&run).bind(milliseconds(runs_for)).execute(database.on()).await;
                    if let Err(error) = beaten {
                        tracing::warn!("the database did not hear that this run lives: {error}");
                    }
                }
            }
            lease = freed.recv() => {
                let Some(lease) = lease else { return };
                to_free.extend(give_back(&database, vec![lease]).await);
            }
        }
    }
}

/// Gives leases back, and returns those that the database did not take.
async fn give_back(database: &Database, leases: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut left = Vec::new();
    for (name, token) in leases {
        let statement = sql("DELETE FROM leases WHERE name = $1 AND token = $2").bind(&name).bind(&token);
        if statement.execute(database.on()).await.is_err() {
            left.push((name, token));
        }
    }
    left
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
