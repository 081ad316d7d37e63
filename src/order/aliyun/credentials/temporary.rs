//! Credentials that do not last.

use super::source::Keys;
use crate::lifetime::Lifetime;

/// Temporary credentials.
#[derive(Clone)]
pub(super) struct Temporary {
    pub(super) keys: Keys,
    pub(super) lifetime: Lifetime,
}
