//! How files on web servers are seen: at every address of the host, as the CA does it. The body counts byte for byte.
//!
//! The CAs behind CAS try https first, then http, and follow no redirect. Where https answers at all, it must have a certificate that is
//! trusted and show the same file; where nothing listens there, http decides. ACME CAs ask over http on port 80 and follow redirects.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    record::Record,
};

mod fetch;
mod follow;
mod judge;

use fetch::Trust;
pub use fetch::Verdict;

/// The pause after the first look; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How web servers are asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--web-server`: these are asked instead of those that DNS names. Empty: ports 443 and 80 of every address of the host.
    pub stated: Vec<(Scheme, SocketAddr)>,
    /// How long one server has for its answer.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { stated: Vec::new(), timeout: Duration::from_secs(10) }
    }
}

/// How a CA looks for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Over https, which decides where it answers, and over http. No redirect is followed. The CAs behind CAS.
    HttpsFirst,
    /// Over http alone, on port 80. Redirects are followed to names at ports 80 and 443, whatever the certificate there. ACME (RFC 8555
    /// section 8.3).
    Http01,
}

/// https or http.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// With TLS, port 443.
    Https,
    /// Plain, port 80.
    Http,
}

impl Scheme {
    /// The word of URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// A host that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: Name,
    /// Whether the CA certainly looks at it. One that it may look at is shown, and decides nothing.
    pub is_required: bool,
}

/// What one server showed over one scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The host that was asked for.
    pub host: Name,
    /// Over which scheme.
    pub scheme: Scheme,
    /// The server; `None` where the host has no address.
    pub address: Option<SocketAddr>,
    /// What it showed.
    pub verdict: Verdict,
}

/// One look at all servers.
#[derive(Clone, Debug)]
pub struct Look {
    /// The file.
    pub file: Record,
    /// What each server showed, by host, https before http.
    pub sights: Vec<Sight>,
    /// Whether the CA will see the file at every host that it certainly looks at.
    pub visible: bool,
    /// Whether some server answered, and not with the file: what is wrong is no matter of the way to it.
    pub is_wrong: bool,
    /// Why it is not visible, or what may still go wrong.
    pub explanation: Option<String>,
    /// Time since the first look.
    pub waited: Duration,
}

/// How long to look.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// In all.
    pub whole: Duration,
    /// While servers answer, and not with the file.
    pub wrong: Duration,
}

/// Looks at every server once.
///
/// # Errors
/// `ErrorKind::Usage` where `file` is no file; `ErrorKind::Config` where no TLS client can be made.
pub async fn look(options: &Options, habit: Habit, file: &Record, hosts: &[Host]) -> Result<Look> {
    let Some((path, content)) = file.file() else {
        return Err(Error::usage(t!("%{file} is no file on a web server", file = file.title())));
    };
    let asked = join_all(hosts.iter().map(async |host| {
        let servers = match servers(options, habit, &host.name).await {
            Ok(servers) => servers,
            Err(why) => {
                let verdict = Verdict::NoAnswer(why);
                return Ok(vec![Sight { host: host.name.clone(), scheme: Scheme::Http, address: None, verdict }]);
            }
        };
        let asks = servers.into_iter().map(async |(scheme, address)| {
            let url = fetch::Url { host: &host.name, scheme, address, path };
            let verdict = match habit {
                Habit::HttpsFirst => fetch::ask(url, content, options.timeout, Trust::System).await?,
                Habit::Http01 => follow::ask(options, url, content).await?,
            };
            Ok(Sight { host: host.name.clone(), scheme, address: Some(address), verdict })
        });
        join_all(asks).await.into_iter().collect::<Result<Vec<_>>>()
    }))
    .await;
    let sights = asked.into_iter().collect::<Result<Vec<_>>>()?.concat();
    let judgement = judge::judge(&sights, hosts, path);
    Ok(Look {
        file: file.clone(),
        sights,
        visible: judgement.visible,
        is_wrong: judgement.is_wrong,
        explanation: judgement.explanation,
        waited: Duration::ZERO,
    })
}

/// Looks again and again until the CA will see the file. `tell` gets the first look, and each that differs from the one before.
///
/// # Errors
/// `ErrorKind::NotVisible` when the time is up, saying what the CA will see; and those of [`look`].
pub async fn wait(
    options: &Options,
    habit: Habit,
    file: &Record,
    hosts: &[Host],
    patience: Patience,
    tell: &mut (dyn FnMut(&Look) + Send),
) -> Result<Look> {
    let began = Instant::now();
    let mut last: Option<Vec<Sight>> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let look = Look { waited: began.elapsed(), ..look(options, habit, file, hosts).await? };
        if last.as_ref() != Some(&look.sights) {
            tell(&look);
            last = Some(look.sights.clone());
        }
        if look.visible {
            return Ok(look);
        }
        let deadline = began + if look.is_wrong { patience.wrong.min(patience.whole) } else { patience.whole };
        if Instant::now() >= deadline {
            return Err(not_visible(&look));
        }
        sleep_until((Instant::now() + pause).min(deadline)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn not_visible(look: &Look) -> Error {
    let why = look.explanation.clone().unwrap_or_else(|| t!("no server shows it").to_owned());
    Error::new(ErrorKind::NotVisible, t!("the CA will not see %{file}: %{why}", file = look.file.title(), why)).with_hint(
        t!("`--webroot` must name the folder that the web server serves for this host at `/`; the file stays there, so that you can look"),
    )
}

/// The servers of a host that the CA asks, https before http.
async fn servers(options: &Options, habit: Habit, host: &Name) -> std::result::Result<Vec<(Scheme, SocketAddr)>, String> {
    let schemes: &[Scheme] = match habit {
        Habit::HttpsFirst => &[Scheme::Https, Scheme::Http],
        Habit::Http01 => &[Scheme::Http],
    };
    if !options.stated.is_empty() {
        let mut stated = options.stated.clone();
        stated.retain(|(scheme, _)| schemes.contains(scheme));
        stated.sort_unstable();
        if stated.is_empty() {
            return Err("the CA asks over http, and `--web-server` names no http server".to_owned());
        }
        return Ok(stated);
    }
    let ips = addresses(options, host).await?;
    let all = schemes.iter().flat_map(|scheme| ips.iter().map(|ip| (*scheme, SocketAddr::new(*ip, scheme.port()))));
    Ok(all.collect())
}

/// The addresses of a host.
async fn addresses(options: &Options, host: &Name) -> std::result::Result<Vec<IpAddr>, String> {
    let resolving = tokio::time::timeout(options.timeout, tokio::net::lookup_host((host.as_str(), 0))).await;
    let found = resolving.map_err(|_| t!("its addresses cannot be found in time").to_owned())?;
    let mut ips: Vec<_> =
        found.map_err(|error| t!("its addresses cannot be found: %{error}", error))?.map(|address| address.ip()).collect();
    ips.sort_unstable();
    ips.dedup();
    Ok(ips)
}

#[cfg(test)]
mod tests;
