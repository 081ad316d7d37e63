//! Errors of the service: code, message, HTTP status.

use std::fmt::Display;

/// An error of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Failure {
    /// The HTTP status.
    pub(super) status: u16,
    /// `Code`.
    pub(super) code: String,
    /// `Message`.
    pub(super) message: String,
    /// `x-acs-retry-after`, in milliseconds.
    pub(super) retry_after: Option<u64>,
}

impl Failure {
    /// An error with this HTTP status.
    pub(super) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), retry_after: None }
    }

    /// A parameter is missing.
    pub(super) fn missing(parameter: &str) -> Self {
        let message =
            format!("The input parameter \"{parameter}\" that is mandatory for processing this request is not supplied.");
        Self::new(400, "MissingParameter", message)
    }

    /// A parameter is not what it should be.
    pub(super) fn invalid(parameter: &str, why: &str) -> Self {
        Self::new(400, "InvalidParameter", format!("The specified parameter \"{parameter}\" {why}."))
    }

    /// There is no such order; so answers also the endpoint of another region.
    pub(super) fn unknown_order() -> Self {
        Self::new(404, "NotFoundOrder", "The order does not exist.")
    }

    /// There is no such instance or certificate; so answers also the endpoint of another region.
    pub(super) fn not_found(what: impl Display) -> Self {
        Self::new(404, "NotFound", format!("The {what} does not exist."))
    }

    /// Too many calls.
    pub(super) fn throttled(retry_after: Option<u64>) -> Self {
        let failure = Self::new(400, "Throttling.User", "Request was denied due to user flow control.");
        Self { retry_after, ..failure }
    }

    /// Something broke.
    pub(super) fn internal() -> Self {
        let message = "The request processing has failed due to some unknown error, exception or failure.";
        Self::new(500, "InternalError", message)
    }
}
