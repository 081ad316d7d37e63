//! Challenges that want a file on a web server: which file, who publishes it, may we, and does the CA see it.

use std::time::Duration;

use super::{
    Options, Permission, Surroundings,
    driver::Run,
    event::Event,
    publish::{Planned, require_type},
    sight::LEAST_PROPAGATION,
};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    order::{Challenge, ChallengeKind, Generation, Order, OrderId, OrderState},
    provider::file::is_plain_path,
    record::Record,
    web,
};

/// The longest content that is published, in bytes.
const LONGEST_CONTENT: usize = 8 * 1024;

/// How long a web server may show something else than the file that lies in its folder: it needs no time to notice.
const WRONG_FOLDER: Duration = Duration::from_secs(60);

/// The file that a challenge asks for. Its name is a URL with or without the scheme, or a path where the host is known otherwise.
pub(super) fn wanted(challenge: &Challenge, order: &Order, base_domain: Option<&Name>) -> Result<Record> {
    let said = challenge.name.trim();
    let place = said.strip_prefix("https://").or_else(|| said.strip_prefix("http://")).unwrap_or(said);
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let refuse = |why: &str| {
        Err(Error::usage(t!("the CA wants a file at `%{said}`, %{why}", said, why)).with_hint(t!(
            "only files below `/.well-known/` are written; publish this one yourself, or apply again with DNS validation"
        )))
    };
    let host = if host.is_empty() { host_of(challenge, order, base_domain)? } else { Name::parse(host)? };
    if host.is_wildcard() {
        return refuse(t!("but no file proves a wildcard"));
    }
    if !is_plain_path(path) {
        return refuse(t!("which is not a place that this program writes to"));
    }
    let content = &challenge.value;
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if content.is_empty() || content.len() > LONGEST_CONTENT || !content.chars().all(is_text) {
        return refuse(t!("but its content is empty, has control characters or is longer than 8 KiB"));
    }
    Ok(Record::of_file(host, path, content))
}

fn host_of(challenge: &Challenge, order: &Order, base_domain: Option<&Name>) -> Result<Name> {
    let only = if let [only] = order.domains.as_slice() { Some(only) } else { None };
    let host = challenge.domain.as_ref().or(only).or(base_domain).cloned();
    host.ok_or_else(|| {
        Error::usage(t!("the CA wants a file at `%{name}`, and the order does not say on which host", name = challenge.name))
            .with_hint(t!("name the host with `--base-domain`, such as `--base-domain www.example.com`"))
    })
}

/// Decides who publishes the file. Writes nothing.
pub(super) async fn plan(surroundings: &Surroundings, options: &Options, order: &Order, record: Record) -> Result<Planned> {
    permit(&record.name, &order.domains, &options.permission)?;
    let routed = surroundings.routing.files(&record.name).map_err(|error| by_hand(error, &record))?;
    require_type(&routed, &routed.provider.capabilities(), record.record_type)?;
    let zone = routed.locate(&record.name).await?;
    Ok(Planned { record, routed, zone })
}

/// What to do where nobody publishes files.
fn by_hand(error: Error, record: &Record) -> Error {
    let Some((path, content)) = record.file() else { return error };
    let url = format!("{}{path}", record.name);
    error.with_hint(t!("name the folder that it serves with `--webroot %{name}=DIR`, or a program with `--file-hook`; or serve exactly these bytes, without a \
         final newline, at http://%{url} and https://%{url}: %{content}", name = record.name, url, content))
}

/// The guard for files: hosts of the order, or what the user allows.
fn permit(host: &Name, domains: &[Name], permission: &Permission) -> Result<()> {
    let refuse = |why: String| {
        Err(Error::usage(t!("the order asks for a file at `%{host}`, %{why}", host, why))
            .with_hint(t!("if that is what you want, allow it with `--allow-name %{host}`", host)))
    };
    let in_zones = permission.zones.iter().any(|zone| host.is_within(zone));
    if permission.names.contains(host) || in_zones {
        return Ok(());
    }
    if permission.zones_limit {
        return refuse(t!("outside of the zones allowed with --zone").to_owned());
    }
    // Where the API tells no domain, the user's word that the folder is the host's counts.
    let proves = |domain: &Name| domain.is_within(host) || counterpart(domain).as_ref() == Some(host);
    if domains.is_empty() || domains.iter().any(proves) {
        return Ok(());
    }
    refuse(t!("which does not belong to the order's domains").to_owned())
}

/// `www.` in front, or without it.
fn counterpart(host: &Name) -> Option<Name> {
    match host.as_str().strip_prefix("www.") {
        Some(bare) => Name::parse(bare).ok(),
        None => host.below("www").ok(),
    }
}

/// The hosts at which the CA looks for the file: with and without `www` where both are in the certificate and share the challenge.
fn hosts(file: &Name, order: Option<&Order>) -> Vec<web::Host> {
    let mut hosts = vec![web::Host { name: file.clone(), is_required: true }];
    if habit(order) == web::Habit::Http01 {
        // Each name has a challenge of its own.
        return hosts;
    }
    let (Some(other), Some(order)) = (counterpart(file), order) else { return hosts };
    let has_its_own = |challenge: &Challenge| {
        challenge.kind == ChallengeKind::File && wanted(challenge, order, None).is_ok_and(|wanted| wanted.name == other)
    };
    match &order.state {
        OrderState::Checking(challenges) if challenges.iter().any(has_its_own) => {}
        _ if order.domains.contains(&other) => hosts.push(web::Host { name: other, is_required: true }),
        // The 2018 API does not tell: a certificate for a domain of two labels is most often for both.
        _ if order.domains.is_empty() => hosts.push(web::Host { name: other, is_required: false }),
        _ => {}
    }
    hosts
}

