//! Public resolvers, so that a record can be looked at from more than one place.

use std::{fmt, net::SocketAddr, str::FromStr};

use super::ResolverAddress;
use crate::{
    error::{Error, Result},
    language::t,
};

/// A set of well-known public resolvers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vantage {
    /// Operated in mainland China.
    Cn,
    /// Operated elsewhere, anycast around the world.
    Global,
    /// Both.
    All,
}

impl Vantage {
    /// Its resolvers.
    pub(crate) fn reporters(self) -> Vec<Reporter> {
        PUBLIC
            .iter()
            .filter(|public| self == Self::All || self == public.region)
            .map(|public| Reporter {
                label: Some(public.operator),
                address: ResolverAddress::Plain(SocketAddr::from((public.address, 53))),
                otherwise: public.url.and_then(|url| ResolverAddress::parse(url).ok()),
            })
            .collect()
    }

    /// The DNS-over-HTTPS addresses of this set, for networks where port 53 is blocked (see `Options::over_https`).
    pub fn over_https(self) -> Vec<ResolverAddress> {
        self.reporters().into_iter().filter_map(|reporter| reporter.otherwise).collect()
    }
}

impl FromStr for Vantage {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "cn" => Ok(Self::Cn),
            "global" => Ok(Self::Global),
            "all" => Ok(Self::All),
            _ => Err(Error::usage(t!("vantage `%{text}` is not known", text)).with_hint(t!("choose `cn`, `global` or `all`"))),
        }
    }
}

impl fmt::Display for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cn => "cn",
            Self::Global => "global",
            Self::All => "all",
        })
    }
}

/// One resolver that is asked to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reporter {
    /// Who operates it, where it is a well-known one.
    pub(crate) label: Option<&'static str>,
    /// Where it is asked first.
    pub(crate) address: ResolverAddress,
    /// Where it is asked if nothing usable comes from there.
    pub(crate) otherwise: Option<ResolverAddress>,
}

impl Reporter {
    /// One that the user or the system names.
    pub(crate) fn named(address: ResolverAddress) -> Self {
        Self { label: None, address, otherwise: None }
    }

    /// The same over HTTPS only; `None` where that is not spoken.
    pub(crate) fn over_https(self) -> Option<Self> {
        let https = [Some(self.address), self.otherwise]
            .into_iter()
            .flatten()
            .find(|address| matches!(address, ResolverAddress::Https { .. }))?;
        Some(Self { label: self.label, address: https, otherwise: None })
    }
}

/// A public resolver.
struct PublicResolver {
    operator: &'static str,
    region: Vantage,
    address: [u8; 4],
    /// DNS over HTTPS, by address where the certificate is for the address too: then no resolver is needed to find it.
    url: Option<&'static str>,
}

/// As their operators publish them; what was checked, and where, stands beside each (2026-11-24). An address in a URL needs a certificate
/// that is for the address. All of them speak HTTP/2, which is what is used; Quad9 has spoken nothing else since 2025-12-15.
const PUBLIC: &[PublicResolver] = &[
    // Addresses: <https://www.alibabacloud.com/help/en/dns/service-access>; the path, and POST:
    // <https://www.alibabacloud.com/help/doc-detail/171664.htm>; that certificates are for the IPv4 addresses, and HTTP/2:
    // <https://www.alibabacloud.com/help/en/dns/faq-about-alibaba-cloud-public-dns>, which also says that it does not validate DNSSEC.
    PublicResolver { operator: "AliDNS", region: Vantage::Cn, address: [223, 5, 5, 5], url: Some("https://223.5.5.5/dns-query") },
    // <https://www.dnspod.cn/products/publicdns> lists 119.29.29.29 for port 53, and for HTTPS doh.pub, 1.12.12.12 and 120.53.53.53. Read as
    // it was quoted on 2022-06-16 in <https://github.com/paulmillr/encrypted-dns/pull/95>.
    PublicResolver {
        operator: "DNSPod",
        region: Vantage::Cn,
        address: [119, 29, 29, 29],
        url: Some("https://1.12.12.12/dns-query"),
    },
    // The operator's page, <https://www.114dns.com>, could not be read; every list of public resolvers agrees on the address.
    PublicResolver { operator: "114DNS", region: Vantage::Cn, address: [114, 114, 114, 114], url: None },
    // <https://developers.cloudflare.com/1.1.1.1/encryption/dns-over-https/make-api-requests/> has the path and POST under names that resolve
    // to 1.1.1.1; that the address itself works, its staff say in <https://github.com/cloudflare/cloudflare-docs/issues/32750>, and the
    // certificate lists it.
    PublicResolver {
        operator: "Cloudflare",
        region: Vantage::Global,
        address: [1, 1, 1, 1],
        url: Some("https://1.1.1.1/dns-query"),
    },
    // The path and POST: <https://developers.google.com/speed/public-dns/docs/secure-transports>; that its addresses are to be used where
    // addresses are configured: <https://developers.google.com/speed/public-dns/docs/doh/migration>; the certificate lists them.
    PublicResolver { operator: "Google", region: Vantage::Global, address: [8, 8, 8, 8], url: Some("https://8.8.8.8/dns-query") },
    // <https://quad9.net/service/service-addresses-and-features> has the address and the path under the name dns.quad9.net; the certificate
    // lists the address, as listings of it that others published show.
    PublicResolver { operator: "Quad9", region: Vantage::Global, address: [9, 9, 9, 9], url: Some("https://9.9.9.9/dns-query") },
    // <https://support.opendns.com/hc/en-us/articles/360038086532>; by name, as no page says whom certificates at the address are for. The
    // system must be able to find the name.
    PublicResolver {
        operator: "OpenDNS",
        region: Vantage::Global,
        address: [208, 67, 222, 222],
        url: Some("https://doh.opendns.com/dns-query"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_is_whole_and_every_url_can_be_read() {
        let labels = |vantage: Vantage| vantage.reporters().iter().filter_map(|reporter| reporter.label).collect::<Vec<_>>();
        assert_eq!(labels(Vantage::Cn), ["AliDNS", "DNSPod", "114DNS"]);
        assert_eq!(labels(Vantage::Global), ["Cloudflare", "Google", "Quad9", "OpenDNS"]);
        assert_eq!(labels(Vantage::All).len(), PUBLIC.len());
        assert_eq!(Vantage::All.over_https().len(), PUBLIC.iter().filter(|public| public.url.is_some()).count());
        for word in ["cn", "global", "all"] {
            assert_eq!(word.to_uppercase().parse::<Vantage>().unwrap().to_string(), word);
        }
        assert!("moon".parse::<Vantage>().is_err());
    }
}
