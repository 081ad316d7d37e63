//! Several `watch` on one PostgreSQL, as several machines would be: killed, frozen, cut off from the database, and too late.

use std::{collections::BTreeSet, fs, time::Duration};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Fault, OrderChange, Service},
};
use rustix::process::Signal;

use super::{
    context::{Context, until},
    fleet::{LEASE, run_out},
    postgres::{self, Database},
    proxy::{Line, Proxy},
    watcher::Watcher,
};

const NOT_YET: Duration = Duration::from_secs(3600);

/// Machines that share a database. The first reaches it over a line that can be cut.
struct Fleet {
    context: Context,
    database: Database,
    proxy: Proxy,
    watchers: Vec<Watcher>,
    orders: Vec<OrderId>,
}

impl Fleet {
    /// `machines` of them carry two orders each, whose records are out and which the CA does not issue yet.
    fn start(machines: usize) -> Option<Self> {
        let database = postgres::database()?;
        let context = Context::with(|options| options.issue_delay = NOT_YET);
        let proxy = Proxy::to(database.cluster.port);
        let mut fleet = Self { context, database, proxy, watchers: Vec::new(), orders: Vec::new() };
        for _ in 0..machines {
            let watcher = fleet.machine();
            fleet.watchers.push(watcher);
        }
        until(|| fleet.count("leases WHERE name LIKE 'watcher %'") == machines);
        for number in 0..machines * 2 {
            fleet.order(&format!("w{number}.example.com"));
        }
        fleet.context.until_records(machines * 2);
        let shares = fleet.database.say("SELECT count(*) FROM dv_verify.work WHERE claimed_until > 0 GROUP BY claimed_by");
        assert_eq!(shares, vec!["2"; machines].join("\n"), "every machine has its share");
        Some(fleet)
    }

