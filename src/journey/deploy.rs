//! The vendor's deployment without doing anything twice: a job has a name that is made of its certificate and its resources, so that a later run, and one whose
//! reply was lost, finds it.

use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::{
    error::{Error, ErrorKind, Result},
    failpoint,
    language::t,
    order::{
        OrderId, OrderSource as _,
        aliyun::{
            Cas,
            deploying::{CloudResource, Job, NotCreated, Stage, Worker},
        },
    },
    store::{Holder, LockKey, Store},
};

/// How long another run may take to make the same job.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// The pauses before each look for a job whose reply was lost, in milliseconds.
const LOOKS: [u64; 3] = [500, 2000, 5000];

/// The pauses between two looks at a job, in milliseconds; the last one is repeated.
const PAUSES: [u64; 6] = [300, 700, 2000, 5000, 10_000, 20_000];

/// What to deploy.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The certificate (`CertId`).
    pub certificate: u64,
    /// The resources; never empty.
    pub to: Vec<CloudResource>,
    /// Whom the service tells; never empty.
    pub contacts: Vec<u64>,
    /// Whether it is done once more where it was done already.
    pub again: bool,
}

/// What became of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The job.
    pub job: u64,
    /// How far it is.
    pub stage: Stage,
    /// Whether an earlier run had made the job.
    pub was_there: bool,
    /// What it did to each resource.
    pub workers: Vec<Worker>,
}

/// What to do about the jobs of this name.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Create,
    CarryOn(Job),
    Done(Job),
}

/// Deploys, or carries on what an earlier run began. `patience`: how long to wait for the end; `None`: not at all.
///
/// # Errors
/// Of the service; `ErrorKind::StillWaiting` where it is not known whether a job was made: the next run looks again.
pub async fn deploy(store: &Store, cas: &Cas, deployment: &Deployment, patience: Option<Duration>) -> Result<Deployed> {
    let name = name_of(deployment);
    let lock = LockKey::Order(Holder::order(cas.origin(), &OrderId::parse(&name)?));
    let lock = store.lock(&lock, LOCK_PATIENCE).await?;
    let jobs = cas.jobs(deployment.certificate).await?;
    let (job, was_there) = match next(&jobs, &name, deployment.again) {
        Next::Done(job) | Next::CarryOn(job) => (job, true),
        Next::Create => (create(cas, deployment, &name, &jobs).await?, false),
    };
    let mut stage = job.stage;
    if stage == Stage::Editing {
        failpoint::reach("deploy.created");
        cas.begin_job(job.id).await?;
        stage = Stage::Underway("pending".to_owned());
    }
    failpoint::reach("deploy.begun");
    // Whoever comes now finds the job.
    drop(lock);
    if let Some(patience) = patience.filter(|_| !stage.is_over()) {
        stage = wait(cas, job.id, patience).await?;
    }
    let workers = if stage.is_over() { cas.workers(job.id).await? } else { Vec::new() };
    Ok(Deployed { job: job.id, stage, was_there, workers })
}

async fn create(cas: &Cas, deployment: &Deployment, name: &str, before: &[Job]) -> Result<Job> {
    failpoint::reach("deploy.before");
    let error = match cas.create_job(name, deployment.certificate, &deployment.to, &deployment.contacts).await {
        Ok(id) => return Ok(Job { id, name: name.to_owned(), stage: Stage::Editing }),
        Err(NotCreated::Refused(error)) => return Err(error),
        Err(NotCreated::Unknown(error)) => error,
    };
    tracing::warn!("it is not known whether a deployment job was made: {error}; looking for it");
    for pause in LOOKS {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let jobs = cas.jobs(deployment.certificate).await.unwrap_or_default();
        let is_new = |job: &Job| job.name == name && before.iter().all(|known| known.id != job.id);
        if let Some(job) = jobs.into_iter().find(is_new) {
            return Ok(job);
        }
    }
    Err(Error::new(
        ErrorKind::StillWaiting,
        t!("it is not known whether a deployment job was made: the reply was lost, and none shows yet"),
    )
    .with_source(error)
    .with_hint(t!("run the same command again: it looks for the job first")))
}

async fn wait(cas: &Cas, id: u64, patience: Duration) -> Result<Stage> {
    let until = tokio::time::Instant::now() + patience;
    let mut pauses = PAUSES.into_iter();
    let mut pause = Duration::ZERO;
    loop {
        let job = cas.job(id).await?;
        pause = pauses.next().map_or(pause, Duration::from_millis);
        if job.stage.is_over() || tokio::time::Instant::now() + pause > until {
            return Ok(job.stage);
        }
        tokio::time::sleep(pause).await;
    }
}

/// What is under way is carried on; what was done is not done again unless that is asked for; what failed is tried anew.
fn next(jobs: &[Job], name: &str, again: bool) -> Next {
    let newest = |which: fn(&Stage) -> bool| {
        jobs.iter().filter(|job| job.name == name && which(&job.stage)).max_by_key(|job| job.id).cloned()
    };
    if let Some(job) = newest(|stage| !stage.is_over()) {
        return Next::CarryOn(job);
    }
    let failed = newest(|stage| *stage == Stage::Failed).map(|job| job.id);
    match newest(|stage| *stage == Stage::Done) {
        Some(job) if !again && failed.is_none_or(|failed| failed < job.id) => Next::Done(job),
        _ => Next::Create,
    }
}

/// The name of the job: the same certificate on the same resources is the same job.
fn name_of(deployment: &Deployment) -> String {
    let mut ids: Vec<u64> = deployment.to.iter().map(|resource| resource.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let text = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let digest = HEXLOWER.encode(&Sha256::digest(text));
    format!("dv-verify-{}-{}", deployment.certificate, &digest[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, name: &str, stage: Stage) -> Job {
        Job { id, name: name.to_owned(), stage }
    }

    #[test]
    fn what_was_begun_is_carried_on_and_what_failed_is_tried_anew() {
        let editing = job(3, "a", Stage::Editing);
        let jobs = [job(1, "a", Stage::Failed), job(2, "a", Stage::Done), editing.clone(), job(4, "b", Stage::Editing)];
        assert_eq!(next(&jobs, "a", true), Next::CarryOn(editing));
        assert_eq!(next(&jobs[..2], "a", false), Next::Done(jobs[1].clone()));
        assert_eq!(next(&jobs[..2], "a", true), Next::Create);
        assert_eq!(next(&jobs[..1], "a", false), Next::Create);
        assert_eq!(next(&[job(1, "a", Stage::Done), job(2, "a", Stage::Failed)], "a", false), Next::Create);
        assert_eq!(next(&jobs, "c", false), Next::Create);
    }

    #[test]
    fn the_same_resources_in_any_order_are_the_same_job() {
        let of = |ids: &[u64]| {
            let to = ids.iter().map(|id| CloudResource { id: *id, ..CloudResource::default() }).collect();
            name_of(&Deployment { certificate: 7, to, contacts: vec![1], again: false })
        };
        assert_eq!(of(&[1, 2]), of(&[2, 1, 2]));
        assert_ne!(of(&[1, 2]), of(&[12]));
        assert!(of(&[1]).starts_with("dv-verify-7-"));
    }
}
