//! One record, all authorities of its zone: what is known of each, and the round that people see.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use hickory_proto::rr::RecordType as WireType;
use tokio::time::{Instant, sleep};

use super::{
    Delegation, Network, Observation, Round,
    message::{Checking, Question},
    network::Scout,
    peer::{Asked, Occasion},
    policy::{Judgement, Standing, judge},
    shared::Shared,
    verdict::{Verdict, judge as judge_answer},
};
use crate::{
    error::{Error, Result},
    record::{Record, RecordType},
};

/// Rounds of one look, the first included: as many as a failing server needs to be out.
const ROUNDS: usize = 3;
/// Failures closer together than this are one failed round.
const SPACING: Duration = Duration::from_secs(1);

/// The record's type as hickory has it.
pub(super) fn wire_type(record_type: RecordType) -> WireType {
    match record_type {
        RecordType::Txt => WireType::TXT,
        RecordType::Cname => WireType::CNAME,
        // Files are seen by `web`.
        RecordType::File => WireType::ZERO,
    }
}

/// What is known of all authorities about one record.
#[derive(Debug)]
pub(super) struct Looking {
    pub(super) shared: Arc<Shared>,
    pub(super) record: Record,
    pub(super) delegation: Arc<Delegation>,
    pub(super) begun: Instant,
    /// Why the servers cannot be asked from here.
    pub(super) network: Option<Network>,
    standings: Vec<Standing>,
    round_trips: Vec<Option<Duration>>,
}

impl Looking {
    pub(super) fn new(shared: Arc<Shared>, record: Record, delegation: Arc<Delegation>, begun: Instant) -> Self {
        let count = delegation.authorities.len();
        Self {
            shared,
            record,
            delegation,
            begun,
            network: None,
            standings: vec![Standing::default(); count],
            round_trips: vec![None; count],
        }
    }

    /// Asks one authority. Holds nothing of `self`, so that answers can be taken in while others are under way.
    pub(super) fn ask(&self, index: usize, occasion: Occasion) -> impl Future<Output = (usize, Asked)> + Send + use<> {
        let peer = self.shared.peer(self.delegation.authorities[index].address);
        let patience = self.shared.options.query_timeout;
        let record_type = wire_type(self.record.record_type);
        let question = Question { name: self.record.name.to_wire(), record_type, recursion: false, checking: Checking::Unsaid };
        async move { (index, peer.ask(&question, patience, occasion).await) }
    }

    /// Takes in what asking brought. Whether the verdict differs from before.
    pub(super) fn take(&mut self, index: usize, asked: Asked) -> bool {
        let (verdict, round_trip) = match asked.outcome {
            Ok(reply) => (judge_answer(&self.record, &reply.message), Some(reply.round_trip)),
            Err(verdict) => (verdict, None),
        };
        let changed = self.standings[index].verdict.as_ref() != Some(&verdict);
        self.round_trips[index] = round_trip;
        let spacing = self.spacing();
        self.standings[index].take(verdict, self.begun.elapsed(), spacing);
        changed
    }

    pub(super) fn standing(&self, index: usize) -> &Standing {
        &self.standings[index]
    }

    /// Whether each authority answered or failed at least once.
    pub(super) fn is_whole(&self) -> bool {
        self.standings.iter().all(|standing| standing.verdict.is_some())
    }

    pub(super) fn judgement(&self) -> Judgement {
        let policy = self.shared.options.policy;
        let judgement = judge(policy, &self.delegation.authorities, &self.standings, &self.delegation.left_out);
        match &self.network {
            Some(network) => judgement.under(network),
            None => judgement,
        }
    }

    /// The longest round trip of all answers.
    pub(super) fn slowest(&self) -> Duration {
        self.round_trips.iter().flatten().max().copied().unwrap_or_default()
    }

    /// Whether every authority was asked and none gave any usable answer.
    pub(super) fn is_silent(&self) -> bool {
        self.standings.iter().all(|standing| matches!(standing.verdict, Some(Verdict::Unreachable(_))))
    }

    /// With an impatient time-out the rounds of a dead server are close together too.
    fn spacing(&self) -> Duration {
        SPACING.min(self.shared.options.query_timeout / 3)
    }

    pub(super) fn round(&self, judgement: &Judgement) -> Round {
        let observations = self
            .delegation
            .authorities
            .iter()
            .enumerate()
            .filter_map(|(index, authority)| {
                let verdict = self.standings[index].verdict.clone()?;
                let (round_trip, out) = (self.round_trips[index], judgement.out[index]);
                Some(Observation { authority: authority.clone(), verdict, round_trip, out })
            })
            .collect();
        Round {
            zone: self.delegation.zone.clone(),
            record: self.record.clone(),
            observations,
            visible: judgement.visible,
            waited: self.begun.elapsed(),
            explanation: judgement.explanation.clone(),
            network: self.network.clone(),
        }
    }
}

/// One look: every authority once; the failing ones up to three times where the verdict hangs on them alone.
pub(super) async fn look(shared: &Arc<Shared>, record: &Record) -> Result<Round> {
    let mut scout = Scout::new(shared);
    let asking = async {
        let begun = Instant::now();
        let delegation = shared.delegation(&record.name).await?;
        let mut looking = Looking::new(Arc::clone(shared), record.clone(), delegation, begun);
        ask_all(&mut looking).await;
        Ok::<_, Error>(looking)
    };
    let mut looking = scout.beside(asking).await?;
    scout.dispel(looking.slowest()).await;
    if looking.is_silent() {
        scout.inquire(&looking.delegation.zone, &record.name).await;
    }
    looking.network = scout.network().cloned();
    let judgement = looking.judgement();
    Ok(looking.round(&judgement))
}

async fn ask_all(looking: &mut Looking) {
    let mut asked: Vec<usize> = (0..looking.standings.len()).collect();
    for round in 1..=ROUNDS {
        for (index, answer) in join_all(asked.iter().map(|index| looking.ask(*index, Occasion::ONCE))).await {
            looking.take(index, answer);
        }
        if !looking.judgement().may_follow_from_failures || round == ROUNDS {
            return;
        }
        asked.retain(|index| looking.standing(*index).verdict.as_ref().is_some_and(Verdict::is_failure));
        sleep(looking.spacing()).await;
    }
}
