//! The units in `dist/systemd`: what systemd says about them, and whether the program works with what they pass to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use dv_verify::order::Generation;

use super::{
    context::{ACCESS_KEY_SECRET, API_TOKEN, Context},
    watcher::Watcher,
};

/// How exposed systemd may find a service, of 100.
const EXPOSURE: &str = "20";

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/systemd")
}

/// A copy of the units in which the programs are there.
fn installed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(units()).unwrap().map(|entry| entry.unwrap().path());
    let copies = entries.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("/usr/bin/dv-verify", env!("CARGO_BIN_EXE_dv-verify")).replace("/usr/bin/systemctl", "/bin/true");
        let copy = folder.join(path.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        copy
    });
    copies.collect()
}

#[test]
#[allow(clippy::print_stdout, reason = "what was left out is said")]
fn systemd_finds_nothing_wrong_with_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let copies = installed(folder.path());
    assert_eq!(copies.len(), 7);
    let analyze = |arguments: &[&str], units: &[&PathBuf]| Command::new("systemd-analyze").args(arguments).args(units).output();
    let Ok(verified) = analyze(&["verify"], &copies.iter().collect::<Vec<_>>()) else {
        assert!(std::env::var_os("DV_TEST_REQUIRE_SERVERS").is_none(), "systemd-analyze is not there");
        println!("left out: systemd-analyze is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
    for unit in ["dv-verify.service", "dv-verify-watch.service", "dv-verify@.service"] {
        let unit = folder.path().join(unit);
        let rated = analyze(&["security", "--offline=true", "--threshold", EXPOSURE], &[&unit]).unwrap();
        assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
    }
}

#[test]
fn the_service_works_with_what_its_unit_passes() {
    works("dv-verify-watch.service", "dv-verify");
    works("dv-verify@.service", "dv-verify@prod");
}

/// Runs the program with the variables and credentials of a unit, of which `folder` is the state folder; of a template as the instance `prod`.
fn works(unit: &str, folder: &str) {
    let context = Context::new();
    let unit = fs::read_to_string(units().join(unit)).unwrap().replace("%i", "prod");
    let home = context.home().display().to_string();
    let here = |text: &str| text.replace("/etc/dv-verify", &home).replace("/var/lib", &format!("{home}/var"));
    let state = context.home().join("var").join(folder);
    fs::create_dir_all(&state).unwrap();
    let mut command = context.command(&["watch"]);
    command.env_remove("DV_STORE").env_remove("DV_OUT");
    let credentials = context.home().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let values = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", context.sandbox.options().access_key_id.as_str()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET),
        ("DV_CLOUDFLARE_API_TOKEN", API_TOKEN),
    ];
    for line in unit.lines() {
        if let Some(set) = line.strip_prefix("Environment=") {
            let (name, value) = set.trim_matches('"').split_once('=').unwrap();
            let value = here(value);
            if name == "DV_CONFIG" {
                fs::create_dir_all(Path::new(&value).parent().unwrap()).unwrap();
                fs::write(&value, "interval = \"1s\"\ndefault_provider = \"cloudflare\"\n").unwrap();
            }
            command.env(name, value);
        } else if let Some(loaded) = line.strip_prefix("LoadCredential=") {
            let (name, _) = loaded.split_once(':').unwrap();
            let value = values.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is new here")).1;
            fs::write(credentials.join(name), value).unwrap();
            command.env_remove(name);
        }
    }
    command.env("CREDENTIALS_DIRECTORY", &credentials);
    if is_root() {
        // Root keeps its state elsewhere, whatever XDG says.
        command.env("DV_STORE", state.join("store.db"));
        if !unit.contains("DV_OUT=") {
            command.env("DV_OUT", state.join("certificates"));
        }
    }
    let watcher = Watcher::spawn(&context, command).until_says("watching: ");
    context.order(Generation::Api2018, &["www.example.com"]);
    watcher.until_said("done", 1);
    watcher.end();
    assert!(state.join("issued").is_file(), "the path unit is told");
    assert!(state.join("certificates/www.example.com/live/privkey.pem").is_file());
    fs::remove_dir_all(credentials).unwrap();
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}
