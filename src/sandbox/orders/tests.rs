//! States and their changes, in invented time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

struct Setting {
    ca: CertificateAuthority,
    book: OrderBook,
    start: Instant,
}

impl Setting {
    fn new() -> Self {
        Self { ca: CertificateAuthority::new(1).unwrap(), book: OrderBook::default(), start: Instant::now() }
    }

    /// Puts in an order whose challenge comes after two seconds.
    fn add(&mut self, generation: Generation, domains: &[&str], traits: OrderTraits) -> String {
        let order = NewOrder { generation, domains: domains.iter().copied().map(name).collect() };
        self.book.add(order, traits, self.start + 2 * SECOND, |_| name("example.com"), &self.ca).0
    }

    fn stage(&mut self, id: &str, seconds: u32) -> Stage {
        let now = self.start + seconds * SECOND;
        self.book.advance(now, &self.ca);
        self.book.get(id).unwrap().stage(now)
    }

    fn change(&mut self, id: &str, change: OrderChange, seconds: u32) {
        self.book.change(id, &change, self.start + seconds * SECOND, &self.ca).unwrap();
    }

    /// All authorities show the values of the order's challenges with these numbers.
    fn publish(&mut self, id: &str, challenges: &[usize], seconds: u32) {
        let all = &self.book.get(id).unwrap().challenges;
        let shown: Vec<(Name, String)> = challenges.iter().map(|i| (all[*i].name.clone(), all[*i].value.clone())).collect();
        for (owner, value) in shown {
            let seen = Seen { texts: HashSet::from([value, "foreign".to_owned()]), ..Seen::default() };
            self.book.saw(&owner, &seen, self.start + seconds * SECOND, SECOND);
        }
    }
}

#[test]
fn an_order_goes_from_preparing_to_issued() {
    let mut setting = Setting::new();
    let id = setting.add(Generation::Api2018, &["www.example.com"], OrderTraits::default());
    assert!(id.starts_with("cas-cn-"));
    assert_eq!(setting.stage(&id, 1), Stage::Preparing);
    setting.publish(&id, &[0], 1);
    assert_eq!(setting.stage(&id, 2), Stage::Checking, "a record that was there before the challenge is looked at again");
    let value = &setting.book.get(&id).unwrap().challenges[0].value;
    assert_eq!(value.len(), 64);
    assert!(value.starts_with("20") && value[8..].starts_with("0000000"), "{value}");
    assert!(value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    setting.publish(&id, &[0], 3);
    assert_eq!(setting.stage(&id, 3), Stage::Reviewing);
    assert!(setting.book.get(&id).unwrap().certificate.is_none());
    assert_eq!(setting.stage(&id, 4), Stage::Issued);
    assert!(!setting.book.waits_for(&name("_dnsauth.www.example.com")));
}

#[test]
fn all_challenges_must_be_seen() {
    let mut setting = Setting::new();
    let id = setting.add(Generation::Instance, &["example.com", "*.example.com"], OrderTraits::default());
    let order = setting.book.get(&id).unwrap();
    assert_eq!(order.challenges[0].name, order.challenges[1].name);
    assert_ne!(order.challenges[0].value, order.challenges[1].value);
    setting.publish(&id, &[0], 3);
    assert_eq!(setting.stage(&id, 9), Stage::Checking);
    setting.publish(&id, &[1], 9);
    assert_eq!(setting.stage(&id, 10), Stage::Issued);
}

#[test]
fn a_renewal_shows_the_old_certificate_until_the_new_one_is_there() {
    let mut setting = Setting::new();
    let id = setting.add(Generation::Instance, &["example.com"], OrderTraits { renewal: true, ..OrderTraits::default() });
    let old = setting.book.get(&id).unwrap().certificate.as_ref().unwrap().0;
    assert!(setting.book.get(&id).unwrap().issued_certificate().is_none());
    setting.publish(&id, &[0], 3);
    assert_eq!(setting.stage(&id, 4), Stage::Issued);
    let new = setting.book.get(&id).unwrap().issued_certificate().unwrap().0;
    assert_ne!(old, new);
    assert_eq!(setting.book.certificates().count(), 2);
}

#[test]
fn a_changed_challenge_counts_alone() {
    let mut setting = Setting::new();
    let id = setting.add(Generation::Order, &["example.com"], OrderTraits::default());
    let old = setting.book.get(&id).unwrap().challenges[0].value.clone();
    setting.change(&id, OrderChange::ChangeChallenge, 3);
    assert_ne!(setting.book.get(&id).unwrap().challenges[0].value, old);
    let seen = Seen { texts: HashSet::from([old]), ..Seen::default() };
    setting.book.saw(&name("_dnsauth.example.com"), &seen, setting.start + 4 * SECOND, SECOND);
    assert_eq!(setting.stage(&id, 9), Stage::Checking);
    setting.publish(&id, &[0], 9);
    assert_eq!(setting.stage(&id, 10), Stage::Issued);
}

#[test]
fn what_is_done_to_an_order_shows() {
    let mut setting = Setting::new();
    let id = setting.add(Generation::Instance, &["example.com"], OrderTraits::default());
    setting.change(&id, OrderChange::LateChallenge { millis: 5000 }, 3);
    assert_eq!(setting.stage(&id, 7), Stage::Preparing);
    setting.change(&id, OrderChange::UnknownState { word: "dreaming".to_owned() }, 8);
    assert_eq!(setting.stage(&id, 8), Stage::Word("dreaming".to_owned()));
    setting.change(&id, OrderChange::Recover, 8);
    assert_eq!(setting.stage(&id, 8), Stage::Checking);
    setting.change(&id, OrderChange::Hold, 8);
    setting.publish(&id, &[0], 8);
    assert_eq!(setting.stage(&id, 20), Stage::Checking);
    setting.change(&id, OrderChange::Recover, 20);
    setting.publish(&id, &[0], 20);
    assert_eq!(setting.stage(&id, 20), Stage::Reviewing);
    setting.change(&id, OrderChange::Close, 20);
    assert_eq!(setting.stage(&id, 30), Stage::Closed);
    assert!(setting.book.change("none", &OrderChange::Reject, setting.start, &setting.ca).is_none());

    let id = setting.add(Generation::Order, &["example.com"], OrderTraits { submitted: false, ..OrderTraits::default() });
    assert_eq!(setting.stage(&id, 30), Stage::NotSubmitted);
    let id = setting.add(Generation::Order, &["example.com"], OrderTraits { validation: Validation::File, ..Default::default() });
    setting.change(&id, OrderChange::Reject, 3);
    assert_eq!(setting.stage(&id, 3), Stage::Rejected);
    let id = setting.add(Generation::Order, &["example.com"], OrderTraits { validation: Validation::File, ..Default::default() });
    setting.change(&id, OrderChange::Issue, 3);
    assert_eq!(setting.stage(&id, 3), Stage::Issued);
}
