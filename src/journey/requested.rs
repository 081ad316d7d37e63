//! Which key a certificate must be for: that of the request which it was applied for with. Kept beside the way of the application until the
//! certificate is delivered, since an order may be carried on by any later run.

use serde_json::Value;

use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    order::{
        Bundle, OrderId,
        aliyun::{applying::Application, is_for_key, key_of_request},
    },
    store::{ApplicationMemory, Store},
};

/// The field of a kept way that has the fingerprint of the key.
const FIELD: &str = "public_key";

/// The way, with the key that is asked for a certificate, where a request says it.
pub(super) fn with_key(mut way: Value, application: &Application) -> Value {
    let key = application.csr.as_deref().and_then(key_of_request);
    if let (Some(fields), Some(key)) = (way.as_object_mut(), key) {
        fields.insert(FIELD.to_owned(), Value::String(key));
    }
    way
}

/// Whether the certificate is for the key that was applied with; so it is where no request was sent.
pub(super) fn fits(application: &ApplicationMemory, bundle: &Bundle) -> bool {
    let key = application.way.get(FIELD).and_then(Value::as_str);
    key.is_none_or(|key| is_for_key(&bundle.certificate, key))
}

/// Makes sure that the certificate is for the key that was applied with.
///
/// # Errors
/// `ErrorKind::Delivery` where it is for another one; of the store.
pub(super) async fn check(store: &Store, origin: &str, order: &OrderId, bundle: &Bundle) -> Result<()> {
    match store.application_of(origin, order).await? {
        Some(application) if !fits(&application, bundle) => Err(Error::new(
            ErrorKind::Delivery,
            t!("the certificate of `%{order}` is for another key than that of the request it was applied for with", order),
        )
        .with_hint(t!(
            "nothing was written: the service left the request aside, or somebody applied again in between; look at the order in the certificate console: \
             `dv-verify revoke %{order}` revokes this certificate, and `dv-verify apply` (with `--instance %{order}` where it is an instance) applies anew",
            order
        ))),
        _ => Ok(()),
    }
}

/// The certificate lies on the disk: what is issued for the order from now on was applied for by somebody else.
///
/// # Errors
/// Of the store.
pub(super) async fn delivered(store: &Store, origin: &str, order: &OrderId) -> Result<()> {
    let Some(mut application) = store.application_of(origin, order).await? else { return Ok(()) };
    match application.way.as_object_mut().and_then(|fields| fields.remove(FIELD)) {
        Some(_) => store.keep_application(&application).await,
        None => Ok(()),
    }
}
