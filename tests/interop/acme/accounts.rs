//! Two accounts (`--account`) on one machine and one PostgreSQL, each with certificates of ACME CAs that it keeps up.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Scene, run};
use crate::outside::{context::until, postgres, watcher::Watcher};

/// The command with its state folder below this one, whoever runs the test: that of root is fixed.
fn with_state(command: &Command, home: &Path, folder: &Path) -> Command {
    let script = "if [ \"$(id -u)\" = 0 ]; then mount --bind \"$1\" /var/lib; fi && shift && exec \"$@\"";
    let mut inside = Command::new("/bin/sh");
    if rustix::process::geteuid().is_root() {
        inside = Command::new("/usr/bin/unshare");
        inside.args(["--mount", "/bin/sh"]);
    }
    inside.args(["-c", script, "sh"]).arg(folder).arg(command.get_program()).args(command.get_args());
    inside.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("XDG_STATE_HOME", folder);
    inside.current_dir(home).stdin(Stdio::null());
    inside
}

/// The names of the folders in a folder, sorted.
fn folders(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn accounts_on_one_machine_and_one_database_keep_up_their_own_certificates() {
    let Some(scene) = Scene::new() else { return };
    let Some(database) = postgres::database() else { return };
    let state = scene.home().join("varlib");
    fs::create_dir(&state).unwrap();
    let out = |account: &str| scene.home().join(format!("out-{account}"));
    let command = |account: &str, arguments: &[&str]| {
        let mut command = scene.command(arguments);
        command.env("DV_STORE", database.url()).env("DV_OUT", out(account));
        if !account.is_empty() {
            command.env("DV_ACCOUNT", account);
        }
        with_state(&command, scene.home(), &state)
    };
    let watch = |account: &str, names: &[&str]| {
        let path = scene.home().join(format!("config-{account}.toml"));
        let certificates = names.iter().map(|name| format!("[[certificate]]\nnames = [\"{name}\"]\n"));
        fs::write(&path, certificates.collect::<String>()).unwrap();
        let config = path.to_str().unwrap();
        let arguments = ["watch", "--renew", "--interval", "1s", "--poll-interval", "1s", "--config", config];
        Watcher::spawn_in(scene.home(), command(account, &arguments)).until_says("watching: ")
    };
    let of_first = ["first0.example.test", "first1.example.test", "first2.example.test"];
    let watchers = [watch("", &of_first), watch("other", &["other.example.test"])];
    let is_there = |account: &str, name: &str| out(account).join(name).join("live/privkey.pem").exists();
    until(|| of_first.iter().all(|name| is_there("", name)) && is_there("other", "other.example.test"));
    until(|| database.say("SELECT count(*) FROM dv_verify.work WHERE done IS NULL") == "0");
    for watcher in watchers {
        watcher.end();
    }

    // Nobody took up an order of the other, and each keeps what it renews by itself.
    assert_eq!(
        (folders(&out("")), folders(&out("other"))),
        (of_first.map(str::to_owned).into(), vec!["other.example.test".into()])
    );
    let rows = |which: &str| database.say(&format!("SELECT id FROM dv_verify.work WHERE origin {which} ORDER BY id"));
    let (first, other) = (rows("LIKE 'acme@%'"), rows("LIKE 'other@acme@%'"));
    assert!(first.lines().count() == 3 && first.lines().all(|id| id.contains("first")), "{first}");
    assert!(other.lines().count() == 1 && other.contains("other.example.test"), "{other}");
    assert_eq!(folders(&state.join("dv-verify")), ["acme", "other@acme"]);
    assert_eq!(scene.pebble.log().matches("Added order").count(), 4);

    // `renew` knows what is the account's own, and no more.
    let dry = |account: &str| {
        let ran = run(&mut command(account, &["renew", "--force", "--dry-run"])).expect(0);
        format!("{}{}", ran.stdout, ran.stderr)
    };
    assert!(dry("").contains("first1.example.test") && !dry("").contains("other.example.test"));
    assert!(dry("other").contains("other.example.test") && !dry("other").contains("first1.example.test"));
}
