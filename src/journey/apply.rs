//! Applying at CAS without ever ordering twice: the intent is kept before anything is sent, and what has no known end is looked for before it is
//! sent again.

use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::requested;
use crate::{
    error::{Error, ErrorKind, Result},
    failpoint,
    language::t,
    name::Name,
    order::{
        Bundle, OrderId, OrderSource as _, OrderState,
        aliyun::{
            Cas,
            applying::{Application, Choice, NotSubmitted, Way},
        },
    },
    store::{ApplicationMemory, Holder, LockKey, Store},
};

/// How long another run may take to apply for the same names.
const LOCK_PATIENCE: Duration = Duration::from_secs(90);

/// The pauses before each look for an order whose reply was lost.
const LOOKS: [u64; 3] = [500, 2000, 5000];

/// How long an order may take to show in the lists after its reply was lost. Only then it is applied for again.
const SETTLED: SignedDuration = SignedDuration::from_mins(5);

/// What became of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// A new order.
    New(OrderId),
    /// An order that an earlier run, or somebody else, applied for.
    Found(OrderId),
}

impl Applied {
    /// The order.
    pub fn order(&self) -> &OrderId {
        match self {
            Self::New(id) | Self::Found(id) => id,
        }
    }
}

/// Applies for a certificate, or finds the order that is under way already. `application` is completed by `prepare` where a new order is made, so
/// that a key is made only then. `has` says whether a certificate is on this disk already: the issued order of an earlier run counts as long
/// as its certificate is not. `refused` gets what `prepare` made where the service certainly did nothing with it.
///
/// # Errors
/// Of the service; `ErrorKind::StillWaiting` where it is not known yet whether an order was made: the next run looks again.
pub async fn apply(
    store: &Store,
    cas: &Cas,
    application: Application,
    choice: &Choice,
    has: impl Fn(&Bundle) -> bool,
    prepare: impl FnOnce(Application) -> Result<Application>,
    refused: impl FnOnce(&Application),
) -> Result<Applied> {
    let (origin, subject) = (cas.origin().to_owned(), subject(&application.names));
    let lock = LockKey::Order(Holder::order(&origin, &lock_id(&subject)?));
    let _lock = store.lock(&lock, LOCK_PATIENCE).await?;
    let mut way: Option<Way> = None;
    if let Some(mut earlier) = store.application(&origin, &subject).await? {
        let known = serde_json::from_value::<Way>(earlier.way.clone()).ok();
        match (&earlier.order, known) {
            (Some(order), known) => {
                let before = known.as_ref().and_then(Way::certificate_before);
                if is_under_way(cas, order, before, |bundle| has(bundle) || !requested::fits(&earlier, bundle)).await? {
                    return Ok(Applied::Found(order.clone()));
                }
            }
            (None, Some(known)) => {
                if let Some(order) = cas.find_application(&application, &known).await? {
                    earlier.order = Some(order.clone());
                    store.keep_application(&earlier).await?;
                    return Ok(Applied::Found(order));
                }
                let left = SETTLED - failpoint::now().duration_since(earlier.begun);
                if is_new_each_time(&known) && left > SignedDuration::ZERO {
                    return Err(not_known(left));
                }
                way = Some(known);
            }
            (None, None) => {}
        }
    }
    let way = match way {
        Some(way) => way,
        None => cas.way(&application, choice).await?,
    };
    if let Way::Already { id } = &way {
        keep(store, &origin, &subject, value(&way)?, Some(id)).await?;
        return Ok(Applied::Found(id.clone()));
    }
    let application = prepare(application)?;
    let kept = requested::with_key(value(&way)?, &application);
    keep(store, &origin, &subject, kept.clone(), None).await?;
    failpoint::reach("apply.before");
    let order = match cas.apply(&application, &way).await {
        Ok(order) => order,
        Err(NotSubmitted::Refused(error)) => {
            refused(&application);
            store.forget_application(&origin, &subject).await?;
            return Err(error);
        }
        Err(NotSubmitted::Unknown(error)) => {
            tracing::warn!("it is not known what became of the application: {error}; looking for its order");
            look_for(cas, &application, &way).await?.ok_or_else(|| not_known(SETTLED).with_source(error))?
        }
    };
    failpoint::reach("apply.after");
    keep(store, &origin, &subject, kept, Some(&order)).await?;
    Ok(Applied::New(order))
}

/// Looks for the order of an application whose reply was lost.
async fn look_for(cas: &Cas, application: &Application, way: &Way) -> Result<Option<OrderId>> {
    for pause in LOOKS {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        match cas.find_application(application, way).await {
            Ok(Some(order)) => return Ok(Some(order)),
            Ok(None) => {}
            Err(error) => tracing::info!("{error}"),
        }
    }
    Ok(None)
}

/// Whether an order of an earlier run is to be carried on: not where it shows only the certificate from `before` the application.
async fn is_under_way(cas: &Cas, order: &OrderId, before: Option<&str>, has: impl Fn(&Bundle) -> bool) -> Result<bool> {
    match cas.read(order).await {
        Ok(order) => Ok(match order.state {
            OrderState::Issued(_) if before.is_some() && order.certificate_id.as_deref() == before => false,
            OrderState::Issued(bundle) => !has(&bundle),
            OrderState::NotSubmitted | OrderState::Failed { .. } => false,
            _ => true,
        }),
        Err(error) if error.kind() == ErrorKind::UnknownOrder => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether sending it twice makes two orders.
fn is_new_each_time(way: &Way) -> bool {
    matches!(way, Way::Package { .. } | Way::Renewal { .. })
}

fn not_known(left: SignedDuration) -> Error {
    Error::new(
        ErrorKind::StillWaiting,
        t!("it is not known whether the application reached the CA: its reply was lost, and no order shows yet"),
    )
    .with_hint(t!(
        "run the same command again: it looks for the order first, and applies anew only where none shows within %{left} s",
        left = left.as_secs().max(1)
    ))
}

fn value(way: &Way) -> Result<Value> {
    serde_json::to_value(way)
        .map_err(|error| Error::new(ErrorKind::Unexpected, t!("an application cannot be kept")).with_source(error))
}

async fn keep(store: &Store, origin: &str, subject: &str, way: Value, order: Option<&OrderId>) -> Result<()> {
    let begun: Timestamp = failpoint::now();
    let memory = ApplicationMemory { origin: origin.to_owned(), subject: subject.to_owned(), way, order: order.cloned(), begun };
    store.keep_application(&memory).await
}

/// The names, sorted: one application for the same names at a time.
fn subject(names: &[Name]) -> String {
    let mut sorted: Vec<&str> = names.iter().map(Name::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.join(",")
}

/// An id for the lock on a subject, which may be longer than an id.
fn lock_id(subject: &str) -> Result<OrderId> {
    let digest = HEXLOWER.encode(&Sha256::digest(subject));
    OrderId::parse(&format!("application-{}", &digest[..16]))
}
