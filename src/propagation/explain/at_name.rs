//! What is wrong at the name itself: missing, elsewhere, in quotes, behind a CNAME, under a wildcard, remembered as missing. Pure.

use jiff::ZonedDateTime;

use super::{
    Finding, Severity,
    facts::{Facts, ServerFacts, ZoneFacts, quoted, shows},
};
use crate::{
    language::t,
    name::Name,
    propagation::{ResolverReport, Verdict, text::and},
    record::Record,
};

/// All of it. `now` is when the resolvers were asked.
pub(super) fn findings(facts: &Facts, now: &ZonedDateTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(alias(facts));
    findings.extend(beside_alias(facts));
    findings.extend(doubled(facts));
    let misspelt = misspelt(facts);
    // The reason in place of the symptom.
    if misspelt.is_empty() {
        findings.extend(missing(facts));
    }
    findings.extend(misspelt);
    findings.extend(wildcard(facts));
    findings.extend(remembered(facts.reports.as_deref().unwrap_or_default(), now));
    findings
}

fn answering(facts: &Facts) -> impl Iterator<Item = (&ServerFacts, &Vec<String>)> {
    let servers = facts.zone.as_ref().map(|zone| zone.servers.as_slice()).unwrap_or_default();
    servers.iter().filter_map(|server| Some((server, server.values.as_ref()?)))
}

fn alias(facts: &Facts) -> Option<Finding> {
    let target = match &facts.target {
        Ok(target) => target,
        Err(_) if facts.zone.is_err() => return None,
        // That nobody answers is told once.
        Err(_) if facts.zone.as_ref().is_ok_and(ZoneFacts::is_silent) => return None,
        Err(why) => {
            let next = t!("Repair the CNAME records, or remove the one at %{name}.", name = facts.name);
            return Some(Finding::new(
                Severity::Blocks,
                t!("Where %{name} leads is not known: %{why}.", name = facts.name, why),
                Some(next),
            ));
        }
    };
    let visible = facts.is_visible();
    if target.synthesised {
        let severity = if visible { Severity::Note } else { Severity::Risk };
        let what = t!(
            "A wildcard CNAME covers %{name}: until a record stands at the name itself, CAs are led elsewhere.",
            name = target.name
        );
        return Some(Finding::new(
            severity,
            what,
            (!visible).then(|| t!("Write the record at %{name}; it takes the wildcard's place there.", name = target.name)),
        ));
    }
    if target.chain.is_empty() {
        return None;
    }
    let what = t!(
        "%{name} is a CNAME that leads to %{target}; the CA follows it, and nothing else at %{name} counts.",
        name = facts.name,
        target = target.name
    );
    Some(if visible {
        Finding::new(Severity::Note, what, None)
    } else {
        Finding::new(
            Severity::Blocks,
            what,
            Some(t!("Write the record at %{target}, or remove the CNAME at %{name}.", target = target.name, name = facts.name)),
        )
    })
}

/// A CNAME and TXT records at one name, which cannot be (RFC 1034 section 3.6.2), though some providers allow it.
fn beside_alias(facts: &Facts) -> Option<Finding> {
    let (name, values) = (&facts.name, &facts.beside_alias);
    (!values.is_empty()).then(|| {
        Finding::new(
            if facts.is_visible() { Severity::Risk } else { Severity::Blocks },
            t!("%{name} has both a CNAME and TXT records (%{values}): no name may, and each server and resolver decides for itself which of them counts.", name, values = quoted(values)),
            Some(t!("Remove one of them at %{name}.", name)),
        )
    })
}

fn doubled(facts: &Facts) -> Option<Finding> {
    let (doubled, values) = facts.doubled.as_ref()?;
    let meant = match &facts.record {
        Some(record) => shows(record, values),
        None => !values.is_empty() && !facts.is_visible(),
    };
    if !meant || *values == facts.wildcard_values {
        return None;
    }
    let place = facts.place();
    let severity = if facts.is_visible() { Severity::Note } else { Severity::Blocks };
    Some(Finding::new(
        severity,
        t!("The record stands at %{doubled}: the zone's name was appended twice.", doubled),
        Some(t!(
            "Move it to %{place}: give the provider the name without the zone, or with a final dot. Then remove the one at %{doubled}.",
            place,
            doubled
        )),
    ))
}

