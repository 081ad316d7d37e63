//! `apply` at ACME CAs.

use std::{collections::HashSet, path::Path, sync::Arc};

use super::super::{
    exit::Exit,
    session::{Rooms, Session},
    verify,
};
use crate::{
    config::{file::certificates::Certificate, variables},
    delivery::{self, Current},
    error::{Error, ErrorKind, Result},
    failpoint,
    http::Http,
    journey::event::Silent,
    name::Name,
    order::{
        OrderId,
        acme::{self, Acme, AcmeOptions, Ca, Identity, Request, Wanted},
        renewal::{self, Due, Window},
    },
    secret::Secret,
};

/// Applies for certificates at ACME CAs.
pub(super) async fn run(session: &Session, arguments: &super::Arguments) -> Result<Exit> {
    let options = &session.chosen().acme;
    let mut wanted = Vec::new();
    for certificate in rows(session, arguments)? {
        wanted.push(want(options, certificate)?);
    }
    take(session, wanted, arguments.force).await
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
        Error::config(format!("no CA is named for the certificate of `{}`", first(&certificate.names)))
            .with_hint("say which: `--ca letsencrypt`, or `ca = \"letsencrypt\"` in the config")
    })?;
    let key_type = match certificate.key_type.as_deref() {
        Some("p384") => acme::KeyType::P384,
        Some(_) => acme::KeyType::P256,
        None => options.key_type,
    };
    let request = certificate.csr.as_deref().map(Request::read).transpose()?;
    let names = match &request {
        Some(request) if !certificate.names.is_empty() && !same(&request.names, &certificate.names) => {
            let all = request.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(Error::usage(format!("the certificate request is for other names: {all}"))
                .with_hint("leave the names out: those of the request count"));
        }
        Some(request) => request.names.clone(),
        None => without_repetitions(certificate.names),
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
    Ok(Wanted { id, ca, names, key_type, profile, request, replaces: None })
}

/// What was issued earlier at this CA, or at every CA, as it is to be renewed.
pub(in crate::cli) fn kept(session: &Session, ca: Option<&str>) -> Result<Vec<Wanted>> {
    let only = ca.map(Ca::parse).transpose()?;
    let mut all = Vec::new();
    for (ca, kept) in acme::remembered(&session.chosen().acme_folder()?)? {
        if only.as_ref().is_some_and(|only| *only != ca) {
            continue;
        }
        for kept in kept {
            let request = kept.csr.as_deref().map(Request::read).transpose()?;
            all.push(wanted(ca.clone(), kept.names, kept.key_type, kept.profile, request)?);
        }
    }
    Ok(all)
}

/// Takes every certificate that is due through its journey, all CAs in one run.
pub(in crate::cli) async fn take(session: &Session, mut wanted: Vec<Wanted>, force: bool) -> Result<Exit> {
    let mut seen = HashSet::new();
    wanted.retain(|wanted| seen.insert(wanted.id.clone()));
    let external = external_account(session)?;
    session
        .with_rooms(
            |_| Ok(Arc::new(Silent)),
            async |rooms: &mut Rooms| {
                let chosen = session.chosen();
                let ids = wanted.iter().map(|wanted| wanted.id.clone()).collect();
                let mut hidden = rooms.router.registry().hidden_variables(session.environment());
                hidden.push(variables::EAB_KEY.to_owned());
                let mut options = chosen.journey_of(hidden, ids)?;
                let identity = |_: &Ca| Identity {
                    contact: chosen.acme.contact.clone(),
                    external: external.clone(),
                    ca_file: chosen.acme.ca_file.clone(),
                };
                let folder = chosen.acme_folder()?;
                let http = Http::new()?;
                let source = |wanted: Vec<Wanted>, dry_run| Acme::new(&folder, http.clone(), identity, wanted, dry_run);
                let first = source(wanted.clone(), false);
                let current = delivery::current(&options.out);
                let mut due = Vec::new();
                for mut wanted in wanted {
                    let before = current.iter().find(|current| current.order == wanted.id);
                    wanted.replaces = before.and_then(|before| acme::certificate_identifier(&before.certificate));
                    if force || first.is_pending(&wanted.id) || is_due(session, &first, &wanted, before).await? {
                        due.push(wanted);
                    }
                }
                if due.is_empty() {
                    return Ok(Exit::DONE);
                }
                options.orders = due.iter().map(|wanted| wanted.id.clone()).collect();
                let asks_nobody = options.dry_run || !rooms.router.has_any();
                let acme = source(due, asks_nobody);
                if !asks_nobody {
                    for note in acme.open().await? {
                        session.printer().note(&note);
                    }
                }
                rooms.surroundings.source = Arc::new(acme);
                verify::take(session, rooms, options, None).await
            },
        )
        .await
}

/// Whether a certificate is to be applied for; says so where not.
async fn is_due(session: &Session, acme: &Acme, wanted: &Wanted, before: Option<&Current>) -> Result<bool> {
    let Some(before) = before else { return Ok(true) };
    let now = failpoint::now();
    let window = window(session, acme, wanted).await;
    match renewal::due(now, before.not_before, before.not_after, window.as_ref(), share(&wanted.id)) {
        Due::Now(why) => {
            session.printer().note(&format!("{}: to be renewed, {why}", first(&wanted.names)));
            Ok(true)
        }
        Due::NotBefore(moment) => {
            session.printer().note(&format!(
                "{}: the certificate is good until {}, and will be renewed from {} on; `--force` renews it now",
                first(&wanted.names),
                before.not_after.strftime("%F"),
                moment.strftime("%F %H:%M UTC")
            ));
            Ok(false)
        }
    }
}

/// When the CA wants the renewal; a CA that cannot be asked does not keep the run from deciding by itself.
async fn window(session: &Session, acme: &Acme, wanted: &Wanted) -> Option<Window> {
    if session.chosen().is_dry_run() {
        return None;
    }
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
            Some(id) => Err(Error::new(ErrorKind::Credentials, format!("the key `{id}` of the external account is missing"))
                .with_hint("put it into a file and name that with `--eab-key-file`, or set DV_EAB_KEY")),
        };
    };
    session.redactor().learn(&key);
    let id = options.eab_key_id.clone().ok_or_else(|| {
        Error::config("there is a key of an external account, but not its id").with_hint("give the id with `--eab-key-id`")
    })?;
    Ok(Some((id, key)))
}

fn private_file(path: &Path) -> Result<Secret> {
    let shown = path.display();
    let failed = |error: std::io::Error| Error::config(format!("`{shown}` cannot be read: {error}"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).map_err(failed)?.permissions());
    if mode & 0o077 != 0 {
        return Err(Error::config(format!("`{shown}` holds a key, and others can read it (mode {:04o})", mode & 0o7777))
            .with_hint(format!("`chmod 600 {shown}`")));
    }
    Ok(Secret::new(std::fs::read_to_string(path).map_err(failed)?.trim()))
}

fn first(names: &[Name]) -> String {
    names.first().map(ToString::to_string).unwrap_or_default()
}

fn same(left: &[Name], right: &[Name]) -> bool {
    left.iter().all(|name| right.contains(name)) && right.iter().all(|name| left.contains(name))
}

fn without_repetitions(names: Vec<Name>) -> Vec<Name> {
    let mut seen = HashSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
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
