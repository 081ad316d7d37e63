//! Alibaba Cloud's credentials, found where the vendor's own tools keep them, and renewed before they expire.
//!
//! The order is that of the vendor's default chain: environment, OIDC (RRSA), the `aliyun` tool's `config.json`, the credentials file of
//! the SDKs, the ECS instance's role, a URL; then the variables that other ACME tools made familiar. `docs/credentials.md` says what each
//! link reads, and where it differs from the official SDK for Python; `tests/compare.rs` shows it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Mutex;

use self::{fetch::Fetcher, source::Source, temporary::Temporary};
use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result, Retry},
    http::Http,
    language::t,
    lifetime::Age,
    secret::{Redactor, Secret},
};

mod fetch;
mod file;
mod source;
mod temporary;
mod tool;
mod variables;

/// Every variable that may hold a credential; each also works with `_FILE` behind it, naming a file that holds the value.
pub const VARIABLES: [&str; 6] = [
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
    "ALICLOUD_ACCESS_KEY",
    "ALICLOUD_SECRET_KEY",
    "ALICLOUD_SECURITY_TOKEN",
];

/// What requests are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The AccessKeyId; not secret, it travels in every request.
    pub access_key_id: String,
    /// The AccessKeySecret.
    pub access_key_secret: Secret,
    /// The token of temporary credentials (STS).
    pub security_token: Option<Secret>,
    /// Where they come from, for people: "variable `ALIBABA_CLOUD_ACCESS_KEY_ID`", "profile `default` of `/root/.aliyun/config.json`".
    pub origin: String,
}

/// The places where credentials may be. Cheap to clone; clones share what was fetched.
///
/// Variables and files are read for each call of [`CredentialChain::resolve`], so that what is renewed on disk is picked up. Temporary credentials
/// are fetched once and used until they are about to expire.
#[derive(Clone)]
pub struct CredentialChain {
    environment: Environment,
    redactor: Redactor,
    fetcher: Arc<Fetcher>,
    memory: Arc<Mutex<Memory>>,
}

/// What earlier calls found.
#[derive(Default)]
struct Memory {
    /// The link that gave credentials last: it is asked first, so that a link before it that fails slowly costs its time only once.
    link: Option<usize>,
    /// Temporary credentials by their source.
    fetched: Vec<(Source, Temporary)>,
}

/// Where one link of the chain leads and how that is told to people, or why it leads nowhere.
type Link = Result<(Source, String), String>;

/// The links of the chain.
const LINKS: usize = 7;

impl CredentialChain {
    /// A chain over these variables and the places that they lead to. `redactor` learns every secret that is found.
    pub fn new(environment: Environment, http: Http, redactor: Redactor) -> Self {
        Self::with_fetcher(environment, Fetcher::new(http), redactor)
    }

    fn with_fetcher(environment: Environment, mut fetcher: Fetcher, redactor: Redactor) -> Self {
        fetcher.environment = environment.clone();
        Self { environment, redactor, fetcher: Arc::new(fetcher), memory: Arc::default() }
    }

    /// The credentials of the first link that has any. Reads small files, and blocks while it does; may call STS, the metadata service of ECS, a
    /// program or a URL.
    ///
    /// # Errors
    /// `ErrorKind::Credentials` where no link has any; it lists each link and why it yielded nothing. Worth another try where one failed for a
    /// reason that may pass.
    pub async fn resolve(&self) -> Result<Credentials> {
        let mut memory = self.memory.lock().await;
        if let Some(last) = memory.link
            && let Ok((source, origin)) = self.link(last)
            && let Ok(found) = self.fetch(&mut memory, source, origin).await
        {
            return Ok(found);
        }
        let mut reasons = Vec::new();
        let mut retry = Retry::Never;
        for link in 0..LINKS {
            let found = match self.link(link) {
                Ok((source, origin)) => self.fetch(&mut memory, source, origin.clone()).await.map_err(|error| {
                    if error.retry() != Retry::Never {
                        retry = error.retry();
                    }
                    format!("{origin}: {error}")
                }),
                Err(reason) => Err(reason),
            };
            match found {
                Ok(credentials) => {
                    memory.link = Some(link);
                    return Ok(credentials);
                }
                Err(reason) => reasons.push(reason),
            }
        }
        Err(nothing_found(&reasons).with_retry(retry))
    }