fn missing(facts: &Facts) -> Option<Finding> {
    let place = facts.place();
    let lacking: Vec<(&ServerFacts, &Vec<String>)> = answering(facts)
        .filter(|(_, values)| match &facts.record {
            Some(record) => !shows(record, values),
            None => values.is_empty(),
        })
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let all = answering(facts).count();
    let other: Vec<String> = lacking.iter().flat_map(|(_, values)| values.iter().cloned()).fold(Vec::new(), |mut seen, value| {
        if !seen.contains(&value) {
            seen.push(value);
        }
        seen
    });
    let instead = if other.is_empty() { String::new() } else { t!("; there is %{other} instead", other = quoted(&other)) };
    let what = if lacking.len() == all {
        match &facts.record {
            Some(record) => t!(
                "No server shows the %{record_type} record at %{place}%{instead}.",
                record_type = record.record_type,
                place,
                instead
            ),
            None => t!("There is no TXT record at %{place}.", place),
        }
    } else {
        let servers: Vec<String> = lacking.iter().map(|(server, _)| server.called()).collect();
        t!(
            "%{lacking} of %{all} server addresses do not show the record at %{place}: %{servers}%{instead}.",
            lacking = lacking.len(),
            all,
            place,
            servers = and(&servers),
            instead
        )
    };
    // A plain domain without a challenge is nothing wrong.
    let expected = facts.record.is_some() || facts.name.first_label().starts_with('_');
    let severity = if expected { Severity::Blocks } else { Severity::Note };
    let next = if lacking.len() == all {
        t!("Write the record at %{place}, at the provider that serves the zone.", place)
    } else {
        t!("Wait until the servers agree; `dv-verify check --wait` says when.").to_owned()
    };
    Some(Finding::new(severity, what, expected.then_some(next)))
}

/// A value that differs from the right one, or from a sensible one, by quotes, blanks or case only.
fn misspelt(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (_, values) in answering(facts) {
        for value in values {
            let Some(how) = (match &facts.record {
                Some(record) if shows(record, values) => None,
                Some(record) => difference(record, value),
                None => dressing(value),
            }) else {
                continue;
            };
            let severity = if facts.record.is_some() { Severity::Blocks } else { Severity::Risk };
            let what = t!(
                "The value at %{place} %{how}: %{value}.",
                place = facts.place(),
                how,
                value = quoted(std::slice::from_ref(value))
            );
            let next = facts.record.as_ref().map(|record| {
                t!(
                    "Write exactly %{value}, without the outer quotes shown here.",
                    value = quoted(std::slice::from_ref(&record.value))
                )
            });
            let finding = Finding::new(severity, what, next.or_else(|| Some(t!("Write the value without them.").to_owned())));
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    findings
}

/// What stands around a value that should not.
fn dressing(value: &str) -> Option<&'static str> {
    let bare = value.trim();
    let has_quotes = bare.len() > 1 && bare.starts_with('"') && bare.ends_with('"');
    match (has_quotes, bare != value) {
        (true, _) => Some(t!("has quotes in it")),
        (false, true) => Some(t!("has blanks around it")),
        (false, false) => None,
    }
}

/// How a value differs from the record's, where it is nearly that.
fn difference(record: &Record, value: &str) -> Option<&'static str> {
    let bare = value.trim().trim_matches('"').trim();
    if bare == record.value.trim().trim_matches('"').trim() {
        return Some(dressing(value).unwrap_or(t!("lacks quotes or blanks that were asked for")));
    }
    bare.eq_ignore_ascii_case(record.value.trim()).then_some(t!("differs from the right one in upper and lower case"))
}

fn wildcard(facts: &Facts) -> Option<Finding> {
    if facts.wildcard_values.is_empty() {
        return None;
    }
    let covers: Option<Name> = facts.place().parent();
    let covers = covers.map(|above| t!(" below %{above}", above)).unwrap_or_default();
    let alone = answering(facts).all(|(_, values)| *values == facts.wildcard_values);
    let what = t!(
        "A wildcard answers for every name%{covers} with %{wildcard_values}.",
        covers,
        wildcard_values = quoted(&facts.wildcard_values)
    );
    Some(if alone {
        Finding::new(
            Severity::Risk,
            t!("%{what} What is seen at %{place} comes from it.", what, place = facts.place()),
            Some(t!("Write the record at %{place} itself.", place = facts.place())),
        )
    } else {
        Finding::new(Severity::Note, what, None)
    })
}

