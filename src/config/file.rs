//! The config file: TOML, strict. A key that nobody knows is an error with its place, not a surprise in production.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use self::certificates::Certificate;
use super::settings::{Kind, SETTINGS, Setting};
use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    nearest::nearest,
    provider::registry::Registry,
};

/// The largest config file that is read, in bytes.
const MAX_SIZE: u64 = 1024 * 1024;

/// Settings that every manifest takes beside its credentials; also `url_<host>`.
const COMMON_PROVIDER_KEYS: [&str; 3] = ["base_url", "ttl", "zone"];

/// A place in the file, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// The value of an option in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// The value or values, as the flag would have them.
    pub texts: Vec<String>,
    /// Where it stands.
    pub place: Place,
}

/// A provider with one set of credentials: `[provider.<name>]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The provider's id, alias, or the path of a manifest (`use`; default: the name of the instance).
    pub provider: String,
    /// Every other key but `allow_http`.
    pub table: BTreeMap<String, toml::Value>,
    /// Whether plain http is allowed.
    pub allow_http: bool,
    places: BTreeMap<String, Place>,
    place: Place,
}

/// One `[[route]]`: names in `zone` are written by `provider`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The zone; the root stands for every name.
    pub zone: Name,
    /// A provider instance, or a built-in id.
    pub provider: String,
}

/// A config file that was read, or an empty one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigFile {
    /// Where it is, or would be.
    pub path: Option<PathBuf>,
    /// Whether it is there.
    pub exists: bool,
    /// Options by name.
    pub options: BTreeMap<&'static str, Filed>,
    /// Provider instances by name.
    pub instances: BTreeMap<String, Instance>,
    /// Routes in the order of the file.
    pub routes: Vec<Route>,
    /// Certificates in the order of the file.
    pub certificates: Vec<Certificate>,
    pub(super) mode: u32,
}

impl ConfigFile {
    /// Reads the file at `path`. Where it is not there: an empty config, unless the user named it (`is_named`).
    ///
    /// # Errors
    /// `ErrorKind::Config` with path, line and column.
    pub fn read(path: &Path, is_named: bool) -> Result<Self> {
        let shown = path.display();
        let failed =
            |error: std::io::Error| Error::config(t!("the config file `%{shown}` cannot be read: %{error}", shown, error));
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => {
                return Ok(Self { path: Some(path.to_owned()), ..Self::default() });
            }
            other => other.map_err(failed)?,
        };
        if metadata.len() > MAX_SIZE {
            return Err(Error::config(t!(
                "the config file `%{shown}` has %{metadata} bytes, more than %{MAX_SIZE}",
                shown,
                metadata = metadata.len(),
                MAX_SIZE
            )));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        Ok(Self { path: Some(path.to_owned()), exists: true, mode, ..Self::parse(&text, &shown.to_string())? })
    }

    /// Reads the text of a config. `shown` names it in errors.
    ///
    /// # Errors
    /// As [`ConfigFile::read`].
    pub fn parse(text: &str, shown: &str) -> Result<Self> {
        let source = Source { text, shown };
        let document = DeTable::parse(text).map_err(|error| source.toml_error(&error))?;
        // A second reading without places, for the values of provider tables.
        let plain: toml::Table = text.parse().map_err(|error| source.toml_error(&error))?;
        let mut file = Self::default();
        for (key, value) in document.get_ref() {
            match key.get_ref().as_ref() {
                "provider" => {
                    let values = plain.get("provider").and_then(toml::Value::as_table);
                    file.instances = source.instances(value, values)?;
                }
                "route" => file.routes = source.routes(value)?,
                "certificate" => file.certificates = source.certificates(value)?,
                name => {
                    let setting = SETTINGS.iter().find(|setting| setting.key().as_deref() == Some(name));
                    let setting = setting.ok_or_else(|| source.unknown_option(name, key))?;
                    file.options.insert(setting.name, source.option(setting, value)?);
                }
            }
        }
        Ok(file)
    }

