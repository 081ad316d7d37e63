//! From TOML to a plan: every check that can be made without a network is made here, with line and column.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use serde_json::Value;
use url::Url;

use super::{
    builtin,
    model::{self, Document, Text, Types},
    plan::{self, Outline, Plan},
    source::Source,
    template::{Declared, Escape, Known, Shape, Template},
};
use crate::{
    error::{Error, Result},
    language::t,
    provider::description::Ambient,
    record::RecordType,
};

mod calls;
mod sections;

/// The only version of the format.
const FORMAT: u32 = 1;
/// Setting names that every provider has; no credential may take them.
const SETTINGS: &[&str] = &["base_url", "zone", "ttl", "use", "allow_http", "allow_zone_rewrite", "zone_copies"];
/// Variables of calls that write or look for a record.
const RECORD: &[&str] = &["fqdn", "name", "value", "ttl", "type"];
/// The same, in jq.
const RECORD_JQ: &[&str] = &["fqdn", "name", "value", "ttl", "type", "zone", "record", "candidate", "headers", "page"];
/// What jq sees besides the reply's body in any section.
const REPLY_JQ: &[&str] = &["headers"];
/// Names that no lookup may take.
const TAKEN: &[&str] = &[
    "fqdn",
    "name",
    "value",
    "ttl",
    "type",
    "zone",
    "record",
    "cred",
    "session",
    "result",
    "items",
    "old",
    "doc",
    "req",
    "candidate",
    "state",
    "headers",
    "status",
];

/// Reads and checks a manifest.
///
/// # Errors
/// `ErrorKind::Config` with file, line and column.
pub(super) fn load(text: &str, origin: &str, is_builtin: bool) -> Result<Plan> {
    let source = Source { text, origin };
    let document = read(source)?;
    Loader::new(source, &document, is_builtin).plan()
}

/// Reads what can be said about a provider, without compiling its templates and queries.
///
/// # Errors
/// As [`load`], as far as it looks.
pub(super) fn outline(text: &str, origin: &str, is_builtin: bool) -> Result<Outline> {
    let source = Source { text, origin };
    let document = read(source)?;
    Loader::new(source, &document, is_builtin).outline()
}

fn read(source: Source<'_>) -> Result<Document> {
    toml::from_str(source.text).map_err(|error| source.toml_error(&error))
}

/// The credentials as templates see them.
fn declared(document: &Document) -> Declared {
    let shape = |credential: &model::Credential| Shape {
        optional: credential.optional && credential.default.is_none(),
        fields: credential.fields.as_ref().filter(|_| credential.per_name).map(|fields| fields.get_ref().clone()),
    };
    document.credentials.iter().map(|(name, credential)| (name.get_ref().clone(), shape(credential))).collect()
}

struct Loader<'a> {
    source: Source<'a>,
    document: &'a Document,
    declared: Declared,
    is_builtin: bool,
}

/// Which variables there are at a place, besides credentials, session and lookups.
struct Place<'a> {
    section: &'static str,
    names: &'a [&'a str],
    objects: &'a [&'a str],
    /// How many lookups are known already.
    lookups: usize,
    has_session: bool,
}

impl<'a> Loader<'a> {
    fn new(source: Source<'a>, document: &'a Document, is_builtin: bool) -> Self {
        Self { source, document, declared: declared(document), is_builtin }
    }

