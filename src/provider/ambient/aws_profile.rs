//! Profiles of AWS: `~/.aws/config` and `~/.aws/credentials`.
//!
//! Source: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    aws,
    machine::{self, Machine},
    source::{Link, Source, Values},
};
use crate::{ini, language::t, secret::Secret};

/// How many profiles may lead to one another.
const LONGEST_CHAIN: usize = 8;

/// Both files.
pub(super) struct Profiles {
    config: Option<(PathBuf, String)>,
    credentials: Option<(PathBuf, String)>,
}

/// One profile: what the config says, and what the file of credentials says, which counts more.
struct Profile<'text> {
    name: &'text str,
    config: BTreeMap<String, &'text str>,
    credentials: BTreeMap<String, &'text str>,
}

impl Profiles {
    /// Reads them.
    pub(super) fn read(machine: &Machine) -> Result<Self, String> {
        let file = |variable: &str, usual: &str| {
            let Some(path) = machine.path(variable, usual) else { return Ok(None) };
            machine::read(&path).map(|text| text.map(|text| (path, text)))
        };
        Ok(Self {
            config: file("AWS_CONFIG_FILE", ".aws/config")?,
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")?,
        })
    }

    fn profile<'text>(&'text self, name: &'text str) -> Option<Profile<'text>> {
        let unquoted = |text: &str| text.trim().trim_matches(['"', '\'']) == name;
        let is_profile = |heading: &str| match heading.split_once(char::is_whitespace) {
            Some(("profile", rest)) => unquoted(rest),
            _ => name == "default" && heading == "default",
        };
        let section = |file: &'text Option<(PathBuf, String)>, is_wanted: &dyn Fn(&str) -> bool| {
            file.as_ref().and_then(|(_, text)| ini::section(text, is_wanted))
        };
        let config = section(&self.config, &is_profile);
        let credentials = section(&self.credentials, &|heading| heading == name);
        (config.is_some() || credentials.is_some()).then(|| Profile {
            name,
            config: config.unwrap_or_default(),
            credentials: credentials.unwrap_or_default(),
        })
    }

    /// The profile that the user chose, else `default`.
    fn chosen<'text>(&'text self, machine: &'text Machine) -> Result<Option<Profile<'text>>, String> {
        let given = machine.given.get("profile").map(String::as_str);
        let chosen = given.or_else(|| machine.variable("AWS_DEFAULT_PROFILE"));
        match (self.profile(chosen.unwrap_or("default")), chosen) {
            (Some(profile), _) => Ok(Some(profile)),
            (None, Some(name)) => Err(t!("there is no profile `%{name}` in `~/.aws/config` or `~/.aws/credentials`", name)),
            (None, None) => Ok(None),
        }
    }

    /// Where the chosen profile assumes a role with other credentials: that role.
    pub(super) fn role_of_chosen(&self, machine: &Machine) -> Result<Option<(Source, String)>, String> {
        match self.chosen(machine)? {
            Some(profile) if profile.assumes_role() => self.source(machine, &profile, &mut Vec::new()).map(Some),
            _ => Ok(None),
        }
    }

    /// The link of the chosen profile.
    pub(super) fn link(&self, machine: &Machine) -> Result<Link, String> {
        let Some(profile) = self.chosen(machine)? else {
            return Ok(Link::Absent(t!("there is no profile in `~/.aws/config` or `~/.aws/credentials`").to_owned()));
        };
        if !profile.has_credentials() {
            return Ok(Link::Absent(t!("profile `%{name}` of `~/.aws/config` has no credentials", name = profile.name)));
        }
        Ok(self.source(machine, &profile, &mut Vec::new()).into())
    }

    /// Where a profile leads. `visited`: those that led here.
    fn source(&self, machine: &Machine, profile: &Profile<'_>, visited: &mut Vec<String>) -> Result<(Source, String), String> {
        let name = profile.name;
        let wrong = |why: &str| t!("profile `%{name}` of AWS %{why}", name, why);
        let region = profile.get("region");
        let session = profile.get("role_session_name");
        let origin = t!("profile `%{name}` of AWS", name);
        // A profile may name itself for keys beside the role.
        let is_again = visited.iter().any(|known| known == name);
        if let (Some(arn), false) = (profile.get("role_arn"), is_again) {
            if let Some(token) = profile.get("web_identity_token_file") {
                let (source, how) = aws::with_token(machine, region, arn, session.unwrap_or("dv-verify"), token)?;
                return Ok((source, t!("%{how} (%{origin})", how, origin)));
            }
            if profile.get("mfa_serial").is_some() {
                return Err(wrong(t!("wants a code of a second factor (`mfa_serial`), which nobody types here")));
            }
            visited.push(name.to_owned());
            let base = self.base(machine, profile, visited)?;
            let more = [
                ("RoleSessionName", session),
                ("ExternalId", profile.get("external_id")),
                ("DurationSeconds", profile.get("duration_seconds")),
            ];
            let source = aws::with_role(machine, base, region, arn, more)?;
            return Ok((source, t!("role `%{role}` (%{origin})", role = arn, origin)));
        }
        if profile.get("sso_session").or_else(|| profile.get("sso_start_url")).is_some() {
            return Err(wrong(&t!(
                "signs in through a browser (SSO): give a profile of its own \
                 `credential_process = aws configure export-credentials --profile %{name}`, and choose that",
                name
            )));
        }
        let keys = |section: &BTreeMap<String, &str>| {
            let value = |key: &str| section.get(key).copied().filter(|value| !value.is_empty());
            let id = value("aws_access_key_id")?;
            Some(match value("aws_secret_access_key") {
                None => Err(wrong(t!("has `aws_access_key_id`, but no `aws_secret_access_key`"))),
                Some(secret) => {
                    let mut all = Values::from([("access_key", Secret::new(id)), ("secret_key", Secret::new(secret))]);
                    let token = value("aws_session_token").or_else(|| value("aws_security_token"));
                    all.extend(token.map(|token| ("session_token", Secret::new(token))));
                    Ok(Source::Fixed(all))
                }
            })
        };
        let process = || profile.get("credential_process").map(|line| Ok(Source::Program { line: line.to_owned() }));
        let found = keys(&profile.credentials).or_else(process).or_else(|| keys(&profile.config));
        let source = found.ok_or_else(|| wrong(t!("has no credentials")))??;
        Ok((source, origin))
    }

    /// The credentials that a profile's role is assumed with.
    fn base(&self, machine: &Machine, profile: &Profile<'_>, visited: &mut Vec<String>) -> Result<Source, String> {
        let name = profile.name;
        let wrong = |why: String| t!("profile `%{name}` of AWS %{why}", name, why);
        match (profile.get("source_profile"), profile.get("credential_source")) {
            (Some(_), Some(_)) => Err(wrong(t!("has both `source_profile` and `credential_source`").to_owned())),
            (None, None) => Err(wrong(t!("has a role, but neither `source_profile` nor `credential_source`").to_owned())),
            (Some(next), None) => {
                if visited.len() > LONGEST_CHAIN || (next != name && visited.iter().any(|known| known == next)) {
                    return Err(wrong(t!("begins a chain of profiles without end (%{visited})", visited = visited.join(", "))));
                }
                let other =
                    self.profile(next).ok_or_else(|| wrong(t!("names the profile `%{next}`, which does not exist", next)))?;
                self.source(machine, &other, visited).map(|(source, _)| source)
            }
            // Keys in variables count before all profiles, so that nobody comes here who has any.
            (None, Some("Environment")) => Err(wrong(t!("takes keys from variables, which are not set").to_owned())),
            (None, Some(place @ ("EcsContainer" | "Ec2InstanceMetadata"))) => {
                match if place == "EcsContainer" { aws::container(machine) } else { aws::instance(machine) } {
                    Link::Leads(source, _) => Ok(*source),
                    Link::Absent(why) | Link::Broken(why) => {
                        Err(wrong(t!("takes credentials from %{place}, but %{why}", place, why)))
                    }
                }
            }
            (None, Some(other)) => Err(wrong(t!("has the `credential_source` `%{other}`, which there is not", other))),
        }
    }
}

impl<'text> Profile<'text> {
    /// A value that is not empty.
    fn get(&self, key: &str) -> Option<&'text str> {
        self.credentials.get(key).or_else(|| self.config.get(key)).copied().filter(|value| !value.is_empty())
    }

    fn assumes_role(&self) -> bool {
        self.get("role_arn").is_some() && self.get("web_identity_token_file").is_none()
    }

    fn has_credentials(&self) -> bool {
        ["role_arn", "sso_session", "sso_start_url", "aws_access_key_id", "credential_process"]
            .into_iter()
            .any(|key| self.get(key).is_some())
    }
}
