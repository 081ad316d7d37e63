use std::time::Instant;

use serde_json::json;

use super::*;

fn run(text: &str, input: Value) -> Result<Vec<Value>, String> {
    let query = Query::compile(text, &["fqdn", "value"])?;
    let variables = Variables::from([("fqdn", json!("_dv.example.com")), ("value", json!("abc")), ("record_type", json!("TXT"))]);
    query.run(&input, &variables)
}

fn one(text: &str, input: Value) -> Value {
    let all = run(text, input).unwrap();
    assert_eq!(all.len(), 1, "{text}: {all:?}");
    all.into_iter().next().unwrap()
}

#[test]
fn replies_are_cut_and_reshaped() {
    let reply = json!({"result": [{"id": "a", "name": "x", "content": "\"abc\""}, {"id": "b", "name": "y", "content": "no"}]});
    assert_eq!(one(".result[] | select((.content | unquote) == $value) | .id", reply.clone()), json!("a"));
    assert_eq!(run(".result[] | {id, name}", reply).unwrap()[1], json!({"id": "b", "name": "y"}));
    assert_eq!(
        one("[.errors[] | \"\\(.code) \\(.message)\"] | join(\"; \")", json!({"errors": [{"code": 1, "message": "m"}]})),
        "1 m"
    );
    assert_eq!(one("to_entries[] | select(.value.v == $value) | .key", json!({"9": {"v": "abc"}, "8": {"v": 1}})), "9");
    assert_eq!(one("select(.page < .pages) | {page: (.page + 1)}", json!({"page": 1, "pages": 2})), json!({"page": 2}));
    assert_eq!(one(".a | ltrimstr(\"/x/\") | split(\".\")[0]", json!({"a": "/x/b.c"})), "b");
    assert_eq!(one("@base64d", json!("YWI=")), "ab");
    assert_eq!(one(".a | test(\"^x[0-9]+$\")", json!({"a": "x12"})), true);
    assert_eq!(one("2 * .n", json!({"n": 21})), 42);
    assert_eq!(one(".detail // tojson", json!({"a": 1})), "{\"a\":1}");
    assert_eq!(one(". as {a: $x} | $x + 1", json!({"a": 1})), 2);
    assert_eq!(one("if .a then \"yes\" elif .b then \"b\" else \"no\" end", json!({"b": 1})), "b");
    assert_eq!(one(".n | tonumber", json!({"n": "12"})), 12);
    assert_eq!(one("[.[]?] | length", json!(3)), 0);
    assert_eq!(one("try error(\"x\") catch .", json!(3)), "x");
    assert_eq!(one("{$value}", json!(null)), json!({"value": "abc"}));
}

