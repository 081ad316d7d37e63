//! Where CAS is, by region.

use url::Url;

use crate::{
    error::{Error, Result},
    http::require_safe,
    language::t,
};

/// The host of a region, as an https URL.
///
/// No region and every region of the China site (`cn-…`) are served by `cas.aliyuncs.com`; others by `cas.<region>.aliyuncs.com`, of
/// which only `ap-southeast-1` (the international site) is known to serve certificate orders (vendor page "Endpoints" of CAS).
///
/// # Errors
/// `ErrorKind::Config` for what cannot be a region.
pub(super) fn of_region(region: Option<&str>) -> Result<Url> {
    let region = region.map(str::trim).unwrap_or_default().to_ascii_lowercase();
    let is_region = region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let host = match region.as_str() {
        "" => "cas.aliyuncs.com".to_owned(),
        _ if !is_region || region.len() > 40 => return Err(no_region(&region)),
        china if china.starts_with("cn-") => "cas.aliyuncs.com".to_owned(),
        other => format!("cas.{other}.aliyuncs.com"),
    };
    Url::parse(&format!("https://{host}/")).map_err(|_| no_region(&region))
}

/// The URL that requests go to: scheme, host and port of what the user gave.
///
/// # Errors
/// `ErrorKind::Config` for plain http to another machine, credentials in the URL, and for a path or query, which no CAS endpoint has.
pub(super) fn explicit(endpoint: &Url) -> Result<Url> {
    require_safe(endpoint, false, t!("the CAS endpoint"))?;
    if endpoint.host_str().is_none_or(str::is_empty)
        || !matches!(endpoint.path(), "" | "/")
        || endpoint.query().is_some()
        || endpoint.fragment().is_some()
    {
        return Err(Error::config(t!("the CAS endpoint holds more or less than scheme, host and port"))
            .with_hint(t!("write it like `https://cas.aliyuncs.com`")));
    }
    Ok(endpoint.clone())
}

/// Host, and port where it is not the scheme's own: as the `Host` header has it.
pub(super) fn authority(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    match endpoint.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn no_region(region: &str) -> Error {
    Error::config(t!("`%{region}` is not a region", region)).with_hint(t!("regions look like `cn-hangzhou` or `ap-southeast-1`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_china_site_has_one_host_and_the_others_have_their_own() {
        let host = |region: Option<&str>| authority(&of_region(region).unwrap());
        assert_eq!(host(None), "cas.aliyuncs.com");
        assert_eq!(host(Some("")), "cas.aliyuncs.com");
        assert_eq!(host(Some("cn-hangzhou")), "cas.aliyuncs.com");
        assert_eq!(host(Some("cn-beijing")), "cas.aliyuncs.com");
        assert_eq!(host(Some("AP-Southeast-1")), "cas.ap-southeast-1.aliyuncs.com");
        assert_eq!(host(Some("eu-central-1")), "cas.eu-central-1.aliyuncs.com");
    }

    #[test]
    fn what_is_no_region_cannot_choose_the_host() {
        for region in ["evil.example/", "a.b", "x@y", "a b", "ap southeast"] {
            assert_eq!(of_region(Some(region)).unwrap_err().kind(), ErrorKind::Config, "{region}");
        }
    }

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        let explicit = |text: &str| explicit(&Url::parse(text).unwrap()).map(|url| authority(&url));
        assert_eq!(explicit("http://127.0.0.1:8080").unwrap(), "127.0.0.1:8080");
        assert_eq!(explicit("https://cas.example:443").unwrap(), "cas.example");
        assert_eq!(explicit("http://[::1]:81/").unwrap(), "[::1]:81");
        for text in ["http://cas.aliyuncs.com", "https://cas.aliyuncs.com/x", "https://a.example/?b=c", "https://u:p@a.example"] {
            assert_eq!(explicit(text).unwrap_err().kind(), ErrorKind::Config, "{text}");
        }
    }
}
