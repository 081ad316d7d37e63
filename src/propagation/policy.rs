//! Whether a record counts as visible: a pure function of what each authority said so far.

use std::{collections::BTreeMap, time::Duration};

use super::{Authority, LeftOut, Network, Policy, text::and, verdict::Verdict};

use crate::language::t;

/// A server is out after so many failed rounds on all its addresses.
const FAILED_ROUNDS: u32 = 3;
/// How many servers an explanation names.
const NAMED: usize = 4;

/// What is known of one authority.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// What it said last; `None` before its first answer or failure.
    pub(crate) verdict: Option<Verdict>,
    /// Failed rounds since it last answered authoritatively.
    failed_rounds: u32,
    /// When the latest of them was counted, since the wait began.
    counted: Option<Duration>,
}

impl Standing {
    /// Takes in a new verdict that came after `waited`. Failures closer together than `spacing` are one failed round: a server
    /// that refuses for a moment, as it restarts, is not out.
    pub(crate) fn take(&mut self, verdict: Verdict, waited: Duration, spacing: Duration) {
        if !verdict.is_failure() {
            self.failed_rounds = 0;
            self.counted = None;
        } else if self.counted.is_none_or(|counted| waited >= counted + spacing) {
            self.failed_rounds = self.failed_rounds.saturating_add(1);
            self.counted = Some(waited);
        }
        self.verdict = Some(verdict);
    }

    fn is_visible(&self) -> bool {
        self.verdict == Some(Verdict::Visible)
    }

    /// It answers with authority, but does not show the value.
    fn is_behind(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| !verdict.is_failure() && *verdict != Verdict::Visible)
    }

    fn is_given_up(&self) -> bool {
        self.failed_rounds >= FAILED_ROUNDS
    }
}

/// What follows from all standings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Whether the policy is satisfied.
    pub(crate) visible: bool,
    /// For each authority, whether its server is out under the policy `reachable`.
    pub(crate) out: Vec<bool>,
    /// Whether only failing servers stand in the way, so that it is satisfied if they go on failing.
    pub(crate) may_follow_from_failures: bool,
    /// Why not, or what is risky though it is.
    pub(crate) explanation: Option<String>,
}

impl Judgement {
    /// What is left of it where the servers cannot be asked from here.
    pub(crate) fn under(self, network: &Network) -> Self {
        let seen = match network {
            // What seems to come from the servers does not.
            Network::Intercepted(_) => None,
            Network::Blocked(_) => self.explanation,
        };
        let explanation = seen.map_or_else(|| network.to_string(), |seen| t!("%{network}: %{seen}", network, seen));
        Self { visible: false, out: self.out, may_follow_from_failures: false, explanation: Some(explanation) }
    }
}

/// How one server stands, over all its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// At least one address shows the value, none shows anything else, all were asked.
    Showing,
    /// An address answers with authority and does not show the value.
    Behind,
    /// No address answers with authority; not for long enough to be out.
    Failing,
    /// The same, in three rounds.
    Out,
    /// An address was not asked yet.
    Pending,
}

/// Judges. `left_out` are servers and addresses of the zone that cannot be asked.
pub(crate) fn judge(policy: Policy, authorities: &[Authority], standings: &[Standing], left_out: &[LeftOut]) -> Judgement {
    let mut servers: BTreeMap<&str, Vec<&Standing>> = BTreeMap::new();
    for (authority, standing) in authorities.iter().zip(standings) {
        servers.entry(&authority.server).or_default().push(standing);
    }
    let states: BTreeMap<&str, Server> = servers.iter().map(|(name, standings)| (*name, state(standings))).collect();
    let count = |wanted: Server| states.values().filter(|state| **state == wanted).count();
    let unaskable = servers_left_out(authorities, left_out);
    let showing = count(Server::Showing);
    let visible = match policy {
        Policy::Reachable => showing > 0 && showing + count(Server::Out) == states.len(),
        Policy::All => {
            !standings.is_empty()
                && standings.iter().all(Standing::is_visible)
                && unaskable.iter().all(|left| left.address.is_some())
        }
        Policy::Quorum(wanted) => showing >= wanted.max(1),
        Policy::Any => standings.iter().any(Standing::is_visible),
    };
    let may_follow_from_failures =
        policy == Policy::Reachable && !visible && showing > 0 && count(Server::Behind) == 0 && count(Server::Pending) == 0;
    let out: Vec<bool> = authorities.iter().map(|authority| states[authority.server.as_str()] == Server::Out).collect();
    let explanation = explain(policy, authorities, standings, &out, &unaskable, visible, showing, states.len());
    Judgement { visible, out, may_follow_from_failures, explanation }
}

fn state(standings: &[&Standing]) -> Server {
    if standings.iter().any(|standing| standing.is_behind()) {
        Server::Behind
    } else if standings.iter().any(|standing| standing.verdict.is_none()) {
        Server::Pending
    } else if standings.iter().any(|standing| standing.is_visible()) {
        Server::Showing
    } else if standings.iter().all(|standing| standing.is_given_up()) {
        Server::Out
    } else {
        Server::Failing
    }
}

