//! One request to one server with the redirects that ACME CAs follow.

use std::net::SocketAddr;

use super::{
    Options, Scheme, addresses,
    fetch::{self, Trust, Verdict},
};
use crate::{error::Result, name::Name};

/// How many redirects are followed. The standard does not say; ten is what Let's Encrypt follows.
const MOST: usize = 10;

/// Asks one server for the file over http, and goes where it leads.
///
/// # Errors
/// `ErrorKind::Config` where no client can be made here.
pub(super) async fn ask(options: &Options, url: fetch::Url<'_>, content: &str) -> Result<Verdict> {
    let mut here = format!("{}://{}{}", url.scheme.as_str(), url.host, url.path);
    let mut verdict = fetch::ask(url, content, options.timeout, Trust::Any).await?;
    for step in 0.. {
        let Verdict::Redirect { to, .. } = &verdict else {
            return Ok(if step == 0 || verdict == Verdict::Visible { verdict } else { behind(here, verdict) });
        };
        if step == MOST {
            return Ok(behind(here, Verdict::Broken(format!("more than {MOST} redirects follow one another"))));
        }
        let next = match Step::to(&here, to) {
            Ok(next) => next,
            Err(why) => return Ok(behind(to.clone(), Verdict::Broken(why))),
        };
        here.clone_from(&next.url);
        verdict = match address(options, &next).await {
            Ok(address) => {
                let url = fetch::Url { host: &next.host, scheme: next.scheme, address, path: &next.path };
                fetch::ask(url, content, options.timeout, Trust::Any).await?
            }
            Err(why) => Verdict::NoAnswer(why),
        };
    }
    Ok(verdict)
}

fn behind(url: String, verdict: Verdict) -> Verdict {
    Verdict::Behind { url, verdict: Box::new(verdict) }
}

/// Where a redirect leads.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    url: String,
    host: Name,
    scheme: Scheme,
    /// With the query.
    path: String,
}

impl Step {
    /// The place that `to` is, seen from `here`; the reason where no CA goes there.
    fn to(here: &str, to: &str) -> std::result::Result<Self, String> {
        let url = url::Url::parse(here).and_then(|here| here.join(to)).map_err(|_| "is no URL".to_owned())?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(format!("has the scheme `{other}`, and CAs go to http and https only")),
        };
        if url.port().is_some() {
            return Err("has a port of its own, and CAs go to ports 80 and 443 only".to_owned());
        }
        let host = match url.host() {
            Some(url::Host::Domain(host)) => Name::parse(host).map_err(|error| error.to_string())?,
            _ => return Err("is an address, and CAs go to names only".to_owned()),
        };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self { host, scheme, path: format!("{}{query}", url.path()), url: url.to_string() })
    }
}

/// The server that plays the host: one that the user states for the scheme, else the first that DNS names.
async fn address(options: &Options, step: &Step) -> std::result::Result<SocketAddr, String> {
    if let Some((_, stated)) = options.stated.iter().find(|(scheme, _)| *scheme == step.scheme) {
        return Ok(*stated);
    }
    let first = addresses(options, &step.host).await?.into_iter().next();
    first.map(|ip| SocketAddr::new(ip, step.scheme.port())).ok_or_else(|| "it has no address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_where_a_ca_goes_or_is_refused() {
        let here = "http://a.example/.well-known/acme-challenge/t";
        let to = |to: &str| Step::to(here, to).map(|step| (step.scheme.as_str(), step.host.to_string(), step.path));
        assert_eq!(to("https://www.a.example/x?y=1").unwrap(), ("https", "www.a.example".to_owned(), "/x?y=1".to_owned()));
        assert_eq!(to("/elsewhere").unwrap(), ("http", "a.example".to_owned(), "/elsewhere".to_owned()));
        assert_eq!(to("https://a.example:443/").unwrap().0, "https", "the usual port may be said");
        for (place, why) in [
            ("https://a.example:8443/", "port of its own"),
            ("http://192.0.2.1/", "is an address"),
            ("ftp://a.example/", "scheme `ftp`"),
            ("http://", "is no URL"),
        ] {
            assert!(to(place).unwrap_err().contains(why), "{place}");
        }
    }
}
