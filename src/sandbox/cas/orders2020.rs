//! Version 2020-04-07, orders by OrderId.

use std::time::Instant;

use serde_json::{Value, json};

use super::{api2018::shown_name, call::Call, certificates, failure::Failure, reply::Fields};
use crate::{
    order::Generation,
    sandbox::{
        ca::Certificate,
        orders::{Order, OrderBook, Stage, kinds::Validation},
        website::FILE,
    },
};

/// The page size where the call names none.
const PAGE: usize = 50;

/// `DescribeCertificateState`: state, challenge, certificate.
pub(super) fn describe_certificate_state(orders: &OrderBook, call: &Call, now: Instant) -> Result<Fields, Failure> {
    call.require("OrderId")?;
    let id = call.number("OrderId")?.unwrap_or_default().to_string();
    let order = orders.get(&id).filter(|order| order.generation == Generation::Order).ok_or_else(Failure::unknown_order)?;
    let mut fields = Fields::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    match order.stage(now) {
        Stage::NotSubmitted => put("Type", json!("payed")),
        Stage::Preparing => put("Type", json!("domain_verify")),
        Stage::Reviewing => put("Type", json!("process")),
        Stage::Rejected | Stage::Closed | Stage::Refunded => put("Type", json!("verify_fail")),
        Stage::Word(word) => put("Type", json!(word)),
        Stage::Checking => {
            put("Type", json!("domain_verify"));
            let value = order.challenges.first().map(|challenge| challenge.value.clone()).unwrap_or_default();
            match order.traits.validation {
                Validation::File => {
                    put("ValidateType", json!("FILE"));
                    put("Domain", json!(order.challenges.first().map(|challenge| challenge.domain.base().to_string())));
                    put("Uri", json!(FILE));
                    put("Content", json!(value))
                }
                record => {
                    put("ValidateType", json!("DNS"));
                    put("RecordDomain", json!(shown_name(order)));
                    put("RecordType", json!(if record == Validation::Cname { "CNAME" } else { "TXT" }));
                    put("RecordValue", json!(value))
                }
            }
        }
        Stage::Issued => {
            put("Type", json!("certificate"));
            match order.issued_certificate() {
                Some((id, certificate)) => {
                    if !order.traits.own_key {
                        put("PrivateKey", json!(certificate.key));
                    }
                    put("Certificate", json!(certificate.chain));
                    put("CertId", json!(id.to_string()))
                }
                None => None,
            }
        }
    };
    Ok(fields)
}

/// `ListUserCertificateOrder`: orders out of packages (`CPACK`), bought ones (`BUY`), or certificates (`CERT`, `UPLOAD`).
pub(super) fn list_user_certificate_order(orders: &OrderBook, call: &Call, now: Instant) -> Result<Fields, Failure> {
    let keyword = call.get("Keyword").map(str::to_ascii_lowercase);
    let status = call.get("Status");
    let kind = call.get("OrderType").unwrap_or("CPACK");
    let contains = |text: &String| keyword.as_ref().is_none_or(|word| text.contains(word.as_str()));
    let matches = |order: &Order| keyword.is_none() || contains(&domains(order)) || contains(&instance_id(order));
    let of_kind = |bought: bool| {
        let all = orders.of(Generation::Order).filter(move |order| order.traits.bought == bought);
        all.filter(|order| status.is_none_or(|status| status_word(order, now) == status)).filter(|order| matches(order))
    };
    let page = Page::read(call, PAGE, None)?;
    match kind {
        "CPACK" | "BUY" => Ok(page.fields("CertificateOrderList", of_kind(kind == "BUY"), |order| row(order, now))),
        // Empty Status: only certificates that are valid, and all of the sandbox's are.
        "CERT" => {
            let shown = orders.certificates().filter(|_| status.is_none_or(|status| status == "ISSUED"));
            let named = shown.filter(|(_, _, certificate)| contains(&certificate.common_name()));
            Ok(page.fields("CertificateOrderList", named, |(id, order, issued)| certificates::row(id, order, issued)))
        }
        _ => Err(Failure::invalid("OrderType", "is not valid")),
    }
}

