//! Calls, templates and queries of a manifest, each checked with the variables of its place.

use std::{collections::BTreeMap, ops::Range};

use reqwest::{Method, header::HeaderName};

use super::{
    super::{
        model::{CallText, Raw, RawKind, Text},
        plan::{Body, Call, Node},
        query::Query,
        template::{Escape, Known, Template},
    },
    Loader, Place,
};
use crate::{error::Result, language::t, nearest::nearest};

/// Headers that decide where a request goes and where it ends.
const UNTOUCHABLE: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "proxy-authorization",
    "proxy-connection",
    "keep-alive",
    "expect",
];

impl Loader<'_> {
    pub(super) fn place<'a>(&self, section: &'static str, names: &'a [&'a str], objects: &'a [&'a str]) -> Place<'a> {
        Place { section, names, objects, lookups: self.document.lookup.len(), has_session: self.document.login.is_some() }
    }

    pub(super) fn template(
        &self,
        text: &str,
        span: &Range<usize>,
        escape: Escape,
        place: &Place<'_>,
        in_header: bool,
    ) -> Result<Template> {
        let mut names: Vec<&str> = place.names.to_vec();
        names.extend(self.document.lookup.iter().take(place.lookups).map(|lookup| lookup.name.get_ref().as_str()));
        if place.has_session {
            names.push("session");
        }
        let mut objects: Vec<&str> = place.objects.to_vec();
        objects.push("req");
        let known = Known { names: &names, objects: &objects, declared: &self.declared, whole_request: in_header };
        Template::parse(text, escape, known).map_err(|why| self.error(span, format!("{}: {why}", place.section)))
    }

    pub(super) fn node(&self, raw: &Raw, place: &Place<'_>, in_header: bool) -> Result<Node> {
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

    pub(super) fn list(&self, table: &BTreeMap<String, Raw>, place: &Place<'_>, in_header: bool) -> Result<Vec<(String, Node)>> {
        table
            .iter()
            .map(|(name, raw)| {
                if matches!(raw.kind, RawKind::List(_) | RawKind::Table(_)) {
                    return Err(self.error(
                        &raw.span,
                        t!("%{section}: `%{name}` must be text, a number or a boolean", section = place.section, name),
                    ));
                }
                if in_header && UNTOUCHABLE.iter().any(|header| name.eq_ignore_ascii_case(header)) {
                    let message =
                        t!("%{section}: the header `%{name}` is not a manifest's to set", section = place.section, name);
                    return Err(self.error(&raw.span, message));
                }
                if in_header && HeaderName::from_bytes(name.as_bytes()).is_err() {
                    return Err(
                        self.error(&raw.span, t!("%{section}: `%{name}` is no name of a header", section = place.section, name))
                    );
                }
                Ok((name.clone(), self.node(raw, place, in_header)?))
            })
            .collect()
    }

    pub(super) fn query(&self, text: &Text, section: &str, variables: &[&'static str]) -> Result<Query> {
        Query::compile(text.get_ref(), variables).map_err(|why| self.error(&text.span(), format!("{section}: {why}")))
    }

    pub(super) fn optional_query(&self, text: Option<&Text>, section: &str, variables: &[&'static str]) -> Result<Option<Query>> {
        text.map(|text| self.query(text, section, variables)).transpose()
    }

    pub(super) fn call(&self, text: &CallText<'_>, place: &Place<'_>) -> Result<Call> {
        let http = text.http.get_ref();
        let span = text.http.span();
        let refuse = |why: String| self.error(&span, format!("{}: {why}", place.section));
        let (method, target) = http.split_once(' ').unwrap_or((http, ""));
        let method = match method {
            "GET" | "POST" | "PUT" | "PATCH" | "DELETE" => {
                Method::from_bytes(method.as_bytes()).map_err(|_| refuse(t!("no method").to_owned()))?
            }
            other => return Err(refuse(t!("`%{other}` is not a method; write `GET /path`", other))),
        };
        let (host, path) = match target.split_once(':') {
            Some((host, path)) if !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                if !self.document.hosts.keys().any(|known| known.get_ref() == host) {
                    let near = nearest(host, self.document.hosts.keys().map(|known| known.get_ref().as_str()));
                    let near = near.map(|near| t!("; did you mean `%{near}`?", near)).unwrap_or_default();
                    return Err(refuse(t!("`%{host}` is not in [hosts]%{near}", host, near)));
                }
                (Some(host.to_owned()), path)
            }
            _ => (None, target.trim_start()),
        };
        // Anything else in front could change the host.
        if !(path.is_empty() || path.starts_with('/') || path.starts_with('?')) {
            return Err(refuse(t!("the path `%{path}` must begin with `/`", path)));
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
            _ => return Err(refuse(t!("a call has one of `json`, `form` and `text`").to_owned())),
        };
        if text.media_type.is_some() && !matches!(body, Some(Body::Text { .. })) {
            return Err(refuse(t!("`type` goes with `text`").to_owned()));
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
}
