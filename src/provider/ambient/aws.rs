//! AWS: the links of the chain behind the keys in variables, in the order of the vendor's SDKs.
//!
//! Source: <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>

use std::path::PathBuf;

use reqwest::Method;

use super::{
    aws_profile::Profiles,
    machine::{Machine, is_local, url},
    source::{Call, Link, OF_METADATA, OF_STS, Part, Source},
};

use crate::language::t;

/// The metadata service of EC2.
const INSTANCE: &str = "http://169.254.169.254";
const INSTANCE_V6: &str = "http://[fd00:ec2::254]";

/// Where ECS has the credentials of a task's role.
const CONTAINER: &str = "http://169.254.170.2";

/// The name that sessions have in the audit log where nobody chose one.
const SESSION: &str = "dv-verify";

/// The links, in their order.
pub(super) const LINKS: &[fn(&Machine) -> Link] = &[web_identity, profile, container, instance];

/// A role for a token that the platform puts into a file (EKS, and every OIDC provider).
fn web_identity(machine: &Machine) -> Link {
    let Some(token) = machine.variable("AWS_WEB_IDENTITY_TOKEN_FILE") else {
        return Link::Absent(t!("variable `AWS_WEB_IDENTITY_TOKEN_FILE` is not set").to_owned());
    };
    // The SDKs look for a role in the profile before they look at this variable.
    match Profiles::read(machine).and_then(|profiles| profiles.role_of_chosen(machine)) {
        Ok(None) => {}
        Ok(Some(found)) => return Ok(found).into(),
        Err(why) => return Link::Broken(why),
    }
    let Some(arn) = machine.variable("AWS_ROLE_ARN") else {
        return Link::Broken(t!("variable `AWS_WEB_IDENTITY_TOKEN_FILE` is set, but `AWS_ROLE_ARN` is not").to_owned());
    };
    let session = machine.variable("AWS_ROLE_SESSION_NAME").unwrap_or(SESSION);
    with_token(machine, None, arn, session, token).into()
}

/// A call for a role with the token in a file.
pub(super) fn with_token(
    machine: &Machine,
    region: Option<&str>,
    arn: &str,
    session: &str,
    token: &str,
) -> Result<(Source, String), String> {
    let mut call = sts(machine, region, "AssumeRoleWithWebIdentity", arn, session)?.0;
    call.form.push(("WebIdentityToken", Part::File(PathBuf::from(token))));
    Ok((Source::Call(call), t!("role `%{arn}` for the token in `%{token}`", arn, token)))
}

/// A role that is assumed with the credentials of `base`.
pub(super) fn with_role(
    machine: &Machine,
    base: Source,
    region: Option<&str>,
    arn: &str,
    more: [(&'static str, Option<&str>); 3],
) -> Result<Source, String> {
    let [(_, session), rest @ ..] = more;
    let (mut call, region) = sts(machine, region, "AssumeRole", arn, session.unwrap_or(SESSION))?;
    call.form.extend(rest.into_iter().filter_map(|(name, value)| Some((name, Part::text(value?)))));
    Ok(Source::Role { base: Box::new(base), region, call })
}

/// A call of STS and the region that it is signed for.
fn sts(
    machine: &Machine,
    region: Option<&str>,
    action: &'static str,
    arn: &str,
    session: &str,
) -> Result<(Call, String), String> {
    let region = machine.variable("AWS_REGION").or_else(|| machine.variable("AWS_DEFAULT_REGION")).or(region);
    if let Some(wrong) = region.filter(|region| !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')) {
        return Err(t!("`%{wrong}` is no region of AWS", wrong));
    }
    let named = machine.variable("AWS_ENDPOINT_URL_STS").or_else(|| machine.variable("AWS_ENDPOINT_URL"));
    let place = match (named, region) {
        (Some(place), _) => place.to_owned(),
        (None, Some(region)) if region.starts_with("cn-") => format!("https://sts.{region}.amazonaws.com.cn"),
        (None, Some(region)) => format!("https://sts.{region}.amazonaws.com"),
        (None, None) => "https://sts.amazonaws.com".to_owned(),
    };
    let form = vec![
        ("Action", Part::text(action)),
        ("Version", Part::text("2011-06-15")),
        ("RoleArn", Part::text(arn)),
        ("RoleSessionName", Part::text(session)),
    ];
    let call = Call {
        what: action,
        method: Method::POST,
        url: url(&place, t!("the endpoint of STS"))?,
        headers: Vec::new(),
        form,
        fields: OF_STS,
        is_local: false,
    };
    Ok((call, region.unwrap_or("us-east-1").to_owned()))
}

/// What the profile says.
fn profile(machine: &Machine) -> Link {
    match Profiles::read(machine).and_then(|profiles| profiles.link(machine)) {
        Ok(link) => link,
        Err(why) => Link::Broken(why),
    }
}

/// The role of a task on ECS, of a pod on EKS, or what else sets these variables.
pub(super) fn container(machine: &Machine) -> Link {
    let relative = machine.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{CONTAINER}{path}"));
    let Some(place) = relative.or_else(|| machine.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_owned)) else {
        return Link::Absent(t!("variable `AWS_CONTAINER_CREDENTIALS_FULL_URI` is not set").to_owned());
    };
    let file = machine.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(|path| Part::File(PathBuf::from(path)));
    let token = file.or_else(|| machine.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Part::text));
    let found = url(&place, t!("the URL of the container's credentials")).map(|url| Call {
        what: t!("the container's credentials"),
        method: Method::GET,
        is_local: is_local(&url),
        url,
        headers: token.map(|token| ("Authorization", token)).into_iter().collect(),
        form: Vec::new(),
        fields: OF_METADATA,
    });
    found.map(|call| (Source::Call(call), t!("the role of this container").to_owned())).into()
}

/// The role of this EC2 instance. Asked for where the machine is one, or where a variable says where to ask: elsewhere that address belongs to
/// anybody, and nobody answers for seconds.
pub(super) fn instance(machine: &Machine) -> Link {
    if machine.environment.flag("AWS_EC2_METADATA_DISABLED") {
        return Link::Absent(t!("the metadata service of EC2 is switched off by `AWS_EC2_METADATA_DISABLED`").to_owned());
    }
    let mode = machine.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    let usual = || if mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6")) { INSTANCE_V6 } else { INSTANCE };
    let place = match machine.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        Some(place) => place,
        None if machine.is_ec2() => usual(),
        None => return Link::Absent(t!("this machine is no EC2 instance").to_owned()),
    };
    let found = url(&format!("{}/", place.trim_end_matches('/')), t!("the endpoint of the metadata service"));
    found.map(|base| (Source::Instance { base }, t!("the role of this EC2 instance").to_owned())).into()
}
