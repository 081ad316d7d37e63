//! The journey with every room real, against the sandbox; records by DNS UPDATE at its primary.

use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::{
    error::{Error, ErrorKind},
    http::Http,
    order::{
        Generation,
        aliyun::{Cas, CasOptions, credentials::CredentialChain},
    },
    propagation::Options as PropagationOptions,
    provider::{
        registry::Registry,
        settings::{Context, Settings},
    },
    record::{Record, RecordType},
    sandbox::{Fault, NewOrder, OrderChange, Sandbox, SandboxOptions},
    secret::Redactor,
};

struct OneProvider(Routed);

impl Routing for OneProvider {
    fn route(&self, _: &Name) -> Result<Routed> {
        Ok(self.0.clone())
    }

    fn instance(&self, instance: &str) -> Result<Routed> {
        if instance == self.0.instance { Ok(self.0.clone()) } else { Err(Error::config(format!("no provider `{instance}`"))) }
    }
}

/// Keeps the words of what happened.
#[derive(Default)]
struct Words(Mutex<Vec<String>>);

impl Observer for Words {
    fn event(&self, event: &event::Event<'_>) {
        let word = format!("{event:?}");
        let word = word.split([' ', '{']).next().unwrap_or_default().to_owned();
        self.0.lock().unwrap().push(word);
    }
}

struct World {
    sandbox: Sandbox,
    home: TempDir,
    words: Arc<Words>,
    surroundings: Surroundings,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

async fn world(change: impl FnOnce(&mut SandboxOptions)) -> World {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = SandboxOptions::default();
    change(&mut options);
    let sandbox = Sandbox::start(options.clone()).await.unwrap();
    let addresses = sandbox.addresses().clone();
    let home = TempDir::new().unwrap();
    let http = Http::new().unwrap();
    let redactor = Redactor::default();
    let account = Environment::of([
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", options.access_key_id.as_str()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", options.access_key_secret.as_str()),
    ]);
    let cas = CasOptions { endpoint: Some(addresses.cas.clone()), calls_per_second: 1000, ..CasOptions::default() };
    let primary = addresses.authorities[0].to_string();
    let tsig = Environment::of([
        ("DV_RFC2136_NAMESERVER", primary.as_str()),
        ("DV_RFC2136_TSIG_KEY", options.tsig_key.as_str()),
        ("DV_RFC2136_TSIG_SECRET", options.tsig_secret.as_str()),
    ]);
    let context = Context { http: http.clone(), redactor: redactor.clone() };
    let provider = Registry::load(None).unwrap().open(&Settings::of_builtin("rfc2136", tsig), &context).unwrap();
    let propagation = PropagationOptions {
        resolver: Some(addresses.resolver),
        stated: options.zones.iter().map(|zone| (zone.clone(), addresses.authorities.clone())).collect(),
        ..PropagationOptions::default()
    };
    let words = Arc::new(Words::default());
    let surroundings = Surroundings {
        source: Arc::new(Cas::new(cas, CredentialChain::new(account, http.clone(), redactor.clone()), http, redactor).unwrap()),
        routing: Arc::new(OneProvider(Routed { instance: "rfc2136".into(), provider })),
        propagation: Propagation::new(propagation).unwrap(),
        store: Store::open(&home.path().join("state/store.db")).await.unwrap(),
        observer: words.clone(),
        environment: Environment::default(),
    };
    World { sandbox, home, words, surroundings }
}

impl World {
    fn order(&self, generation: Generation, domains: &[&str]) -> OrderId {
        self.sandbox.add_order(NewOrder { generation, domains: domains.iter().map(|domain| name(domain)).collect() })
    }

    fn options(&self) -> Options {
        Options {
            out: self.home.path().join("out"),
            patience: Patience { poll_interval: Duration::from_millis(300), ..Patience::default() },
            form: delivery::Form::default(),
            hook_timeout: Duration::from_secs(10),
            ..Options::default()
        }
    }

    async fn run(&self, options: &Options) -> Summary {
        run(&self.surroundings, options, &Stop::default()).await.unwrap()
    }

    fn values(&self) -> Vec<String> {
        self.sandbox.records().into_iter().map(|record| record.value).collect()
    }

