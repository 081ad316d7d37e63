//! Stores, configs and hooks that are no good, through the program: what is said, the exit code, and that nothing is lost or left.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::OrderChange,
};

use super::{
    bad_input::run_with_small_disk,
    context::{Context, runtime},
    postgres,
};

/// Statements on a file of SQLite.
fn edit(path: &Path, statements: &'static str) {
    runtime().block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(statements).execute(&pool).await.unwrap();
        pool.close().await;
    });
}

fn waiting(context: &Context) -> OrderId {
    context.order(Generation::Instance, &["www.example.com"])
}

/// What the first version had.
const AS_THE_FIRST_VERSION: &str =
    "DROP TABLE notices; DROP TABLE applications; DROP TABLE work; DROP TABLE budgets; DROP TABLE writers;
    DROP TABLE leases; ALTER TABLE entries DROP COLUMN account; DELETE FROM _sqlx_migrations WHERE version > 1";

#[test]
fn a_file_that_is_no_store_of_this_version_is_left_as_it_is() {
    let newer = "PRAGMA journal_mode = WAL; PRAGMA application_id = 0x64767679; CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
        INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'x', TRUE, x'00', 0)";
    let development = "CREATE TABLE entry (id); CREATE TABLE holder (entry); CREATE TABLE orders (id); CREATE TABLE delay (id)";
    for (made_with, said, hint) in [
        (newer, "made by a newer version", "use that version"),
        (development, "an older development build", "let that build end what it began"),
        ("CREATE TABLE cookies (id INTEGER)", "a database of another program", "--store"),
        ("", "not a store of this program", "--store"),
    ] {
        let context = Context::new();
        waiting(&context);
        let path = context.home().join("given.db");
        match made_with {
            "" => fs::write(&path, "these are somebody's notes\n".repeat(300)).unwrap(),
            statements => edit(&path, statements),
        }
        let before = fs::read(&path).unwrap();
        context.run(&["--provider", "cloudflare", "--store", path.to_str().unwrap()]).expect(1).says(said).says(hint);
        context.run(&["watch", "--provider", "cloudflare", "--store", path.to_str().unwrap()]).expect(1).says(said);
        assert_eq!(context.writes(), 0, "{said}");
        assert!(fs::read(&path).unwrap() == before, "{said}: the file was changed");
    }
}

#[test]
fn a_store_of_an_older_version_is_brought_up_to_date_with_a_record_out() {
    let database = postgres::database();
    for on_server in [false, true] {
        let context = Context::with(|options| options.issue_delay = Duration::from_secs(3600));
        let order = waiting(&context);
        let store = match (&database, on_server) {
            (Some(database), true) => database.url(),
            (None, true) => return,
            (_, false) => context.home().join("state/store.db").display().to_string(),
        };
        let arguments = ["--provider", "cloudflare", "--no-wait", "--store", store.as_str()];
        context.run(&arguments).expect(0);
        assert_eq!(context.records().len(), 1);
        match &database {
            Some(database) if on_server => {
                database.say(&format!("SET search_path TO dv_verify; {AS_THE_FIRST_VERSION}"));
            }
            _ => edit(Path::new(&store), AS_THE_FIRST_VERSION),
        }
        context.change(&order, OrderChange::Issue);
        context.run(&arguments).expect(0);
        assert_eq!(context.records(), Vec::<String>::new(), "on a server: {on_server}");
        assert!(context.out().join("www.example.com/live/privkey.pem").is_file());
    }
}