    /// Checks what only the providers themselves know: whether they exist, take these keys, and whether a secret stands in a file that
    /// others can read.
    ///
    /// # Errors
    /// `ErrorKind::Config` naming the key and what to do.
    pub fn check_providers(&self, registry: &Registry) -> Result<()> {
        let path = self.path.as_deref().unwrap_or(Path::new("config.toml")).display();
        for (name, instance) in &self.instances {
            let at = |place: Place, what: String| {
                Error::config(t!(
                    "`%{path}` line %{line}, column %{column}: %{what}",
                    path,
                    line = place.line,
                    column = place.column,
                    what
                ))
            };
            let description = registry.describe(&instance.provider).map_err(|error| {
                let place = instance.places.get("use").copied().unwrap_or(instance.place);
                error.context(t!("`%{path}` line %{line}, column %{column}", path, line = place.line, column = place.column))
            })?;
            for (key, value) in &instance.table {
                let place = instance.places.get(key).copied().unwrap_or(instance.place);
                let known =
                    || description.credentials.iter().map(|credential| credential.name.as_str()).chain(COMMON_PROVIDER_KEYS);
                let bare = key.strip_suffix("_file").filter(|bare| known().any(|known| known == *bare));
                if bare.is_none() && !key.starts_with("url_") && !known().any(|known| known == key) {
                    let error = at(place, t!("provider `%{id}` takes no key `%{key}`", id = description.id, key));
                    let (stem, ending) = key.strip_suffix("_file").map_or((key.as_str(), ""), |stem| (stem, "_file"));
                    let hint = nearest(stem, known()).map_or_else(
                        || t!("`dv-verify providers show %{id}` lists what it takes", id = description.id),
                        |near| t!("did you mean `%{near}`?", near = format!("{near}{ending}")),
                    );
                    return Err(error.with_hint(hint));
                }
                let is_secret = bare.is_none() && description.credentials.iter().any(|it| it.secret && it.name == *key);
                if is_secret && self.mode & 0o077 != 0 {
                    let what = t!(
                        "`%{key}` of `[provider.%{name}]` is a secret, and others can read this file (mode %{mode})",
                        key,
                        name,
                        mode = format_args!("{:04o}", self.mode & 0o7777)
                    );
                    return Err(at(place, what).with_hint(t!(
                        "`chmod 600 %{path}`, or put the secret into a file of its own and name that with `%{key}_file`",
                        path,
                        key
                    )));
                }
                if !matches!(value, toml::Value::String(_) | toml::Value::Integer(_) | toml::Value::Boolean(_)) {
                    return Err(at(place, t!("`%{key}` must be text, a whole number, or `true` or `false`", key)));
                }
            }
        }
        Ok(())
    }
}

/// The text, and how it is called.
struct Source<'a> {
    text: &'a str,
    shown: &'a str,
}