/// Of the servers that have no address at all that can be asked, one entry each.
fn servers_left_out<'a>(authorities: &[Authority], left_out: &'a [LeftOut]) -> Vec<&'a LeftOut> {
    let mut servers: BTreeMap<&str, &LeftOut> = BTreeMap::new();
    for left in left_out.iter().filter(|left| !authorities.iter().any(|authority| authority.server == left.server)) {
        servers.entry(&left.server).or_insert(left);
    }
    servers.into_values().collect()
}

#[expect(clippy::too_many_arguments, reason = "the facts of one sentence; a struct for one caller would only repeat them")]
fn explain(
    policy: Policy,
    authorities: &[Authority],
    standings: &[Standing],
    out: &[bool],
    unaskable: &[&LeftOut],
    visible: bool,
    showing: usize,
    servers: usize,
) -> Option<String> {
    let mut parts: Vec<String> = authorities
        .iter()
        .zip(standings)
        .zip(out)
        .filter(|((_, standing), _)| !standing.is_visible())
        .map(|((authority, standing), out)| {
            let said = match &standing.verdict {
                Some(verdict) => verdict.sentence(),
                None => t!("has not answered yet").to_owned(),
            };
            let rounds = match standing.failed_rounds {
                _ if *out => t!(" and counts as out").to_owned(),
                0 => String::new(),
                rounds => t!(" (failed %{rounds} of %{FAILED_ROUNDS} times)", rounds = rounds.min(FAILED_ROUNDS), FAILED_ROUNDS),
            };
            format!("{} {said}{rounds}", described(authority))
        })
        .collect();
    parts.extend(unaskable.iter().map(|left| t!("%{server} cannot be asked: %{why}", server = left.server, why = left.why)));
    if parts.is_empty() && visible {
        return None;
    }
    let more = parts.len().saturating_sub(NAMED);
    parts.truncate(NAMED);
    if more > 0 {
        parts.push(t!("%{more} more do not show it either", more));
    }
    let details = parts.join(t!("; "));
    if visible {
        return Some(t!("the policy is satisfied, but a CA may see something else: %{details}", details));
    }
    let count = match (showing, servers) {
        (0, 1) => t!("the only server does not show the value").to_owned(),
        (0, _) => t!("no server shows the value").to_owned(),
        (1, servers) => t!("1 of %{servers} servers shows the value", servers),
        (showing, servers) => t!("%{showing} of %{servers} servers show the value", showing, servers),
    };
    let wanted = match policy {
        Policy::Quorum(wanted) => t!(", %{wanted} must", wanted = wanted.max(1)),
        Policy::All => t!(", all must").to_owned(),
        Policy::Reachable | Policy::Any => String::new(),
    };
    Some(if details.is_empty() {
        format!("{count}{wanted}")
    } else {
        t!("%{count}%{wanted}: %{details}", count, wanted, details)
    })
}

fn described(authority: &Authority) -> String {
    let address = if authority.address.port() == 53 { authority.address.ip().to_string() } else { authority.address.to_string() };
    if authority.server == address || authority.server == authority.address.to_string() {
        address
    } else {
        format!("{} ({address})", authority.server)
    }
}

