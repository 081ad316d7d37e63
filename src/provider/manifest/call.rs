//! One call, from plan and variables to the bytes that are sent.

use minijinja::Value as Jinja;
use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    client::Client,
    filters::RESERVED,
    plan::{Body, Call, Node, Plan, text_of},
    scope::Scope,
    sign,
};
use crate::{
    error::{Error, Result},
    language::t,
};

/// A request, ready to be sent. It holds secrets: it is never shown.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Method and path, for errors. The query, which may hold credentials, is left out.
    pub(super) what: String,
}

impl Outgoing {
    /// Sets a header, in the place of one of the same name.
    pub(super) fn set_header(&mut self, name: &str, value: impl Into<String>) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
    }

    /// A header's value, whatever the case of its name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The host as the `Host` header has it: with the port where it is not the usual one.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

/// Which page of a list is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Page {
    /// Keys that replace those of the body, or of the query where there is no body.
    Merge(Map<String, Value>),
    /// The URL of the page.
    At(Url),
}

/// Builds and signs a request. Each attempt needs a new one, since time and nonce may not be used twice.
///
/// # Errors
/// `ErrorKind::Provider` where a template has no value here; `ErrorKind::Config` where the URL is none.
pub(super) fn build(client: &Client, call: &Call, scope: &Scope, page: Option<&Page>) -> Result<Outgoing> {
    let (plan, hosts) = (&*client.plan, client.hosts()?);
    let moment = client.moment(scope);
    let scope =
        &scope.with("req", json!({"ts": moment.time.as_second(), "ms": moment.time.as_millisecond(), "nonce": moment.nonce}));
    // A filter may quote the value that it was given.
    let wrong = |why: String| Error::provider(format!("{} {}: {}", plan.outline.id, call.section, client.redactor.redact(&why)));
    let context = scope.context();
    let is_ready = |node: &Node| is_ready(plan, node, scope);

    let mut url = if let Some(Page::At(url)) = page {
        url.clone()
    } else {
        let path = call.path.text(&context).map_err(wrong)?.unwrap_or_default();
        hosts.url(call.host.as_deref(), &path)?
    };
    let mut query = pairs(&plan.shared.query, &call.query, &context, is_ready).map_err(wrong)?;
    let mut body = body(plan, call, &context, is_ready).map_err(wrong)?;
    if let Some(Page::Merge(changes)) = page {
        match &mut body {
            Some(Sent::Json(Value::Object(object))) => extend(object, changes.clone()),
            Some(Sent::Form(form)) => replace(form, changes),
            _ => replace(&mut query, changes),
        }
    }
    if matches!(page, Some(Page::At(_))) {
        // The next page's URL has its own query; only what it lacks is added.
        let there: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        query.retain(|(name, _)| !there.contains(name));
    }
    if let Some((name, value)) = plan.sign.as_ref().and_then(|sign| sign.parameter.as_ref()).filter(|_| scope.has("cred")) {
        let mut request = scope.get("req").cloned().unwrap_or_default();
        request["params"] = parameters(body.as_ref(), &query);
        request["path"] = url.path().into();
        request["method"] = call.method.as_str().into();
        request["host"] = url.host_str().unwrap_or_default().into();
        let context = scope.with("req", request).context();
        if let (Some(name), Some(value)) = (name.text(&context).map_err(wrong)?, value.text(&context).map_err(wrong)?) {
            match &mut body {
                Some(Sent::Json(Value::Object(object))) => drop(object.insert(name, value.into())),
                Some(Sent::Form(form)) => form.push((name, value)),
                _ => query.push((name, value)),
            }
        }
    }
    add_query(&mut url, &query);

    let mut outgoing = Outgoing {
        what: format!("{} {}", call.method, url.path()),
        method: call.method.clone(),
        url,
        headers: Vec::new(),
        body: Vec::new(),
    };
    let media_type = match body {
        None => None,
        Some(Sent::Json(value)) => {
            outgoing.body = value.to_string().into_bytes();
            Some("application/json".to_owned())
        }
        Some(Sent::Form(form)) => {
            outgoing.body = encoded(&form).into_bytes();
            Some("application/x-www-form-urlencoded".to_owned())
        }
        Some(Sent::Text { media_type, text }) => {
            outgoing.body = text.into_bytes();
            Some(media_type)
        }
    };
    if let Some(media_type) = media_type {
        outgoing.set_header("Content-Type", media_type);
    }
    let request = json!({
        "method": outgoing.method.as_str(),
        "url": outgoing.url.as_str(),
        "host": outgoing.host(),
        "params": [],
        "path": outgoing.url.path(),
        "query": outgoing.url.query().unwrap_or_default(),
        "body": String::from_utf8_lossy(&outgoing.body),
        "ts": moment.time.as_second(),
        "ms": moment.time.as_millisecond(),
        "nonce": moment.nonce,
    });
    let signed = scope.with("req", request);
    let context = signed.context();
    for (name, value) in pairs(&plan.shared.headers, &call.headers, &context, is_ready).map_err(wrong)? {
        if value.chars().any(char::is_control) {
            return Err(wrong(t!("the header `%{name}` would hold a line break or another control character", name))
                .with_hint(t!("look at the credentials: one may have a stray line break")));
        }
        outgoing.set_header(&name, value);
    }
    if let Some(plan) = plan.sign.as_ref().filter(|_| scope.has("cred")) {
        sign::apply(plan, &context, &mut outgoing, &moment).map_err(wrong)?;
    }
    Ok(outgoing)
}

