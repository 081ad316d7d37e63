//! The sections of a manifest.

use super::{
    super::{
        model::{self, RawKind, Scope, Text},
        plan::{self, Writing},
        query::Query,
        template::Escape,
    },
    Loader, Place, RECORD, RECORD_JQ, REPLY_JQ, TAKEN,
};
use crate::{error::Result, language::t};

/// What jq sees in `[zone]`.
const ZONE_JQ: &[&str] = &["fqdn", "type", "candidate", "headers", "page"];

/// The keys of `[sign]` that a kind needs, and those that it may have besides.
fn sign_keys(kind: model::SignKind) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        model::SignKind::AwsSigv4 | model::SignKind::Volcengine => {
            (&["access_key", "secret_key", "service", "region"], &["token"])
        }
        model::SignKind::Jdcloud => (&["access_key", "secret_key", "service", "region"], &[]),
        model::SignKind::TencentTc3 => (&["access_key", "secret_key", "service"], &["token", "region"]),
        model::SignKind::AliyunAcs3 | model::SignKind::Huawei | model::SignKind::BaiduBce => {
            (&["access_key", "secret_key"], &["token"])
        }
        model::SignKind::Edgegrid => (&["access_key", "secret_key", "token"], &[]),
        model::SignKind::Oracle => (&["access_key", "secret_key"], &[]),
        model::SignKind::Parameter => (&["name", "value"], &[]),
    }
}

