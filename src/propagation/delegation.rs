//! Which zone holds a name, and who answers for it.
//!
//! The recursive resolver is asked for zone cuts from the top down (`com`, `example.com`), never for the name itself, for labels
//! that begin with `_`, or for anything below the first cut under a top level: there the authorities of the zone found so far
//! are asked, whose referral or SOA tells of deeper cuts. A resolver that never heard the question remembers no answer to it.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    future::join_all,
    stream::{FuturesUnordered, StreamExt},
};
use hickory_proto::{op::Message, rr::RecordType as WireType};
use tokio::sync::OnceCell;

use super::{
    Authority, Delegation, LeftOut,
    placement::{Placement, place, servers_of},
    policy::describe_left_out,
    probe::has_route,
    shared::Shared,
    text::and,
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    name::Name,
};

/// How long an authority may be silent before the next one is asked too.
const STAGGER: Duration = Duration::from_millis(300);
/// More cuts than this below one another are a loop of broken servers.
const DEEPEST: usize = 32;

/// A zone cut, its addresses not yet looked up.
#[derive(Debug)]
pub(crate) struct Cut {
    zone: Name,
    servers: Vec<Name>,
    /// Addresses that came with a referral.
    glue: HashMap<Name, Vec<IpAddr>>,
    /// Whether the parent's servers told of it; then the child's own NS set is asked for too.
    referred: bool,
    delegation: OnceCell<Arc<Delegation>>,
}

impl Cut {
    fn new(zone: Name, servers: Vec<Name>, glue: HashMap<Name, Vec<IpAddr>>, referred: bool) -> Arc<Self> {
        Arc::new(Self { zone, servers, glue, referred, delegation: OnceCell::new() })
    }
}

/// How the zone above names the servers of a zone.
#[derive(Debug)]
pub(crate) struct ParentView {
    /// The zone above.
    pub(crate) zone: Name,
    /// The servers that it names.
    pub(crate) servers: Vec<Name>,
    /// Addresses that came with the referral.
    pub(crate) glue: HashMap<Name, Vec<IpAddr>>,
}

/// What the authorities of a zone say about a deeper cut on the way to a name.
enum Below {
    /// There is none: the zone holds the name.
    None,
    Cut(Arc<Cut>),
    /// None of them gives a usable answer; why.
    Unknown(Error),
}

impl Shared {
    /// The zone that holds `name`, and its authorities. Found once for each name in a run.
    pub(crate) async fn delegation(&self, name: &Name) -> Result<Arc<Delegation>> {
        self.names.get(name, Box::pin(self.find(name))).await
    }

    /// As [`Shared::delegation`], for top levels too.
    pub(crate) async fn holder(&self, name: &Name) -> Result<Arc<Delegation>> {
        if name.labels().count() != 1 || self.stated(name).is_some() {
            return self.delegation(name).await;
        }
        match self.cut_at_resolver(name).await? {
            Some(cut) => self.with_addresses(&cut).await,
            None => Err(Error::new(ErrorKind::NotVisible, t!("the resolver knows no top level %{name}", name))),
        }
    }

    /// What the servers of the zone above say about `zone`. `None` where they cannot be asked, or hold `zone` too and so do not tell.
    pub(crate) async fn parent_view(&self, zone: &Name) -> Option<ParentView> {
        let above = zone.parent().filter(|above| !above.is_root())?;
        let parent = self.holder(&above).await.ok()?;
        let view = first_usable(&parent.authorities, zone, |authority: Authority| {
            let parent = &parent.zone;
            async move {
                let answer =
                    self.ask_authority(authority.address, zone, WireType::NS).await.map_err(|verdict| verdict.sentence())?;
                match place(parent, zone, &answer) {
                    Placement::Child { zone: child, servers, glue, referred: true } if child == *zone => {
                        Ok(ParentView { zone: parent.clone(), servers, glue })
                    }
                    _ => Err(t!("gives no referral").to_owned()),
                }
            }
        });
        view.await.ok()
    }

