//! CAS 2018-07-13: orders by InstanceId, challenge and certificate in one operation (`DescribeDVOrderResult`).

use std::collections::HashSet;

use super::{call::Call, client::Client, listed::Listed, reply::Fields, words};
use crate::{
    error::Result,
    language::t,
    order::{Challenge, ChallengeKind, Generation, Order, OrderId, OrderState, OrderSummary},
    record::RecordType,
};

pub(super) const VERSION: &str = "2018-07-13";
const READ: &str = "DescribeDVOrderResult";
const LIST: &str = "DescribeOrderInstanceList";

/// What every call of this generation may carry.
#[derive(Clone, Debug, Default)]
pub(super) struct Extras {
    /// `Lang`: `zh` or `en`.
    pub(super) lang: Option<String>,
    /// `SourceIp`: the address of the caller.
    pub(super) source_ip: Option<String>,
}

impl Extras {
    pub(super) fn on(&self, call: Call) -> Call {
        call.with_optional("Lang", self.lang.as_deref()).with_optional("SourceIp", self.source_ip.as_deref())
    }
}

/// One order.
pub(super) async fn read(client: &Client, id: &OrderId, extras: &Extras) -> Result<Order> {
    let call = extras.on(Call::new(READ, VERSION).about(id).with("InstanceId", id));
    order(id, &client.call(&call).await?)
}

/// All orders, over all pages.
pub(super) async fn list(client: &Client, extras: &Extras) -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    let mut known = HashSet::new();
    let mut received: u64 = 0;
    loop {
        let page = client.call(&extras.on(Call::new(LIST, VERSION).with("StartIndex", received))).await?;
        let rows = page.rows("OrderList");
        received += rows.len() as u64;
        let before = known.len();
        all.extend(rows.iter().filter_map(summary).filter(|row| known.insert(row.summary.id.clone())));
        // A page that brings nothing new ends it too, in case a server does not count as this program believes.
        if known.len() == before || page.number("TotalCount").is_some_and(|total| received >= total) {
            return Ok(all);
        }
    }
}

fn summary(row: &Fields) -> Option<Listed> {
    let state = row.text("Status").unwrap_or_default();
    Some(Listed::of(OrderSummary {
        id: words::row_id(LIST, row.text("InstanceId"))?,
        generation: Generation::Api2018,
        domains: words::domains(row.text("Domain").as_deref()),
        is_final: words::is_final(&state),
        is_domain_validated: words::is_domain_validated(row.text("CertType").as_deref()),
        state,
    }))
}

fn order(id: &OrderId, reply: &Fields) -> Result<Order> {
    let status = reply.text("OrderStatus").ok_or_else(|| reply.lacks(READ, "OrderStatus"))?;
    let word = words::normalized(&status);
    let is_issued = word == "issued";
    let state = match word.as_str() {
        "checking" => checking(&status, reply),
        "issued" => reply.bundle("Certificate", "PrivateKey").map_or(OrderState::Reviewing, OrderState::Issued),
        "checkedfail" | "checkfail" => OrderState::Failed { reason: t!("its state is `%{status}`", status) },
        "payed" => OrderState::NotSubmitted,
        _ => OrderState::Unknown(status),
    };
    let note = (is_issued && matches!(state, OrderState::Reviewing)).then(words::certificate_to_come);
    Ok(Order { id: id.clone(), generation: Generation::Api2018, domains: Vec::new(), state, certificate_id: None, note })
}

