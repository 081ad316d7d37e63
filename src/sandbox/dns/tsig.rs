//! TSIG at the primary (RFC 8945): who may update.

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{TSigResponseContext, TSigner, rdata::tsig::TsigError},
};

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It carries no signature at all.
    Unsigned,
    /// A key that the server does not know.
    Key,
    /// The signature is wrong.
    Signature,
    /// Signed too long ago, or in the future. Holds the signature, which the reply's one is made with.
    Time(Vec<u8>),
}

/// The MAC of a message that may update.
pub(super) fn check(signer: &TSigner, request: &[u8], message: &Message, clock: u64) -> Result<Vec<u8>, Refusal> {
    let signature = message.signature().ok_or(Refusal::Unsigned)?;
    if signature.name != *signer.signer_name() || signature.data.algorithm != *signer.algorithm() {
        return Err(Refusal::Key);
    }
    let (mac, _, window) = signer.verify_message_byte(request, None, true).map_err(|_| Refusal::Signature)?;
    if window.contains(&clock) { Ok(mac) } else { Err(Refusal::Time(mac)) }
}

/// The bytes of a signed reply.
pub(super) fn sign(mut reply: Message, signer: &TSigner, mac: Vec<u8>, clock: u64) -> Option<Vec<u8>> {
    let context = TSigResponseContext::new(reply.id, clock, signer.clone(), mac, None);
    reply.set_signature(context.sign(&reply.to_vec().ok()?).ok()?);
    reply.to_vec().ok()
}

/// The bytes of the reply that says why not.
pub(super) fn refuse(mut reply: Message, signer: &TSigner, request: &Message, refusal: Refusal, clock: u64) -> Option<Vec<u8>> {
    let id = reply.id;
    reply.metadata.response_code = ResponseCode::NotAuth;
    let context = match refusal {
        Refusal::Unsigned => {
            reply.metadata.response_code = ResponseCode::Refused;
            return reply.to_vec().ok();
        }
        Refusal::Key => TSigResponseContext::unknown_key(id, clock, request.signature()?.name.clone()),
        Refusal::Signature => TSigResponseContext::bad_signature(id, clock, signer.clone()),
        Refusal::Time(mac) => TSigResponseContext::new(id, clock, signer.clone(), mac, Some(TsigError::BadTime)),
    };
    reply.set_signature(context.sign(&reply.to_vec().ok()?).ok()?);
    reply.to_vec().ok()
}
