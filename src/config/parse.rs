//! From the text of a value to its type. Errors say what is wrong with the value; who named it adds where it came from.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use url::Url;

use crate::{
    error::{Error, Result},
    http,
    language::t,
    name::Name,
    propagation::Policy,
};

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// A duration such as `90s`, `15m`, `1h30m`, `500ms`, `2d`: numbers with units, the largest first.
pub(super) fn duration(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::config(t!("`%{text}` is not a duration", text))
            .with_hint(t!("write a number with a unit: `90s`, `15m`, `1h30m`, `500ms`, `2d`"))
    };
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let millis: u64 = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        // A unit that comes again or out of order is a slip of the pen.
        if millis >= last {
            return Err(wrong());
        }
        last = millis;
        let amount: u64 = number.parse().map_err(|_| wrong())?;
        let part = amount.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = after;
    }
    if last == u64::MAX { Err(wrong()) } else { Ok(total) }
}

/// A duration as [`duration`] reads it, rounded to what is worth showing.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if !millis.is_multiple_of(1000) && millis < 10_000 {
        return format!("{millis}ms");
    }
    let seconds = duration.as_secs();
    let parts = [(seconds / 86_400, 'd'), (seconds / 3_600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let parts: Vec<String> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    let text = parts.concat();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`.
pub(super) fn address(text: &str) -> Result<SocketAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bare {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::from),
        None => text.parse::<IpAddr>(),
    };
    ip.map(|ip| SocketAddr::new(ip, DNS_PORT)).map_err(|_| {
        Error::config(t!("`%{text}` is not an address", text))
            .with_hint(t!("write an IP address, with a port if need be: `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:5353`"))
    })
}

/// The authorities of a zone: `ZONE=ADDR[:PORT],…`.
pub(super) fn authorities(text: &str) -> Result<(Name, Vec<SocketAddr>)> {
    let (zone, addresses) = text.split_once('=').ok_or_else(|| {
        Error::config(t!("`%{text}` names no zone", text))
            .with_hint(t!("write the zone, `=`, and its servers: `example.com=192.0.2.1,192.0.2.2`"))
    })?;
    let addresses =
        addresses.split(',').map(str::trim).filter(|part| !part.is_empty()).map(address).collect::<Result<Vec<_>>>()?;
    if addresses.is_empty() {
        return Err(Error::config(t!("`%{text}` names no server of the zone", text)));
    }
    Ok((Name::parse(zone)?, addresses))
}

/// `reachable`, `all`, `any` or `quorum=N`.
pub(super) fn policy(text: &str) -> Result<Policy> {
    let wrong = || {
        Error::config(t!("`%{text}` is not a policy", text))
            .with_hint(t!("policies are `reachable`, `all`, `quorum=N` and `any`"))
    };
    match text.trim() {
        "reachable" => Ok(Policy::Reachable),
        "all" => Ok(Policy::All),
        "any" => Ok(Policy::Any),
        other => match other.strip_prefix("quorum=").map(str::parse::<usize>) {
            Some(Ok(servers)) if servers > 0 => Ok(Policy::Quorum(servers)),
            _ => Err(wrong()),
        },
    }
}

/// The CAS host: with or without a scheme and a port. https, or plain http to loopback. The text is in no error: it may hold a password.
pub(super) fn endpoint(text: &str) -> Result<Url> {
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&full).map_err(|error| {
        Error::config(t!("the endpoint is not a URL: %{error}", error))
            .with_hint(t!("write a host such as `cas.aliyuncs.com`, or a URL such as `https://cas.aliyuncs.com`"))
    })?;
    http::require_safe(&url, false, t!("the endpoint"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Error::config(t!("the endpoint names no host")));
    }
    Ok(url)
}

/// A folder name: not empty, no path.
pub(super) fn folder_name(text: &str) -> Result<String> {
    if text.is_empty() || text.starts_with('.') || text.contains(['/', '\\', '\0']) {
        return Err(Error::config(t!("`%{text}` is not the name of a folder", text))
            .with_hint(t!("write a plain name without `/` that does not begin with a dot")));
    }
    Ok(text.to_owned())
}

/// A yes or no of the environment.
pub(super) fn boolean(text: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(Error::config(t!("`%{text}` is neither yes nor no", text)).with_hint(t!("write `true` or `false`"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        let seconds = |text| duration(text).unwrap().as_secs_f64();
        assert!((seconds("90s") - 90.0).abs() < f64::EPSILON);
        assert!((seconds("15m") - 900.0).abs() < f64::EPSILON);
        assert!((seconds("1h30m") - 5400.0).abs() < f64::EPSILON);
        assert!((seconds("1h 30m") - 5400.0).abs() < f64::EPSILON);
        assert!((seconds("500ms") - 0.5).abs() < f64::EPSILON);
        assert!((seconds("2d") - 172_800.0).abs() < f64::EPSILON);
        assert!(seconds("0").abs() < f64::EPSILON);
        for wrong in ["", "90", "s", "5x", "1m1h", "1m2m", "-1s", "1.5h", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_that_is_shown_reads_back(seconds in 0u64..100_000_000) {
            let duration_of = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&show_duration(duration_of)).unwrap(), duration_of);
        }
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected);
        }
        for wrong in ["", "ns1.example.com", "192.0.2.1:", "192.0.2.1:99999", "[192.0.2.1]", "[::1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stated_authorities() {
        let (zone, addresses) = authorities("Example.com=192.0.2.1, [2001:db8::1]:5353").unwrap();
        assert_eq!(zone.as_str(), "example.com");
        assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.1:53", "[2001:db8::1]:5353"]);
        for wrong in ["example.com", "example.com=", "=192.0.2.1", "a b=192.0.2.1"] {
            assert!(authorities(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn policies() {
        assert_eq!(policy("quorum=2").unwrap(), Policy::Quorum(2));
        assert_eq!(policy("all").unwrap(), Policy::All);
        for wrong in ["", "most", "quorum", "quorum=0", "quorum=x"] {
            assert!(policy(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_is_a_host_or_a_url_and_its_password_is_never_shown() {
        assert_eq!(endpoint("cas.aliyuncs.com").unwrap().as_str(), "https://cas.aliyuncs.com/");
        assert_eq!(endpoint("http://127.0.0.1:8080").unwrap().as_str(), "http://127.0.0.1:8080/");
        for wrong in
            ["http://cas.aliyuncs.com", "https://", "https://user:hunter2hunter2@cas.example.com", "hunter2hunter2:x@[nohost"]
        {
            let error = endpoint(wrong).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_folder_name_is_no_path() {
        assert_eq!(folder_name("web").unwrap(), "web");
        for wrong in ["", ".", "..", "a/b", ".hidden"] {
            assert!(folder_name(wrong).is_err(), "{wrong}");
        }
    }
}
