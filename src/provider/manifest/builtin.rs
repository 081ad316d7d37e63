//! The manifests in the binary.

use std::sync::OnceLock;

use serde::Deserialize;

/// Id and text of each.
pub(super) const ALL: &[(&str, &str)] = &[
    ("alidns", include_str!("../../../providers/alidns.toml")),
    ("cloudflare", include_str!("../../../providers/cloudflare.toml")),
    ("desec", include_str!("../../../providers/desec.toml")),
    ("digitalocean", include_str!("../../../providers/digitalocean.toml")),
    ("gandi", include_str!("../../../providers/gandi.toml")),
    ("powerdns", include_str!("../../../providers/powerdns.toml")),
    ("route53", include_str!("../../../providers/route53.toml")),
    ("tencentcloud", include_str!("../../../providers/tencentcloud.toml")),
];

/// Words whose variables (`DV_<WORD>_…`) mean something else: providers in Rust, and settings of the program.
const OTHER: &[&str] = &["rfc2136", "exec", "httpreq", "manual", "acme", "aliyun", "alibaba", "store", "hook", "config"];

/// Every id and alias that a user's manifest may not take.
pub(super) fn names() -> &'static [String] {
    #[derive(Deserialize)]
    struct Aliases {
        #[serde(default)]
        aliases: Vec<String>,
    }

    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let aliases = |text: &str| toml::from_str::<Aliases>(text).map(|found| found.aliases).unwrap_or_default();
        ALL.iter()
            .flat_map(|(id, text)| std::iter::once((*id).to_owned()).chain(aliases(text)))
            .chain(OTHER.iter().map(|word| (*word).to_owned()))
            .collect()
    })
}