impl Source<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }

    fn error(&self, span: &Range<usize>, what: &str) -> Error {
        let Place { line, column } = self.place(span);
        Error::config(t!("`%{shown}` line %{line}, column %{column}: %{what}", shown = self.shown, line, column, what))
    }

    /// Only the message: the error's own display shows the line, which may hold a secret.
    fn toml_error(&self, error: &toml::de::Error) -> Error {
        self.error(&error.span().unwrap_or(0..0), error.message().lines().next().unwrap_or("not TOML"))
    }

    fn unknown_option(&self, name: &str, key: &Spanned<std::borrow::Cow<'_, str>>) -> Error {
        let error = self.error(&key.span(), &t!("there is no key `%{name}`", name));
        let keys: Vec<String> =
            SETTINGS.iter().filter_map(Setting::key).chain(["provider", "route", "certificate"].map(str::to_owned)).collect();
        match nearest(name, keys.iter().map(String::as_str)) {
            Some(near) => error.with_hint(t!("did you mean `%{near}`?", near)),
            None => error.with_hint(t!("`dv-verify config check` lists the keys")),
        }
    }

    fn option(&self, setting: &Setting, value: &Spanned<DeValue<'_>>) -> Result<Filed> {
        let wrong = |what: &str| {
            self.error(
                &value.span(),
                &t!(
                    "`%{key}` must be %{what}, not %{found}",
                    key = setting.key().unwrap_or_default(),
                    what,
                    found = value.get_ref().type_str()
                ),
            )
        };
        let texts = match (setting.kind, value.get_ref()) {
            (Kind::Flag, DeValue::Boolean(flag)) => vec![flag.to_string()],
            (Kind::Flag, _) => return Err(wrong("`true` or `false`")),
            (Kind::Count, DeValue::Integer(number)) => vec![number.as_str().to_owned()],
            (Kind::Count, _) => return Err(wrong(t!("a number"))),
            (Kind::Value, DeValue::String(text)) => vec![text.to_string()],
            (Kind::Value, DeValue::Integer(number)) => vec![number.as_str().to_owned()],
            (Kind::Value, _) => return Err(wrong("text")),
            (Kind::List(_), DeValue::String(text)) => vec![text.to_string()],
            (Kind::List(_), DeValue::Array(items)) => items
                .iter()
                .map(|item| {
                    item.get_ref()
                        .as_str()
                        .map(str::to_owned)
                        .ok_or_else(|| self.error(&item.span(), t!("every item must be text")))
                })
                .collect::<Result<_>>()?,
            (Kind::List(_), _) => return Err(wrong(t!("a list of texts"))),
        };
        Ok(Filed { texts, place: self.place(&value.span()) })
    }

    fn instances(&self, value: &Spanned<DeValue<'_>>, values: Option<&toml::Table>) -> Result<BTreeMap<String, Instance>> {
        let Some(tables) = value.get_ref().as_table() else {
            return Err(self.error(&value.span(), t!("`provider` is a table of provider instances")).with_hint(t!(
                "write `default_provider = \"…\"` for the one that writes everything, or `[provider.NAME]` for an instance"
            )));
        };
        let mut instances = BTreeMap::new();
        for (key, value) in tables {
            let name = key.get_ref().as_ref();
            let (Some(table), Some(plain)) =
                (value.get_ref().as_table(), values.and_then(|values| values.get(name)).and_then(toml::Value::as_table))
            else {
                return Err(self
                    .error(&value.span(), &t!("`provider.%{name}` must be a table", name))
                    .with_hint(t!("write `[provider.%{name}]` on a line of its own, and its keys below", name)));
            };
            instances.insert(name.to_owned(), self.instance(name, key, table, plain)?);
        }
        Ok(instances)
    }

    fn instance(
        &self,
        name: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        table: &DeTable<'_>,
        plain: &toml::Table,
    ) -> Result<Instance> {
        let sensible = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if !sensible {
            return Err(self
                .error(&key.span(), &t!("`%{name}` cannot be the name of a provider instance", name))
                .with_hint(t!("use letters, digits, `-` and `_`: the name is part of variables such as `DV_<NAME>_API_TOKEN`")));
        }
        let mut instance = Instance {
            provider: name.to_owned(),
            table: BTreeMap::new(),
            allow_http: false,
            places: BTreeMap::new(),
            place: self.place(&key.span()),
        };
        for (key, value) in table {
            let setting = key.get_ref().as_ref();
            instance.places.insert(setting.to_owned(), self.place(&key.span()));
            match (setting, value.get_ref()) {
                ("use", DeValue::String(id)) => instance.provider = id.to_string(),
                ("use", _) => return Err(self.error(&value.span(), t!("`use` must be the id of a provider"))),
                ("allow_http", DeValue::Boolean(flag)) => instance.allow_http = *flag,
                ("allow_http", _) => return Err(self.error(&value.span(), t!("`allow_http` must be `true` or `false`"))),
                _ => {
                    instance.table.extend(plain.get(setting).map(|value| (setting.to_owned(), value.clone())));
                }
            }
        }
        Ok(instance)
    }

    fn routes(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Route>> {
        let shape = t!("write `[[route]]` on a line of its own, and below it `zone = \"…\"` and `provider = \"…\"`");
        let Some(items) = value.get_ref().as_array() else {
            return Err(self.error(&value.span(), t!("`route` must be a list of tables")).with_hint(shape));
        };
        let mut routes: Vec<Route> = Vec::new();
        for item in items {
            let Some(table) = item.get_ref().as_table() else {
                return Err(self.error(&item.span(), t!("a route must be a table")).with_hint(shape));
            };
            let (mut zone, mut provider) = (None, None);
            for (key, value) in table {
                let Some(text) = value.get_ref().as_str() else {
                    return Err(self.error(&value.span(), &t!("`%{key}` of a route must be text", key = key.get_ref())));
                };
                match key.get_ref().as_ref() {
                    "zone" => zone = Some(Name::parse(text).map_err(|error| self.error(&value.span(), error.message()))?),
                    "provider" => provider = Some(text.to_owned()),
                    other => {
                        return Err(self.error(&key.span(), &t!("a route has no key `%{other}`", other)).with_hint(shape));
                    }
                }
            }
            let (Some(zone), Some(provider)) = (zone, provider) else {
                return Err(self.error(&item.span(), t!("a route needs `zone` and `provider`")).with_hint(shape));
            };
            if routes.iter().any(|route| route.zone == zone) {
                return Err(self.error(&item.span(), &t!("the zone `%{zone}` has a route already", zone)));
            }
            routes.push(Route { zone, provider });
        }
        Ok(routes)
    }
}

pub mod certificates;
#[cfg(test)]
mod tests;
