//! The environment variables of this process, taken once and handed in, so that tests need not change the real ones.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Where systemd puts the credentials of a service.
pub const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// A snapshot of environment variables. Cheap to clone.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, String>>);

impl Environment {
    /// The variables of this process. Those that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        Self(Arc::new(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()))
    }

    /// Just these variables.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Self(Arc::new(variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()))
    }

    /// The same with `name` set to `value`.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut all = self.0.as_ref().clone();
        all.insert(name.to_owned(), value.to_owned());
        Self(Arc::new(all))
    }

    /// The value of `name`; an empty value counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether `name` is set to something that means yes (`1`, `true`, `yes`, `on`, in any case).
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
    }

    /// The file of a credential that systemd passes to the service under this name (`LoadCredential=NAME:PATH`); `None` where there is
    /// none. See <https://systemd.io/CREDENTIALS/>.
    pub fn systemd_credential(&self, name: &str) -> Option<String> {
        let path = PathBuf::from(self.get(CREDENTIALS_DIRECTORY)?).join(name);
        if path.is_file() { path.into_os_string().into_string().ok() } else { None }
    }

    /// The user's home folder (`HOME`); `None` where there is none, as in some containers and in cron.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    /// All variables, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl std::fmt::Debug for Environment {
    /// Names only: values may be credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