#[test]
fn a_damaged_store_is_kept_aside_and_the_run_ends_what_was_begun() {
    let context = Context::with(|options| {
        options.issue_delay = Duration::from_secs(3600);
        options.challenge_delay = Duration::ZERO;
    });
    let order = waiting(&context);
    context.put_record("_dnsauth.www.example.com", "somebody else's");
    // Named: that the order is ours was known by the store alone.
    let arguments = ["--provider", "cloudflare", "--no-wait", "--order", order.as_str()];
    let ran = context.run(&arguments).expect(0);
    assert_eq!(context.records().len(), 2, "{}", ran.stderr);
    let path = context.home().join("state/store.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..4000].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    context.change(&order, OrderChange::Issue);
    let ran = context.run(&arguments).expect(0).says("was damaged").says("it is kept as").says("a new one was begun");
    assert_eq!(context.values("_dnsauth.www.example.com"), ["somebody else's"], "{}", ran.stderr);
    assert!(context.out().join("www.example.com/live/cert.pem").is_file());
    let kept = fs::read_dir(context.home().join("state")).unwrap().flatten();
    let kept = kept.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name.contains(".corrupt-"));
    assert_eq!(kept.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).count(), 1, "beside its log");
    assert!(!context.run(&arguments).expect(0).stderr.contains("damaged"), "said once");
}

#[test]
fn a_store_on_a_full_or_read_only_disk_is_found_before_anything_is_written() {
    for (prepare, said, hint) in [
        ("head -c 1000000 /dev/zero > {}/fill 2>/dev/null", "No space left", "make room"),
        ("mount -o remount,ro {}", "Read-only file system", "--store"),
    ] {
        let context = Context::new();
        waiting(&context);
        let folder = context.home().join("disk");
        let store = folder.join("state/store.db");
        let prepare = prepare.replace("{}", folder.to_str().unwrap());
        let arguments = ["--provider", "cloudflare", "--store", store.to_str().unwrap()];
        let Some(ran) = run_with_small_disk(&context.command(&arguments), &folder, &prepare) else {
            eprintln!("left out: a full disk (mount namespaces are not allowed here)");
            return;
        };
        ran.expect(1).says(folder.to_str().unwrap()).says(said).says(hint);
        assert_eq!(context.writes(), 0, "{said}");
    }
}

#[test]
fn a_key_that_does_not_exist_is_named_with_its_place_and_the_nearest() {
    let context = Context::new();
    waiting(&context);
    let path = context.home().join("config.toml");
    for (text, said, near) in [
        ("interval = \"1m\"\ntimeot = \"5m\"\n", "line 2, column 1: there is no key `timeot`", "did you mean `timeout`?"),
        ("[provider.cloudflare]\napi_tokn_file = \"x\"\n", "line 2, column 1", "did you mean `api_token_file`?"),
        ("[provder.x]\n", "there is no key `provder`", "did you mean `provider`?"),
        ("[[route]]\nzon = \"example.com\"\n", "a route has no key `zon`", "`zone = "),
    ] {
        fs::write(&path, text).unwrap();
        let arguments = ["--config", path.to_str().unwrap(), "--provider", "cloudflare"];
        context.run(&arguments).expect(2).says("config.toml").says(said).says(near);
        context.run(&[&["watch"], &arguments[..]].concat()).expect(2).says(said);
    }
    assert_eq!(context.writes(), 0);
}

#[test]
fn a_hook_that_hangs_fails_or_talks_too_much_leaves_the_certificate_and_is_called_again() {
    for (line, said) in [
        ("exec sleep 300", "did not end within 500 ms"),
        ("echo 'nginx says no' >&2; exit 7", "nginx says no"),
        ("head -c 5000000 /dev/zero | tr '\\0' x; echo the end; exit 1", "the end"),
    ] {
        let context = Context::new();
        let order = waiting(&context);
        let hook = context.home().join("hook");
        let write = |line: &str| {
            fs::write(&hook, format!("#!/bin/sh\n{line}\n")).unwrap();
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        };
        write(line);
        let arguments =
            ["--provider", "cloudflare", "--order", order.as_str(), "--hook-timeout", "500ms", "--hook", hook.to_str().unwrap()];
        let ran = context.run(&arguments).expect(1).says(said).says("hook");
        assert!(ran.stderr.len() < 20_000, "{} bytes of {said}", ran.stderr.len());
        assert!(context.out().join("www.example.com/live/privkey.pem").is_file(), "the certificate is there");
        assert_eq!(context.records(), Vec::<String>::new());
        write("echo called >> called");
        context.run(&arguments).expect(0);
        context.run(&arguments).expect(0);
        assert_eq!(fs::read_to_string(context.home().join("called")).unwrap(), "called\n", "once more, and then no more");
    }
}