impl Loader<'_> {
    pub(super) fn shared(&self) -> Result<plan::Shared> {
        let request = &self.document.request;
        let place = self.place("[request]", &[], &[]);
        let query = |text: &Option<Text>| self.optional_query(text.as_ref(), "[request]", &["headers", "status"]);
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
            request_id: query(&request.id)?,
        })
    }

    pub(super) fn sign(&self, sign: &model::Sign) -> Result<plan::Sign> {
        let place = Place { section: "[sign]", names: &[], objects: &[], lookups: 0, has_session: false };
        let template = |text: &Option<Text>| {
            let template = |text: &Text| self.template(text.get_ref(), &text.span(), Escape::None, &place, true);
            text.as_ref().map(template).transpose()
        };
        let (kind, span) = (*sign.kind.get_ref(), sign.kind.span());
        let (needed, allowed) = sign_keys(kind);
        for (key, text) in [
            ("access_key", &sign.access_key),
            ("secret_key", &sign.secret_key),
            ("token", &sign.token),
            ("service", &sign.service),
            ("region", &sign.region),
            ("name", &sign.name),
            ("value", &sign.value),
        ] {
            match text {
                None if needed.contains(&key) => return Err(self.error(&span, t!("[sign]: this kind needs `%{key}`", key))),
                Some(text) if !needed.contains(&key) && !allowed.contains(&key) => {
                    return Err(self.error(&text.span(), t!("[sign]: this kind has no `%{key}`", key)));
                }
                _ => {}
            }
        }
        Ok(plan::Sign {
            kind,
            access_key: template(&sign.access_key)?,
            secret_key: template(&sign.secret_key)?,
            token: template(&sign.token)?,
            service: template(&sign.service)?,
            region: template(&sign.region)?,
            parameter: template(&sign.name)?.zip(template(&sign.value)?),
        })
    }

    pub(super) fn clock(&self, clock: &model::ClockCall) -> Result<plan::Login> {
        let place = Place { section: "[clock]", names: &[], objects: &[], lookups: 0, has_session: false };
        let call = self.call(&clock.call(), &place)?;
        if call.mentions("cred") {
            return Err(self.error(&clock.http.span(), t!("[clock] is asked without credentials")));
        }
        Ok(plan::Login { call, value: self.query(&clock.time, "[clock]", REPLY_JQ)? })
    }

    pub(super) fn login(&self, login: &model::Login) -> Result<plan::Login> {
        let place = Place { section: "[login]", names: &[], objects: &[], lookups: 0, has_session: false };
        Ok(plan::Login { call: self.call(&login.call(), &place)?, value: self.query(&login.session, "[login]", REPLY_JQ)? })
    }

    pub(super) fn lookups(&self) -> Result<Vec<plan::Lookup>> {
        let lookups = self.document.lookup.iter().enumerate().map(|(index, lookup)| {
            self.check_word(&lookup.name, "lookup")?;
            let name = lookup.name.get_ref().clone();
            if TAKEN.contains(&name.as_str()) || self.document.lookup[..index].iter().any(|other| *other.name.get_ref() == name) {
                return Err(self.error(&lookup.name.span(), t!("the name `%{name}` is taken", name)));
            }
            let place = Place { lookups: index, ..self.place("[[lookup]]", &[], &[]) };
            Ok(plan::Lookup {
                name,
                call: self.call(&lookup.call(), &place)?,
                value: self.query(&lookup.value, "[[lookup]]", REPLY_JQ)?,
            })
        });
        lookups.collect()
    }

    pub(super) fn zone(&self, zone: &model::ZoneCall) -> Result<plan::ZonePlan> {
        let call = self.call(&zone.call(), &self.place("[zone]", &["fqdn", "type", "candidate"], &[]))?;
        let asks_candidates = call.mentions("candidate");
        Ok(plan::ZonePlan {
            asks_candidates,
            call,
            zones: self.query(&zone.zones, "[zone]", ZONE_JQ)?,
            next: self.optional_query(zone.next.as_ref(), "[zone]", ZONE_JQ)?,
        })
    }

    pub(super) fn writing(&self) -> Result<Writing> {
        let document = self.document;
        let start = 0..0;
        match (&document.create, &document.merge) {
            (Some(create), None) => {
                if document.scope == Scope::Zone {
                    return Err(self.error(&start, t!("`scope = \"zone\"` goes with [merge]")));
                }
                if document.removal != document.delete.is_some() {
                    let message = t!("a manifest has [delete], or says `removal = false`");
                    return Err(self.error(&create.http.span(), message));
                }
                let has_state = document.find.as_ref().is_some_and(|find| find.state.is_some());
                let objects: &[&str] = if has_state { &["zone", "state"] } else { &["zone"] };
                let place = self.place("[create]", RECORD, objects);
                let objects: &[&str] = if has_state { &["zone", "record", "state"] } else { &["zone", "record"] };
                let delete =
                    document.delete.as_ref().map(|delete| self.call(&delete.call(), &self.place("[delete]", RECORD, objects)));
                let delete = delete.transpose()?;
                if let (Some(call), Some(text)) = (&delete, &document.delete)
                    && call.mentions("record")
                    && create.id.is_none()
                    && document.find.is_none()
                {
                    let message = t!("[delete] uses `record`: give [find], or `id` in [create]");
                    return Err(self.error(&text.http.span(), message));
                }
                Ok(Writing::Records(Box::new(plan::Records {
                    create: self.call(&create.call(), &place)?,
                    id: self.optional_query(create.id.as_ref(), "[create]", RECORD_JQ)?,
                    find: document.find.as_ref().map(|find| self.find(find)).transpose()?,
                    delete,
                })))
            }
            (None, Some(merge)) => {
                if document.find.is_some() || document.delete.is_some() {
                    return Err(self.error(&merge.span(), t!("[merge] stands instead of [create], [find] and [delete]")));
                }
                if !document.removal {
                    return Err(self.error(&merge.span(), t!("with [merge] values can be removed")));
                }
                Ok(Writing::Merge(Box::new(self.merge(merge.get_ref())?)))
            }
            (Some(create), Some(_)) => {
                Err(self.error(&create.http.span(), t!("[merge] stands instead of [create], [find] and [delete]")))
            }
            (None, None) => Err(self.error(&document.id.span(), t!("neither [create] nor [merge]: the manifest writes nothing"))),
        }
    }

    pub(super) fn find(&self, find: &model::Find) -> Result<plan::Find> {
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
            state: self.optional_query(find.state.as_ref(), "[find]", RECORD_JQ)?,
        })
    }

    pub(super) fn merge(&self, merge: &model::Merge) -> Result<plan::Merge> {
        let reading = self.place("[merge]", RECORD, &["zone"]);
        let names: Vec<&str> = RECORD.iter().copied().chain(["items", "old"]).collect();
        let objects: &[&str] = if merge.read.state.is_some() { &["zone", "doc", "state"] } else { &["zone", "doc"] };
        let writing = self.place("[merge]", &names, objects);
        let same = match &merge.same {
            Some(same) => self.query(same, "[merge]", RECORD_JQ)?,
            None if matches!(merge.item.kind, RawKind::Text(_)) => {
                Query::compile("bare == $value", RECORD_JQ).map_err(|why| self.error(&merge.item.span, why))?
            }
            None => return Err(self.error(&merge.item.span, t!("[merge]: items that are no text need `same`"))),
        };
        let write = |text: &model::MergeWrite| {
            let call = self.call(&text.call(), &writing)?;
            if merge.read.next.is_some() && call.mentions("doc") {
                return Err(self.error(
                    &text.http.span(),
                    t!("[merge]: `doc` is the first page only: with `next`, use `items` and `state`"),
                ));
            }
            Ok(call)
        };
        if let Some(next) = merge.read.next.as_ref().filter(|_| self.document.scope == Scope::Zone) {
            let message =
                t!("[merge]: a whole zone is read in one reply: the copy that is kept of it would lack the other pages");
            return Err(self.error(&next.span(), message));
        }
        let make = |make: &toml::Spanned<model::MergeMake>| {
            if merge.read.state.is_none() {
                return Err(self
                    .error(&make.span(), "[merge]: `make` goes with `state` in `read`, which says whether the place is there"));
            }
            let make = make.get_ref();
            Ok((
                self.call(&make.call(), &self.place("[merge] make", RECORD, &["zone"]))?,
                self.query(&make.state, "[merge] make", RECORD_JQ)?,
            ))
        };
        Ok(plan::Merge {
            make: merge.make.as_ref().map(make).transpose()?,
            item: self.node(&merge.item, &reading, false)?,
            same,
            read: self.call(&merge.read.call(), &reading)?,
            items: self.query(&merge.read.items, "[merge]", RECORD_JQ)?,
            read_ttl: self.optional_query(merge.read.ttl.as_ref(), "[merge]", RECORD_JQ)?,
            state: self.optional_query(merge.read.state.as_ref(), "[merge]", RECORD_JQ)?,
            next: self.optional_query(merge.read.next.as_ref(), "[merge]", RECORD_JQ)?,
            write: write(&merge.write)?,
            first: merge.first.as_ref().map(write).transpose()?,
            clear: merge.clear.as_ref().map(write).transpose()?,
        })
    }

    pub(super) fn wait(&self, wait: &model::Wait) -> Result<plan::Wait> {
        if let Some(before) = wait.before_commit.as_ref().filter(|_| self.document.commit.is_none()) {
            return Err(self.error(&before.span(), t!("[wait]: `before_commit` goes with [commit]")));
        }
        Ok(plan::Wait {
            call: self.call(&wait.call(), &self.place("[wait]", RECORD, &["zone", "result"]))?,
            done: self.query(&wait.done, "[wait]", RECORD_JQ)?,
            fail: self.optional_query(wait.fail.as_ref(), "[wait]", RECORD_JQ)?,
            result: self.optional_query(wait.result.as_ref(), "[wait]", RECORD_JQ)?,
            before_commit: wait.before_commit.as_ref().is_some_and(|before| *before.get_ref()),
        })
    }
}
