//! What a chain looks at to decide where it leads: variables, files, the firmware. Nothing is asked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use url::{Host, Url};

use crate::{
    environment::Environment,
    http::{is_loopback, require_safe},
    language::t,
};

/// Where Linux shows what the firmware says of the machine.
const FIRMWARE: &str = "/sys/class/dmi/id";

/// The machine that this runs on.
pub(super) struct Machine {
    pub(super) environment: Environment,
    /// Settings of the provider that narrow the chain (`client_id`, `project`), where they are set.
    pub(super) given: BTreeMap<&'static str, String>,
    firmware: PathBuf,
}

impl Machine {
    pub(super) fn new(environment: Environment, given: BTreeMap<&'static str, String>) -> Self {
        Self { environment, given, firmware: PathBuf::from(FIRMWARE) }
    }

    /// The same with another firmware.
    #[cfg(test)]
    pub(super) fn with_firmware(self, firmware: &Path) -> Self {
        Self { firmware: firmware.to_owned(), ..self }
    }

    /// What the firmware says in one field; empty where it says nothing.
    fn firmware(&self, field: &str) -> String {
        std::fs::read_to_string(self.firmware.join(field)).map(|text| text.trim().to_owned()).unwrap_or_default()
    }

    /// Whether this is an EC2 instance: Nitro names the vendor, Xen the version of its firmware.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html>
    pub(super) fn is_ec2(&self) -> bool {
        self.firmware("sys_vendor") == "Amazon EC2" || self.firmware("bios_version").ends_with("amazon")
    }

    /// Whether this is a machine at Google. <https://cloud.google.com/compute/docs/instances/detect-compute-engine>
    pub(super) fn is_google(&self) -> bool {
        self.firmware("product_name").starts_with("Google")
    }

    /// Whether this is a machine at Azure, which all have the same asset tag.
    pub(super) fn is_azure(&self) -> bool {
        self.firmware("chassis_asset_tag") == "7783-7084-3265-9085-8269-3286-77"
    }

    /// A variable without blanks around it.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The path in `variable`, else `below_home` in the user's home folder.
    pub(super) fn path(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        self.variable(variable).map(PathBuf::from).or_else(|| Some(self.environment.home()?.join(below_home)))
    }
}

/// Reads a file; `Ok(None)` where it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(t!("`%{path}` cannot be read: %{error}", path = path.display(), error)),
    }
}

/// A URL that secrets may travel to: https, or http to this machine and to addresses that never leave its link (RFC 3927, and where clouds have
/// their metadata services under IPv6).
pub(super) fn url(text: &str, what: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| t!("%{what} is not a URL", what))?;
    let is_near = match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => matches!(address.segments(), [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, ..]),
        Some(Host::Domain(name)) => name == "metadata.google.internal",
        None => false,
    };
    require_safe(&url, is_near, what).map_err(|error| error.to_string())?;
    Ok(url)
}

/// Whether a service at this URL belongs to this machine.
pub(super) fn is_local(url: &Url) -> bool {
    url.scheme() == "http" || is_loopback(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_leads_to_this_machine_and_its_link_only() {
        let is_taken = |text: &str| url(text, "it").is_ok();
        for near in ["http://169.254.169.254", "http://[fd00:ec2::254]/", "http://127.0.0.1:1", "http://metadata.google.internal"]
        {
            assert!(is_taken(near), "{near}");
        }
        assert!(is_taken("https://sts.example.com"));
        for far in ["http://10.0.0.1", "http://sts.example.com", "http://169.254.169.254.example.com", "ftp://127.0.0.1", "x"] {
            assert!(!is_taken(far), "{far}");
        }
    }
}
