//! Version 2020-04-07, instances.

use std::time::Instant;

use serde_json::{Value, json};

use super::{
    call::Call,
    failure::Failure,
    orders2020::{Page, domains},
    reply::Fields,
};
use crate::{
    order::Generation,
    sandbox::{
        ca::Certificate,
        orders::{Challenge, Order, OrderBook, Stage, kinds::Validation},
        website::FILE,
    },
};

/// The page size where the call names none.
const PAGE: usize = 10;

/// The largest page.
const LARGEST_PAGE: usize = 100;

/// `ListInstances`: a page of the instances, without challenges.
pub(super) fn list_instances(orders: &OrderBook, call: &Call, now: Instant) -> Result<Fields, Failure> {
    let page = Page::read(call, PAGE, Some(LARGEST_PAGE))?;
    let keyword = call.get("Keyword").map(str::to_ascii_lowercase);
    let (status, certificate_status) = (call.get("Status"), call.get("CertificateStatus"));
    let kind = call.get("CertificateType").is_none_or(|kind| kind == "DV");
    let instance_type = call.get("InstanceType").is_none_or(|kind| kind == "BUY");
    let shown = orders.of(Generation::Instance).filter(|order| {
        kind && instance_type
            && status.is_none_or(|status| status == status_word(order, now))
            && certificate_status.is_none_or(|status| status == "issued" && order.certificate.is_some())
            && keyword.as_ref().is_none_or(|word| domains(order).contains(word.as_str()) || order.id.contains(word.as_str()))
    });
    Ok(page.fields("InstanceList", shown, |order| Value::Object(row(order, now))))
}

/// `GetInstanceDetail`: state, challenges, the id of the certificate.
pub(super) fn get_instance_detail(orders: &OrderBook, call: &Call, now: Instant) -> Result<Fields, Failure> {
    let order = instance(orders, call.require("InstanceId")?)?;
    let mut fields = row(order, now);
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("ValidationMethod", json!(if order.traits.validation == Validation::File { "HTTP" } else { "DNS" }));
    put("KeyAlgorithm", json!(order.draft.as_ref().map_or("ECC_256", |draft| draft.key_algorithm.as_str())));
    if let Some(csr) = order.draft.as_ref().and_then(|draft| draft.csr.as_ref()) {
        put("Csr", json!(csr));
    }
    put("GenerateCsrMethod", json!(if order.traits.own_key { "upload" } else { "online" }));
    put("City", json!("Beijing"));
    put("Province", json!("Beijing"));
    put("CountryCode", json!("CN"));
    put("AutoReissue", json!("disable"));
    put("UpgradeStatus", json!("none"));
    put("ContactIdList", json!([1]));
    let stage = order.stage(now);
    let result = match stage {
        Stage::Preparing | Stage::Checking | Stage::Reviewing => "pending",
        Stage::Rejected => "domain validation failed",
        _ => order.failed_task(now).map_or("", |task| task.message.as_str()),
    };
    put("PendingResult", json!(result));
    match stage {
        Stage::Checking => {
            put("AverageWaitingTime", json!("120"));
            let list: Vec<Value> = order.challenges.iter().map(|challenge| validation(order, challenge)).collect();
            put("DomainValidationList", json!(list));
        }
        Stage::Preparing | Stage::Reviewing => {
            put("AverageWaitingTime", json!("120"));
        }
        _ => {}
    }
    Ok(fields)
}

/// `GetTaskAttribute`: how far the submission is. The TaskId is the InstanceId.
pub(super) fn get_task_attribute(orders: &OrderBook, call: &Call, now: Instant) -> Result<Fields, Failure> {
    let order = instance(orders, call.require("TaskId")?)?;
    let (status, message) = match order.stage(now) {
        Stage::NotSubmitted if order.failed_task(now).is_some() => {
            ("failed", order.failed_task(now).map(|task| task.message.clone()).unwrap_or_default())
        }
        Stage::NotSubmitted if order.draft.is_some() => ("processing", String::new()),
        Stage::NotSubmitted => return Err(Failure::not_found("task")),
        Stage::Preparing => ("processing", String::new()),
        Stage::Rejected | Stage::Closed | Stage::Refunded => ("failed", "domain validation failed".to_owned()),
        _ => ("success", String::new()),
    };
    let fields = json!({"TaskStatus": status, "TaskMessage": message});
    Ok(fields.as_object().cloned().unwrap_or_default())
}

