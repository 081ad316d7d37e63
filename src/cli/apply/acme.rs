//! `apply` at ACME CAs.

use std::{collections::HashSet, path::Path, sync::Arc};

use super::super::{
    exit::Exit,
    session::{Rooms, Session},
    verify,
};
use crate::{
    config::{file::certificates::Certificate, routing::Router, variables},
    delivery::{self, Current},
    error::{Error, ErrorKind, Result},
    failpoint,
    http::Http,
    journey::{Routing as _, event::Silent},
    language::t,
    name::Name,
    order::{
        Bundle, OrderId,
        acme::{self, Acme, AcmeOptions, AcmeSettings, Ca, Identity, Manner, Request, Wanted},
        renewal::{self, Due, Window},
    },
    secret::Secret,
    store::{Target, machine},
};

/// Applies for certificates at ACME CAs.
pub(super) async fn run(session: &Session, arguments: &super::Arguments) -> Result<Exit> {
    let options = &session.chosen().acme;
    let wanted = rows(session, arguments)?.into_iter().map(|row| want(options, row)).collect::<Result<Vec<_>>>()?;
    take(session, wanted, arguments.force, &delivery::current(&session.chosen().out()?)).await
}

/// The certificates of the config.
pub(in crate::cli) fn of_config(session: &Session) -> Result<Vec<Wanted>> {
    session.file().certificates.iter().map(|row| want(&session.chosen().acme, row.clone())).collect()
}

/// What is applied for: what the command line names, else the list, else the config.
fn rows(session: &Session, arguments: &super::Arguments) -> Result<Vec<Certificate>> {
    if let Some(list) = &arguments.list {
        let row = |names| Certificate { names, ..Certificate::default() };
        return Ok(super::list::read(list)?.into_iter().map(row).collect());
    }
    if !arguments.names.is_empty() || arguments.csr.is_some() {
        return Ok(vec![Certificate { names: arguments.names.clone(), csr: arguments.csr.clone(), ..Certificate::default() }]);
    }
    Ok(session.file().certificates.clone())
}

/// A certificate of the command line, the list or the config, with what the options say where it says nothing itself.
fn want(options: &AcmeOptions, certificate: Certificate) -> Result<Wanted> {
    let ca = certificate.ca.as_deref().or(options.ca.as_deref()).ok_or_else(|| {
        Error::config(t!("no CA is named for the certificate of `%{names}`", names = first(&certificate.names)))
            .with_hint(t!("say which: `--ca letsencrypt`, or `ca = \"letsencrypt\"` in the config"))
    })?;
    let key_type = certificate.key_type.unwrap_or(options.key_type);
    let request = certificate.csr.as_deref().map(|path| super::request(path, &certificate.names)).transpose()?;
    let names = match &request {
        Some(request) => request.names.clone(),
        None => super::without_repetitions(certificate.names),
    };
    let profile = certificate.profile.or_else(|| options.profile.clone());
    wanted(Ca::parse(ca)?, names, key_type, profile, request)
}

fn wanted(
    ca: Ca,
    names: Vec<Name>,
    key_type: acme::KeyType,
    profile: Option<String>,
    request: Option<Request>,
) -> Result<Wanted> {
    let id = acme::order_id(&ca, &names)?;
    Ok(Wanted { id, ca, names, key_type, profile, request, replaces: None, by_file: Vec::new() })
}

/// What is under way or was issued earlier at this CA, or at every CA, as it is to be gone on with or renewed.
pub(in crate::cli) fn known(folder: &Path, ca: Option<&str>) -> Result<Vec<Wanted>> {
    let only = ca.map(Ca::parse).transpose()?;
    let mut all: Vec<Wanted> = Vec::new();
    for known in acme::remembered(folder)? {
        if only.as_ref().is_some_and(|only| *only != known.ca) {
            continue;
        }
        for kept in known.under_way.into_iter().chain(known.issued) {
            if all.iter().all(|wanted| wanted.id != kept.id) {
                let request = kept.csr.as_deref().map(Request::read).transpose()?;
                all.push(wanted(known.ca.clone(), kept.names, kept.key_type, kept.profile, request)?);
            }
        }
    }
    Ok(all)
}

/// What the source of ACME orders needs.
pub(in crate::cli) fn settings(session: &Session) -> Result<AcmeSettings> {
    settings_with(session, external_account(session)?)
}

