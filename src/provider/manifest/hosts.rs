//! Where a manifest may talk to: the base URL and the hosts that it names, or what the user puts in their place.

use std::collections::BTreeMap;

use serde_json::json;
use url::Url;

use super::{
    credentials::Credentials,
    plan::Plan,
    template::{Template, context_of},
};
use crate::{
    error::{Error, Result},
    http::require_safe,
    language::t,
    provider::settings::Settings,
};

/// The base URLs of one provider instance.
#[derive(Debug)]
pub(super) struct Hosts {
    base: String,
    named: BTreeMap<String, String>,
}

impl Hosts {
    /// Whether a base URL holds a credential.
    pub(super) fn need_credentials(plan: &Plan) -> bool {
        plan.hosts.values().chain([&plan.base_url]).any(|template| template.mentions("cred"))
    }

    /// Works the base URLs out. The settings `base_url` and `url_<host>` (`DV_<ID>_BASE_URL`, `DV_<ID>_URL_<HOST>`) override.
    ///
    /// # Errors
    /// `ErrorKind::Config` for what is no URL, is plain http to somewhere else than loopback, or holds a password.
    pub(super) fn resolve(plan: &Plan, settings: &Settings, credentials: &Credentials) -> Result<Self> {
        let context = context_of(&json!({"cred": credentials.object(None)?}));
        let one = |setting: &str, template: &Template| {
            let (text, origin) = if let Some(found) = settings.find(setting, &[])? {
                (found.value.expose().to_owned(), found.origin)
            } else {
                let text = template.text(&context).map_err(|why| Error::config(format!("{}: {why}", plan.outline.origin)))?;
                (text.unwrap_or_default(), t!("the URL of %{provider}", provider = plan.outline.title))
            };
            let url = Url::parse(&text).map_err(|why| Error::config(t!("%{origin} is not a URL: %{why}", origin, why)))?;
            require_safe(&url, settings.allow_http, &origin)?;
            Ok(text.trim_end_matches('/').to_owned())
        };
        let named = plan.hosts.iter().map(|(name, template)| Ok((name.clone(), one(&format!("url_{name}"), template)?)));
        Ok(Self { base: one("base_url", &plan.base_url)?, named: named.collect::<Result<_>>()? })
    }

    /// A base URL with path and query behind it.
    ///
    /// # Errors
    /// `ErrorKind::Config` where that is no URL, or one of another host.
    pub(super) fn url(&self, host: Option<&str>, path: &str) -> Result<Url> {
        let base = host.and_then(|host| self.named.get(host)).unwrap_or(&self.base);
        let url = Url::parse(&format!("{base}{path}"))
            .map_err(|why| Error::config(t!("base URL and path make no URL: %{why}", why)))?;
        self.require_known(&url)?;
        Ok(url)
    }

    /// Refuses a URL whose scheme, host and port are not those of a base URL.
    ///
    /// # Errors
    /// `ErrorKind::Provider`, since such a URL comes from a reply.
    pub(super) fn require_known(&self, url: &Url) -> Result<()> {
        let bases = self.named.values().chain([&self.base]).filter_map(|base| Url::parse(base).ok());
        if bases.into_iter().any(|base| base.origin() == url.origin()) && url.username().is_empty() && url.password().is_none() {
            return Ok(());
        }
        let host = url.host_str().unwrap_or("nowhere");
        Err(Error::provider(t!("the manifest does not name the host `%{host}`, so nothing is sent there", host)))
    }
}
