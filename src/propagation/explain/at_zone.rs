//! What is wrong with the zone and its servers. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    ExplainContext, Finding, Severity,
    collect::only_six,
    facts::{Facts, ServerFacts, Standing, ZoneFacts, shows},
    whose,
};
use crate::{
    language::t,
    name::Name,
    propagation::{Authority, differences, policy::describe_left_out, serials, text::and},
    record::Record,
};

/// All of it.
pub(super) fn findings(facts: &Facts, context: &ExplainContext) -> Vec<Finding> {
    let mut findings = network(facts);
    let zone = match &facts.zone {
        Ok(zone) => zone,
        Err(why) => {
            let next = t!(
                "Check that the domain is registered and delegated; state its servers with `--authority ZONE=ADDRESS` if this network hides them."
            );
            findings.push(Finding::new(
                Severity::Blocks,
                t!("The zone of %{place} was not found: %{why}.", place = facts.place(), why),
                Some(next.to_owned()),
            ));
            return findings;
        }
    };
    findings.extend(undelegated(facts.place(), zone));
    findings.extend(whose::findings(zone, context));
    findings.extend(parent_and_child(zone));
    findings.extend(failing(zone, facts.reached_over_https.as_deref()));
    findings.extend(listed_twice(zone));
    findings.extend(behind(&zone.servers, facts.record.as_ref()));
    findings.extend(six_only(zone));
    findings
}

/// What the network does to us.
fn network(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(probe) = facts.intercepted {
        findings.push(Finding::new(
            Severity::Blocks,
            t!("This network answers DNS in the name of others: even %{probe}, where no server is, gave an answer. What is seen here from the zone's servers cannot be believed.", probe),
            Some(t!("Run dv-verify in another network, or have port 53 (UDP and TCP) to the outside opened.").to_owned()),
        ));
    }
    if let Some(resolver) = &facts.discovered_over_https {
        findings.push(Finding::new(
            Severity::Risk,
            t!("No resolver answers on port 53 from here; %{resolver} was asked over HTTPS instead.", resolver),
            Some(
                t!("Have port 53 (UDP and TCP) to the outside opened, or name a resolver that can be reached with `--resolver`.")
                    .to_owned(),
            ),
        ));
    }
    findings
}

fn undelegated(place: &Name, zone: &ZoneFacts) -> Option<Finding> {
    let apex = zone.zone.as_ref()?;
    if apex.labels().count() != 1 || place == apex {
        return None;
    }
    let domain = place.ancestors().filter(|ancestor| ancestor != apex && ancestor.is_within(apex)).last()?;
    Some(Finding::new(
        Severity::Blocks,
        t!("%{domain} is not delegated: the servers of the top level %{apex} know no name servers of it.", domain, apex),
        Some(t!("Check that %{domain} is registered and not expired, and set its name servers at the registrar.", domain)),
    ))
}

fn parent_and_child(zone: &ZoneFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(apex) = &zone.zone else { return findings };
    let mut own: Vec<Name> = zone.servers.iter().flat_map(|server| server.name_servers.clone()).collect();
    own.sort();
    own.dedup();
    if own.is_empty() {
        return findings;
    }
    let disagree: Vec<String> = zone
        .servers
        .iter()
        .filter(|server| !server.name_servers.is_empty() && server.name_servers != own)
        .map(ServerFacts::called)
        .collect();
    if !disagree.is_empty() {
        let names = and(&disagree);
        let what = if disagree.len() == 1 {
            t!("The servers of %{apex} do not agree on its NS records: %{names} shows fewer than the others.", apex, names)
        } else {
            t!("The servers of %{apex} do not agree on its NS records: %{names} show fewer than the others.", apex, names)
        };
        findings.push(Finding::new(
            Severity::Risk,
            what,
            Some(t!("Make the NS records of %{apex} the same on all its servers.", apex)),
        ));
    }
    let Some((parent, named)) = &zone.parent else { return findings };
    if let Some(differ) = differences::servers(apex, parent, named, &own) {
        findings.push(Finding::new(
            Severity::Risk,
            t!("%{differ}. A CA may ask any of them.", differ = sentence(&differ)),
            Some(t!("Make the name servers at the registrar and the NS records of %{apex} the same.", apex)),
        ));
    }
    findings.extend(differences::glue(parent, &zone.glued).iter().map(|differ| {
        let what = t!(
            "%{differ}. A CA that follows the glue asks another server than one that asks the zone.",
            differ = sentence(differ)
        );
        Finding::new(Severity::Risk, what, Some(t!("Set the host's address at the registrar to the one in the zone.").to_owned()))
    }));
    findings
}

