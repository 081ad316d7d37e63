//! `renew` at an ACME CA.

use super::super::{exit::Exit, session::Session};
use crate::error::{Error, Result};

/// Renews certificates of an ACME CA.
pub(super) async fn run(_session: &Session, _arguments: &super::Arguments) -> Result<Exit> {
    Err(Error::usage("this version does not renew at ACME CAs"))
}
