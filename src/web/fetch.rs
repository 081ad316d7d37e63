//! One request to one server, and what its answer means.

use std::{error::Error as _, net::SocketAddr, time::Duration};

use reqwest::header::{HOST, LOCATION};
use tokio::net::TcpStream;

use super::Scheme;
use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
};

/// How much more than the file is read of a body, for people who wonder what it is.
const SURPLUS: usize = 4 * 1024;

/// How many characters of a wrong body are shown.
const SHOWN: usize = 60;

/// What a server showed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The file, byte for byte.
    Visible,
    /// Nothing is there to be asked: no address, nothing listens, no answer. With the reason.
    NoAnswer(String),
    /// Something answers, but not as a web server that is trusted. With the reason.
    Broken(String),
    /// Another status than 200.
    Status(u16),
    /// A redirect that the CA does not follow.
    Redirect {
        /// The status.
        status: u16,
        /// Where it leads.
        to: String,
    },
    /// A redirect that the CA follows, to where the file is not.
    Behind {
        /// The URL at which it ended.
        url: String,
        /// What is there.
        verdict: Box<Verdict>,
    },
    /// Status 200 with another body.
    OtherContent(String),
}

impl Verdict {
    /// One word, for tables and events.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Visible => "visible",
            Self::NoAnswer(_) => "no-answer",
            Self::Broken(_) => "broken",
            Self::Status(_) => "status",
            Self::Redirect { .. } | Self::Behind { .. } => "redirect",
            Self::OtherContent(_) => "other-content",
        }
    }

    /// What was seen, for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Visible => t!("shows the file").to_owned(),
            Self::NoAnswer(why) => t!("does not answer: %{why}", why),
            Self::Broken(why) => t!("cannot be trusted or understood: %{why}", why),
            Self::Status(404) => t!("answers 404: it does not find the file").to_owned(),
            Self::Status(status @ (401 | 403)) => t!("answers %{status}: it does not let the CA read the file", status),
            Self::Status(status) => format!("answers {status}"),
            Self::Redirect { status, to } => t!("answers %{status} and leads to %{to}, which the CA does not follow", status, to),
            Self::Behind { url, verdict } => t!("leads to %{url}, which %{what}", url, what = verdict.sentence()),
            Self::OtherContent(what) => t!("shows something else: %{what}", what),
        }
    }

    /// Whether nothing was there to be asked.
    pub(super) fn is_silent(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Behind { verdict, .. } => verdict.is_silent(),
            _ => false,
        }
    }
}

/// Whose certificates a server over https may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Those that the system trusts, for the name that is asked for.
    System,
    /// Any: ACME CAs do not look at the certificate behind a redirect, since the host may be about to get its first.
    Any,
}

/// What is asked for, and where.
#[derive(Clone, Copy)]
pub(super) struct Url<'a> {
    pub(super) host: &'a Name,
    pub(super) scheme: Scheme,
    pub(super) address: SocketAddr,
    pub(super) path: &'a str,
}

/// Asks one server for the file.
///
/// # Errors
/// `ErrorKind::Config` where no client can be made here.
pub(super) async fn ask(url: Url<'_>, content: &str, timeout: Duration, trust: Trust) -> Result<Verdict> {
    // By itself first: whether something listens decides whether https counts.
    match tokio::time::timeout(timeout, TcpStream::connect(url.address)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Ok(Verdict::NoAnswer(error.to_string())),
        Err(_) => return Ok(Verdict::NoAnswer(t!("no connection within %{timeout} s", timeout = timeout.as_secs()))),
    }
    let client = client(url, timeout, trust)?;
    let Url { host, scheme, address, path } = url;
    let target = format!("{}://{host}:{}{path}", scheme.as_str(), address.port());
    let mut request = client.get(target);
    if address.port() != scheme.port() {
        // A stated server plays the one at the usual port.
        request = request.header(HOST, host.as_str());
    }
    match tokio::time::timeout(timeout, read(request, content)).await {
        Ok(Ok(verdict)) => Ok(verdict),
        Ok(Err(error)) => Ok(Verdict::Broken(innermost(&error))),
        Err(_) => Ok(Verdict::Broken(t!("no whole answer within %{timeout} s", timeout = timeout.as_secs()))),
    }
}

/// A client for one server: no redirects, no proxy, no compression.
fn client(url: Url<'_>, timeout: Duration, trust: Trust) -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(trust == Trust::Any)
        .user_agent(concat!("dv-verify/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .connect_timeout(timeout)
        .resolve(url.host.as_str(), url.address)
        .build()
        .map_err(|error| {
            Error::config(t!("no TLS client can be made here"))
                .with_source(error)
                .with_hint(t!("install the system's CA certificates (package `ca-certificates`) or set SSL_CERT_FILE"))
        })
}

async fn read(request: reqwest::RequestBuilder, content: &str) -> reqwest::Result<Verdict> {
    let mut response = request.send().await?;
    let status = response.status();
    if status.is_redirection() {
        let to = response.headers().get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
        return Ok(Verdict::Redirect { status: status.as_u16(), to: to.unwrap_or_else(|| "nowhere".to_owned()) });
    }
    if status.as_u16() != 200 {
        return Ok(Verdict::Status(status.as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > content.len() + SURPLUS {
            break;
        }
    }
    Ok(compare(&body, content.as_bytes()))
}

/// What a body is beside what it should be.
fn compare(body: &[u8], wanted: &[u8]) -> Verdict {
    if body == wanted {
        return Verdict::Visible;
    }
    if body.trim_ascii() == wanted.trim_ascii() {
        return Verdict::OtherContent(
            t!("the right text, but with blanks or line ends around it that are not in the file").to_owned(),
        );
    }
    if body.is_empty() {
        return Verdict::OtherContent(t!("an empty page").to_owned());
    }
    let text = String::from_utf8_lossy(body);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = line.chars().take(SHOWN).collect();
    let more = if shown.len() < line.len() { "…" } else { "" };
    Verdict::OtherContent(format!("`{shown}{more}`"))
}

fn innermost(error: &reqwest::Error) -> String {
    let mut last = error.source();
    let mut text = error.to_string();
    while let Some(below) = last {
        text = below.to_string();
        last = below.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_counts_byte_for_byte() {
        let say = |body: &str| compare(body.as_bytes(), b"2026abc").sentence();
        assert_eq!(compare(b"2026abc", b"2026abc"), Verdict::Visible);
        assert!(say("2026abc\n").contains("line ends"));
        assert!(say("\u{feff}2026abc").contains("something else"));
        assert!(say("").contains("empty"));
        assert!(say("<html> <body>\nWelcome").contains("`<html> <body> Welcome`"));
        assert!(say(&"x".repeat(500)).ends_with("x…`"));
    }
}
