//! Where files lie when the user does not say.

use std::path::{Path, PathBuf};

use super::variables;
use crate::{
    environment::Environment,
    error::{Error, Result},
    language::t,
};

/// The folder of the config file for root.
const SYSTEM_CONFIG: &str = "/etc/dv-verify";

/// The state folder for root.
const SYSTEM_STATE: &str = "/var/lib/dv-verify";

/// The folder name below XDG folders.
const FOLDER: &str = "dv-verify";

/// The default places of this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    config: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Places {
    /// The places of the user that this process runs as.
    pub fn of_process(environment: &Environment) -> Self {
        Self::new(environment, is_root())
    }

    /// The places of root, or of the user whose home folder and XDG variables are in `environment`. Relative XDG paths do not count, as
    /// its specification says.
    pub fn new(environment: &Environment, is_root: bool) -> Self {
        if is_root {
            return Self { config: Some(SYSTEM_CONFIG.into()), state: Some(SYSTEM_STATE.into()) };
        }
        let below = |variable: &str, fallback: &str| {
            let stated = environment.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
            stated.or_else(|| environment.home().map(|home| home.join(fallback))).map(|base| base.join(FOLDER))
        };
        Self { config: below(variables::XDG_CONFIG_HOME, ".config"), state: below(variables::XDG_STATE_HOME, ".local/state") }
    }

    /// The default config file, which need not be there.
    pub fn config(&self) -> Option<PathBuf> {
        self.config.as_ref().map(|folder| folder.join("config.toml"))
    }

    /// The default store.
    ///
    /// # Errors
    /// `ErrorKind::Config` where there is no home folder.
    pub fn store(&self) -> Result<PathBuf> {
        Ok(self.state()?.join("store.db"))
    }

    /// The default folder of certificates.
    ///
    /// # Errors
    /// As [`Places::store`].
    pub fn out(&self) -> Result<PathBuf> {
        Ok(self.state()?.join("certificates"))
    }

    fn state(&self) -> Result<&Path> {
        self.state.as_deref().ok_or_else(|| {
            Error::config(t!("there is no home folder (HOME is not set), so nowhere to keep the journal and the certificates"))
                .with_hint(t!("say where with `--store FILE` and `--out FOLDER`, or set HOME or XDG_STATE_HOME"))
        })
    }
}

/// Whether this process runs as root. Known on Linux; elsewhere nobody is root, and XDG folders are used.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // The folder of a process belongs to its effective user.
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_the_systems_places() {
        let places = Places::new(&Environment::of([("HOME", "/root"), ("XDG_STATE_HOME", "/x")]), true);
        assert_eq!(places.config().unwrap(), Path::new("/etc/dv-verify/config.toml"));
        assert_eq!(places.store().unwrap(), Path::new("/var/lib/dv-verify/store.db"));
        assert_eq!(places.out().unwrap(), Path::new("/var/lib/dv-verify/certificates"));
    }

    #[test]
    fn users_have_xdg_places() {
        let places = Places::new(&Environment::of([("HOME", "/home/a")]), false);
        assert_eq!(places.config().unwrap(), Path::new("/home/a/.config/dv-verify/config.toml"));
        assert_eq!(places.store().unwrap(), Path::new("/home/a/.local/state/dv-verify/store.db"));
        let environment = Environment::of([("HOME", "/home/a"), ("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "relative")]);
        let places = Places::new(&environment, false);
        assert_eq!(places.out().unwrap(), Path::new("/s/dv-verify/certificates"));
        assert_eq!(places.config().unwrap(), Path::new("/home/a/.config/dv-verify/config.toml"));
    }

    #[test]
    fn without_a_home_the_options_are_named() {
        let places = Places::new(&Environment::default(), false);
        assert_eq!(places.config(), None);
        let hint = places.store().unwrap_err().hint().unwrap().to_owned();
        assert!(hint.contains("--store") && hint.contains("--out"));
    }
}
