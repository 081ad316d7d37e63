//! Version 2018-07-13.

use std::time::Instant;

use serde_json::{Value, json};

use super::{call::Call, failure::Failure, reply::Fields};
use crate::{
    order::Generation,
    sandbox::{
        orders::{Order, OrderBook, Stage, kinds::Validation},
        website::FILE,
    },
};

/// How many rows a list has. The vendor names no number.
const PAGE: usize = 50;

/// `DescribeDVOrderResult`: state, challenge, certificate.
pub(super) fn describe_dv_order_result(orders: &OrderBook, call: &Call, now: Instant) -> Result<Fields, Failure> {
    let id = call.require("InstanceId")?;
    let order = orders.get(id).filter(|order| order.generation == Generation::Api2018).ok_or_else(Failure::unknown_order)?;
    let mut fields = Fields::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    match order.stage(now) {
        Stage::Checking | Stage::Reviewing => {
            put("OrderStatus", json!("checking"));
            for challenge in &order.challenges {
                let (kind, name) = match order.traits.validation {
                    Validation::File => ("FILE", format!("{}{FILE}", challenge.domain.base())),
                    Validation::Txt | Validation::Cname => ("DNS", shown_name(order)),
                };
                put("CheckType", json!(kind));
                put("CheckName", json!(name));
                put("CheckValue", json!(challenge.value));
            }
        }
        Stage::Preparing => {
            put("OrderStatus", json!("checking"));
        }
        Stage::Issued => {
            put("OrderStatus", json!("issued"));
            if let Some((_, certificate)) = order.issued_certificate() {
                put("Certificate", json!(certificate.chain));
                if !order.traits.own_key {
                    put("PrivateKey", json!(certificate.key));
                }
            }
        }
        Stage::Rejected | Stage::Closed | Stage::Refunded => {
            put("OrderStatus", json!("checked_fail"));
        }
        // The vendor documents no word for an order that was never submitted.
        Stage::NotSubmitted => {
            put("OrderStatus", json!("payed"));
        }
        Stage::Word(word) => {
            put("OrderStatus", json!(word));
        }
    }
    Ok(fields)
}

/// `DescribeOrderInstanceList`: all orders, page by page.
pub(super) fn describe_order_instance_list(orders: &OrderBook, call: &Call, now: Instant) -> Result<Fields, Failure> {
    call.require("StartIndex")?;
    let start = usize::try_from(call.number("StartIndex")?.unwrap_or_default()).unwrap_or(usize::MAX);
    let all = orders.of(Generation::Api2018);
    let total = all.len();
    let rows: Vec<Value> = all.skip(start).take(PAGE).map(|order| row(order, now)).collect();
    let fields = json!({"TotalCount": total, "OrderList": rows});
    Ok(fields.as_object().cloned().unwrap_or_default())
}

/// The name of the first challenge as 2018 and `DescribeCertificateState` show it.
pub(super) fn shown_name(order: &Order) -> String {
    match order.challenges.first() {
        Some(_) if order.traits.relative && !order.traits.label.is_empty() => order.traits.label.clone(),
        Some(_) if order.traits.relative => "@".to_owned(),
        Some(challenge) => challenge.name.to_string(),
        None => String::new(),
    }
}

fn row(order: &Order, now: Instant) -> Value {
    let status = match order.stage(now) {
        Stage::NotSubmitted => "PAYED".to_owned(),
        Stage::Preparing | Stage::Checking | Stage::Reviewing => "CHECKING".to_owned(),
        Stage::Issued => "Issued".to_owned(),
        Stage::Rejected | Stage::Closed | Stage::Refunded => "CHECKED_FAIL".to_owned(),
        Stage::Word(word) => word,
    };
    json!({"InstanceId": order.id, "Id": order.number, "Status": status, "CertType": "DV", "Source": "BUY"})
}
