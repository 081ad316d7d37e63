//! CAS 2020-04-07, orders by OrderId ("V1.0" in the vendor's words): `DescribeCertificateState` and `ListUserCertificateOrder`.

use std::collections::HashSet;

use super::{call::Call, client::Client, listed::Listed, reply::Fields, words};
use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    order::{Challenge, ChallengeKind, Generation, Order, OrderId, OrderState, OrderSummary},
    record::RecordType,
};

pub(super) const VERSION: &str = "2020-04-07";
const READ: &str = "DescribeCertificateState";
const LIST: &str = "ListUserCertificateOrder";

/// The documented default; no maximum is documented.
const PAGE_SIZE: u64 = 50;

/// One order. `domains` are the names of its certificate, as far as they are known from a list.
pub(super) async fn read(client: &Client, id: &OrderId, domains: &[Name]) -> Result<Order> {
    let reply = client.call(&Call::new(READ, VERSION).about(id).with("OrderId", id)).await?;
    order(id, domains, &reply)
}

/// All orders, those of packages (CPACK) and single ones (BUY), over all pages. Where one kind cannot be listed, the other still is.
///
/// # Errors
/// Where neither can be listed: the error of the first.
pub(super) async fn list(client: &Client) -> Result<(Vec<Listed>, Option<Error>)> {
    let mut rows = Vec::new();
    let mut failed = None;
    let mut answered = false;
    for order_type in ["CPACK", "BUY"] {
        match list_type(client, order_type, None, None).await {
            Ok((found, _)) => {
                answered = true;
                rows.extend(found);
            }
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) if !answered => Err(error),
        failed => Ok((rows, failed)),
    }
}

/// The orders that wait for validation: what [`list`] gives, in fewer pages; also how many these were.
pub(super) async fn list_checking(client: &Client) -> Result<(Vec<Listed>, u32)> {
    let (mut rows, pages) = list_type(client, "CPACK", Some("CHECKING"), None).await?;
    let (bought, further) = list_type(client, "BUY", Some("CHECKING"), None).await?;
    rows.extend(bought);
    Ok((rows, pages + further))
}

/// The orders out of packages that have this name among theirs, in any state.
pub(super) async fn list_for(client: &Client, name: &Name) -> Result<Vec<Listed>> {
    let (mut rows, _) = list_type(client, "CPACK", None, Some(name.as_str())).await?;
    // The keyword is fuzzy.
    rows.retain(|row| row.summary.domains.contains(name));
    Ok(rows)
}

async fn list_type(client: &Client, order_type: &str, status: Option<&str>, keyword: Option<&str>) -> Result<(Vec<Listed>, u32)> {
    let mut all = Vec::new();
    let mut known = HashSet::new();
    let mut received: u64 = 0;
    let mut number = 1;
    loop {
        let call = Call::new(LIST, VERSION)
            .with("OrderType", order_type)
            .with("CurrentPage", number)
            .with("ShowSize", PAGE_SIZE)
            .with_optional("Status", status)
            .with_optional("Keyword", keyword);
        let page = client.call(&call).await?;
        let rows = page.rows("CertificateOrderList");
        received += rows.len() as u64;
        let before = known.len();
        all.extend(rows.iter().filter_map(row).filter(|row| known.insert(row.summary.id.clone())));
        // A page that brings nothing new ends it too: rows may move between pages while they are read.
        if known.len() == before || page.number("TotalCount").is_some_and(|total| received >= total) {
            return Ok((all, number));
        }
        number += 1;
    }
}

fn row(row: &Fields) -> Option<Listed> {
    let state = row.text("Status").unwrap_or_default();
    let summary = OrderSummary {
        id: words::row_id(LIST, row.text("OrderId"))?,
        generation: Generation::Order,
        domains: words::domains(row.text("Domain").as_deref()),
        is_final: words::is_final(&state),
        is_domain_validated: words::is_domain_validated(row.text("CertType").as_deref()),
        state,
    };
    let instance = row.text("InstanceId").and_then(|id| OrderId::parse(&id).ok());
    let listed = Listed { instance, product: row.text("ProductCode"), ..Listed::of(summary) };
    Some(listed.with_times(row, &["BuyDate", "CertStartTime"], "CertEndTime"))
}

