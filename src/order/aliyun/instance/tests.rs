use super::*;

fn state(json: &str) -> OrderState {
    match stage(&Fields::of_json(json)).unwrap() {
        Stage::State(state) => state,
        Stage::Issued => panic!("issued: {json}"),
    }
}

fn word(json: &str) -> String {
    state(json).word().to_owned()
}

fn is_issued(json: &str) -> bool {
    matches!(stage(&Fields::of_json(json)).unwrap(), Stage::Issued)
}

fn challenges(json: &str) -> Vec<Challenge> {
    match state(json) {
        OrderState::Checking(challenges) => challenges,
        other => panic!("{other:?}"),
    }
}

const DOCUMENTED: &str = r#"{"RequestId":"B2CE1D02","InstanceId":"cas_dv-cn-123","InstanceType":"TEST","Status":"pending","Domain":"www.example.com","ValidationMethod":"DNS",
 "DomainValidationList":[{"Domain":"www.example.com","RootDomain":"example.com","ValidationType":"TXT","ValidationKey":"_dnsauth.www","ValidationValue":"202603010000x"}],
 "AverageWaitingTime":"120","PendingResult":""}"#;

#[test]
fn the_documented_sample_is_a_challenge_below_its_root() {
    let challenges = challenges(DOCUMENTED);
    assert_eq!(challenges.len(), 1);
    let challenge = &challenges[0];
    assert_eq!((challenge.name.as_str(), challenge.value.as_str()), ("_dnsauth.www", "202603010000x"));
    assert_eq!(challenge.root_domain, Some(Name::parse("example.com").unwrap()));
    assert_eq!(challenge.domain, Some(Name::parse("www.example.com").unwrap()));
    assert_eq!(challenge.kind, ChallengeKind::Record(RecordType::Txt));
    assert_eq!(note(&Fields::of_json(DOCUMENTED)).as_deref(), Some("usually takes 120 s"));
}

#[test]
fn pending_is_never_issued_whatever_the_certificate_says() {
    let renewal = r#"{"Status":"pending","CertificateStatus":"issued","CertificateId":1}"#;
    assert_eq!(word(renewal), "preparing");
    assert_eq!(word(&DOCUMENTED.replacen("\"Status\"", "\"CertificateStatus\":\"issued\",\"Status\"", 1)), "checking");
}

