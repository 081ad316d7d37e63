//! Why a record is not, or may not be, seen by the CA: collects facts from the root down, judges them, and says it in sentences.

use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use super::shared::Shared;
use crate::{language::message, language::t, name::Name, record::Record};

mod at_name;
mod at_zone;
mod caa;
mod collect;
mod dnssec;
mod facts;
#[cfg(test)]
mod tests;
mod whose;

/// What is known around a name from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct ExplainContext {
    /// Suffixes of the name servers of the provider that is written to (`ns.cloudflare.com`); empty: nothing to compare with.
    pub name_server_suffixes: Vec<String>,
    /// The provider that is written to, by its id; `None`: none is set.
    pub provider: Option<String>,
    /// Every provider by its id, with the suffixes of its name servers. Some share them.
    pub providers: Vec<(String, Vec<String>)>,
    /// The domains by which the CA finds itself in CAA records (`digicert.com`); empty: CAA is only told.
    pub ca_identities: Vec<String>,
    /// Whether the certificate is for a wildcard; a name that begins with `*.` says so too.
    pub wildcard: bool,
    /// When the explanation is due; what is not known then is said to be unknown. `None`: a minute from the call.
    pub deadline: Option<Instant>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// The validation may fail.
    Risk,
    /// The validation fails, or nothing can be said until this is repaired.
    Blocks,
}

impl Severity {
    /// `note`, `risk` or `blocks`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => message!("note"),
            Self::Risk => message!("risk"),
            Self::Blocks => message!("blocks"),
        }
    }
}

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What, in a plain sentence.
    pub what: String,
    /// What to do, in a plain sentence.
    pub do_next: Option<String>,
}

impl Finding {
    fn new(severity: Severity, what: String, do_next: Option<String>) -> Self {
        Self { severity, what, do_next }
    }
}

/// What was found about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The name, without `*`.
    pub name: Name,
    /// Where a record for it belongs: the end of its CNAME chain.
    pub target: Name,
    /// The zone that holds the target; `None` where it was not found.
    pub zone: Option<Name>,
    /// Whether every authority that answers shows the record (without a record: any value).
    pub visible: bool,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// The walk, one sentence for each step.
    pub steps: Vec<String>,
}

impl Explanation {
    /// Whether anything makes the validation fail.
    pub fn is_blocked(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Blocks)
    }
}

/// Collects and judges. Clock times are in the system's time zone.
pub(super) async fn explain(shared: &Arc<Shared>, name: &Name, record: Option<&Record>, context: &ExplainContext) -> Explanation {
    let facts = Box::pin(collect::collect(shared, name, record, context)).await;
    judge(&facts, context, &jiff::ZonedDateTime::now())
}

/// All rules over the facts.
fn judge(facts: &facts::Facts, context: &ExplainContext, now: &jiff::ZonedDateTime) -> Explanation {
    let mut findings = at_zone::findings(facts, context);
    findings.extend(at_name::findings(facts, now));
    for (subject, seen) in &facts.dnssec {
        // The zone's finding says it already for the name.
        if !findings.iter().any(|finding| finding.what.starts_with("DNSSEC")) {
            findings.extend(dnssec::findings(subject, seen, facts.signed_until));
        }
    }
    match &facts.caa {
        Ok(Some(set)) => findings.extend(caa::findings(set, &context.ca_identities, facts.wildcard)),
        Ok(None) => {}
        // Where no zone was found the reason is told once, above.
        Err(_) if facts.zone.is_err() => {}
        Err(why) => findings.push(Finding::new(
            Severity::Risk,
            t!("CAA: %{why}. A CA that cannot look up CAA records does not issue (RFC 8659 section 5.6).", why),
            Some(t!("Repair the name servers that do not answer.").to_owned()),
        )),
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Explanation {
        name: facts.name.clone(),
        target: facts.place().clone(),
        zone: facts.zone.as_ref().ok().and_then(|zone| zone.zone.clone()),
        visible: facts.is_visible() && facts.intercepted.is_none(),
        findings,
        steps: facts.steps(),
    }
}
