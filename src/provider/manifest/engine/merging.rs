//! Record sets that are written whole: read, changed by one, written.

use serde_json::{Value, json};

use super::super::{
    client::Purpose,
    merge::{self, Change},
    model,
    plan::{Call, Merge},
    query::Query,
    scope::Scope,
    verdict::Verdict,
};
use super::{Engine, WRITE_ATTEMPTS};
use crate::{
    error::{Error, Result, Retry},
    language::t,
    name::Name,
};

impl Engine {
    /// The set of values at the name now.
    pub(super) async fn read(&self, merge: &Merge, scope: &Scope) -> Result<Set> {
        let besides = [merge.read_ttl.as_ref(), merge.state.as_ref()];
        let Some(listed) = self.client.list(&merge.read, &merge.items, merge.next.as_ref(), besides, scope).await? else {
            return Ok(Set::default());
        };
        let [ttl, state] = listed.besides;
        Ok(Set { items: listed.values, doc: listed.first_body, ttl, state })
    }

    /// Makes the place of a set; `None` where it is there already.
    async fn make(&self, call: &Call, state: &Query, scope: &Scope) -> Result<Option<Value>> {
        match self.client.ask(call, scope, Purpose::Write).await? {
            Verdict::Done(reply) => {
                let made = state.first(&reply.body, &scope.variables_with(&reply.headers));
                let made = made.map_err(|why| self.wrong_shape(call.section, &why))?;
                made.map(Some).ok_or_else(|| self.wrong_shape(call.section, t!("the reply lacks what `state` takes from it")))
            }
            Verdict::Exists => Ok(None),
            Verdict::Absent(error) => Err(*error),
        }
    }

    /// Reads, changes by one and writes; again from the start where it is not known what became of the write.
    pub(super) async fn rewrite(&self, merge: &Merge, zone: &Name, scope: &Scope, is_add: bool) -> Result<()> {
        let mut attempt = 1;
        loop {
            let set = self.read(merge, scope).await?;
            let variables = scope.variables();
            let wrong = |why: String| self.wrong_shape("[merge]", &why);
            let change = if is_add {
                let moment = self.client.moment(scope);
                let now = json!({"ts": moment.time.as_second(), "ms": moment.time.as_millisecond(), "nonce": moment.nonce});
                let context = scope.with("cred", self.client.credentials.object(scope.owner())?).with("req", now).context();
                let item = merge.item.render(&context).map_err(wrong)?;
                let item = item.ok_or_else(|| wrong(t!("`item` has no value").to_owned()))?;
                merge::add(&set.items, item, &merge.same, &variables).map_err(wrong)?
            } else {
                merge::remove(&set.items, &merge.same, &variables).map_err(wrong)?
            };
            let Change::To(new) = change else {
                self.commit_again(scope).await;
                return Ok(());
            };
            let state = match (set.state, &merge.make) {
                (None, Some((call, state))) => match self.make(call, state, scope).await {
                    Ok(Some(made)) => Some(made),
                    // Somebody else has made it, or it may be there: it is looked for again.
                    Ok(None) if attempt < WRITE_ATTEMPTS => {
                        attempt += 1;
                        continue;
                    }
                    Err(error) if error.retry() != Retry::Never && attempt < WRITE_ATTEMPTS => {
                        self.wait_after(&error).await;
                        attempt += 1;
                        continue;
                    }
                    Ok(None) => return Err(self.wrong_shape(call.section, t!("it is said to be there, but is not listed"))),
                    Err(error) => return Err(error),
                },
                (state, _) => state,
            };
            if self.plan().outline.scope == model::Scope::Zone {
                self.whole_zone.prepare(&self.plan().outline.id, zone, &set.doc, self.client.moment(scope).time)?;
            }
            let call = match (&merge.first, &merge.clear) {
                (Some(first), _) if set.items.is_empty() => first,
                (_, Some(clear)) if new.is_empty() => clear,
                _ => &merge.write,
            };
            let mut scope = scope.with("items", new);
            scope.set("old", set.items);
            scope.set("doc", set.doc);
            if let Some(state) = state {
                scope.set("state", state);
            }
            // The others keep the TTL that they have.
            if let Some(ttl) = set.ttl {
                scope.set("ttl", ttl);
            }
            match self.client.ask(call, &scope, Purpose::Write).await {
                Ok(Verdict::Done(reply)) => return self.settle(&reply, &scope, !is_add).await,
                Ok(Verdict::Absent(_)) if !is_add => return Ok(()),
                Ok(Verdict::Absent(error)) => return Err(*error),
                Ok(Verdict::Exists) if attempt < WRITE_ATTEMPTS => {}
                Ok(Verdict::Exists) => {
                    return Err(Error::provider(t!("%{id}: the record set changes all the time", id = self.plan().outline.id))
                        .with_retry(Retry::Later));
                }
                Err(error) if error.retry() != Retry::Never && attempt < WRITE_ATTEMPTS => self.wait_after(&error).await,
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }
}

/// A record set as it was read.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) items: Vec<Value>,
    doc: Value,
    ttl: Option<Value>,
    state: Option<Value>,
}
