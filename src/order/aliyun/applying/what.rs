//! What is applied for, where, and what became of it: plain data.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::failure;
use crate::{error::Error, name::Name, order::OrderId};

/// What to apply for.
#[derive(Clone, Debug)]
pub struct Application {
    /// The names of the certificate; never empty.
    pub names: Vec<Name>,
    /// The certificate request, PEM; `None`: the service makes the key.
    pub csr: Option<String>,
    /// `RSA_2048`, `RSA_3072`, `RSA_4096`, `ECC_256`; `None`: the service's default. Instances only.
    pub key_algorithm: Option<String>,
    /// Who applies, as packages and 2018 want to know.
    pub applicant: Applicant,
    /// The contacts of an instance that has none yet; empty: the account's first.
    pub contacts: Vec<u64>,
    /// Whether the names are proven by files on their web servers; else by DNS records. An order has one way for all its names.
    pub by_file: bool,
}

impl Application {
    /// The word of packages and of 2018 for how the names are proven; instances say HTTP for FILE.
    pub(super) fn check_type(&self) -> &'static str {
        if self.by_file { "FILE" } else { "DNS" }
    }
}

/// Who applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applicant {
    /// The name.
    pub name: Option<String>,
    /// The mail address.
    pub email: Option<String>,
    /// The telephone number.
    pub phone: Option<String>,
    /// The province; 2018 only.
    pub province: Option<String>,
    /// The city; 2018 only.
    pub city: Option<String>,
}

/// What the user says about where to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// An instance that is free.
    Any,
    /// This instance, of 2020-04-07 or of 2018.
    Instance(OrderId),
    /// The package of this product.
    Product(String),
    /// A new order in the place of this one of a package.
    Renewal(OrderId),
}

/// Where to apply, decided; kept before anything is sent, so that a later run can look whether it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "way")]
pub enum Way {
    /// The same names are being applied for already.
    Already {
        /// The order.
        id: OrderId,
    },
    /// An instance of 2020-04-07.
    Instance {
        /// The instance.
        id: OrderId,
        /// The certificate that it shows before the application.
        before: Option<String>,
    },
    /// An order out of a package.
    Package {
        /// The product.
        product: String,
        /// The orders for the first name before the application.
        before: BTreeSet<OrderId>,
    },
    /// A new order in the place of an issued one of a package.
    Renewal {
        /// The issued order.
        id: OrderId,
        /// The orders for the first name before the application.
        before: BTreeSet<OrderId>,
    },
    /// An instance of 2018.
    Audit {
        /// The instance.
        id: OrderId,
    },
}

impl Way {
    /// The certificate that the order showed before the application.
    pub fn certificate_before(&self) -> Option<&str> {
        match self {
            Self::Instance { before, .. } => before.as_deref(),
            _ => None,
        }
    }
}

/// Why an application has no order.
#[derive(Debug)]
pub enum NotSubmitted {
    /// The service did nothing.
    Refused(Error),
    /// It is not known whether the service made an order.
    Unknown(Error),
}

impl NotSubmitted {
    pub(super) fn of(error: Error) -> Self {
        if failure::is_outcome_unknown(&error) { Self::Unknown(error) } else { Self::Refused(error) }
    }
}
