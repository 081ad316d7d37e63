//! Every built-in manifest against its examples.

use super::{
    super::{builtin, model::Proof, replay},
    shipped,
};

/// The examples of each built-in manifest.
const EXAMPLES: &[(&str, &str)] = &[
    ("alidns", include_str!("../../../../tests/providers/alidns.toml")),
    ("cloudflare", include_str!("../../../../tests/providers/cloudflare.toml")),
    ("desec", include_str!("../../../../tests/providers/desec.toml")),
    ("digitalocean", include_str!("../../../../tests/providers/digitalocean.toml")),
    ("gandi", include_str!("../../../../tests/providers/gandi.toml")),
    ("powerdns", include_str!("../../../../tests/providers/powerdns.toml")),
    ("route53", include_str!("../../../../tests/providers/route53.toml")),
    ("tencentcloud", include_str!("../../../../tests/providers/tencentcloud.toml")),
];

/// Without these no manifest is built in.
const NEEDED: &[&str] = &["create", "second-value", "delete", "not-found", "bad-credentials"];

#[tokio::test]
async fn every_built_in_manifest_does_as_its_examples_say() {
    let mut failures = Vec::new();
    for (id, _) in builtin() {
        let manifest = shipped(id);
        assert_eq!(manifest.id(), *id);
        let (_, examples) = EXAMPLES.iter().find(|(known, _)| known == id).unwrap_or_else(|| panic!("{id} has no examples"));
        let outcomes = replay(&manifest, examples, &format!("tests/providers/{id}.toml")).await.unwrap();
        for outcome in &outcomes {
            if let Some(why) = &outcome.failure {
                failures.push(format!("{id}: {}: {why}", outcome.name));
            }
        }
        for kind in NEEDED {
            assert!(outcomes.iter().any(|outcome| outcome.kind == *kind), "{id} has no example of kind `{kind}`");
        }
        let (_, text) = builtin().iter().find(|(known, _)| known == id).unwrap();
        if text.contains("\nnext = ") {
            assert!(outcomes.iter().any(|outcome| outcome.kind == "paging"), "{id} pages, but has no example of it");
        }
        let best = outcomes.iter().map(|outcome| outcome.proof.as_str()).max_by_key(|proof| rank(proof)).unwrap();
        assert_eq!(rank(best), manifest.plan.outline.proof as usize, "{id}: `proof` must be that of its best example, {best}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn rank(proof: &str) -> usize {
    let all = ["derived", "vendor-sample", "vendor-specification", "real-server"];
    assert_eq!(Proof::RealServer as usize, 3);
    all.iter().position(|known| *known == proof).unwrap()
}

#[test]
fn every_built_in_manifest_says_what_users_need() {
    for (id, _) in builtin() {
        let description = shipped(id).describe();
        assert!(description.docs.is_some(), "{id}: docs");
        assert_eq!(description.origin, "built-in manifest");
        for credential in &description.credentials {
            assert!(credential.help.is_some(), "{id}: help of {}", credential.name);
            assert!(!credential.familiar.is_empty(), "{id}: familiar variables of {}", credential.name);
        }
        assert!(description.credentials.iter().any(|credential| credential.secret), "{id}");
        assert!(description.capabilities.usual_delay.is_some(), "{id}: propagation");
        assert_eq!(description.capabilities.experimental, *id == "gandi", "{id}");
    }
}

#[tokio::test]
async fn an_example_that_does_not_fit_is_reported() {
    let manifest = shipped("desec");
    let (_, examples) = EXAMPLES.iter().find(|(id, _)| *id == "desec").unwrap();
    for (right, wrong, said) in [
        ("ttl = 3600, records", "ttl = 60, records", "expected was"),
        ("Token desec-token", "Token another", "the header `Authorization` is another"),
        ("PUT /domains/example.com/rrsets/", "POST /domains/example.com/rrsets/", "expected was `POST"),
        ("kind = \"credentials\"", "kind = \"rights\"", "of kind credentials"),
        ("error = \"Invalid token.\"", "error = \"something\"", "does not say"),
        ("outcome = \"absent\"", "outcome = \"present\"", "not as Present"),
    ] {
        let outcomes = replay(&manifest, &examples.replace(right, wrong), "x").await.unwrap();
        let failures: Vec<String> = outcomes.into_iter().filter_map(|outcome| outcome.failure).collect();
        assert!(failures.iter().any(|why| why.contains(said)), "{wrong}: {failures:?}");
    }
    let unused = format!("{examples}\n[[case.exchange]]\nrequest = \"GET /never\"\n");
    let outcomes = replay(&manifest, &unused, "x").await.unwrap();
    assert!(outcomes.last().unwrap().failure.as_ref().unwrap().contains("never asked"));
    let error = replay(&manifest, &examples.replace("[[case]]\nname", "[[case]]\nnmae"), "x.toml").await.unwrap_err();
    assert!(error.to_string().starts_with("x.toml:4:1: unknown field `nmae`"), "{error}");
}
