//! `providers list|show|new|replay|schema`, from outside.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::context::Ran;

/// The program in a folder of its own, with nothing but what it needs.
fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dv-verify"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", folder.path())
        .env("NO_COLOR", "1")
        .current_dir(folder.path())
        .stdin(Stdio::null());
    command
}

fn run(folder: &TempDir, arguments: &[&str]) -> Ran {
    Ran::of(command(folder, arguments).output().unwrap())
}

/// The ids in the first column.
fn ids(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn the_list_is_searched_by_names_variables_and_name_servers() {
    let home = TempDir::new().unwrap();
    let all = run(&home, &["providers", "list"]).expect(0);
    assert!(ids(&all).len() > 100 && ids(&all).is_sorted(), "{}", all.stdout);
    for (term, id) in [("CF_Token", "cloudflare"), ("nsupdate", "rfc2136"), ("INTERNETX", "autodns"), ("desec.org", "desec")] {
        assert_eq!(ids(&run(&home, &["providers", "list", term]).expect(0)), [id], "{term}");
    }
    let json = run(&home, &["providers", "list", "desec", "--output", "json"]).expect(0);
    let events = json.events();
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["id"], &events[0]["proof"]), (&"desec".into(), &"vendor-sample".into()));
    let none = run(&home, &["providers", "list", "cloudflaer"]).expect(2);
    none.says("no provider has `cloudflaer`").says("did you mean `cloudflare`");
}