/// How the CA of this order looks for files.
fn habit(order: Option<&Order>) -> web::Habit {
    match order.map(|order| order.generation) {
        Some(Generation::Acme) => web::Habit::Http01,
        _ => web::Habit::HttpsFirst,
    }
}

/// What the web servers show at this moment, in a few words.
pub(super) async fn now(options: &web::Options, file: &Record, order: Option<&Order>) -> String {
    match web::look(options, habit(order), file, &hosts(&file.name, order)).await {
        Ok(look) if look.visible => "every web server shows it".to_owned(),
        Ok(look) => look.explanation.unwrap_or_else(|| "no web server shows it".to_owned()),
        Err(error) => format!("its web servers cannot be asked: {error}"),
    }
}

/// Waits until the CA will see the file, and tells what is seen.
pub(super) async fn see(run: &Run<'_>, id: &OrderId, planned: &Planned, order: Option<&Order>) -> Result<()> {
    let whole = run.options.patience.propagation.unwrap_or(LEAST_PROPAGATION);
    let is_local = planned.routed.provider.capabilities().usual_delay == Some(Duration::ZERO);
    let wrong = if is_local && run.options.patience.propagation.is_none() { WRONG_FOLDER } else { whole };
    let mut tell = |look: &web::Look| run.surroundings.observer.event(&Event::File { order: id, look });
    let hosts = hosts(&planned.record.name, order);
    let patience = web::Patience { whole, wrong };
    match web::wait(&run.options.web, habit(order), &planned.record, &hosts, patience, &mut tell).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotVisible => {
            Err(error.context(t!("published by %{instance}", instance = planned.routed.instance)))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn order(domains: &[&str], places: &[&str]) -> Order {
        let challenge = |place: &&str| Challenge {
            domain: None,
            root_domain: None,
            kind: ChallengeKind::File,
            name: (*place).to_owned(),
            value: "v".into(),
        };
        Order {
            id: OrderId::parse("1").unwrap(),
            generation: Generation::Order,
            domains: domains.iter().map(|domain| name(domain)).collect(),
            state: OrderState::Checking(places.iter().map(challenge).collect()),
            certificate_id: None,
            note: None,
        }
    }

    fn asked(place: &str, domains: &[&str]) -> Result<Record> {
        let order = order(domains, &[place]);
        let OrderState::Checking(challenges) = &order.state else { panic!("not checking") };
        wanted(&challenges[0], &order, None)
    }

    #[test]
    fn every_way_to_write_the_place_is_understood() {
        let path = "/.well-known/pki-validation/fileauth.txt";
        for place in ["Example.com", "http://example.com", "https://example.com", " example.com"] {
            let file = asked(&format!("{place}{path}"), &[]).unwrap();
            assert_eq!((file.name.as_str(), file.file()), ("example.com", Some((path, "v"))), "{place}");
        }
        assert_eq!(asked(path, &["example.com"]).unwrap().name.as_str(), "example.com");
        assert!(asked(path, &[]).unwrap_err().hint().unwrap().contains("--base-domain"));
        assert!(asked(path, &["a.example", "b.example"]).is_err());
        assert!(asked(path, &["*.example.com"]).unwrap_err().to_string().contains("wildcard"));
        for place in ["example.com/index.html", "example.com/.well-known/../x", "example.com", "example.com:8080/.well-known/a/b"]
        {
            assert_eq!(asked(place, &[]).unwrap_err().kind(), ErrorKind::Usage, "{place}");
        }
    }

    #[test]
    fn hosts_of_the_order_are_allowed_and_others_on_request() {
        let nothing = Permission::default();
        for (host, domains) in
            [("example.com", &["example.com"][..]), ("www.example.com", &["example.com"]), ("any.example", &[])]
        {
            permit(&name(host), &domains.iter().map(|domain| name(domain)).collect::<Vec<_>>(), &nothing).unwrap();
        }
        let order = [name("example.com")];
        assert!(permit(&name("other.org"), &order, &nothing).unwrap_err().hint().unwrap().contains("--allow-name other.org"));
        let limit = Permission { zones: vec![name("example.net")], zones_limit: true, ..Permission::default() };
        permit(&name("example.com"), &order, &limit).unwrap_err();
        let named = Permission { names: vec![name("example.com")], ..limit };
        permit(&name("example.com"), &order, &named).unwrap();
    }

    #[test]
    fn both_names_are_looked_at_where_both_are_in_the_certificate() {
        let place = "example.com/.well-known/pki-validation/fileauth.txt";
        let of = |domains: &[&str], places: &[&str]| -> Vec<(String, bool)> {
            let order = order(domains, places);
            hosts(&name("example.com"), Some(&order)).into_iter().map(|host| (host.name.to_string(), host.is_required)).collect()
        };
        let (bare, www) = (("example.com".to_owned(), true), "www.example.com".to_owned());
        assert_eq!(of(&["example.com"], &[place]), std::slice::from_ref(&bare));
        assert_eq!(of(&["example.com", "www.example.com"], &[place]), [bare.clone(), (www.clone(), true)]);
        assert_eq!(of(&[], &[place]), [bare.clone(), (www, false)]);
        let both = [place, "www.example.com/.well-known/pki-validation/fileauth.txt"];
        assert_eq!(
            of(&["example.com", "www.example.com"], &both),
            std::slice::from_ref(&bare),
            "the other has its own challenge"
        );
        let acme = Order { generation: Generation::Acme, ..order(&["example.com", "www.example.com"], &[place]) };
        assert_eq!(hosts(&name("example.com"), Some(&acme)).len(), 1, "at ACME CAs the other may be valid already");
    }
}