    fn plan(&self) -> Result<Plan> {
        let document = self.document;
        let outline = self.outline()?;
        let lookups = self.lookups()?;
        let base_url = self.base(&document.base_url)?;
        let hosts = document.hosts.iter().map(|(name, url)| {
            self.check_word(name, "host")?;
            Ok((name.get_ref().clone(), self.base(url)?))
        });
        let hosts = hosts.collect::<Result<BTreeMap<_, _>>>()?;
        Ok(Plan {
            outline,
            base_url,
            hosts,
            shared: self.shared()?,
            sign: document.sign.as_ref().map(|sign| self.sign(sign)).transpose()?,
            clock: document.clock.as_ref().map(|clock| self.clock(clock)).transpose()?,
            login: document.login.as_ref().map(|login| self.login(login)).transpose()?,
            logout: document
                .logout
                .as_ref()
                .map(|logout| self.call(&logout.call(), &self.place("[logout]", &[], &[])))
                .transpose()?,
            lookups,
            zone: document.zone.as_ref().map(|zone| self.zone(zone)).transpose()?,
            writing: self.writing()?,
            commit: document
                .commit
                .as_ref()
                .map(|commit| self.call(&commit.call(), &self.place("[commit]", RECORD, &["zone", "result"])))
                .transpose()?,
            wait: document.wait.as_ref().map(|wait| self.wait(wait)).transpose()?,
        })
    }

    /// What needs no template and no query.
    fn outline(&self) -> Result<Outline> {
        let document = self.document;
        if let Some(format) = document.format.as_ref().filter(|format| *format.get_ref() != FORMAT) {
            let message =
                t!("format %{format} is not known; this program reads format %{FORMAT}", format = format.get_ref(), FORMAT);
            return Err(self.source.error(&format.span(), message).with_hint(t!("use a newer dv-verify")));
        }
        self.check_id()?;
        let least_ttl = document.least_ttl.unwrap_or(document.ttl);
        Ok(Outline {
            id: document.id.get_ref().clone(),
            title: document.title.clone(),
            docs: document.docs.clone(),
            origin: self.source.origin.to_owned(),
            is_builtin: self.is_builtin,
            ttl: document.ttl.max(least_ttl),
            least_ttl,
            apex: document.apex.clone(),
            usual_delay: document.propagation.as_ref().map(|text| self.duration(text)).transpose()?,
            aliases: document.aliases.clone(),
            name_servers: document.name_servers.clone(),
            types: self.types()?,
            scope: document.scope,
            several_values: document.several_values,
            removal: document.removal,
            rewrites_set: document.merge.is_some(),
            one_write_per_zone: document.one_write_per_zone,
            proof: document.proof,
            ambient: self.ambient()?,
            credentials: self.credentials()?,
        })
    }

    fn error(&self, span: &Range<usize>, message: impl AsRef<str>) -> Error {
        self.source.error(span, message)
    }

    /// The id is a word, and not one that would share credential variables with another provider.
    fn check_id(&self) -> Result<()> {
        let id = &self.document.id;
        let is_word = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !is_word(id.get_ref()) {
            return Err(self.error(&id.span(), t!("the id `%{id}` must be small letters, digits and `-`", id = id.get_ref())));
        }
        if self.is_builtin {
            return Ok(());
        }
        let names = std::iter::once(id.get_ref()).chain(&self.document.aliases);
        for name in names {
            if let Some(taken) = builtin::taken(name) {
                let message = t!(
                    "the id `%{name}` is too close to the built-in provider `%{taken}`: it would read its credentials",
                    name,
                    taken
                );
                return Err(self.error(&id.span(), message).with_hint(t!("choose another id")));
            }
        }
        Ok(())
    }

