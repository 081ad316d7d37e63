//! Who publishes files on web servers, and where they are seen.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use url::{Host, Url};

use super::{chosen, layers::Layers, parse};
use crate::{
    error::{Error, Result},
    hook::Hook,
    language::t,
    name::Name,
    provider::file::FilePublishers,
    web::{self, Scheme},
};

/// Reads `--webroot` and `--file-hook`.
pub(super) fn publishers(layers: &Layers) -> Result<FilePublishers> {
    let webroots = layers.all("webroot", webroot)?;
    for (at, (host, _)) in webroots.iter().enumerate() {
        if webroots[..at].iter().any(|(other, _)| other == host) {
            let whose = host.as_ref().map_or_else(|| t!("every host").to_owned(), |host| format!("`{host}`"));
            return Err(Error::config(t!("`--webroot` is given twice for %{whose}", whose))
                .with_hint(t!("one folder for each host: `--webroot www.example.com=/srv/www`")));
        }
    }
    let hook = |text: &str| {
        let path = PathBuf::from(text);
        Hook::Program(path.clone()).check()?;
        Ok(path)
    };
    Ok(FilePublishers {
        webroots,
        hook: layers.one("file-hook", hook)?,
        hook_timeout: layers.one("hook-timeout", parse::duration)?.unwrap_or(chosen::HOOK_TIMEOUT),
        hook_environment: Vec::new(),
    })
}

/// Reads `--web-server`.
pub(super) fn web(layers: &Layers) -> Result<web::Options> {
    Ok(web::Options { stated: layers.all("web-server", web_server)?, ..web::Options::default() })
}

/// `FOLDER` or `HOST=FOLDER`. The folder is kept whole, so that the journal knows it again from anywhere.
fn webroot(text: &str) -> Result<(Option<Name>, PathBuf)> {
    let (host, folder) = match text.split_once('=') {
        Some((host, folder)) if !host.contains('/') => (Some(Name::parse(host)?), folder),
        _ => (None, text),
    };
    if host.as_ref().is_some_and(Name::is_wildcard) {
        return Err(Error::config(t!("`%{text}` is for a wildcard, which no file proves", text))
            .with_hint(t!("name the host; it counts for those below it too: `--webroot example.com=/srv/www`")));
    }
    let hint = t!("`--webroot` names a folder that is there: the one that the web server serves at `/`");
    let refuse = |why: String| Err(Error::config(t!("the web root `%{folder}` %{why}", folder, why)).with_hint(hint));
    let whole = match std::fs::canonicalize(folder) {
        Ok(whole) => whole,
        Err(error) => return refuse(t!("cannot be used: %{error}", error)),
    };
    if !whole.is_dir() {
        return refuse(t!("is no folder").to_owned());
    }
    if whole.to_str().is_none() {
        return refuse(t!("has a name that is not UTF-8").to_owned());
    }
    Ok((host, whole))
}

/// `http://ADDR[:PORT]` or `https://ADDR[:PORT]`.
fn web_server(text: &str) -> Result<(Scheme, SocketAddr)> {
    let wrong = || {
        Error::config(t!("`%{text}` is not a web server", text))
            .with_hint(t!("write a scheme and an IP address: `http://192.0.2.1`, `https://[2001:db8::1]:8443`"))
    };
    let url = Url::parse(text.trim()).map_err(|_| wrong())?;
    let scheme = match url.scheme() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(wrong()),
    };
    let ip: IpAddr = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        _ => return Err(wrong()),
    };
    let is_bare = url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none();
    let port = url.port_or_known_default().filter(|_| is_bare).ok_or_else(wrong)?;
    Ok((scheme, SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_and_without_a_host() {
        let folder = tempfile::tempdir().unwrap();
        let whole = std::fs::canonicalize(folder.path()).unwrap();
        let path = folder.path().join(".").display().to_string();
        assert_eq!(webroot(&path).unwrap(), (None, whole.clone()));
        let (host, root) = webroot(&format!("Example.com={path}")).unwrap();
        assert_eq!((host.unwrap().as_str(), root), ("example.com", whole));
        std::fs::create_dir(folder.path().join("a=b")).unwrap();
        assert_eq!(webroot(&format!("{path}/a=b")).unwrap().0, None, "a folder may have the sign in its name");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for (text, why) in [
            ("/no/such/folder".to_owned(), "No such file"),
            (file.display().to_string(), "is no folder"),
            (format!("*.example.com={path}"), "wildcard"),
            (format!("not a name={path}"), "not a name"),
        ] {
            let error = webroot(&text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn web_servers_by_address() {
        let read = |text: &str| web_server(text).map(|(scheme, address)| (scheme.as_str(), address.to_string()));
        assert_eq!(read("http://192.0.2.1").unwrap(), ("http", "192.0.2.1:80".to_owned()));
        assert_eq!(read("https://[2001:db8::1]").unwrap(), ("https", "[2001:db8::1]:443".to_owned()));
        assert_eq!(read("http://127.0.0.1:8080").unwrap(), ("http", "127.0.0.1:8080".to_owned()));
        for text in ["192.0.2.1", "ftp://192.0.2.1", "http://example.com", "http://192.0.2.1/path", "http://a:b@192.0.2.1", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
