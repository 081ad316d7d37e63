//! Files on web servers, for CAs that validate over HTTP: written into a folder, or by a program of the user. To the journey they are
//! providers like any other, whose records are files ([`Record::file`]), so that journal, locks, notes and clean-up are the same.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use super::{Access, Capabilities, DnsProvider, Found, Handle, Zone};
use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    record::{Record, RecordType},
};

mod hook;
mod webroot;

/// What instances that write into a folder begin with; the folder follows.
const WEBROOT: &str = "webroot:";

/// What instances that call a program begin with; its path follows.
const HOOK: &str = "file-hook:";

/// A file as a publisher sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File<'a> {
    /// The host that serves it.
    pub(crate) host: &'a Name,
    /// The path of its URL, which begins with `/`: plain segments only, nothing encoded ([`is_plain_path`]).
    pub(crate) path: &'a str,
    /// What it holds, byte for byte.
    pub(crate) content: &'a str,
}

/// A place where files are published.
///
/// Contract: `publish` makes exactly this file and never replaces another one; what is there already with this content is success.
/// `withdraw` removes the file if it has exactly this content, and leaves any other; what is not there is success. A crash between two
/// steps leaves nothing that a later `withdraw` does not find.
#[async_trait]
trait Publisher: Send + Sync {
    /// Whether the file is there.
    ///
    /// # Errors
    /// Where another file is at its place, and where the place cannot be used.
    async fn find(&self, file: File<'_>) -> Result<Found>;

    /// Makes the file. The handle says what else was made.
    async fn publish(&self, file: File<'_>) -> Result<Handle>;

    /// Removes the file, and what else the handle says.
    async fn withdraw(&self, file: File<'_>, handle: Option<&Handle>) -> Result<()>;

    /// How long it usually takes until the file is served; zero: at once.
    fn usual_delay(&self) -> Option<Duration>;
}

/// Where the user wants files to be published.
#[derive(Clone, Debug, Default)]
pub struct FilePublishers {
    /// `--webroot`: folders, each for one host and those below it, or for all.
    pub webroots: Vec<(Option<Name>, PathBuf)>,
    /// `--file-hook`: where no folder fits.
    pub hook: Option<PathBuf>,
    /// How long the hook may take.
    pub hook_timeout: Duration,
    /// The environment of the hook, without credentials.
    pub hook_environment: Vec<(String, String)>,
}

impl FilePublishers {
    /// Whether any host leads anywhere.
    pub fn has_any(&self) -> bool {
        !self.webroots.is_empty() || self.hook.is_some()
    }

    /// The instance for a host: the folder for the longest name that holds it, else the folder for all, else the hook.
    ///
    /// # Errors
    /// `ErrorKind::Config` where nothing fits.
    pub fn choose(&self, host: &Name) -> Result<String> {
        let fitting = self.webroots.iter().filter(|(of, _)| of.as_ref().is_none_or(|of| host.is_within(of)));
        let longest = fitting.max_by_key(|(of, _)| of.as_ref().map_or(0, |of| of.labels().count()));
        match (longest, &self.hook) {
            (Some((_, folder)), _) => Ok(format!("{WEBROOT}{}", folder.display())),
            (None, Some(program)) => Ok(format!("{HOOK}{}", program.display())),
            (None, None) => Err(Error::config(t!("nothing says where the files of the web server of `%{host}` are", host))),
        }
    }

    /// The publisher with this instance name, for entries of the journal too; `None` where it is not the name of one.
    pub fn open(&self, instance: &str) -> Option<Arc<dyn DnsProvider>> {
        let publisher: Box<dyn Publisher> = if let Some(folder) = instance.strip_prefix(WEBROOT) {
            Box::new(webroot::Webroot::new(Path::new(folder)))
        } else {
            let program = instance.strip_prefix(HOOK)?;
            Box::new(hook::FileHook::new(Path::new(program), self.hook_timeout, self.hook_environment.clone()))
        };
        Some(Arc::new(AsProvider(publisher)))
    }
}

/// Whether a path is one that is written: at least one folder and a file below `/.well-known/`, each of letters, digits, `-`, `_`, `.` and
/// `~`, none of them `.` or `..`.
pub fn is_plain_path(path: &str) -> bool {
    let is_plain = |segment: &str| {
        !segment.is_empty()
            && segment.len() <= 255
            && segment != "."
            && segment != ".."
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~'))
    };
    let Some(below) = path.strip_prefix("/.well-known/") else { return false };
    path.len() <= 1000 && below.split('/').count() >= 2 && below.split('/').all(is_plain)
}

/// A publisher of files in the place of a provider of records.
struct AsProvider(Box<dyn Publisher>);

/// The file that a record stands for.
fn file_of(record: &Record) -> Result<File<'_>> {
    match record.file() {
        Some((path, content)) if is_plain_path(path) => Ok(File { host: &record.name, path, content }),
        _ => Err(Error::usage(t!("%{record} is no file that a web server could be given", record = record.title()))),
    }
}

#[async_trait]
impl DnsProvider for AsProvider {
    fn id(&self) -> &'static str {
        "file"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { record_types: vec![RecordType::File], usual_delay: self.0.usual_delay(), ..Capabilities::default() }
    }

    async fn locate(&self, name: &Name) -> Result<Zone> {
        Ok(Zone { name: name.clone(), fields: std::collections::BTreeMap::new() })
    }

    async fn find(&self, _: &Zone, record: &Record) -> Result<Found> {
        self.0.find(file_of(record)?).await
    }

    async fn publish(&self, _: &Zone, record: &Record) -> Result<Handle> {
        self.0.publish(file_of(record)?).await
    }

    async fn withdraw(&self, _: &Zone, record: &Record, handle: Option<&Handle>) -> Result<()> {
        self.0.withdraw(file_of(record)?, handle).await
    }

    async fn probe(&self) -> Result<Access> {
        Ok(Access::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_path_that_could_lead_elsewhere_is_not_written() {
        for path in ["/.well-known/pki-validation/fileauth.txt", "/.well-known/acme-challenge/a-B_9~c"] {
            assert!(is_plain_path(path), "{path}");
        }
        for path in [
            "/index.html",
            "/.well-known/x",
            "/.well-known/../../etc/cron.d",
            "/.well-known/a/..",
            "/.well-known//x",
            "/.well-known/a/./b",
            "/.well-known/a/%2e%2e/b",
            "/.well-known/a/b?c",
            "/.well-known/a\\b/c",
            "/.well-known/a/",
            "/.well-known/a/b\0",
            ".well-known/a/b",
        ] {
            assert!(!is_plain_path(path), "{path}");
        }
        assert!(!is_plain_path(&format!("/.well-known/a/{}", "x".repeat(256))));
    }

    #[test]
    fn the_folder_of_the_longest_name_then_the_one_for_all_then_the_hook() {
        let mut files = FilePublishers {
            webroots: vec![
                (Some(name("example.com")), "/srv/a".into()),
                (None, "/srv/all".into()),
                (Some(name("www.example.com")), "/srv/www".into()),
            ],
            hook: Some("/bin/put".into()),
            ..FilePublishers::default()
        };
        let chosen = |files: &FilePublishers, host| files.choose(&name(host)).unwrap();
        assert_eq!(chosen(&files, "www.example.com"), "webroot:/srv/www");
        assert_eq!(chosen(&files, "mail.example.com"), "webroot:/srv/a");
        assert_eq!(chosen(&files, "badexample.com"), "webroot:/srv/all");
        files.webroots.remove(1);
        assert_eq!(chosen(&files, "badexample.com"), "file-hook:/bin/put");
        files.hook = None;
        assert!(files.choose(&name("badexample.com")).is_err());
        assert!(files.open("webroot:/srv/a").is_some() && files.open("cloudflare").is_none());
    }
}
