//! `watch --renew` at an ACME CA.

use std::path::PathBuf;

use rustix::process::Signal;

use super::{Scene, run};
use crate::{
    interop::servers::pebble::{BLOCKED, Manner},
    outside::{context::until, watcher::Watcher},
};

const WATCH: [&str; 6] = ["watch", "--renew", "--interval", "1s", "--poll-interval", "1s"];

fn watch(scene: &Scene, arguments: &[&str]) -> Watcher {
    Watcher::spawn_in(scene.home(), scene.command(&[&WATCH, arguments].concat())).until_says("watching: ")
}

fn current(scene: &Scene, name: &str) -> Option<PathBuf> {
    std::fs::read_link(scene.live(name)).ok()
}

fn config(scene: &Scene, text: &str) -> PathBuf {
    let path = scene.home().join("config.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn orders(scene: &Scene) -> usize {
    scene.pebble.log().matches("Added order").count()
}

/// Without credentials for CAS, the certificate is renewed in the last third of its lifetime, and `live` leads to the new one.
#[test]
fn a_certificate_is_renewed_when_it_is_due_and_live_is_swapped() {
    let Some(scene) = Scene::with(&Manner { lifetime: Some(12), ..Manner::default() }) else { return };
    let marker = scene.home().join("hook-ran");
    scene.run(&["apply", "short.example.test"]).expect(0);
    let first = current(&scene, "short.example.test").unwrap();
    let hook = format!("echo x >> {}", marker.display());
    let watcher = watch(&scene, &["--hook-shell", &hook]);
    until(|| current(&scene, "short.example.test").is_some_and(|now| now != first) && marker.exists());
    watcher.until_said("applied for, less than a third of its lifetime is left", 1);
    let said = watcher.end();
    assert!(said.contains("no credentials for CAS"), "{said}");
    scene.assert_clean("short.example.test");
    assert_eq!(orders(&scene), 2, "what is new is left alone: {said}");
}

#[test]
fn what_the_config_wants_is_applied_for_and_what_is_good_is_left() {
    let Some(scene) = Scene::new() else { return };
    scene.run(&["apply", "good.example.test"]).expect(0);
    let path =
        config(&scene, "[[certificate]]\nnames = [\"good.example.test\"]\n[[certificate]]\nnames = [\"wanted.example.test\"]\n");
    let watcher = watch(&scene, &["--config", path.to_str().unwrap()]);
    watcher.until_said("wanted.example.test: applied for, it is not there", 1);
    until(|| current(&scene, "wanted.example.test").is_some());
    watcher.until_said("done", 1);
    // Another one is taken up without a restart.
    let more = "[[certificate]]\nnames = [\"wanted.example.test\"]\n[[certificate]]\nnames = [\"more.example.test\"]\n";
    config(&scene, more);
    watcher.signal(Signal::HUP);
    until(|| current(&scene, "more.example.test").is_some());
    watcher.end();
    assert_eq!(orders(&scene), 3);
    scene.assert_clean("wanted.example.test");
}

/// A run was killed with its record out: the watch goes on with the same order.
#[cfg(feature = "failpoints")]
#[test]
fn an_order_that_a_killed_run_left_is_carried_through() {
    let Some(scene) = Scene::new() else { return };
    for (name, point) in [("left0.example.test", "visible.after"), ("left1.example.test", "withdraw.before-release")] {
        let ran = run(scene.command(&["apply", name]).env("DV_FAILPOINT", point));
        assert_eq!(ran.code, -1, "{point}: {ran:?}");
    }
    let watcher = watch(&scene, &[]);
    until(|| current(&scene, "left0.example.test").is_some());
    watcher.until_said("is removed", 2);
    watcher.end();
    assert_eq!(orders(&scene), 2, "no new one was made");
    scene.assert_clean("left0.example.test");
    scene.assert_clean("left1.example.test");
}

#[test]
fn a_refusal_rests_and_holds_nobody_up() {
    let Some(scene) = Scene::new() else { return };
    let path =
        config(&scene, &format!("[[certificate]]\nnames = [\"{BLOCKED}\"]\n[[certificate]]\nnames = [\"fine2.example.test\"]\n"));
    let watcher = watch(&scene, &["--config", path.to_str().unwrap()]);
    watcher.until_said("does not issue for that name", 1);
    until(|| current(&scene, "fine2.example.test").is_some());
    // Some more looks.
    scene.run(&["apply", "beside.example.test"]).expect(0);
    let said = watcher.end();
    assert_eq!(said.matches("does not issue for that name").count(), 1, "{said}");
}

#[test]
fn a_mistake_in_the_config_is_found_at_the_start() {
    let Some(scene) = Scene::new() else { return };
    let path = config(&scene, "[[certificate]]\nnames = [\"x.example.test\"]\n");
    let mut command = scene.command(&["watch", "--renew", "--config", path.to_str().unwrap()]);
    run(command.env_remove("DV_CA")).expect(2).says("no CA is named for the certificate of `x.example.test`");
}
