//! The hook that tells the services of a new certificate.

use std::{path::Path, time::Duration};

use super::Delivered;
use crate::{environment::Environment, error::Result, hook::Hook, language::t, order::OrderId};

/// Runs a hook with the paths in its environment: `DV_ORDER_ID`, `DV_FOLDER`, `DV_NAMES` (blank-separated), `DV_SERIAL`, `DV_NOT_AFTER`,
/// `DV_LIVE`, `DV_CERT`, `DV_CHAIN`, `DV_FULLCHAIN` and, where there is a key, `DV_PRIVKEY` (all below `live`), without any variable in
/// `hidden`.
///
/// # Errors
/// As [`Hook::run`].
pub async fn run_hook(
    hook: &Hook,
    delivered: &Delivered,
    order: &OrderId,
    environment: &Environment,
    hidden: &[String],
    timeout: Duration,
) -> Result<()> {
    hook.run(&variables(delivered, order), environment, hidden, timeout).await.map_err(|error| {
        let hint = error.hint().map_or_else(
            || t!("the certificate is on disk; mend the hook, and the next run calls it again").to_owned(),
            |hint| t!("%{hint}; the certificate is on disk", hint),
        );
        error.with_hint(hint)
    })
}

/// What a hook, or a notice, learns of a certificate.
pub(crate) fn variables(delivered: &Delivered, order: &OrderId) -> Vec<(&'static str, String)> {
    // Absolute, since a hook may change its folder.
    let live = std::path::absolute(&delivered.live).unwrap_or_else(|_| delivered.live.clone());
    let path = |file: &str| live.join(file).display().to_string();
    let folder = delivered.live.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let names = delivered.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut all = vec![
        ("DV_ORDER_ID", order.to_string()),
        ("DV_FOLDER", folder.unwrap_or_default()),
        ("DV_NAMES", names),
        ("DV_SERIAL", delivered.serial.clone()),
        ("DV_NOT_AFTER", delivered.not_after.to_string()),
        ("DV_LIVE", live.display().to_string()),
        ("DV_CERT", path("cert.pem")),
        ("DV_CHAIN", path("chain.pem")),
        ("DV_FULLCHAIN", path("fullchain.pem")),
    ];
    if delivered.has_private_key {
        all.push(("DV_PRIVKEY", path("privkey.pem")));
    }
    all
}
