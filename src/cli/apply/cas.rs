//! `apply` at CAS.

use clap::Args;

use super::super::{exit::Exit, session::Session};
use crate::error::{Error, Result};

/// What only CAS orders need.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {}

/// Applies for a certificate at CAS.
#[expect(clippy::unused_async, reason = "the frame awaits it")]
pub(super) async fn run(_session: &Session, _arguments: &super::Arguments) -> Result<Exit> {
    Err(Error::usage("this version does not apply for orders at CAS")
        .with_hint("apply in the certificate console, then run `dv-verify`; `--ca letsencrypt` applies at an ACME CA"))
}
