//! Where a record must really be written: the end of the CNAME chain that begins at a name. Asked at authorities only.

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType as WireType},
};

use super::{Authority, Delegation, Target, delegation::first_usable, shared::Shared, text::and, verdict::response_word};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    name::Name,
};

/// Longer chains are not followed; resolvers stop at about as many.
const LONGEST_CHAIN: usize = 16;

/// Follows the chain.
pub(super) async fn resolve(shared: &Shared, name: &Name) -> Result<Target> {
    let mut current = name.clone();
    let mut chain: Vec<Name> = Vec::new();
    loop {
        let delegation = shared.delegation(&current).await.map_err(|error| match chain.last() {
            Some(from) => error.context(t!("%{from} is a CNAME to %{current}, where the record would be written", from, current)),
            None => error,
        })?;
        let (authority, target) = alias_at(shared, &delegation, &current).await?;
        let Some(target) = target else { return Ok(Target { name: current, chain, synthesised: false }) };
        if is_synthesised(shared, &authority, &current, &target).await? {
            return Ok(Target { name: current, chain, synthesised: true });
        }
        chain.push(current);
        if chain.contains(&target) {
            return Err(broken(name, &chain, &t!("the CNAME chain of %{name} is a loop", name)));
        }
        if chain.len() >= LONGEST_CHAIN {
            return Err(broken(
                name,
                &chain,
                &t!("the CNAME chain of %{name} has more than %{LONGEST_CHAIN} links", name, LONGEST_CHAIN),
            ));
        }
        current = target;
    }
}

fn broken(name: &Name, chain: &[Name], what: &str) -> Error {
    let path = chain.iter().map(Name::to_string).collect::<Vec<_>>().join(" -> ");
    Error::config(format!("{what}: {path}"))
        .with_hint(t!("repair the CNAME records, or write at %{name} itself with `--no-follow`", name))
}

/// The CNAME at `name` as the first usable authority shows it, and which that was.
async fn alias_at(shared: &Shared, delegation: &Delegation, name: &Name) -> Result<(Authority, Option<Name>)> {
    first_usable(&delegation.authorities, name, |authority: Authority| async move {
        let target = cname(shared, &authority, name).await?;
        Ok((authority, target))
    })
    .await
    .map_err(|failures| {
        let message = t!(
            "none of the servers of %{zone} tells whether %{name} is a CNAME: %{failures}",
            zone = delegation.zone,
            name,
            failures = and(&failures)
        );
        Error::new(ErrorKind::NotVisible, message).with_retry(Retry::Later)
    })
}

async fn cname(shared: &Shared, authority: &Authority, name: &Name) -> Result<Option<Name>, String> {
    let answer = shared
        .ask_authority(authority.address, name, WireType::CNAME)
        .await
        .map_err(|verdict| format!("{} {}", authority.server, verdict.sentence()))?;
    let code = answer.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Err(format!("{} answers {}", authority.server, response_word(code)));
    }
    if !answer.metadata.authoritative {
        return Err(t!("%{server} is not authoritative for %{name}", server = authority.server, name));
    }
    Ok(target_of(&answer, name))
}

fn target_of(answer: &Message, name: &Name) -> Option<Name> {
    answer.answers.iter().find_map(|entry| match &entry.data {
        RData::CNAME(target) if Name::from_wire(&entry.name) == *name => Some(Name::from_wire(&target.0)),
        _ => None,
    })
}

/// Whether a name that nobody made has the same CNAME: then it comes from a wildcard, and the name itself is free to be written.
async fn is_synthesised(shared: &Shared, authority: &Authority, name: &Name, target: &Name) -> Result<bool> {
    let Some(parent) = name.parent() else { return Ok(false) };
    // No room for a sibling: the name is as long as names get.
    let Ok(sibling) = parent.below(&format!("dv-{:016x}", rand::random::<u64>())) else { return Ok(false) };
    cname(shared, authority, &sibling).await.map(|found| found.as_ref() == Some(target)).map_err(|why| {
        let message = t!("it cannot be told whether the CNAME at %{name} comes from a wildcard: %{why}", name, why);
        Error::new(ErrorKind::NotVisible, message).with_retry(Retry::Later)
    })
}
