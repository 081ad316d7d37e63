//! `check --file`: what the web servers of a host show of a file, as a CA would see it. Needs neither order nor web root.

use super::{exit::Exit, report, session::Session};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    order::acme::FILE_FOLDER,
    record::Record,
    web,
};

/// Looks once, or until the CA will see the file.
pub(super) async fn run(session: &Session, place: &str, content: &str, waits: bool) -> Result<Exit> {
    let file = file(place, content)?;
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(Error::new(ErrorKind::Interrupted, t!("interrupted while looking"))),
        exit = check(session, &file, waits) => exit,
    }
}

async fn check(session: &Session, file: &Record, waits: bool) -> Result<Exit> {
    let options = session.chosen().web();
    let habit = if file.file().is_some_and(|(path, _)| path.starts_with(FILE_FOLDER)) {
        web::Habit::Http01
    } else {
        web::Habit::HttpsFirst
    };
    let hosts = [web::Host { name: file.name.clone(), is_required: true }];
    let mut last = None;
    if waits {
        let whole = session.chosen().propagation_timeout();
        let patience = web::Patience { whole, wrong: whole };
        let printer = session.printer();
        let mut tell = |look: &web::Look| {
            if let Some(why) = look.explanation.as_deref().filter(|_| !look.visible) {
                printer.note(why);
            }
            last = Some(look.clone());
        };
        match web::wait(options, habit, file, &hosts, patience, &mut tell).await {
            // The table says more than the deadline does.
            Err(error) if error.kind() != ErrorKind::NotVisible || last.is_none() => return Err(error),
            _ => {}
        }
    }
    let look = match last {
        Some(look) => look,
        None => web::look(options, habit, file, &hosts).await?,
    };
    let printer = session.printer();
    if printer.is_json() {
        printer.json(&report::json::web_servers(&look));
    } else {
        printer.result(&report::file_table(&look));
        printer.result("");
        printer.result(&match (look.visible, &look.explanation) {
            (true, None) => t!("visible: the CA will see the file").to_owned(),
            (true, Some(risk)) => t!("visible; %{risk}", risk),
            (false, Some(why)) => t!("not visible: %{why}", why),
            (false, None) => t!("not visible").to_owned(),
        });
    }
    Ok(if look.visible { Exit::DONE } else { Exit::failure(ErrorKind::NotVisible) })
}

/// The file that is meant: `HOST/PATH`, with or without a scheme.
fn file(place: &str, content: &str) -> Result<Record> {
    let said = place.trim();
    let rest = said.strip_prefix("https://").or_else(|| said.strip_prefix("http://")).unwrap_or(said);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = Name::parse(host).map_err(|error| error.context(format!("`{said}`")))?;
    if path.len() < 2 || host.is_wildcard() || path.contains(['?', '#', ' ', '\n']) {
        return Err(Error::usage(t!("`%{said}` is not the place of a file on a web server", said)).with_hint(t!(
            "name host and path, such as `www.example.com/.well-known/pki-validation/fileauth.txt`; both schemes are looked at, on their usual ports"
        )));
    }
    if content.is_empty() {
        return Err(Error::usage(t!("the content is empty")).with_hint(t!("name the exact content of the file")));
    }
    Ok(Record::of_file(host, path, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_host_and_path() {
        let read = |place: &str| file(place, "x").map(|file| file.title());
        for place in ["www.example.com/a/b.txt", "https://www.example.com/a/b.txt", " http://WWW.example.com/a/b.txt "] {
            assert_eq!(read(place).unwrap(), "FILE www.example.com/a/b.txt");
        }
        for place in ["www.example.com", "www.example.com/", "*.example.com/a", "/a/b", "www.example.com:8080/a", "h/a?b=c"] {
            assert_eq!(read(place).unwrap_err().kind(), ErrorKind::Usage, "{place}");
        }
        assert!(file("example.com/a", "").is_err());
    }
}