#[test]
fn large_numbers_are_kept() {
    assert_eq!(one(".id", serde_json::from_str(r#"{"id": 18446744073709551615}"#).unwrap()).to_string(), "18446744073709551615");
    assert_eq!(one(".id", json!({"id": 1.5})), json!(1.5));
}

#[test]
fn xml_shaped_values_have_helpers() {
    let reply =
        json!({"t": "r", "a": {}, "c": [{"t": "e", "a": {"k": "v"}, "c": ["on", "e"]}, "x", {"t": "e", "a": {}, "c": []}]});
    assert_eq!(run("kids(\"e\") | text", reply.clone()).unwrap(), [json!("one"), json!("")]);
    assert_eq!(one(".. | select(.t? == \"e\" and .a.k == \"v\") | text", reply), "one");
}

#[test]
fn a_cname_is_compared_without_its_dot_and_txt_without_its_quotes() {
    let query = Query::compile("bare == $value", &["value"]).unwrap();
    let holds = |kind: &str, value: &str, content: &str| {
        query.holds(&json!(content), &Variables::from([("value", json!(value)), ("record_type", json!(kind))]))
    };
    assert!(holds("CNAME", "a.example", "A.example."));
    assert!(!holds("TXT", "a.example", "a.example."));
    assert!(holds("TXT", "a", "\"a\""));
}

#[test]
fn what_is_not_allowed_is_named() {
    for (text, named) in [
        ("env.HOME", "`env`"),
        ("$ENV.HOME", "`$ENV`"),
        ("input", "`input`"),
        ("[inputs]", "`inputs`"),
        ("halt", "`halt`"),
        ("halt_error", "`halt_error`"),
        ("debug", "`debug`"),
        ("stderr", "`stderr`"),
        ("now", "`now`"),
        ("def f: f; f", "`def`"),
        ("reduce .[] as $x (0; . + $x)", "`reduce`"),
        ("foreach .[] as $x (0; . + $x)", "`foreach`"),
        ("label $x | break $x", "`label`"),
        ("range(10)", "`range`"),
        ("repeat(.)", "`repeat`"),
        ("recurse", "`recurse`"),
        ("[limit(3; .[])]", "`limit`"),
        ("until(false; .)", "`until`"),
        ("while(true; .)", "`while`"),
        ("getpath([\"a\"])", "`getpath`"),
        ("path(..)", "`path`"),
        ("paths", "`paths`"),
        (".a = 1", "assignments"),
        (".a |= 1", "assignments"),
        ("walk(.)", "`walk`"),
        ("combinations", "`combinations`"),
        ("test(.pattern)", "regular expression"),
        ("main__", "`main__`"),
        ("tick__", "`tick__`"),
        ("strptime(\"%Y\")", "`strptime`"),
        ("$nowhere", "`$nowhere`"),
        ("selct(.a)", "did you mean `select`"),
        ("include \"x\"; .", "jq"),
        (".a |", "expected"),
        (".a)", "expected"),
        ("\"abc", "expected"),
    ] {
        let error = Query::compile(text, &["value"]).expect_err(text);
        assert!(error.contains(named), "{text}: {error}");
    }
    assert!(Query::compile(&".a|".repeat(700), &[]).unwrap_err().contains("longer"));
    assert!(Query::compile(&format!("{}.{}", "(".repeat(40), ")".repeat(40)), &[]).unwrap_err().contains("nests"));
}

#[test]
fn a_query_ends_and_stays_small() {
    let wide: Value = (0..400).collect::<Vec<i32>>().into();
    let doubling = vec!["[., .]"; 40].join(" | ");
    let strings = vec![". + ."; 60].join(" | ");
    for (text, input) in [
        // 400^5 turns, once open and once behind `?`.
        (".[] as $a | .[] as $b | .[] as $c | .[] as $d | .[] | select(. < 0)", wide.clone()),
        ("[(.[] as $a | .[] as $b | .[] as $c | .[] as $d | .[] | select(. < 0))?]", wide.clone()),
        ("[.[] as $a | (.[] as $b | (.[] as $c | (.[] as $d | .[])?)?)?] | length", wide),
        (doubling.as_str(), json!(1)),
        (&format!("{doubling} | tojson"), json!(1)),
        (&format!("{} | .[0]", vec!["{a: ., b: .}"; 40].join("|")), json!(1)),
        (strings.as_str(), json!("0123456789")),
        (
            "(.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.)",
            json!(1),
        ),
        ("\"x\" * 1000000000", json!(1)),
        ("fromjson", json!("[".repeat(100_000))),
        ("tonumber", json!("[".repeat(100_000))),
    ] {
        let start = Instant::now();
        let outcome = run(text, input);
        assert!(outcome.is_err() || outcome.as_ref().is_ok_and(|all| all.len() < 3), "{text}");
        assert!(start.elapsed().as_secs() < 10, "{text}: {:?}", start.elapsed());
    }
}

#[test]
fn a_query_that_fails_does_not_hold() {
    let query = Query::compile(".a.b == 1", &[]).unwrap();
    assert!(!query.holds(&json!("text"), &Variables::new()));
    assert!(query.holds(&json!({"a": {"b": 1}}), &Variables::new()));
}
