//! How a delegation looks from above and from within: name servers, and glue beside the addresses that the zone has.

use std::{collections::BTreeSet, net::IpAddr};

use futures_util::future::join_all;
use hickory_proto::rr::RecordType as WireType;

use super::{
    Authority,
    delegation::{ParentView, first_usable},
    placement::servers_of,
    shared::Shared,
    text::and,
};
use crate::{language::t, name::Name};

/// The glue of one name server, and the addresses that the zone itself has for it.
pub(crate) type Glued = (Name, Vec<IpAddr>, Vec<IpAddr>);

/// See [`super::Propagation::differences`].
pub(super) async fn between_parent_and_child(shared: &Shared, name: &Name) -> Vec<String> {
    let Ok(delegation) = shared.delegation(name).await else { return Vec::new() };
    let zone = &delegation.zone;
    // Who states the authorities does not want the delegation looked up.
    if shared.is_stated(name) {
        return Vec::new();
    }
    let own = first_usable(&delegation.authorities, zone, |authority: Authority| async move {
        let answer = shared.ask_authority(authority.address, zone, WireType::NS).await.map_err(|verdict| verdict.sentence())?;
        let servers = servers_of(zone, &answer.answers);
        if servers.is_empty() || !answer.metadata.authoritative { Err(t!("tells no NS").to_owned()) } else { Ok(servers) }
    });
    let (parent, own) = tokio::join!(shared.parent_view(zone), own);
    let (Some(parent), Ok(own)) = (parent, own) else { return Vec::new() };
    let glued = glued(shared, zone, &parent, &delegation.authorities).await;
    servers(zone, &parent.zone, &parent.servers, &own).into_iter().chain(glue(&parent.zone, &glued)).collect()
}

/// The glue of servers within the zone, beside what the zone's own servers say.
pub(crate) async fn glued(shared: &Shared, zone: &Name, parent: &ParentView, authorities: &[Authority]) -> Vec<Glued> {
    let each = parent.glue.iter().filter(|(server, _)| server.is_within(zone)).map(|(server, glue)| async move {
        let found = |record_type| {
            first_usable(authorities, server, move |authority: Authority| async move {
                let answer =
                    shared.ask_authority(authority.address, server, record_type).await.map_err(|verdict| verdict.sentence())?;
                if !answer.metadata.authoritative {
                    return Err(t!("is not authoritative").to_owned());
                }
                Ok(answer.answers.iter().filter_map(|entry| entry.data.ip_addr()).collect::<Vec<IpAddr>>())
            })
        };
        let (four, six) = tokio::join!(found(WireType::A), found(WireType::AAAA));
        let own: Vec<IpAddr> = four.ok()?.into_iter().chain(six.ok()?).collect();
        Some((server.clone(), glue.clone(), own))
    });
    let mut all: Vec<Glued> = join_all(each).await.into_iter().flatten().collect();
    all.sort();
    all
}

/// At most one sentence about the two sets of name servers.
pub(crate) fn servers(zone: &Name, parent: &Name, named: &[Name], own: &[Name]) -> Option<String> {
    let only = |these: &[Name], those: &[Name]| {
        and(&these.iter().filter(|name| !those.contains(name)).map(Name::to_string).collect::<Vec<_>>())
    };
    let (only_parent, only_child) = (only(named, own), only(own, named));
    let mut parts = Vec::new();
    if !only_parent.is_empty() {
        parts.push(t!("%{parent} names %{only_parent}, the zone itself does not", parent, only_parent));
    }
    if !only_child.is_empty() {
        parts.push(t!("the zone names %{only_child}, %{parent} does not", only_child, parent));
    }
    (!parts.is_empty())
        .then(|| t!("the delegation of %{zone} and its own NS records differ: %{parts}", zone, parts = parts.join(t!("; "))))
}

/// One sentence for each name server whose glue is not what the zone says. Addresses of a family that the glue leaves out are no
/// difference: a referral has room for some only.
pub(crate) fn glue(parent: &Name, glued: &[Glued]) -> Vec<String> {
    let texts = |addresses: &BTreeSet<IpAddr>| and(&addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>());
    let mut found = Vec::new();
    for (server, glue, own) in glued {
        for is_four in [true, false] {
            let family =
                |addresses: &[IpAddr]| addresses.iter().filter(|ip| ip.is_ipv4() == is_four).copied().collect::<BTreeSet<_>>();
            let (glue, own) = (family(glue), family(own));
            if glue.is_empty() || glue == own {
                continue;
            }
            let own = if own.is_empty() { t!("no such address").to_owned() } else { texts(&own) };
            found.push(t!(
                "the glue of %{server} at %{parent} is %{glue}, the zone itself has %{own}",
                server,
                parent,
                glue = texts(&glue),
                own
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propagation::testing::name;

    #[test]
    fn the_two_sets_of_servers_are_compared_both_ways() {
        let (zone, parent) = (name("example.test"), name("test"));
        let sets = |names: &[&str]| names.iter().map(|text| name(text)).collect::<Vec<_>>();
        assert_eq!(servers(&zone, &parent, &sets(&["a", "b"]), &sets(&["b", "a"])), None);
        assert_eq!(
            servers(&zone, &parent, &sets(&["a", "old"]), &sets(&["a", "b"])).unwrap(),
            "the delegation of example.test and its own NS records differ: test names old, the zone itself does not; the zone names b, test does not"
        );
    }

    #[test]
    fn glue_is_compared_by_family() {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let said = |glue_is: &[&str], own: &[&str]| glue(&name("test"), &[(name("ns.example.test"), ips(glue_is), ips(own))]);
        assert!(said(&["192.0.2.1"], &["2001:db8::1", "192.0.2.1"]).is_empty());
        assert!(said(&["192.0.2.2", "192.0.2.1"], &["192.0.2.1", "192.0.2.2"]).is_empty());
        assert_eq!(
            said(&["192.0.2.1"], &["192.0.2.9"]),
            ["the glue of ns.example.test at test is 192.0.2.1, the zone itself has 192.0.2.9"]
        );
        assert_eq!(
            said(&["2001:db8::1"], &["192.0.2.9"]),
            ["the glue of ns.example.test at test is 2001:db8::1, the zone itself has no such address"]
        );
    }
}
