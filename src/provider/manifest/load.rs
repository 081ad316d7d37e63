//! From TOML to a plan: every check that can be made without a network is made here, with line and column.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::{
    builtin,
    model::{self, CallText, Document, Raw, RawKind, Scope, Text, Types},
    plan::{self, Body, Call, Node, Plan, Writing},
    query::Query,
    source::{Source, nearest},
    template::{Declared, Escape, Known, Shape, Template},
};
use crate::{
    error::{Error, Result},
    record::RecordType,
};

/// The only version of the format.
const FORMAT: u32 = 1;
/// Setting names that every provider has; no credential may take them.
const SETTINGS: &[&str] = &["base_url", "zone", "ttl", "use", "allow_http"];
/// Variables of calls that write or look for a record.
const RECORD: &[&str] = &["fqdn", "name", "value", "ttl", "type"];
/// The same, in jq.
const RECORD_JQ: &[&str] = &["fqdn", "name", "value", "ttl", "type", "zone", "record", "candidate"];
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
];

/// Reads and checks a manifest.
///
/// # Errors
/// `ErrorKind::Config` with file, line and column.
pub(super) fn load(text: &str, origin: &str, is_builtin: bool) -> Result<Plan> {
    let source = Source { text, origin };
    let document: Document = toml::from_str(text).map_err(|error| source.toml_error(&error))?;
    let declared = declared(&document);
    Loader { source, document: &document, declared, is_builtin }.plan()
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

impl Loader<'_> {
    fn plan(&self) -> Result<Plan> {
        let document = self.document;
        if let Some(format) = document.format.as_ref().filter(|format| *format.get_ref() != FORMAT) {
            let message = format!("format {} is not known; this program reads format {FORMAT}", format.get_ref());
            return Err(self.source.error(&format.span(), message).with_hint("use a newer dv-verify"));
        }
        self.check_id()?;
        let credentials = self.credentials()?;
        let lookups = self.lookups()?;
        let base_url = self.base(&document.base_url)?;
        let hosts = document.hosts.iter().map(|(name, url)| {
            self.check_word(name, "host")?;
            Ok((name.get_ref().clone(), self.base(url)?))
        });
        let hosts = hosts.collect::<Result<BTreeMap<_, _>>>()?;
        let least_ttl = document.least_ttl.unwrap_or(document.ttl);
        Ok(Plan {
            id: document.id.get_ref().clone(),
            title: document.title.clone(),
            docs: document.docs.clone(),
            origin: self.source.origin.to_owned(),
            is_builtin: self.is_builtin,
            base_url,
            hosts,
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
            one_write_per_zone: document.one_write_per_zone,
            proof: document.proof,
            credentials,
            shared: self.shared()?,
            sign: document.sign.as_ref().map(|sign| self.sign(sign)).transpose()?,
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
            return Err(self.error(&id.span(), format!("the id `{}` must be small letters, digits and `-`", id.get_ref())));
        }
        if self.is_builtin {
            return Ok(());
        }
        let names = std::iter::once(id.get_ref()).chain(&self.document.aliases);
        for name in names {
            if let Some(taken) = builtin::taken(name) {
                let message =
                    format!("the id `{name}` is too close to the built-in provider `{taken}`: it would read its credentials");
                return Err(self.error(&id.span(), message).with_hint("choose another id"));
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
        Err(self.error(&name.span(), format!("the {what} `{text}` must be small letters, digits and `_`")))
    }

    fn credentials(&self) -> Result<Vec<plan::Credential>> {
        let mut all = Vec::new();
        for (name, credential) in &self.document.credentials {
            self.check_word(name, "credential")?;
            let text = name.get_ref();
            if SETTINGS.contains(&text.as_str()) || text.starts_with("url_") || text.ends_with("_file") {
                return Err(
                    self.error(&name.span(), format!("`{text}` is a setting of every provider; name the credential otherwise"))
                );
            }
            if let Some(env) = credential.env.as_ref().filter(|_| !self.is_builtin) {
                let message = format!("`env` is for built-in manifests; `{text}` is read from DV_<ID>_{}", text.to_uppercase());
                return Err(self.error(&env.span(), message));
            }
            if credential.per_name != credential.fields.is_some() {
                return Err(self.error(&name.span(), format!("`{text}`: `per_name = true` and `fields` go together")));
            }
            if let Some(fields) = &credential.fields {
                if fields.get_ref().is_empty() {
                    return Err(self.error(&fields.span(), format!("`{text}` has no fields")));
                }
            }
            if credential.secret && credential.default.is_some() {
                return Err(self.error(&name.span(), format!("`{text}`: a secret has no default")));
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
            other => {
                Err(self
                    .error(&types.span(), format!("the record type `{other}` is not written by this program; TXT and CNAME are")))
            }
        });
        let all = all.collect::<Result<Vec<_>>>()?;
        if all.is_empty() {
            return Err(self.error(&types.span(), "no record type"));
        }
        Ok(all)
    }

    fn duration(&self, text: &Text) -> Result<Duration> {
        let parsed: std::result::Result<jiff::SignedDuration, _> = text.get_ref().parse();
        parsed
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .ok_or_else(|| self.error(&text.span(), format!("`{}` is not a duration such as `90s` or `2m`", text.get_ref())))
    }

    /// A base URL: credentials may stand in it, but it must be a whole URL.
    fn base(&self, text: &Text) -> Result<Template> {
        let known = Known { names: &[], objects: &[], declared: &self.declared };
        let template = Template::parse(text.get_ref(), Escape::None, known).map_err(|why| self.error(&text.span(), why))?;
        if template.is_literal() {
            let url = Url::parse(text.get_ref()).map_err(|why| self.error(&text.span(), format!("not a URL: {why}")))?;
            if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
                return Err(self.error(&text.span(), "the URL must begin with https://"));
            }
        }
        Ok(template)
    }

    fn place<'a>(&self, section: &'static str, names: &'a [&'a str], objects: &'a [&'a str]) -> Place<'a> {
        Place { section, names, objects, lookups: self.document.lookup.len(), has_session: self.document.login.is_some() }
    }

    fn template(&self, text: &str, span: &Range<usize>, escape: Escape, place: &Place<'_>, in_header: bool) -> Result<Template> {
        let mut names: Vec<&str> = place.names.to_vec();
        names.extend(self.document.lookup.iter().take(place.lookups).map(|lookup| lookup.name.get_ref().as_str()));
        if place.has_session {
            names.push("session");
        }
        let mut objects: Vec<&str> = place.objects.to_vec();
        if in_header {
            objects.push("req");
        }
        let known = Known { names: &names, objects: &objects, declared: &self.declared };
        Template::parse(text, escape, known).map_err(|why| self.error(span, format!("{}: {why}", place.section)))
    }

    fn node(&self, raw: &Raw, place: &Place<'_>, in_header: bool) -> Result<Node> {
        Ok(match &raw.kind {
            RawKind::Text(text) => Node::Template(self.template(text, &raw.span, Escape::None, place, in_header)?),
            RawKind::Scalar(value) => Node::Scalar(value.clone()),
            RawKind::List(all) => Node::List(all.iter().map(|raw| self.node(raw, place, in_header)).collect::<Result<_>>()?),
            RawKind::Table(all) => Node::Table(
                all.iter()
                    .map(|(key, inner)| {
                        let key = self.template(key, &inner.span, Escape::None, place, false)?;
                        Ok((key, self.node(inner, place, in_header)?))
                    })
                    .collect::<Result<_>>()?,
            ),
        })
    }

    fn list(&self, table: &BTreeMap<String, Raw>, place: &Place<'_>, in_header: bool) -> Result<Vec<(String, Node)>> {
        table
            .iter()
            .map(|(name, raw)| {
                if matches!(raw.kind, RawKind::List(_) | RawKind::Table(_)) {
                    return Err(self.error(&raw.span, format!("{}: `{name}` must be text, a number or a boolean", place.section)));
                }
                Ok((name.clone(), self.node(raw, place, in_header)?))
            })
            .collect()
    }

    fn query(&self, text: &Text, section: &str, variables: &[&'static str]) -> Result<Query> {
        Query::compile(text.get_ref(), variables).map_err(|why| self.error(&text.span(), format!("{section}: {why}")))
    }

    fn optional_query(&self, text: Option<&Text>, section: &str, variables: &[&'static str]) -> Result<Option<Query>> {
        text.map(|text| self.query(text, section, variables)).transpose()
    }

    fn call(&self, text: &CallText<'_>, place: &Place<'_>) -> Result<Call> {
        let http = text.http.get_ref();
        let span = text.http.span();
        let refuse = |why: String| self.error(&span, format!("{}: {why}", place.section));
        let (method, target) = http.split_once(' ').unwrap_or((http, ""));
        let method = match method {
            "GET" | "POST" | "PUT" | "PATCH" | "DELETE" => {
                Method::from_bytes(method.as_bytes()).map_err(|_| refuse("no method".to_owned()))?
            }
            other => return Err(refuse(format!("`{other}` is not a method; write `GET /path`"))),
        };
        let (host, path) = match target.split_once(':') {
            Some((host, path)) if !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                if !self.document.hosts.keys().any(|known| known.get_ref() == host) {
                    let near = nearest(host, self.document.hosts.keys().map(|known| known.get_ref().as_str()));
                    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    return Err(refuse(format!("`{host}` is not in [hosts]{near}")));
                }
                (Some(host.to_owned()), path)
            }
            _ => (None, target.trim_start()),
        };
        // Anything else in front could change the host.
        if !(path.is_empty() || path.starts_with('/') || path.starts_with('?')) {
            return Err(refuse(format!("the path `{path}` must begin with `/`")));
        }
        let body = match (text.json, text.form, text.text) {
            (None, None, None) => None,
            (Some(json), None, None) => Some(Body::Json(self.node(json, place, false)?)),
            (None, Some(form), None) => Some(Body::Form(self.list(form, place, false)?)),
            (None, None, Some(body)) => {
                let media_type = text.media_type.unwrap_or("text/plain").to_owned();
                let text = self.template(body.get_ref(), &body.span(), Escape::None, place, false)?;
                Some(Body::Text { media_type, text })
            }
            _ => return Err(refuse("a call has one of `json`, `form` and `text`".to_owned())),
        };
        if text.media_type.is_some() && !matches!(body, Some(Body::Text { .. })) {
            return Err(refuse("`type` goes with `text`".to_owned()));
        }
        Ok(Call {
            section: place.section,
            method,
            host,
            path: self.template(path, &span, Escape::Url, place, false)?,
            headers: self.list(text.headers, place, true)?,
            query: self.list(text.query, place, false)?,
            body,
        })
    }

    fn shared(&self) -> Result<plan::Shared> {
        let request = &self.document.request;
        let place = self.place("[request]", &[], &[]);
        let query = |text: &Option<Text>| self.optional_query(text.as_ref(), "[request]", &[]);
        Ok(plan::Shared {
            headers: self.list(&request.headers, &place, true)?,
            query: self.list(&request.query, &place, false)?,
            json: request.json.as_ref().map(|raw| self.node(raw, &place, false)).transpose()?,
            form: request.form.as_ref().map(|form| self.list(form, &place, false)).transpose()?,
            format: request.reply,
            ok: query(&request.ok)?,
            absent: query(&request.absent)?,
            exists: query(&request.exists)?,
            denied: query(&request.denied)?,
            forbidden: query(&request.forbidden)?,
            throttled: query(&request.throttled)?,
            error: query(&request.error)?,
            code: query(&request.code)?,
            request_id: query(&request.request_id)?,
        })
    }

    fn sign(&self, sign: &model::Sign) -> Result<plan::Sign> {
        let place = Place { section: "[sign]", names: &[], objects: &[], lookups: 0, has_session: false };
        let template = |text: &Text| self.template(text.get_ref(), &text.span(), Escape::None, &place, false);
        if sign.kind == model::SignKind::AwsSigv4 && (sign.service.is_none() || sign.region.is_none()) {
            return Err(self.error(&sign.access_key.span(), "[sign]: aws-sigv4 needs `service` and `region`"));
        }
        if sign.kind == model::SignKind::TencentTc3 && sign.service.is_none() {
            return Err(self.error(&sign.access_key.span(), "[sign]: tencent-tc3 needs `service`"));
        }
        Ok(plan::Sign {
            kind: sign.kind,
            access_key: template(&sign.access_key)?,
            secret_key: template(&sign.secret_key)?,
            token: sign.token.as_ref().map(template).transpose()?,
            service: sign.service.as_ref().map(template).transpose()?,
            region: sign.region.as_ref().map(template).transpose()?,
        })
    }

    fn login(&self, login: &model::Login) -> Result<plan::Login> {
        let place = Place { section: "[login]", names: &[], objects: &[], lookups: 0, has_session: false };
        Ok(plan::Login { call: self.call(&login.call(), &place)?, session: self.query(&login.session, "[login]", &[])? })
    }

    fn lookups(&self) -> Result<Vec<plan::Lookup>> {
        let lookups = self.document.lookup.iter().enumerate().map(|(index, lookup)| {
            self.check_word(&lookup.name, "lookup")?;
            let name = lookup.name.get_ref().clone();
            if TAKEN.contains(&name.as_str()) || self.document.lookup[..index].iter().any(|other| *other.name.get_ref() == name) {
                return Err(self.error(&lookup.name.span(), format!("the name `{name}` is taken")));
            }
            let place = Place { lookups: index, ..self.place("[[lookup]]", &[], &[]) };
            Ok(plan::Lookup {
                name,
                call: self.call(&lookup.call(), &place)?,
                value: self.query(&lookup.value, "[[lookup]]", &[])?,
            })
        });
        lookups.collect()
    }

    fn zone(&self, zone: &model::ZoneCall) -> Result<plan::ZonePlan> {
        let call = self.call(&zone.call(), &self.place("[zone]", &["fqdn", "type", "candidate"], &[]))?;
        let asks_candidates = call.mentions("candidate");
        Ok(plan::ZonePlan {
            asks_candidates,
            call,
            zones: self.query(&zone.zones, "[zone]", &["fqdn", "type", "candidate"])?,
            next: self.optional_query(zone.next.as_ref(), "[zone]", &["fqdn", "type", "candidate"])?,
        })
    }

    fn writing(&self) -> Result<Writing> {
        let document = self.document;
        let start = 0..0;
        match (&document.create, &document.merge) {
            (Some(create), None) => {
                if document.scope == Scope::Zone {
                    return Err(self.error(&start, "`scope = \"zone\"` goes with [merge]"));
                }
                if document.removal != document.delete.is_some() {
                    let message = "a manifest has [delete], or says `removal = false`";
                    return Err(self.error(&create.http.span(), message));
                }
                let place = self.place("[create]", RECORD, &["zone"]);
                let delete = document
                    .delete
                    .as_ref()
                    .map(|delete| self.call(&delete.call(), &self.place("[delete]", RECORD, &["zone", "record"])));
                let delete = delete.transpose()?;
                if let (Some(call), Some(text)) = (&delete, &document.delete) {
                    if call.mentions("record") && create.id.is_none() && document.find.is_none() {
                        let message = "[delete] uses `record`: give [find], or `id` in [create]";
                        return Err(self.error(&text.http.span(), message));
                    }
                }
                Ok(Writing::Records {
                    create: self.call(&create.call(), &place)?,
                    id: self.optional_query(create.id.as_ref(), "[create]", RECORD_JQ)?,
                    find: document.find.as_ref().map(|find| self.find(find)).transpose()?,
                    delete,
                })
            }
            (None, Some(merge)) => {
                if document.find.is_some() || document.delete.is_some() {
                    return Err(self.error(&merge.span(), "[merge] stands instead of [create], [find] and [delete]"));
                }
                if !document.removal {
                    return Err(self.error(&merge.span(), "with [merge] values can be removed"));
                }
                Ok(Writing::Merge(Box::new(self.merge(merge.get_ref())?)))
            }
            (Some(create), Some(_)) => {
                Err(self.error(&create.http.span(), "[merge] stands instead of [create], [find] and [delete]"))
            }
            (None, None) => Err(self.error(&document.id.span(), "neither [create] nor [merge]: the manifest writes nothing")),
        }
    }

    fn find(&self, find: &model::Find) -> Result<plan::Find> {
        let place = self.place("[find]", RECORD, &["zone"]);
        let detail = find.detail.as_ref().map(|detail| {
            let call = self.call(&detail.call(), &self.place("[find] detail", RECORD, &["zone", "record"]))?;
            Ok((call, self.query(&detail.keep, "[find] detail", RECORD_JQ)?))
        });
        Ok(plan::Find {
            call: self.call(&find.call(), &place)?,
            ids: self.query(&find.ids, "[find]", RECORD_JQ)?,
            next: self.optional_query(find.next.as_ref(), "[find]", RECORD_JQ)?,
            detail: detail.transpose()?,
        })
    }

    fn merge(&self, merge: &model::Merge) -> Result<plan::Merge> {
        let reading = self.place("[merge]", RECORD, &["zone"]);
        let names: Vec<&str> = RECORD.iter().copied().chain(["items", "old"]).collect();
        let writing = self.place("[merge]", &names, &["zone", "doc"]);
        let same = match &merge.same {
            Some(same) => self.query(same, "[merge]", RECORD_JQ)?,
            None if matches!(merge.item.kind, RawKind::Text(_)) => {
                Query::compile("bare == $value", RECORD_JQ).map_err(|why| self.error(&merge.item.span, why))?
            }
            None => return Err(self.error(&merge.item.span, "[merge]: items that are no text need `same`")),
        };
        let write = |call: &model::MergeWrite| self.call(&call.call(), &writing);
        Ok(plan::Merge {
            item: self.node(&merge.item, &reading, false)?,
            same,
            read: self.call(&merge.read.call(), &reading)?,
            items: self.query(&merge.read.items, "[merge]", RECORD_JQ)?,
            read_ttl: self.optional_query(merge.read.ttl.as_ref(), "[merge]", RECORD_JQ)?,
            next: self.optional_query(merge.read.next.as_ref(), "[merge]", RECORD_JQ)?,
            write: write(&merge.write)?,
            first: merge.first.as_ref().map(write).transpose()?,
            clear: merge.clear.as_ref().map(write).transpose()?,
        })
    }

    fn wait(&self, wait: &model::Wait) -> Result<plan::Wait> {
        Ok(plan::Wait {
            call: self.call(&wait.call(), &self.place("[wait]", RECORD, &["zone", "result"]))?,
            done: self.query(&wait.done, "[wait]", RECORD_JQ)?,
            fail: self.optional_query(wait.fail.as_ref(), "[wait]", RECORD_JQ)?,
        })
    }
}
