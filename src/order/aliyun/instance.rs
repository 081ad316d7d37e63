//! CAS 2020-04-07, instances ("V2.0"): `ListInstances`, `GetInstanceDetail`, `GetUserCertificateDetail`.

use std::collections::HashSet;

use super::{call::Call, client::Client, listed::Listed, order_2020::VERSION, reply::Fields, words};
use crate::{
    error::Result,
    language::t,
    name::Name,
    order::{Challenge, ChallengeKind, Generation, Order, OrderId, OrderState, OrderSummary},
    record::RecordType,
};

const READ: &str = "GetInstanceDetail";
pub(super) const CERTIFICATE: &str = "GetUserCertificateDetail";
const LIST: &str = "ListInstances";

/// The documented maximum.
const PAGE_SIZE: u64 = 100;

/// One instance; where it is issued, with its certificate from the certificate store.
pub(super) async fn read(client: &Client, id: &OrderId) -> Result<Order> {
    let detail = client.call(&Call::new(READ, VERSION).about(id).with("InstanceId", id)).await?;
    let certificate_id = certificate_id(&detail);
    let mut note = note(&detail);
    let state = match (stage(&detail)?, &certificate_id) {
        (Stage::State(state), _) => state,
        (Stage::Issued, Some(certificate_id)) => {
            // Not `about` the order: a missing certificate does not make the order unknown.
            let call = Call::new(CERTIFICATE, VERSION).with("CertId", certificate_id);
            let found =
                client.call(&call).await.map_err(|error| error.context(t!("certificate %{certificate_id}", certificate_id)))?;
            found.bundle("Cert", "Key").map_or(OrderState::Reviewing, OrderState::Issued)
        }
        (Stage::Issued, None) => OrderState::Reviewing,
    };
    if let (OrderState::Reviewing, None) = (&state, &note) {
        note = Some(words::certificate_to_come());
    }
    let domains = words::domains(detail.text("Domain").as_deref());
    Ok(Order { id: id.clone(), generation: Generation::Instance, domains, state, certificate_id, note })
}

/// What an application needs to know of an instance.
pub(super) struct Detail {
    status: String,
    /// The names that it is, or was, applied for with.
    pub(super) domains: Vec<Name>,
    /// The certificate that it shows.
    pub(super) certificate: Option<String>,
    /// How many contacts it has.
    pub(super) contacts: usize,
}

impl Detail {
    /// Whether an application is with the CA.
    pub(super) fn is_pending(&self) -> bool {
        words::normalized(&self.status) == "pending"
    }
}

/// One instance as an application needs it.
pub(super) async fn detail(client: &Client, id: &OrderId) -> Result<Detail> {
    let detail = client.call(&Call::new(READ, VERSION).about(id).with("InstanceId", id)).await?;
    Ok(Detail {
        status: detail.text("Status").unwrap_or_default(),
        domains: words::domains(detail.text("Domain").as_deref()),
        certificate: certificate_id(&detail),
        contacts: detail.length("ContactIdList"),
    })
}

/// One instance without its certificate: where it is issued, its state is the unknown word `issued`.
pub(super) async fn read_state(client: &Client, id: &OrderId) -> Result<Order> {
    let detail = client.call(&Call::new(READ, VERSION).about(id).with("InstanceId", id)).await?;
    let state = match stage(&detail)? {
        Stage::State(state) => state,
        Stage::Issued => OrderState::Unknown("issued".to_owned()),
    };
    Ok(Order {
        id: id.clone(),
        generation: Generation::Instance,
        domains: words::domains(detail.text("Domain").as_deref()),
        state,
        certificate_id: certificate_id(&detail),
        note: note(&detail),
    })
}

/// How an instance was applied with last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastApplication {
    /// The certificate request, where the user gave one.
    pub csr: Option<String>,
    /// The algorithm of the key that the service makes.
    pub key_algorithm: Option<String>,
    /// Whether the names were proven by files.
    pub by_file: bool,
}

/// How an instance was applied with last.
pub(super) async fn last_application(client: &Client, id: &OrderId) -> Result<LastApplication> {
    let detail = client.call(&Call::new(READ, VERSION).about(id).with("InstanceId", id)).await?;
    let is =
        |field: &str, words: &[&str]| detail.text(field).is_some_and(|word| words.contains(&words::normalized(&word).as_str()));
    Ok(LastApplication {
        csr: detail.text("Csr").filter(|_| is("GenerateCsrMethod", &["upload"])),
        key_algorithm: detail.text("KeyAlgorithm"),
        by_file: is("ValidationMethod", &["http", "file"]),
    })
}

/// The challenges of an instance, without its certificate.
pub(super) async fn challenges(client: &Client, id: &OrderId) -> Result<Vec<Challenge>> {
    let detail = client.call(&Call::new(READ, VERSION).about(id).with("InstanceId", id)).await?;
    match stage(&detail)? {
        Stage::State(OrderState::Checking(challenges)) => Ok(challenges),
        _ => Ok(Vec::new()),
    }
}

/// All instances, or those with this `Status`, over all pages; also how many pages there were.
pub(super) async fn list(client: &Client, status: Option<&str>) -> Result<(Vec<Listed>, u32)> {
    let mut all = Vec::new();
    let mut known = HashSet::new();
    let mut received: u64 = 0;
    let mut number = 1;
    loop {
        let call = Call::new(LIST, VERSION).with("CurrentPage", number).with("ShowSize", PAGE_SIZE);
        let page = client.call(&call.with_optional("Status", status)).await?;
        let rows = page.rows("InstanceList");
        received += rows.len() as u64;
        let before = known.len();
        all.extend(rows.iter().filter_map(summary).filter(|row| known.insert(row.summary.id.clone())));
        // A page that brings nothing new ends it too: rows may move between pages while they are read.
        if known.len() == before || page.number("TotalCount").is_some_and(|total| received >= total) {
            return Ok((all, number));
        }
        number += 1;
    }
}

