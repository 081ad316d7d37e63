//! Temporary credentials that end in the middle of a wait.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Fault, OrderChange},
};

use super::{
    super::context::{ACCESS_KEY_SECRET, Context, Ran, assert_no_secret},
    NOT_YET, is_there, verify,
};

const TOKEN: &str = "planted-sts-token-that-expires-51c2";
const NEXT_TOKEN: &str = "planted-sts-token-that-follows-90b7";

/// A sandbox that wants a token.
fn context_with_token() -> Context {
    Context::with(|options| {
        options.challenge_delay = Duration::ZERO;
        options.security_token = Some(TOKEN.into());
        options.issue_delay = NOT_YET;
    })
}

/// A run that waits for the CA, whose token expires then.
fn ran_into_expiry(context: &Context, id: &OrderId, change: impl FnOnce(&mut Command), renew: impl FnOnce()) -> Ran {
    let arguments = verify(id, &["--poll-interval", "100ms", "-v"]);
    let mut command = context.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    change(&mut command);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    context.until_records(1);
    renew();
    context.sandbox.fault(Fault::SecurityToken { token: NEXT_TOKEN.into() }).unwrap();
    context.change(id, OrderChange::Issue);
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_no_secret(&ran);
    assert!(![TOKEN, NEXT_TOKEN].iter().any(|token| ran.stderr.contains(token)), "a token is in the output: {}", ran.stderr);
    ran
}

#[test]
fn a_token_in_a_variable_that_expires_in_a_wait() {
    let variable = "ALIBABA_CLOUD_SECURITY_TOKEN";
    for (language, words) in [("en", "the temporary credentials are over"), ("zh", "临时凭证已过期")] {
        let context = context_with_token();
        let id = context.order(Generation::Instance, &["www.example.com"]);
        let with_token = |command: &mut Command| {
            command.env(variable, TOKEN).env("DV_LANG", language);
        };
        ran_into_expiry(&context, &id, with_token, || ()).expect(3).says("InvalidSecurityToken.Expired").says(words);
        assert_eq!(context.records().len(), 1, "the record stays for the next run");
        let arguments = verify(&id, &[]);
        let mut command = context.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        Ran::of(command.env(variable, NEXT_TOKEN).output().unwrap()).expect(0);
        is_there(&context);
    }
}

#[test]
fn a_token_of_a_program_that_expires_in_a_wait_is_fetched_anew() {
    let context = context_with_token();
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let keep = |token: &str| {
        let answer = serde_json::json!({
            "mode": "StsToken",
            "access_key_id": context.sandbox.options().access_key_id,
            "access_key_secret": ACCESS_KEY_SECRET,
            "sts_token": token,
        });
        fs::write(context.home().join("answer.secret"), answer.to_string()).unwrap();
    };
    keep(TOKEN);
    let line = format!("/bin/cat '{}/answer.secret'", context.home().display());
    let profile = serde_json::json!({"name": "vault", "mode": "External", "process_command": line});
    fs::create_dir(context.home().join(".aliyun")).unwrap();
    let config = serde_json::json!({"current": "vault", "profiles": [profile]});
    fs::write(context.home().join(".aliyun/config.json"), config.to_string()).unwrap();
    let without_keys = |command: &mut Command| {
        command.env_remove("ALIBABA_CLOUD_ACCESS_KEY_ID").env_remove("ALIBABA_CLOUD_ACCESS_KEY_SECRET");
    };
    ran_into_expiry(&context, &id, without_keys, || keep(NEXT_TOKEN)).expect(0).says("InvalidSecurityToken.Expired");
    is_there(&context);
}
