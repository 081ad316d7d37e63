//! How a recursive resolver is named: `ADDR[:PORT]`, `tls://HOST[:PORT][#NAME]`, `https://HOST[:PORT]/PATH`.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use url::{Host, Url};

use crate::{
    error::{Error, Result},
    language::t,
};

/// The port of DNS over TLS (RFC 7858 section 3.1).
const TLS_PORT: u16 = 853;
/// The port of DNS over HTTPS, which is that of HTTPS (RFC 8484).
const HTTPS_PORT: u16 = 443;

/// A recursive resolver, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ResolverAddress {
    /// DNS over UDP and TCP (Do53).
    Plain(SocketAddr),
    /// DNS over TLS (RFC 7858).
    Tls {
        /// A host name, or an address without brackets.
        host: String,
        /// The port; 853 unless stated.
        port: u16,
        /// The name or address that the certificate must be for; the host unless stated.
        server_name: String,
    },
    /// DNS over HTTPS (RFC 8484).
    Https {
        /// A host name, or an address without brackets; the certificate must be for it.
        host: String,
        /// The port; 443 unless stated.
        port: u16,
        /// The path, such as `/dns-query`.
        path: String,
    },
}

impl ResolverAddress {
    /// Reads one of the three forms of the module; IPv6 addresses with a port stand in brackets.
    ///
    /// # Errors
    /// `ErrorKind::Usage`, saying which part is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let wrong = |why: &str| {
            Error::usage(t!("`%{text}` is no resolver: %{why}", text, why))
                .with_hint(t!("give `ADDRESS[:PORT]`, `tls://HOST[:PORT][#NAME]` or `https://HOST/PATH`"))
        };
        let Some((scheme, _)) = text.split_once("://") else {
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            return match (bare.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
                (Ok(address), _) => Ok(Self::Plain(SocketAddr::new(address, 53))),
                (_, Ok(address)) => Ok(Self::Plain(address)),
                _ => Err(wrong(t!("it is neither an address nor a `tls://` or `https://` URL"))),
            };
        };
        // `tls` is no scheme that the URL standard knows the form of hosts for.
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "tls" && scheme != "https" {
            return Err(wrong(t!("only `tls://` and `https://` are spoken")));
        }
        let rest = &text[scheme.len()..];
        let url = Url::parse(&format!("https{rest}")).map_err(|error| wrong(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::usage(t!("a resolver's URL may not hold a user name or a password")));
        }
        let host = match url.host() {
            Some(Host::Domain(host)) => host.trim_end_matches('.').to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(wrong(t!("it has no host"))),
        };
        // The URL parser swallows a port that is HTTPS' own.
        let states_https_port = url.port().is_none() && authority_of(rest).ends_with(":443");
        if scheme == "tls" {
            if !matches!(url.path(), "" | "/") || url.query().is_some() {
                return Err(wrong(t!("DNS over TLS has no path")));
            }
            let server_name = match url.fragment() {
                Some("") => return Err(wrong(t!("the name after `#` is empty"))),
                Some(name) => name.trim_end_matches('.').to_owned(),
                None => host.clone(),
            };
            let port = if states_https_port { HTTPS_PORT } else { url.port().unwrap_or(TLS_PORT) };
            return Ok(Self::Tls { host, port, server_name });
        }
        if url.fragment().is_some() || url.query().is_some() {
            return Err(wrong(t!("DNS over HTTPS is asked by POST, so its URL has no query and no fragment")));
        }
        let path = if url.path() == "/" { "/dns-query".to_owned() } else { url.path().to_owned() };
        Ok(Self::Https { host, port: url.port().unwrap_or(HTTPS_PORT), path })
    }

    /// Whether it is spoken to on port 53 or another one in the clear.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Whether it is on this host, so that no network lies between.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Plain(address) => address.ip().is_loopback(),
            Self::Tls { host, .. } | Self::Https { host, .. } => host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        }
    }
}

/// What stands between `://` and the path.
fn authority_of(rest: &str) -> &str {
    let rest = rest.trim_start_matches("://");
    rest.split(['/', '#', '?']).next().unwrap_or(rest)
}

impl fmt::Display for ResolverAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match self {
            Self::Plain(address) => write!(f, "{address}"),
            Self::Tls { host, port, server_name } => {
                write!(f, "tls://{}", bracketed(host))?;
                if *port != TLS_PORT {
                    write!(f, ":{port}")?;
                }
                if server_name == host { Ok(()) } else { write!(f, "#{server_name}") }
            }
            Self::Https { host, port, path } => {
                write!(f, "https://{}", bracketed(host))?;
                if *port != HTTPS_PORT {
                    write!(f, ":{port}")?;
                }
                f.write_str(path)
            }
        }
    }
}

impl FromStr for ResolverAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl From<SocketAddr> for ResolverAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Plain(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_shown_again() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
            ("tls://192.0.2.1", "tls://192.0.2.1"),
            ("tls://192.0.2.1:8853#dns.example.test", "tls://192.0.2.1:8853#dns.example.test"),
            ("TLS://[2001:db8::1]#dns.example.test.", "tls://[2001:db8::1]#dns.example.test"),
            ("tls://dns.example.test:443", "tls://dns.example.test:443"),
            ("https://dns.example.test", "https://dns.example.test/dns-query"),
            ("https://dns.example.test:8443/q", "https://dns.example.test:8443/q"),
            ("https://[2001:db8::1]/dns-query", "https://[2001:db8::1]/dns-query"),
        ] {
            let read = ResolverAddress::parse(text).unwrap();
            assert_eq!(read.to_string(), shown, "{text}");
            assert_eq!(ResolverAddress::parse(shown).unwrap(), read);
        }
        let ResolverAddress::Tls { port, .. } = ResolverAddress::parse("tls://192.0.2.1").unwrap() else { panic!() };
        assert_eq!(port, 853);
    }

    #[test]
    fn what_is_no_resolver_is_refused_with_a_reason() {
        for text in [
            "",
            "dns.example.test",
            "192.0.2.1:99999",
            "http://192.0.2.1/dns-query",
            "udp://192.0.2.1",
            "tls://",
            "tls://192.0.2.1/path",
            "tls://192.0.2.1#",
            "https://dns.example.test/q?x=1",
            "https://dns.example.test/q#x",
            "https://user:secret@dns.example.test/q",
        ] {
            let error = ResolverAddress::parse(text).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage, "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