/// `ListContact`: the one contact of the account.
pub(super) fn list_contact(call: &Call) -> Result<Fields, Failure> {
    let page = Page::read(call, 20, None)?;
    let contact = json!({"ContactId": 1, "Name": "Sandbox", "Email": "sandbox@example.com", "Mobile": "13900000000", "EmailStatus": 1, "MobileStatus": 1});
    Ok(page.fields("ContactList", std::iter::once(contact), |contact| contact))
}

pub(super) fn instance<'a>(orders: &'a OrderBook, id: &str) -> Result<&'a Order, Failure> {
    orders.get(id).filter(|order| order.generation == Generation::Instance).ok_or_else(|| Failure::not_found("instance"))
}

/// A refused instance falls back to what it was before it was submitted; the vendor documents no word for it.
fn status_word(order: &Order, now: Instant) -> String {
    let before = if order.traits.renewal { "normal" } else { "inactive" };
    match order.stage(now) {
        Stage::NotSubmitted | Stage::Rejected => before.to_owned(),
        Stage::Preparing | Stage::Checking | Stage::Reviewing => "pending".to_owned(),
        Stage::Issued => "normal".to_owned(),
        Stage::Closed => "closed".to_owned(),
        Stage::Refunded => "refund".to_owned(),
        Stage::Word(word) => word,
    }
}

fn row(order: &Order, now: Instant) -> Fields {
    let wildcards = order.domains.iter().filter(|domain| domain.is_wildcard()).count();
    let mut row = json!({
        "InstanceId": order.id,
        "InstanceType": "BUY",
        "Spec": "ss.dv.t",
        "Brand": "dv-verify sandbox",
        "CertificateType": "DV",
        "VersionType": "basic",
        "Status": status_word(order, now),
        "Domain": domains(order),
        "FullDomainCount": order.domains.len() - wildcards,
        "WildcardDomainCount": wildcards,
        "InstanceStartTime": order.created.as_millisecond(),
        "OrderStartTime": order.created.as_millisecond(),
        "AutoReissueFlag": 0,
    });
    // While a renewal is pending this is the old certificate.
    if let Some((id, certificate)) = &order.certificate {
        row["CertificateStatus"] = json!(if order.is_revoked { "revoked" } else { "issued" });
        row["CertificateId"] = json!(id);
        row["CertIdentifier"] = json!(format!("{id}-cn-hangzhou"));
        row["CertificateName"] = json!(format!("cert-{}", order.number));
        row["CertificateNotBefore"] = json!(Certificate::milliseconds(certificate.not_before));
        row["CertificateNotAfter"] = json!(Certificate::milliseconds(certificate.not_after));
    }
    row.as_object().cloned().unwrap_or_default()
}

fn validation(order: &Order, challenge: &Challenge) -> Value {
    let key = match challenge.name.relative_to(&challenge.root_domain).as_deref() {
        Some("") => "@".to_owned(),
        Some(relative) => relative.to_owned(),
        None => challenge.name.to_string(),
    };
    let (kind, key) = match order.traits.validation {
        Validation::Txt => ("TXT", key),
        Validation::Cname => ("CNAME", key),
        Validation::File => ("HTTP", FILE.to_owned()),
    };
    json!({
        "Domain": challenge.domain.to_string(),
        "RootDomain": challenge.root_domain.to_string(),
        "ValidationType": kind,
        "ValidationKey": key,
        "ValidationValue": challenge.value,
    })
}
