//! `apply`: new orders, and the ordinary journey to their certificates. Which CA decides which file here.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{exit::Exit, session::Session};
use crate::{
    error::{Error, Result},
    language::t,
    name::{Name, in_words, same_names},
    order::acme::Request,
};

pub(super) mod acme;
pub(super) mod cas;
mod list;

/// What to apply for.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The names of the certificate; the first one names its folder.
    #[arg(id = "names", value_name = "NAME")]
    names: Vec<Name>,
    /// Apply for many certificates: the names of one on each line.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "csr"])]
    list: Option<PathBuf>,
    /// A certificate request (PEM) of your own: its key stays with you, its names are the certificate's.
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Apply even where the certificate that is there is good for a while yet.
    #[arg(long)]
    force: bool,
    /// What only CAS orders need.
    #[command(flatten)]
    cas: cas::Arguments,
}

/// Applies at the ACME CA that `--ca` names, else at CAS. The certificates of the config are those of ACME CAs.
pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<Exit> {
    let certificates = &session.file().certificates;
    let names_nothing = arguments.names.is_empty() && arguments.list.is_none() && arguments.csr.is_none();
    if names_nothing && certificates.is_empty() {
        return Err(Error::usage(t!("no name is given"))
            .with_hint(t!("say what the certificate is for: `dv-verify apply --ca letsencrypt example.com '*.example.com'`")));
    }
    let is_acme = session.chosen().acme.ca.is_some() || names_nothing;
    if is_acme { acme::run(session, arguments).await } else { cas::run(session, arguments).await }
}

/// The user's own certificate request. Its names count: those that are given beside it may not be others.
fn request(path: &Path, names: &[Name]) -> Result<Request> {
    let request = Request::read(path)?;
    if names.is_empty() || same_names(names, &request.names) {
        return Ok(request);
    }
    Err(Error::usage(t!(
        "the certificate request `%{path}` is for other names: %{names}",
        path = path.display(),
        names = in_words(&request.names)
    ))
    .with_hint(t!("leave the names out: those of the request count")))
}

fn without_repetitions(names: impl IntoIterator<Item = Name>) -> Vec<Name> {
    let mut seen = HashSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}
