//! One operation with its parameters, and where calls go.

use std::fmt;

use super::signing::Parameters;
use crate::order::OrderId;

/// One operation and its parameters.
pub(super) struct Call {
    /// The operation.
    pub(super) action: &'static str,
    /// The version of the API.
    pub(super) version: &'static str,
    /// The order that the call is about, for errors.
    pub(super) order: Option<OrderId>,
    pub(super) parameters: Parameters,
}

impl Call {
    /// A call without parameters.
    pub(super) fn new(action: &'static str, version: &'static str) -> Self {
        Self { action, version, order: None, parameters: Parameters::new() }
    }

    /// Names the order that the call is about; sends nothing by itself.
    pub(super) fn about(mut self, order: &OrderId) -> Self {
        self.order = Some(order.clone());
        self
    }

    /// Adds a parameter.
    pub(super) fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.parameters.insert(name.to_owned(), value.to_string());
        self
    }

    /// Adds a parameter where there is a value.
    pub(super) fn with_optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// Where calls go, for messages.
#[derive(Debug)]
pub(super) struct Site {
    /// Host, and port where it is not the usual one.
    pub(super) host: String,
    /// The region that led there, where the user named one.
    pub(super) region: Option<String>,
    /// Whether the user named the endpoint, so that the region does not count.
    pub(super) is_explicit: bool,
    /// Whether this is the China site (as opposed to the international one).
    pub(super) is_china: bool,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.region {
            Some(region) => write!(f, "{} (region {region})", self.host),
            None => f.write_str(&self.host),
        }
    }
}