    /// Where the first link that leads anywhere leads, for people, with the AccessKeyId where it is known; found without going there.
    ///
    /// # Errors
    /// `ErrorKind::Credentials` as [`CredentialChain::resolve`], where none does.
    pub fn describe(&self) -> Result<String> {
        let mut reasons = Vec::new();
        for link in 0..LINKS {
            match self.link(link) {
                Ok((Source::Fixed(keys), origin)) => return Ok(t!("%{id}, from %{origin}", id = keys.id, origin)),
                Ok((_, origin)) => return Ok(origin),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(nothing_found(&reasons))
    }

    /// Forgets these credentials, which the service says are over, so that the next call fetches others. False where there can be no others: they
    /// stand in a variable or a file, which is read each time anyway.
    pub async fn forget(&self, refused: &Credentials) -> bool {
        let mut memory = self.memory.lock().await;
        let before = memory.fetched.len();
        memory.fetched.retain(|(_, temporary)| temporary.keys.id != refused.access_key_id);
        memory.fetched.len() != before
    }

    /// One link, by its place in the chain. Reads variables and files only.
    fn link(&self, link: usize) -> Link {
        let [id, secret, token, familiar_id, familiar_secret, familiar_token] = VARIABLES;
        let environment = &self.environment;
        match link {
            0 => variables::keys(environment, [id, secret, token]),
            1 => variables::oidc(environment),
            2 => tool::link(environment, self.fetcher.now().as_second()),
            3 => file::link(environment),
            4 => variables::instance(environment, || self.fetcher.is_ecs()),
            5 => variables::uri(environment),
            _ => variables::keys(environment, [familiar_id, familiar_secret, familiar_token]),
        }
    }

    /// The credentials of a source: from memory while they are fresh; those that are about to expire still serve where no others can be had.
    async fn fetch(&self, memory: &mut Memory, source: Source, origin: String) -> Result<Credentials> {
        let found = match source {
            Source::Fixed(keys) => keys,
            source => {
                let known = memory.fetched.iter().find(|(known, _)| *known == source).map(|(_, temporary)| temporary.clone());
                match known.map(|temporary| (temporary.lifetime.age(self.fetcher.now()), temporary)) {
                    Some((Age::Fresh, temporary)) => temporary.keys,
                    older => match (self.fetcher.fetch(&source).await, older) {
                        (Ok(temporary), _) => {
                            let keys = temporary.keys.clone();
                            memory.fetched.retain(|(known, _)| *known != source);
                            memory.fetched.push((source, temporary));
                            keys
                        }
                        (Err(error), Some((Age::Ageing, temporary))) => {
                            tracing::warn!("Alibaba Cloud credentials from {origin} are about to expire: {error}");
                            temporary.keys
                        }
                        (Err(error), _) => return Err(error),
                    },
                }
            }
        };
        self.redactor.learn(&found.secret);
        if let Some(token) = &found.token {
            self.redactor.learn(token);
        }
        Ok(Credentials { access_key_id: found.id, access_key_secret: found.secret, security_token: found.token, origin })
    }
}

impl fmt::Debug for CredentialChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialChain").field("environment", &self.environment).finish_non_exhaustive()
    }
}

fn nothing_found(reasons: &[String]) -> Error {
    Error::new(ErrorKind::Credentials, t!("no Alibaba Cloud credentials: %{reasons}", reasons = reasons.join("; "))).with_hint(
        t!("set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (or the same names with _FILE), or run `aliyun configure`"),
    )
}

/// The profile that the user chose, for the tool's configuration and for the credentials file alike.
fn profile(environment: &Environment) -> Option<&str> {
    environment.get("ALIBABA_CLOUD_PROFILE").map(str::trim).filter(|profile| !profile.is_empty())
}

/// The path in `variable`, else `below_home` in the user's home folder.
fn path(environment: &Environment, variable: &str, below_home: &str) -> Result<PathBuf, String> {
    match (environment.get(variable), environment.home()) {
        (Some(path), _) => Ok(PathBuf::from(path)),
        (None, Some(home)) => Ok(home.join(below_home)),
        (None, None) => Err(t!("`~/%{below_home}` cannot be looked up, as HOME is not set", below_home)),
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => t!("`%{path}` does not exist", path = path.display()),
        _ => t!("`%{path}` cannot be read: %{error}", path = path.display(), error),
    })
}

#[cfg(test)]
mod tests;
