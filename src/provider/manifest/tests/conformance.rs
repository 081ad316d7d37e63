//! Every built-in manifest against its examples.

use std::{fs, path::PathBuf};

use super::{
    super::{Manifest, builtin, replay},
    shipped,
};
use crate::provider::{Capabilities, description::Proof};

/// A folder of the project, read when the tests run, so that a manifest is tried without a build.
pub(super) fn folder(name: &str) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    root.join(name)
}

/// Id and text of every file `<id>.toml` in a folder of the project.
pub(super) fn files(name: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn examples(id: &str) -> String {
    let path = folder("tests/providers").join(format!("{id}.toml"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{id} has no examples: {}: {error}", path.display()))
}

/// The kinds of example without which no manifest is built in, as far as the service can do it.
fn needed(can: &Capabilities) -> Vec<&'static str> {
    let mut kinds = vec!["create", "bad-credentials"];
    if can.several_values {
        kinds.push("second-value");
    }
    if can.removal {
        kinds.extend(["delete", "not-found"]);
    }
    kinds
}

#[tokio::test]
async fn every_manifest_does_as_its_examples_say() {
    let only = std::env::var("DV_TEST_MANIFEST").unwrap_or_default();
    let mut failures = Vec::new();
    for (id, text) in files("providers").into_iter().filter(|(id, _)| only.is_empty() || only.split(',').any(|one| one == id)) {
        match Manifest::parse(&text, &format!("providers/{id}.toml"), true) {
            Ok(manifest) => failures.extend(faults(&id, &text, &manifest).await),
            Err(error) => failures.push(error.to_string()),
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// What is wrong with one manifest and its examples.
async fn faults(id: &str, text: &str, manifest: &Manifest) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            faults.push(format!("{id}: {what}"));
        }
    };
    let outcomes = match replay(manifest, &examples(id), &format!("tests/providers/{id}.toml")).await {
        Ok(outcomes) => outcomes,
        Err(error) => return vec![error.to_string()],
    };
    for outcome in &outcomes {
        let why = outcome.failure.as_ref().map(|failure| failure.why.as_str()).unwrap_or_default();
        expect(outcome.failure.is_none(), &format!("{}: {why}", outcome.name));
    }
    let has = |kind: &str| outcomes.iter().any(|outcome| outcome.kind == kind);
    let description = manifest.describe();
    for kind in needed(&description.capabilities) {
        expect(has(kind), &format!("no example of kind `{kind}`"));
    }
    expect(!text.contains("\nnext = ") || has("paging"), "it pages, but has no example of kind `paging`");
    let best = outcomes.iter().map(|outcome| outcome.proof).max().unwrap_or_default();
    expect(Some(best) == description.proof, &format!("`proof` must be that of its best example, {best}"));

    expect(manifest.id() == id, "the file has another name than the id");
    expect(description.docs.is_some(), "`docs` is missing");
    expect(description.capabilities.usual_delay.is_some(), "`propagation` is missing");
    expect(description.capabilities.experimental == (best == Proof::Derived), "only derived examples make it experimental");
    expect(description.credentials.iter().any(|credential| credential.secret), "no credential is a secret");
    for credential in &description.credentials {
        expect(credential.help.is_some(), &format!("credential {} has no `help`", credential.name));
    }
    faults
}

#[test]
fn every_manifest_of_the_folder_is_built_in() {
    let built_in: Vec<(String, String)> = builtin().iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect();
    assert!(built_in == files("providers"));
    let with_manifest: Vec<String> = built_in.into_iter().map(|(id, _)| id).collect();
    let with_examples: Vec<String> = files("tests/providers").into_iter().map(|(id, _)| id).collect();
    assert_eq!(with_manifest, with_examples);
}

#[tokio::test]
async fn an_example_that_does_not_fit_is_reported() {
    let manifest = shipped("desec");
    let examples = examples("desec");
    for (right, wrong, said) in [
        ("ttl = 3600, records", "ttl = 60, records", "expected was"),
        ("Token desec-token", "Token another", "the header `Authorization` is another"),
        ("PUT /domains/example.com/rrsets/", "POST /domains/example.com/rrsets/", "expected was `POST"),
        ("kind = \"credentials\"", "kind = \"rights\"", "of kind credentials"),
        ("error = \"Invalid token.\"", "error = \"something\"", "does not say"),
        ("outcome = \"absent\"", "outcome = \"present\"", "not as Present"),
    ] {
        let outcomes = replay(&manifest, &examples.replace(right, wrong), "x").await.unwrap();
        let failures: Vec<String> =
            outcomes.into_iter().filter_map(|outcome| outcome.failure).map(|failure| failure.why).collect();
        assert!(failures.iter().any(|why| why.contains(said)), "{wrong}: {failures:?}");
    }
    let unused = format!("{examples}\n[[case.exchange]]\nrequest = \"GET /never\"\n");
    let outcomes = replay(&manifest, &unused, "x").await.unwrap();
    let failure = outcomes.last().unwrap().failure.clone().unwrap();
    assert!(failure.why.contains("never asked"));
    assert_eq!(failure.difference.unwrap().expected, ["GET /never"]);
    let error = replay(&manifest, &examples.replace("[[case]]\nname", "[[case]]\nnmae"), "x.toml").await.unwrap_err();
    assert!(error.to_string().starts_with("x.toml:4:1: unknown field `nmae`"), "{error}");
}
