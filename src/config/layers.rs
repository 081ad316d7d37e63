//! One precedence for everything: flag, environment, file, default. Each value remembers where it came from.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use super::{
    file::{ConfigFile, Place},
    parse,
    settings::{self, Kind, SETTINGS, Setting},
};
use crate::{
    environment::Environment,
    error::{Error, Result},
    language::t,
    nearest::nearest,
};

/// What stood on the command line, by option: values as they were typed, `true` for flags, the number for counts.
pub type Flags = BTreeMap<&'static str, Vec<String>>;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(&'static str),
    /// This environment variable.
    Variable(String),
    /// The config file.
    File {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Where it stands.
        place: Place,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "`--{name}`"),
            Self::Variable(name) => f.write_str(&t!("variable `%{name}`", name)),
            Self::File { path, key, place } => {
                f.write_str(&t!("key `%{key}` in `%{path}` line %{line}", key, path = path.display(), line = place.line))
            }
        }
    }
}

/// A value that was set somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The value or values.
    pub texts: Vec<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// All values that were set, the nearest layer of each.
#[derive(Clone, Debug, Default)]
pub struct Layers(BTreeMap<&'static str, Given>);

impl Layers {
    /// Looks at the layers in their order. An empty variable counts as unset.
    pub fn resolve(flags: &Flags, environment: &Environment, file: &ConfigFile) -> Self {
        let given = |setting: &'static Setting| {
            if let Some(texts) = flags.get(setting.name) {
                return Some(Given { texts: texts.clone(), origin: Origin::Flag(setting.name) });
            }
            let variable = setting.variable();
            if let Some(text) = environment.get(&variable) {
                let texts = match setting.kind {
                    Kind::List(separator) => {
                        text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
                    }
                    _ => vec![text.to_owned()],
                };
                return Some(Given { texts, origin: Origin::Variable(variable) });
            }
            let filed = file.options.get(setting.name)?;
            let path = file.path.clone().unwrap_or_default();
            let origin = Origin::File { path, key: setting.key().unwrap_or_default(), place: filed.place };
            Some(Given { texts: filed.texts.clone(), origin })
        };
        Self(SETTINGS.iter().filter_map(|setting| Some((setting.name, given(setting)?))).collect())
    }

    /// The value of an option where it was set.
    pub fn get(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    /// The single value of an option, read with `read`.
    ///
    /// # Errors
    /// As `read`, with the origin of the value in front.
    pub(super) fn one<T>(&self, name: &str, read: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
        let Some(given) = self.get(name) else { return Ok(None) };
        let text = given.texts.last().map(String::as_str).unwrap_or_default();
        let value = check_choice(name, text).and_then(|()| read(text)).map_err(|error| error.context(&given.origin))?;
        Ok(Some(value))
    }

    /// All values of an option, read with `read`.
    ///
    /// # Errors
    /// As [`Layers::one`].
    pub(super) fn all<T>(&self, name: &str, read: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
        let Some(given) = self.get(name) else { return Ok(Vec::new()) };
        given.texts.iter().map(|text| read(text).map_err(|error| error.context(&given.origin))).collect()
    }

    /// Whether a flag is on.
    ///
    /// # Errors
    /// A variable that is neither yes nor no.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.one(name, parse::boolean)?.unwrap_or(false))
    }
}

/// A whole number of at least `least`.
pub(super) fn number<T: TryFrom<u64>>(text: &str, least: u64) -> Result<T> {
    let wrong = || Error::config(t!("`%{text}` is not a whole number of at least %{least}", text, least));
    text.trim()
        .parse::<u64>()
        .ok()
        .filter(|number| *number >= least)
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(wrong)
}

fn check_choice(name: &str, text: &str) -> Result<()> {
    let choices = settings::find(name).map(|setting| setting.choices).unwrap_or_default();
    if choices.is_empty() || choices.contains(&text) {
        return Ok(());
    }
    let all = choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(t!(", "));
    let error = Error::config(t!("`%{text}` is none of %{all}", text, all));
    Err(match nearest(text, choices.iter().copied()) {
        Some(near) => error.with_hint(t!("did you mean `%{near}`?", near)),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_variable_over_the_file() {
        let file = ConfigFile {
            path: Some("c.toml".into()),
            ..ConfigFile::parse("region = \"from-file\"\nlang = \"zh\"\nendpoint = \"e\"\n", "c.toml").unwrap()
        };
        let environment = Environment::of([("DV_REGION", "from-variable"), ("DV_LANG", "en"), ("DV_ENDPOINT", "")]);
        let flags = Flags::from([("region", vec!["from-flag".to_owned()])]);
        let layers = Layers::resolve(&flags, &environment, &file);
        let shown = |name: &str| format!("{} {}", layers.get(name).unwrap().texts.join("|"), layers.get(name).unwrap().origin);
        assert_eq!(shown("region"), "from-flag `--region`");
        assert_eq!(shown("lang"), "en variable `DV_LANG`");
        assert_eq!(shown("endpoint"), "e key `endpoint` in `c.toml` line 3");
        assert_eq!(layers.get("timeout"), None);
    }

    #[test]
    fn every_option_can_be_set_by_its_variable() {
        for setting in SETTINGS {
            let variable = setting.variable();
            let layers = Layers::resolve(&Flags::new(), &Environment::of([(&variable, "x")]), &ConfigFile::default());
            assert_eq!(layers.get(setting.name).unwrap().origin, Origin::Variable(variable));
        }
    }

    #[test]
    fn lists_in_the_environment_have_separators() {
        let environment = Environment::of([
            ("DV_ORDER", "a, b,,c"),
            ("DV_AUTHORITY", "example.com=1.2.3.4,1.2.3.5;example.net=1.2.3.6"),
            ("DV_HOOK_SHELL", "echo a, b; c"),
        ]);
        let layers = Layers::resolve(&Flags::new(), &environment, &ConfigFile::default());
        assert_eq!(layers.get("order").unwrap().texts, ["a", "b", "c"]);
        assert_eq!(layers.get("authority").unwrap().texts, ["example.com=1.2.3.4,1.2.3.5", "example.net=1.2.3.6"]);
        assert_eq!(layers.get("hook-shell").unwrap().texts, ["echo a, b; c"]);
    }

    #[test]
    fn a_mistake_names_where_it_was_made() {
        let environment =
            Environment::of([("DV_TIMEOUT", "5x"), ("DV_NO_WAIT", "maybe"), ("DV_SIGNATURE", "v2"), ("DV_RATE", "0")]);
        let layers = Layers::resolve(&Flags::new(), &environment, &ConfigFile::default());
        let error = layers.one("timeout", parse::duration).unwrap_err();
        assert_eq!(error.to_string(), "variable `DV_TIMEOUT`: `5x` is not a duration");
        assert!(error.hint().unwrap().contains("90s"));
        assert!(layers.flag("no-wait").unwrap_err().to_string().contains("DV_NO_WAIT"));
        let error = layers.one("signature", |text| Ok(text.to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "variable `DV_SIGNATURE`: `v2` is none of `v1`, `v3`");
        assert!(layers.one("rate", |text| number::<u32>(text, 1)).unwrap_err().to_string().contains("at least 1"));
    }
}
