//! The cases of the page: each in a state of the laboratory, under a policy.

use std::time::Duration;

use dv_verify::{
    propagation::{Authority, Expectation, Policy, Propagation, Round, Verdict},
    record::Record,
};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    Laboratory, discovering, record,
    servers::NEGATIVE_TTL,
    table::{differences, rows},
};
use crate::interop::servers::run;

/// How long a case is waited for: a server that refuses is out after three rounds, within two seconds.
const WAIT: Duration = Duration::from_secs(5);

use Policy::{All, Any, Quorum, Reachable};

/// What, at which name, which value, under which policies.
type Case = (&'static str, &'static str, &'static str, &'static [Policy]);

/// With every server up. Before: `_dv.lag`, `_dv.node` and `_dv.among` got their value, `_dv.old` another one, and `_dv.withdrawn`
/// lost its value, all at BIND; NSD followed, Knot did not.
const ONE_LAGS: &[Case] = &[
    ("everybody shows it", "_dv.all.example.test", "ours", &[Reachable, All]),
    ("one secondary lags", "_dv.lag.example.test", "ours", &[Reachable, All, Quorum(3), Quorum(2), Any]),
    ("one secondary has an older value", "_dv.old.example.test", "ours", &[Reachable, Quorum(2)]),
    ("one secondary lacks our value among others", "_dv.among.example.test", "ours", &[Reachable, Any]),
    ("one secondary has the name, but no record there", "_dv.node.example.test", "ours", &[Reachable]),
    ("withdrawn, but one secondary still shows it", "_dv.withdrawn.example.test", "ours", &[Reachable, Any]),
    ("two secondaries never got the zone", "_dv.untransferred.test", "ours", &[Reachable, All]),
    ("two servers do not know the zone", "_dv.refused.test", "ours", &[Reachable, All, Quorum(2)]),
    ("300 values, ours among them", "_dv.many.example.test", "value number 299", &[Reachable]),
    ("300 values without ours", "_dv.many.example.test", "value number 300", &[Reachable]),
    ("600 bytes in three strings", "_dv.long.example.test", LONG, &[Reachable]),
    ("the value with quotes in it", "_dv.quoted.example.test", "ours", &[Reachable]),
    ("the value in capitals", "_dv.case.example.test", "ours", &[Reachable]),
    ("CNAME to another zone, looked at its beginning", "_dv.alias.example.test", "ours", &[Reachable]),
    ("CNAME to another zone, looked at its end", "_dv.end.other.test", "ours", &[Reachable]),
    ("wildcard CNAME, nothing written yet", "_dv.new.wild.example.test", "ours", &[Reachable]),
    ("wildcard CNAME, the record written beside it", "_dv.written.wild.example.test", "ours", &[Reachable]),
    ("wildcard TXT with another value", "_dv.new.text.example.test", "ours", &[Reachable]),
    ("wildcard TXT with the value", "_dv.new.text.example.test", "wild", &[Reachable]),
    ("empty non-terminal", "down.below.example.test", "ours", &[Reachable]),
    ("below an empty non-terminal", "_dv.deep.down.below.example.test", "ours", &[Reachable]),
    ("delegated sub-zone", "_dv.child.example.test", "ours", &[Reachable]),
    ("in a sub-zone, not there", "_dv.none.child.example.test", "ours", &[Reachable]),
    ("somebody asked the resolver too early", "_dv.early.example.test", "ours", &[Quorum(2)]),
    ("signed zone", "_dv.signed.test", "ours", &[Reachable]),
    ("signed zone, the signature is wrong", "_dv.bogus.test", "ours", &[Reachable]),
    ("signed zone, the signature expired", "_dv.expired.test", "ours", &[Reachable]),
];

/// After Knot was ended.
const ONE_DOWN: &[Case] = &[
    ("one secondary is down, the other shows it", "_dv.lag.example.test", "ours", &[Reachable, All, Quorum(2), Any]),
    ("one secondary is down, nobody has it", "_dv.none.example.test", "ours", &[Reachable, Any]),
];

