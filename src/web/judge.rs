//! From what each server showed to whether the CA will see the file. No I/O.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Host, Scheme, Sight, Verdict};

use crate::language::t;

/// What all sights come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) visible: bool,
    pub(super) is_wrong: bool,
    pub(super) explanation: Option<String>,
}

/// What one address shows, https and http taken together.
enum Standing<'a> {
    /// The file.
    Good,
    /// Something else.
    Wrong(&'a Sight),
    /// Nothing.
    Silent(&'a Sight),
}

/// Judges all hosts: one address at least must be good, and none wrong.
pub(super) fn judge(sights: &[Sight], hosts: &[Host], path: &str) -> Judgement {
    let (mut missing, mut is_wrong, mut remark) = (None, false, None);
    for host in hosts {
        let of_host: Vec<&Sight> = sights.iter().filter(|sight| sight.host == host.name).collect();
        let standings = by_address(&of_host);
        let wrong = standings.iter().find_map(|standing| if let Standing::Wrong(sight) = standing { Some(*sight) } else { None });
        let silent =
            standings.iter().find_map(|standing| if let Standing::Silent(sight) = standing { Some(*sight) } else { None });
        let has_good = standings.iter().any(|standing| matches!(standing, Standing::Good));
        let trouble = match (wrong, silent, has_good) {
            (Some(sight), ..) | (None, Some(sight), false) => tell(sight, path),
            (None, Some(sight), true) => {
                // Like a name server that is out: named, and not waited for.
                remark = remark.or_else(|| Some(t!("%{path}; a CA that asks there sees nothing", path = tell(sight, path))));
                continue;
            }
            (None, None, true) => continue,
            (None, None, false) => t!("%{name} was not asked", name = host.name),
        };
        if host.is_required {
            is_wrong |= wrong.is_some();
            missing = missing.or(Some(trouble));
        } else {
            remark =
                remark.or_else(|| Some(t!("%{trouble}; it must show the file too if the certificate is also for it", trouble)));
        }
    }
    Judgement { visible: missing.is_none(), is_wrong, explanation: missing.or(remark) }
}

/// Every address with what the CA would make of it.
fn by_address<'a>(sights: &[&'a Sight]) -> Vec<Standing<'a>> {
    // Stated servers may have any port: those at one address belong together.
    let mut addresses: BTreeMap<Option<IpAddr>, Vec<&'a Sight>> = BTreeMap::new();
    for sight in sights {
        addresses.entry(sight.address.map(|address| address.ip())).or_default().push(sight);
    }
    addresses.into_values().filter_map(|sights| standing(&sights)).collect()
}

fn standing<'a>(sights: &[&'a Sight]) -> Option<Standing<'a>> {
    let of = |scheme| sights.iter().filter(move |sight| sight.scheme == scheme).copied();
    for scheme in [Scheme::Https, Scheme::Http] {
        let mut answers = of(scheme).filter(|sight| !sight.verdict.is_silent()).peekable();
        if answers.peek().is_none() {
            continue;
        }
        return Some(answers.find(|sight| sight.verdict != Verdict::Visible).map_or(Standing::Good, Standing::Wrong));
    }
    // What only leads to where nobody answers is no wrong answer either.
    of(Scheme::Http).chain(of(Scheme::Https)).next().map(Standing::Silent)
}

/// `http://example.com/… at 192.0.2.1:80 answers 404: …`.
fn tell(sight: &Sight, path: &str) -> String {
    let Sight { host, scheme, address, verdict } = sight;
    let at = address.map(|address| t!(" at %{address}", address)).unwrap_or_default();
    let mut text = format!("{}://{host}{path}{at} {}", scheme.as_str(), verdict.sentence());
    if *scheme == Scheme::Https {
        text.push_str(t!("; where https answers, the CA does not fall back to http"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn sight(host: &str, scheme: Scheme, address: &str, verdict: Verdict) -> Sight {
        let port = if scheme == Scheme::Https { 443 } else { 80 };
        Sight { host: name(host), scheme, address: Some(format!("{address}:{port}").parse().unwrap()), verdict }
    }

    fn silent() -> Verdict {
        Verdict::NoAnswer("connection refused".into())
    }

    fn required(names: &[&str]) -> Vec<Host> {
        names.iter().map(|text| Host { name: name(text), is_required: true }).collect()
    }

    #[test]
    fn https_decides_where_it_answers_and_http_where_it_does_not() {
        let hosts = required(&["a.example"]);
        let table = [
            (Verdict::Visible, Verdict::Visible, true, false),
            (Verdict::Visible, Verdict::Status(404), true, false),
            (silent(), Verdict::Visible, true, false),
            (Verdict::Visible, silent(), true, false),
            (Verdict::Broken("certificate not trusted".into()), Verdict::Visible, false, true),
            (Verdict::Status(404), Verdict::Visible, false, true),
            (Verdict::OtherContent("x".into()), Verdict::Visible, false, true),
            (silent(), Verdict::Redirect { status: 301, to: "https://a.example/".into() }, false, true),
            (silent(), Verdict::Status(404), false, true),
            (silent(), silent(), false, false),
        ];
        for (https, http, visible, is_wrong) in table {
            let sights = [
                sight("a.example", Scheme::Https, "192.0.2.1", https.clone()),
                sight("a.example", Scheme::Http, "192.0.2.1", http.clone()),
            ];
            let judged = judge(&sights, &hosts, "/x");
            assert_eq!((judged.visible, judged.is_wrong), (visible, is_wrong), "{https:?} {http:?}");
            assert_eq!(judged.explanation.is_none(), visible);
        }
    }

    #[test]
    fn a_wrong_address_counts_and_a_silent_one_is_named() {
        let hosts = required(&["a.example"]);
        let at = |address, verdict| sight("a.example", Scheme::Http, address, verdict);
        let judged = judge(&[at("192.0.2.1", Verdict::Visible), at("192.0.2.2", silent())], &hosts, "/x");
        assert!(judged.visible && judged.explanation.unwrap().contains("192.0.2.2:80"));
        let judged = judge(&[at("192.0.2.1", Verdict::Visible), at("192.0.2.2", Verdict::Status(404))], &hosts, "/x");
        assert!(!judged.visible && judged.explanation.unwrap().contains("http://a.example/x at 192.0.2.2:80 answers 404"));
    }

    #[test]
    fn every_required_host_counts_and_others_are_remarked() {
        let sights = [
            sight("a.example", Scheme::Http, "192.0.2.1", Verdict::Visible),
            sight("www.a.example", Scheme::Http, "192.0.2.1", Verdict::Status(404)),
        ];
        assert!(!judge(&sights, &required(&["a.example", "www.a.example"]), "/x").visible);
        let mut hosts = required(&["a.example", "www.a.example"]);
        hosts[1].is_required = false;
        let judged = judge(&sights, &hosts, "/x");
        assert!(judged.visible && judged.explanation.unwrap().contains("if the certificate is also for it"));
        assert!(!judge(&[], &required(&["a.example"]), "/x").visible, "nothing seen is never good");
    }
}
