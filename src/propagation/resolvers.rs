//! What recursive resolvers say about a record. Only for records that the authorities show: before, the question itself would make
//! the resolver remember that there is no record.

use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::{op::Message, rr::RData};

use super::{
    ResolverReport,
    look::wire_type,
    message::Question,
    shared::Shared,
    verdict::{Verdict, judge_recursive},
};
use crate::record::Record;

/// Asks each resolver once, all at the same time.
pub(super) async fn ask(shared: &Shared, record: &Record) -> Vec<ResolverReport> {
    let question = Question { name: record.name.to_wire(), record_type: wire_type(record.record_type), recursion: true };
    join_all(shared.resolvers.iter().map(|resolver| {
        let question = &question;
        async move {
            let outcome = shared.peer(*resolver).ask_at_once(question, shared.options.query_timeout).await;
            let (verdict, negative_for) = match outcome {
                Ok(reply) => {
                    let verdict = judge_recursive(record, &reply.message);
                    let denied = matches!(verdict, Verdict::NxDomain | Verdict::Missing);
                    (verdict, denied.then(|| negative_ttl(&reply.message)).flatten())
                }
                Err(verdict) => (verdict, None),
            };
            ResolverReport { resolver: resolver.to_string(), verdict, negative_for }
        }
    }))
    .await
}

/// How long the denial may be remembered: the lesser of the SOA's TTL, which counts down in a cache, and its minimum
/// (RFC 2308 section 5).
fn negative_ttl(answer: &Message) -> Option<Duration> {
    answer.authorities.iter().find_map(|entry| match &entry.data {
        RData::SOA(soa) => Some(Duration::from_secs(u64::from(entry.ttl.min(soa.minimum)))),
        _ => None,
    })
}
