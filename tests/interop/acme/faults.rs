//! What goes wrong: each with its exit code, its message, and nothing left behind.

use super::{Scene, bare, run};
use crate::interop::servers::{
    OPEN_ZONE, free_port,
    knot::knot,
    nsupdate,
    pebble::{BLOCKED, Manner, Pebble, Valid},
};

#[test]
fn a_name_that_the_ca_refuses() {
    let Some(scene) = Scene::new() else { return };
    let ran = scene.run(&["apply", BLOCKED]).expect(6).says(BLOCKED).says("does not issue for that name");
    assert!(ran.stderr.contains("rejectedIdentifier"), "{}", ran.stderr);
    scene.assert_clean(BLOCKED);
    assert!(!scene.state().iter().any(|path| path.contains("orders/")));
    // Others of the same run are not held up.
    let list = scene.home().join("list");
    std::fs::write(&list, format!("{BLOCKED}\nfine.example.test\n")).unwrap();
    scene.run(&["apply", "--list", list.to_str().unwrap()]).expect(9).says("1 issued, 1 failed");
    assert!(scene.live("fine.example.test").join("cert.pem").is_file());
}

#[test]
fn a_ca_that_cannot_be_reached() {
    let Some(scene) = Scene::new() else { return };
    let nowhere = format!("https://127.0.0.1:{}/dir", free_port());
    let mut command = scene.command(&["apply", "away.example.test"]);
    run(command.env("DV_CA", &nowhere)).expect(1).says("Connection refused");
    scene.assert_clean("away.example.test");
}

#[test]
fn a_directory_that_is_none() {
    let Some(scene) = Scene::new() else { return };
    let nonce = scene.pebble.directory.replace("/dir", "/nonce-plz");
    let nothing = scene.pebble.directory.replace("/dir", "/nothing");
    for (url, said) in [(nonce.as_str(), "is not an ACME directory"), (nothing.as_str(), "the URL of an ACME directory?")] {
        run(scene.command(&["apply", "none.example.test"]).env("DV_CA", url)).expect(2).says(said);
    }
    run(scene.command(&["apply", "none.example.test"]).env("DV_CA", "letsencript")).expect(2).says("did you mean `letsencrypt`");
    run(scene.command(&["apply", "none.example.test"]).env("DV_CA", "buypass")).expect(2).says("ended its ACME service");
    assert_eq!(scene.state().iter().filter(|path| path.contains(".json")).count(), 0);
}

#[test]
fn a_ca_file_that_does_not_fit() {
    let Some(scene) = Scene::new() else { return };
    run(scene.command(&["apply", "tls.example.test"]).env_remove("DV_CA_FILE")).expect(1).says("--ca-file");
    run(scene.command(&["apply", "tls.example.test"]).env("DV_CA_FILE", "/dev/null")).expect(2).says("/dev/null");
}

#[test]
fn a_clock_that_is_wrong() {
    for valid in [Valid::Before, Valid::Later] {
        let Some(scene) = Scene::with(&Manner { valid, ..Manner::default() }) else { return };
        scene.run(&["apply", "clock.example.test"]).expect(1).says("this machine's clock says 20").says("set it");
    }
}

/// The CA asks other name servers than we do: it sees nothing, we see the value, and both is said.
#[test]
fn what_the_ca_saw_and_what_our_name_servers_say() {
    let (Some(scene), Some(other)) = (Scene::new(), knot()) else { return };
    let Some(pebble) = Pebble::start(other.address, &Manner::default()) else { return };
    let mut command = scene.command(&["apply", "unseen.example.test", "*.unseen.example.test"]);
    let ran = run(command.env("DV_CA", &pebble.directory).env("DV_CA_FILE", pebble.ca_file())).expect(6);
    let ran = ran.says("the authorization of `").says("unseen.example.test` has failed: ").says("every name server shows it");
    assert!(ran.stderr.contains("_acme-challenge.unseen.example.test"), "{}", ran.stderr);
    scene.assert_clean("unseen.example.test");
    // In Chinese too.
    let mut command = scene.command(&["apply", "unseen2.example.test", "--lang", "zh"]);
    let ran = run(command.env("DV_CA", &pebble.directory).env("DV_CA_FILE", pebble.ca_file())).expect(6);
    ran.says("`unseen2.example.test` 的授权失败");
    assert!(!scene.state().iter().any(|path| path.contains("orders/")));
    // The same names at a CA that sees them.
    scene.run(&["apply", "unseen.example.test", "*.unseen.example.test"]).expect(0);
}

