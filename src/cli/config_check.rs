//! `config check`: what is set, where it comes from, and whether it works. No secrets.

use std::path::Path;

use super::{apply, exit::Exit, failure, printer::Printer, session::Session, table};
use crate::{
    config::{paths::Places, settings::SETTINGS},
    error::{Error, ErrorKind, Result},
    http::Http,
    language::{message, t},
    store::Target,
};

/// Shows the configuration and tries what can be tried without a network.
pub(super) fn run(session: &Session) -> Result<Exit> {
    let printer = session.printer();
    show_options(session, printer);
    printer.result("");
    let mut problems = Vec::new();
    let http = Http::new()?;
    let wants_acme = session.chosen().acme.ca.is_some() || !session.file().certificates.is_empty();
    match session.alibaba(&http).describe() {
        Ok(found) => printer.result(&t!("Alibaba Cloud: %{found}", found)),
        Err(error) if wants_acme && error.kind() == ErrorKind::Credentials => {
            printer.result(t!("Alibaba Cloud: no credentials, which only orders at CAS need"));
        }
        Err(error) => problems.push(error.context(t!("Alibaba Cloud"))),
    }
    match apply::acme::of_config(session) {
        Ok(all) => {
            for wanted in &all {
                let names = wanted.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                printer.result(&t!("certificate: %{names} at %{ca}", names, ca = wanted.ca.label));
            }
        }
        Err(error) => problems.push(error),
    }
    let router = session.router(&http)?;
    for route in &session.file().routes {
        printer.result(&t!("route: %{zone} is written by %{provider}", zone = route.zone, provider = route.provider));
    }
    for name in router.reachable() {
        let settings = router.settings(name)?;
        let description = router.registry().describe(&settings.id)?;
        printer.result(&t!(
            "provider %{name}: %{title} (%{origin})",
            name,
            title = description.title,
            origin = description.origin
        ));
        let renewed = router.renewed(&settings);
        for credential in &description.credentials {
            match settings.find(&credential.name, &credential.familiar) {
                // Opening it tells.
                Err(_) => {}
                Ok(Some(found)) => printer.result(&format!("  {}: {}", credential.name, found.origin)),
                Ok(None) if renewed.as_ref().is_some_and(|it| it.names().contains(&credential.name.as_str())) => {
                    let origin = renewed.as_ref().map(|renewed| renewed.origin()).unwrap_or_default();
                    printer.result(&format!("  {}: {origin}", credential.name));
                }
                Ok(None) if credential.optional => {}
                Ok(None) => printer.result(&t!("  %{name}: not set", name = credential.name)),
            }
        }
        if let Err(error) = router.open(name) {
            problems.push(error);
        }
    }
    if !router.has_any() {
        problems
            .push(Error::config(t!("no provider is set")).with_hint(t!("use `--provider`, or add `[[route]]` to the config")));
    }
    let writable = session.chosen().out().and_then(|out| {
        printer.result(&t!("certificates: %{folder}", folder = out.display()));
        can_be_written(&out)
    });
    problems.extend(writable.err());
    match session.chosen().store() {
        Ok(store) => {
            printer.result(&t!("store: %{store}", store));
            if let Target::File(path) = &store
                && let Some(folder) = path.parent()
            {
                problems.extend(can_be_written(folder).err());
            }
        }
        Err(error) => problems.push(error),
    }
    for problem in &problems {
        printer.error("");
        failure::show(printer, problem, None);
    }
    Ok(problems.first().map_or(Exit::DONE, |problem| Exit::failure(problem.kind())))
}

/// Whether files can be made in `folder`, or in the nearest folder above it that is there. Makes nothing that stays: a check is no run.
fn can_be_written(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let nearest = whole.ancestors().find(|above| above.exists()).unwrap_or(&whole);
    let probe = tempfile::Builder::new().prefix(".dv-verify-check").tempfile_in(nearest);
    probe.map(drop).map_err(|error| {
        Error::new(
            ErrorKind::Delivery,
            t!("nothing can be written in `%{nearest}`: %{error}", nearest = nearest.display(), error),
        )
        .with_hint(t!("choose other places with `--out` and `--store`, or run as a user who may write there"))
    })
}

fn show_options(session: &Session, printer: &Printer) {
    let file = session.file();
    match (&file.path, file.exists) {
        (Some(path), true) => printer.result(&t!("config file: %{path}", path = path.display())),
        (Some(path), false) => printer.result(&t!("config file: %{path} (not there, which is fine)", path = path.display())),
        (None, _) => printer.result(t!("config file: none (no home folder)")),
    }
    if let Some(default) =
        Places::of_process(session.environment()).config().filter(|default| Some(default) != file.path.as_ref())
    {
        printer.result(&t!("  instead of %{default}", default = default.display()));
    }
    let mut rows = table::new(&[message!("OPTION"), message!("VALUE"), message!("FROM")]);
    let mut is_empty = true;
    for setting in SETTINGS {
        if let Some(given) = session.layers().get(setting.name) {
            is_empty = false;
            rows.add_row([format!("--{}", setting.name), given.texts.join(" "), given.origin.to_string()]);
        }
    }
    if is_empty {
        printer.result(t!("all options have their defaults"));
    } else {
        table::show(printer, &rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_probed_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        can_be_written(folder.path()).unwrap();
        can_be_written(&folder.path().join("a/b")).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(can_be_written(&file.join("below")).unwrap_err().to_string().contains("file"));
    }
}