/// After Knot was started again.
const BACK: &[Case] = &[("the secondary is back, with the change", "_dv.lag.example.test", "ours", &[Reachable, All])];

/// More than two strings hold.
const LONG: &str = match str::from_utf8(&[b'x'; 600]) {
    Ok(text) => text,
    Err(_) => panic!(),
};

#[tokio::test]
async fn each_case_has_the_verdicts_the_sentence_and_the_exit_code_of_the_page() {
    let Some(mut laboratory) = Laboratory::start() else { return };
    // Somebody else asks the resolver before the record is there.
    assert!(ask_resolver(&laboratory, "_dv.early.example.test").contains("status: NXDOMAIN"));
    for change in [
        "add _dv.lag.example.test 60 TXT ours",
        "add _dv.early.example.test 60 TXT ours",
        "add _dv.node.example.test 60 TXT ours",
        "add _dv.among.example.test 60 TXT ours",
        "delete _dv.old.example.test TXT",
        "add _dv.old.example.test 60 TXT ours",
        "delete _dv.withdrawn.example.test TXT",
    ] {
        laboratory.update("example.test", change);
    }
    laboratory.update("signed.test", "add _dv.signed.test 60 TXT ours");
    laboratory.let_nsd_follow("example.test");
    let mut so = outcomes(&laboratory, ONE_LAGS).await;
    let mut agreed = binary_agrees(&laboratory, ONE_LAGS, &so);
    the_binary_says_who_is_behind(&laboratory);
    laboratory.end_knot();
    let down = outcomes(&laboratory, ONE_DOWN).await;
    agreed += binary_agrees(&laboratory, ONE_DOWN, &down);
    so.extend(down);
    laboratory.start_knot();
    so.extend(outcomes(&laboratory, BACK).await);
    assert!(agreed >= 25, "{agreed}");
    the_binary_names_broken_signatures(&laboratory);
    let said = rows(include_str!("../../docs/propagation.md"), "<!-- cases: real servers -->");
    let differences = differences(&said, &so, &[4, 5]);
    assert!(differences.is_empty(), "docs/propagation.md (-) and what is so (+) differ:\n{differences}");
    assert_eq!(said.len(), so.len());
    assert!(so.len() >= 30);
}

/// Runs `dv-verify check` for the cases in `example.test`, and compares its exit code and conclusion with those of the library. How many
/// those were.
fn binary_agrees(laboratory: &Laboratory, cases: &[Case], so: &[Vec<String>]) -> usize {
    let servers = [laboratory.bind(), laboratory.knot(), laboratory.nsd()];
    let stated = format!("example.test={}", servers.map(|address| address.to_string()).join(","));
    let resolver = laboratory.resolver().to_string();
    let of_zone = |case: &Case| case.1.ends_with(".example.test") && !case.1.ends_with(".child.example.test");
    std::thread::scope(|scope| {
        let each: Vec<_> = cases
            .iter()
            .filter(|case| of_zone(case))
            .flat_map(|case| case.3.iter().map(move |policy| (case, shown(*policy))))
            .map(|(case, policy)| {
                let (stated, resolver) = (&stated, &resolver);
                scope.spawn(move || {
                    let (what, owner, value, _) = *case;
                    let arguments = ["check", owner, value, "--authority", stated, "--resolver", resolver, "--policy", &policy];
                    let (code, text) = binary(&arguments);
                    let text = servers
                        .iter()
                        .zip(["BIND", "Knot", "NSD"])
                        .fold(text, |text, (at, label)| text.replace(&at.to_string(), label));
                    let row = so.iter().find(|row| row[0] == what && row[1] == policy).unwrap();
                    let conclusion = match (row[3].as_str(), row[4].as_str()) {
                        ("0", "") => "visible: every name server shows the value".to_owned(),
                        ("0", risk) => format!("visible; {risk}"),
                        (_, why) => format!("not visible: {why}"),
                    };
                    // A server that is down fails in its own time: what a look sees of that differs from run to run.
                    let conclusion = conclusion.split(" (failed").next().unwrap().to_owned();
                    assert_eq!(code.to_string(), row[3], "{what}, {policy}: {text}");
                    // Which of many other values are shown is the server's choice of the moment.
                    let is_telling = !what.starts_with("300 values without");
                    assert!(!is_telling || text.contains(&conclusion), "{what}, {policy}: `{conclusion}` is not in\n{text}");
                })
            })
            .collect();
        let count = each.len();
        for run in each {
            run.join().unwrap();
        }
        count
    })
}