/// Names what was left out of a delegation, for the error when nothing is left.
pub(crate) fn describe_left_out(left_out: &[LeftOut]) -> String {
    and(&left_out
        .iter()
        .map(|left| match left.address {
            Some(address) => t!("%{server} at %{address} (%{why})", server = left.server, address = address.ip(), why = left.why),
            None => t!("%{server} (%{why})", server = left.server, why = left.why),
        })
        .collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_secs(1);

    /// One letter for an address: `V`isible, `M`issing, `S`ERVFAIL so often that it is given up, `f`ailed once, `-` not asked.
    fn standing(letter: char) -> Standing {
        let mut standing = Standing::default();
        let mut take = |verdict: Verdict, times: u64| {
            for second in 0..times {
                standing.take(verdict.clone(), Duration::from_secs(second), SPACING);
            }
        };
        match letter {
            'V' => take(Verdict::Visible, 1),
            'M' => take(Verdict::Missing, 1),
            'S' => take(Verdict::ServFail(None), 3),
            'f' => take(Verdict::Unreachable("silent".to_owned()), 1),
            '-' => {}
            _ => panic!("{letter}"),
        }
        standing
    }

    /// Servers are words, their addresses letters: `VM V` is a server with two addresses and one with one.
    fn judged(policy: Policy, servers: &str, left_out: &[LeftOut]) -> Judgement {
        let (mut authorities, mut standings) = (Vec::new(), Vec::new());
        for (server, letters) in servers.split(' ').enumerate() {
            for (address, letter) in letters.chars().enumerate() {
                let ip = [192, 0, u8::try_from(server).unwrap(), u8::try_from(address).unwrap()];
                authorities.push(Authority { server: format!("ns{server}"), address: (ip, 53).into() });
                standings.push(standing(letter));
            }
        }
        judge(policy, &authorities, &standings, left_out)
    }

    fn without_address() -> Vec<LeftOut> {
        vec![LeftOut { server: "ns9".to_owned(), address: None, why: "it has no address".to_owned() }]
    }

    #[test]
    fn each_policy_demands_what_it_says() {
        use Policy::{All, Any, Quorum, Reachable};
        let cases = [
            // Reachable counts servers: every one that answers, and at least one.
            (Reachable, "V V", true),
            (Reachable, "V M", false),
            (Reachable, "VM V", false),
            (Reachable, "V -", false),
            (Reachable, "V- V", false),
            (Reachable, "V f", false),
            (Reachable, "V S", true),
            (Reachable, "S S", false),
            (Reachable, "Vf V", true),
            (Reachable, "V SM", false),
            (Reachable, "V Sf", false),
            (Reachable, "V S M", false),
            // All counts addresses and gives nobody up.
            (All, "VV V", true),
            (All, "V S", false),
            (All, "VS V", false),
            (Quorum(2), "V V M", true),
            (Quorum(2), "V VM S", false),
            (Quorum(2), "VV M", false),
            (Quorum(0), "M M", false),
            (Quorum(5), "V V", false),
            (Any, "V M S", true),
            (Any, "M S -", false),
        ];
        for (policy, servers, visible) in cases {
            let judgement = judged(policy, servers, &[]);
            assert_eq!(judgement.visible, visible, "{policy:?} {servers}");
            assert_eq!(
                judgement.explanation.is_none(),
                visible && servers.chars().all(|letter| "V ".contains(letter)),
                "{policy:?} {servers}: {:?}",
                judgement.explanation
            );
        }
    }

    #[test]
    fn a_server_without_address_is_in_the_way_of_all_and_a_named_risk_else() {
        assert!(!judged(Policy::All, "V V", &without_address()).visible);
        let reachable = judged(Policy::Reachable, "V V", &without_address());
        assert!(reachable.visible);
        assert!(reachable.explanation.unwrap().contains("ns9 cannot be asked: it has no address"));
        // An address without a route on a server that is asked at another one is neither.
        let no_route = vec![LeftOut { server: "ns0".to_owned(), address: Some(([192, 0, 2, 9], 53).into()), why: String::new() }];
        assert_eq!(judged(Policy::All, "V V", &no_route), judged(Policy::All, "V V", &[]));
    }

    #[test]
    fn three_failed_rounds_make_a_server_out_and_one_answer_brings_it_back() {
        let mut standing = Standing::default();
        let refuse =
            |standing: &mut Standing, millis: u64| standing.take(Verdict::Refused, Duration::from_millis(millis), SPACING);
        // Failures within a second are one round.
        for (millis, given_up) in [(0, false), (300, false), (999, false), (1000, false), (1900, false), (2000, true)] {
            refuse(&mut standing, millis);
            assert_eq!(standing.is_given_up(), given_up, "{millis}");
        }
        standing.take(Verdict::NxDomain, Duration::from_secs(3), SPACING);
        assert!(!standing.is_given_up() && standing.is_behind());
        refuse(&mut standing, 3500);
        assert!(!standing.is_given_up());
    }

    #[test]
    fn the_sentence_counts_and_names() {
        let text = judged(Policy::Reachable, "V M f", &[]).explanation.unwrap();
        assert_eq!(
            text,
            "1 of 3 servers shows the value: ns1 (192.0.1.0) has no record of this type at the name; \
             ns2 (192.0.2.0) gives no usable answer: silent (failed 1 of 3 times)"
        );
        let text = judged(Policy::Reachable, "V S", &[]).explanation.unwrap();
        assert!(
            text.contains("a CA may see something else: ns1 (192.0.1.0) fails to answer (SERVFAIL) and counts as out"),
            "{text}"
        );
        let text = judged(Policy::Quorum(3), "V M M M M M M", &[]).explanation.unwrap();
        assert!(
            text.starts_with("1 of 7 servers shows the value, 3 must: ") && text.ends_with("2 more do not show it either"),
            "{text}"
        );
    }

    #[test]
    fn a_network_that_answers_for_others_turns_everything_to_not_visible() {
        let network = Network::Intercepted([192, 0, 2, 53].into());
        for policy in [Policy::Reachable, Policy::All, Policy::Quorum(1), Policy::Any] {
            let judgement = judged(policy, "V V", &[]);
            assert!(judgement.visible);
            let under = judgement.under(&network);
            assert!(!under.visible && under.explanation.unwrap().contains("even 192.0.2.53, where no server is"));
        }
    }

    #[test]
    fn only_failing_servers_in_the_way_are_worth_another_round() {
        for (servers, worth) in
            [("V f", true), ("V f S", true), ("V M f", false), ("f f", false), ("V S", false), ("V - f", false)]
        {
            assert_eq!(judged(Policy::Reachable, servers, &[]).may_follow_from_failures, worth, "{servers}");
        }
        assert!(!judged(Policy::All, "V f", &[]).may_follow_from_failures);
    }
}
