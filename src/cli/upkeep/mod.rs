//! What `watch --renew` keeps up: certificates of ACME CAs, and orders of CAS. When each is due, and how it is applied for, is what `renew` does.

mod acme;
mod cas;

pub(super) use acme::AcmeUpkeep;
pub(super) use cas::CasUpkeep;

use std::path::Path;

use crate::delivery::{self, Current};

/// The certificates on disk.
async fn on_disk(out: &Path) -> Vec<Current> {
    let out = out.to_owned();
    // It breaks off only where it panics; the next look comes.
    tokio::task::spawn_blocking(move || delivery::current(&out)).await.unwrap_or_default()
}