    /// Starts one more machine, with a folder of its own for certificates.
    fn machine(&self) -> Watcher {
        let number = self.watchers.len();
        let arguments = ["watch", "--provider", "cloudflare", "--interval", "1s", "--poll-interval", "1s", "--lease", LEASE];
        let mut command = self.context.command(&arguments);
        let port = if number == 0 { self.proxy.port } else { self.database.cluster.port };
        let url = self.context.home().join(format!("url-{number}.secret"));
        fs::write(&url, self.database.url_of_port(port, &format!("postgres:{}", postgres::PASSWORD))).unwrap();
        fs::set_permissions(&url, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        command.env_remove("DV_STORE").env("DV_STORE_FILE", url);
        command.env("DV_OUT", self.context.home().join(format!("out-{number}")));
        command.env("DV_HOOK_SHELL", format!("echo $DV_ORDER_ID >> {}", self.hooked().display()));
        Watcher::spawn(&self.context, command).until_says("watching: ")
    }

    fn hooked(&self) -> std::path::PathBuf {
        self.context.home().join("hooked")
    }

    fn order(&mut self, name: &str) -> OrderId {
        let order = self.context.order(Generation::Api2018, &[name]);
        self.orders.push(order.clone());
        order
    }

    fn count(&self, what: &str) -> usize {
        self.database.say(&format!("SELECT count(*) FROM dv_verify.{what}")).parse().unwrap()
    }

    /// The first machine gives no sign of life: waits until the others have taken everything over from it.
    fn until_taken_over(&self) {
        let (id, all) = (self.watchers[0].id(), self.orders.len());
        let living = "claimed_until > EXTRACT(EPOCH FROM clock_timestamp()) * 1000";
        until(|| {
            // Again and again: what it said last may reach the database only now.
            run_out(&self.database, id);
            self.count(&format!("work WHERE {living} AND claimed_by NOT LIKE '%process {id} %'")) == all
        });
    }

    fn issue_all(&self) {
        for order in &self.orders {
            self.context.change(order, OrderChange::Issue);
        }
    }

    /// Waits until as many hooks have run as there are orders.
    fn until_done(&self) {
        until(|| fs::read_to_string(self.hooked()).unwrap_or_default().lines().count() >= self.orders.len());
        until(|| self.count("work WHERE done IS NULL") == 0);
    }

    /// One more order is carried through by whoever is there.
    fn carries_one_more(&mut self, name: &str) {
        let order = self.order(name);
        self.context.until_records(1);
        self.context.change(&order, OrderChange::Issue);
        self.until_done();
    }

    /// Ends every machine that is left. Every order was done once, and nothing is left anywhere.
    fn end(self) {
        let Self { context, database, watchers, orders, .. } = self;
        let said: Vec<String> = watchers.into_iter().map(Watcher::end).collect();
        let hooked = fs::read_to_string(context.home().join("hooked")).unwrap();
        let done: Vec<&str> = hooked.lines().collect();
        let once: BTreeSet<&str> = done.iter().copied().collect();
        assert_eq!(once.len(), done.len(), "a hook ran twice: {done:?}\n{}", said.join("\n---\n"));
        assert_eq!(once, orders.iter().map(OrderId::as_str).collect(), "{}", said.join("\n---\n"));
        assert_eq!(context.records(), Vec::<String>::new());
        for table in ["holders", "work WHERE done IS NULL", "leases WHERE expires > EXTRACT(EPOCH FROM clock_timestamp()) * 1000"]
        {
            assert_eq!(database.say(&format!("SELECT count(*) FROM dv_verify.{table}")), "0", "{table}");
        }
        for said in said {
            assert!(!said.contains(postgres::PASSWORD));
        }
    }
}

#[test]
fn orders_of_a_machine_that_is_killed_are_carried_through_by_the_others() {
    let Some(mut fleet) = Fleet::start(3) else { return };
    fleet.watchers[0].kill();
    fleet.until_taken_over();
    fleet.issue_all();
    fleet.until_done();
    fleet.watchers.remove(0);
    fleet.end();
}

#[test]
fn a_machine_that_is_frozen_beyond_its_lease_and_wakes_disturbs_nothing() {
    let Some(mut fleet) = Fleet::start(2) else { return };
    fleet.watchers[0].signal(Signal::STOP);
    fleet.until_taken_over();
    fleet.issue_all();
    fleet.until_done();
    fleet.watchers[0].signal(Signal::CONT);
    fleet.carries_one_more("after.example.com");
    fleet.end();
}

#[test]
fn a_machine_that_wakes_in_the_middle_leaves_what_others_have_to_them() {
    let Some(fleet) = Fleet::start(2) else { return };
    fleet.watchers[0].signal(Signal::STOP);
    fleet.until_taken_over();
    fleet.watchers[0].signal(Signal::CONT);
    // It hears that its orders are no longer its own before it does anything about them.
    fleet.issue_all();
    fleet.until_done();
    fleet.end();
}

fn cut_off(line: Line) {
    let Some(mut fleet) = Fleet::start(2) else { return };
    fleet.proxy.set(line);
    fleet.until_taken_over();
    fleet.issue_all();
    fleet.until_done();
    fleet.proxy.set(Line::Open);
    fleet.carries_one_more("after.example.com");
    // The one that was cut off works again: it is the only one left.
    let other = fleet.watchers.pop().unwrap();
    other.end();
    fleet.carries_one_more("alone.example.com");
    fleet.end();
}

#[test]
fn a_machine_that_is_cut_off_from_the_database_leaves_its_orders_and_comes_back() {
    cut_off(Line::Closed);
}

#[test]
fn a_machine_behind_a_line_that_swallows_everything_leaves_its_orders_and_comes_back() {
    cut_off(Line::Swallowing);
}

/// A machine is frozen while its write is on the way. Another finishes the order and withdraws the record; then the write arrives.
fn late_write(then: impl FnOnce(&mut Watcher)) {
    let Some(database) = postgres::database() else { return };
    let context = Context::new();
    let proxy = Proxy::to(database.cluster.port);
    let mut fleet = Fleet { context, database, proxy, watchers: Vec::new(), orders: Vec::new() };
    // It arrives when the test says so: with a delay it would arrive before the other machine is done wherever that is slow.
    let fault = Fault::Calls { service: Service::Provider, action: Some("POST".into()), times: Some(1), answer: Answer::Held };
    fleet.context.sandbox.fault(fault).unwrap();
    let mut late = fleet.machine();
    fleet.order("www.example.com");
    until(|| fleet.context.writes() == 1);
    late.signal(Signal::STOP);
    run_out(&fleet.database, late.id());
    fleet.watchers.push(fleet.machine());
    fleet.until_done();
    // The write of the second is gone again, and that of the first arrives now.
    assert_eq!((fleet.context.writes(), fleet.context.records()), (2, Vec::new()));
    fleet.context.sandbox.clear_faults();
    fleet.context.until_records(1);
    then(&mut late);
    fleet.context.until_records(0);
    fleet.watchers.push(late);
    fleet.watchers.retain_mut(Watcher::is_alive);
    fleet.end();
}

#[test]
fn a_write_that_arrives_too_late_is_taken_back_by_the_machine_that_wakes() {
    late_write(|late| late.signal(Signal::CONT));
}

#[test]
fn a_write_that_arrives_too_late_is_withdrawn_by_another_where_the_machine_never_wakes() {
    late_write(Watcher::kill);
}
