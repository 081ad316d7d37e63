//! What goes well.

use std::{os::unix::fs::PermissionsExt, sync::atomic::Ordering};

use super::{Scene, bare, counted, openssl, run};
use crate::{
    interop::servers::{
        OPEN_ZONE, dig, nsupdate,
        pebble::{EXTERNAL, Manner, Pebble},
        powerdns::{API_KEY, powerdns},
    },
    outside::run_with_small_disk,
};

fn names_in(certificate: &std::path::Path) -> String {
    openssl(&["x509", "-in", certificate.to_str().unwrap(), "-noout", "-ext", "subjectAltName"])
}

#[test]
fn one_name() {
    let Some(scene) = Scene::new() else { return };
    let ran = scene.run(&["apply", "one.example.test", "--detailed-exit-code"]).expect(10);
    assert_eq!(ran.stdout.trim(), scene.live("one.example.test").to_str().unwrap());
    let ran = ran.says("registered an account").says("terms of service");
    assert!(ran.stderr.contains("certificate for one.example.test"), "{}", ran.stderr);
    scene.assert_clean("one.example.test");
    let key = scene.live("one.example.test").join("privkey.pem");
    assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    let state = scene.state();
    assert!(!state.iter().any(|path| path.contains("orders/") || path.contains("privkey")), "the key is delivered: {state:?}");
    let account = state.iter().find(|path| path.ends_with("account.json")).unwrap();
    let mode = std::fs::metadata(scene.home().join("state/acme").join(account)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn twice_is_as_good_as_once_and_force_renews() {
    let Some(scene) = Scene::new() else { return };
    let marker = scene.home().join("hook-ran");
    let hook = format!("echo x >> {}", marker.display());
    let arguments = ["apply", "twice.example.test", "--hook-shell", &hook, "--detailed-exit-code"];
    scene.run(&arguments).expect(10);
    let first = std::fs::read_link(scene.live("twice.example.test")).unwrap();
    scene.run(&arguments).expect(0).says("will be renewed from");
    scene.run(&["renew", "--detailed-exit-code"]).expect(0).says("will be renewed from");
    assert_eq!(std::fs::read_link(scene.live("twice.example.test")).unwrap(), first);
    // A renewal needs neither the CA nor its file once more: the state folder knows them.
    let mut command = scene.command(&["renew", "--force", "twice.example.test", "--hook-shell", &hook, "--detailed-exit-code"]);
    run(command.env_remove("DV_CA").env_remove("DV_CA_FILE")).expect(10);
    assert_ne!(std::fs::read_link(scene.live("twice.example.test")).unwrap(), first);
    assert_eq!(std::fs::read_to_string(marker).unwrap(), "x\nx\n", "the hook runs once for each certificate");
    scene.assert_clean("twice.example.test");
    scene.run(&["renew", "unknown.example.test"]).expect(2).says("no certificate for `unknown.example.test`");
}

#[test]
fn apex_and_wildcard_are_two_values_at_one_name() {
    let Some(scene) = Scene::new() else { return };
    let ran = scene.run(&["apply", "both.example.test", "*.both.example.test", "--output", "json"]).expect(0);
    let published = ran.events().into_iter().filter(|event| event["event"] == "published").count();
    assert_eq!(published, 2);
    let names = names_in(&scene.live("both.example.test").join("cert.pem"));
    assert!(names.contains("DNS:both.example.test") && names.contains("DNS:*.both.example.test"), "{names}");
    scene.assert_clean("both.example.test");
}

/// `_acme-challenge` is a CNAME: the record is written, seen and removed where it leads, and the CNAME stays. (BIND answers here without
/// recursion, so that Pebble would not see what is in another zone.)
#[test]
fn a_challenge_name_that_leads_elsewhere() {
    let Some(scene) = Scene::new() else { return };
    let (name, target) = ("_acme-challenge.alias.example.test", "at.challenges.example.test");
    nsupdate(scene.dns, OPEN_ZONE, &format!("add {name}. 60 CNAME {target}."));
    let names = ["alias.example.test", "*.alias.example.test"];
    let ran = scene.run(&["apply", names[0], names[1], "--output", "json"]).expect(0);
    let events = ran.events();
    let published: Vec<&str> =
        events.iter().filter(|event| event["event"] == "published").map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(published, [target, target]);
    assert_eq!(dig(scene.dns, target, "TXT"), Vec::<String>::new());
    assert_eq!(dig(scene.dns, name, "CNAME"), [format!("{target}.")]);
    // At the name itself nothing can stand beside it.
    let ran = scene.run(&["apply", "--force", names[0], names[1], "--no-follow"]).expect(4);
    assert!(ran.stderr.contains("CNAME"), "{}", ran.stderr);
    assert_eq!(dig(scene.dns, name, "CNAME"), [format!("{target}.")]);
}

#[test]
fn ten_names_with_a_key_on_p384() {
    let Some(scene) = Scene::new() else { return };
    let mut names: Vec<String> = (0..9).map(|number| format!("n{number}.ten.example.test")).collect();
    names.push("xn--bcher-kva.ten.example.test".to_owned());
    let mut arguments = vec!["apply", "--key-type", "p384", "bücher.ten.example.test"];
    arguments.extend(names[..9].iter().map(String::as_str));
    scene.run(&arguments).expect(0);
    let certificate = scene.live("xn--bcher-kva.ten.example.test").join("cert.pem");
    let said = names_in(&certificate);
    for name in &names {
        assert!(said.contains(name.as_str()), "{said}");
        scene.assert_clean(name);
    }
    let text = openssl(&["x509", "-in", certificate.to_str().unwrap(), "-noout", "-text"]);
    assert!(text.contains("secp384r1"), "{text}");
}

/// `openssl` makes it; without that nothing is ordered.
#[test]
fn a_key_with_rsa() {
    let Some(scene) = Scene::new() else { return };
    let arguments = ["apply", "--key-type", "rsa2048", "rsa.example.test"];
    let mut command = scene.command(&arguments);
    run(command.env("PATH", "/nowhere")).expect(2).says("no RSA key can be made: `openssl` cannot be started").says("--csr");
    assert!(!scene.pebble.log().contains("Added order"), "nothing was ordered");
    scene.run(&arguments).expect(0);
    let live = scene.live("rsa.example.test");
    let (leaf, key) = (live.join("cert.pem"), live.join("privkey.pem"));
    let text = openssl(&["x509", "-in", leaf.to_str().unwrap(), "-noout", "-text"]);
    assert!(text.contains("rsaEncryption") && text.contains("2048 bit"), "{text}");
    let public = openssl(&["pkey", "-in", key.to_str().unwrap(), "-pubout"]);
    assert_eq!(openssl(&["x509", "-in", leaf.to_str().unwrap(), "-noout", "-pubkey"]), public);
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    // The renewal has a key of the same kind, and a new one.
    scene.run(&["renew", "--force"]).expect(0);
    let renewed = openssl(&["pkey", "-in", key.to_str().unwrap(), "-pubout"]);
    assert_ne!(renewed, public);
    assert!(openssl(&["pkey", "-in", key.to_str().unwrap(), "-noout", "-text"]).contains("2048 bit"));
}

/// The same names, however they are written, are the same certificate.
#[test]
fn the_order_of_the_names_does_not_matter() {
    let Some(scene) = Scene::new() else { return };
    scene.run(&["apply", "turn.example.test", "*.turn.example.test"]).expect(0);
    let first = std::fs::read_link(scene.live("turn.example.test")).unwrap();
    let ran = scene.run(&["apply", "*.turn.example.test", "turn.example.test", "--detailed-exit-code"]).expect(0);
    assert!(ran.stderr.contains("will be renewed from"), "{}", ran.stderr);
    assert_eq!(std::fs::read_link(scene.live("turn.example.test")).unwrap(), first);
    assert_eq!(scene.pebble.log().matches("Added order").count(), 1);
}

#[test]
fn a_request_of_ones_own_with_an_rsa_key() {
    let Some(scene) = Scene::new() else { return };
    let path = |file: &str| scene.home().join(file).to_str().unwrap().to_owned();
    let (key, request) = (path("own.key"), path("own.csr"));
    openssl(&[
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &key,
        "-out",
        &request,
        "-subj",
        "/CN=own.example.test",
        "-addext",
        "subjectAltName=DNS:own.example.test,DNS:www.own.example.test",
    ]);
    scene.run(&["apply", "--csr", &request]).expect(0);
    let live = scene.live("own.example.test");
    assert!(!live.join("privkey.pem").exists(), "the key stays with the user");
    let public = |arguments: &[&str]| openssl(arguments);
    let (leaf, key) = (live.join("cert.pem"), path("own.key"));
    assert_eq!(public(&["x509", "-in", leaf.to_str().unwrap(), "-noout", "-pubkey"]), public(&["pkey", "-in", &key, "-pubout"]));
    scene.run(&["apply", "--csr", &request, "other.example.test"]).expect(2).says("for other names");
}

#[test]
fn an_external_account() {
    let Some(scene) = Scene::with(&Manner { external: true, ..Manner::default() }) else { return };
    scene.run(&["apply", "eab.example.test"]).expect(3).says("--eab-key-id");
    let file = scene.home().join("eab.secret");
    std::fs::write(&file, "d3JvbmctaG1hYy1rZXktd3JvbmctaG1hYy1rZXk\n").unwrap();
    let arguments = ["apply", "eab.example.test", "--eab-key-id", EXTERNAL.0, "--eab-key-file", file.to_str().unwrap()];
    scene.run(&arguments).expect(2).says("others can read it");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    scene.run(&arguments).expect(3).says("the external account key `kid-1` was not accepted");
    scene.run(&["apply", "eab.example.test", "--eab-key-id", EXTERNAL.0]).expect(3).says("DV_EAB_KEY");
    assert_eq!(scene.state().iter().filter(|path| path.contains(".json")).count(), 0, "no account, no order");
    let mut command = scene.command(&["apply", "eab.example.test", "--eab-key-id", EXTERNAL.0]);
    let ran = run(command.env("DV_EAB_KEY", EXTERNAL.1)).expect(0);
    assert!(!ran.stderr.contains(EXTERNAL.1));
    // The account is bound for good.
    scene.run(&["apply", "eab2.example.test"]).expect(0);
}

#[test]
fn authorizations_that_are_valid_already_need_no_record() {
    let Some(scene) = Scene::with(&Manner { variables: vec![("PEBBLE_AUTHZREUSE", "100")], ..Manner::default() }) else { return };
    scene.run(&["apply", "reused.example.test"]).expect(0);
    let ran = scene.run(&["apply", "--force", "reused.example.test", "--output", "json"]).expect(0);
    let words = ran.event_words();
    assert!(!words.contains(&"published".to_owned()) && words.contains(&"delivered".to_owned()), "{words:?}");
}

/// One nonce of five is refused: every call may have to be made again, even several times.
#[test]
fn refused_nonces_are_asked_for_again() {
    let Some(scene) = Scene::with(&Manner { variables: vec![("PEBBLE_WFE_NONCEREJECT", "20")], ..Manner::default() }) else {
        return;
    };
    for number in 0..5 {
        scene.run(&["apply", &format!("nonce{number}.example.test")]).expect(0);
    }
}

/// The CA takes its time to look, up to three seconds.
#[test]
fn a_ca_that_is_late() {
    let manner = Manner { variables: vec![("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "3")], ..Manner::default() };
    let Some(scene) = Scene::with(&manner) else { return };
    scene.run(&["apply", "late.example.test"]).expect(0);
    scene.assert_clean("late.example.test");
}

#[test]
fn many_certificates_of_a_list_in_one_run() {
    let Some(scene) = Scene::new() else { return };
    let list = scene.home().join("list");
    let lines: Vec<String> = (0..20).map(|number| format!("m{number}.many.example.test *.m{number}.many.example.test")).collect();
    std::fs::write(&list, lines.join("\n")).unwrap();
    let (directory, connections) = counted(&scene);
    let ran = run(scene.command(&["apply", "--list", list.to_str().unwrap()]).env("DV_CA", &directory)).expect(0);
    assert!(ran.stderr.contains("20 orders: 20 issued"), "{}", ran.stderr);
    assert_eq!(connections.load(Ordering::Relaxed), 1, "all share one connection");
    for number in 0..20 {
        assert!(scene.live(&format!("m{number}.many.example.test")).join("cert.pem").is_file());
        scene.assert_clean(&format!("m{number}.many.example.test"));
    }
    assert_eq!(scene.state().iter().filter(|path| path.ends_with("account.json")).count(), 1);
    scene.run(&["renew"]).expect(0);
}

#[test]
fn certificates_of_the_config() {
    let Some(scene) = Scene::new() else { return };
    let config = scene.home().join("config.toml");
    let text = format!(
        "ca = \"{}\"\n[[certificate]]\nnames = [\"c1.example.test\"]\n[[certificate]]\nnames = [\"c2.example.test\", \"c3.example.test\"]\nkey_type = \"p384\"\n",
        scene.pebble.directory
    );
    std::fs::write(&config, text).unwrap();
    let mut command = scene.command(&["apply", "--config", config.to_str().unwrap()]);
    run(command.env_remove("DV_CA")).expect(0);
    assert!(scene.live("c1.example.test").join("cert.pem").is_file() && scene.live("c2.example.test").join("cert.pem").is_file());
}

#[test]
fn a_dry_run_asks_nobody() {
    let Some(scene) = Scene::new() else { return };
    let ran = scene.run(&["apply", "dry.example.test", "*.dry.example.test", "--dry-run"]).expect(0);
    assert!(
        ran.stdout.contains("_acme-challenge.dry.example.test") || ran.stderr.contains("_acme-challenge.dry.example.test"),
        "{ran:?}"
    );
    assert_eq!(scene.state(), Vec::<String>::new());
    let mut command = scene.command(&["apply", "dry.example.test"]);
    run(command.env_remove("DV_PROVIDER")).expect(2).says("no provider is set");
    assert!(!scene.state().iter().any(|path| path.contains(".json")));
}

#[test]
fn records_by_the_api_of_powerdns() {
    let Some(server) = powerdns() else { return };
    let Some(pebble) = Pebble::start(server.address, &Manner::default()) else { return };
    let home = tempfile::TempDir::new().unwrap();
    let mut command = bare(home.path(), &["apply", "pdns.example.test", "*.pdns.example.test"]);
    command
        .env("DV_CA", &pebble.directory)
        .env("DV_CA_FILE", pebble.ca_file())
        .env("DV_PROVIDER", "powerdns")
        .env("DV_AUTHORITY", format!("{OPEN_ZONE}={}", server.address))
        .env("DV_RESOLVER", server.address.to_string())
        .env("DV_POWERDNS_API_URL", format!("http://{}", server.api))
        .env("DV_POWERDNS_API_KEY", API_KEY);
    run(&mut command).expect(0);
    let names = names_in(&home.path().join("out/pdns.example.test/live/cert.pem"));
    assert!(names.contains("DNS:*.pdns.example.test"), "{names}");
    assert_eq!(dig(server.address, "_acme-challenge.pdns.example.test", "TXT"), Vec::<String>::new());
}

#[test]
fn a_full_disk_leaves_no_record_and_the_next_run_fetches_the_certificate() {
    let Some(scene) = Scene::new() else { return };
    let name = "full-disk.example.test";
    let orders = || scene.pebble.log().matches("Added order").count();
    let disk = |number: u32| scene.home().join(format!("disk{number}"));
    let fill = |number: u32, size: u32| format!("head -c {size} /dev/zero > {}/fill 2>/dev/null", disk(number).display());
    let arguments = ["apply", name, "--timeout", "60s"];

    // No room for the store: nothing is asked for.
    let mut program = scene.command(&arguments);
    program.env("DV_STORE", disk(1).join("state/store.db"));
    let Some(ran) = run_with_small_disk(&program, &disk(1), &fill(1, 1_000_000)) else {
        eprintln!("left out: a full disk (mount namespaces are not allowed here)");
        return;
    };
    ran.expect(1).says("No space left").says("make room");
    assert_eq!(orders(), 0);

    // No room for certificates: found before an order is made.
    let mut program = scene.command(&arguments);
    program.env("DV_OUT", disk(2).join("out"));
    run_with_small_disk(&program, &disk(2), &fill(2, 1_000_000)).unwrap().expect(1).says("No space left").says("--out");
    assert_eq!(orders(), 0);

    // Room for the test, not for the certificate: it is at the CA, and the record is gone.
    let mut program = scene.command(&arguments);
    program.env("DV_OUT", disk(3).join("out"));
    run_with_small_disk(&program, &disk(3), &fill(3, 48 * 1024)).unwrap().expect(1).says("No space left");
    assert_eq!(orders(), 1);
    scene.assert_clean(name);
    scene.run(&arguments).expect(0);
    assert_eq!(orders(), 1, "the same order");
    assert!(scene.live(name).join("privkey.pem").is_file());
    scene.assert_clean(name);
}
