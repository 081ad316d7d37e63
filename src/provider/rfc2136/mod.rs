//! DNS UPDATE (RFC 2136) with TSIG (RFC 8945): BIND, Knot, PowerDNS and every other server that takes it.
//!
//! Messages are signed, sent over TCP and verified here rather than by hickory's client, which cannot tell a rejected key from
//! a broken answer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use hickory_proto::op::{Message, ResponseCode};

use super::{
    Access, Capabilities, DnsProvider, Found, Handle, Zone,
    description::{CredentialHelp, Description, Proof},
    registry::Registry,
    settings::{Context, Settings},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    name::Name,
    record::{Record, RecordType},
};

mod connection;
mod key;
mod message;
mod primary;
mod verdict;

use message::{Change, Cut};
use primary::Primary;

/// The TTL of what is published, in seconds, where the setting `ttl` names no other.
const TTL: u32 = 120;

/// How long one call may take in all, over all servers and tries.
const CALL_TIMEOUT: Duration = Duration::from_secs(40);

/// The id in the registry.
const ID: &str = "rfc2136";

/// Variables of lego (under its old and its new name) and of acme.sh's `dns_nsupdate` that mean the same.
const FAMILIAR: [(&str, &[&str]); 7] = [
    ("nameserver", &["RFC2136_NAMESERVER", "DNSUPDATE_NAMESERVER", "NSUPDATE_SERVER"]),
    ("tsig_key", &["RFC2136_TSIG_KEY", "DNSUPDATE_TSIG_KEY"]),
    ("tsig_secret", &["RFC2136_TSIG_SECRET", "DNSUPDATE_TSIG_SECRET"]),
    ("tsig_algorithm", &["RFC2136_TSIG_ALGORITHM", "DNSUPDATE_TSIG_ALGORITHM"]),
    ("tsig_file", &["RFC2136_TSIG_FILE", "DNSUPDATE_TSIG_FILE", "NSUPDATE_KEY"]),
    ("zone", &["NSUPDATE_ZONE"]),
    ("ttl", &["RFC2136_TTL", "DNSUPDATE_TTL"]),
];

fn familiar(name: &str) -> Vec<String> {
    let found = FAMILIAR.iter().find(|(setting, _)| *setting == name);
    found.map(|(_, variables)| variables.iter().map(|it| (*it).to_owned()).collect()).unwrap_or_default()
}

/// What `providers show rfc2136` prints.
pub(super) fn describe() -> Description {
    let setting = |name: &str, secret, optional, help: &str| CredentialHelp {
        name: name.to_owned(),
        secret,
        optional,
        help: Some(help.to_owned()),
        familiar: familiar(name),
    };
    Description {
        id: ID.to_owned(),
        title: "DNS UPDATE (RFC 2136): BIND, Knot, PowerDNS and others".to_owned(),
        docs: Some("https://www.rfc-editor.org/rfc/rfc2136".to_owned()),
        origin: "built-in".to_owned(),
        ambient: None,
        proof: Some(Proof::RealServer),
        credentials: vec![
            setting(
                "nameserver",
                false,
                false,
                t!("the primary that takes updates, as host or host:port (port 53); several by comma, tried in turn"),
            ),
            setting("tsig_key", false, true, t!("name of the TSIG key, exactly as the server has it")),
            setting("tsig_secret", true, true, t!("the key's secret in base64")),
            setting("tsig_algorithm", false, true, t!("hmac-sha256 (default), hmac-sha384 or hmac-sha512")),
            setting(
                "tsig_file",
                false,
                true,
                t!("file with a `key` statement of BIND (as tsig-keygen prints it), instead of the three above"),
            ),
            setting("zone", false, true, t!("the zone, where the server does not answer questions for its SOA record")),
            setting("ttl", false, true, t!("TTL of new records in seconds (default 120)")),
        ],
        capabilities: capabilities(),
    }
}

fn capabilities() -> Capabilities {
    Capabilities { record_types: vec![RecordType::Txt, RecordType::Cname], least_ttl: 1, ..Capabilities::default() }
}

/// Makes the provider. Asks nobody yet.
///
/// # Errors
/// `ErrorKind::Credentials` where the name server or half of the key is missing; `ErrorKind::Config` for values that cannot be.
pub(super) fn open(settings: &Settings, context: &Context, _registry: &Registry) -> Result<Arc<dyn DnsProvider>> {
    let find = |name: &str| settings.find(name, &familiar(name));
    let servers = primary::servers(settings.require("nameserver", &familiar("nameserver"))?.value.expose())?;
    let signer = key::find(settings, &context.redactor)?;
    if signer.is_none() {
        tracing::warn!(
            instance = settings.instance,
            "no TSIG key is set: updates are sent unsigned, and the server must allow this machine by its address"
        );
    }
    let zone = match find("zone")? {
        Some(setting) => Some(
            Name::parse(setting.value.expose()).map_err(|error| error.with_kind(ErrorKind::Config).context(setting.origin))?,
        ),
        None => None,
    };
    let ttl = match find("ttl")? {
        Some(setting) => {
            setting.value.expose().trim().parse().ok().filter(|ttl| (1..=604_800).contains(ttl)).ok_or_else(|| {
                Error::config(t!("%{origin}: the TTL must be a number of seconds from 1 to 604800", origin = setting.origin))
            })?
        }
        None => TTL,
    };
    Ok(Arc::new(Rfc2136 { primary: Primary::new(servers, signer), zone, ttl }))
}