    async fn until_records(&self, count: usize) {
        let wait = async {
            while self.sandbox.records().len() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the records come");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_all_generations_are_issued_and_nothing_is_left() {
    let world = world(|_| ()).await;
    world.order(Generation::Api2018, &["a.example.com"]);
    world.order(Generation::Order, &["b.example.com"]);
    world.order(Generation::Instance, &["example.com", "*.example.com"]);
    let summary = world.run(&world.options()).await;
    assert_eq!(summary.orders.len(), 3);
    for (id, outcome) in &summary.orders {
        assert!(
            matches!(outcome, Ok(Outcome::Issued(delivered)) if delivered.live.join("privkey.pem").is_file()),
            "{id}: {outcome:?}"
        );
    }
    assert_eq!(world.values(), Vec::<String>::new());
    assert_eq!(world.surroundings.store.entries().await.unwrap(), []);
    let words = world.words.0.lock().unwrap().clone();
    for word in ["Order", "Published", "Verdicts", "Visible", "Issued", "Delivered", "Withdrawn", "Done"] {
        assert!(words.iter().any(|seen| seen == word), "{word} is not in {words:?}");
    }
    let again = world.run(&world.options()).await;
    assert!(again.orders.iter().all(|(_, outcome)| matches!(outcome, Ok(Outcome::NothingToDo))), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_that_changes_is_published_anew_and_the_old_value_goes() {
    let world = world(|options| options.lag = Duration::from_secs(1)).await;
    let id = world.order(Generation::Instance, &["www.example.com"]);
    let options = world.options();
    let change = async {
        world.until_records(1).await;
        let before = world.values();
        world.sandbox.fault(Fault::Order { order: id.clone(), change: OrderChange::ChangeChallenge }).unwrap();
        before
    };
    let (summary, before) = tokio::join!(world.run(&options), change);
    assert!(matches!(&summary.orders[0].1, Ok(Outcome::Issued(_))), "{summary:?}");
    assert_eq!(before.len(), 1);
    assert_eq!(world.values(), Vec::<String>::new());
    let published = world.words.0.lock().unwrap().iter().filter(|word| *word == "Published").count();
    assert_eq!(published, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_withdraws_within_its_grace() {
    let world = world(|options| options.issue_delay = Duration::from_secs(3600)).await;
    world.order(Generation::Instance, &["www.example.com"]);
    let stop = Stop::default();
    *stop.grace.lock().unwrap() = Duration::from_secs(8);
    let options = world.options();
    let interrupt = async {
        world.until_records(1).await;
        stop.stop.cancel();
    };
    let (summary, ()) = tokio::join!(run(&world.surroundings, &options, &stop), interrupt);
    let summary = summary.unwrap();
    assert!(summary.interrupted);
    assert!(matches!(&summary.orders[0].1, Err(error) if error.kind() == ErrorKind::Interrupted), "{summary:?}");
    assert_eq!(world.values(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orders_with_the_same_record_are_two_holders() {
    let world = world(|options| options.issue_delay = Duration::from_secs(3600)).await;
    let id = world.order(Generation::Instance, &["www.example.com"]);
    let no_wait = Options { no_wait: true, orders: vec![id.clone()], ..world.options() };
    // The first look is before the challenge is there: `--no-wait` leaves at once.
    while world.sandbox.records().is_empty() {
        let summary = world.run(&no_wait).await;
        assert!(matches!(summary.orders[0].1, Ok(Outcome::LeftWaiting)), "{summary:?}");
    }
    let value = world.values().remove(0);
    let record = Record { name: name("_dnsauth.www.example.com"), record_type: RecordType::Txt, value };
    add_record(&world.surroundings, &record, &Permission::default()).await.unwrap();
    let holders = world.surroundings.store.entries().await.unwrap().remove(0).holders;
    assert_eq!(holders.len(), 2);
    assert!(!clean(&world.surroundings, &[], false, false).await.unwrap().is_empty());
    assert_eq!(world.values().len(), 1, "the order still waits");
    world.sandbox.fault(Fault::Order { order: id, change: OrderChange::Reject }).unwrap();
    clean(&world.surroundings, &[], false, false).await.unwrap();
    assert_eq!(world.values().len(), 1, "the person still wants it");
    remove_record(&world.surroundings, &record).await.unwrap();
    clean(&world.surroundings, &[], false, false).await.unwrap();
    assert_eq!(world.values(), Vec::<String>::new());
    remove_record(&world.surroundings, &record).await.unwrap();
}