#[test]
fn what_a_provider_needs_and_how_far_it_is_proven_is_shown() {
    let home = TempDir::new().unwrap();
    let shown = run(&home, &["providers", "show", "cf"]).expect(0).stdout;
    for part in [
        "Cloudflare (cloudflare)",
        "also known as cf",
        "DV_CLOUDFLARE_API_TOKEN",
        "CF_Token",
        "https://",
        "TTL at least",
        "Proof: ",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let shown = run(&home, &["providers", "show", "duckdns"]).expect(0).stdout;
    assert!(shown.contains("Limits: ") && shown.contains("one value per name"), "{shown}");
    let shown = run(&home, &["providers", "show", "rainyun"]).expect(0).stdout;
    assert!(shown.contains("Experimental: "), "{shown}");
    let json = run(&home, &["providers", "show", "cf", "--output", "json"]).expect(0);
    assert_eq!(json.events()[0]["aliases"], serde_json::json!(["cf"]));
    run(&home, &["providers", "show", "cloudflaer"]).expect(2).says("did you mean `cloudflare`");
}

#[test]
fn a_new_provider_is_a_manifest_whose_examples_replay() {
    let home = TempDir::new().unwrap();
    let url = "https://api.mydns.example/v1";
    let new = run(&home, &["providers", "new", "mydns", "--base-url", url, "--auth", "query", "--records", "sets"]).expect(0);
    assert!(new.stdout.contains("DV_MYDNS_API_KEY=… dv-verify test --provider ./mydns.toml"), "{}", new.stdout);
    let shown = run(&home, &["providers", "show", "./mydns.toml"]).expect(0);
    assert!(shown.stdout.contains("DV_MYDNS_API_KEY") && shown.stdout.contains("Experimental"), "{}", shown.stdout);
    for file in ["mydns.toml", "./mydns.examples.toml"] {
        let replayed = run(&home, &["providers", "replay", file]).expect(0);
        assert!(replayed.stdout.contains("7 examples, 0 failed"), "{}", replayed.stdout);
    }
    let before = fs::read_to_string(home.path().join("mydns.toml")).unwrap();
    run(&home, &["providers", "new", "mydns", "--base-url", url]).expect(2).says("`./mydns.toml` is there already");
    assert_eq!(fs::read_to_string(home.path().join("mydns.toml")).unwrap(), before);
}

#[test]
fn a_new_provider_that_cannot_be_writes_nothing() {
    let home = TempDir::new().unwrap();
    let url = "https://api.mydns.example";
    for (arguments, said) in [
        (&["mydns"][..], "`--base-url URL` is missing"),
        (&[], "an ID is missing"),
        (&["My DNS", "--base-url", url], "`My DNS` cannot be the id"),
        (&["cloudflare", "--base-url", url], "too close to the built-in provider `cloudflare`"),
        (&["mydns", "--base-url", "api.mydns.example"], "is no URL"),
        (&["mydns", "--base-url", "ftp://mydns.example"], "must begin with https://"),
        (&["mydns", "--base-url", url, "--auth", "magic"], "invalid value 'magic'"),
        (&["mydns", "--base-url", url, "--auth-name", "X-Key"], "`--auth-name` goes with"),
        (&["mydns", "--base-url", url, "--auth", "header", "--auth-name", "a b"], "`a b` must be letters"),
        (&["mydns", "--base-url", url, "--folder", "nowhere"], "nowhere/mydns.toml` cannot be written"),
    ] {
        run(&home, &[&["providers", "new"], arguments].concat()).expect(2).says(said);
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn on_a_terminal_a_new_provider_is_asked_for() {
    // `script` of util-linux makes a terminal.
    let Ok(mut child) = Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{} providers new", env!("CARGO_BIN_EXE_dv-verify")))
        .arg("/dev/null")
        .env_remove("DV_CONFIG")
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        assert_ne!(std::env::var("DV_TEST_REQUIRE_SERVERS").as_deref(), Ok("1"), "`script` is not there");
        return;
    };
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let files = ["asked-for.toml", "asked-for.examples.toml"].map(|file| folder.join(file));
    for file in &files {
        let _ = fs::remove_file(file);
    }
    child.stdin.take().unwrap().write_all(b"asked-for\nhttps://api.asked.example\nbasic\n1\nids\nfull\n").unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap()).expect(0);
    assert!(ran.stdout.contains("How does one authenticate?"), "{}", ran.stdout);
    let written = files.map(|file| fs::read_to_string(file).unwrap());
    assert!(written[0].contains("name = \"{{ fqdn }}\"") && written[0].contains("Basic {{"), "{}", written[0]);
}

#[test]
fn an_example_that_fails_shows_both_requests_beside_each_other() {
    let home = TempDir::new().unwrap();
    run(&home, &["providers", "new", "mydns", "--base-url", "https://api.mydns.example"]).expect(0);
    let path = home.path().join("mydns.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("content = \"{{ value }}\"", "data = \"{{ value }}\"")).unwrap();
    let failed = run(&home, &["providers", "replay", "mydns.toml"]).expect(2);
    let row = |left: &str, right: &str| {
        failed.stdout.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == format!("{left} | {right}"))
    };
    assert!(row("\"content\": \"abc\",", "\"data\": \"abc\","), "{}", failed.stdout);
    assert!(failed.stdout.contains("expected") && failed.stdout.contains("6 examples, 2 failed"), "{}", failed.stdout);
    let json = run(&home, &["providers", "replay", "mydns.toml", "--output", "json"]).expect(2);
    let failures: Vec<_> = json.events().into_iter().filter(|case| case["holds"] == false).collect();
    assert_eq!(failures.len(), 2);
    assert_eq!(failures[0]["expected"][0], "POST /zones/z1/records");
}

#[test]
fn a_replay_that_cannot_be_says_why() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("broken.toml"), "id = \"broken\"\ntitel = \"x\"\n").unwrap();
    run(&home, &["providers", "replay", "broken.toml"]).expect(2).says("broken.toml:2:1").says("did you mean `title`");
    run(&home, &["providers", "replay", "nowhere.toml"]).expect(2).says("`nowhere.toml` cannot be read");
    run(&home, &["providers", "replay", "cloudflare"]).expect(2).says("`--examples tests/providers/cloudflare.toml`");
    run(&home, &["providers", "new", "mydns", "--base-url", "https://api.mydns.example"]).expect(0);
    fs::write(home.path().join("mydns.examples.toml"), "case = []\n").unwrap();
    run(&home, &["providers", "replay", "mydns.toml"]).expect(2).says("has no cases");
}

#[test]
fn the_schemas_are_part_of_the_program() {
    let home = TempDir::new().unwrap();
    for (arguments, key) in [(&["providers", "schema"][..], "base_url"), (&["providers", "schema", "--examples"], "case")] {
        let schema: serde_json::Value = serde_json::from_str(&run(&home, arguments).expect(0).stdout).unwrap();
        assert!(schema["properties"][key].is_object());
    }
}