/// Resolvers that answer from before the record was there.
fn remembered(reports: &[ResolverReport], now: &ZonedDateTime) -> Vec<Finding> {
    let denying = reports.iter().filter(|report| report.denies());
    denying
        .map(|report| {
            let what = match &report.verdict {
                Verdict::OtherValue(_) => t!("still shows older values"),
                _ => t!("still remembers that the record is missing"),
            };
            let until = report.forgets_at(now).map(|time| t!(", until %{time} at the latest", time)).unwrap_or_default();
            Finding::new(
                Severity::Risk,
                t!("The resolver %{resolver} %{what}%{until}.", resolver = report.resolver, what, until),
                Some(
                    t!("A CA that asks through a resolver like this one has to wait as long; `--wait-negative` waits.")
                        .to_owned(),
                ),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::tests::facts, *};
    use crate::propagation::{Target, testing::name};

    fn said(facts: &Facts) -> Vec<(Severity, String)> {
        let now = "2026-11-24T14:00:00+00:00[UTC]".parse().unwrap();
        findings(facts, &now).into_iter().map(|finding| (finding.severity, finding.what)).collect()
    }

    /// Each server shows these.
    fn showing(each: &[&[&str]]) -> Facts {
        let mut facts = facts();
        for (server, values) in facts.zone.as_mut().unwrap().servers.iter_mut().zip(each) {
            server.values = Some(values.iter().map(|value| (*value).to_owned()).collect());
        }
        facts
    }

    #[test]
    fn a_record_in_its_place_has_no_finding() {
        assert_eq!(said(&facts()), []);
    }

    #[test]
    fn missing_here_and_missing_everywhere_differ() {
        let found = said(&showing(&[&["v"], &["old"]]));
        assert!(
            found[0].1.contains("1 of 2 server addresses do not show the record") && found[0].1.contains("\"old\" instead"),
            "{found:?}"
        );
        let found = said(&showing(&[&[], &[]]));
        assert_eq!(found, [(Severity::Blocks, "No server shows the TXT record at _dnsauth.example.test.".to_owned())]);
        let mut plain = showing(&[&[], &[]]);
        (plain.record, plain.name) = (None, name("example.test"));
        assert_eq!(said(&plain)[0].0, Severity::Note);
    }

    #[test]
    fn near_misses_are_named() {
        for (value, how) in [
            ("\"v\"", "has quotes in it"),
            (" v", "has blanks around it"),
            ("V", "differs from the right one in upper and lower case"),
        ] {
            let found = said(&showing(&[&[value], &[value]]));
            assert!(found.len() == 1 && found[0].0 == Severity::Blocks && found[0].1.contains(how), "{found:?}");
        }
        // The right value is there too: nothing is wrong.
        assert_eq!(said(&showing(&[&["\"v\"", "v"], &["v"]])), []);
        let mut unknown = showing(&[&["\"x\""], &["y"]]);
        unknown.record = None;
        assert!(said(&unknown)[0].1.contains("has quotes in it"));
    }

    #[test]
    fn a_doubled_name_is_found_unless_a_wildcard_made_it() {
        let mut twice = showing(&[&[], &[]]);
        twice.doubled = Some((name("_dnsauth.example.test.example.test"), vec!["v".to_owned()]));
        assert!(said(&twice)[0].1.contains("_dnsauth.example.test.example.test: the zone's name was appended twice"));
        twice.wildcard_values = vec!["v".to_owned()];
        assert!(!said(&twice).iter().any(|found| found.1.contains("twice")));
    }

    #[test]
    fn a_cname_is_explained() {
        let mut led = facts();
        led.target = Ok(Target { name: name("x.other.test"), chain: vec![name("_dnsauth.example.test")], synthesised: false });
        assert_eq!(said(&led)[0].0, Severity::Note);
        for server in &mut led.zone.as_mut().unwrap().servers {
            server.values = Some(Vec::new());
        }
        assert!(said(&led)[0].0 == Severity::Blocks && said(&led)[0].1.contains("leads to x.other.test"));
        led.target = Ok(Target { name: name("_dnsauth.example.test"), chain: vec![], synthesised: true });
        assert!(said(&led)[0].1.contains("wildcard CNAME covers _dnsauth.example.test"));
        assert!(!said(&led).iter().any(|found| found.1.contains("has both")));
        led.beside_alias = vec!["v".to_owned()];
        assert!(
            said(&led)[1].1.starts_with("_dnsauth.example.test has both a CNAME and TXT records (\"v\")"),
            "{:?}",
            said(&led)
        );
        led.beside_alias = Vec::new();
        led.target = Err("the chain is a loop".to_owned());
        assert!(said(&led)[0].1.contains("is not known: the chain is a loop"));
    }

    #[test]
    fn a_wildcard_txt_is_a_risk_only_where_it_is_what_is_seen() {
        let mut wild = facts();
        wild.wildcard_values = vec!["v".to_owned()];
        assert_eq!(said(&wild)[0].0, Severity::Risk);
        wild.wildcard_values = vec!["w".to_owned()];
        assert_eq!(said(&wild)[0].0, Severity::Note);
    }

    #[test]
    fn what_resolvers_remember_is_told_with_the_clock() {
        let mut facts = facts();
        let report = |verdict, seconds: Option<u64>| ResolverReport {
            resolver: "192.0.2.9:53".to_owned(),
            verdict,
            negative_for: seconds.map(Duration::from_secs),
        };
        facts.reports = Some(vec![
            report(Verdict::NxDomain, Some(200)),
            report(Verdict::Visible, None),
            report(Verdict::OtherValue(vec![]), None),
        ]);
        let found = said(&facts);
        assert_eq!(found.len(), 2);
        assert!(found[0].1.contains("192.0.2.9:53 still remembers that the record is missing, until 14:03:20"), "{found:?}");
        assert!(found[1].1.contains("older values."), "{found:?}");
    }
}