/// Exit code, and what the binary says on both channels.
fn binary(arguments: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dv-verify"))
        .args(arguments)
        .env_clear()
        .env("HOME", std::env::temp_dir())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// `check` and `explain` say which server serves an older serial, and by how much; `check` shows all serials then, and only then.
fn the_binary_says_who_is_behind(laboratory: &Laboratory) {
    let servers = [laboratory.bind(), laboratory.knot(), laboratory.nsd()].map(|address| address.to_string());
    let stated = format!("example.test={}", servers.join(","));
    let resolver = laboratory.resolver().to_string();
    let options = ["--authority", &stated, "--resolver", &resolver];
    let asked = |command: &str, owner: &str, more: &[&str]| binary(&[&[command, owner, "ours"][..], &options, more].concat()).1;
    let look: serde_json::Value =
        serde_json::from_str(asked("check", "_dv.lag.example.test", &["--output", "json"]).lines().next().unwrap()).unwrap();
    let serial = |server: &String| {
        let authorities = look["authorities"].as_array().unwrap();
        let found = authorities.iter().find(|known| known["address"] == **server).unwrap();
        found["serial"].as_u64().unwrap_or_else(|| panic!("no serial: {found}"))
    };
    let [newest, behind, _] = servers.each_ref().map(serial);
    assert!(newest > behind && serial(&servers[2]) == newest, "{look}");
    let further = newest - behind;
    let sentence = format!("{} is behind: it serves serial {behind}, the newest is {newest}, {further} further", servers[1]);
    let text = asked("check", "_dv.lag.example.test", &[]);
    assert!(text.contains(&sentence) && text.contains("SERIAL"), "{sentence}: {text}");
    assert!(asked("explain", "_dv.lag.example.test", &[]).contains(&sentence), "{sentence}");
    let text = asked("check", "_dv.all.example.test", &[]);
    assert!(!text.contains("SERIAL") && !text.contains("is behind"), "{text}");
}

/// `check` warns, `explain` blocks, and both name the resolver's reason; of expired signatures also when they expired.
fn the_binary_names_broken_signatures(laboratory: &Laboratory) {
    let resolver = laboratory.resolver().to_string();
    for (zone, reason) in [("bogus.test", "bogus.test are bogus"), ("expired.test", "expired on 2020-02-01 at 00:00 UTC")] {
        let stated = format!("{zone}={}", laboratory.bind());
        let owner = format!("_dv.{zone}");
        let options = ["--authority", &stated, "--resolver", &resolver];
        let (code, text) = binary(&[&["check", &owner, "ours"][..], &options].concat());
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("(SERVFAIL, EDE 6 DNSSEC Bogus") && text.contains("a CA that validates them fails too"), "{text}");
        let (code, text) = binary(&[&["explain", &owner, "ours"][..], &options].concat());
        assert_eq!(code, 5, "{text}");
        assert!(text.contains("blocks: DNSSEC: ") && text.contains(reason) && text.contains("EDE 6 DNSSEC Bogus"), "{text}");
    }
}

async fn outcomes(laboratory: &Laboratory, cases: &[Case]) -> Vec<Vec<String>> {
    let each = cases.iter().flat_map(|case| case.3.iter().map(|policy| outcome(laboratory, case, *policy)));
    join_all(each).await
}

