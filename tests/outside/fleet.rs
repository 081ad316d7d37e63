//! Several processes on one PostgreSQL, as several machines would be.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::OrderChange,
};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    context::{Context, Ran, assert_no_secret},
    postgres::{self, Database},
};

const NOT_YET: Duration = Duration::from_secs(3600);

/// How long leases run here. Long enough that none runs out where the database, or a machine, has to wait for its turn on this computer: those of a
/// machine that gives no sign of life are ended by [`run_out`].
pub(super) const LEASE: &str = "20s";

/// The program for one order, as another machine on `database` would run it, with a hook that counts its runs.
fn machine(context: &Context, database: &Database, order: &OrderId) -> Command {
    let mut command = context.command(&["--order", order.as_str(), "--lease", LEASE]);
    command
        .env("DV_PROVIDER", "cloudflare")
        .env("DV_STORE", database.url())
        .env("DV_HOOK_SHELL", format!("echo ran >> {}", context.home().join("hooked").display()));
    command
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// What the database has to say once a machine that gives no sign of life has had its time: it is killed, frozen or cut off when this is called.
pub(super) fn run_out(database: &Database, process: u32) {
    let now = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";
    let whose = format!("LIKE '%process {process} %'");
    database.say(&format!(
        "UPDATE dv_verify.leases SET expires = LEAST(expires, {now}) WHERE holder {whose};
         UPDATE dv_verify.work SET claimed_until = LEAST(claimed_until, {now}) WHERE claimed_by {whose}"
    ));
}

fn hooked(context: &Context) -> usize {
    std::fs::read_to_string(context.home().join("hooked")).unwrap_or_default().lines().count()
}

/// The order is done once, no record is left at the provider, and nobody holds an entry or a lease.
#[track_caller]
fn assert_done_once(context: &Context, database: &Database) {
    assert_eq!(hooked(context), 1, "the hook ran once");
    assert!(context.out().join("www.example.com/live/privkey.pem").is_file());
    assert_eq!(context.records(), Vec::<String>::new(), "no record is left");
    assert_eq!(database.say("SELECT count(*) FROM dv_verify.holders"), "0");
    assert_eq!(database.say("SELECT count(*) FROM dv_verify.leases"), "0", "locks are given back");
}

/// What must never be in the database.
#[track_caller]
fn assert_no_secret_stored(database: &Database) {
    let tables = ["entries", "holders", "orders", "delays", "work", "leases"];
    for table in tables {
        let all = database.say(&format!("SELECT * FROM dv_verify.{table}"));
        for secret in [super::context::ACCESS_KEY_SECRET, super::context::API_TOKEN, "PRIVATE KEY"] {
            assert!(!all.contains(secret), "a secret is in {table}");
        }
    }
}

#[test]
fn a_journey_with_its_store_on_postgresql() {
    let Some(database) = postgres::database() else { return };
    let context = Context::new();
    let order = context.order(Generation::Api2018, &["www.example.com"]);
    let url = context.home().join("url");
    std::fs::write(&url, database.url_of_port(database.cluster.port, &format!("postgres:{}", postgres::PASSWORD))).unwrap();
    std::fs::set_permissions(&url, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = machine(&context, &database, &order);
    let ran = Ran::of(command.env_remove("DV_STORE").env("DV_STORE_FILE", &url).output().unwrap()).expect(0);
    assert_no_secret(&ran);
    assert!(!ran.stdout.contains(postgres::PASSWORD) && !ran.stderr.contains(postgres::PASSWORD));
    assert_done_once(&context, &database);
    assert_no_secret_stored(&database);
}

#[test]
fn a_database_that_cannot_be_used_ends_a_run_before_anything_is_written() {
    let Some(database) = postgres::database() else { return };
    let context = Context::new();
    let order = context.order(Generation::Api2018, &["www.example.com"]);
    let with = |store: String| Ran::of(machine(&context, &database, &order).env("DV_STORE", store).output().unwrap());
    with(database.url_of_port(1, "postgres")).expect(1).says("cannot be reached");
    with(database.url_of_port(database.cluster.port, "postgres:hunter2hunter2")).expect(2).says("holds a password");
    let pass = context.home().join("pgpass");
    std::fs::write(&pass, "*:*:*:*:hunter2hunter2\n").unwrap();
    std::fs::set_permissions(&pass, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut wrong = machine(&context, &database, &order);
    wrong.env("DV_STORE", database.url_of_port(database.cluster.port, "postgres")).env("PGPASSFILE", &pass);
    let ran = Ran::of(wrong.output().unwrap()).expect(3).says("does not let us in");
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let nowhere = database.url().replace(&database.name, "nowhere");
    with(nowhere).expect(2).says("createdb");
    assert_eq!(context.writes(), 0);
}

#[test]
fn a_database_that_takes_no_writes_or_belongs_to_a_newer_version_is_left_alone() {
    let Some(database) = postgres::database() else { return };
    let context = Context::new();
    let order = context.order(Generation::Api2018, &["www.example.com"]);
    let run = |command: &str| {
        let mut asked = context.command(&[command, "--provider", "cloudflare"]);
        if command == "clean" {
            asked.arg("--dry-run");
        }
        Ran::of(asked.env("DV_STORE", database.url()).output().unwrap())
    };
    run("clean").expect(0);
    let read_only = |what: &str| database.cluster.say("postgres", &format!("ALTER DATABASE {} {what}", database.name));
    read_only("SET default_transaction_read_only = on");
    run("watch").expect(1).says("the database is read-only").says("name the primary server");
    read_only("RESET default_transaction_read_only");
    database.say("INSERT INTO dv_verify._sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'x', TRUE, '', 0)");
    run("watch").expect(1).says("newer version");
    assert_eq!(context.writes(), 0);
    database.say("DELETE FROM dv_verify._sqlx_migrations WHERE version = 99");
    Ran::of(machine(&context, &database, &order).output().unwrap()).expect(0);
    assert_done_once(&context, &database);
}

#[test]
fn a_machine_that_is_killed_is_taken_over() {
    let Some(database) = postgres::database() else { return };
    let context = Context::with(|options| options.issue_delay = NOT_YET);
    let order = context.order(Generation::Api2018, &["www.example.com"]);
    let mut killed = start(machine(&context, &database, &order));
    context.until_records(1);
    // As long as its lease runs, nobody else takes the order.
    Ran::of(machine(&context, &database, &order).output().unwrap()).expect(8);
    killed.kill().unwrap();
    killed.wait().unwrap();
    run_out(&database, killed.id());
    context.change(&order, OrderChange::Issue);
    Ran::of(machine(&context, &database, &order).output().unwrap()).expect(0);
    database.say("DELETE FROM dv_verify.leases WHERE expires <= EXTRACT(EPOCH FROM clock_timestamp()) * 1000");
    assert_done_once(&context, &database);
}

#[test]
fn a_machine_that_is_frozen_beyond_its_lease_leaves_the_order_to_the_other_when_it_wakes() {
    let Some(database) = postgres::database() else { return };
    let context = Context::with(|options| options.issue_delay = NOT_YET);
    let order = context.order(Generation::Api2018, &["www.example.com"]);
    let frozen = start(machine(&context, &database, &order));
    context.until_records(1);
    signal(&frozen, Signal::STOP);
    run_out(&database, frozen.id());
    context.change(&order, OrderChange::Issue);
    Ran::of(machine(&context, &database, &order).output().unwrap()).expect(0);
    signal(&frozen, Signal::CONT);
    let woken = Ran::of(frozen.wait_with_output().unwrap()).expect(8);
    assert!(woken.stderr.contains("is lost") || woken.stderr.contains("another machine"), "{}", woken.stderr);
    assert_done_once(&context, &database);
}

/// A provider that replaces whole sets: a machine that woke too late puts the set back as it was before, right after this one has written.
#[cfg(feature = "failpoints")]
#[test]
fn a_whole_set_that_is_put_back_is_noticed_and_written_again() {
    let Some(database) = postgres::database() else { return };
    let owner = "_dnsauth.www.example.com";
    let context = Context::with(|options| {
        options.challenge_delay = Duration::ZERO;
        options.issue_delay = Duration::ZERO;
    });
    context.put_record(owner, "foreign");
    let order = context.order(Generation::Instance, &["www.example.com"]);
    // The CA looks once everything is over.
    context.change(&order, OrderChange::Hold);
    let value = context.challenge_value(&order);
    let pause = tempfile::tempdir().unwrap();
    let mut command = machine(&context, &database, &order);
    command.env("DV_PROVIDER", "powerdns").env("DV_FAILPOINT", "publish.before-second-look");
    command.env("DV_FAILPOINT_DOES", format!("pause:{}", pause.path().display()));
    let run = start(command);
    super::context::until(|| pause.path().join("reached").exists());
    assert_eq!(context.values(owner).len(), 2, "it is written");
    put_back(&context, owner);
    assert_eq!(context.values(owner), ["foreign"]);
    std::fs::write(pause.path().join("go"), "").unwrap();
    super::context::until(|| context.values(owner).contains(&value));
    context.change(&order, OrderChange::Recover);
    Ran::of(run.wait_with_output().unwrap()).expect(0);
    assert_eq!(context.values(owner), ["foreign"]);
}

/// What the late machine sends: the set as it read it before.
#[cfg(feature = "failpoints")]
fn put_back(context: &Context, owner: &str) {
    let url = context.sandbox.addresses().powerdns.join("api/v1/servers/localhost/zones/example.com.").unwrap();
    let records = serde_json::json!([{"content": "\"foreign\"", "disabled": false}]);
    let set =
        serde_json::json!({"name": format!("{owner}."), "type": "TXT", "ttl": 60, "changetype": "REPLACE", "records": records});
    let body = serde_json::json!({"rrsets": [set]}).to_string();
    let _ = rustls::crypto::ring::default_provider().install_default();
    super::context::runtime().block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let reply = client.patch(url).header("X-API-Key", super::context::API_TOKEN).body(body).send().await.unwrap();
        assert!(reply.status().is_success(), "{}", reply.status());
    });
}
