//! Azure: workload identity, and the managed identities of applications and machines.
//!
//! Sources: <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>,
//! <https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>,
//! <https://learn.microsoft.com/en-us/azure/app-service/overview-managed-identity>

use std::path::PathBuf;

use reqwest::Method;

use super::{
    machine::{Machine, is_local, url},
    source::{Call, Link, OF_OAUTH, Part, Source},
};

use crate::language::t;

/// What tokens are for: the API of Azure's resource manager.
const RESOURCE: &str = "https://management.azure.com";

/// Where tokens are made for workloads.
const AUTHORITY: &str = "https://login.microsoftonline.com";

/// The metadata service of machines.
const METADATA: &str = "http://169.254.169.254";

/// The links, in their order.
pub(super) const LINKS: &[fn(&Machine) -> Link] = &[workload, application, virtual_machine];

/// An application that trusts the tokens which the platform puts into a file (AKS, and every OIDC provider).
fn workload(machine: &Machine) -> Link {
    let Some(token) = machine.variable("AZURE_FEDERATED_TOKEN_FILE") else {
        return Link::Absent(t!("variable `AZURE_FEDERATED_TOKEN_FILE` is not set").to_owned());
    };
    let [tenant, client] = ["tenant_id", "client_id"].map(|name| machine.given.get(name));
    let (Some(tenant), Some(client)) = (tenant, client) else {
        return Link::Absent(
            t!("variable `AZURE_FEDERATED_TOKEN_FILE` is set, but `AZURE_TENANT_ID` or `AZURE_CLIENT_ID` is not").to_owned(),
        );
    };
    if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        return Link::Broken(t!("`%{tenant}` is no tenant of Azure", tenant));
    }
    let authority = machine.variable("AZURE_AUTHORITY_HOST").unwrap_or(AUTHORITY).trim_end_matches('/');
    // Without a scheme https is meant, as with the vendor's SDKs.
    let scheme = if authority.contains("://") { "" } else { "https://" };
    let place = format!("{scheme}{authority}/{tenant}/oauth2/v2.0/token");
    let found = url(&place, "`AZURE_AUTHORITY_HOST`").map(|url| Call {
        what: t!("a token of Azure for a workload"),
        method: Method::POST,
        url,
        headers: Vec::new(),
        form: vec![
            ("grant_type", Part::text("client_credentials")),
            ("client_id", Part::text(client)),
            ("client_assertion_type", Part::text("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")),
            ("client_assertion", Part::File(PathBuf::from(token))),
            ("scope", Part::text(format!("{RESOURCE}/.default"))),
        ],
        fields: OF_OAUTH,
        is_local: false,
    });
    found.map(|call| (Source::Call(call), t!("application `%{client}` for the token in `%{token}`", client, token))).into()
}

/// The identity of an application that the platform runs (App Service, Functions, Container Apps).
fn application(machine: &Machine) -> Link {
    let pair = machine.variable("IDENTITY_ENDPOINT").zip(machine.variable("IDENTITY_HEADER"));
    let Some((endpoint, secret)) = pair else {
        return Link::Absent(t!("variables `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` are not set").to_owned());
    };
    if machine.variable("IDENTITY_SERVER_THUMBPRINT").is_some() {
        return Link::Broken(t!("managed identities of Service Fabric are not supported").to_owned());
    }
    identity(machine, endpoint, "2019-08-01", Some(secret), t!("the managed identity of this application"))
}

/// The identity of this machine. Asked for where the machine is one of Azure's, or where a variable says where to ask.
fn virtual_machine(machine: &Machine) -> Link {
    let place = match machine.variable("AZURE_POD_IDENTITY_AUTHORITY_HOST") {
        Some(place) => place,
        None if machine.is_azure() => METADATA,
        None => {
            return Link::Absent(
                t!("this machine is none of Azure's (its metadata service is asked where `AZURE_POD_IDENTITY_AUTHORITY_HOST` names it)")
                    .to_owned(),
            );
        }
    };
    let endpoint = format!("{}/metadata/identity/oauth2/token", place.trim_matches('/'));
    identity(machine, &endpoint, "2018-02-01", None, t!("the managed identity of this machine"))
}

/// A managed identity: that of the client where one is named, as there may be several. `Metadata` shows that nobody was led to ask (a browser, a
/// server that fetches URLs); the vendor's library sends it to applications' endpoints, too.
fn identity(machine: &Machine, endpoint: &str, version: &str, secret: Option<&str>, origin: &'static str) -> Link {
    let found = url(endpoint, t!("the endpoint of the managed identity")).map(|mut url| {
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", RESOURCE);
        if let Some(client) = machine.given.get("client_id") {
            url.query_pairs_mut().append_pair("client_id", client);
        }
        let mut headers = vec![("Metadata", Part::text("true"))];
        headers.extend(secret.map(|secret| ("X-IDENTITY-HEADER", Part::text(secret))));
        Call { what: origin, method: Method::GET, is_local: is_local(&url), url, headers, form: Vec::new(), fields: OF_OAUTH }
    });
    found.map(|call| (Source::Call(call), origin.to_owned())).into()
}
