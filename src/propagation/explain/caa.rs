//! Whether CAA records let a CA issue (RFC 8659, RFC 8657). Pure.

use hickory_proto::rr::rdata::CAA;

use super::{Finding, Severity};
use crate::{language::t, name::Name, propagation::text::and};

/// Property tags that a CA must understand (RFC 8659 section 4); issuemail, contact and the like forbid nothing.
const KNOWN_TAGS: [&str; 7] = ["issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"];

/// The relevant CAA set of a domain, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CaaSet {
    /// The domain that was asked about.
    pub(super) domain: Name,
    /// Where the set was found by climbing; differs from `owner` only through a CNAME.
    pub(super) climbed_to: Name,
    /// The owner of the records.
    pub(super) owner: Name,
    /// The records.
    pub(super) records: Vec<CAA>,
}

/// One `issue` or `issuewild` property.
#[derive(Debug, PartialEq, Eq)]
struct Issuer {
    /// Lower case; empty: nobody.
    domain: String,
    parameters: Vec<(String, String)>,
}

/// What the set means for a CA with these identities (the domains that it looks for in CAA); without any, the set is only told.
pub(super) fn findings(set: &CaaSet, identities: &[String], wildcard: bool) -> Vec<Finding> {
    let wheres = place(set);
    let unknown =
        set.records.iter().find(|caa| caa.issuer_critical && !KNOWN_TAGS.iter().any(|tag| caa.tag.eq_ignore_ascii_case(tag)));
    if let Some(unknown) = unknown {
        return vec![Finding::new(
            Severity::Blocks,
            t!(
                "The CAA records %{wheres} hold the critical property `%{tag}`, which CAs do not know: none may issue for %{domain}.",
                wheres,
                tag = unknown.tag,
                domain = set.domain
            ),
            Some(t!("Remove that CAA record at %{owner}.", owner = set.owner)),
        )];
    }
    let of = |tag: &str| -> Vec<Issuer> {
        set.records.iter().filter(|caa| caa.tag.eq_ignore_ascii_case(tag)).map(|caa| read(&caa.value)).collect()
    };
    let (issue, issuewild) = (of("issue"), of("issuewild"));
    // RFC 8659 section 4.3: issuewild replaces issue for wildcard names.
    let (tag, relevant) = if wildcard && !issuewild.is_empty() { ("issuewild", &issuewild) } else { ("issue", &issue) };
    let mut findings = judge(set, tag, relevant, identities);
    if !wildcard && !issuewild.is_empty() && !identities.is_empty() && !issuewild.iter().any(|issuer| is_ours(issuer, identities))
    {
        let what = t!(
            "The CAA records %{wheres} let %{issuewild} issue wildcard certificates, and not this CA.",
            wheres,
            issuewild = listed(&issuewild)
        );
        findings.push(Finding::new(Severity::Note, what, None));
    }
    findings
}

fn judge(set: &CaaSet, tag: &str, relevant: &[Issuer], identities: &[String]) -> Vec<Finding> {
    let (wheres, domain) = (place(set), &set.domain);
    if relevant.is_empty() {
        return Vec::new();
    }
    if identities.is_empty() {
        let what = t!(
            "The CAA records %{wheres} let only %{relevant} issue for %{domain}.",
            wheres,
            relevant = listed(relevant),
            domain
        );
        return vec![Finding::new(Severity::Note, what, Some(t!("Check that your CA is among them.").to_owned()))];
    }
    let ours: Vec<&Issuer> = relevant.iter().filter(|issuer| is_ours(issuer, identities)).collect();
    if ours.is_empty() {
        let identity = identities.first().map_or("", String::as_str);
        return vec![Finding::new(
            Severity::Blocks,
            t!(
                "The CAA records %{wheres} let only %{relevant} issue for %{domain}; the CA of this order goes by %{identities}.",
                wheres,
                relevant = listed(relevant),
                domain,
                identities = and(identities)
            ),
            Some(t!(
                "Add the record `%{domain} CAA 0 %{tag} \"%{identity}\"`, or remove the CAA records at %{owner}.",
                domain,
                tag,
                identity,
                owner = set.owner
            )),
        )];
    }
    // One property without a restriction is enough.
    let restricted = |key: &str| {
        let parameter = |issuer: &&Issuer| issuer.parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        ours.iter().map(parameter).collect::<Option<Vec<String>>>()
    };
    let mut findings = Vec::new();
    if let Some(methods) = restricted("validationmethods")
        && !methods.iter().any(|allowed| allowed.split(',').any(|method| method.trim().eq_ignore_ascii_case("dns-01")))
    {
        findings.push(Finding::new(
            Severity::Risk,
            t!("The CAA records %{wheres} allow this CA only the validation methods %{methods}; a DNS record is not among them (RFC 8657).", wheres, methods = and(&methods)),
            Some(t!("Add `dns-01` to `validationmethods` at %{owner}.", owner = set.owner)),
        ));
    }
    if let Some(accounts) = restricted("accounturi") {
        let what = t!(
            "The CAA records %{wheres} allow this CA only for the account %{accounts} (RFC 8657).",
            wheres,
            accounts = and(&accounts)
        );
        findings.push(Finding::new(Severity::Note, what, Some(t!("Check that the order belongs to that account.").to_owned())));
    }
    findings
}

