//! Where and for whom a run is shown.

use std::net::SocketAddr;

use super::{layers::Layers, place::private_file};
use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    status::Listen,
};

/// `--listen` with its companions, where it is given.
pub(super) fn listen(layers: &Layers) -> Result<Option<Listen>> {
    let token = layers.one("listen-token-file", |path| private_file(path, t!("the token")))?;
    let hosts = layers.all("listen-host", Name::parse)?;
    let Some(address) = layers.one("listen", address)? else { return Ok(None) };
    let listen = Listen { address, token, hosts };
    listen.check()?;
    Ok(Some(listen))
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| {
        Error::config(t!("`%{text}` is not an address with a port", text))
            .with_hint(t!("write `127.0.0.1:9123`, or `[::1]:9123`"))
    })
}
