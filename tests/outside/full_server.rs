//! A PostgreSQL whose disk becomes full in the middle of a journey. Needs the feature `failpoints`.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use dv_verify::{order::Generation, sandbox::SandboxOptions};

use super::{
    context::{Context, Ran, assert_no_secret, until},
    postgres, test_disk,
};

const OWNER: &str = "_dnsauth.www.example.com";

/// Where the disk becomes full: once the first call to CAS has its turn, which is in the database too. At the first two, nothing of the order is in the database yet, and what cannot be journaled is not written. Later on there may be
/// room left in what the server has of each table.
const POINTS: [(&str, bool); 5] = [
    ("read.after", true),
    ("publish.before-intent", true),
    ("publish.after-write", false),
    ("deliver.after-files", false),
    ("withdraw.after-removal", false),
];

#[test]
fn the_next_run_finishes_what_a_full_database_server_cut_short() {
    let name = "outside::full_server::the_next_run_finishes_what_a_full_database_server_cut_short";
    let Some(disk) = test_disk::small(name, "256m") else { return };
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o755)).unwrap();
    let Some(cluster) = postgres::start(Some(&disk)) else { return };
    for (number, (point, must_fail)) in POINTS.into_iter().enumerate() {
        let database = format!("full_{number}");
        cluster.say("postgres", &format!("CREATE DATABASE {database}"));
        let context = Context::with(|options: &mut SandboxOptions| {
            options.challenge_delay = std::time::Duration::ZERO;
            options.issue_delay = std::time::Duration::ZERO;
        });
        context.put_record(OWNER, "foreign");
        let order = context.order(Generation::Instance, &["www.example.com"]);
        let hooks = context.home().join("hooks");
        let command = || {
            let hook = format!("echo ran >> {}", hooks.display());
            let mut command = context.command(&["--provider", "cloudflare", "--order", order.as_str(), "--hook-shell", &hook]);
            // A full server is waited for as one that does not answer is, where that is possible.
            command.env("DV_TIMEOUT", "10s");
            command.env("DV_STORE", cluster.url(&database));
            command
        };
        let pause = tempfile::tempdir().unwrap();
        let mut first = command();
        first.env("DV_FAILPOINT", point).env("DV_FAILPOINT_DOES", format!("pause:{}", pause.path().display()));
        let cut_short = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until(|| pause.path().join("reached").exists());
        let filler = test_disk::fill(&disk);
        fs::write(pause.path().join("go"), "").unwrap();
        let ran = Ran::of(cut_short.wait_with_output().unwrap());
        fs::remove_file(filler).unwrap();
        assert_no_secret(&ran);
        if must_fail {
            let ran = ran.expect(1).says("no space is left");
            assert_eq!(context.writes(), 0, "{point}: nothing is written that cannot be journaled: {}", ran.stderr);
        } else if ran.code != 0 {
            ran.says("no space is left");
        }

        Ran::of(command().output().unwrap()).expect(0);
        assert_eq!(context.values(OWNER), ["foreign"], "{point}");
        assert!(context.out().join("www.example.com/live/privkey.pem").is_file(), "{point}");
        assert!(fs::read_to_string(&hooks).unwrap().lines().count() >= 1, "{point}");
        let left = |table: &str| cluster.say(&database, &format!("SELECT count(*) FROM dv_verify.{table}"));
        assert_eq!((left("entries"), left("holders"), left("leases")), ("0".into(), "0".into(), "0".into()), "{point}");
    }
}