/// One primary (or several, of which the first that answers is used) with one key.
struct Rfc2136 {
    primary: Primary,
    zone: Option<Name>,
    ttl: u32,
}

impl Rfc2136 {
    /// One question, or one update, with what is worth it tried again: three times in all, within [`CALL_TIMEOUT`]
    /// once it is our turn.
    async fn ask(&self, message: &Message) -> Result<Message> {
        let _turn = self.primary.turn().await?;
        let tries = (|| self.primary.exchange(message))
            .retry(ExponentialBuilder::default().with_min_delay(Duration::from_millis(250)).with_max_times(2).with_jitter())
            .when(|error: &Error| error.retry() != Retry::Never)
            .notify(|error, delay| tracing::debug!(%error, ?delay, "trying again"));
        tokio::time::timeout(CALL_TIMEOUT, tries).await.unwrap_or_else(|_| {
            let seconds = CALL_TIMEOUT.as_secs();
            Err(Error::provider(t!("%{primary}: no answer within %{seconds} s", primary = self.primary, seconds))
                .with_retry(Retry::Later))
        })
    }

    /// Sends an update. `known` tells whether the server has just accepted the key for a question about the same name.
    async fn update(&self, zone: &Zone, record: &Record, change: Change, known: bool) -> Result<()> {
        let message = message::update(&zone.name, record, change)?;
        let code = match self.ask(&message).await {
            Ok(answer) => answer.response_code,
            // Knot calls a key unknown that it knows, but does not let write this.
            Err(error) if known && error.code() == Some(verdict::BAD_KEY) => ResponseCode::Refused,
            Err(error) => return Err(error),
        };
        verdict::of_update(code, &self.primary.describe_signer(), &zone.name, record)
    }

    /// The records of the type at the name, with their TTL; `None` where the server does not tell.
    async fn look(&self, record: &Record) -> Result<Option<message::Present>> {
        let answer = self.ask(&message::question(&record.name, record.record_type)).await?;
        Ok(message::present(&answer, record))
    }
}

#[async_trait]
impl DnsProvider for Rfc2136 {
    fn id(&self) -> &'static str {
        ID
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn locate(&self, name: &Name) -> Result<Zone> {
        if let Some(zone) = &self.zone {
            if name.is_within(zone) {
                return Ok(Zone { name: zone.clone(), fields: BTreeMap::new() });
            }
            return Err(Error::provider(t!("%{name} is not within the zone %{zone} that is set for this provider", name, zone))
                .with_hint(t!("change or leave out the setting `zone`")));
        }
        for candidate in name.ancestors().filter(|it| !it.is_root()) {
            let answer = self.ask(&message::question_for_zone(&candidate)).await?;
            match message::cut(&answer, &candidate) {
                Cut::Zone(zone) => return Ok(Zone { name: zone, fields: BTreeMap::new() }),
                Cut::Above => {}
                Cut::Elsewhere { zone, servers } => {
                    return Err(Error::provider(t!(
                        "%{primary}: %{zone} is delegated to other servers (%{servers})",
                        primary = self.primary,
                        zone,
                        servers = servers.join(", ")
                    ))
                    .with_hint(t!("set `nameserver` to the primary of %{zone}", zone)));
                }
                Cut::NotServed(code) => return Err(verdict::not_served(&self.primary.to_string(), name, code)),
            }
        }
        Err(verdict::not_served(&self.primary.to_string(), name, ResponseCode::NoError))
    }

    async fn find(&self, _zone: &Zone, record: &Record) -> Result<Found> {
        Ok(match self.look(record).await? {
            Some(present) if present.ours.is_empty() => Found::Absent,
            Some(_) => Found::Present(handle()),
            None => Found::CannotTell,
        })
    }

    async fn publish(&self, zone: &Zone, record: &Record) -> Result<Handle> {
        // All values at a name share one TTL (RFC 2181 section 5.2): taking that of the others leaves them as they are.
        let seen = self.look(record).await?;
        let known = seen.is_some();
        let present = seen.unwrap_or_default();
        let outcome = self.update(zone, record, Change::Add { ttl: present.ttl.unwrap_or(self.ttl) }, known).await;
        match outcome {
            // A CNAME is added only where nothing is, so our own is in its own way.
            Err(_) if record.record_type == RecordType::Cname && !present.ours.is_empty() => Ok(handle()),
            outcome => outcome.map(|()| handle()),
        }
    }

    async fn withdraw(&self, zone: &Zone, record: &Record, _handle: Option<&Handle>) -> Result<()> {
        let seen = self.look(record).await?;
        let known = seen.is_some();
        let seen = seen.map(|present| present.ours).unwrap_or_default();
        self.update(zone, record, Change::Remove { seen }, known).await
    }

    async fn probe(&self) -> Result<Access> {
        // A server checks the signature of a question before it looks at the question, so the root does where no zone is known.
        let zone = self.zone.clone().unwrap_or_else(Name::root);
        let answer = self.ask(&message::question_for_zone(&zone)).await?;
        let Some(zone) = &self.zone else { return Ok(Access::default()) };
        match message::cut(&answer, zone) {
            Cut::Zone(found) if found == *zone => Ok(Access { zones: vec![found], is_complete: true }),
            _ => Err(verdict::not_served(&self.primary.to_string(), zone, answer.response_code)),
        }
    }
}

/// A record here is found by its value, so the handle holds nothing.
fn handle() -> Handle {
    Handle(serde_json::Value::Object(serde_json::Map::new()))
}

#[cfg(test)]
mod tests;
