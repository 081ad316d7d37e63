//! Being seen: what goes on, for monitoring (`/metrics`, `/healthz`, `/readyz`) and for people (one page, live).
//!
//! A [`Board`] listens to the events of a run; [`serve`] shows it. Nothing here changes a run, and nothing waits for a reader.

use std::{fmt, net::SocketAddr, sync::Arc};

use crate::{
    delivery::Held,
    error::{Error, Result},
    language::t,
    name::Name,
    secret::Secret,
};

mod access;
mod board;
mod metrics;
mod order;
mod page;
mod server;

pub use self::{board::Board, server::Serving};

/// The shortest token: sixteen random letters cannot be guessed over a network.
pub const LEAST_TOKEN: usize = 16;

/// Where and for whom the board is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address (`--listen`). Port 0: any free one.
    pub address: SocketAddr,
    /// What readers must show (`--listen-token-file`); `/healthz` and `/readyz` do without. `None`: nothing.
    pub token: Option<Secret>,
    /// The names by which readers come (`--listen-host`), beside `localhost` and addresses.
    pub hosts: Vec<Name>,
}

impl Listen {
    /// Makes sure that nobody but this machine reads without a token.
    ///
    /// # Errors
    /// `ErrorKind::Config` for an address that is not loopback without a token, and for a token that can be guessed.
    pub fn check(&self) -> Result<()> {
        if !self.address.ip().is_loopback() && self.token.is_none() {
            return Err(Error::config(t!(
                "`--listen %{address}` can be reached from other machines, and asks for no token",
                address = self.address
            ))
            .with_hint(t!("listen on 127.0.0.1 and let a web server with TLS pass on, or give `--listen-token-file FILE`")));
        }
        match &self.token {
            Some(token) if token.expose().len() < LEAST_TOKEN => {
                Err(Error::config(t!("the token for `--listen` is shorter than %{LEAST_TOKEN} characters", LEAST_TOKEN))
                    .with_hint(t!("make one with `openssl rand -hex 24`")))
            }
            _ => Ok(()),
        }
    }
}

/// What the board does not hear of by itself, asked for when somebody looks.
#[derive(Clone)]
pub struct Snapshots {
    /// How often each operation of the order source was called so far.
    pub calls: Arc<dyn Fn() -> Vec<(String, u64)> + Send + Sync>,
    /// The certificates on disk; may read files, and is asked at most once a minute.
    pub certificates: Arc<dyn Fn() -> Vec<Held> + Send + Sync>,
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshots")
    }
}

/// Shows the board until the returned value is dropped.
///
/// # Errors
/// As [`Listen::check`]; `ErrorKind::Config` where the address cannot be listened on.
pub async fn serve(listen: &Listen, board: Board, snapshots: Snapshots) -> Result<Serving> {
    server::serve(listen, board, snapshots, server::HEADER_TIMEOUT).await
}

#[cfg(test)]
mod tests;
