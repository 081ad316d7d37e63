//! What an order can be, and what can be done to it.

use serde::{Deserialize, Serialize};

/// What else an order is, beside its API and its names. The default is an order that was submitted a moment ago, for the first time,
/// with DNS validation by TXT records at `_dnsauth`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderTraits {
    /// How the CA validates.
    pub validation: Validation,
    /// The label of the challenge name. Empty: the challenge is at the domain itself (`@` where that is the root domain).
    pub label: String,
    /// Whether a 2018 or `order` challenge shows only the label, and not the full name.
    pub relative: bool,
    /// Whether all names of the order share one challenge value.
    pub shared_value: bool,
    /// The value of its challenges, where two orders are to want the same record; `None`: one that nobody else has.
    pub value: Option<String>,
    /// Whether the instance has a certificate already, which stays `issued` in the replies while the new one is pending.
    pub renewal: bool,
    /// Whether the order was submitted; one that was not stays payed and inactive.
    pub submitted: bool,
    /// Whether the user's own CSR was given: the CA has no private key.
    pub own_key: bool,
    /// Whether the order was bought on its own (`BUY`), not out of a package (`CPACK`). Only for `order`.
    pub bought: bool,
    /// How long the CA takes to the challenge, in milliseconds; `None`: as the sandbox's options say.
    pub challenge_delay_ms: Option<u64>,
    /// Whether the instance submits itself as soon as it is updated, as bought ones may.
    pub auto_submit: bool,
    /// The AccessKeyId of the other account that the order is of; `None`: it is the first one's.
    pub account: Option<String>,
    /// Why the task of every submission of the instance fails (`TaskMessage`); `None`: it does not.
    pub task_failure: Option<String>,
    /// Whether the CA leaves the user's CSR aside and makes a key of its own.
    pub ignores_csr: bool,
}

impl Default for OrderTraits {
    fn default() -> Self {
        Self {
            validation: Validation::Txt,
            label: "_dnsauth".to_owned(),
            relative: false,
            shared_value: false,
            value: None,
            renewal: false,
            submitted: true,
            own_key: false,
            bought: false,
            challenge_delay_ms: None,
            auto_submit: false,
            account: None,
            task_failure: None,
            ignores_csr: false,
        }
    }
}

/// How the CA validates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Validation {
    /// By a TXT record.
    Txt,
    /// By a CNAME record.
    Cname,
    /// By a file, which the CA fetches over http from the sandbox's own web server.
    File,
}

/// What to do to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OrderChange {
    /// The CA refuses it: `checked_fail`, `verify_fail`, or an instance that falls back to `inactive`.
    Reject,
    /// The order is closed; for the orders that know no such state, as [`OrderChange::Reject`].
    Close,
    /// New values take the place of the old ones, which count no more.
    ChangeChallenge,
    /// The challenge is not there yet, and comes after so many milliseconds.
    LateChallenge {
        /// How long it takes.
        millis: u64,
    },
    /// The replies show this word as the order's state, until the next change.
    UnknownState {
        /// The word.
        word: String,
    },
    /// The state word goes back to the true one, and the CA goes on.
    Recover,
    /// The CA stops: it validates and issues nothing for this order until [`OrderChange::Recover`].
    Hold,
    /// The CA issues now, whatever DNS says.
    Issue,
}