fn order(id: &OrderId, domains: &[Name], reply: &Fields) -> Result<Order> {
    let word = reply.text("Type").ok_or_else(|| reply.lacks(READ, "Type"))?;
    let normalized = words::normalized(&word);
    let is_issued = normalized == "certificate";
    let state = match normalized.as_str() {
        "domainverify" => checking(&word, reply),
        "process" => OrderState::Reviewing,
        "verifyfail" => OrderState::Failed { reason: t!("its state is `%{status}`", status = word) },
        "certificate" => reply.bundle("Certificate", "PrivateKey").map_or(OrderState::Reviewing, OrderState::Issued),
        "payed" => OrderState::NotSubmitted,
        // `unknow` (sic) is a documented word; it too says nothing.
        _ => OrderState::Unknown(word),
    };
    let note = (is_issued && matches!(state, OrderState::Reviewing)).then(words::certificate_to_come);
    Ok(Order {
        id: id.clone(),
        generation: Generation::Order,
        domains: domains.to_vec(),
        state,
        certificate_id: reply.text("CertId"),
        note,
    })
}

/// Right after the application the fields of the challenge may be missing.
fn checking(word: &str, reply: &Fields) -> OrderState {
    let file = (reply.text("Uri"), reply.text("Content"));
    let record = (reply.text("RecordDomain"), reply.text("RecordValue"));
    let method = reply.text("ValidateType").map(|method| method.to_ascii_uppercase());
    let domain = reply.text("Domain").and_then(|domain| Name::parse(&domain).ok());
    let challenge = match (method.as_deref(), record, file) {
        (Some("DNS") | None, (Some(name), Some(value)), _) => {
            let record_type = reply.text("RecordType").unwrap_or_else(|| "TXT".to_owned());
            let Ok(record_type) = RecordType::parse(&record_type) else {
                return OrderState::Unknown(format!("{word} with RecordType {record_type}"));
            };
            Challenge { domain, root_domain: None, kind: ChallengeKind::Record(record_type), name, value }
        }
        (Some("FILE" | "HTTP") | None, _, (Some(uri), Some(value))) => {
            let name = match &domain {
                Some(domain) if uri.starts_with('/') => format!("{domain}{uri}"),
                _ => uri,
            };
            Challenge { domain, root_domain: None, kind: ChallengeKind::File, name, value }
        }
        (Some("DNS" | "FILE" | "HTTP") | None, ..) => return OrderState::Preparing,
        (Some(other), ..) => return OrderState::Unknown(format!("{word} with ValidateType {other}")),
    };
    OrderState::Checking(vec![challenge])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Bundle;

    fn read(json: &str) -> Order {
        order(&OrderId::parse("123451222").unwrap(), &[Name::parse("www.example.com").unwrap()], &Fields::of_json(json)).unwrap()
    }

    fn challenge(order: &Order) -> &Challenge {
        match &order.state {
            OrderState::Checking(challenges) => &challenges[0],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_documented_dns_sample_is_a_challenge() {
        let order = read(
            r#"{"RequestId":"082FAB35-6AB9-4FD5-8750-D36673548E76","Type":"domain_verify","ValidateType":"DNS","RecordDomain":"_dnsauth.www.example.com","RecordType":"TXT","RecordValue":"20200420000000223erigacv46uhaubchcm0o7spxi7i2isvjq59mlx9lucnkqcy"}"#,
        );
        assert_eq!(order.domains, [Name::parse("www.example.com").unwrap()]);
        let challenge = challenge(&order);
        assert_eq!(challenge.name, "_dnsauth.www.example.com");
        assert_eq!(challenge.value, "20200420000000223erigacv46uhaubchcm0o7spxi7i2isvjq59mlx9lucnkqcy");
        assert_eq!(challenge.kind, ChallengeKind::Record(RecordType::Txt));
    }

    #[test]
    fn a_cname_and_a_file_are_understood() {
        let order = read(
            r#"{"Type":"domain_verify","ValidateType":"DNS","RecordDomain":"_x.example.com","RecordType":"CNAME","RecordValue":"y.example.net"}"#,
        );
        assert_eq!(challenge(&order).kind, ChallengeKind::Record(RecordType::Cname));
        let order = read(
            r#"{"Type":"domain_verify","ValidateType":"FILE","Domain":"example.com","Uri":"/.well-known/pki-validation/fileauth.txt","Content":"http://x"}"#,
        );
        assert_eq!(challenge(&order).kind, ChallengeKind::File);
        assert_eq!(challenge(&order).name, "example.com/.well-known/pki-validation/fileauth.txt");
        assert_eq!(challenge(&order).value, "http://x");
    }

    #[test]
    fn every_type_has_its_state() {
        let word = |json: &str| read(json).state.word().to_owned();
        assert_eq!(word(r#"{"Type":"domain_verify"}"#), "preparing");
        assert_eq!(word(r#"{"Type":"domain_verify","ValidateType":"DNS","RecordDomain":"_dnsauth"}"#), "preparing");
        assert_eq!(word(r#"{"Type":"domain_verify","ValidateType":"FILE","RecordDomain":"a","RecordValue":"b"}"#), "preparing");
        assert_eq!(word(r#"{"Type":"process"}"#), "reviewing");
        assert_eq!(word(r#"{"Type":"verify_fail"}"#), "failed");
        assert_eq!(word(r#"{"Type":"payed"}"#), "not-submitted");
        assert_eq!(word(r#"{"Type":"unknow"}"#), "unknow");
        assert_eq!(word(r#"{"Type":"certificate"}"#), "reviewing");
        assert_eq!(
            word(r#"{"Type":"domain_verify","RecordDomain":"a","RecordValue":"b","RecordType":"MX"}"#),
            "domain_verify with RecordType MX"
        );
        assert_eq!(word(r#"{"Type":"domain_verify","ValidateType":"EMAIL"}"#), "domain_verify with ValidateType EMAIL");
    }

    #[test]
    fn an_issued_order_has_certificate_key_and_id() {
        let order = read(r#"{"Type":"certificate","Certificate":"c","PrivateKey":"k","CertId":6055048}"#);
        assert_eq!(order.certificate_id.as_deref(), Some("6055048"));
        let OrderState::Issued(bundle) = order.state else { panic!() };
        assert_eq!((bundle.certificate.as_str(), bundle.private_key.unwrap().expose()), ("c", "k"));
        let order = read(r#"{"Type":"certificate","Certificate":"c","CertId":"1"}"#);
        assert!(matches!(order.state, OrderState::Issued(Bundle { private_key: None, .. })));
    }

    #[test]
    fn a_row_gives_domains_and_the_id_of_its_instance() {
        let page = Fields::of_json(
            r#"{"CertificateOrderList":[{"OrderId":2345687,"InstanceId":"cas-upload-50yf1q","Domain":"*.example.com,example.com","DomainType":"MIX","CertType":"FREE","Status":"PAYED","SourceType":"cpack","BuyDate":1634283958000},
               {"OrderId":"2","Domain":"b.example","CertType":"OV","Status":"ISSUED"}]}"#,
        );
        let rows: Vec<Listed> = page.rows("CertificateOrderList").iter().filter_map(row).collect();
        assert_eq!(rows[0].summary.id.as_str(), "2345687");
        assert_eq!(rows[0].instance.as_ref().unwrap().as_str(), "cas-upload-50yf1q");
        assert_eq!(rows[0].summary.domains.len(), 2);
        assert!(!rows[0].summary.is_final && rows[0].summary.is_domain_validated);
        assert!(rows[1].summary.is_final && !rows[1].summary.is_domain_validated && rows[1].instance.is_none());
    }

    #[test]
    fn a_reply_without_a_type_is_an_error() {
        assert!(order(&OrderId::parse("1").unwrap(), &[], &Fields::of_json("{}")).unwrap_err().message().contains("`Type`"));
    }
}