/// One look, then a wait of its own; a row of the table.
async fn outcome(laboratory: &Laboratory, case: &Case, policy: Policy) -> Vec<String> {
    let (what, owner, value, _) = *case;
    let expected = record(owner, value);
    let round = discovering(laboratory, policy).look(&expected).await.unwrap();
    let patient = discovering(laboratory, policy);
    let waited = patient.wait(&expected, &Expectation::default(), Instant::now() + WAIT, &mut |_| {}).await;
    assert_eq!(waited.is_ok(), round.visible, "{what}, {policy:?}: a look and a wait disagree: {round:?} {waited:?}");
    assert!(!round.visible || is_served(&round, policy), "{what}, {policy:?}: green without the value: {round:?}");
    let after = if round.visible { after(&patient, laboratory, &expected).await } else { String::new() };
    let exit_code = waited.as_ref().map_or_else(|error| error.kind().exit_code(), |_| 0);
    let said: Vec<String> =
        round.observations.iter().map(|seen| format!("{} {}", label(laboratory, &seen.authority), seen.verdict.word())).collect();
    let sentence = labelled(laboratory, &round);
    vec![what.to_owned(), shown(policy), said.join(", "), exit_code.to_string(), sentence, after]
}

/// Whatever the page says: green needs the value at as many servers as the policy demands, none that answers may lack it under
/// `reachable`, and none at all under `all`.
fn is_served(round: &Round, policy: Policy) -> bool {
    let showing = round.observations.iter().filter(|seen| seen.verdict == Verdict::Visible).count();
    let lacking = round.observations.iter().filter(|seen| seen.verdict != Verdict::Visible && !seen.verdict.is_failure()).count();
    match policy {
        Reachable => showing >= 1 && lacking == 0,
        All => showing == round.observations.len(),
        Quorum(wanted) => showing >= wanted,
        Any => showing >= 1,
    }
}

/// What the validating resolver says once the authorities show the record.
async fn after(propagation: &Propagation, laboratory: &Laboratory, wanted: &Record) -> String {
    let reports = propagation.resolvers(wanted).await;
    assert_eq!(reports[0].resolver, laboratory.resolver().to_string());
    let denied = matches!(reports[0].verdict, Verdict::NxDomain | Verdict::Missing);
    let most = Duration::from_secs(NEGATIVE_TTL);
    let plausible = reports[0].negative_for.is_some_and(|left| left > Duration::from_secs(30) && left <= most);
    assert_eq!(plausible, denied, "{reports:?}");
    reports[0].verdict.sentence()
}

fn shown(policy: Policy) -> String {
    match policy {
        Reachable => "reachable".to_owned(),
        All => "all".to_owned(),
        Quorum(wanted) => format!("quorum={wanted}"),
        Any => "any".to_owned(),
    }
}

fn label(laboratory: &Laboratory, authority: &Authority) -> String {
    let named = [(laboratory.bind(), "BIND"), (laboratory.knot(), "Knot"), (laboratory.nsd(), "NSD")];
    let found = named.iter().find(|(at, _)| *at == authority.address).map(|(_, label)| (*label).to_owned());
    found.unwrap_or_else(|| authority.server.clone())
}

/// The sentence with labels instead of addresses, which differ from run to run.
fn labelled(laboratory: &Laboratory, round: &Round) -> String {
    round
        .observations
        .iter()
        .map(|seen| &seen.authority)
        .fold(round.explanation.clone().unwrap_or_default(), |text, authority| {
            text.replace(&format!("{} ({})", authority.server, authority.address), &label(laboratory, authority))
        })
}

/// Asks the resolver as anybody would.
fn ask_resolver(laboratory: &Laboratory, owner: &str) -> String {
    let (server, port) = (format!("@{}", laboratory.resolver().ip()), laboratory.port.to_string());
    run("dig", &["+noall", "+comments", &server, "-p", &port, owner, "TXT"], "")
}