    async fn find(&self, name: &Name) -> Result<Arc<Delegation>> {
        if let Some(stated) = self.stated(name) {
            return Ok(Arc::new(stated));
        }
        let mut cut: Option<Arc<Cut>> = None;
        let mut failure = None;
        let mut path: Vec<Name> = name.ancestors().filter(|ancestor| !ancestor.is_root()).collect();
        path.reverse();
        for label in &path {
            if cut.as_ref().is_some_and(|cut| cut.zone.is_within(label)) {
                continue;
            }
            let at_top = cut.as_ref().is_none_or(|cut| cut.zone.labels().count() <= 1);
            let mut asks_resolver = at_top && label != name && may_be_asked_at_resolver(label);
            if !asks_resolver {
                let Some(above) = &cut else { break };
                match self.below(above, name).await {
                    Below::None => return self.with_addresses(above).await,
                    Below::Cut(child) => {
                        cut = Some(child);
                        continue;
                    }
                    // The name itself only where it must be an apex, as it lies right below a top level.
                    Below::Unknown(error) => {
                        failure = Some(error);
                        asks_resolver = may_be_asked_at_resolver(label) && (label != name || at_top);
                    }
                }
            }
            if !asks_resolver {
                break;
            }
            match self.cut_at_resolver(label).await {
                Ok(Some(found)) => cut = Some(found),
                Ok(None) => break,
                // A failure is no denial: a resolver may know an inner zone and nothing above it.
                Err(error) => failure = Some(error),
            }
        }
        let Some(mut cut) = cut else {
            return Err(failure.unwrap_or_else(|| {
                Error::new(ErrorKind::NotVisible, t!("no zone found for %{name}: the resolver knows no zone above it", name))
                    .with_hint(t!("check the name, or state the authorities with `--authority ZONE=ADDRESS`"))
            }));
        };
        for _ in 0..DEEPEST {
            match self.below(&cut, name).await {
                Below::Cut(child) => cut = child,
                Below::None | Below::Unknown(_) => break,
            }
        }
        self.with_addresses(&cut).await
    }

    /// Whether the user stated who answers for this name.
    pub(crate) fn is_stated(&self, name: &Name) -> bool {
        self.stated(name).is_some()
    }

    /// The authorities that the user stated for the longest zone that holds the name.
    fn stated(&self, name: &Name) -> Option<Delegation> {
        let (zone, addresses) = self
            .options
            .stated
            .iter()
            .filter(|(zone, addresses)| name.is_within(zone) && !addresses.is_empty())
            .max_by_key(|(zone, _)| zone.labels().count())?;
        let mut authorities: Vec<Authority> =
            addresses.iter().map(|address| Authority { server: address.to_string(), address: *address }).collect();
        authorities.sort();
        authorities.dedup();
        Some(Delegation { zone: zone.clone(), authorities, left_out: Vec::new(), differences: Vec::new() })
    }

    /// Whether the resolver knows a zone cut at this name. Asked once for each name in a run, failures excepted.
    async fn cut_at_resolver(&self, zone: &Name) -> Result<Option<Arc<Cut>>> {
        self.cuts
            .get(zone, async {
                let answer = self.ask_resolver(zone, WireType::NS).await?;
                let servers = servers_of(zone, &answer.answers);
                Ok((!servers.is_empty()).then(|| Cut::new(zone.clone(), servers, HashMap::new(), false)))
            })
            .await
    }

