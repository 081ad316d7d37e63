//! Two accounts at one CAS that share a store.

use std::{fs, process::Command, time::Duration};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{OrderChange, OrderTraits},
};

use super::{
    context::{Context, Ran, assert_no_secret, until},
    fleet::{LEASE, run_out},
    postgres::{self, Database},
    watcher::Watcher,
};

pub(super) const OTHER_KEY: &str = "LTAI5tTheOtherAccount";
pub(super) const OTHER_SECRET: &str = "planted-other-account-secret-51c0";
const NOT_YET: Duration = Duration::from_secs(3600);

fn two_accounts(issue_delay: Duration) -> Context {
    Context::with(|options| {
        options.issue_delay = issue_delay;
        options.other_accounts = [(OTHER_KEY.to_owned(), OTHER_SECRET.to_owned())].into();
    })
}

/// An order of the second account.
fn order_of_other(context: &Context, name: &str) -> OrderId {
    context.order_with(Generation::Instance, &[name], OrderTraits { account: Some(OTHER_KEY.into()), ..OrderTraits::default() })
}

/// The program with the credentials of the second account, under a name.
fn as_other(command: &mut Command) -> &mut Command {
    command
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", OTHER_KEY)
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", OTHER_SECRET)
        .env("DV_ACCOUNT", "other")
}

/// A watch of one account with four places.
fn watch(context: &Context, database: &Database, is_other: bool) -> Watcher {
    let arguments =
        ["watch", "--provider", "cloudflare", "--interval", "1s", "--poll-interval", "1s", "--lease", LEASE, "--parallel", "4"];
    let mut command = context.command(&arguments);
    command.env("DV_STORE", database.url());
    if is_other {
        as_other(&mut command).env("DV_OUT", context.home().join("other"));
    }
    Watcher::spawn(context, command).until_says("watching: ")
}

#[test]
fn an_account_with_many_orders_does_not_keep_another_waiting() {
    let Some(database) = postgres::database() else { return };
    let context = two_accounts(NOT_YET);
    let many: Vec<OrderId> =
        (0..30).map(|number| context.order(Generation::Instance, &[&format!("m{number}.example.com")])).collect();
    let first = watch(&context, &database, false);
    let count = |what: &str| database.say(&format!("SELECT count(*) FROM dv_verify.{what}"));
    until(|| count("work") == "30" && context.records().len() == 4);

    let few: Vec<OrderId> = (0..3).map(|number| order_of_other(&context, &format!("f{number}.example.net"))).collect();
    let second = watch(&context, &database, true);
    // All three are under way at once, though nothing of the first account moves.
    context.until_records(7);
    for order in &few {
        context.change(order, OrderChange::Issue);
    }
    until(|| count("work WHERE origin LIKE 'other@%' AND done IS NOT NULL") == "3");
    for number in 0..3 {
        assert!(context.home().join(format!("other/f{number}.example.net/live/cert.pem")).is_file());
    }
    context.until_records(4);
    assert_eq!(count("work WHERE origin NOT LIKE 'other@%' AND done IS NULL"), "30", "the first account still waits");
    assert_eq!(count("work WHERE claimed_until > 0"), "4", "and has its four places");
    assert_eq!(count("budgets WHERE name LIKE 'calls of %'"), "2", "each has a budget of its own");

    for order in &many {
        context.change(order, OrderChange::Issue);
    }
    until(|| count("work WHERE done IS NULL") == "0");
    for said in [first.end(), second.end()] {
        assert!(!said.contains(OTHER_SECRET), "{said}");
    }
    assert_eq!(context.records(), Vec::<String>::new());
    assert_eq!((count("holders"), count("entries")), ("0".into(), "0".into()));
}

#[test]
fn what_a_dead_run_left_is_withdrawn_by_its_own_account() {
    let Some(database) = postgres::database() else { return };
    let context = two_accounts(NOT_YET);
    order_of_other(&context, "www.example.net");
    let mut watcher = watch(&context, &database, true);
    context.until_records(1);
    watcher.kill();
    run_out(&database, watcher.id());
    database.say("DELETE FROM dv_verify.holders; DELETE FROM dv_verify.work; DELETE FROM dv_verify.writers");

    let run = |is_other: bool, arguments: &[&str]| {
        let mut command = context.command(arguments);
        command.env("DV_STORE", database.url());
        if is_other {
            as_other(&mut command);
        }
        let ran = Ran::of(command.output().unwrap()).expect(0);
        assert_no_secret(&ran);
        ran
    };
    run(false, &["--provider", "cloudflare"]);
    let kept = run(false, &["clean", "--provider", "cloudflare"]);
    assert!(format!("{}{}", kept.stdout, kept.stderr).contains("account `other` wrote it"), "{kept:?}");
    assert_eq!(context.records().len(), 1, "it is not the first account's");
    run(true, &["clean", "--provider", "cloudflare"]);
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn accounts_on_one_file_take_up_their_own_orders_alone() {
    let context = two_accounts(NOT_YET);
    let first = context.order(Generation::Instance, &["a.example.com"]);
    let second = order_of_other(&context, "b.example.com");
    let run = |is_other: bool, code: i32| {
        let mut command = context.command(&["--provider", "cloudflare", "--no-wait"]);
        if is_other {
            as_other(&mut command);
        }
        let ran = Ran::of(command.output().unwrap()).expect(code);
        assert_no_secret(&ran);
        format!("{}{}", ran.stdout, ran.stderr)
    };
    // What the first left unfinished is not read with the credentials of the second, for which there is no such order.
    assert!(!run(false, 0).contains(second.as_str()));
    assert!(!run(true, 0).contains(first.as_str()));
    assert_eq!(context.records().len(), 2);
    context.change(&first, OrderChange::Issue);
    context.change(&second, OrderChange::Issue);
    run(true, 0);
    assert_eq!(context.values("_dnsauth.a.example.com").len(), 1, "it is left to the first account");
    assert!(!context.out().join("a.example.com").exists() && context.out().join("b.example.com/live").exists());
    run(false, 0);
    assert_eq!(context.records(), Vec::<String>::new());
    assert!(context.out().join("a.example.com/live").exists());
}

#[test]
fn a_name_for_an_account_is_no_key() {
    let context = Context::new();
    for name in ["a b", "a/b", "a@b", &"x".repeat(65)] {
        context.run(&["orders", "--account", name]).expect(2).says("is not a name for an account").says("`--account`");
    }
    let config = context.home().join("config.toml");
    fs::write(&config, "acount = \"prod\"\n").unwrap();
    context.run(&["orders", "--config", config.to_str().unwrap()]).expect(2).says("did you mean `account`?");
}