/// The challenge is produced some minutes after the order; until then name and value are absent.
fn checking(status: &str, reply: &Fields) -> OrderState {
    let (Some(name), Some(value)) = (reply.text("CheckName"), reply.text("CheckValue")) else {
        return OrderState::Preparing;
    };
    let check_type = reply.text("CheckType").unwrap_or_else(|| "DNS".to_owned());
    let kind = match check_type.to_ascii_uppercase().as_str() {
        "DNS" => ChallengeKind::Record(RecordType::Txt),
        "FILE" => ChallengeKind::File,
        _ => return OrderState::Unknown(format!("{status} with CheckType {check_type}")),
    };
    OrderState::Checking(vec![Challenge { domain: None, root_domain: None, kind, name, value }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Bundle;

    fn read(fields: &Fields) -> Order {
        order(&OrderId::parse("cas-cn-68n1mm16abcd").unwrap(), fields).unwrap()
    }

    fn challenge(order: &Order) -> &Challenge {
        match &order.state {
            OrderState::Checking(challenges) => &challenges[0],
            other => panic!("{other:?}"),
        }
    }

    const VALUE: &str = "201810150000000k09v6d49sb26ys9whgpjp7cdavl6ik8a1nfct9mnep68n0h31";

    #[test]
    fn the_documented_json_is_a_txt_challenge() {
        let order = read(&Fields::of_json(&format!(
            r#"{{"CheckValue":"{VALUE}","OrderStatus":"checking","CheckType":"DNS","RequestId":"EECA10D5-BD0F-4EF1-B3EA-B4578E5C6F8E","CheckName":"_dnsauth.www.example.com"}}"#
        )));
        assert_eq!(order.generation, Generation::Api2018);
        assert!(order.domains.is_empty() && order.certificate_id.is_none());
        let challenge = challenge(&order);
        assert_eq!((challenge.name.as_str(), challenge.value.as_str()), ("_dnsauth.www.example.com", VALUE));
        assert_eq!(challenge.kind, ChallengeKind::Record(RecordType::Txt));
        assert_eq!((&challenge.domain, &challenge.root_domain), (&None, &None));
    }

    #[test]
    fn the_documented_xml_is_the_same_in_any_order_of_children() {
        let order = read(&Fields::of_xml(&format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><DescribeDVOrderResultResponse><CheckValue>{VALUE}</CheckValue>\
             <OrderStatus>checking</OrderStatus><CheckType>DNS</CheckType><RequestId>R</RequestId>\
             <CheckName>_dnsauth.www.example.com</CheckName></DescribeDVOrderResultResponse>"
        )));
        assert_eq!(challenge(&order).value, VALUE);
        let order = read(&Fields::of_xml(
            "<DescribeDVOrderResult><OrderStatus>issued</OrderStatus><PrivateKey>-----BEGIN RSA PRIVATE KEY-----\nA\n</PrivateKey>\
             <Certificate>-----BEGIN CERTIFICATE-----\nB\n</Certificate></DescribeDVOrderResult>",
        ));
        let OrderState::Issued(bundle) = &order.state else { panic!("{order:?}") };
        assert_eq!(bundle.certificate, "-----BEGIN CERTIFICATE-----\nB");
        assert_eq!(bundle.private_key.as_ref().unwrap().expose(), "-----BEGIN RSA PRIVATE KEY-----\nA");
    }

    #[test]
    fn a_file_is_told_by_its_url() {
        let order = read(&Fields::of_json(
            r#"{"OrderStatus":"checking","CheckType":"FILE","CheckName":"example.com/.well-known/pki-validation/fileauth.txt","CheckValue":"v"}"#,
        ));
        assert_eq!(challenge(&order).kind, ChallengeKind::File);
        assert_eq!(challenge(&order).name, "example.com/.well-known/pki-validation/fileauth.txt");
    }

    #[test]
    fn every_state_has_its_word() {
        let word = |json: &str| read(&Fields::of_json(json)).state.word().to_owned();
        assert_eq!(word(r#"{"OrderStatus":"checking"}"#), "preparing");
        assert_eq!(word(r#"{"OrderStatus":"CHECKING","CheckName":"_x.example.com","CheckValue":""}"#), "preparing");
        assert_eq!(word(r#"{"OrderStatus":"checked_fail"}"#), "failed");
        assert_eq!(word(r#"{"OrderStatus":"check_fail"}"#), "failed");
        assert_eq!(word(r#"{"OrderStatus":"issued"}"#), "reviewing");
        assert_eq!(word(r#"{"OrderStatus":"issued","Certificate":"c"}"#), "issued");
        assert_eq!(word(r#"{"OrderStatus":"Frozen"}"#), "Frozen");
        assert_eq!(
            word(r#"{"OrderStatus":"checking","CheckName":"n","CheckValue":"v","CheckType":"EMAIL"}"#),
            "checking with CheckType EMAIL"
        );
        // A `Code` in a good reply is no error.
        assert_eq!(word(r#"{"OrderStatus":"checking","Code":"200"}"#), "preparing");
    }

    #[test]
    fn a_certificate_whose_key_the_applicant_made_has_none() {
        let order = read(&Fields::of_json(r#"{"OrderStatus":"issued","Certificate":"c","PrivateKey":""}"#));
        assert!(matches!(order.state, OrderState::Issued(Bundle { private_key: None, .. })));
    }

    #[test]
    fn a_reply_without_a_status_is_an_error_and_no_state() {
        let fields = Fields::of_json(r#"{"RequestId":"R9"}"#);
        let error = order(&OrderId::parse("x").unwrap(), &fields).unwrap_err();
        assert_eq!(error.request_id(), Some("R9"));
        assert!(error.message().contains("OrderStatus"));
    }

    #[test]
    fn rows_of_both_formats_become_summaries() {
        let json = Fields::of_json(
            r#"{"TotalCount":2,"OrderList":[{"InstanceId":"cas-cn-1","Id":123,"Status":"CHECKING","CertType":"DV","Source":"BUY"},
                {"InstanceId":"cas-cn-2","Id":"124","Status":"Issued","CertType":"OV"},{"Id":125}]}"#,
        );
        let xml = Fields::of_xml(
            "<R><OrderList><InstanceId>cas-cn-1</InstanceId><Id>123</Id><Status>CHECKING</Status><CertType>DV</CertType></OrderList>\
             <OrderList><InstanceId>cas-cn-2</InstanceId><Status>Issued</Status><CertType>OV</CertType></OrderList></R>",
        );
        for page in [json, xml] {
            let rows: Vec<OrderSummary> = page.rows("OrderList").iter().filter_map(summary).map(|row| row.summary).collect();
            assert_eq!(rows.len(), 2);
            assert_eq!((rows[0].id.as_str(), rows[0].is_final, rows[0].is_domain_validated), ("cas-cn-1", false, true));
            assert_eq!((rows[1].id.as_str(), rows[1].is_final, rows[1].is_domain_validated), ("cas-cn-2", true, false));
            assert_eq!(rows[0].state, "CHECKING");
        }
    }
}
