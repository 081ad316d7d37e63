//! `explain NAME|ORDER`: why a record is not visible, why an order is not issued, and what to do.

use super::{apply, exit::Exit, printer::Printer, printer::printable, session::Session};
use crate::{
    config::routing::Router,
    error::{Error, ErrorKind, Result},
    http::Http,
    journey,
    language::{say, t},
    name::Name,
    order::{Generation, OrderId, OrderSource, OrderState, acme::Ca},
    propagation::{ExplainContext, Explanation, Propagation, Severity},
    provider::description::Description,
    record::{Record, RecordType},
};

/// The CAs behind CAS, by their names in CAA records (the vendor's help pages on CAA).
const CA_IDENTITIES: [&str; 4] = ["digicert.com", "globalsign.com", "sectigo.com", "trust-provider.com"];

/// What an explanation works with.
struct Explainer<'a> {
    session: &'a Session,
    http: Http,
    propagation: Propagation,
    router: Router,
}

/// Explains a name, or every challenge of an order: one at an ACME CA that is under way, or a text without a dot, which names of records have.
pub(super) async fn run(session: &Session, subject: &str, value: Option<String>) -> Result<Exit> {
    let http = Http::new()?;
    let explainer = Explainer { session, propagation: session.propagation()?, router: session.router(&http)?, http };
    let explaining = async {
        if !subject.contains('.') {
            let source = session.cas(&explainer.http)?;
            return explainer.explain_order(&source, &OrderId::parse(subject)?, &CA_IDENTITIES).await;
        }
        if is_acme_order(subject) {
            let (source, id) = (apply::acme::looking(session)?, OrderId::parse(subject)?);
            let identities = source.ca_of(&id).map_or(&[][..], |ca| ca.caa_identities());
            return explainer.explain_order(&source, &id, identities).await;
        }
        let name = Name::parse(subject)?;
        let record = value.map(|value| Record { name: name.clone(), record_type: RecordType::Txt, value }.fits()).transpose()?;
        let identities = identities(session.chosen().acme.ca.as_deref(), &name)?;
        explainer.explain(&name, record.as_ref(), name.is_wildcard(), identities).await
    };
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(Error::new(ErrorKind::Interrupted, t!("interrupted while looking"))),
        is_blocked = explaining => Ok(if is_blocked? { Exit::failure(ErrorKind::NotVisible) } else { Exit::DONE }),
    }
}

/// Whether a text with a dot in it is the id of an order at an ACME CA (`letsencrypt-example.com-0123456789`): no top level ends so.
fn is_acme_order(text: &str) -> bool {
    let tail = text.rsplit_once('-').map_or("", |(_, tail)| tail);
    tail.len() == 10 && tail.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')) && !text.contains(".xn--")
}

/// What the CA goes by in CAA records: the one that `--ca` names; where there is none, those behind CAS, unless the name is one of ACME.
fn identities(ca: Option<&str>, name: &Name) -> Result<&'static [&'static str]> {
    Ok(match ca {
        Some(ca) => Ca::parse(ca)?.caa_identities(),
        None if name.first_label() == "_acme-challenge" => &[],
        None => &CA_IDENTITIES,
    })
}