    fn check_word(&self, name: &Text, what: &str) -> Result<()> {
        let text = name.get_ref();
        let starts = text.chars().next().is_some_and(|c| c.is_ascii_lowercase());
        if starts && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return Ok(());
        }
        Err(self.error(&name.span(), t!("the %{what} `%{text}` must be small letters, digits and `_`", what, text)))
    }

    fn credentials(&self) -> Result<Vec<plan::Credential>> {
        let mut all = Vec::new();
        for (name, credential) in &self.document.credentials {
            self.check_word(name, "credential")?;
            let text = name.get_ref();
            if SETTINGS.contains(&text.as_str()) || text.starts_with("url_") || text.ends_with("_file") {
                return Err(
                    self.error(&name.span(), t!("`%{text}` is a setting of every provider; name the credential otherwise", text))
                );
            }
            if let Some(env) = credential.env.as_ref().filter(|_| !self.is_builtin) {
                let message = t!(
                    "`env` is for built-in manifests; `%{text}` is read from DV_<ID>_%{variable}",
                    text,
                    variable = text.to_uppercase()
                );
                return Err(self.error(&env.span(), message));
            }
            if credential.per_name != credential.fields.is_some() {
                return Err(self.error(&name.span(), t!("`%{text}`: `per_name = true` and `fields` go together", text)));
            }
            if let Some(fields) = &credential.fields
                && fields.get_ref().is_empty()
            {
                return Err(self.error(&fields.span(), t!("`%{text}` has no fields", text)));
            }
            if credential.secret && credential.default.is_some() {
                return Err(self.error(&name.span(), t!("`%{text}`: a secret has no default", text)));
            }
            all.push(plan::Credential {
                name: text.clone(),
                secret: credential.secret,
                optional: credential.optional || credential.default.is_some(),
                default: credential.default.as_ref().map(|text| text.get_ref().clone()),
                file: credential.file,
                help: credential.help.clone(),
                familiar: credential.env.as_ref().map(|env| env.get_ref().clone()).unwrap_or_default(),
                fields: credential.fields.as_ref().map(|fields| fields.get_ref().clone()),
            });
        }
        Ok(all)
    }

    /// Credentials of the machine are for built-in manifests: one of the user's would say itself where they are sent.
    fn ambient(&self) -> Result<Option<Ambient>> {
        match &self.document.ambient {
            Some(ambient) if !self.is_builtin => {
                Err(self
                    .error(&ambient.span(), t!("`ambient` is for built-in manifests: it hands out credentials of this machine")))
            }
            ambient => Ok(ambient.as_ref().map(|ambient| *ambient.get_ref())),
        }
    }

    fn types(&self) -> Result<Vec<(RecordType, Value)>> {
        let Some(types) = &self.document.types else {
            return Ok(vec![(RecordType::Txt, "TXT".into())]);
        };
        let spelled: Vec<(&str, Value)> = match types.get_ref() {
            Types::Names(names) => names.iter().map(|name| (name.as_str(), name.as_str().into())).collect(),
            Types::Spelled(table) => table.iter().map(|(name, value)| (name.as_str(), value.clone())).collect(),
        };
        let all = spelled.into_iter().map(|(name, value)| match name {
            "TXT" => Ok((RecordType::Txt, value)),
            "CNAME" => Ok((RecordType::Cname, value)),
            other => Err(self
                .error(&types.span(), t!("the record type `%{other}` is not written by this program; TXT and CNAME are", other))),
        });
        let all = all.collect::<Result<Vec<_>>>()?;
        if all.is_empty() {
            return Err(self.error(&types.span(), t!("no record type")));
        }
        Ok(all)
    }

    fn duration(&self, text: &Text) -> Result<Duration> {
        let parsed: std::result::Result<jiff::SignedDuration, _> = text.get_ref().parse();
        parsed.ok().and_then(|duration| Duration::try_from(duration).ok()).ok_or_else(|| {
            self.error(&text.span(), t!("`%{text}` is not a duration such as `90s` or `2m`", text = text.get_ref()))
        })
    }

    /// A base URL: credentials may stand in it, but it must be a whole URL.
    fn base(&self, text: &Text) -> Result<Template> {
        let known = Known { names: &[], objects: &[], declared: &self.declared, whole_request: false };
        let template = Template::parse(text.get_ref(), Escape::None, known).map_err(|why| self.error(&text.span(), why))?;
        if template.is_literal() {
            let url = Url::parse(text.get_ref()).map_err(|why| self.error(&text.span(), t!("not a URL: %{why}", why)))?;
            if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
                return Err(self.error(&text.span(), t!("the URL must begin with https://")));
            }
        }
        Ok(template)
    }
}