/// A body before it is written out.
enum Sent {
    Json(Value),
    Form(Vec<(String, String)>),
    Text { media_type: String, text: String },
}

/// The body of the call with what `[request]` adds; nothing for a GET without a body of its own.
fn body(plan: &Plan, call: &Call, context: &Jinja, is_ready: impl Fn(&Node) -> bool) -> Result<Option<Sent>, String> {
    let shared = &plan.shared;
    match &call.body {
        Some(Body::Text { media_type, text }) => {
            let text = text.text(context)?.unwrap_or_default();
            Ok(Some(Sent::Text { media_type: media_type.clone(), text }))
        }
        Some(Body::Form(form)) => {
            Ok(Some(Sent::Form(pairs(shared.form.as_deref().unwrap_or_default(), form, context, is_ready)?)))
        }
        Some(Body::Json(node)) => {
            let own = node.render(context)?.unwrap_or(Value::Null);
            let common = shared.json.as_ref().map(|common| table(common, context, &is_ready)).transpose()?;
            Ok(Some(Sent::Json(match (common, own) {
                (Some(mut common), Value::Object(own)) => {
                    extend(&mut common, own);
                    Value::Object(common)
                }
                (_, own) => own,
            })))
        }
        None if call.method == Method::GET => Ok(None),
        None => Ok(match (&shared.json, &shared.form) {
            (Some(common), _) => Some(Sent::Json(Value::Object(table(common, context, &is_ready)?))),
            (None, Some(form)) => Some(Sent::Form(pairs(form, &[], context, is_ready)?)),
            (None, None) => None,
        }),
    }
}

/// The entries of `[request] json`, without those that are not ready yet.
fn table(node: &Node, context: &Jinja, is_ready: &dyn Fn(&Node) -> bool) -> Result<Map<String, Value>, String> {
    let Node::Table(entries) = node else { return Err(t!("`json` of [request] must be a table").to_owned()) };
    let mut object = Map::new();
    for (key, node) in entries {
        let value = match node {
            Node::Table(_) => Some(Value::Object(table(node, context, is_ready)?)),
            node if is_ready(node) => node.render(context)?,
            _ => None,
        };
        if let (Some(key), Some(value)) = (key.text(context)?, value) {
            object.insert(key, value);
        }
    }
    Ok(object)
}

/// Puts a call's own keys into the shared ones, table by table.
fn extend(common: &mut Map<String, Value>, own: Map<String, Value>) {
    for (key, value) in own {
        match (common.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(own)) => extend(inner, own),
            (_, value) => drop(common.insert(key, value)),
        }
    }
}

/// The parameters of a call, sorted by name, for a signature over them: those of the body, or of the query where there is no body.
fn parameters(body: Option<&Sent>, query: &[(String, String)]) -> Value {
    let mut pairs: Vec<(String, String)> = match body {
        Some(Sent::Form(form)) => form.clone(),
        Some(Sent::Json(Value::Object(object))) => {
            object.iter().map(|(key, value)| (key.clone(), text_of(value).unwrap_or_else(|| value.to_string()))).collect()
        }
        Some(_) => Vec::new(),
        None => query.to_vec(),
    };
    pairs.sort();
    pairs.into_iter().map(|(name, value)| json!([name, value])).collect()
}

/// What `[request]` adds is left out of clock, login and look-up calls where it needs what those calls are about to fetch, or, for the
/// clock, credentials.
fn is_ready(plan: &Plan, node: &Node, scope: &Scope) -> bool {
    let lookups = plan.lookups.iter().map(|lookup| lookup.name.as_str());
    lookups.chain(["session", "cred"]).all(|name| scope.has(name) || !node.mentions(name))
}

/// Names and values: the call's own in the place of the shared ones.
fn pairs(
    shared: &[(String, Node)],
    own: &[(String, Node)],
    context: &Jinja,
    is_ready: impl Fn(&Node) -> bool,
) -> Result<Vec<(String, String)>, String> {
    let is_own = |name: &str| own.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let shared = shared.iter().filter(|(name, node)| !is_own(name) && is_ready(node));
    let mut all = Vec::new();
    for (name, node) in shared.chain(own) {
        if let Some(value) = node.render_text(context).map_err(|why| format!("`{name}`: {why}"))? {
            all.push((name.clone(), value));
        }
    }
    Ok(all)
}

fn replace(pairs: &mut Vec<(String, String)>, changes: &Map<String, Value>) {
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        if let Some(text) = text_of(value) {
            pairs.push((name.clone(), text));
        }
    }
}

/// `name=value` pairs, percent-encoded as RFC 3986 has it (a space is `%20`), which every signature scheme expects.
fn encoded(pairs: &[(String, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// Puts pairs behind the query that is there; a pair of the same name in the path's own query is replaced.
fn add_query(url: &mut Url, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        return;
    }
    let is_replaced = |part: &&str| {
        let name = part.split('=').next().unwrap_or_default();
        !pairs.iter().any(|(known, _)| utf8_percent_encode(known, RESERVED).to_string() == name || known == name)
    };
    let old = url.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()).filter(is_replaced);
    let all: Vec<String> = old.map(str::to_owned).chain([encoded(pairs)]).collect();
    url.set_query(Some(&all.join("&")));
}