#[test]
fn issued_needs_both_words() {
    assert!(is_issued(r#"{"Status":"normal","CertificateStatus":"issued"}"#));
    assert!(is_issued(r#"{"Status":"willExpire","CertificateStatus":"issued"}"#));
    assert!(is_issued(r#"{"Status":"normal","CertificateStatus":"willExpire"}"#));
    assert!(is_issued(r#"{"CertificateStatus":"issued"}"#));
    assert_eq!(word(r#"{"Status":"normal"}"#), "normal");
    assert_eq!(word(r#"{"Status":"normal","CertificateStatus":"odd"}"#), "normal");
    assert_eq!(word(r#"{"Status":"Frozen","CertificateStatus":"issued"}"#), "Frozen");
}

#[test]
fn what_ended_without_a_certificate_is_told_apart() {
    assert_eq!(word(r#"{"Status":"inactive"}"#), "not-submitted");
    assert_eq!(word(r#"{"Status":"inactive","CertificateStatus":"issued"}"#), "not-submitted");
    for status in ["closed", "refund", "expired", "EXPIRED"] {
        assert_eq!(word(&format!(r#"{{"Status":"{status}","CertificateStatus":"issued"}}"#)), "failed", "{status}");
    }
    for status in ["revoked", "expired"] {
        assert_eq!(word(&format!(r#"{{"Status":"normal","CertificateStatus":"{status}"}}"#)), "failed", "{status}");
    }
    for end in ["1801324800", "1801324800000", "\"1801324800000\""] {
        let OrderState::Failed { reason } = state(&format!(r#"{{"Status":"expired","InstanceEndTime":{end}}}"#)) else {
            panic!()
        };
        assert_eq!(reason, "the instance is `expired`, its end 2027-01-30T16:00Z");
    }
    assert!(stage(&Fields::of_json(r#"{"RequestId":"R"}"#)).unwrap_err().message().contains("`Status`"));
}

fn pending(entries: &str) -> String {
    format!(r#"{{"Status":"pending","DomainValidationList":[{entries}]}}"#)
}

#[test]
fn several_entries_are_several_challenges_and_unfinished_ones_wait() {
    let two = pending(
        r#"{"Domain":"example.com","RootDomain":"example.com","ValidationType":"TXT","ValidationKey":"@","ValidationValue":"a"},
           {"Domain":"*.example.org","RootDomain":"example.org","ValidationType":"cname","ValidationKey":"_d","ValidationValue":"b.example"},
           {"Domain":"c.example","RootDomain":"c.example","ValidationType":"TXT","ValidationKey":"","ValidationValue":"c"},
           {"Domain":"d.example","RootDomain":"d.example","ValidationType":"TXT","ValidationKey":"_d","ValidationValue":""}"#,
    );
    let challenges = challenges(&two);
    assert_eq!(challenges.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["@", "_d", "@"]);
    assert_eq!(challenges[1].kind, ChallengeKind::Record(RecordType::Cname));
    assert_eq!(word(&pending(r#"{"Domain":"d.example","ValidationType":"TXT","ValidationKey":"_d"}"#)), "preparing");
    assert_eq!(word(&pending("")), "preparing");
    assert_eq!(word(r#"{"Status":"pending","DomainValidationList":null}"#), "preparing");
}

#[test]
fn a_file_is_found_whichever_way_round_it_comes() {
    for (key, value) in [
        ("/.well-known/pki-validation/fileauth.txt", "content"),
        ("content", "/.well-known/pki-validation/fileauth.txt"),
        ("example.com/.well-known/pki-validation/fileauth.txt", "content"),
    ] {
        for validation_type in ["HTTP", "FILE"] {
            let challenges = challenges(&pending(&format!(
                r#"{{"Domain":"example.com","ValidationType":"{validation_type}","ValidationKey":"{key}","ValidationValue":"{value}"}}"#
            )));
            assert_eq!(challenges[0].kind, ChallengeKind::File);
            assert_eq!(challenges[0].name, "example.com/.well-known/pki-validation/fileauth.txt");
            assert_eq!(challenges[0].value, "content");
        }
    }
}

#[test]
fn an_unknown_type_is_waited_out_unless_another_is_known() {
    let unknown = r#"{"ValidationType":"EMAIL","ValidationKey":"a","ValidationValue":"b"}"#;
    assert_eq!(word(&pending(unknown)), "pending with validation type EMAIL");
    let known = r#"{"ValidationType":"TXT","RootDomain":"example.com","ValidationKey":"a","ValidationValue":"b"}"#;
    assert_eq!(challenges(&pending(&format!("{unknown},{known}"))).len(), 1);
}

#[test]
fn what_the_ca_said_is_for_people() {
    let note = |json: &str| note(&Fields::of_json(json));
    assert_eq!(
        note(r#"{"Status":"pending","PendingResult":"in review","AverageWaitingTime":120}"#).as_deref(),
        Some("in review; usually takes 120 s")
    );
    assert_eq!(note(r#"{"Status":"normal","AverageWaitingTime":"120"}"#), None);
}

#[test]
fn rows_become_summaries() {
    let page = Fields::of_json(
        r#"{"InstanceList":[{"InstanceId":"cas-cn-1","Status":"pending","CertificateStatus":"issued","Domain":"a.example,b.example","CertificateType":"DV"},
            {"InstanceId":"cas-cn-2","Status":"normal","CertificateType":"EV"},{"InstanceId":"cas-cn-3","Status":"inactive"}],"TotalCount":3}"#,
    );
    let rows: Vec<OrderSummary> = page.rows("InstanceList").iter().filter_map(summary).map(|row| row.summary).collect();
    let facts: Vec<_> = rows.iter().map(|row| (row.id.as_str(), row.is_final, row.is_domain_validated)).collect();
    assert_eq!(facts, [("cas-cn-1", false, true), ("cas-cn-2", true, false), ("cas-cn-3", false, true)]);
    assert_eq!(rows[0].domains.len(), 2);
}