/// The fragment with a capital letter in front.
fn sentence(fragment: &str) -> String {
    let mut rest = fragment.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// Servers that are lame or silent; all silent together is another matter.
fn failing(zone: &ZoneFacts, reached_over_https: Option<&str>) -> Vec<Finding> {
    let Some(apex) = &zone.zone else { return Vec::new() };
    let (mut lame, mut silent, mut serves) = (Vec::new(), Vec::new(), false);
    for server in &zone.servers {
        match &server.standing {
            Standing::Serves(_) => serves = true,
            Standing::Lame(why) => lame.push(format!("{} {why}", server.called())),
            Standing::Silent(why) => silent.push(format!("{} {why}", server.called())),
        }
    }
    if !serves && lame.is_empty() && !silent.is_empty() {
        return vec![match reached_over_https {
            Some(resolver) => Finding::new(
                Severity::Blocks,
                t!(
                    "Port 53 seems to be blocked here: no server of %{apex} answers, yet %{resolver} knows the zone. Nothing can be said about the record from this network.",
                    apex,
                    resolver
                ),
                Some(t!("Have port 53 (UDP and TCP) to the outside opened, or run dv-verify elsewhere.").to_owned()),
            ),
            None => Finding::new(
                Severity::Blocks,
                t!("No server of %{apex} answers: %{silent}.", apex, silent = and(&silent)),
                Some(t!("Check the servers, and whether this network lets port 53 (UDP and TCP) out.").to_owned()),
            ),
        }];
    }
    let severity = if serves { Severity::Risk } else { Severity::Blocks };
    let next = |what: &str| {
        Some(t!(
            "%{what}, or remove the server from the delegation at the registrar and from the NS records of %{apex}.",
            what,
            apex
        ))
    };
    let mut findings: Vec<Finding> = lame
        .into_iter()
        .map(|fact| Finding::new(severity, t!("Lame server: %{fact}.", fact), next(t!("Set the zone up there"))))
        .collect();
    findings
        .extend(silent.into_iter().map(|fact| Finding::new(severity, t!("Dead server: %{fact}.", fact), next(t!("Repair it")))));
    let nowhere: Vec<_> = zone.left_out.iter().filter(|left| left.address.is_none()).cloned().collect();
    if !nowhere.is_empty() {
        let what = t!("Name servers of %{apex} without an address: %{nowhere}.", apex, nowhere = describe_left_out(&nowhere));
        findings.push(Finding::new(Severity::Risk, what, next(t!("Give it an address"))));
    }
    findings
}

/// Name servers that are one, under several names.
fn listed_twice(zone: &ZoneFacts) -> Vec<Finding> {
    let mut names: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
    for Authority { server, address } in zone.servers.iter().map(|server| &server.authority) {
        names.entry(address.ip()).or_default().insert(server);
    }
    let shared = names.into_iter().filter(|(_, servers)| servers.len() > 1);
    shared
        .map(|(ip, servers)| {
            let servers: Vec<String> = servers.into_iter().map(str::to_owned).collect();
            let what =
                t!("%{servers} are one server (%{ip}): the zone has fewer servers than it names.", servers = and(&servers), ip);
            Finding::new(Severity::Note, what, None)
        })
        .collect()
}

/// Servers with an older serial than the newest (RFC 1982). Worse where the newest shows the record and they do not.
fn behind(servers: &[ServerFacts], record: Option<&Record>) -> Vec<Finding> {
    let serials: Vec<(&ServerFacts, u32)> = servers
        .iter()
        .filter_map(|server| match server.standing {
            Standing::Serves(serial) => Some((server, serial)),
            _ => None,
        })
        .collect();
    let Some(newest) = serials::newest(serials.iter().map(|(_, serial)| *serial)) else { return Vec::new() };
    let lacks = |server: &ServerFacts| match (record, &server.values) {
        (Some(record), Some(values)) => !shows(record, values),
        (None, Some(values)) => values.is_empty(),
        (_, None) => true,
    };
    let newest_shows = serials.iter().any(|(server, serial)| *serial == newest && !lacks(server));
    let old = serials.iter().filter_map(|(server, serial)| Some((server, serials::lag(*serial, newest)?)));
    old.map(|(server, lag)| {
        let severity = if newest_shows && lacks(server) { Severity::Blocks } else { Severity::Note };
        Finding::new(
            severity,
            format!("{} {lag}.", server.called()),
            Some(t!("Wait for the zone transfer; if it stays behind, check NOTIFY and the transfer's rights.").to_owned()),
        )
    })
    .collect()
}

fn six_only(zone: &ZoneFacts) -> Option<Finding> {
    let apex = zone.zone.as_ref().filter(|_| only_six(zone))?;
    Some(Finding::new(
        Severity::Risk,
        t!(
            "The name servers of %{apex} have IPv6 addresses only: resolvers without IPv6, also those of CAs, cannot reach them.",
            apex
        ),
        Some(t!("Give at least two of them an IPv4 address.").to_owned()),
    ))
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{facts, server},
        *,
    };
    use crate::propagation::{LeftOut, testing::name};

    fn zone(facts: &mut Facts) -> &mut ZoneFacts {
        facts.zone.as_mut().unwrap()
    }

    fn said(facts: &Facts) -> Vec<(Severity, String)> {
        findings(facts, &ExplainContext::default()).into_iter().map(|finding| (finding.severity, finding.what)).collect()
    }

    #[test]
    fn a_zone_in_order_has_no_finding() {
        assert_eq!(said(&facts()), []);
    }

    #[test]
    fn parent_and_child_are_compared_both_ways() {
        let mut differs = facts();
        zone(&mut differs).parent = Some((name("test"), vec![name("a.ns.test"), name("old.ns.test")]));
        let found = said(&differs);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].1.contains("test names old.ns.test, the zone itself does not; the zone names b.ns.test, test does not"),
            "{found:?}"
        );
        let mut glued = facts();
        zone(&mut glued).glued = vec![(name("a.ns.test"), vec![[192, 0, 2, 9].into()], vec![[192, 0, 2, 1].into()])];
        assert!(said(&glued)[0].1.starts_with("The glue of a.ns.test at test is 192.0.2.9, the zone itself has 192.0.2.1."));
        let mut torn = facts();
        zone(&mut torn).servers[0].name_servers.pop();
        assert!(said(&torn)[0].1.contains("do not agree on its NS records: a.ns.test (192.0.2.1) shows fewer"));
    }

    #[test]
    fn lame_and_dead_servers_are_risks_unless_all_are() {
        let mut one = facts();
        zone(&mut one).servers[0].standing = Standing::Lame("does not serve the zone".to_owned());
        assert_eq!(said(&one), [(Severity::Risk, "Lame server: a.ns.test (192.0.2.1) does not serve the zone.".to_owned())]);
        zone(&mut one).servers[1].standing = Standing::Silent("gives no usable answer".to_owned());
        assert!(said(&one).iter().all(|found| found.0 == Severity::Blocks));
        let mut none = facts();
        for server in &mut zone(&mut none).servers {
            server.standing = Standing::Silent("gives no usable answer".to_owned());
        }
        let found = said(&none);
        assert!(found.len() == 1 && found[0].1.starts_with("No server of example.test answers"), "{found:?}");
        none.reached_over_https = Some("https://r.test/q".to_owned());
        assert!(said(&none)[0].1.contains("Port 53 seems to be blocked"));
        let mut twice = facts();
        zone(&mut twice).servers[1].authority.address = zone(&mut twice).servers[0].authority.address;
        let what = "a.ns.test and b.ns.test are one server (192.0.2.1): the zone has fewer servers than it names.";
        assert_eq!(said(&twice), [(Severity::Note, what.to_owned())]);
        let mut nowhere = facts();
        zone(&mut nowhere).left_out.push(LeftOut {
            server: "c.ns.test".to_owned(),
            address: None,
            why: "it has no address".to_owned(),
        });
        assert!(said(&nowhere)[0].1.contains("c.ns.test (it has no address)"));
    }

    #[test]
    fn who_is_behind_is_told_and_by_how_much() {
        let mut late = facts();
        zone(&mut late).servers[1].standing = Standing::Serves(5);
        let found = said(&late);
        assert_eq!(found[0].0, Severity::Note);
        assert!(
            found[0].1.contains("b.ns.test (192.0.2.2) is behind: it serves serial 5, the newest is 7, 2 further"),
            "{found:?}"
        );
        zone(&mut late).servers[1].values = Some(Vec::new());
        assert_eq!(said(&late)[0].0, Severity::Blocks);
    }

    #[test]
    fn networks_and_missing_zones_are_told() {
        let mut odd = facts();
        odd.intercepted = Some(crate::propagation::NO_SERVERS[0].ip());
        odd.discovered_over_https = Some("https://r.test/q".to_owned());
        let found = said(&odd);
        assert!(found[0].1.contains("192.0.2.53") && found[1].1.contains("https://r.test/q"), "{found:?}");
        let mut six = facts();
        zone(&mut six).servers = vec![server("a.ns.test", "[2001:db8::1]:53", 7, &["v"])];
        assert!(said(&six).iter().any(|found| found.1.contains("IPv6 addresses only")));
        let mut top = facts();
        zone(&mut top).zone = Some(name("test"));
        zone(&mut top).parent = None;
        assert!(said(&top)[0].1.starts_with("example.test is not delegated: the servers of the top level test"));
        let mut lost = facts();
        lost.zone = Err("nobody knows".to_owned());
        assert!(said(&lost)[0].1.contains("was not found: nobody knows"));
    }
}