    /// Asks the authorities of a zone whether a deeper cut lies on the way to `name`.
    async fn below(&self, above: &Cut, name: &Name) -> Below {
        if above.zone == *name {
            return Below::None;
        }
        let delegation = match self.with_addresses(above).await {
            Ok(delegation) => delegation,
            Err(error) => return Below::Unknown(error),
        };
        let outcome = first_usable(&delegation.authorities, name, |authority: Authority| async move {
            let placement = self.placement(authority.address, &above.zone, name).await?;
            Ok::<_, String>((authority, placement))
        })
        .await;
        match outcome {
            Ok((_, Placement::Child { zone, servers, glue, referred })) => {
                let made: Result<_, std::convert::Infallible> =
                    self.referred.get(&zone, async { Ok(Cut::new(zone.clone(), servers, glue, referred)) }).await;
                match made {
                    Ok(cut) => Below::Cut(cut),
                    Err(never) => match never {},
                }
            }
            Ok(_) => Below::None,
            Err(failures) => Below::Unknown(
                Error::new(
                    ErrorKind::NotVisible,
                    t!(
                        "none of the servers of %{zone} gives a usable answer: %{failures}",
                        zone = above.zone,
                        failures = and(&failures)
                    ),
                )
                .with_retry(Retry::Later),
            ),
        }
    }

    /// Where one authority of `zone` places `name`. The error is a fragment for people.
    async fn placement(&self, address: SocketAddr, zone: &Name, name: &Name) -> Result<Placement, String> {
        for asked in name.ancestors().take_while(|ancestor| ancestor != zone && ancestor.is_within(zone)) {
            let answer = self
                .ask_authority(address, &asked, WireType::SOA)
                .await
                .map_err(|verdict| format!("{address} {}", verdict.sentence()))?;
            match place(zone, &asked, &answer) {
                // A CNAME hides the SOA of its zone: the node above tells.
                Placement::Alias => {}
                // The same server holds the child zone too, so it gave no referral.
                Placement::Apex(apex) => {
                    let answer = self.ask_authority(address, &apex, WireType::NS).await;
                    let servers = answer.map(|answer| servers_of(&apex, &answer.answers)).unwrap_or_default();
                    if servers.is_empty() {
                        return Err(t!("%{address} shows a zone %{apex}, but no name servers of it", address, apex));
                    }
                    return Ok(Placement::Child { zone: apex, servers, glue: HashMap::new(), referred: false });
                }
                Placement::Unusable(why) => return Err(format!("{address} {why}")),
                found => return Ok(found),
            }
        }
        Ok(Placement::Here)
    }

    /// Looks up the addresses of all servers of a zone; once.
    async fn with_addresses(&self, cut: &Cut) -> Result<Arc<Delegation>> {
        cut.delegation.get_or_try_init(|| self.look_up_addresses(cut)).await.cloned()
    }

    async fn look_up_addresses(&self, cut: &Cut) -> Result<Arc<Delegation>> {
        let mut found = self.addresses(&cut.servers, &cut.glue).await;
        let mut differences = Vec::new();
        if cut.referred {
            let own = first_usable(&found.0, &cut.zone, |authority: Authority| async move {
                let answer = self.ask_authority(authority.address, &cut.zone, WireType::NS).await;
                let servers = answer
                    .map(
                        |answer: Message| {
                            if answer.metadata.authoritative { servers_of(&cut.zone, &answer.answers) } else { Vec::new() }
                        },
                    )
                    .map_err(|verdict| verdict.sentence())?;
                if servers.is_empty() { Err("no NS".to_owned()) } else { Ok(servers) }
            })
            .await
            .unwrap_or_default();
            if !own.is_empty() {
                let only_child: Vec<Name> = own.iter().filter(|server| !cut.servers.contains(server)).cloned().collect();
                let only_parent = cut.servers.iter().filter(|server| !own.contains(server)).map(Name::to_string);
                differences.extend(
                    only_parent.map(|server| t!("%{server} is named by the parent of %{zone} only", server, zone = cut.zone)),
                );
                differences.extend(
                    only_child.iter().map(|server| t!("%{server} is named by %{zone} itself only", server, zone = cut.zone)),
                );
                let more = self.addresses(&only_child, &cut.glue).await;
                found.0.extend(more.0);
                found.1.extend(more.1);
            }
        }
        let (mut authorities, left_out) = found;
        authorities.sort();
        authorities.dedup();
        if authorities.is_empty() {
            let why = if left_out.is_empty() { t!("it has no name servers").to_owned() } else { describe_left_out(&left_out) };
            return Err(Error::new(
                ErrorKind::NotVisible,
                t!("no server of the zone %{zone} can be asked: %{why}", zone = cut.zone, why),
            )
            .with_retry(Retry::Later)
            .with_hint(t!("repair the delegation of the zone, or state the authorities with `--authority ZONE=ADDRESS`")));
        }
        Ok(Arc::new(Delegation { zone: cut.zone.clone(), authorities, left_out, differences }))
    }

