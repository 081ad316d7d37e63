//! Which variables are credentials: hooks and other programs do not get them.

use std::collections::BTreeSet;

use super::Registry;
use crate::environment::{CREDENTIALS_DIRECTORY, Environment};

impl Registry {
    /// The variables of `environment` that hold credentials, as far as this program knows any: of every provider under every spelling,
    /// of Alibaba Cloud, and of the store. Hooks and other programs do not get them.
    pub fn hidden_variables(&self, environment: &Environment) -> Vec<String> {
        let secrets = || self.descriptions().flat_map(|description| &description.credentials).filter(|it| it.secret);
        let familiar: BTreeSet<&str> = secrets().flat_map(|secret| secret.familiar.iter().map(String::as_str)).collect();
        let endings: BTreeSet<String> = secrets().map(|secret| format!("_{}", secret.name.to_ascii_uppercase())).collect();
        let hidden = |variable: &str| {
            let bare = variable.strip_suffix("_FILE").unwrap_or(variable);
            variable == CREDENTIALS_DIRECTORY
                || familiar.contains(bare)
                || bare.starts_with("DV_") && endings.iter().any(|ending| bare.ends_with(ending.as_str()))
                || is_known_secret(bare)
        };
        environment.iter().map(|(name, _)| name).filter(|name| hidden(name)).map(str::to_owned).collect()
    }
}

/// Secrets that no provider declares: Alibaba Cloud's own variables (with those of its older tools), what opens the credentials of a container at
/// AWS and of an application at Azure, and PostgreSQL's password.
fn is_known_secret(variable: &str) -> bool {
    let alibaba = ["ALIBABA_CLOUD_", "ALIBABACLOUD_", "ALICLOUD_", "ALIYUN_"].iter().any(|start| variable.starts_with(start));
    matches!(variable, "PGPASSWORD" | "AWS_CONTAINER_AUTHORIZATION_TOKEN" | "IDENTITY_HEADER")
        || alibaba && ["SECRET", "TOKEN", "ACCESS_KEY", "CREDENTIALS"].iter().any(|part| variable.contains(part))
}