fn is_ours(issuer: &Issuer, identities: &[String]) -> bool {
    !issuer.domain.is_empty()
        && identities.iter().any(|identity| identity.trim_end_matches('.').eq_ignore_ascii_case(&issuer.domain))
}

fn place(set: &CaaSet) -> String {
    if set.owner == set.climbed_to {
        t!("at %{owner}", owner = set.owner)
    } else {
        t!("at %{owner}, to which %{climbed_to} is a CNAME,", owner = set.owner, climbed_to = set.climbed_to)
    }
}

fn listed(issuers: &[Issuer]) -> String {
    let mut domains: Vec<String> =
        issuers.iter().map(|issuer| issuer.domain.clone()).filter(|domain| !domain.is_empty()).collect();
    domains.sort();
    domains.dedup();
    if domains.is_empty() { t!("nobody").to_owned() } else { and(&domains) }
}

/// `domain; key=value; key=value` (RFC 8659 section 4.2). What does not read so authorises nobody.
fn read(value: &[u8]) -> Issuer {
    let nobody = Issuer { domain: String::new(), parameters: Vec::new() };
    let Ok(text) = std::str::from_utf8(value) else { return nobody };
    let mut parts = text.split(';').map(str::trim);
    let domain = parts.next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if !domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        return nobody;
    }
    let mut parameters = Vec::new();
    for part in parts.filter(|part| !part.is_empty()) {
        let Some((key, value)) = part.split_once('=') else { return nobody };
        parameters.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    Issuer { domain, parameters }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(records: &[(bool, &str, &str)], identities: &[&str], wildcard: bool) -> Vec<(Severity, String)> {
        let name = |text| Name::parse(text).unwrap();
        let records = records
            .iter()
            .map(|(critical, tag, value)| {
                let mut caa = CAA::new_issue(*critical, None, Vec::new());
                caa.tag = (*tag).to_owned();
                caa.value = value.as_bytes().to_vec();
                caa
            })
            .collect();
        let (domain, owner) = (name("www.example.test"), name("example.test"));
        let set = CaaSet { domain, climbed_to: owner.clone(), owner, records };
        let identities: Vec<String> = identities.iter().map(|identity| (*identity).to_owned()).collect();
        findings(&set, &identities, wildcard).into_iter().map(|finding| (finding.severity, finding.what)).collect()
    }

    #[test]
    fn only_the_named_ca_may_issue() {
        let records = [(false, "issue", "letsencrypt.org"), (false, "iodef", "mailto:a@example.test")];
        let blocked = found(&records, &["digicert.com", "www.digicert.com"], false);
        assert_eq!(blocked[0].0, Severity::Blocks);
        assert!(blocked[0].1.contains("let only letsencrypt.org issue for www.example.test"), "{blocked:?}");
        assert!(found(&records, &["digicert.com", "LetsEncrypt.org"], false).is_empty());
        assert!(found(&[(false, "ISSUE", " digicert.com. ; a=b")], &["digicert.com"], false).is_empty());
        assert!(found(&[(false, "iodef", "mailto:a@example.test")], &["digicert.com"], false).is_empty());
        let told = found(&records, &[], false);
        assert_eq!(told[0].0, Severity::Note);
    }

    #[test]
    fn what_cannot_be_read_authorises_nobody() {
        for value in [";", "", "digi cert.com", "digicert.com; policy", "\u{e9}.test"] {
            let blocked = found(&[(false, "issue", value)], &["digicert.com"], false);
            assert_eq!(blocked.len(), 1, "{value}");
            assert!(blocked[0].1.contains("let only nobody issue"), "{blocked:?}");
        }
        assert_eq!(found(&[(true, "future", "x")], &["digicert.com"], false)[0].0, Severity::Blocks);
        assert!(found(&[(false, "future", "x")], &["digicert.com"], false).is_empty());
    }

    #[test]
    fn wildcards_have_their_own_property() {
        let records = [(false, "issue", "digicert.com"), (false, "issuewild", ";")];
        assert_eq!(found(&records, &["digicert.com"], true)[0].0, Severity::Blocks);
        assert_eq!(found(&records, &["digicert.com"], false)[0].0, Severity::Note);
        assert!(found(&records[..1], &["digicert.com"], true).is_empty());
        let records = [(false, "issue", ";"), (false, "issuewild", "digicert.com")];
        assert!(found(&records, &["digicert.com"], true).is_empty());
        assert_eq!(found(&records, &["digicert.com"], false)[0].0, Severity::Blocks);
    }

    #[test]
    fn parameters_are_read() {
        let http = "digicert.com; validationmethods=http-01";
        assert_eq!(found(&[(false, "issue", http)], &["digicert.com"], false)[0].0, Severity::Risk);
        assert!(found(&[(false, "issue", http), (false, "issue", "digicert.com")], &["digicert.com"], false).is_empty());
        assert!(found(&[(false, "issue", "digicert.com;validationmethods=http-01,dns-01")], &["digicert.com"], false).is_empty());
        let account = found(&[(false, "issue", "digicert.com; accounturi=https://ca.test/1")], &["digicert.com"], false);
        assert!(account[0].0 == Severity::Note && account[0].1.contains("https://ca.test/1"));
    }
}
