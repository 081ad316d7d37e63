//! `import`: what lego and certbot made here themselves is taken along, and goes on with this program. acme.sh is in no package of Debian or PyPI: its
//! files are written as it writes them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use super::{Scene, run};
use crate::{
    interop::servers::{OUR_KEY, installed},
    outside::Ran,
};

/// All files below a folder with their content, mode and time.
fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, about) = (entry.path(), entry.metadata().unwrap());
        if about.is_dir() {
            all.extend(files(&path));
        } else {
            let content = fs::read(&path).unwrap_or_default();
            all.insert(path, (content, about.mode(), about.modified().unwrap()));
        }
    }
    all
}

/// Runs the other tool.
fn by_other_tool(command: &mut Command) {
    let ran = Ran::of(command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").output().unwrap());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}

/// Imports, and makes sure that the other tool's files are as they were. Returns the config's path and text, and what was said.
fn import(scene: &Scene, tool: &str, folder: &Path) -> (PathBuf, String, Ran) {
    let before = files(folder);
    let config = scene.home().join("imported.toml");
    let ran = scene.run(&["import", tool, folder.to_str().unwrap(), "--to", config.to_str().unwrap()]).expect(0);
    assert!(files(folder) == before, "their files are not touched");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ran.stdout.trim(), config.to_str().unwrap());
    assert!(!ran.stderr.contains("PRIVATE KEY"), "{}", ran.stderr);
    let text = fs::read_to_string(&config).unwrap();
    (config, text, ran)
}

/// The URL of the account that is in the state folder.
fn account(scene: &Scene) -> String {
    let state = scene.state();
    let path = state.iter().find(|path| path.ends_with("account.json")).unwrap_or_else(|| panic!("no account: {state:?}"));
    let path = scene.home().join("state/acme").join(path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    file["credentials"]["id"].as_str().unwrap().to_owned()
}

fn lego(scene: &Scene, folder: &Path, name: &str) {
    let mut command = Command::new("lego");
    command
        .args([
            "--path",
            folder.to_str().unwrap(),
            "--server",
            &scene.pebble.directory,
            "--accept-tos",
            "--email",
            "a@example.test",
        ])
        .args(["--dns", "rfc2136", "--dns.resolvers", &scene.dns.to_string(), "--dns.disable-cp", "--domains", name, "run"])
        .env_clear()
        .env("LEGO_CA_CERTIFICATES", scene.pebble.ca_file())
        .env("RFC2136_NAMESERVER", scene.dns.to_string())
        .env("RFC2136_TSIG_ALGORITHM", "hmac-sha256.")
        .env("RFC2136_TSIG_KEY", OUR_KEY.name)
        .env("RFC2136_TSIG_SECRET", OUR_KEY.secret);
    by_other_tool(&mut command);
}

#[test]
fn what_lego_made_goes_on_with_the_same_account() {
    if !installed(&["lego"]) {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    let folder = scene.home().join("lego");
    lego(&scene, &folder, "lego.example.test");
    let (config, text, ran) = import(&scene, "lego", &folder);
    assert!(text.contains(&format!("names = [\"lego.example.test\"]\nca = \"{}\"\n", scene.pebble.directory)), "{text}");
    let ran = ran.says("taken along: the account at").says("who writes the records of lego.example.test");
    assert!(!ran.stderr.contains("registers one of its own"), "{}", ran.stderr);
    let theirs = files(&folder).into_iter().find(|(path, _)| path.ends_with("account.json")).unwrap().1.0;
    let theirs: serde_json::Value = serde_json::from_slice(&theirs).unwrap();
    assert_eq!(account(&scene), theirs["registration"]["uri"].as_str().unwrap());
    let mut command = scene.command(&["apply", "--config", config.to_str().unwrap()]);
    let ran = run(command.env_remove("DV_CA")).expect(0);
    assert!(!ran.stderr.contains("registered an account"), "{}", ran.stderr);
    assert!(scene.live("lego.example.test").join("privkey.pem").is_file());
    // Once more, into the same file: it is not replaced.
    let arguments = ["import", "lego", folder.to_str().unwrap(), "--to", config.to_str().unwrap()];
    scene.run(&arguments).expect(2).says("cannot be made").says("--to");
    let other = scene.home().join("again.toml");
    let arguments = ["import", "lego", folder.to_str().unwrap(), "--to", other.to_str().unwrap()];
    scene.run(&arguments).expect(0).says("the state folder has one there already");
}

#[test]
fn what_certbot_made_goes_on_with_its_provider() {
    if !installed(&["certbot"]) {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    let folder = scene.home().join("certbot");
    fs::create_dir(&folder).unwrap();
    let credentials = folder.join("rfc2136.ini");
    let text = format!(
        "dns_rfc2136_server = {}\ndns_rfc2136_port = {}\ndns_rfc2136_name = {}\ndns_rfc2136_secret = {}\ndns_rfc2136_algorithm = HMAC-SHA256\n",
        scene.dns.ip(),
        scene.dns.port(),
        OUR_KEY.name,
        OUR_KEY.secret
    );
    fs::write(&credentials, text).unwrap();
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();
    let (at, file) = (folder.to_str().unwrap(), credentials.to_str().unwrap());
    let mut command = Command::new("certbot");
    command
        .args(["certonly", "--non-interactive", "--agree-tos", "--register-unsafely-without-email", "--key-type", "rsa"])
        .args(["--server", &scene.pebble.directory, "--config-dir", at, "--work-dir", at, "--logs-dir", at])
        .args(["--dns-rfc2136", "--dns-rfc2136-credentials", file, "--dns-rfc2136-propagation-seconds", "0"])
        .args(["--deploy-hook", "true", "-d", "certbot.example.test", "-d", "*.certbot.example.test"])
        .env_clear()
        .env("REQUESTS_CA_BUNDLE", scene.pebble.ca_file());
    by_other_tool(&mut command);
    let (config, text, ran) = import(&scene, "certbot", &folder);
    for line in ["use = \"rfc2136\"", "tsig_key = \"dv-key\"", "key_type = \"rsa2048\"", "*.certbot.example.test"] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let ran =
        ran.says("the first run registers one of its own").says("its key is not ECDSA on P-256").says("`renew_hook = true`");
    assert!(!ran.stderr.contains(OUR_KEY.secret), "{}", ran.stderr);
    // Everything is in the config: the CA, the provider, and its key.
    let with_config = |arguments: &[&str]| {
        let mut command = scene.command(&[arguments, &["--config", config.to_str().unwrap()]].concat());
        for variable in ["DV_CA", "DV_PROVIDER", "DV_RFC2136_NAMESERVER", "DV_RFC2136_TSIG_KEY", "DV_RFC2136_TSIG_SECRET"] {
            command.env_remove(variable);
        }
        run(&mut command)
    };
    let ran = with_config(&["config", "check"]).expect(0);
    for said in ["certificate: ", "which only orders at CAS need"] {
        assert!(ran.stdout.contains(said), "{said}\n{}", ran.stdout);
    }
    with_config(&["apply"]).expect(0).says("registered an account");
    scene.assert_clean("certbot.example.test");
}

/// acme.sh keeps its account below `ca`, by the host of the CA without its port; the account itself is one that lego registered.
#[test]
fn an_account_of_acme_sh_is_taken_along() {
    if !installed(&["lego"]) {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    let by_lego = scene.home().join("lego");
    lego(&scene, &by_lego, "sh.example.test");
    let theirs = files(&by_lego);
    let of = |ending: &str| theirs.iter().find(|(path, _)| path.ends_with(ending)).unwrap().1.0.clone();
    let registration: serde_json::Value = serde_json::from_slice(&of("account.json")).unwrap();
    let url = registration["registration"]["uri"].as_str().unwrap();
    let folder = scene.home().join("acme.sh");
    let (account_at, place) = (folder.join("ca/127.0.0.1/dir"), folder.join("sh.example.test_ecc"));
    fs::create_dir_all(&account_at).unwrap();
    fs::create_dir_all(&place).unwrap();
    fs::write(account_at.join("account.key"), of("a@example.test.key")).unwrap();
    fs::write(account_at.join("ca.conf"), format!("ACCOUNT_URL='{url}'\nCA_KEY_HASH='x'\n")).unwrap();
    let key = scene.home().join("nsupdate.key");
    fs::write(&key, OUR_KEY.statement()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let variables = format!(
        "SAVED_NSUPDATE_SERVER='{}'\nSAVED_NSUPDATE_SERVER_PORT='{}'\nSAVED_NSUPDATE_KEY='{}'\n",
        scene.dns.ip(),
        scene.dns.port(),
        key.display()
    );
    fs::write(folder.join("account.conf"), variables).unwrap();
    let conf = format!(
        "Le_Domain='sh.example.test'\nLe_Alt='no'\nLe_Webroot='dns_nsupdate'\nLe_API='{}'\nLe_Keylength='ec-256'\n",
        scene.pebble.directory
    );
    fs::write(place.join("sh.example.test.conf"), conf).unwrap();
    let (config, text, ran) = import(&scene, "acme.sh", &folder);
    assert!(text.contains("use = \"rfc2136\"") && text.contains("zone = \"sh.example.test\""), "{text}");
    ran.says("taken along: the account at");
    assert_eq!(account(&scene), url);
    let mut command = scene.command(&["apply", "--config", config.to_str().unwrap()]);
    for variable in ["DV_CA", "DV_PROVIDER", "DV_RFC2136_NAMESERVER", "DV_RFC2136_TSIG_KEY", "DV_RFC2136_TSIG_SECRET"] {
        command.env_remove(variable);
    }
    let ran = run(&mut command).expect(0);
    assert!(!ran.stderr.contains("registered an account"), "{}", ran.stderr);
}

#[test]
fn what_is_not_there_is_named() {
    let Some(scene) = Scene::new() else { return };
    scene.run(&["import", "lego", "/nowhere"]).expect(2).says("there is no folder `/nowhere`");
    let empty = scene.home().join("empty");
    fs::create_dir(&empty).unwrap();
    for tool in ["lego", "certbot", "acme.sh"] {
        scene
            .run(&["import", tool, empty.to_str().unwrap()])
            .expect(2)
            .says("there is no certificate in")
            .says("name the tool's folder");
    }
    assert!(!scene.home().join("dv-verify.toml").exists());
    assert_eq!(scene.state(), Vec::<String>::new());
}