    /// All addresses of these servers that this host has a route to, and what was left out.
    pub(crate) async fn addresses(&self, servers: &[Name], glue: &HashMap<Name, Vec<IpAddr>>) -> (Vec<Authority>, Vec<LeftOut>) {
        let each = join_all(servers.iter().map(|server| async move {
            let found = match glue.get(server) {
                Some(glued) => Ok(glued.clone()),
                None => self.host(server).await,
            };
            (server, found)
        }))
        .await;
        let (mut authorities, mut left_out) = (Vec::new(), Vec::new());
        for (server, found) in each {
            let server = server.to_string();
            match found {
                Ok(addresses) => {
                    for address in addresses.into_iter().map(|ip| SocketAddr::new(ip, self.options.port)) {
                        if has_route(address).await {
                            authorities.push(Authority { server: server.clone(), address });
                        } else {
                            let why = t!("this host has no route to it").to_owned();
                            left_out.push(LeftOut { server: server.clone(), address: Some(address), why });
                        }
                    }
                }
                Err(why) => left_out.push(LeftOut { server, address: None, why }),
            }
        }
        (authorities, left_out)
    }

    /// The addresses of a name server, from the resolver. The error is a fragment for people.
    async fn host(&self, server: &Name) -> Result<Vec<IpAddr>, String> {
        let made = self
            .hosts
            .get(server, async {
                let (four, six) = tokio::join!(self.ask_resolver(server, WireType::A), self.ask_resolver(server, WireType::AAAA));
                let mut addresses: Vec<IpAddr> = [&four, &six]
                    .into_iter()
                    .flatten()
                    .flat_map(|answer| answer.answers.iter().filter_map(|entry| entry.data.ip_addr()))
                    .collect();
                addresses.sort_unstable();
                addresses.dedup();
                match (addresses.is_empty(), four.and(six)) {
                    (false, _) => Ok(Ok(addresses)),
                    (true, Ok(_)) => Ok(Err("it has no address".to_owned())),
                    // Not kept: the next one who needs it asks again.
                    (true, Err(error)) => Err(error),
                }
            })
            .await;
        made.unwrap_or_else(|error| Err(t!("its address cannot be found, %{message}", message = error.message())))
    }
}

/// Labels with `_` are never zone cuts that a resolver should be asked about: they are where challenges stand.
fn may_be_asked_at_resolver(name: &Name) -> bool {
    !name.labels().any(|label| label.starts_with('_') || label == "*")
}

/// Asks one authority after the other, the next one too when one is slow, until one gives something usable. Which is first
/// depends on `name`, so that many names spread their questions. The error holds why each failed.
pub(crate) async fn first_usable<T, F>(
    authorities: &[Authority],
    name: &Name,
    ask: impl Fn(Authority) -> F,
) -> Result<T, Vec<String>>
where
    F: Future<Output = Result<T, String>>,
{
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let begin = usize::try_from(hasher.finish() % (authorities.len().max(1) as u64)).unwrap_or_default();
    let mut rest = authorities[begin..].iter().chain(&authorities[..begin]);
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        let next = rest.next();
        if let Some(authority) = next {
            running.push(ask(authority.clone()));
        }
        tokio::select! {
            finished = running.next() => match finished {
                Some(Ok(usable)) => return Ok(usable),
                Some(Err(why)) => failures.push(why),
                None => return Err(failures),
            },
            () = tokio::time::sleep(STAGGER), if next.is_some() => {}
        }
    }
}
