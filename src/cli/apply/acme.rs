//! `apply` at an ACME CA.

use super::super::{exit::Exit, session::Session};
use crate::error::{Error, Result};

/// Applies for certificates at an ACME CA.
pub(super) async fn run(_session: &Session, _arguments: &super::Arguments) -> Result<Exit> {
    Err(Error::usage("this version does not apply at ACME CAs"))
}
