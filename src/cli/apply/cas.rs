//! `apply` at CAS.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use clap::Args;

use super::{
    super::{
        exit::Exit,
        session::{Rooms, Session},
        verify,
    },
    acme::by_file,
};
use crate::{
    config::routing::Router,
    delivery::{self, Current},
    error::{Error, ErrorKind, Result},
    journey::{self, Applied, event::Silent},
    language::t,
    name::{Name, in_words, same_names},
    order::{
        Bundle, OrderId,
        aliyun::{
            Cas, KeyFolder,
            applying::{Application, Choice},
        },
        renewal::{self, Due},
        review::word_for_review,
    },
    store::Store,
};

/// What only CAS orders need.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// CAS: apply with this instance; without it, with a free one that takes the names.
    #[arg(long, value_name = "ID", conflicts_with = "product")]
    instance: Option<String>,
    /// CAS: apply out of the package of this product (`symantec-dv-1-starter`, `digicert-free-1-free` …).
    #[arg(long, value_name = "CODE")]
    product: Option<String>,
    /// CAS: the key that the service makes for an instance.
    #[arg(long, value_name = "ALGORITHM", value_parser = ["RSA_2048", "RSA_3072", "RSA_4096", "ECC_256"], conflicts_with_all = ["csr", "generate_key"])]
    key_algorithm: Option<String>,
    /// CAS: make the key (ECDSA P-256) on this machine, which it never leaves.
    #[arg(long, conflicts_with = "csr")]
    generate_key: bool,
}

/// Applies for a certificate at CAS, and takes the order to its end.
pub(super) async fn run(session: &Session, arguments: &super::Arguments) -> Result<Exit> {
    let own = &arguments.cas;
    let rows = match &arguments.list {
        Some(path) if own.instance.is_some() => {
            return Err(Error::usage(t!(
                "`--instance` is for one certificate, and the list `%{list}` has many",
                list = path.display()
            ))
            .with_hint(t!("leave `--instance` out: each line gets a free instance; `--product` takes them out of a package")));
        }
        Some(path) => super::list::read(path)?.iter().map(|names| what(names, None)).collect::<Result<Vec<_>>>()?,
        None => vec![what(&arguments.names, arguments.csr.as_deref())?],
    };
    let choice = match (&own.instance, &own.product) {
        (Some(id), _) => Choice::Instance(OrderId::parse(id)?),
        (None, Some(product)) => Choice::Product(product.clone()),
        (None, None) => Choice::Any,
    };
    let chosen = session.chosen();
    let current = delivery::current(&chosen.out()?);
    let mut seen = HashSet::new();
    let mut wishes = Vec::new();
    for (names, csr) in rows {
        let is_new = seen.insert(names.iter().cloned().collect::<BTreeSet<Name>>());
        if !is_new || !arguments.force && is_good(session, &names, &current) {
            continue;
        }
        warn_of_review(session, &names);
        let application = Application { names, csr, key_algorithm: own.key_algorithm.clone(), ..chosen.application() };
        wishes.push(Wish { application, choice: choice.clone(), generate_key: own.generate_key });
    }
    if wishes.is_empty() { Ok(Exit::DONE) } else { take(session, wishes, &current).await }
}

fn warn_of_review(session: &Session, names: &[Name]) {
    for name in names {
        if let Some(word) = word_for_review(name) {
            let text = t!("`%{name}` holds the word `%{word}`, for which CAs let people look at an application", name, word);
            session.printer().warning(
                &text,
                Some(t!("it may stay in review for a day or longer with a correct record: run again later, it resumes")),
            );
        }
    }
}

/// One certificate to apply for.
pub(in crate::cli) struct Wish {
    pub(in crate::cli) application: Application,
    pub(in crate::cli) choice: Choice,
    /// Whether the key is made here.
    pub(in crate::cli) generate_key: bool,
}

/// Applies for each, then takes all orders through their journeys. What cannot be applied for is told, and the others go on. `current` is what is
/// on disk.
pub(in crate::cli) async fn take(session: &Session, mut wishes: Vec<Wish>, current: &[Current]) -> Result<Exit> {
    let work = async |rooms: &mut Rooms| {
        let hidden = rooms.router.registry().hidden_variables(session.environment());
        if session.chosen().is_dry_run() {
            return show_ways(session, rooms, &wishes).await;
        }
        // What is wrong with options is found before anything is applied for.
        let placeholders = vec![OrderId::parse("to-come")?; wishes.len()];
        session.chosen().journey_of(hidden.clone(), placeholders)?;
        if !rooms.router.has_any() {
            return Err(Error::config(t!("no provider is set, so nothing was applied for"))
                .with_hint(t!("say who writes the records with `--provider PROVIDER` (`dv-verify providers list`)")));
        }
        prove_by_files(&rooms.router, &mut wishes)?;
        let keys = KeyFolder::new(session.chosen().key_folder()?);
        let mut orders = Vec::new();
        let mut failures = Vec::new();
        let only = wishes.len() == 1;
        for wish in wishes {
            let names = in_words(&wish.application.names);
            match apply(&rooms.surroundings.store, &rooms.cas, wish, &keys, current).await {
                Ok(applied) => {
                    let id = applied.order();
                    session.printer().note(&match &applied {
                        Applied::New(_) => t!("%{names}: applied for, order %{id}", names, id),
                        Applied::Found(_) => t!("%{names}: order %{id} is under way already", names, id),
                    });
                    orders.push(id.clone());
                }
                // The others would meet the same; what was applied for so far is carried on by the next run.
                Err(error) if only || matches!(error.kind(), ErrorKind::Credentials | ErrorKind::Rights | ErrorKind::Config) => {
                    return Err(error);
                }
                Err(error) => {
                    super::super::failure::show(session.printer(), &error, None);
                    failures.push(error);
                }
            }
        }
        let mut exit = Exit::DONE;
        if !orders.is_empty() {
            let options = session.chosen().journey_of(hidden, orders)?;
            exit = verify::take(session, rooms, options, None).await?;
        }
        Ok(if failures.is_empty() { exit } else { Exit::SOME_FAILED })
    };
    session.with_rooms(|_| Ok(std::sync::Arc::new(Silent)), work).await
}