/// A page of a list: `CurrentPage` and `ShowSize`.
pub(super) struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// Reads the parameters; `largest` is the largest size that is allowed.
    pub(super) fn read(call: &Call, size: usize, largest: Option<usize>) -> Result<Self, Failure> {
        let read = |name: &str, default: usize| {
            call.number(name).map(|number| number.map_or(default, |number| usize::try_from(number).unwrap_or(usize::MAX)))
        };
        let (number, size) = (read("CurrentPage", 1)?, read("ShowSize", size)?);
        if number == 0 || size == 0 || largest.is_some_and(|largest| size > largest) {
            return Err(Failure::invalid(if number == 0 { "CurrentPage" } else { "ShowSize" }, "is out of range"));
        }
        Ok(Self { number, size })
    }

    /// The reply that has this page of `items` under `list`, each as `row` shows it.
    pub(super) fn fields<T>(&self, list: &str, items: impl Iterator<Item = T>, row: impl Fn(T) -> Value) -> Fields {
        let first = (self.number - 1).saturating_mul(self.size);
        let (mut total, mut shown) = (0, Vec::new());
        for item in items {
            if total >= first && shown.len() < self.size {
                shown.push(row(item));
            }
            total += 1;
        }
        let fields = json!({list: shown, "CurrentPage": self.number, "ShowSize": self.size, "TotalCount": total});
        fields.as_object().cloned().unwrap_or_default()
    }
}

/// The names of an order, as the API lists them.
pub(super) fn domains(order: &Order) -> String {
    order.domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn instance_id(order: &Order) -> String {
    format!("cas-upgrade-{}", order.number)
}

fn status_word(order: &Order, now: Instant) -> String {
    match order.stage(now) {
        Stage::NotSubmitted => "PAYED".to_owned(),
        Stage::Preparing | Stage::Checking | Stage::Reviewing => "CHECKING".to_owned(),
        Stage::Issued if order.is_revoked => "REVOKED".to_owned(),
        Stage::Issued => "ISSUED".to_owned(),
        Stage::Rejected | Stage::Closed | Stage::Refunded => "CHECKED_FAIL".to_owned(),
        Stage::Word(word) => word,
    }
}

fn row(order: &Order, now: Instant) -> Value {
    let wildcards = order.domains.iter().filter(|domain| domain.is_wildcard()).count();
    let kind = match (order.domains.len(), wildcards) {
        (1, 0) => "ONE",
        (1, 1) => "WILDCARD",
        (_, 0) => "MULTIPLE",
        (all, wild) if all == wild => "M_WILDCARD",
        _ => "MIX",
    };
    let mut row = json!({
        "OrderId": order.number,
        "InstanceId": instance_id(order),
        "Domain": domains(order),
        "DomainType": kind,
        "DomainCount": order.domains.len(),
        "WildDomainCount": wildcards,
        "CertType": "DV",
        "Status": status_word(order, now),
        "SourceType": if order.traits.bought { "buy" } else { "cpack" },
        "ProductCode": order.product.as_deref().unwrap_or(if wildcards > 0 { "geotrust-dv-w-starter" } else { "symantec-dv-1-starter" }),
        "ProductName": "dv-verify sandbox DV",
        "RootBrand": "dv-verify sandbox",
        "Algorithm": "ECC",
        "BuyDate": order.created.as_millisecond(),
        "TrusteeStatus": "unTrustee",
    });
    if let Some((_, certificate)) = order.issued_certificate() {
        row["CertStartTime"] = json!(Certificate::milliseconds(certificate.not_before));
        row["CertEndTime"] = json!(Certificate::milliseconds(certificate.not_after));
    }
    row
}