fn settings_with(session: &Session, external: Option<(String, Secret)>) -> Result<AcmeSettings> {
    let chosen = session.chosen();
    let machine = matches!(chosen.store()?, Target::Postgres(_)).then(machine);
    Ok(AcmeSettings {
        origin: acme::origin(&chosen.cas.account, machine.as_deref()),
        folder: chosen.acme_folder()?,
        identity: Identity { contact: chosen.acme.contact.clone(), external, ca_file: chosen.acme.ca_file.clone() },
        http: Http::new()?,
    })
}

/// The source of ACME orders that looks at those that are under way, and makes none.
pub(in crate::cli) fn looking(session: &Session) -> Result<Acme> {
    let settings = settings_with(session, None)?;
    let acme = Acme::new(settings.clone(), Manner::Look);
    for known in acme::remembered(&settings.folder)? {
        for kept in known.under_way {
            // Its request is not needed for a look, and may be gone.
            acme.take_up(wanted(known.ca.clone(), kept.names, kept.key_type, kept.profile, None)?);
        }
    }
    Ok(acme)
}

/// Takes every certificate that is due through its journey, all CAs in one run. `current` is what is on disk.
pub(in crate::cli) async fn take(session: &Session, mut wanted: Vec<Wanted>, force: bool, current: &[Current]) -> Result<Exit> {
    let mut seen = HashSet::new();
    wanted.retain(|wanted| seen.insert(wanted.id.clone()));
    let settings = settings(session)?;
    session
        .with_rooms(
            |_| Ok(Arc::new(Silent)),
            async |rooms: &mut Rooms| {
                let chosen = session.chosen();
                let ids = wanted.iter().map(|wanted| wanted.id.clone()).collect();
                let mut hidden = rooms.router.registry().hidden_variables(session.environment());
                hidden.push(variables::EAB_KEY.to_owned());
                let mut options = chosen.journey_of(hidden, ids)?;
                let mut acme = Acme::new(settings.clone(), Manner::Apply);
                let (mut due, mut left) = (Vec::new(), Vec::new());
                for mut wanted in wanted {
                    wanted.by_file = by_file(&rooms.router, &wanted.names)?;
                    let before = current.iter().find(|current| current.order == wanted.id);
                    wanted.replaces = before.and_then(|before| acme::certificate_identifier(&before.certificate));
                    if force || acme.is_pending(&wanted) || is_due(session, &acme, &wanted, before).await? {
                        due.push(wanted);
                    } else if let Some(there) = before
                        && is_unfinished(rooms, &settings.origin, &wanted.id).await?
                        && let Some(bundle) = bundle(there)
                    {
                        left.push(wanted.id.clone());
                        acme.take_up_delivered(wanted.id, wanted.names, bundle);
                    }
                }
                options.orders = due.iter().map(|wanted| wanted.id.clone()).chain(left).collect();
                if options.orders.is_empty() || due.is_empty() && options.dry_run {
                    return Ok(Exit::DONE);
                }
                let asks_nobody = options.dry_run || !rooms.router.has_any();
                if asks_nobody {
                    acme = Acme::new(settings, Manner::Preview);
                }
                for wanted in due {
                    if !asks_nobody && let Some(note) = acme.open(&wanted.ca).await? {
                        session.printer().note(&note);
                    }
                    acme.take_up(wanted);
                }
                rooms.surroundings.source = Arc::new(acme);
                verify::take(session, rooms, options, None).await
            },
        )
        .await
}

/// Whether a run died after it had delivered the certificate: records and hooks are left.
async fn is_unfinished(rooms: &Rooms, origin: &str, id: &OrderId) -> Result<bool> {
    Ok(rooms.surroundings.store.recall(origin, id).await?.is_some_and(|memory| !memory.finished))
}

/// A certificate on disk, as it was delivered.
pub(in crate::cli) fn bundle(there: &Current) -> Option<Bundle> {
    let read = |name: &str| std::fs::read_to_string(there.live.join(name)).ok();
    Some(Bundle { certificate: read("fullchain.pem")?, private_key: read("privkey.pem").map(Secret::new) })
}

/// The names that are proven by a file: those for whose web servers somebody publishes files. The rest needs a provider.
///
/// # Errors
/// `ErrorKind::Config` where there is only somebody for files, and a name needs a record.
pub(in crate::cli) fn by_file(router: &Router, names: &[Name]) -> Result<Vec<Name>> {
    let (by_file, by_record): (Vec<Name>, Vec<Name>) =
        names.iter().cloned().partition(|name| !name.is_wildcard() && router.files(name).is_ok());
    let Some(first) = by_record.first().filter(|_| router.has_any() && router.reachable().is_empty()) else { return Ok(by_file) };
    let why = if first.is_wildcard() {
        t!("no file proves the wildcard `%{name}`, and no provider is set for its record", name = first)
    } else {
        t!("nothing says where the files of the web server of `%{name}` are, and no provider is set for a record", name = first)
    };
    Err(Error::config(why).with_hint(t!(
        "say who writes the records with `--provider PROVIDER` (`dv-verify providers list`); names that `--webroot` or `--file-hook` serve go on being proven by files"
    )))
}

