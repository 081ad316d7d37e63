//! The config that comes of what was read.

use std::{fmt::Write as _, path::Path};

use super::{Foreign, Reading, Way};
use crate::{
    language::t,
    name::Name,
    order::acme::Ca,
    provider::{description::Description, registry::Registry},
};

/// What is written so far.
#[derive(Default)]
struct Text {
    webroots: Vec<String>,
    instances: Vec<(String, Foreign)>,
    providers: String,
    routes: String,
    certificates: String,
    left: Vec<String>,
}

/// The config. Each provider with its settings is one instance; what it writes follows from the certificates.
pub(super) fn text(registry: &Registry, path: &Path, reading: &mut Reading) -> String {
    let mut text = Text::default();
    for found in &reading.found {
        let names: Vec<&Name> = found.names.iter().map(|(name, _)| name).collect();
        let _ = writeln!(text.certificates, "\n[[certificate]]\nnames = {}", list(names.iter().map(|name| name.as_str())));
        match found.ca.as_deref().map(Ca::parse) {
            Some(Ok(ca)) => _ = writeln!(text.certificates, "ca = {}", quoted(&ca.name())),
            Some(Err(error)) => text.left.push(t!("the CA of %{names}: %{error}", names = found.shown(), error)),
            None => text.left.push(t!("the CA of %{names}: it is not written down; set `ca`", names = found.shown())),
        }
        if let Some(key_type) = found.key_type {
            let _ = writeln!(text.certificates, "key_type = {}", quoted(key_type));
        }
        if found.names.iter().all(|(_, way)| *way == Way::Unknown) {
            text.left.push(t!("who writes the records of %{names}: say so with `--provider`, or a route", names = found.shown()));
        }
        for (name, way) in &found.names {
            match way {
                Way::Provider(provider) => text.route(registry, name, provider, &reading.settings),
                Way::Webroot(folder) => text.webroot(name, folder),
                Way::Unknown => {}
            }
        }
    }
    let mut all = format!("# Made by `dv-verify import` from {}.\n", path.display());
    if !text.webroots.is_empty() {
        let _ = writeln!(all, "\nwebroot = {}", list(text.webroots.iter().map(String::as_str)));
    }
    reading.left.extend(text.left);
    all + &text.providers + &text.routes + &text.certificates
}

impl Text {
    fn webroot(&mut self, name: &Name, folder: &Path) {
        let entry = format!("{name}={}", folder.display());
        if !folder.is_dir() {
            self.left.push(t!("the web root of `%{name}`: there is no folder `%{folder}`", name, folder = folder.display()));
        } else if !self.webroots.contains(&entry) {
            self.webroots.push(entry);
        }
    }

    /// The records of this name are written by this provider.
    fn route(&mut self, registry: &Registry, name: &Name, provider: &Foreign, settings: &[(String, String)]) {
        let known = self.instances.iter().find(|(_, known)| known == provider).map(|(name, _)| name.clone());
        let Some(instance) = known.or_else(|| self.new_instance(registry, provider, settings)) else { return };
        let route = format!("\n[[route]]\nzone = {}\n", quoted(name.base().as_str()));
        if !self.routes.contains(&route) {
            let _ = writeln!(self.routes, "{route}provider = {}", quoted(&instance));
        }
    }

    /// Writes an instance of the provider, and returns its name; `None` where there is no such provider. `others` are settings that may be its.
    fn new_instance(&mut self, registry: &Registry, provider: &Foreign, others: &[(String, String)]) -> Option<String> {
        let same = self.instances.iter().filter(|(_, known)| known.id == provider.id).count();
        let number = if same == 0 { String::new() } else { format!("-{}", same + 1) };
        let id = &provider.id;
        let name = if let Ok(description) = registry.describe(id) {
            let name = format!("imported-{}{number}", description.id);
            self.write_instance(&name, &description, &provider.settings, others);
            name
        } else if let Some((bridge, home)) = provider.bridge.as_ref().filter(|(bridge, _)| registry.describe(bridge).is_ok()) {
            let name = format!("imported-{id}{number}");
            let home = quoted(&home.display().to_string());
            let _ = write!(self.providers, "\n[provider.{name}]\nuse = {}\nhome = {home}\n", quoted(bridge));
            self.left.push(t!(
                "the provider `%{id}`: this program has none of that name, and uses `%{bridge}`, with the credentials that stay there (docs/bridges.md)",
                id,
                bridge
            ));
            name
        } else {
            let left = t!("the provider `%{id}`: this program has none of that name", id);
            if !self.left.contains(&left) {
                self.left.push(left);
            }
            return None;
        };
        self.instances.push((name.clone(), provider.clone()));
        Some(name)
    }

    /// `own` are settings of this provider, `others` such that may be.
    fn write_instance(&mut self, name: &str, description: &Description, own: &[(String, String)], others: &[(String, String)]) {
        let mut text = format!("\n[provider.{name}]\nuse = {}\n", quoted(&description.id));
        for (key, value) in own.iter().chain(others) {
            let credential = description.credentials.iter().find(|credential| {
                credential.name.eq_ignore_ascii_case(key)
                    || credential.familiar.iter().any(|familiar| familiar.eq_ignore_ascii_case(key))
            });
            match credential {
                Some(credential) if !text.contains(&format!("\n{} = ", credential.name)) => {
                    let _ = writeln!(text, "{} = {}", credential.name, quoted(value));
                }
                None if own.iter().any(|(known, _)| known == key) => self.left.push(t!(
                    "the setting `%{key}` of `%{id}`: `dv-verify providers show %{id}` lists what it takes",
                    key,
                    id = description.id
                )),
                _ => {}
            }
        }
        self.providers += &text;
    }
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", texts.map(quoted).collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
