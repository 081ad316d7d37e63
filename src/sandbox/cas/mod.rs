//! A CAS as the vendor documents it: version 2018-07-13, and of version 2020-04-07 orders, instances, packages and certificates.

use std::time::Instant;

use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use jiff::{SignedDuration, Timestamp};

use self::{applying::Desk, call::Call, failure::Failure, reply::Fields};
use super::{
    World,
    faults::Answer,
    locked,
    orders::{OrderBook, Viewer},
    web::Received,
};

mod api2018;
mod applying;
mod call;
mod certificates;
pub(super) mod deploying;
mod ending;
mod failure;
pub(super) mod gate;
mod instances;
mod orders2020;
mod reply;
mod signature;

/// The action that a request names, for faults and counters.
pub(super) fn action(received: &Received) -> String {
    Call::read(received).action
}

/// Answers a request.
pub(super) fn handle(world: &World, received: &Received) -> Response {
    let call = Call::read(received);
    finish(world, received, &call, answer(world, received, &call))
}

/// Answers a request with a fault.
pub(super) fn fault(world: &World, received: &Received, answer: &Answer) -> Response {
    let failure = match answer {
        Answer::Throttle { retry_after_ms } => Failure::throttled(*retry_after_ms),
        Answer::Error { status, code, message } => Failure::new(*status, code, message),
        _ => Failure::internal(),
    };
    finish(world, received, &Call::read(received), Err(failure))
}

fn finish(world: &World, received: &Received, call: &Call, outcome: Result<Fields, Failure>) -> Response {
    let mut response = reply::response(outcome, &call.action, received.header("host"), call.format);
    // A client may measure its own clock by this header, so it must come from the same clock.
    let date = clock(world).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// The time of day as this CAS has it.
fn clock(world: &World) -> Timestamp {
    let now = Timestamp::now();
    now.checked_add(SignedDuration::from_secs(world.clock_skew())).unwrap_or(now)
}

fn answer(world: &World, received: &Received, call: &Call) -> Result<Fields, Failure> {
    if call.action.is_empty() {
        return Err(Failure::missing("Action"));
    }
    let now = Instant::now();
    let signed = call.signed(received)?;
    let renewed = locked(&world.token).clone();
    locked(&world.gate).admit(call, &signed, &world.options, renewed.as_deref(), clock(world), now)?;
    let mut orders = locked(&world.orders);
    orders.advance(now, &world.ca);
    orders.seen_by = Viewer::Account(Some(signed.access_key_id).filter(|id| *id != world.options.access_key_id));
    let mut desk = Desk { world, orders: &mut orders, now };
    let reply = match change(&mut desk, call) {
        Some(outcome) => outcome,
        None => deploying::answer(world, &orders, call, now).unwrap_or_else(|| read(&orders, call, now)),
    };
    orders.seen_by = Viewer::Sandbox;
    reply
}

/// The calls that change something; `None` for all others.
fn change(desk: &mut Desk<'_>, call: &Call) -> Option<Result<Fields, Failure>> {
    Some(match (call.version.as_str(), call.action.as_str()) {
        ("2018-07-13", "CreateDVOrderAudit") => desk.create_dv_order_audit(call),
        ("2020-04-07", "UpdateInstance") => desk.update_instance(call),
        ("2020-04-07", "ApplyCertificate") => desk.apply_certificate(call),
        ("2020-04-07", "CancelPendingCertificate") => desk.cancel_pending_certificate(call),
        ("2020-04-07", "RevokeCertificate") => desk.revoke_certificate(call),
        ("2020-04-07", "RefundInstance") => desk.refund_instance(call),
        ("2020-04-07", "DeleteInstance") => desk.delete_instance(call),
        ("2020-04-07", "CreateCertificateForPackageRequest" | "CreateCertificateRequest" | "CreateCertificateWithCsrRequest") => {
            desk.create_certificate(call)
        }
        ("2020-04-07", "RenewCertificateOrderForPackageRequest") => desk.renew_order(call),
        ("2020-04-07", "CancelOrderRequest") => desk.cancel_order_request(call),
        ("2020-04-07", "DeleteCertificateRequest") => desk.delete_certificate_request(call),
        ("2020-04-07", "CancelCertificateForPackageRequest") => desk.revoke_order(call),
        _ => return None,
    })
}

/// The calls that change nothing.
fn read(orders: &OrderBook, call: &Call, now: Instant) -> Result<Fields, Failure> {
    match (call.version.as_str(), call.action.as_str()) {
        ("2018-07-13", "DescribeDVOrderResult") => api2018::describe_dv_order_result(orders, call, now),
        ("2018-07-13", "DescribeOrderInstanceList") => api2018::describe_order_instance_list(orders, call, now),
        ("2020-04-07", "DescribeCertificateState") => orders2020::describe_certificate_state(orders, call, now),
        ("2020-04-07", "ListUserCertificateOrder") => orders2020::list_user_certificate_order(orders, call, now),
        ("2020-04-07", "ListInstances") => instances::list_instances(orders, call, now),
        ("2020-04-07", "GetInstanceDetail") => instances::get_instance_detail(orders, call, now),
        ("2020-04-07", "GetTaskAttribute") => instances::get_task_attribute(orders, call, now),
        ("2020-04-07", "ListContact") => instances::list_contact(call),
        ("2020-04-07", "DescribePackageState") => applying::describe_package_state(orders, call),
        ("2020-04-07", "GetUserCertificateDetail") => certificates::get_user_certificate_detail(orders, call),
        ("2018-07-13" | "2020-04-07", _) => {
            let message = "Specified api is not found, please check your url and method.";
            Err(Failure::new(404, "InvalidAction.NotFound", message))
        }
        _ => Err(Failure::new(400, "InvalidVersion", "Specified parameter Version is not valid.")),
    }
}

#[cfg(test)]
mod tests;