/// Whether a certificate is to be applied for; says so where not.
async fn is_due(session: &Session, acme: &Acme, wanted: &Wanted, before: Option<&Current>) -> Result<bool> {
    let Some(before) = before else { return Ok(true) };
    let window = if session.chosen().is_dry_run() { None } else { window(acme, wanted).await };
    match when(wanted, before, window.as_ref()) {
        Due::Now(why) => {
            session.printer().note(&t!("%{names}: to be renewed, %{why}", names = first(&wanted.names), why));
            Ok(true)
        }
        Due::NotBefore(moment) => {
            session.printer().note(&t!(
                "%{names}: the certificate is good until %{until}, and will be renewed from %{due} on; `--force` renews it now",
                names = first(&wanted.names),
                until = before.not_after.strftime("%F"),
                due = moment.strftime("%F %H:%M UTC")
            ));
            Ok(false)
        }
    }
}

/// Whether a certificate is to be renewed now.
pub(in crate::cli) fn when(wanted: &Wanted, before: &Current, window: Option<&Window>) -> Due {
    renewal::due(failpoint::now(), before.not_before, before.not_after, window, share(&wanted.id))
}

/// When the CA wants the renewal; a CA that cannot be asked does not keep the run from deciding by itself.
pub(in crate::cli) async fn window(acme: &Acme, wanted: &Wanted) -> Option<Window> {
    let certificate = wanted.replaces.as_ref()?;
    match acme.renewal_window(&wanted.ca, certificate).await {
        Ok(window) => window,
        Err(error) => {
            tracing::warn!("{} does not say when to renew: {error}", wanted.ca.label);
            None
        }
    }
}

/// A number from 0 to 1 that belongs to the order: its place in the CA's window, the same for each run.
fn share(id: &OrderId) -> f64 {
    let tail: String = id.as_str().chars().rev().take(8).collect();
    u32::from_str_radix(&tail, 16).map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

/// The external account: the id of its key, and the key from the variable or the file.
fn external_account(session: &Session) -> Result<Option<(String, Secret)>> {
    let options = &session.chosen().acme;
    let variable = session.environment().get(variables::EAB_KEY).map(Secret::new);
    let key = match (&options.eab_key_file, variable) {
        (Some(path), _) => Some(private_file(path)?),
        (None, variable) => variable,
    };
    let Some(key) = key else {
        return match &options.eab_key_id {
            None => Ok(None),
            Some(id) => Err(Error::new(ErrorKind::Credentials, t!("the key `%{id}` of the external account is missing", id))
                .with_hint(t!("put it into a file and name that with `--eab-key-file`, or set DV_EAB_KEY"))),
        };
    };
    session.redactor().learn(&key);
    let id = options.eab_key_id.clone().ok_or_else(|| {
        Error::config(t!("there is a key of an external account, but not its id"))
            .with_hint(t!("give the id with `--eab-key-id`"))
    })?;
    Ok(Some((id, key)))
}

fn private_file(path: &Path) -> Result<Secret> {
    let shown = path.display();
    let failed = |error: std::io::Error| Error::config(t!("`%{shown}` cannot be read: %{error}", shown, error));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).map_err(failed)?.permissions());
    if mode & 0o077 != 0 {
        return Err(Error::config(t!(
            "`%{shown}` holds a key, and others can read it (mode %{mode})",
            shown,
            mode = format_args!("{:04o}", mode & 0o7777)
        ))
        .with_hint(format!("`chmod 600 {shown}`")));
    }
    Ok(Secret::new(std::fs::read_to_string(path).map_err(failed)?.trim()))
}

fn first(names: &[Name]) -> String {
    names.first().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_has_its_own_place_in_the_window() {
        let id = |names: &str| acme::order_id(&Ca::parse("letsencrypt").unwrap(), &[Name::parse(names).unwrap()]).unwrap();
        let (one, other) = (share(&id("a.example")), share(&id("b.example")));
        assert!((0.0..=1.0).contains(&one) && (0.0..=1.0).contains(&other));
        assert!((one - other).abs() > f64::EPSILON);
    }
}