/// Has the names proven by files where somebody publishes files for all of them: an order has one way for all its names. Else by records.
///
/// # Errors
/// `ErrorKind::Config` where there is only somebody for files, and a name needs a record.
fn prove_by_files(router: &Router, wishes: &mut [Wish]) -> Result<()> {
    for Wish { application, .. } in wishes {
        application.by_file = by_file(router, &application.names)?.len() == application.names.len();
    }
    Ok(())
}

/// What would be applied with, found out without applying.
async fn show_ways(session: &Session, rooms: &Rooms, wishes: &[Wish]) -> Result<Exit> {
    for wish in wishes {
        let way = rooms.cas.way(&wish.application, &wish.choice).await?;
        let names = in_words(&wish.application.names);
        let shown = serde_json::to_value(&way).unwrap_or_default();
        session.printer().result(&t!("%{names}: would be applied for, %{shown}", names, shown = describe(&shown)));
    }
    Ok(Exit::DONE)
}

/// A way in words.
fn describe(way: &serde_json::Value) -> String {
    let text = |key: &str| way.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    match text("way").as_str() {
        "already" => t!("order %{value} is under way for them already", value = text("id")),
        "package" => t!("out of the package %{value}", value = text("product")),
        "renewal" => t!("in the place of order %{value}", value = text("id")),
        _ => t!("with instance %{value}", value = text("id")),
    }
}

/// Applies for one certificate, or finds the order that is under way.
pub(in crate::cli) async fn apply(
    store: &Store,
    cas: &Cas,
    wish: Wish,
    keys: &KeyFolder,
    current: &[Current],
) -> Result<Applied> {
    let names = in_words(&wish.application.names);
    let prepare = |mut application: Application| {
        if wish.generate_key {
            application.csr = Some(keys.new_request(&application.names)?);
        }
        Ok(application)
    };
    let refused = |application: &Application| {
        if let (true, Some(request)) = (wish.generate_key, &application.csr) {
            keys.forget_request(request);
        }
    };
    let has = |bundle: &Bundle| current.iter().any(|there| is_on_disk(there, bundle));
    let applied = journey::apply(store, cas, wish.application, &wish.choice, has, prepare, refused).await;
    applied.map_err(|error| error.context(names))
}

/// Whether this certificate is among those for the same names, the current one or an older one: a person may have gone back to that.
fn is_on_disk(there: &Current, bundle: &Bundle) -> bool {
    let wanted = leaf(&bundle.certificate);
    let pairs = there.live.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let older =
        pairs.into_iter().flatten().flatten().filter_map(|pair| std::fs::read_to_string(pair.path().join("cert.pem")).ok());
    leaf(&there.certificate) == wanted || older.into_iter().any(|certificate| leaf(&certificate) == wanted)
}

/// The first certificate of a PEM text, without what differs between two writings of it.
fn leaf(pem: &str) -> Option<String> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    Some(rest.split_once("-----END")?.0.split_whitespace().collect())
}

/// The names and the request: those of the request where one is given.
fn what(names: &[Name], csr: Option<&Path>) -> Result<(Vec<Name>, Option<String>)> {
    let unique = super::without_repetitions(names.iter().filter(|name| !name.as_str().is_empty()).cloned());
    let Some(path) = csr else { return Ok((unique, None)) };
    let request = super::request(path, &unique)?;
    Ok((request.names, Some(request.pem)))
}

/// Whether the certificate for these names that is there is good for a while yet; says so.
fn is_good(session: &Session, names: &[Name], current: &[Current]) -> bool {
    let Some(there) = current.iter().find(|there| same_names(&there.names, names)) else { return false };
    let due = renewal::due(crate::failpoint::now(), there.not_before, there.not_after, None, 0.0);
    if let Due::NotBefore(moment) = due {
        session.printer().note(&t!(
            "%{names}: the certificate is good until %{not_after}, and due for renewal from %{moment} on; `--force` applies now",
            names = in_words(names),
            not_after = there.not_after,
            moment
        ));
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_told_in_words() {
        let told = |way: serde_json::Value| describe(&way);
        assert_eq!(told(serde_json::json!({"way": "instance", "id": "cas-1", "before": null})), "with instance cas-1");
        assert_eq!(told(serde_json::json!({"way": "package", "product": "p", "before": []})), "out of the package p");
        assert_eq!(told(serde_json::json!({"way": "already", "id": "7"})), "order 7 is under way for them already");
    }

    #[test]
    fn names_are_taken_once() {
        let names = ["a.example", "b.example", "a.example"].map(|name| Name::parse(name).unwrap());
        assert_eq!(what(&names, None).unwrap().0.len(), 2);
    }
}