impl Explainer<'_> {
    /// Whether something stands in the way of the order. `identities`: what its CA goes by in CAA records.
    async fn explain_order(&self, source: &dyn OrderSource, id: &OrderId, identities: &[&str]) -> Result<bool> {
        let printer = self.session.printer();
        let order = source.read(id).await?;
        let note = order.note.as_deref().filter(|note| !note.is_empty()).map(|note| format!(" ({})", printable(note)));
        let said = match &order.state {
            OrderState::NotSubmitted => t!("is paid for, but not applied for: apply for the certificate first").to_owned(),
            OrderState::Preparing => t!("waits for the CA to say what it wants to see: this takes seconds to minutes").to_owned(),
            OrderState::Checking(challenges) => t!("waits for %{challenges} record(s) of yours", challenges = challenges.len()),
            OrderState::Reviewing => t!("is with the CA: nothing is left to do for you").to_owned(),
            OrderState::Issued(_) if order.generation == Generation::Acme => {
                t!("is issued: `dv-verify apply` with the same names fetches it").to_owned()
            }
            OrderState::Issued(_) => t!("is issued: `dv-verify --order` fetches it").to_owned(),
            OrderState::Failed { reason } => t!("was refused: %{reason}", reason = printable(reason)),
            OrderState::Unknown(word) => {
                t!("is in the state `%{state}`, which this version does not know", state = printable(word))
            }
        };
        if !printer.is_json() {
            printer.result(&t!("order %{id} %{said}%{note}", id, said, note = note.unwrap_or_default()));
        }
        let mut is_blocked = matches!(order.state, OrderState::Failed { .. });
        if let OrderState::Checking(challenges) = &order.state {
            for challenge in challenges {
                let record = journey::record_of(challenge, &order, self.session.chosen().base_domain())?;
                if let Some((path, _)) = record.file() {
                    let place = format!("{}{path}", record.name);
                    printer.note(&t!("`dv-verify check --file %{place} CONTENT` says what the web servers show", place));
                    continue;
                }
                let is_wildcard = challenge.domain.as_ref().is_some_and(Name::is_wildcard);
                is_blocked |= self.explain(&record.name, Some(&record), is_wildcard, identities).await?;
            }
        }
        Ok(is_blocked)
    }

    /// Whether something stands in the way of the record.
    async fn explain(&self, name: &Name, record: Option<&Record>, wildcard: bool, identities: &[&str]) -> Result<bool> {
        let provider = self.provider(name)?;
        let every = self.router.registry().list().into_iter();
        let context = ExplainContext {
            name_server_suffixes: provider.as_ref().map(|known| known.capabilities.name_servers.clone()).unwrap_or_default(),
            provider: provider.map(|known| known.id),
            providers: every.map(|known| (known.id, known.capabilities.name_servers)).collect(),
            ca_identities: identities.iter().map(|identity| (*identity).to_owned()).collect(),
            wildcard,
            deadline: None,
        };
        let explanation = self.propagation.explain(name, record, &context).await;
        let printer = self.session.printer();
        if printer.is_json() {
            printer.json(&serde_json::to_value(&explanation).unwrap_or_default());
        } else {
            show(printer, &explanation);
        }
        Ok(explanation.is_blocked())
    }

    /// The provider that would write the name, where one is set.
    fn provider(&self, name: &Name) -> Result<Option<Description>> {
        if !self.router.has_any() {
            return Ok(None);
        }
        let Ok(instance) = self.router.choose(name) else { return Ok(None) };
        let id = self.router.settings(instance)?.id;
        self.router.registry().describe(&id).map(Some)
    }
}

fn show(printer: &Printer, explanation: &Explanation) {
    let palette = printer.palette();
    printer.result("");
    printer.result(&explanation.name.unicode());
    for step in &explanation.steps {
        printer.result(&format!("  {}", printable(step)));
    }
    if explanation.findings.is_empty() {
        printer.result(t!("  nothing stands in the way"));
    }
    for finding in &explanation.findings {
        let word = finding.severity.as_str();
        printer.result(&t!("  %{word}: %{what}", word = say(word), what = printable(&finding.what)));
        if let Some(todo) = &finding.do_next {
            printer.result(&t!("      do: %{todo}", todo = printable(todo)));
        }
    }
    if explanation.findings.iter().all(|finding| finding.severity == Severity::Note) && !explanation.is_blocked() {
        let good = palette.good;
        printer.note(&format!("{good}{}{good:#}", t!("nothing blocks the CA, as far as can be seen from here")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_acme_are_told_from_names() {
        assert!(is_acme_order("letsencrypt-example.com-0123456789"));
        assert!(is_acme_order("127.0.0.1-14000-_wildcard.example.com-00ffaa1234"));
        for name in ["_acme-challenge.example.com", "a-0123456789.example.com", "example.xn--fiqs8s-0123456789", "example.com"] {
            assert!(!is_acme_order(name), "{name}");
        }
    }

    /// A zone that lets only Let's Encrypt issue is no obstacle for Let's Encrypt.
    #[test]
    fn caa_is_compared_with_the_ca_that_is_asked() {
        let of = |ca, name: &str| identities(ca, &Name::parse(name).unwrap()).unwrap();
        assert_eq!(of(Some("letsencrypt"), "_acme-challenge.example.com"), ["letsencrypt.org"]);
        assert_eq!(of(Some("https://ca.example/dir"), "_acme-challenge.example.com"), [""; 0]);
        assert_eq!(of(None, "_acme-challenge.example.com"), [""; 0]);
        assert_eq!(of(None, "_dnsauth.example.com"), CA_IDENTITIES);
        assert!(identities(Some("letsencript"), &Name::parse("example.com").unwrap()).is_err());
    }
}
