//! Names at which CAs let people look.

use super::{Order, OrderState};
use crate::name::Name;

/// A word in a name for which CAs let people look at an application, which may take days.
pub fn word_for_review(name: &Name) -> Option<&'static str> {
    const WORDS: [&str; 8] = ["bank", "pay", "live", "login", "secure", "wallet", "credit", "gov"];
    WORDS.into_iter().find(|word| name.as_str().contains(word))
}

impl Order {
    /// The first of its names at which people may look, with the word that makes them. Where the API does not tell the names (2018), those of its
    /// challenges count.
    pub fn name_for_review(&self) -> Option<(Name, &'static str)> {
        let of_challenges: Vec<Name> = match &self.state {
            OrderState::Checking(challenges) if self.domains.is_empty() => {
                challenges.iter().filter_map(|challenge| Name::parse(&challenge.name).ok()).collect()
            }
            _ => Vec::new(),
        };
        self.domains.iter().chain(&of_challenges).find_map(|name| word_for_review(name).map(|word| (name.clone(), word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        order::{Challenge, ChallengeKind, Generation, OrderId},
        record::RecordType,
    };

    #[test]
    fn names_that_people_look_at() {
        let word = |name: &str| word_for_review(&Name::parse(name).unwrap());
        assert_eq!((word("my-bank.example"), word("www.example.com")), (Some("bank"), None));
    }

    #[test]
    fn a_challenge_names_the_domain_where_the_order_does_not() {
        let challenge = Challenge {
            domain: None,
            root_domain: None,
            kind: ChallengeKind::Record(RecordType::Txt),
            name: "_dnsauth.pay.example.com".into(),
            value: "v".into(),
        };
        let mut order = Order {
            id: OrderId::parse("cas-cn-1").unwrap(),
            generation: Generation::Api2018,
            domains: Vec::new(),
            state: OrderState::Checking(vec![challenge]),
            certificate_id: None,
            note: None,
        };
        assert_eq!(order.name_for_review().map(|(_, word)| word), Some("pay"));
        order.domains.push(Name::parse("www.example.com").unwrap());
        assert_eq!(order.name_for_review(), None);
    }
}
