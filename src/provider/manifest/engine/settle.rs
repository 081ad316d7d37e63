//! What follows a change: it is made effective, and waited for.

use std::time::Duration;

use serde_json::Value;

use super::super::{
    client::Purpose,
    plan::Wait,
    scope::Scope,
    verdict::{Answer, Verdict, shortened},
};
use super::Engine;
use crate::{
    error::{Error, Result, Retry},
    language::t,
};

/// How long `[wait]` waits.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

impl Engine {
    /// After a change: `[commit]`, then `[wait]`; where `[wait]` says so, before `[commit]` too.
    pub(super) async fn settle(&self, reply: &Answer, scope: &Scope, is_removal: bool) -> Result<()> {
        let plan = self.plan();
        let mut result = reply.clone();
        if let Some(commit) = &plan.commit {
            if let Some(wait) = plan.wait.as_ref().filter(|wait| wait.before_commit) {
                self.wait(wait, &result, scope, is_removal).await?;
            }
            let scope = scope.with("result", result.body.clone());
            if let Verdict::Done(reply) = self.client.ask(commit, &scope, Purpose::Repeatable).await?
                && !reply.body.is_null()
            {
                result = reply;
            }
        }
        match &plan.wait {
            Some(wait) => self.wait(wait, &result, scope, is_removal).await,
            None => Ok(()),
        }
    }

    /// Where a change is made already: whoever made it may have died before the commit. There may be nothing to commit, and some services
    /// call that an error, so that none of this call is ours.
    pub(super) async fn commit_again(&self, scope: &Scope) {
        // A commit that needs the reply of the change cannot be made without it.
        let Some(commit) = self.plan().commit.as_ref().filter(|commit| !commit.mentions("result")) else { return };
        if let Err(error) = self.client.ask(commit, scope, Purpose::Repeatable).await {
            tracing::debug!(provider = self.plan().outline.id, %error, "a commit without a change failed");
        }
    }

    /// Asks until the change that `result` tells of is done.
    async fn wait(&self, wait: &Wait, result: &Answer, scope: &Scope, is_removal: bool) -> Result<()> {
        let id = &self.plan().outline.id;
        let value = match &wait.result {
            None => result.body.clone(),
            Some(query) => {
                let found = query.first(&result.body, &scope.variables_with(&result.headers));
                // A body that is not there is no other shape.
                let found = if result.body.is_null() { Ok(None) } else { found };
                found.map_err(|why| result.of_another_shape(id, &self.client.redactor.redact(&why)))?.unwrap_or(Value::Null)
            }
        };
        // A write that was found to have worked after all has no reply to wait for; the authorities are asked anyway.
        if wait.call.mentions("result") && value.is_null() {
            return Ok(());
        }
        let scope = scope.with("result", value);
        let mut waited = Duration::ZERO;
        let mut pause = Duration::from_secs(1);
        while waited < LONGEST_WAIT {
            match self.client.ask(&wait.call, &scope, Purpose::Repeatable).await? {
                Verdict::Done(state) => {
                    let variables = scope.variables_with(&state.headers);
                    if wait.done.holds(&state.body, &variables) {
                        return Ok(());
                    }
                    if wait.fail.as_ref().is_some_and(|fail| fail.holds(&state.body, &variables)) {
                        return Err(self.failed_later(&state));
                    }
                }
                // What is removed is gone, and with it what could be asked about it.
                Verdict::Absent(_) if is_removal => return Ok(()),
                Verdict::Absent(_) | Verdict::Exists => {}
            }
            self.client.clock.pause(pause).await;
            waited += pause;
            pause = (pause * 3 / 2).min(Duration::from_secs(5));
        }
        let seconds = LONGEST_WAIT.as_secs();
        Err(Error::provider(t!("%{id}: the change is still not done after %{seconds} s", id, seconds)).with_retry(Retry::Later))
    }

    /// The service took a change and then failed to make it: with its own words, or else with its whole reply.
    fn failed_later(&self, state: &Answer) -> Error {
        let plan = self.plan();
        let variables = [("headers", state.headers.clone())].into();
        let said = plan.shared.error.as_ref().and_then(|error| error.text(&state.body, &variables));
        let said = said.map_or_else(|| state.excerpt.clone(), |said| shortened(&self.client.redactor.redact(&said)));
        let what = &state.what;
        Error::provider(t!(
            "%{id}: the service took the change and then failed to make it: %{what}: %{said}",
            id = plan.outline.id,
            what,
            said
        ))
    }
}
