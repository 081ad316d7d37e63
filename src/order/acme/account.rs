//! The account at one CA: found in the state folder, else registered.

use std::path::PathBuf;

use instant_acme::{Account, ExternalAccountKey, NewAccount};

use super::{
    directory::Ca,
    failure::{self, patiently},
    http::AcmeHttp,
    state::{AccountFile, Folder},
};
use crate::{
    error::{Error, ErrorKind, Result},
    http::Http,
    language::t,
    secret::Secret,
};

/// As whom to register.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Mail addresses.
    pub contact: Vec<String>,
    /// The external account: the id of its key, and the key in base64url.
    pub external: Option<(String, Secret)>,
    /// The CA certificates that the ACME server is trusted by, where they are not the system's.
    pub ca_file: Option<PathBuf>,
}

/// An account that can be used, and how the CA is reached.
pub(super) struct Opened {
    pub(super) account: Account,
    pub(super) http: AcmeHttp,
    /// What a person should know, where the account is new.
    pub(super) note: Option<String>,
}

/// Opens the account at `ca`; the first time it is registered, under a lock.
///
/// # Errors
/// No answer, no directory, what the CA says, or a state folder that cannot be written.
pub(super) async fn open(ca: &Ca, folder: &Folder, http: &Http, identity: &Identity) -> Result<Opened> {
    let locked = {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || folder.lock())
            .await
            .map_err(|error| Error::new(ErrorKind::Unexpected, t!("the state folder cannot be locked")).with_source(error))??
    };
    let known = folder.account()?;
    let ca_file = identity.ca_file.clone().or_else(|| known.as_ref().and_then(|known| known.ca_file.clone()));
    let http = match &ca_file {
        Some(path) => Http::trusting(path)?,
        None => http.clone(),
    };
    let http = AcmeHttp::new(http, ca.clone());
    let external_id = identity.external.as_ref().map(|(id, _)| id.clone());
    let bound_elsewhere = known.as_ref().is_some_and(|known| external_id.is_some() && known.eab_key_id != external_id);
    if let Some(known) = known
        && !bound_elsewhere
    {
        let credentials = serde_json::to_string(&known.credentials).map(Secret::new).map_err(|error| damaged(&error))?;
        let account = patiently!(restore(&ca.label, &http, &credentials).await)?;
        if known.ca_file != ca_file {
            folder.keep_account(&AccountFile { ca_file, ..known })?;
        }
        return Ok(Opened { account, http, note: None });
    }
    let external = identity.external.as_ref().map(|(id, key)| external_key(id, key)).transpose()?;
    let contact: Vec<String> = identity.contact.iter().map(|address| format!("mailto:{address}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let registered = patiently!({
        let builder = Account::builder_with_http(Box::new(http.clone()));
        builder
            .create(&new, ca.directory.to_string(), external.as_ref())
            .await
            .map_err(|error| failure::of_library(&ca.label, error))
    });
    let (account, credentials) = registered.map_err(|error| at_registration(error, identity))?;
    folder.keep_account(&AccountFile { ca: ca.name(), ca_file, eab_key_id: external_id, credentials })?;
    drop(locked);
    let terms = http.meta().terms_of_service;
    let terms = terms.map(|terms| t!("; by using it you agree to its terms of service, %{terms}", terms)).unwrap_or_default();
    let note = t!(
        "registered an account at %{label}, its key is in `%{path}`%{terms}",
        label = ca.label,
        path = folder.path().display(),
        terms
    );
    Ok(Opened { account, http, note: Some(note) })
}

/// The account with these credentials; reads the CA's directory.
async fn restore(ca: &str, http: &AcmeHttp, credentials: &Secret) -> Result<Account> {
    let credentials = serde_json::from_str(credentials.expose()).map_err(|error| damaged(&error))?;
    let builder = Account::builder_with_http(Box::new(http.clone()));
    builder.from_credentials(credentials).await.map_err(|error| failure::of_library(ca, error))
}

/// At registration, whatever the CA does not accept about the external account is the matter of its key.
fn at_registration(error: Error, identity: &Identity) -> Error {
    let is_refusal = matches!(error.http_status(), Some(400..=403)) && error.kind() != ErrorKind::Config;
    match &identity.external {
        Some((id, _)) if is_refusal => error
            .with_kind(ErrorKind::Credentials)
            .context(t!("the external account key `%{id}` was not accepted", id))
            .with_hint(t!(
                "compare `--eab-key-id` and the key with what the CA shows; some CAs let each be used once, or for a short time"
            )),
        _ => error,
    }
}

fn external_key(id: &str, key: &Secret) -> Result<ExternalAccountKey> {
    let text: String = key.expose().trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
    let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map(zeroize::Zeroizing::new).map_err(|_| {
        Error::new(ErrorKind::Credentials, t!("the key of the external account `%{id}` is not base64url", id))
            .with_hint(t!("copy the HMAC key exactly as the CA shows it"))
    })?;
    Ok(ExternalAccountKey::new(id.to_owned(), &bytes))
}

fn damaged(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Store, t!("the account's file is damaged: %{error}", error))
}
