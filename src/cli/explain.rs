//! `explain NAME|ORDER`: why a record is not visible, why an order is not issued, and what to do.

use super::{exit::Exit, printer::Printer, printer::printable, session::Session};
use crate::{
    config::routing::Router,
    error::{Error, ErrorKind, Result},
    http::Http,
    journey,
    language::{say, t},
    name::Name,
    order::{OrderId, OrderSource, OrderState},
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

/// Explains a name, or every challenge of an order. A text without a dot is an order: names of records have one.
pub(super) async fn run(session: &Session, subject: &str, value: Option<String>) -> Result<Exit> {
    let http = Http::new()?;
    let explainer = Explainer { session, propagation: session.propagation()?, router: session.router(&http)?, http };
    let explaining = async {
        if subject.contains('.') {
            let name = Name::parse(subject)?;
            let record =
                value.map(|value| Record { name: name.clone(), record_type: RecordType::Txt, value }.fits()).transpose()?;
            return explainer.explain(&name, record.as_ref(), name.is_wildcard()).await;
        }
        explainer.explain_order(&OrderId::parse(subject)?).await
    };
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(Error::new(ErrorKind::Interrupted, t!("interrupted while looking"))),
        is_blocked = explaining => Ok(if is_blocked? { Exit::failure(ErrorKind::NotVisible) } else { Exit::DONE }),
    }
}

impl Explainer<'_> {
    /// Whether something stands in the way of the order.
    async fn explain_order(&self, id: &OrderId) -> Result<bool> {
        let printer = self.session.printer();
        let order = self.session.cas(&self.http)?.read(id).await?;
        let note = order.note.as_deref().filter(|note| !note.is_empty()).map(|note| format!(" ({})", printable(note)));
        let said = match &order.state {
            OrderState::NotSubmitted => t!("is paid for, but not applied for: apply for the certificate first").to_owned(),
            OrderState::Preparing => t!("waits for the CA to say what it wants to see: this takes seconds to minutes").to_owned(),
            OrderState::Checking(challenges) => t!("waits for %{challenges} record(s) of yours", challenges = challenges.len()),
            OrderState::Reviewing => t!("is with the CA: nothing is left to do for you").to_owned(),
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
                let is_wildcard = challenge.domain.as_ref().is_some_and(Name::is_wildcard);
                is_blocked |= self.explain(&record.name, Some(&record), is_wildcard).await?;
            }
        }
        Ok(is_blocked)
    }

    /// Whether something stands in the way of the record.
    async fn explain(&self, name: &Name, record: Option<&Record>, wildcard: bool) -> Result<bool> {
        let provider = self.provider(name)?;
        let every = self.router.registry().list().into_iter();
        let context = ExplainContext {
            name_server_suffixes: provider.as_ref().map(|known| known.capabilities.name_servers.clone()).unwrap_or_default(),
            provider: provider.map(|known| known.id),
            providers: every.map(|known| (known.id, known.capabilities.name_servers)).collect(),
            ca_identities: CA_IDENTITIES.map(str::to_owned).to_vec(),
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
