//! The one error type of the library: what failed, why, whether another try makes sense, and what to do next.

use std::{fmt, time::Duration};

use crate::language::t;

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is. The command line maps each to an exit code ([`ErrorKind::exit_code`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The program met something that it did not expect.
    Unexpected,
    /// The command line asks for what cannot be, or the guard refuses it.
    Usage,
    /// The configuration, a manifest, or a file that it names is wrong.
    Config,
    /// Credentials are missing, wrong or expired.
    Credentials,
    /// The credentials are good, but may not do this.
    Rights,
    /// The DNS provider failed or answered what cannot be understood.
    Provider,
    /// The order source (CAS, ACME) failed or answered what cannot be understood.
    OrderSource,
    /// The order does not exist at this source.
    UnknownOrder,
    /// The record was not visible in time.
    NotVisible,
    /// The CA refused the order.
    Refused,
    /// The CA was still at it when the time was up.
    StillWaiting,
    /// Another run holds the order or the record.
    Held,
    /// The store (journal, orders) failed.
    Store,
    /// Certificate files or hooks failed.
    Delivery,
    /// A signal ended the run.
    Interrupted,
}

impl ErrorKind {
    /// One word, for monitoring and for programs that are told of failures.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Credentials => "credentials",
            Self::Rights => "rights",
            Self::Provider => "provider",
            Self::OrderSource => "order-source",
            Self::UnknownOrder => "unknown-order",
            Self::NotVisible => "not-visible",
            Self::Refused => "refused",
            Self::StillWaiting => "still-waiting",
            Self::Held => "held",
            Self::Store => "store",
            Self::Delivery => "delivery",
            Self::Interrupted => "interrupted",
        }
    }

    /// The exit code of the program (README, section *Exit codes*).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Unexpected | Self::OrderSource | Self::Store | Self::Delivery => 1,
            Self::Usage | Self::Config | Self::UnknownOrder => 2,
            Self::Credentials | Self::Rights => 3,
            Self::Provider => 4,
            Self::NotVisible => 5,
            Self::Refused => 6,
            Self::StillWaiting => 7,
            Self::Held => 8,
            Self::Interrupted => 130,
        }
    }
}

/// Whether the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No: the same call fails again.
    Never,
    /// Perhaps, after a back-off.
    Later,
    /// The other side said when: not before this time has passed.
    After(Duration),
}

/// An error. `Display` is one line, a fragment that reads after "failed: "; [`Error::hint`] says what to do.
///
/// It never holds a secret: whoever makes one from foreign text redacts that text first.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    retry: Retry,
    code: Option<String>,
    request_id: Option<String>,
    http_status: Option<u16>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind. `message` names the thing and says why, in lower case, without a final period.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            retry: Retry::Never,
            code: None,
            request_id: None,
            http_status: None,
            source: None,
        }))
    }

    /// An error of kind [`ErrorKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// An error of kind [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// An error of kind [`ErrorKind::Provider`].
    pub fn provider(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Provider, message)
    }

    /// Adds what to do next: a sentence fragment in the imperative, such as "set `DV_X_TOKEN`".
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says whether another try makes sense. Default: [`Retry::Never`].
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Keeps the error code of the API.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Keeps the request id of the API, which its support asks for.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.0.request_id = Some(request_id.into());
        self
    }

    /// Keeps the HTTP status of the reply.
    #[must_use]
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Keeps the error below this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts `what` in front of the message: "what: message".
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = t!("%{what}: %{message}", what, message = self.0.message);
        self
    }

    /// Changes the kind; everything else stays.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message alone, without code and request id.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, if anything is known to help.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether another try makes sense.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The error code of the API.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The request id of the API.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The HTTP status of the reply.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut facts = Vec::new();
        if let Some(code) = self.code().filter(|code| !self.0.message.contains(code)) {
            facts.push(t!("code %{code}", code));
        }
        if let Some(status) = self.http_status() {
            facts.push(format!("HTTP {status}"));
        }
        if let Some(id) = self.request_id() {
            facts.push(t!("request id %{id}", id));
        }
        if !facts.is_empty() {
            f.write_str(&t!(" (%{facts})", facts = facts.join(t!(", "))))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        if let Some(hint) = self.hint() {
            write!(f, "\nhint: {hint}")?;
        }
        let mut below = std::error::Error::source(self);
        while let Some(error) = below {
            write!(f, "\ncaused by: {error}")?;
            below = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_code_status_and_request_id() {
        let error = Error::new(ErrorKind::OrderSource, "DescribeDVOrderResult: too many requests")
            .with_code("Throttling.User")
            .with_http_status(400)
            .with_request_id("ABC");
        assert_eq!(
            error.to_string(),
            "DescribeDVOrderResult: too many requests (code Throttling.User, HTTP 400, request id ABC)"
        );
    }
}
