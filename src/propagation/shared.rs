//! What all clones of a [`super::Propagation`] share: what was found, and the question budget of each address.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use hickory_proto::{op::Message, rr::RecordType as WireType};
use tokio::{sync::OnceCell, time::Instant};

use super::{
    Delegation, Options,
    delegation::Cut,
    fellows::Fellowships,
    message::{Checking, Question},
    network::Interceptor,
    peer::{Occasion, Peer},
    resolvers::{Encrypted, ResolverAddress},
    text::and,
    verdict::{Verdict, response_word},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    mutex::locked,
    name::Name,
};

/// How long what was found is taken as true: a run, but not the weeks of a `watch`.
const KEPT: Duration = Duration::from_mins(10);

/// Values by key, each made once even when many want it at the same time.
#[derive(Debug)]
pub(crate) struct Once<K, V>(Mutex<HashMap<K, Kept<V>>>);

/// Since when, and the value once it is made.
type Kept<V> = (Instant, Arc<OnceCell<V>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Once<K, V> {
    /// The value, made by `make` unless it is there. A failure is not kept; where the maker was dropped, the next in line makes it.
    pub(crate) async fn get<E, F>(&self, key: &K, make: F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let cell = {
            let mut cells = locked(&self.0);
            cells.retain(|_, (since, _)| since.elapsed() < KEPT);
            Arc::clone(&cells.entry(key.clone()).or_insert_with(|| (Instant::now(), Arc::default())).1)
        };
        cell.get_or_try_init(|| make).await.cloned()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// Empty where the system has none and only stated authorities are asked.
    pub(crate) resolvers: Vec<ResolverAddress>,
    pub(crate) encrypted: Encrypted,
    /// The resolver that discovery fell back to, as none answers on port 53.
    pub(crate) fell_back: Mutex<Option<ResolverAddress>>,
    peers: Mutex<HashMap<SocketAddr, Arc<Peer>>>,
    pub(crate) fellowships: Fellowships,
    /// The delegation of each name that was looked for.
    pub(crate) names: Once<Name, Arc<Delegation>>,
    /// What the resolver said about each zone cut; `None`: it is none.
    pub(crate) cuts: Once<Name, Option<Arc<Cut>>>,
    /// Cuts that authorities told by referral.
    pub(crate) referred: Once<Name, Arc<Cut>>,
    /// Addresses of name servers; the error says why there are none.
    pub(crate) hosts: Once<Name, Result<Vec<IpAddr>, String>>,
    /// Whether something answers for every address.
    pub(crate) interceptor: Interceptor,
    /// A resolver over HTTPS that knows a zone whose servers do not answer.
    pub(crate) reached: Once<Name, String>,
}

impl Shared {
    pub(crate) fn new(options: Options, resolvers: Vec<ResolverAddress>) -> Self {
        Self {
            encrypted: Encrypted::new(options.tls.clone()),
            fell_back: Mutex::default(),
            options,
            resolvers,
            peers: Mutex::default(),
            fellowships: Fellowships::default(),
            names: Once::default(),
            cuts: Once::default(),
            referred: Once::default(),
            hosts: Once::default(),
            interceptor: Interceptor::default(),
            reached: Once::default(),
        }
    }

    /// What is known about an address.
    pub(crate) fn peer(&self, address: SocketAddr) -> Arc<Peer> {
        let mut peers = locked(&self.peers);
        Arc::clone(peers.entry(address).or_insert_with(|| Arc::new(Peer::new(address))))
    }

    /// One question to an authority, RD=0.
    pub(crate) async fn ask_authority(
        &self,
        address: SocketAddr,
        name: &Name,
        record_type: WireType,
    ) -> Result<Message, Verdict> {
        let question = Question { name: name.to_wire(), record_type, recursion: false, checking: Checking::Unsaid };
        let asked = self.peer(address).ask(&question, self.options.query_timeout, Occasion::ONCE).await;
        asked.outcome.map(|reply| reply.message)
    }

    /// One question to the recursive resolvers, RD=1; the first that answers counts. An answer is NOERROR or NXDOMAIN.
    ///
    /// This is the only way to a resolver before a record is visible. Its callers ask for zone cuts (NS) and for addresses of name
    /// servers only.
    pub(crate) async fn ask_resolver(&self, name: &Name, record_type: WireType) -> Result<Message> {
        let question = Question { name: name.to_wire(), record_type, recursion: true, checking: Checking::Unsaid };
        let mut failures = Vec::new();
        // Where port 53 was found to be closed to us, each further question need not find that out again.
        let fallen_back = locked(&self.fell_back).clone();
        if let Some(resolver) = &fallen_back
            && let Ok(answer) = self.ask_one_resolver(resolver, &question).await
        {
            return Ok(answer);
        }
        for resolver in &self.resolvers {
            match self.ask_one_resolver(resolver, &question).await {
                Ok(answer) => return Ok(answer),
                Err(why) => failures.push(why),
            }
        }
        let mut asking = self.over_https(&question);
        while let Some((resolver, outcome)) = asking.next().await {
            match outcome {
                Ok(answer) => {
                    *locked(&self.fell_back) = Some(resolver.clone());
                    return Ok(answer);
                }
                Err(why) => failures.push(why),
            }
        }
        if failures.is_empty() {
            return Err(Error::new(ErrorKind::NotVisible, t!("there is no resolver to ask: this system has none configured"))
                .with_hint(t!("name one with `--resolver ADDRESS`, or state the authorities with `--authority ZONE=ADDRESS`")));
        }
        Err(Error::new(
            ErrorKind::NotVisible,
            t!(
                "the resolver does not answer for %{name} %{record_type}: %{failures}",
                name,
                record_type,
                failures = and(&failures)
            ),
        )
        .with_retry(Retry::Later)
        .with_hint(t!(
            "name another resolver with `--resolver ADDRESS`, or state the authorities with `--authority ZONE=ADDRESS`"
        )))
    }

    /// The question to every resolver over HTTPS at once, each answer with the resolver that gave it, in the order of arrival.
    pub(super) fn over_https<'a>(
        &'a self,
        question: &'a Question,
    ) -> FuturesUnordered<impl Future<Output = (&'a ResolverAddress, Result<Message, String>)>> {
        let ask = |resolver| async move { (resolver, self.ask_one_resolver(resolver, question).await) };
        self.options.over_https.iter().map(ask).collect()
    }

    /// One resolver; an answer is NOERROR or NXDOMAIN. The error is a fragment that begins with the resolver.
    async fn ask_one_resolver(&self, resolver: &ResolverAddress, question: &Question) -> Result<Message, String> {
        match self.ask_recursive(resolver, question).await {
            Ok(message) => match response_word(message.metadata.response_code).as_str() {
                "NOERROR" | "NXDOMAIN" => Ok(message),
                word => {
                    let detail = super::verdict::extended_error(&message).map(|detail| format!(" ({detail})"));
                    Err(format!("{resolver} answers {word}{}", detail.unwrap_or_default()))
                }
            },
            Err(verdict) => Err(format!("{resolver} {}", verdict.sentence())),
        }
    }

    /// One question to one resolver, over whatever it speaks, within the time of one question over one transport (for Do53: two).
    pub(crate) async fn ask_recursive(&self, resolver: &ResolverAddress, question: &Question) -> Result<Message, Verdict> {
        let patience = self.options.query_timeout;
        match resolver {
            ResolverAddress::Plain(address) => {
                self.peer(*address).ask_at_once(question, patience).await.map(|reply| reply.message)
            }
            // Rare and large: kept out of the futures of all other questions.
            encrypted => Box::pin(self.encrypted.ask(encrypted, question, patience)).await,
        }
    }
}
