//! What the user chose about CAS.

use super::{
    layers::{Layers, number},
    parse,
};
use crate::{
    error::{Error, Result},
    language::{Language, t},
    order::{
        Generation,
        aliyun::{CasOptions, Signature},
    },
};

/// Reads the options of the group *Alibaba Cloud*.
pub(super) fn cas(layers: &Layers) -> Result<CasOptions> {
    let generations = |text: &str| {
        Ok(match text {
            "2018" => vec![Generation::Api2018],
            "order" => vec![Generation::Order],
            "instance" => vec![Generation::Instance],
            _ => Vec::new(),
        })
    };
    let text = |text: &str| Ok(text.to_owned());
    let defaults = CasOptions::default();
    Ok(CasOptions {
        account: layers.one("account", account)?.unwrap_or_default(),
        generations: layers.one("api", generations)?.unwrap_or_default(),
        endpoint: layers.one("endpoint", parse::endpoint)?,
        region: layers.one("region", region)?,
        signature: layers.one("signature", |text| Ok(if text == "v3" { Signature::V3 } else { Signature::V1 }))?,
        lang: Some(layers.one("lang", text)?.unwrap_or_else(|| Language::current().code().to_owned())),
        source_ip: layers.one("source-ip", source_ip)?,
        calls_per_second: layers.one("rate", |text| number(text, 1))?.unwrap_or(defaults.calls_per_second),
    })
}

/// The name of an account becomes part of the names of orders and locks.
fn account(text: &str) -> Result<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
        return Err(Error::config(t!("`%{text}` is not a name for an account", text))
            .with_hint(t!("use up to 64 letters, digits, `-`, `_` and `.`: it is a name of your own, not a key")));
    }
    Ok(text.to_owned())
}

/// A region becomes part of a host name.
fn region(text: &str) -> Result<String> {
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(Error::config(t!("`%{text}` is not a region", text))
            .with_hint(t!("regions look like `cn-hangzhou` and `ap-southeast-1`")));
    }
    Ok(text.to_owned())
}

fn source_ip(text: &str) -> Result<String> {
    let address: std::net::IpAddr = text.parse().map_err(|_| Error::config(t!("`%{text}` is not an IP address", text)))?;
    Ok(address.to_string())
}
