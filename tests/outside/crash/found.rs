//! What the matrix and the random runs found once, each as small as it can be.

use dv_verify::order::Generation;

use crate::outside::context::Context;

/// The store becomes rubbish, and its log, from which SQLite would mend it, is gone.
fn lose_store(context: &Context) {
    let state = context.home().join("state");
    // Where the program ended by itself, there is no log.
    let _ = std::fs::remove_file(state.join("store.db-wal"));
    std::fs::write(state.join("store.db"), "rubbish").unwrap();
}

/// A hook is due before the files are written, for the case that the run dies between; but not where nothing will be written.
#[test]
fn a_run_that_dies_with_nothing_new_leaves_no_hook_to_call() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let marker = context.home().join("hook-ran");
    let hook = format!("echo x >> {}", marker.display());
    let arguments = ["--provider", "cloudflare", "--order", id.as_str(), "--hook-shell", &hook];
    context.run(&arguments).expect(0);
    for point in ["deliver.before", "deliver.after-files"] {
        let killed = context.command(&arguments).env("DV_FAILPOINT", point).output().unwrap();
        assert_eq!(killed.status.code(), None, "it died at {point}");
        context.run(&arguments).expect(0);
        assert_eq!(std::fs::read_to_string(&marker).unwrap(), "x\n", "after {point}");
    }
}

/// The end of SQLite's log can be lost without a sign; what it held about records must not be.
#[test]
fn a_journal_that_lost_its_end_takes_none_of_our_records_for_somebody_elses() {
    for (damaged, keep) in [("store.db-wal", 0), ("store.db", 100)] {
        let context = Context::new();
        let id = context.order(Generation::Instance, &["www.example.com"]);
        let arguments = ["--provider", "cloudflare", "--order", id.as_str()];
        let killed = context.command(&arguments).env("DV_FAILPOINT", "publish.after-handle").output().unwrap();
        assert_eq!(killed.status.code(), None);
        assert_eq!(context.records().len(), 1);
        let state = context.home().join("state");
        if damaged == "store.db" {
            std::fs::remove_file(state.join("store.db-wal")).unwrap();
        }
        let file = std::fs::OpenOptions::new().write(true).open(state.join(damaged)).unwrap();
        file.set_len(keep).unwrap();
        let ran = context.run(&arguments).expect(0);
        assert_eq!(context.records(), Vec::<String>::new(), "{damaged}: {}", ran.stderr);
        assert!(ran.stderr.contains("was ours"), "it is said: {}", ran.stderr);
    }
}

/// An order that is issued already shows no challenge any more: only the notes know its record.
#[test]
fn a_record_of_an_issued_order_is_found_again_after_the_store_is_lost() {
    let context = Context::new();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let arguments = ["--provider", "cloudflare", "--order", id.as_str()];
    let killed = context.command(&arguments).env("DV_FAILPOINT", "deliver.after-memory").output().unwrap();
    assert_eq!((killed.status.code(), context.records().len()), (None, 1));
    lose_store(&context);
    context.run(&arguments).expect(0).says("is kept as");
    assert_eq!(context.records(), Vec::<String>::new());
}

/// What a person wanted kept outlives the store too.
#[test]
fn a_kept_record_stays_where_the_store_is_lost() {
    let context = Context::new();
    context.run(&["record", "add", "_x.example.com", "mine", "--provider", "cloudflare"]).expect(0);
    lose_store(&context);
    context.run(&["--provider", "cloudflare"]).expect(0);
    assert_eq!(context.values("_x.example.com"), ["mine"]);
}

/// A provider that takes connections and never answers does not outlast the time of the order.
#[test]
fn a_silent_provider_does_not_outlast_the_orders_time() {
    use dv_verify::sandbox::{Answer, Fault, Service};
    let context = Context::with(|options| options.challenge_delay = std::time::Duration::ZERO);
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let answer = Answer::Slow { millis: 3_600_000 };
    context.sandbox.fault(Fault::Calls { service: Service::Provider, action: None, times: None, answer }).unwrap();
    context
        .run(&["--provider", "cloudflare", "--order", id.as_str(), "--timeout", "1s"])
        .expect(4)
        .says("did not answer in time");
}
