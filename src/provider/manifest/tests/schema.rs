//! The JSON schemas for editors know exactly the keys and words that the engine knows. That every file fits them is shown by `tests/sdk`.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::{
    super::{Manifest, replay},
    conformance::folder,
    shipped,
};

const MANIFEST: &str = "manifest.schema.json";
const EXAMPLES: &str = "examples.schema.json";

fn read(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder("docs").join(name)).unwrap()).unwrap()
}

/// The words in backticks behind "expected": serde lists the keys or words that it knows.
fn expected(error: &str) -> BTreeSet<String> {
    let (_, list) = error.split_once("expected").unwrap_or_else(|| panic!("{error}"));
    let list = list.split_once('\n').map_or(list, |(first, _)| first);
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The part of a schema behind these keys, references followed.
fn part<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('/').filter(|key| !key.is_empty()).fold(schema, |at, key| {
        let at = &at[key];
        match at["$ref"].as_str() {
            Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
            None => at,
        }
    })
}

fn keys(schema: &Value, path: &str) -> BTreeSet<String> {
    let properties = part(schema, path)["properties"].as_object().unwrap_or_else(|| panic!("no properties at `{path}`"));
    assert_eq!(part(schema, path)["additionalProperties"], false, "{path}");
    properties.keys().cloned().collect()
}

fn words(schema: &Value, path: &str) -> BTreeSet<String> {
    part(schema, path)["enum"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_schema_of_manifests_has_exactly_the_keys_of_the_engine() {
    let schema = read(MANIFEST);
    let asked = |text: &str| expected(&Manifest::parse(text, "x", true).unwrap_err().to_string());
    let mut seen = BTreeSet::new();
    for (text, path) in [
        ("zz = 1", ""),
        ("[credentials.a]\nzz = 1", "definitions/credential"),
        ("[request]\nzz = 1", "properties/request"),
        ("[sign]\nzz = 1", "properties/sign"),
        ("[clock]\nzz = 1", "properties/clock"),
        ("[login]\nzz = 1", "properties/login"),
        ("[logout]\nzz = 1", "properties/logout"),
        ("[[lookup]]\nzz = 1", "properties/lookup/items"),
        ("[zone]\nzz = 1", "properties/zone"),
        ("[create]\nzz = 1", "properties/create"),
        ("[find]\nzz = 1", "properties/find"),
        ("[find.detail]\nzz = 1", "properties/find/properties/detail"),
        ("[delete]\nzz = 1", "properties/delete"),
        ("[merge]\nzz = 1", "properties/merge"),
        ("[merge.read]\nzz = 1", "properties/merge/properties/read"),
        ("[merge.make]\nzz = 1", "properties/merge/properties/make"),
        ("[merge.write]\nzz = 1", "properties/merge/properties/write"),
        ("[merge.first]\nzz = 1", "properties/merge/properties/first"),
        ("[merge.clear]\nzz = 1", "properties/merge/properties/clear"),
        ("[commit]\nzz = 1", "properties/commit"),
        ("[wait]\nzz = 1", "properties/wait"),
    ] {
        assert_eq!(keys(&schema, path), asked(text), "{path}");
        seen.insert(path.split('/').nth(1).unwrap_or_default().to_owned());
    }
    for section in ["hosts", "credentials"] {
        assert!(schema["properties"][section]["additionalProperties"].is_object());
        seen.insert(section.to_owned());
    }
    let sections = schema["properties"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, it)| it["type"] == "object" || it["items"]["type"] == "object");
    for (section, _) in sections {
        assert!(seen.contains(section), "[{section}] is not compared");
    }
    for (text, path) in [
        ("scope = 'zz'", "properties/scope"),
        ("proof = 'zz'", "properties/proof"),
        ("ambient = 'zz'", "properties/ambient"),
        ("[request]\nreply = 'zz'", "properties/request/properties/reply"),
        ("[sign]\nkind = 'zz'", "properties/sign/properties/kind"),
    ] {
        assert_eq!(words(&schema, path), asked(text), "{path}");
    }
}

#[tokio::test]
async fn the_schema_of_examples_has_exactly_the_keys_of_the_engine() {
    let schema = read(EXAMPLES);
    let manifest = shipped("desec");
    for (text, path, is_word) in [
        ("zz = 1", "", false),
        ("[[case]]\nzz = 1", "properties/case/items", false),
        ("[[case]]\n[case.given]\nzz = 1", "properties/case/items/properties/given", false),
        ("[[case]]\n[case.want]\nzz = 1", "properties/case/items/properties/want", false),
        ("[[case]]\n[[case.exchange]]\nzz = 1", "properties/case/items/properties/exchange/items", false),
        ("[[case]]\ndo = 'zz'", "properties/case/items/properties/do", true),
        ("[[case]]\norigin = 'zz'", "properties/case/items/properties/origin", true),
        ("[[case]]\n[case.want]\noutcome = 'zz'", "properties/case/items/properties/want/properties/outcome", true),
    ] {
        let error = replay(&manifest, text, "x").await.unwrap_err().to_string();
        let known = if is_word { words(&schema, path) } else { keys(&schema, path) };
        assert_eq!(known, expected(&error), "{path}");
    }
}