/// What CAA records say is compared with the CA that is to issue.
#[test]
fn explain_knows_what_the_ca_goes_by_in_caa_records() {
    let Some(scene) = Scene::new() else { return };
    nsupdate(scene.dns, OPEN_ZONE, "add only.example.test. 60 CAA 0 issue \"letsencrypt.org\"");
    let explain = |ca: &[&str]| {
        let mut command = scene.command(&[&["explain", "_acme-challenge.only.example.test"], ca].concat());
        run(command.env_remove("DV_CA"))
    };
    for ca in [&["--ca", "letsencrypt"][..], &[]] {
        let ran = explain(ca);
        assert!(!ran.stdout.contains("goes by") && ran.stdout.contains("CAA"), "{ca:?}: {}", ran.stdout);
    }
    let ran = explain(&["--ca", "zerossl"]).expect(5);
    assert!(
        ran.stdout.contains("let only letsencrypt.org issue") && ran.stdout.contains("goes by sectigo.com"),
        "{}",
        ran.stdout
    );
    explain(&["--ca", "zerosll"]).expect(2).says("did you mean `zerossl`?");
}

#[test]
fn names_that_are_none_and_files_that_are_not_there() {
    let Some(scene) = Scene::new() else { return };
    scene.run(&["apply"]).expect(2).says("no name is given");
    scene.run(&["apply", "not a name"]).expect(2).says("not a domain name");
    scene.run(&["apply", "--list", "/nowhere"]).expect(2).says("/nowhere");
    scene.run(&["apply", "--csr", "/nowhere"]).expect(2).says("/nowhere");
    scene.run(&["apply", "a.example.test", "--key-type", "dsa"]).expect(2).says("p256");
    scene.run(&["apply", "a.example.test", "--contact", "nobody"]).expect(2).says("not a mail address");
    // A zone that the server does not serve.
    scene.run(&["apply", "www.elsewhere.invalid"]).expect(4);
    assert!(!scene.live("www.elsewhere.invalid").exists());
}

#[test]
fn two_runs_for_the_same_names_at_once_make_one_certificate() {
    let Some(scene) =
        Scene::with(&Manner { variables: vec![("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "2")], ..Manner::default() })
    else {
        return;
    };
    let mut runs: Vec<_> = (0..2)
        .map(|_| scene.command(&["apply", "same.example.test", "-q"]).stderr(std::process::Stdio::piped()).spawn().unwrap())
        .collect();
    let mut codes: Vec<i32> = runs.iter_mut().map(|run| run.wait().unwrap().code().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 8]);
    let folder = scene.home().join("out/same.example.test");
    let certificates = std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().join("cert.pem").is_file());
    // `live` and what it leads to.
    assert_eq!(certificates.count(), 2);
    scene.assert_clean("same.example.test");
}

#[test]
fn no_account_without_a_state_folder() {
    let Some(scene) = Scene::new() else { return };
    let blocked = scene.home().join("state");
    std::fs::create_dir_all(&blocked).unwrap();
    std::fs::write(blocked.join("acme"), "a file in the way").unwrap();
    scene.run(&["apply", "state.example.test"]).expect(1).says("in the state folder");
    let mut command =
        bare(scene.home(), &["apply", "x.example.test", "--ca", "letsencrypt", "--provider", "manual", "--dry-run"]);
    run(command.env("DV_AUTHORITY", format!("{OPEN_ZONE}={}", scene.dns)).env("DV_RESOLVER", scene.dns.to_string()));
}