fn summary(row: &Fields) -> Option<Listed> {
    let state = row.text("Status").unwrap_or_default();
    let summary = OrderSummary {
        id: words::row_id(LIST, row.text("InstanceId"))?,
        generation: Generation::Instance,
        domains: words::domains(row.text("Domain").as_deref()),
        is_final: words::is_final(&state),
        is_domain_validated: words::is_domain_validated(row.text("CertificateType").as_deref()),
        state,
    };
    let capacity = row.number("FullDomainCount").zip(row.number("WildcardDomainCount"));
    let certificate_state = row.text("CertificateStatus");
    let listed = Listed { capacity, certificate_state, ..Listed::of(summary) };
    Some(listed.with_times(row, &["OrderStartTime", "InstanceStartTime"], "CertificateNotAfter"))
}

fn certificate_id(detail: &Fields) -> Option<String> {
    detail.text("CertificateId").filter(|id| id != "0")
}

/// How far an instance is, before its certificate is fetched.
#[derive(Debug)]
enum Stage {
    State(OrderState),
    /// A certificate is there to be fetched.
    Issued,
}

/// `CertificateStatus` speaks of the latest issued certificate. So an instance that is `pending` is never issued, whatever it says:
/// it is being renewed.
fn stage(detail: &Fields) -> Result<Stage> {
    let certificate_status = detail.text("CertificateStatus");
    let Some(status) = detail.text("Status").or_else(|| certificate_status.clone()) else {
        return Err(detail.lacks(READ, "Status"));
    };
    let certificate = certificate_status.as_deref().map(words::normalized);
    let failed = |reason: String| Ok(Stage::State(OrderState::Failed { reason }));
    match (words::normalized(&status).as_str(), certificate.as_deref()) {
        ("pending", _) => Ok(Stage::State(checking(detail))),
        ("inactive", _) => Ok(Stage::State(OrderState::NotSubmitted)),
        ("closed" | "refund" | "refunded" | "expired", _) => {
            let end = detail
                .time("InstanceEndTime")
                .map(|end| t!(", its end %{end}", end = end.strftime("%Y-%m-%dT%H:%MZ")))
                .unwrap_or_default();
            failed(t!("the instance is `%{status}`%{end}", status, end))
        }
        (_, Some(certificate @ ("revoked" | "expired"))) => {
            failed(t!("the certificate of the instance is %{certificate}", certificate))
        }
        ("normal" | "willexpire" | "issued", Some("issued" | "willexpire" | "willexpired")) => Ok(Stage::Issued),
        _ => Ok(Stage::State(OrderState::Unknown(status))),
    }
}

/// The challenges of a pending instance. The list appears some time after the application; entries without a value are not ready.
fn checking(detail: &Fields) -> OrderState {
    let mut challenges = Vec::new();
    let mut unknown = None;
    for entry in detail.rows("DomainValidationList") {
        match challenge(&entry) {
            Ok(Some(challenge)) => challenges.push(challenge),
            Ok(None) => {}
            Err(validation_type) => {
                tracing::warn!("a validation of type `{validation_type}` is left out: this program does not know the type");
                unknown = Some(validation_type);
            }
        }
    }
    match (challenges.is_empty(), unknown) {
        (false, _) => OrderState::Checking(challenges),
        (true, Some(validation_type)) => OrderState::Unknown(format!("pending with validation type {validation_type}")),
        (true, None) => OrderState::Preparing,
    }
}

/// One entry; `None` where it is not ready, `Err` with a validation type that is not known.
fn challenge(entry: &Fields) -> Result<Option<Challenge>, String> {
    let Some(value) = entry.text("ValidationValue") else { return Ok(None) };
    let key = entry.text("ValidationKey");
    let name_of = |field: &str| entry.text(field).and_then(|text| Name::parse(&text).ok());
    let (domain, root_domain) = (name_of("Domain"), name_of("RootDomain"));
    let validation_type = entry.text("ValidationType").unwrap_or_else(|| "TXT".to_owned());
    let (kind, name, value) = match validation_type.to_ascii_uppercase().as_str() {
        // An empty host record is the root itself.
        "TXT" | "DNS" => (ChallengeKind::Record(RecordType::Txt), key.unwrap_or_else(|| "@".to_owned()), value),
        "CNAME" => (ChallengeKind::Record(RecordType::Cname), key.unwrap_or_else(|| "@".to_owned()), value),
        "HTTP" | "FILE" => {
            // Which of both is the place and which the content is not documented.
            let (place, content) = match key {
                Some(key) if is_place(&value) && !is_place(&key) => (value, key),
                Some(key) => (key, value),
                None => return Ok(None),
            };
            let place = match domain.as_ref().or(root_domain.as_ref()) {
                Some(domain) if place.starts_with('/') => format!("{}{place}", domain.base()),
                _ => place,
            };
            (ChallengeKind::File, place, content)
        }
        _ => return Err(validation_type),
    };
    Ok(Some(Challenge { domain, root_domain, kind, name, value }))
}

fn is_place(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://") || text.contains("/.well-known/")
}

/// What the CA said last, and how long it says that it takes.
fn note(detail: &Fields) -> Option<String> {
    let result = detail.text("PendingResult");
    let is_pending = detail.text("Status").is_some_and(|status| words::normalized(&status) == "pending");
    let seconds = detail.number("AverageWaitingTime").filter(|seconds| is_pending && *seconds > 0);
    let wait = seconds.map(|seconds| t!("usually takes %{seconds} s", seconds));
    let parts: Vec<String> = [result, wait].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests;
